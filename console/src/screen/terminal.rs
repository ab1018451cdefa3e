//! The terminal pane: beside the screen where there is room, over it where there is not.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::widgets::{Block, Borders, Clear};
use tui_term::widget::{Cursor, PseudoTerminal};

use crate::output::style::Style;
use crate::state::State;
use crate::state::terminal::{COLUMNS_OF_BOTH, COLUMNS_OF_PANE, Pane, Phase};
use crate::text;

/// Fewest columns of the screen beside it.
const COLUMNS_BESIDE: u16 = 40;

/// Where the screen and the pane are drawn.
pub(super) fn areas(state: &State, body: Rect) -> (Option<Rect>, Option<Rect>) {
    match &state.terminal {
        None => (Some(body), None),
        Some(_) if body.width >= COLUMNS_OF_BOTH => {
            let columns = [
                Constraint::Min(COLUMNS_BESIDE),
                Constraint::Length(COLUMNS_OF_PANE),
            ];
            let [left, right] = Layout::horizontal(columns).areas(body);
            (Some(left), Some(right))
        }
        Some(pane) if pane.has_keys => (None, Some(body)),
        Some(_) => (Some(body), None),
    }
}

/// Draws it.
pub(super) fn draw(state: &State, pane: &Pane, frame: &mut Frame, area: Rect) {
    let style = match (&pane.phase, pane.has_keys) {
        (Phase::Ended(_), _) => Style::Medium,
        (_, true) => Style::Good,
        (_, false) => Style::Faint,
    };
    let hint = match (&pane.phase, pane.asks, pane.has_keys) {
        (Phase::Opening, ..) => "opening".to_owned(),
        (Phase::Ending, ..) => "ending".to_owned(),
        (Phase::Ended(how), ..) => format!("{how}; K takes it away"),
        (Phase::Open, true, _) => "K again ends it and all that runs in it".to_owned(),
        (Phase::Open, false, true) => "ctrl-] back to the screens".to_owned(),
        (Phase::Open, false, false) => "ctrl-] into it, K ends it".to_owned(),
    };
    let title = format!(" terminal at {}: {hint} ", pane.hostname);
    let columns = usize::from(area.width.saturating_sub(2));
    let title = text::fit(&title, columns).into_owned();
    let block = Block::default()
        .borders(Borders::ALL)
        .title(title)
        .border_style(state.theme.look(style));
    frame.render_widget(Clear, area);
    let mut cursor = Cursor::default();
    if !pane.has_keys {
        cursor.hide();
    }
    let cells = PseudoTerminal::new(pane.screen())
        .block(block)
        .cursor(cursor);
    frame.render_widget(cells, area);
}
