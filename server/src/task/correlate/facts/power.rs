//! When a machine was off or asleep.

use tocsin_correlate::TimeSpan;
use tocsin_correlate::fact::{PowerSpan, PowerState};
use tocsin_proto::telemetry::v1 as wire;

use super::Window;
use super::read::{Runs, Seen, Traces};

/// A power record: not before, not after.
struct Record<'t> {
    seen: &'t Seen<wire::Session>,
    activity: wire::SessionActivity,
    until_ms: i64,
}

/// Stretches within the window. One is sure where records tell both of its ends, nothing else happened in between, and
/// no events of it are missing but for those of an agent that did not run.
pub(super) fn power(traces: &Traces, runs: &Runs, window: Window) -> Vec<PowerSpan> {
    use wire::SessionActivity as Activity;
    let records: Vec<Record<'_>> = traces.sessions.iter().filter_map(record).collect();
    let mut spans = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|at| records.get(at));
        let (state, begin) = match record.activity {
            Activity::Booted => (PowerState::Off, Activity::ShutDown),
            Activity::Resumed => (PowerState::Asleep, Activity::Suspended),
            _ => continue,
        };
        let told = before.filter(|before| before.activity == begin);
        // A machine that is told to stop still does something for a while.
        let last_ms = (state == PowerState::Off)
            .then(|| last_before_ms(runs, record.seen.time_ms))
            .flatten();
        let Some(from_ms) = told.map(|before| before.until_ms).max(last_ms) else {
            continue;
        };
        let span = TimeSpan {
            from_ms,
            until_ms: record.seen.time_ms,
        };
        if span.from_ms > span.until_ms {
            continue;
        }
        let is_sure = told.is_some()
            && !is_interrupted(traces, span)
            && (state == PowerState::Asleep || !is_reporting(runs, span));
        spans.extend(window.clip(span).map(|span| PowerSpan {
            span,
            state,
            is_sure,
        }));
    }
    spans
}

fn record(seen: &Seen<wire::Session>) -> Option<Record<'_>> {
    use wire::SessionActivity as Activity;
    let activity = Activity::try_from(seen.body.activity).ok()?;
    let is_power = matches!(
        activity,
        Activity::Booted | Activity::ShutDown | Activity::Suspended | Activity::Resumed
    );
    is_power.then(|| Record {
        seen,
        activity,
        until_ms: seen.body.until_time_ms.unwrap_or(seen.time_ms),
    })
}

/// The newest event of a run that had ended by then.
fn last_before_ms(runs: &Runs, time_ms: i64) -> Option<i64> {
    let ended = runs.iter().map(|run| run.until_ms);
    ended.filter(|until_ms| *until_ms <= time_ms).max()
}

/// Whether a run has events within a stretch, its ends left out.
fn is_reporting(runs: &Runs, span: TimeSpan) -> bool {
    runs.iter()
        .any(|run| run.from_ms < span.until_ms && run.until_ms > span.from_ms)
}

/// Whether events of a stretch were lost, or may have been.
fn is_interrupted(traces: &Traces, span: TimeSpan) -> bool {
    let mut lost = traces
        .gaps
        .iter()
        .filter(|seen| seen.body.reason != i32::from(wire::GapReason::AgentStopped));
    lost.any(|seen| {
        let gap = TimeSpan {
            from_ms: seen.body.from_time_ms,
            until_ms: seen.body.until_time_ms,
        };
        gap.overlaps(span)
    })
}
