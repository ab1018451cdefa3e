//! Old MFA events go; what was usual by them stays.
//!
//! The store removes exactly those events that the baseline was made from, or none: where a record with an old time
//! came meanwhile, its person's events stay until the next time. Nobody is correlated from events that are about to go.

use tocsin_correlate::{EVENTS_MAX, MfaEvent, baseline_before};
use tocsin_proto::id::{IdentityId, MfaEventId};

use super::Correlator;
use super::input::Loaded;
use crate::store::StoreError;
use crate::store::case::{CaseError, Removal};

/// People whose old events are looked for at once.
const PAGE: u32 = 100;

/// What is kept of some events, and the last of them.
struct Folded {
    loaded: Loaded,
    baseline: Vec<u8>,
    events: u64,
    last: Option<(i64, MfaEventId)>,
}

impl Correlator {
    /// Removes MFA events that were received before a time, and keeps in their place what was usual by them. An incident
    /// keeps all its events or none. Answers how many it removed.
    ///
    /// # Errors
    /// Where the store fails.
    pub(crate) async fn remove_mfa_events(
        &self,
        received_before_ms: i64,
    ) -> Result<u64, StoreError> {
        let mut removed = 0;
        let mut after = None;
        loop {
            let page = self
                .state
                .removable(received_before_ms, after, PAGE)
                .await?;
            let Some((last, _)) = page.last() else {
                self.state.remove_sightings().await?;
                self.state.remove_failures().await?;
                return Ok(removed);
            };
            after = Some(*last);
            for (id, until_ms) in page {
                let _turn = self.turn.lock().await;
                removed += match self.remove_of(id, until_ms, received_before_ms).await {
                    Ok(removed) => removed,
                    // It became part of another person meanwhile, or has records that nobody has looked at.
                    Err(CaseError::Changed | CaseError::Store(StoreError::NotFound { .. })) => 0,
                    Err(CaseError::Store(error)) => return Err(error),
                };
            }
        }
    }

    pub(super) async fn remove_of(
        &self,
        identity: IdentityId,
        mut until_ms: i64,
        received_before_ms: i64,
    ) -> Result<u64, CaseError> {
        let mut rows = self.state.incidents_of(identity).await?;
        rows.sort_by_key(|row| std::cmp::Reverse(row.engine.last_event_time_ms));
        for engine in rows
            .iter()
            .filter(|row| !row.is_frozen)
            .map(|row| &row.engine)
        {
            if engine.first_event_time_ms <= until_ms && engine.last_event_time_ms > until_ms {
                until_ms = engine.first_event_time_ms.saturating_sub(1);
            }
        }
        let (baseline, events) = self.fold(identity, until_ms, EVENTS_MAX).await?;
        let removal = Removal {
            identity,
            until_ms,
            received_before_ms,
            events,
            baseline,
        };
        self.state.remove_mfa_events(&removal).await
    }

    /// What was usual by a person's events up to a time, and how many they are. They are read the oldest first, at most
    /// so many at once.
    pub(super) async fn fold(
        &self,
        identity: IdentityId,
        until_ms: i64,
        at_once: usize,
    ) -> Result<(Vec<u8>, u64), StoreError> {
        let limit = u32::try_from(at_once).unwrap_or(u32::MAX);
        let mut loaded =
            Loaded::without_events(self.state.as_ref(), &self.tracer, identity).await?;
        let (mut after, mut events) = (None, 0);
        loop {
            let page =
                self.state
                    .mfa_events_until(identity, until_ms, after, limit.saturating_add(1));
            loaded.events = page.await?;
            let is_last = loaded.events.len() <= at_once;
            let folded = tokio::task::spawn_blocking(move || fold(loaded, is_last)).await;
            let folded = folded.unwrap_or(Err(StoreError::Damaged { what: "baseline" }))?;
            events += folded.events;
            if is_last {
                return Ok((folded.baseline, events));
            }
            after = folded.last;
            loaded = folded.loaded;
            loaded.row.baseline = folded.baseline;
        }
    }
}

fn fold(loaded: Loaded, is_last: bool) -> Result<Folded, StoreError> {
    let mut input = loaded.input()?;
    if !is_last {
        input.mfa_events.truncate(quiet(&input.mfa_events));
    }
    let baseline = serde_json::to_vec(&baseline_before(&input, i64::MAX))
        .map_err(|_| StoreError::Damaged { what: "baseline" })?;
    Ok(Folded {
        loaded,
        baseline,
        events: input.mfa_events.len() as u64,
        last: input
            .mfa_events
            .last()
            .map(|event| (event.time_ms, event.id)),
    })
}

/// How many events lie before the longest pause in the later half: what belongs together is best not cut.
fn quiet(events: &[MfaEvent]) -> usize {
    let half = events.len().div_ceil(2).max(1);
    let pauses = events.windows(2).enumerate().filter_map(|(index, pair)| {
        let [before, after] = pair else {
            return None;
        };
        let pause_ms = after.time_ms.saturating_sub(before.time_ms);
        (index + 1 >= half).then_some((pause_ms, index + 1))
    });
    pauses.max().map_or(events.len(), |(_, count)| count)
}
