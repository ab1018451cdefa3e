//! Sign-ins that came from none of the person's endpoints, which would have shown them.

use tocsin_proto::id::EventId;

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::case::{Case, event_ids};
use crate::provenance::{Confidence, ProvenanceVerdict};
use crate::sentence;
use crate::timeline::Item;

/// See the file.
pub(super) struct ProvenanceElsewhere;

const SPEC: Spec = Spec {
    kind: "provenance_elsewhere",
    family: Family::Presence,
    why: "whoever prompts with a stolen password sits at a machine of their own",
    base_rate: "as often as people sign in from phones and machines that are not enrolled; the confidence is capped by that",
};

/// Where all that came from elsewhere succeeded while nobody was at the person's endpoints: who is away from their machine
/// may use another, as on leave.
const AWAY: Weight = Weight(60);

/// By confidence.
fn weight(confidence: Confidence) -> Weight {
    Weight(match confidence {
        Confidence::None => 0,
        Confidence::Weak => 40,
        Confidence::Medium => 120,
        Confidence::Strong => 200,
    })
}

impl Evidence for ProvenanceElsewhere {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let judged = case.suspects();
        let elsewhere: Vec<_> = judged
            .iter()
            .filter(|(_, judged)| judged.provenance.verdict == ProvenanceVerdict::Elsewhere)
            .collect();
        let (_, best) = elsewhere
            .iter()
            .max_by_key(|(_, j)| j.provenance.confidence)?;
        let items: Vec<&Item<'_>> = elsewhere.iter().map(|(item, _)| *item).collect();
        let is_away = elsewhere
            .iter()
            .all(|(item, judged)| item.is_approval() && judged.is_away());
        let weight = weight(best.provenance.confidence);
        Some(Finding {
            weight: if is_away { weight.min(AWAY) } else { weight },
            summary: format!(
                "{} of {} came from none of this person's endpoints ({} confidence): {}",
                items.len(),
                sentence::count(judged.len(), "sign-in attempt"),
                best.provenance.confidence.word(),
                best.provenance.reasons.first().map_or("", String::as_str),
            ),
            event_ids: event_ids(&items),
        })
    }

    fn endpoint_events(&self, case: &Case<'_, '_>) -> Vec<EventId> {
        let judged = case.suspects();
        let elsewhere = judged
            .iter()
            .filter(|(_, j)| j.provenance.verdict == ProvenanceVerdict::Elsewhere);
        elsewhere
            .flat_map(|(_, j)| j.provenance.event_ids.iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::fact::SessionLock;
    use crate::scene::{laptop, porto, session};
    use crate::story::Story;

    fn attack() -> Story {
        Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:10")
            .attacker()
            .prompt()
            .denied()
    }

    #[test]
    fn a_sign_in_that_no_endpoint_showed_is_seen() {
        assert_eq!(
            weigh(&ProvenanceElsewhere, attack().endpoint(porto(10))),
            200
        );
        let mut open = porto(10);
        open.facts
            .sessions
            .push(session(SessionLock::Unlocked, None));
        assert_eq!(weigh(&ProvenanceElsewhere, attack().endpoint(open)), 120);
    }

    #[test]
    fn unknown_is_not_elsewhere() {
        assert_eq!(weigh(&ProvenanceElsewhere, attack()), 0);
        assert_eq!(
            weigh(&ProvenanceElsewhere, attack().endpoint(laptop("porto-17"))),
            0
        );
    }
}
