//! When a sign-in's traffic must have been there, and what the endpoint's clock makes of it.

use crate::attempt::Attempt;
use crate::baseline::MINUTE_MS;
use crate::fact::ClockSpan;
use crate::input::{MfaEvent, MfaEventKind, TimeSpan};

/// A password step lies at most so long before its prompt.
const PASSWORD_BEFORE_MS: i64 = 10 * MINUTE_MS;
/// And at most so long after it: some providers stamp the second step first.
const PASSWORD_AFTER_MS: i64 = 5_000;
/// Around a password step that is known: its request was on its way.
const STEP_MS: (i64, i64) = (10_000, 5_000);
/// Around a prompt without one: the password step was within the two minutes before.
const PROMPT_MS: (i64, i64) = (2 * MINUTE_MS, 5_000);
/// Providers' clocks against the server's: kept by NTP, rounded to the second.
const PROVIDER_CLOCK_MS: i64 = 2_000;

/// A clock that is further off than this is one that nobody keeps: what keeps clocks (NTP, Windows' time service) holds them
/// within a second or two, and puts right what is more. It may have been set at any time, also between two measurements,
/// so that what it says of a moment is no fact (docs/decisions/0006-correlation.md).
const KEPT_MS: i64 = 30_000;

/// Where traffic is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// By the provider's clock.
    pub window: TimeSpan,
    /// Whether a record of the password step gave it, or else the prompt.
    pub is_password: bool,
}

/// The anchor of an attempt: its password step where one of `passwords` (in time order) is its own, else its prompt.
pub(crate) fn anchor(attempt: &Attempt<'_>, passwords: &[&MfaEvent]) -> Anchor {
    let from_ms = attempt.time_ms.saturating_sub(PASSWORD_BEFORE_MS);
    let until_ms = attempt.time_ms.saturating_add(PASSWORD_AFTER_MS);
    let before = passwords.partition_point(|event| event.time_ms <= until_ms);
    let near = passwords.iter().take(before).rev();
    let step = near
        .take_while(|event| event.time_ms >= from_ms)
        .find(|event| is_of(event, attempt));
    let (time_ms, (before_ms, after_ms)) = match step {
        Some(event) => (event.time_ms, STEP_MS),
        None => (attempt.time_ms, PROMPT_MS),
    };
    Anchor {
        window: TimeSpan {
            from_ms: time_ms.saturating_sub(before_ms),
            until_ms: time_ms.saturating_add(after_ms),
        },
        is_password: step.is_some(),
    }
}

fn is_of(event: &MfaEvent, attempt: &Attempt<'_>) -> bool {
    if event.kind != MfaEventKind::PasswordAccepted || event.provider != attempt.provider {
        return false;
    }
    let equal = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    let same_ids = attempt.events.iter().any(|row| {
        equal(&row.flow.transaction, &event.flow.transaction)
            || equal(&row.flow.authentication, &event.flow.authentication)
            || equal(&row.flow.session, &event.flow.session)
    });
    same_ids || (event.origin.ip.is_some() && event.origin.ip == attempt.origin.ip)
}

/// What is to be added to an endpoint's time to get the provider's: not less than the one, not more than the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skew {
    pub min_ms: i64,
    pub max_ms: i64,
}

impl Skew {
    /// All endpoint times that may be within a provider's time.
    pub(crate) fn endpoint_span(self, window: TimeSpan) -> TimeSpan {
        TimeSpan {
            from_ms: window.from_ms.saturating_sub(self.max_ms),
            until_ms: window.until_ms.saturating_sub(self.min_ms),
        }
    }

    /// How far the clock is off that nobody keeps; `None` where it is one that somebody does.
    pub(crate) fn off_ms(self) -> Option<i64> {
        let farthest_ms = self
            .min_ms
            .saturating_add(PROVIDER_CLOCK_MS)
            .saturating_abs()
            .max(
                self.max_ms
                    .saturating_sub(PROVIDER_CLOCK_MS)
                    .saturating_abs(),
            );
        (farthest_ms > KEPT_MS).then_some(farthest_ms)
    }

    /// How uncertain the clock is.
    pub(crate) fn width_ms(self) -> i64 {
        self.max_ms.saturating_sub(self.min_ms)
    }
}

/// The skew around a window; `None` where no measurement covers all endpoint times that it may be.
pub(crate) fn skew(clock: &[ClockSpan], window: TimeSpan) -> Option<Skew> {
    let of = |span: &ClockSpan| Skew {
        min_ms: span.ahead_min_ms.saturating_sub(PROVIDER_CLOCK_MS),
        max_ms: span.ahead_max_ms.saturating_add(PROVIDER_CLOCK_MS),
    };
    let near: Vec<&ClockSpan> = clock
        .iter()
        .filter(|span| {
            span.ahead_min_ms <= span.ahead_max_ms
                && of(span).endpoint_span(window).overlaps(span.span)
        })
        .collect();
    let skew = Skew {
        min_ms: near.iter().map(|span| of(span).min_ms).min()?,
        max_ms: near.iter().map(|span| of(span).max_ms).max()?,
    };
    let spans = near.iter().map(|span| span.span);
    covers(spans, skew.endpoint_span(window)).then_some(skew)
}

/// Whether spans that touch or overlap cover all of another.
pub(crate) fn covers(spans: impl Iterator<Item = TimeSpan>, target: TimeSpan) -> bool {
    let mut spans: Vec<TimeSpan> = spans.filter(|span| span.overlaps(target)).collect();
    spans.sort_unstable();
    let mut reached_ms = target.from_ms;
    for span in spans {
        if span.from_ms > reached_ms {
            return false;
        }
        reached_ms = reached_ms.max(span.until_ms);
        if reached_ms >= target.until_ms {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::Story;

    fn span(from_ms: i64, until_ms: i64) -> TimeSpan {
        TimeSpan { from_ms, until_ms }
    }

    #[test]
    fn touching_spans_cover_and_a_hole_does_not() {
        let target = span(10, 20);
        assert!(covers([span(15, 30), span(0, 15)].into_iter(), target));
        assert!(!covers([span(0, 14), span(16, 30)].into_iter(), target));
        assert!(!covers([span(0, 19)].into_iter(), target));
        assert!(!covers([].into_iter(), target));
    }

    #[test]
    fn the_skew_is_the_widest_near_the_window_and_unknown_without_a_measurement() {
        let clock = |from_ms, until_ms, ahead_min_ms, ahead_max_ms| ClockSpan {
            span: span(from_ms, until_ms),
            ahead_min_ms,
            ahead_max_ms,
        };
        let window = span(100_000, 110_000);
        let clocks = [
            clock(0, 105_000, -100, 100),
            clock(105_000, 300_000, 0, 500),
        ];
        let found = skew(&clocks, window).unwrap();
        assert_eq!((found.min_ms, found.max_ms), (-2_100, 2_500));
        assert_eq!(found.endpoint_span(window), span(97_500, 112_100));
        assert_eq!(skew(&clocks[..1], window), None);
        assert_eq!(skew(&[], window), None);
        assert_eq!(skew(&[clock(0, 300_000, 5, -5)], window), None);
    }

    #[test]
    fn the_password_step_is_the_anchor_and_not_the_push() {
        let of = |story: Story| {
            let input = story.input();
            let (events, _) = crate::input::normalize(&input.mfa_events);
            let attempts = crate::attempt::attempts(&events, &input.observed_until_ms);
            let found = anchor(attempts.last().unwrap(), &events);
            (found, attempts.last().unwrap().time_ms)
        };
        let story = || Story::new().at("2026-03-10 09:00");
        let told = story()
            .event(MfaEventKind::PasswordAccepted)
            .after_seconds(240);
        let (found, prompt_ms) = of(told.prompt());
        assert!(found.is_password && found.window.until_ms == prompt_ms - 235_000);
        let (found, prompt_ms) = of(story().prompt());
        assert!(!found.is_password && found.window == span(prompt_ms - 120_000, prompt_ms + 5_000));
        let other = story()
            .attacker()
            .event(MfaEventKind::PasswordAccepted)
            .home();
        assert!(!of(other.after_seconds(30).prompt()).0.is_password);
    }
}
