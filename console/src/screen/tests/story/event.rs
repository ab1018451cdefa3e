//! Stored events of the endpoints: processes, logins, connections, files, a gap.

use super::*;

pub(super) fn gap(foreign: &impl Fn(&str) -> String) -> EventRow {
    EventRow {
        kind: "gap".into(),
        activity: "lost".into(),
        gap: Some(GapEvent {
            place: "sensor".into(),
            reason: "overflow".into(),
            component: foreign("process"),
            lost: Some(12),
            from_time_ms: NIGHT_MS,
            until_time_ms: NIGHT_MS + 2_000,
            ..GapEvent::default()
        }),
        ..EventRow::default()
    }
}

pub(super) fn file(foreign: &impl Fn(&str) -> String) -> EventRow {
    EventRow {
        kind: "file".into(),
        activity: "modified".into(),
        event_time_ms: NIGHT_MS + 2_400_000,
        file: Some(FileEvent {
            path: foreign("/home/dana/.ssh/authorized_keys"),
            name: foreign("authorized_keys"),
            category: "authorized_keys".into(),
            count: 2,
            actor: Some(FileActorRef {
                pid: 1022,
                executable: foreign("/usr/bin/tee"),
                user: foreign("dana"),
                uid: "1000".into(),
                ..FileActorRef::default()
            }),
            ..FileEvent::default()
        }),
        ..EventRow::default()
    }
}

pub(super) fn events(foreign: &impl Fn(&str) -> String) -> Vec<EventRow> {
    let process = |n: u32, argv: &[&str], code: Option<i32>| ProcessEvent {
        pid: 1000 + n,
        argv: argv.iter().map(|one| foreign(one)).collect(),
        argv_state: "read".into(),
        executable: foreign(&format!("/usr/bin/{}", argv.first().unwrap_or(&""))),
        executable_sha256: "ab".repeat(32),
        user: foreign("dana"),
        uid: "1000".into(),
        start_time_ms: NIGHT_MS + i64::from(n) * 60_000,
        parent: Some(ParentProcessRef {
            pid: 977,
            key: "boot.977.1".into(),
            executable: foreign("/usr/bin/bash"),
        }),
        exit_code: code,
        ..ProcessEvent::default()
    };
    let row = |n: u32, activity: &str, process: Option<ProcessEvent>| EventRow {
        id: format!("{}.{}.{n}", id(0xe1), id(0x40)),
        kind: if process.is_some() { "process" } else { "gap" }.into(),
        activity: activity.into(),
        endpoint: id(0xe1),
        run: id(0x40),
        sequence: n.into(),
        event_time_ms: NIGHT_MS + i64::from(n) * 60_000,
        receive_time_ms: NIGHT_MS + i64::from(n) * 60_000 + 400,
        gap: match process {
            Some(_) => None,
            None => gap(foreign).gap,
        },
        process,
        ..EventRow::default()
    };
    let curl = ["curl", "-fsSL", "https://203.0.113.9/x"];
    vec![
        row(44, "exit", Some(process(22, &curl, Some(0)))),
        row(42, "start", Some(process(22, &curl, None))),
        row(41, "lost", None),
        row(
            40,
            "start",
            Some(process(21, &["anydesk", "--service"], None)),
        ),
        row(3, "start", Some(process(20, &["ssh", "build-7"], None))),
    ]
}
