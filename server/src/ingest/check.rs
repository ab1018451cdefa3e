//! From an upload to a batch that may be stored. Pure: the time comes in as a value.
//!
//! Two kinds of wrong, told apart by who can do something about it:
//!
//! - The *upload* is not what the protocol says (ranges, order, sizes, bombs): no agent does that by accident, so
//!   the stream is refused with a [`Violation`].
//! - An *event* in it is not what it should be, or its bytes are damaged: the agent would send it again for ever.
//!   It is dropped, counted, and a gap event stands at the first dropped sequence.
//!
//! A batch with nothing wrong in it is stored as the bytes that came.

use tocsin_proto::agent::v1::UploadEventsRequest;
use tocsin_proto::batch::{self, BatchError};
use tocsin_proto::event::{Body, Event};
use tocsin_proto::id::{BootId, EndpointId, RunId};
use tocsin_proto::limits::BATCH_EVENTS_MAX;
use tocsin_proto::telemetry::v1::{self as wire, EventBatch, Gap, GapPlace, GapReason};

use crate::store::telemetry::{
    BatchHead, NamedLoss, NewBatch, SEQUENCE_MAX, SERVER_COMPONENT, describe, gap_batch, gap_trace,
};
use crate::store::trace::Trace;
use crate::trace::Tracer;

/// Losses in the spool that one batch may name. An agent that was long without a server tells all that its spool
/// remembers (256) at once, and one that is not taken in would be counted a second time as a hole.
const NAMED_MAX: usize = BATCH_EVENTS_MAX;

/// An upload that is not what the protocol says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Violation {
    /// Not 16 bytes.
    #[error("run_id has {0} bytes, it must have 16")]
    RunId(usize),
    /// Empty, backwards, too many, or beyond what a sequence may be.
    #[error(
        "sequences {first} to {last} are not a range of 1 to {BATCH_EVENTS_MAX} events from 1 on"
    )]
    Range {
        /// As stated.
        first: u64,
        /// As stated.
        last: u64,
    },
    /// Unpacks to more than a batch may be, or does not say to how much.
    #[error("batch {first} to {last} is over its limits")]
    Size {
        /// As stated.
        first: u64,
        /// As stated.
        last: u64,
        /// What is too much.
        #[source]
        source: BatchError,
    },
    /// Not one event for each sequence of the range, in order.
    #[error("batch {first} to {last} holds sequence {found} where {expected} belongs")]
    Sequence {
        /// As stated.
        first: u64,
        /// As stated.
        last: u64,
        /// What belongs there.
        expected: u64,
        /// What is there; 0 where there is nothing.
        found: u64,
    },
}

/// A batch that may be stored.
#[derive(Debug)]
pub(crate) struct Checked {
    /// What to store.
    pub(crate) batch: NewBatch,
    /// Events that were dropped from it.
    pub(crate) dropped: u64,
}

/// Who sends, and when it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// The endpoint whose key the connection has.
    pub(crate) endpoint: EndpointId,
    /// The server's clock.
    pub(crate) receive_time_ms: i64,
}

/// Checks an upload.
///
/// # Errors
/// [`Violation`]: the stream is to be refused.
pub(crate) fn check(
    arrival: Arrival,
    request: UploadEventsRequest,
    tracer: &Tracer,
) -> Result<Checked, Violation> {
    let (first, last) = (request.first_sequence, request.last_sequence);
    let run = RunId::from_wire(&request.run_id).ok_or(Violation::RunId(request.run_id.len()))?;
    let count = last.checked_sub(first).and_then(|span| span.checked_add(1));
    let in_range = count.is_some_and(|count| count <= BATCH_EVENTS_MAX as u64);
    if first == 0 || last > SEQUENCE_MAX || !in_range {
        return Err(Violation::Range { first, last });
    }
    let head = BatchHead {
        endpoint: arrival.endpoint,
        run,
        first_sequence: first,
        last_sequence: last,
        events: 0,
        event_time_min_ms: arrival.receive_time_ms,
        event_time_max_ms: arrival.receive_time_ms,
        kinds: 0,
        receive_time_ms: arrival.receive_time_ms,
    };
    let content = match batch::unpack(&request.batch) {
        Ok(content) => content,
        Err(source @ (BatchError::TooLarge { .. } | BatchError::Size)) => {
            return Err(Violation::Size {
                first,
                last,
                source,
            });
        }
        // Damaged on its way through the spool's disk: nothing of it can be had.
        Err(BatchError::Compression { .. } | BatchError::Decode(_)) => {
            return all_dropped(head, BootId::from_bytes([0; 16]));
        }
    };
    in_order(&content, first, last)?;
    let Some(boot) = BootId::from_wire(&content.boot_id) else {
        return all_dropped(head, BootId::from_bytes([0; 16]));
    };
    keep_valid(head, boot, content, (request.batch, tracer))
}

/// One event for each sequence of the range, in order.
fn in_order(content: &EventBatch, first: u64, last: u64) -> Result<(), Violation> {
    let mut found = content.events.iter().map(|event| event.sequence);
    for expected in first..=last {
        let found = found.next().unwrap_or(0);
        if found != expected {
            return Err(Violation::Sequence {
                first,
                last,
                expected,
                found,
            });
        }
    }
    match found.next() {
        None => Ok(()),
        Some(found) => Err(Violation::Sequence {
            first,
            last,
            expected: 0,
            found,
        }),
    }
}

/// Keeps the events that are valid; the bytes that came, where that is all of them.
fn keep_valid(
    mut head: BatchHead,
    boot: BootId,
    content: EventBatch,
    (packed, tracer): (Vec<u8>, &Tracer),
) -> Result<Checked, Violation> {
    let mut kept = Kept::default();
    for event in content.events {
        let sequence = event.sequence;
        let valid = Event::try_from(event)
            .and_then(|event| event.check_time(head.receive_time_ms).map(|()| event));
        match valid {
            Ok(event) => kept.add(&mut head, event),
            Err(error) => {
                tracing::debug!(endpoint = %head.endpoint, run = %head.run, %error, "event refused");
                kept.drop_at(sequence);
            }
        }
    }
    let named = kept.named(head.run);
    let traces = kept
        .events
        .iter()
        .filter_map(|event| tracer.trace(event))
        .collect();
    if kept.dropped == 0 {
        head.event_time_min_ms = kept.time_min_ms;
        head.event_time_max_ms = kept.time_max_ms;
        head.events = u32::try_from(kept.events.len()).unwrap_or(u32::MAX);
        return Ok(Checked {
            batch: NewBatch {
                head,
                boot,
                payload: packed,
                named,
                traces,
                formers: Vec::new(),
            },
            dropped: 0,
        });
    }
    kept.repack(head, boot, (named, traces))
}

/// What is kept of a batch.
struct Kept {
    events: Vec<Event>,
    time_min_ms: i64,
    time_max_ms: i64,
    dropped: u64,
    dropped_first: u64,
    dropped_last: u64,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            events: Vec::with_capacity(BATCH_EVENTS_MAX),
            time_min_ms: i64::MAX,
            time_max_ms: i64::MIN,
            dropped: 0,
            dropped_first: 0,
            dropped_last: 0,
        }
    }
}

impl Kept {
    fn add(&mut self, head: &mut BatchHead, event: Event) {
        head.kinds |= event.kind().bit();
        self.time_min_ms = self.time_min_ms.min(event.event_time_ms);
        self.time_max_ms = self.time_max_ms.max(event.event_time_ms);
        self.events.push(event);
    }

    fn drop_at(&mut self, sequence: u64) {
        if self.dropped == 0 {
            self.dropped_first = sequence;
        }
        self.dropped_last = sequence;
        self.dropped += 1;
    }

    /// What its gap events say was lost in the spool.
    fn named(&self, run: RunId) -> Vec<NamedLoss> {
        let gaps = self.events.iter().filter_map(|event| match &event.body {
            Body::Gap(gap) if gap.place == i32::from(GapPlace::Spool) => Some(gap),
            _ => None,
        });
        gaps.filter(|gap| gap.first_sequence > 0)
            .map(|gap| NamedLoss {
                run: RunId::from_wire(&gap.run_id).unwrap_or(run),
                first_sequence: gap.first_sequence,
                last_sequence: gap.last_sequence.min(SEQUENCE_MAX),
            })
            .take(NAMED_MAX)
            .collect()
    }

    /// The valid events and one gap event at the first sequence that was dropped.
    fn repack(
        self,
        mut head: BatchHead,
        boot: BootId,
        (named, mut traces): (Vec<NamedLoss>, Vec<Trace>),
    ) -> Result<Checked, Violation> {
        let dropped = self.dropped;
        let (from, until) = if self.events.is_empty() {
            (head.receive_time_ms, head.receive_time_ms)
        } else {
            (self.time_min_ms, self.time_max_ms)
        };
        let gap = wire::Event {
            sequence: self.dropped_first,
            event_time_ms: from,
            body: Some(wire::event::Body::Gap(invalid(
                dropped,
                (self.dropped_first, self.dropped_last),
                (from, until),
            ))),
        };
        traces.push(gap_trace(&gap));
        let mut events: Vec<wire::Event> = self.events.into_iter().map(wire::Event::from).collect();
        let at = events.partition_point(|event| event.sequence < gap.sequence);
        events.insert(at, gap);
        describe(&mut head, &events);
        let content = EventBatch {
            boot_id: boot.as_bytes().to_vec(),
            events,
        };
        match batch::pack(&content) {
            Ok(payload) => Ok(Checked {
                batch: NewBatch {
                    head,
                    boot,
                    payload,
                    named,
                    traces,
                    formers: Vec::new(),
                },
                dropped,
            }),
            // The gap event is a little longer than what it replaces, in a batch at its limit.
            Err(_) => all_dropped(head, boot),
        }
    }
}

/// Nothing of the batch can be kept.
fn all_dropped(head: BatchHead, boot: BootId) -> Result<Checked, Violation> {
    let (first, last) = (head.first_sequence, head.last_sequence);
    let dropped = last - first + 1;
    let time = (head.receive_time_ms, head.receive_time_ms);
    let gap = invalid(dropped, (first, last), time);
    match gap_batch(head, boot, gap) {
        Ok(batch) => Ok(Checked { batch, dropped }),
        Err(source) => Err(Violation::Size {
            first,
            last,
            source,
        }),
    }
}

fn invalid(lost: u64, sequences: (u64, u64), times_ms: (i64, i64)) -> Gap {
    Gap {
        place: GapPlace::Ingest.into(),
        reason: GapReason::Invalid.into(),
        component: SERVER_COMPONENT.into(),
        lost: Some(lost),
        from_time_ms: times_ms.0,
        until_time_ms: times_ms.1,
        run_id: Vec::new(),
        first_sequence: sequences.0,
        last_sequence: sequences.1,
    }
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod tests;
