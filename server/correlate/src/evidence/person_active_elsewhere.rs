//! The person's own session was unlocked and in use while a prompt came from another address.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::case::{Case, event_ids};
use crate::timeline::Item;

/// See the file.
pub(super) struct PersonActiveElsewhere;

const SPEC: Spec = Spec {
    kind: "person_active_elsewhere",
    family: Family::Presence,
    why: "a session in use at one address and a sign-in from another are rarely one person, but for a phone in hand",
    base_rate: "whenever somebody signs in on a phone over a carrier while working",
};

/// From another country, or from a place and machine that are both not the person's: not a phone in their hand.
const STRANGE: Weight = Weight(160);
const PLAIN: Weight = Weight(70);

impl Evidence for PersonActiveElsewhere {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let mut items: Vec<&Item<'_>> = Vec::new();
        let mut hostname = None;
        for (item, sight) in case.while_in_use_elsewhere() {
            items.push(item);
            hostname.get_or_insert(&sight.hostname);
        }
        let hostname = hostname?;
        let is_strange =
            |item: &&Item<'_>| item.is_new_country || (item.is_foreign() && !item.is_mobile());
        Some(Finding {
            weight: if items.iter().any(is_strange) {
                STRANGE
            } else {
                PLAIN
            },
            summary: format!(
                "a session of this person on {hostname} was unlocked and in use while the prompt came from another address"
            ),
            event_ids: event_ids(&items),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::fact::{SessionLock, SessionUse};
    use crate::scene::{porto, session};
    use crate::story::Story;

    fn of(story: Story, lock: SessionLock, activity: SessionUse) -> i32 {
        let mut endpoint = porto(10);
        endpoint.facts.sessions.push(session(lock, Some(activity)));
        weigh(&PersonActiveElsewhere, story.endpoint(endpoint))
    }

    fn at_noon() -> Story {
        Story::new().usual_sign_ins(10).at("2026-03-12 12:00")
    }

    #[test]
    fn work_at_home_while_the_prompt_comes_from_elsewhere_is_seen() {
        let story = || at_noon().attacker().prompt().denied();
        assert_eq!(
            of(story(), SessionLock::Unlocked, SessionUse::Busy),
            STRANGE.0
        );
        assert_eq!(of(story(), SessionLock::Unlocked, SessionUse::Idle), 0);
        assert_eq!(of(story(), SessionLock::Locked, SessionUse::Busy), 0);
    }

    #[test]
    fn a_prompt_from_the_same_address_is_not() {
        assert_eq!(
            of(
                at_noon().prompt().denied(),
                SessionLock::Unlocked,
                SessionUse::Busy
            ),
            0
        );
    }
    #[test]
    fn a_phone_in_a_country_where_this_person_never_was_is_no_phone_in_their_hand() {
        let story = at_noon().attacker_on_phone();
        assert_eq!(
            of(story.sign_in(), SessionLock::Unlocked, SessionUse::Busy),
            STRANGE.0
        );
    }
}
