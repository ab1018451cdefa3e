//! Observation -> event body. Pure: no clock, no file, no network; account names and hashes are brought along.
//!
//! What comes out is within the contract's limits ([`tocsin_proto::event`] accepts it), whatever the machine had:
//! bytes that are no UTF-8 become U+FFFD, long texts are cut, times before 1970 become 0.

use tocsin_proto::limits::{ARGV_COUNT_MAX, PATH_BYTES_MAX, SENSORS_MAX};
use tocsin_proto::telemetry::v1 as wire;
use tocsin_proto::telemetry::v1::event::Body;

use crate::hash::Sha256Hash;
use crate::health::{Report, SensorState, Usage};
use crate::sensor::process::{Account, Activity, ArgvState, Image, ProcessObservation};
use crate::sensor::{Loss, LossPlace, LossReason};
use crate::text::{cut, cut_at, cut_reason};

mod access;
mod file;
mod network;

pub(crate) use access::{login, power, session};
pub(crate) use file::file;
pub(crate) use network::{FlowUserNames, flow};

/// What is not in the observation itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looked {
    /// Name of the account; empty where it has none.
    pub(crate) user_name: String,
    /// Hash of the executable, where it is known.
    pub(crate) hash: Option<Sha256Hash>,
}

/// The event of a process observation.
pub(crate) fn process(seen: &ProcessObservation, looked: Looked) -> Body {
    let exit = seen.exit.unwrap_or(crate::sensor::process::ExitStatus {
        code: None,
        signal: 0,
    });
    let (argv, cut_argv) = argv(&seen.image);
    Body::Process(wire::Process {
        activity: match seen.activity {
            Activity::Start => wire::ProcessActivity::Start,
            Activity::Exit => wire::ProcessActivity::Exit,
            Activity::Exec => wire::ProcessActivity::Exec,
            Activity::Observed => wire::ProcessActivity::Observed,
        }
        .into(),
        pid: seen.pid,
        start_ticks: seen.start_ticks,
        start_time_ms: seen.start_time_ms.max(0),
        argv_state: match seen.image.argv_state {
            ArgvState::Unread => wire::ArgvState::Unread,
            ArgvState::Read if seen.inherited => wire::ArgvState::Inherited,
            ArgvState::Read if cut_argv => wire::ArgvState::Truncated,
            ArgvState::Read => wire::ArgvState::Read,
            ArgvState::Truncated if seen.inherited => wire::ArgvState::Inherited,
            ArgvState::Truncated => wire::ArgvState::Truncated,
        }
        .into(),
        argv,
        executable: path(&seen.image.executable),
        executable_sha256: looked.hash.map(Vec::from).unwrap_or_default(),
        user: seen.account.as_ref().map(|account| wire::User {
            uid: match account {
                Account::Uid(uid) => uid.to_string(),
                Account::Text(text) => cut(text.clone()),
            },
            name: cut(looked.user_name),
        }),
        parent: seen.parent.as_ref().map(|parent| wire::ParentProcess {
            pid: parent.pid,
            start_ticks: parent.start_ticks,
            executable: path(&parent.image.executable),
        }),
        exit_code: exit.code,
        exit_signal: exit.signal,
        login_uid: seen.login_uid,
        audit_session: seen.audit_session,
    })
}

/// Arguments, and whether some were left out.
fn argv(image: &Image) -> (Vec<String>, bool) {
    if image.argv_state == ArgvState::Unread {
        return (Vec::new(), false);
    }
    let bytes = image.argv.strip_suffix(b"\0").unwrap_or(&image.argv);
    let mut arguments = bytes.split(|byte| *byte == 0);
    let argv = arguments
        .by_ref()
        .take(ARGV_COUNT_MAX)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect();
    (argv, arguments.next().is_some())
}

/// 4 or 16 bytes.
fn address_bytes(address: core::net::IpAddr) -> Vec<u8> {
    match address {
        core::net::IpAddr::V4(address) => address.octets().to_vec(),
        core::net::IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn path(bytes: &[u8]) -> String {
    cut_at(
        String::from_utf8_lossy(bytes).into_owned(),
        PATH_BYTES_MAX * 3,
    )
}

/// The event of a loss before the spool.
pub(crate) fn loss(loss: &Loss) -> Body {
    let place = match loss.place {
        LossPlace::Sensor => wire::GapPlace::Sensor,
        LossPlace::Queue => wire::GapPlace::Queue,
    };
    let reason = match loss.reason {
        LossReason::Overflow => wire::GapReason::Overflow,
        LossReason::SensorStopped => wire::GapReason::SensorStopped,
        LossReason::AgentStopped => wire::GapReason::AgentStopped,
    };
    let from_time_ms = loss.from_ms.max(0);
    Body::Gap(wire::Gap {
        place: place.into(),
        reason: reason.into(),
        component: cut(loss.component.to_owned()),
        lost: loss.lost,
        from_time_ms,
        until_time_ms: loss.until_ms.max(from_time_ms),
        ..wire::Gap::default()
    })
}

/// How events that had their sequences were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpoolLossKind {
    /// There was no room.
    Full,
    /// They could not be packed, or the disk did not take them although it had room.
    Unwritten,
    /// The disk gave back something else, or nothing.
    Damaged,
    /// The server refused them, again and again.
    Rejected,
}

/// Events that had their sequences and were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpoolLoss {
    /// How.
    pub(crate) kind: SpoolLossKind,
    /// Run, first and last sequence, where known.
    pub(crate) span: Option<([u8; 16], u64, u64)>,
    /// How many, where known.
    pub(crate) events: Option<u64>,
    /// Unix milliseconds.
    pub(crate) from_ms: i64,
    /// Unix milliseconds.
    pub(crate) until_ms: i64,
}

/// The event of a loss in the spool.
pub(crate) fn spool_loss(loss: &SpoolLoss) -> Body {
    let (place, reason) = match loss.kind {
        SpoolLossKind::Full => (wire::GapPlace::Spool, wire::GapReason::Overflow),
        // As for a disk that gives nothing back: an overflow would say that a larger spool helps.
        SpoolLossKind::Damaged | SpoolLossKind::Unwritten => {
            (wire::GapPlace::Spool, wire::GapReason::Damaged)
        }
        SpoolLossKind::Rejected => (wire::GapPlace::Ingest, wire::GapReason::Invalid),
    };
    let from_time_ms = loss.from_ms.max(0);
    let (run_id, first_sequence, last_sequence) =
        loss.span.map_or((Vec::new(), 0, 0), |(run, first, last)| {
            (run.to_vec(), first, last)
        });
    Body::Gap(wire::Gap {
        place: place.into(),
        reason: reason.into(),
        component: "spool".into(),
        lost: loss.events,
        from_time_ms,
        until_time_ms: loss.until_ms.max(from_time_ms),
        run_id,
        first_sequence,
        last_sequence,
    })
}

/// The agent on itself, for heartbeats and health events.
pub(crate) fn health(report: &Report, usage: Usage) -> wire::Health {
    let sensors = report.sensors.iter().take(SENSORS_MAX);
    wire::Health {
        sensors: sensors
            .map(|sensor| wire::SensorHealth {
                name: cut(sensor.name.clone()),
                state: match sensor.state {
                    SensorState::Starting => wire::SensorState::Starting,
                    SensorState::Running => wire::SensorState::Running,
                    SensorState::Failed => wire::SensorState::Failed,
                    SensorState::Unavailable => wire::SensorState::Unavailable,
                }
                .into(),
                detail: cut_reason(sensor.detail.clone()),
                observed: sensor.observed,
                lost: sensor.lost,
                restarts: sensor.restarts,
            })
            .collect(),
        spool_bytes: report.spool.bytes,
        spool_bytes_max: report.spool.bytes_max,
        spool_events: report.spool.events,
        dropped_events: report.dropped_events,
        resident_bytes: usage.resident_bytes,
        cpu_ms: usage.cpu_ms,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tocsin_proto::event::Event;

    use super::*;
    use crate::sensor::process::{ExitStatus, Parent};

    fn image(argv: &[u8]) -> Image {
        Image {
            executable: (*b"/bin/ls").into(),
            argv: argv.into(),
            argv_state: ArgvState::Read,
            file: None,
        }
    }

    fn seen(image: Image) -> ProcessObservation {
        ProcessObservation {
            activity: Activity::Start,
            time_ms: 5,
            pid: 42,
            start_ticks: 7,
            start_time_ms: 4,
            image: Arc::new(image),
            inherited: false,
            account: Some(Account::Uid(1000)),
            parent: None,
            exit: None,
            login_uid: None,
            audit_session: None,
        }
    }

    fn normalized(seen: &ProcessObservation) -> wire::Process {
        let Body::Process(process) = process(seen, Looked::default()) else {
            panic!("a process stays one");
        };
        process
    }

    fn check(argv: &[u8], expected: &[&str], state: wire::ArgvState) {
        let process = normalized(&seen(image(argv)));
        assert_eq!(process.argv, expected);
        assert_eq!(process.argv_state(), state);
    }

    #[test]
    fn arguments_are_told_apart() {
        use wire::ArgvState::Read;
        check(b"ls\0-l\0", &["ls", "-l"], Read);
        check(b"ls\0\0x\0", &["ls", "", "x"], Read);
        check(b"\0", &[""], Read);
        check(b"a title without an end", &["a title without an end"], Read);
        check(b"l\xffs\0", &["l\u{fffd}s"], Read);
    }

    #[test]
    fn too_many_arguments_are_cut_and_marked() {
        let many = b"x\0".repeat(ARGV_COUNT_MAX + 1);
        let process = normalized(&seen(image(&many)));
        assert_eq!(process.argv.len(), ARGV_COUNT_MAX);
        assert_eq!(process.argv_state(), wire::ArgvState::Truncated);
    }

    #[test]
    fn an_unread_or_inherited_command_line_is_marked() {
        let mut unread = seen(Image::unread());
        assert_eq!(normalized(&unread).argv_state(), wire::ArgvState::Unread);
        unread.inherited = true;
        assert_eq!(normalized(&unread).argv_state(), wire::ArgvState::Unread);
        let mut inherited = seen(image(b"bash\0"));
        inherited.inherited = true;
        let process = normalized(&inherited);
        assert_eq!(process.argv_state(), wire::ArgvState::Inherited);
        assert_eq!(process.argv, ["bash"]);
    }

    #[test]
    fn an_exit_has_a_code_or_a_signal() {
        let mut exit = seen(image(b"ls\0"));
        exit.activity = Activity::Exit;
        exit.exit = Some(ExitStatus {
            code: Some(3),
            signal: 0,
        });
        let process = normalized(&exit);
        assert_eq!((process.exit_code, process.exit_signal), (Some(3), 0));
        exit.exit = None;
        let process = normalized(&exit);
        assert_eq!((process.exit_code, process.exit_signal), (None, 0));
    }

    #[test]
    fn times_of_a_loss_are_in_order() {
        let body = loss(&Loss {
            place: LossPlace::Queue,
            reason: LossReason::Overflow,
            component: "x",
            lost: Some(1),
            from_ms: 9,
            until_ms: 3,
        });
        let event = wire::Event {
            sequence: 1,
            event_time_ms: 3,
            body: Some(body),
        };
        assert!(Event::try_from(event).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_a_machine_has_the_contract_accepts(
            argv in proptest::collection::vec(any::<u8>(), 0..tocsin_proto::limits::ARGV_BYTES_MAX),
            executable in proptest::collection::vec(any::<u8>(), 0..PATH_BYTES_MAX),
            name in ".{0,400}",
            pid in 1_u32..,
            times in any::<(i64, u64)>(),
        ) {
            let mut seen = seen(Image { executable: executable.into(), ..image(&argv) });
            seen.parent = Some(Parent { pid, start_ticks: times.1, image: seen.image.clone() });
            (seen.pid, seen.start_time_ms, seen.start_ticks) = (pid, times.0, times.1);
            let looked = Looked { user_name: name, hash: Some([7; 32]) };
            let event = wire::Event { sequence: 1, event_time_ms: 0, body: Some(process(&seen, looked)) };
            prop_assert!(Event::try_from(event).is_ok());
        }
    }
}
