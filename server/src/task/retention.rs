//! What is old goes: telemetry by age and by size, MFA events and recordings of terminals by age.
//!
//! The oldest go first, a few at a time, so that no commit waits long. Where there is too much, and one endpoint holds
//! many times what others hold ([`SHARE_MAX`]), it is its own oldest that go: an endpoint in hostile hands, or one gone
//! wild, does not push out what is known of the rest of the fleet. Marks of runs stay: an event that was removed
//! is not taken a second time. Traces stay as long as MFA events, so that provenance is judged by the same facts.

use std::sync::Arc;
use std::time::Duration;

use tocsin_correlate::fact::LOOK_BACK_MS;
use tokio_util::sync::CancellationToken;

use crate::clock::{millis, now_ms};
use crate::config::RetentionConfig;
use crate::recording::Recordings;
use crate::rpc::status::chain;
use crate::store::StoreError;
use crate::store::telemetry::{Heaviest, TelemetryStore};
use crate::task::correlate::Correlator;

/// How often it looks at telemetry.
const INTERVAL: Duration = Duration::from_secs(60);

/// How many of those times it passes MFA events over: they are looked through person by person.
const MFA_EVERY: u32 = 60;

/// Batches that are removed in one transaction.
const REMOVE_BATCHES: u32 = 256;

/// How many times what the others hold on average an endpoint may hold of a full store. Servers send more than laptops
/// do, but hardly that much more.
const SHARE_MAX: u64 = 4;

/// Traces of one endpoint and class that are removed in one transaction.
const REMOVE_TRACES: u32 = 4096;

/// Removes until the server stops.
pub(crate) async fn run(
    telemetry: Arc<dyn TelemetryStore>,
    correlator: Arc<Correlator>,
    recordings: Recordings,
    config: RetentionConfig,
    stopping: CancellationToken,
) {
    let mut timer = tokio::time::interval(INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks: u32 = 0;
    while stopping.run_until_cancelled(timer.tick()).await.is_some() {
        let work = telemetry_once(telemetry.as_ref(), &config, now_ms());
        match stopping.run_until_cancelled(work).await {
            Some(Ok(0)) | None => {}
            Some(Ok(removed)) => tracing::info!(removed, "old event batches removed"),
            Some(Err(error)) => {
                tracing::error!(error = chain(&error), "old event batches were not removed");
            }
        }
        if ticks.is_multiple_of(MFA_EVERY) {
            let before_ms = now_ms().saturating_sub(millis(config.mfa_events_age));
            let work = correlator.remove_mfa_events(before_ms);
            match stopping.run_until_cancelled(work).await {
                Some(Ok(0)) | None => {}
                Some(Ok(removed)) => tracing::info!(removed, "old MFA events removed"),
                Some(Err(error)) => {
                    tracing::error!(error = chain(&error), "old MFA events were not removed");
                }
            }
            remove_recordings(
                &recordings,
                now_ms().saturating_sub(millis(config.recordings_age)),
            )
            .await;
            // As long as the MFA events that are judged by them, and their look-back.
            let before_ms = before_ms.saturating_sub(LOOK_BACK_MS);
            let work = telemetry.remove_old_traces(before_ms, REMOVE_TRACES);
            if let Some(Err(error)) = stopping.run_until_cancelled(work).await {
                tracing::error!(error = chain(&error), "old traces were not removed");
            }
        }
        ticks = ticks.wrapping_add(1);
    }
}

async fn remove_recordings(recordings: &Recordings, before_ms: i64) {
    let recordings = recordings.clone();
    let removing = tokio::task::spawn_blocking(move || recordings.remove_old(before_ms));
    match removing.await.map_err(std::io::Error::other).flatten() {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "old recordings of terminals removed"),
        Err(error) => tracing::error!(%error, "old recordings of terminals were not removed"),
    }
}

/// Removes what is too old, then the oldest while there is too much; answers how many batches.
pub(crate) async fn telemetry_once(
    store: &dyn TelemetryStore,
    config: &RetentionConfig,
    now_ms: i64,
) -> Result<u64, StoreError> {
    let too_old_ms = now_ms.saturating_sub(millis(config.events_age));
    let mut removed = 0;
    loop {
        let some = store.remove_oldest(too_old_ms, REMOVE_BATCHES).await?;
        removed += some;
        if some == 0 {
            break;
        }
    }
    while store.bytes_used().await? > config.events_size {
        let some = remove_some(store).await?;
        removed += some;
        if some == 0 {
            break;
        }
    }
    store.remove_excess_traces(REMOVE_TRACES).await?;
    Ok(removed)
}

/// Removes from the endpoint that holds more than its share, where one does, else the oldest of all.
async fn remove_some(store: &dyn TelemetryStore) -> Result<u64, StoreError> {
    if let Some(heaviest) = store.heaviest().await?
        && is_over_share(&heaviest)
    {
        let endpoint = heaviest.endpoint;
        let removed = store.remove_oldest_of(endpoint, REMOVE_BATCHES).await?;
        if removed > 0 {
            tracing::warn!(%endpoint, bytes = heaviest.bytes, removed,
                "the event store is full, and this endpoint holds many times what others do: its oldest events were removed");
            return Ok(removed);
        }
    }
    store.remove_oldest(i64::MAX, REMOVE_BATCHES).await
}

fn is_over_share(heaviest: &Heaviest) -> bool {
    let on_average = heaviest.bytes_of_others.checked_div(heaviest.others);
    on_average.is_some_and(|bytes| heaviest.bytes > bytes.saturating_mul(SHARE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{batch_of, endpoint, event, run};
    use crate::store::sqlite::SqliteTelemetry;
    use crate::store::telemetry::NewBatch;

    #[test]
    fn an_endpoint_is_over_its_share_by_what_others_hold() {
        let over = |bytes, others, bytes_of_others| {
            is_over_share(&Heaviest {
                endpoint: endpoint(1),
                bytes,
                others,
                bytes_of_others,
            })
        };
        assert!(!over(1 << 40, 0, 0), "alone, it has all of the store");
        assert!(!over(400, 1, 100) && over(401, 1, 100));
        assert!(!over(400, 10, 1000) && over(401, 10, 1000));
    }

    /// A batch of 32 KiB.
    fn large(of: u8, sequence: u64) -> NewBatch {
        let mut batch = batch_of(endpoint(of), run(of), vec![event(sequence, 1)]);
        batch.payload.resize(32 << 10, 7);
        batch
    }

    #[tokio::test]
    async fn a_flood_pushes_out_nothing_but_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteTelemetry::open(&dir.path().join("telemetry.db"))
            .await
            .unwrap();
        for of in 1..=9 {
            store.append(&[large(of, 1), large(of, 2)]).await.unwrap();
        }
        for sequence in 1..=600 {
            store.append(&[large(10, sequence)]).await.unwrap();
        }
        let config = RetentionConfig {
            events_age: Duration::MAX,
            events_size: 8 << 20,
            mfa_events_age: Duration::MAX,
            recordings_age: Duration::MAX,
            recordings_size: u64::MAX,
        };
        let removed = telemetry_once(&store, &config, now_ms()).await.unwrap();
        assert!((1..600).contains(&removed), "{removed}");
        let all: Vec<_> = (1..=10).map(endpoint).collect();
        let totals = store.totals(&all).await.unwrap();
        let left: Vec<u64> = totals.iter().map(|total| total.events).collect();
        assert!(left[..9].iter().all(|events| *events == 2), "{left:?}");
        assert_eq!(left[9], 600 - removed);
    }
}
