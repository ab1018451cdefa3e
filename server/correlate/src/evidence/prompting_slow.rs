//! One or two prompts a day, over days.
//!
//! What fixed windows of minutes never see: too few at a time to look like anything, until one is
//! approved in passing.

use std::collections::BTreeSet;

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::DAY_MS;
use crate::case::{Case, event_ids};
use crate::sentence;

/// See the file.
pub(super) struct PromptingSlow;

const SPEC: Spec = Spec {
    kind: "prompting_slow",
    family: Family::Prompts,
    why: "prompts on several days that no sign-in of the person's own follows are somebody else's",
    base_rate: "at five authentications a day and 6.2 of 1000 ignored, three days with one in a row \
                happen to one person in 30,000",
};

/// Different days that it takes.
const DAYS_MIN: usize = 3;
/// From how many prompts on, which weight.
const WEIGHTS: [(usize, i32); 3] = [(3, 160), (5, 220), (8, 280)];

impl Evidence for PromptingSlow {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let days: BTreeSet<i64> = case
            .refusals
            .iter()
            .map(|item| item.time_ms.div_euclid(DAY_MS))
            .collect();
        if days.len() < DAYS_MIN {
            return None;
        }
        let weight = WEIGHTS
            .iter()
            .rev()
            .find(|(from, _)| case.refusals.len() >= *from)?
            .1;
        Some(Finding {
            weight: Weight(weight),
            summary: format!(
                "{} on {}",
                sentence::count(case.refusals.len(), "prompt"),
                sentence::count(days.len(), "different day")
            ),
            event_ids: event_ids(&case.refusals),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{find, weigh};
    use crate::story::Story;

    #[test]
    fn two_prompts_a_day_for_three_days_are_seen() {
        let mut story = Story::new().usual_sign_ins(10).attacker();
        for day in 12..15 {
            story = story.at(&format!("2026-03-{day} 08:00")).prompt();
            story = story.at(&format!("2026-03-{day} 17:00")).prompt();
        }
        let finding = find(&PromptingSlow, story).unwrap();
        assert_eq!(finding.weight, Weight(220));
        assert_eq!(finding.summary, "6 prompts on 3 different days");
    }

    #[test]
    fn a_burst_on_one_night_is_not_slow() {
        let mut story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 23:50")
            .attacker();
        for _ in 0..12 {
            story = story.prompt().denied().after_minutes(3);
        }
        assert_eq!(weigh(&PromptingSlow, story), 0);
    }
}
