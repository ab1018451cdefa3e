//! The process sensor inside the kernel: programs at the kernel's own tracepoints tell each fork, exec and exit with
//! all that belongs to it, command line included, in the moment in which it happens.
//!
//! Promises: every process is seen, however short its life, with its arguments and its parent; what the ring had no
//! room for is counted by the kernel's programs and becomes a gap with exactly this count, after which the table is
//! brought in line with `/proc`. A process cannot keep it from being read: the kernel has copied all before it runs.
//! What it does not see: a change of user is known by the next exec or the end.
//!
//! The programs wake nobody. This thread comes every 10 ms while processes come and go and up to every 100 ms while none
//! does; the ring holds ten seconds of a storm of 2,000 processes a second. While later stages are behind, the ring
//! is where events wait. Nothing of the process table is read on this way; see [`super::table::told`] for exceptions.
//!
//! It needs root (or CAP_BPF and CAP_PERFMON), a kernel from 5.8 on that describes itself, and the machine's own pid
//! namespace. In another network namespace it restricts itself, in the kernel, to that one's processes.

mod image;
mod record;

use std::sync::Arc;
use std::time::Duration;

use aya::include_bytes_aligned;

use self::image::Images;
use self::record::{Head, What};
use super::namespace::restriction;
use super::procfs::ProcFiles;
use super::table::{Login, Table, Told};
use crate::config::Scope;
use crate::hash::Hasher;
use crate::memory;
use crate::sensor::bpf::{Programs, Settings};
use crate::sensor::{LossReason, Observation, Output, Sensor, SensorError, Stop};

/// Its name in health and gaps.
pub(crate) const NAME: &str = "process/ebpf";

static OBJECT: &[u8] = include_bytes_aligned!("../bpf/process.bpf.o");

/// The object's programs and the tracepoints to which they belong.
const TRACEPOINTS: [(&str, &str); 3] = [
    ("on_fork", "sched_process_fork"),
    ("on_exec", "sched_process_exec"),
    ("on_exit", "sched_process_exit"),
];

/// The ring: some 20,000 processes with fork, exec and exit. The kernel's memory.
const RING_BYTES: u32 = 8 << 20;

/// Processes that restricted programs remember; the eldest are forgotten, which matters only where one changes its
/// namespace.
const TOLD_MAX: u32 = 16 << 10;

/// Time between two looks at the ring, while something comes and at most.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// See [`INTERVAL_MIN`].
const INTERVAL_MAX: Duration = Duration::from_millis(100);

/// Records between two hand-overs and looks at the clock.
const GROUP_MAX: usize = 512;

/// The sensor.
#[derive(Debug)]
pub(crate) struct Ebpf {
    scope: Scope,
    hasher: Arc<Hasher>,
    ring_bytes: u32,
}

impl Ebpf {
    /// Reports what is in `scope`; executables are hashed by `hasher`.
    pub(crate) fn new(scope: Scope, hasher: Arc<Hasher>) -> Self {
        Self {
            scope,
            hasher,
            ring_bytes: RING_BYTES,
        }
    }
}

impl Sensor for Ebpf {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, output: &Output, stop: &Stop) -> Result<(), SensorError> {
        let namespace = restriction(self.scope);
        let programs = load(self.ring_bytes, namespace)?;
        // The kernel's description of itself is large, and needed only for loading.
        memory::give_back();
        let mut watch = Watch::new(programs, namespace, &self.hasher, output);
        watch.scan()?;
        output.running(detail(namespace));
        let mut interval = INTERVAL_MIN;
        loop {
            let is_over = stop.wait(interval);
            let something = watch.drain()?;
            if is_over {
                break;
            }
            interval = if something {
                INTERVAL_MIN
            } else {
                (interval * 2).min(INTERVAL_MAX)
            };
        }
        Ok(())
    }
}

fn load(ring_bytes: u32, namespace: Option<u64>) -> Result<Programs, SensorError> {
    let settings = Settings {
        ring_bytes,
        network: namespace,
        told_max: TOLD_MAX,
    };
    Programs::load(OBJECT, settings, &TRACEPOINTS)
}

/// Whether it can run here and now: what it sees, or why not.
pub(crate) fn probe(scope: Scope) -> Result<String, SensorError> {
    let namespace = restriction(scope);
    // As small as can be: only whether it is possible is asked.
    load(64 << 10, namespace)?;
    Ok(match namespace {
        None => "every process of the machine with its arguments, from inside the kernel".into(),
        Some(_) => {
            "every process in the agent's network namespace with its arguments, from inside the kernel".into()
        }
    })
}

fn detail(namespace: Option<u64>) -> String {
    namespace.map_or_else(String::new, |inode| {
        format!("only processes in network namespace {inode}")
    })
}

/// The loop's state.
struct Watch<'a> {
    programs: Programs,
    table: Table<ProcFiles>,
    images: Images,
    output: &'a Output,
    /// When losses were asked for last, Unix milliseconds.
    asked_ms: i64,
}

impl<'a> Watch<'a> {
    fn new(
        programs: Programs,
        namespace: Option<u64>,
        hasher: &Arc<Hasher>,
        output: &'a Output,
    ) -> Self {
        let table = Table::new(ProcFiles::new(hasher.clone()), namespace);
        let mut watch = Self {
            programs,
            table,
            images: Images::new(hasher.clone()),
            output,
            asked_ms: 0,
        };
        watch.asked_ms = watch.now_ms();
        watch
    }

    fn scan(&mut self) -> Result<(), SensorError> {
        self.table
            .scan()
            .map_err(SensorError::failed("read the process table"))?;
        super::hand_over_inventory(self.output, self.table.take());
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        let clocks = self.table.clocks();
        clocks.wall_ms(clocks.monotonic_ns)
    }

    /// Takes all that the ring has; true where that was anything.
    fn drain(&mut self) -> Result<bool, SensorError> {
        let mut something = false;
        loop {
            self.table.set_clocks();
            self.output.busy(self.now_ms());
            let (table, images) = (&mut self.table, &mut self.images);
            let taken = self
                .programs
                .take(GROUP_MAX, |bytes| apply(table, images, bytes));
            self.table.look();
            self.hand_over();
            something |= taken > 0;
            if taken < GROUP_MAX {
                break;
            }
            // What is not taken waits in the ring.
            self.output.paused();
            self.output.pace();
        }
        if something {
            self.report_losses()?;
        }
        self.output.paused();
        Ok(something)
    }

    fn hand_over(&mut self) {
        let observations = self.table.take();
        if !observations.is_empty() {
            let boxed = |process| Observation::Process(Box::new(process));
            self.output.send(observations.into_iter().map(boxed));
        }
    }

    /// A ring that was full has records now, so losses need not be asked for where there are none.
    fn report_losses(&mut self) -> Result<(), SensorError> {
        let (from_ms, now_ms) = (self.asked_ms, self.now_ms());
        self.asked_ms = now_ms;
        let lost = |lost| {
            self.output
                .lost(LossReason::Overflow, lost, from_ms, now_ms);
        };
        let untracked = self.table.take_untracked();
        if untracked > 0 {
            lost(Some(untracked));
        }
        let Some(dropped) = self.programs.take_lost()? else {
            return Ok(());
        };
        tracing::error!(lost = dropped, "the kernel had no room for process events");
        lost(dropped);
        self.scan()
    }
}

/// Takes a record into account.
fn apply(table: &mut Table<ProcFiles>, images: &mut Images, bytes: &[u8]) {
    let Some((head, what)) = record::parse(bytes) else {
        return;
    };
    let told = told(&head);
    match what {
        What::Fork => table.fork_told(&told),
        What::Exec(exec) => table.exec_told(&told, images.image(head.pid, &exec)),
        What::Exit(status) => table.exit_told(&told, status),
    }
}

fn told(head: &Head) -> Told {
    Told {
        time_ns: head.time_ns,
        start_ns: head.start_ns,
        pid: head.pid,
        parent: head.parent,
        uid: head.uid,
        login: Login {
            uid: head.login_uid,
            // The kernel sets both or none.
            session: head.login_uid.and(head.session),
        },
        network: head.network,
    }
}

#[cfg(test)]
mod tests;
