//! Somebody else reset the password or the factors, and the person then signs in from elsewhere.
//!
//! The chain is followed by the account it is about, not by who did it: the help desk acts in good faith.
//! A phone that enrolls itself does so from its carrier's network, so an enrollment from elsewhere weighs
//! little until somebody signs in from there.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::Standing;
use crate::case::{Case, event_ids};
use crate::input::MfaEventKind;
use crate::sentence;
use crate::timeline::Item;

/// See the file.
pub(super) struct HelpDeskReset;

const SPEC: Spec = Spec {
    kind: "help_desk_reset",
    family: Family::Consequences,
    why: "a call to the help desk that moves the factors to another machine needs no prompt at all",
    base_rate: "resets are daily work; afterwards nearly all people sign in from their usual place",
};

/// Password and factors, then from a place that is not the person's.
const BOTH: Weight = Weight(350);
/// One of them, then from a place that is not the person's.
const ONE: Weight = Weight(250);
/// The same, where nothing is known of the person's places, or where nobody has signed in from there.
const BOTH_UNKNOWN: Weight = Weight(150);
const ONE_UNKNOWN: Weight = Weight(60);

impl Evidence for HelpDeskReset {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let resets = case.resets_by_others();
        let after = case.after_reset();
        let is_strange = |item: &&&Item<'_>| item.is_sign_in() && item.place == Standing::Unusual;
        let entry = after.iter().find(is_strange).or_else(|| after.first())?;
        let reset_ms = resets.iter().map(|item| item.time_ms).min()?;
        let password = resets
            .iter()
            .any(|item| item.is_kind(MfaEventKind::PasswordReset));
        let factors = resets
            .iter()
            .any(|item| !item.is_kind(MfaEventKind::PasswordReset));
        let is_unusual = entry.place == Standing::Unusual;
        let is_in = is_strange(&entry);
        let weight = match (is_in, password && factors) {
            (true, true) => BOTH,
            (true, false) => ONE,
            (false, true) => BOTH_UNKNOWN,
            (false, false) => ONE_UNKNOWN,
        };
        let what = match (password, factors) {
            (true, true) => "password and factors were reset",
            (true, false) => "the password was reset",
            _ => "factors were reset or bypassed",
        };
        let who = resets
            .iter()
            .find_map(|item| item.event()?.actor.as_ref())
            .map(|actor| {
                if actor.login.is_empty() {
                    &actor.kind
                } else {
                    &actor.login
                }
            })
            .filter(|who| !who.is_empty())
            .map_or_else(|| "somebody else".to_owned(), Clone::clone);
        let did = if entry.is_sign_in() {
            "a sign-in"
        } else {
            "an enrollment"
        };
        let mut items = resets;
        items.extend(&after);
        Some(Finding {
            weight,
            summary: format!(
                "{what} by {who}; {} later {did} from {}, {}",
                sentence::length((entry.end_ms() - reset_ms).max(0)),
                sentence::place(entry.origin()),
                if is_unusual {
                    "which is not usual for this person"
                } else {
                    "of which it is not known whether it is usual"
                }
            ),
            event_ids: event_ids(&items),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{find, weigh};
    use crate::story::Story;

    fn reset() -> Story {
        Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 14:00")
            .by_help_desk(MfaEventKind::PasswordReset)
            .by_help_desk(MfaEventKind::FactorReset)
            .after_minutes(4)
    }

    #[test]
    fn a_reset_and_then_a_sign_in_from_elsewhere_is_seen() {
        let story = reset().attacker().event(MfaEventKind::FactorEnrolled);
        let story = story.after_minutes(1).event(MfaEventKind::SessionStarted);
        let finding = find(&HelpDeskReset, story).unwrap();
        assert_eq!(finding.weight, BOTH);
        assert_eq!(
            finding.summary,
            "password and factors were reset by helpdesk@example.com; 5 minutes later a sign-in from \
             203.0.113.66 (Bucharest, RO, AS64666), which is not usual for this person"
        );
    }

    #[test]
    fn a_phone_that_enrolls_itself_from_elsewhere_weighs_less() {
        let story = reset().attacker().event(MfaEventKind::FactorEnrolled);
        assert_eq!(weigh(&HelpDeskReset, story), BOTH_UNKNOWN.0);
    }

    #[test]
    fn a_reset_and_then_a_sign_in_from_the_usual_place_is_not() {
        let story = reset()
            .event(MfaEventKind::FactorEnrolled)
            .after_minutes(2)
            .sign_in();
        assert_eq!(weigh(&HelpDeskReset, story), 0);
    }

    #[test]
    fn a_reset_that_the_person_made_is_not() {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 14:00");
        let story = story.attacker().event(MfaEventKind::FactorReset).sign_in();
        assert_eq!(weigh(&HelpDeskReset, story), 0);
    }
}
