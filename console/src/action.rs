//! Everything the screens can cause outside themselves, as data.
//!
//! A question belongs to a slot: a new question in a slot makes the old one pointless, and whoever performs
//! it drops the old one.

use tocsin_proto::console::v1::{IncidentState, SearchEventsRequest, TerminalHeader, Verdict};

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask the server.
    Ask(Query),
    /// The answer is not wanted any more.
    Drop(Slot),
    /// Change something at the server.
    Change(Change),
    /// Open a terminal.
    OpenTerminal(PaneId, TerminalHeader),
    /// See what somebody's terminal prints, by its id.
    WatchTerminal(PaneId, String),
    /// Something for the terminal of the pane.
    Terminal(ToTerminal),
    /// End somebody's terminal, by its id.
    KillTerminal(String),
    /// Try to connect now instead of later.
    Reconnect,
    /// Put text into the clipboard of the terminal.
    Copy(String),
    /// Write a new file with this name and content.
    Write(String, String),
    /// Find the zone with this name.
    FindZone(String),
    /// Leave the program.
    Quit,
}

/// Which pane: what comes for one that is not there any more is for nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PaneId(pub(crate) u64);

/// What goes to a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToTerminal {
    /// What was typed or pasted.
    Input(Vec<u8>),
    /// Columns and rows that it has now.
    Size(u16, u16),
    /// Its end.
    Close,
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
    /// The latest events of files on one endpoint.
    Files(String),
    /// All identities.
    Identities,
    /// All that is not mapped.
    Unmapped,
    /// An identity, by its id.
    Identity(String),
    /// Events, from the newest on.
    Events(SearchEventsRequest),
    /// Events that have come since.
    Newer(SearchEventsRequest),
    /// A page of the audit log: the first where empty, else the one with this token.
    Audit(String),
    /// Whether the audit log is whole.
    VerifyAudit,
    /// All open terminals.
    Terminals,
    /// The attempts of these incidents.
    Attempts(Vec<String>),
    /// What happened on an incident's endpoint in its time, by the endpoint's place in the incident.
    Around(usize, SearchEventsRequest),
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
            Self::Files(_) => Slot::Files,
            Self::Identities => Slot::Identities,
            Self::Unmapped => Slot::Unmapped,
            Self::Identity(_) => Slot::Identity,
            Self::Events(_) => Slot::Events,
            Self::Newer(_) => Slot::Newer,
            Self::Audit(_) => Slot::Audit,
            Self::VerifyAudit => Slot::VerifyAudit,
            Self::Terminals => Slot::Terminals,
            Self::Attempts(_) => Slot::Attempts,
            Self::Around(at, _) => Slot::Around(*at),
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
    /// For [`Query::Files`].
    Files,
    /// For [`Query::Identities`].
    Identities,
    /// For [`Query::Unmapped`].
    Unmapped,
    /// For [`Query::Identity`].
    Identity,
    /// For [`Query::Events`].
    Events,
    /// For [`Query::Newer`].
    Newer,
    /// For [`Query::Audit`].
    Audit,
    /// For [`Query::VerifyAudit`].
    VerifyAudit,
    /// For [`Query::Terminals`].
    Terminals,
    /// For [`Query::Attempts`].
    Attempts,
    /// For [`Query::Around`], one for each place.
    Around(usize),
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
