//! Events of an earlier run whose numbers another copy of this machine has used: they go on under numbers of this run.
//!
//! A machine that goes on from a snapshot of its memory numbers new events as the machine did that went on before it.
//! The server keeps what it got first and says so; what it did not take passes through here. The events stay as they
//! are, with their own times and the boot that they belong to. Those that get no place in the spool are a loss like any
//! other, and told as one.

use tocsin_proto::batch;
use tocsin_proto::id::BootId;
use tocsin_proto::telemetry::v1::event::Body;
use tocsin_spool::{Record, Span};

use super::{Pipeline, SpoolLoss, SpoolLossKind, plain};
use crate::batch::{Unnumbered, divide};
use crate::text::chain;

impl Pipeline {
    /// Numbers anew what is to be.
    pub(super) fn renumber(&mut self, now_ms: i64) {
        for record in self.stages.outbox.renumbered() {
            self.renumber_record(&record, now_ms);
            // Under their former numbers they are not sent again.
            self.stages.outbox.commit(record.span.run, record.span.last);
            self.stages.outbox.wake();
        }
    }

    fn renumber_record(&mut self, record: &Record, now_ms: i64) {
        let span = record.span;
        let content = match batch::unpack(&record.payload) {
            Ok(content) => content,
            Err(error) => {
                tracing::error!(
                    events = span.events(),
                    error = chain(&error),
                    "events are lost"
                );
                self.stages.health.count_dropped(span.events());
                let (from_ms, until_ms) = self.times_of(Some(span), now_ms);
                self.note_unpushed(SpoolLoss {
                    kind: SpoolLossKind::Damaged,
                    span: Some(plain(span)),
                    events: Some(span.events()),
                    from_ms,
                    until_ms,
                });
                return;
            }
        };
        let boot = BootId::from_wire(&content.boot_id).unwrap_or(self.boot);
        let events = content.events.into_iter().filter_map(|event| {
            Some(Unnumbered {
                time_ms: event.event_time_ms,
                body: with_run(event.body?, span),
            })
        });
        let batches = divide(events, boot, &mut self.sequencer);
        if let Some(last) = batches.last() {
            self.times.assigned(last.span.last.0);
            self.stages.health.note_sequence(last.span.last.0);
        }
        tracing::debug!(events = span.events(), run = %span.run, "events are numbered anew");
        self.append(batches, now_ms);
    }
}

/// A gap that names sequences of its own run names that run from now on.
fn with_run(body: Body, span: Span) -> Body {
    match body {
        Body::Gap(mut gap) if gap.run_id.is_empty() && gap.first_sequence > 0 => {
            gap.run_id = span.run.as_bytes().to_vec();
            Body::Gap(gap)
        }
        body => body,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Rig;
    use super::*;
    use tocsin_proto::id::{EventSequence, RunId};
    use tocsin_proto::telemetry::v1::{Event, EventBatch, Gap, Process};

    #[test]
    fn events_of_an_earlier_run_go_on_under_numbers_of_this_one() {
        let rig = Rig::new();
        let gap = |run: &[u8]| {
            Body::Gap(Gap {
                run_id: run.to_vec(),
                first_sequence: 3,
                last_sequence: 4,
                ..Gap::default()
            })
        };
        let event = |sequence: u64, body| Event {
            sequence,
            event_time_ms: 1_000 + i64::try_from(sequence).unwrap(),
            body: Some(body),
        };
        let content = EventBatch {
            boot_id: vec![8; 16],
            events: vec![
                event(7, Body::Process(Process::default())),
                event(8, gap(&[])),
                event(9, gap(&[5; 16])),
            ],
        };
        let record = Record {
            span: Span {
                run: RunId::from_random([9; 16]),
                first: EventSequence(7),
                last: EventSequence(9),
            },
            payload: batch::pack(&content).unwrap(),
        };
        let outbox = &rig.stages.outbox;
        assert!(outbox.append(std::slice::from_ref(&record)).is_complete());
        let epoch = outbox.rollback();
        outbox.lease(epoch).unwrap().unwrap();
        outbox.renumber(record.span);
        let mut pipeline = rig.pipeline();
        pipeline.take(Vec::new());
        let batches = rig.batches();
        assert_eq!(batches.len(), 1, "under its former numbers it is committed");
        assert_eq!(batches[0].boot_id, [8; 16]);
        let sequences: Vec<_> = batches[0]
            .events
            .iter()
            .map(|event| event.sequence)
            .collect();
        assert_eq!(sequences, [1, 2, 3]);
        let times: Vec<_> = batches[0]
            .events
            .iter()
            .map(|event| event.event_time_ms)
            .collect();
        assert_eq!(times, [1_007, 1_008, 1_009]);
        let runs: Vec<_> = batches[0].events[1..]
            .iter()
            .map(|event| match &event.body {
                Some(Body::Gap(gap)) => gap.run_id.clone(),
                _ => panic!("a gap"),
            })
            .collect();
        assert_eq!(runs, [record.span.run.as_bytes().to_vec(), vec![5; 16]]);
    }
}
