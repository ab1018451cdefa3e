//! Outages of a month's providers, as the engine knows them from all people's records.

use std::collections::BTreeMap;

use tocsin_correlate::{
    AttemptDraft, AttemptResult, Failure, MfaEventKind, OUTAGE_STEP_MS, Outage, Outcome, Provider,
    Severity, correlate, outage_step, outages,
};
use tocsin_proto::id::MfaEventId;

use crate::life::{Life, Month};
use crate::month::{Labels, input};
use crate::world::{END_MS, Person, START_MS};

/// What was found of the outages that there were, and what they made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found {
    /// Outages that there were, and those of which a step was found.
    pub outages: (usize, usize),
    /// Steps that were found, and those of them in no outage.
    pub steps: (usize, usize),
    /// Incidents of harmless people with a prompt in an outage of its provider, and those of low and above.
    pub low: (usize, usize),
    /// The same, and those of medium and above.
    pub medium: (usize, usize),
}

impl Found {
    /// Takes the counts of other months too.
    pub(crate) fn merge(&mut self, other: Self) {
        for (own, other) in [
            (&mut self.outages, other.outages),
            (&mut self.steps, other.steps),
            (&mut self.low, other.low),
            (&mut self.medium, other.medium),
        ] {
            *own = (own.0 + other.0, own.1 + other.1);
        }
    }

    /// Incidents of harmless people that a provider's outage has made, or that lie in one.
    pub(crate) fn take_incidents(&mut self, month: &Month<'_>, outcome: &Outcome, labels: &Labels) {
        let is_labelled = |id: &MfaEventId| labels.attack.contains(id) || labels.test.contains(id);
        let is_out = |attempt: &AttemptDraft| {
            attempt.result != AttemptResult::Approved
                && month.outages.iter().any(|outage| {
                    outage.provider == attempt.provider
                        && (outage.from_ms..outage.until_ms).contains(&attempt.time_ms)
                })
        };
        let concerned = outcome.incidents.iter().filter(|incident| {
            incident.attempts.iter().any(is_out) && !incident.event_ids.iter().any(is_labelled)
        });
        for incident in concerned {
            for (counts, least) in [
                (&mut self.low, Severity::Low),
                (&mut self.medium, Severity::Medium),
            ] {
                counts.0 += 1;
                counts.1 += usize::from(incident.severity >= least);
            }
        }
    }

    /// Compares what was found with what there was.
    pub(crate) fn take(&mut self, month: &Month<'_>, found: &[Outage]) {
        // A step reaches one step beyond what it is about.
        let is_of = |outage: &Outage| {
            month.outages.iter().any(|real| {
                real.provider == outage.provider
                    && outage.from_ms + 2 * OUTAGE_STEP_MS > real.from_ms
                    && outage.from_ms - OUTAGE_STEP_MS < real.until_ms
            })
        };
        let is_found = |real: &&crate::life::Outage| {
            found.iter().any(|outage| {
                outage.provider == real.provider
                    && (real.from_ms..real.until_ms).contains(&outage.from_ms)
            })
        };
        self.outages.0 += month.outages.len();
        self.outages.1 += month.outages.iter().filter(is_found).count();
        self.steps.0 += found.len();
        self.steps.1 += found.iter().filter(|outage| !is_of(outage)).count();
    }
}

/// What all people's records show, as the server would have it.
pub(crate) fn known(people: &[Person], lives: &[Life]) -> Vec<Outage> {
    let mut failures: Vec<Failure> = Vec::new();
    let mut approvals: BTreeMap<Provider, BTreeMap<i64, u64>> = BTreeMap::new();
    for (person, life) in people.iter().zip(lives) {
        let events = &life.log.events;
        let approved = events
            .iter()
            .filter(|event| event.kind == MfaEventKind::Approved);
        for event in approved {
            let steps = approvals.entry(event.provider).or_default();
            *steps.entry(outage_step(event.time_ms)).or_default() += 1;
        }
        failures.extend(correlate(&input(person, events.clone(), Vec::new())).failures);
    }
    let of = |provider: &Provider| {
        let none = BTreeMap::new();
        let approvals = approvals.get(provider).unwrap_or(&none);
        outages((*provider, START_MS, END_MS), &failures, approvals)
    };
    Provider::ALL.iter().flat_map(of).collect()
}
