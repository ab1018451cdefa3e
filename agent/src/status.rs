//! `status.json`: how the agent is, written every few seconds by the one that runs, readable by everybody. It holds
//! no secret and no telemetry.
//!
//! It also tells the next run when this one was last alive: the time between becomes a gap. A file that cannot be
//! understood counts as none.

use serde::{Deserialize, Serialize};
use tocsin_proto::id::RunId;

use crate::command::terminal::TerminalReport;
use crate::file::{self, Access, Durability, FileError};
use crate::health::{Connection, ConnectionState, Report, SensorReport, Usage};
use crate::pipeline::FormerRun;
use crate::state::StateDirectory;

const STATUS_VERSION: u32 = 1;

const STATUS_BYTES_MAX: u64 = 256 << 10;

/// A file that was not written for so long is from an agent that no longer works.
const STALE_AFTER_MS: i64 = 15_000;

/// The file. Its fields are what `status -o json` prints; a published field stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Version of the file.
    pub(crate) version: u32,
    /// The agent that wrote it; 0 once it has ended.
    pub(crate) pid: u32,
    /// Its version.
    pub(crate) agent_version: String,
    /// What the machine calls itself.
    pub(crate) hostname: String,
    /// Id of the endpoint.
    pub(crate) endpoint: String,
    /// Where it was enrolled.
    pub(crate) server: String,
    /// End of the certificate's life.
    #[serde(with = "time_text")]
    pub(crate) certificate_expiry_time: i64,
    /// Id of the run; empty before the first.
    pub(crate) run: String,
    /// Begin of the run.
    #[serde(with = "time_text")]
    pub(crate) start_time: i64,
    /// When this was written.
    #[serde(with = "time_text")]
    pub(crate) updated_time: i64,
    /// To the server.
    pub(crate) connection: StatusConnection,
    /// Server's clock less this machine's, to the second; null before the first answer.
    pub(crate) server_clock_ahead_ms: Option<i64>,
    /// The sensors.
    pub(crate) sensors: Vec<SensorReport>,
    /// Bytes of the spool on disk.
    pub(crate) spool_bytes: u64,
    /// Its limit.
    pub(crate) spool_bytes_max: u64,
    /// Events not yet acknowledged.
    pub(crate) spool_events: u64,
    /// Last sequence that the run gave to an event.
    pub(crate) last_sequence: u64,
    /// Last sequence of the run that the server has committed.
    pub(crate) acknowledged_sequence: u64,
    /// Events of any run that were acknowledged since the run began.
    pub(crate) acknowledged_events: u64,
    /// Events lost since the run began, as far as they can be counted.
    pub(crate) dropped_events: u64,
    /// Bytes of memory.
    pub(crate) resident_bytes: u64,
    /// CPU time since the start.
    pub(crate) cpu_ms: u64,
    /// Remote terminals that are open now.
    #[serde(default)]
    pub(crate) terminals: Vec<TerminalReport>,
}

/// The connection, with its time as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatusConnection {
    /// How it is.
    pub(crate) state: ConnectionState,
    /// Since when.
    #[serde(with = "time_text")]
    pub(crate) since_time: i64,
    /// Why, with the cure.
    pub(crate) detail: String,
}

impl From<Connection> for StatusConnection {
    fn from(connection: Connection) -> Self {
        Self {
            state: connection.state,
            since_time: connection.since_ms,
            detail: connection.detail,
        }
    }
}

/// What of a status does not change during a run.
#[derive(Debug, Clone)]
pub(crate) struct RunFacts {
    /// Id of the run.
    pub(crate) run: RunId,
    /// Begin of the run, Unix milliseconds.
    pub(crate) start_ms: i64,
    /// What the machine calls itself.
    pub(crate) hostname: String,
}

impl Status {
    /// Of a machine on which no agent ran yet.
    pub(crate) fn never_run(hostname: String) -> Self {
        Self {
            version: STATUS_VERSION,
            pid: 0,
            agent_version: crate::version::text().into(),
            hostname,
            endpoint: String::new(),
            server: String::new(),
            certificate_expiry_time: 0,
            run: String::new(),
            start_time: 0,
            updated_time: 0,
            connection: StatusConnection {
                state: ConnectionState::Connecting,
                since_time: 0,
                detail: String::new(),
            },
            server_clock_ahead_ms: None,
            sensors: Vec::new(),
            spool_bytes: 0,
            spool_bytes_max: 0,
            spool_events: 0,
            last_sequence: 0,
            acknowledged_sequence: 0,
            acknowledged_events: 0,
            dropped_events: 0,
            resident_bytes: 0,
            cpu_ms: 0,
            terminals: Vec::new(),
        }
    }

    /// Of a running agent.
    pub(crate) fn of_run(facts: &RunFacts, report: Report, usage: Usage, now_ms: i64) -> Self {
        Self {
            version: STATUS_VERSION,
            pid: std::process::id(),
            agent_version: crate::version::text().into(),
            hostname: facts.hostname.clone(),
            endpoint: report.identity.endpoint,
            server: report.identity.server,
            certificate_expiry_time: report.identity.certificate_expiry_ms,
            run: facts.run.to_string(),
            start_time: facts.start_ms,
            updated_time: now_ms,
            connection: report.connection.into(),
            server_clock_ahead_ms: report.server_clock_ahead_ms,
            sensors: report.sensors,
            spool_bytes: report.spool.bytes,
            spool_bytes_max: report.spool.bytes_max,
            spool_events: report.spool.events,
            last_sequence: report.last_sequence,
            acknowledged_sequence: report.acknowledged_sequence,
            acknowledged_events: report.acknowledged_events,
            dropped_events: report.dropped_events,
            resident_bytes: usage.resident_bytes,
            cpu_ms: usage.cpu_ms,
            terminals: Vec::new(),
        }
    }

    /// Reads it; `None` where there is none that can be understood.
    pub(crate) fn load(state: &StateDirectory) -> Result<Option<Self>, FileError> {
        match file::read(&state.status(), STATUS_BYTES_MAX) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)
                .ok()
                .filter(|status: &Self| status.version == STATUS_VERSION)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it. A power failure may bring back the one before.
    pub(crate) fn store(&self, state: &StateDirectory) -> Result<(), FileError> {
        // Text, numbers and lists of them always serialize.
        let text = serde_json::to_vec(self).unwrap_or_default();
        file::write(&state.status(), &text, Access::Public, Durability::Process)
    }

    /// Whether the agent that wrote it runs.
    pub(crate) fn is_running(&self, now_ms: i64) -> bool {
        self.pid != 0
            && now_ms.saturating_sub(self.updated_time) < STALE_AFTER_MS
            && is_process(self.pid)
    }

    /// The run that wrote it.
    pub(crate) fn former_run(&self) -> Option<FormerRun> {
        Some(FormerRun {
            run: self.run.parse().ok()?,
            start_ms: self.start_time,
            alive_ms: self.updated_time,
        })
    }
}

#[cfg(unix)]
fn is_process(pid: u32) -> bool {
    use nix::errno::Errno;
    let Ok(pid) = i32::try_from(pid) else {
        return false;
    };
    // Signal 0 only asks. Another account's process answers EPERM.
    let asked = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None);
    matches!(asked, Ok(()) | Err(Errno::EPERM))
}

#[cfg(not(unix))]
fn is_process(_pid: u32) -> bool {
    // The time of the file decides alone.
    true
}

/// RFC 3339 UTC with milliseconds; null for 0.
pub(crate) mod time_text {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    pub(crate) fn serialize<S: Serializer>(ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        tocsin_proto::json::time_ms(ms, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(0);
        };
        let time: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(time.as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;

    fn status() -> Status {
        let facts = RunFacts {
            run: RunId::from_random([7; 16]),
            start_ms: 1_795_495_440_123,
            hostname: "host".into(),
        };
        let report = Health::default().report();
        Status::of_run(&facts, report, Usage::default(), 1_795_495_450_000)
    }

    #[test]
    fn it_survives_the_file_and_everybody_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().to_owned());
        assert_eq!(Status::load(&state).unwrap(), None);
        let status = status();
        status.store(&state).unwrap();
        assert_eq!(Status::load(&state).unwrap(), Some(status));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(state.status())
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o644);
        }
    }

    #[test]
    fn times_are_text() {
        let json = serde_json::to_value(status()).unwrap();
        assert_eq!(json["start_time"], "2026-11-24T04:44:00.123Z");
        assert_eq!(json["certificate_expiry_time"], serde_json::Value::Null);
    }

    #[test]
    fn what_cannot_be_understood_counts_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().to_owned());
        for text in ["", "{", "[]", "{\"version\":1}"] {
            std::fs::write(state.status(), text).unwrap();
            assert_eq!(Status::load(&state).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn only_a_live_process_with_a_fresh_file_runs() {
        let status = status();
        let now_ms = status.updated_time;
        assert!(status.is_running(now_ms + 2000));
        assert!(!status.is_running(now_ms + STALE_AFTER_MS));
        let ended = Status { pid: 0, ..status };
        assert!(!ended.is_running(now_ms));
    }

    #[test]
    fn the_former_run_is_found_in_it() {
        let former = status().former_run().unwrap();
        assert_eq!(former.run, RunId::from_random([7; 16]));
        assert_eq!(former.alive_ms, 1_795_495_450_000);
        let never = Status {
            run: String::new(),
            ..status()
        };
        assert_eq!(never.former_run(), None);
    }
}
