//! Whether an attempt's sign-in traffic was seen on one of the person's endpoints.
//!
//! A claim about traffic on enrolled endpoints, never about a person's mind. **Unknown is not no**: an
//! endpoint that was off, that lost events or that sends no flows shows nothing, so the verdict is
//! `unknown` and says what is missing. This table has only its last row yet: endpoints send no network
//! flows that could be matched, so neither `here` nor `elsewhere` can be shown. Each endpoint gives a
//! [`Reading`]; a verdict is made of all readings in [`verdict`], where the other rows will stand.

use serde::{Deserialize, Serialize};
use tocsin_proto::id::EndpointId;

use crate::baseline::MINUTE_MS;
use crate::input::{LinkedEndpoint, TimeSpan};

/// Sign-in traffic is looked for this long before an attempt's first event: the password step comes
/// before the prompt.
const BEFORE_MS: i64 = 2 * MINUTE_MS;
/// And this long after it.
const AFTER_MS: i64 = MINUTE_MS / 2;

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
}

/// What one endpoint says of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reading {
    /// It could not have shown it either way.
    Unable { reason: String },
}

/// The provenance of an attempt whose first event is at `time_ms`.
pub(crate) fn provenance(time_ms: i64, endpoints: &[&LinkedEndpoint]) -> Provenance {
    let window = TimeSpan {
        from_ms: time_ms.saturating_sub(BEFORE_MS),
        until_ms: time_ms.saturating_add(AFTER_MS),
    };
    verdict(
        endpoints
            .iter()
            .map(|endpoint| read(endpoint, window))
            .collect(),
    )
}

fn read(endpoint: &LinkedEndpoint, window: TimeSpan) -> Reading {
    let name = &endpoint.hostname;
    let reason = if !endpoint.reporting.iter().any(|span| span.contains(window)) {
        format!("endpoint {name} was not reporting at that time")
    } else if let Some(gap) = endpoint
        .gaps
        .iter()
        .filter(|gap| gap.span.overlaps(window))
        .min()
    {
        format!("endpoint {name} lost events at that time: {}", gap.what)
    } else if endpoint.sends_flows {
        format!("the network flows of endpoint {name} cannot be matched yet")
    } else {
        format!("endpoint {name} sends no network flows yet")
    };
    Reading::Unable { reason }
}

fn verdict(readings: Vec<Reading>) -> Provenance {
    let mut reasons: Vec<String> = readings
        .into_iter()
        .map(|Reading::Unable { reason }| reason)
        .collect();
    if reasons.is_empty() {
        reasons.push("no endpoint is linked to this person".to_owned());
    }
    Provenance {
        verdict: ProvenanceVerdict::Unknown,
        confidence: Confidence::None,
        endpoint: None,
        reasons,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::EndpointFacts;
    use crate::input::TelemetryGap;

    const AT_MS: i64 = 10 * MINUTE_MS;

    fn endpoint() -> LinkedEndpoint {
        LinkedEndpoint {
            id: EndpointId::from_public_key(b"key"),
            hostname: "porto-17".into(),
            sends_flows: false,
            reporting: vec![TimeSpan {
                from_ms: 0,
                until_ms: 60 * MINUTE_MS,
            }],
            gaps: Vec::new(),
            facts: EndpointFacts::default(),
        }
    }

    fn reason(endpoint: &LinkedEndpoint) -> String {
        let found = provenance(AT_MS, &[endpoint]);
        assert_eq!(found.verdict, ProvenanceVerdict::Unknown);
        assert_eq!(found.confidence, Confidence::None);
        assert_eq!(found.endpoint, None);
        found.reasons.concat()
    }

    #[test]
    fn without_a_linked_endpoint_it_is_unknown() {
        let found = provenance(AT_MS, &[]);
        assert_eq!(found.verdict, ProvenanceVerdict::Unknown);
        assert_eq!(found.reasons, ["no endpoint is linked to this person"]);
    }

    #[test]
    fn an_endpoint_that_sends_no_flows_shows_nothing() {
        assert_eq!(
            reason(&endpoint()),
            "endpoint porto-17 sends no network flows yet"
        );
    }

    #[test]
    fn an_endpoint_that_was_off_shows_nothing() {
        let off = LinkedEndpoint {
            reporting: vec![TimeSpan {
                from_ms: AT_MS,
                until_ms: 60 * MINUTE_MS,
            }],
            ..endpoint()
        };
        assert_eq!(
            reason(&off),
            "endpoint porto-17 was not reporting at that time"
        );
    }

    #[test]
    fn a_gap_is_named() {
        let gap = TelemetryGap {
            span: TimeSpan {
                from_ms: AT_MS - MINUTE_MS,
                until_ms: AT_MS,
            },
            what: "312 events, sensor overflow".into(),
        };
        let lossy = LinkedEndpoint {
            gaps: vec![gap],
            ..endpoint()
        };
        assert_eq!(
            reason(&lossy),
            "endpoint porto-17 lost events at that time: 312 events, sensor overflow"
        );
    }

    #[test]
    fn every_endpoint_gives_its_reason() {
        let other = LinkedEndpoint {
            hostname: "porto-18".into(),
            ..endpoint()
        };
        assert_eq!(provenance(AT_MS, &[&endpoint(), &other]).reasons.len(), 2);
    }
}
