//! Events -> batches: numbers events in order and divides them so that each batch is within the contract's limits.
//! Pure.

use prost::Message;
use tocsin_proto::id::BootId;
use tocsin_proto::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use tocsin_proto::telemetry::v1::event::Body;
use tocsin_proto::telemetry::v1::{Event, EventBatch};
use tocsin_spool::{Sequencer, Span};

/// Bytes beside an event in its batch: the field's tag and length.
const EVENT_FRAME_BYTES: usize = 8;

/// Bytes of a batch without events.
const BATCH_HEAD_BYTES: usize = 32;

/// An event that has no sequence yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unnumbered {
    /// Unix milliseconds; what lies before 1970 becomes 0.
    pub(crate) time_ms: i64,
    /// What happened.
    pub(crate) body: Body,
}

/// A batch and which events it holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Batch {
    /// Its run and sequences.
    pub(crate) span: Span,
    /// What is packed.
    pub(crate) content: EventBatch,
}

/// Numbers and divides events. Every event ends in a batch.
pub(crate) fn divide(
    events: impl IntoIterator<Item = Unnumbered>,
    boot: BootId,
    sequencer: &mut Sequencer,
) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut bytes = 0;
    for event in events {
        let sequence = sequencer.assign();
        let event = Event {
            sequence: sequence.0,
            event_time_ms: event.time_ms.max(0),
            body: Some(event.body),
        };
        let event_bytes = event.encoded_len() + EVENT_FRAME_BYTES;
        match batches.last_mut() {
            Some(batch)
                if batch.content.events.len() < BATCH_EVENTS_MAX
                    && bytes + event_bytes <= BATCH_BYTES_MAX =>
            {
                batch.span.last = sequence;
                batch.content.events.push(event);
                bytes += event_bytes;
            }
            _ => {
                bytes = BATCH_HEAD_BYTES + event_bytes;
                batches.push(Batch {
                    span: Span {
                        run: sequencer.run(),
                        first: sequence,
                        last: sequence,
                    },
                    content: EventBatch {
                        boot_id: boot.as_bytes().to_vec(),
                        events: vec![event],
                    },
                });
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_proto::id::RunId;
    use tocsin_proto::telemetry::v1::Process;

    fn event(argv_bytes: usize) -> Unnumbered {
        Unnumbered {
            time_ms: -1,
            body: Body::Process(Process {
                argv: vec!["x".repeat(argv_bytes)],
                ..Process::default()
            }),
        }
    }

    fn divided(count: usize, argv_bytes: usize) -> Vec<Batch> {
        let mut sequencer = Sequencer::new(RunId::from_random([1; 16]));
        let events = (0..count).map(|_| event(argv_bytes));
        divide(events, BootId::from_bytes([2; 16]), &mut sequencer)
    }

    #[test]
    fn sequences_have_no_holes() {
        let batches = divided(1300, 10);
        let spans: Vec<(u64, u64)> = batches
            .iter()
            .map(|batch| (batch.span.first.0, batch.span.last.0))
            .collect();
        assert_eq!(spans, [(1, 512), (513, 1024), (1025, 1300)]);
        let numbered: Vec<u64> = batches
            .iter()
            .flat_map(|batch| &batch.content.events)
            .map(|event| event.sequence)
            .collect();
        assert!(numbered.iter().copied().eq(1..=1300));
    }

    #[test]
    fn every_batch_can_be_packed() {
        for argv_bytes in [0, 4096, 12_288] {
            let batches = divided(1024, argv_bytes);
            for batch in &batches {
                tocsin_proto::batch::pack(&batch.content).unwrap();
            }
            let events: usize = batches.iter().map(|batch| batch.content.events.len()).sum();
            assert_eq!(events, 1024);
        }
    }

    #[test]
    fn a_time_before_1970_is_none() {
        assert_eq!(divided(1, 1)[0].content.events[0].event_time_ms, 0);
    }

    #[test]
    fn nothing_makes_no_batch() {
        assert!(divided(0, 1).is_empty());
    }
}
