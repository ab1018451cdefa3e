//! Ends everything that was started in a terminal, and says what could not be ended.
//!
//! Who belongs to a terminal, any of:
//!
//! - who is in the shell's session;
//! - who descends from the shell or from anybody that was found before, as far as parents still live;
//! - on Linux, whose environment carries the terminal's mark ([`MARK`]): daemons that made a session of their own and
//!   were given to init have inherited it.
//!
//! All three at once can be evaded only by who wants to (a cleared environment and a dead parent and an own session), or
//! by asking somebody else to start something: a service manager, cron, at. Such work is not the terminal's.
//!
//! Processes are told apart by pid and start time, so that a pid that is used anew is not mistaken. Order: SIGHUP
//! and SIGCONT, a moment, then SIGKILL in rounds until nobody new is found.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::limits::{END_GRACE, END_KILL_MAX};

/// Environment variable that holds the terminal's id in everything that is started in it.
pub(super) const MARK: &str = "TOCSIN_TERMINAL";

/// Between two looks at who is still there.
const LOOK: Duration = Duration::from_millis(20);

/// Processes of one terminal that are named; beyond it they are killed and counted, without a name. How many are known at
/// all is bounded by the kernel's table and by the seconds that the end may take.
const NAMED_MAX: usize = 4096;

/// Processes that are looked at once only; beyond it at every look.
const STRANGERS_MAX: usize = 4096;

/// A process that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its id.
    pub(super) pid: u32,
    /// As the kernel names it.
    pub(super) name: String,
}

/// What became of a terminal's processes, the shell left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// Gone.
    pub(super) killed: Vec<Found>,
    /// Still there.
    pub(super) survived: Vec<Found>,
}

/// Pid and start time.
type Key = (u32, u64);

/// Ends the shell and everything that belongs to its terminal. Takes up to a few seconds; blocks.
pub(super) fn end_all(shell: u32, mark: &str) -> Ended {
    let mut search = Search::new(shell, mark);
    let begin = Instant::now();
    let mut alive = search.look();
    for found in alive.keys() {
        send(*found, Signal::SIGHUP);
        // Who is stopped could not see it.
        send(*found, Signal::SIGCONT);
    }
    while !alive.is_empty() && begin.elapsed() < END_GRACE {
        std::thread::sleep(LOOK);
        alive = search.look();
    }
    while !alive.is_empty() && begin.elapsed() < END_GRACE + END_KILL_MAX {
        for found in alive.keys() {
            send(*found, Signal::SIGKILL);
        }
        std::thread::sleep(LOOK);
        alive = search.look();
    }
    search.ended(&alive)
}

fn send((pid, _start): Key, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid)
        && pid > 1
    {
        // It may have ended by itself, or be somebody else's: who is left in the end is told.
        let _gone = kill(Pid::from_raw(pid), signal);
    }
}

/// Who belongs to the terminal, over several looks.
struct Search<'m> {
    shell: u32,
    mark: &'m str,
    /// All that were ever found.
    members: BTreeMap<Key, String>,
    /// Who was looked at and has not the mark; looked at once, as a process keeps its environment.
    strangers: std::collections::BTreeSet<Key>,
}

impl<'m> Search<'m> {
    fn new(shell: u32, mark: &'m str) -> Self {
        Self {
            shell,
            mark,
            members: BTreeMap::new(),
            strangers: std::collections::BTreeSet::new(),
        }
    }

    /// What became of everybody, given who is still there.
    fn ended(self, alive: &BTreeMap<Key, String>) -> Ended {
        let mut ended = Ended::default();
        for (key, name) in self.members {
            let found = Found { pid: key.0, name };
            if alive.contains_key(&key) {
                ended.survived.push(found);
            } else if key.0 != self.shell {
                ended.killed.push(found);
            }
        }
        ended
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{BTreeMap, Key, NAMED_MAX, STRANGERS_MAX, Search};

    /// Bytes of an environment that are searched. The mark stands where the shell put it, near the begin.
    const ENVIRON_BYTES_MAX: u64 = 256 << 10;

    /// One line of the process table.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(super) struct Row {
        pub(super) key: Key,
        pub(super) name: String,
        pub(super) state: u8,
        pub(super) parent: u32,
        pub(super) session: u32,
        pub(super) threads: u32,
    }

    impl Row {
        /// `PID (NAME) STATE PPID PGRP SESSION ...`, threads and start time being the 20th and 22nd. NAME may hold anything.
        pub(super) fn parse(stat: &str) -> Option<Self> {
            let (pid, rest) = stat.split_once(" (")?;
            let (name, rest) = rest.rsplit_once(") ")?;
            let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
            Some(Self {
                key: (pid.parse().ok()?, fields.get(19)?.parse().ok()?),
                name: name.to_owned(),
                state: *fields.first()?.as_bytes().first()?,
                parent: fields.get(1)?.parse().ok()?,
                session: fields.get(3)?.parse().ok()?,
                threads: fields.get(17)?.parse().ok()?,
            })
        }

        /// Of a process whose first thread alone has ended the state says the same as of a dead one: its other
        /// threads go on.
        fn is_alive(&self) -> bool {
            self.threads > 1 || !matches!(self.state, b'Z' | b'X' | b'x')
        }
    }

    /// The process table.
    fn table() -> Vec<Row> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter(|entry| {
                let name = entry.file_name();
                name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
            })
            // Who has ended meanwhile has no row.
            .filter_map(|entry| std::fs::read(entry.path().join("stat")).ok())
            .filter_map(|stat| Row::parse(&String::from_utf8_lossy(&stat)))
            .collect()
    }

    fn has_mark(pid: u32, mark: &str) -> bool {
        use std::io::Read;
        let Ok(file) = std::fs::File::open(format!("/proc/{pid}/environ")) else {
            return false;
        };
        let mut environment = Vec::new();
        // What could be read counts.
        let _short = file.take(ENVIRON_BYTES_MAX).read_to_end(&mut environment);
        let wanted = format!("{}={mark}", super::MARK);
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    }

    impl Search<'_> {
        /// Everybody who belongs to the terminal and is alive.
        pub(super) fn look(&mut self) -> BTreeMap<Key, String> {
            let own = std::process::id();
            let rows = table();
            let begin = rows
                .iter()
                .find(|row| row.key.0 == self.shell)
                .map_or(0, |row| row.key.1);
            for row in rows.iter().filter(|row| row.key.0 != own && row.key.0 != 1) {
                // Older than the shell: cannot be of its making.
                if self.members.contains_key(&row.key) || row.key.1 < begin {
                    continue;
                }
                let known = row.key.0 == self.shell || row.session == self.shell;
                if known || (!self.strangers.contains(&row.key) && has_mark(row.key.0, self.mark)) {
                    self.add(row);
                } else if self.strangers.len() < STRANGERS_MAX {
                    self.strangers.insert(row.key);
                }
            }
            self.add_descendants(&rows);
            rows.into_iter()
                .filter(|row| row.is_alive() && self.members.contains_key(&row.key))
                .map(|row| (row.key, row.name))
                .collect()
        }

        /// Takes it among the members, whether or not there is room for its name; whether it is new.
        fn add(&mut self, row: &Row) -> bool {
            let name = match self.members.len() {
                0..NAMED_MAX => row.name.clone(),
                _ => String::new(),
            };
            let is_new = !self.members.contains_key(&row.key);
            if is_new {
                self.members.insert(row.key, name);
            }
            is_new
        }

        /// Children of members, their children, and so on. Parents are compared as they are in this table: a dead member's
        /// pid may be somebody else's by now.
        fn add_descendants(&mut self, rows: &[Row]) {
            let mut children: BTreeMap<u32, Vec<&Row>> = BTreeMap::new();
            for row in rows {
                children.entry(row.parent).or_default().push(row);
            }
            let is_member = |row: &&Row| self.members.contains_key(&row.key);
            let mut parents: Vec<u32> = rows.iter().filter(is_member).map(|r| r.key.0).collect();
            while let Some(parent) = parents.pop() {
                for child in children.get(&parent).into_iter().flatten() {
                    if self.add(child) {
                        parents.push(child.key.0);
                    }
                }
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_row_is_read_whatever_the_name_is() {
            let stat = "42 (a) R (b) S 7 42 41 34816 42 4194560 1 0 0 0 0 0 0 0 20 0 1 0 998 1 2";
            assert_eq!(
                Row::parse(stat),
                Some(Row {
                    key: (42, 998),
                    name: "a) R (b".into(),
                    state: b'S',
                    parent: 7,
                    session: 41,
                    threads: 1,
                })
            );
            assert_eq!(Row::parse("42 (a"), None);
            assert_eq!(Row::parse(""), None);
        }

        fn row(pid: u32, parent: u32) -> Row {
            Row {
                key: (pid, 1),
                name: "a".into(),
                state: b'S',
                parent,
                session: 0,
                threads: 1,
            }
        }

        #[test]
        fn who_comes_after_many_belongs_to_it_all_the_same() {
            let count = u32::try_from(NAMED_MAX).unwrap() + 1_000;
            let mut rows: Vec<Row> = (11..10 + count).map(|pid| row(pid, pid - 1)).collect();
            rows.extend([row(10, 1), row(9, 1), row(900_000, 10 + count - 1)]);
            let mut search = Search::new(10, "mark");
            assert!(search.add(&row(10, 1)));
            search.add_descendants(&rows);
            assert!(search.members.contains_key(&(900_000, 1)));
            assert!(!search.members.contains_key(&(9, 1)));
            let named = search.members.values().filter(|name| !name.is_empty());
            assert_eq!(named.count(), NAMED_MAX);
        }

        #[test]
        fn a_process_whose_first_thread_has_ended_is_alive() {
            let mut found = row(10, 1);
            found.state = b'Z';
            assert!(!found.is_alive());
            found.threads = 2;
            assert!(found.is_alive());
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Search<'_> {
    /// Without a process table that can be read: the shell, whose process group's members get the signal too.
    fn look(&mut self) -> BTreeMap<Key, String> {
        use nix::sys::signal::killpg;
        let Ok(pid) = i32::try_from(self.shell) else {
            return BTreeMap::new();
        };
        let group = Pid::from_raw(pid);
        let signal = if self.members.is_empty() {
            Signal::SIGHUP
        } else {
            Signal::SIGKILL
        };
        self.members.insert((self.shell, 0), "shell".into());
        match killpg(group, signal) {
            Ok(()) => self.members.clone(),
            Err(_) => BTreeMap::new(),
        }
    }
}
