//! What a console is told of changes.

use std::time::Duration;

use rcgen::KeyPair;
use tocsin_proto::console::v1 as wire;
use tonic::Streaming;

use crate::client::Client;
use crate::server::{PATIENT, Server};

/// Longer than the server takes between two looks.
const TWO_LOOKS: Duration = Duration::from_millis(2500);

async fn watch(client: &Client) -> Streaming<wire::Changes> {
    let mut console = client.console().await;
    let watch = console.watch_changes(wire::WatchChangesRequest {}).await;
    watch.unwrap().into_inner()
}

async fn next(changes: &mut Streaming<wire::Changes>) -> wire::Changes {
    let next = tokio::time::timeout(PATIENT, changes.message()).await;
    next.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn a_change_is_told_once_and_where_nothing_changes_nothing_is() {
    let server = Server::start();
    let mut admin = watch(&server.admin()).await;
    let mut viewer = watch(&server.analyst("viewer")).await;
    assert_eq!(next(&mut viewer).await.audit, 0, "it may not read it");
    // The viewer's own profile was made meanwhile.
    let mut before = next(&mut admin).await;
    while let Ok(more) = tokio::time::timeout(TWO_LOOKS, admin.message()).await {
        before = more.unwrap().unwrap();
    }
    let none = wire::EndpointCounts::default();
    assert_eq!(before.endpoint_counts, Some(none));

    let key = KeyPair::generate().unwrap();
    let token = server.token(1);
    let client = server.client(None);
    client.enroll(&token, &key).await.unwrap();
    let mut after = next(&mut admin).await;
    while after.endpoint_counts == Some(none) {
        after = next(&mut admin).await;
    }
    let one = wire::EndpointCounts { offline: 1, ..none };
    assert_eq!(after.endpoint_counts, Some(one));
    assert!(after.endpoints > before.endpoints && after.audit > before.audit);
    assert_eq!(
        (after.feeds, after.events, after.terminals),
        (before.feeds, before.events, before.terminals)
    );
    let quiet = tokio::time::timeout(TWO_LOOKS, admin.message()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}
