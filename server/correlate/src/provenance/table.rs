//! The verdict's table: what is known of one endpoint, each fact as one of few values, gives a reading; the readings
//! of all of the person's endpoints give the verdict. Nothing else decides.

use super::{Confidence, ProvenanceVerdict};

/// Whether the provider's own device id is this endpoint's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    None,
    Mapped,
}

/// Whether the system and browser that the provider saw can be this endpoint's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likeness {
    Fits,
    Contradicts,
}

/// Whether the application's sign-in traffic goes where endpoints would show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Seen,
    /// It may go over QUIC: what is seen is seen, no flow is no sign.
    Quic,
    /// A gateway or provider whose addresses are not known.
    Untold,
}

/// Whether it is known how far the endpoint's clock was off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    Known,
    Unknown,
    /// It is known, and so much that nobody keeps this clock.
    Off,
}

/// The nearest thing to sign-in traffic in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Traffic {
    None,
    /// A flow to the provider by another account's process.
    OtherUser,
    /// A flow that could be it.
    CouldBe,
    /// A flow that is it or is not, depending on the clock's skew.
    Skewed,
    /// A new, named flow by a process of the person, whatever the skew.
    Named,
}

/// How much of its other time the endpoint has such flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frequency {
    Rare,
    Some,
    Always,
    Unknown,
}

/// The provider's client address against the endpoint's public one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Address {
    /// The same, and no other machine's.
    Own,
    /// The same, of an office or a carrier, or it is not known whose else.
    Shared,
    Different,
    Unknown,
}

/// Whether a flow would have been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    Complete,
    Blind,
}

/// Whether somebody can have used the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// A session of the person was unlocked and in use.
    InUse,
    /// All sessions of the person were locked, or none was open.
    Away,
    /// The machine was off or asleep, surely.
    Down,
    Unknown,
}

/// Whether this endpoint has shown this person's sign-ins by this route lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Shown,
    Missing,
}

/// All of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub binding: Binding,
    pub likeness: Likeness,
    pub route: Route,
    pub clock: Clock,
    pub traffic: Traffic,
    pub frequency: Frequency,
    pub address: Address,
    pub watch: Watch,
    pub presence: Presence,
    pub control: Control,
}

impl Facts {
    /// Whether a flow would have been seen.
    pub(crate) fn is_watched(&self) -> bool {
        self.watch == Watch::Complete
    }
}

/// What keeps an endpoint from saying `here` or `elsewhere`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lack {
    /// The device id is this endpoint's, which was off.
    BoundButDown,
    Route,
    Clock,
    ClockOff,
    Skew,
    CouldBe,
    OtherUser,
    Contradiction,
    OtherAddress,
    AlwaysOn,
    Watch,
    Quic,
    SameAddress,
    AddressUnknown,
    Control,
}

/// What one endpoint says of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reading {
    Here(Confidence),
    /// Never empty.
    Unable(Vec<Lack>),
    /// It would have shown the sign-in, and did not.
    Silent,
    /// The same, and nobody can have used it.
    SilentAway,
}

/// The table's rows for one endpoint, the first that fits.
pub(crate) fn read(facts: &Facts) -> Reading {
    let is_down = facts.presence == Presence::Down;
    if facts.binding == Binding::Mapped {
        return match (is_down, facts.likeness) {
            (true, _) => Reading::Unable(vec![Lack::BoundButDown]),
            (false, Likeness::Fits) => Reading::Here(Confidence::Strong),
            (false, Likeness::Contradicts) => Reading::Here(Confidence::Weak),
        };
    }
    if facts.route == Route::Untold {
        return Reading::Unable(vec![Lack::Route]);
    }
    match facts.clock {
        Clock::Known => {}
        Clock::Unknown => return Reading::Unable(vec![Lack::Clock]),
        Clock::Off => return Reading::Unable(vec![Lack::ClockOff]),
    }
    if is_down {
        // A machine that sleeps sends nothing, whatever connection it left open.
        return match facts.control {
            Control::Shown => Reading::SilentAway,
            Control::Missing => Reading::Unable(vec![Lack::Control]),
        };
    }
    let lack = match facts.traffic {
        Traffic::None => return silent(facts),
        Traffic::Named => return named(facts),
        // Somebody else's traffic says nothing of what was not seen of the person's.
        Traffic::OtherUser if facts.watch == Watch::Blind => {
            return Reading::Unable(vec![Lack::Watch, Lack::OtherUser]);
        }
        Traffic::OtherUser => Lack::OtherUser,
        Traffic::CouldBe => Lack::CouldBe,
        Traffic::Skewed => Lack::Skew,
    };
    match facts.watch {
        Watch::Complete => Reading::Unable(vec![lack]),
        Watch::Blind => Reading::Unable(vec![lack, Lack::Watch]),
    }
}

fn named(facts: &Facts) -> Reading {
    let lack = if facts.likeness == Likeness::Contradicts {
        Lack::Contradiction
    } else {
        match (facts.address, facts.frequency) {
            (Address::Different, _) => Lack::OtherAddress,
            (Address::Unknown, _) => Lack::AddressUnknown,
            (_, Frequency::Always) => Lack::AlwaysOn,
            (Address::Own, Frequency::Rare) => return Reading::Here(Confidence::Strong),
            (Address::Own, _) | (Address::Shared, Frequency::Rare) => {
                return Reading::Here(Confidence::Medium);
            }
            (Address::Shared, _) => return Reading::Here(Confidence::Weak),
        }
    };
    Reading::Unable(vec![lack])
}

fn silent(facts: &Facts) -> Reading {
    let mut lacks = Vec::new();
    if facts.watch == Watch::Blind {
        lacks.push(Lack::Watch);
    }
    if facts.route == Route::Quic {
        lacks.push(Lack::Quic);
    }
    match facts.address {
        Address::Own | Address::Shared => lacks.push(Lack::SameAddress),
        Address::Unknown => lacks.push(Lack::AddressUnknown),
        Address::Different => {}
    }
    if facts.control == Control::Missing {
        lacks.push(Lack::Control);
    }
    if !lacks.is_empty() {
        return Reading::Unable(lacks);
    }
    match facts.presence {
        Presence::Away | Presence::Down => Reading::SilentAway,
        Presence::InUse | Presence::Unknown => Reading::Silent,
    }
}

/// How often this person signs in from machines that are not enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    Seldom,
    /// Now and then, or too little is known to say so.
    Sometimes,
    Often,
}

/// The verdict of all endpoints together.
pub(crate) fn combine(readings: &[Reading], habit: Habit) -> (ProvenanceVerdict, Confidence) {
    let here = readings.iter().filter_map(|reading| match reading {
        Reading::Here(confidence) => Some(*confidence),
        _ => None,
    });
    if let Some(confidence) = here.max() {
        return (ProvenanceVerdict::Here, confidence);
    }
    let is_unable = |reading: &Reading| matches!(reading, Reading::Unable(_));
    if readings.is_empty() || readings.iter().any(is_unable) {
        return (ProvenanceVerdict::Unknown, Confidence::None);
    }
    let confidence = if readings.iter().all(|r| *r == Reading::SilentAway) {
        Confidence::Strong
    } else {
        Confidence::Medium
    };
    let cap = match habit {
        Habit::Seldom => Confidence::Strong,
        Habit::Sometimes => Confidence::Medium,
        Habit::Often => Confidence::Weak,
    };
    (ProvenanceVerdict::Elsewhere, confidence.min(cap))
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
