//! How long ago something was, in words that hold for a while: a screen on which nothing moves is not drawn again and
//! again for the sake of a second. Where it matters more exactly, a screen shows the time itself beside it.

use std::cell::Cell;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Up to an hour ages grow by so much, up to [`HOURS_UNTIL_MS`] by hours, then by days.
const STEP_MS: i64 = 5 * MINUTE_MS;
const HOURS_UNTIL_MS: i64 = 2 * DAY_MS;

/// The ages that are on the screen, as far as it matters when the next of them grows. What draws an age notes it here,
/// and whoever has drawn waits for it.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    next_ms: Cell<Option<i64>>,
}

impl Ages {
    /// None is on the screen any more.
    pub(crate) fn forget(&self) {
        self.next_ms.set(None);
    }

    /// When the next of them grows; none where there is none.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.next_ms.get()
    }

    /// How long ago that was, which is drawn now.
    pub(crate) fn ago(&self, time_ms: i64, now_ms: i64) -> String {
        if time_ms == 0 {
            return "never".to_owned();
        }
        let age_ms = now_ms.saturating_sub(time_ms).max(0);
        let (step_ms, said) = match age_ms {
            ..STEP_MS => (STEP_MS, "<5 min ago".to_owned()),
            STEP_MS..HOUR_MS => (
                STEP_MS,
                format!("{} min ago", age_ms / STEP_MS * STEP_MS / MINUTE_MS),
            ),
            HOUR_MS..HOURS_UNTIL_MS => (HOUR_MS, format!("{} h ago", age_ms / HOUR_MS)),
            _ => (DAY_MS, format!("{} d ago", age_ms / DAY_MS)),
        };
        let grows_ms = now_ms.saturating_add(step_ms - age_ms % step_ms);
        let next_ms = self
            .next_ms
            .get()
            .map_or(grows_ms, |next| next.min(grows_ms));
        self.next_ms.set(Some(next_ms));
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_said_in_steps_and_it_is_known_when_the_next_one_comes() {
        let now_ms = 100 * DAY_MS;
        for (age_ms, said, until_ms) in [
            (0, "<5 min ago", STEP_MS),
            (-9, "<5 min ago", STEP_MS),
            (STEP_MS - 1, "<5 min ago", 1),
            (STEP_MS, "5 min ago", STEP_MS),
            (HOUR_MS - 1, "55 min ago", 1),
            (HOUR_MS, "1 h ago", HOUR_MS),
            (HOURS_UNTIL_MS - 2, "47 h ago", 2),
            (HOURS_UNTIL_MS, "2 d ago", DAY_MS),
        ] {
            let ages = Ages::default();
            assert_eq!(ages.ago(now_ms - age_ms, now_ms), said);
            assert_eq!(ages.next_ms(), Some(now_ms + until_ms), "{said}");
        }
    }

    #[test]
    fn the_next_of_several_counts_and_what_never_was_does_not_grow() {
        let ages = Ages::default();
        assert_eq!(ages.ago(0, DAY_MS), "never");
        assert_eq!(ages.next_ms(), None);
        ages.ago(DAY_MS - HOUR_MS, DAY_MS);
        ages.ago(DAY_MS - 1, DAY_MS);
        assert_eq!(ages.next_ms(), Some(DAY_MS - 1 + STEP_MS));
        ages.forget();
        assert_eq!(ages.next_ms(), None);
    }
}
