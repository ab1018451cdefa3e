//! From an endpoint's stored traces to the facts by which provenance is judged.
//!
//! ```text
//! store -> Source (bounded: Class::traces_max of each class)      load.rs; reads, does not understand
//! Source -> EndpointFacts                                         here; pure
//!   flows, tools, accounts, sessions, power, sensors, clock, address
//! ```
//!
//! Everything is cut at the window's end, so that what an endpoint goes on sending changes nothing of it. What no event
//! says stays absent. Judging is `tocsin-correlate`'s.

mod accounts;
mod address;
mod clock;
mod flows;
mod load;
mod power;
mod read;
mod sensors;
mod sessions;
mod tools;

use std::collections::BTreeSet;
use std::net::IpAddr;

use tocsin_correlate::fact::{AROUND_MS, DeviceBinding, EndpointFacts, LOOK_BACK_MS, LeftOut};
use tocsin_correlate::{LinkedEndpoint, MfaEvent, Provider, TelemetryGap, TimeSpan};
use tocsin_proto::id::EndpointId;
use tocsin_proto::telemetry::v1::Gap;

use self::accounts::Accounts;
pub(super) use self::load::{fingerprint, source};
use self::read::{Runs, Traces};
use crate::rpc::console::{place_word, reason_word};
use crate::store::device::DeviceRow;
use crate::store::telemetry::RunSpan;
use crate::store::trace::{Class, ClassState, StoredTrace};
use crate::store::trust::{ClockSkewRow, PublicAddressRow};
use crate::trace::Tracer;

/// The time that is looked at: the look-back of the person's oldest MFA event, and around the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from_ms: i64,
    pub(super) until_ms: i64,
}

impl Window {
    /// Around events between these times.
    pub(super) fn of(min_ms: i64, max_ms: i64) -> Self {
        Self {
            from_ms: min_ms.saturating_sub(LOOK_BACK_MS),
            until_ms: max_ms.saturating_add(AROUND_MS),
        }
    }

    /// What of a stretch lies in it.
    fn clip(self, span: TimeSpan) -> Option<TimeSpan> {
        let clipped = TimeSpan {
            from_ms: span.from_ms.max(self.from_ms),
            until_ms: span.until_ms.min(self.until_ms),
        };
        (clipped.from_ms <= clipped.until_ms).then_some(clipped)
    }

    fn span(self) -> TimeSpan {
        TimeSpan {
            from_ms: self.from_ms,
            until_ms: self.until_ms,
        }
    }
}

/// An account of the person on the endpoint, as it is linked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Link {
    /// Account name; empty where only the number is known.
    pub(super) user: String,
    /// Number or SID; empty where unknown.
    pub(super) uid: String,
}

/// All that is read of a linked endpoint.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) endpoint: EndpointId,
    pub(super) hostname: String,
    pub(super) os: String,
    pub(super) links: Vec<Link>,
    /// Only accounts that an import names for all endpoints link it.
    pub(super) is_claimed: bool,
    /// Another person is linked to it too.
    pub(super) has_others: bool,
    pub(super) window: Window,
    /// Around attempts, apart from each other, in order.
    pub(super) around: Vec<TimeSpan>,
    /// Addresses that sign-ins came from.
    pub(super) clients: BTreeSet<IpAddr>,
    pub(super) first_event_ms: Option<i64>,
    pub(super) runs: Vec<RunSpan>,
    pub(super) classes: Vec<ClassState>,
    pub(super) traces: Vec<StoredTrace>,
    pub(super) clock: Vec<ClockSkewRow>,
    pub(super) addresses: Vec<PublicAddressRow>,
    pub(super) devices: Vec<DeviceRow>,
}

/// The times around a person's events, and the addresses that they came from.
pub(super) fn around(events: &[MfaEvent]) -> (Vec<TimeSpan>, BTreeSet<IpAddr>) {
    let mut times_ms: Vec<i64> = events.iter().map(|event| event.time_ms).collect();
    times_ms.sort_unstable();
    let mut spans: Vec<TimeSpan> = Vec::new();
    for time_ms in times_ms {
        let span = TimeSpan {
            from_ms: time_ms.saturating_sub(AROUND_MS),
            until_ms: time_ms.saturating_add(AROUND_MS),
        };
        match spans
            .last_mut()
            .filter(|last| last.until_ms >= span.from_ms)
        {
            Some(last) => last.until_ms = span.until_ms,
            None => spans.push(span),
        }
    }
    let clients = events.iter().filter_map(|event| event.origin.ip);
    (spans, clients.map(|ip| ip.to_canonical()).collect())
}

/// Whether a stretch overlaps one of others that are in order and apart.
fn overlaps_any(others: &[TimeSpan], span: TimeSpan) -> bool {
    let before = others.partition_point(|other| other.from_ms <= span.until_ms);
    let last = before.checked_sub(1).and_then(|at| others.get(at));
    last.is_some_and(|other| other.overlaps(span))
}

/// The endpoint with its facts.
pub(super) fn endpoint(source: &Source, tracer: &Tracer) -> LinkedEndpoint {
    let window = source.window;
    let traces = Traces::read(source.endpoint, &source.traces);
    let runs = Runs::new(&source.runs);
    let sensors = sensors::sensors(
        &traces.health,
        &runs,
        window,
        sessions::is_manager_known(&traces),
    );
    let mut accounts = Accounts::new(&source.links, &traces);
    let sessions = sessions::sessions(source, &traces, &accounts, &sensors);
    accounts.add_audit_sessions(&sessions, window.until_ms);
    let flows = flows::flows(source, &traces, &tracer.directory);
    let is_shared = sessions::is_shared(&traces, &accounts, source);
    let mut left_out = flows.left_out;
    left_out.extend(traces.left_out(window.span()));
    left_out.extend(missing(source));
    // An agent tells of the boot and of logins before its start too; it says how its sensors are as soon as it runs.
    let reporting = source.runs.iter().filter_map(|run| {
        let mut health = traces.health.iter();
        let first = health.find(|seen| seen.run == run.run);
        window.clip(TimeSpan {
            from_ms: first.map_or(run.from_ms, |seen| seen.time_ms.max(run.from_ms)),
            until_ms: run.until_ms,
        })
    });
    let mut reporting: Vec<TimeSpan> = reporting.collect();
    reporting.sort_unstable();
    LinkedEndpoint {
        id: source.endpoint,
        hostname: source.hostname.clone(),
        is_claimed: source.is_claimed,
        stands: None,
        sends_flows: sensors::sends_flows(&traces.health),
        reporting,
        gaps: gaps(source, &traces),
        facts: EndpointFacts {
            observed_since_ms: source.first_event_ms,
            os: source.os.clone(),
            is_shared: if source.has_others {
                Some(true)
            } else {
                is_shared
            },
            logins: accounts::logins(source, &traces, &accounts),
            accounts: accounts.list,
            flows: flows.flows,
            flows_since_ms: flows.since_ms.max(since_ms(source, Class::SignIn)),
            sessions,
            power: power::power(&traces, &runs, window),
            addresses: address::addresses(&source.addresses, &source.clients, window),
            clock: clock::clock(&source.clock, window),
            sensors,
            devices: source.devices.iter().filter_map(device).collect(),
            remote_control: tools::tools(&traces, tracer, &runs, window),
            left_out,
        },
    }
}

/// `None`: of a provider that this build does not know.
fn device(row: &DeviceRow) -> Option<DeviceBinding> {
    let mut known = Provider::ALL.iter();
    Some(DeviceBinding {
        provider: *known.find(|provider| provider.word() == row.provider)?,
        device_id: row.device_id.clone(),
        span: None,
    })
}

/// Since when a class lacks nothing, where that is within the window.
fn since_ms(source: &Source, class: Class) -> Option<i64> {
    let mut classes = source.classes.iter();
    let state = classes.find(|state| state.class == class)?;
    (state.since_ms > source.window.from_ms).then_some(state.since_ms)
}

/// What of each class was removed or never looked for.
fn missing(source: &Source) -> Vec<LeftOut> {
    let of = |class: Class| {
        let until_ms = since_ms(source, class)?.saturating_sub(1);
        let span = source.window.clip(TimeSpan {
            from_ms: i64::MIN,
            until_ms,
        })?;
        Some(LeftOut {
            what: class.plural().to_owned(),
            span,
            count: None,
        })
    };
    Class::ALL.into_iter().filter_map(of).collect()
}

/// What the endpoint lost in the window.
fn gaps(source: &Source, traces: &Traces) -> Vec<TelemetryGap> {
    let gap = |gap: &Gap| {
        let span = source.window.clip(TimeSpan {
            from_ms: gap.from_time_ms,
            until_ms: gap.until_time_ms,
        })?;
        Some(TelemetryGap {
            span,
            what: what(gap),
        })
    };
    let found = traces.gaps.iter().filter_map(|seen| gap(&seen.body));
    let unknown = since_ms(source, Class::Gap).and_then(|since_ms| {
        let span = source.window.clip(TimeSpan {
            from_ms: i64::MIN,
            until_ms: since_ms.saturating_sub(1),
        })?;
        Some(TelemetryGap {
            span,
            what: "what was lost at that time is no longer known".to_owned(),
        })
    });
    let mut gaps: Vec<TelemetryGap> = found.chain(unknown).collect();
    gaps.sort_unstable();
    gaps.dedup();
    gaps
}

fn what(gap: &Gap) -> String {
    let count = match gap.lost {
        Some(1) => "1 event".to_owned(),
        Some(lost) => format!("{lost} events"),
        None => "events".to_owned(),
    };
    let reason = reason_word(gap.reason).replace('_', " ");
    format!("{count}, {} {reason}", place_word(gap.place))
}

#[cfg(test)]
mod tests;
