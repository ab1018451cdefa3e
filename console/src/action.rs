//! Everything the screens can cause outside themselves, as data.
//!
//! A question belongs to a slot: a new question in a slot makes the old one pointless, and whoever performs
//! it drops the old one.

use tocsin_proto::console::v1::{IncidentState, Verdict};

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask the server.
    Ask(Query),
    /// The answer is not wanted any more.
    Drop(Slot),
    /// Change something at the server.
    Change(Change),
    /// Try to connect now instead of later.
    Reconnect,
    /// Leave the program.
    Quit,
}

/// A question to the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Query {
    /// Who answers, and who is asking.
    Server,
    /// All feeds.
    Feeds,
    /// An incident in full, by its id.
    Incident(String),
    /// All endpoints.
    Endpoints,
    /// An endpoint, by its id.
    Endpoint(String),
    /// What runs on an endpoint.
    Processes(String),
    /// What is missing from an endpoint.
    Gaps(String),
}

impl Query {
    /// Its slot.
    pub(crate) fn slot(&self) -> Slot {
        match self {
            Self::Server => Slot::Server,
            Self::Feeds => Slot::Feeds,
            Self::Incident(_) => Slot::Incident,
            Self::Endpoints => Slot::Endpoints,
            Self::Endpoint(_) => Slot::Endpoint,
            Self::Processes(_) => Slot::Processes,
            Self::Gaps(_) => Slot::Gaps,
        }
    }
}

/// One question at a time is under way in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    /// For [`Query::Server`].
    Server,
    /// For [`Query::Feeds`].
    Feeds,
    /// For [`Query::Incident`].
    Incident,
    /// For [`Query::Endpoints`].
    Endpoints,
    /// For [`Query::Endpoint`].
    Endpoint,
    /// For [`Query::Processes`].
    Processes,
    /// For [`Query::Gaps`].
    Gaps,
}

/// A change of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Which incident.
    pub(crate) incident: String,
    /// What is to change.
    pub(crate) what: What,
}

/// What is to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Who works on it; nobody where empty.
    Assignee(String),
    /// How far the work is.
    State(IncidentState),
    /// What it was.
    Verdict(Verdict),
    /// A note to add.
    Note(String),
}
