//! Against: a program on the person's own machine or phone asks by the clock, whatever the hour, and nobody answers.
//!
//! Beside [`client_loop`](super::client_loop), which looks at how many are not answered and is silent at hours that are not
//! the person's: who is asleep does not answer their mail program either, but the clock tells it apart from a person.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::attempt::AttemptResult;
use crate::baseline::{HOUR_MS, MINUTE_MS};
use crate::case::{Case, event_ids};
use crate::sentence;
use crate::timeline::{CHANGED_SOON_MS, Item};

/// See the file.
pub(super) struct FixedIntervals;

const SPEC: Spec = Spec {
    kind: "fixed_intervals",
    family: Family::Prompts,
    why: "programs try again by a timer, people do not; a script of somebody else's has neither the machine nor the place",
    base_rate: "a part of client_loop's one person in a hundred a month: programs that try again by a timer",
};

const WEIGHT: Weight = Weight(-200);
/// With fewer, chance makes equal intervals.
const COUNT_MIN: usize = 5;
/// Of ten intervals so many are the usual one, or a few of it with a prompt missing between.
const EQUAL_OF_TEN: usize = 8;
/// Prompts that may be missing in an interval, and one.
const STEPS_MAX: i64 = 3;
/// An interval is equal to another within one part in so many.
const TOLERANCE: i64 = 10;
/// Shorter ones are a person pressing a button again, longer ones are not told from chance.
const INTERVAL_MS: (i64, i64) = (MINUTE_MS, 4 * HOUR_MS);

impl Evidence for FixedIntervals {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let is_loop = |item: &&Item<'_>| item.is_own_client() && is_silent(item);
        if case.refusals.len() < COUNT_MIN || !case.refusals.iter().all(is_loop) {
            return None;
        }
        // Whoever sits at the machine and adds a factor next was no program.
        let last_ms = case.refusals.last()?.time_ms;
        let is_next = |item: &Item<'_>| {
            !item.is_by_other() && (0..=CHANGED_SOON_MS).contains(&(item.time_ms - last_ms))
        };
        if case.factor_changes.iter().any(|item| is_next(item)) {
            return None;
        }
        let times: Vec<i64> = case.refusals.iter().map(|item| item.time_ms).collect();
        let interval_ms = interval(&times)?;
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "{} came every {} from this person's own machine or phone, as of a program that tries again by a timer",
                sentence::count(case.refusals.len(), "prompt"),
                sentence::length(interval_ms)
            ),
            event_ids: event_ids(&case.refusals),
        })
    }
}

fn is_silent(item: &Item<'_>) -> bool {
    let result = item.attempt().map(|attempt| attempt.result);
    matches!(
        result,
        Some(AttemptResult::Unanswered | AttemptResult::Abandoned)
    )
}

/// The interval at which these sorted times come; `None` where they come at none.
fn interval(times: &[i64]) -> Option<i64> {
    let pauses: Vec<i64> = times
        .windows(2)
        .filter_map(|pair| Some(pair.last()? - pair.first()?))
        .collect();
    let mut sorted = pauses.clone();
    sorted.sort_unstable();
    let median = *sorted.get(sorted.len() / 2)?;
    if !(INTERVAL_MS.0..=INTERVAL_MS.1).contains(&median) {
        return None;
    }
    let is_equal = |pause: &&i64| {
        let steps = (**pause + median / 2) / median;
        (1..=STEPS_MAX).contains(&steps) && (**pause - steps * median).abs() <= median / TOLERANCE
    };
    let equal = pauses.iter().filter(is_equal).count();
    (equal * 10 >= pauses.len() * EQUAL_OF_TEN).then_some(median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::input::MfaEventKind;
    use crate::story::Story;

    /// Prompts with these pauses in minutes before each.
    fn asked(story: Story, minutes: &[i64], answer: MfaEventKind) -> Story {
        minutes.iter().fold(story, |story, minutes| {
            story.after_minutes(*minutes).prompt().event(answer)
        })
    }

    fn home(time: &str) -> Story {
        Story::new().usual_sign_ins(10).at(time)
    }

    const TIMER: &[i64] = &[0, 15, 15, 15, 30, 15, 15];
    const PERSON: &[i64] = &[0, 2, 19, 7, 44, 11, 3];

    #[test]
    fn a_mail_program_by_night_with_one_prompt_missing() {
        let night = asked(home("2026-03-12 02:00"), TIMER, MfaEventKind::Unanswered);
        assert_eq!(weigh(&FixedIntervals, night), -200);
    }

    #[test]
    fn a_person_a_stranger_and_denials_keep_no_time() {
        let kinds = [
            asked(home("2026-03-12 10:00"), PERSON, MfaEventKind::Unanswered),
            asked(
                home("2026-03-12 10:00").attacker(),
                TIMER,
                MfaEventKind::Unanswered,
            ),
            asked(home("2026-03-12 10:00"), TIMER, MfaEventKind::Denied),
            asked(
                home("2026-03-12 10:00"),
                &TIMER[..4],
                MfaEventKind::Unanswered,
            ),
        ];
        let enrolled = asked(home("2026-03-12 10:00"), TIMER, MfaEventKind::Unanswered)
            .after_minutes(9)
            .event(MfaEventKind::FactorEnrolled);
        assert_eq!(weigh(&FixedIntervals, enrolled), 0);
        for (number, story) in kinds.into_iter().enumerate() {
            assert_eq!(weigh(&FixedIntervals, story), 0, "story {number}");
        }
    }

    #[test]
    fn intervals_are_found_whatever_is_missing_and_never_below_a_minute() {
        assert_eq!(
            interval(&[0, 600_000, 1_210_000, 2_400_000, 3_000_000]),
            Some(610_000)
        );
        assert_eq!(interval(&[0, 5_000, 10_000, 15_000, 20_000]), None);
        assert_eq!(interval(&[]), None);
    }
}
