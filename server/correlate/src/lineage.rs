//! Which incident a former one has become, so that its notes, state and assignee follow.
//!
//! Late data can give an incident an earlier first event, and with it another id, or make one of two.
//! The former ids become aliases of the incident that now holds most of their events.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_proto::id::{IncidentId, MfaEventId};

use crate::incident::IncidentDraft;

/// For each former incident the one that has taken its place; none where its events make no incident any
/// more. `former` gives the ids of the events of each, aliases included under their own ids.
pub fn successors<'a>(
    former: impl IntoIterator<Item = (IncidentId, &'a [MfaEventId])>,
    now: &[IncidentDraft],
) -> BTreeMap<IncidentId, Option<IncidentId>> {
    let owners: BTreeMap<MfaEventId, IncidentId> = now
        .iter()
        .flat_map(|incident| incident.event_ids.iter().map(|event| (*event, incident.id)))
        .collect();
    let ids: BTreeSet<IncidentId> = now.iter().map(|incident| incident.id).collect();
    former
        .into_iter()
        .map(|(id, events)| {
            if ids.contains(&id) {
                return (id, Some(id));
            }
            let mut counts: BTreeMap<IncidentId, usize> = BTreeMap::new();
            for owner in events.iter().filter_map(|event| owners.get(event)) {
                *counts.entry(*owner).or_default() += 1;
            }
            let most = counts
                .into_iter()
                .max_by_key(|(id, n)| (*n, core::cmp::Reverse(*id)));
            (id, most.map(|(id, _)| id))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate;
    use crate::story::Story;

    fn burst(story: Story) -> Story {
        (0..8).fold(story, |story, _| story.prompt().denied().after_minutes(3))
    }

    fn incidents(story: &Story) -> Vec<IncidentDraft> {
        correlate(&story.input()).incidents
    }

    fn former(incidents: &[IncidentDraft]) -> Vec<(IncidentId, &[MfaEventId])> {
        incidents
            .iter()
            .map(|incident| (incident.id, incident.event_ids.as_slice()))
            .collect()
    }

    #[test]
    fn an_incident_that_grows_backwards_is_found_again() {
        let story = burst(
            Story::new()
                .usual_sign_ins(10)
                .at("2026-03-12 02:10")
                .attacker(),
        );
        let before = incidents(&story);
        let after = incidents(&burst(story.at("2026-03-12 01:00")));
        assert_ne!(before[0].id, after[0].id);
        assert_eq!(
            successors(former(&before), &after),
            [(before[0].id, Some(after[0].id))].into()
        );
    }

    #[test]
    fn two_that_become_one_have_the_same_successor() {
        let story = burst(
            Story::new()
                .usual_sign_ins(10)
                .at("2026-03-12 02:10")
                .attacker(),
        );
        let story = burst(story.at("2026-03-22 02:10"));
        let before = incidents(&story);
        assert_eq!(before.len(), 2);
        let after = incidents(&burst(story.at("2026-03-17 02:10")));
        assert_eq!(after.len(), 1);
        let found = successors(former(&before), &after);
        assert!(found.values().all(|id| *id == Some(after[0].id)) && found.len() == 2);
    }

    #[test]
    fn one_that_later_data_explains_has_none() {
        let known = Story::new().usual_sign_ins(10);
        let story = burst(known.at("2026-03-12 02:10").attacker());
        let before = incidents(&story);
        assert_eq!(
            successors(former(&before), &[]),
            [(before[0].id, None)].into()
        );
    }
}
