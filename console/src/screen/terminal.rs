//! The terminal pane: beside the screen where there is room, over it where there is not.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::Style as Look;
use ratatui::widgets::{Block, Borders, Clear, Widget as _};
use tui_term::widget::{Cursor, PseudoTerminal};

use crate::output::style::Style;
use crate::state::State;
use crate::state::terminal::{COLUMNS_OF_BOTH, COLUMNS_OF_PANE, Pane, Phase};
use crate::text;

/// Fewest columns of the screen beside it.
const COLUMNS_BESIDE: u16 = 40;

/// Columns of a hostname in the title: what is to be done stands behind it.
const HOST_COLUMNS_MAX: usize = 24;

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
    if let Some(analyst) = &pane.watched {
        return draw_watched(state, (pane, analyst), frame, (area, style));
    }
    let hint = match (&pane.phase, pane.asks, pane.has_keys) {
        (Phase::Opening, ..) => "opening".to_owned(),
        (Phase::Ending, ..) => "ending".to_owned(),
        (Phase::Ended(how), _, true) => format!("ended, esc takes it away: {how}"),
        (Phase::Ended(how), ..) => format!("ended, K takes it away: {how}"),
        (Phase::Open, true, _) => "K again ends it and all that runs in it".to_owned(),
        (Phase::Open, false, true) => "ctrl-] back to the screens".to_owned(),
        (Phase::Open, false, false) => "ctrl-] into it, K ends it".to_owned(),
    };
    let host = text::fit(&pane.hostname, HOST_COLUMNS_MAX);
    let title = format!(" terminal at {host}: {hint} ");
    let block = framed(&title, state.theme.look(style), area);
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

fn framed(title: &str, look: Look, area: Rect) -> Block<'static> {
    let columns = usize::from(area.width.saturating_sub(2));
    Block::default()
        .borders(Borders::ALL)
        .title(text::fit(title, columns).into_owned())
        .border_style(look)
}

/// Somebody's terminal has the size that it has there: of one that does not fit, the part around its cursor is shown.
fn draw_watched(
    state: &State,
    (pane, analyst): (&Pane, &str),
    frame: &mut Frame,
    (area, style): (Rect, Style),
) {
    let screen = pane.screen();
    let (rows, columns) = screen.size();
    let inside = Rect {
        x: area.x.saturating_add(1),
        y: area.y.saturating_add(1),
        width: area.width.saturating_sub(2),
        height: area.height.saturating_sub(2),
    };
    let is_cut = columns > inside.width || rows > inside.height;
    let size = match is_cut {
        true => format!(", part of {columns}x{rows}"),
        false => String::new(),
    };
    let hint = match (&pane.phase, pane.has_keys) {
        (Phase::Ended(how), true) => format!("ended, esc leaves it: {how}"),
        (Phase::Ended(how), false) => format!("ended, K takes it away: {how}"),
        (Phase::Opening, _) => "asking for it".to_owned(),
        (_, true) => format!("watched{size}; esc leaves it"),
        (_, false) => format!("watched{size}; K leaves it"),
    };
    let host = text::fit(&pane.hostname, HOST_COLUMNS_MAX);
    let title = format!(" {analyst} at {host}: {hint} ");
    frame.render_widget(Clear, area);
    frame.render_widget(framed(&title, state.theme.look(style), area), area);
    let mut cells = Buffer::empty(Rect::new(0, 0, columns, rows));
    PseudoTerminal::new(screen).render(cells.area, &mut cells);
    let (row, column) = screen.cursor_position();
    let first = |at: u16, room: u16| at.saturating_add(1).saturating_sub(room);
    let (top, left) = (first(row, inside.height), first(column, inside.width));
    for y in 0..inside.height.min(rows) {
        for x in 0..inside.width.min(columns) {
            let from = cells.cell(Position::new(left + x, top + y));
            let to = Position::new(inside.x + x, inside.y + y);
            if let (Some(from), Some(to)) = (from, frame.buffer_mut().cell_mut(to)) {
                to.clone_from(from);
            }
        }
    }
}
