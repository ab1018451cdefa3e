//! Flows: what is told of one connection in several events becomes one.
//!
//! ```text
//! opened | observed ... closed     by (boot, the kernel's number of the socket)
//! repeated                         one of its own, with the ends of its connections that were told apart
//! ```
//!
//! A connection whose end was never told has ended with its boot at the latest.

use std::collections::BTreeMap;

use tocsin_correlate::fact::{
    ARGUMENTS_MAX, FLOWS_MAX, FlowOwner, FlowRepeats, LeftOut, Moment, ProviderFlow,
    is_telling_argument,
};
use tocsin_correlate::{SignInDirectory, TimeSpan};
use tocsin_proto::id::{BootId, ProcessKey};
use tocsin_proto::telemetry::v1 as wire;

use super::read::{Runs, Seen, Traces};
use super::{Source, overlaps_any};
use crate::trace::{is_listener, names, port, remote};

/// The kernel's login uid and audit session of a process that has none.
const UNSET: u32 = u32::MAX;

/// A process by boot, pid and start.
type Key = (BootId, u32, u64);

/// Flows, since when there are all, and what was left out.
#[derive(Debug, Default)]
pub(super) struct Flows {
    pub(super) flows: Vec<ProviderFlow>,
    pub(super) since_ms: Option<i64>,
    pub(super) left_out: Vec<LeftOut>,
}

/// The flows of an endpoint that its facts want. Of those that could be a sign-in and do not say so only what lies
/// around attempts.
pub(super) fn flows(source: &Source, traces: &Traces, directory: &SignInDirectory) -> Flows {
    let arguments = arguments(&traces.processes);
    let runs = Runs::new(&source.runs);
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for flow in joined(&traces.networks, &runs) {
        let is_near = overlaps_any(&source.around, span(&flow));
        let flow = ProviderFlow {
            owner: flow
                .owner
                .map(|(key, owner)| with_arguments(owner, arguments.get(&key))),
            ..flow.fact
        };
        if is_near {
            near.push(flow);
        } else if directory.is_known(&flow.names, flow.remote, flow.port) {
            far.push(flow);
        }
    }
    bounded(near, far)
}

/// The newest around attempts, then the newest.
fn bounded(mut near: Vec<ProviderFlow>, mut far: Vec<ProviderFlow>) -> Flows {
    let by_time = |flow: &ProviderFlow| (flow.opened.until_ms, flow.event_id);
    near.sort_unstable_by_key(by_time);
    far.sort_unstable_by_key(by_time);
    let mut found = Flows::default();
    let over = near.len().saturating_sub(FLOWS_MAX);
    if let Some(last) = over.checked_sub(1).and_then(|at| near.get(at)) {
        found.left_out.push(LeftOut {
            what: "network flows".to_owned(),
            span: TimeSpan {
                from_ms: i64::MIN,
                until_ms: last.opened.until_ms,
            },
            count: u64::try_from(over).ok(),
        });
    }
    near.drain(..over);
    let over = far
        .len()
        .saturating_sub(FLOWS_MAX.saturating_sub(near.len()));
    let dropped = over.checked_sub(1).and_then(|at| far.get(at));
    found.since_ms = dropped.map(|flow| flow.opened.until_ms.saturating_add(1));
    far.drain(..over);
    near.append(&mut far);
    found.flows = near;
    found
}

/// A flow whose owner's arguments are still to be looked up.
struct Joined {
    fact: ProviderFlow,
    owner: Option<(Key, FlowOwner)>,
}

fn span(flow: &Joined) -> TimeSpan {
    let (opened, closed) = (flow.fact.opened, flow.fact.closed);
    TimeSpan {
        from_ms: opened.from_ms.unwrap_or(opened.until_ms),
        until_ms: closed.map_or(i64::MAX, |closed| closed.until_ms),
    }
}

/// What is told of one connection.
#[derive(Default)]
struct Told<'t> {
    begin: Option<&'t Seen<wire::Network>>,
    end: Option<&'t Seen<wire::Network>>,
    /// Only found there, never seen to begin.
    was_open: bool,
}

fn joined(networks: &[Seen<wire::Network>], runs: &Runs) -> Vec<Joined> {
    use wire::NetworkActivity as Activity;
    let mut told: BTreeMap<(BootId, u64), Told<'_>> = BTreeMap::new();
    let mut repeated = Vec::new();
    for seen in networks {
        if is_listener(&seen.body)
            || seen.body.direction != i32::from(wire::FlowDirection::Outbound)
        {
            continue;
        }
        let one = told.entry((seen.boot, seen.body.flow_id)).or_default();
        match Activity::try_from(seen.body.activity) {
            Ok(Activity::Opened) => {
                one.begin = Some(seen);
                one.was_open = false;
            }
            Ok(Activity::Observed) if one.begin.is_none() => {
                one.begin = Some(seen);
                one.was_open = true;
            }
            Ok(Activity::Closed) => one.end = Some(seen),
            Ok(Activity::Repeated) => repeated.push(seen),
            _ => {}
        }
    }
    let ends: Vec<&Seen<wire::Network>> = told.values().filter_map(|one| one.end).collect();
    let singles = told.values().filter_map(|one| single(one, runs));
    let folds = repeated.iter().filter_map(|seen| fold(seen, &ends, runs));
    singles.chain(folds).collect()
}

fn single(told: &Told<'_>, runs: &Runs) -> Option<Joined> {
    let first = told.begin.or(told.end)?;
    let end = told.end.and_then(|end| closed(&end.body));
    let closed = end.or_else(|| ended_with_boot(first, runs));
    joined_of(first, (told.was_open, closed))
}

/// A folded event: it lasts until the last of its connections has ended.
fn fold(seen: &Seen<wire::Network>, ends: &[&Seen<wire::Network>], runs: &Runs) -> Option<Joined> {
    let repeats = seen.body.repeats?;
    let owner = |network: &wire::Network| {
        let owner = network.owner.as_ref();
        owner.map(|owner| (owner.pid, owner.start_ticks))
    };
    let is_of = |end: &&&Seen<wire::Network>| {
        let one = &end.body;
        end.boot == seen.boot
            && (&one.remote_address, one.remote_port)
                == (&seen.body.remote_address, seen.body.remote_port)
            && owner(one) == owner(&seen.body)
            && (repeats.first_time_ms..=repeats.last_time_ms).contains(&one.opened_until_time_ms)
    };
    let told: Vec<Moment> = ends
        .iter()
        .filter(is_of)
        .filter_map(|end| closed(&end.body))
        .collect();
    let open = repeats.count.saturating_sub(repeats.closed);
    let is_over = u32::try_from(told.len()).is_ok_and(|told| told >= open);
    let until_ms = told.iter().map(|end| end.until_ms).max();
    let closed = if is_over {
        Some(Moment {
            from_ms: Some(repeats.last_time_ms),
            until_ms: until_ms.unwrap_or(seen.time_ms).max(seen.time_ms),
        })
    } else {
        ended_with_boot(seen, runs)
    };
    let mut joined = joined_of(seen, (false, closed))?;
    joined.fact.repeats = Some(FlowRepeats {
        count: repeats.count,
        first_ms: repeats.first_time_ms,
        last_ms: repeats.last_time_ms,
    });
    Some(joined)
}

fn closed(network: &wire::Network) -> Option<Moment> {
    Some(Moment {
        from_ms: network.closed_from_time_ms,
        until_ms: network.closed_until_time_ms?,
    })
}

/// Nothing outlives its boot.
fn ended_with_boot(seen: &Seen<wire::Network>, runs: &Runs) -> Option<Moment> {
    let next = runs.next_boot(seen.run)?;
    Some(Moment {
        from_ms: Some(seen.time_ms),
        until_ms: next.from_ms.max(seen.time_ms),
    })
}

fn joined_of(
    seen: &Seen<wire::Network>,
    (was_open, closed): (bool, Option<Moment>),
) -> Option<Joined> {
    let network = &seen.body;
    let owner = network.owner.as_ref().map(|owner| {
        let key = ProcessKey {
            boot: seen.boot,
            pid: owner.pid,
            start_ticks: owner.start_ticks,
        };
        let fact = FlowOwner {
            pid: owner.pid,
            process: key.to_string(),
            executable: owner.executable.clone(),
            arguments: Vec::new(),
            uid: uid(owner.user.as_ref()),
            login_uid: owner.login_uid.filter(|id| *id != UNSET),
            audit_session: owner.audit_session.filter(|id| *id != UNSET),
        };
        ((seen.boot, owner.pid, owner.start_ticks), fact)
    });
    Some(Joined {
        fact: ProviderFlow {
            opened: Moment {
                from_ms: network.opened_from_time_ms,
                until_ms: network.opened_until_time_ms,
            },
            closed,
            was_open,
            remote: remote(network)?,
            port: port(network.remote_port),
            names: names(network),
            owner: None,
            uid: uid(network.user.as_ref()),
            repeats: None,
            event_id: seen.id,
        },
        owner,
    })
}

/// The number of an account; `None` on platforms that have none.
pub(super) fn uid(user: Option<&wire::User>) -> Option<u32> {
    user?.uid.parse().ok()
}

/// Telling arguments by process.
fn arguments(processes: &[Seen<wire::Process>]) -> BTreeMap<Key, Vec<String>> {
    let mut found: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    for seen in processes {
        let process = &seen.body;
        let telling = process.argv.iter().skip(1);
        let telling = telling
            .filter(|argument| is_telling_argument(argument))
            .filter_map(|argument| argument.split('=').next());
        let kept = found
            .entry((seen.boot, process.pid, process.start_ticks))
            .or_default();
        for argument in telling {
            if kept.len() < ARGUMENTS_MAX && !kept.iter().any(|known| known == argument) {
                kept.push(argument.to_owned());
            }
        }
    }
    found
}

fn with_arguments(mut owner: FlowOwner, arguments: Option<&Vec<String>>) -> FlowOwner {
    owner.arguments = arguments.cloned().unwrap_or_default();
    owner
}
