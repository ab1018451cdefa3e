//! Tells the store who is connected, in groups: what just began or ended within a second, everything else
//! once a minute. What cannot be written is tried again; beyond [`WAITING_MAX`] the oldest is given up.

use std::sync::Arc;
use std::time::Duration;

use tocsin_proto::id::EndpointId;
use tokio_util::sync::CancellationToken;

use super::Registry;
use crate::clock::{millis, now_ms};
use crate::store::trust::{PresenceChange, TrustStore};

/// How often the registry is looked through.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often old presence is removed, and how much at once.
const REMOVE_INTERVAL: Duration = Duration::from_secs(600);
const REMOVE_MAX: u32 = 5000;

/// Changes in one transaction, so that others get at the store in between.
const GROUP_MAX: usize = 500;

/// Ends of sessions that wait for the store.
const WAITING_MAX: usize = 100_000;

/// Writes until `stopping`, and once more after it. What is older than `age` is removed.
pub(crate) async fn run(
    registry: Arc<Registry>,
    store: Arc<dyn TrustStore>,
    age: Duration,
    stopping: CancellationToken,
) {
    let mut remove_time_ms = now_ms();
    while stopping
        .run_until_cancelled(tokio::time::sleep(INTERVAL))
        .await
        .is_some()
    {
        let now = now_ms();
        write(&registry, store.as_ref(), now).await;
        if now >= remove_time_ms {
            remove(store.as_ref(), now.saturating_sub(millis(age))).await;
            remove_time_ms = now.saturating_add(millis(REMOVE_INTERVAL));
        }
    }
    registry.close_all();
    write(&registry, store.as_ref(), now_ms()).await;
}

async fn write(registry: &Registry, store: &dyn TrustStore, now_ms: i64) {
    let changes = registry.changes(now_ms);
    for group in changes.chunks(GROUP_MAX) {
        if let Err(error) = store.write_presence(group).await {
            let error = crate::rpc::status::chain(&error);
            tracing::warn!(error, "presence is not written yet");
            registry.keep(group);
        }
    }
}

async fn remove(store: &dyn TrustStore, before_time_ms: i64) {
    loop {
        match store.remove_presence(before_time_ms, REMOVE_MAX).await {
            Ok(removed) if removed < u64::from(REMOVE_MAX) => return,
            Ok(_) => {}
            Err(error) => {
                let error = crate::rpc::status::chain(&error);
                tracing::warn!(error, "old presence is not removed yet");
                return;
            }
        }
    }
}

impl Registry {
    /// Tells the store what is known of an endpoint now, where it is connected: somebody is about to ask.
    pub(crate) async fn tell(&self, endpoint: EndpointId, store: &dyn TrustStore) {
        let session = self.inner().sessions.get(&endpoint).cloned();
        let Some(session) = session else {
            return;
        };
        let change = session.change_now(now_ms());
        if let Err(error) = store.write_presence(std::slice::from_ref(&change)).await {
            let error = crate::rpc::status::chain(&error);
            tracing::warn!(error, "presence is not written yet");
            self.keep(std::slice::from_ref(&change));
        }
    }

    /// What the store does not know yet, oldest ends first.
    pub(super) fn changes(&self, now_ms: i64) -> Vec<PresenceChange> {
        let mut inner = self.inner();
        let mut changes = std::mem::take(&mut inner.ended);
        changes.extend(
            inner
                .sessions
                .values()
                .filter_map(|session| session.change(now_ms)),
        );
        changes
    }

    /// Takes changes back that could not be written.
    fn keep(&self, changes: &[PresenceChange]) {
        let mut inner = self.inner();
        inner.ended.extend_from_slice(changes);
        let over = inner.ended.len().saturating_sub(WAITING_MAX);
        if over > 0 {
            tracing::error!(
                over,
                "presence of endpoints is lost: the store cannot be written"
            );
            inner.ended.drain(..over);
        }
    }

    /// Ends every session.
    fn close_all(&self) {
        let mut inner = self.inner();
        let sessions: Vec<_> = inner.sessions.drain().collect();
        for (_, session) in sessions {
            inner.forget(&session);
        }
    }
}
