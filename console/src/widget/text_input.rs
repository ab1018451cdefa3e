//! A line that is being typed, with the terminal's own cursor in it.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::state::input::Input;
use crate::text;

/// Draws the line after this sign; where it is too long, the part around the cursor.
pub(crate) fn draw(sign: &'static str, input: &Input, frame: &mut Frame, area: Rect) {
    let room = usize::from(area.width).saturating_sub(text::width(sign) + 1);
    let before = text::line(&input.before()).into_owned();
    let whole = text::line(&input.text()).into_owned();
    let mut hidden = 0;
    // The characters that have to go so that the cursor is still in the room.
    while text::width(before.get(hidden..).unwrap_or_default()) > room {
        let next = before.get(hidden..).and_then(|rest| rest.chars().next());
        hidden += next.map_or(1, char::len_utf8);
    }
    let shown = text::cut(whole.get(hidden..).unwrap_or_default(), room + 1).to_owned();
    let used = text::width(sign) + text::width(before.get(hidden..).unwrap_or_default());
    let line = Line::from(vec![Span::raw(sign), Span::raw(shown)]);
    frame.render_widget(Paragraph::new(line), area);
    let x = area
        .x
        .saturating_add(u16::try_from(used).unwrap_or(u16::MAX));
    frame.set_cursor_position(Position { x, y: area.y });
}
