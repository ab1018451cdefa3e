//! Against: a few refusals, then a success from the same place and device soon after, where it is not
//! known whether they are usual.
//!
//! Where both are usual, the refusals are closed and are no evidence at all; where neither is, the
//! success confirms them. This is for people of whom little is known.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::{MINUTE_MS, same_device, same_place};
use crate::case::{Case, event_ids};
use crate::sentence;
use crate::timeline::MANY_AN_HOUR;

/// See the file.
pub(super) struct RetrySucceeded;

const SPEC: Spec = Spec {
    kind: "retry_succeeded",
    family: Family::Prompts,
    why: "people tap the wrong button, or miss the prompt, and try again at once",
    base_rate: "most refused prompts are followed by a success of the same person within minutes",
};

const WEIGHT: Weight = Weight(-150);
const SOON_MS: i64 = 10 * MINUTE_MS;

impl Evidence for RetrySucceeded {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        if case.refusals.len() >= MANY_AN_HOUR || !case.hostile.is_empty() {
            return None;
        }
        let last = case.refusals.last()?;
        let success = case.items.iter().copied().find(|item| {
            item.is_approval()
                && (0..=SOON_MS).contains(&(item.end_ms() - last.end_ms()))
                && same_place(item.origin(), last.origin())
                && same_device(item.origin(), last.origin())
        })?;
        let is_same = case
            .refusals
            .iter()
            .all(|item| same_place(item.origin(), success.origin()));
        if !is_same {
            return None;
        }
        let mut items = case.refusals.clone();
        items.push(success);
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "approved {} after the last refusal, from the same place and device",
                sentence::length(success.end_ms() - last.end_ms())
            ),
            event_ids: event_ids(&items),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::story::Story;

    #[test]
    fn a_retry_of_a_person_not_known_yet_speaks_against() {
        let story = Story::new().at("2026-03-12 09:00");
        let story = story
            .prompt()
            .denied()
            .prompt()
            .denied()
            .after_seconds(40)
            .prompt()
            .approved();
        assert_eq!(weigh(&RetrySucceeded, story), WEIGHT.0);
    }

    #[test]
    fn a_success_from_another_machine_does_not() {
        let story = Story::new()
            .at("2026-03-12 09:00")
            .attacker()
            .prompt()
            .denied();
        let story = story.home().after_seconds(40).prompt().approved();
        assert_eq!(weigh(&RetrySucceeded, story), 0);
    }

    #[test]
    fn a_success_after_many_does_not() {
        let mut story = Story::new().at("2026-03-12 09:00");
        for _ in 0..6 {
            story = story.prompt().denied().after_seconds(30);
        }
        assert_eq!(weigh(&RetrySucceeded, story.prompt().approved()), 0);
    }
}
