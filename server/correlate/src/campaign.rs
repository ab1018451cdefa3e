//! One source against many people: the second pass, over the incidents of many people instead of one person's events.
//!
//! ```text
//! drafts of all people -> attempts from where and with what nobody of them usually signs in
//!                      -> by address, three people or more within an hour -> one campaign incident
//! whoever is touched by nothing else                                      -> at most low, and points at it
//! ```
//!
//! Pure as the first pass: any order of the drafts gives the same. It reads what the first pass found and changes
//! nothing that it reads, so both settle: a campaign depends on attempts alone, never on a severity.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tocsin_proto::id::{IdentityId, IncidentId, MfaEventId};

use crate::attempt::AttemptResult;
use crate::baseline::HOUR_MS;
use crate::evidence::{Family, PRIOR, Weight};
use crate::incident::{AttemptDraft, EvidenceDraft, IncidentDraft, RelatedIncident};
use crate::input::{AccountKey, WeightsVersion};
use crate::severity::{BeliefBand, Grounds, Severity, score, severity};
use crate::stage::{Stage, StageName};

/// Different people from which on one source is a campaign. Offices and carriers are usual for somebody: attempts from a
/// place and machine that are unusual for each of three people within an hour have no other explanation.
pub const PEOPLE_MIN: usize = 3;
/// Within this time.
const WITHIN_MS: i64 = HOUR_MS;
/// It goes on while attempts follow each other within this time.
const PAUSE_MS: i64 = 24 * HOUR_MS;
/// People of one campaign that are named; further ones are counted.
pub const MEMBERS_MAX: usize = 1_000;
/// Attempts of one campaign that are listed: the first ones.
const LISTED_MAX: usize = 200;

/// Whom a campaign hit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CampaignMember {
    /// Who.
    pub identity: IdentityId,
    /// Their incident.
    pub incident: IncidentId,
    /// A sign-in from the source succeeded.
    pub is_in: bool,
}

/// What makes an incident one of a campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// The address that all of it came from.
    pub source: IpAddr,
    /// When it became one: the attempt on the third person.
    pub since_ms: i64,
    /// People, at most [`MEMBERS_MAX`].
    pub members: Vec<CampaignMember>,
    /// How many people.
    pub people: usize,
}

/// Whose the campaigns' incidents are: nobody's.
pub fn campaign_subject() -> IdentityId {
    IdentityId::derive(&[b"campaign"])
}

/// An attempt with whose it is.
type Sighting<'d> = (&'d IncidentDraft, &'d AttemptDraft);

/// The campaigns that the incidents of many people show.
pub fn campaigns<'d>(drafts: impl IntoIterator<Item = &'d IncidentDraft>) -> Vec<IncidentDraft> {
    let mut by_source: BTreeMap<IpAddr, Vec<Sighting<'d>>> = BTreeMap::new();
    for draft in drafts {
        if draft.campaign.is_some() {
            continue;
        }
        for attempt in draft.attempts.iter().filter(|attempt| counts(attempt)) {
            if let Some(ip) = attempt.source_ip {
                by_source
                    .entry(ip.to_canonical())
                    .or_default()
                    .push((draft, attempt));
            }
        }
    }
    let mut found = Vec::new();
    for (source, mut sightings) in by_source {
        sightings.sort_by_key(|(_, attempt)| (attempt.time_ms, attempt.id));
        for stretch in stretches(&sightings) {
            if let Some(since_ms) = since(stretch) {
                found.extend(incident(source, since_ms, stretch));
            }
        }
    }
    found.sort_by_key(|incident| (incident.first_event_time_ms, incident.id));
    found
}

/// Refused, or let in, from where and with what the person does not sign in.
fn counts(attempt: &AttemptDraft) -> bool {
    attempt.is_foreign
        && (attempt.result.is_refusal()
            || matches!(
                attempt.result,
                AttemptResult::Approved | AttemptResult::Prompted
            ))
}

/// Sightings with pauses of less than [`PAUSE_MS`] between them.
fn stretches<'s, 'd>(sightings: &'s [Sighting<'d>]) -> impl Iterator<Item = &'s [Sighting<'d>]> {
    sightings.chunk_by(|(_, a), (_, b)| b.time_ms - a.time_ms < PAUSE_MS)
}

/// When the attempts reached enough people within the time; `None` where they did not.
fn since(stretch: &[Sighting<'_>]) -> Option<i64> {
    let mut start = 0;
    for (end, (_, last)) in stretch.iter().enumerate() {
        while stretch
            .get(start)
            .is_some_and(|(_, first)| last.time_ms - first.time_ms > WITHIN_MS)
        {
            start += 1;
        }
        let window = stretch.get(start..=end).unwrap_or_default();
        let people: BTreeSet<IdentityId> = window.iter().map(|(draft, _)| draft.subject).collect();
        if people.len() >= PEOPLE_MIN {
            return Some(last.time_ms);
        }
    }
    None
}

/// By people, log-odds in hundredths.
const WEIGHTS: [(usize, i32); 3] = [(PEOPLE_MIN, 320), (5, 450), (10, 600)];

/// Who was hit, and whose accounts they are.
fn members(stretch: &[Sighting<'_>]) -> (Vec<CampaignMember>, BTreeSet<AccountKey>) {
    let mut members: BTreeMap<IdentityId, CampaignMember> = BTreeMap::new();
    let mut accounts: BTreeSet<AccountKey> = BTreeSet::new();
    for (draft, attempt) in stretch {
        let is_in = attempt.result == AttemptResult::Approved;
        let member = members.entry(draft.subject).or_insert(CampaignMember {
            identity: draft.subject,
            incident: draft.id,
            is_in,
        });
        member.is_in |= is_in;
        accounts.extend(draft.accounts.iter().cloned());
    }
    (members.into_values().collect(), accounts)
}

/// How far it came, with whoever let it in.
fn stages(stretch: &[Sighting<'_>], entered: &BTreeSet<IdentityId>) -> Vec<Stage> {
    let first_ms = stretch.first().map(|(_, attempt)| attempt.time_ms);
    let entries = stretch
        .iter()
        .filter(|(_, attempt)| attempt.result == AttemptResult::Approved);
    let entered_ms = entries.map(|(_, attempt)| end_ms(attempt)).min();
    let changed_ms = stretch
        .iter()
        .filter(|(draft, _)| entered.contains(&draft.subject))
        .flat_map(|(draft, _)| &draft.stages)
        .filter(|stage| stage.name == StageName::FactorChanged)
        .map(|stage| stage.first_event_time_ms)
        .min();
    let reached = [
        (StageName::Prompting, first_ms),
        (StageName::Approved, entered_ms),
        (StageName::FactorChanged, changed_ms),
    ];
    let reached = reached.into_iter();
    reached
        .filter_map(|(name, ms)| Some(Stage::new(name, ms?)))
        .collect()
}

fn end_ms(attempt: &AttemptDraft) -> i64 {
    attempt.result_time_ms.unwrap_or(attempt.time_ms)
}

fn incident(source: IpAddr, since_ms: i64, stretch: &[Sighting<'_>]) -> Option<IncidentDraft> {
    let (mut members, accounts) = members(stretch);
    let people = members.len();
    let entered: BTreeSet<IdentityId> = members
        .iter()
        .filter(|member| member.is_in)
        .map(|member| member.identity)
        .collect();
    members.truncate(MEMBERS_MAX);
    let event_ids = events(stretch);
    let weight = WEIGHTS.iter().rev().find(|(from, _)| people >= *from)?.1;
    let belief = Weight(PRIOR.0 + weight);
    let stages = stages(stretch, &entered);
    let furthest = stages.iter().map(|stage| stage.name).max();
    let severity = severity(Grounds {
        belief,
        stage: furthest,
        is_privileged: false,
        is_confirmed: !entered.is_empty(),
        is_factor_changed_after: furthest >= Some(StageName::FactorChanged),
    });
    let listed = stretch.iter().take(LISTED_MAX);
    let tied = members.iter().take(LISTED_MAX);
    Some(IncidentDraft {
        id: IncidentId::derive(&[b"campaign", event_ids.first()?.as_bytes()]),
        title: title(source, people, entered.len()),
        severity,
        score: score(severity, belief),
        belief: BeliefBand::of(belief),
        log_odds: belief,
        weights_version: WeightsVersion::default().word().to_owned(),
        subject: campaign_subject(),
        display_name: String::new(),
        accounts: accounts.into_iter().collect(),
        first_event_time_ms: stretch.first().map(|(_, attempt)| attempt.time_ms)?,
        last_event_time_ms: stretch.iter().map(|(_, attempt)| end_ms(attempt)).max()?,
        attempts: listed.map(|(_, attempt)| (*attempt).clone()).collect(),
        coverage: crate::Coverage::default(),
        stages,
        evidence: vec![evidence(
            weight,
            (source, people, entered.len()),
            &event_ids,
        )],
        endpoints: Vec::new(),
        gaps: Vec::new(),
        recommended_actions: Vec::new(),
        related: tied.map(|m| related(m.incident, "member")).collect(),
        event_ids,
        campaign: Some(Campaign {
            source,
            since_ms,
            members,
            people,
        }),
    })
}

fn title(source: IpAddr, people: usize, entered: usize) -> String {
    let end = match entered {
        0 => String::new(),
        _ => format!(", {entered} let in"),
    };
    format!("One source, {source}, prompted {people} people{end}")
}

fn evidence(
    weight: i32,
    (source, people, entered): (IpAddr, usize, usize),
    event_ids: &[MfaEventId],
) -> EvidenceDraft {
    let let_in = match entered {
        0 => "nobody let it in".to_owned(),
        n => format!("{n} let it in"),
    };
    EvidenceDraft {
        kind: "one_source_many_people".to_owned(),
        family: Family::Origin,
        weight: Weight(weight),
        basis: "judged".to_owned(),
        basis_detail: "an address that is strange to each of several people within an hour is nobody's journey; base \
                       rate: none in the harmless part of the generated months"
            .to_owned(),
        summary: format!(
            "{people} people were prompted from {source}, from where and with what none of them signs in; {let_in}"
        ),
        event_ids: event_ids.iter().copied().take(LISTED_MAX).collect(),
        endpoint_event_ids: Vec::new(),
    }
}

/// The events of all attempts, in time order, each once.
fn events(stretch: &[Sighting<'_>]) -> Vec<MfaEventId> {
    let mut seen = BTreeSet::new();
    let ids = stretch
        .iter()
        .flat_map(|(_, attempt)| attempt.event_ids.iter().copied());
    ids.filter(|id| seen.insert(*id)).collect()
}

fn related(id: IncidentId, relation: &str) -> RelatedIncident {
    RelatedIncident {
        id,
        relation: relation.to_owned(),
    }
}

/// Ties a person's incidents to the campaigns that they are part of. One that is nothing else, where nobody was let in
/// and the person reported nothing, is at most low: the campaign tells it.
pub fn absorb(drafts: &mut [IncidentDraft], campaigns: &[IncidentDraft]) {
    for draft in drafts.iter_mut().filter(|draft| draft.campaign.is_none()) {
        let own: BTreeSet<MfaEventId> = draft.attempts.iter().map(|attempt| attempt.id).collect();
        let mut covered: BTreeSet<MfaEventId> = BTreeSet::new();
        for campaign in campaigns {
            let of_it = campaign
                .event_ids
                .iter()
                .copied()
                .filter(|id| own.contains(id));
            let before = covered.len();
            covered.extend(of_it);
            let link = related(campaign.id, "campaign");
            if covered.len() > before && !draft.related.contains(&link) {
                draft.related.push(link);
            }
        }
        let is_all = draft
            .attempts
            .iter()
            .all(|attempt| covered.contains(&attempt.id));
        let is_in = draft
            .stages
            .iter()
            .any(|stage| stage.name >= StageName::Approved);
        let is_reported = draft
            .evidence
            .iter()
            .any(|piece| piece.family == Family::Reports);
        if !covered.is_empty() && is_all && !is_in && !is_reported && draft.severity > Severity::Low
        {
            draft.severity = Severity::Low;
            draft.score = score(Severity::Low, draft.log_odds);
        }
    }
}

#[cfg(test)]
#[path = "campaign_tests.rs"]
mod tests;
