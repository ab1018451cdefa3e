//! What providers call endpoints: the same story for every engine.

use tocsin_proto::id::EndpointId;

use super::super::StateStore;
use super::super::device::*;
use super::case::{change, dirty, entry, filled, identity};
use super::lineage::{enroll, of_dana, token};
use super::{Engine, endpoint};
use crate::store::StoreError;

fn device(number: u8, id: &str) -> DeviceRow {
    DeviceRow {
        provider: "okta".into(),
        device_id: id.into(),
        endpoint: endpoint(number),
        source: "import".into(),
        confidence: "certain".into(),
        bound_by: "ana".into(),
        reason: String::new(),
        bound_time_ms: 5,
    }
}

async fn ids(store: &dyn StateStore, endpoint: EndpointId) -> Vec<String> {
    let rows = store.devices(endpoint).await.unwrap();
    rows.into_iter().map(|row| row.device_id).collect()
}

/// Endpoints 1 and 9; Dana is linked to the first, and nothing waits.
async fn linked(engine: &dyn Engine) -> std::sync::Arc<dyn StateStore> {
    let store = filled(engine).await;
    token(store.as_ref()).await;
    enroll(store.as_ref(), 1, None).await;
    enroll(store.as_ref(), 9, None).await;
    let (dana, link) = (identity("dana"), of_dana(endpoint(1)));
    store
        .link_account(dana, &link, false, &entry())
        .await
        .unwrap();
    settle(store.as_ref()).await;
    store
}

async fn settle(store: &dyn StateStore) {
    store.apply(&[change("dana", i64::MAX)]).await.unwrap();
    assert!(!is_dirty(store).await);
}

async fn is_dirty(store: &dyn StateStore) -> bool {
    dirty(store).await.contains(&identity("dana"))
}

/// An id is one endpoint's, goes to another only where that is said, and whom it concerns is marked.
pub(crate) async fn a_device_id_is_one_endpoints(engine: &dyn Engine) {
    let store = linked(engine).await;
    let store = store.as_ref();
    let first = device(1, "guo1");
    store.bind_device(&first, false, &entry()).await.unwrap();
    assert!(is_dirty(store).await);
    settle(store).await;
    assert_eq!(
        store.devices(endpoint(1)).await.unwrap(),
        std::slice::from_ref(&first)
    );
    let mut other = device(1, "guo1");
    other.provider = "duo".into();
    store.bind_device(&other, false, &entry()).await.unwrap();
    settle(store).await;

    let wanted = device(9, "guo1");
    let refused = store.bind_device(&wanted, false, &entry()).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Bound { holder, .. } if holder.contains("porto-17")),
        "{refused}"
    );
    let imported = store.import_devices(&[wanted.clone(), first.clone()]).await;
    let imported = imported.unwrap();
    assert!(
        matches!(&imported[0], DeviceImported::Refused(why) if why.contains("porto-17")),
        "{imported:?}"
    );
    assert_eq!(imported[1], DeviceImported::Same);
    assert!(!is_dirty(store).await, "nothing has changed");

    store.bind_device(&wanted, true, &entry()).await.unwrap();
    assert!(is_dirty(store).await, "she had it");
    assert_eq!(store.devices(endpoint(1)).await.unwrap(), [other]);
    assert_eq!(ids(store, endpoint(9)).await, ["guo1"]);
}

/// What an analyst took away comes back by no import, and survives the store's being opened again.
pub(crate) async fn what_was_unbound_is_not_imported_again(engine: &dyn Engine) {
    let store = linked(engine).await;
    let one = device(1, "guo1");
    let done = store.import_devices(std::slice::from_ref(&one)).await;
    assert_eq!(done.unwrap(), [DeviceImported::Bound]);
    settle(store.as_ref()).await;
    let key = ("okta", "guo1");
    store
        .unbind_device(endpoint(1), key, &entry())
        .await
        .unwrap();
    assert!(is_dirty(store.as_ref()).await);
    let again = store.unbind_device(endpoint(1), key, &entry()).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })));
    drop(store);
    let store = engine.state().await;
    let done = store.import_devices(std::slice::from_ref(&one)).await;
    let done = done.unwrap();
    assert!(
        matches!(&done[0], DeviceImported::Refused(why) if why.contains("was unbound")),
        "{done:?}"
    );
    assert_eq!(ids(store.as_ref(), endpoint(1)).await, [""; 0]);
    let elsewhere = store.import_devices(&[device(9, "guo1")]).await;
    assert_eq!(elsewhere.unwrap(), [DeviceImported::Bound]);
    store.bind_device(&one, true, &entry()).await.unwrap();
    assert_eq!(ids(store.as_ref(), endpoint(1)).await, ["guo1"]);
}

/// Ids of one endpoint are bounded, and what is too much is refused by name.
pub(crate) async fn device_ids_are_bounded(engine: &dyn Engine) {
    let store = linked(engine).await;
    let many: Vec<_> = (0..=DEVICES_MAX)
        .map(|n| device(1, &format!("guo{n}")))
        .collect();
    let done = store.import_devices(&many).await.unwrap();
    let bound = done.iter().filter(|one| **one == DeviceImported::Bound);
    assert_eq!(bound.count(), 64);
    assert!(
        matches!(done.last(), Some(DeviceImported::Refused(_))),
        "{done:?}"
    );
    let too_many = store.bind_device(&device(1, "x"), false, &entry()).await;
    assert!(matches!(too_many, Err(StoreError::State { .. })));
    assert_eq!(ids(store.as_ref(), endpoint(1)).await.len(), 64);
}

/// A machine that is enrolled anew keeps its ids, and its former endpoint answers with them.
pub(crate) async fn device_ids_follow_a_machine_that_is_enrolled_anew(engine: &dyn Engine) {
    let store = linked(engine).await;
    let store = store.as_ref();
    store
        .bind_device(&device(1, "guo1"), false, &entry())
        .await
        .unwrap();
    enroll(store, 2, Some(endpoint(1))).await;
    let now = store.devices(endpoint(2)).await.unwrap();
    assert_eq!(now[0].endpoint, endpoint(2));
    assert_eq!(store.devices(endpoint(1)).await.unwrap(), now);
    let rows = store.audit_rows(0, 100).await.unwrap();
    let followed = rows
        .iter()
        .filter(|row| row.texts[2] == "endpoints.bind" && row.texts[0] == "server");
    assert_eq!(followed.count(), 1);
    settle(store).await;
    store
        .unbind_device(endpoint(2), ("okta", "guo1"), &entry())
        .await
        .unwrap();
    assert!(is_dirty(store).await);
    assert_eq!(ids(store, endpoint(1)).await, [""; 0]);
}
