//! One source against many people: the second pass, over what many people's events showed instead of one person's events.
//!
//! ```text
//! a person's attempts from where and with what they do not sign in  -> sightings, kept by source
//! sightings of one source, three people or more within an hour      -> one campaign incident
//! a person's incidents that are nothing else                        -> at most low, and point at it
//! ```
//!
//! Pure as the first pass: any order of the sightings gives the same. It reads what the first pass found and changes
//! nothing that it reads, so both settle: a campaign depends on sightings alone, never on a severity, and a sighting
//! never on a campaign.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tocsin_proto::id::{IdentityId, IncidentId, MfaEventId};

use crate::advice::{self, RecommendedAction};
use crate::attempt::AttemptResult;
use crate::baseline::HOUR_MS;
use crate::evidence::{Family, PRIOR, Weight};
use crate::incident::{AttemptDraft, EvidenceDraft, IncidentDraft, MissingData, RelatedIncident};
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
/// Sightings of one person from one source that are kept: the first and the last.
const SIGHTINGS_OF_ONE: usize = 40;
/// Sightings of one person that are kept: the newest.
const SIGHTINGS_MAX: usize = 1_000;

/// An attempt from where and with what its person does not sign in, and what the campaign it may be part of has to know
/// of the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The address that it came from.
    pub source: IpAddr,
    /// Whose attempt.
    pub subject: IdentityId,
    /// How to call them.
    pub display_name: String,
    /// Their accounts.
    pub accounts: Vec<AccountKey>,
    /// They hold administrative rights.
    pub is_privileged: bool,
    /// An endpoint is linked to them.
    pub has_endpoint: bool,
    /// Their incident that holds the attempt, where one does.
    pub incident: Option<IncidentId>,
    /// When the ways of signing in were changed in that incident, first.
    pub factor_changed_ms: Option<i64>,
    /// The attempt.
    pub attempt: AttemptDraft,
}

impl Sighting {
    /// What groups sightings: the same for an address however it is written.
    pub fn source_key(&self) -> String {
        self.source.to_canonical().to_string()
    }

    fn is_in(&self) -> bool {
        self.attempt.result == AttemptResult::Approved
    }

    fn end_ms(&self) -> i64 {
        self.attempt.result_time_ms.unwrap_or(self.attempt.time_ms)
    }
}

/// Whom a campaign hit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CampaignMember {
    /// Who.
    pub identity: IdentityId,
    /// How to call them.
    #[serde(default)]
    pub display_name: String,
    /// Their accounts.
    #[serde(default)]
    pub accounts: Vec<AccountKey>,
    /// Their own incident, where their events make one.
    pub incident: Option<IncidentId>,
    /// When the source was first seen at them.
    #[serde(default)]
    pub first_ms: i64,
    /// Attempts from the source.
    #[serde(default)]
    pub attempts: usize,
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

/// The sightings among a person's attempts, bounded.
pub(crate) fn sightings(attempts: impl IntoIterator<Item = Sighting>) -> Vec<Sighting> {
    let mut by_source: BTreeMap<IpAddr, Vec<Sighting>> = BTreeMap::new();
    for sighting in attempts {
        if counts(&sighting.attempt) {
            let source = sighting.source.to_canonical();
            by_source.entry(source).or_default().push(sighting);
        }
    }
    let mut kept: Vec<Sighting> = Vec::new();
    for mut of_one in by_source.into_values() {
        of_one.sort_by_key(order);
        let over = of_one.len().saturating_sub(SIGHTINGS_OF_ONE);
        if over > 0 {
            let from = SIGHTINGS_OF_ONE / 2;
            of_one.drain(from..from + over);
        }
        kept.extend(of_one);
    }
    kept.sort_by_key(order);
    let over = kept.len().saturating_sub(SIGHTINGS_MAX);
    kept.drain(..over);
    kept
}

fn order(sighting: &Sighting) -> (i64, MfaEventId) {
    (sighting.attempt.time_ms, sighting.attempt.id)
}

/// The campaigns that the sightings of many people show. Whoever has all sightings of one source has all campaigns of it.
pub fn campaigns<'s>(sightings: impl IntoIterator<Item = &'s Sighting>) -> Vec<IncidentDraft> {
    let mut by_source: BTreeMap<IpAddr, Vec<&'s Sighting>> = BTreeMap::new();
    for sighting in sightings {
        let source = sighting.source.to_canonical();
        by_source.entry(source).or_default().push(sighting);
    }
    let mut found = Vec::new();
    for (source, mut sightings) in by_source {
        sightings.sort_by_key(|sighting| order(sighting));
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
fn stretches<'a, 's>(sightings: &'a [&'s Sighting]) -> impl Iterator<Item = &'a [&'s Sighting]> {
    sightings.chunk_by(|a, b| b.attempt.time_ms - a.attempt.time_ms < PAUSE_MS)
}

/// When the attempts reached enough people within the time; `None` where they did not.
fn since(stretch: &[&Sighting]) -> Option<i64> {
    let mut start = 0;
    let mut people: BTreeMap<IdentityId, usize> = BTreeMap::new();
    for last in stretch {
        let last_ms = last.attempt.time_ms;
        *people.entry(last.subject).or_default() += 1;
        while let Some(first) = stretch.get(start)
            && last_ms - first.attempt.time_ms > WITHIN_MS
        {
            start += 1;
            if let Some(count) = people.get_mut(&first.subject) {
                *count -= 1;
                if *count == 0 {
                    people.remove(&first.subject);
                }
            }
        }
        if people.len() >= PEOPLE_MIN {
            return Some(last_ms);
        }
    }
    None
}

/// By people, log-odds in hundredths.
const WEIGHTS: [(usize, i32); 3] = [(PEOPLE_MIN, 320), (5, 450), (10, 600)];

/// Who was hit, in the order of their ids.
fn members(stretch: &[&Sighting]) -> Vec<CampaignMember> {
    let mut members: BTreeMap<IdentityId, CampaignMember> = BTreeMap::new();
    for sighting in stretch {
        let member = members
            .entry(sighting.subject)
            .or_insert_with(|| CampaignMember {
                identity: sighting.subject,
                display_name: sighting.display_name.clone(),
                accounts: sighting.accounts.clone(),
                incident: None,
                first_ms: sighting.attempt.time_ms,
                attempts: 0,
                is_in: false,
            });
        member.attempts += 1;
        member.is_in |= sighting.is_in();
        member.incident = member.incident.or(sighting.incident);
    }
    members.into_values().collect()
}

/// How far it came, with whoever let it in.
fn stages(stretch: &[&Sighting]) -> Vec<Stage> {
    let first_ms = stretch.first().map(|sighting| sighting.attempt.time_ms);
    let entries = stretch.iter().filter(|sighting| sighting.is_in());
    let entered_ms = entries.clone().map(|sighting| sighting.end_ms()).min();
    let changed_ms = entries
        .filter_map(|entry| entry.factor_changed_ms.filter(|ms| *ms >= entry.end_ms()))
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

/// Each attempt says whose it is.
fn attempts(stretch: &[&Sighting]) -> Vec<AttemptDraft> {
    let of = |sighting: &&Sighting| AttemptDraft {
        whose: Some(sighting.subject),
        ..sighting.attempt.clone()
    };
    stretch.iter().take(LISTED_MAX).map(of).collect()
}

fn incident(source: IpAddr, since_ms: i64, stretch: &[&Sighting]) -> Option<IncidentDraft> {
    let mut members = members(stretch);
    let people = members.len();
    let entered = members.iter().filter(|member| member.is_in).count();
    let gaps = gaps(stretch, people);
    members.truncate(MEMBERS_MAX);
    let accounts: BTreeSet<&AccountKey> = members.iter().flat_map(|m| &m.accounts).collect();
    let event_ids = events(stretch);
    let weight = WEIGHTS.iter().rev().find(|(from, _)| people >= *from)?.1;
    let belief = Weight(PRIOR.0 + weight);
    let stages = stages(stretch);
    let furthest = stages.iter().map(|stage| stage.name).max();
    let severity = severity(Grounds {
        belief,
        stage: furthest,
        is_privileged: stretch.iter().any(|sighting| sighting.is_privileged),
        is_confirmed: entered > 0,
        is_strangers: false,
        is_factor_changed_after: furthest >= Some(StageName::FactorChanged),
    });
    let tied = members.iter().filter_map(|member| member.incident);
    Some(IncidentDraft {
        id: IncidentId::derive(&[b"campaign", event_ids.first()?.as_bytes()]),
        title: title(source, people, entered),
        severity,
        score: score(severity, belief),
        belief: BeliefBand::of(belief),
        log_odds: belief,
        weights_version: WeightsVersion::default().word().to_owned(),
        subject: campaign_subject(),
        display_name: source.to_string(),
        accounts: accounts.into_iter().cloned().collect(),
        first_event_time_ms: stretch.first().map(|sighting| sighting.attempt.time_ms)?,
        last_event_time_ms: stretch.iter().map(|sighting| sighting.end_ms()).max()?,
        attempts: attempts(stretch),
        coverage: crate::coverage::coverage(
            stretch.iter().map(|sighting| &sighting.attempt.provenance),
            |id| id.to_string(),
        ),
        stages,
        evidence: vec![evidence(weight, (source, people, entered), &event_ids)],
        endpoints: Vec::new(),
        gaps,
        recommended_actions: actions(source, &members, entered),
        related: tied
            .take(LISTED_MAX)
            .map(|id| related(id, "member"))
            .collect(),
        event_ids,
        campaign: Some(Campaign {
            source,
            since_ms,
            members,
            people,
        }),
    })
}

/// What is not known of the people, and what is not listed.
fn gaps(stretch: &[&Sighting], people: usize) -> Vec<MissingData> {
    let without: BTreeSet<IdentityId> = stretch
        .iter()
        .filter(|sighting| !sighting.has_endpoint)
        .map(|sighting| sighting.subject)
        .collect();
    let mut missing = Vec::new();
    if !without.is_empty() {
        missing.push(format!(
            "no linked endpoint for {} of {people} people: nothing is known of their own machines",
            without.len()
        ));
    }
    if people > MEMBERS_MAX {
        missing.push(format!("{} people are not named", people - MEMBERS_MAX));
    }
    if stretch.len() > LISTED_MAX {
        let over = stretch.len() - LISTED_MAX;
        missing.push(format!("{over} attempts are not listed: only the first"));
    }
    let open = |what| MissingData {
        what,
        from_ms: None,
        until_ms: None,
    };
    missing.into_iter().map(open).collect()
}

/// First things first. `entered`: how many let it in.
fn actions(source: IpAddr, members: &[CampaignMember], entered: usize) -> Vec<RecommendedAction> {
    let mut actions = Vec::new();
    if entered > 0 {
        let let_in = members.iter().filter(|member| member.is_in);
        let names: Vec<&str> = let_in.take(NAMED_MAX).map(name).collect();
        let more = match entered.saturating_sub(names.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        actions.push(advice::step(
            "contain_members",
            "Block the sign-in and end the sessions of who let it in",
            format!(
                "{}{more} let it in; each has an incident of their own that says what else to do",
                names.join(", ")
            ),
        ));
    }
    actions.push(advice::step(
        "block_source",
        format!("Refuse {source} at the provider, before the password step"),
        "whoever did it can come back from another address",
    ));
    actions.push(advice::step(
        "new_password",
        "Set new passwords for everybody who was prompted",
        "prompts mostly come after the password, so the source probably has theirs; set random ones, and hand them over by \
         another channel",
    ));
    actions
}

/// People whom one sentence names.
const NAMED_MAX: usize = 5;

fn name(member: &CampaignMember) -> &str {
    match member.display_name.as_str() {
        "" => member.accounts.first().map_or("somebody", |one| &one.login),
        name => name,
    }
}

fn title(source: IpAddr, people: usize, entered: usize) -> String {
    let end = match entered {
        0 => String::new(),
        1 => ", 1 of them let it in".to_owned(),
        _ => format!(", {entered} of them let it in"),
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
fn events(stretch: &[&Sighting]) -> Vec<MfaEventId> {
    let mut seen = BTreeSet::new();
    let ids = stretch
        .iter()
        .flat_map(|sighting| sighting.attempt.event_ids.iter().copied());
    ids.filter(|id| seen.insert(*id)).collect()
}

fn related(id: IncidentId, relation: &str) -> RelatedIncident {
    RelatedIncident {
        id,
        relation: relation.to_owned(),
    }
}

/// The campaign that each of these sightings is part of, by the id of its attempt.
pub fn memberships<'s>(
    campaigns: &[IncidentDraft],
    sightings: impl IntoIterator<Item = &'s Sighting>,
) -> BTreeMap<MfaEventId, IncidentId> {
    let by_event: BTreeMap<MfaEventId, IncidentId> = campaigns
        .iter()
        .flat_map(|campaign| campaign.event_ids.iter().map(|event| (*event, campaign.id)))
        .collect();
    let of = |sighting: &'s Sighting| {
        let attempt = sighting.attempt.id;
        Some((attempt, *by_event.get(&attempt)?))
    };
    sightings.into_iter().filter_map(of).collect()
}

/// Ties a person's incidents to the campaigns that they are part of, given for each attempt that is part of one. An incident
/// that is nothing else, where nobody was let in and the person reported nothing, is at most low: the campaign tells it.
pub fn absorb(drafts: &mut [IncidentDraft], memberships: &BTreeMap<MfaEventId, IncidentId>) {
    for draft in drafts.iter_mut().filter(|draft| draft.campaign.is_none()) {
        let of = |attempt: &AttemptDraft| memberships.get(&attempt.id).copied();
        let campaigns: BTreeSet<IncidentId> = draft.attempts.iter().filter_map(of).collect();
        for campaign in &campaigns {
            let link = related(*campaign, "campaign");
            if !draft.related.contains(&link) {
                draft.related.push(link);
            }
        }
        let is_all = draft.attempts.iter().all(|attempt| of(attempt).is_some());
        let is_in = draft
            .stages
            .iter()
            .any(|stage| stage.name >= StageName::Approved);
        let is_reported = draft
            .evidence
            .iter()
            .any(|piece| piece.family == Family::Reports);
        let is_told = !campaigns.is_empty() && is_all && !is_in && !is_reported;
        if is_told && draft.severity > Severity::Low {
            draft.severity = Severity::Low;
            draft.score = score(Severity::Low, draft.log_odds);
        }
    }
}

#[cfg(test)]
#[path = "campaign_tests.rs"]
mod tests;
