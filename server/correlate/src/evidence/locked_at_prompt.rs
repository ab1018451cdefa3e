//! All of the person's endpoints were locked, logged off, off or asleep at a prompt, and showed no sign-in traffic.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::case::{Case, event_ids};
use crate::timeline::Item;

/// See the file.
pub(super) struct LockedAtPrompt;

const SPEC: Spec = Spec {
    kind: "locked_at_prompt",
    family: Family::Presence,
    why: "nobody signs in at a machine that is locked or asleep; mail clients that do so by themselves show a flow",
    base_rate: "as often as people sign in on a phone after work",
};

const WEIGHT: Weight = Weight(60);

impl Evidence for LockedAtPrompt {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let items: Vec<&Item<'_>> = case
            .suspects()
            .into_iter()
            .filter(|(item, judged)| item.is_refusal() && judged.is_away())
            .map(|(item, _)| item)
            .collect();
        if items.is_empty() {
            return None;
        }
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "every endpoint of this person was locked, logged off, off or asleep at {} of {} prompts, without sign-in traffic",
                items.len(),
                case.suspects().len()
            ),
            event_ids: event_ids(&items),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::fact::{PowerState, SessionLock};
    use crate::input::LinkedEndpoint;
    use crate::scene::{flow, porto, power, session, whole};
    use crate::story::{Story, ms};

    const AT: &str = "2026-03-12 02:10";

    fn of(change: impl FnOnce(&mut LinkedEndpoint)) -> i32 {
        let mut endpoint = porto(10);
        change(&mut endpoint);
        let story = Story::new()
            .usual_sign_ins(10)
            .at(AT)
            .attacker()
            .prompt()
            .denied();
        weigh(&LockedAtPrompt, story.endpoint(endpoint))
    }

    #[test]
    fn a_locked_or_sleeping_machine_is_seen() {
        assert_eq!(
            of(|e| e.facts.sessions.push(session(SessionLock::Locked, None))),
            WEIGHT.0
        );
        assert_eq!(
            of(|e| e.facts.power.push(power(PowerState::Asleep, whole(), true))),
            WEIGHT.0
        );
    }

    #[test]
    fn an_open_one_one_that_talks_and_one_that_is_not_watched_are_not() {
        assert_eq!(
            of(|e| e.facts.sessions.push(session(SessionLock::Unlocked, None))),
            0
        );
        assert_eq!(
            of(|e| e.facts.flows.push(flow(ms(AT) - 5_000, ms(AT) + 5_000))),
            0
        );
        assert_eq!(of(|e| drop(e.facts.sensors.remove(0))), 0);
        assert_eq!(
            of(|e| e
                .facts
                .power
                .push(power(PowerState::Asleep, whole(), false))),
            WEIGHT.0
        );
    }

    #[test]
    fn without_an_endpoint_nothing_is_locked() {
        let story = Story::new()
            .usual_sign_ins(10)
            .at(AT)
            .attacker()
            .prompt()
            .denied();
        assert_eq!(weigh(&LockedAtPrompt, story), 0);
    }
}
