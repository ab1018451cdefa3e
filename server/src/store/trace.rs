//! Traces: the few events by which the provenance of sign-ins is judged.
//!
//! ```text
//! batch on its way in -> (trace.rs of the server chooses) -> Trace -> by endpoint, class and time
//! ```
//!
//! They are stored with their batch, in the same transaction, and once more beside it: found by what they are without
//! unpacking an endpoint's weeks, and kept when retention removes the batch, so that what was judged by them can be
//! judged again. Each class of an endpoint is bounded by [`Class::traces_max`]; the oldest make room, and
//! [`ClassState::since_ms`] says from when on none is missing.

use tocsin_proto::id::{BootId, EndpointId, RunId};

/// What a trace is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// A flow to a known sign-in service, gateway or relay.
    SignIn,
    /// A flow that could be one, and does not say so.
    Web,
    /// A session, or the machine's power.
    Session,
    /// A login that succeeded.
    Login,
    /// The agent on its sensors.
    Health,
    /// Lost events.
    Gap,
    /// A remote-support tool, tunnel, SOCKS server or steered browser: process, flow or listener.
    Tool,
    /// A process with arguments that say more of its connections.
    Program,
}

impl Class {
    /// Every class.
    pub(crate) const ALL: [Self; 8] = [
        Self::SignIn,
        Self::Web,
        Self::Session,
        Self::Login,
        Self::Health,
        Self::Gap,
        Self::Tool,
        Self::Program,
    ];

    /// As it is stored. Never renumbered.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::SignIn => 1,
            Self::Web => 2,
            Self::Session => 3,
            Self::Login => 4,
            Self::Health => 5,
            Self::Gap => 6,
            Self::Tool => 7,
            Self::Program => 8,
        }
    }

    /// How many of one endpoint are kept, and read at most. A busy desk makes a few hundred flows to sign-in services
    /// and some thousands that could be one a day, two traces each; sessions and logins some dozens.
    pub(crate) fn traces_max(self) -> u32 {
        match self {
            Self::SignIn | Self::Web | Self::Session => 20_000,
            Self::Login | Self::Health | Self::Gap => 5_000,
            Self::Tool | Self::Program => 10_000,
        }
    }

    /// Its traces, as a person would say it.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::SignIn => "connections to sign-in services",
            Self::Web => "connections that could be sign-ins",
            Self::Session => "sessions",
            Self::Login => "logins",
            Self::Health => "sensor records",
            Self::Gap => "records of losses",
            Self::Tool => "remote-control findings",
            Self::Program => "programs",
        }
    }
}

/// A trace on its way into the store, with its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    /// What it is for.
    pub(crate) class: Class,
    /// Its event's position in the run.
    pub(crate) sequence: u64,
    /// Its event's time, by the endpoint's clock.
    pub(crate) event_time_ms: i64,
    /// The event, encoded.
    pub(crate) event: Vec<u8>,
}

/// A stored trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredTrace {
    /// The run that made it.
    pub(crate) run: RunId,
    /// The boot that the run belongs to.
    pub(crate) boot: BootId,
    /// Its event's position in the run.
    pub(crate) sequence: u64,
    /// The event, encoded.
    pub(crate) event: Vec<u8>,
}

/// Which traces to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TraceQuery {
    /// Whose.
    pub(crate) endpoint: EndpointId,
    /// Which.
    pub(crate) class: Class,
    /// Not before this time.
    pub(crate) from_ms: i64,
    /// Not after this time.
    pub(crate) until_ms: i64,
    /// At most so many, the newest.
    pub(crate) limit: u32,
}

/// What is kept of one class of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClassState {
    /// Which.
    pub(crate) class: Class,
    /// Since when none is missing; before it some were removed, or never looked for.
    pub(crate) since_ms: i64,
}

/// An endpoint has sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    /// Grows with everything it sends.
    pub(crate) number: i64,
    /// Which endpoint.
    pub(crate) endpoint: EndpointId,
    /// Oldest event time of it.
    pub(crate) from_ms: i64,
    /// Newest event time of it.
    pub(crate) until_ms: i64,
}
