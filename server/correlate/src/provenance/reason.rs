//! A verdict's reasons as sentences, and what is missing as values that can be counted.

use core::net::IpAddr;

use tocsin_proto::id::{EndpointId, EventId};

use super::machine::Blind;
use super::table::{Facts, Habit, Lack, Likeness, Presence, Reading, Traffic};
use super::traffic::Doubt;
use super::{Confidence, Missing, MissingKind, Provenance, ProvenanceVerdict};
use crate::fact::{LOOK_BACK_MS, ProviderFlow};
use crate::input::{LinkedEndpoint, TimeSpan};
use crate::sentence;

/// What the sentences about one endpoint are made of.
#[derive(Debug, Clone)]
pub(crate) struct Detail {
    pub flow: Option<ProviderFlow>,
    pub doubt: Option<Doubt>,
    pub blind: Option<Blind>,
    /// How far its clock was off, where nobody keeps it; else how uncertain it is.
    pub uncertain_ms: i64,
    /// By the provider's clock.
    pub window: TimeSpan,
    /// By the endpoint's, as wide as its skew.
    pub span: TimeSpan,
    pub is_password: bool,
    pub client_ip: Option<IpAddr>,
    pub way: String,
    /// Share of other time with such flows, in hundredths.
    pub share: Option<i64>,
    pub facts: Facts,
}

/// Reasons as they are gathered.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub endpoint: Option<EndpointId>,
    pub event_ids: Vec<EventId>,
    reasons: Vec<String>,
    missing: Vec<Missing>,
}

impl Said {
    fn lack(&mut self, what: MissingKind, endpoint: Option<EndpointId>, reason: String) {
        self.missing.push(Missing { what, endpoint });
        self.reasons.push(reason);
    }

    pub(super) fn too_many_endpoints(&mut self, left_out: usize) {
        let reason = format!(
            "{} of this person not looked at: too many are linked",
            sentence::count(left_out, "endpoint")
        );
        self.lack(MissingKind::TooManyEndpoints, None, reason);
    }

    /// The endpoint on which the traffic was seen.
    pub(super) fn here(
        &mut self,
        endpoint: &LinkedEndpoint,
        detail: &Detail,
        no_credit: Option<&str>,
    ) {
        self.endpoint = Some(endpoint.id);
        let name = &endpoint.hostname;
        if detail.facts.binding == super::table::Binding::Mapped {
            self.reasons.push(format!(
                "the provider's own device id of this sign-in is that of {name}"
            ));
            if detail.facts.likeness == Likeness::Contradicts {
                self.reasons.push(format!(
                    "but the provider saw another system or browser than {name} has"
                ));
            }
        }
        if let Some(flow) = detail
            .flow
            .as_ref()
            .filter(|_| detail.facts.traffic == Traffic::Named)
        {
            self.event_ids.push(flow.event_id);
            self.reasons.push(format!(
                "{name}: {} had a new connection to {} {}",
                program(flow),
                host(flow),
                step(detail),
            ));
            if let Some(ip) = detail.client_ip {
                self.reasons.push(format!(
                    "the sign-in came from {ip}, the public address of {name} at that time"
                ));
            }
            if let Some(share) = detail.share {
                self.reasons.push(format!(
                    "such connections fill {share} % of the other time of {name}"
                ));
            }
        }
        if let Some(why) = no_credit {
            self.reasons
                .push(format!("no sign of an ordinary sign-in: {why}"));
        }
    }

    /// An endpoint on which it was not seen.
    pub(super) fn reading(
        &mut self,
        endpoint: &LinkedEndpoint,
        reading: &Reading,
        detail: &Detail,
        verdict: ProvenanceVerdict,
    ) {
        let name = &endpoint.hostname;
        match reading {
            Reading::Here(_) => {}
            Reading::Unable(lacks) => {
                for lack in lacks {
                    let (what, reason) = lacking(*lack, name, detail);
                    self.lack(what, Some(endpoint.id), reason);
                }
                if let Some(flow) = &detail.flow {
                    self.event_ids.push(flow.event_id);
                }
            }
            _ if verdict != ProvenanceVerdict::Elsewhere => {}
            Reading::Silent => self.reasons.push(format!(
                "endpoint {name} was watched and shows no sign-in traffic to {} {}, while its earlier sign-ins show",
                detail.way,
                step(detail)
            )),
            Reading::SilentAway => self.reasons.push(match detail.facts.presence {
                Presence::Down => format!("endpoint {name} was off or asleep {}", step(detail)),
                _ => format!(
                    "endpoint {name} was locked or nobody was logged in, and it shows no sign-in traffic {}",
                    step(detail)
                ),
            }),
        }
    }

    pub(super) fn provenance(
        mut self,
        verdict: ProvenanceVerdict,
        confidence: Confidence,
        habit: Habit,
    ) -> Provenance {
        if verdict == ProvenanceVerdict::Unknown && self.reasons.is_empty() {
            self.lack(
                MissingKind::NoEndpoint,
                None,
                "no endpoint is linked to this person".to_owned(),
            );
        }
        if verdict == ProvenanceVerdict::Unknown && self.reasons.len() == self.missing.len() {
            let mut both: Vec<_> = self.missing.into_iter().zip(self.reasons).collect();
            both.sort_by_key(|(missing, _)| rank(missing.what));
            (self.missing, self.reasons) = both.into_iter().unzip();
        }
        if verdict == ProvenanceVerdict::Elsewhere {
            match habit {
                Habit::Seldom => {}
                Habit::Sometimes => self.reasons.push(
                    "this person may now and then sign in from a machine that is not enrolled"
                        .to_owned(),
                ),
                Habit::Often => self.reasons.push(
                    "this person often signs in from machines that are not enrolled".to_owned(),
                ),
            }
        }
        Provenance {
            verdict,
            confidence,
            endpoint: self.endpoint,
            reasons: self.reasons,
            missing: self.missing,
            event_ids: self.event_ids,
        }
    }
}

/// What is said first of all that is missing: what nothing could have been seen without, then what could be the sign-in,
/// then what is lacking for saying that it was not there. Somebody else's traffic is last.
fn rank(what: MissingKind) -> u8 {
    use MissingKind::*;
    match what {
        NoEndpoint | TooManyEndpoints | NotJudged => 0,
        NotReporting | LostEvents | NoFlows | SensorDown | ClockUnknown | ClockUncertain => 1,
        AlreadyOpen | SharedAddress | HiddenName | Relay | UnsureTime => 2,
        OtherAddress | AlwaysOn | Contradiction => 2,
        RouteUntold | AddressUnknown | SameAddress | Quic | NoControl => 3,
        OtherUser => 4,
    }
}

/// Of an attempt that is older than those that are judged.
pub(super) fn not_judged() -> Provenance {
    let mut said = Said::default();
    said.lack(
        MissingKind::NotJudged,
        None,
        "older than the sign-ins that are looked at".to_owned(),
    );
    said.provenance(ProvenanceVerdict::Unknown, Confidence::None, Habit::Seldom)
}

fn step(detail: &Detail) -> String {
    let time = sentence::clock(detail.window.until_ms);
    if detail.is_password {
        format!("at the password step, {time}")
    } else {
        format!("in the two minutes before the prompt, {time} (no record of the password step)")
    }
}

fn program(flow: &ProviderFlow) -> String {
    let owner = flow.owner.as_ref().map(|owner| owner.executable.as_str());
    owner
        .filter(|path| !path.is_empty())
        .unwrap_or("a process of the person's account")
        .to_owned()
}

fn host(flow: &ProviderFlow) -> String {
    flow.names
        .first()
        .map_or_else(|| flow.remote.to_string(), |name| name.name.clone())
}

fn address(detail: &Detail) -> String {
    let ip = detail.client_ip.map(|ip| ip.to_string());
    ip.unwrap_or_else(|| "an unknown address".to_owned())
}

fn lacking(lack: Lack, name: &str, detail: &Detail) -> (MissingKind, String) {
    let way = &detail.way;
    let at = sentence::clock(detail.window.until_ms);
    let ip = address(detail);
    match lack {
        Lack::Watch => blind(name, detail),
        Lack::CouldBe => doubtful(name, detail),
        Lack::BoundButDown => (
            MissingKind::Contradiction,
            format!(
                "the provider's device id is that of endpoint {name}, which was off or asleep at {at}"
            ),
        ),
        Lack::Route => (
            MissingKind::RouteUntold,
            format!("endpoint {name}: where sign-ins through {way} go is not configured"),
        ),
        // A clock is only known while the endpoint reports: then that is what is missing.
        Lack::Clock if detail.blind == Some(Blind::NotReporting) => blind(name, detail),
        Lack::Clock => (
            MissingKind::ClockUnknown,
            format!("endpoint {name}: how far its clock was off around {at} is not known"),
        ),
        Lack::Skew => (
            MissingKind::ClockUncertain,
            format!(
                "endpoint {name}: clock uncertain by {} s around {at}, which decides whether a connection to {way} was this sign-in",
                detail.uncertain_ms / 1000
            ),
        ),
        Lack::ClockOff => (
            MissingKind::ClockUncertain,
            format!(
                "endpoint {name}: its clock was off by {} s around {at}, so that nobody keeps it and what it says of a moment is not sure",
                detail.uncertain_ms / 1000
            ),
        ),
        Lack::OtherUser => (
            MissingKind::OtherUser,
            format!("endpoint {name}: a process of another account had a connection to {way}"),
        ),
        Lack::Contradiction => (
            MissingKind::Contradiction,
            format!(
                "endpoint {name} had a connection to {way}, but the provider saw another system or browser"
            ),
        ),
        Lack::OtherAddress => (
            MissingKind::OtherAddress,
            format!(
                "endpoint {name} had a connection to {way}, but the sign-in came from {ip}, another public address"
            ),
        ),
        Lack::AlwaysOn => (
            MissingKind::AlwaysOn,
            format!(
                "endpoint {name} is connected to {way} nearly always, so that one connection says nothing"
            ),
        ),
        Lack::Quic | Lack::SameAddress | Lack::AddressUnknown | Lack::Control => {
            quiet(lack, name, detail)
        }
    }
}

/// What keeps an endpoint without a flow from saying that it was elsewhere.
fn quiet(lack: Lack, name: &str, detail: &Detail) -> (MissingKind, String) {
    let way = &detail.way;
    let at = sentence::clock(detail.window.until_ms);
    let ip = address(detail);
    match lack {
        Lack::Quic => (
            MissingKind::Quic,
            format!("endpoint {name}: sign-ins to {way} may use QUIC, which endpoints do not show"),
        ),
        Lack::SameAddress => (
            MissingKind::SameAddress,
            format!(
                "the sign-in came from {ip}, the public address of endpoint {name}, which shows no traffic for it"
            ),
        ),
        Lack::AddressUnknown => (
            MissingKind::AddressUnknown,
            format!("endpoint {name}: its public address around {at} is not known"),
        ),
        _ => (
            MissingKind::NoControl,
            format!(
                "no positive control: endpoint {name} has not shown a sign-in to {way} within {}",
                sentence::length(LOOK_BACK_MS)
            ),
        ),
    }
}

fn blind(name: &str, detail: &Detail) -> (MissingKind, String) {
    match &detail.blind {
        None | Some(Blind::NotReporting) => (
            MissingKind::NotReporting,
            format!("endpoint {name} was not reporting at that time"),
        ),
        Some(Blind::Lost(what)) => (
            MissingKind::LostEvents,
            format!("endpoint {name} lost events at that time: {what}"),
        ),
        Some(Blind::SendsNoFlows) => (
            MissingKind::NoFlows,
            format!("endpoint {name} has no network flows that are matched yet"),
        ),
        Some(Blind::SensorUntold) => (
            MissingKind::SensorDown,
            format!("endpoint {name}: whether its network sensor was running is not known"),
        ),
        Some(Blind::SensorDown) => (
            MissingKind::SensorDown,
            format!("endpoint {name}: its network sensor was not running"),
        ),
        Some(Blind::SensorDegraded(detail)) => (
            MissingKind::SensorDown,
            format!("endpoint {name}: its network sensor did not see all: {detail}"),
        ),
        Some(Blind::LeftOut(what)) => (
            MissingKind::LostEvents,
            format!("endpoint {name}: some {what} were left out, there are too many"),
        ),
    }
}

fn doubtful(name: &str, detail: &Detail) -> (MissingKind, String) {
    let way = &detail.way;
    let to = detail
        .flow
        .as_ref()
        .map_or_else(|| "an unknown host".to_owned(), host);
    let (what, which) = match detail.doubt {
        Some(Doubt::AlreadyOpen) => (
            MissingKind::AlreadyOpen,
            format!("to {to} that was already open"),
        ),
        Some(Doubt::SharedAddress) => (
            MissingKind::SharedAddress,
            format!("to {to}, an address that {way} shares with other services"),
        ),
        Some(Doubt::UnsureName) => (
            MissingKind::HiddenName,
            format!("to {to}, a name that nobody there asked for at that time"),
        ),
        Some(Doubt::Relay) => (
            MissingKind::Relay,
            format!("to {to}, a proxy or remote browser"),
        ),
        Some(Doubt::UnsureTime) => (
            MissingKind::UnsureTime,
            format!("to {to} whose time is not known well enough"),
        ),
        Some(Doubt::UntoldUser) => (
            MissingKind::OtherUser,
            format!("to {to}, and whose session made it cannot be told"),
        ),
        Some(Doubt::HiddenName) | None => (
            MissingKind::HiddenName,
            format!("to {to}, whose name is hidden"),
        ),
    };
    (
        what,
        format!("endpoint {name} had a connection {which}: it could be this sign-in"),
    )
}
