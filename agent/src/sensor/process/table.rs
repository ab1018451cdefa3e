//! The live table: what is known of every running process, kept current by the kernel's notifications, and the
//! observations that come of it. Reads `/proc` only through [`ProcessFiles`] and no clock, so tests play any story.
//!
//! Promises
//! - A process is announced once: at its first exec; without one when it has run for a while or at its exit, with
//!   its parent's image. One that was there before is observed once. Then every exec, then one exit.
//! - Its key (pid, start ticks) is fixed at its first use and never changes, also when later reading would tell
//!   another tick. Its parent is the one of the fork, never whoever took it over.
//! - Threads are no processes; kernel threads are left out. A process ends when its last thread does.
//! - Nothing is read of another process that got the same pid: its start would be later.
//!
//! Limits: [`PROCESSES_MAX`] processes; those beyond are counted as lost. A process that changes its network
//! namespace without an exec is still taken for one of the former.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::clocks::Clocks;
use super::datagram::{Notification, What};
use super::procfs::Stat;
use super::{Account, Activity, ExitStatus, Image, Parent, ProcessObservation};

mod told;

pub(super) use told::Told;

/// Processes at one time: more than a default kernel has pids for. An entry takes about 300 bytes.
const PROCESSES_MAX: usize = 1 << 17;

/// A fork that executes nothing for so long is announced with its parent's image.
const UNEXECUTED_AFTER_NS: u64 = 1_000_000_000;

/// One that has had no rest meanwhile may still be on its way to its exec, as on a machine that is overloaded: it is
/// looked at again until it has had so long.
const UNRESTED_AFTER_NS: u64 = 10_000_000_000;

/// Login uid and audit session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Login {
    /// Who logged in, where set.
    pub(super) uid: Option<u32>,
    /// In which session, where set.
    pub(super) session: Option<u32>,
}

/// What can be read of a process now. It may be gone, so everything may be missing.
pub(super) trait ProcessFiles {
    /// Every process there is.
    fn pids(&mut self) -> std::io::Result<Vec<u32>>;
    /// What it executes, as far as it can be read.
    fn image(&mut self, pid: u32) -> Image;
    /// Its state and start.
    fn stat(&mut self, pid: u32) -> Option<Stat>;
    /// Its login; `None` where it cannot be read.
    fn login(&mut self, pid: u32) -> Option<Login>;
    /// Its effective user.
    fn effective_uid(&mut self, pid: u32) -> Option<u32>;
    /// Its network namespace.
    fn network_namespace(&mut self, pid: u32) -> Option<u64>;
    /// How the clocks stand.
    fn clocks(&mut self) -> Clocks;
}

/// The start counter of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ticks {
    /// By the time of the fork's notification, not yet used in a key. The kernel's own is never later.
    Derived(u64),
    /// Used, and kept.
    Fixed(u64),
}

impl Ticks {
    /// Whether this can be the process that `/proc` speaks of, and not a later one with its pid.
    fn fits(self, read: u64) -> bool {
        match self {
            Self::Derived(derived) => read <= derived.saturating_add(1),
            Self::Fixed(fixed) => read == fixed,
        }
    }
}

#[derive(Debug)]
struct Entry {
    ticks: Ticks,
    /// Monotonic clock.
    started_ns: u64,
    /// Unix milliseconds, fixed at first sight.
    start_time_ms: i64,
    image: Arc<Image>,
    /// It executed nothing yet: the image is its parent's.
    inherited: bool,
    /// Its start was reported.
    announced: bool,
    /// It is to be reported.
    included: bool,
    /// It is a thread of the kernel.
    kernel: bool,
    parent: Option<Parent>,
    uid: Option<u32>,
    login: Login,
    /// Its threads, the first left out.
    threads: u32,
    /// The first thread ended with this status and others live.
    first_ended: Option<u32>,
    /// What `/proc` said was read then; older notifications are part of it.
    seen_ns: u64,
}

/// A process that has to be looked at later.
#[derive(Debug, Clone, Copy)]
struct Due {
    at_ns: u64,
    pid: u32,
    started_ns: u64,
}

/// The table.
#[derive(Debug)]
pub(super) struct Table<F> {
    files: F,
    /// Only processes of this network namespace are reported, where set.
    namespace: Option<u64>,
    clocks: Clocks,
    /// What started before is observed, what started after is new. Monotonic clock.
    since_ns: u64,
    entries: HashMap<u32, Entry>,
    due: VecDeque<Due>,
    observed: Vec<ProcessObservation>,
    untracked: u64,
}

impl<F: ProcessFiles> Table<F> {
    /// An empty table; `since_ns` is when the notifications began.
    pub(super) fn new(mut files: F, namespace: Option<u64>) -> Self {
        let clocks = files.clocks();
        Self {
            files,
            namespace,
            clocks,
            since_ns: clocks.monotonic_ns,
            entries: HashMap::new(),
            due: VecDeque::new(),
            observed: Vec::new(),
            untracked: 0,
        }
    }

    /// Reads the clocks; called before each group of notifications.
    pub(super) fn set_clocks(&mut self) {
        self.clocks = self.files.clocks();
    }

    /// How the clocks stand.
    pub(super) fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// What came of it since the last call, in order.
    pub(super) fn take(&mut self) -> Vec<ProcessObservation> {
        std::mem::take(&mut self.observed)
    }

    /// Processes since the last call that the table had no room for.
    pub(super) fn take_untracked(&mut self) -> u64 {
        std::mem::take(&mut self.untracked)
    }

    /// Takes a notification into account.
    pub(super) fn apply(&mut self, notification: &Notification) {
        let ns = notification.time_ns;
        match notification.what {
            What::Fork {
                parent,
                child_thread,
                child,
            } => {
                if child_thread == child {
                    self.fork(parent, child, ns);
                } else {
                    self.thread_began(child, ns);
                }
            }
            What::Exec { process } => self.exec(process, ns),
            What::Uid {
                thread,
                process,
                effective,
            } => {
                // Credentials are a thread's own; those of the first stand for the process.
                if thread == process
                    && let Some(entry) = self.newer(process, ns)
                {
                    entry.uid = Some(effective);
                }
            }
            What::Exit {
                thread,
                process,
                status,
            } => self.exit(thread, process, status, ns),
            What::Answered { .. } | What::Other => {}
        }
    }

    /// The process's entry, where this notification is not part of what was read already.
    fn newer(&mut self, pid: u32, ns: u64) -> Option<&mut Entry> {
        self.entries
            .get_mut(&pid)
            .filter(|entry| ns > entry.seen_ns)
    }

    fn thread_began(&mut self, process: u32, ns: u64) {
        if let Some(entry) = self.newer(process, ns) {
            entry.threads = entry.threads.saturating_add(1);
        }
    }

    fn fork(&mut self, parent: u32, child: u32, ns: u64) {
        if let Some(known) = self.entries.get(&child) {
            if ns <= known.seen_ns {
                return;
            }
            // The pid is used again: the end of the former process was lost.
            self.end(child, None, ns);
        }
        if !self.has_room() {
            return;
        }
        if parent != 0 && parent != child && !self.entries.contains_key(&parent) {
            self.find(parent);
        }
        let ticks = Ticks::Derived(self.clocks.ticks(ns));
        let parent_key = self.key_of_parent(parent);
        let creator = self.entries.get(&parent);
        let entry = Entry {
            ticks,
            started_ns: ns,
            start_time_ms: self.clocks.wall_ms(ns),
            image: creator.map_or_else(
                || Arc::new(Image::unread()),
                |creator| creator.image.clone(),
            ),
            inherited: true,
            announced: false,
            included: creator.map_or(self.namespace.is_none(), |creator| creator.included),
            kernel: creator.is_some_and(|creator| creator.kernel),
            parent: parent_key,
            uid: creator.and_then(|creator| creator.uid),
            login: creator.map(|creator| creator.login).unwrap_or_default(),
            threads: 0,
            first_ended: None,
            seen_ns: 0,
        };
        self.entries.insert(child, entry);
        self.look_later(child, ns, ns);
    }

    /// Whether another process can be followed; counts it as lost where it cannot.
    fn has_room(&mut self) -> bool {
        let is_full = self.entries.len() >= PROCESSES_MAX || self.due.len() >= PROCESSES_MAX;
        self.untracked += u64::from(is_full);
        !is_full
    }

    fn look_later(&mut self, pid: u32, started_ns: u64, ns: u64) {
        self.due.push_back(Due {
            at_ns: ns.saturating_add(UNEXECUTED_AFTER_NS),
            pid,
            started_ns,
        });
    }

    /// The parent as children name it. Fixes its ticks: they are in a key from now on.
    fn key_of_parent(&mut self, pid: u32) -> Option<Parent> {
        let start_ticks = self.fix_ticks(pid)?;
        let entry = self.entries.get(&pid)?;
        Some(Parent {
            pid,
            start_ticks,
            image: entry.image.clone(),
        })
    }

    fn fix_ticks(&mut self, pid: u32) -> Option<u64> {
        let entry = self.entries.get_mut(&pid)?;
        let ticks = match entry.ticks {
            Ticks::Fixed(ticks) => ticks,
            Ticks::Derived(derived) => match self.files.stat(pid) {
                Some(stat) if entry.ticks.fits(stat.start_ticks) => stat.start_ticks,
                _ => derived,
            },
        };
        entry.ticks = Ticks::Fixed(ticks);
        Some(ticks)
    }

    fn exec(&mut self, pid: u32, ns: u64) {
        if !self.entries.contains_key(&pid) {
            if self.find(pid) {
                return;
            }
            // Its fork was lost and it is gone already.
            self.fork(0, pid, ns);
        }
        let Some(entry) = self
            .entries
            .get_mut(&pid)
            .filter(|entry| ns > entry.seen_ns)
        else {
            return;
        };
        let mut image = self.files.image(pid);
        let mut login = self.files.login(pid);
        match self.files.stat(pid) {
            Some(stat) if entry.ticks.fits(stat.start_ticks) => {
                entry.ticks = Ticks::Fixed(stat.start_ticks);
            }
            // All that was read is of a later process with the same pid.
            Some(_) => {
                image = Image::unread();
                login = None;
            }
            None => {}
        }
        entry.image = Arc::new(image);
        entry.inherited = false;
        entry.kernel = false;
        // An exec ends all other threads, also where one of them did it and took the first one's place.
        entry.threads = 0;
        entry.first_ended = None;
        entry.login = login.unwrap_or(entry.login);
        if let Some(own) = self.namespace
            && !entry.announced
            && let Some(namespace) = self.files.network_namespace(pid)
        {
            entry.included = namespace == own;
        }
        if entry.included {
            let activity = if entry.announced {
                Activity::Exec
            } else {
                Activity::Start
            };
            self.observe(pid, activity, ns, None);
        }
    }

    fn exit(&mut self, thread: u32, process: u32, status: u32, ns: u64) {
        let Some(entry) = self.newer(process, ns) else {
            return;
        };
        if thread == process {
            if entry.threads > 0 {
                entry.first_ended = Some(status);
                let started_ns = entry.started_ns;
                self.look_later(process, started_ns, ns);
                return;
            }
        } else {
            entry.threads = entry.threads.saturating_sub(1);
            if entry.threads > 0 || entry.first_ended.is_none() {
                return;
            }
        }
        self.end(process, Some(ExitStatus::from_wait_status(status)), ns);
    }

    /// The process is gone.
    fn end(&mut self, pid: u32, exit: Option<ExitStatus>, ns: u64) {
        if let Some(entry) = self.entries.get(&pid)
            && entry.included
            && !entry.kernel
        {
            if !entry.announced {
                self.observe(pid, Activity::Start, entry.started_ns, None);
            }
            self.observe(pid, Activity::Exit, ns, exit);
        }
        self.entries.remove(&pid);
    }

    /// Looks at what is due: forks that executed nothing, processes whose first thread ended.
    pub(super) fn look(&mut self) {
        let now_ns = self.clocks.monotonic_ns;
        while let Some(due) = self.due.pop_front_if(|due| due.at_ns <= now_ns) {
            let Some(entry) = self.entries.get(&due.pid) else {
                continue;
            };
            if entry.started_ns != due.started_ns {
                continue;
            }
            let stat = self.files.stat(due.pid);
            let stat = stat.filter(|stat| entry.ticks.fits(stat.start_ticks));
            if let Some(status) = entry.first_ended {
                if stat.is_some_and(|stat| stat.threads > 1) {
                    self.look_later(due.pid, due.started_ns, now_ns);
                } else {
                    let exit = ExitStatus::from_wait_status(status);
                    self.end(due.pid, Some(exit), now_ns);
                }
            } else if !entry.announced && entry.included && !entry.kernel {
                let is_young = now_ns.saturating_sub(due.started_ns) < UNRESTED_AFTER_NS;
                if is_young && stat.is_some_and(|stat| stat.has_no_rest()) {
                    self.look_later(due.pid, due.started_ns, now_ns);
                } else {
                    self.observe(due.pid, Activity::Start, due.started_ns, None);
                }
            }
        }
    }

    /// When [`Table::look`] has to be called next, on the monotonic clock.
    pub(super) fn next_look_ns(&mut self) -> Option<u64> {
        // What was settled meanwhile need not wake anybody.
        let entries = &self.entries;
        let settled = |due: &mut Due| {
            entries.get(&due.pid).is_none_or(|entry| {
                entry.started_ns != due.started_ns
                    || (entry.first_ended.is_none() && (entry.announced || entry.kernel))
            })
        };
        while self.due.pop_front_if(settled).is_some() {}
        self.due.front().map(|due| due.at_ns)
    }

    /// Reads all processes: at the start, and after notifications were lost.
    pub(super) fn scan(&mut self) -> std::io::Result<()> {
        self.set_clocks();
        let pids = self.files.pids()?;
        let there: HashSet<u32> = pids.iter().copied().collect();
        let gone: Vec<u32> = self
            .entries
            .keys()
            .copied()
            .filter(|pid| !there.contains(pid))
            .collect();
        let now_ns = self.clocks.monotonic_ns;
        for pid in gone {
            self.end(pid, None, now_ns);
        }
        let mut new = Vec::new();
        for pid in pids {
            if self.entries.contains_key(&pid) && self.still_there(pid) {
                continue;
            }
            new.extend(self.read(pid).map(|entry| (pid, entry)));
        }
        // Parents began before their children, so they are in the table when these ask for them.
        new.sort_by_key(|(pid, (_, stat))| (stat.start_ticks, *pid));
        for (pid, (entry, stat)) in new {
            self.insert_found(pid, entry, &stat);
        }
        Ok(())
    }

    /// Brings a known process up to date; false where it is another one now, or ended.
    fn still_there(&mut self, pid: u32) -> bool {
        let seen_ns = self.files.clocks().monotonic_ns;
        let stat = self.files.stat(pid);
        let Some(entry) = self.entries.get_mut(&pid) else {
            return false;
        };
        let same = stat.filter(|stat| entry.ticks.fits(stat.start_ticks) && !stat.has_ended());
        let Some(stat) = same else {
            self.end(pid, None, seen_ns);
            return false;
        };
        entry.seen_ns = seen_ns;
        entry.threads = stat.threads.saturating_sub(1);
        if entry.kernel {
            return true;
        }
        let image = self.files.image(pid);
        let changed = image.argv_state != super::ArgvState::Unread
            && (image.executable != entry.image.executable || image.argv != entry.image.argv);
        if changed && (entry.announced || entry.inherited) {
            let activity = if entry.announced {
                Activity::Exec
            } else {
                Activity::Start
            };
            entry.image = Arc::new(image);
            entry.inherited = false;
            if entry.included {
                self.observe(pid, activity, seen_ns, None);
            }
        }
        true
    }

    /// Looks for a process that notifications speak of and the table does not know.
    fn find(&mut self, pid: u32) -> bool {
        let Some((entry, stat)) = self.read(pid) else {
            return false;
        };
        self.insert_found(pid, entry, &stat);
        true
    }

    fn read(&mut self, pid: u32) -> Option<(Entry, Stat)> {
        let seen_ns = self.files.clocks().monotonic_ns;
        let image = self.files.image(pid);
        let login = self.files.login(pid).unwrap_or_default();
        let uid = self.files.effective_uid(pid);
        let included = self
            .namespace
            .is_none_or(|own| self.files.network_namespace(pid) == Some(own));
        let stat = self.files.stat(pid).filter(|stat| !stat.has_ended())?;
        let started_ns = self.clocks.monotonic_ns_of(stat.start_ticks);
        let entry = Entry {
            ticks: Ticks::Fixed(stat.start_ticks),
            started_ns,
            start_time_ms: self.clocks.wall_ms(started_ns),
            image: Arc::new(image),
            inherited: false,
            announced: false,
            included,
            kernel: stat.kernel,
            parent: None,
            uid,
            login,
            threads: stat.threads.saturating_sub(1),
            first_ended: None,
            seen_ns,
        };
        Some((entry, stat))
    }

    fn insert_found(&mut self, pid: u32, mut entry: Entry, stat: &Stat) {
        if self.entries.len() >= PROCESSES_MAX {
            self.untracked += 1;
            return;
        }
        entry.parent = self.key_of_parent(stat.parent);
        let is_new = entry.started_ns >= self.since_ns;
        let (reported, started_ns) = (entry.included && !entry.kernel, entry.started_ns);
        let seen_ns = entry.seen_ns;
        self.entries.insert(pid, entry);
        if !reported {
            return;
        }
        if is_new {
            self.observe(pid, Activity::Start, started_ns, None);
        } else {
            self.observe(pid, Activity::Observed, seen_ns, None);
        }
    }

    fn observe(&mut self, pid: u32, activity: Activity, ns: u64, exit: Option<ExitStatus>) {
        let Some(start_ticks) = self.fix_ticks(pid) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&pid) else {
            return;
        };
        entry.announced = true;
        self.observed.push(ProcessObservation {
            activity,
            time_ms: self.clocks.wall_ms(ns),
            pid,
            start_ticks,
            start_time_ms: entry.start_time_ms,
            image: entry.image.clone(),
            inherited: entry.inherited,
            account: entry.uid.map(Account::Uid),
            parent: entry.parent.clone(),
            exit,
            login_uid: entry.login.uid,
            audit_session: entry.login.session,
        });
    }
}

#[cfg(test)]
mod tests;
