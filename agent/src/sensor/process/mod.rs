//! Process sensors: starts, exits and changes of image, by the best source that this machine offers.
//!
//! | platform | chain, best first |
//! |---|---|
//! | Linux | `ebpf` (every event with all of it, inside the kernel), `proc_connector` (every event, the rest read from `/proc`), `poll` |
//! | others | `poll` |
//!
//! Missing here: the audit system (Linux, between the first two), ETW (Windows), Endpoint Security (macOS). Each is
//! another [`Level`].

use std::sync::Arc;

use super::Sensor;
#[cfg(target_os = "linux")]
use super::SensorError;
use crate::config::ProcessConfig;
#[cfg(target_os = "linux")]
use crate::config::Source;
use crate::hash::{FileIdentity, Hasher};

#[cfg(target_os = "linux")]
mod clocks;
#[cfg(target_os = "linux")]
mod datagram;
#[cfg(target_os = "linux")]
mod ebpf;
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
pub(crate) use namespace::{in_initial, own_network};

/// Processes of an inventory that are handed over at once.
#[cfg(target_os = "linux")]
const INVENTORY_PIECE: usize = 256;

/// One source of the chain, and whether it can be had.
#[derive(Debug)]
pub(crate) struct Level {
    /// As its sensor calls itself.
    pub(crate) name: &'static str,
    /// What it sees and misses, or why it cannot run here and now.
    pub(crate) probed: Result<String, String>,
}

#[cfg(target_os = "linux")]
impl Level {
    fn of(name: &'static str, probed: Result<String, SensorError>) -> Self {
        let probed = probed.map_err(|error| crate::text::chain(&error));
        Self { name, probed }
    }
}

/// The process sensors of this machine, best first, from the configured one on.
pub(crate) fn chain(config: &ProcessConfig, hasher: &Arc<Hasher>) -> Vec<Box<dyn Sensor>> {
    let mut chain: Vec<Box<dyn Sensor>> = Vec::new();
    #[cfg(target_os = "linux")]
    {
        if config.source <= Source::Ebpf {
            chain.push(Box::new(ebpf::Ebpf::new(config.scope, hasher.clone())));
        }
        if config.source <= Source::ProcConnector {
            let sensor = proc_connector::ProcConnector::new(config.scope, hasher.clone());
            chain.push(Box::new(sensor));
        }
    }
    chain.push(Box::new(poll::Poll::new(config.clone(), hasher.clone())));
    chain
}

/// Looks which sources of the chain can run here and now, best first; ends with the first that can.
pub(crate) fn probe(config: &ProcessConfig) -> Vec<Level> {
    let mut levels = Vec::new();
    #[cfg(target_os = "linux")]
    {
        if config.source <= Source::Ebpf {
            levels.push(Level::of(ebpf::NAME, ebpf::probe(config.scope)));
        }
        let is_found = levels.iter().any(|level| level.probed.is_ok());
        if !is_found && config.source <= Source::ProcConnector {
            let probed = proc_connector::probe(config.scope);
            levels.push(Level::of(proc_connector::NAME, probed));
        }
        if levels.iter().any(|level| level.probed.is_ok()) {
            return levels;
        }
    }
    levels.push(Level {
        name: poll::NAME,
        probed: Ok(poll::detail(config.poll_interval)),
    });
    levels
}

/// Of a whole process table, piece by piece; what the kernel tells meanwhile waits there.
#[cfg(target_os = "linux")]
fn hand_over_inventory(output: &super::Output, observations: Vec<ProcessObservation>) {
    let mut observations = observations.into_iter().peekable();
    while observations.peek().is_some() {
        let piece = observations.by_ref().take(INVENTORY_PIECE);
        output.send(piece.map(|process| super::Observation::Process(Box::new(process))));
        output.pace();
    }
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
