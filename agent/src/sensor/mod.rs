//! Sensors: what they see, and how they are run.
//!
//! A sensor turns a source of the operating system into [`Observation`]s on its own thread. It may read the
//! machine; it must not know the wire, the spool or the uplink, and it never waits for a later stage. When its
//! source lost something it says so with a [`Loss`]. It ends by [`Stop`], or with an error, and is then
//! started again ([`supervisor`]); a panic counts as an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::queue::Queue;

#[cfg(target_os = "linux")]
mod bpf;
pub(crate) mod file;
pub(crate) mod network;
pub(crate) mod process;
pub(crate) mod session;
pub(crate) mod stop;
pub(crate) mod supervisor;

pub(crate) use process::ProcessObservation;
pub(crate) use stop::Stop;

/// What a sensor saw, raw.
#[derive(Debug)]
pub(crate) enum Observation {
    /// A process began, changed or ended.
    Process(Box<ProcessObservation>),
    /// Somebody came in or left, a session changed, the machine slept.
    Session(session::SessionObservation),
    /// A connection or a listening socket.
    Flow(Box<network::flow::Flow>),
    /// Something happened to a file that matters.
    File(Box<file::change::FileObservation>),
    /// Something was lost.
    Loss(Box<Loss>),
    /// A sensor's state changed: a health event is due.
    SensorsChanged {
        /// When, Unix milliseconds.
        time_ms: i64,
    },
}

impl Observation {
    /// When it was seen, Unix milliseconds.
    pub(crate) fn time_ms(&self) -> i64 {
        match self {
            Self::Process(process) => process.time_ms,
            Self::Session(session) => session.time_ms(),
            Self::Flow(flow) => flow.time_ms,
            Self::File(file) => file.time_ms,
            Self::Loss(loss) => loss.until_ms,
            Self::SensorsChanged { time_ms } => *time_ms,
        }
    }
}

/// Where observations were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LossPlace {
    /// Between the kernel and the sensor, or because the sensor or the agent did not run.
    Sensor,
    /// Between the sensor and the spool.
    Queue,
}

/// Why observations were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LossReason {
    /// They came faster than they could be taken.
    Overflow,
    /// The sensor ended and was started again.
    SensorStopped,
    /// The agent did not run.
    AgentStopped,
}

/// A stretch in which observations were lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Where.
    pub(crate) place: LossPlace,
    /// Why.
    pub(crate) reason: LossReason,
    /// Whose.
    pub(crate) component: &'static str,
    /// How many, where that can be counted.
    pub(crate) lost: Option<u64>,
    /// Unix milliseconds.
    pub(crate) from_ms: i64,
    /// Unix milliseconds, not before `from_ms`.
    pub(crate) until_ms: i64,
}

/// Why a sensor ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SensorError {
    /// This machine or account cannot run it, and trying again will not help.
    #[error("{0}")]
    Unavailable(String),
    /// Its source failed.
    #[error("{doing}")]
    Failed {
        /// What it was doing.
        doing: &'static str,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
}

impl SensorError {
    /// For `map_err` on an I/O result.
    pub(crate) fn failed(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Failed { doing, source }
    }
}

/// Numbers of one sensor since the run began.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    observed: AtomicU64,
    lost: AtomicU64,
    /// Since when it works on what it was woken for, Unix milliseconds; 0 while it waits.
    busy_since_ms: AtomicI64,
}

impl Counters {
    /// Observations made.
    pub(crate) fn observed(&self) -> u64 {
        self.observed.load(Ordering::Relaxed)
    }

    /// Observations lost, as far as they can be counted.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Since when it works without a pause, Unix milliseconds.
    pub(crate) fn busy_since_ms(&self) -> Option<i64> {
        Some(self.busy_since_ms.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }

    /// It works since then; 0 = it waits.
    pub(crate) fn set_busy_since_ms(&self, since_ms: i64) {
        self.busy_since_ms.store(since_ms, Ordering::Relaxed);
    }
}

/// Where a sensor puts what it saw.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    component: &'static str,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    status: supervisor::StatusHandle,
}

impl Output {
    /// Hands over what was seen, in order. Never blocks.
    pub(crate) fn send(&self, observations: impl IntoIterator<Item = Observation>) {
        let mut observed = 0_u64;
        let counted = observations.into_iter().inspect(|_| observed += 1);
        let dropped = self.queue.push(self.component, counted);
        self.counters
            .observed
            .fetch_add(observed, Ordering::Relaxed);
        self.counters.lost.fetch_add(dropped, Ordering::Relaxed);
    }

    /// Waits until there is room for more, at most a moment: for a sensor that hands over a whole inventory, which must
    /// neither overflow the queue nor lie in memory all at once.
    pub(crate) fn pace(&self) {
        self.queue.wait_for_room();
    }

    /// Reports that the source lost something.
    pub(crate) fn lost(&self, reason: LossReason, lost: Option<u64>, from_ms: i64, until_ms: i64) {
        self.counters
            .lost
            .fetch_add(lost.unwrap_or(0), Ordering::Relaxed);
        let loss = Loss {
            place: LossPlace::Sensor,
            reason,
            component: self.component,
            lost,
            from_ms: from_ms.min(until_ms),
            until_ms,
        };
        self.queue
            .push(self.component, [Observation::Loss(Box::new(loss))]);
    }

    /// It begins to work on a group of what its source gave. One that never comes to [`Output::paused`] is stuck,
    /// which health shows.
    pub(crate) fn busy(&self, now_ms: i64) {
        self.counters.set_busy_since_ms(now_ms);
    }

    /// It is done with the group.
    pub(crate) fn paused(&self) {
        self.busy(0);
    }
}

/// A source of observations.
pub(crate) trait Sensor: Send {
    /// As it calls itself in health and gaps: "process/proc_connector".
    fn name(&self) -> &'static str;

    /// Runs until `stop`. Says [`Output::running`] once its source is open. May be called again after it
    /// returned an error or panicked.
    fn run(&mut self, output: &Output, stop: &Stop) -> Result<(), SensorError>;
}
