//! Process sensors: starts, exits and changes of image, by the best source that this machine offers.
//!
//! | platform | chain, best first |
//! |---|---|
//! | Linux | `proc_connector` (every event, by the kernel), `poll` |
//! | others | `poll` |
//!
//! Missing here: the kernel's own view by eBPF and by the audit system (Linux), ETW (Windows), Endpoint Security
//! (macOS). Each is another [`Sensor`] before the ones in [`chain`].

use std::sync::Arc;

use super::Sensor;
use crate::config::ProcessConfig;
use crate::hash::{FileIdentity, Hasher};

#[cfg(target_os = "linux")]
mod clocks;
#[cfg(target_os = "linux")]
mod datagram;
#[cfg(target_os = "linux")]
mod namespace;
mod poll;
#[cfg(target_os = "linux")]
pub(crate) mod proc_connector;
#[cfg(target_os = "linux")]
mod procfs;
#[cfg(target_os = "linux")]
mod table;

#[cfg(target_os = "linux")]
pub(crate) use namespace::in_initial;

/// The process sensors of this machine, best first.
pub(crate) fn chain(config: &ProcessConfig, hasher: &Arc<Hasher>) -> Vec<Box<dyn Sensor>> {
    vec![
        #[cfg(target_os = "linux")]
        Box::new(proc_connector::ProcConnector::new(
            config.scope,
            hasher.clone(),
        )),
        Box::new(poll::Poll::new(config.clone(), hasher.clone())),
    ]
}

/// Whether the best sensor of the platform can run here and now: what it sees, or why not.
pub(crate) fn probe() -> Result<String, String> {
    #[cfg(target_os = "linux")]
    return proc_connector::probe().map_err(|error| crate::text::chain(&error));
    #[cfg(not(target_os = "linux"))]
    Ok("the process table is read every few seconds; shorter processes are missed".into())
}

/// What happened to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It is new.
    Start,
    /// It ended.
    Exit,
    /// It executed another image after its start was reported.
    Exec,
    /// It was found running.
    Observed,
}

/// How complete a command line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArgvState {
    /// All of it.
    Read,
    /// It was gone before it could be read.
    Unread,
    /// Cut at the limit.
    Truncated,
}

/// What a process executes. Shared by all that inherited it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// Path as the kernel tells it; empty where unknown.
    pub(crate) executable: Box<[u8]>,
    /// Arguments, each ended by a zero byte, as the process has them.
    pub(crate) argv: Box<[u8]>,
    /// How complete `argv` is.
    pub(crate) argv_state: ArgvState,
    /// Which file it was, for its hash; `None` where that is unknown or not to be hashed.
    pub(crate) file: Option<FileIdentity>,
}

impl Image {
    /// Of a process that was gone before anything could be read.
    pub(crate) fn unread() -> Self {
        Self {
            executable: Box::default(),
            argv: Box::default(),
            argv_state: ArgvState::Unread,
            file: None,
        }
    }
}

/// The process that created another, as known then.
#[derive(Debug, Clone)]
pub(crate) struct Parent {
    /// Its pid.
    pub(crate) pid: u32,
    /// Tells a reused pid apart.
    pub(crate) start_ticks: u64,
    /// What it executed.
    pub(crate) image: Arc<Image>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExitStatus {
    /// As given to exit(2); `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// The signal that ended it, 0 where none did.
    pub(crate) signal: u32,
}

impl ExitStatus {
    /// From a status as wait(2) gives it.
    #[cfg(target_os = "linux")]
    pub(crate) fn from_wait_status(status: u32) -> Self {
        let signal = status & 0x7f;
        Self {
            code: (signal == 0).then(|| i32::from(status.to_le_bytes()[1])),
            signal,
        }
    }
}

/// The account a process acts as.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Account {
    /// Effective user id.
    Uid(u32),
    /// The platform's own text, as Windows has it.
    #[cfg_attr(
        all(unix, not(test)),
        expect(dead_code, reason = "made by the polling sensor elsewhere")
    )]
    Text(String),
}

/// A process at the time of an observation.
#[derive(Debug, Clone)]
pub(crate) struct ProcessObservation {
    /// What happened.
    pub(crate) activity: Activity,
    /// When, Unix milliseconds.
    pub(crate) time_ms: i64,
    /// Its pid.
    pub(crate) pid: u32,
    /// The platform's start counter; with boot and pid the process's key.
    pub(crate) start_ticks: u64,
    /// When it started, Unix milliseconds; 0 where unknown.
    pub(crate) start_time_ms: i64,
    /// What it executes.
    pub(crate) image: Arc<Image>,
    /// Whether that is its parent's image because it executed none of its own.
    pub(crate) inherited: bool,
    /// The account it acts as, where known.
    pub(crate) account: Option<Account>,
    /// Who created it, where known.
    pub(crate) parent: Option<Parent>,
    /// On exit: how; `None` where unknown.
    pub(crate) exit: Option<ExitStatus>,
    /// Kernel's login uid, where set and known.
    pub(crate) login_uid: Option<u32>,
    /// Kernel's audit session, where set and known.
    pub(crate) audit_session: Option<u32>,
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_is_a_code_or_a_signal() {
        let of = |status| {
            let exit = ExitStatus::from_wait_status(status);
            (exit.code, exit.signal)
        };
        assert_eq!(of(0), (Some(0), 0));
        assert_eq!(of(0x0300), (Some(3), 0));
        assert_eq!(of(0xff00), (Some(255), 0));
        assert_eq!(of(9), (None, 9));
        assert_eq!(of(0x8b), (None, 11), "with a core file");
    }
}
