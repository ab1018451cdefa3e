//! Keeps incidents what follows from what is stored.
//!
//! ```text
//! dirty people  -> load their Input -> tocsin_correlate::correlate (blocking thread) -> absorb -> plan -> apply, mark taken away
//! dirty hours   -> everybody's failures and approvals of a provider -> tocsin_correlate::outages -> mark whom they concern
//! dirty sources -> load what everybody showed of each -> tocsin_correlate::campaigns -> plan -> apply, mark taken away
//! ```
//!
//! A person's correlation makes the sources dirty at which something is seen otherwise than before; a source's makes
//! those people dirty whose attempts are part of another campaign now, or of none. What is seen at a source does not depend
//! on campaigns, so this ends: whoever was first, all are settled by the same.
//!
//! Woken by a signal and by a timer. A crash in between leaves the mark, and the work is done again: it gives the same
//! result. One person is correlated at a time; a few people's results share a transaction. A person whose
//! correlation fails is passed over until the next timer, so that nobody waits for them.

mod facts;
mod input;
mod lineage;
mod outage;
mod retain;
mod source;
mod telemetry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tocsin_correlate::{Failure, Outcome, Sighting, absorb, correlate};
use tocsin_proto::id::{IdentityId, IncidentId, MfaEventId};
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::incident::{Effect, Owner, Plan, Stored, plan, tally};
use crate::rpc::status::chain;
use crate::session::Registry;
use crate::store::case::{CaseChange, CaseError, Correlated, IdentityFacts, SightingRow};
use crate::store::outage::FailureRow;
use crate::store::telemetry::TelemetryStore;
use crate::store::{StateStore, StoreError};
use crate::trace::Tracer;

use self::facts::Window;

/// How often it looks without being told.
const INTERVAL: Duration = Duration::from_secs(15);

/// Looking through all linked endpoints' telemetry takes at most one part in so many of the time.
const LOOK_SHARE: u32 = 20;

/// People whose results share a transaction.
const GROUP: u32 = 16;

/// Times that a person is read again because somebody changed their incidents meanwhile.
const TRIES: u32 = 5;

/// Changes that a watcher may lag behind before it has to list anew.
const WATCH_MAX: usize = 1024;

/// Correlates, and tells what it changed.
#[derive(Debug)]
pub(crate) struct Correlator {
    state: Arc<dyn StateStore>,
    telemetry: Arc<dyn TelemetryStore>,
    registry: Arc<Registry>,
    tracer: Arc<Tracer>,
    wake: Notify,
    /// Only one correlates at a time.
    turn: tokio::sync::Mutex<()>,
    changed: broadcast::Sender<IncidentId>,
    tallies: Mutex<Vec<Weak<Tally>>>,
    /// Grows with every result that is written.
    results: AtomicU64,
}

/// What was changed about some people since the tally was begun.
#[derive(Debug)]
pub(crate) struct Tally {
    people: Mutex<BTreeSet<IdentityId>>,
    effects: Mutex<BTreeMap<IncidentId, Effect>>,
}

impl Tally {
    /// Counts what is changed about these people from now on.
    pub(crate) fn watch(&self, people: impl IntoIterator<Item = IdentityId>) {
        let mut watched = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        watched.extend(people);
    }

    /// Incidents opened and incidents updated.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let effects = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |wanted| effects.values().filter(|effect| **effect == wanted).count() as u64;
        (count(Effect::Opened), count(Effect::Updated))
    }
}

/// What is to be correlated (again).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    Person(IdentityId),
    /// What everybody showed of this source.
    Source(String),
}

/// What one correlation gave, ready to be written.
struct Ready {
    /// Whom it is about, for tallies.
    people: BTreeSet<IdentityId>,
    change: CaseChange,
    effects: Vec<(IncidentId, Effect)>,
}

impl Correlator {
    /// Over these stores, with what the operator knows of sign-ins and tools.
    pub(crate) fn new(
        state: Arc<dyn StateStore>,
        telemetry: Arc<dyn TelemetryStore>,
        registry: Arc<Registry>,
        tracer: Arc<Tracer>,
    ) -> Self {
        Self {
            state,
            telemetry,
            registry,
            tracer,
            wake: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            changed: broadcast::Sender::new(WATCH_MAX),
            tallies: Mutex::default(),
            results: AtomicU64::new(0),
        }
    }

    /// How many results were written so far: what is said of people and incidents may be another where it has grown.
    pub(crate) fn results(&self) -> u64 {
        self.results.load(Ordering::Acquire)
    }

    /// There is something to do.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Ids of incidents that change from now on, by whomever. A receiver that lags has to list anew.
    pub(crate) fn watch(&self) -> broadcast::Receiver<IncidentId> {
        self.changed.subscribe()
    }

    /// Tells watchers of a change that an analyst made.
    pub(crate) fn tell(&self, id: IncidentId) {
        // Nobody may be watching.
        let _watchers = self.changed.send(id);
    }

    /// A tally of nobody yet.
    pub(crate) fn tally(&self) -> Arc<Tally> {
        let tally = Arc::new(Tally {
            people: Mutex::default(),
            effects: Mutex::default(),
        });
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.retain(|tally| tally.strong_count() > 0);
        tallies.push(Arc::downgrade(&tally));
        tally
    }

    /// Works until the server stops.
    pub(crate) async fn run(self: Arc<Self>, stopping: CancellationToken) {
        let mut next_look = Instant::now();
        loop {
            let is_timer = tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep_until(next_look) => true,
                () = self.wake.notified() => false,
            };
            let work = async {
                self.settle().await?;
                if is_timer {
                    let began = Instant::now();
                    self.look().await?;
                    next_look = Instant::now() + INTERVAL.max(began.elapsed() * LOOK_SHARE);
                }
                Ok::<(), StoreError>(())
            };
            match stopping.run_until_cancelled(work).await {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::error!(
                        error = chain(&error),
                        "correlation has stopped until the next time"
                    );
                    next_look = Instant::now() + INTERVAL;
                }
                None => return,
            }
        }
    }

    /// Looks whether telemetry has changed what follows, a few people at a time: whoever has become dirty meanwhile
    /// waits for those only.
    async fn look(&self) -> Result<(), StoreError> {
        while telemetry::mark_news(self.state.as_ref(), self.telemetry.as_ref()).await? {
            self.settle().await?;
        }
        self.settle().await?;
        let mut after = None;
        loop {
            after = telemetry::mark(self.state.as_ref(), self.telemetry.as_ref(), after).await?;
            if after.is_none() {
                return Ok(());
            }
            self.settle().await?;
        }
    }

    /// Correlates until nothing is dirty but what fails.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub(crate) async fn settle(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let mut failed: BTreeSet<Dirty> = BTreeSet::new();
        loop {
            let limit = GROUP.saturating_add(u32::try_from(failed.len()).unwrap_or(u32::MAX));
            let dirty = self.dirty(limit, &failed).await?;
            let is_person = |(what, _): &(Dirty, i64)| matches!(what, Dirty::Person(_));
            if !dirty.iter().any(is_person) && self.hours().await? {
                continue;
            }
            if dirty.is_empty() {
                return Ok(());
            }
            self.group(&dirty, &mut failed).await?;
        }
    }

    /// People first: a source is looked at once all whom it may concern are.
    async fn dirty(
        &self,
        limit: u32,
        failed: &BTreeSet<Dirty>,
    ) -> Result<Vec<(Dirty, i64)>, StoreError> {
        let people = self.state.dirty(limit).await?.into_iter();
        let people = people.map(|(id, mark)| (Dirty::Person(id), mark));
        let mut dirty: Vec<_> = people.filter(|(what, _)| !failed.contains(what)).collect();
        if dirty.is_empty() {
            let sources = self.state.dirty_sources(limit).await?.into_iter();
            let sources = sources.map(|(source, mark)| (Dirty::Source(source), mark));
            dirty.extend(sources.filter(|(what, _)| !failed.contains(what)));
        }
        Ok(dirty)
    }

    /// Correlates a few people or sources and writes their results together, or one by one where that fails.
    async fn group(
        &self,
        dirty: &[(Dirty, i64)],
        failed: &mut BTreeSet<Dirty>,
    ) -> Result<(), StoreError> {
        let mut ready = Vec::with_capacity(dirty.len());
        for (what, mark) in dirty {
            match self.prepare(what, *mark).await {
                Ok(one) => ready.push((what, one)),
                // It became part of another person meanwhile, whose mark is newer.
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => fail(what, &error, failed),
            }
        }
        let changes: Vec<CaseChange> = ready.iter().map(|(_, one)| one.change.clone()).collect();
        if self.state.apply(&changes).await.is_ok() {
            for (_, one) in &ready {
                self.done(one);
            }
            return Ok(());
        }
        for (what, one) in ready {
            match self.again(what, one).await {
                Ok(()) | Err(CaseError::Store(StoreError::NotFound { .. })) => {}
                Err(error) => fail(what, &error, failed),
            }
        }
        Ok(())
    }

    async fn again(&self, what: &Dirty, mut one: Ready) -> Result<(), CaseError> {
        let mut tries = 0;
        loop {
            match self.state.apply(std::slice::from_ref(&one.change)).await {
                Ok(()) => {
                    self.done(&one);
                    return Ok(());
                }
                Err(CaseError::Changed) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
            one = self.prepare(what, one.change.mark).await?;
        }
    }

    async fn prepare(&self, what: &Dirty, mark: i64) -> Result<Ready, StoreError> {
        match what {
            Dirty::Person(id) => self.person(*id, mark).await,
            Dirty::Source(source) => self.source(source, mark).await,
        }
    }

    /// Loads and correlates one person.
    async fn person(&self, id: IdentityId, mark: i64) -> Result<Ready, StoreError> {
        let row = self.state.identity(id).await?;
        let now_ms = now_ms();
        if Window::of(row.event_time_min_ms, row.event_time_max_ms).until_ms >= now_ms {
            // Clock and address of just now are not written each time that they are heard of.
            let endpoints: BTreeSet<_> = row.links.iter().map(|link| link.endpoint).collect();
            for endpoint in endpoints {
                self.registry.tell(endpoint, self.state.as_ref()).await;
            }
        }
        let loaded = input::load(
            self.state.as_ref(),
            self.telemetry.as_ref(),
            &self.tracer,
            row,
        )
        .await?;
        let memberships = self.state.memberships(id).await?.into_iter();
        let memberships: BTreeMap<MfaEventId, IncidentId> = memberships
            .filter_map(|one| Some((one.attempt, one.campaign?)))
            .collect();
        let rows = self.state.incidents_of(id).await?;
        let read = rows.iter().map(|row| (row.id, row.version)).collect();
        let telemetry_sha256 = loaded.telemetry_sha256;
        let work = move || -> Result<(String, Outcome, Plan), StoreError> {
            let stored: Result<Vec<Stored>, StoreError> =
                rows.into_iter().map(Stored::new).collect();
            let input = loaded.input()?;
            let mut outcome = correlate(&input);
            absorb(&mut outcome.incidents, &memberships);
            let owner = Owner {
                identity: id,
                source: String::new(),
            };
            let plan = plan(&owner, &stored?, &outcome.incidents, now_ms)?;
            Ok((input.identity.display_name, outcome, plan))
        };
        let done = tokio::task::spawn_blocking(work).await;
        let (display_name, outcome, plan) = done.unwrap_or(Err(StoreError::Damaged {
            what: "person's events (correlating them has failed)",
        }))?;
        Ok(Ready {
            people: BTreeSet::from([id]),
            change: CaseChange {
                of: Correlated::Person {
                    identity: id,
                    facts: IdentityFacts {
                        display_name,
                        privileged: outcome.privileged,
                        next_change_ms: outcome.next_change_ms,
                        telemetry_sha256,
                        // Numbers and texts are always JSON.
                        coverage: serde_json::to_vec(&(&outcome.coverage, &outcome.habits))
                            .unwrap_or_default(),
                    },
                    sightings: outcome.sightings.iter().map(sighting_row).collect(),
                    failures: outcome.failures.iter().map(failure_row).collect(),
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

    /// It is written: tells watchers and tallies.
    fn done(&self, one: &Ready) {
        self.results.fetch_add(1, Ordering::AcqRel);
        for (id, _) in &one.effects {
            self.tell(*id);
        }
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        for watching in tallies.iter().filter_map(Weak::upgrade) {
            let people = watching
                .people
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if !people.is_disjoint(&one.people) {
                let mut effects = watching
                    .effects
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                tally(&one.effects, &mut effects);
            }
        }
    }
}

fn fail(what: &Dirty, error: &(dyn std::error::Error + 'static), failed: &mut BTreeSet<Dirty>) {
    tracing::error!(
        ?what,
        error = chain(error),
        "a person or source was not correlated"
    );
    failed.insert(what.clone());
}

fn failure_row(failure: &Failure) -> FailureRow {
    FailureRow {
        identity: failure.subject,
        attempt: failure.attempt,
        provider: failure.provider.word().to_owned(),
        time_ms: failure.time_ms,
    }
}

fn sighting_row(sighting: &Sighting) -> SightingRow {
    SightingRow {
        identity: sighting.subject,
        attempt: sighting.attempt.id,
        source: sighting.source_key(),
        time_ms: sighting.attempt.time_ms,
        // Numbers and texts are always JSON.
        content: serde_json::to_vec(sighting).unwrap_or_default(),
        campaign: None,
    }
}

#[cfg(test)]
mod tests;
