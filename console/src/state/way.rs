//! Where one is, was before, and came back from.

use serde::{Deserialize, Serialize};

use crate::keymap::Context;

/// Places that are remembered in each direction.
const WAY_MAX: usize = 100;

/// A screen, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// What is open, online, fresh.
    #[default]
    Overview,
    /// The list of incidents.
    Incidents,
    /// An incident, by its id.
    Incident(String),
    /// The list of endpoints.
    Endpoints,
    /// An endpoint, by its id.
    Endpoint(String),
    /// The list of identities.
    Identities,
    /// An identity, by its id.
    Identity(String),
    /// Events.
    Events,
    /// The list of feeds.
    Feeds,
    /// The audit log.
    Audit,
    /// The terminals that are open.
    Terminals,
    /// The keys.
    Help,
}

impl Place {
    /// Those that are of nothing in particular.
    pub(crate) const SCREENS: [Self; 9] = [
        Self::Overview,
        Self::Incidents,
        Self::Endpoints,
        Self::Identities,
        Self::Events,
        Self::Feeds,
        Self::Audit,
        Self::Terminals,
        Self::Help,
    ];

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Incidents => "incidents",
            Self::Incident(_) => "incident",
            Self::Endpoints => "endpoints",
            Self::Endpoint(_) => "endpoint",
            Self::Identities => "identities",
            Self::Identity(_) => "identity",
            Self::Events => "events",
            Self::Feeds => "feeds",
            Self::Audit => "audit",
            Self::Terminals => "terminals",
            Self::Help => "help",
        }
    }

    /// The list that it belongs to, or itself.
    pub(crate) fn screen(&self) -> Self {
        match self {
            Self::Incident(_) => Self::Incidents,
            Self::Endpoint(_) => Self::Endpoints,
            Self::Identity(_) => Self::Identities,
            place => place.clone(),
        }
    }

    /// Which keys count on it.
    pub(crate) fn context(&self) -> Context {
        match self {
            Self::Overview | Self::Help => Context::Everywhere,
            Self::Incidents => Context::Incidents,
            Self::Incident(_) => Context::Incident,
            Self::Endpoints => Context::Endpoints,
            Self::Endpoint(_) => Context::Endpoint,
            Self::Identities => Context::Identities,
            Self::Identity(_) => Context::Identity,
            Self::Events => Context::Events,
            Self::Feeds => Context::Feeds,
            Self::Audit => Context::Audit,
            Self::Terminals => Context::Terminals,
        }
    }
}

/// The way so far.
#[derive(Debug, Default)]
pub(crate) struct Way {
    here: Place,
    back: Vec<Place>,
    forward: Vec<Place>,
}

impl Way {
    /// Where one is.
    pub(crate) fn here(&self) -> &Place {
        &self.here
    }

    /// Goes there; whether that is somewhere else.
    pub(crate) fn go(&mut self, place: Place) -> bool {
        if place == self.here {
            return false;
        }
        self.back.push(std::mem::replace(&mut self.here, place));
        if self.back.len() > WAY_MAX {
            self.back.remove(0);
        }
        self.forward.clear();
        true
    }

    /// Goes back; whether there was something.
    pub(crate) fn back(&mut self) -> bool {
        let Some(place) = self.back.pop() else {
            return false;
        };
        self.forward.push(std::mem::replace(&mut self.here, place));
        true
    }

    /// Goes forward again; whether there was something.
    pub(crate) fn forward(&mut self) -> bool {
        let Some(place) = self.forward.pop() else {
            return false;
        };
        self.back.push(std::mem::replace(&mut self.here, place));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_and_forward_lead_along_the_same_way() {
        let mut way = Way::default();
        assert!(!way.back());
        way.go(Place::Incidents);
        way.go(Place::Incident("a".into()));
        assert!(!way.go(Place::Incident("a".into())));
        way.back();
        assert_eq!(*way.here(), Place::Incidents);
        way.forward();
        assert_eq!(*way.here(), Place::Incident("a".into()));
        way.back();
        way.go(Place::Help);
        assert!(!way.forward());
    }

    #[test]
    fn a_long_way_is_forgotten_at_its_beginning() {
        let mut way = Way::default();
        for n in 0..3 * WAY_MAX {
            way.go(Place::Incident(n.to_string()));
        }
        assert_eq!(way.back.len(), WAY_MAX);
    }
}
