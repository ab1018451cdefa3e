//! One sign-in that two providers write: the one that is signed in to, and the one that asks for the factor.
//!
//! ```text
//! Entra ID  50158: another provider must be asked ─┐
//! Duo       denied, or approved                    ├─ one attempt, with the answer of who asked
//! Entra ID  let in, the factor was another's ──────┘
//! ```
//!
//! A row whose factor is [`Factor::External`] says that some other provider asks. It goes to the nearest attempt
//! of another provider from the same place that does not contradict it. Where none fits it stands for itself: no
//! record of the other provider is no proof that nobody was asked.

use crate::attempt::{ANSWER_MS_MAX, Group, PROMPTS_BEFORE_ANSWER_MAX};
use crate::input::{Factor, MfaEvent, MfaEventKind, Origin};

/// An attempt lasts for no longer than this, so that attempts near a row are found by their beginning.
const ATTEMPT_MS_MAX: i64 = 2 * ANSWER_MS_MAX;

/// A row that refers to another provider's.
pub(crate) fn is_external(event: &MfaEvent) -> bool {
    event.factor == Some(Factor::External)
}

/// Joins rows that refer to another provider's attempt to it. `passwords` are rows without an answer that do.
pub(crate) fn join<'a>(
    groups: Vec<Group<'a>>,
    passwords: impl Iterator<Item = &'a MfaEvent>,
) -> Vec<Group<'a>> {
    let (mut references, mut hosts): (Vec<Group<'a>>, Vec<Group<'a>>) = groups
        .into_iter()
        .partition(|group| group.iter().all(|row| is_external(row)));
    let answers = references.len();
    references.extend(passwords.map(|row| vec![row]));
    hosts.sort_by_key(|group| first(group).map(|row| (row.time_ms, row.id)));
    let spans: Vec<(i64, i64)> = hosts.iter().map(span).collect();
    // What was already joined to each, so that one answer does not swallow several sign-ins.
    let mut joined: Vec<Option<&'a str>> = vec![None; hosts.len()];
    let mut alone = Vec::new();
    for (number, reference) in references.into_iter().enumerate() {
        let Some(row) = first(&reference) else {
            continue;
        };
        let flow = row.flow.authentication.as_deref().unwrap_or_default();
        let fits = |at: usize| {
            let is_free = joined
                .get(at)
                .is_some_and(|taken| taken.is_none_or(|t| t == flow));
            is_free && hosts.get(at).is_some_and(|host| is_of(row, host))
        };
        let found = near(&spans, row.time_ms)
            .filter(|at| fits(*at))
            .min_by_key(|at| {
                spans
                    .get(*at)
                    .map(|span| (distance(*span, row.time_ms), *at))
            });
        match found.and_then(|at| hosts.get_mut(at).zip(joined.get_mut(at))) {
            Some((host, taken)) => {
                host.extend(reference);
                *taken = Some(flow);
            }
            None if number < answers => alone.push(reference),
            // Without an attempt it stays an event.
            None => {}
        }
    }
    hosts.append(&mut alone);
    hosts
}

fn first<'a>(group: &Group<'a>) -> Option<&'a MfaEvent> {
    group
        .iter()
        .copied()
        .min_by_key(|row| (row.time_ms, row.id))
}

fn span(group: &Group<'_>) -> (i64, i64) {
    let times = group.iter().map(|row| row.time_ms);
    let end = times.clone().max().unwrap_or(0);
    (times.min().unwrap_or(0), end)
}

/// How far a time is from a span; 0 within.
fn distance((from_ms, until_ms): (i64, i64), time_ms: i64) -> i64 {
    (from_ms - time_ms).max(time_ms - until_ms).max(0)
}

/// Attempts near a time, bounded.
fn near(spans: &[(i64, i64)], time_ms: i64) -> impl Iterator<Item = usize> {
    let from = spans.partition_point(|(from_ms, _)| *from_ms < time_ms - ATTEMPT_MS_MAX);
    let until = spans.partition_point(|(from_ms, _)| *from_ms <= time_ms + ANSWER_MS_MAX);
    let is_near = move |at: &usize| {
        spans
            .get(*at)
            .is_some_and(|span| distance(*span, time_ms) <= ANSWER_MS_MAX)
    };
    (from..until)
        .filter(is_near)
        .take(PROMPTS_BEFORE_ANSWER_MAX)
}

/// Whether a row may be about this attempt.
fn is_of(row: &MfaEvent, host: &Group<'_>) -> bool {
    let Some(lead) = host.first() else {
        return false;
    };
    let is_let_in = host.iter().any(|row| row.kind == MfaEventKind::Approved);
    let agrees = match row.kind {
        MfaEventKind::PasswordAccepted | MfaEventKind::PromptSent => true,
        MfaEventKind::Approved => is_let_in,
        _ => !is_let_in,
    };
    agrees && lead.provider != row.provider && is_same_place(&lead.origin, &row.origin)
}

/// The same address, or one of each family in the same country; where either is not told, nothing speaks
/// against it.
fn is_same_place(a: &Origin, b: &Origin) -> bool {
    let (Some(one), Some(other)) = (a.ip, b.ip) else {
        return true;
    };
    let in_one_country = a.place.country.is_some() && a.place.country == b.place.country;
    one == other || (one.is_ipv4() != other.is_ipv4() && in_one_country)
}

#[cfg(test)]
#[path = "external_tests.rs"]
mod tests;
