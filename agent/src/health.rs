//! What the agent knows of itself: sensors, spool, connection, losses. Every stage writes here; heartbeats, health
//! events and `status.json` are made of it. Holds numbers and words only, never telemetry and never a secret.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::identity::Identity;
use crate::sensor::Counters;

/// A sensor that works so long without a pause stands still.
const STUCK_AFTER_MS: i64 = 10_000;

/// What is said of one.
const STUCK: &str = "it stands still: a process keeps it from being read";

/// State of a sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SensorState {
    /// It opens its source.
    Starting,
    /// It watches.
    Running,
    /// It ended and will be started again.
    Failed,
    /// This machine or account cannot run it.
    Unavailable,
}

/// One sensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SensorReport {
    /// As it calls itself.
    pub(crate) name: String,
    /// How it is.
    pub(crate) state: SensorState,
    /// Why it is not running, or what it misses; empty where there is nothing to say.
    pub(crate) detail: String,
    /// Observations since the run began.
    pub(crate) observed: u64,
    /// Observations lost, as far as they can be counted.
    pub(crate) lost: u64,
    /// How often it was started again.
    pub(crate) restarts: u32,
}

/// State of the connection to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConnectionState {
    /// A connection is being made.
    Connecting,
    /// The server has welcomed this run.
    Connected,
    /// It failed and will be tried again.
    Waiting,
    /// The server answered and does not want this run; it will be tried again, slowly.
    Refused,
    /// Another machine or run uses the same key; it will be tried again, slowly.
    Conflict,
}

/// The connection to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connection {
    /// How it is.
    pub(crate) state: ConnectionState,
    /// Since when, Unix milliseconds.
    pub(crate) since_ms: i64,
    /// Why, with the cure; empty where there is nothing to say.
    pub(crate) detail: String,
}

/// The spool in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpoolReport {
    /// Bytes on disk.
    pub(crate) bytes: u64,
    /// Its limit.
    pub(crate) bytes_max: u64,
    /// Events not yet acknowledged.
    pub(crate) events: u64,
}

/// The agent's own use of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Bytes of memory.
    pub(crate) resident_bytes: u64,
    /// CPU time since the start.
    pub(crate) cpu_ms: u64,
}

/// Everything, at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// By name.
    pub(crate) sensors: Vec<SensorReport>,
    /// To the server.
    pub(crate) connection: Connection,
    /// On disk.
    pub(crate) spool: SpoolReport,
    /// Last sequence that this run gave to an event.
    pub(crate) last_sequence: u64,
    /// Last sequence of this run that the server has committed.
    pub(crate) acknowledged_sequence: u64,
    /// Events of any run that the server acknowledged since this run began.
    pub(crate) acknowledged_events: u64,
    /// Events lost since this run began, wherever, as far as they can be counted.
    pub(crate) dropped_events: u64,
    /// Server's clock less this machine's, to the second; absent before the first answer.
    pub(crate) server_clock_ahead_ms: Option<i64>,
    /// Who the agent is.
    pub(crate) identity: IdentityReport,
}

/// Who the agent is, as far as everybody may know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdentityReport {
    /// Id of the endpoint.
    pub(crate) endpoint: String,
    /// Where it was enrolled.
    pub(crate) server: String,
    /// End of the certificate's life, Unix milliseconds.
    pub(crate) certificate_expiry_ms: i64,
}

#[derive(Debug)]
struct Sensor {
    name: &'static str,
    state: SensorState,
    detail: String,
    /// The detail before it stood still.
    was: String,
    restarts: u32,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Inner {
    sensors: Vec<Sensor>,
    connection: Connection,
    spool: SpoolReport,
    last_sequence: u64,
    acknowledged_sequence: u64,
    acknowledged_events: u64,
    dropped_events: u64,
    server_clock_ahead_ms: Option<i64>,
    identity: IdentityReport,
}

/// The register that all stages share.
#[derive(Debug)]
pub(crate) struct Health(Mutex<Inner>);

impl Default for Health {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            sensors: Vec::new(),
            connection: Connection {
                state: ConnectionState::Connecting,
                since_ms: clock::now_ms(),
                detail: String::new(),
            },
            spool: SpoolReport::default(),
            last_sequence: 0,
            acknowledged_sequence: 0,
            acknowledged_events: 0,
            dropped_events: 0,
            server_clock_ahead_ms: None,
            identity: IdentityReport::default(),
        }))
    }
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No invariant spans a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a sensor known.
    pub(crate) fn add_sensor(&self, name: &'static str, counters: Arc<Counters>) {
        self.lock().sensors.push(Sensor {
            name,
            state: SensorState::Starting,
            detail: String::new(),
            was: String::new(),
            restarts: 0,
            counters,
        });
    }

    /// Sets a sensor's state. True where it or its detail changed.
    pub(crate) fn set_sensor(&self, name: &str, state: SensorState, detail: String) -> bool {
        let mut inner = self.lock();
        let Some(sensor) = inner.sensors.iter_mut().find(|sensor| sensor.name == name) else {
            return false;
        };
        let changed = sensor.state != state || sensor.detail != detail;
        sensor.state = state;
        sensor.detail = detail;
        changed
    }

    /// Counts a restart of a sensor.
    pub(crate) fn count_restart(&self, name: &str) {
        let mut inner = self.lock();
        for sensor in inner
            .sensors
            .iter_mut()
            .filter(|sensor| sensor.name == name)
        {
            sensor.restarts = sensor.restarts.saturating_add(1);
        }
    }

    /// State of one sensor.
    #[cfg(test)]
    pub(crate) fn sensor_state(&self, name: &str) -> Option<SensorState> {
        let inner = self.lock();
        let sensor = inner.sensors.iter().find(|sensor| sensor.name == name)?;
        Some(sensor.state)
    }

    /// Sets the state of the connection; a state that stays keeps its time.
    pub(crate) fn set_connection(&self, state: ConnectionState, detail: String) {
        let connection = &mut self.lock().connection;
        if connection.state != state {
            connection.state = state;
            connection.since_ms = clock::now_ms();
        }
        connection.detail = detail;
    }

    /// State of the connection.
    pub(crate) fn connection_state(&self) -> ConnectionState {
        self.lock().connection.state
    }

    /// How long the server has been there; nothing where it is not.
    pub(crate) fn connected_for(&self, now_ms: i64) -> Duration {
        let connection = &self.lock().connection;
        if connection.state != ConnectionState::Connected {
            return Duration::ZERO;
        }
        let ms = u64::try_from(now_ms.saturating_sub(connection.since_ms));
        Duration::from_millis(ms.unwrap_or(0))
    }

    /// Sets the spool's numbers.
    pub(crate) fn set_spool(&self, spool: SpoolReport) {
        self.lock().spool = spool;
    }

    /// An event got this sequence.
    pub(crate) fn note_sequence(&self, last: u64) {
        self.lock().last_sequence = last;
    }

    /// The server acknowledged `events`; `current` is the last sequence where they are of this run.
    pub(crate) fn note_acknowledged(&self, events: u64, current: Option<u64>) {
        let mut inner = self.lock();
        inner.acknowledged_events = inner.acknowledged_events.saturating_add(events);
        if let Some(last) = current {
            inner.acknowledged_sequence = inner.acknowledged_sequence.max(last);
        }
    }

    /// Events were lost.
    pub(crate) fn count_dropped(&self, events: u64) {
        let mut inner = self.lock();
        inner.dropped_events = inner.dropped_events.saturating_add(events);
    }

    /// How far the server's clock is ahead.
    pub(crate) fn set_server_clock_ahead_ms(&self, ahead_ms: i64) {
        self.lock().server_clock_ahead_ms = Some(ahead_ms);
    }

    /// Who the agent is now.
    pub(crate) fn set_identity(&self, identity: &Identity) {
        self.lock().identity = IdentityReport {
            endpoint: identity.endpoint().to_string(),
            server: identity.server().to_string(),
            certificate_expiry_ms: identity.validity().until_ms,
        };
    }

    /// Shows sensors that stand still, and those that go on. True where that changed something.
    pub(crate) fn note_stuck(&self, now_ms: i64) -> bool {
        let mut changed = false;
        for sensor in &mut self.lock().sensors {
            let busy_ms = sensor
                .counters
                .busy_since_ms()
                .map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
            let is_stuck = busy_ms > STUCK_AFTER_MS;
            if is_stuck && sensor.state == SensorState::Running {
                sensor.state = SensorState::Failed;
                sensor.was = std::mem::replace(&mut sensor.detail, STUCK.to_owned());
                changed = true;
            } else if !is_stuck && sensor.state == SensorState::Failed && sensor.detail == STUCK {
                sensor.state = SensorState::Running;
                sensor.detail = std::mem::take(&mut sensor.was);
                changed = true;
            }
        }
        changed
    }

    /// Everything, now.
    pub(crate) fn report(&self) -> Report {
        let inner = self.lock();
        let sensors = inner.sensors.iter().map(|sensor| SensorReport {
            name: sensor.name.to_owned(),
            state: sensor.state,
            detail: sensor.detail.clone(),
            observed: sensor.counters.observed(),
            lost: sensor.counters.lost(),
            restarts: sensor.restarts,
        });
        Report {
            sensors: sensors.collect(),
            connection: inner.connection.clone(),
            spool: inner.spool,
            last_sequence: inner.last_sequence,
            acknowledged_sequence: inner.acknowledged_sequence,
            acknowledged_events: inner.acknowledged_events,
            dropped_events: inner.dropped_events,
            server_clock_ahead_ms: inner.server_clock_ahead_ms,
            identity: inner.identity.clone(),
        }
    }
}

/// What this process takes of the machine; zeros where that cannot be read.
#[cfg(target_os = "linux")]
pub(crate) fn usage() -> Usage {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;

    let resident_pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|bytes| u64::try_from(bytes).ok())
        .unwrap_or(4096);
    let cpu_ms = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        usage.user_time().num_milliseconds() + usage.system_time().num_milliseconds()
    });
    Usage {
        resident_bytes: resident_pages.saturating_mul(page_bytes),
        cpu_ms: u64::try_from(cpu_ms).unwrap_or(0),
    }
}

/// What this process takes of the machine; zeros where that cannot be read.
#[cfg(not(target_os = "linux"))]
pub(crate) fn usage() -> Usage {
    Usage::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_is_a_change() {
        let health = Health::default();
        health.add_sensor("a", Arc::default());
        let set = |state, detail: &str| health.set_sensor("a", state, detail.into());
        assert!(!set(SensorState::Starting, ""));
        assert!(set(SensorState::Running, ""));
        assert!(!set(SensorState::Running, ""));
        assert!(set(SensorState::Running, "misses something"));
        assert!(!health.set_sensor("unknown", SensorState::Running, String::new()));
    }

    #[test]
    fn a_sensor_that_stands_still_is_shown_until_it_goes_on() {
        let health = Health::default();
        let counters = Arc::new(Counters::default());
        health.add_sensor("a", counters.clone());
        health.set_sensor("a", SensorState::Running, "misses something".into());
        counters.set_busy_since_ms(1000);
        assert!(!health.note_stuck(2000));
        assert!(health.note_stuck(1001 + STUCK_AFTER_MS));
        assert_eq!(health.sensor_state("a"), Some(SensorState::Failed));
        assert!(!health.note_stuck(2000 + STUCK_AFTER_MS), "it is known");
        counters.set_busy_since_ms(0);
        assert!(health.note_stuck(3000 + STUCK_AFTER_MS));
        let report = health.report();
        assert_eq!(report.sensors[0].state, SensorState::Running);
        assert_eq!(report.sensors[0].detail, "misses something");
    }

    #[test]
    fn acknowledgements_of_another_run_do_not_move_this_one() {
        let health = Health::default();
        health.note_acknowledged(10, None);
        health.note_acknowledged(5, Some(5));
        let report = health.report();
        assert_eq!(report.acknowledged_events, 15);
        assert_eq!(report.acknowledged_sequence, 5);
    }

    #[test]
    fn a_state_that_stays_keeps_its_time() {
        let health = Health::default();
        health.set_connection(ConnectionState::Waiting, "first".into());
        let first = health.report().connection;
        health.set_connection(ConnectionState::Waiting, "second".into());
        let second = health.report().connection;
        assert_eq!(first.since_ms, second.since_ms);
        assert_eq!(second.detail, "second");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_memory() {
        assert!(usage().resident_bytes > 0);
    }
}
