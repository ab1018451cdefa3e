//! Prompts over time, by where the sign-in was made: those of the worst open incidents, until the newest.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use tocsin_proto::console::v1::{Attempt, ProvenanceVerdict};

use super::{freshness, heading};
use crate::output::style::Style;
use crate::state::story::{provenance, provenance_sign};
use crate::state::{COUNTED_MAX, State};
use crate::time::Length;
use crate::widget::bars::{self, Parts};
use crate::widget::span;

/// Rows of the bars, the line above and the one below.
pub(super) const ROWS: u16 = 7;

/// What a bar counts at least; more where the prompts are further apart than there is room.
const MINUTE_MS: i64 = 60_000;

/// Columns for the scale.
const SCALE: usize = 4;

const VERDICTS: [ProvenanceVerdict; 3] = [
    ProvenanceVerdict::Elsewhere,
    ProvenanceVerdict::Unknown,
    ProvenanceVerdict::Here,
];

/// Draws them.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect) {
    let rows = [
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ];
    let [top, body, bottom] = Layout::vertical(rows).areas(area);
    let attempts = state.attempts.value().map_or(&[][..], Vec::as_slice);
    let columns = usize::from(area.width).saturating_sub(SCALE);
    let (bars, step_ms, last_ms) = count(attempts, columns);
    let mut said = freshness(&state.attempts, state);
    if said.0.is_empty() {
        let step = Length {
            ms: step_ms.unsigned_abs(),
        };
        let n = state.incidents.worst().take(COUNTED_MAX).count();
        let n = crate::command::count(n as u64, "open incident");
        said.0 = format!("per {step}, of {n}: e elsewhere  ? unknown  h here");
    }
    frame.render_widget(Paragraph::new(heading("Prompts", &said, state)), top);
    if bars.is_empty() {
        return;
    }
    bars::draw(&bars, state.theme, frame, body);
    let first_ms = last_ms.saturating_sub(step_ms.saturating_mul(bars.len() as i64 - 1));
    let (first, last) = (state.zone.minute(first_ms), state.zone.minute(last_ms));
    let gap = (bars.len() + 2).saturating_sub(first.len() + last.len());
    let times = match gap {
        0 => last,
        _ => format!("  {first}{}{last}", " ".repeat(gap)),
    };
    let faint = state.theme.look(Style::Faint);
    frame.render_widget(Paragraph::new(Line::from(span(&times, faint))), bottom);
}

/// The bars, how long each is, and when the last begins; so many at most.
fn count(attempts: &[Attempt], columns: usize) -> (Vec<Parts>, i64, i64) {
    let times = attempts.iter().map(|attempt| attempt.time_ms);
    let times = times.filter(|time_ms| *time_ms > 0);
    let (Some(first), Some(last), true) = (times.clone().min(), times.max(), columns > 0) else {
        return (Vec::new(), MINUTE_MS, 0);
    };
    let minutes = last.saturating_sub(first) / MINUTE_MS + 2;
    let columns = i64::try_from(columns).unwrap_or(i64::MAX);
    let step_ms = (minutes / columns + 1).saturating_mul(MINUTE_MS);
    let last_ms = last.div_euclid(step_ms).saturating_mul(step_ms);
    let bars = (last_ms - first.div_euclid(step_ms).saturating_mul(step_ms)) / step_ms + 1;
    let none = VERDICTS.map(|verdict| {
        let (sign, style) = provenance_sign(verdict);
        (sign, style, 0)
    });
    let mut all = vec![none; usize::try_from(bars).unwrap_or(0)];
    for attempt in attempts.iter().filter(|attempt| attempt.time_ms > 0) {
        let back =
            (last_ms - attempt.time_ms.div_euclid(step_ms).saturating_mul(step_ms)) / step_ms;
        let verdict = provenance(attempt);
        let part = VERDICTS.iter().position(|one| *one == verdict);
        let bar = usize::try_from(bars - 1 - back).ok();
        let bar = bar.and_then(|bar| all.get_mut(bar));
        if let Some((_, _, n)) = bar.zip(part).and_then(|(bar, part)| bar.get_mut(part)) {
            *n += 1;
        }
    }
    (all, step_ms, last_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(times: &[i64]) -> Vec<Attempt> {
        let attempt = |time_ms: &i64| Attempt {
            time_ms: *time_ms,
            ..Attempt::default()
        };
        times.iter().map(attempt).collect()
    }

    #[test]
    fn every_prompt_is_counted_once_in_as_many_bars_as_there_is_room_for() {
        let far = at(&[
            60_000,
            61_000,
            120_000,
            400 * MINUTE_MS,
            90 * 1440 * MINUTE_MS,
        ]);
        for columns in [1, 2, 7, 76, 1000] {
            let (bars, step_ms, _) = count(&far, columns);
            assert!(bars.len() <= columns, "{columns}");
            assert_eq!(step_ms % MINUTE_MS, 0);
            let n: usize = bars.iter().flatten().map(|(_, _, n)| n).sum();
            assert_eq!(n, 5, "{columns}");
        }
        let (bars, step_ms, last_ms) = count(&at(&[60_000, 61_000, 180_000]), 76);
        assert_eq!((bars.len(), step_ms, last_ms), (3, MINUTE_MS, 180_000));
        assert_eq!(bars[0][1], ('?', Style::Plain, 2));
    }

    #[test]
    fn times_that_make_no_sense_do_no_harm() {
        for times in [
            &[][..],
            &[0],
            &[-5],
            &[i64::MAX],
            &[1, i64::MAX],
            &[i64::MIN],
        ] {
            let (bars, ..) = count(&at(times), 76);
            assert!(bars.len() <= 76);
        }
    }
}
