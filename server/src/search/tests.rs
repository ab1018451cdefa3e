//! What a search answers, against sorting everything in memory; on a store of SQLite.

use proptest::prelude::*;
use tocsin_proto::telemetry::v1::event::Body;
use tocsin_proto::telemetry::v1::{Event, Health};

use super::*;
use crate::store::conformance::{batch_of, endpoint, event, run};
use crate::store::sqlite::SqliteTelemetry;
use crate::store::telemetry::NewBatch;

async fn store(batches: &[NewBatch]) -> (tempfile::TempDir, Arc<dyn TelemetryStore>) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteTelemetry::open(&dir.path().join("telemetry.db"))
        .await
        .unwrap();
    for group in batches.chunks(7) {
        store.append(group).await.unwrap();
    }
    (dir, Arc::new(store))
}

/// Event time, endpoint, run, sequence.
type Key = (i64, EndpointId, tocsin_proto::id::RunId, u64);

fn key(found: &Found) -> Key {
    let id = found.id();
    (found.event_time_ms, id.endpoint, id.run, id.sequence.0)
}

/// Searches with so little memory that rounds are needed.
async fn keys(store: &Arc<dyn TelemetryStore>, wanted: Search, bytes_max: usize) -> Vec<Key> {
    let (sender, mut receiver) = mpsc::channel(1);
    let search = search_within(Arc::clone(store), wanted, sender, bytes_max);
    let collect = async {
        let mut keys = Vec::new();
        while let Some(chunk) = receiver.recv().await {
            assert!(!chunk.is_empty() && chunk.len() <= CHUNK_EVENTS_MAX);
            keys.extend(chunk.iter().map(key));
        }
        keys
    };
    let (done, keys) = tokio::join!(search, collect);
    done.unwrap();
    keys
}

fn all(ascending: bool) -> Search {
    Search {
        filter: Filter::all(),
        endpoint: None,
        ascending,
        limit: 0,
    }
}

/// Batches of several endpoints whose times overlap, with a few that reach far back.
fn batches(times: &[Vec<i64>]) -> Vec<NewBatch> {
    let mut next = [1_u64; 4];
    times
        .iter()
        .enumerate()
        .map(|(at, times)| {
            let whose = at % next.len();
            let number = u8::try_from(whose).unwrap();
            let events: Vec<Event> = (next[whose]..)
                .zip(times)
                .map(|(sequence, time)| event(sequence, *time))
                .collect();
            next[whose] += times.len() as u64;
            batch_of(endpoint(number), run(number), events)
        })
        .collect()
}

fn model(batches: &[NewBatch]) -> Vec<Key> {
    let mut keys: Vec<Key> = batches
        .iter()
        .flat_map(|batch| {
            let content = tocsin_proto::batch::unpack(&batch.payload).unwrap();
            let head = batch.head.clone();
            let key =
                move |event: Event| (event.event_time_ms, head.endpoint, head.run, event.sequence);
            content.events.into_iter().map(key).collect::<Vec<_>>()
        })
        .collect();
    keys.sort_unstable();
    keys
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn an_answer_is_all_that_matches_in_order_whatever_the_memory(
        times in prop::collection::vec(
            prop::collection::vec(prop_oneof![0..50_i64, 0..400_000_i64], 1..12), 1..24),
        since in 0..200_000_i64,
        length in 0..300_000_i64,
        limit in 0..30_u64,
        bytes_max in prop_oneof![Just(1_usize), Just(2_000), Just(1_048_576)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let batches = batches(&times);
            let (_dir, store) = store(&batches).await;
            let mut expected = model(&batches);
            expected.retain(|key| key.0 >= since && key.0 <= since + length);
            for ascending in [true, false] {
                let wanted = |limit| Search {
                    filter: Filter {
                        since_time_ms: since,
                        until_time_ms: since + length,
                        ..Filter::all()
                    },
                    limit,
                    ..all(ascending)
                };
                let mut expected = expected.clone();
                if !ascending {
                    expected.reverse();
                }
                assert_eq!(keys(&store, wanted(0), bytes_max).await, expected);
                if limit > 0 {
                    expected.truncate(usize::try_from(limit).unwrap());
                    assert_eq!(keys(&store, wanted(limit), bytes_max).await, expected);
                }
            }
        });
    }
}

#[tokio::test]
async fn one_endpoint_kind_and_text_narrow_an_answer() {
    let health = Event {
        body: Some(Body::Health(Health::default())),
        ..event(3, 30)
    };
    let batches = [
        batch_of(
            endpoint(1),
            run(1),
            vec![event(1, 10), event(2, 20), health],
        ),
        batch_of(endpoint(2), run(2), vec![event(1, 15)]),
    ];
    let (_dir, store) = store(&batches).await;
    let count = async |wanted| keys(&store, wanted, 1 << 20).await.len();
    assert_eq!(count(all(true)).await, 4);
    let one = Search {
        endpoint: Some(endpoint(1)),
        ..all(true)
    };
    assert_eq!(count(one).await, 3);
    for (kinds, text, expected) in [
        (1, "", 3),
        (1 << 2, "", 1),
        (0, "COMMAND-1", 2),
        (0, "-3", 0),
    ] {
        let wanted = Search {
            filter: Filter {
                kinds,
                text: Text::new(text),
                ..Filter::all()
            },
            ..all(false)
        };
        assert_eq!(count(wanted).await, expected, "{kinds} '{text}'");
    }
}

#[tokio::test]
async fn an_answer_does_not_hold_what_is_committed_while_it_is_read() {
    let many: Vec<Event> = (1..=400)
        .map(|n| event(n, i64::try_from(n).unwrap()))
        .collect();
    let (_dir, store) = store(&[batch_of(endpoint(1), run(1), many)]).await;
    let (sender, mut receiver) = mpsc::channel(1);
    let work = tokio::spawn(search(Arc::clone(&store), all(true), sender));
    let first = receiver.recv().await.unwrap();
    let later = batch_of(endpoint(2), run(2), vec![event(1, 1_000)]);
    store.append(&[later]).await.unwrap();
    let mut count = first.len();
    while let Some(chunk) = receiver.recv().await {
        count += chunk.len();
    }
    work.await.unwrap().unwrap();
    assert_eq!(count, 400);
}

#[tokio::test]
async fn a_search_that_nobody_reads_ends() {
    let many: Vec<Vec<i64>> = (0..40)
        .map(|n| (0..400).map(|m| n * 1000 + m).collect())
        .collect();
    let (_dir, store) = store(&batches(&many)).await;
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    search(store, all(false), sender).await.unwrap();
}

#[tokio::test]
async fn running_processes_are_those_that_started_and_did_not_end() {
    use tocsin_proto::telemetry::v1::{Process, ProcessActivity};
    let change = |sequence, pid, start_ticks, activity: ProcessActivity| Event {
        body: Some(Body::Process(Process {
            activity: activity.into(),
            pid,
            start_ticks,
            executable: format!("/bin/{sequence}"),
            ..Process::default()
        })),
        ..event(sequence, i64::try_from(sequence).unwrap())
    };
    use ProcessActivity::{Exec, Exit, Observed, Start};
    let old = batch_of(endpoint(1), run(1), vec![change(1, 99, 1, Start)]);
    let first = batch_of(
        endpoint(1),
        run(2),
        vec![
            change(1, 10, 5, Observed),
            change(2, 11, 6, Start),
            change(3, 11, 6, Exec),
            change(4, 12, 7, Start),
            change(5, 12, 7, Exit),
        ],
    );
    // A new process has pid 10; the exit of the former one comes late.
    let second = batch_of(
        endpoint(1),
        run(2),
        vec![change(6, 10, 9, Start), change(7, 10, 5, Exit)],
    );
    let (_dir, store) = store(&[old, first, second]).await;
    let table = process::process_table(&store, endpoint(1))
        .await
        .unwrap()
        .unwrap();
    let found: Vec<_> = table
        .processes
        .iter()
        .map(|process| {
            (
                process.pid,
                process.start_ticks,
                process.executable.as_str(),
            )
        })
        .collect();
    assert_eq!(found, [(10, 9, "/bin/6"), (11, 6, "/bin/3")]);
    assert_eq!(table.as_of_time_ms, 7);
    assert!(
        process::process_table(&store, endpoint(9))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_process_table_goes_on_from_where_it_was_kept() {
    let events = |from: u64, until: u64| -> Vec<Event> {
        (from..=until)
            .map(|n| event(n, i64::try_from(n).unwrap()))
            .collect()
    };
    let (_dir, store) = store(&[batch_of(endpoint(1), run(1), events(1, 300))]).await;
    let before = process::process_table_keeping(&store, endpoint(1), 100)
        .await
        .unwrap()
        .unwrap();
    let kept = store
        .process_snapshot(endpoint(1), run(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((before.processes.len(), kept.through_sequence), (300, 300));
    store
        .append(&[batch_of(endpoint(1), run(1), events(301, 310))])
        .await
        .unwrap();
    let after = process::process_table_keeping(&store, endpoint(1), 100)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(after.processes.len(), 310);
}
