//! Bars over time, each made of parts that differ in their sign as well as in their colour.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::output::style::Style;
use crate::theme::Theme;

/// Parts of a bar, from the bottom up: sign, meaning, how much.
pub(crate) type Parts = [(char, Style, usize); 3];

/// Draws the bars side by side on the right of a scale. The highest takes all rows.
pub(crate) fn draw(bars: &[Parts], theme: Theme, frame: &mut Frame, area: Rect) {
    let rows = usize::from(area.height);
    let most = bars.iter().map(total).max().unwrap_or(0);
    let scale = most.to_string().len() + 1;
    let room = usize::from(area.width).saturating_sub(scale);
    let shown = bars.get(bars.len().saturating_sub(room)..).unwrap_or(bars);
    let faint = theme.look(Style::Faint);
    let lines = (1..=rows).rev().map(|row| {
        let label = match row {
            _ if row == rows => most.to_string(),
            1 => "0".to_owned(),
            _ => String::new(),
        };
        let label = format!("{label:>width$} ", width = scale - 1);
        let mut spans = vec![Span::styled(label, faint)];
        spans.extend(shown.iter().map(|bar| match cell(bar, row, (rows, most)) {
            Some((sign, style)) => Span::styled(sign.to_string(), theme.look(style)),
            None => Span::raw(" "),
        }));
        Line::from(spans)
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

fn total(parts: &Parts) -> usize {
    parts.iter().map(|(_, _, n)| *n).sum()
}

/// What stands in this row, from 1 at the bottom. Whatever there is one of is seen at the bottom.
fn cell(parts: &Parts, row: usize, (rows, most): (usize, usize)) -> Option<(char, Style)> {
    let height = (total(parts) * rows).div_ceil(most.max(1));
    if row > height {
        return None;
    }
    let mut left = ((row - 1) * most).checked_div(rows).unwrap_or(0);
    for (sign, style, n) in parts {
        if left < *n {
            return Some((*sign, *style));
        }
        left -= n;
    }
    let last = parts.iter().rev().find(|(_, _, n)| *n > 0);
    last.map(|(sign, style, _)| (*sign, *style))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(e: usize, h: usize, rows: usize, most: usize) -> String {
        let parts = [
            ('e', Style::High, e),
            ('?', Style::Plain, 0),
            ('h', Style::Good, h),
        ];
        let cells = (1..=rows).map(|row| cell(&parts, row, (rows, most)));
        cells
            .map(|cell| cell.map_or('.', |(sign, _)| sign))
            .collect()
    }

    #[test]
    fn a_bar_is_as_high_as_its_part_of_the_highest_and_one_is_seen() {
        assert_eq!(column(2, 2, 4, 4), "eehh");
        assert_eq!(column(1, 0, 4, 4), "e...");
        assert_eq!(column(1, 0, 4, 100), "e...");
        assert_eq!(column(0, 0, 4, 4), "....");
        assert_eq!(column(100, 100, 2, 200), "eh");
    }
}
