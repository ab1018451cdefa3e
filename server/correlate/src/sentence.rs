//! Words for evidence, titles and reasons: counts, lengths of time, places.
//!
//! Names and places in them are foreign text; whoever prints a sentence makes it safe.

use crate::attempt::AttemptResult;
use crate::baseline::{DAY_MS, HOUR_MS, MINUTE_MS};
use crate::input::Origin;

/// "1 prompt", "3 prompts".
pub(crate) fn count(n: usize, one: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {one}s")
    }
}

/// A length of time in the largest unit that says enough, whole ones as clocks count them: "40 minutes".
pub(crate) fn length(ms: i64) -> String {
    let whole = |unit_ms: i64| usize::try_from(ms / unit_ms).unwrap_or(0).max(1);
    if ms < 2 * MINUTE_MS {
        count(whole(1000), "second")
    } else if ms < 2 * HOUR_MS {
        count(whole(MINUTE_MS), "minute")
    } else if ms < 2 * DAY_MS {
        count(whole(HOUR_MS), "hour")
    } else {
        count(whole(DAY_MS), "day")
    }
}

/// Time of day: "02:10 UTC".
pub(crate) fn clock(time_ms: i64) -> String {
    let minutes = time_ms.div_euclid(MINUTE_MS).rem_euclid(24 * 60);
    format!("{:02}:{:02} UTC", minutes / 60, minutes % 60)
}

/// "203.0.113.9 (Porto, PT, AS64500)".
pub(crate) fn place(origin: &Origin) -> String {
    let ip = origin
        .ip
        .map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string());
    let mut details: Vec<String> = Vec::new();
    details.extend(origin.place.city.clone());
    details.extend(origin.place.country.clone());
    details.extend(origin.asn.map(|asn| format!("AS{asn}")));
    if details.is_empty() {
        ip
    } else {
        format!("{ip} ({})", details.join(", "))
    }
}

/// "7 denied, 9 unanswered".
pub(crate) fn results(results: impl IntoIterator<Item = AttemptResult>) -> String {
    let mut counts = [0_usize; RESULTS.len()];
    for result in results {
        if let Some(slot) = RESULTS
            .iter()
            .position(|(other, _)| *other == result)
            .and_then(|at| counts.get_mut(at))
        {
            *slot += 1;
        }
    }
    let parts: Vec<String> = RESULTS
        .iter()
        .zip(counts)
        .filter(|(_, n)| *n > 0)
        .map(|((_, word), n)| format!("{n} {word}"))
        .collect();
    parts.join(", ")
}

const RESULTS: [(AttemptResult, &str); 8] = [
    (AttemptResult::Denied, "denied"),
    (AttemptResult::Unanswered, "unanswered"),
    (AttemptResult::Abandoned, "abandoned"),
    (AttemptResult::FraudReported, "reported as fraud"),
    (AttemptResult::WrongNumber, "with a wrong number"),
    (AttemptResult::Error, "failed"),
    (AttemptResult::Prompted, "still open"),
    (AttemptResult::Approved, "approved"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_use_the_unit_that_says_enough() {
        for (ms, expect) in [
            (0, "1 second"),
            (90_000, "90 seconds"),
            (40 * MINUTE_MS, "40 minutes"),
            (40 * MINUTE_MS + 59_999, "40 minutes"),
            (3 * HOUR_MS, "3 hours"),
            (6 * DAY_MS - HOUR_MS, "5 days"),
        ] {
            assert_eq!(length(ms), expect);
        }
    }

    #[test]
    fn the_clock_is_right_before_1970_too() {
        assert_eq!(clock(2 * HOUR_MS + 10 * MINUTE_MS), "02:10 UTC");
        assert_eq!(clock(-MINUTE_MS), "23:59 UTC");
    }

    #[test]
    fn results_are_counted_in_a_fixed_order() {
        use AttemptResult::{Approved, Denied, Unanswered};
        assert_eq!(
            results([Approved, Unanswered, Denied, Unanswered]),
            "1 denied, 2 unanswered, 1 approved"
        );
    }
}
