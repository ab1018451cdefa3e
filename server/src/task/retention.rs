//! What is old goes: telemetry by age and by size, MFA events by age.
//!
//! The oldest go first, a few at a time, so that no commit waits long. Marks of runs stay: an event that was removed
//! is not taken a second time.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{millis, now_ms};
use crate::config::RetentionConfig;
use crate::rpc::status::chain;
use crate::store::StoreError;
use crate::store::telemetry::TelemetryStore;
use crate::task::correlate::Correlator;

/// How often it looks at telemetry.
const INTERVAL: Duration = Duration::from_secs(60);

/// How many of those times it passes MFA events over: they are looked through person by person.
const MFA_EVERY: u32 = 60;

/// Batches that are removed in one transaction.
const REMOVE_BATCHES: u32 = 256;

/// Removes until the server stops.
pub(crate) async fn run(
    telemetry: Arc<dyn TelemetryStore>,
    correlator: Arc<Correlator>,
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
        }
        ticks = ticks.wrapping_add(1);
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
        let some = store.remove_oldest(i64::MAX, REMOVE_BATCHES).await?;
        removed += some;
        if some == 0 {
            break;
        }
    }
    Ok(removed)
}
