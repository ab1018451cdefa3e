//! What the agent used between two looks.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tocsin_tests::agent::Agent;
use tocsin_tests::meter::Meter;

use crate::proxy::Proxy;

/// One look at the counters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    time: Instant,
    cpu: Duration,
    switches: u64,
    disk_bytes: u64,
    wire: (u64, u64),
    /// Sequence of the agent's last event.
    pub(crate) sequence: u64,
    /// Events that the server has not acknowledged.
    pub(crate) waiting: u64,
    begun: u64,
}

/// What was used in between.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// How long that was.
    pub(crate) took: Duration,
    /// CPU time.
    pub(crate) cpu: Duration,
    /// Switches of its threads, of both kinds.
    pub(crate) switches: u64,
    /// Bytes that it had written to storage.
    pub(crate) disk_bytes: u64,
    /// Bytes to the server, TLS and all, and from it.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Events.
    pub(crate) events: u64,
    /// Processes and threads that began on the machine, whoever's.
    pub(crate) begun: u64,
}

impl Look {
    /// Reads all counters.
    pub(crate) fn at(agent: &mut Agent<'_>, proxy: &Proxy) -> Result<Self> {
        let meter = Meter::new(agent.process()?.pid());
        let status = status(agent)?;
        Ok(Self {
            time: Instant::now(),
            cpu: meter.cpu_exactly()?,
            switches: meter.switches()?,
            disk_bytes: meter.disk_bytes()?,
            wire: proxy.counted(),
            sequence: number(&status, "last_sequence")?,
            waiting: number(&status, "spool_events")?,
            begun: begun()?,
        })
    }

    /// What was used since an earlier look.
    pub(crate) fn since(&self, earlier: &Self) -> Used {
        Used {
            took: self.time.saturating_duration_since(earlier.time),
            cpu: self.cpu.saturating_sub(earlier.cpu),
            switches: self.switches.saturating_sub(earlier.switches),
            disk_bytes: self.disk_bytes.saturating_sub(earlier.disk_bytes),
            sent: self.wire.0.saturating_sub(earlier.wire.0),
            received: self.wire.1.saturating_sub(earlier.wire.1),
            events: self.sequence.saturating_sub(earlier.sequence),
            begun: self.begun.saturating_sub(earlier.begun),
        }
    }
}

impl Used {
    /// Of one core, in percent.
    pub(crate) fn cpu_percent(&self) -> f64 {
        self.cpu.as_secs_f64() * 100.0 / self.seconds()
    }

    /// So many a minute.
    pub(crate) fn per_minute(&self, count: f64) -> f64 {
        count * 60.0 / self.seconds()
    }

    /// So many a second.
    pub(crate) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.seconds()
    }

    fn seconds(&self) -> f64 {
        self.took.as_secs_f64().max(f64::EPSILON)
    }
}

/// What the agent last wrote of itself. Its command would print the same, and be one more process that is seen.
fn status(agent: &Agent<'_>) -> Result<Value> {
    let text = fs::read(agent.state().join("status.json")).context("read the agent's status")?;
    Ok(serde_json::from_slice(&text)?)
}

fn number(status: &Value, name: &str) -> Result<u64> {
    let number = status.get(name).and_then(Value::as_u64);
    number.with_context(|| format!("{name} in the agent's status"))
}

/// Processes and threads that began since boot.
fn begun() -> Result<u64> {
    let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("processes "));
    Ok(count.context("processes in /proc/stat")?.trim().parse()?)
}
