//! What is refused, what is dropped, what is stored as it came.

use proptest::prelude::*;
use prost::Message;
use tocsin_proto::telemetry::v1::event::Body as WireBody;
use tocsin_proto::telemetry::v1::{Event as WireEvent, Health, Process, ProcessActivity};

use super::*;

const NOW: i64 = 1_790_000_000_000;

fn arrival() -> Arrival {
    Arrival {
        endpoint: EndpointId::from_public_key(b"key"),
        receive_time_ms: NOW,
    }
}

fn run() -> RunId {
    RunId::from_random([1; 16])
}

fn process(sequence: u64, event_time_ms: i64) -> WireEvent {
    WireEvent {
        sequence,
        event_time_ms,
        body: Some(WireBody::Process(Process {
            activity: ProcessActivity::Start.into(),
            pid: 7,
            ..Process::default()
        })),
    }
}

fn bad(sequence: u64) -> WireEvent {
    WireEvent {
        body: None,
        ..process(sequence, 1)
    }
}

fn upload(events: Vec<WireEvent>) -> UploadEventsRequest {
    let (first, last) = (events[0].sequence, events[events.len() - 1].sequence);
    let content = EventBatch {
        boot_id: vec![9; 16],
        events,
    };
    UploadEventsRequest {
        run_id: run().as_bytes().to_vec(),
        first_sequence: first,
        last_sequence: last,
        batch: batch::pack(&content).unwrap(),
    }
}

fn refused(change: impl FnOnce(&mut UploadEventsRequest)) -> String {
    let mut request = upload((5..=9).map(|n| process(n, 100)).collect());
    change(&mut request);
    check(arrival(), request, &Tracer::default())
        .unwrap_err()
        .to_string()
}

fn stored(checked: &Checked) -> Vec<WireEvent> {
    batch::unpack(&checked.batch.payload).unwrap().events
}

#[test]
fn a_good_batch_is_stored_as_the_bytes_that_came() {
    let events = vec![
        process(5, 300),
        process(6, 100),
        WireEvent {
            body: Some(WireBody::Health(Health::default())),
            ..process(7, 200)
        },
    ];
    let request = upload(events);
    let checked = check(arrival(), request.clone(), &Tracer::default()).unwrap();
    assert_eq!(checked.batch.payload, request.batch);
    let head = checked.batch.head;
    assert_eq!(
        (head.first_sequence, head.last_sequence, head.events),
        (5, 7, 3)
    );
    assert_eq!((head.event_time_min_ms, head.event_time_max_ms), (100, 300));
    assert_eq!(head.kinds, 1 | 1 << 2);
    assert_eq!(checked.dropped, 0);
}

#[test]
fn what_breaks_the_protocol_is_refused_by_name() {
    assert!(refused(|r| r.run_id = vec![1; 15]).contains("run_id has 15 bytes"));
    assert!(refused(|r| (r.first_sequence, r.last_sequence) = (9, 5)).contains("9 to 5"));
    assert!(refused(|r| r.first_sequence = 0).contains("not a range"));
    assert!(refused(|r| r.last_sequence = u64::MAX).contains("not a range"));
    assert!(refused(|r| r.last_sequence = 5 + 512).contains("not a range"));
    let wrong = refused(|r| r.last_sequence = 10);
    assert!(
        wrong.contains("holds sequence 0 where 10 belongs"),
        "{wrong}"
    );
    let wrong = refused(|r| r.last_sequence = 8);
    assert!(wrong.contains("holds sequence 9"), "{wrong}");
    let wrong = refused(|r| (r.first_sequence, r.last_sequence) = (4, 8));
    assert!(
        wrong.contains("holds sequence 5 where 4 belongs"),
        "{wrong}"
    );
}

#[test]
fn sequences_that_do_not_go_up_by_one_are_refused() {
    for sequences in [vec![5, 5], vec![5, 7, 7], vec![6, 5, 7], vec![5, 0]] {
        let count = sequences.len() as u64;
        let mut request = upload(sequences.into_iter().map(|n| process(n, 1)).collect());
        (request.first_sequence, request.last_sequence) = (5, 4 + count);
        let error = check(arrival(), request, &Tracer::default()).unwrap_err();
        assert!(matches!(error, Violation::Sequence { .. }), "{error}");
    }
}

#[test]
fn a_bomb_is_refused_unread() {
    let bomb = zstd::bulk::compress(&vec![0; 32 << 20], 3).unwrap();
    assert!(refused(|r| r.batch = bomb).contains("over its limits"));
    let many = EventBatch {
        boot_id: vec![9; 16],
        events: (0..600).map(|n| process(5 + n, 1)).collect(),
    };
    let many = zstd::bulk::compress(&many.encode_to_vec(), 3).unwrap();
    assert!(refused(|r| r.batch = many).contains("over its limits"));
}

#[test]
fn invalid_events_are_dropped_and_one_gap_stands_for_them() {
    let events = vec![
        process(5, 100),
        bad(6),
        process(7, 200),
        bad(8),
        process(9, 300),
    ];
    let checked = check(arrival(), upload(events), &Tracer::default()).unwrap();
    assert_eq!(checked.dropped, 2);
    let stored = stored(&checked);
    let sequences: Vec<_> = stored.iter().map(|event| event.sequence).collect();
    assert_eq!(
        sequences,
        [5, 6, 7, 9],
        "the gap stands at the first one dropped"
    );
    let Some(WireBody::Gap(gap)) = &stored[1].body else {
        panic!("no gap: {stored:?}")
    };
    assert_eq!(gap.place, i32::from(GapPlace::Ingest));
    assert_eq!(gap.reason, i32::from(GapReason::Invalid));
    assert_eq!(
        (gap.lost, gap.first_sequence, gap.last_sequence),
        (Some(2), 6, 8)
    );
    assert_eq!((gap.from_time_ms, gap.until_time_ms), (100, 300));
    assert!(
        Event::try_from(stored[1].clone()).is_ok(),
        "the gap itself is valid"
    );
    let head = checked.batch.head;
    assert_eq!(
        (head.first_sequence, head.last_sequence, head.events),
        (5, 9, 4)
    );
}

#[test]
fn an_event_from_the_far_future_is_invalid() {
    let checked = check(
        arrival(),
        upload(vec![process(1, NOW * 2)]),
        &Tracer::default(),
    )
    .unwrap();
    assert_eq!(checked.dropped, 1);
    assert_eq!(checked.batch.head.event_time_max_ms, NOW);
}

#[test]
fn a_batch_that_cannot_be_read_becomes_a_gap_and_is_not_asked_for_again() {
    let damage = |change: fn(&mut UploadEventsRequest)| {
        let mut request = upload((5..=9).map(|n| process(n, 100)).collect());
        change(&mut request);
        check(arrival(), request, &Tracer::default()).unwrap()
    };
    let flip = damage(|r| {
        let middle = r.batch.len() - 8;
        r.batch[middle] ^= 0xff;
    });
    let no_proto = damage(|r| r.batch = zstd::bulk::compress(&[0xff; 64], 3).unwrap());
    for checked in [flip, no_proto] {
        assert_eq!(checked.dropped, 5);
        let head = &checked.batch.head;
        assert_eq!(
            (head.first_sequence, head.last_sequence, head.events),
            (5, 9, 1)
        );
        assert_eq!(stored(&checked)[0].sequence, 5);
    }
}

#[test]
fn what_the_spool_says_it_lost_is_taken_note_of() {
    let gap = |run_id: Vec<u8>| WireEvent {
        body: Some(WireBody::Gap(Gap {
            place: GapPlace::Spool.into(),
            reason: GapReason::Overflow.into(),
            run_id,
            first_sequence: 3,
            last_sequence: 8,
            ..Gap::default()
        })),
        ..process(9, 1)
    };
    let other = RunId::from_random([2; 16]);
    for (run_id, named) in [(vec![], run()), (other.as_bytes().to_vec(), other)] {
        let checked = check(arrival(), upload(vec![gap(run_id)]), &Tracer::default()).unwrap();
        let expected = NamedLoss {
            run: named,
            first_sequence: 3,
            last_sequence: 8,
        };
        assert_eq!(checked.batch.named, [expected]);
    }
}

#[test]
fn as_many_losses_as_fit_into_a_batch_are_taken_note_of() {
    let gap = |number: u64| WireEvent {
        body: Some(WireBody::Gap(Gap {
            place: GapPlace::Spool.into(),
            reason: GapReason::Overflow.into(),
            run_id: vec![2; 16],
            first_sequence: number * 10,
            last_sequence: number * 10 + 4,
            ..Gap::default()
        })),
        ..process(number, 1)
    };
    let most = BATCH_EVENTS_MAX as u64;
    let checked = check(
        arrival(),
        upload((1..=most).map(gap).collect()),
        &Tracer::default(),
    )
    .unwrap();
    let named = checked.batch.named.iter().map(|loss| loss.first_sequence);
    assert!(named.eq((1..=most).map(|number| number * 10)));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        first in 0..20_u64,
        last in 0..20_u64,
    ) {
        let mut request = upload((5..=9).map(|n| process(n, 100)).collect());
        let at = at.index(request.batch.len());
        request.batch[at] = value;
        if value % 3 == 0 {
            (request.first_sequence, request.last_sequence) = (first, last);
        }
        if let Ok(checked) = check(arrival(), request, &Tracer::default()) {
            let head = &checked.batch.head;
            let events = stored(&checked);
            prop_assert_eq!(events.len(), head.events as usize);
            prop_assert!(events.iter().all(|event| Event::try_from(event.clone()).is_ok()));
            let range = head.first_sequence..=head.last_sequence;
            let in_range = events.iter().all(|event| range.contains(&event.sequence));
            prop_assert!(in_range);
        }
    }
}
