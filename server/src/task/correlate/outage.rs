//! One hour of a provider: the outages that many people's failures make together.
//!
//! Looked at whenever a person's correlation showed another failure in it, or another sign-in succeeded in it while enough
//! failed. Whoever has a failure in a step that became an outage, or is none any more, is correlated again.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_correlate::{Failure, OUTAGE_PEOPLE_MIN, OUTAGE_STEP_MS, Outage, Provider, outages};

use super::Correlator;
use super::input::provider;
use crate::store::StoreError;
use crate::store::outage::{FAILURES_MIN, HOUR_MS, HourChange, HourFacts, ProviderHour, STEP_MS};

/// Hours that are looked at before people are again.
const HOURS: u32 = 64;

// What the store keeps is what the engine asks for.
const _: () = assert!(STEP_MS == OUTAGE_STEP_MS && FAILURES_MIN == 5 && OUTAGE_PEOPLE_MIN == 5);

impl Correlator {
    /// Looks at some hours. Answers whether there were any.
    pub(super) async fn hours(&self) -> Result<bool, StoreError> {
        let dirty = self.state.dirty_hours(HOURS).await?;
        for (hour, mark) in &dirty {
            let facts = self.state.hour_facts(hour).await?;
            let change = settled(hour, *mark, &facts);
            self.state.settle_hour(&change).await?;
        }
        Ok(!dirty.is_empty())
    }
}

fn settled(hour: &ProviderHour, mark: i64, facts: &HourFacts) -> HourChange {
    let found: Vec<Outage> = provider(&hour.provider).map_or_else(Vec::new, |provider| {
        let span = (provider, hour.hour_ms, hour.hour_ms + HOUR_MS);
        outages(span, &failures(provider, facts), &facts.approvals)
    });
    let outages: BTreeMap<i64, u64> = found
        .iter()
        .map(|outage| (outage.from_ms, outage.people as u64))
        .collect();
    let steps = facts.outages.keys().chain(outages.keys()).copied();
    let changed: BTreeSet<i64> = steps
        .filter(|step| facts.outages.get(step) != outages.get(step))
        .collect();
    HourChange {
        hour: hour.clone(),
        mark,
        outages,
        changed,
    }
}

fn failures(provider: Provider, facts: &HourFacts) -> Vec<Failure> {
    let rows = facts.failures.iter();
    rows.map(|row| Failure {
        time_ms: row.time_ms,
        provider,
        subject: row.identity,
        attempt: row.attempt,
    })
    .collect()
}
