//! Links, claims and accounts of endpoints: the same story for every engine.

use std::sync::Arc;

use tocsin_proto::id::{EndpointId, IdentityId};

use super::{Engine, endpoint};
use crate::audit::AuditEntry;
use crate::store::case::*;
use crate::store::people::*;
use crate::store::{StateStore, StoreError};

fn identity(name: &str) -> IdentityId {
    IdentityId::derive(&[name.as_bytes()])
}

fn group(name: &str, former: &[IdentityId]) -> IdentityGroup {
    IdentityGroup {
        id: identity(name),
        keys: vec![format!("address/{name}@example.com")],
        accounts: vec![AccountRow {
            provider: "import".into(),
            provider_id: format!("{name}@example.com"),
            login: format!("{name}@example.com"),
        }],
        former: former.to_vec(),
        is_changed: true,
    }
}

pub(super) fn person(name: &str, claim: Option<Claim>) -> PersonImport {
    PersonImport {
        group: group(name, &[identity(name)]),
        name: None,
        privileged: None,
        claim,
        link: None,
        said_by: "ana".into(),
    }
}

fn claim(name: &str, uid: &str) -> Claim {
    Claim {
        name: name.into(),
        uid: uid.into(),
        ..Claim::default()
    }
}

fn link(user: &str, uid: &str) -> LinkRow {
    LinkRow {
        endpoint: endpoint(1),
        user: user.into(),
        uid: uid.into(),
        source: "analyst".into(),
        confidence: "certain".into(),
        linked_by: "ana".into(),
        reason: String::new(),
        linked_time_ms: 1,
    }
}

fn seen(user: &str, uid: &str) -> Sighting {
    Sighting {
        user: user.into(),
        uid: uid.into(),
        first_seen_ms: 1_000,
        last_seen_ms: 2_000,
        interactive_ms: 2_000,
    }
}

fn entry() -> AuditEntry {
    AuditEntry::operator("identities.link", "", "")
}

/// Dana and Eli, and what one endpoint says of its accounts.
async fn filled(engine: &dyn Engine) -> Arc<dyn StateStore> {
    let store = engine.state().await;
    let people = ["dana", "eli"].map(|name| PersonImport {
        group: group(name, &[]),
        ..person(name, None)
    });
    let done = store.import_people(&people).await.unwrap();
    assert!(done.iter().all(|one| one.is_new && one.is_changed));
    see(
        &store,
        endpoint(1),
        &[seen("dana", "1000"), seen("web", "33")],
    )
    .await;
    store
}

async fn see(store: &Arc<dyn StateStore>, at: EndpointId, seen: &[Sighting]) -> u64 {
    let through = store.seen_through().await.unwrap() + 1;
    let links = store.see(&[(at, seen.to_vec())], through).await.unwrap();
    assert_eq!(store.seen_through().await.unwrap(), through);
    links
}

/// Name and number of the links of a person.
async fn links(store: &Arc<dyn StateStore>, name: &str) -> Vec<(String, String, String)> {
    let row = store.identity(identity(name)).await.unwrap();
    let of = |link: LinkRow| (link.user, link.uid, link.source);
    row.links.into_iter().map(of).collect()
}

fn one(user: &str, uid: &str, source: &str) -> Vec<(String, String, String)> {
    vec![(user.into(), uid.into(), source.into())]
}

/// Nobody's account is taken over unasked, by whichever of its two names.
pub(crate) async fn an_account_is_one_persons(engine: &dyn Engine) {
    let store = filled(engine).await;
    let link_to = async |who: &str, link: &LinkRow, is_move: bool| {
        let who = identity(who);
        store.link_account(who, link, is_move, &entry()).await
    };
    link_to("dana", &link("dana", ""), false).await.unwrap();
    assert_eq!(links(&store, "dana").await, one("dana", "1000", "analyst"));
    assert_eq!(store.links_seen(identity("dana")).await.unwrap(), [2_000]);
    let taken = link_to("eli", &link("", "1000"), false).await.unwrap_err();
    assert!(matches!(&taken, StoreError::Taken { .. }), "{taken}");
    assert!(taken.to_string().contains("dana@example.com"), "{taken}");
    assert!(links(&store, "eli").await.is_empty());

    link_to("eli", &link("", "1000"), true).await.unwrap();
    assert!(links(&store, "dana").await.is_empty());
    assert_eq!(links(&store, "eli").await, one("dana", "1000", "analyst"));
    let dirty = store.dirty(10).await.unwrap();
    assert_eq!(dirty.len(), 2, "both are looked at again");
    assert!(store.unlinked_accounts(0, 10).await.unwrap()[0].user == "web");

    link_to("eli", &link("never", ""), false).await.unwrap();
    let seen = store.links_seen(identity("eli")).await.unwrap();
    assert_eq!(seen, [2_000, 0]);
}

/// What an analyst unlinks stays unlinked, until an analyst links it.
pub(crate) async fn what_was_unlinked_is_not_imported_again(engine: &dyn Engine) {
    let store = filled(engine).await;
    let rows = [person("dana", Some(claim("dana", "1000")))];
    let done = store.import_people(&rows).await.unwrap();
    assert_eq!((done[0].links, done[0].is_changed), (1, true));
    assert_eq!(links(&store, "dana").await, one("dana", "1000", "import"));
    let again = store.import_people(&rows).await.unwrap();
    assert_eq!(again[0], PersonImported::default(), "the same again");

    let audited = store.audit_rows(0, 100).await.unwrap().len();
    let unlink = async |user: &str| {
        let account = (endpoint(1), user);
        store.unlink(identity("dana"), account, &entry()).await
    };
    unlink("1000").await.unwrap();
    assert!(links(&store, "dana").await.is_empty());
    let missing = unlink("dana").await.unwrap_err();
    assert!(matches!(missing, StoreError::NotFound { .. }), "{missing}");
    assert_eq!(store.audit_rows(0, 100).await.unwrap().len(), audited + 1);

    assert_eq!(store.import_people(&rows).await.unwrap()[0].links, 0);
    let mut on_endpoint = person("dana", None);
    on_endpoint.link = Some(link("dana", "1000"));
    let refused = store.import_people(&[on_endpoint]).await.unwrap();
    assert!(
        refused[0].refused[0].contains("was unlinked"),
        "{refused:?}"
    );
    let by_analyst = link("dana", "");
    store
        .link_account(identity("dana"), &by_analyst, false, &entry())
        .await
        .unwrap();
    assert_eq!(links(&store, "dana").await, one("dana", "1000", "analyst"));
    assert_eq!(store.import_people(&rows).await.unwrap()[0].links, 0);
    assert_eq!(links(&store, "dana").await, one("dana", "1000", "analyst"));
}

/// A claim links what was seen and what is seen later, on every endpoint, but no system account and nobody else's.
pub(crate) async fn claims_link_what_is_seen_before_and_after(engine: &dyn Engine) {
    let store = filled(engine).await;
    store
        .link_account(identity("eli"), &link("dana", ""), false, &entry())
        .await
        .unwrap();
    let rows = [
        person("dana", Some(claim("dana", "1000"))),
        person("eli", Some(claim("web", "33"))),
    ];
    let done = store.import_people(&rows).await.unwrap();
    assert_eq!((done[0].links, done[1].links), (0, 0));
    assert!(done[0].refused[0].contains("eli@example.com"), "{done:?}");
    assert!(links(&store, "dana").await.is_empty());

    let two = endpoint(2);
    assert_eq!(see(&store, two, &[seen("dana", "")]).await, 0, "no uid yet");
    assert_eq!(see(&store, two, &[seen("dana", "1001")]).await, 0);
    assert_eq!(see(&store, endpoint(3), &[seen("dana", "1000")]).await, 1);
    let again = see(&store, endpoint(3), &[seen("dana", "1000")]).await;
    assert_eq!(again, 0);
    let row = store.identity(identity("dana")).await.unwrap();
    assert_eq!(row.links.len(), 1);
    assert_eq!(row.links[0].endpoint, endpoint(3));
    let unlinked = store.unlinked_identities(None, 10).await.unwrap();
    assert!(unlinked.is_empty(), "both have a link: {unlinked:?}");
}

/// What an import says of a person stands beside what records say, and goes with them when people become one.
pub(crate) async fn imported_facts_follow_their_person(engine: &dyn Engine) {
    let store = filled(engine).await;
    let mut admin = person("dana", Some(claim("dana", "")));
    admin.name = Some("Dana Reyes".into());
    admin.privileged = Some(true);
    let rows = [admin];
    assert!(store.import_people(&rows).await.unwrap()[0].is_changed);
    let row = store.identity(identity("dana")).await.unwrap();
    assert_eq!(
        (&*row.imported_name, row.imported_privileged),
        ("Dana Reyes", true)
    );
    assert!(!row.privileged);
    let mut joined = group("eli", &[identity("eli"), identity("dana")]);
    joined.keys.push("address/dana@example.com".into());
    let rows = [PersonImport {
        group: joined,
        ..person("eli", None)
    }];
    store.import_people(&rows).await.unwrap();
    let row = store.identity(identity("eli")).await.unwrap();
    assert_eq!(
        (&*row.imported_name, row.imported_privileged),
        ("Dana Reyes", true)
    );
    assert_eq!(row.links.len(), 1, "{row:?}");
    assert_eq!(
        see(&store, endpoint(4), &[seen("EXAMPLE\\Dana", "1000")]).await,
        1
    );
    let candidates = store.candidates("dana", "1000", 10).await.unwrap();
    assert_eq!(candidates.len(), 1);
    assert_eq!(candidates[0].identity, identity("eli"));
    assert_eq!(candidates[0].login, "dana@example.com");
}
