//! A sign-in from where the person never was, prompts or none.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::Standing;
use crate::case::{Case, event_ids};
use crate::sentence;

/// See the file.
pub(super) struct ApprovalUnusualPlace;

const SPEC: Spec = Spec {
    kind: "approval_unusual_place",
    family: Family::Origin,
    why: "people travel and change providers, seldom together with a new machine",
    base_rate: "more than 1 in 100 sign-ins have a place that does not match; most are carrier networks",
};

const FOREIGN: Weight = Weight(180);
const COUNTRY: Weight = Weight(150);
const PLACE: Weight = Weight(60);

impl Evidence for ApprovalUnusualPlace {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let odd: Vec<_> = case
            .items
            .iter()
            .copied()
            .filter(|item| item.is_sign_in() && item.place == Standing::Unusual)
            .collect();
        let first = odd.first()?;
        let (weight, what) = if odd.iter().any(|item| item.is_foreign()) {
            (
                FOREIGN,
                "neither the place nor the device is usual for this person",
            )
        } else if odd.iter().any(|item| item.is_new_country) {
            (COUNTRY, "this person was never seen in that country")
        } else {
            (PLACE, "the place is not usual for this person")
        };
        Some(Finding {
            weight,
            summary: format!("a sign-in from {}: {what}", sentence::place(first.origin())),
            event_ids: event_ids(&odd),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::story::Story;

    fn known() -> Story {
        Story::new().usual_sign_ins(10).at("2026-03-12 09:00")
    }

    #[test]
    fn a_sign_in_from_a_strange_place_and_machine_is_seen() {
        assert_eq!(
            weigh(&ApprovalUnusualPlace, known().attacker().sign_in()),
            FOREIGN.0
        );
    }

    #[test]
    fn the_own_machine_in_a_new_country_is_seen_less() {
        assert_eq!(
            weigh(&ApprovalUnusualPlace, known().traveling().sign_in()),
            COUNTRY.0
        );
    }

    #[test]
    fn a_sign_in_from_the_usual_place_is_not() {
        let story = known().prompt().denied().after_minutes(90).sign_in();
        assert_eq!(weigh(&ApprovalUnusualPlace, story), 0);
    }
}
