//! Programs inside the kernel: loads one object, attaches its programs, takes their records from the ring buffer.
//!
//! ```text
//! NAME.bpf.c + kernel.h --clang (.ci/full kernel)--> NAME.bpf.o, committed --include_bytes--> here
//! ```
//!
//! Promises: a machine that cannot run them says why ([`SensorError::Unavailable`]); what the ring had no room for is
//! counted by the programs, to the record. The programs wake nobody, as a wake-up costs ten times what a record does:
//! the reader comes by a timer, and the ring holds what comes meanwhile. They end with [`Programs`].
//!
//! The object is the same for every little-endian machine: it is the kernel's own bytecode, and offsets of fields are
//! set when it is loaded, from the kernel's description of itself (BTF). The ring is the kernel's memory, not the
//! agent's: it is not in what the system tells as resident, but it is there.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use aya::maps::{Array, Map, MapData, RingBuf};
use aya::programs::{BtfTracePoint, ProgramError, ProgramFd, TracePoint};
use aya::{Btf, Ebpf, EbpfLoader};
use tocsin_proto::limits::PATH_BYTES_MAX;

use super::SensorError;
use crate::text::chain;

/// Inode of the machine's own pid namespace, from the kernel's include/linux/proc_ns.h.
const INITIAL_PID_NAMESPACE: u64 = 0xeffffffc;

/// How often it is looked for programs that were skipped.
const SKIPPED_EVERY: Duration = Duration::from_secs(1);

/// What of an object is set when it is loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// Bytes of the ring buffer: a power of two, a page at least.
    pub(super) ring_bytes: u32,
    /// Inode of the network namespace to which the programs are restricted, where they are.
    pub(super) network: Option<u64>,
    /// Entries of the map of what was told, which only restricted programs use.
    pub(super) told_max: u32,
}

/// Programs at work. They end when it is dropped.
pub(super) struct Programs {
    ring: RingBuf<MapData>,
    lost: Array<MapData, u64>,
    lost_told: u64,
    /// Where the kernel tells of each program.
    programs: Vec<String>,
    skipped: u64,
    /// When it was looked for what was skipped.
    looked: Instant,
    /// Holds the programs and their attachments.
    loaded: Ebpf,
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Programs").finish_non_exhaustive()
    }
}

impl Programs {
    /// Loads `object` and attaches its programs, each to the kernel's tracepoint of this name.
    pub(super) fn load(
        object: &[u8],
        settings: Settings,
        tracepoints: &[(&str, &str)],
    ) -> Result<Self, SensorError> {
        is_in_initial_pid_namespace()?;
        let btf = Btf::from_sys_fs().map_err(|error| {
            unavailable(
                "this kernel does not describe itself (CONFIG_DEBUG_INFO_BTF)",
                &error,
            )
        })?;
        // A namespace's inode has 32 bits.
        let network = settings.network.map_or(0, |inode| {
            u32::try_from(inode & u64::from(u32::MAX)).unwrap_or(0)
        });
        let told_max = if network == 0 { 1 } else { settings.told_max };
        let mut loaded = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("own_network", &network, true)
            .map_max_entries("events", settings.ring_bytes)
            .map_max_entries("told", told_max)
            .load(object)
            .map_err(|error| unavailable("the kernel takes no programs from here", &error))?;
        let mut programs = Vec::new();
        for (program, tracepoint) in tracepoints {
            programs.extend(attach(&mut loaded, program, tracepoint, &btf)?);
        }
        let ring = RingBuf::try_from(map(&mut loaded, "events")?)
            .map_err(|error| unavailable("the programs' ring cannot be read", &error))?;
        let lost = Array::try_from(map(&mut loaded, "lost")?)
            .map_err(|error| unavailable("the programs' count of losses cannot be read", &error))?;
        Ok(Self {
            ring,
            lost,
            lost_told: 0,
            programs,
            skipped: 0,
            looked: Instant::now(),
            loaded,
        })
    }

    /// Shows up to `max` records to `see`, the oldest first. Gives their number.
    pub(super) fn take(&mut self, max: usize, mut see: impl FnMut(&[u8])) -> usize {
        for number in 0..max {
            let Some(record) = self.ring.next() else {
                return number;
            };
            see(&record);
        }
        max
    }

    /// Whether records were lost since the last call: `Some` number of those that the ring had no room for, and
    /// without a number where a program was skipped, as the kernel does when it would interrupt itself.
    pub(super) fn take_lost(&mut self) -> Result<Option<Option<u64>>, SensorError> {
        let lost = self
            .lost
            .get(&0, 0)
            .map_err(|error| unavailable("the programs' count of losses cannot be read", &error))?;
        let new = lost.wrapping_sub(self.lost_told);
        self.lost_told = lost;
        if new > 0 {
            return Ok(Some(Some(new)));
        }
        if self.looked.elapsed() < SKIPPED_EVERY {
            return Ok(None);
        }
        self.looked = Instant::now();
        let skipped = self.programs.iter().map(|info| skipped(info)).sum();
        let former = std::mem::replace(&mut self.skipped, skipped);
        Ok((skipped > former).then_some(None))
    }

    /// Attaches programs to the ends of system calls, where the kernel's tracepoints of them can be reached; says why
    /// not where they cannot.
    pub(super) fn attach_to_system_calls(
        &mut self,
        tracepoints: &[(&str, &str)],
    ) -> Result<(), String> {
        for (name, tracepoint) in tracepoints {
            let program: &mut TracePoint = self
                .loaded
                .program_mut(name)
                .ok_or_else(|| format!("there is no program '{name}'"))?
                .try_into()
                .map_err(|error: ProgramError| chain(&error))?;
            program.load().map_err(|error| chain(&error))?;
            program
                .attach("syscalls", tracepoint)
                .map_err(|error| chain(&error))?;
            self.programs.extend(info(program.fd()));
        }
        Ok(())
    }
}

/// Where the kernel tells of a loaded program.
fn info(program: Result<&ProgramFd, ProgramError>) -> Option<String> {
    let number = program.ok()?.as_fd().as_raw_fd();
    Some(format!("/proc/self/fdinfo/{number}"))
}

/// How often the kernel skipped a program; 0 where it does not tell (before 5.12).
fn skipped(info: &str) -> u64 {
    let text = std::fs::read_to_string(info).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("recursion_misses:"));
    line.and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

/// The path of a file as people write it, cut at its limit, from names up to that of the uppermost folder, each ended by a
/// zero byte; empty where there are none.
pub(super) fn path(names: &[u8], is_deleted: bool) -> Box<[u8]> {
    let names = names.strip_suffix(b"\0").unwrap_or(names);
    if names.is_empty() {
        return Box::default();
    }
    let mut path = Vec::with_capacity(names.len() + 1);
    for name in names.rsplit(|byte| *byte == 0) {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if is_deleted {
        // As the kernel says it in /proc/PID/exe.
        path.extend_from_slice(b" (deleted)");
    }
    path.truncate(PATH_BYTES_MAX);
    path.into()
}

fn map(loaded: &mut Ebpf, name: &str) -> Result<Map, SensorError> {
    loaded
        .take_map(name)
        .ok_or_else(|| SensorError::Unavailable(format!("the programs have no map '{name}'")))
}

fn attach(
    loaded: &mut Ebpf,
    name: &str,
    tracepoint: &str,
    btf: &Btf,
) -> Result<Option<String>, SensorError> {
    let refused = |error: &dyn std::error::Error| {
        unavailable(
            &format!("the kernel refuses a program at {tracepoint}"),
            error,
        )
    };
    let program: &mut BtfTracePoint = loaded
        .program_mut(name)
        .ok_or_else(|| SensorError::Unavailable(format!("there is no program '{name}'")))?
        .try_into()
        .map_err(|error: ProgramError| refused(&error))?;
    program
        .load(tracepoint, btf)
        .map_err(|error| refused(&error))?;
    program.attach().map_err(|error| refused(&error))?;
    Ok(info(program.fd()))
}

/// The records name processes by the numbers of the machine's own namespace.
fn is_in_initial_pid_namespace() -> Result<(), SensorError> {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata(Path::new("/proc/self/ns/pid")).map(|metadata| metadata.ino());
    if own.is_ok_and(|inode| inode == INITIAL_PID_NAMESPACE) {
        return Ok(());
    }
    Err(SensorError::Unavailable(
        "the agent must run in the machine's own pid namespace".into(),
    ))
}

/// The reason in one line: a verifier's log has many, of which the first says enough.
fn unavailable(what: &str, error: &dyn std::error::Error) -> SensorError {
    let text = chain(error);
    let line = text.lines().next().unwrap_or_default();
    let cure = if nix::unistd::geteuid().is_root() {
        ""
    } else {
        ": run the agent as root"
    };
    SensorError::Unavailable(format!("{what}{cure} ({line})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_turned_round_and_a_file_without_a_name_is_marked() {
        assert_eq!(path(b"true\0bin\0", false).as_ref(), b"/bin/true");
        assert_eq!(path(b"memfd:x\0", true).as_ref(), b"/memfd:x (deleted)");
        assert_eq!(path(b"", true).as_ref(), b"", "unknown");
        let long = [b'x'; PATH_BYTES_MAX + 5];
        assert_eq!(path(&long, true).len(), PATH_BYTES_MAX);
    }
}
