//! What stands above a screen: choices, lines to type, the palette.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::output::style::Style;
use crate::state::State;
use crate::state::palette::FOUND_MAX;
use crate::state::popup::{Popup, Purpose};
use crate::widget::table::Rows;
use crate::widget::{first_row, fit, popup, text_input};

/// Columns of a popup where there is room.
const COLUMNS: u16 = 64;

/// Draws the popup, if there is one; the words that narrow a list are typed on the bottom line.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect, bottom: Rect) -> Option<Rows> {
    match &state.popup {
        None => return None,
        Some(Popup::Typing(typing))
            if matches!(typing.purpose, Purpose::Filter | Purpose::Events) =>
        {
            frame.render_widget(ratatui::widgets::Clear, bottom);
            if let Some((said, style)) = &state.notice {
                let above = Rect {
                    y: area.bottom().saturating_sub(1),
                    height: 1,
                    ..area
                };
                frame.render_widget(ratatui::widgets::Clear, above);
                let said = fit(said, area.width.into(), state.theme.look(*style));
                popup::fill(vec![Line::from(said)], frame, above);
            }
            text_input::draw("/", &typing.input, frame, bottom);
        }
        Some(Popup::Typing(typing)) => {
            let inside = popup::draw(typing.title(), (COLUMNS, 2), state.theme, frame, area);
            text_input::draw("> ", &typing.input, frame, inside);
            let below = Rect {
                y: inside.y + 1,
                height: inside.height.saturating_sub(1),
                ..inside
            };
            let said = fit(
                "enter take it  esc leave it",
                40,
                state.theme.look(Style::Faint),
            );
            popup::fill(vec![Line::from(said)], frame, below);
        }
        Some(Popup::Choice(choice)) => {
            let rows = u16::try_from(choice.options.len()).unwrap_or(u16::MAX);
            let inside = popup::draw(&choice.title, (COLUMNS, rows), state.theme, frame, area);
            let names = choice.options.iter().map(|(name, _)| name.as_str());
            return Some(fill(names, choice.cursor.at(), state, frame, inside));
        }
        Some(Popup::Palette(palette)) => {
            let rows = u16::try_from(FOUND_MAX)
                .unwrap_or(u16::MAX)
                .saturating_add(1);
            let title = match palette.is_searching() {
                true => "Go to (still looking)",
                false => "Go to",
            };
            let inside = popup::draw(title, (COLUMNS, rows), state.theme, frame, area);
            let below = Rect {
                y: inside.y + 1,
                height: inside.height.saturating_sub(1),
                ..inside
            };
            let names = palette.found.iter().map(|(_, name, _)| name.as_str());
            let rows = fill(names, palette.cursor.at(), state, frame, below);
            text_input::draw("> ", &palette.input, frame, inside);
            return Some(rows);
        }
    }
    // A click below what is typed is no choice.
    Some(Rows {
        area: Rect::default(),
        first: 0,
        rows: 0,
    })
}

fn fill<'a>(
    names: impl ExactSizeIterator<Item = &'a str>,
    selected: usize,
    state: &State,
    frame: &mut Frame,
    inside: Rect,
) -> Rows {
    let rows = names.len();
    let room = usize::from(inside.height);
    let first = first_row(selected, names.len(), room);
    let columns = usize::from(inside.width).saturating_sub(2);
    let plain = state.theme.look(Style::Plain);
    let shown = names.enumerate().skip(first).take(room);
    let lines = shown.map(|(at, name)| match at == selected {
        true => {
            Line::from(vec!["› ".into(), fit(name, columns, plain)]).style(state.theme.selected())
        }
        false => Line::from(vec!["  ".into(), fit(name, columns, plain)]),
    });
    popup::fill(lines.collect(), frame, inside);
    Rows {
        area: inside,
        first,
        rows,
    }
}
