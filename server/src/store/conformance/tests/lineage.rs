//! A machine that is enrolled anew: what follows it to its next endpoint, and what does not.

use tocsin_proto::id::EndpointId;
use tocsin_proto::token::key_pin;

use super::super::StateStore;
use super::super::case::LinkRow;
use super::case::{change, dirty, entry, filled, identity};
use super::people::person;
use super::{Engine, endpoint, run};
use crate::store::trust::{ConflictRow, Enrollment, TokenRow};

pub(super) async fn token(store: &dyn StateStore) {
    let token = TokenRow {
        id: [1; 8],
        secret_sha256: [2; 32],
        uses_max: 9,
        created_time_ms: 0,
        expiry_time_ms: i64::MAX,
        ring: String::new(),
    };
    store.create_token(&token, &entry()).await.unwrap();
}

pub(super) async fn enroll(store: &dyn StateStore, number: u8, former: Option<EndpointId>) {
    let enrollment = Enrollment {
        token_id: [1; 8],
        secret_sha256: [2; 32],
        endpoint: endpoint(number),
        key_pin: key_pin(&[number]),
        former,
        hostname: "porto-17".into(),
        agent_version: String::new(),
        address: ([127, 0, 0, 1], 1).into(),
        certificate_expiry_time_ms: 0,
        time_ms: i64::from(number) * 1_000,
    };
    store.enroll(&enrollment, &entry()).await.unwrap();
}

pub(super) fn of_dana(endpoint: EndpointId) -> LinkRow {
    LinkRow {
        endpoint,
        user: "dana".into(),
        uid: String::new(),
        source: "import".into(),
        confidence: "likely".into(),
        linked_by: "ana".into(),
        reason: "her laptop".into(),
        linked_time_ms: 1,
    }
}

async fn linked(store: &dyn StateStore) -> Vec<(EndpointId, String)> {
    let links = store.identity(identity("dana")).await.unwrap().links;
    for link in &links {
        let kept = (
            &*link.user,
            &*link.source,
            &*link.confidence,
            &*link.linked_by,
        );
        assert_eq!(kept, ("dana", "import", "likely", "ana"));
    }
    let mut links: Vec<_> = links
        .into_iter()
        .map(|link| (link.endpoint, link.reason))
        .collect();
    links.sort();
    links
}

/// Links follow a machine that shows its former key, once, unless that key was revoked or two machines have used it.
pub(crate) async fn links_follow_a_machine_that_is_enrolled_anew(engine: &dyn Engine) {
    let store = filled(engine).await;
    let store = store.as_ref();
    token(store).await;
    enroll(store, 1, None).await;
    let link = of_dana(endpoint(1));
    store
        .link_account(identity("dana"), &link, false, &entry())
        .await
        .unwrap();
    enroll(store, 9, None).await;
    let first = (endpoint(1), "her laptop".to_owned());
    assert_eq!(
        linked(store).await,
        std::slice::from_ref(&first),
        "no key was shown"
    );
    store.apply(&[change("dana", i64::MAX)]).await.unwrap();

    enroll(store, 2, Some(endpoint(1))).await;
    let reason = format!(
        "her laptop; followed endpoint {}, enrolled anew",
        endpoint(1)
    );
    let mut both = vec![first, (endpoint(2), reason)];
    both.sort();
    assert_eq!(linked(store).await, both);
    assert!(dirty(store).await.contains(&identity("dana")));
    assert_eq!(store.successors(endpoint(1)).await.unwrap(), [endpoint(2)]);
    let former = store.endpoint(endpoint(2)).await.unwrap().former;
    assert_eq!(former, Some(endpoint(1)));
    let rows = store.audit_rows(0, 100).await.unwrap();
    let followed = rows
        .iter()
        .filter(|row| row.texts[2] == "identities.link" && row.texts[0] == "server");
    assert_eq!(followed.count(), 1);

    let conflict = ConflictRow {
        time_ms: 5,
        run: run(1),
        hostname: String::new(),
        address: String::new(),
    };
    store.add_conflict(endpoint(2), &conflict).await.unwrap();
    enroll(store, 3, Some(endpoint(2))).await;
    assert_eq!(
        linked(store).await,
        both,
        "it is not known which of two it is"
    );
    enroll(store, 5, Some(endpoint(2))).await;
    assert_eq!(
        linked(store).await,
        both,
        "nor is it the next time, the conflict being settled"
    );
    enroll(store, 6, Some(endpoint(1))).await;
    assert_eq!(linked(store).await, both, "a second one with the same key");
    store.revoke_endpoint(endpoint(2), &entry()).await.unwrap();
    enroll(store, 4, Some(endpoint(2))).await;
    assert_eq!(linked(store).await, both, "a revoked key proves nothing");
    let mut successors = vec![endpoint(3), endpoint(4), endpoint(5)];
    successors.sort();
    assert_eq!(store.successors(endpoint(2)).await.unwrap(), successors);
}

/// What an analyst took away does not come back by an import once the machine is enrolled anew.
pub(crate) async fn what_was_unlinked_stays_so_when_enrolled_anew(engine: &dyn Engine) {
    let store = filled(engine).await;
    let store = store.as_ref();
    token(store).await;
    enroll(store, 1, None).await;
    let (dana, link) = (identity("dana"), of_dana(endpoint(1)));
    store
        .link_account(dana, &link, false, &entry())
        .await
        .unwrap();
    let account = (endpoint(1), "dana");
    store.unlink(dana, account, &entry()).await.unwrap();
    enroll(store, 2, Some(endpoint(1))).await;
    assert!(linked(store).await.is_empty());
    let mut again = person("dana", None);
    again.link = Some(of_dana(endpoint(2)));
    let refused = store.import_people(&[again]).await.unwrap();
    assert!(
        refused[0].refused[0].contains("was unlinked"),
        "{refused:?}"
    );
}
