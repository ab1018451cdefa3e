//! One source: what many people's sightings of it make together.
//!
//! Looked at whenever a person's correlation showed something else of it than before. It reads the stored sightings, at most
//! [`SIGHTINGS_MAX`](crate::store::case::SIGHTINGS_MAX), and nothing of what people's incidents say.

use std::collections::BTreeSet;

use tocsin_correlate::{Sighting, campaign_subject, campaigns, memberships};

use super::{Correlator, Ready};
use crate::clock::now_ms;
use crate::incident::{Owner, Plan, Stored, plan};
use crate::store::StoreError;
use crate::store::case::{CaseChange, Correlated, IncidentRow, Membership, SightingRow};

impl Correlator {
    /// Loads and correlates one source.
    pub(super) async fn source(&self, source: &str, mark: i64) -> Result<Ready, StoreError> {
        let sightings = self.state.sightings_from(source).await?;
        let rows = self.state.incidents_from(source).await?;
        let read = rows.iter().map(|row| (row.id, row.version)).collect();
        let people = sightings.iter().map(|row| row.identity).collect();
        let (key, now_ms) = (source.to_owned(), now_ms());
        let work = move || correlate(&key, &sightings, rows, now_ms);
        let done = tokio::task::spawn_blocking(work).await;
        let (plan, memberships) = done.unwrap_or(Err(StoreError::Damaged {
            what: "sighting (correlating a source has failed)",
        }))?;
        Ok(Ready {
            people,
            change: CaseChange {
                of: Correlated::Source {
                    source: source.to_owned(),
                    memberships,
                },
                mark,
                read,
                write: plan.write,
                remove: plan.remove,
                activity: plan.activity,
            },
            effects: plan.effects,
        })
    }
}

/// What the source's incidents are now, and which sightings are part of another campaign than before.
fn correlate(
    source: &str,
    rows: &[SightingRow],
    incidents: Vec<IncidentRow>,
    now_ms: i64,
) -> Result<(Plan, Vec<Membership>), StoreError> {
    let sightings: Result<Vec<Sighting>, _> = rows
        .iter()
        .map(|row| serde_json::from_slice(&row.content))
        .collect();
    let sightings = sightings.map_err(|_| StoreError::Damaged { what: "sighting" })?;
    let found = campaigns(&sightings);
    let parts = memberships(&found, &sightings);
    let stored: Result<Vec<Stored>, StoreError> = incidents.into_iter().map(Stored::new).collect();
    let owner = Owner {
        identity: campaign_subject(),
        source: source.to_owned(),
    };
    let plan = plan(&owner, &stored?, &found, now_ms)?;
    let changed = rows.iter().filter_map(|row| {
        let campaign = parts.get(&row.attempt).copied();
        (campaign != row.campaign).then_some(Membership {
            identity: row.identity,
            attempt: row.attempt,
            campaign,
        })
    });
    let changed: BTreeSet<Membership> = changed.collect();
    Ok((plan, changed.into_iter().collect()))
}
