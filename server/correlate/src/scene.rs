//! Endpoints for tests: Dana's laptop porto-17, with what its sensors would have told of a story.

use tocsin_proto::id::{EndpointId, EventId, EventSequence, RunId};

use crate::fact::{
    AddressSource, ClockSpan, ControlKind, EndpointFacts, FlowName, FlowOwner, LocalAccount,
    LoginFact, Moment, NameSource, PowerSpan, PowerState, ProviderFlow, PublicAddress,
    RemoteControl, Sensor, SensorSpan, SensorState, SessionFact, SessionLock, SessionLockSpan,
    SessionPlace, SessionUse, SessionUseSpan, Sharing,
};
use crate::input::{LinkedEndpoint, TimeSpan};
use crate::story::ms;

/// From the beginning of the story to long after it.
pub(crate) fn whole() -> TimeSpan {
    span("2026-02-20 00:00", "2026-04-10 00:00")
}

pub(crate) fn span(from: &str, until: &str) -> TimeSpan {
    TimeSpan {
        from_ms: ms(from),
        until_ms: ms(until),
    }
}

pub(crate) fn event_id(number: u64) -> EventId {
    EventId {
        endpoint: EndpointId::from_public_key(b"porto-17"),
        run: RunId::from_random([7; 16]),
        sequence: EventSequence(number),
    }
}

/// A laptop that was on, healthy and alone behind its address all the time, and has shown nothing.
pub(crate) fn laptop(hostname: &str) -> LinkedEndpoint {
    let running = |sensor| SensorSpan {
        span: whole(),
        sensor,
        state: SensorState::Running,
        detail: String::new(),
    };
    LinkedEndpoint {
        id: EndpointId::from_public_key(hostname.as_bytes()),
        hostname: hostname.into(),
        is_claimed: false,
        stands: None,
        sends_flows: true,
        reporting: vec![whole()],
        gaps: Vec::new(),
        facts: EndpointFacts {
            observed_since_ms: Some(whole().from_ms),
            os: "linux".into(),
            accounts: vec![LocalAccount {
                uid: Some(1000),
                name: "dana".into(),
                audit_sessions: Vec::new(),
            }],
            addresses: vec![PublicAddress {
                span: whole(),
                address: "192.0.2.10".parse().unwrap(),
                source: AddressSource::SeenByServer,
                sharing: Sharing::Alone,
                is_tunnel: false,
            }],
            clock: vec![ClockSpan {
                span: whole(),
                ahead_min_ms: -50,
                ahead_max_ms: 50,
            }],
            sensors: vec![running(Sensor::Network), running(Sensor::Session)],
            ..EndpointFacts::default()
        },
    }
}

/// Dana's laptop, with the traffic of her usual sign-ins.
pub(crate) fn porto(days: i64) -> LinkedEndpoint {
    let mut endpoint = laptop("porto-17");
    for day in 0..days {
        for hours in [9, 13] {
            let at_ms = ms("2026-03-01 00:00") + (day * 24 + hours) * 3_600_000;
            endpoint
                .facts
                .flows
                .push(flow(at_ms - 4_000, at_ms + 20_000));
        }
    }
    endpoint
}

/// Firefox of Dana to Okta.
pub(crate) fn flow(opened_ms: i64, closed_ms: i64) -> ProviderFlow {
    ProviderFlow {
        opened: Moment::exact(opened_ms),
        closed: Some(Moment::exact(closed_ms)),
        was_open: false,
        remote: "198.51.100.80".parse().unwrap(),
        port: 443,
        names: vec![FlowName {
            name: "acme.okta.com".into(),
            source: NameSource::DnsAnswer,
        }],
        owner: Some(FlowOwner {
            pid: 4711,
            process: "0011aabb.4711.99".into(),
            executable: "/usr/lib/firefox/firefox".into(),
            arguments: Vec::new(),
            uid: Some(1000),
            login_uid: Some(1000),
            audit_session: Some(3),
        }),
        uid: Some(1000),
        repeats: None,
        event_id: event_id(1),
    }
}

/// A desktop session of Dana, all the time locked or all the time in use.
pub(crate) fn session(lock: SessionLock, activity: Option<SessionUse>) -> SessionFact {
    SessionFact {
        opened: Moment::exact(whole().from_ms),
        closed: None,
        id: "2".into(),
        uid: Some(1000),
        audit_session: Some(3),
        place: SessionPlace::Local,
        is_interactive: true,
        locks: vec![SessionLockSpan {
            span: whole(),
            lock,
        }],
        uses: activity
            .map(|activity| SessionUseSpan {
                span: whole(),
                activity,
            })
            .into_iter()
            .collect(),
        event_ids: vec![event_id(2)],
    }
}

pub(crate) fn power(state: PowerState, span: TimeSpan, is_sure: bool) -> PowerSpan {
    PowerSpan {
        span,
        state,
        is_sure,
    }
}

pub(crate) fn control(kind: ControlKind, tool: &str, span: TimeSpan) -> RemoteControl {
    RemoteControl {
        span,
        kind,
        tool: tool.into(),
        first_seen_ms: Some(span.from_ms),
        is_managed: false,
        event_ids: vec![event_id(3)],
    }
}

pub(crate) fn login(time_ms: i64, first_ms: i64) -> LoginFact {
    LoginFact {
        time_ms,
        service: "sshd".into(),
        account: "dana".into(),
        address: "203.0.113.9".parse().ok(),
        host: String::new(),
        source_first_seen_ms: Some(first_ms),
        event_id: event_id(4),
    }
}
