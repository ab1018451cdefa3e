//! Cuts the connections of revoked keys, whoever revoked them: a console here or a command beside us.
//!
//! Revocations are a growing list in the store; this follows it, so a running server notices within
//! [`INTERVAL`]. It also cuts connections that have outlived their certificate.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::listener::Connections;
use crate::store::{StateStore, StoreError};

/// How often the list is looked at: "within a second", with room for a slow disk.
const INTERVAL: Duration = Duration::from_millis(250);

/// Follows the list.
#[derive(Debug)]
pub(crate) struct Revocations {
    store: Arc<dyn StateStore>,
    connections: Arc<Connections>,
    position: Mutex<i64>,
}

impl Revocations {
    /// From the beginning of the list: no connection can be older than the first look.
    pub(crate) fn new(store: Arc<dyn StateStore>, connections: Arc<Connections>) -> Self {
        Self {
            store,
            connections,
            position: Mutex::new(0),
        }
    }

    /// Cuts what has been revoked since the last look. When it returns, it is done.
    pub(crate) async fn apply(&self) -> Result<(), StoreError> {
        let mut position = self.position.lock().await;
        loop {
            let revoked = self.store.revocations_after(*position).await?;
            if revoked.is_empty() {
                return Ok(());
            }
            for (at, pin) in revoked {
                let cut = self.connections.cut_key(&pin);
                if cut > 0 {
                    tracing::info!(cut, "connections of a revoked key were cut");
                }
                *position = at;
            }
        }
    }

    /// Looks until `stopping`.
    pub(crate) async fn run(self: Arc<Self>, grace: Duration, stopping: CancellationToken) {
        while stopping
            .run_until_cancelled(tokio::time::sleep(INTERVAL))
            .await
            .is_some()
        {
            if let Err(error) = self.apply().await {
                let error = crate::rpc::status::chain(&error);
                tracing::error!(
                    error,
                    "revocations cannot be read: revoked keys may stay connected"
                );
            }
            let cut = self.connections.cut_expired(now_ms(), grace);
            if cut > 0 {
                tracing::info!(
                    cut,
                    "connections have outlived their certificates and were cut"
                );
            }
        }
    }
}
