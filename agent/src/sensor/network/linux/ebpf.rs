//! Flows from inside the kernel: programs at the kernel's own tracepoints tell each connection in the moment in which it is
//! asked for, made, accepted and ended, with its process.
//!
//! Promises: every TCP connection of the agent's network namespace is seen, however short, with the process that asked
//! for it and the bytes at its end; what the ring had no room for is counted and becomes a gap with this count, after which
//! a scan mends the table. Sockets are scanned at the start and then hardly ever.
//! What it does not see: UDP, and who accepted a connection where the kernel's tracepoints of system calls are out of
//! reach or io_uring was used: then it is whoever listens.
//!
//! The programs wake nobody; see the process sensor's `ebpf` for why and how the ring is read.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use aya::include_bytes_aligned;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

use super::desk::Desk;
use super::diag_socket::Scanner;
use super::record::{self, Record};
use super::wake_by;
use crate::clock;
use crate::memory;
use crate::sensor::bpf::{Programs, Settings};
use crate::sensor::network::NetworkSink;
use crate::sensor::network::flow::Flow;
use crate::sensor::network::table::FlowTable;
use crate::sensor::process::own_network;
use crate::sensor::{Output, Sensor, SensorError, Stop};

/// Its name in health and gaps.
pub(crate) const NAME: &str = "network/ebpf";

static OBJECT: &[u8] = include_bytes_aligned!("../../bpf/network.bpf.o");

/// Programs and the tracepoints to which they belong.
const TRACEPOINTS: [(&str, &str); 1] = [("on_state", "inet_sock_set_state")];

/// Those at the ends of system calls, which not every machine lets be reached.
const SYSTEM_CALLS: [(&str, &str); 2] = [
    ("on_accept", "sys_exit_accept"),
    ("on_accept4", "sys_exit_accept4"),
];

/// The ring: some 10,000 connections with all that happens to them. The kernel's memory.
const RING_BYTES: u32 = 4 << 20;

/// Time between two looks at the ring, while something comes and at most.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// See [`INTERVAL_MIN`].
const INTERVAL_MAX: Duration = Duration::from_millis(200);

/// A scan is made after so long although nothing is known to be lost: it costs little so seldom, and mends whatever was.
const SCAN_MS: i64 = 600_000;

/// Records between two hand-overs and looks at the clock.
const GROUP_MAX: usize = 512;

/// The sensor.
#[derive(Debug, Default)]
pub(crate) struct KernelFlows;

impl Sensor for KernelFlows {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, output: &Output, stop: &Stop) -> Result<(), SensorError> {
        let loaded = load(RING_BYTES)?;
        // The kernel's description of itself is large, and needed only for loading.
        memory::give_back();
        watch(loaded, output, stop)
    }
}

/// The programs, and whether they see who accepts.
fn load(ring_bytes: u32) -> Result<(Programs, bool), SensorError> {
    let own = own_network().ok_or_else(|| {
        SensorError::Unavailable("the agent's own network namespace cannot be read".into())
    })?;
    let settings = Settings {
        ring_bytes,
        network: Some(own),
        told_max: 1,
    };
    let mut programs = Programs::load(OBJECT, settings, &TRACEPOINTS)?;
    let attached = programs.attach_to_system_calls(&SYSTEM_CALLS);
    if let Err(error) = &attached {
        tracing::warn!(error, "who accepts a connection is taken from who listens");
    }
    Ok((programs, attached.is_ok()))
}

fn failed(error: io::Error) -> SensorError {
    SensorError::failed("look at the sockets")(error)
}

/// Runs until it is stopped.
fn watch(loaded: (Programs, bool), sink: &dyn NetworkSink, stop: &Stop) -> Result<(), SensorError> {
    let wake = wake_by(stop).map_err(failed)?;
    let mut watch = Watch::new(loaded, sink)?;
    watch.scan()?;
    sink.running(watch.desk.misses().unwrap_or_default());
    tracing::debug!(watch.sees_accepts, "connections are told by the kernel");
    let mut interval = INTERVAL_MIN;
    while !stop.is_stopped() {
        // Also woken by names: they are to be known before the connection that they are for.
        let descriptors = [Some(wake.as_fd()), watch.desk.names_come_from()];
        let mut waits: Vec<PollFd<'_>> = descriptors
            .into_iter()
            .flatten()
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        let timeout = PollTimeout::try_from(interval).unwrap_or(PollTimeout::MAX);
        match poll(&mut waits, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(failed(error.into())),
        }
        interval = if watch.look()? {
            INTERVAL_MIN
        } else {
            (interval * 2).min(INTERVAL_MAX)
        };
    }
    Ok(())
}

fn nanoseconds_a_tick() -> u64 {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    let ticks = ticks.and_then(|ticks| u64::try_from(ticks).ok());
    1_000_000_000 / ticks.unwrap_or(100).max(1)
}

struct Watch<'a> {
    programs: Programs,
    /// It is told who accepts a connection.
    sees_accepts: bool,
    scanner: Scanner,
    table: FlowTable,
    desk: Desk,
    sink: &'a dyn NetworkSink,
    nanoseconds_a_tick: u64,
    /// When losses were asked for last, Unix milliseconds.
    asked_ms: i64,
    scanned_ms: i64,
}

impl<'a> Watch<'a> {
    fn new(
        (programs, sees_accepts): (Programs, bool),
        sink: &'a dyn NetworkSink,
    ) -> Result<Self, SensorError> {
        let now_ms = clock::now_ms();
        let mut desk = Desk::default();
        desk.look_for_names(now_ms);
        Ok(Self {
            programs,
            sees_accepts,
            scanner: Scanner::open().map_err(failed)?,
            table: FlowTable::default(),
            desk,
            sink,
            nanoseconds_a_tick: nanoseconds_a_tick(),
            asked_ms: now_ms,
            scanned_ms: now_ms,
        })
    }

    /// Takes all that there is; true where that was anything.
    fn look(&mut self) -> Result<bool, SensorError> {
        let now_ms = clock::now_ms();
        self.desk.hear_names(now_ms);
        let mut something = false;
        loop {
            let taken = self.take();
            something |= taken > 0;
            if taken < GROUP_MAX {
                break;
            }
            // What is not taken waits in the ring.
            self.sink.pace();
        }
        let mut told = Vec::new();
        self.table
            .look(now_ms, &self.desk, &mut |flow| told.push(flow));
        self.tell(told);
        let has_lost = something && self.report_losses(now_ms)?;
        if has_lost || !(0..SCAN_MS).contains(&now_ms.saturating_sub(self.scanned_ms)) {
            self.scan()?;
        }
        Ok(something)
    }

    /// Takes a group of records and tells what comes of it; their number.
    fn take(&mut self) -> usize {
        let age = Ages::now();
        let mut told = Vec::new();
        let (table, desk) = (&mut self.table, &self.desk);
        let nanoseconds_a_tick = self.nanoseconds_a_tick;
        let taken = self.programs.take(GROUP_MAX, |bytes| {
            let Some(Record {
                time_ns,
                news,
                socket,
                owner,
            }) = record::parse(bytes, nanoseconds_a_tick)
            else {
                return;
            };
            let of = (&socket, owner.map(Arc::new));
            told.extend(table.news(news, of, age.wall_ms(time_ns), desk));
        });
        self.tell(told);
        taken
    }

    fn tell(&self, flows: Vec<Flow>) {
        if !flows.is_empty() {
            self.sink.observed(flows);
        }
    }

    /// A ring that was full has records now, so losses need not be asked for where there are none. True where there
    /// were any.
    fn report_losses(&mut self, now_ms: i64) -> Result<bool, SensorError> {
        let from_ms = std::mem::replace(&mut self.asked_ms, now_ms);
        let losses = [
            self.programs.take_lost()?,
            Some(self.table.take_lost())
                .filter(|lost| *lost > 0)
                .map(Some),
        ];
        let mut has_lost = false;
        for lost in losses.into_iter().flatten() {
            tracing::error!(lost, "there was no room for news of connections");
            self.sink.lost(lost, from_ms, now_ms);
            has_lost = true;
        }
        Ok(has_lost)
    }

    fn scan(&mut self) -> Result<(), SensorError> {
        let now_ms = clock::now_ms();
        self.scanned_ms = now_ms;
        let (table, scanner) = (&mut self.table, &mut self.scanner);
        super::scan(table, scanner, &mut self.desk, (self.sink, now_ms)).map_err(failed)?;
        let lost = self.table.take_lost();
        if lost > 0 {
            self.sink.lost(Some(lost), self.asked_ms, now_ms);
        }
        Ok(())
    }
}

/// How the wall clock stands to that of the records.
#[derive(Debug, Clone, Copy)]
struct Ages {
    monotonic_ns: i128,
    wall_ms: i64,
}

impl Ages {
    fn now() -> Self {
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
            i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec())
        });
        Self {
            monotonic_ns: monotonic,
            wall_ms: clock::now_ms(),
        }
    }

    fn wall_ms(&self, time_ns: u64) -> i64 {
        let ago_ms = (self.monotonic_ns - i128::from(time_ns)) / 1_000_000;
        self.wall_ms
            .saturating_sub(i64::try_from(ago_ms).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
