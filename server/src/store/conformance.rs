//! The suite that every engine must pass. An engine's own tests call each function with a way to open its store anew.
//! Telemetry is here, cases are in `conformance/tests/case.rs` and `conformance/tests/listing.rs`, people in
//! `conformance/tests/people.rs`, rollouts in `conformance/tests/rollout.rs`, traces in `conformance/tests/trace.rs`, addresses and clocks in
//! `conformance/tests/trust.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_proto::batch;
use tocsin_proto::id::{BootId, EndpointId, EventId, EventSequence, RunId};
use tocsin_proto::telemetry::v1::event::Body;
use tocsin_proto::telemetry::v1::{Event, EventBatch, GapPlace, Health, Process, ProcessActivity};

use super::StateStore;
use super::telemetry::*;
use super::trace::Trace;
use crate::trace::Tracer;

#[path = "conformance/tests/case.rs"]
pub(crate) mod case;

#[path = "conformance/tests/listing.rs"]
pub(crate) mod listing;

#[path = "conformance/tests/campaign.rs"]
pub(crate) mod campaign;

#[path = "conformance/tests/people.rs"]
pub(crate) mod people;

#[path = "conformance/tests/device.rs"]
pub(crate) mod device;

#[path = "conformance/tests/lineage.rs"]
pub(crate) mod lineage;

#[path = "conformance/tests/trace.rs"]
pub(crate) mod trace;

#[path = "conformance/tests/rollout.rs"]
pub(crate) mod rollout;

#[path = "conformance/tests/trust.rs"]
pub(crate) mod trust;

/// An engine under test: every call opens the same stored data again, as after a crash.
#[async_trait::async_trait]
pub(crate) trait Engine: Send + Sync {
    /// Telemetry.
    async fn telemetry(&self) -> Arc<dyn TelemetryStore>;
    /// State.
    async fn state(&self) -> Arc<dyn StateStore>;
}

/// An endpoint by number.
pub(crate) fn endpoint(number: u8) -> EndpointId {
    EndpointId::from_public_key(&[number])
}

/// A run by number.
pub(crate) fn run(number: u8) -> RunId {
    RunId::from_random([number; 16])
}

/// A process event.
pub(crate) fn event(sequence: u64, event_time_ms: i64) -> Event {
    Event {
        sequence,
        event_time_ms,
        body: Some(Body::Process(Process {
            activity: ProcessActivity::Start.into(),
            pid: u32::try_from(sequence).unwrap(),
            argv: vec![format!("/bin/command-{sequence}")],
            ..Process::default()
        })),
    }
}

/// A batch of these events.
pub(crate) fn batch_of(endpoint: EndpointId, run: RunId, events: Vec<Event>) -> NewBatch {
    let content = EventBatch {
        boot_id: vec![3; 16],
        events,
    };
    let mut head = BatchHead {
        endpoint,
        run,
        first_sequence: content.events[0].sequence,
        last_sequence: content.events[content.events.len() - 1].sequence,
        events: 0,
        event_time_min_ms: 0,
        event_time_max_ms: 0,
        kinds: 0,
        receive_time_ms: 1_000,
    };
    describe(&mut head, &content.events);
    NewBatch {
        head,
        boot: BootId::from_bytes([3; 16]),
        payload: batch::pack(&content).unwrap(),
        named: Vec::new(),
        traces: traces(&content.events),
        formers: Vec::new(),
    }
}

/// What ingest would keep apart of these events.
fn traces(events: &[Event]) -> Vec<Trace> {
    let tracer = Tracer::default();
    let events = events.iter().cloned();
    events
        .filter_map(|event| tracer.trace(&event.try_into().ok()?))
        .collect()
}

/// A batch of process events with these sequences, one a millisecond.
pub(crate) fn batch(first: u64, last: u64) -> NewBatch {
    let time = |n: u64| i64::try_from(n).unwrap() * 1000;
    let events = (first..=last).map(|n| event(n, time(n))).collect();
    batch_of(endpoint(1), run(1), events)
}

/// Every stored event of a run, in order.
pub(crate) async fn events_of(
    store: &dyn TelemetryStore,
    endpoint: EndpointId,
    run: RunId,
) -> Vec<Event> {
    let mut events = Vec::new();
    let mut through = 0;
    loop {
        let page = store
            .run_batches(endpoint, run, through, 0, 3)
            .await
            .unwrap();
        let Some(last) = page.last() else {
            return events;
        };
        through = last.head.last_sequence;
        for stored in page {
            let payloads = store.payloads(&[stored.number]).await.unwrap();
            let content = batch::unpack(&payloads[0].1).unwrap();
            assert_eq!(content.events.len(), stored.head.events as usize);
            assert_eq!(payloads[0].1.len(), stored.bytes as usize);
            events.extend(content.events);
        }
    }
}

fn sequences(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

/// What was answered `Ok` is there after opening again, and is not taken twice.
pub(crate) async fn what_is_committed_survives_and_is_not_taken_twice(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    let first = store.append(&[batch(1, 4), batch(5, 9)]).await.unwrap();
    assert_eq!(first, [Appended::Stored, Appended::Stored]);
    let store = engine.telemetry().await;
    let again = store
        .append(&[batch(5, 9), batch(1, 4), batch(10, 10)])
        .await
        .unwrap();
    assert_eq!(
        again,
        [Appended::Repeated, Appended::Repeated, Appended::Stored]
    );
    let events = events_of(store.as_ref(), endpoint(1), run(1)).await;
    assert_eq!(sequences(&events), (1..=10).collect::<Vec<_>>());
    let totals = store.totals(&[endpoint(2), endpoint(1)]).await.unwrap();
    assert_eq!((totals[0].events, totals[1].events), (0, 10));
    assert_eq!(totals[1].event_time_max_ms, 10_000);
}

/// Of a batch that overlaps, only what is new is stored.
pub(crate) async fn an_overlap_is_cut_off(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    let results = store.append(&[batch(1, 6), batch(4, 9)]).await.unwrap();
    assert_eq!(results, [Appended::Stored, Appended::Trimmed]);
    let events = events_of(store.as_ref(), endpoint(1), run(1)).await;
    assert_eq!(sequences(&events), (1..=9).collect::<Vec<_>>());
    let found = store.batch_of(event_id(8)).await.unwrap().unwrap();
    assert_eq!(
        (found.head.first_sequence, found.head.event_time_min_ms),
        (7, 7_000)
    );
}

fn event_id(sequence: u64) -> EventId {
    EventId {
        endpoint: endpoint(1),
        run: run(1),
        sequence: EventSequence(sequence),
    }
}

/// A run that began before the machine was enrolled anew goes on from its mark: nothing of it is double, missing or a hole.
pub(crate) async fn a_run_goes_on_under_the_next_endpoint(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    store.append(&[batch(1, 4)]).await.unwrap();
    let under = |first, last, number: u8| {
        let mut next = batch(first, last);
        next.head.endpoint = endpoint(number);
        next.formers = vec![endpoint(9), endpoint(1)];
        next
    };
    let results = store
        .append(&[under(3, 4, 2), under(5, 9, 2), under(12, 12, 2)])
        .await;
    let expected = [Appended::Repeated, Appended::Stored, Appended::Stored];
    assert_eq!(results.unwrap(), expected);
    let events = events_of(store.as_ref(), endpoint(2), run(1)).await;
    assert_eq!(
        sequences(&events),
        [5, 6, 7, 8, 9, 10, 12],
        "a hole is told where there is one"
    );
    let results = store.append(&[under(3, 6, 3), batch(5, 6)]).await.unwrap();
    assert_eq!(
        results,
        [Appended::Trimmed, Appended::Stored],
        "marks stay apart"
    );
}

/// Other events under numbers that are taken are told, stored nowhere, and end what is taken of their run.
pub(crate) async fn other_events_with_the_same_numbers_are_told(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    let other = |first: u64, last: u64| {
        let events = (first..=last).map(|n| event(n, 77 + i64::try_from(n).unwrap()));
        batch_of(endpoint(1), run(1), events.collect())
    };
    store.append(&[batch(1, 4), batch(5, 9)]).await.unwrap();
    assert_eq!(store.mark(endpoint(1), run(1)).await.unwrap(), 9);
    assert_eq!(store.mark(endpoint(1), run(2)).await.unwrap(), 0);
    assert_eq!(store.mark(endpoint(2), run(1)).await.unwrap(), 0);
    // As sent before, divided as before or not, they are repeats.
    let repeats = [batch(1, 4), batch(3, 7), batch(5, 9)];
    assert_eq!(
        store.append(&repeats).await.unwrap(),
        [Appended::Repeated; 3]
    );
    let same = (5..9).map(|n| event(n, i64::try_from(n).unwrap() * 1000));
    let events = same.chain((9..=12).map(|n| event(n, 5))).collect();
    let same_but_last = batch_of(endpoint(1), run(1), events);
    let results = store.append(&[same_but_last, batch(10, 12)]).await.unwrap();
    assert_eq!(
        results,
        [Appended::Reused, Appended::Reused],
        "the run is closed"
    );
    let store = engine.telemetry().await;
    let results = store
        .append(&[batch(10, 12), other(1, 2), batch(1, 4)])
        .await;
    let closed = [Appended::Reused, Appended::Reused, Appended::Repeated];
    assert_eq!(results.unwrap(), closed);
    let events = events_of(store.as_ref(), endpoint(1), run(1)).await;
    assert_eq!(
        sequences(&events),
        (1..=9).collect::<Vec<_>>(),
        "with no hole"
    );
    assert_eq!(store.mark(endpoint(1), run(1)).await.unwrap(), 9);
}

/// A hole becomes a gap event at the first missing sequence; it goes when the endpoint names the loss.
pub(crate) async fn a_hole_is_a_gap_until_its_endpoint_names_it(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    store.append(&[batch(1, 2), batch(6, 7)]).await.unwrap();
    let events = events_of(store.as_ref(), endpoint(1), run(1)).await;
    assert_eq!(sequences(&events), [1, 2, 3, 6, 7]);
    let Some(Body::Gap(gap)) = &events[2].body else {
        panic!("no gap: {:?}", events[2])
    };
    assert_eq!(gap.place, i32::from(GapPlace::Spool));
    assert_eq!(
        (gap.lost, gap.first_sequence, gap.last_sequence),
        (Some(3), 3, 5)
    );
    assert_eq!((gap.from_time_ms, gap.until_time_ms), (2_000, 6_000));
    let late = store.append(&[batch(3, 5)]).await.unwrap();
    assert_eq!(late, [Appended::Repeated], "the mark has gone past it");

    let mut naming = batch(8, 8);
    naming.named = vec![NamedLoss {
        run: run(1),
        first_sequence: 2,
        last_sequence: 5,
    }];
    store.append(&[naming]).await.unwrap();
    let events = events_of(store.as_ref(), endpoint(1), run(1)).await;
    assert_eq!(sequences(&events), [1, 2, 6, 7, 8]);
    assert_eq!(store.totals(&[endpoint(1)]).await.unwrap()[0].events, 5);
}

/// Runs and endpoints do not touch each other, not even with equal run ids.
pub(crate) async fn runs_are_apart(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    let events = || vec![event(1, 10), event(2, 20)];
    let batches = [
        batch_of(endpoint(1), run(1), events()),
        batch_of(endpoint(1), run(2), events()),
        batch_of(endpoint(2), run(1), events()),
    ];
    assert_eq!(store.append(&batches).await.unwrap(), [Appended::Stored; 3]);
    for (endpoint_no, run_no) in [(1, 1), (1, 2), (2, 1)] {
        let events = events_of(store.as_ref(), endpoint(endpoint_no), run(run_no)).await;
        assert_eq!(sequences(&events), [1, 2]);
    }
    assert!(
        events_of(store.as_ref(), endpoint(2), run(2))
            .await
            .is_empty()
    );
    let latest = store.latest_run(endpoint(1)).await.unwrap().unwrap();
    assert_eq!((latest.run, latest.committed_through), (run(2), 2));
}

/// Any overlaps, repeats and reorderings: each sequence up to the mark is stored once or named by a gap.
pub(crate) async fn each_sequence_is_stored_once_or_named_by_a_gap(
    engine: &dyn Engine,
    ranges: &[(u64, u64)],
    group: usize,
) {
    let mut expected: BTreeMap<u64, bool> = BTreeMap::new();
    let mut mark = 0;
    for (first, last) in ranges {
        for n in (mark + 1)..=*last {
            expected.insert(n, n >= *first);
        }
        mark = mark.max(*last);
    }
    for group in ranges.chunks(group) {
        let batches: Vec<_> = group
            .iter()
            .map(|(first, last)| batch(*first, *last))
            .collect();
        engine.telemetry().await.append(&batches).await.unwrap();
    }
    let store = engine.telemetry().await;
    let mut actual = BTreeMap::new();
    for event in events_of(store.as_ref(), endpoint(1), run(1)).await {
        let stands_for = match &event.body {
            Some(Body::Gap(gap)) => (gap.first_sequence..=gap.last_sequence, false),
            _ => (event.sequence..=event.sequence, true),
        };
        for n in stands_for.0 {
            assert_eq!(actual.insert(n, stands_for.1), None, "{n} is there twice");
        }
    }
    assert_eq!(actual, expected);
}

/// Times of events in a batch, for listings.
fn spanning(number: u8, from_ms: i64, until_ms: i64) -> NewBatch {
    batch_of(
        endpoint(number),
        run(number),
        vec![event(1, from_ms), event(2, until_ms)],
    )
}

async fn listed(store: &dyn TelemetryStore, query: &BatchQuery, limit: u32) -> Vec<(i64, i64)> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.list_batches(query, after, limit).await.unwrap();
        assert!(page.len() <= limit as usize);
        let Some(last) = page.last() else {
            return found;
        };
        let time_ms = if query.ascending {
            last.head.event_time_min_ms
        } else {
            last.head.event_time_max_ms
        };
        after = Some(BatchCursor {
            time_ms,
            number: last.number,
        });
        found.extend(
            page.iter()
                .map(|batch| (batch.head.event_time_min_ms, batch.head.event_time_max_ms)),
        );
    }
}

/// Listings hold every batch that overlaps the interval, wide ones too, sorted, in any page size.
pub(crate) async fn listings_are_complete_and_sorted(engine: &dyn Engine) {
    const MINUTE: i64 = 60_000;
    let store = engine.telemetry().await;
    let spans: Vec<(i64, i64)> = vec![
        (0, 10),
        (5, 5),
        (5, 5),
        (10, 20 * MINUTE),
        (MINUTE, 2 * MINUTE),
        (3 * MINUTE, 3 * MINUTE + 50),
        (0, 90 * MINUTE),
        (50 * MINUTE, 51 * MINUTE),
        (80 * MINUTE, 80 * MINUTE),
        (2 * MINUTE, 4 * MINUTE),
    ];
    let batches: Vec<_> = (1..)
        .zip(&spans)
        .map(|(n, span)| spanning(n, span.0, span.1))
        .collect();
    store.append(&batches).await.unwrap();
    let number_max = store.last_number().await.unwrap();
    store.append(&[spanning(99, 5, 5)]).await.unwrap();
    for (since, until) in [
        (i64::MIN, i64::MAX),
        (0, 10),
        (6, 6),
        (3 * MINUTE, 5 * MINUTE),
        (55 * MINUTE, 70 * MINUTE),
        (85 * MINUTE, 86 * MINUTE),
        (91 * MINUTE, i64::MAX),
    ] {
        for ascending in [false, true] {
            for endpoint in [None, Some(endpoint(4)), Some(endpoint(200))] {
                let query = BatchQuery {
                    endpoint,
                    kinds: 0,
                    since_time_ms: since,
                    until_time_ms: until,
                    number_max,
                    ascending,
                };
                let mut expected: Vec<_> = (1_u8..)
                    .zip(&spans)
                    .filter(|(n, _)| {
                        endpoint.is_none_or(|id| id == super::conformance::endpoint(*n))
                    })
                    .map(|(_, span)| *span)
                    .filter(|span| span.0 <= until && span.1 >= since)
                    .collect();
                let key = |span: &(i64, i64)| if ascending { span.0 } else { -span.1 };
                expected.sort_by_key(key);
                for limit in [1, 3, 100] {
                    let mut found = listed(store.as_ref(), &query, limit).await;
                    assert!(found.is_sorted_by_key(key), "{query:?}: {found:?}");
                    found.sort_unstable();
                    let mut expected = expected.clone();
                    expected.sort_unstable();
                    assert_eq!(found, expected, "{query:?} by {limit}");
                }
            }
        }
    }
}

/// A listing by kind leaves out batches that hold none of them.
pub(crate) async fn listings_by_kind_leave_out_other_batches(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    let health = Event {
        body: Some(Body::Health(Health::default())),
        ..event(1, 10)
    };
    let health = batch_of(endpoint(1), run(1), vec![health]);
    let process = batch_of(endpoint(2), run(2), vec![event(1, 20)]);
    store.append(&[health, process]).await.unwrap();
    for (kinds, expected) in [(1, 1), (1 << 2, 1), (1 | 1 << 2, 2), (1 << 1, 0), (0, 2)] {
        let query = BatchQuery {
            endpoint: None,
            kinds,
            since_time_ms: 0,
            until_time_ms: i64::MAX,
            number_max: i64::MAX,
            ascending: false,
        };
        assert_eq!(
            store.list_batches(&query, None, 10).await.unwrap().len(),
            expected
        );
    }
}

/// An event is found by its id, and what is missing is not.
pub(crate) async fn an_event_is_found_by_its_id(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    store
        .append(&[batch(1, 4), batch(5, 9), batch(20, 22)])
        .await
        .unwrap();
    for (sequence, first) in [(1, 1), (4, 1), (5, 5), (22, 20), (10, 10)] {
        let found = store.batch_of(event_id(sequence)).await.unwrap().unwrap();
        assert_eq!(found.head.first_sequence, first, "of {sequence}");
    }
    assert_eq!(store.batch_of(event_id(23)).await.unwrap(), None);
    let elsewhere = EventId {
        run: run(9),
        ..event_id(1)
    };
    assert_eq!(store.batch_of(elsewhere).await.unwrap(), None);
}

/// Retention takes the oldest, keeps marks, and counts right.
pub(crate) async fn retention_takes_the_oldest_and_keeps_the_marks(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    let mut batches = vec![batch(1, 4), batch(5, 9), batch(10, 12)];
    for (n, batch) in batches.iter_mut().enumerate() {
        batch.head.receive_time_ms = 100 * (i64::try_from(n).unwrap() + 1);
    }
    store.append(&batches).await.unwrap();
    assert_eq!(store.remove_oldest(100, 10).await.unwrap(), 0);
    assert_eq!(store.remove_oldest(250, 1).await.unwrap(), 1);
    assert_eq!(store.remove_oldest(250, 10).await.unwrap(), 1);
    assert_eq!(store.remove_oldest(250, 10).await.unwrap(), 0);
    let store = engine.telemetry().await;
    let results = store.append(&[batch(1, 4), batch(13, 13)]).await.unwrap();
    assert_eq!(results, [Appended::Repeated, Appended::Stored]);
    let events = events_of(store.as_ref(), endpoint(1), run(1)).await;
    assert_eq!(sequences(&events), [10, 11, 12, 13]);
    assert_eq!(store.totals(&[endpoint(1)]).await.unwrap()[0].events, 4);
    assert!(store.bytes_used().await.unwrap() > 0);
}

/// What one endpoint holds is known, and only its own is removed, its oldest first.
pub(crate) async fn the_heaviest_loses_its_own(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    assert_eq!(store.heaviest().await.unwrap(), None);
    let quiet = batch_of(endpoint(2), run(9), vec![event(1, 1)]);
    let first_run = batch_of(endpoint(1), run(2), vec![event(1, 1), event(2, 2)]);
    store
        .append(&[quiet, first_run, batch(1, 4), batch(9, 20)])
        .await
        .unwrap();
    let full = store.heaviest().await.unwrap().unwrap();
    assert_eq!((full.endpoint, full.others), (endpoint(1), 1));
    // Two runs, and a gap for what never came: four batches to one.
    assert!(full.bytes > 3 * full.bytes_of_others, "{full:?}");
    assert_eq!(store.remove_oldest_of(endpoint(1), 9).await.unwrap(), 1);
    assert_eq!(store.remove_oldest_of(endpoint(1), 2).await.unwrap(), 2);
    let events = events_of(store.as_ref(), endpoint(1), run(1)).await;
    assert_eq!(sequences(&events), (9..=20).collect::<Vec<_>>());
    assert_eq!(store.totals(&[endpoint(2)]).await.unwrap()[0].events, 1);
    assert_eq!(store.remove_oldest_of(endpoint(1), 9).await.unwrap(), 1);
    assert_eq!(store.remove_oldest_of(endpoint(1), 9).await.unwrap(), 0);
    let left = store.heaviest().await.unwrap().unwrap();
    assert_eq!(
        (left.endpoint, left.bytes, left.others),
        (endpoint(2), full.bytes_of_others, 0)
    );
}

/// The kept process table of an endpoint is that of the run it was last kept for.
pub(crate) async fn one_process_table_is_kept_for_an_endpoint(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    let other_run = batch_of(endpoint(1), run(2), vec![event(1, 1)]);
    store.append(&[batch(1, 1), other_run]).await.unwrap();
    let snapshot = |through_sequence| ProcessSnapshot {
        through_sequence,
        event_time_max_ms: 5,
        payload: vec![1, 2, 3],
    };
    for (run_no, through) in [(1, 1), (2, 7), (2, 9)] {
        let kept = snapshot(through);
        store
            .keep_process_snapshot(endpoint(1), run(run_no), &kept)
            .await
            .unwrap();
    }
    let store = engine.telemetry().await;
    assert_eq!(
        store.process_snapshot(endpoint(1), run(1)).await.unwrap(),
        None
    );
    let kept = store.process_snapshot(endpoint(1), run(2)).await.unwrap();
    assert_eq!(kept, Some(snapshot(9)));
}
