//! `tocsin-agent doctor`: a list of what the agent needs, each with its state and, where something is wrong, the
//! cure. It changes nothing and disturbs no running agent. What only root can check says so.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tocsin_proto::json::format_time_ms;

use super::{CommandError, Exit, Output, block_on, print, print_json};
use crate::address::ServerAddress;
use crate::clock;
use crate::config::Config;
use crate::health::{ConnectionState, SensorReport, SensorState};
use crate::identity::Identity;
use crate::sensor::process::{self, Level};
use crate::state::StateDirectory;
use crate::status::Status;
use crate::text::{chain, printable, size};
use crate::uplink::connect_tls;

/// Clocks may differ so much before somebody is told.
const CLOCK_DIFFERENCE_MS_MAX: i64 = 60_000;

/// How long a server may take to take a connection.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Ok,
    Warn,
    Fail,
}

/// One line.
#[derive(Debug, Serialize)]
struct Check {
    name: Cow<'static, str>,
    outcome: Outcome,
    detail: String,
    /// What to do; empty where nothing need be done.
    cure: String,
}

impl Check {
    fn ok(name: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::Ok, detail, "")
    }

    fn warn(name: impl Into<Cow<'static, str>>, detail: impl Into<String>, cure: &str) -> Self {
        Self::new(name, Outcome::Warn, detail, cure)
    }

    fn fail(name: impl Into<Cow<'static, str>>, detail: impl Into<String>, cure: &str) -> Self {
        Self::new(name, Outcome::Fail, detail, cure)
    }

    fn new(
        name: impl Into<Cow<'static, str>>,
        outcome: Outcome,
        detail: impl Into<String>,
        cure: &str,
    ) -> Self {
        Self {
            name: name.into(),
            outcome,
            detail: detail.into(),
            cure: cure.to_owned(),
        }
    }
}

/// What all checks look at.
struct Patient<'a> {
    state: &'a StateDirectory,
    config: Option<Config>,
    status: Option<Status>,
    identity: Option<Identity>,
    now_ms: i64,
}

/// Checks and prints.
pub(super) fn run(
    state: &StateDirectory,
    config: Option<&Path>,
    output: Output,
) -> Result<Exit, CommandError> {
    let mut checks = Vec::new();
    let (config, check) = check_config(config);
    checks.push(check);
    let (identity, check) = check_identity(state);
    checks.push(check);
    let patient = Patient {
        state,
        config,
        status: Status::load(state).ok().flatten(),
        identity,
        now_ms: clock::now_ms(),
    };
    checks.extend(patient.certificate());
    checks.push(patient.agent());
    checks.push(block_on(patient.server())?);
    checks.push(patient.clock());
    checks.push(patient.process_sensor());
    checks.extend(patient.other_sensors());
    checks.push(patient.spool());
    checks.push(patient.disk());
    let failed = checks.iter().any(|check| check.outcome == Outcome::Fail);
    match output {
        Output::Table => print(&table(&checks))?,
        Output::Json | Output::Jsonl => print_json(&checks, output)?,
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

fn check_config(path: Option<&Path>) -> (Option<Config>, Check) {
    match Config::load(path) {
        Ok(config) => (Some(config), Check::ok("configuration", "it can be used")),
        Err(error) => {
            let cure = "correct the file; 'tocsin-agent config print' shows every key";
            (None, Check::fail("configuration", chain(&error), cure))
        }
    }
}

fn check_sensor(sensor: &SensorReport) -> Check {
    let name = sensor.name.clone();
    let detail = |state: &str| match sensor.detail.as_str() {
        "" => state.to_owned(),
        detail => format!("{state}: {detail}"),
    };
    match sensor.state {
        SensorState::Running => Check::ok(name, detail("running")),
        SensorState::Starting => Check::ok(name, detail("starting")),
        SensorState::Failed => Check::fail(
            name,
            detail("failed"),
            "the agent starts it again by itself; its log says more",
        ),
        SensorState::Unavailable => Check::warn(
            name,
            detail("not on this machine"),
            "what it would tell is unknown, never absent; run the agent as root, outside of containers",
        ),
    }
}

fn check_identity(state: &StateDirectory) -> (Option<Identity>, Check) {
    match Identity::load(state) {
        Ok(identity) => {
            let detail = format!("endpoint {}", identity.endpoint());
            (Some(identity), Check::ok("identity", detail))
        }
        Err(error) if error.is_permission() => (
            None,
            Check::warn("identity", "only root can check it", "run this as root"),
        ),
        Err(error) => (
            None,
            Check::fail(
                "identity",
                chain(&error),
                "enroll this machine: 'tocsin-agent enroll --server HOST:PORT --token TOKEN'",
            ),
        ),
    }
}

impl Patient<'_> {
    fn certificate(&self) -> Option<Check> {
        const NAME: &str = "certificate";
        let validity = self.identity.as_ref()?.validity();
        let until = format_time_ms(validity.until_ms).unwrap_or_default();
        Some(if self.now_ms < validity.from_ms {
            Check::fail(NAME, "it is not valid yet", "correct this machine's clock")
        } else if self.now_ms >= validity.until_ms {
            Check::fail(
                NAME,
                format!("it expired at {until}"),
                "start the agent: it renews within the server's grace period; after that, enroll again",
            )
        } else if self.now_ms >= validity.renew_ms() {
            Check::warn(
                NAME,
                format!("it is due for renewal and valid until {until}"),
                "let the agent reach the server: it renews by itself",
            )
        } else {
            Check::ok(NAME, format!("valid until {until}"))
        })
    }

    fn agent(&self) -> Check {
        const NAME: &str = "agent";
        let Some(status) = &self.status else {
            return Check::warn(NAME, "it never ran here", "start it: 'tocsin-agent run'");
        };
        if !status.is_running(self.now_ms) {
            return Check::warn(NAME, "it is not running", "start it: 'tocsin-agent run'");
        }
        let connection = &status.connection;
        match connection.state {
            ConnectionState::Connected => Check::ok(NAME, "it is running and connected"),
            ConnectionState::Connecting => Check::ok(NAME, "it is running and connecting"),
            ConnectionState::Waiting => Check::warn(
                NAME,
                format!("it is running without a connection: {}", connection.detail),
                "see the server's line below",
            ),
            ConnectionState::Refused | ConnectionState::Conflict => Check::fail(
                NAME,
                format!("the server refuses it: {}", connection.detail),
                "ask the server's operator; where this machine is a copy of another one, enroll it anew: 'tocsin-agent enroll' with a new token",
            ),
        }
    }

    async fn server(&self) -> Check {
        const NAME: &str = "server";
        if let Some(identity) = &self.identity {
            let server = identity.server();
            let config = match identity.tls() {
                Ok(config) => config,
                Err(error) => return Check::fail(NAME, chain(&error), "enroll again"),
            };
            return match connect_tls(server, config).await {
                Ok(_stream) => Check::ok(NAME, format!("{server} answers over TLS")),
                Err(error) => Check::fail(NAME, chain(&error), error.cure()),
            };
        }
        let address = self
            .status
            .as_ref()
            .and_then(|status| status.server.parse::<ServerAddress>().ok());
        let Some(address) = address else {
            return Check::warn(
                NAME,
                "it is not known",
                "enroll this machine, or run this as root",
            );
        };
        let connecting = tokio::net::TcpStream::connect((address.host(), address.port()));
        let reached = match tokio::time::timeout(REACH_TIMEOUT, connecting).await {
            Ok(reached) => reached.map(drop),
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        };
        match reached {
            Ok(()) => Check::ok(NAME, format!("{address} answers; only root can check TLS")),
            Err(error) => Check::fail(
                NAME,
                format!("{address} cannot be reached: {error}"),
                "check that tocsin-server runs there and that no firewall is between",
            ),
        }
    }

    fn clock(&self) -> Check {
        const NAME: &str = "clock";
        let known = self
            .status
            .as_ref()
            .and_then(|status| status.server_clock_ahead_ms);
        match known {
            None => Check::ok(NAME, "not compared with the server's yet"),
            Some(ahead_ms) if ahead_ms.abs() > CLOCK_DIFFERENCE_MS_MAX => Check::warn(
                NAME,
                format!(
                    "the server's clock is {} s ahead of this one",
                    ahead_ms / 1000
                ),
                "set up time synchronisation on both",
            ),
            Some(_) => Check::ok(NAME, "within a minute of the server's"),
        }
    }

    fn process_sensor(&self) -> Check {
        const NAME: &str = "process sensor";
        let config = self.config.clone().unwrap_or_default().process;
        let mut levels = process::probe(&config);
        let found = levels.pop();
        let Some(Level { name, probed }) = found else {
            return Check::fail(NAME, "there is none for this machine", "");
        };
        let seen = match probed {
            Ok(seen) | Err(seen) => format!("{name}: {seen}"),
        };
        let refused: Vec<String> = levels
            .iter()
            .filter_map(|level| Some(format!("{}: {}", level.name, level.probed.as_ref().err()?)))
            .collect();
        if refused.is_empty() {
            return Check::ok(NAME, seen);
        }
        let detail = format!("{seen}; not {}", refused.join("; not "));
        if is_root() {
            let cure = "run the agent on the machine itself, outside of containers, on a kernel from 5.8 on with BTF";
            return Check::warn(NAME, detail, cure);
        }
        Check::warn(NAME, detail, "run this as root to check it for root")
    }

    /// As the running agent says; what its process sensor can do is probed.
    fn other_sensors(&self) -> Vec<Check> {
        let Some(status) = self.status.as_ref().filter(|status| status.pid != 0) else {
            return Vec::new();
        };
        let others = status.sensors.iter();
        others
            .filter(|sensor| !sensor.name.starts_with("process/"))
            .map(check_sensor)
            .collect()
    }

    fn spool(&self) -> Check {
        const NAME: &str = "spool";
        let Some(status) = self
            .status
            .as_ref()
            .filter(|status| status.spool_bytes_max > 0)
        else {
            return Check::ok(NAME, "nothing is known yet");
        };
        let (bytes, bytes_max) = (status.spool_bytes, status.spool_bytes_max);
        let detail = format!(
            "{} events in {} of {}",
            status.spool_events,
            size(bytes),
            size(bytes_max)
        );
        if status.spool_events > 0 && bytes > bytes_max / 10 * 9 {
            return Check::warn(
                NAME,
                format!("it is full: the oldest events are dropped ({detail})"),
                "let the agent reach the server, or raise spool.bytes_max",
            );
        }
        Check::ok(NAME, detail)
    }

    fn disk(&self) -> Check {
        const NAME: &str = "disk";
        let limit = self
            .config
            .as_ref()
            .map_or(0, |config| config.spool_bytes_max);
        let used = self.status.as_ref().map_or(0, |status| status.spool_bytes);
        match free_bytes(self.state.path()) {
            None => Check::ok(NAME, "free space is not known"),
            Some(free) if free < limit.saturating_sub(used) => Check::warn(
                NAME,
                format!(
                    "{} MiB free at {}, less than the spool may need",
                    free >> 20,
                    self.state.path().display()
                ),
                "free some space, or lower spool.bytes_max",
            ),
            Some(free) => Check::ok(NAME, format!("{} MiB free", free >> 20)),
        }
    }
}

#[cfg(unix)]
fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

#[cfg(unix)]
fn free_bytes(path: &Path) -> Option<u64> {
    let free = nix::sys::statvfs::statvfs(path).ok()?;
    // These are of different widths on different platforms.
    #[expect(clippy::useless_conversion, reason = "not useless on 32-bit platforms")]
    let (blocks, size) = (
        u64::from(free.blocks_available()),
        u64::from(free.fragment_size()),
    );
    Some(blocks.saturating_mul(size))
}

#[cfg(not(unix))]
fn free_bytes(_path: &Path) -> Option<u64> {
    None
}

fn table(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let outcome = match check.outcome {
            Outcome::Ok => "ok  ",
            Outcome::Warn => "warn",
            Outcome::Fail => "FAIL",
        };
        text.push_str(&format!(
            "{outcome}  {:17}  {}\n",
            printable(&check.name),
            printable(&check.detail)
        ));
        if !check.cure.is_empty() {
            text.push_str(&format!("{:25}-> {}\n", "", check.cure));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patient<'a>(state: &'a StateDirectory, status: Status) -> Patient<'a> {
        Patient {
            state,
            config: Some(Config::default()),
            now_ms: status.updated_time,
            status: Some(status),
            identity: None,
        }
    }

    fn status() -> Status {
        Status {
            pid: std::process::id(),
            updated_time: 1_000_000,
            ..Status::never_run("host".into())
        }
    }

    #[test]
    fn a_machine_that_is_not_enrolled_fails_and_learns_how() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().to_owned());
        let (_, check) = check_identity(&state);
        assert_eq!(check.outcome, Outcome::Fail);
        assert!(check.cure.contains("tocsin-agent enroll"));
    }

    #[test]
    fn a_refusal_fails_and_a_wait_warns() {
        let state = StateDirectory::new("/nonexistent".into());
        let with = |connection| {
            let mut status = status();
            status.connection.state = connection;
            patient(&state, status).agent().outcome
        };
        assert_eq!(with(ConnectionState::Connected), Outcome::Ok);
        assert_eq!(with(ConnectionState::Waiting), Outcome::Warn);
        assert_eq!(with(ConnectionState::Conflict), Outcome::Fail);
    }

    #[test]
    fn clocks_that_differ_much_are_told() {
        let state = StateDirectory::new("/nonexistent".into());
        let with = |ahead_ms| {
            let mut status = status();
            status.server_clock_ahead_ms = ahead_ms;
            patient(&state, status).clock().outcome
        };
        assert_eq!(with(None), Outcome::Ok);
        assert_eq!(with(Some(1000)), Outcome::Ok);
        assert_eq!(with(Some(-90_000)), Outcome::Warn);
    }

    #[test]
    fn every_sensor_has_its_line() {
        let state = StateDirectory::new("/nonexistent".into());
        let sensor = |name: &str, state| SensorReport {
            name: name.into(),
            state,
            detail: "no resolver".into(),
            observed: 0,
            lost: 0,
            restarts: 0,
        };
        let mut status = status();
        status.sensors = vec![
            sensor("process/poll", SensorState::Running),
            sensor("network/sock_diag", SensorState::Running),
            sensor("session/logins", SensorState::Failed),
        ];
        let checks = patient(&state, status.clone()).other_sensors();
        let told: Vec<_> = checks
            .iter()
            .map(|check| (&*check.name, check.outcome, check.detail.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("network/sock_diag", Outcome::Ok, "running: no resolver"),
                ("session/logins", Outcome::Fail, "failed: no resolver"),
            ]
        );
        status.pid = 0;
        assert!(patient(&state, status).other_sensors().is_empty());
    }

    #[test]
    fn a_full_spool_is_told() {
        let state = StateDirectory::new("/nonexistent".into());
        let mut status = status();
        (status.spool_bytes, status.spool_bytes_max) = (95, 100);
        assert_eq!(patient(&state, status.clone()).spool().outcome, Outcome::Ok);
        status.spool_events = 1;
        assert_eq!(patient(&state, status).spool().outcome, Outcome::Warn);
    }

    #[test]
    fn a_line_has_its_cure_below() {
        let text = table(&[
            Check::ok("a", "good"),
            Check::fail("b", "bad\u{1b}", "do this"),
        ]);
        assert_eq!(
            text,
            "ok    a                  good\nFAIL  b                  bad\u{fffd}\n                         -> do this\n"
        );
    }
}
