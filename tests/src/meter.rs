//! What a running program uses, as the kernel counts it: CPU time and memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// Reads a program's counters.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    pid: u32,
}

impl Meter {
    /// Of the program with this pid.
    pub fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// CPU time so far, user and system.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn cpu(self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .context("read a program's CPU time")?;
        // Behind the name in parentheses, which may hold anything: utime and stime are fields 14 and 15.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<u64>)
            .sum::<Result<u64, _>>()?;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("clock ticks a second")?;
        Ok(Duration::from_millis(
            ticks * 1000 / u64::try_from(per_second)?,
        ))
    }

    /// Resident memory, bytes.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn resident_bytes(self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// The most resident memory so far, bytes.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn peak_resident_bytes(self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    fn memory(self, name: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))
            .context("read a program's memory")?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .with_context(|| format!("find {name}"))?;
        Ok(kib.trim().parse::<u64>()? * 1024)
    }
}
