//! Flows on Linux, of the network namespace that the agent is in.
//!
//! ```text
//! the kernel's counts every 250 ms to 2 s  --> whether to scan
//! sock_diag dump      when they changed, every 10 s anyway --+
//! sock_diag notices   sockets that are no more  -------------+-> table -> flows
//! /proc/PID/fd        owners of new sockets  ----------------+
//! resolved, hosts     names  --------------------------------+
//! ```
//!
//! A scan costs as much as there are sockets, and looking for owners as much as there are open files: the next scan
//! waits until this one has cost no more than [`SHARE`] of a processor. Where the counts say that nothing came and
//! nothing went there is none; they are silent when one socket begins to listen in the moment in which another one ceases,
//! which is then told by the next scan that is made anyway.

mod counters;
mod desk;
mod diag_socket;
pub(crate) mod ebpf;
mod owner;
mod record;
mod resolver;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::time::{ClockId, clock_gettime};

use self::counters::Counters;
use self::desk::Desk;
use self::diag_socket::{Notices, Scanner};
use super::NetworkSink;
use super::counts::Counts;
use super::flow::Flow;
use super::table::FlowTable;
use crate::clock;
use crate::sensor::{Output, Sensor, SensorError, Stop};

/// Time between looks at the counts while connections come and go, and at most while nothing does.
const INTERVAL_MIN: Duration = Duration::from_millis(250);
const INTERVAL_MAX: Duration = Duration::from_secs(2);

/// A scan that costs much is made as seldom as this share of a processor allows: one part in so many.
const SHARE: u32 = 40;

/// While nothing changes, one part in so many.
const SHARE_QUIET: u32 = 1000;

/// A name that was just asked for is soon connected to.
const AFTER_NAME: Duration = Duration::from_millis(100);

/// But never more seldom than this.
const INTERVAL_COSTLY: Duration = Duration::from_secs(10);

/// A scan is made after so long whatever the counts say.
const SCAN_MS: i64 = 10_000;

/// Flows that are handed over at once.
const PIECE: usize = 256;

/// Notices are gathered for so long before they are looked at.
const GATHER: Duration = Duration::from_millis(50);

/// Its name in health and gaps.
pub(crate) const NAME: &str = "network/sock_diag";

/// The sensor.
#[derive(Debug, Default)]
pub(crate) struct Flows;

impl Flows {
    /// Runs until it is stopped or can go on no more.
    pub(crate) fn run(&self, sink: &dyn NetworkSink, stop: &Stop) -> io::Result<()> {
        let wake = wake_by(stop)?;
        let scanner = Scanner::open()?;
        let (notices, lacks) = match Notices::open() {
            Ok(notices) => (Some(notices), None),
            Err(error) => (None, Some(error)),
        };
        let mut running = Running {
            sink,
            scanner,
            counters: Counters::open(),
            counts: None,
            scanned_ms: i64::MIN,
            table: FlowTable::default(),
            notices,
            desk: Desk::default(),
            last_ms: clock::now_ms(),
        };
        running.desk.look_for_names(clock::now_ms());
        sink.running(running.detail(lacks.as_ref()));
        while !stop.is_stopped() {
            let cost = processor_time();
            let changed = running.look()?;
            let cost = processor_time().saturating_sub(cost);
            let interval = if changed {
                INTERVAL_MIN
            } else {
                (cost * SHARE_QUIET).clamp(INTERVAL_MIN, INTERVAL_MAX)
            };
            let bearable = (cost * SHARE).min(INTERVAL_COSTLY);
            running.wait(interval.max(bearable), &wake, stop)?;
        }
        Ok(())
    }
}

impl Sensor for Flows {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, output: &Output, stop: &Stop) -> Result<(), SensorError> {
        Flows::run(self, output, stop).map_err(SensorError::failed("look at the sockets"))
    }
}

/// An event that is signaled when it is time to end.
fn wake_by(stop: &Stop) -> io::Result<Arc<EventFd>> {
    let event = Arc::new(EventFd::from_flags(
        EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC,
    )?);
    let other = Arc::clone(&event);
    stop.wake_by(move || {
        // It can only fail by being signaled already.
        let _signaled = other.write(1);
    });
    Ok(event)
}

/// Processor time of this thread.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

struct Running<'a> {
    sink: &'a dyn NetworkSink,
    scanner: Scanner,
    counters: Counters,
    /// Before the last scan.
    counts: Option<Counts>,
    scanned_ms: i64,
    table: FlowTable,
    notices: Option<Notices>,
    desk: Desk,
    last_ms: i64,
}

impl Running<'_> {
    fn detail(&self, lacks: Option<&io::Error>) -> String {
        let mut missing = Vec::new();
        if let Some(error) = lacks {
            missing.push(format!("no notices of closed connections: {error}"));
        }
        missing.extend(self.desk.misses());
        missing.join("; ")
    }

    /// Looks at the counts, and at all sockets where there is a reason to; true where connections came or went.
    fn look(&mut self) -> io::Result<bool> {
        let now_ms = clock::now_ms();
        self.desk.hear_names(now_ms);
        // Before the scan: what comes while it is made shows at the next look.
        let counts = self.counters.read();
        let is_unchanged = counts.is_some() && counts == self.counts && !self.table.has_waiting();
        let is_recent = (0..SCAN_MS).contains(&now_ms.saturating_sub(self.scanned_ms));
        let changed = if is_unchanged && is_recent {
            let mut told = Vec::new();
            self.table
                .note_unchanged(now_ms, &mut |flow| told.push(flow));
            self.tell(told);
            false
        } else {
            self.counts = counts;
            self.scanned_ms = now_ms;
            self.scan(now_ms)?
        };
        // Notices that were lost may be as old as the look before this one.
        let heard = self.hear_notices()?;
        self.last_ms = now_ms;
        Ok(changed | heard)
    }

    /// Takes a scan; true where connections came or went.
    fn scan(&mut self, now_ms: i64) -> io::Result<bool> {
        let (table, scanner) = (&mut self.table, &mut self.scanner);
        let changed = scan(table, scanner, &mut self.desk, (self.sink, now_ms))?;
        let lost = self.table.take_lost();
        if lost > 0 {
            self.sink.lost(Some(lost), self.last_ms, now_ms);
        }
        Ok(changed)
    }

    fn tell(&self, flows: Vec<Flow>) {
        if !flows.is_empty() {
            self.sink.observed(flows);
        }
    }

    /// Takes the kernel's notices; true where there were any.
    fn hear_notices(&mut self) -> io::Result<bool> {
        let Some(notices) = &mut self.notices else {
            return Ok(false);
        };
        let now_ms = clock::now_ms();
        let mut told = Vec::new();
        let (table, desk) = (&mut self.table, &self.desk);
        let lost = notices.drain(|socket| told.extend(table.destroyed(socket, now_ms, desk)))?;
        if lost {
            self.sink.lost(None, self.last_ms, now_ms);
        }
        let heard = !told.is_empty();
        self.tell(told);
        Ok(heard)
    }

    /// Waits for the next scan, and takes notices and names meanwhile.
    fn wait(&mut self, interval: Duration, wake: &EventFd, stop: &Stop) -> io::Result<()> {
        let mut left = interval;
        while !left.is_zero() && !stop.is_stopped() {
            let began = monotonic();
            let descriptors = [
                Some(wake.as_fd()),
                self.notices.as_ref().map(AsFd::as_fd),
                self.desk.names_come_from(),
            ];
            let mut waits: Vec<PollFd<'_>> = descriptors
                .into_iter()
                .flatten()
                .map(|descriptor: BorrowedFd<'_>| PollFd::new(descriptor, PollFlags::POLLIN))
                .collect();
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut waits, timeout) {
                Ok(0) => return Ok(()),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            // One wake-up for many of them.
            stop.wait(GATHER.min(left));
            let named = self.desk.hear_names(clock::now_ms());
            self.hear_notices()?;
            left = left.saturating_sub(monotonic().saturating_sub(began));
            if named {
                left = left.min(AFTER_NAME);
            }
        }
        Ok(())
    }
}

/// Scans all sockets and tells what changed since; true where that was anything.
fn scan(
    table: &mut FlowTable,
    scanner: &mut Scanner,
    desk: &mut Desk,
    (sink, now_ms): (&dyn NetworkSink, i64),
) -> io::Result<bool> {
    table.begin_scan();
    scanner.scan(|socket| table.see(socket))?;
    let mut changed = false;
    let mut piece = Vec::new();
    table.finish_scan(now_ms, desk, &mut |flow| {
        changed = true;
        piece.push(flow);
        if piece.len() >= PIECE {
            sink.observed(std::mem::take(&mut piece));
            sink.pace();
        }
    });
    if !piece.is_empty() {
        sink.observed(piece);
    }
    Ok(changed)
}

fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}
