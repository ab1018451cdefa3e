//! For which share of a person's sign-in attempts it could be told where they came from, and what would raise it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tocsin_proto::id::EndpointId;

use crate::provenance::{Missing, MissingKind, Provenance, ProvenanceVerdict};
use crate::sentence;

/// Next steps that are named, those that concern most attempts first.
pub const NEXT_STEPS_MAX: usize = 5;

/// Something that would let more attempts be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStep {
    /// Its word: "link_endpoint", "set_site_map", ...
    pub step: String,
    /// On which endpoint; `None` where it is about none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointId>,
    /// Attempts that lack it. It need not be all that they lack.
    pub attempts: u32,
    /// What to do, as a sentence.
    pub text: String,
}

/// How far provenance reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Attempts looked at.
    pub attempts: u32,
    /// Of these made on one of the person's endpoints.
    pub here: u32,
    /// And those made on none.
    pub elsewhere: u32,
    /// What would let more of them be told; at most [`NEXT_STEPS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_steps: Vec<NextStep>,
}

impl Coverage {
    /// Share of attempts that could be told, in hundredths; `None` without any.
    pub fn told_percent(&self) -> Option<u32> {
        let told = self.here.saturating_add(self.elsewhere);
        told.saturating_mul(100).checked_div(self.attempts)
    }
}

/// The coverage of these attempts. `hostname` names an endpoint.
pub(crate) fn coverage<'p>(
    attempts: impl Iterator<Item = &'p Provenance>,
    hostname: impl Fn(EndpointId) -> String,
) -> Coverage {
    let mut coverage = Coverage::default();
    let mut lacks: BTreeMap<(&'static str, Option<EndpointId>), (u32, MissingKind)> =
        BTreeMap::new();
    for provenance in attempts {
        coverage.attempts = coverage.attempts.saturating_add(1);
        match provenance.verdict {
            ProvenanceVerdict::Here => coverage.here = coverage.here.saturating_add(1),
            ProvenanceVerdict::Elsewhere => {
                coverage.elsewhere = coverage.elsewhere.saturating_add(1);
            }
            ProvenanceVerdict::Unknown => {
                let mut missing: Vec<_> = provenance.missing.iter().filter_map(key).collect();
                missing.sort_unstable();
                missing.dedup_by_key(|(step, endpoint, _)| (*step, *endpoint));
                for (step, endpoint, what) in missing {
                    let entry = lacks.entry((step, endpoint)).or_insert((0, what));
                    entry.0 = entry.0.saturating_add(1);
                }
            }
        }
    }
    let mut steps: Vec<_> = lacks.into_iter().collect();
    steps.sort_by_key(|(key, (count, _))| (core::cmp::Reverse(*count), *key));
    steps.truncate(NEXT_STEPS_MAX);
    coverage.next_steps = steps
        .into_iter()
        .map(|((step, endpoint), (attempts, what))| NextStep {
            step: step.to_owned(),
            endpoint,
            attempts,
            text: text(
                what,
                &endpoint.map_or_else(String::new, &hostname),
                attempts,
            ),
        })
        .collect();
    coverage
}

/// `None`: nothing that somebody could do.
fn key(missing: &Missing) -> Option<(&'static str, Option<EndpointId>, MissingKind)> {
    let step = match missing.what {
        MissingKind::NoEndpoint => "link_endpoint",
        MissingKind::TooManyEndpoints => "unlink_endpoints",
        MissingKind::NoFlows | MissingKind::SensorDown => "enable_network_sensor",
        MissingKind::NotReporting | MissingKind::ClockUnknown => "keep_agent_running",
        MissingKind::LostEvents => "stop_losses",
        MissingKind::ClockUncertain => "fix_clock",
        MissingKind::AddressUnknown => "set_site_map",
        MissingKind::HiddenName => "show_names",
        MissingKind::Relay => "configure_proxy",
        MissingKind::OtherUser => "link_accounts",
        MissingKind::RouteUntold => "configure_service",
        MissingKind::NoControl => "add_sign_in_names",
        MissingKind::SameAddress => "enroll_site",
        MissingKind::NotJudged
        | MissingKind::OtherAddress
        | MissingKind::AlwaysOn
        | MissingKind::AlreadyOpen
        | MissingKind::SharedAddress
        | MissingKind::UnsureTime
        | MissingKind::Contradiction
        | MissingKind::Quic => return None,
    };
    Some((step, missing.endpoint, missing.what))
}

fn text(what: MissingKind, name: &str, attempts: u32) -> String {
    let step = match what {
        MissingKind::NoEndpoint => {
            "link an endpoint to this person, or install the agent on one".to_owned()
        }
        MissingKind::TooManyEndpoints => {
            "unlink endpoints that this person does not use".to_owned()
        }
        MissingKind::NoFlows | MissingKind::SensorDown => {
            format!(
                "let the network sensor of {name} run: update the agent there or read its health"
            )
        }
        MissingKind::NotReporting => {
            format!("keep the agent of {name} running, or wait for what it still holds")
        }
        MissingKind::LostEvents => {
            format!("find out why {name} loses events, and give its spool more room")
        }
        MissingKind::ClockUnknown => {
            format!(
                "keep the agent of {name} running: its clock is only known while it is connected"
            )
        }
        MissingKind::ClockUncertain => {
            format!("set the clock of {name} by a time server")
        }
        MissingKind::AddressUnknown => {
            format!("set the site map: which public address {name} goes out with")
        }
        MissingKind::HiddenName => {
            format!("let {name} ask the system's resolver, so that names are seen")
        }
        MissingKind::Relay => "say where web proxies and remote browsers are".to_owned(),
        MissingKind::OtherUser => format!("link the local accounts of this person on {name}"),
        MissingKind::RouteUntold => "configure where the application's sign-ins go".to_owned(),
        MissingKind::NoControl => {
            format!(
                "check the sign-in names of the provider: none of this person's sign-ins was seen on {name}"
            )
        }
        _ => format!("install the agent on the other machines behind the address of {name}"),
    };
    let count = usize::try_from(attempts).unwrap_or(usize::MAX);
    format!("{step} (concerns {})", sentence::count(count, "attempt"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{laptop, porto};
    use crate::story::Story;

    fn attack() -> Story {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:10")
            .attacker();
        story.prompt().denied().after_minutes(5).prompt().denied()
    }

    #[test]
    fn without_endpoints_nothing_is_told_and_the_next_step_is_to_link_one() {
        let outcome = attack().outcome();
        let coverage = &outcome.incidents[0].coverage;
        assert_eq!((coverage.attempts, coverage.told_percent()), (2, Some(0)));
        assert_eq!(coverage.next_steps.len(), 1);
        assert_eq!(coverage.next_steps[0].step, "link_endpoint");
        assert_eq!(coverage.next_steps[0].attempts, 2);
        assert_eq!(outcome.coverage.attempts, 22);
    }

    #[test]
    fn what_is_told_is_counted_for_the_incident_and_for_the_person() {
        let outcome = attack().endpoint(porto(10)).outcome();
        let coverage = &outcome.incidents[0].coverage;
        assert_eq!(
            (coverage.elsewhere, coverage.told_percent()),
            (2, Some(100))
        );
        assert!(coverage.next_steps.is_empty());
        assert_eq!((outcome.coverage.here, outcome.coverage.elsewhere), (20, 2));
    }

    #[test]
    fn the_most_frequent_reasons_become_the_next_steps() {
        let mut endpoint = laptop("porto-17");
        endpoint.facts.addresses.clear();
        let coverage = attack().endpoint(endpoint).outcome().coverage;
        let steps: Vec<_> = coverage
            .next_steps
            .iter()
            .map(|s| (s.step.as_str(), s.attempts))
            .collect();
        assert_eq!(steps, [("add_sign_in_names", 22), ("set_site_map", 22)]);
        assert!(coverage.next_steps[1].text.contains("porto-17"));
    }

    #[test]
    fn without_attempts_there_is_no_share() {
        assert_eq!(Coverage::default().told_percent(), None);
        assert_eq!(
            serde_json::from_str::<Coverage>(r#"{"attempts":1,"here":0,"elsewhere":0}"#)
                .unwrap()
                .attempts,
            1
        );
    }
}
