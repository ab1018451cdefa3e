//! Refused prompts from several networks that are not the person's.

use std::collections::BTreeSet;

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::{DAY_MS, Standing};
use crate::case::{Case, event_ids};
use crate::sentence;
use crate::timeline::Item;

/// See the file.
pub(super) struct RotatingSources;

const SPEC: Spec = Spec {
    kind: "rotating_sources",
    family: Family::Origin,
    why: "a person is in one place at a time; who rents addresses changes them so that no rule counts one of them often",
    base_rate: "journeys and carriers change a person's network, each with few prompts and with sign-ins that succeed",
};

const WEIGHT: Weight = Weight(120);
/// Networks from which on.
const SOURCES_MIN: usize = 3;
const WITHIN_MS: i64 = 2 * DAY_MS;

impl Evidence for RotatingSources {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let odd: Vec<&Item<'_>> = case
            .refusals
            .iter()
            .copied()
            .filter(|item| item.place == Standing::Unusual && item.device != Standing::Usual)
            .collect();
        let last_ms = odd.last()?.time_ms;
        let odd: Vec<&Item<'_>> = odd
            .into_iter()
            .filter(|item| last_ms - item.time_ms <= WITHIN_MS)
            .collect();
        let sources: BTreeSet<String> = odd.iter().filter_map(|item| network(item)).collect();
        if sources.len() < SOURCES_MIN {
            return None;
        }
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "{} from {}, none of them usual for this person",
                sentence::count(odd.len(), "prompt"),
                sentence::count(sources.len(), "network")
            ),
            event_ids: event_ids(&odd),
        })
    }
}

/// The network, or the address where no network is known.
fn network(item: &Item<'_>) -> Option<String> {
    let origin = item.origin();
    let asn = origin.asn.map(|asn| format!("AS{asn}"));
    asn.or_else(|| origin.ip.map(|ip| ip.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::story::Story;

    fn from(networks: &[u32]) -> Story {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:00")
            .attacker();
        let origin = story.clone().prompt().events().pop().unwrap().origin;
        networks.iter().fold(story, |story, asn| {
            let mut origin = origin.clone();
            origin.asn = Some(*asn);
            origin.ip = Some([203, 0, 113, u8::try_from(asn % 200).unwrap()].into());
            story.from(origin).prompt().denied().after_minutes(9)
        })
    }

    #[test]
    fn three_networks_within_two_days() {
        assert_eq!(
            weigh(&RotatingSources, from(&[65_001, 65_002, 65_003])),
            120
        );
        assert_eq!(weigh(&RotatingSources, from(&[65_001, 65_001, 65_002])), 0);
    }

    #[test]
    fn refusals_on_the_persons_own_machine_do_not_count() {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 02:00");
        let story = story.traveling().prompt().denied().after_minutes(60);
        let story = story.home().prompt().denied().after_minutes(60);
        assert_eq!(
            weigh(&RotatingSources, story.attacker().prompt().denied()),
            0
        );
    }
}
