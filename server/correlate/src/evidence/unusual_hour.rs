//! Prompts at an hour at which the person never signs in.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::Standing;
use crate::case::{Case, event_ids};
use crate::sentence;

/// See the file.
pub(super) struct UnusualHour;

const SPEC: Spec = Spec {
    kind: "unusual_hour",
    family: Family::Prompts,
    why: "attackers choose hours at which people are tired and alone, and live in other time zones",
    base_rate: "people work late now and then; a prompt nobody wanted at such an hour is rare",
};

const FEW: Weight = Weight(60);
const SOME: Weight = Weight(120);
/// Prompts from which on it is more than working late.
const SOME_FROM: usize = 3;

impl Evidence for UnusualHour {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let at_odd_hours: Vec<_> = case
            .refusals
            .iter()
            .copied()
            .filter(|item| item.hour == Standing::Unusual)
            .collect();
        let first = at_odd_hours.first()?;
        Some(Finding {
            weight: if at_odd_hours.len() >= SOME_FROM {
                SOME
            } else {
                FEW
            },
            summary: format!(
                "{} at hours at which this person does not sign in, the first at {}",
                sentence::count(at_odd_hours.len(), "prompt"),
                sentence::clock(first.time_ms)
            ),
            event_ids: event_ids(&at_odd_hours),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::story::Story;

    fn at(days_known: i64, time: &str) -> i32 {
        let story = Story::new().usual_sign_ins(days_known).at(time).attacker();
        weigh(&UnusualHour, story.prompt().denied())
    }

    #[test]
    fn a_prompt_at_night_is_seen_where_the_hours_are_known() {
        assert_eq!(at(10, "2026-03-12 02:10"), FEW.0);
    }

    #[test]
    fn a_prompt_in_office_hours_says_nothing() {
        assert_eq!(at(10, "2026-03-12 09:30"), 0);
    }

    #[test]
    fn nothing_is_said_of_a_person_whose_hours_are_not_known() {
        assert_eq!(at(2, "2026-03-12 02:10"), 0);
    }
}
