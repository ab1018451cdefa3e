//! Against: after a reset by somebody else, the person signed in from their usual place and device.
//!
//! A reset that moves the factors to an attacker's machine locks the person out. Who still gets in at home
//! is who the factors were reset for.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::Standing;
use crate::case::{Case, event_ids};
use crate::sentence;
use crate::timeline::Item;

/// See the file.
pub(super) struct OwnerReturned;

const SPEC: Spec = Spec {
    kind: "owner_returned",
    family: Family::Consequences,
    why: "whom the factors were moved away from cannot sign in any more",
    base_rate: "nearly every reset that was asked for is followed by it within the day",
};

const WEIGHT: Weight = Weight(-320);
/// Prompts refused from which on the sign-in at home may be whoever prompted.
const REFUSED_MAX: usize = 2;

impl Evidence for OwnerReturned {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let reset = case.resets_by_others().into_iter().next()?;
        // What was there before the reset is not explained by who it was for.
        let is_earlier = |item: &&Item<'_>| {
            item.time_ms < reset.time_ms && item.place == Standing::Unusual && item.is_sign_in()
        };
        if !case.hostile.is_empty()
            || case.refusals.len() > REFUSED_MAX
            || case.items.iter().any(is_earlier)
        {
            return None;
        }
        let returns: Vec<_> = case
            .items
            .iter()
            .copied()
            .filter(|item| item.is_approval() && item.is_usual() && item.time_ms >= reset.time_ms)
            .collect();
        let first = returns.first()?;
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "{} after the reset this person signed in from their usual place and device",
                sentence::length(first.end_ms() - reset.time_ms)
            ),
            event_ids: event_ids(&returns),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::input::MfaEventKind;
    use crate::story::Story;

    fn reset() -> Story {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 10:00");
        story
            .by_help_desk(MfaEventKind::FactorReset)
            .after_minutes(8)
    }

    #[test]
    fn a_sign_in_at_home_after_a_reset_speaks_against() {
        let story = reset()
            .event(MfaEventKind::FactorEnrolled)
            .after_minutes(2)
            .sign_in();
        assert_eq!(weigh(&OwnerReturned, story), WEIGHT.0);
    }

    #[test]
    fn a_sign_in_from_elsewhere_does_not() {
        let story = reset()
            .attacker()
            .event(MfaEventKind::FactorEnrolled)
            .sign_in();
        assert_eq!(weigh(&OwnerReturned, story), 0);
    }

    #[test]
    fn what_was_strange_before_the_reset_stays_strange() {
        let story = Story::new().usual_sign_ins(10).at("2026-03-11 10:00");
        let story = story.attacker().sign_in().home().at("2026-03-12 10:00");
        let story = story.by_help_desk(MfaEventKind::PasswordReset);
        assert_eq!(weigh(&OwnerReturned, story.after_minutes(20).sign_in()), 0);
    }

    #[test]
    fn a_sign_in_at_home_without_a_reset_does_not() {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 10:00")
            .attacker();
        assert_eq!(
            weigh(&OwnerReturned, story.prompt().denied().home().sign_in()),
            0
        );
    }
}
