//! Records in any order, correlated on a store of SQLite.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tocsin_correlate::{
    AccountKey, FlowIds, MfaEvent, MfaEventKind, Novelty, Origin, Place, Provider, fold_login,
};
use tocsin_proto::console::v1::IncidentState;
use tocsin_proto::id::{EndpointId, MfaEventId};

use super::*;
use crate::audit::AuditEntry;
use crate::import::{Portion, Record, add};
use crate::incident::{move_to, unpack_draft};
use crate::store::case::{ActivityRow, AnalystChange, IncidentQuery, IncidentRow, LinkRow};
use crate::store::conformance;
use crate::store::sqlite::{SqliteState, SqliteTelemetry};

mod bench;
mod campaign;
mod outage;

use bench::*;

#[tokio::test]
async fn records_twice_or_in_halves_from_the_end_give_the_same_incidents() {
    let story = story();
    let once = Bench::new().await;
    once.import(&story).await;
    let expected = once.seen().await;
    assert!(expected.len() >= 3, "{expected:?}");

    let versions: Vec<i64> = once.rows().await.iter().map(|row| row.version).collect();
    once.import(&story).await;
    assert_eq!(once.seen().await, expected, "twice");
    let again: Vec<i64> = once.rows().await.iter().map(|row| row.version).collect();
    assert_eq!(again, versions, "nothing was written the second time");

    let (first, second) = story.split_at(story.len() / 2);
    let halves = Bench::new().await;
    halves.import(second).await;
    halves.import(first).await;
    assert_eq!(halves.seen().await, expected, "in halves");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]
    #[test]
    fn records_in_any_order_and_portions_give_the_same_incidents(
        story in Just(story()).prop_shuffle(),
        portions in 1..5_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let sorted = Bench::new().await;
            sorted.import(&super::tests::story()).await;
            let shuffled = Bench::new().await;
            for portion in story.chunks(story.len() / portions + 1) {
                shuffled.import(portion).await;
            }
            assert_eq!(shuffled.seen().await, sorted.seen().await);
        });
    }
}

#[tokio::test]
async fn what_was_not_correlated_before_a_crash_is_after_it() {
    let bench = Bench::new().await;
    bench.add(&story(), None).await;
    assert!(bench.rows().await.is_empty());
    let again = Bench::open(bench.dir).await;
    again.correlator.settle().await.unwrap();
    assert!(!again.rows().await.is_empty());
    assert!(again.state.dirty(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_incident_that_grows_backwards_keeps_what_the_analyst_said_and_opens_again() {
    let bench = Bench::new().await;
    let mut events = ordinary("dana", 8);
    events.extend(bombing("dana", START_MS + 10 * DAY_MS, 6, false));
    bench.import(&events).await;
    let before = bench.rows().await.remove(0);
    bench.close(&before).await;

    bench.import(&events).await;
    assert_eq!(
        bench.rows().await[0].analyst.state,
        i32::from(IncidentState::Closed)
    );

    bench
        .import(&bombing("dana", START_MS + 10 * DAY_MS - 600_000, 4, false))
        .await;
    let rows = bench.rows().await;
    assert_eq!(rows.len(), 1);
    let after = &rows[0];
    assert_ne!(after.id, before.id);
    assert_eq!(
        after.analyst.state,
        i32::from(IncidentState::New),
        "new evidence opens it"
    );
    assert_eq!(
        bench
            .state
            .find_incident(&before.id.to_string())
            .await
            .unwrap(),
        after.id
    );
    assert_eq!(
        bench.state.notes(after.id).await.unwrap()[0].text,
        "called her"
    );
    let activity = bench.state.activity(after.id).await.unwrap();
    assert!(
        activity
            .iter()
            .any(|row| row.what.starts_with("reopened: it was closed"))
    );
}

#[tokio::test]
async fn a_prompt_becomes_unanswered_when_somebody_elses_record_is_late_enough() {
    let bench = Bench::new().await;
    let mut events = ordinary("fay", 8);
    let from_ms = START_MS + 10 * DAY_MS;
    events.extend(bombing("fay", from_ms, 6, false));
    events.push(event(
        "fay",
        from_ms + 720_000,
        MfaEventKind::PromptSent,
        false,
    ));
    bench.import(&events).await;
    let results = async || -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let row = bench.rows().await.remove(0);
        for attempt in unpack_draft(&row.engine.draft).unwrap().attempts {
            *counts.entry(format!("{:?}", attempt.result)).or_default() += 1;
        }
        counts
    };
    assert_eq!(results().await.get("Prompted"), Some(&1));
    bench
        .import(&[event(
            "eli",
            from_ms + DAY_MS,
            MfaEventKind::SessionStarted,
            true,
        )])
        .await;
    assert_eq!(results().await.get("Prompted"), None);
    assert_eq!(results().await.get("Unanswered"), Some(&1));
}

#[tokio::test]
async fn a_tally_counts_what_an_import_changed_for_its_people() {
    let bench = Bench::new().await;
    bench.import(&story()).await;
    let tally = bench.correlator.tally();
    let new = bombing("gil", START_MS + 40 * DAY_MS, 6, true);
    let mut more = bombing("dana", START_MS + 30 * DAY_MS + 1_200_000, 2, false);
    more.extend(new);
    bench.add(&more, Some(tally.as_ref())).await;
    bench.correlator.settle().await.unwrap();
    let (opened, updated) = tally.counts();
    assert_eq!(opened, 1);
    assert!(updated >= 1, "{updated}");
}

async fn linked(bench: &Bench, who: &str) -> EndpointId {
    let endpoint = conformance::endpoint(1);
    let identity = bench
        .state
        .find_identity(&format!("{who}@example.com"))
        .await
        .unwrap();
    let link = LinkRow {
        endpoint,
        user: who.into(),
        uid: String::new(),
        source: "analyst".into(),
        confidence: "certain".into(),
        linked_by: "ana".into(),
        reason: String::new(),
        linked_time_ms: 1,
    };
    let entry = AuditEntry::operator("identities.link", "", "");
    bench
        .state
        .link_account(identity, &link, false, &entry)
        .await
        .unwrap();
    bench.correlator.settle().await.unwrap();
    endpoint
}

async fn gaps(bench: &Bench) -> Vec<String> {
    let row = bench.rows().await.remove(0);
    let gaps = unpack_draft(&row.engine.draft).unwrap().gaps;
    gaps.into_iter().map(|gap| gap.what).collect()
}

#[tokio::test]
async fn telemetry_of_a_linked_endpoint_changes_what_is_missing() {
    let bench = Bench::new().await;
    let from_ms = START_MS + 10 * DAY_MS;
    let mut events = ordinary("dana", 8);
    events.extend(bombing("dana", from_ms, 6, false));
    bench.import(&events).await;
    assert!(
        gaps(&bench)
            .await
            .iter()
            .any(|what| what.contains("no linked endpoint"))
    );

    let endpoint = linked(&bench, "dana").await;
    let is_silent = |what: &String| what.contains("was not reporting");
    let found = gaps(&bench).await;
    assert!(found.iter().any(is_silent), "{found:?}");
    assert!(
        !found.iter().any(|what| what.contains("no linked endpoint")),
        "{found:?}"
    );

    let span = vec![
        conformance::event(1, from_ms - 3_600_000),
        conformance::event(2, from_ms + DAY_MS),
    ];
    let batch = conformance::batch_of(endpoint, conformance::run(1), span);
    bench.telemetry.append(&[batch]).await.unwrap();
    telemetry::mark(bench.state.as_ref(), bench.telemetry.as_ref(), None)
        .await
        .unwrap();
    assert_eq!(bench.state.dirty(10).await.unwrap().len(), 1);
    bench.correlator.settle().await.unwrap();
    let found = gaps(&bench).await;
    assert!(!found.iter().any(is_silent), "{found:?}");
    telemetry::mark(bench.state.as_ref(), bench.telemetry.as_ref(), None)
        .await
        .unwrap();
    assert!(
        bench.state.dirty(10).await.unwrap().is_empty(),
        "nothing new: nobody is dirty"
    );
}

#[tokio::test]
async fn old_records_go_and_no_incident_changes() {
    let bench = Bench::new().await;
    let story = story();
    bench.import(&story).await;
    let before = bench.seen().await;
    // All were received at 1: all may go but those of incidents that reach further, of which there are none.
    let removed = bench.correlator.remove_mfa_events(2).await.unwrap();
    assert_eq!(removed, story.len() as u64);
    let people = bench.state.identities(None, 10).await.unwrap();
    let ids: Vec<IdentityId> = people.iter().map(|person| person.id).collect();
    bench.state.mark_dirty(&ids).await.unwrap();
    bench.correlator.settle().await.unwrap();
    assert_eq!(bench.seen().await, before);
    assert!(bench.rows().await.iter().all(|row| row.is_frozen));
    assert_eq!(bench.correlator.remove_mfa_events(2).await.unwrap(), 0);

    // The same records again are new records, and the incidents are the same ones.
    bench.import(&story).await;
    assert_eq!(bench.seen().await.len(), before.len());
    let ids = |seen: &[(IncidentId, IdentityId, String, i32, String)]| {
        seen.iter().map(|seen| seen.0).collect::<BTreeSet<_>>()
    };
    assert_eq!(ids(&bench.seen().await), ids(&before));
}

#[tokio::test]
async fn a_late_record_of_an_old_time_keeps_its_persons_events_until_it_was_looked_at() {
    let bench = Bench::new().await;
    bench.import(&ordinary("dana", 8)).await;
    let (id, until_ms) = bench.state.removable(2, None, 10).await.unwrap()[0];
    // Received at 1 as all the others, but after the looking.
    let late = event("dana", START_MS, MfaEventKind::SessionStarted, true);
    let found = bench.correlator.fold(id, until_ms, 100).await.unwrap();
    assert_eq!(found.1, 8);
    bench.add(&[late], None).await;
    let removal = crate::store::case::Removal {
        identity: id,
        until_ms,
        received_before_ms: 2,
        events: found.1,
        baseline: found.0,
    };
    let refused = bench.state.remove_mfa_events(&removal).await;
    assert!(matches!(refused, Err(CaseError::Changed)), "{refused:?}");
    // Received since the retention's time: not even where it is counted.
    let refused = bench.correlator.remove_of(id, until_ms, 1).await;
    assert!(matches!(refused, Err(CaseError::Changed)), "{refused:?}");
    assert_eq!(bench.state.identity(id).await.unwrap().mfa_events, 9);
    bench.correlator.settle().await.unwrap();
    assert_eq!(bench.correlator.remove_mfa_events(2).await.unwrap(), 9);
}

#[tokio::test]
async fn more_events_than_are_looked_at_once_are_all_in_the_baseline() {
    let bench = Bench::new().await;
    bench.import(&ordinary("dana", 40)).await;
    let (id, until_ms) = bench.state.removable(2, None, 10).await.unwrap()[0];
    let whole = bench.correlator.fold(id, until_ms, 100).await.unwrap();
    assert_eq!(whole.1, 40);
    for at_once in [1, 2, 7, 39, 40] {
        let paged = bench.correlator.fold(id, until_ms, at_once).await.unwrap();
        assert_eq!(paged, whole, "{at_once} at once");
    }
}

/// One event a minute of each of these, in batches of one; the first says what was lost.
async fn report(bench: &Bench, endpoint: EndpointId, from_ms: i64, count: u64) {
    use tocsin_proto::telemetry::v1::{Event, Gap, GapPlace, GapReason, event::Body};
    for sequence in 1..=count {
        let time_ms = from_ms + i64::try_from(sequence).unwrap() * 60_000;
        let gap = Gap {
            place: GapPlace::Sensor.into(),
            reason: GapReason::Overflow.into(),
            lost: Some(sequence),
            from_time_ms: time_ms - 1_000,
            until_time_ms: time_ms,
            ..Gap::default()
        };
        let event = Event {
            sequence,
            event_time_ms: time_ms,
            body: Some(Body::Gap(gap)),
        };
        let batch = conformance::batch_of(endpoint, conformance::run(1), vec![event]);
        bench.telemetry.append(&[batch]).await.unwrap();
    }
}

#[tokio::test]
async fn removing_telemetry_changes_no_incident() {
    let bench = Bench::new().await;
    let from_ms = START_MS + 10 * DAY_MS;
    let mut events = ordinary("dana", 8);
    events.extend(bombing("dana", from_ms, 6, false));
    bench.import(&events).await;
    let endpoint = linked(&bench, "dana").await;
    report(&bench, endpoint, from_ms, 5).await;
    bench.correlator.look().await.unwrap();
    let before = bench.seen().await;
    assert!(
        gaps(&bench)
            .await
            .iter()
            .any(|what| what.contains("1 event,"))
    );

    while bench.telemetry.remove_oldest(i64::MAX, 1).await.unwrap() > 0 {
        bench.correlator.look().await.unwrap();
    }
    let people = bench.state.identities(None, 10).await.unwrap();
    let ids: Vec<IdentityId> = people.iter().map(|person| person.id).collect();
    bench.state.mark_dirty(&ids).await.unwrap();
    bench.correlator.settle().await.unwrap();
    assert_eq!(bench.seen().await, before);

    // What is removed of traces is named.
    let removed = bench.telemetry.remove_old_traces(i64::MAX, 100).await;
    assert_eq!(removed.unwrap(), 5);
    bench.correlator.look().await.unwrap();
    let is_named = |what: &String| what.contains("no longer known");
    assert!(gaps(&bench).await.iter().any(is_named));
}

#[tokio::test]
async fn news_make_those_dirty_whose_attempts_they_concern_and_nobody_else() {
    let bench = Bench::new().await;
    let from_ms = START_MS + 10 * DAY_MS;
    bench.import(&bombing("dana", from_ms, 6, false)).await;
    let endpoint = linked(&bench, "dana").await;
    bench.correlator.look().await.unwrap();
    let mut sequence = 0;
    let mut concerns = async |time_ms: i64| {
        sequence += 1;
        let events = vec![conformance::event(sequence, time_ms)];
        let batch = conformance::batch_of(endpoint, conformance::run(1), events);
        bench.telemetry.append(&[batch]).await.unwrap();
        let (state, telemetry) = (bench.state.as_ref(), bench.telemetry.as_ref());
        telemetry::mark_news(state, telemetry).await.unwrap();
        let is_dirty = !bench.state.dirty(10).await.unwrap().is_empty();
        bench.correlator.settle().await.unwrap();
        assert!(bench.telemetry.news(10).await.unwrap().is_empty());
        is_dirty
    };
    assert!(concerns(from_ms).await, "in the middle of it");
    assert!(
        concerns(from_ms - 13 * DAY_MS).await,
        "in the look-back, however late it comes"
    );
    assert!(!concerns(from_ms - 15 * DAY_MS).await, "before it");
    assert!(!concerns(from_ms + DAY_MS).await, "a day after it");
}
