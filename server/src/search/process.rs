//! Which processes run on an endpoint, as far as its stored events tell: those of its latest run that were found
//! running or have started, and have not ended.
//!
//! A run may be months long, so where a reading had many events to go through, its result is kept and the next one
//! goes on from there. An exit that was lost leaves its process in the table until its pid is used again.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;
use tocsin_proto::batch;
use tocsin_proto::event::EventKind;
use tocsin_proto::id::{BootId, EndpointId};
use tocsin_proto::telemetry::v1::event::Body;
use tocsin_proto::telemetry::v1::{Event, Process, ProcessActivity};

use crate::store::StoreError;
use crate::store::telemetry::{ProcessSnapshot, RunRow, TelemetryStore};

/// Processes of one endpoint that are told apart; no machine runs more, but a hostile one may say so.
const PROCESSES_MAX: usize = 1 << 16;

/// Bytes of a kept table, unpacked.
const TABLE_BYTES_MAX: usize = 256 << 20;

/// Events after which a result is worth keeping.
const KEEP_EVENTS: u64 = 50_000;

/// Batches that are read at once.
const PAGE_BATCHES: u32 = 64;

/// The processes of an endpoint.
#[derive(Debug)]
pub(crate) struct ProcessTable {
    /// The boot they belong to.
    pub(crate) boot: BootId,
    /// By pid.
    pub(crate) processes: Vec<Process>,
    /// Newest event of the run.
    pub(crate) as_of_time_ms: i64,
}

/// As it is kept: zstd around this.
#[derive(Clone, PartialEq, prost::Message)]
struct KeptTable {
    #[prost(message, repeated, tag = "1")]
    processes: Vec<Process>,
}

/// Reads an endpoint's processes. `None`: it never sent an event.
pub(crate) async fn process_table(
    store: &Arc<dyn TelemetryStore>,
    endpoint: EndpointId,
) -> Result<Option<ProcessTable>, StoreError> {
    process_table_keeping(store, endpoint, KEEP_EVENTS).await
}

/// The same; the result is kept after so many events.
pub(super) async fn process_table_keeping(
    store: &Arc<dyn TelemetryStore>,
    endpoint: EndpointId,
    keep_events: u64,
) -> Result<Option<ProcessTable>, StoreError> {
    let Some(run) = store.latest_run(endpoint).await? else {
        return Ok(None);
    };
    let (mut table, mut through) = match store.process_snapshot(endpoint, run.run).await? {
        Some(kept) => (Table::unpack(&kept.payload)?, kept.through_sequence),
        None => (Table::default(), 0),
    };
    let mut events = 0;
    loop {
        let kinds = EventKind::Process.bit();
        let page = store.run_batches(endpoint, run.run, through, kinds, PAGE_BATCHES);
        let page = page.await?;
        let Some(last) = page.last() else {
            break;
        };
        events += page
            .iter()
            .map(|batch| u64::from(batch.head.events))
            .sum::<u64>();
        let numbers: Vec<i64> = page.iter().map(|batch| batch.number).collect();
        let payloads = store.payloads(&numbers).await?;
        let from = through;
        through = last.head.last_sequence;
        let work = move || table.replay(&payloads, from);
        table = tokio::task::spawn_blocking(work).await.unwrap_or_default();
    }
    if events >= keep_events {
        keep(store, &run, &table, through).await?;
    }
    let mut processes: Vec<Process> = table.0.into_values().collect();
    processes.sort_unstable_by_key(|process| process.pid);
    Ok(Some(ProcessTable {
        boot: run.boot,
        processes,
        as_of_time_ms: run.event_time_max_ms,
    }))
}

async fn keep(
    store: &Arc<dyn TelemetryStore>,
    run: &RunRow,
    table: &Table,
    through_sequence: u64,
) -> Result<(), StoreError> {
    let Some(payload) = table.pack() else {
        return Ok(());
    };
    let snapshot = ProcessSnapshot {
        through_sequence,
        event_time_max_ms: run.event_time_max_ms,
        payload,
    };
    store
        .keep_process_snapshot(run.endpoint, run.run, &snapshot)
        .await
}

/// Running processes by pid.
#[derive(Debug, Default)]
struct Table(HashMap<u32, Process>);

impl Table {
    /// Takes the events after a sequence from packed batches that are in order.
    fn replay(mut self, payloads: &[(i64, Vec<u8>)], after_sequence: u64) -> Self {
        for (number, payload) in payloads {
            match batch::unpack(payload) {
                Ok(content) => {
                    let new = content.events.into_iter();
                    new.filter(|event| event.sequence > after_sequence)
                        .for_each(|event| self.apply(event));
                }
                Err(error) => {
                    tracing::error!(number, %error, "stored event batch is not readable");
                }
            }
        }
        self
    }

    fn apply(&mut self, event: Event) {
        let Some(Body::Process(process)) = event.body else {
            return;
        };
        match ProcessActivity::try_from(process.activity) {
            Ok(ProcessActivity::Exit) => {
                // The exit of a former bearer of the pid may come late.
                let same = |running: &Process| running.start_ticks == process.start_ticks;
                if self.0.get(&process.pid).is_some_and(same) {
                    self.0.remove(&process.pid);
                }
            }
            Ok(_) => {
                if self.0.len() < PROCESSES_MAX || self.0.contains_key(&process.pid) {
                    self.0.insert(process.pid, process);
                }
            }
            Err(_) => {}
        }
    }

    fn pack(&self) -> Option<Vec<u8>> {
        let kept = KeptTable {
            processes: self.0.values().cloned().collect(),
        };
        zstd::bulk::compress(&kept.encode_to_vec(), 3).ok()
    }

    fn unpack(packed: &[u8]) -> Result<Self, StoreError> {
        let damaged = StoreError::Damaged {
            what: "process table",
        };
        let size = zstd::zstd_safe::get_frame_content_size(packed)
            .ok()
            .flatten();
        let size = size.and_then(|size| usize::try_from(size).ok());
        let Some(size) = size.filter(|size| *size <= TABLE_BYTES_MAX) else {
            return Err(damaged);
        };
        let Ok(bytes) = zstd::bulk::decompress(packed, size) else {
            return Err(damaged);
        };
        let Ok(kept) = KeptTable::decode(bytes.as_slice()) else {
            return Err(damaged);
        };
        let by_pid = kept
            .processes
            .into_iter()
            .map(|process| (process.pid, process));
        Ok(Self(by_pid.collect()))
    }
}
