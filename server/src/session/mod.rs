//! Which agents are connected, and the only way to reach one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tocsin_proto::id::{EndpointId, RunId};
use tokio_util::sync::CancellationToken;

use crate::listener::Peer;

/// What an open session allows its connection to do.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    /// Whose session.
    pub(crate) endpoint: EndpointId,
    /// Its run.
    pub(crate) run: RunId,
    /// Cancelled when the session ends: whatever it allowed ends then.
    pub(crate) ended: CancellationToken,
}

/// Connected agents by endpoint.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: Mutex<HashMap<u64, Admission>>,
}

impl Registry {
    /// The open session of this connection, where it has one. Uploads are admitted by it.
    pub(crate) fn admitted(&self, peer: &Peer) -> Option<Admission> {
        self.sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&peer.connection)
            .cloned()
    }
}
