//! Tables of aligned columns, in as many columns of the terminal as there are.
//!
//! Cells hold foreign text; it is cleaned here. Where the table is too wide, ids are shortened to a
//! beginning that the server takes in their place, then long cells are cut, then the columns that matter
//! least are left out; `-o json` has everything. Where there is no terminal, nothing is shortened. A table
//! may be longer than memory: widths are taken from its first rows.

use crate::output::style::Style;
use crate::text;

/// Rows by which the widths of a table are decided.
pub(crate) const SAMPLE_ROWS: usize = 256;

/// Between columns.
const GAP: &str = "  ";

/// Characters of an id that a list shows where room is short: enough to tell ids apart.
const ID_COLUMNS: usize = 8;

/// Columns of any but the last column where there is no terminal, beyond which the following cells move
/// right instead.
const UNBOUND_COLUMNS_MAX: usize = 60;

/// Columns of the longest of our own words, as far as a table that grows makes room for it.
const WORD_COLUMNS: usize = 11;

/// How a column gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Give {
    /// Not at all.
    Never,
    /// To the beginning of an id.
    Id,
    /// Down to so many columns.
    Cut(usize),
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    give: Give,
    right: bool,
    /// Columns are left out from the highest on; 0 never.
    optional: u8,
}

impl Column {
    /// One whose cells are always whole.
    pub(crate) const fn whole(title: &'static str) -> Self {
        Self {
            title,
            give: Give::Never,
            right: false,
            optional: 0,
        }
    }

    /// One of numbers.
    pub(crate) const fn number(title: &'static str) -> Self {
        Self {
            right: true,
            ..Self::whole(title)
        }
    }

    /// One of ids.
    pub(crate) const fn id(title: &'static str) -> Self {
        Self {
            give: Give::Id,
            ..Self::whole(title)
        }
    }

    /// One whose cells may be cut to so many columns.
    pub(crate) const fn text(title: &'static str, columns_min: usize) -> Self {
        Self {
            give: Give::Cut(columns_min),
            ..Self::whole(title)
        }
    }

    /// The same, left out where room is short; the highest first.
    pub(crate) const fn optional(self, rank: u8) -> Self {
        Self {
            optional: rank,
            ..self
        }
    }

    /// Whether it may be left out.
    pub(crate) fn is_optional(&self) -> bool {
        self.optional > 0
    }

    /// Columns for cells that are not known yet.
    fn typical(&self) -> usize {
        match self.give {
            Give::Never => WORD_COLUMNS,
            Give::Id => ID_COLUMNS,
            Give::Cut(columns_min) => columns_min * 2,
        }
    }

    fn least(&self, natural: usize) -> usize {
        let least = match self.give {
            Give::Never => natural,
            Give::Id => ID_COLUMNS,
            Give::Cut(columns_min) => columns_min,
        };
        natural.min(least.max(self.title.len()))
    }
}

/// What stands in one column of one row: foreign text and what it means.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Nothing stands in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Text with a meaning.
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::Plain)
    }
}

/// Columns for each column; `None` leaves it out.
type Widths = Vec<Option<usize>>;

/// Decides the widths from the natural ones, so that the table fits into `room` if it can.
fn layout(columns: &[Column], natural: &[usize], room: Option<usize>) -> Widths {
    let mut widths: Widths = natural.iter().copied().map(Some).collect();
    let Some(room) = room else {
        return widths
            .into_iter()
            .map(|width| width.map(|width| width.min(UNBOUND_COLUMNS_MAX)))
            .collect();
    };
    let total = |widths: &Widths| -> usize {
        let shown = widths.iter().flatten();
        shown.clone().sum::<usize>() + GAP.len() * shown.count().saturating_sub(1)
    };
    let least = |widths: &Widths| -> Widths {
        let each = columns.iter().zip(widths);
        each.map(|(column, width)| width.map(|width| column.least(width)))
            .collect()
    };
    // Leave out what has to be left out.
    while total(&least(&widths)) > room {
        let shown = columns.iter().zip(&mut widths);
        let last = shown
            .filter(|(column, width)| column.optional > 0 && width.is_some())
            .max_by_key(|(column, _)| column.optional);
        match last {
            Some((_, width)) => *width = None,
            None => return least(&widths),
        }
    }
    // Shorten ids, then cut the widest cell again and again.
    if total(&widths) > room {
        for (column, width) in columns.iter().zip(&mut widths) {
            if column.give == Give::Id {
                *width = width.map(|width| column.least(width));
            }
        }
    }
    while total(&widths) > room {
        let over = total(&widths) - room;
        let mut able: Vec<_> = columns
            .iter()
            .zip(&mut widths)
            .filter_map(|(column, width)| {
                let width = width.as_mut()?;
                let least = column.least(*width);
                (*width > least).then_some((width, least))
            })
            .collect();
        able.sort_by_key(|(width, _)| std::cmp::Reverse(**width));
        let second = able.get(1).map_or(0, |(width, _)| **width);
        let Some((widest, least)) = able.into_iter().next() else {
            break;
        };
        // Down to the next widest at once, then one by one in turn.
        let step = over.min((*widest).saturating_sub(second).max(1));
        *widest = (*widest - step.min(*widest)).max(least);
    }
    widths
}

/// A table on its way to a terminal.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    room: Option<usize>,
    color: bool,
    live: bool,
    waiting: Vec<Vec<Cell>>,
    widths: Option<Widths>,
}

impl Table {
    /// An empty one; `room` is the terminal's width.
    pub(crate) fn new(columns: &[Column], room: Option<usize>, color: bool) -> Self {
        Self {
            columns: columns.to_vec(),
            room,
            color,
            live: false,
            waiting: Vec::new(),
            widths: None,
        }
    }

    /// Makes room for rows that are not known yet.
    pub(crate) fn set_live(&mut self) {
        self.live = true;
    }

    /// Adds a row; returns the lines that can be printed by now.
    pub(crate) fn push(&mut self, cells: Vec<Cell>) -> String {
        self.waiting.push(cells);
        if self.widths.is_some() || self.waiting.len() >= SAMPLE_ROWS {
            self.flush()
        } else {
            String::new()
        }
    }

    /// The lines of all rows so far. The first time it begins with the titles, and the widths stay as
    /// they are from then on.
    pub(crate) fn flush(&mut self) -> String {
        let mut out = String::new();
        let rows = std::mem::take(&mut self.waiting);
        if self.widths.is_none() {
            let natural = self.natural(&rows);
            self.widths = Some(layout(&self.columns, &natural, self.room));
            let titles = self.columns.iter();
            let titles = titles.map(|column| Cell::styled(column.title, Style::Heading));
            self.write(&mut out, titles.collect());
        }
        for row in rows {
            self.write(&mut out, row);
        }
        out
    }

    fn natural(&self, rows: &[Vec<Cell>]) -> Vec<usize> {
        let first = |column: &Column| match self.live {
            true => column.title.len().max(column.typical()),
            false => column.title.len(),
        };
        let mut natural: Vec<usize> = self.columns.iter().map(first).collect();
        for row in rows {
            for (width, cell) in natural.iter_mut().zip(row) {
                *width = (*width).max(text::width(&text::line(&cell.text)));
            }
        }
        natural
    }

    fn write(&self, out: &mut String, row: Vec<Cell>) {
        let widths = self.widths.as_deref().unwrap_or_default();
        let last = widths.iter().rposition(Option::is_some);
        let mut line = String::new();
        let shown = self.columns.iter().zip(widths).zip(row).enumerate();
        for (at, ((column, width), cell)) in shown {
            let Some(width) = *width else { continue };
            if !line.is_empty() {
                line.push_str(GAP);
            }
            let clean = text::line(&cell.text);
            let clean = match (column.give, self.room) {
                (_, None) | (Give::Never, _) => clean,
                (Give::Id, Some(_)) => text::cut(&clean, width).to_owned().into(),
                (_, Some(_)) => text::fit(&clean, width).into_owned().into(),
            };
            let padding = " ".repeat(width.saturating_sub(text::width(&clean)));
            if column.right {
                line.push_str(&padding);
            }
            line.push_str(&cell.style.paint(&clean, self.color));
            if !column.right && Some(at) != last {
                line.push_str(&padding);
            }
        }
        out.push_str(line.trim_end_matches(' '));
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: &[Column] = &[
        Column::id("ID"),
        Column::whole("STATE"),
        Column::number("SCORE").optional(1),
        Column::text("TITLE", 10),
    ];

    fn table(room: Option<usize>, rows: &[[&str; 4]]) -> String {
        let mut table = Table::new(COLUMNS, room, false);
        let mut out = String::new();
        for row in rows {
            out.push_str(&table.push(row.iter().map(|&cell| Cell::from(cell)).collect()));
        }
        out + &table.flush()
    }

    const ROW: [&str; 4] = [
        "0b0c7b0e-58f0-8d2a-9d3e-0a1b2c3d4e5f",
        "new",
        "87",
        "17 prompts in 40 minutes, one approved",
    ];

    #[test]
    fn nothing_is_shortened_where_there_is_room() {
        assert_eq!(
            table(Some(100), &[ROW]),
            "ID                                    STATE  SCORE  TITLE\n\
             0b0c7b0e-58f0-8d2a-9d3e-0a1b2c3d4e5f  new       87  17 prompts in 40 minutes, one approved\n"
        );
    }

    #[test]
    fn ids_give_way_first_then_text_then_what_matters_least() {
        assert_eq!(
            table(Some(70), &[ROW]),
            "ID        STATE  SCORE  TITLE\n\
             0b0c7b0e  new       87  17 prompts in 40 minutes, one approved\n"
        );
        assert_eq!(
            table(Some(40), &[ROW]),
            "ID        STATE  SCORE  TITLE\n\
             0b0c7b0e  new       87  17 prompts in 4…\n"
        );
        assert_eq!(
            table(Some(30), &[ROW]),
            "ID        STATE  TITLE\n\
             0b0c7b0e  new    17 prompts i…\n"
        );
    }

    #[test]
    fn without_a_terminal_nothing_is_cut() {
        let long = "x".repeat(300);
        let out = table(None, &[["a", &long, "1", &long], ["b", "new", "2", "t"]]);
        assert_eq!(out.matches(&long).count(), 2);
        assert!(out.lines().all(|line| !line.ends_with(' ')), "{out}");
    }

    #[test]
    fn widths_stay_as_the_first_rows_made_them() {
        let mut table = Table::new(COLUMNS, Some(80), false);
        assert_eq!(table.push(vec!["a".into(), "new".into()]), "");
        assert_eq!(table.flush(), "ID  STATE  SCORE  TITLE\na   new\n");
        let later = vec![
            "abcdef".into(),
            "new".into(),
            "1".into(),
            "long title".into(),
        ];
        assert_eq!(table.push(later), "ab  new        1  long…\n");
    }

    #[test]
    fn a_hostile_cell_stays_in_its_cell() {
        let out = table(
            Some(80),
            &[["a\nb", "\x1b[31m", "\t", "\u{202e}evil\u{9b}2J"]],
        );
        assert_eq!(out.lines().count(), 2);
        assert!(
            out.chars().all(|c| c == '\n' || !text::is_hidden(c)),
            "{out:?}"
        );
    }

    #[test]
    fn a_live_table_has_room_for_what_comes() {
        let mut table = Table::new(COLUMNS, Some(80), false);
        table.set_live();
        table.push(vec!["a".into(), "new".into(), "1".into(), "short".into()]);
        table.flush();
        let later = vec![
            "12345678-9".into(),
            "in progress".into(),
            "100".into(),
            "a longer title".into(),
        ];
        assert_eq!(
            table.push(later),
            "12345678  in progress          100  a longer title\n"
        );
    }

    proptest! {
        #[test]
        fn a_table_fits_where_its_least_fits(
            cells in proptest::collection::vec(any::<String>(), 4),
            room in 32_usize..200,
        ) {
            let row = [&*cells[0], "new", "12345", &*cells[3]];
            for line in table(Some(room), &[row]).lines() {
                prop_assert!(text::width(line) <= room, "{line:?}");
            }
        }
    }
}
