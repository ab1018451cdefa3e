//! Where a key counts: on which screen, or in what stands above it.

/// Where a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// On every screen.
    Everywhere,
    /// In the list of incidents.
    Incidents,
    /// On one incident.
    Incident,
    /// In the list of endpoints.
    Endpoints,
    /// On one endpoint.
    Endpoint,
    /// In the list of identities.
    Identities,
    /// On one identity.
    Identity,
    /// Among events.
    Events,
    /// In the list of feeds.
    Feeds,
    /// In the audit log.
    Audit,
    /// In the list of terminals.
    Terminals,
    /// While something is to be chosen.
    Choice,
    /// While text is being typed.
    Typing,
}

impl Context {
    /// All, in the order of the help screen.
    pub(crate) const ALL: [Self; 13] = [
        Self::Everywhere,
        Self::Incidents,
        Self::Incident,
        Self::Endpoints,
        Self::Endpoint,
        Self::Identities,
        Self::Identity,
        Self::Events,
        Self::Feeds,
        Self::Audit,
        Self::Terminals,
        Self::Choice,
        Self::Typing,
    ];

    /// As the file of keys calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Everywhere => "everywhere",
            Self::Incidents => "incidents",
            Self::Incident => "incident",
            Self::Endpoints => "endpoints",
            Self::Endpoint => "endpoint",
            Self::Identities => "identities",
            Self::Identity => "identity",
            Self::Events => "events",
            Self::Feeds => "feeds",
            Self::Audit => "audit",
            Self::Terminals => "terminals",
            Self::Choice => "choice",
            Self::Typing => "typing",
        }
    }

    /// As the help screen calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Everywhere => "Everywhere",
            Self::Incidents => "List of incidents",
            Self::Incident => "An incident",
            Self::Endpoints => "List of endpoints",
            Self::Endpoint => "An endpoint",
            Self::Identities => "List of identities",
            Self::Identity => "An identity",
            Self::Events => "Events",
            Self::Feeds => "Feeds",
            Self::Audit => "The audit log",
            Self::Terminals => "Open terminals",
            Self::Choice => "When something is to be chosen",
            Self::Typing => "When something is to be typed",
        }
    }
}
