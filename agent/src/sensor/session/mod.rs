//! Logins and sessions: who came in, how, from where, and whether somebody sits there.
//!
//! | platform | sources |
//! |---|---|
//! | Linux | audit stream, journal or log file, wtmp and btmp, logind, the kernel's clocks |
//! | others | none yet: the event log (Windows), the unified log and utmpx (macOS) |
//!
//! Each source is parsed by a pure module of its own into [`record::Record`]s; [`merge`] makes one [`login::Login`]
//! of what several say. Nothing here is ever "no" because a source is missing: it is unknown.

mod audit;
mod journal;
#[cfg(target_os = "linux")]
pub(crate) mod linux;
pub(crate) mod login;
mod manager;
mod merge;
mod message;
pub(crate) mod power;
mod record;
mod syslog;
pub(crate) mod table;
mod utmp;

use std::path::PathBuf;

use login::Login;
use power::Power;
use table::Session;

use super::{LossReason, Observation, Output, Sensor};

/// The sensors of logins and sessions of this machine, best first; they keep their place in the logs at `place`.
pub(crate) fn chain(place: PathBuf) -> Vec<Box<dyn Sensor>> {
    #[cfg(target_os = "linux")]
    return vec![Box::new(linux::Logins::new(linux::LoginConfig::new(place)))];
    #[cfg(not(target_os = "linux"))]
    {
        drop(place);
        Vec::new()
    }
}

/// What this sensor saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionObservation {
    /// Somebody came in, was refused, or left.
    Login(Box<Login>),
    /// A session began, changed or ended.
    Session(Box<Session>),
    /// The machine started, stopped, slept or woke.
    Power(Power),
}

impl SessionObservation {
    /// When it happened, Unix milliseconds.
    pub(crate) fn time_ms(&self) -> i64 {
        match self {
            Self::Login(login) => login.time_ms,
            Self::Session(session) => session.time_ms,
            Self::Power(power) => power.time_ms,
        }
    }
}

impl SessionSink for Output {
    fn running(&self, detail: String) {
        Self::running(self, detail);
    }

    fn observed(&self, observations: Vec<SessionObservation>) {
        self.send(observations.into_iter().map(Observation::Session));
    }

    fn lost(&self, lost: Option<u64>, from_ms: i64, until_ms: i64) {
        Self::lost(self, LossReason::Overflow, lost, from_ms, until_ms);
    }
}

/// Where the sensor puts it.
pub(crate) trait SessionSink {
    /// The sources are open; `detail` names them and what is missing.
    fn running(&self, detail: String);
    /// Hands over what was seen, in order. Never blocks.
    fn observed(&self, observations: Vec<SessionObservation>);
    /// A source lost something between these times, Unix milliseconds.
    fn lost(&self, lost: Option<u64>, from_ms: i64, until_ms: i64);
}
