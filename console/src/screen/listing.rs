//! How every list is drawn: what stands above it, then its rows, or what to do where there are none.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use crate::state::State;
use crate::state::list::{List, Listed};
use crate::widget::table::{self, Cell, Column, Rows, Table};

/// Said where there are rows, but none that was asked for.
pub(super) const NONE_AS_ASKED: &str = "None is as asked: / for other words.";

/// The rows of a list that are as asked.
pub(super) fn rows_of<'a, T: Listed>(
    list: &List<T>,
    columns: &'a [Column],
    state: &'a State,
) -> Table<'a> {
    Table {
        columns,
        rows: list.len(),
        selected: list.at(),
        theme: state.theme,
    }
}

/// A list.
pub(super) struct Listing<'a> {
    /// What stands above it.
    pub(super) above: Vec<Line<'static>>,
    /// What to say instead of no rows.
    pub(super) none: &'a str,
    /// Its rows.
    pub(super) table: Table<'a>,
}

impl Listing<'_> {
    /// Draws it; `cells` gives those of a row. Gives back where the rows are.
    pub(super) fn draw(
        self,
        frame: &mut Frame,
        area: Rect,
        cells: impl Fn(usize) -> Option<Vec<Cell>>,
    ) -> Option<Rows> {
        let lines = u16::try_from(self.above.len()).unwrap_or(u16::MAX);
        let rows = [Constraint::Length(lines), Constraint::Min(0)];
        let [top, body] = Layout::vertical(rows).areas(area);
        frame.render_widget(Paragraph::new(self.above), top);
        if self.table.rows == 0 {
            frame.render_widget(Paragraph::new(self.none), body);
            return None;
        }
        let cells = |at| cells(at).unwrap_or_default();
        Some(table::draw(self.table, frame, body, cells))
    }
}
