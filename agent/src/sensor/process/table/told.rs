//! The table as it is kept by a source that tells all of a process with each event: nothing is read from `/proc` but
//! a parent that began before the source did, and a fork that executes nothing.

use std::sync::Arc;

use super::{Entry, Login, ProcessFiles, Table, Ticks};
use crate::sensor::process::{Activity, ExitStatus, Image};

/// A process at the time of an event.
#[derive(Debug, Clone, Copy)]
pub(in crate::sensor::process) struct Told {
    /// Monotonic clock.
    pub(in crate::sensor::process) time_ns: u64,
    /// Its start, on the clock that goes on while the machine sleeps.
    pub(in crate::sensor::process) start_ns: u64,
    /// Its pid.
    pub(in crate::sensor::process) pid: u32,
    /// The process that created it, or whoever took it over.
    pub(in crate::sensor::process) parent: u32,
    /// Effective user.
    pub(in crate::sensor::process) uid: u32,
    /// Its login.
    pub(in crate::sensor::process) login: Login,
    /// Its network namespace.
    pub(in crate::sensor::process) network: u64,
}

impl<F: ProcessFiles> Table<F> {
    /// A process began.
    pub(in crate::sensor::process) fn fork_told(&mut self, told: &Told) {
        if self.begin(told) {
            self.look_later(told.pid, told.time_ns, told.time_ns);
        }
    }

    /// A process executes `image`.
    pub(in crate::sensor::process) fn exec_told(&mut self, told: &Told, image: Image) {
        let ticks = self.clocks.boot_ticks(told.start_ns);
        let known = self.entries.get(&told.pid);
        // One whose fork was not told: it was lost, or the process came from another namespace.
        if !known.is_some_and(|entry| entry.ticks.fits(ticks)) && !self.begin(told) {
            return;
        }
        let own = self.namespace;
        let Some(entry) = self.newer(told.pid, told.time_ns) else {
            return;
        };
        entry.image = Arc::new(image);
        entry.inherited = false;
        entry.kernel = false;
        entry.uid = Some(told.uid);
        entry.login = told.login;
        if !entry.announced {
            entry.included = own.is_none_or(|own| own == told.network);
        }
        if entry.included {
            let activity = if entry.announced {
                Activity::Exec
            } else {
                Activity::Start
            };
            self.observe(told.pid, activity, told.time_ns, None);
        }
    }

    /// A process ended, with a status as wait(2) gives it.
    pub(in crate::sensor::process) fn exit_told(&mut self, told: &Told, status: u32) {
        let ticks = self.clocks.boot_ticks(told.start_ns);
        let Some(entry) = self.newer(told.pid, told.time_ns) else {
            return;
        };
        if !entry.ticks.fits(ticks) {
            return;
        }
        entry.uid = Some(told.uid);
        let exit = ExitStatus::from_wait_status(status);
        self.end(told.pid, Some(exit), told.time_ns);
    }

    /// Puts a new process into the table; false where this is no news, or there is no room.
    fn begin(&mut self, told: &Told) -> bool {
        let Told {
            pid,
            time_ns,
            parent,
            ..
        } = *told;
        if let Some(known) = self.entries.get(&pid) {
            if time_ns <= known.seen_ns {
                return false;
            }
            // The pid is used again: the end of the former process was lost.
            self.end(pid, None, time_ns);
        }
        if !self.has_room() {
            return false;
        }
        if parent != 0 && parent != pid {
            self.find_parent(parent);
        }
        let start_ns = self.clocks.monotonic_ns_of_boot(told.start_ns);
        let parent_key = self.key_of_parent(parent);
        let image = self.entries.get(&parent).map_or_else(
            || Arc::new(Image::unread()),
            |creator| creator.image.clone(),
        );
        let entry = Entry {
            ticks: Ticks::Fixed(self.clocks.boot_ticks(told.start_ns)),
            started_ns: time_ns,
            start_time_ms: self.clocks.wall_ms(start_ns),
            image,
            inherited: true,
            announced: false,
            included: self.namespace.is_none_or(|own| own == told.network),
            kernel: false,
            parent: parent_key,
            uid: Some(told.uid),
            login: told.login,
            threads: 0,
            first_ended: None,
            seen_ns: 0,
        };
        self.entries.insert(pid, entry);
        true
    }

    /// Sees to it that the parent is in the table. The end of one outside of the namespace is not told, so that
    /// another one may have its pid by now.
    fn find_parent(&mut self, parent: u32) {
        if let Some(entry) = self.entries.get(&parent) {
            if entry.included || self.namespace.is_none() {
                return;
            }
            let ticks = entry.ticks;
            let stat = self.files.stat(parent);
            if stat.is_some_and(|stat| ticks.fits(stat.start_ticks)) {
                return;
            }
            self.entries.remove(&parent);
        }
        self.find(parent);
    }
}
