//! Whether an attempt's sign-in traffic was seen on one of the person's endpoints.
//!
//! ```text
//! window    the password step, or else the prompt with a margin; the clock's skew as an interval
//! traffic   flows that are, or could be, the sign-in
//! machine   public address, sensors, sessions, power
//! judge     facts of each attempt on each endpoint; what known sign-ins teach
//! table     facts -> reading; readings -> verdict
//! reason    sentences, and what is missing
//! credit    when `here` speaks for something harmless
//! ```
//!
//! A claim about traffic on enrolled endpoints, never about a person's mind. **Unknown is not no**: an endpoint that
//! was off, that lost events or that sends no flows shows nothing, so the verdict is `unknown` and says what is
//! missing. Telemetry that comes late changes the verdict simply because nothing is kept of a former one.

mod credit;
mod judge;
mod machine;
mod reason;
mod table;
mod traffic;
mod window;

use serde::{Deserialize, Serialize};
use tocsin_proto::id::{EndpointId, EventId};

pub(crate) use judge::Sight;
pub use judge::{ENDPOINTS_MAX, JUDGED_MAX};
pub(crate) use judge::{Judged, Judgements, Machine, judge};

/// Where the sign-in's traffic was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProvenanceVerdict {
    /// On an endpoint of the person.
    Here,
    /// On none of them, and they would have shown it.
    Elsewhere,
    /// Neither can be shown.
    Unknown,
}

impl ProvenanceVerdict {
    /// Its word, in JSON and on screens.
    pub fn word(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Elsewhere => "elsewhere",
            Self::Unknown => "unknown",
        }
    }
}

/// How sure a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Nothing speaks for it.
    None,
    /// It could be otherwise.
    Weak,
    /// It is probably so.
    Medium,
    /// It is hardly otherwise.
    Strong,
}

impl Confidence {
    /// Its word, in JSON and on screens.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Weak => "weak",
            Self::Medium => "medium",
            Self::Strong => "strong",
        }
    }
}

/// A verdict with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Where.
    pub verdict: ProvenanceVerdict,
    /// How sure.
    pub confidence: Confidence,
    /// Which endpoint, for `here`.
    pub endpoint: Option<EndpointId>,
    /// Why; for `unknown` what is missing.
    pub reasons: Vec<String>,
    /// What is missing, as values; empty where it is not unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// The endpoints' events it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_ids: Vec<EventId>,
}

/// Something that keeps a verdict from being known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Missing {
    /// What.
    pub what: MissingKind,
    /// On which endpoint; `None` where it is about none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointId>,
}

/// What can be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingKind {
    /// No endpoint is linked to the person.
    NoEndpoint,
    /// More are linked than are looked at.
    TooManyEndpoints,
    /// The attempt is older than those that are looked at.
    NotJudged,
    /// The endpoint sends no network flows.
    NoFlows,
    /// It was not reporting.
    NotReporting,
    /// It lost events.
    LostEvents,
    /// Its network sensor was down, or saw not all.
    SensorDown,
    /// Its clock was never measured.
    ClockUnknown,
    /// Its clock is too uncertain.
    ClockUncertain,
    /// Its public address is not known.
    AddressUnknown,
    /// The sign-in came from its public address, without traffic.
    SameAddress,
    /// It had a flow to the provider; the sign-in came from another address.
    OtherAddress,
    /// It is connected to the provider nearly always.
    AlwaysOn,
    /// A connection was already open.
    AlreadyOpen,
    /// A connection to an address that the provider shares.
    SharedAddress,
    /// A connection whose name is hidden or not sure.
    HiddenName,
    /// A connection to a proxy or remote browser.
    Relay,
    /// A connection whose time is not known well enough.
    UnsureTime,
    /// A connection of another account, or nobody knows whose.
    OtherUser,
    /// The provider saw something that the endpoint is not.
    Contradiction,
    /// Sign-ins may go over QUIC.
    Quic,
    /// It is not configured where the application's sign-ins go.
    RouteUntold,
    /// The endpoint has not shown a sign-in of this person by this route lately.
    NoControl,
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
