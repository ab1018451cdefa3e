//! `telemetry.db`: one row a batch.
//!
//! The server is the only process that writes this file. Numbers of endpoints and runs and the marks of runs are
//! therefore kept in memory ([`Runs`]); the statement that moves a mark still names the value it moves from, so that
//! a wrong memory fails the transaction instead of storing an event twice.

use std::collections::HashMap;

use async_trait::async_trait;
use tocsin_proto::id::{EndpointId, EventId, RunId};

use super::SqliteTelemetry;
use crate::store::StoreError;
use crate::store::telemetry::{
    Appended, BatchCursor, BatchQuery, EndpointTotals, Heaviest, NewBatch, ProcessSnapshot, RunRow,
    RunSpan, StoredBatch, TelemetryStore,
};
use crate::store::trace::{ClassState, News, StoredTrace, TraceQuery};

mod append;
mod list;
mod read;
mod retain;
mod trace;

/// Runs whose numbers and marks are kept in memory; beyond it all are forgotten and read again.
const RUNS_MAX: usize = 64 << 10;

/// What is known of runs without asking the file.
#[derive(Debug, Default)]
pub(super) struct Runs(HashMap<(EndpointId, RunId), RunState>);

/// A run as stored.
#[derive(Debug, Clone, Copy)]
struct RunState {
    no: i64,
    endpoint_no: i64,
    mark: u64,
    event_time_max_ms: i64,
    /// Two copies of the endpoint have used it: it takes nothing more.
    reused: bool,
}

#[async_trait]
impl TelemetryStore for SqliteTelemetry {
    async fn append(&self, batches: &[NewBatch]) -> Result<Vec<Appended>, StoreError> {
        append::append(self, batches).await
    }

    async fn mark(&self, endpoint: EndpointId, run: RunId) -> Result<u64, StoreError> {
        read::mark(&self.file, endpoint, run).await
    }

    async fn last_number(&self) -> Result<i64, StoreError> {
        list::last_number(&self.file).await
    }

    async fn list_batches(
        &self,
        query: &BatchQuery,
        after: Option<BatchCursor>,
        limit: u32,
    ) -> Result<Vec<StoredBatch>, StoreError> {
        list::list_batches(&self.file, query, after, limit).await
    }

    async fn run_batches(
        &self,
        endpoint: EndpointId,
        run: RunId,
        after_sequence: u64,
        kinds: u32,
        limit: u32,
    ) -> Result<Vec<StoredBatch>, StoreError> {
        let of = (endpoint, run);
        list::run_batches(&self.file, of, after_sequence, kinds, limit).await
    }

    async fn batch_of(&self, event: EventId) -> Result<Option<StoredBatch>, StoreError> {
        list::batch_of(&self.file, event).await
    }

    async fn payloads(&self, numbers: &[i64]) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
        read::payloads(&self.file, numbers).await
    }

    async fn payloads_after(
        &self,
        number: i64,
        kinds: u32,
        limit: u32,
    ) -> Result<Vec<(i64, EndpointId, Vec<u8>)>, StoreError> {
        read::payloads_after(&self.file, number, kinds, limit).await
    }

    async fn latest_run(&self, endpoint: EndpointId) -> Result<Option<RunRow>, StoreError> {
        read::latest_run(&self.file, endpoint).await
    }

    async fn run_spans(
        &self,
        endpoint: EndpointId,
        since_time_ms: i64,
        until_time_ms: i64,
        limit: u32,
    ) -> Result<Vec<RunSpan>, StoreError> {
        let interval = (since_time_ms, until_time_ms);
        read::run_spans(&self.file, endpoint, interval, limit).await
    }

    async fn first_event_ms(&self, endpoint: EndpointId) -> Result<Option<i64>, StoreError> {
        read::first_event_ms(&self.file, endpoint).await
    }

    async fn traces(&self, query: &TraceQuery) -> Result<Vec<StoredTrace>, StoreError> {
        trace::traces(&self.file, query).await
    }

    async fn trace_classes(&self, endpoint: EndpointId) -> Result<Vec<ClassState>, StoreError> {
        trace::classes(&self.file, endpoint).await
    }

    async fn news(&self, limit: u32) -> Result<Vec<News>, StoreError> {
        trace::news(&self.file, limit).await
    }

    async fn forget_news(&self, news: &[News]) -> Result<(), StoreError> {
        trace::forget_news(&self.file, news).await
    }

    async fn totals(&self, endpoints: &[EndpointId]) -> Result<Vec<EndpointTotals>, StoreError> {
        read::totals(&self.file, endpoints).await
    }

    async fn process_snapshot(
        &self,
        endpoint: EndpointId,
        run: RunId,
    ) -> Result<Option<ProcessSnapshot>, StoreError> {
        read::process_snapshot(&self.file, endpoint, run).await
    }

    async fn keep_process_snapshot(
        &self,
        endpoint: EndpointId,
        run: RunId,
        snapshot: &ProcessSnapshot,
    ) -> Result<(), StoreError> {
        retain::keep_process_snapshot(&self.file, endpoint, run, snapshot).await
    }

    async fn bytes_used(&self) -> Result<u64, StoreError> {
        retain::bytes_used(&self.file).await
    }

    async fn remove_oldest(&self, received_before_ms: i64, limit: u32) -> Result<u64, StoreError> {
        retain::remove_oldest(&self.file, received_before_ms, limit).await
    }

    async fn heaviest(&self) -> Result<Option<Heaviest>, StoreError> {
        retain::heaviest(&self.file).await
    }

    async fn remove_oldest_of(&self, endpoint: EndpointId, limit: u32) -> Result<u64, StoreError> {
        retain::remove_oldest_of(&self.file, endpoint, limit).await
    }

    async fn remove_excess_traces(&self, limit: u32) -> Result<u64, StoreError> {
        trace::remove_excess(&self.file, limit).await
    }

    async fn remove_old_traces(&self, before_time_ms: i64, limit: u32) -> Result<u64, StoreError> {
        trace::remove_old(&self.file, before_time_ms, limit).await
    }
}

/// A sequence or count as SQLite holds it.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The reverse; what is negative was never written by us.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
