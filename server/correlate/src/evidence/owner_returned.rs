//! Against: after a reset by somebody else, the person signed in from their usual place and device.
//!
//! A reset that moves the factors to an attacker's machine locks the person out. Who still gets in at home
//! is who the factors were reset for. A bypass code locks nobody out, so the person's return says nothing of who used
//! it; nor does it explain what a stranger does after it.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::Standing;
use crate::case::{Case, event_ids};
use crate::input::MfaEventKind;
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
        let moves = |item: &&Item<'_>| !item.is_kind(MfaEventKind::BypassIssued);
        let reset = case.resets_by_others().into_iter().find(moves)?;
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
        let is_later = |item: &Item<'_>| item.time_ms > first.end_ms() && is_strangers(item);
        if case.items.iter().any(|item| is_later(item)) {
            return None;
        }
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

/// Somebody got in, or stays in, from a place that is not the person's and not on a machine of theirs.
fn is_strangers(item: &Item<'_>) -> bool {
    let is_entry = item.is_sign_in()
        || item.is_kind(MfaEventKind::SessionMoved)
        || item.is_kind(MfaEventKind::FactorEnrolled)
        || item.is_kind(MfaEventKind::DeviceEnrolled);
    is_entry
        && !item.is_by_other()
        && item.place == Standing::Unusual
        && item.device != Standing::Usual
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
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
    fn a_bypass_code_locks_nobody_out() {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 10:00");
        let story = story.by_help_desk(MfaEventKind::BypassIssued);
        let story = story.after_minutes(7).attacker().sign_in();
        let story = story.after_minutes(60).home().sign_in();
        assert_eq!(weigh(&OwnerReturned, story), 0);
    }

    #[test]
    fn what_a_stranger_does_after_the_return_is_not_explained_by_it() {
        let returned = reset().sign_in().after_minutes(300);
        let moved = returned.clone().attacker();
        let moved = moved.event(MfaEventKind::SessionMoved);
        assert_eq!(weigh(&OwnerReturned, moved), 0);
        let on_journey = returned.traveling().sign_in();
        assert_eq!(weigh(&OwnerReturned, on_journey), WEIGHT.0);
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
