//! The person's sessions, with the times in which their screens are known to be locked and their users to be busy.

use std::collections::BTreeMap;

use tocsin_correlate::TimeSpan;
use tocsin_correlate::fact::{
    FACT_EVENTS_MAX, Moment, Sensor, SensorSpan, SensorState, SessionFact, SessionLock,
    SessionLockSpan, SessionPlace, SessionUse, SessionUseSpan,
};
use tocsin_proto::id::BootId;
use tocsin_proto::telemetry::v1 as wire;

use super::accounts::Accounts;
use super::flows::uid;
use super::read::{Runs, Seen, Traces};
use super::{Source, overlaps_any};
use crate::trace::address;

/// Classes of sessions in which nobody sits, as logind calls them.
const NOBODYS: &[&str] = &[
    "greeter",
    "lock-screen",
    "background",
    "background-light",
    "manager",
    "manager-early",
];

/// All events of one session, in order of time.
type Events<'t> = Vec<&'t Seen<wire::Session>>;

/// What a session is known to be from when on.
type Change<T> = (i64, T);

/// Sessions by boot and id.
fn by_session(traces: &Traces) -> BTreeMap<(BootId, &str), Events<'_>> {
    let mut sessions: BTreeMap<(BootId, &str), Events<'_>> = BTreeMap::new();
    for seen in &traces.sessions {
        if !seen.body.session_id.is_empty() {
            let key = (seen.boot, seen.body.session_id.as_str());
            sessions.entry(key).or_default().push(seen);
        }
    }
    sessions
}

/// Whether a session manager has ever told of a session.
pub(super) fn is_manager_known(traces: &Traces) -> bool {
    traces
        .sessions
        .iter()
        .any(|seen| !seen.body.class.is_empty())
}

/// Whether an account that is not the person's had a session with somebody behind it in the window; `None`: no
/// session is known.
pub(super) fn is_shared(traces: &Traces, accounts: &Accounts, source: &Source) -> Option<bool> {
    let mut known = None;
    for events in by_session(traces).values() {
        let within = events
            .iter()
            .any(|seen| seen.time_ms >= source.window.from_ms);
        if within && events.iter().any(|seen| is_interactive(&seen.body)) {
            let is_persons = events
                .iter()
                .any(|seen| accounts.holds(seen.body.user.as_ref()));
            known = Some(known.unwrap_or(false) || !is_persons);
        }
    }
    known
}

/// The person's sessions around attempts.
pub(super) fn sessions(
    source: &Source,
    traces: &Traces,
    accounts: &Accounts,
    sensors: &[SensorSpan],
) -> Vec<SessionFact> {
    let runs = Runs::new(&source.runs);
    let watched = watched(source, traces, sensors);
    let mut found = Vec::new();
    for ((_, id), events) in by_session(traces) {
        let is_persons = events
            .iter()
            .any(|seen| accounts.holds(seen.body.user.as_ref()));
        if let (true, Some(fact)) = (is_persons, session(id, &events, &runs)) {
            let span = TimeSpan {
                from_ms: fact.opened.from_ms.unwrap_or(i64::MIN),
                until_ms: fact.closed.map_or(i64::MAX, |closed| closed.until_ms),
            };
            if overlaps_any(&source.around, span) {
                found.push(with_states(fact, &events, &watched, &source.around));
            }
        }
    }
    found
}

fn session(id: &str, events: &Events<'_>, runs: &Runs) -> Option<SessionFact> {
    use wire::SessionActivity as Activity;
    let is =
        |seen: &Seen<wire::Session>, activity: Activity| seen.body.activity == i32::from(activity);
    let (first, last) = (*events.first()?, *events.last()?);
    let opened = events.iter().find(|seen| is(seen, Activity::Opened));
    let opened = match opened {
        Some(seen) => Moment::exact(seen.time_ms),
        None => Moment {
            from_ms: first.body.since_time_ms,
            until_ms: first.time_ms,
        },
    };
    let closed = events.iter().rev().find(|seen| is(seen, Activity::Closed));
    let closed = match closed {
        Some(seen) => Some(Moment::exact(seen.time_ms)),
        // Nothing outlives its boot.
        None => runs.next_boot(last.run).map(|next| Moment {
            from_ms: Some(last.time_ms),
            until_ms: next.from_ms.max(last.time_ms),
        }),
    };
    let newest = |number: fn(&wire::Session) -> Option<u32>| {
        events.iter().rev().find_map(|seen| number(&seen.body))
    };
    Some(SessionFact {
        opened,
        closed,
        id: id.to_owned(),
        uid: newest(|session| uid(session.user.as_ref())),
        audit_session: newest(|session| session.audit_session.filter(|id| *id != u32::MAX)),
        place: place(events),
        is_interactive: events.iter().any(|seen| is_interactive(&seen.body)),
        locks: Vec::new(),
        uses: Vec::new(),
        event_ids: Vec::new(),
    })
}

fn place(events: &Events<'_>) -> SessionPlace {
    let told = events.iter().rev().find_map(|seen| {
        let session = &seen.body;
        match &session.peer {
            Some(peer) if peer.is_local => Some(SessionPlace::Local),
            Some(peer) => Some(SessionPlace::Remote {
                address: address(&peer.address),
            }),
            None if !session.seat.is_empty() => Some(SessionPlace::Local),
            None => None,
        }
    });
    told.unwrap_or_default()
}

/// Whether somebody sits behind it.
fn is_interactive(session: &wire::Session) -> bool {
    let is_remote = session.peer.as_ref().is_some_and(|peer| !peer.is_local);
    let has_screen = matches!(session.kind.as_str(), "tty" | "x11" | "wayland" | "mir");
    let has_terminal = session.terminal_state == i32::from(wire::TerminalState::Named);
    !NOBODYS.contains(&session.class.as_str()) && (is_remote || has_screen || has_terminal)
}

/// When sessions were watched: a run was reporting, its session sensor ran, nothing was lost.
fn watched(source: &Source, traces: &Traces, sensors: &[SensorSpan]) -> Vec<TimeSpan> {
    let running = sensors
        .iter()
        .filter(|one| one.sensor == Sensor::Session && one.state != SensorState::Down)
        .map(|one| one.span);
    let lost: Vec<TimeSpan> = traces
        .gaps
        .iter()
        .map(|seen| TimeSpan {
            from_ms: seen.body.from_time_ms,
            until_ms: seen.body.until_time_ms,
        })
        .collect();
    let mut spans: Vec<TimeSpan> = Vec::new();
    for running in running {
        for run in &source.runs {
            let run = TimeSpan {
                from_ms: run.from_ms,
                until_ms: run.until_ms,
            };
            if run.overlaps(running) {
                let both = TimeSpan {
                    from_ms: run.from_ms.max(running.from_ms),
                    until_ms: run.until_ms.min(running.until_ms),
                };
                spans.extend(without(both, &lost));
            }
        }
    }
    merged(spans)
}

/// Spans that touch as one.
fn merged(mut spans: Vec<TimeSpan>) -> Vec<TimeSpan> {
    spans.sort_unstable();
    let mut merged: Vec<TimeSpan> = Vec::new();
    for span in spans {
        match merged
            .last_mut()
            .filter(|last| last.until_ms >= span.from_ms)
        {
            Some(last) => last.until_ms = last.until_ms.max(span.until_ms),
            None => merged.push(span),
        }
    }
    merged
}

/// A stretch without others.
fn without(span: TimeSpan, others: &[TimeSpan]) -> Vec<TimeSpan> {
    let mut rest = vec![span];
    for other in others {
        let cut = |one: TimeSpan| {
            if !one.overlaps(*other) {
                return vec![one];
            }
            let before = TimeSpan {
                from_ms: one.from_ms,
                until_ms: other.from_ms.saturating_sub(1),
            };
            let after = TimeSpan {
                from_ms: other.until_ms.saturating_add(1),
                until_ms: one.until_ms,
            };
            let parts = [before, after].into_iter();
            parts.filter(|part| part.from_ms <= part.until_ms).collect()
        };
        rest = rest.into_iter().flat_map(cut).collect();
    }
    rest
}

fn with_states(
    mut fact: SessionFact,
    events: &Events<'_>,
    watched: &[TimeSpan],
    around: &[TimeSpan],
) -> SessionFact {
    let (mut locks, mut uses): (Vec<Change<SessionLock>>, Vec<Change<SessionUse>>) =
        (Vec::new(), Vec::new());
    for seen in events {
        if let Some(is_locked) = seen.body.is_locked {
            let lock = if is_locked {
                SessionLock::Locked
            } else {
                SessionLock::Unlocked
            };
            locks.push((seen.time_ms, lock));
        }
        if let Some(is_idle) = seen.body.is_idle {
            let activity = if is_idle {
                SessionUse::Idle
            } else {
                SessionUse::Busy
            };
            uses.push((seen.time_ms, activity));
        }
    }
    let end_ms = fact
        .closed
        .map_or(i64::MAX, |closed| closed.from_ms.unwrap_or(closed.until_ms));
    let locks = lasting(&locks, end_ms, watched).into_iter();
    fact.locks = locks
        .map(|(span, lock)| SessionLockSpan { span, lock })
        .collect();
    let uses = lasting(&uses, end_ms, watched).into_iter();
    fact.uses = uses
        .map(|(span, activity)| SessionUseSpan { span, activity })
        .collect();
    let changes = events.iter().skip(1).rev();
    let near = changes.filter(|seen| {
        let time = TimeSpan {
            from_ms: seen.time_ms,
            until_ms: seen.time_ms,
        };
        overlaps_any(around, time)
    });
    let ids = events.first().into_iter().chain(near);
    fact.event_ids = ids.take(FACT_EVENTS_MAX).map(|seen| seen.id).collect();
    fact
}

/// How long each state lasted: until the next change, as long as somebody watched.
fn lasting<T: Copy + PartialEq>(
    changes: &[Change<T>],
    end_ms: i64,
    watched: &[TimeSpan],
) -> Vec<(TimeSpan, T)> {
    let mut spans: Vec<(TimeSpan, T)> = Vec::new();
    for (index, (from_ms, state)) in changes.iter().enumerate() {
        let next = changes.get(index + 1).map_or(end_ms, |next| next.0);
        let sight = watched
            .iter()
            .find(|span| span.from_ms <= *from_ms && *from_ms <= span.until_ms);
        let Some(sight) = sight else {
            continue;
        };
        let span = TimeSpan {
            from_ms: *from_ms,
            until_ms: next.min(sight.until_ms),
        };
        match spans.last_mut() {
            Some((last, was)) if was == state && last.until_ms >= span.from_ms => {
                last.until_ms = last.until_ms.max(span.until_ms);
            }
            _ => spans.push((span, *state)),
        }
    }
    spans
}
