//! Refused prompts over hours, each far enough from the next that no hour holds many.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::HOUR_MS;
use crate::case::{Case, event_ids};
use crate::sentence;
use crate::timeline::most_within;

/// See the file.
pub(super) struct PromptingLong;

const SPEC: Spec = Spec {
    kind: "prompting_long",
    family: Family::Prompts,
    why: "one every ten minutes keeps below every count within ten minutes; nobody retries for half a day",
    base_rate: "6.2 of 1000 authentications are ignored: eight within twelve hours by chance do not happen",
};

const LONG_MS: i64 = 12 * HOUR_MS;
/// From how many within that time on, which weight.
const WEIGHTS: [(usize, i32); 2] = [(8, 200), (16, 280)];

impl Evidence for PromptingLong {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let times: Vec<i64> = case.refusals.iter().map(|item| item.time_ms).collect();
        let most = most_within(&times, LONG_MS).into_iter().max()?;
        let weight = WEIGHTS.iter().rev().find(|(from, _)| most >= *from)?.1;
        let in_an_hour = most_within(&times, HOUR_MS).into_iter().max()?;
        if in_an_hour * 2 > most {
            // A burst says it already.
            return None;
        }
        Some(Finding {
            weight: Weight(weight),
            summary: format!(
                "{} within twelve hours, never more than {in_an_hour} in one",
                sentence::count(most, "prompt")
            ),
            event_ids: event_ids(&case.refusals),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::story::Story;

    fn every(minutes: i64, times: usize) -> Story {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 10:00")
            .attacker();
        (0..times).fold(story, |story, _| {
            story.prompt().denied().after_minutes(minutes)
        })
    }

    #[test]
    fn one_every_ten_minutes_for_hours() {
        assert_eq!(weigh(&PromptingLong, every(11, 20)), 280);
        assert_eq!(weigh(&PromptingLong, every(20, 9)), 200);
    }

    #[test]
    fn a_burst_and_a_few_are_not() {
        assert_eq!(weigh(&PromptingLong, every(2, 20)), 0);
        assert_eq!(weigh(&PromptingLong, every(30, 5)), 0);
    }
}
