//! A list that the server tells as a whole or page by page: narrowed by words, in the order in which it was
//! told or the other way round. Only what has come since is looked at again, so that a million rows cost
//! no more than their pages.

use super::cursor::Cursor;
use super::loaded::Loaded;
use crate::keymap::Cmd;

/// Rows that are kept; what comes beyond is not asked for.
pub(crate) const ROWS_MAX: usize = 1_000_000;

/// What a list is made of.
pub(crate) trait Listed {
    /// What tells it from the others.
    fn id(&self) -> &str;
    /// Where words are looked for, unclean.
    fn words(&self) -> String;
}

/// The list.
#[derive(Debug)]
pub(crate) struct List<T> {
    /// All rows, as the server told them.
    pub(crate) all: Loaded<Vec<T>>,
    filter: String,
    /// Places in `all` of those that are shown, in the order of `all`.
    shown: Vec<usize>,
    /// Whether the last that was told is shown first.
    is_reversed: bool,
    cursor: Cursor,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            all: Loaded::default(),
            filter: String::new(),
            shown: Vec::new(),
            is_reversed: false,
            cursor: Cursor::default(),
        }
    }
}

impl<T: Listed> List<T> {
    /// One that shows the last first.
    pub(crate) fn reversed() -> Self {
        Self {
            is_reversed: true,
            ..Self::default()
        }
    }

    /// What the server says now, all of it. The selection stays on its row.
    pub(crate) fn set(&mut self, answer: Result<Vec<T>, String>, now_ms: i64) {
        let selected = self.selected().map(|row| row.id().to_owned());
        self.all.set(answer, now_ms);
        self.arrange();
        let at = selected.and_then(|id| {
            let mut rows = (0..self.len()).map(|at| self.row(at));
            rows.position(|row| row.is_some_and(|row| row.id() == id))
        });
        self.cursor = at.map_or(self.cursor, Cursor::new);
        self.cursor.keep(self.len());
    }

    /// More rows behind those that are known; the first `known` of these stay.
    pub(crate) fn append(&mut self, known: usize, rows: Vec<T>, now_ms: i64) {
        let before = self.len();
        let mut all = self.all.take().unwrap_or_default();
        all.truncate(known);
        all.extend(rows);
        all.truncate(ROWS_MAX);
        self.all.set(Ok(all), now_ms);
        self.shown.retain(|at| *at < known);
        self.look(known);
        let more = self.len().saturating_sub(before);
        if self.is_reversed && self.cursor.at() > 0 {
            self.cursor = Cursor::new(self.cursor.at().saturating_add(more));
        }
        self.cursor.keep(self.len());
    }

    /// Shows of the rows from here on those that match.
    fn look(&mut self, first: usize) {
        let words: Vec<_> = self
            .filter
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let all = self.all.value().map_or(&[][..], Vec::as_slice);
        let found = all.iter().enumerate().skip(first).filter(|(_, row)| {
            words.is_empty() || {
                let text = row.words().to_lowercase();
                words.iter().all(|word| text.contains(word))
            }
        });
        self.shown.extend(found.map(|(at, _)| at));
    }

    fn arrange(&mut self) {
        self.shown.clear();
        self.look(0);
        self.cursor.keep(self.len());
    }

    /// Narrows by these words.
    pub(crate) fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.arrange();
    }

    /// The words that it is narrowed by.
    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    /// Does what the command says; whether it was one of the list's.
    pub(crate) fn command(&mut self, cmd: Cmd, page: usize) -> bool {
        self.cursor.go(cmd, self.len(), page)
    }

    /// The row that is selected.
    pub(crate) fn at(&self) -> usize {
        self.cursor.at()
    }

    /// Selects a row.
    pub(crate) fn select(&mut self, at: usize) {
        self.cursor = Cursor::new(at);
        self.cursor.keep(self.len());
    }

    /// What is selected.
    pub(crate) fn selected(&self) -> Option<&T> {
        self.row(self.cursor.at())
    }

    /// How many are shown.
    pub(crate) fn len(&self) -> usize {
        self.shown.len()
    }

    /// How many there are.
    pub(crate) fn total(&self) -> usize {
        self.all.value().map_or(0, Vec::len)
    }

    /// A row as it is shown.
    pub(crate) fn row(&self, at: usize) -> Option<&T> {
        let at = match self.is_reversed {
            true => self.shown.len().checked_sub(at.checked_add(1)?)?,
            false => at,
        };
        self.all.value()?.get(*self.shown.get(at)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Listed for String {
        fn id(&self) -> &str {
            self
        }

        fn words(&self) -> String {
            self.clone()
        }
    }

    fn rows(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    fn shown(list: &List<String>) -> Vec<&str> {
        let rows = (0..list.len()).filter_map(|at| list.row(at));
        rows.map(String::as_str).collect()
    }

    #[test]
    fn pages_are_put_behind_each_other_and_the_last_is_read_again() {
        let mut list = List::reversed();
        list.append(0, rows("a b"), 1);
        list.append(2, rows("c"), 1);
        assert_eq!(shown(&list), ["c", "b", "a"]);
        list.command(Cmd::Down, 10);
        assert_eq!(list.selected().unwrap(), "b");
        list.append(2, rows("c d e"), 2);
        assert_eq!(shown(&list), ["e", "d", "c", "b", "a"]);
        assert_eq!(list.selected().unwrap(), "b", "it stays on its row");
    }

    #[test]
    fn only_what_matches_is_shown_also_of_what_comes_later() {
        let mut list = List::default();
        list.set(Ok(rows("alpha beta")), 1);
        list.set_filter("A".into());
        list.append(2, rows("gamma ok"), 2);
        assert_eq!(shown(&list), ["alpha", "beta", "gamma"]);
        list.set(Err("no answer".into()), 3);
        assert_eq!((list.len(), list.total()), (3, 4));
        list.select(99);
        assert_eq!(list.selected().unwrap(), "gamma");
    }
}
