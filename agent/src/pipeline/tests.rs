//! From observations to what lies numbered in the spool, with a rig that other tests of the pipeline use.

use super::*;
use crate::sensor::{Loss, LossPlace};
use std::sync::atomic::Ordering;
use tocsin_proto::id::EventSequence;
use tocsin_proto::telemetry::v1::{EventBatch, GapPlace, GapReason};

pub(super) struct Rig {
    pub(super) stages: Stages,
    _directory: tempfile::TempDir,
}

impl Rig {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let health = Arc::new(Health::default());
        let (outbox, _) = Outbox::open(directory.path(), 16 << 20, health.clone()).unwrap();
        let stages = Stages {
            queue: Arc::default(),
            outbox: Arc::new(outbox),
            health,
            hasher: Arc::new(Hasher::start(0).unwrap()),
        };
        Self {
            stages,
            _directory: directory,
        }
    }

    pub(super) fn pipeline(&self) -> Pipeline {
        let stages = Stages {
            queue: self.stages.queue.clone(),
            outbox: self.stages.outbox.clone(),
            health: self.stages.health.clone(),
            hasher: self.stages.hasher.clone(),
        };
        let run = RunId::from_random([1; 16]);
        Pipeline::new(stages, run, BootId::from_bytes([2; 16]), None)
    }

    pub(super) fn batches(&self) -> Vec<EventBatch> {
        let epoch = self.stages.outbox.rollback();
        std::iter::from_fn(|| self.stages.outbox.lease(epoch).unwrap())
            .map(|record| tocsin_proto::batch::unpack(&record.payload).unwrap())
            .collect()
    }
}

fn loss(lost: u64) -> Observation {
    Observation::Loss(Box::new(Loss {
        place: LossPlace::Queue,
        reason: crate::sensor::LossReason::Overflow,
        component: "test",
        lost: Some(lost),
        from_ms: 1,
        until_ms: 2,
    }))
}

#[test]
fn what_is_observed_lies_numbered_in_the_spool() {
    let rig = Rig::new();
    rig.stages.queue.push("test", [loss(3), loss(4)]);
    rig.stages.queue.close();
    rig.pipeline().run();
    let batches = rig.batches();
    assert_eq!(batches.len(), 1);
    let sequences: Vec<u64> = batches[0]
        .events
        .iter()
        .map(|event| event.sequence)
        .collect();
    assert_eq!(sequences, [1, 2]);
    let report = rig.stages.health.report();
    assert_eq!((report.last_sequence, report.spool.events), (2, 2));
    assert_eq!(report.dropped_events, 7);
}

#[test]
fn one_health_event_stands_for_many_changes_at_once() {
    let rig = Rig::new();
    let changed = |time_ms| Observation::SensorsChanged { time_ms };
    rig.stages.queue.push("test", [changed(1), changed(2)]);
    rig.stages.queue.close();
    rig.pipeline().run();
    let events = &rig.batches()[0].events;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event_time_ms, 2);
    assert!(matches!(events[0].body, Some(Body::Health(_))));
}

#[test]
fn what_did_not_get_into_the_spool_is_told_with_its_sequences() {
    let rig = Rig::new();
    let mut pipeline = rig.pipeline();
    let lost = |first, last| SpoolLoss {
        kind: SpoolLossKind::Full,
        span: Some(([1; 16], first, last)),
        events: Some(last - first + 1),
        from_ms: 5,
        until_ms: 6,
    };
    pipeline.note_unpushed(lost(1, 10));
    pipeline.note_unpushed(lost(11, 15));
    pipeline.take(vec![loss(1)]);
    assert_eq!(pipeline.unpushed, [], "told once");
    let batches = rig.batches();
    let Some(Body::Gap(gap)) = &batches[0].events[1].body else {
        panic!("a gap");
    };
    assert_eq!(
        (gap.place(), gap.reason()),
        (GapPlace::Spool, GapReason::Overflow)
    );
    assert_eq!(
        (gap.first_sequence, gap.last_sequence, gap.lost),
        (1, 15, Some(15))
    );
}

#[test]
fn what_is_untold_at_the_end_is_told_with_its_kind() {
    let rig = Rig::new();
    let mut pipeline = rig.pipeline();
    let refused = [
        (1, SpoolError::InFlight),
        (
            2,
            tocsin_spool::RecordError::Size {
                bytes: 0,
                bytes_max: 1,
            }
            .into(),
        ),
    ];
    for (sequence, error) in refused {
        pipeline.note_unpushed(SpoolLoss {
            kind: kind(&error),
            span: Some(([1; 16], sequence, sequence)),
            events: Some(1),
            from_ms: 5,
            until_ms: 6,
        });
    }
    rig.stages.queue.close();
    pipeline.run();
    let events = rig.batches().remove(0).events;
    let reasons = events.iter().map(|event| match &event.body {
        Some(Body::Gap(gap)) => gap.reason(),
        _ => panic!("gaps"),
    });
    let reasons: Vec<GapReason> = reasons.collect();
    assert_eq!(reasons, [GapReason::Overflow, GapReason::Damaged]);
}

#[test]
fn a_loss_is_told_until_a_sync_went_well_and_counted_once() {
    let rig = Rig::new();
    let record = Record {
        span: Span {
            run: RunId::from_random([9; 16]),
            first: EventSequence(1),
            last: EventSequence(4),
        },
        payload: vec![1],
    };
    assert!(
        rig.stages
            .outbox
            .append(std::slice::from_ref(&record))
            .is_complete()
    );
    while !rig.stages.outbox.reject(record.span) {}
    rig.stages
        .health
        .set_connection(ConnectionState::Connected, String::new());
    let mut pipeline = rig.pipeline();
    for fails in [true, true, false] {
        rig.stages.outbox.sync_fails.store(fails, Ordering::Relaxed);
        assert_eq!(rig.stages.outbox.rejected(), [record.span]);
        assert_eq!(rig.stages.health.report().dropped_events, 0);
        pipeline.take(Vec::new());
    }
    assert!(rig.stages.outbox.rejected().is_empty());
    assert_eq!(rig.stages.health.report().dropped_events, 4);
    pipeline.take(Vec::new());
    let told = rig.batches().into_iter().flat_map(|batch| batch.events);
    assert_eq!(told.count(), 3, "once for each try, and no more after it");
}

#[test]
fn times_cover_the_events_asked_for() {
    let mut times = Times::default();
    for (time_ms, last_sequence) in [(1000, 10), (1500, 20), (2000, 30), (3000, 40)] {
        times.note(time_ms);
        times.assigned(last_sequence);
    }
    assert_eq!(times.of(1, 5, 9000), (1000, 2000));
    assert_eq!(times.of(11, 25, 9000), (1000, 3000));
    assert_eq!(times.of(35, 40, 9000), (3000, 9000));
    assert_eq!(Times::default().of(1, 2, 9000), (9000, 9000));
}

#[test]
fn marks_are_bounded_and_stay_in_order() {
    let mut times = Times::default();
    for second in 0..20_000_i64 {
        times.note(second * 1000);
        times.assigned(second.unsigned_abs() + 1);
    }
    assert!(times.marks.len() <= Times::MARKS_MAX);
    assert!(times.marks.iter().is_sorted());
}
