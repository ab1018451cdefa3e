//! A table of which only the rows that are shown are made, however many there are.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{first_row, fit};
use crate::output::style::Style;
use crate::text;
use crate::theme::Theme;

/// Columns between two columns.
const GAP: usize = 2;

/// Columns for the sign of the selected row.
const MARK: usize = 2;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    /// It may be cut to so much.
    min: usize,
    /// It takes no more.
    max: usize,
    /// The highest goes first where there is no room; 0 stays.
    rank: u8,
}

/// A column of text that may be cut to so many columns.
pub(crate) const fn column(title: &'static str, min: usize, max: usize) -> Column {
    Column {
        title,
        min,
        max,
        rank: 0,
    }
}

impl Column {
    /// It may be left out; the highest rank first.
    pub(crate) const fn optional(self, rank: u8) -> Self {
        Self { rank, ..self }
    }
}

/// A cell: any text, and what it means.
pub(crate) type Cell = (String, Style);

/// What is to be drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table<'a> {
    /// Its columns.
    pub(crate) columns: &'a [Column],
    /// How many rows there are.
    pub(crate) rows: usize,
    /// Which is selected.
    pub(crate) selected: usize,
    /// In which styles.
    pub(crate) theme: Theme,
}

/// Where rows are, so that one can be pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Where they are drawn.
    pub(crate) area: Rect,
    /// The first that is drawn.
    pub(crate) first: usize,
    /// How many there are, drawn or not.
    pub(crate) rows: usize,
}

impl Rows {
    /// The row at this place.
    pub(crate) fn at(&self, place: Position) -> Option<usize> {
        let line = place.y.checked_sub(self.area.y)?;
        let at = self.first + usize::from(line);
        (self.area.contains(place) && at < self.rows).then_some(at)
    }
}

/// Draws the rows around the selected one; `row` makes one.
pub(crate) fn draw(
    table: Table<'_>,
    frame: &mut Frame,
    area: Rect,
    row: impl Fn(usize) -> Vec<Cell>,
) -> Rows {
    let room = usize::from(area.height).saturating_sub(1);
    let first = first_row(table.selected, table.rows, room);
    let last = table.rows.min(first + room);
    let rows: Vec<_> = (first..last).map(row).collect();
    let widths = widths(table.columns, &rows, usize::from(area.width));
    let faint = table.theme.look(Style::Faint);
    let titles = table.columns.iter().zip(&widths);
    let mut title = vec![Span::raw(" ".repeat(MARK))];
    for (column, width) in titles.filter(|(_, width)| **width > 0) {
        title.push(fit(column.title, *width, faint));
        let used = text::width(column.title).min(*width);
        title.push(Span::raw(" ".repeat(width - used + GAP)));
    }
    let mut lines = vec![Line::from(title)];
    for (at, cells) in rows.into_iter().enumerate() {
        let is_selected = first + at == table.selected;
        let mut spans = vec![Span::raw(if is_selected { "› " } else { "  " })];
        for ((cell, style), width) in cells.into_iter().zip(&widths) {
            if *width > 0 {
                let span = fit(&cell, *width, table.theme.look(style));
                let used = text::width(&span.content).min(*width);
                spans.push(span);
                spans.push(Span::raw(" ".repeat(width - used + GAP)));
            }
        }
        let line = Line::from(spans);
        lines.push(match is_selected {
            true => line.style(table.theme.selected()),
            false => line,
        });
    }
    frame.render_widget(Paragraph::new(lines), area);
    Rows {
        area: Rect {
            y: area.y.saturating_add(1),
            height: area.height.saturating_sub(1),
            ..area
        },
        first,
        rows: table.rows,
    }
}

/// How wide each column is; 0 where it is left out.
fn widths(columns: &[Column], rows: &[Vec<Cell>], room: usize) -> Vec<usize> {
    let wanted = |at: usize, column: &Column| {
        let cells = rows.iter().filter_map(|cells| cells.get(at));
        let widest = cells.map(|(cell, _)| text::width(&text::line(cell))).max();
        let title = text::width(column.title);
        widest.unwrap_or(0).max(title).min(column.max.max(title))
    };
    let wanted: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| wanted(at, column))
        .collect();
    let least = |at: usize| {
        let (wanted, column) = (wanted.get(at), columns.get(at));
        wanted
            .zip(column)
            .map_or(0, |(wanted, column)| *wanted.min(&column.min))
    };
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let used = |kept: &[usize]| {
        let cells: usize = kept.iter().map(|at| least(*at) + GAP).sum();
        cells + MARK
    };
    while used(&kept) > room + GAP {
        let ranks = kept.iter().enumerate();
        let ranks =
            ranks.map(|(place, at)| (columns.get(*at).map_or(0, |column| column.rank), place));
        match ranks.max().filter(|(rank, _)| *rank > 0) {
            Some((_, place)) => kept.remove(place),
            None => break,
        };
    }
    let mut widths = vec![0; columns.len()];
    let mut left = (room + GAP).saturating_sub(used(&kept));
    for at in kept {
        let more = wanted
            .get(at)
            .map_or(0, |wanted| wanted - least(at))
            .min(left);
        left -= more;
        if let Some(width) = widths.get_mut(at) {
            *width = least(at) + more;
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    const COLUMNS: &[Column] = &[
        column("A", 4, 10),
        column("BB", 2, 10).optional(1),
        column("C", 5, 40).optional(2),
    ];

    fn rows() -> Vec<Vec<Cell>> {
        let cell = |text: &str| (text.to_owned(), Style::Plain);
        vec![vec![cell("aaaaaa"), cell("bb"), cell(&"c".repeat(60))]]
    }

    #[test]
    fn columns_take_what_they_need_and_the_last_of_it_is_cut() {
        assert_eq!(widths(COLUMNS, &rows(), 100), [6, 2, 40]);
        assert_eq!(widths(COLUMNS, &rows(), 30), [6, 2, 16]);
    }

    #[test]
    fn of_a_million_rows_only_those_that_are_shown_are_made() {
        let made = std::cell::Cell::new(0);
        let mut terminal = Terminal::new(TestBackend::new(200, 60)).unwrap();
        let table = Table {
            columns: COLUMNS,
            rows: 1_000_000,
            selected: 777_777,
            theme: Theme::None,
        };
        let mut rows = None;
        let row = |at: usize| {
            made.set(made.get() + 1);
            vec![(at.to_string(), Style::Plain)]
        };
        let draw = |frame: &mut Frame| rows = Some(draw(table, frame, frame.area(), row));
        terminal.draw(draw).unwrap();
        assert_eq!(made.get(), 59);
        let rows = rows.unwrap();
        let y = u16::try_from(777_777 - rows.first).unwrap() + 1;
        assert_eq!(rows.at(Position { x: 3, y }), Some(777_777));
        assert_eq!(rows.at(Position { x: 3, y: 0 }), None, "the titles");
    }

    #[test]
    fn without_room_the_least_needed_is_left_out() {
        assert_eq!(widths(COLUMNS, &rows(), 14), [6, 2, 0]);
        assert_eq!(widths(COLUMNS, &rows(), 8), [6, 0, 0]);
        assert_eq!(widths(COLUMNS, &rows(), 1), [4, 0, 0]);
    }
}
