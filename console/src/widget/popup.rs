//! A box above a screen.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph};

use super::fit;
use crate::output::style::Style;
use crate::theme::Theme;

/// Columns of the frame.
const FRAME: u16 = 2;

/// Draws the frame in the middle of the area, with room for so many columns and rows where there is, and
/// returns the room.
pub(crate) fn draw(
    title: &str,
    (columns, rows): (u16, u16),
    theme: Theme,
    frame: &mut Frame,
    area: Rect,
) -> Rect {
    let width = columns.saturating_add(FRAME).min(area.width);
    let height = rows.saturating_add(FRAME).min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 3,
        width,
        height,
    };
    let columns = usize::from(width.saturating_sub(2 * FRAME));
    let title = fit(title, columns, theme.look(Style::Heading));
    let block = Block::bordered().title(Line::from(vec![" ".into(), title, " ".into()]));
    let inside = block.inner(place);
    frame.render_widget(Clear, place);
    frame.render_widget(block, place);
    inside
}

/// Draws lines into a box's room.
pub(crate) fn fill(lines: Vec<Line<'static>>, frame: &mut Frame, inside: Rect) {
    frame.render_widget(Paragraph::new(lines), inside);
}
