//! One person's [`Input`], from the stores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_correlate::{
    AccountKey, Baseline, EVENTS_MAX, Input, MfaEvent, OUTAGE_STEP_MS, Outage, Person, Provider,
    WeightsVersion,
};
use tocsin_proto::id::{EndpointId, IdentityId};

use super::facts::{self, Source, Window};
use super::lineage::Lineage;
use crate::store::case::{AccountRow, FeedRow, IdentityRow};
use crate::store::telemetry::TelemetryStore;
use crate::store::{StateStore, StoreError};
use crate::trace::Tracer;

/// What was read of a person; JSON is still to be understood.
pub(super) struct Loaded {
    pub(super) row: IdentityRow,
    pub(super) events: Vec<Vec<u8>>,
    endpoints: Vec<Source>,
    lineage: Lineage,
    feeds: Vec<FeedRow>,
    /// By provider: step and people.
    outages: Vec<(Provider, Vec<(i64, u64)>)>,
    tracer: Arc<Tracer>,
    /// Of what the endpoints say beside their traces.
    pub(super) telemetry_sha256: [u8; 32],
}

/// Reads all that correlating a person needs.
pub(super) async fn load(
    state: &dyn StateStore,
    telemetry: &dyn TelemetryStore,
    tracer: &Arc<Tracer>,
    row: IdentityRow,
) -> Result<Loaded, StoreError> {
    let id = row.id;
    let limit = u32::try_from(EVENTS_MAX)
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    let events = state.mfa_events(id, limit).await?;
    let feeds = state.feeds().await?;
    let window = Window::of(row.event_time_min_ms, row.event_time_max_ms);
    let linked: BTreeSet<EndpointId> = row.links.iter().map(|link| link.endpoint).collect();
    let lineage = Lineage::read(state, &linked).await?;
    let linked: Vec<EndpointId> = linked.into_iter().collect();
    // Before what it stands for is read: what comes in between is looked at again.
    let telemetry_sha256 = facts::fingerprint(state, telemetry, &linked, window).await?;
    let mut endpoints = Vec::with_capacity(linked.len());
    for endpoint in linked {
        let person = (id, row.links.as_slice());
        endpoints.push(facts::source(state, telemetry, person, endpoint, window).await?);
    }
    let outages = outages(state, &row).await?;
    Ok(Loaded {
        outages,
        row,
        events,
        endpoints,
        lineage,
        feeds,
        tracer: Arc::clone(tracer),
        telemetry_sha256,
    })
}

impl Loaded {
    /// A person without events and endpoints.
    pub(super) async fn without_events(
        state: &dyn StateStore,
        tracer: &Arc<Tracer>,
        id: IdentityId,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            telemetry_sha256: [0; 32],
            tracer: Arc::clone(tracer),
            row: state.identity(id).await?,
            events: Vec::new(),
            endpoints: Vec::new(),
            lineage: Lineage::default(),
            feeds: state.feeds().await?,
            outages: Vec::new(),
        })
    }

    fn outages(&self) -> Vec<Outage> {
        let of = |(provider, steps): &(Provider, Vec<(i64, u64)>)| {
            let provider = *provider;
            let steps = steps.clone().into_iter();
            steps.map(move |(from_ms, people)| Outage {
                from_ms,
                provider,
                people: usize::try_from(people).unwrap_or(usize::MAX),
            })
        };
        self.outages.iter().flat_map(of).collect()
    }

    /// Understands it.
    pub(super) fn input(&self) -> Result<Input, StoreError> {
        let damaged = |_| StoreError::Damaged { what: "MFA event" };
        let events: Result<Vec<MfaEvent>, _> = self
            .events
            .iter()
            .map(|json| serde_json::from_slice(json))
            .collect();
        let events = events.map_err(damaged)?;
        let baseline = if self.row.baseline.is_empty() {
            Baseline::default()
        } else {
            serde_json::from_slice(&self.row.baseline)
                .map_err(|_| StoreError::Damaged { what: "baseline" })?
        };
        let (around, clients) = facts::around(&events);
        let endpoints = self.endpoints.iter().cloned().map(|source| {
            let source = Source {
                around: around.clone(),
                clients: clients.clone(),
                ..source
            };
            facts::endpoint(&source, &self.tracer)
        });
        let mut endpoints: Vec<_> = endpoints.collect();
        self.lineage
            .apply(&mut endpoints, self.row.event_time_max_ms);
        Ok(Input {
            endpoints,
            identity: Person {
                id: self.row.id,
                display_name: match self.row.imported_name.as_str() {
                    "" => display_name(&events).unwrap_or_default(),
                    name => name.to_owned(),
                },
                accounts: self.row.accounts.iter().filter_map(account_key).collect(),
                // Known from records that are gone; as long as all are there, they say it themselves.
                privileged: self.row.privileged && self.row.removed_until_ms > 0,
                said_privileged: self.row.imported_privileged,
            },
            mfa_events: events,
            observed_until_ms: observed(&self.feeds),
            baseline,
            directory: self.tracer.directory.clone(),
            outages: self.outages(),
            weights: WeightsVersion::default(),
        })
    }
}

/// The newest name that a record gives. Of two at one time the record's id decides.
fn display_name(events: &[MfaEvent]) -> Option<String> {
    let named = events.iter().filter(|event| event.display_name.is_some());
    named
        .max_by_key(|event| (event.time_ms, event.id))?
        .display_name
        .clone()
}

/// Outages of the person's providers in the time of their events.
async fn outages(
    state: &dyn StateStore,
    row: &IdentityRow,
) -> Result<Vec<(Provider, Vec<(i64, u64)>)>, StoreError> {
    let span_ms = (
        row.event_time_min_ms.saturating_sub(OUTAGE_STEP_MS),
        row.event_time_max_ms,
    );
    let words: BTreeSet<&str> = row
        .accounts
        .iter()
        .map(|one| one.provider.as_str())
        .collect();
    let mut all = Vec::new();
    for word in words {
        if let Some(provider) = provider(word) {
            all.push((provider, state.outages(word, span_ms).await?));
        }
    }
    Ok(all)
}

pub(super) fn provider(word: &str) -> Option<Provider> {
    Provider::ALL
        .iter()
        .copied()
        .find(|provider| provider.word() == word)
}

/// `None`: of a provider that this build does not know.
fn account_key(account: &AccountRow) -> Option<AccountKey> {
    Some(AccountKey {
        provider: provider(&account.provider)?,
        provider_id: account.provider_id.clone(),
        login: account.login.clone(),
    })
}

fn observed(feeds: &[FeedRow]) -> BTreeMap<Provider, i64> {
    let mut observed: BTreeMap<Provider, i64> = BTreeMap::new();
    for feed in feeds {
        if let Some(provider) = provider(&feed.provider) {
            let until_ms = observed.entry(provider).or_default();
            *until_ms = (*until_ms).max(feed.event_time_max_ms);
        }
    }
    observed
}
