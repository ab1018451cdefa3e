//! Stored events out: found, put in order, and streamed; and the process table that follows from them.
//!
//! ```text
//! store: batches that may match (columns)  -> decode, filter   (blocking threads)
//!                                          -> merge            (order, bounded memory)
//!                                          -> chunks to the caller
//! ```
//!
//! The order is (event time, endpoint, run, sequence), or exactly its reverse. An answer of any length holds at most
//! [`HELD_BYTES_MAX`] of events in memory: see [`merge`]. It shows what was committed when it began. The caller
//! ends it by dropping the receiver.

mod decode;
mod filter;
mod merge;
pub(crate) mod process;
mod words;

use std::sync::Arc;

use tocsin_proto::id::EndpointId;
use tokio::sync::mpsc;

use crate::store::StoreError;
use crate::store::telemetry::{BatchCursor, BatchQuery, StoredBatch, TelemetryStore};

pub(crate) use decode::{Found, find};
pub(crate) use filter::{Filter, Text};
use merge::Merge;
pub(crate) use words::address;

/// Bytes of matching events that one search holds while it puts them in order.
const HELD_BYTES_MAX: usize = 32 << 20;

/// Events in one chunk of the answer.
pub(crate) const CHUNK_EVENTS_MAX: usize = 512;

/// Batches that are listed at once.
const PAGE_BATCHES: u32 = 128;

/// Packed bytes that are read and decoded at once.
const READ_BYTES_MAX: u64 = 4 << 20;

/// What to search for.
#[derive(Debug)]
pub(crate) struct Search {
    /// Which events.
    pub(crate) filter: Filter,
    /// Of one endpoint.
    pub(crate) endpoint: Option<EndpointId>,
    /// Oldest first instead of newest first.
    pub(crate) ascending: bool,
    /// At most so many; 0 = all.
    pub(crate) limit: u64,
}

/// Sends what is found, in order, in chunks. Ends early where nobody receives any more.
pub(crate) async fn search(
    store: Arc<dyn TelemetryStore>,
    search: Search,
    chunks: mpsc::Sender<Vec<Found>>,
) -> Result<(), StoreError> {
    search_within(store, search, chunks, HELD_BYTES_MAX).await
}

/// The same, holding at most so many bytes (and one event).
async fn search_within(
    store: Arc<dyn TelemetryStore>,
    search: Search,
    chunks: mpsc::Sender<Vec<Found>>,
    bytes_max: usize,
) -> Result<(), StoreError> {
    let mut query = BatchQuery {
        endpoint: search.endpoint,
        kinds: search.filter.kinds,
        since_time_ms: search.filter.since_time_ms,
        until_time_ms: search.filter.until_time_ms,
        number_max: store.last_number().await?,
        ascending: search.ascending,
    };
    let mut run = Run {
        store,
        filter: Arc::new(search.filter),
        merge: Merge::new(search.ascending, search.limit, bytes_max),
        chunks,
    };
    loop {
        match run.round(&query).await? {
            Round::Done => return Ok(()),
            Round::Again { from_time_ms } => {
                if search.ascending {
                    query.since_time_ms = from_time_ms;
                } else {
                    query.until_time_ms = from_time_ms;
                }
            }
        }
    }
}

/// How one walk over the batches ended.
enum Round {
    /// All is sent, or nobody wants more.
    Done,
    /// What did not fit was let go: walk again from here.
    Again { from_time_ms: i64 },
}

struct Run {
    store: Arc<dyn TelemetryStore>,
    filter: Arc<Filter>,
    merge: Merge,
    chunks: mpsc::Sender<Vec<Found>>,
}

impl Run {
    async fn round(&mut self, query: &BatchQuery) -> Result<Round, StoreError> {
        self.merge.begin_round();
        let mut after = None;
        loop {
            let page = self.store.list_batches(query, after, PAGE_BATCHES);
            let page = page.await?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(BatchCursor {
                time_ms: self.merge.sort_time(&last.head),
                number: last.number,
            });
            for part in parts(&page) {
                let Some(first) = part.first() else {
                    continue;
                };
                // No batch from here on has an event before this time.
                let time_ms = self.merge.sort_time(&first.head);
                if !self.send(Some(time_ms)).await {
                    return Ok(Round::Done);
                }
                if self.merge.needs_nothing_from(time_ms) {
                    return Ok(self.end_round().await);
                }
                let found = self.read(part).await?;
                self.merge.add(found);
            }
        }
        Ok(self.end_round().await)
    }

    async fn end_round(&mut self) -> Round {
        if !self.send(None).await {
            return Round::Done;
        }
        match self.merge.next_round() {
            Some(from_time_ms) => Round::Again { from_time_ms },
            None => Round::Done,
        }
    }

    /// Sends what comes before the time, or all that is held. `false`: no more is wanted.
    async fn send(&mut self, before_time_ms: Option<i64>) -> bool {
        let mut ready = self.merge.take_ready(before_time_ms).into_iter();
        loop {
            let chunk: Vec<Found> = ready.by_ref().take(CHUNK_EVENTS_MAX).collect();
            if chunk.is_empty() {
                return !self.merge.is_done() && !self.chunks.is_closed();
            }
            if self.chunks.send(chunk).await.is_err() {
                return false;
            }
        }
    }

    /// The matching events of these batches.
    async fn read(&self, part: &[StoredBatch]) -> Result<Vec<Found>, StoreError> {
        let numbers: Vec<i64> = part.iter().map(|batch| batch.number).collect();
        let payloads = self.store.payloads(&numbers).await?;
        let heads = part.to_vec();
        let filter = Arc::clone(&self.filter);
        let work = move || decode::decode(&heads, payloads, &filter);
        // It cannot be cancelled and does not panic; were it to, nothing was found in these batches.
        Ok(tokio::task::spawn_blocking(work).await.unwrap_or_default())
    }
}

/// Cuts a page so that no part is larger than what is read at once.
fn parts(page: &[StoredBatch]) -> Vec<&[StoredBatch]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, batch) in page.iter().enumerate() {
        if bytes > 0 && bytes + u64::from(batch.bytes) > READ_BYTES_MAX {
            parts.push(page.get(start..at).unwrap_or_default());
            (start, bytes) = (at, 0);
        }
        bytes += u64::from(batch.bytes);
    }
    parts.push(page.get(start..).unwrap_or_default());
    parts
}

#[cfg(test)]
mod tests;
