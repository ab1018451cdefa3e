//! Traces and news: they come with their batch and only with it, outlive it, and are bounded by class.

use prost::Message;
use tocsin_proto::id::BootId;
use tocsin_proto::telemetry::v1::Event;

use super::super::telemetry::{Appended, NamedLoss, NewBatch, TelemetryStore};
use super::super::trace::{Class, ClassState, News, Trace, TraceQuery};
use super::{Engine, batch, batch_of, endpoint, event, run};

/// A trace of a class that stands for an event of that sequence, one a second.
fn trace(class: Class, sequence: u64) -> Trace {
    Trace {
        class,
        sequence,
        event_time_ms: i64::try_from(sequence).unwrap() * 1000,
        event: vec![u8::try_from(class.number()).unwrap(), 7],
    }
}

/// A batch of these sequences, each of which is a login.
fn logins(first: u64, last: u64) -> NewBatch {
    NewBatch {
        traces: (first..=last).map(|n| trace(Class::Login, n)).collect(),
        ..batch(first, last)
    }
}

/// Of another endpoint, with the run of the same id.
fn elsewhere(mut batch: NewBatch) -> NewBatch {
    batch.head.endpoint = endpoint(2);
    batch
}

fn all(class: Class) -> TraceQuery {
    TraceQuery {
        endpoint: endpoint(1),
        class,
        from_ms: i64::MIN,
        until_ms: i64::MAX,
        limit: u32::MAX,
    }
}

async fn sequences(store: &dyn TelemetryStore, query: TraceQuery) -> Vec<u64> {
    let found = store.traces(&query).await.unwrap();
    found.iter().map(|trace| trace.sequence).collect()
}

/// By endpoint, class and time, both ends in it, the newest first; whole, and after opening again.
pub(crate) async fn traces_are_found_by_class_and_time(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    let mut first = logins(1, 4);
    first.traces.push(trace(Class::SignIn, 2));
    let results = store.append(&[first, elsewhere(logins(1, 2))]).await;
    assert_eq!(results.unwrap(), [Appended::Stored; 2]);
    let store = engine.telemetry().await;
    let store = store.as_ref();
    assert_eq!(sequences(store, all(Class::Login)).await, [4, 3, 2, 1]);
    assert!(sequences(store, all(Class::Tool)).await.is_empty());
    let middle = TraceQuery {
        from_ms: 2_000,
        until_ms: 3_000,
        ..all(Class::Login)
    };
    assert_eq!(sequences(store, middle).await, [3, 2]);
    let few = TraceQuery {
        limit: 2,
        ..all(Class::Login)
    };
    assert_eq!(sequences(store, few).await, [4, 3], "the newest");
    let nobody = TraceQuery {
        endpoint: endpoint(3),
        ..all(Class::Login)
    };
    assert!(sequences(store, nobody).await.is_empty());
    let found = store.traces(&all(Class::SignIn)).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].run, found[0].boot, found[0].sequence),
        (run(1), BootId::from_bytes([3; 16]), 2)
    );
    assert_eq!(found[0].event, trace(Class::SignIn, 2).event);
}

/// A repeat adds none, an overlap what is new of it; they stay when retention takes the batch.
pub(crate) async fn traces_come_once_and_outlive_their_batch(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    let results = store
        .append(&[logins(1, 6), logins(4, 6), logins(4, 9)])
        .await;
    let expected = [Appended::Stored, Appended::Repeated, Appended::Trimmed];
    assert_eq!(results.unwrap(), expected);
    let newest_first: Vec<u64> = (1..=9).rev().collect();
    assert_eq!(
        sequences(store.as_ref(), all(Class::Login)).await,
        newest_first
    );
    assert_eq!(store.remove_oldest(i64::MAX, 9).await.unwrap(), 2);
    let store = engine.telemetry().await;
    assert_eq!(
        sequences(store.as_ref(), all(Class::Login)).await,
        newest_first
    );
    assert!(store.trace_classes(endpoint(1)).await.unwrap().is_empty());
}

/// A gap that the server made has a trace for as long as the endpoint does not name the loss.
pub(crate) async fn the_trace_of_a_hole_goes_with_it(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    store.append(&[batch(1, 2), batch(6, 7)]).await.unwrap();
    let found = store.traces(&all(Class::Gap)).await.unwrap();
    assert_eq!(found.len(), 1);
    let gap = Event::decode(found[0].event.as_slice()).unwrap();
    assert_eq!((gap.sequence, gap.event_time_ms), (3, 6_000));
    store.append(&[elsewhere(batch(3, 4))]).await.unwrap();
    let mut naming = batch(8, 8);
    naming.named = vec![NamedLoss {
        run: run(1),
        first_sequence: 3,
        last_sequence: 5,
    }];
    store.append(&[naming]).await.unwrap();
    assert!(sequences(store.as_ref(), all(Class::Gap)).await.is_empty());
    let theirs = TraceQuery {
        endpoint: endpoint(2),
        ..all(Class::Gap)
    };
    assert_eq!(sequences(store.as_ref(), theirs).await, [1]);
}

/// Those of before a time go, a few at once, and since when there are all is told.
pub(crate) async fn old_traces_go_and_their_class_says_so(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    let mut first = logins(1, 6);
    first.traces.push(trace(Class::Tool, 6));
    let theirs = elsewhere(logins(5, 6));
    store.append(&[first, theirs]).await.unwrap();
    assert_eq!(store.remove_old_traces(1_000, 9).await.unwrap(), 0);
    assert!(store.trace_classes(endpoint(1)).await.unwrap().is_empty());
    assert_eq!(store.remove_old_traces(4_000, 2).await.unwrap(), 2);
    let store = engine.telemetry().await;
    let state = |since_ms| {
        let class = Class::Login;
        [ClassState { class, since_ms }]
    };
    assert_eq!(
        sequences(store.as_ref(), all(Class::Login)).await,
        [6, 5, 4, 3]
    );
    assert_eq!(
        store.trace_classes(endpoint(1)).await.unwrap(),
        state(2_001)
    );
    assert_eq!(store.remove_old_traces(4_000, 2).await.unwrap(), 1);
    assert_eq!(store.remove_old_traces(4_000, 2).await.unwrap(), 0);
    assert_eq!(
        sequences(store.as_ref(), all(Class::Login)).await,
        [6, 5, 4]
    );
    assert_eq!(
        store.trace_classes(endpoint(1)).await.unwrap(),
        state(3_001)
    );
    assert_eq!(sequences(store.as_ref(), all(Class::Tool)).await, [6]);
    assert!(store.trace_classes(endpoint(2)).await.unwrap().is_empty());
}

/// Of a class that has more than may be kept the oldest go, of that endpoint alone.
pub(crate) async fn traces_of_a_class_are_bounded(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    let most = u64::from(Class::Login.traces_max());
    // More than one batch could bring: only their number matters.
    let many = |over: u64| NewBatch {
        traces: (1..=most + over).map(|n| trace(Class::Login, n)).collect(),
        ..batch(1, 4)
    };
    let theirs = elsewhere(many(0));
    store.append(&[many(3), theirs]).await.unwrap();
    assert_eq!(store.remove_excess_traces(2).await.unwrap(), 2);
    assert_eq!(store.remove_excess_traces(9).await.unwrap(), 1);
    assert_eq!(store.remove_excess_traces(9).await.unwrap(), 0);
    let left = sequences(store.as_ref(), all(Class::Login)).await;
    assert_eq!(left.len() as u64, most);
    assert_eq!(left.last(), Some(&4), "the oldest have gone");
    let class = Class::Login;
    let since_ms = 3_001;
    assert_eq!(
        store.trace_classes(endpoint(1)).await.unwrap(),
        [ClassState { class, since_ms }]
    );
    assert!(store.trace_classes(endpoint(2)).await.unwrap().is_empty());
}

/// News tell from when to when; what came while somebody looked is still news.
pub(crate) async fn news_are_told_until_they_are_forgotten(engine: &dyn Engine) {
    let store = engine.telemetry().await;
    let told = |news: &[News]| -> Vec<_> {
        let times = news
            .iter()
            .map(|one| (one.endpoint, one.from_ms, one.until_ms));
        times.collect()
    };
    store.append(&[batch(5, 6)]).await.unwrap();
    let theirs = batch_of(endpoint(2), run(2), vec![event(1, 40)]);
    store.append(&[theirs]).await.unwrap();
    let store = engine.telemetry().await;
    let news = store.news(9).await.unwrap();
    // The hole before the first batch counts from its begin.
    let first = (endpoint(1), 5_000, 6_000);
    assert_eq!(told(&news), [first, (endpoint(2), 40, 40)]);
    assert_eq!(told(&store.news(1).await.unwrap()), [first]);
    let earlier = batch_of(
        endpoint(1),
        run(3),
        vec![event(1, 1_000), event(2, 5_500), event(3, 9_000)],
    );
    store.append(&[earlier]).await.unwrap();
    store.forget_news(&news).await.unwrap();
    let later = store.news(9).await.unwrap();
    assert_eq!(told(&later), [(endpoint(1), 1_000, 9_000)]);
    assert!(later[0].number > news[1].number, "it grows");
    store.forget_news(&later).await.unwrap();
    assert!(store.news(9).await.unwrap().is_empty());
}
