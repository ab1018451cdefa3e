//! Pieces that screens are made of. They draw what they are given and change nothing.
//!
//! Text comes in as it is in messages; whatever is put into a [`Span`] is made by [`span`] or [`fit`], which
//! clean it.

pub(crate) mod bars;
pub(crate) mod popup;
pub(crate) mod status_line;
pub(crate) mod table;
pub(crate) mod text_input;
pub(crate) mod timeline;

use ratatui::style::Style as Look;
use ratatui::text::{Line, Span};

use crate::text;

/// Any text on one line, clean.
pub(crate) fn span(any: &str, look: Look) -> Span<'static> {
    Span::styled(text::line(any).into_owned(), look)
}

/// Any text in so many columns, clean.
pub(crate) fn fit(any: &str, columns: usize, look: Look) -> Span<'static> {
    Span::styled(text::fit(any, columns).into_owned(), look)
}

/// Any text, clean, broken into lines of so many columns, the first with this before it and the others
/// with as much room.
pub(crate) fn wrapped(
    before: Span<'static>,
    any: &str,
    columns: usize,
    look: Look,
) -> Vec<Line<'static>> {
    let indent = before.width();
    let mut before = Some(before);
    let pieces = text::wrap(&text::line(any), columns.saturating_sub(indent));
    let lines = pieces.into_iter().map(|piece| {
        let first = before.take();
        let first = first.unwrap_or_else(|| Span::raw(" ".repeat(indent)));
        Line::from(vec![first, Span::styled(piece, look)])
    });
    lines.collect()
}

/// The first row that is shown so that the selected one is in the middle where that is possible.
pub(crate) fn first_row(selected: usize, rows: usize, room: usize) -> usize {
    selected
        .saturating_sub(room / 2)
        .min(rows.saturating_sub(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selected_row_is_always_shown() {
        for rows in 0..20 {
            for room in 1..10 {
                for selected in 0..rows {
                    let first = first_row(selected, rows, room);
                    assert!((first..first + room).contains(&selected));
                }
            }
        }
    }

    #[test]
    fn broken_lines_stand_below_each_other() {
        let lines = wrapped(Span::raw("a: "), "one two three", 8, Look::new());
        let lines: Vec<_> = lines.iter().map(Line::to_string).collect();
        assert_eq!(lines, ["a: one", "   two", "   three"]);
    }
}
