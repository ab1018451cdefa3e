//! From a stored batch to the events in it that match. Decodes no more of an event than the filter asks for, and keeps
//! what matches as the bytes that were stored.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;
use prost::bytes::Bytes;
use tocsin_proto::batch;
use tocsin_proto::id::{BootId, EndpointId, EventId, EventSequence, RunId};
use tocsin_proto::telemetry::v1::Event;

use super::filter::Filter;
use crate::store::telemetry::{BatchHead, StoredBatch};

/// What all events of one batch have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Who saw them.
    pub(crate) endpoint: EndpointId,
    /// In which run.
    pub(crate) run: RunId,
    /// In which boot.
    pub(crate) boot: BootId,
    /// When the server received them.
    pub(crate) receive_time_ms: i64,
}

/// A stored event that matches.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Its batch's.
    pub(crate) source: Arc<Source>,
    /// When it happened, by the endpoint's clock.
    pub(crate) event_time_ms: i64,
    /// Its position in the run.
    pub(crate) sequence: u64,
    bytes: Box<[u8]>,
}

impl Found {
    /// Its id.
    pub(crate) fn id(&self) -> EventId {
        EventId {
            endpoint: self.source.endpoint,
            run: self.source.run,
            sequence: EventSequence(self.sequence),
        }
    }

    /// The event; `None` where what is stored is damaged.
    pub(crate) fn event(&self) -> Option<Event> {
        Event::decode(&*self.bytes).ok()
    }

    /// Bytes it holds in memory.
    pub(super) fn weight(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }

    /// The order of an answer: (event time, endpoint, run, sequence).
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let key = |found: &Self| {
            let source = &found.source;
            (
                found.event_time_ms,
                source.endpoint,
                source.run,
                found.sequence,
            )
        };
        key(self).cmp(&key(other))
    }
}

/// An `EventBatch` whose events are not decoded; the slices share one buffer.
#[derive(Clone, PartialEq, prost::Message)]
struct RawBatch {
    #[prost(bytes = "bytes", tag = "1")]
    boot_id: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    events: Vec<Bytes>,
}

/// An `Event` whose body is not decoded.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RawEvent {
    #[prost(uint64, tag = "1")]
    pub(super) sequence: u64,
    #[prost(int64, tag = "2")]
    pub(super) event_time_ms: i64,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) process: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(super) gap: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(super) health: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(super) login: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub(super) session: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub(super) network: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub(super) file: Option<Bytes>,
}

/// The matching events of these batches, in no order. A batch that cannot be read is passed over and logged: one
/// damaged page must not hide all others.
pub(super) fn decode(
    batches: &[StoredBatch],
    payloads: Vec<(i64, Vec<u8>)>,
    filter: &Filter,
) -> Vec<Found> {
    let heads: HashMap<i64, &BatchHead> = batches
        .iter()
        .map(|batch| (batch.number, &batch.head))
        .collect();
    let mut found = Vec::new();
    for (number, payload) in payloads {
        let Some(head) = heads.get(&number) else {
            continue;
        };
        if let Err(error) = one(head, &payload, filter, &mut found) {
            tracing::error!(
                endpoint = %head.endpoint, run = %head.run, first_sequence = head.first_sequence,
                %error, "stored event batch is not readable"
            );
        }
    }
    found
}

fn one(
    head: &BatchHead,
    payload: &[u8],
    filter: &Filter,
    found: &mut Vec<Found>,
) -> Result<(), batch::BatchError> {
    let bytes = batch::unpack_bytes(payload)?;
    if !filter.may_match(&bytes) {
        return Ok(());
    }
    let batch = RawBatch::decode(Bytes::from(bytes))?;
    let source = Arc::new(Source {
        endpoint: head.endpoint,
        run: head.run,
        boot: BootId::from_wire(&batch.boot_id).unwrap_or(BootId::from_bytes([0; 16])),
        receive_time_ms: head.receive_time_ms,
    });
    for bytes in batch.events {
        let event = RawEvent::decode(bytes.clone())?;
        if filter.matches(&event) {
            found.push(Found {
                source: Arc::clone(&source),
                event_time_ms: event.event_time_ms,
                sequence: event.sequence,
                bytes: bytes.as_ref().into(),
            });
        }
    }
    Ok(())
}

/// The one event of a batch with this sequence.
pub(crate) fn find(batch: &StoredBatch, payload: Vec<u8>, sequence: u64) -> Option<Found> {
    let batches = std::slice::from_ref(batch);
    decode(batches, vec![(batch.number, payload)], &Filter::all())
        .into_iter()
        .find(|found| found.sequence == sequence)
}
