//! A flow as this sensor tells it: plain data, no wire types. What is not known is `None` or empty.

use std::net::SocketAddr;
use std::sync::Arc;

/// Names of one address that are told; more mean that it is shared by many, and say little.
pub(crate) const NAMES_MAX: usize = 8;

/// The kernel's own number of a socket, never used twice while the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FlowId(pub(crate) u64);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FlowActivity {
    /// A connection was made.
    Opened,
    /// It was there when the agent started.
    Observed,
    /// It ended. Stands for the beginning too where that was never told.
    Closed,
    /// Further connections of the same process to the same place within a minute, told once.
    Repeated,
    /// A socket began to listen.
    Listening,
    /// It listened when the agent started.
    ListenObserved,
    /// It listens no more.
    ListenClosed,
}

/// Who asked for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Direction {
    /// This machine.
    Outbound,
    /// The other side: a socket of this machine listens where it ends.
    Inbound,
}

/// How a name is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum NameSource {
    /// A program on this machine asked the resolver for the name and got the address, shortly before.
    DnsAnswer,
    /// The resolver's cache held it when the agent started.
    ResolverCache,
    /// The file of hosts says so.
    HostsFile,
}

/// A name of the remote address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FlowName {
    /// The name, without the last dot.
    pub(crate) name: String,
    /// How it is known.
    pub(crate) source: NameSource,
}

/// When something happened: not before the one, not after the other, Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// `None` where it may have been at any time before.
    pub(crate) from_ms: Option<i64>,
    /// At the latest.
    pub(crate) until_ms: i64,
}

impl Moment {
    /// A moment that is known exactly.
    pub(crate) fn exact(time_ms: i64) -> Self {
        Self {
            from_ms: Some(time_ms),
            until_ms: time_ms,
        }
    }
}

/// The process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Owner {
    /// Process.
    pub(crate) pid: u32,
    /// Clock ticks from boot to its start, which tells a reused pid apart.
    pub(crate) start_ticks: u64,
    /// Path of its image; empty where it cannot be read.
    pub(crate) executable: String,
    /// Its effective user.
    pub(crate) uid: Option<u32>,
    /// Kernel's login uid: the person behind it.
    pub(crate) login_uid: Option<u32>,
    /// Kernel's audit session; joins it to a login.
    pub(crate) audit_session: Option<u32>,
}

/// Connections that were folded into one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Repeats {
    /// How many.
    pub(crate) count: u32,
    /// How many of them have ended; each of the others tells its own end later.
    pub(crate) closed: u32,
    /// When the first of them was made, at the latest.
    pub(crate) first_ms: i64,
    /// When the last of them was made, at the latest.
    pub(crate) last_ms: i64,
}

/// A flow and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Of the first one, where it stands for several.
    pub(crate) id: FlowId,
    /// What happened.
    pub(crate) activity: FlowActivity,
    /// When it was noticed, or is known to have happened, Unix milliseconds.
    pub(crate) time_ms: i64,
    /// Who asked for it; `None` for one that listens.
    pub(crate) direction: Option<Direction>,
    /// This side.
    pub(crate) local: SocketAddr,
    /// The other side; unspecified for one that listens.
    pub(crate) remote: SocketAddr,
    /// The process; `None` where it was gone before it could be looked for, or is out of sight.
    pub(crate) owner: Option<Arc<Owner>>,
    /// The account that made the socket; known without its process.
    pub(crate) uid: Option<u32>,
    /// Names of the other side when it began; empty where none is known.
    pub(crate) names: Vec<FlowName>,
    /// When it began.
    pub(crate) opened: Moment,
    /// When it ended.
    pub(crate) closed: Option<Moment>,
    /// Bytes that the other side has acknowledged, at the end.
    pub(crate) sent_bytes: Option<u64>,
    /// Bytes from the other side, at the end.
    pub(crate) received_bytes: Option<u64>,
    /// What it stands for, where that is more than one.
    pub(crate) repeats: Option<Repeats>,
}
