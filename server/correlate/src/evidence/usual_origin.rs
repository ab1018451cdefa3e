//! Against: all of it came from the person's usual place and device, or at least from their device.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::Standing;
use crate::case::{Case, event_ids};
use crate::input::MfaEventKind;
use crate::timeline::Item;

/// See the file.
pub(super) struct UsualOrigin;

const SPEC: Spec = Spec {
    kind: "usual_origin",
    family: Family::Origin,
    why: "an attacker with only the password is neither at the person's place nor on their machine",
    base_rate: "nearly all harmless refusals: people refuse and ignore prompts of their own sign-ins",
};

const BOTH: Weight = Weight(-250);
const DEVICE: Weight = Weight(-70);

impl Evidence for UsualOrigin {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        // What somebody else did says nothing of the person's place, and a report naturally comes from it.
        let own: Vec<_> = case
            .items
            .iter()
            .copied()
            .filter(|item| !item.is_by_other() && !item.is_kind(MfaEventKind::SuspiciousReported))
            .filter(|item| item.origin().ip.is_some())
            .collect();
        if own.is_empty() {
            return None;
        }
        let all = |keep: fn(&Item<'_>) -> bool| own.iter().all(|item| keep(item));
        let (weight, what) = if all(|item| item.is_usual()) {
            (
                BOTH,
                "everything came from this person's usual place and device",
            )
        } else if all(|item| item.device == Standing::Usual) {
            (
                DEVICE,
                "everything came from a device that this person uses",
            )
        } else {
            return None;
        };
        Some(Finding {
            weight,
            summary: what.to_owned(),
            event_ids: event_ids(&own),
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
    fn denials_on_the_own_machine_at_the_usual_place_speak_against() {
        assert_eq!(weigh(&UsualOrigin, known().prompt().denied()), BOTH.0);
    }

    #[test]
    fn the_own_machine_on_a_journey_speaks_a_little_against() {
        assert_eq!(
            weigh(&UsualOrigin, known().traveling().prompt().denied()),
            DEVICE.0
        );
    }

    #[test]
    fn that_a_report_comes_from_the_usual_place_says_nothing() {
        assert_eq!(
            weigh(
                &UsualOrigin,
                known().event(MfaEventKind::SuspiciousReported)
            ),
            0
        );
    }

    #[test]
    fn one_strange_prompt_among_them_and_nothing_speaks_against() {
        let story = known()
            .prompt()
            .denied()
            .after_minutes(5)
            .attacker()
            .prompt()
            .denied();
        assert_eq!(weigh(&UsualOrigin, story), 0);
    }
}
