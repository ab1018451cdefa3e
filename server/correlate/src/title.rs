//! An incident's title: what happened, in the order in which it did.

use crate::attempt::AttemptResult;
use crate::case::Case;
use crate::input::MfaEventKind;
use crate::sentence;
use crate::stage::{Stage, StageName};
use crate::timeline::Item;

/// What happened, in its order: "16 MFA prompts refused or ignored within 40 minutes, then one approved".
pub(crate) fn title(case: &Case<'_, '_>, stages: &[Stage]) -> String {
    let mut parts = happened(case, stages);
    parts.sort_by_key(|(time_ms, _)| *time_ms);
    let mut parts: Vec<String> = parts.into_iter().map(|(_, part)| part).collect();
    if parts.is_empty() {
        parts.push("unusual sign-in activity".to_owned());
    }
    let line = parts.join(", then ");
    let mut letters = line.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// The parts of a title, each with when it began.
fn happened(case: &Case<'_, '_>, stages: &[Stage]) -> Vec<(i64, String)> {
    let reached = |name| {
        let stage = stages.iter().find(|stage| stage.name == name);
        stage.map(|stage| stage.first_event_time_ms)
    };
    let mut parts: Vec<(i64, String)> = Vec::new();
    let mut put = |time_ms: Option<i64>, part: &str| {
        parts.extend(time_ms.map(|time_ms| (time_ms, part.to_owned())));
    };
    let resets = case.resets_by_others();
    let reset_ms = resets.first().map(|item| item.time_ms);
    put(
        reset_ms.filter(|_| !case.after_reset().is_empty()),
        "a reset by somebody else",
    );
    put(
        case.refusals.first().map(|item| item.time_ms),
        &refused(case),
    );
    put(report_ms(case), "a report by the person");
    match case.confirmed_ms() {
        Some(time_ms) if case.items.iter().any(|item| item.is_approval()) => {
            put(Some(time_ms), "one approved");
        }
        _ => put(
            reached(StageName::Approved),
            "a sign-in from an unusual place or device",
        ),
    }
    let own = case.factor_changes.iter().find(|item| !item.is_by_other());
    put(own.map(|item| item.time_ms), "a factor change");
    put(
        reached(StageName::SessionMoved),
        "a session moved to another address",
    );
    let granted = case.of_kind(MfaEventKind::PrivilegeGranted).next();
    put(
        granted.map(|item| item.time_ms),
        "administrative rights granted",
    );
    parts
}

/// "16 MFA prompts refused or ignored within 40 minutes".
fn refused(case: &Case<'_, '_>) -> String {
    let n = sentence::count(case.refusals.len(), "MFA prompt");
    match (case.refusals.first(), case.refusals.last()) {
        (Some(first), Some(last)) if case.refusals.len() > 1 => format!(
            "{n} refused or ignored within {}",
            sentence::length(last.time_ms - first.time_ms)
        ),
        _ => format!("{n} refused or ignored"),
    }
}

/// When the person first said that it was not theirs.
fn report_ms(case: &Case<'_, '_>) -> Option<i64> {
    let by_button = case.of_kind(MfaEventKind::SuspiciousReported);
    let by_answer = case.refusals.iter().copied().filter(|item| {
        item.attempt()
            .is_some_and(|attempt| attempt.result == AttemptResult::FraudReported)
    });
    by_button
        .map(|item| item.time_ms)
        .chain(by_answer.map(Item::end_ms))
        .min()
}
