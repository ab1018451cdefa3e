//! A page about one thing: heading, labelled values, sections, lists, small tables.
//!
//! It takes foreign text and cleans it; what comes out can be printed.

use crate::output::style::Style;
use crate::output::table::{Cell, Column, Table};
use crate::text;

/// Columns of running text at most: longer lines are hard to read.
const TEXT_COLUMNS_MAX: usize = 110;

/// Columns where there is no terminal to ask.
const COLUMNS_DEFAULT: usize = 80;

/// Columns of the labels.
const LABEL_COLUMNS: usize = 14;

/// Lines of one text at most; a note can be a flood.
const LINES_MAX: usize = 200;

/// What stands for the lines beyond.
const LONGER: &str = "(longer; -o json shows all)";

/// Those that are kept.
fn pick<T>(all: impl IntoIterator<Item = T>, kept: &[bool]) -> Vec<T> {
    let pairs = all.into_iter().zip(kept);
    pairs
        .filter_map(|(one, is_kept)| is_kept.then_some(one))
        .collect()
}

/// A page in the making.
#[derive(Debug)]
pub(crate) struct Page {
    out: String,
    room: Option<usize>,
    color: bool,
}

impl Page {
    /// An empty one; `room` is the terminal's width.
    pub(crate) fn new(room: Option<usize>, color: bool) -> Self {
        Self {
            out: String::new(),
            room,
            color,
        }
    }

    /// What it has become.
    pub(crate) fn finish(self) -> String {
        self.out
    }

    fn columns(&self) -> usize {
        self.room
            .unwrap_or(COLUMNS_DEFAULT)
            .clamp(20, TEXT_COLUMNS_MAX)
    }

    /// A paragraph in one style.
    pub(crate) fn paragraph(&mut self, foreign: &str, style: Style) {
        self.indented("", "", foreign, style);
    }

    /// A heading with an empty line before it.
    pub(crate) fn section(&mut self, title: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        let title = text::line(title);
        self.out.push_str(&Style::Heading.paint(&title, self.color));
        self.out.push('\n');
    }

    /// A value with its label; nothing where the value is empty.
    pub(crate) fn field(&mut self, label: &str, foreign: &str) {
        self.field_styled(label, foreign, Style::Plain);
    }

    /// The same with a meaning.
    pub(crate) fn field_styled(&mut self, label: &str, foreign: &str, style: Style) {
        if foreign.is_empty() {
            return;
        }
        let label = text::fit(label, LABEL_COLUMNS);
        let first = format!("{label}{}", " ".repeat(LABEL_COLUMNS - text::width(&label)));
        self.indented(&first, &" ".repeat(LABEL_COLUMNS), foreign, style);
    }

    /// A point of a list. The mark is ours.
    pub(crate) fn item(&mut self, mark: &str, foreign: &str) {
        self.item_styled(mark, foreign, Style::Plain);
    }

    /// A point whose text has lines of its own.
    pub(crate) fn item_lines(&mut self, mark: &str, foreign: &str) {
        let first = format!("  {mark} ");
        let rest = " ".repeat(text::width(&first));
        for (at, line) in text::lines(foreign.trim_end()).enumerate() {
            match at {
                0 => self.indented(&first, &rest, &line, Style::Plain),
                1..LINES_MAX => self.indented(&rest, &rest, &line, Style::Plain),
                _ => return self.indented(&rest, &rest, LONGER, Style::Faint),
            }
        }
    }

    /// The same as [`Self::item`] with a meaning.
    pub(crate) fn item_styled(&mut self, mark: &str, foreign: &str, style: Style) {
        let first = format!("  {mark} ");
        let rest = " ".repeat(text::width(&first));
        self.indented(&first, &rest, foreign, style);
    }

    /// A table, moved in a little. A column that may be left out is, where nothing stands in it.
    pub(crate) fn table(&mut self, columns: &'static [Column], rows: Vec<Vec<Cell>>) {
        let room = self.room.map(|room| room.saturating_sub(2));
        let is_kept = |at: usize, column: &Column| {
            let is_filled = |row: &Vec<Cell>| row.get(at).is_some_and(|cell| !cell.is_empty());
            !column.is_optional() || rows.iter().any(is_filled)
        };
        let kept: Vec<bool> = columns
            .iter()
            .enumerate()
            .map(|(at, one)| is_kept(at, one))
            .collect();
        let columns: Vec<Column> = pick(columns.iter().copied(), &kept);
        let rows = rows.into_iter().map(|row| pick(row, &kept));
        let mut table = Table::new(&columns, room, self.color);
        let mut lines = String::new();
        for row in rows {
            lines.push_str(&table.push(row));
        }
        lines.push_str(&table.flush());
        for line in lines.lines() {
            self.out.push_str("  ");
            self.out.push_str(line);
            self.out.push('\n');
        }
    }

    /// Foreign text, its line breaks shown as escapes, wrapped: the first line begins with `first`, the
    /// others with `rest`.
    fn indented(&mut self, first: &str, rest: &str, foreign: &str, style: Style) {
        let room = self.columns().saturating_sub(text::width(rest)).max(20);
        let mut begin = first;
        for (at, line) in text::wrap(&text::line(foreign), room)
            .into_iter()
            .enumerate()
        {
            let is_too_long = at >= LINES_MAX;
            let line = if is_too_long { LONGER } else { &line };
            let whole = format!("{begin}{}", style.paint(line, self.color));
            self.out.push_str(whole.trim_end_matches(' '));
            self.out.push('\n');
            begin = rest;
            if is_too_long {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_under_its_mark() {
        let mut page = Page::new(Some(24), false);
        page.section("Why");
        page.item("-", "seventeen prompts in forty minutes");
        page.field("State", "new");
        page.field("Nothing", "");
        assert_eq!(
            page.finish(),
            "Why\n  - seventeen prompts in\n    forty minutes\nState         new\n"
        );
    }

    #[test]
    fn hostile_text_comes_out_clean() {
        let mut page = Page::new(Some(80), false);
        page.section("a\x1b[2J");
        page.paragraph("one\ntwo\x1b]0;x\x07\r\u{202e}", Style::Plain);
        page.field("\x1b", "\u{9b}");
        let out = page.finish();
        assert!(
            out.chars().all(|c| c == '\n' || !text::is_hidden(c)),
            "{out:?}"
        );
        assert!(out.contains("one\\ntwo\\x1b"), "{out}");
    }

    #[test]
    fn a_flood_of_lines_is_cut() {
        let mut page = Page::new(Some(80), false);
        page.item_lines("-", &"x\n".repeat(10_000));
        assert_eq!(page.finish().lines().count(), LINES_MAX + 1);
        let mut page = Page::new(Some(80), false);
        page.paragraph(&"x ".repeat(100_000), Style::Plain);
        assert_eq!(page.finish().lines().count(), LINES_MAX + 1);
    }

    #[test]
    fn a_text_with_lines_of_its_own_keeps_them() {
        let mut page = Page::new(Some(80), false);
        page.item_lines("-", "one\ntwo\n\n");
        assert_eq!(page.finish(), "  - one\n    two\n");
    }
}
