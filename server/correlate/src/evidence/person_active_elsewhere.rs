//! The person's own session was unlocked and in use while a prompt came from another address.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::case::{Case, event_ids};
use crate::provenance::{Address, Presence, Traffic};
use crate::timeline::Item;

/// See the file.
pub(super) struct PersonActiveElsewhere;

const SPEC: Spec = Spec {
    kind: "person_active_elsewhere",
    family: Family::Presence,
    why: "a session in use at one address and a sign-in from another are rarely one person, but for a phone in hand",
    base_rate: "whenever somebody signs in on a phone over a carrier while working",
};

const WEIGHT: Weight = Weight(70);

impl Evidence for PersonActiveElsewhere {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let mut items: Vec<&Item<'_>> = Vec::new();
        let mut hostname = None;
        for (item, judged) in case.suspects() {
            let active = judged.sights.iter().find(|sight| {
                sight.facts.presence == Presence::InUse
                    && sight.facts.address == Address::Different
                    && sight.facts.traffic == Traffic::None
            });
            if let Some(sight) = active {
                items.push(item);
                hostname.get_or_insert(&sight.hostname);
            }
        }
        let hostname = hostname?;
        Some(Finding {
            weight: WEIGHT,
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
            WEIGHT.0
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
}
