//! A person's accounts and sessions on an endpoint.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};
use tocsin_proto::id::EventId;

use super::{FACT_EVENTS_MAX, Moment, SESSION_SPANS_MAX};
use crate::input::TimeSpan;

/// An account of the person on an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LocalAccount {
    /// Numeric id; `None` where the platform has none or no event gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Name; empty where unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Audit sessions of its logins and sessions in the look-back, with the time in which the number meant this one:
    /// numbers begin anew at each boot. They tell its processes where a process runs as another account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audit_sessions: Vec<(u32, TimeSpan)>,
}

impl LocalAccount {
    pub(super) fn normalize(&mut self) {
        self.audit_sessions
            .sort_unstable_by_key(|(id, span)| (*span, *id));
        self.audit_sessions.dedup();
        let over = self.audit_sessions.len().saturating_sub(SESSION_SPANS_MAX);
        self.audit_sessions.drain(..over);
    }
}

/// Where the user of a session sits.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case", tag = "place")]
pub enum SessionPlace {
    /// At the machine.
    Local,
    /// Over the network.
    Remote {
        /// From there; `None` where only a host name was told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
    },
    /// No event says.
    #[default]
    Unknown,
}

/// Whether a session's screen is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionLock {
    /// It is.
    Locked,
    /// It is not.
    Unlocked,
}

/// Whether a session's user does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionUse {
    /// Nothing.
    Idle,
    /// Something.
    Busy,
}

/// A stretch in which a session's screen is known to be locked, or unlocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionLockSpan {
    /// When: from the event that says so to the next that says otherwise, or the session's end. It never reaches
    /// over a stretch in which the agent was not running, a gap of session events, or a session sensor that was down.
    pub span: TimeSpan,
    /// Which.
    pub lock: SessionLock,
}

/// A stretch in which a session's user is known to do something, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionUseSpan {
    /// When; see [`SessionLockSpan::span`].
    pub span: TimeSpan,
    /// Which.
    pub activity: SessionUse,
}

/// A session of the person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionFact {
    /// When it began; without `from_ms` where it was there when the agent started and nothing says since when.
    pub opened: Moment,
    /// When it ended; `None` where no event says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Moment>,
    /// Its id in the events; unique on the endpoint within one boot.
    pub id: String,
    /// Its account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The kernel's audit session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_session: Option<u32>,
    /// Where its user sits.
    #[serde(default)]
    pub place: SessionPlace,
    /// Whether a person sits behind it: a graphical or text session of class `user`, or a remote shell. False for
    /// greeters, background sessions and timers.
    #[serde(default)]
    pub is_interactive: bool,
    /// Lock of its screen; what no span covers is unknown. At most [`SESSION_SPANS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<SessionLockSpan>,
    /// Use by its user; what no span covers is unknown. At most [`SESSION_SPANS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<SessionUseSpan>,
    /// Events that say so: of its beginning and of the changes around attempts. At most [`FACT_EVENTS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_ids: Vec<EventId>,
}

impl SessionFact {
    pub(super) fn normalize(&mut self) {
        fn keep<T: Ord>(list: &mut Vec<T>, max: usize) {
            list.sort_unstable();
            list.dedup();
            let over = list.len().saturating_sub(max);
            list.drain(..over);
        }
        keep(&mut self.locks, SESSION_SPANS_MAX);
        keep(&mut self.uses, SESSION_SPANS_MAX);
        keep(&mut self.event_ids, FACT_EVENTS_MAX);
    }
}
