//! Outages of a provider: many people's prompts fail at once, from their usual places, on their own machines.
//!
//! ```text
//! a person's attempts that failed at home without anybody's no  -> failures, kept by provider and time
//! within a quarter of an hour many people's failures, and as     -> these five minutes are an outage
//! many as sign-ins that succeeded there
//! a person's prompts in an outage                                -> not hostile by their number, evidence against
//! ```
//!
//! Pure as campaigns are, and settled as they are: what counts as a failure depends on the person's own events alone, never
//! on an outage. What comes from a strange place or machine is no failure, so an outage explains nothing of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tocsin_proto::id::{IdentityId, MfaEventId};

use crate::attempt::AttemptResult;
use crate::baseline::{MINUTE_MS, Standing};
use crate::input::{MfaEventKind, Provider};
use crate::timeline::Item;

/// Outages are told by steps of this length, which begin at its multiples.
pub const OUTAGE_STEP_MS: i64 = 5 * MINUTE_MS;
/// People whose failures within three steps make the middle one an outage. Of 1,000 prompts about six are not answered:
/// five people at once, and no fewer than get through, is no chance in a company of any size.
pub const OUTAGE_PEOPLE_MIN: usize = 5;
/// Failures of one person that are kept: the newest.
const FAILURES_MAX: usize = 1_000;
/// How many people, as it is told: whoever comes later changes nothing before the next of these.
const TOLD: [usize; 10] = [5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// An attempt that failed from the person's usual place, without anybody's no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Failure {
    /// When it began.
    pub time_ms: i64,
    /// At which provider.
    pub provider: Provider,
    /// Whose.
    pub subject: IdentityId,
    /// Which, unique among the person's.
    pub attempt: MfaEventId,
}

/// Five minutes in which a provider's prompts failed for many people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Outage {
    /// When it begins; it is [`OUTAGE_STEP_MS`] long.
    pub from_ms: i64,
    /// Which provider.
    pub provider: Provider,
    /// At least so many people.
    pub people: usize,
}

/// When the step begins that this time lies in.
pub fn outage_step(time_ms: i64) -> i64 {
    time_ms - time_ms.rem_euclid(OUTAGE_STEP_MS)
}

/// Whether the attempt counts as a failure: nobody answered, or it broke off, from the person's place and not from a
/// strange machine.
pub(crate) fn is_failure(item: &Item<'_>) -> bool {
    let fails = item.attempt().is_some_and(|attempt| match attempt.result {
        AttemptResult::Unanswered | AttemptResult::Abandoned => true,
        AttemptResult::Error => attempt.has(MfaEventKind::Error),
        _ => false,
    });
    fails
        && item.place == Standing::Usual
        && item.device != Standing::Unusual
        && !item.is_scripted()
}

/// A person's failures, the newest, in time order.
pub(crate) fn failures(items: &[Item<'_>], subject: IdentityId) -> Vec<Failure> {
    let failed = items.iter().filter(|item| is_failure(item));
    let mut failures: Vec<Failure> = failed
        .filter_map(|item| {
            let attempt = item.attempt()?;
            Some(Failure {
                time_ms: attempt.time_ms,
                provider: attempt.provider,
                subject,
                attempt: attempt.id()?,
            })
        })
        .collect();
    failures.sort_unstable();
    let over = failures.len().saturating_sub(FAILURES_MAX);
    failures.drain(..over);
    failures
}

/// The outages of one provider among the steps that begin within `from_ms..until_ms`. Whoever has the failures and the
/// sign-ins that succeeded, by step, from one step before to one after has all that is needed.
pub fn outages(
    (provider, from_ms, until_ms): (Provider, i64, i64),
    failures: &[Failure],
    approvals: &BTreeMap<i64, u64>,
) -> Vec<Outage> {
    let mut failed: BTreeMap<i64, BTreeSet<IdentityId>> = BTreeMap::new();
    for failure in failures.iter().filter(|one| one.provider == provider) {
        let people = failed.entry(outage_step(failure.time_ms)).or_default();
        people.insert(failure.subject);
    }
    let near =
        |step: i64| step.saturating_sub(OUTAGE_STEP_MS)..=step.saturating_add(OUTAGE_STEP_MS);
    let mut steps: BTreeSet<i64> = BTreeSet::new();
    for step in failed.keys() {
        steps.extend([step - OUTAGE_STEP_MS, *step, step + OUTAGE_STEP_MS]);
    }
    let of = |from_ms: i64| {
        let people: BTreeSet<_> = failed
            .range(near(from_ms))
            .flat_map(|(_, who)| who)
            .collect();
        let succeeded: u64 = approvals.range(near(from_ms)).map(|(_, count)| count).sum();
        let is_out = people.len() >= OUTAGE_PEOPLE_MIN && people.len() as u64 >= succeeded;
        is_out.then(|| Outage {
            from_ms,
            provider,
            people: told(people.len()),
        })
    };
    steps
        .range(from_ms..until_ms)
        .copied()
        .filter_map(of)
        .collect()
}

fn told(people: usize) -> usize {
    let least = TOLD.iter().rev().find(|least| people >= **least);
    least.copied().unwrap_or(people)
}

/// Says of each failure whether it lies in an outage.
pub(crate) fn mark(items: &mut [Item<'_>], outages: &[Outage]) {
    if outages.is_empty() {
        return;
    }
    let known: BTreeMap<(Provider, i64), usize> = outages
        .iter()
        .map(|outage| ((outage.provider, outage.from_ms), outage.people))
        .collect();
    for item in items.iter_mut().filter(|item| is_failure(item)) {
        let key = item
            .attempt()
            .map(|attempt| (attempt.provider, outage_step(attempt.time_ms)));
        item.in_outage = key.and_then(|key| known.get(&key).copied());
    }
}

#[cfg(test)]
#[path = "outage_tests.rs"]
mod tests;
