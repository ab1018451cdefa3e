//! Sightings and campaigns: the same story for every engine.

use tocsin_proto::id::{IdentityId, IncidentId, MfaEventId};

use super::Engine;
use super::case::{change, dirty, filled, group, identity, row};
use crate::store::StateStore;
use crate::store::case::*;

const SOURCE: &str = "203.0.113.66";

fn attempt(number: u8) -> MfaEventId {
    MfaEventId::derive(&[b"attempt", &[number]])
}

fn sighting(of: &str, number: u8, source: &str, content: &str) -> SightingRow {
    SightingRow {
        identity: identity(of),
        attempt: attempt(number),
        source: source.into(),
        time_ms: i64::from(number) * 1_000,
        content: content.into(),
        campaign: None,
    }
}

/// A person correlated with these sightings.
async fn seen(store: &dyn StateStore, of: &str, rows: Vec<SightingRow>) {
    let mut change = change(of, i64::MAX);
    if let Correlated::Person { sightings, .. } = &mut change.of {
        *sightings = rows;
    }
    store.apply(&[change]).await.unwrap();
}

fn nobody() -> IdentityId {
    identity("nobody")
}

fn about_source(mark: i64, campaign: IncidentId, of: &[(&str, u8)]) -> CaseChange {
    let part = |(of, number): &(&str, u8)| Membership {
        identity: identity(of),
        attempt: attempt(*number),
        campaign: Some(campaign),
    };
    CaseChange {
        of: Correlated::Source {
            source: SOURCE.into(),
            memberships: of.iter().map(part).collect(),
        },
        mark,
        read: Vec::new(),
        write: vec![IncidentRow {
            id: campaign,
            identity: nobody(),
            source: SOURCE.into(),
            ..row("campaign", "dana", 0)
        }],
        remove: Vec::new(),
        activity: Vec::new(),
    }
}

async fn sources(store: &dyn StateStore) -> Vec<String> {
    let dirty = store.dirty_sources(100).await.unwrap();
    dirty.into_iter().map(|(source, _)| source).collect()
}

async fn mark_of(store: &dyn StateStore) -> i64 {
    store.dirty_sources(1).await.unwrap()[0].1
}

/// Dana and Eli were seen with the source, and are of one campaign.
async fn campaign(engine: &dyn Engine) -> (std::sync::Arc<dyn StateStore>, IncidentId) {
    let store = filled(engine).await;
    seen(
        store.as_ref(),
        "dana",
        vec![sighting("dana", 1, SOURCE, "one")],
    )
    .await;
    seen(
        store.as_ref(),
        "eli",
        vec![sighting("eli", 2, SOURCE, "two")],
    )
    .await;
    let id = IncidentId::derive(&[b"campaign"]);
    let mark = mark_of(store.as_ref()).await;
    let change = about_source(mark, id, &[("dana", 1), ("eli", 2)]);
    store.apply(&[change]).await.unwrap();
    (store, id)
}

/// A source is dirty where something is seen otherwise than before, and only there.
pub(crate) async fn a_source_is_dirty_when_something_else_is_seen(engine: &dyn Engine) {
    let (store, _) = campaign(engine).await;
    assert!(sources(store.as_ref()).await.is_empty());
    let same = || vec![sighting("dana", 1, SOURCE, "one")];
    seen(store.as_ref(), "dana", same()).await;
    assert!(sources(store.as_ref()).await.is_empty(), "the same again");
    let other = vec![sighting("dana", 1, "203.0.113.67", "one")];
    seen(store.as_ref(), "dana", other).await;
    let store = engine.state().await;
    assert_eq!(
        sources(store.as_ref()).await,
        [SOURCE, "203.0.113.67"],
        "gone there, new here"
    );
    seen(store.as_ref(), "dana", Vec::new()).await;
    assert!(
        store
            .sightings_from("203.0.113.67")
            .await
            .unwrap()
            .is_empty(),
        "what does not follow any more is gone"
    );
}

/// A mark that came after what was computed stays.
pub(crate) async fn a_sources_mark_goes_only_with_what_is_at_least_as_new(engine: &dyn Engine) {
    let (store, id) = campaign(engine).await;
    seen(
        store.as_ref(),
        "dana",
        vec![sighting("dana", 1, SOURCE, "new")],
    )
    .await;
    let read = mark_of(store.as_ref()).await;
    seen(
        store.as_ref(),
        "dana",
        vec![sighting("dana", 1, SOURCE, "newer")],
    )
    .await;
    let mut late = about_source(read, id, &[]);
    late.read = vec![(id, 1)];
    store.apply(&[late]).await.unwrap();
    assert_eq!(sources(store.as_ref()).await, [SOURCE]);
    let stale = about_source(i64::MAX, id, &[]);
    let refused = store.apply(&[stale]).await;
    assert!(
        matches!(refused, Err(CaseError::Changed)),
        "read when there was no such incident"
    );
}

/// Whose attempts became part of a campaign are correlated again; nobody else is.
pub(crate) async fn members_of_a_campaign_are_dirty_and_listed_with_it(engine: &dyn Engine) {
    let (store, id) = campaign(engine).await;
    let mut marked = dirty(store.as_ref()).await;
    marked.sort();
    let mut both = vec![identity("dana"), identity("eli")];
    both.sort();
    assert_eq!(marked, both);
    let parts = store.memberships(identity("dana")).await.unwrap();
    assert_eq!(
        (parts[0].attempt, parts[0].campaign),
        (attempt(1), Some(id))
    );
    // A person's own correlation does not take it away.
    seen(
        store.as_ref(),
        "dana",
        vec![sighting("dana", 1, SOURCE, "other words")],
    )
    .await;
    let store = engine.state().await;
    assert_eq!(store.memberships(identity("dana")).await.unwrap().len(), 1);
    let query = IncidentQuery {
        identity: Some(identity("dana")),
        limit: 9,
        ..IncidentQuery::default()
    };
    let rows = store.incidents(&query).await.unwrap();
    assert_eq!((rows.len(), rows[0].id), (1, id));
    assert_eq!(rows[0].source, SOURCE);
    assert_eq!(store.incidents_from(SOURCE).await.unwrap()[0].id, id);
    assert!(store.incidents_from("").await.unwrap().is_empty());
}

/// Whose the campaigns are is nobody that can be found.
pub(crate) async fn nobody_is_in_no_list_of_people(engine: &dyn Engine) {
    let (store, _) = campaign(engine).await;
    let people = store.identities(None, 100).await.unwrap();
    assert_eq!(people.len(), 2);
    assert!(store.find_identity(&nobody().to_string()).await.is_err());
    let unlinked = store.unlinked_identities(None, 100).await.unwrap();
    assert!(!unlinked.contains(&nobody()));
}

/// Two people who turn out to be one are one member.
pub(crate) async fn sightings_follow_their_person(engine: &dyn Engine) {
    let (store, id) = campaign(engine).await;
    let mut one = group("dana", &[identity("dana"), identity("eli")]);
    one.keys.push("address/eli@example.com".into());
    let batch = MfaBatch {
        provider: "okta".into(),
        kind: "file".into(),
        receive_time_ms: 60_000,
        events: Vec::new(),
        groups: vec![one],
        refused: None,
        advance: None,
    };
    store.add_mfa_events(&batch).await.unwrap();
    let rows = store.sightings_from(SOURCE).await.unwrap();
    assert!(rows.iter().all(|row| row.identity == identity("dana")));
    assert!(rows.iter().all(|row| row.campaign == Some(id)));
    assert_eq!(rows.len(), 2);
    assert_eq!(sources(store.as_ref()).await, [SOURCE]);
}

/// Sightings stay as long as anybody's events of the source do; then their incident stays as it is.
pub(crate) async fn sightings_outlive_the_first_members_events(engine: &dyn Engine) {
    let (store, id) = campaign(engine).await;
    let gone = |of: &str, events| Removal {
        identity: identity(of),
        until_ms: 3_000,
        received_before_ms: 70_000,
        events,
        baseline: b"{}".to_vec(),
    };
    store.remove_mfa_events(&gone("dana", 2)).await.unwrap();
    assert_eq!(store.remove_sightings().await.unwrap(), 0);
    seen(store.as_ref(), "dana", Vec::new()).await;
    assert!(sources(store.as_ref()).await.is_empty(), "still seen");
    store.remove_mfa_events(&gone("eli", 1)).await.unwrap();
    assert_eq!(store.remove_sightings().await.unwrap(), 2);
    let store = engine.state().await;
    assert!(store.sightings_from(SOURCE).await.unwrap().is_empty());
    assert!(store.incident(id).await.unwrap().is_frozen);
}
