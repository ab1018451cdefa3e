//! Which agents are connected, and the only way to reach one.
//!
//! ```text
//! hello -> admit: somebody there, over another connection -> probe it: answers   -> refused, both shown as in conflict
//!                                                                      is silent -> cut, and on as if nobody were there
//!                 nobody there: more of its run is committed than it has sent     -> refused: begin a new run
//!                               all else                                          -> welcome
//! ```
//!
//! The run makes no difference in the first line: two machines that go on from one snapshot of memory have the same
//! one. At most one session per endpoint. What is learned in sessions is kept in memory and written to the store
//! in groups (`presence.rs`). Each session has one bounded queue towards its agent.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tocsin_proto::agent::v1::{SessionResponse, Welcome, session_response};
use tocsin_proto::id::EndpointId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::listener::Peer;
use crate::network::PublicAddress;
use crate::per_minute::PerMinute;
use crate::store::StoreError;
use crate::store::trust::{ConflictRow, PresenceChange, TrustStore};

mod clock_skew;
mod hello;
mod live;
pub(crate) mod presence;
pub(crate) mod terminal;

pub(crate) use hello::{CheckedHello, HelloError};
pub(crate) use live::{Live, Session};

/// Messages that wait for an agent to read them. An agent that does not is slow, not short of messages.
pub(crate) const OUTBOX_MAX: usize = 8;

/// Sessions of one endpoint in a minute. Each is a row of presence; an agent backs off long before.
const SESSIONS_PER_MINUTE_MAX: u32 = 60;

/// Endpoints whose sessions are told apart in a minute: more than are enrolled.
const ENDPOINTS_MAX: usize = 1 << 20;

/// What an open session allows its connection to do.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    /// Whose session.
    pub(crate) endpoint: EndpointId,
    /// Cancelled when the session ends: whatever it allowed ends then.
    pub(crate) ended: CancellationToken,
}

/// Why a session is not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdmitError {
    /// Another agent with this key is connected and answers.
    #[error(
        "another agent with this key is connected and answers: this machine or the other is a copy; enroll this one anew"
    )]
    Conflict,
    /// More of its run is committed than it has sent: its state is older than what was sent before.
    #[error(
        "events of this run were committed that this agent never sent, as after the return to a snapshot: it begins a new run"
    )]
    Reused,
    /// Another session of this endpoint is being admitted.
    #[error("another connection of this endpoint is being admitted")]
    Busy,
    /// It has had too many sessions in this minute.
    #[error("this endpoint has connected too often in this minute")]
    TooOften,
    /// The conflict could not be noted.
    #[error("note a conflict")]
    Store(#[from] StoreError),
}

/// Connected agents by endpoint.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    inner: Mutex<Inner>,
    /// Grows whenever a session begins or ends.
    revision: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    sessions: HashMap<EndpointId, Arc<Session>>,
    by_connection: HashMap<u64, EndpointId>,
    admitting: HashSet<EndpointId>,
    begun: PerMinute<EndpointId>,
    /// Of sessions that have ended, not written yet.
    ended: Vec<PresenceChange>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            sessions: HashMap::new(),
            by_connection: HashMap::new(),
            admitting: HashSet::new(),
            begun: PerMinute::new(ENDPOINTS_MAX),
            ended: Vec::new(),
        }
    }
}

/// Who asks to be admitted.
#[derive(Debug)]
pub(crate) struct Applicant {
    /// Over which connection.
    pub(crate) peer: Peer,
    /// As which endpoint.
    pub(crate) endpoint: EndpointId,
    /// With which words.
    pub(crate) hello: CheckedHello,
    /// Until where its run is committed.
    pub(crate) committed: u64,
    /// Where messages to it go.
    pub(crate) outbox: mpsc::Sender<SessionResponse>,
    /// The first of them.
    pub(crate) welcome: Welcome,
    /// What its address means.
    pub(crate) public_addresses: Vec<PublicAddress>,
    /// Now.
    pub(crate) time_ms: i64,
}

impl Registry {
    /// The open session of this connection, where it has one. Uploads are admitted by it.
    pub(crate) fn admitted(&self, peer: &Peer) -> Option<Admission> {
        let inner = self.inner();
        let endpoint = inner.by_connection.get(&peer.connection)?;
        let session = inner.sessions.get(endpoint)?;
        Some(Admission {
            endpoint: *endpoint,
            ended: session.ended.clone(),
        })
    }

    /// What is known of a connected endpoint; `None` where it is not connected.
    pub(crate) fn live(&self, endpoint: EndpointId) -> Option<Live> {
        let session = self.inner().sessions.get(&endpoint).cloned()?;
        Some(session.live())
    }

    /// How many sessions have begun and ended so far.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// How many endpoints are connected, beside these.
    pub(crate) fn connected_but(&self, others: &[EndpointId]) -> u64 {
        let inner = self.inner();
        let others = others.iter().filter(|id| inner.sessions.contains_key(id));
        inner.sessions.len().saturating_sub(others.count()) as u64
    }

    fn has_changed(&self) {
        self.revision.fetch_add(1, Ordering::AcqRel);
    }

    /// Queues a message for a connected endpoint; `false` where it is not connected, or its queue is full.
    pub(crate) fn send(&self, endpoint: EndpointId, message: session_response::Message) -> bool {
        let session = self.inner().sessions.get(&endpoint).cloned();
        session.is_some_and(|session| session.send(message))
    }

    /// Opens a session, after having found out whether another agent is alive and whether the run is this one's alone.
    pub(crate) async fn admit(
        &self,
        applicant: Applicant,
        probe_timeout: Duration,
        store: &dyn TrustStore,
    ) -> Result<Arc<Session>, AdmitError> {
        let _admitting = Admitting::begin(self, applicant.endpoint, applicant.time_ms)?;
        let present = self.inner().sessions.get(&applicant.endpoint).cloned();
        let elsewhere = |present: &Arc<Session>| {
            // A new session over the same connection is the same agent's.
            present.peer.connection != applicant.peer.connection
        };
        if let Some(present) = present.filter(elsewhere) {
            if present.answers(probe_timeout).await {
                let conflict = ConflictRow {
                    time_ms: applicant.time_ms,
                    run: applicant.hello.run,
                    hostname: applicant.hello.facts.machine.hostname.clone(),
                    address: applicant.peer.address.ip().to_string(),
                };
                store.add_conflict(applicant.endpoint, &conflict).await?;
                self.has_changed();
                return Err(AdmitError::Conflict);
            }
            present.peer.cut.cancel();
        }
        let sent = applicant.hello.sent_sequence;
        if sent.is_some_and(|sent| sent < applicant.committed) {
            return Err(AdmitError::Reused);
        }
        Ok(self.open(applicant))
    }

    fn open(&self, applicant: Applicant) -> Arc<Session> {
        let endpoint = applicant.endpoint;
        let connection = applicant.peer.connection;
        let welcome = applicant.welcome.clone();
        let session = Arc::new(Session::new(applicant));
        // Before anybody else can reach the session: it is the first message. The queue is empty.
        session.send(session_response::Message::Welcome(welcome));
        let mut inner = self.inner();
        if let Some(former) = inner.sessions.insert(endpoint, session.clone()) {
            inner.forget(&former);
        }
        inner.by_connection.insert(connection, endpoint);
        drop(inner);
        self.has_changed();
        session
    }

    /// Closes a session; one that was replaced meanwhile is closed already.
    pub(crate) fn close(&self, session: &Arc<Session>) {
        let mut inner = self.inner();
        let current = inner.sessions.get(&session.endpoint);
        if current.is_some_and(|current| Arc::ptr_eq(current, session)) {
            inner.sessions.remove(&session.endpoint);
            inner.forget(session);
            drop(inner);
            self.has_changed();
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Ends what a session allowed and notes when it ended.
    fn forget(&mut self, session: &Session) {
        session.ended.cancel();
        self.by_connection.remove(&session.peer.connection);
        self.ended.push(session.last_change());
    }
}

/// While it lives, nobody else is admitted as this endpoint.
struct Admitting<'r> {
    registry: &'r Registry,
    endpoint: EndpointId,
}

impl<'r> Admitting<'r> {
    fn begin(
        registry: &'r Registry,
        endpoint: EndpointId,
        now_ms: i64,
    ) -> Result<Self, AdmitError> {
        let mut inner = registry.inner();
        let begun = inner.begun.count(endpoint, now_ms);
        if begun > SESSIONS_PER_MINUTE_MAX {
            return Err(AdmitError::TooOften);
        }
        if !inner.admitting.insert(endpoint) {
            return Err(AdmitError::Busy);
        }
        drop(inner);
        Ok(Self { registry, endpoint })
    }
}

impl Drop for Admitting<'_> {
    fn drop(&mut self) {
        self.registry.inner().admitting.remove(&self.endpoint);
    }
}

#[cfg(test)]
mod tests;
