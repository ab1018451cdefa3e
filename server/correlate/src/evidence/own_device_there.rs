//! Against: a device of the person's was at the same place within some days of a sign-in on a strange machine.
//!
//! Who borrows a computer on a journey has their own phone with them. It says nothing where prompts were hostile or
//! the ways of signing in were changed, nor of a sign-in elsewhere.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::case::{Case, event_ids};
use crate::timeline::Item;

/// See the file.
pub(super) struct OwnDeviceThere;

const SPEC: Spec = Spec {
    kind: "own_device_there",
    family: Family::Origin,
    why: "somebody with a stolen password is not where the person's own phone or laptop signs in on a journey",
    base_rate: "half of those who sign in on a borrowed computer on leave use their phone there within some days",
};

const WEIGHT: Weight = Weight(-120);

impl Evidence for OwnDeviceThere {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let strange: Vec<&Item<'_>> = case.strange_sign_ins().collect();
        let mut items = Vec::with_capacity(strange.len());
        for item in &strange {
            // One that nothing vouches for is enough to be looked at.
            items.push(case.own_device_at(item)?);
        }
        items.first()?;
        items.extend(strange);
        Some(Finding {
            weight: WEIGHT,
            summary: "a phone or computer that this person uses signed in at the same place within a few days".to_owned(),
            event_ids: event_ids(&items),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::input::MfaEventKind;
    use crate::story::Story;

    fn borrowed() -> Story {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 10:00");
        story.borrowed_machine().sign_in().after_minutes(600)
    }

    #[test]
    fn a_borrowed_machine_where_the_own_one_comes_too_speaks_less() {
        let story = borrowed().traveling().sign_in();
        assert_eq!(weigh(&OwnDeviceThere, story.clone()), WEIGHT.0);
        let changed = story.borrowed_machine().event(MfaEventKind::FactorEnrolled);
        assert_eq!(weigh(&OwnDeviceThere, changed), 0);
        assert_eq!(weigh(&OwnDeviceThere, borrowed()), 0);
    }

    #[test]
    fn a_stranger_elsewhere_and_one_who_prompts_are_not_vouched_for() {
        let both = borrowed().traveling().sign_in().after_minutes(60);
        assert_eq!(weigh(&OwnDeviceThere, both.clone().attacker().sign_in()), 0);
        let prompted = both.attacker().prompt().denied();
        assert_eq!(weigh(&OwnDeviceThere, prompted), 0);
    }
}
