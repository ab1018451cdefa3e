//! Telemetry in: validate, quota, dedupe, store, acknowledge.
//!
//! ```text
//! rpc/upload --request--> lane (one stream an endpoint, its quota)
//!                          -> check (here, on the stream's own task: many in parallel)
//!                          -> writer (one task: dedupe and commit of many endpoints' batches)
//!                          -> reply: committed, may be acknowledged
//! ```
//!
//! - What is acknowledged is on disk; what is on disk is there once, however often it was sent.
//! - Over the quota nothing is lost: the stream is read more slowly.
//! - Every queue on the way is bounded in batches and in bytes.

mod check;
mod quota;
mod writer;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tocsin_proto::agent::v1::UploadEventsRequest;
use tocsin_proto::id::{EndpointId, RunId};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::store::telemetry::TelemetryStore;
use crate::trace::Tracer;

pub(crate) use check::{Arrival, Violation};
pub(crate) use quota::RATE_MIN;
pub(crate) use writer::{CommitError, Reply};

/// Lanes that are kept without asking whether they are still needed.
const LANES_IDLE_MAX: usize = 4096;

/// What the first batch of a run costs beside its events, in events: a run is remembered for ever, so nobody may have
/// many quickly.
const RUN_COST: u32 = 5_000;

/// Runs of one endpoint that are known not to be new.
const RUNS_MAX: usize = 64;

/// Why an upload was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngestError {
    /// The caller broke the protocol.
    #[error("upload refused")]
    Violation(#[from] Violation),
    /// The store or the server's end.
    #[error("upload not committed")]
    Commit(#[from] CommitError),
}

/// One endpoint's way in.
#[derive(Debug)]
struct LaneState {
    bucket: quota::Bucket,
    runs: VecDeque<RunId>,
}

impl LaneState {
    /// Pays for a batch of so many events; answers how long to wait before the next one is read.
    fn pay(&mut self, run: RunId, events: u32, now: Instant) -> Duration {
        if self.runs.contains(&run) {
            return self.bucket.take(events, now);
        }
        if self.runs.len() >= RUNS_MAX {
            self.runs.pop_front();
        }
        self.runs.push_back(run);
        self.bucket.take(events.saturating_add(RUN_COST), now)
    }
}

/// The right to upload for one endpoint; there is one at a time.
#[derive(Debug)]
pub(crate) struct Lane {
    state: OwnedMutexGuard<LaneState>,
    endpoint: EndpointId,
    formers: Vec<EndpointId>,
}

/// Takes uploads.
#[derive(Debug)]
pub(crate) struct Ingest {
    writer: writer::Writer,
    lanes: Mutex<HashMap<EndpointId, Arc<tokio::sync::Mutex<LaneState>>>>,
    events_per_second_max: u32,
    tracer: Arc<Tracer>,
}

impl Ingest {
    /// Ingest into this store, and the work of its writer, which the caller runs until it ends: that is when this
    /// value is gone and everything is answered.
    pub(crate) fn new(
        store: Arc<dyn TelemetryStore>,
        events_per_second_max: u32,
        tracer: Arc<Tracer>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (writer, work) = writer::Writer::new(store);
        let ingest = Self {
            writer,
            lanes: Mutex::default(),
            events_per_second_max,
            tracer,
        };
        (ingest, work)
    }

    /// Waits until no other stream uploads for this endpoint, which its machine was `formers` before, the newest first.
    pub(crate) async fn lane(&self, endpoint: EndpointId, formers: Vec<EndpointId>) -> Lane {
        let lane = self.lane_of(endpoint, Instant::now());
        Lane {
            state: lane.lock_owned().await,
            endpoint,
            formers,
        }
    }

    fn lane_of(&self, endpoint: EndpointId, now: Instant) -> Arc<tokio::sync::Mutex<LaneState>> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() >= LANES_IDLE_MAX {
            lanes.retain(|_, lane| match lane.try_lock() {
                Ok(mut state) => Arc::strong_count(lane) > 1 || !state.bucket.is_full(now),
                Err(_) => true,
            });
        }
        let new = || {
            let bucket = quota::Bucket::new(self.events_per_second_max, now);
            Arc::new(tokio::sync::Mutex::new(LaneState {
                bucket,
                runs: VecDeque::new(),
            }))
        };
        Arc::clone(lanes.entry(endpoint).or_insert_with(new))
    }

    /// Checks an upload and queues it. Answers what to wait for before it is acknowledged, and how long to wait
    /// before the next one is read.
    ///
    /// # Errors
    /// [`IngestError`]; the stream ends with it.
    pub(crate) async fn take(
        &self,
        lane: &mut Lane,
        request: UploadEventsRequest,
        receive_time_ms: i64,
    ) -> Result<(Reply, Duration), IngestError> {
        let arrival = Arrival {
            endpoint: lane.endpoint,
            receive_time_ms,
        };
        let mut checked = check::check(arrival, request, &self.tracer)?;
        checked.batch.formers.clone_from(&lane.formers);
        if checked.dropped > 0 {
            tracing::warn!(
                endpoint = %lane.endpoint,
                run = %checked.batch.head.run,
                dropped = checked.dropped,
                "invalid events dropped; a gap stands for them"
            );
        }
        let events = checked
            .batch
            .head
            .events
            .saturating_add(u32::try_from(checked.dropped).unwrap_or(u32::MAX));
        let run = checked.batch.head.run;
        let delay = lane.state.pay(run, events, Instant::now());
        let reply = self.writer.queue(checked.batch).await?;
        Ok((reply, delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{endpoint, run};
    use crate::store::sqlite::SqliteTelemetry;

    #[test]
    fn a_run_is_paid_for_once() {
        let now = Instant::now();
        let mut state = LaneState {
            bucket: quota::Bucket::new(RATE_MIN, now),
            runs: VecDeque::new(),
        };
        assert_eq!(state.pay(run(1), 1, now), Duration::ZERO);
        assert_eq!(state.pay(run(1), 1, now), Duration::ZERO);
        let waits: Vec<Duration> = (2..5).map(|n| state.pay(run(n), 1, now)).collect();
        assert!(waits[2] > Duration::from_secs(1), "{waits:?}");
    }

    #[tokio::test]
    async fn one_stream_at_a_time_uploads_for_an_endpoint() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteTelemetry::open(&dir.path().join("telemetry.db"))
            .await
            .unwrap();
        let (ingest, _work) = Ingest::new(Arc::new(store), RATE_MIN, Arc::default());
        let first = ingest.lane(endpoint(1), Vec::new()).await;
        let _other = ingest.lane(endpoint(2), Vec::new()).await;
        let second = ingest.lane(endpoint(1), Vec::new());
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("two at once"),
            () = std::future::ready(()) => {}
        }
        drop(first);
        second.await;
    }
}
