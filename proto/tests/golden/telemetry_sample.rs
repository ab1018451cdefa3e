//! One event of each kind, with every field set: what the golden bytes of telemetry hold.

use tocsin_proto::telemetry::v1 as telemetry;

use crate::TIME_MS;

fn process() -> telemetry::Process {
    telemetry::Process {
        activity: telemetry::ProcessActivity::Exit.into(),
        pid: 4242,
        start_ticks: 987_654_321,
        start_time_ms: TIME_MS - 1500,
        argv_state: telemetry::ArgvState::Truncated.into(),
        argv: vec!["/usr/bin/ssh".into(), "-p".into(), "ünï\u{fffd}".into()],
        executable: "/usr/bin/ssh".into(),
        executable_sha256: (0..32).collect(),
        user: Some(telemetry::User {
            uid: "1000".into(),
            name: "dana".into(),
        }),
        parent: Some(telemetry::ParentProcess {
            pid: 4200,
            start_ticks: 987_000_000,
            executable: "/bin/bash".into(),
        }),
        exit_code: Some(-1),
        exit_signal: 9,
        login_uid: Some(0),
        audit_session: Some(7),
    }
}

fn gap() -> telemetry::Gap {
    telemetry::Gap {
        place: telemetry::GapPlace::Spool.into(),
        reason: telemetry::GapReason::Overflow.into(),
        component: "spool".into(),
        lost: Some(0),
        from_time_ms: TIME_MS - 10,
        until_time_ms: TIME_MS,
        run_id: vec![9; 16],
        first_sequence: 3,
        last_sequence: 8,
    }
}

pub(crate) fn health() -> telemetry::Health {
    telemetry::Health {
        sensors: vec![telemetry::SensorHealth {
            name: "process/proc_connector".into(),
            state: telemetry::SensorState::Failed.into(),
            detail: "needs CAP_NET_ADMIN".into(),
            observed: 10,
            lost: 2,
            restarts: 1,
        }],
        spool_bytes: 1,
        spool_bytes_max: 2,
        spool_events: 3,
        dropped_events: 4,
        resident_bytes: 5,
        cpu_ms: 6,
    }
}

pub(crate) fn event_batch() -> telemetry::EventBatch {
    use telemetry::event::Body;
    let event = |sequence, body| telemetry::Event {
        sequence,
        event_time_ms: TIME_MS + i64::try_from(sequence).unwrap_or_default(),
        body: Some(body),
    };
    telemetry::EventBatch {
        boot_id: vec![0xab; 16],
        events: vec![
            event(1, Body::Process(process())),
            event(2, Body::Gap(gap())),
            event(3, Body::Health(health())),
        ],
    }
}

pub(crate) fn login() -> telemetry::Login {
    telemetry::Login {
        login_id: (0..16).collect(),
        activity: telemetry::LoginActivity::Failed.into(),
        service: "sudo".into(),
        pid: Some(77),
        user: user("0", "root"),
        user_exists: Some(true),
        actor: user("1000", "dana"),
        peer: Some(telemetry::Peer {
            is_local: false,
            address: vec![203, 0, 113, 9],
            port: 40_022,
            host: "vpn.example.com".into(),
        }),
        method: telemetry::LoginMethod::Other.into(),
        method_name: "hostbased".into(),
        key_fingerprint: "SHA256:abc".into(),
        terminal_state: telemetry::TerminalState::Named.into(),
        terminal: "pts/3".into(),
        audit_session: Some(5),
        login_uid: Some(1000),
        command: "/usr/bin/id".into(),
        failed_attempts: 3,
        reason: "3 incorrect password attempts".into(),
        sources: vec![
            telemetry::LoginSource::Audit.into(),
            telemetry::LoginSource::Log.into(),
            telemetry::LoginSource::Accounting.into(),
        ],
    }
}

pub(crate) fn session() -> telemetry::Session {
    telemetry::Session {
        activity: telemetry::SessionActivity::Locked.into(),
        session_id: "c2".into(),
        user: user("1000", "dana"),
        service: "gdm-password".into(),
        kind: "wayland".into(),
        class: "user".into(),
        seat: "seat0".into(),
        terminal_state: telemetry::TerminalState::None.into(),
        terminal: String::new(),
        peer: Some(telemetry::Peer {
            is_local: true,
            ..telemetry::Peer::default()
        }),
        leader_pid: Some(900),
        audit_session: Some(3),
        login_id: (0..16).collect(),
        since_time_ms: Some(TIME_MS - 9),
        is_active: Some(true),
        is_locked: Some(true),
        is_idle: Some(false),
        until_time_ms: Some(TIME_MS),
    }
}

pub(crate) fn network() -> telemetry::Network {
    telemetry::Network {
        flow_id: 987,
        activity: telemetry::NetworkActivity::Repeated.into(),
        direction: telemetry::FlowDirection::Outbound.into(),
        local_address: vec![192, 0, 2, 7],
        local_port: 40_000,
        remote_address: vec![198, 51, 100, 4],
        remote_port: 443,
        owner: Some(telemetry::FlowOwner {
            pid: 4242,
            start_ticks: 987,
            executable: "/usr/bin/firefox".into(),
            user: user("1000", "dana"),
            login_uid: Some(1000),
            audit_session: Some(3),
        }),
        user: user("1000", "dana"),
        names: vec![telemetry::FlowName {
            name: "dana.okta.example".into(),
            source: telemetry::NameSource::DnsAnswer.into(),
        }],
        opened_from_time_ms: Some(TIME_MS - 2),
        opened_until_time_ms: TIME_MS - 1,
        closed_from_time_ms: Some(TIME_MS),
        closed_until_time_ms: Some(TIME_MS + 1),
        sent_bytes: Some(1),
        received_bytes: Some(2),
        repeats: Some(telemetry::FlowRepeats {
            count: 4,
            closed: 3,
            first_time_ms: TIME_MS,
            last_time_ms: TIME_MS + 5,
        }),
    }
}

fn user(uid: &str, name: &str) -> Option<telemetry::User> {
    Some(telemetry::User {
        uid: uid.into(),
        name: name.into(),
    })
}

pub(crate) fn file() -> telemetry::File {
    let state = |first: u8, mode| telemetry::FileState {
        sha256: (first..first + 32).collect(),
        size: 96,
        mode,
        uid: 1000,
        gid: 1001,
    };
    telemetry::File {
        activity: telemetry::FileActivity::Renamed.into(),
        category: telemetry::FileCategory::AuthorizedKeys.into(),
        path: "/home/dana/.ssh/authorized_keys".into(),
        previous_path: "/home/dana/.ssh/authorized_keys2".into(),
        is_replaced: true,
        first_time_ms: TIME_MS - 40,
        count: 3,
        before: Some(state(1, 0o100_600)),
        after: Some(state(2, 0o100_666)),
        actor: Some(telemetry::FileActor {
            pid: 4242,
            start_ticks: 987_654_321,
            executable: "/usr/bin/tee".into(),
            user: Some(telemetry::User {
                uid: "1000".into(),
                name: "dana".into(),
            }),
        }),
    }
}
