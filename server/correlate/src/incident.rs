//! The incident as the engine knows it: everything that `incidents show` needs except what an analyst
//! or Tocsin itself did to it.
//!
//! Its id comes from the first event of the episode, whose own id comes from the provider, so the same
//! records give the same incident on a fresh server. The subject is not part of it: an event belongs to
//! one person only, and two people found to be one keep their incidents' ids.

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tocsin_proto::id::{EndpointId, EventId, IdentityId, IncidentId, MfaEventId};

use crate::advice::{RecommendedAction, advice};
use crate::attempt::{Attempt, AttemptResult};
use crate::campaign::{Campaign, Sighting, sightings};
use crate::case::Case;
use crate::coverage::{Coverage, coverage};
use crate::evidence::{self, Family, Piece, Weight};
use crate::input::{
    AccountKey, Factor, Input, LinkedEndpoint, MfaEventKind, Person, Provider, TimeSpan,
};
use crate::provenance::{Judgements, Provenance};
use crate::sentence;
use crate::severity::{BeliefBand, Grounds, Severity, score, severity};
use crate::stage::{Stage, StageName};
use crate::timeline::Item;
use crate::title;

/// Attempts that one incident lists; where there are more, the first and the last. Keeps an incident
/// within one message.
pub const ATTEMPTS_MAX: usize = 1_000;

/// An episode that is unlikely to be an attack is still shown, as info, where a single piece of evidence
/// weighs this much.
const NOTABLE: Weight = Weight(150);

/// One attempt of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptDraft {
    /// Id of its first event.
    pub id: MfaEventId,
    /// Time of its first event.
    pub time_ms: i64,
    /// Which provider.
    pub provider: Provider,
    /// How it ended.
    pub result: AttemptResult,
    /// When it was answered, or became unanswered.
    pub result_time_ms: Option<i64>,
    /// Address of the sign-in.
    pub source_ip: Option<IpAddr>,
    /// Where that address lies, as a person would write it.
    pub source_place: String,
    /// User agent of the sign-in.
    pub user_agent: Option<String>,
    /// What it was for.
    pub application: Option<String>,
    /// Which factor.
    pub factor: Option<Factor>,
    /// Where its traffic was seen.
    pub provenance: Provenance,
    /// The MFA events it was merged from.
    pub event_ids: Vec<MfaEventId>,
    /// Neither place nor machine was usual for the person then.
    #[serde(default)]
    pub is_foreign: bool,
    /// Whose it is, in an incident of many people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whose: Option<IdentityId>,
}

/// One piece of evidence of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceDraft {
    /// Which kind.
    pub kind: String,
    /// Which family.
    pub family: Family,
    /// Log-odds in hundredths, before its family is saturated and capped.
    pub weight: Weight,
    /// "measured" or "judged".
    pub basis: String,
    /// For measured: n and source. For judged: why. Then the base rate.
    pub basis_detail: String,
    /// A sentence.
    pub summary: String,
    /// The events it rests on; at most 200.
    pub event_ids: Vec<MfaEventId>,
    /// The endpoints' events it rests on; at most 200.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoint_event_ids: Vec<EventId>,
}

/// Something that is missing or late.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MissingData {
    /// What.
    pub what: String,
    /// Since when; `None` where open.
    pub from_ms: Option<i64>,
    /// Until when; `None` where open.
    pub until_ms: Option<i64>,
}

/// Another incident that has to do with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelatedIncident {
    /// Which.
    pub id: IncidentId,
    /// How: "same_source".
    pub relation: String,
}

/// An incident about one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentDraft {
    /// From the episode's first event.
    pub id: IncidentId,
    /// One line.
    pub title: String,
    /// How bad.
    pub severity: Severity,
    /// 0 to 100, for sorting.
    pub score: u32,
    /// How likely an attack.
    pub belief: BeliefBand,
    /// Prior and evidence together, log-odds in hundredths. For tests and tuning; screens show the band.
    pub log_odds: Weight,
    /// Version of the weights.
    pub weights_version: String,
    /// Whose.
    pub subject: IdentityId,
    /// How to call them.
    pub display_name: String,
    /// Their accounts.
    pub accounts: Vec<AccountKey>,
    /// Time of the first event.
    pub first_event_time_ms: i64,
    /// Time of the last event.
    pub last_event_time_ms: i64,
    /// In time order; at most [`ATTEMPTS_MAX`].
    pub attempts: Vec<AttemptDraft>,
    /// For how many of its attempts it could be told where they came from.
    #[serde(default)]
    pub coverage: Coverage,
    /// In the order of an attack.
    pub stages: Vec<Stage>,
    /// Strongest first.
    pub evidence: Vec<EvidenceDraft>,
    /// Endpoints linked to the person.
    pub endpoints: Vec<(EndpointId, String)>,
    /// All that is missing or late.
    pub gaps: Vec<MissingData>,
    /// First things first.
    pub recommended_actions: Vec<RecommendedAction>,
    /// Others of this person from the same source.
    pub related: Vec<RelatedIncident>,
    /// Every event of the episode, in time order: tells which former incident this one was.
    pub event_ids: Vec<MfaEventId>,
    /// For an incident of many people: what they have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Campaign>,
}

/// What of the input an incident shows.
#[derive(Debug)]
pub(crate) struct Context<'i> {
    pub input: &'i Input,
    /// In a fixed order.
    pub endpoints: Vec<&'i LinkedEndpoint>,
    /// Events left out because there were too many.
    pub left_out: usize,
    /// Where each attempt's traffic was seen.
    pub judgements: &'i Judgements,
}

impl<'i> Context<'i> {
    pub(crate) fn new(
        input: &'i Input,
        endpoints: Vec<&'i LinkedEndpoint>,
        left_out: usize,
        judgements: &'i Judgements,
    ) -> Self {
        Self {
            input,
            endpoints,
            left_out,
            judgements,
        }
    }

    /// How far provenance reaches over these attempts.
    pub(crate) fn coverage<'p>(&self, attempts: impl Iterator<Item = &'p Provenance>) -> Coverage {
        coverage(attempts, |id| {
            let endpoint = self.endpoints.iter().find(|endpoint| endpoint.id == id);
            endpoint.map_or_else(|| id.to_string(), |endpoint| endpoint.hostname.clone())
        })
    }
}

/// The incident of a case; `None` where its evidence does not make one.
pub(crate) fn draft(
    case: &Case<'_, '_>,
    context: &Context<'_>,
    was_privileged: bool,
) -> Option<IncidentDraft> {
    let pieces = evidence::collect(case);
    let log_odds = evidence::belief(&pieces);
    let stages = case.stages();
    let grounds = Grounds {
        belief: log_odds,
        stage: stages.iter().map(|stage| stage.name).max(),
        is_privileged: context.input.identity.privileged
            || context.input.identity.said_privileged
            || was_privileged
            || case
                .of_kind(MfaEventKind::PrivilegeGranted)
                .next()
                .is_some(),
        is_confirmed: !case.confirmed.is_empty(),
        is_factor_changed_after: case.change_after_approval().is_some(),
        is_strangers: case.has_strangers_sign_in(),
    };
    let severity = severity(grounds);
    let belief = BeliefBand::of(log_odds);
    let is_notable = pieces.iter().any(|piece| piece.finding.weight >= NOTABLE);
    if belief == BeliefBand::Unlikely && severity == Severity::Info && !is_notable {
        return None;
    }
    let person = &context.input.identity;
    let event_ids = crate::case::event_ids(&case.items);
    let actions = advice(case, severity, &pieces);
    Some(IncidentDraft {
        id: IncidentId::derive(&[b"person", event_ids.first()?.as_bytes()]),
        title: title::title(case, &stages),
        severity,
        score: score(severity, log_odds),
        belief,
        log_odds,
        weights_version: context.input.weights.word().to_owned(),
        subject: person.id,
        display_name: person.display_name.clone(),
        accounts: sorted_accounts(person),
        first_event_time_ms: case.first_ms(),
        last_event_time_ms: case.last_ms(),
        attempts: attempts(case, context),
        coverage: context.coverage(case.judged().into_iter().map(|(_, j)| &j.provenance)),
        stages,
        evidence: pieces.into_iter().map(evidence_draft).collect(),
        endpoints: context
            .endpoints
            .iter()
            .map(|e| (e.id, e.hostname.clone()))
            .collect(),
        gaps: gaps(case, context),
        recommended_actions: actions,
        related: Vec::new(),
        event_ids,
        campaign: None,
    })
}

fn attempts(case: &Case<'_, '_>, context: &Context<'_>) -> Vec<AttemptDraft> {
    let all: Vec<(&Attempt<'_>, bool)> = case
        .items
        .iter()
        .filter_map(|item| Some((item.attempt()?, item.is_foreign())))
        .collect();
    let over = all.len().saturating_sub(ATTEMPTS_MAX);
    let head = if over > 0 {
        ATTEMPTS_MAX / 2
    } else {
        all.len()
    };
    let shown = all.iter().take(head).chain(all.iter().skip(head + over));
    shown
        .filter_map(|(attempt, is_foreign)| attempt_draft((attempt, *is_foreign), context))
        .collect()
}

fn attempt_draft(
    (attempt, is_foreign): (&Attempt<'_>, bool),
    context: &Context<'_>,
) -> Option<AttemptDraft> {
    let origin = &attempt.origin;
    let place = [
        &origin.place.city,
        &origin.place.region,
        &origin.place.country,
    ];
    let mut place: Vec<&str> = place
        .into_iter()
        .filter_map(|part| part.as_deref())
        .collect();
    place.dedup();
    Some(AttemptDraft {
        id: attempt.id()?,
        time_ms: attempt.time_ms,
        provider: attempt.provider,
        result: attempt.result,
        result_time_ms: attempt.result_time_ms,
        source_ip: origin.ip,
        source_place: place.join(", "),
        user_agent: origin.user_agent.clone(),
        application: attempt.application.clone(),
        factor: attempt.factor,
        provenance: context.judgements.provenance(attempt),
        event_ids: attempt.events.iter().map(|event| event.id).collect(),
        is_foreign,
        whose: None,
    })
}

/// The attempts of a person that may be part of a campaign, each with the incident that holds it.
pub(crate) fn sighted(
    items: &[Item<'_>],
    context: &Context<'_>,
    incidents: &[IncidentDraft],
    privileged: bool,
) -> Vec<Sighting> {
    let mut owners: BTreeMap<MfaEventId, &IncidentDraft> = BTreeMap::new();
    for incident in incidents {
        owners.extend(incident.event_ids.iter().map(|id| (*id, incident)));
    }
    let person = &context.input.identity;
    let accounts = sorted_accounts(person);
    let foreign = items.iter().filter(|item| item.is_foreign());
    sightings(foreign.filter_map(|item| {
        let attempt = attempt_draft((item.attempt()?, true), context)?;
        let incident = owners.get(&attempt.id);
        let changed = incident.and_then(|incident| {
            let mut stages = incident.stages.iter();
            stages.find(|stage| stage.name == StageName::FactorChanged)
        });
        Some(Sighting {
            source: attempt.source_ip?,
            subject: person.id,
            display_name: person.display_name.clone(),
            accounts: accounts.clone(),
            is_privileged: privileged,
            has_endpoint: !context.endpoints.is_empty(),
            incident: incident.map(|incident| incident.id),
            factor_changed_ms: changed.map(|stage| stage.first_event_time_ms),
            attempt,
        })
    }))
}

fn sorted_accounts(person: &Person) -> Vec<AccountKey> {
    let mut accounts = person.accounts.clone();
    accounts.sort();
    accounts.dedup();
    accounts
}

fn evidence_draft(piece: Piece) -> EvidenceDraft {
    EvidenceDraft {
        kind: piece.spec.kind.to_owned(),
        family: piece.spec.family,
        weight: piece.finding.weight,
        basis: "judged".to_owned(),
        basis_detail: format!("{}; base rate: {}", piece.spec.why, piece.spec.base_rate),
        summary: piece.finding.summary,
        event_ids: piece.finding.event_ids,
        endpoint_event_ids: piece.endpoint_events,
    }
}

/// All that is missing: endpoints, their events, the person's history, answers still to come.
fn gaps(case: &Case<'_, '_>, context: &Context<'_>) -> Vec<MissingData> {
    let span = TimeSpan {
        from_ms: case.first_ms(),
        until_ms: case.last_ms(),
    };
    let open = |what: String| MissingData {
        what,
        from_ms: None,
        until_ms: None,
    };
    let mut gaps = Vec::new();
    if context.endpoints.is_empty() {
        gaps.push(open(
            "no linked endpoint: nothing is known of this person's own machines".to_owned(),
        ));
    }
    for endpoint in &context.endpoints {
        endpoint_gaps(endpoint, span, &mut gaps);
    }
    let known = case.items.first().map_or(0, |item| item.known_sign_ins);
    if known < crate::baseline::KNOWN_SIGN_INS {
        gaps.push(MissingData {
            what: format!(
                "what is usual for this person is not known: {} before this",
                sentence::count(usize::try_from(known).unwrap_or(0), "sign-in")
            ),
            from_ms: None,
            until_ms: Some(span.from_ms),
        });
    }
    let pending = case.items.iter().filter_map(|item| item.attempt());
    let pending = pending
        .filter(|attempt| attempt.result == AttemptResult::Prompted)
        .count();
    if pending > 0 {
        gaps.push(MissingData {
            what: format!("{} not answered yet", sentence::count(pending, "prompt")),
            from_ms: Some(span.until_ms),
            until_ms: None,
        });
    }
    if context.left_out > 0 {
        gaps.push(open(format!(
            "{} of this person left out, the oldest: more than can be looked at",
            sentence::count(context.left_out, "MFA event")
        )));
    }
    let listed = case
        .items
        .iter()
        .filter(|item| item.attempt().is_some())
        .count();
    if listed > ATTEMPTS_MAX {
        gaps.push(open(format!(
            "{} not listed: only the first and last of {listed}",
            sentence::count(listed - ATTEMPTS_MAX, "attempt")
        )));
    }
    gaps
}

fn endpoint_gaps(endpoint: &LinkedEndpoint, span: TimeSpan, gaps: &mut Vec<MissingData>) {
    if !endpoint.stands_in(span) {
        return;
    }
    let name = &endpoint.hostname;
    let silent = silent(&endpoint.reporting, span).into_iter();
    gaps.extend(silent.take(GAPS_MAX).map(|silent| MissingData {
        what: format!("endpoint {name} was not reporting"),
        from_ms: Some(silent.from_ms),
        until_ms: Some(silent.until_ms),
    }));
    let mut lost: Vec<_> = endpoint
        .gaps
        .iter()
        .filter(|gap| gap.span.overlaps(span))
        .collect();
    lost.sort();
    lost.dedup();
    gaps.extend(lost.into_iter().take(GAPS_MAX).map(|gap| MissingData {
        what: format!("endpoint {name} lost events: {}", gap.what),
        from_ms: Some(gap.span.from_ms),
        until_ms: Some(gap.span.until_ms),
    }));
    if !endpoint.sends_flows {
        gaps.push(MissingData {
            what: format!("endpoint {name} has no network flows that are matched yet"),
            from_ms: None,
            until_ms: None,
        });
    }
}

/// The parts of a stretch in which it was not reporting. `reporting`: in order.
fn silent(reporting: &[TimeSpan], span: TimeSpan) -> Vec<TimeSpan> {
    let mut silent = Vec::new();
    let mut from_ms = span.from_ms;
    for known in reporting.iter().filter(|known| known.overlaps(span)) {
        if known.from_ms > from_ms {
            silent.push(TimeSpan {
                from_ms,
                until_ms: known.from_ms,
            });
        }
        from_ms = from_ms.max(known.until_ms);
    }
    let is_seen = reporting.iter().any(|known| known.overlaps(span));
    if from_ms < span.until_ms || !is_seen {
        silent.push(TimeSpan { from_ms, ..span });
    }
    silent
}

/// Gaps of one endpoint that are named.
const GAPS_MAX: usize = 50;

/// Finds incidents of one person that came from the same address.
pub(crate) fn relate(incidents: &mut [IncidentDraft]) {
    let sources: Vec<(IncidentId, Vec<IpAddr>)> = incidents
        .iter()
        .map(|incident| (incident.id, source_ips(incident)))
        .collect();
    for incident in incidents {
        let own = source_ips(incident);
        incident.related = sources
            .iter()
            .filter(|(id, ips)| *id != incident.id && ips.iter().any(|ip| own.contains(ip)))
            .take(RELATED_MAX)
            .map(|(id, _)| RelatedIncident {
                id: *id,
                relation: "same_source".to_owned(),
            })
            .collect();
    }
}

/// Related incidents that are named, and sources of one that are compared.
const RELATED_MAX: usize = 20;

fn source_ips(incident: &IncidentDraft) -> Vec<IpAddr> {
    let refused = incident
        .attempts
        .iter()
        .filter(|attempt| attempt.result.is_refusal());
    let mut ips: Vec<IpAddr> = refused.filter_map(|attempt| attempt.source_ip).collect();
    ips.sort();
    ips.dedup();
    ips.truncate(RELATED_MAX);
    ips
}

#[cfg(test)]
#[path = "incident_tests.rs"]
mod tests;
