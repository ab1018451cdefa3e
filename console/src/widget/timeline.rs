//! A time axis with lanes. Each mark is a sign; where several fall into one cell, a lane shows how many or
//! the weightiest.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::fit;
use crate::output::style::Style;
use crate::theme::Theme;
use crate::time::Zone;

/// Columns for the names of lanes.
const NAME_COLUMNS: usize = 9;

/// Columns between two times at least.
const TIME_COLUMNS: usize = 10;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Distances between times on the axis, as people count.
const STEPS: [i64; 22] = [
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    30 * DAY,
    365 * DAY,
];

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// When.
    pub(crate) time_ms: i64,
    /// Its sign, one column wide.
    pub(crate) sign: char,
    /// Which mark is shown where several meet: the highest.
    pub(crate) weight: u8,
    /// What it means.
    pub(crate) style: Style,
}

/// Marks of a kind.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Its name.
    pub(crate) name: &'static str,
    /// What happened.
    pub(crate) marks: Vec<Mark>,
    /// Whether several in a cell are counted.
    pub(crate) is_counted: bool,
    /// What is said where there are no marks; nothing where it is empty. Clean.
    pub(crate) otherwise: String,
}

/// From and until.
pub(crate) type Stretch = (i64, i64);

/// Draws the lanes and the times below them.
pub(crate) fn draw(
    lanes: &[Lane],
    (stretch, zone): (Stretch, &Zone),
    theme: Theme,
    frame: &mut Frame,
    area: Rect,
) {
    let columns = usize::from(area.width).saturating_sub(NAME_COLUMNS);
    let faint = theme.look(Style::Faint);
    let mut lines = Vec::new();
    for lane in lanes {
        let mut spans = vec![name(lane.name, theme)];
        if lane.marks.is_empty() && !lane.otherwise.is_empty() {
            spans.push(fit(&lane.otherwise, columns, faint));
            lines.push(Line::from(spans));
            continue;
        }
        for cell in cells(lane, stretch, columns) {
            spans.push(match cell {
                Some((sign, style)) => Span::styled(sign.to_string(), theme.look(style)),
                None => Span::styled("·", faint),
            });
        }
        lines.push(Line::from(spans));
    }
    let times = times(stretch, columns, zone);
    let zone = match zone {
        Zone::Utc => "UTC",
        Zone::Local(_) => "local",
        Zone::Person(..) => "person's",
    };
    lines.push(Line::from(vec![
        name(zone, theme),
        Span::styled(times, faint),
    ]));
    frame.render_widget(Paragraph::new(lines), area);
}

fn name(name: &str, theme: Theme) -> Span<'static> {
    let mut span = fit(name, NAME_COLUMNS - 1, theme.look(Style::Faint));
    span.content = format!("{:<NAME_COLUMNS$}", span.content).into();
    span
}

/// The column of a time; none outside.
fn place(time_ms: i64, stretch: Stretch, columns: usize) -> Option<usize> {
    let (from, until) = (i128::from(stretch.0), i128::from(stretch.1));
    let time = i128::from(time_ms);
    if columns == 0 || until <= from || !(from..=until).contains(&time) {
        return None;
    }
    let last = i128::try_from(columns - 1).ok()?;
    usize::try_from((time - from) * last / (until - from)).ok()
}

/// What each cell of a lane shows.
fn cells(lane: &Lane, stretch: Stretch, columns: usize) -> Vec<Option<(char, Style)>> {
    let mut best: Vec<Option<(Mark, u32)>> = vec![None; columns];
    for mark in &lane.marks {
        let at = place(mark.time_ms, stretch, columns);
        let Some(cell) = at.and_then(|at| best.get_mut(at)) else {
            continue;
        };
        *cell = Some(match *cell {
            Some((known, n)) if known.weight >= mark.weight => (known, n + 1),
            Some((_, n)) => (*mark, n + 1),
            None => (*mark, 1),
        });
    }
    let shown = best.into_iter().map(|cell| {
        cell.map(|(mark, n)| {
            let sign = match n {
                2.. if lane.is_counted => char::from_digit(n, 10).unwrap_or('+'),
                _ => mark.sign,
            };
            (sign, mark.style)
        })
    });
    let mut shown: Vec<_> = shown.collect();
    let is_before = lane.marks.iter().any(|mark| mark.time_ms < stretch.0);
    let is_after = lane.marks.iter().any(|mark| mark.time_ms > stretch.1);
    if let Some(first) = shown.first_mut().filter(|cell| cell.is_none() && is_before) {
        *first = Some(('<', Style::Faint));
    }
    if let Some(last) = shown.last_mut().filter(|cell| cell.is_none() && is_after) {
        *last = Some(('>', Style::Faint));
    }
    shown
}

/// Round times in the stretch, so many at most, and how they are called.
pub(crate) fn ticks(stretch: Stretch, room: usize, zone: &Zone) -> Vec<(i64, String)> {
    let span = stretch.1.saturating_sub(stretch.0);
    let room = i64::try_from(room.max(1)).unwrap_or(1);
    let step = STEPS.into_iter().find(|step| span / step <= room);
    let step = step.unwrap_or(365 * DAY);
    // Round in the zone, not in UTC.
    let ahead = zone.ahead_ms(stretch.0);
    let from = stretch.0.saturating_add(ahead);
    let mut time = (from.div_euclid(step))
        .saturating_add(1)
        .saturating_mul(step)
        .saturating_sub(ahead);
    let mut ticks = Vec::new();
    for _ in 0..=room {
        if time > stretch.1 {
            break;
        }
        ticks.push((time, label(time, step, zone)));
        time = time.saturating_add(step);
    }
    ticks
}

/// The line of times.
fn times(stretch: Stretch, columns: usize, zone: &Zone) -> String {
    let mut line = String::new();
    for (time, label) in ticks(stretch, columns / TIME_COLUMNS, zone) {
        let Some(at) = place(time, stretch, columns) else {
            break;
        };
        let used = line.chars().count();
        if at >= used && at + label.len() <= columns {
            line.push_str(&" ".repeat(at - used));
            line.push_str(&label);
            line.push(' ');
        }
    }
    line
}

fn label(time_ms: i64, step: i64, zone: &Zone) -> String {
    let whole = zone.second(time_ms);
    let part = match step {
        ..MINUTE => whole.get(11..19),
        MINUTE..DAY => whole.get(11..16),
        _ => whole.get(..10),
    };
    part.unwrap_or(&whole).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(time_ms: i64, sign: char, weight: u8) -> Mark {
        Mark {
            time_ms,
            sign,
            weight,
            style: Style::Plain,
        }
    }

    fn shown(marks: Vec<Mark>, is_counted: bool) -> String {
        let lane = Lane {
            name: "x",
            marks,
            is_counted,
            otherwise: String::new(),
        };
        let cells = cells(&lane, (0, 900), 10).into_iter();
        cells
            .map(|cell| cell.map_or('.', |(sign, _)| sign))
            .collect()
    }

    #[test]
    fn marks_stand_where_they_happened_and_the_weightiest_wins() {
        let marks = vec![
            mark(0, 'd', 1),
            mark(10, 'A', 3),
            mark(900, 'e', 1),
            mark(901, 'n', 9),
        ];
        assert_eq!(shown(marks.clone(), false), "A........e");
        assert_eq!(shown(marks, true), "2........e");
    }

    #[test]
    fn what_is_beyond_an_end_is_hinted_at() {
        let marks = vec![mark(-5, 'd', 1), mark(500, 'd', 1), mark(901, 'd', 1)];
        assert_eq!(shown(marks, false), "<....d...>");
    }

    #[test]
    fn many_in_a_cell_are_many() {
        let marks = (0..50).map(|n| mark(n, 'p', 1)).collect();
        assert_eq!(shown(marks, true), "+.........");
    }

    #[test]
    fn times_are_round_and_stand_where_they_are() {
        let night = 1_795_486_200_000;
        let line = times((night, night + 40 * MINUTE), 70, &Zone::Utc);
        assert_eq!(
            line.trim_end(),
            "                 02:20            02:30            02:40"
        );
    }

    #[test]
    fn a_stretch_that_makes_no_sense_has_no_marks() {
        for stretch in [(5, 5), (9, 1), (i64::MIN, i64::MAX)] {
            let line = times(stretch, 40, &Zone::Utc);
            assert!(line.chars().count() <= 41, "{line}");
            assert!(place(i64::MAX, stretch, 0).is_none());
        }
    }
}
