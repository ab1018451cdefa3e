//! The lines at the top and at the bottom: texts at both ends of a bar.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style as Look;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::fit;
use crate::text;

/// Draws a bar: any text on the left, and on the right as much as there is room for.
pub(crate) fn draw(
    left: (&str, Look),
    right: (&str, Look),
    bar: Look,
    frame: &mut Frame,
    area: Rect,
) {
    let room = usize::from(area.width).saturating_sub(2);
    let wanted = text::width(&text::line(right.0));
    let kept = room.saturating_sub(text::width(&text::line(left.0)) + 2);
    // What is on the right is worth at least a third.
    let right = fit(right.0, wanted.min(kept.max(room / 3)), right.1);
    let left = fit(left.0, room.saturating_sub(right.width() + 1), left.1);
    let gap = room.saturating_sub(left.width() + right.width());
    let line = Line::from(vec![
        Span::raw(" "),
        left,
        Span::raw(" ".repeat(gap)),
        right,
        Span::raw(" "),
    ]);
    frame.render_widget(Paragraph::new(line).style(bar), area);
}
