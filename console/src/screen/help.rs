//! The keys, printed from the keymap.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use crate::keymap::{self, Context};
use crate::output::style::Style;
use crate::state::State;
use crate::widget::span;
use crate::widget::table::Rows;

/// Columns for the keys of a row.
const KEY_COLUMNS: usize = 20;

/// Draws it.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    let scroll = u16::try_from(state.help.at()).unwrap_or(u16::MAX);
    frame.render_widget(Paragraph::new(lines(state)).scroll((scroll, 0)), area);
    None
}

/// How many lines it can be scrolled.
pub(super) fn scroll_max(state: &State, area: Rect) -> usize {
    lines(state).len().saturating_sub(usize::from(area.height))
}

/// All of it.
pub(super) fn lines(state: &State) -> Vec<Line<'static>> {
    let plain = state.theme.look(Style::Plain);
    let mut lines = Vec::new();
    for context in Context::ALL {
        let heading = state.theme.look(Style::Heading);
        lines.push(Line::from(span(context.title(), heading)));
        let rows = state.keymap.rows();
        for (row, keys) in rows.filter(|(row, _)| row.context == context) {
            let keys = format!("  {:<KEY_COLUMNS$}  ", keymap::names(keys));
            lines.push(Line::from(vec![span(&keys, plain), span(row.help, plain)]));
        }
        lines.push(Line::default());
    }
    let said = [
        "On the time axis a prompt is  h  where the sign-in was made on one of the",
        "person's machines,  e  where elsewhere,  ?  where that is not known, and a",
        "number where there are several. Answers: A approved, d denied, u unanswered,",
        "x abandoned, F fraud reported, W wrong number, ! error. Endpoint: p process,",
        "n network, f file, g gap; ◆ is evidence or a stage, * an analyst's action, and",
        "< or > at an end: there is more beyond it.",
        "Keys: tocsin keys prints the file by which they are changed.",
        "Themes: the key T, TOCSIN_THEME=dark|light|contrast|16|none, or NO_COLOR.",
    ];
    lines.extend(said.map(|said| Line::from(span(said, plain))));
    lines
}
