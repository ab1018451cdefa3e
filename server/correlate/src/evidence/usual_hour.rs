//! Against: every prompt came at an hour at which the person signs in.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::Standing;
use crate::case::{Case, event_ids};
use crate::sentence;

/// See the file.
pub(super) struct UsualHour;

const SPEC: Spec = Spec {
    kind: "usual_hour",
    family: Family::Presence,
    why: "people are prompted when they work; attackers choose the same hours often enough that it says little",
    base_rate: "nearly all harmless refusals",
};

const WEIGHT: Weight = Weight(-20);

impl Evidence for UsualHour {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let is_usual = case
            .refusals
            .iter()
            .all(|item| item.hour == Standing::Usual);
        if case.refusals.is_empty() || !is_usual {
            return None;
        }
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "{} at hours at which this person signs in",
                sentence::count(case.refusals.len(), "prompt")
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

    #[test]
    fn at_work_and_at_night() {
        let known = Story::new().usual_sign_ins(10).attacker();
        assert_eq!(
            weigh(
                &UsualHour,
                known.clone().at("2026-03-12 09:30").prompt().denied()
            ),
            -20
        );
        assert_eq!(
            weigh(&UsualHour, known.at("2026-03-12 02:30").prompt().denied()),
            0
        );
    }
}
