//! How far an endpoint's clock may have been off: measurements by the server's clock -> spans by the endpoint's.

use tocsin_correlate::TimeSpan;
use tocsin_correlate::fact::ClockSpan;

use super::Window;
use crate::store::trust::ClockSkewRow;

/// How long a measurement says something of the time after it, where none follows.
const REACH_MS: i64 = 3_600_000;

/// How far a clock that nobody keeps drifts in that time, at most: 500 millionths.
const DRIFT_MS: i64 = REACH_MS / 2_000;

/// The spans of rows that are in order, within the window. What lies between two rows and within the reach of the
/// first may be off as far as either says; nothing is said of the time before a first measurement.
pub(super) fn clock(rows: &[ClockSkewRow], window: Window) -> Vec<ClockSpan> {
    let mut spans = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        // By the server's clock; to the endpoint's: plus the skew, which lies between min and max.
        push(
            &mut spans,
            window,
            (row.from_ms, row.until_ms),
            (row.min_ms, row.max_ms),
        );
        let next = rows.get(index + 1);
        let reach_ms = row.until_ms.saturating_add(REACH_MS);
        let (until_ms, min_ms, max_ms) = match next {
            Some(next) if next.from_ms <= reach_ms => (
                next.from_ms,
                row.min_ms.min(next.min_ms),
                row.max_ms.max(next.max_ms),
            ),
            _ => (reach_ms, row.min_ms, row.max_ms),
        };
        let wide = (
            min_ms.saturating_sub(DRIFT_MS),
            max_ms.saturating_add(DRIFT_MS),
        );
        if until_ms > row.until_ms {
            push(&mut spans, window, (row.until_ms, until_ms), wide);
        }
    }
    spans
}

fn push(
    spans: &mut Vec<ClockSpan>,
    window: Window,
    server_ms: (i64, i64),
    (min_ms, max_ms): (i64, i64),
) {
    // Wider by what is not known of it: both ends of neighbours touch.
    let span = TimeSpan {
        from_ms: server_ms.0.saturating_add(min_ms),
        until_ms: server_ms.1.saturating_add(max_ms),
    };
    if let Some(span) = window.clip(span) {
        spans.push(ClockSpan {
            span,
            ahead_min_ms: max_ms.saturating_neg(),
            ahead_max_ms: min_ms.saturating_neg(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        from_ms: 0,
        until_ms: 100 * REACH_MS,
    };

    fn row(from_ms: i64, until_ms: i64, min_ms: i64, max_ms: i64) -> ClockSkewRow {
        ClockSkewRow {
            from_ms,
            until_ms,
            min_ms,
            max_ms,
        }
    }

    fn told(rows: &[ClockSkewRow]) -> Vec<(i64, i64, i64, i64)> {
        let of = |one: &ClockSpan| {
            let span = one.span;
            (
                span.from_ms,
                span.until_ms,
                one.ahead_min_ms,
                one.ahead_max_ms,
            )
        };
        clock(rows, WINDOW).iter().map(of).collect()
    }

    #[test]
    fn a_measurement_reaches_an_hour_further_and_wider() {
        // The endpoint is 90 s ahead: to its times so much is to be added as is negative.
        let spans = told(&[row(1_000_000, 1_060_000, 90_000, 90_010)]);
        assert_eq!(
            spans,
            [
                (1_090_000, 1_150_010, -90_010, -90_000),
                (1_148_200, 1_060_000 + REACH_MS + 91_810, -91_810, -88_200),
            ]
        );
    }

    #[test]
    fn between_two_measurements_either_may_hold_and_a_long_pause_is_unknown() {
        let spans = told(&[
            row(1_000_000, 2_000_000, 0, 5),
            row(3_000_000, 3_000_001, -50, -40),
        ]);
        assert_eq!(spans[1].2, -(5 + DRIFT_MS));
        assert_eq!(spans[1].3, 50 + DRIFT_MS);
        assert!(spans[1].1 >= 3_000_000);
        let far = 5 * REACH_MS;
        let spans = told(&[row(1_000, 2_000, 0, 5), row(far, far, 0, 5)]);
        assert!(
            spans
                .iter()
                .all(|span| span.1 < 2 * REACH_MS || span.0 >= far - DRIFT_MS)
        );
    }

    #[test]
    fn what_lies_outside_of_the_window_is_not_told() {
        let narrow = Window {
            from_ms: 0,
            until_ms: 150,
        };
        assert!(clock(&[row(1_000, 2_000, 0, 5)], narrow).is_empty());
        let spans = clock(&[row(100, 2_000, 0, 5)], narrow);
        assert_eq!((spans.len(), spans[0].span.until_ms), (1, 150));
        assert!(clock(&[], narrow).is_empty());
    }
}
