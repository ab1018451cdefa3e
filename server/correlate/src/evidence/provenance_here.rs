//! Against: the sign-ins were made on the person's own endpoint, and nothing there looks like somebody else's hand.
//!
//! It earns nothing while a means of remote control is present, where the connection is no browser's or known
//! client's, or where the person denied or reported a prompt: an attacker on the victim's machine looks just so.

use tocsin_proto::id::EventId;

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::case::{Case, event_ids};
use crate::provenance::{Confidence, ProvenanceVerdict};
use crate::sentence;
use crate::timeline::Item;

/// See the file.
pub(super) struct ProvenanceHere;

const SPEC: Spec = Spec {
    kind: "provenance_here",
    family: Family::Presence,
    why: "an ordinary retry comes from the person's own browser; an attacker rarely has the machine as well",
    base_rate: "nearly every ordinary sign-in on an enrolled endpoint shows it",
};

/// By confidence.
fn weight(confidence: Confidence) -> i32 {
    match confidence {
        Confidence::None => 0,
        Confidence::Weak => -20,
        Confidence::Medium => -80,
        Confidence::Strong => -150,
    }
}

impl Evidence for ProvenanceHere {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let judged = case.suspects();
        let is = |verdict| {
            judged
                .iter()
                .filter(move |(_, j)| j.provenance.verdict == verdict)
        };
        let here: Vec<_> = is(ProvenanceVerdict::Here).collect();
        let is_spoilt = case.is_reported()
            || is(ProvenanceVerdict::Elsewhere).next().is_some()
            || here.iter().any(|(_, judged)| judged.no_credit.is_some());
        if is_spoilt {
            return None;
        }
        let (_, least) = here.iter().min_by_key(|(_, j)| j.provenance.confidence)?;
        let whole = weight(least.provenance.confidence);
        let items: Vec<&Item<'_>> = here.iter().map(|(item, _)| *item).collect();
        // What is unknown may be somebody else's.
        let share = i32::try_from(items.len() * 100 / judged.len().max(1)).unwrap_or(100);
        Some(Finding {
            weight: Weight(whole * share / 100),
            summary: format!(
                "{} of {} were made on this person's own endpoint ({} confidence): {}",
                items.len(),
                sentence::count(judged.len(), "sign-in attempt"),
                least.provenance.confidence.word(),
                least.provenance.reasons.first().map_or("", String::as_str),
            ),
            event_ids: event_ids(&items),
        })
    }

    fn endpoint_events(&self, case: &Case<'_, '_>) -> Vec<EventId> {
        let judged = case.suspects();
        let here = judged
            .iter()
            .filter(|(_, j)| j.provenance.verdict == ProvenanceVerdict::Here);
        here.flat_map(|(_, j)| j.provenance.event_ids.iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::fact::{ControlKind, SessionLock, SessionPlace};
    use crate::input::{LinkedEndpoint, MfaEventKind};
    use crate::scene::{control, flow, porto, session, span};
    use crate::story::{Story, ms};

    const AT: &str = "2026-03-12 14:00";

    /// A prompt that she let pass, on her own machine.
    fn ignored() -> Story {
        Story::new().usual_sign_ins(10).at(AT).prompt()
    }

    fn endpoint(change: impl FnOnce(&mut LinkedEndpoint)) -> LinkedEndpoint {
        let mut endpoint = porto(10);
        endpoint
            .facts
            .flows
            .push(flow(ms(AT) - 20_000, ms(AT) + 20_000));
        change(&mut endpoint);
        endpoint
    }

    fn of(change: impl FnOnce(&mut LinkedEndpoint)) -> i32 {
        weigh(&ProvenanceHere, ignored().endpoint(endpoint(change)))
    }

    #[test]
    fn a_sign_in_on_the_own_machine_speaks_against() {
        assert_eq!(of(|_| ()), -150);
        assert_eq!(
            of(|e| e.facts.addresses[0].sharing = crate::fact::Sharing::Shared),
            -80
        );
        assert_eq!(weigh(&ProvenanceHere, ignored()), 0);
    }

    #[test]
    fn remote_control_takes_its_credit() {
        for kind in [
            ControlKind::Process,
            ControlKind::Listener,
            ControlKind::Flow,
            ControlKind::Tunnel,
            ControlKind::Socks,
            ControlKind::Automation,
        ] {
            let near = span("2026-03-12 13:50", "2026-03-12 14:05");
            assert_eq!(
                of(|e| e.facts.remote_control.push(control(kind, "AnyDesk", near))),
                0
            );
            let far = span("2026-03-10 13:50", "2026-03-10 14:05");
            assert_eq!(
                of(|e| e.facts.remote_control.push(control(kind, "AnyDesk", far))),
                -150
            );
        }
    }

    #[test]
    fn a_flow_of_no_browser_or_of_a_driven_one_takes_its_credit() {
        let owner = |change: fn(&mut crate::fact::FlowOwner)| {
            of(|e| change(e.facts.flows.last_mut().unwrap().owner.as_mut().unwrap()))
        };
        assert_eq!(owner(|owner| owner.executable = "/tmp/x".into()), 0);
        assert_eq!(owner(|owner| owner.executable.clear()), 0);
        assert_eq!(
            owner(|owner| owner.arguments.push("--remote-debugging-port".into())),
            0
        );
        assert_eq!(of(|e| e.facts.flows.last_mut().unwrap().owner = None), 0);
        let remote = |e: &mut LinkedEndpoint| {
            let mut session = session(SessionLock::Unlocked, None);
            session.place = SessionPlace::Remote { address: None };
            e.facts.sessions.push(session);
        };
        assert_eq!(of(remote), 0);
    }

    #[test]
    fn a_denial_or_a_report_outranks_it() {
        let denied = Story::new().usual_sign_ins(10).at(AT).prompt().denied();
        assert_eq!(weigh(&ProvenanceHere, denied.endpoint(endpoint(|_| ()))), 0);
        let fraud = Story::new()
            .usual_sign_ins(10)
            .at(AT)
            .prompt()
            .answer(MfaEventKind::FraudReported);
        assert_eq!(weigh(&ProvenanceHere, fraud.endpoint(endpoint(|_| ()))), 0);
    }
}
