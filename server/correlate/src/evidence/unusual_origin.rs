//! Prompts from a place or machine that is not the person's.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::Standing;
use crate::case::{Case, event_ids};
use crate::sentence;
use crate::timeline::Item;

/// See the file.
pub(super) struct UnusualOrigin;

const SPEC: Spec = Spec {
    kind: "unusual_origin",
    family: Family::Origin,
    why: "a prompt mostly needs the password; from a strange place and machine at once, somebody else probably has it",
    base_rate: "in one fleet 253 of 21,450 authentications a week had two places that do not match, 236 \
                of them carrier networks: place alone is weak",
};

const BOTH: Weight = Weight(200);
const COUNTRY: Weight = Weight(140);
const PLACE: Weight = Weight(80);
const DEVICE: Weight = Weight(60);

fn weight(item: &Item<'_>) -> Option<Weight> {
    if item.is_foreign() {
        return Some(BOTH);
    }
    if item.place == Standing::Unusual && item.device != Standing::Usual {
        return Some(if item.is_new_country { COUNTRY } else { PLACE });
    }
    (item.device == Standing::Unusual).then_some(DEVICE)
}

impl Evidence for UnusualOrigin {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let weighed = case
            .refusals
            .iter()
            .filter_map(|item| Some((weight(item)?, *item)));
        let most = weighed.clone().map(|(weight, _)| weight).max()?;
        let odd: Vec<_> = weighed
            .filter(|(weight, _)| *weight == most)
            .map(|(_, item)| item)
            .collect();
        let first = odd.first()?;
        let what = match most {
            BOTH => "neither the place nor the device is usual for this person",
            COUNTRY => "this person was never seen in that country",
            PLACE => "the place is not usual for this person",
            _ => "the device is not usual for this person",
        };
        Some(Finding {
            weight: most,
            summary: format!(
                "{} from {}: {what}",
                sentence::count(odd.len(), "prompt"),
                sentence::place(first.origin())
            ),
            event_ids: event_ids(&odd),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{find, weigh};
    use crate::story::Story;

    fn known() -> Story {
        Story::new().usual_sign_ins(10).at("2026-03-12 09:00")
    }

    #[test]
    fn neither_place_nor_device_is_usual() {
        let finding = find(&UnusualOrigin, known().attacker().prompt().denied()).unwrap();
        assert_eq!(finding.weight, BOTH);
        assert_eq!(
            finding.summary,
            "1 prompt from 203.0.113.66 (Bucharest, RO, AS64666): neither the place nor the device is \
             usual for this person"
        );
    }

    #[test]
    fn a_denial_on_the_own_machine_says_nothing() {
        assert_eq!(weigh(&UnusualOrigin, known().prompt().denied()), 0);
        assert_eq!(
            weigh(&UnusualOrigin, known().traveling().prompt().denied()),
            0
        );
    }

    #[test]
    fn nothing_is_unusual_where_nothing_is_known() {
        let story = Story::new()
            .at("2026-03-12 09:00")
            .attacker()
            .prompt()
            .denied();
        assert_eq!(weigh(&UnusualOrigin, story), 0);
    }
}
