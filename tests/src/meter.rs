//! What a running program uses, as the kernel counts it: CPU time and memory.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};

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

    /// CPU time so far to the nanosecond, by the process's own clock: for what is idle, where ticks are too coarse.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn cpu_exactly(self) -> Result<Duration> {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(self.pid)?))?;
        Ok(clock_gettime(clock)
            .context("read a program's clock")?
            .into())
    }

    /// CPU time of its threads so far, by their names.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn cpu_of_threads(self) -> Result<BTreeMap<String, Duration>> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).context("list threads")?;
        let mut times: BTreeMap<String, Duration> = BTreeMap::new();
        for thread in threads.flatten() {
            let read = |file| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            // Nanoseconds on a processor come first. Of one that has ended meanwhile nothing can be read.
            let ran = read("schedstat");
            let Some(Ok(ran)) = ran.split(' ').next().map(str::parse) else {
                continue;
            };
            *times.entry(read("comm").trim().to_owned()).or_default() += Duration::from_nanos(ran);
        }
        Ok(times)
    }

    /// How often its threads gave up the processor or had it taken away. Threads that have ended are left out.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn switches(self) -> Result<u64> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).context("list threads")?;
        let mut switches = 0;
        for thread in threads.flatten() {
            // It may have ended meanwhile.
            let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            let counts = status
                .lines()
                .filter(|line| line.contains("ctxt_switches:"));
            let counts =
                counts.filter_map(|line| line.rsplit_once(':')?.1.trim().parse::<u64>().ok());
            switches += counts.sum::<u64>();
        }
        Ok(switches)
    }

    /// Bytes that it caused to be written to storage so far.
    ///
    /// # Errors
    /// Where it has ended, or is another account's.
    pub fn disk_bytes(self) -> Result<u64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.pid)).context("read its I/O")?;
        let bytes = io
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes:"));
        Ok(bytes.context("find write_bytes")?.trim().parse()?)
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

    /// Resident memory that is no file's, bytes: what it allocated.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn own_bytes(self) -> Result<u64> {
        self.memory("RssAnon:")
    }

    /// Begins [`Meter::peak_resident_bytes`] anew.
    ///
    /// # Errors
    /// Where it has ended, or is another account's.
    pub fn forget_peak(self) -> Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5").context("forget a program's peak")
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
