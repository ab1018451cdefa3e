//! Tocsin's incident engine: a pure function from a person's stored events to their incidents.
//!
//! ```text
//! input     MFA events in any order -> sorted, each once
//! attempt   prompts and answers -> one attempt per sign-in
//! timeline  every attempt and event judged against what was usual for the person *then*
//! episode   what belongs together, cut where the trail has gone cold
//! case      an episode with what follows from it
//! evidence  reasons for and against, in families -> belief
//! severity  belief x stage x privilege, with floors -> incident
//! ```
//!
//! Promises:
//!
//! - It reads no clock, no network, no database, no randomness and no former result. The same *set* of
//!   events gives the same [`Outcome`], byte for byte: shuffled, repeated, late, or replayed.
//! - It sums integers. No order of addition and no machine's rounding shows.
//! - Its work is bounded by [`EVENTS_MAX`]; what is left out is named in the incident.
//! - It never says what a person meant or did, only what records and traffic show.
//!
//! It recomputes a person whole, so an incident can grow backwards, change severity, merge or vanish
//! when late records come: the [`Outcome`] is *all* incidents of the person. [`successors`] tells which
//! former incident is which. Attacks on many people at once are a second pure pass, over the [`Sighting`]s of
//! many people instead of their events: [`campaigns`], then [`absorb`]. So are outages of a provider, over the
//! [`Failure`]s of many people: [`outages`], which come back with the [`Input`] of those who had one.

#![forbid(unsafe_code)]

mod advice;
mod attempt;
mod baseline;
mod campaign;
mod case;
mod coverage;
mod directory;
mod episode;
mod evidence;
mod external;
pub mod fact;
mod habit;
mod identity;
mod incident;
mod input;
mod lineage;
mod network;
mod outage;
mod provenance;
mod provider;
pub mod remote_tool;
mod sentence;
mod severity;
mod stage;
mod timeline;
mod title;
mod weights;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod story;
#[cfg(test)]
mod traps;

use serde::{Deserialize, Serialize};
use tocsin_proto::id::MfaEventId;

pub use crate::advice::RecommendedAction;
pub use crate::attempt::AttemptResult;
pub use crate::baseline::Baseline;
pub use crate::campaign::{
    Campaign, CampaignMember, MEMBERS_MAX, PEOPLE_MIN, Sighting, absorb, campaign_subject,
    campaigns, memberships,
};
pub use crate::coverage::{Coverage, NEXT_STEPS_MAX, NextStep};
pub use crate::directory::{
    ENTRIES_MAX, Gateway, GatewayKind, Relay, ServicePoint, SignInDirectory, SignInService,
};
pub use crate::evidence::{Family, Weight};
pub use crate::habit::{HABITS_MAX, Habit, Habits};
pub use crate::identity::{
    IdentityKey, fold_login, identity_id, identity_keys, is_address, resolve, resolve_keys,
};
pub use crate::incident::{
    ATTEMPTS_MAX, AttemptDraft, EvidenceDraft, IncidentDraft, MissingData, RelatedIncident,
};
pub use crate::input::{
    AccountKey, Actor, EVENTS_MAX, Factor, FlowIds, Input, LinkedEndpoint, MfaEvent, MfaEventKind,
    Novelty, Origin, Person, Place, Provider, Risk, TelemetryGap, TimeSpan, WeightsVersion,
};
pub use crate::lineage::successors;
pub use crate::network::{NETWORKS_MAX, NamedNetwork};
pub use crate::outage::{Failure, OUTAGE_PEOPLE_MIN, OUTAGE_STEP_MS, Outage, outage_step, outages};
pub use crate::provenance::{
    Confidence, ENDPOINTS_MAX, JUDGED_MAX, Missing, MissingKind, Provenance, ProvenanceVerdict,
};
pub use crate::severity::{BeliefBand, Severity};
pub use crate::stage::{ATTACK_VERSION, Stage, StageName};

use crate::attempt::{UNANSWERED_AFTER_MS, attempts};
use crate::case::Case;
use crate::episode::episodes;
use crate::incident::{Context, draft, relate, sighted};
use crate::provenance::judge;
use crate::timeline::{Item, Known, timeline};

/// All that follows from an [`Input`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// All incidents of the person, by time; what is not among them is none (any more).
    pub incidents: Vec<IncidentDraft>,
    /// Whether the person's records show administrative rights.
    pub privileged: bool,
    /// When a prompt that is still open becomes unanswered: as soon as `observed_until_ms` of its
    /// provider has reached this, the outcome is another.
    pub next_change_ms: Option<i64>,
    /// How far provenance reaches, over all attempts that are judged.
    #[serde(default)]
    pub coverage: Coverage,
    /// What is usual for the person, as of their last event.
    #[serde(default)]
    pub habits: Habits,
    /// Attempts that may be part of a campaign, whether or not an incident holds them.
    #[serde(default)]
    pub sightings: Vec<Sighting>,
    /// Attempts that may be part of an outage of their provider.
    #[serde(default)]
    pub failures: Vec<Failure>,
}

/// The incidents of one person. See the crate's documentation.
pub fn correlate(input: &Input) -> Outcome {
    let (events, left_out) = input::normalize(&input.mfa_events);
    let last_ms = events.last().map_or(0, |event| event.time_ms);
    let attempts = attempts(&events, &input.observed_until_ms);
    let next_change_ms = attempts
        .iter()
        .filter(|attempt| attempt.result == AttemptResult::Prompted)
        .map(|attempt| attempt.time_ms.saturating_add(UNANSWERED_AFTER_MS))
        .min();
    let timeline = timeline(&events, attempts, Known::of(input));
    let endpoints = linked(&input.endpoints);
    let endpoints: Vec<&LinkedEndpoint> = endpoints.iter().collect();
    let judgements = judge(&timeline.items, &endpoints, &input.directory);
    let context = Context::new(input, endpoints, left_out, &judgements);
    let admin_ms = first_admin_access_ms(&timeline.items);
    let mut incidents: Vec<IncidentDraft> = episodes(&timeline.items)
        .into_iter()
        .map(|episode| Case::new(episode, &judgements))
        .filter_map(|case| {
            let was_privileged = admin_ms.is_some_and(|ms| ms <= case.last_ms());
            draft(&case, &context, was_privileged)
        })
        .collect();
    relate(&mut incidents);
    let privileged = input.identity.privileged || admin_ms.is_some();
    let sightings = sighted(&timeline.items, &context, &incidents, privileged);
    Outcome {
        failures: outage::failures(&timeline.items, input.identity.id),
        sightings,
        incidents,
        privileged,
        next_change_ms,
        coverage: context.coverage(judgements.all()),
        habits: timeline.baseline.habits(last_ms),
    }
}

/// Where the traffic of each judged attempt was seen, by the id of the attempt's first event: for measuring, and for
/// attempts that are in no incident.
pub fn provenances(input: &Input) -> Vec<(MfaEventId, Provenance)> {
    let (events, _) = input::normalize(&input.mfa_events);
    let attempts = attempts(&events, &input.observed_until_ms);
    let timeline = timeline(&events, attempts, Known::of(input));
    let endpoints = linked(&input.endpoints);
    let endpoints: Vec<&LinkedEndpoint> = endpoints.iter().collect();
    let judgements = judge(&timeline.items, &endpoints, &input.directory);
    judgements
        .each()
        .map(|(id, one)| (id, one.clone()))
        .collect()
}

/// Linked endpoints in a fixed order, each once, with their facts in order.
pub(crate) fn linked(endpoints: &[LinkedEndpoint]) -> Vec<LinkedEndpoint> {
    let mut endpoints = endpoints.to_vec();
    endpoints.sort_by(|a, b| (&a.hostname, a.id).cmp(&(&b.hostname, b.id)));
    endpoints.dedup_by_key(|endpoint| endpoint.id);
    for endpoint in &mut endpoints {
        endpoint.facts.normalize();
        endpoint.reporting.sort_unstable();
        endpoint.reporting.dedup();
    }
    endpoints
}

/// What is usual for the person after all events before `until_ms`: kept as [`Input::baseline`] when these
/// events are dropped by age, so that later ones are still judged as they were.
pub fn baseline_before(input: &Input, until_ms: i64) -> Baseline {
    let (mut events, _) = input::normalize(&input.mfa_events);
    events.retain(|event| event.time_ms < until_ms);
    let attempts = attempts(&events, &input.observed_until_ms);
    timeline(&events, attempts, Known::of(input)).baseline
}

/// When the person is first known to hold administrative rights.
fn first_admin_access_ms(items: &[Item<'_>]) -> Option<i64> {
    items
        .iter()
        .filter(|item| {
            item.is_kind(MfaEventKind::AdminAccess) || item.is_kind(MfaEventKind::PrivilegeGranted)
        })
        .map(|item| item.time_ms)
        .min()
}
