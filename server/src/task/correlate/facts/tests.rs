//! Events as agents send them -> facts.

use tocsin_correlate::fact::{ControlKind, Moment, PowerState, Sensor, SensorState, SessionLock};
use tocsin_correlate::remote_tool::Catalogue;
use tocsin_proto::event::Event;
use tocsin_proto::id::{BootId, RunId};
use tocsin_proto::telemetry::v1 as wire;
use tocsin_proto::telemetry::v1::event::Body;

use super::*;
use crate::store::conformance::{endpoint as endpoint_id, run};

const WINDOW: Window = Window {
    from_ms: 0,
    until_ms: 1_000_000,
};

/// An endpoint's traces, as ingest chooses them.
struct Scene {
    source: Source,
    tracer: Tracer,
    sequence: u64,
}

impl Scene {
    fn new() -> Self {
        let source = Source {
            endpoint: endpoint_id(1),
            hostname: "laptop".into(),
            os: "linux".into(),
            links: vec![Link {
                user: "dana".into(),
                uid: String::new(),
            }],
            is_claimed: false,
            has_others: false,
            window: WINDOW,
            around: vec![TimeSpan {
                from_ms: 500_000,
                until_ms: 900_000,
            }],
            clients: BTreeSet::new(),
            first_event_ms: Some(0),
            runs: Vec::new(),
            classes: Vec::new(),
            traces: Vec::new(),
            clock: Vec::new(),
            addresses: Vec::new(),
            devices: Vec::new(),
        };
        Self {
            source,
            tracer: Tracer {
                catalogue: Catalogue::shipped().unwrap(),
                ..Tracer::default()
            },
            sequence: 0,
        }
    }

    fn run(mut self, number: u8, boot: u8, span: (i64, i64)) -> Self {
        self.source.runs.push(RunSpan {
            run: run(number),
            boot: BootId::from_bytes([boot; 16]),
            from_ms: span.0,
            until_ms: span.1,
        });
        self
    }

    /// An event of the run that was added last.
    fn event(mut self, event_time_ms: i64, body: Body) -> Self {
        self.sequence += 1;
        let event = wire::Event {
            sequence: self.sequence,
            event_time_ms,
            body: Some(body),
        };
        let last = self.source.runs.last().unwrap();
        let (run, boot): (RunId, BootId) = (last.run, last.boot);
        let event: Event = event.try_into().unwrap();
        let trace = self.tracer.trace(&event).unwrap();
        self.source.traces.push(StoredTrace {
            run,
            boot,
            sequence: trace.sequence,
            event: trace.event,
        });
        self
    }

    fn sensing(self, time_ms: i64, network: &str) -> Self {
        let sensor = |name: &str, detail: &str| wire::SensorHealth {
            name: name.into(),
            state: wire::SensorState::Running.into(),
            detail: detail.into(),
            ..wire::SensorHealth::default()
        };
        let sensors = vec![
            sensor("network/sock_diag", network),
            sensor("session/logins", "reads the journal"),
        ];
        let health = wire::Health {
            sensors,
            ..wire::Health::default()
        };
        self.event(time_ms, Body::Health(health))
    }

    fn session(self, time_ms: i64, activity: wire::SessionActivity, locked: Option<bool>) -> Self {
        let session = wire::Session {
            activity: activity.into(),
            session_id: "2".into(),
            user: Some(user("1000", "dana")),
            kind: "wayland".into(),
            class: "user".into(),
            seat: "seat0".into(),
            is_locked: locked,
            ..wire::Session::default()
        };
        self.event(time_ms, Body::Session(session))
    }

    fn facts(&self) -> EndpointFacts {
        endpoint(&self.source, &self.tracer).facts
    }
}

fn user(uid: &str, name: &str) -> wire::User {
    wire::User {
        uid: uid.into(),
        name: name.into(),
    }
}

fn network(
    activity: wire::NetworkActivity,
    flow_id: u64,
    opened: (i64, i64),
    closed: Option<i64>,
) -> Body {
    Body::Network(wire::Network {
        flow_id,
        activity: activity.into(),
        direction: wire::FlowDirection::Outbound.into(),
        local_address: vec![192, 0, 2, 7],
        local_port: 40_000,
        remote_address: vec![203, 0, 113, 5],
        remote_port: 443,
        user: Some(user("1000", "dana")),
        names: vec![wire::FlowName {
            name: "Acme.Okta.com.".into(),
            source: wire::NameSource::DnsAnswer.into(),
        }],
        opened_from_time_ms: Some(opened.0),
        opened_until_time_ms: opened.1,
        closed_from_time_ms: closed,
        closed_until_time_ms: closed,
        ..wire::Network::default()
    })
}

fn program(activity: wire::ProcessActivity, executable: &str, argv: &[&str]) -> Body {
    Body::Process(wire::Process {
        activity: activity.into(),
        pid: 77,
        start_ticks: 5,
        argv: argv.iter().map(|one| (*one).to_owned()).collect(),
        executable: executable.into(),
        ..wire::Process::default()
    })
}

#[test]
fn a_connection_is_one_flow_with_its_begin_and_end() {
    use wire::NetworkActivity as Activity;
    let scene = Scene::new()
        .run(1, 1, (0, 900_000))
        .event(
            600_000,
            network(Activity::Opened, 9, (599_000, 600_000), None),
        )
        .event(
            650_000,
            network(Activity::Closed, 9, (599_000, 600_000), Some(650_000)),
        )
        .event(
            610_000,
            network(Activity::Observed, 10, (1_000, 610_000), None),
        );
    let facts = scene.facts();
    assert_eq!(facts.flows.len(), 2);
    let (first, second) = (&facts.flows[0], &facts.flows[1]);
    assert_eq!(
        first.opened,
        Moment {
            from_ms: Some(599_000),
            until_ms: 600_000
        }
    );
    assert_eq!(first.closed.map(|end| end.until_ms), Some(650_000));
    assert_eq!(first.names[0].name, "acme.okta.com");
    assert!(!first.was_open && second.was_open);
    assert_eq!(second.closed, None, "nobody says that it ended");
    assert_eq!(
        facts.accounts[0].uid,
        Some(1000),
        "by what its flows call dana"
    );
}

#[test]
fn nothing_outlives_its_boot() {
    use wire::NetworkActivity as Activity;
    let scene = Scene::new()
        .run(1, 1, (0, 600_000))
        .event(
            500_000,
            network(Activity::Opened, 9, (500_000, 500_000), None),
        )
        .session(510_000, wire::SessionActivity::Opened, None)
        .run(2, 2, (700_000, 900_000))
        .sensing(700_000, "");
    let facts = scene.facts();
    assert_eq!(facts.flows[0].closed.map(|end| end.until_ms), Some(700_000));
    assert_eq!(
        facts.sessions[0].closed.map(|end| end.until_ms),
        Some(700_000)
    );
}

#[test]
fn a_lock_lasts_until_the_next_change_as_long_as_somebody_watches() {
    use wire::SessionActivity as Activity;
    let scene = Scene::new()
        .run(1, 1, (100_000, 800_000))
        .sensing(100_000, "")
        .session(200_000, Activity::Opened, Some(false))
        .session(550_000, Activity::Locked, Some(true));
    let facts = scene.facts();
    let locks = &facts.sessions[0].locks;
    assert_eq!(locks.len(), 2);
    assert_eq!(
        (locks[1].lock, locks[1].span.from_ms),
        (SessionLock::Locked, 550_000)
    );
    assert_eq!(locks[1].span.until_ms, 800_000, "the run's end");
    assert!(facts.sessions[0].is_interactive);

    let gap = Body::Gap(wire::Gap {
        place: wire::GapPlace::Sensor.into(),
        reason: wire::GapReason::Overflow.into(),
        from_time_ms: 600_000,
        until_time_ms: 610_000,
        ..wire::Gap::default()
    });
    let locks = scene.event(610_000, gap).facts().sessions.remove(0).locks;
    assert_eq!(
        locks[1].span.until_ms, 599_999,
        "what was lost may have unlocked it"
    );
}

#[test]
fn a_sensor_is_as_it_last_said_and_without_a_session_manager_nothing_is_known_of_locks() {
    let scene = Scene::new()
        .run(1, 1, (100_000, 800_000))
        .sensing(
            100_000,
            "names only from the file of hosts: no systemd-resolved",
        )
        .sensing(400_000, "no notices of closed connections: refused");
    let facts = scene.facts();
    let of = |sensor: Sensor| {
        let spans = facts.sensors.iter().filter(move |one| one.sensor == sensor);
        spans
            .map(|one| (one.span.from_ms, one.span.until_ms, one.state))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(Sensor::Network),
        [
            (100_000, 400_000, SensorState::Running),
            (400_000, 800_000, SensorState::Degraded)
        ]
    );
    assert!(
        of(Sensor::Session)
            .iter()
            .all(|one| one.2 == SensorState::Degraded)
    );
    let linked = endpoint(&scene.source, &scene.tracer);
    assert!(linked.sends_flows);
}

#[test]
fn reporting_begins_with_the_agent_and_not_with_what_it_tells_of_before() {
    let boot = Body::Session(wire::Session {
        activity: wire::SessionActivity::Booted.into(),
        until_time_ms: Some(5_000),
        ..wire::Session::default()
    });
    let scene = Scene::new()
        .run(1, 1, (5_000, 800_000))
        .event(5_000, boot)
        .sensing(300_000, "");
    let reporting = endpoint(&scene.source, &scene.tracer).reporting;
    assert_eq!(reporting.len(), 1);
    assert_eq!(
        (reporting[0].from_ms, reporting[0].until_ms),
        (300_000, 800_000)
    );
}

#[test]
fn a_tool_is_told_from_start_to_exit_and_since_when_it_is_known() {
    use wire::ProcessActivity as Activity;
    let scene = Scene::new()
        .run(1, 1, (0, 900_000))
        .event(
            100_000,
            program(Activity::Start, "/usr/bin/anydesk", &["anydesk"]),
        )
        .event(
            700_000,
            program(Activity::Exit, "/usr/bin/anydesk", &["anydesk"]),
        );
    let facts = scene.facts();
    assert_eq!(facts.remote_control.len(), 1);
    let tool = &facts.remote_control[0];
    assert_eq!(
        (tool.kind, tool.tool.as_str()),
        (ControlKind::Process, "AnyDesk")
    );
    assert_eq!((tool.span.from_ms, tool.span.until_ms), (100_000, 700_000));
    assert_eq!(tool.first_seen_ms, Some(100_000));
    assert!(!tool.is_managed && tool.event_ids.len() == 2);

    let mut managed = scene;
    managed.tracer.managed = vec!["anydesk".into()];
    assert!(managed.facts().remote_control[0].is_managed);
}

#[test]
fn a_machine_was_off_where_both_records_say_so() {
    let power = |activity: wire::SessionActivity, until_ms: i64| {
        Body::Session(wire::Session {
            activity: activity.into(),
            until_time_ms: Some(until_ms),
            ..wire::Session::default()
        })
    };
    let scene = Scene::new()
        .run(1, 1, (0, 300_000))
        .event(299_000, power(wire::SessionActivity::ShutDown, 299_500))
        .run(2, 2, (600_000, 900_000))
        .event(600_000, power(wire::SessionActivity::Booted, 600_100));
    let facts = scene.facts();
    assert_eq!(facts.power.len(), 1);
    let off = facts.power[0];
    assert_eq!((off.span.from_ms, off.span.until_ms), (300_000, 600_000));
    assert!(off.is_sure && off.state == PowerState::Off);

    let without = Scene::new()
        .run(1, 1, (0, 300_000))
        .sensing(1_000, "")
        .run(2, 2, (600_000, 900_000))
        .event(600_000, power(wire::SessionActivity::Booted, 600_100));
    assert!(
        !without.facts().power[0].is_sure,
        "it may have crashed and started before"
    );
}

#[test]
fn what_was_removed_is_left_out_and_a_gap() {
    let mut scene = Scene::new().run(1, 1, (0, 900_000)).sensing(1_000, "");
    for class in [Class::Web, Class::Gap] {
        scene.source.classes.push(ClassState {
            class,
            since_ms: 400_000,
        });
    }
    let linked = endpoint(&scene.source, &scene.tracer);
    assert!(
        linked
            .facts
            .left_out
            .iter()
            .any(|one| one.what == Class::Web.plural())
    );
    assert_eq!(linked.gaps[0].span.until_ms, 399_999);
}
