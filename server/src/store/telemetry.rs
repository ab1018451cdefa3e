//! Event batches and what is read from them.
//!
//! ```text
//! batch   endpoint, run, first..last sequence | oldest..newest event time, kinds | packed bytes
//! run     (endpoint, run) -> mark: every sequence up to it was committed, or is named by a gap
//! ```
//!
//! The bytes of a batch are those that the endpoint packed ([`tocsin_proto::batch`]); who reads, unpacks. The columns are
//! for leaving batches out unread. Ranges of sequences of one run never overlap, so an event is in at most one
//! batch. What is missing between two batches is a batch of its own, made here, with one gap event that stands at
//! the first missing sequence.
//!
//! Marks outlive the events: what retention removed is not taken a second time.

use async_trait::async_trait;
use prost::Message;
use tocsin_proto::batch::{self, BatchError};
use tocsin_proto::event::EventKind;
use tocsin_proto::id::{BootId, EndpointId, EventId, RunId};
use tocsin_proto::telemetry::v1::event::Body;
use tocsin_proto::telemetry::v1::{Event, EventBatch, Gap, GapPlace, GapReason};

use super::StoreError;
use super::trace::{Class, ClassState, News, StoredTrace, Trace, TraceQuery};

/// The highest sequence there can be: the highest whole number that every reader of JSON holds exactly.
pub(crate) const SEQUENCE_MAX: u64 = (1 << 53) - 1;

/// Batches in one page of a listing, at most.
pub(crate) const BATCHES_MAX: u32 = 1024;

/// How gaps that the server made call themselves.
pub(crate) const SERVER_COMPONENT: &str = "server";

/// What is known of a batch without unpacking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchHead {
    /// Whose key delivered it.
    pub(crate) endpoint: EndpointId,
    /// The run that made it.
    pub(crate) run: RunId,
    /// Sequence of its first event.
    pub(crate) first_sequence: u64,
    /// The last sequence that it accounts for.
    pub(crate) last_sequence: u64,
    /// Events in it.
    pub(crate) events: u32,
    /// Time of its oldest event.
    pub(crate) event_time_min_ms: i64,
    /// Time of its newest event.
    pub(crate) event_time_max_ms: i64,
    /// [`EventKind::bit`] of every kind in it.
    pub(crate) kinds: u32,
    /// When the server received it.
    pub(crate) receive_time_ms: i64,
}

/// A checked batch on its way into the store.
#[derive(Debug, Clone)]
pub(crate) struct NewBatch {
    /// What it holds.
    pub(crate) head: BatchHead,
    /// The boot its run belongs to.
    pub(crate) boot: BootId,
    /// Packed.
    pub(crate) payload: Vec<u8>,
    /// What its gap events say was lost in the endpoint's spool, by run and sequence.
    pub(crate) named: Vec<NamedLoss>,
    /// Those of its events that are kept apart too.
    pub(crate) traces: Vec<Trace>,
    /// What the machine was before it was enrolled anew, the newest first. A run that one of them began goes on from
    /// the mark that it has there.
    pub(crate) formers: Vec<EndpointId>,
}

/// Sequences that an endpoint says it lost. A hole that lies in it needs no gap of the server's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedLoss {
    /// Of which run.
    pub(crate) run: RunId,
    /// From, inclusive.
    pub(crate) first_sequence: u64,
    /// Until, inclusive.
    pub(crate) last_sequence: u64,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// All of it is new and stored.
    Stored,
    /// Its end is new and stored.
    Trimmed,
    /// All of it had been committed before.
    Repeated,
    /// Other events of its run have its numbers, so that it comes from another copy of the machine than they did.
    /// Nothing of it is stored, and of its run nothing more is taken.
    Reused,
}

/// A stored batch without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredBatch {
    /// Position in the order in which batches were committed.
    pub(crate) number: i64,
    /// What it holds.
    pub(crate) head: BatchHead,
    /// Bytes as packed.
    pub(crate) bytes: u32,
}

/// Which batches to list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchQuery {
    /// Of one endpoint.
    pub(crate) endpoint: Option<EndpointId>,
    /// With at least one of these kinds; 0 = any.
    pub(crate) kinds: u32,
    /// Holding an event at or after this time.
    pub(crate) since_time_ms: i64,
    /// Holding an event at or before this time.
    pub(crate) until_time_ms: i64,
    /// Not committed after this one: what a reader that takes long sees does not change under it.
    pub(crate) number_max: i64,
    /// By oldest event, ascending, instead of by newest event, descending.
    pub(crate) ascending: bool,
}

/// Where a page of batches ended: the time it is sorted by, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchCursor {
    /// Newest event's time, or oldest event's where ascending.
    pub(crate) time_ms: i64,
    /// Its number.
    pub(crate) number: i64,
}

/// A run of an agent, as far as its batches tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunRow {
    /// Whose.
    pub(crate) endpoint: EndpointId,
    /// Its id.
    pub(crate) run: RunId,
    /// The boot it belongs to.
    pub(crate) boot: BootId,
    /// Every sequence up to here is accounted for.
    pub(crate) committed_through: u64,
    /// Newest event.
    pub(crate) event_time_max_ms: i64,
}

/// When a run's events were. Between the first and the last the agent did not stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunSpan {
    /// Its id.
    pub(crate) run: RunId,
    /// The boot it belongs to.
    pub(crate) boot: BootId,
    /// Oldest event ever.
    pub(crate) from_ms: i64,
    /// Newest event ever.
    pub(crate) until_ms: i64,
}

/// What is stored of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct EndpointTotals {
    /// Events.
    pub(crate) events: u64,
    /// Newest event, 0 where there is none.
    pub(crate) event_time_max_ms: i64,
    /// When its last batch came, 0 where none did.
    pub(crate) receive_time_ms: i64,
}

/// A process table at one position of a run, so that nobody reads a long run from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessSnapshot {
    /// Made of every event up to this one.
    pub(crate) through_sequence: u64,
    /// Newest event it is made of.
    pub(crate) event_time_max_ms: i64,
    /// Its processes, packed as its writer does.
    pub(crate) payload: Vec<u8>,
}

/// Telemetry. Promises of every method: see [`super`].
/// The endpoint of which most is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heaviest {
    /// Which.
    pub(crate) endpoint: EndpointId,
    /// Bytes of its batches, rows and all, about.
    pub(crate) bytes: u64,
    /// How many others have something stored.
    pub(crate) others: u64,
    /// Bytes of theirs, all together.
    pub(crate) bytes_of_others: u64,
}

#[async_trait]
pub(crate) trait TelemetryStore: std::fmt::Debug + Send + Sync {
    /// Stores what is new of these batches, in their order, with the marks, the counts and the gaps in front of
    /// them: all of it, or nothing. Answers for each one. `Ok` means it is on the disk.
    async fn append(&self, batches: &[NewBatch]) -> Result<Vec<Appended>, StoreError>;

    /// The mark of a run; 0 where nothing of it was ever committed.
    async fn mark(&self, endpoint: EndpointId, run: RunId) -> Result<u64, StoreError>;
    /// Number of the batch that was committed last; 0 where there is none.
    async fn last_number(&self) -> Result<i64, StoreError>;
    /// At most `limit` batches of a query, in its order, after `after`.
    async fn list_batches(
        &self,
        query: &BatchQuery,
        after: Option<BatchCursor>,
        limit: u32,
    ) -> Result<Vec<StoredBatch>, StoreError>;
    /// At most `limit` batches of one run that account for sequences after `after_sequence` and hold one of these
    /// kinds (0 = any), by sequence.
    async fn run_batches(
        &self,
        endpoint: EndpointId,
        run: RunId,
        after_sequence: u64,
        kinds: u32,
        limit: u32,
    ) -> Result<Vec<StoredBatch>, StoreError>;
    /// The batch whose sequences hold this event, where there is one.
    async fn batch_of(&self, event: EventId) -> Result<Option<StoredBatch>, StoreError>;
    /// Packed bytes of these batches, with their numbers; a batch that is gone is left out.
    async fn payloads(&self, numbers: &[i64]) -> Result<Vec<(i64, Vec<u8>)>, StoreError>;
    /// At most `limit` batches with any of these kinds that were committed after one, in their order: number, endpoint,
    /// packed bytes.
    async fn payloads_after(
        &self,
        number: i64,
        kinds: u32,
        limit: u32,
    ) -> Result<Vec<(i64, EndpointId, Vec<u8>)>, StoreError>;

    /// The run that began to arrive last.
    async fn latest_run(&self, endpoint: EndpointId) -> Result<Option<RunRow>, StoreError>;
    /// Each run of an endpoint that touches the interval, the newest first, at most `limit`.
    async fn run_spans(
        &self,
        endpoint: EndpointId,
        since_time_ms: i64,
        until_time_ms: i64,
        limit: u32,
    ) -> Result<Vec<RunSpan>, StoreError>;
    /// Time of the oldest event that an endpoint ever sent.
    async fn first_event_ms(&self, endpoint: EndpointId) -> Result<Option<i64>, StoreError>;
    /// Traces of a query, the newest first.
    async fn traces(&self, query: &TraceQuery) -> Result<Vec<StoredTrace>, StoreError>;
    /// What is kept of an endpoint's classes, where some of it is missing.
    async fn trace_classes(&self, endpoint: EndpointId) -> Result<Vec<ClassState>, StoreError>;
    /// At most `limit` endpoints that have sent something, the oldest news first.
    async fn news(&self, limit: u32) -> Result<Vec<News>, StoreError>;
    /// Takes these news away, where there is none newer of the same endpoint.
    async fn forget_news(&self, news: &[News]) -> Result<(), StoreError>;
    /// What is stored of these endpoints, in their order.
    async fn totals(&self, endpoints: &[EndpointId]) -> Result<Vec<EndpointTotals>, StoreError>;

    /// The kept process table of a run.
    async fn process_snapshot(
        &self,
        endpoint: EndpointId,
        run: RunId,
    ) -> Result<Option<ProcessSnapshot>, StoreError>;
    /// Keeps a process table; one for each run, of the latest run of an endpoint only.
    async fn keep_process_snapshot(
        &self,
        endpoint: EndpointId,
        run: RunId,
        snapshot: &ProcessSnapshot,
    ) -> Result<(), StoreError>;

    /// Bytes on disk that hold something.
    async fn bytes_used(&self) -> Result<u64, StoreError>;
    /// Removes at most `limit` of the oldest batches, those received before the time, and answers how many it
    /// removed. Marks stay.
    async fn remove_oldest(&self, received_before_ms: i64, limit: u32) -> Result<u64, StoreError>;
    /// The endpoint of which most is stored; `None` where nothing is.
    async fn heaviest(&self) -> Result<Option<Heaviest>, StoreError>;
    /// Removes at most `limit` batches of the endpoint's oldest run of which any are stored, by sequence, and answers
    /// how many it removed. Marks stay.
    async fn remove_oldest_of(&self, endpoint: EndpointId, limit: u32) -> Result<u64, StoreError>;
    /// Removes traces that are more than [`Class::traces_max`], the oldest, at most `limit` of each endpoint and class.
    /// Answers how many it removed.
    async fn remove_excess_traces(&self, limit: u32) -> Result<u64, StoreError>;
    /// Removes traces of before a time, at most `limit` of each endpoint and class. Answers how many it removed.
    async fn remove_old_traces(&self, before_time_ms: i64, limit: u32) -> Result<u64, StoreError>;
}

/// Takes away what a batch repeats: everything up to `mark`, which lies in it.
///
/// # Errors
/// Where its bytes are not what was checked.
pub(crate) fn trim(batch: &NewBatch, mark: u64) -> Result<NewBatch, BatchError> {
    let mut content = batch::unpack(&batch.payload)?;
    content.events.retain(|event| event.sequence > mark);
    let mut head = batch.head.clone();
    head.first_sequence = content
        .events
        .first()
        .map_or(head.last_sequence, |event| event.sequence);
    describe(&mut head, &content.events);
    Ok(NewBatch {
        head,
        boot: batch.boot,
        payload: batch::pack(&content)?,
        named: batch.named.clone(),
        traces: batch
            .traces
            .iter()
            .filter(|trace| trace.sequence > mark)
            .cloned()
            .collect(),
        formers: batch.formers.clone(),
    })
}

/// Sets the columns that follow from the events.
pub(crate) fn describe(head: &mut BatchHead, events: &[Event]) {
    head.events = u32::try_from(events.len()).unwrap_or(u32::MAX);
    let times = || events.iter().map(|event| event.event_time_ms);
    head.event_time_min_ms = times().min().unwrap_or(head.receive_time_ms);
    head.event_time_max_ms = times().max().unwrap_or(head.receive_time_ms);
    head.kinds = events.iter().filter_map(kind_bit).fold(0, |a, b| a | b);
}

fn kind_bit(event: &Event) -> Option<u32> {
    let kind = match event.body.as_ref()? {
        Body::Process(_) => EventKind::Process,
        Body::Gap(_) => EventKind::Gap,
        Body::Health(_) => EventKind::Health,
        Body::Login(_) => EventKind::Login,
        Body::Session(_) => EventKind::Session,
        Body::Network(_) => EventKind::Network,
        Body::File(_) => EventKind::File,
    };
    Some(kind.bit())
}

/// The batch that stands for the sequences which never came before `next`: from `first_missing` to the one
/// before it. `since_time_ms` is the newest event before them.
///
/// # Errors
/// None in practice: it is small.
pub(crate) fn hole(
    next: &NewBatch,
    first_missing: u64,
    since_time_ms: i64,
) -> Result<NewBatch, BatchError> {
    let last_missing = next.head.first_sequence.saturating_sub(1);
    let until_time_ms = next.head.event_time_min_ms;
    let gap = Gap {
        place: GapPlace::Spool.into(),
        reason: GapReason::Damaged.into(),
        component: SERVER_COMPONENT.into(),
        lost: Some(last_missing.saturating_sub(first_missing).saturating_add(1)),
        from_time_ms: since_time_ms.clamp(0, until_time_ms),
        until_time_ms,
        run_id: Vec::new(),
        first_sequence: first_missing,
        last_sequence: last_missing,
    };
    let head = BatchHead {
        first_sequence: first_missing,
        last_sequence: last_missing,
        ..next.head.clone()
    };
    gap_batch(head, next.boot, gap)
}

/// A batch of one gap event, at the first sequence of `head`.
///
/// # Errors
/// None in practice: it is small.
pub(crate) fn gap_batch(
    mut head: BatchHead,
    boot: BootId,
    gap: Gap,
) -> Result<NewBatch, BatchError> {
    let content = EventBatch {
        boot_id: boot.as_bytes().to_vec(),
        events: vec![Event {
            sequence: head.first_sequence,
            event_time_ms: gap.until_time_ms,
            body: Some(Body::Gap(gap)),
        }],
    };
    describe(&mut head, &content.events);
    Ok(NewBatch {
        head,
        boot,
        payload: batch::pack(&content)?,
        named: Vec::new(),
        traces: content.events.iter().map(gap_trace).collect(),
        formers: Vec::new(),
    })
}

/// Whether two batches of one run hold different events of one sequence. What the server put in an event's place says
/// nothing.
pub(crate) fn differ(one: &EventBatch, other: &EventBatch) -> bool {
    let from_endpoint = |event: &&Event| !matches!(&event.body, Some(Body::Gap(gap)) if gap.component == SERVER_COMPONENT);
    let mut others = other.events.iter().filter(from_endpoint).peekable();
    one.events.iter().filter(from_endpoint).any(|event| {
        while others
            .next_if(|other| other.sequence < event.sequence)
            .is_some()
        {}
        others
            .next_if(|other| other.sequence == event.sequence)
            .is_some_and(|other| other != event)
    })
}

/// The trace of a gap event.
pub(crate) fn gap_trace(event: &Event) -> Trace {
    Trace {
        class: Class::Gap,
        sequence: event.sequence,
        event_time_ms: event.event_time_ms,
        event: event.encode_to_vec(),
    }
}

/// Bytes that a batch holds in memory while it waits.
pub(crate) fn weight(batch: &NewBatch) -> usize {
    let traces = batch.traces.iter();
    let traces: usize = traces
        .map(|trace| trace.event.len() + size_of::<Trace>())
        .sum();
    batch.payload.len()
        + batch.named.len() * size_of::<NamedLoss>()
        + traces
        + size_of::<NewBatch>()
}
