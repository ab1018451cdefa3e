//! Cases: the same story for every engine.

use sha2::{Digest, Sha256};
use tocsin_proto::id::{EndpointId, IdentityId, IncidentId, MfaEventId};

use super::Engine;
use crate::audit::AuditEntry;
use crate::store::case::*;
use crate::store::{StateStore, StoreError};

pub(super) fn identity(name: &str) -> IdentityId {
    IdentityId::derive(&[name.as_bytes()])
}

fn incident(name: &str) -> IncidentId {
    IncidentId::derive(&[name.as_bytes()])
}

fn account(name: &str) -> AccountRow {
    AccountRow {
        provider: "okta".into(),
        provider_id: format!("00u-{name}"),
        login: format!("{name}@example.com"),
    }
}

pub(super) fn group(name: &str, former: &[IdentityId]) -> IdentityGroup {
    IdentityGroup {
        id: identity(name),
        keys: vec![format!("address/{name}@example.com")],
        accounts: vec![account(name)],
        former: former.to_vec(),
        is_changed: true,
    }
}

fn event(name: &str, number: u32) -> NewMfaEvent {
    let raw = format!("record {number} of {name}").into_bytes();
    NewMfaEvent {
        id: MfaEventId::derive(&[&number.to_be_bytes()]),
        account: account(name),
        event_time_ms: i64::from(number) * 1_000,
        is_approval: false,
        event: format!("event {number}").into_bytes(),
        said: None,
        raw_sha256: Sha256::digest(&raw).into(),
        raw,
    }
}

fn batch(events: Vec<NewMfaEvent>, groups: Vec<IdentityGroup>) -> MfaBatch {
    MfaBatch {
        provider: "okta".into(),
        kind: "file".into(),
        receive_time_ms: 50_000,
        events,
        groups,
        refused: None,
        advance: None,
    }
}

/// Two people with three records.
pub(super) async fn filled(engine: &dyn Engine) -> std::sync::Arc<dyn StateStore> {
    let store = engine.state().await;
    let events = vec![event("dana", 1), event("dana", 2), event("eli", 3)];
    let groups = vec![group("dana", &[]), group("eli", &[])];
    let new = store.add_mfa_events(&batch(events, groups)).await.unwrap();
    assert_eq!(new, [true; 3]);
    store
}

pub(super) fn row(name: &str, of: &str, version: i64) -> IncidentRow {
    IncidentRow {
        id: incident(name),
        identity: identity(of),
        source: String::new(),
        engine: EngineState {
            severity: 3,
            score: 40,
            first_event_time_ms: 1_000,
            last_event_time_ms: 2_000,
            summary: b"summary".to_vec(),
            draft: b"draft".to_vec(),
            draft_sha256: [7; 32],
        },
        analyst: AnalystState {
            state: 1,
            opened_time_ms: 60_000,
            updated_time_ms: 60_000,
            state_time_ms: 60_000,
            ..AnalystState::default()
        },
        is_frozen: false,
        version,
    }
}

pub(super) fn change(of: &str, mark: i64) -> CaseChange {
    CaseChange {
        of: Correlated::Person {
            identity: identity(of),
            facts: IdentityFacts {
                display_name: format!("{of} the person"),
                privileged: false,
                next_change_ms: None,
                telemetry_sha256: [1; 32],
                coverage: b"{}".to_vec(),
            },
            sightings: Vec::new(),
            failures: Vec::new(),
        },
        mark,
        read: Vec::new(),
        write: Vec::new(),
        remove: Vec::new(),
        activity: Vec::new(),
    }
}

fn happened(what: &str) -> ActivityRow {
    ActivityRow {
        time_ms: 60_000,
        actor: "tocsin".into(),
        what: what.into(),
    }
}

fn analyst_change(name: &str, version: i64, note: Option<&str>) -> AnalystChange {
    AnalystChange {
        id: incident(name),
        version,
        analyst: AnalystState {
            state: 2,
            assignee: "ana".into(),
            ..row(name, "dana", 0).analyst
        },
        activity: happened("new -> in_progress"),
        note: note.map(str::to_owned),
    }
}

pub(super) fn entry() -> AuditEntry {
    AuditEntry::operator("incidents.state", "target", "detail")
}

pub(super) async fn dirty(store: &dyn StateStore) -> Vec<IdentityId> {
    store
        .dirty(100)
        .await
        .unwrap()
        .into_iter()
        .map(|(id, _)| id)
        .collect()
}

async fn mark_of(store: &dyn StateStore, name: &str) -> i64 {
    let dirty = store.dirty(100).await.unwrap();
    dirty
        .into_iter()
        .find(|(id, _)| *id == identity(name))
        .unwrap()
        .1
}

/// A record that comes again is not new, changes no count and marks nobody.
pub(crate) async fn a_record_is_stored_and_counted_once(engine: &dyn Engine) {
    let store = filled(engine).await;
    for name in ["dana", "eli"] {
        let mark = mark_of(store.as_ref(), name).await;
        store.apply(&[change(name, mark)]).await.unwrap();
    }
    let store = engine.state().await;
    let again = vec![event("dana", 2), event("dana", 4), event("dana", 4)];
    let mut batch = batch(again, vec![group("dana", &[identity("dana")])]);
    batch.refused = Some(RefusedRecords {
        file_sha256: [7; 32],
        count: 2,
    });
    assert_eq!(
        store.add_mfa_events(&batch).await.unwrap(),
        [false, true, false]
    );
    assert_eq!(dirty(store.as_ref()).await, [identity("dana")]);
    let feed = store.feeds().await.unwrap().remove(0);
    assert_eq!(
        (feed.mfa_events, feed.malformed, feed.event_time_max_ms),
        (4, 2, 4_000)
    );
    let dana = store.identity(identity("dana")).await.unwrap();
    assert_eq!(
        (
            dana.mfa_events,
            dana.event_time_min_ms,
            dana.event_time_max_ms
        ),
        (3, 1_000, 4_000)
    );
    assert_eq!(dana.display_name, "dana the person");
    let events = store.mfa_events(identity("dana"), 2).await.unwrap();
    assert_eq!(
        events,
        [b"event 4".to_vec(), b"event 2".to_vec()],
        "the newest"
    );
}

/// Of one record in two shapes the fuller one stays, in whatever order they come; neither counts twice.
pub(crate) async fn the_fuller_form_of_a_record_stays(engine: &dyn Engine) {
    let store = filled(engine).await;
    let mark = mark_of(store.as_ref(), "dana").await;
    store.apply(&[change("dana", mark)]).await.unwrap();
    let mut fuller = event("dana", 2);
    fuller.event = b"event 2, and what else is known".to_vec();
    let dana = || vec![group("dana", &[identity("dana")])];
    let again = batch(vec![fuller.clone(), event("dana", 2)], dana());
    assert_eq!(store.add_mfa_events(&again).await.unwrap(), [false, false]);
    assert!(dirty(store.as_ref()).await.contains(&identity("dana")));
    let newest = store.mfa_events(identity("dana"), 1).await.unwrap();
    assert_eq!(newest, [fuller.event.clone()]);
    // Another person's record under that id is no form of it.
    let mut theirs = event("eli", 2);
    theirs.event = b"event 2 as somebody else's, at great length indeed".to_vec();
    let batch = batch(vec![theirs], vec![group("eli", &[identity("eli")])]);
    assert_eq!(store.add_mfa_events(&batch).await.unwrap(), [false]);
    let newest = store.mfa_events(identity("dana"), 1).await.unwrap();
    assert_eq!(newest, [fuller.event]);
    let feed = store.feeds().await.unwrap().remove(0);
    assert_eq!((feed.mfa_events, feed.malformed), (3, 0));
}

/// What was looked up for a record makes it no fuller: what came first stays, until the provider itself says more.
pub(crate) async fn what_was_looked_up_makes_no_record_fuller(engine: &dyn Engine) {
    let store = filled(engine).await;
    let mark = mark_of(store.as_ref(), "dana").await;
    store.apply(&[change("dana", mark)]).await.unwrap();
    let form = |said: &str, looked_up: &str| {
        let mut form = event("dana", 2);
        form.event = format!("{said}{looked_up}").into_bytes();
        form.said = (!looked_up.is_empty()).then(|| said.as_bytes().to_vec());
        form
    };
    let newest = async |form: NewMfaEvent| {
        let group = group("dana", &[identity("dana")]);
        let new = store.add_mfa_events(&batch(vec![form], vec![group])).await;
        assert_eq!(new.unwrap(), [false]);
        let mut events = store.mfa_events(identity("dana"), 1).await.unwrap();
        String::from_utf8(events.remove(0)).unwrap()
    };
    let stored = newest(form("event 2", ", AS64500")).await;
    assert_eq!(stored, "event 2", "it was stored without a file");
    assert!(!dirty(store.as_ref()).await.contains(&identity("dana")));
    let fuller = newest(form("event 2 by push", ", AS64500")).await;
    assert_eq!(fuller, "event 2 by push, AS64500");
    for (said, looked_up) in [
        ("event 2 by push", ", AS64501 of a longer name"),
        ("event 2 by push", ""),
        ("event 2", ", AS64500 of a name that is longer than that"),
        ("event 2 by pull", ", AS64500"),
    ] {
        assert_eq!(newest(form(said, looked_up)).await, fuller, "{said}");
    }
    let fullest = newest(form("event 2 by push in Porto", "")).await;
    assert_eq!(fullest, "event 2 by push in Porto");
}

/// What a file holds of refused records counts once, however often it comes.
pub(crate) async fn refused_records_of_a_file_count_once(engine: &dyn Engine) {
    let store = filled(engine).await;
    for (file, count, expect) in [(1, 3, 3), (1, 3, 3), (2, 4, 7), (1, 3, 7)] {
        let mut batch = batch(Vec::new(), Vec::new());
        batch.refused = Some(RefusedRecords {
            file_sha256: [file; 32],
            count,
        });
        store.add_mfa_events(&batch).await.unwrap();
        let feed = store.feeds().await.unwrap().remove(0);
        assert_eq!(feed.malformed, expect);
    }
}

/// When an account joins two people, everything of both is one person's, and both are found.
pub(crate) async fn people_who_turn_out_to_be_one_become_one(engine: &dyn Engine) {
    let store = filled(engine).await;
    let mark = mark_of(store.as_ref(), "eli").await;
    let mut of_eli = change("eli", mark);
    of_eli.write = vec![row("one", "eli", 0)];
    store.apply(&[of_eli]).await.unwrap();
    let found = store
        .groups(&["address/eli@example.com".into()])
        .await
        .unwrap();
    let expected = IdentityGroup {
        is_changed: false,
        ..group("eli", &[identity("eli")])
    };
    assert_eq!(found, [expected]);

    let mut joined = group("dana", &[identity("dana"), identity("eli")]);
    joined.keys.push("address/eli@example.com".into());
    joined.accounts.push(account("eli"));
    store
        .add_mfa_events(&batch(vec![event("eli", 5)], vec![joined]))
        .await
        .unwrap();

    let store = engine.state().await;
    let people = store.identities(None, 10).await.unwrap();
    assert_eq!(people.len(), 1);
    assert_eq!(people[0].aliases, [identity("eli")]);
    assert_eq!((people[0].accounts.len(), people[0].mfa_events), (2, 4));
    assert_eq!(dirty(store.as_ref()).await, [identity("dana")]);
    for text in [identity("eli").to_string(), "Eli@Example.com".into()] {
        assert_eq!(
            store.find_identity(&text).await.unwrap(),
            identity("dana"),
            "{text}"
        );
    }
    assert_eq!(
        store.incident(incident("one")).await.unwrap().identity,
        identity("dana")
    );
}

/// A group that does not know of a key's present owner is not written.
pub(crate) async fn what_was_resolved_from_older_people_is_refused(engine: &dyn Engine) {
    let store = filled(engine).await;
    let mut stale = group("mallory", &[]);
    stale.keys = vec!["address/dana@example.com".into()];
    let batch = batch(vec![event("mallory", 9)], vec![stale]);
    let refused = store.add_mfa_events(&batch).await;
    assert!(matches!(refused, Err(CaseError::Changed)), "{refused:?}");
    let nobody = store.identity(identity("mallory")).await;
    assert!(nobody.is_err(), "nothing was written");
}

/// A mark that was set after the input was read stays.
pub(crate) async fn a_mark_goes_only_with_what_is_at_least_as_new(engine: &dyn Engine) {
    let store = filled(engine).await;
    let read = mark_of(store.as_ref(), "dana").await;
    store
        .mark_dirty(&[identity("dana"), identity("nobody")])
        .await
        .unwrap();
    store.apply(&[change("dana", read)]).await.unwrap();
    assert!(dirty(store.as_ref()).await.contains(&identity("dana")));
    let read = mark_of(store.as_ref(), "dana").await;
    store.apply(&[change("dana", read)]).await.unwrap();
    let store = engine.state().await;
    assert_eq!(dirty(store.as_ref()).await, [identity("eli")]);
}

/// Somebody else's newer record tells that a prompt has become unanswered.
pub(crate) async fn whoever_waits_for_a_provider_is_marked_when_it_gets_there(engine: &dyn Engine) {
    let store = filled(engine).await;
    for name in ["dana", "eli"] {
        let mut change = change(name, i64::MAX);
        if let Correlated::Person { facts, .. } = &mut change.of {
            facts.next_change_ms = (name == "dana").then_some(10_000);
        }
        store.apply(&[change]).await.unwrap();
    }
    let eli = |number| {
        batch(
            vec![event("eli", number)],
            vec![group("eli", &[identity("eli")])],
        )
    };
    store.add_mfa_events(&eli(9)).await.unwrap();
    assert_eq!(dirty(store.as_ref()).await, [identity("eli")]);
    store.add_mfa_events(&eli(10)).await.unwrap();
    assert!(dirty(store.as_ref()).await.contains(&identity("dana")));
}

/// Neither correlation nor an analyst overwrites what the other did meanwhile.
pub(crate) async fn a_change_made_from_an_older_version_is_refused(engine: &dyn Engine) {
    let store = filled(engine).await;
    let mut open = change("dana", 0);
    open.write = vec![row("one", "dana", 0)];
    open.activity = vec![(incident("one"), happened("opened"))];
    store.apply(&[open.clone()]).await.unwrap();
    let refused = store.apply(&[open.clone()]).await;
    assert!(
        matches!(refused, Err(CaseError::Changed)),
        "it was read as having none"
    );

    let version = store.incident(incident("one")).await.unwrap().version;
    let audited = store.audit_rows(0, 100).await.unwrap().len();
    let taken = analyst_change("one", version, Some("called her"));
    store.change_incident(&taken, &entry()).await.unwrap();
    let refused = store.change_incident(&taken, &entry()).await;
    assert!(matches!(refused, Err(CaseError::Changed)));
    assert_eq!(store.audit_rows(0, 100).await.unwrap().len(), audited + 1);

    open.read = vec![(incident("one"), version)];
    let refused = store.apply(&[change("eli", 0), open]).await;
    assert!(
        matches!(refused, Err(CaseError::Changed)),
        "an analyst was faster"
    );
    let store = engine.state().await;
    let stored = store.incident(incident("one")).await.unwrap();
    assert_eq!(
        (stored.analyst.state, stored.analyst.assignee.as_str()),
        (2, "ana")
    );
    assert!(stored.analyst.is_touched);
    assert_eq!(
        store.notes(incident("one")).await.unwrap()[0].text,
        "called her"
    );
    let activity = store.activity(incident("one")).await.unwrap();
    let what: Vec<_> = activity.iter().map(|row| row.what.as_str()).collect();
    assert_eq!(what, ["opened", "new -> in_progress"]);
}

/// Notes, activity and aliases go over; a removed one without a successor takes them with it.
pub(crate) async fn what_an_incident_had_goes_to_its_successor(engine: &dyn Engine) {
    let store = filled(engine).await;
    let mut open = change("dana", 0);
    open.write = vec![row("one", "dana", 0), row("two", "dana", 0)];
    store.apply(&[open]).await.unwrap();
    let noted = analyst_change("one", 1, Some("called her"));
    store.change_incident(&noted, &entry()).await.unwrap();

    let mut grow = change("dana", 0);
    grow.read = vec![(incident("one"), 2), (incident("two"), 1)];
    grow.write = vec![row("zero", "dana", 0)];
    grow.remove = vec![
        (incident("one"), Some(incident("zero"))),
        (incident("two"), None),
    ];
    store.apply(&[grow]).await.unwrap();
    let store = engine.state().await;
    assert_eq!(store.notes(incident("zero")).await.unwrap().len(), 1);
    assert_eq!(
        store.incident_aliases(incident("zero")).await.unwrap(),
        [incident("one")]
    );
    let gone = store.find_incident(&incident("two").to_string()).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })));

    // Once more: aliases of aliases lead to the last one, and an id that comes back is itself again.
    let mut grow = change("dana", 0);
    grow.read = vec![(incident("zero"), 1)];
    grow.write = vec![row("last", "dana", 0)];
    grow.remove = vec![(incident("zero"), Some(incident("last")))];
    store.apply(&[grow]).await.unwrap();
    let one = incident("one").to_string();
    assert_eq!(store.find_incident(&one).await.unwrap(), incident("last"));
    let mut back = change("dana", 0);
    back.read = vec![(incident("last"), 1)];
    back.write = vec![row("one", "dana", 0)];
    store.apply(&[back]).await.unwrap();
    assert_eq!(store.find_incident(&one).await.unwrap(), incident("one"));
}

/// A link is recorded, marks its person, and is there once however often it is made.
pub(crate) async fn links_mark_and_are_bounded_to_one_row_each(engine: &dyn Engine) {
    let store = filled(engine).await;
    for name in ["dana", "eli"] {
        store.apply(&[change(name, i64::MAX)]).await.unwrap();
    }
    let endpoint = EndpointId::from_public_key(b"key");
    let link = |reason: &str| LinkRow {
        endpoint,
        user: "dana".into(),
        uid: String::new(),
        source: "analyst".into(),
        confidence: "certain".into(),
        linked_by: "ana".into(),
        reason: reason.into(),
        linked_time_ms: 1,
    };
    for reason in ["first", "second"] {
        store
            .link_account(identity("dana"), &link(reason), false, &entry())
            .await
            .unwrap();
    }
    let nobody = store
        .link_account(identity("nobody"), &link("x"), true, &entry())
        .await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })));
    let store = engine.state().await;
    assert_eq!(
        store.identity(identity("dana")).await.unwrap().links,
        [link("second")]
    );
    assert_eq!(dirty(store.as_ref()).await, [identity("dana")]);
    let linked = store.links_after(None, 10).await.unwrap();
    assert_eq!(linked.len(), 1);
    assert_eq!(
        (linked[0].identity, linked[0].event_times_ms),
        (identity("dana"), (1_000, 2_000))
    );
    assert_eq!(
        (
            linked[0].endpoints.as_slice(),
            linked[0].telemetry_sha256.as_slice()
        ),
        ([endpoint].as_slice(), [1; 32].as_slice())
    );
    assert!(
        store
            .links_after(Some(identity("dana")), 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.audit_rows(0, 100).await.unwrap().len(), 2);
}

/// What was received long ago goes with its counts; an incident of it stays as it is.
pub(crate) async fn old_records_go_and_their_incidents_are_frozen(engine: &dyn Engine) {
    let store = filled(engine).await;
    let mut later = batch(
        vec![event("dana", 8)],
        vec![group("dana", &[identity("dana")])],
    );
    later.receive_time_ms = 90_000;
    store.add_mfa_events(&later).await.unwrap();
    let mut open = change("dana", 0);
    open.write = vec![row("one", "dana", 0)];
    store.apply(&[open]).await.unwrap();
    assert!(store.removable(50_000, None, 10).await.unwrap().is_empty());
    let mut found = store.removable(60_000, None, 10).await.unwrap();
    found.sort_by_key(|(_, until_ms)| *until_ms);
    assert_eq!(found, [(identity("eli"), 3_000), (identity("dana"), 7_999)]);
    let mut removal = Removal {
        identity: identity("dana"),
        until_ms: 7_999,
        received_before_ms: 60_000,
        events: 2,
        baseline: b"usual".to_vec(),
    };
    let found = store.mfa_events_until(identity("dana"), 7_999, None, 1);
    assert_eq!(found.await.unwrap(), [b"event 1".to_vec()]);
    let after = Some((1_000, event("dana", 1).id));
    let found = store.mfa_events_until(identity("dana"), 7_999, after, 9);
    assert_eq!(found.await.unwrap(), [b"event 2".to_vec()]);
    // A record of an old time comes late: nothing is removed that was not looked at.
    let dana = |number| {
        batch(
            vec![event("dana", number)],
            vec![group("dana", &[identity("dana")])],
        )
    };
    let mut late = dana(4);
    late.receive_time_ms = 90_000;
    store.add_mfa_events(&late).await.unwrap();
    for events in [2, 3] {
        removal.events = events;
        let refused = store.remove_mfa_events(&removal).await;
        assert!(matches!(refused, Err(CaseError::Changed)), "{events}");
    }
    removal.until_ms = 3_999;
    removal.events = 1;
    let refused = store.remove_mfa_events(&removal).await;
    assert!(matches!(refused, Err(CaseError::Changed)), "another count");
    removal.events = 2;
    assert_eq!(store.remove_mfa_events(&removal).await.unwrap(), 2);
    let store = engine.state().await;
    let dana = store.identity(identity("dana")).await.unwrap();
    assert_eq!(
        (dana.mfa_events, dana.baseline.as_slice()),
        (2, b"usual".as_slice())
    );
    assert_eq!(dana.removed_until_ms, 3_999);
    assert_eq!(store.feeds().await.unwrap()[0].mfa_events, 3);
    assert!(store.incident(incident("one")).await.unwrap().is_frozen);
}
