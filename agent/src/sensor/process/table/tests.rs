//! Stories of processes, told as the kernel and `/proc` tell them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;
use crate::sensor::process::ArgvState;

mod loss;
mod scope;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
/// The machine ran for a while before the story begins.
const BEGIN: u64 = 1000 * SECOND;
const OWN_NAMESPACE: u64 = 7;

/// A process as `/proc` has it.
#[derive(Debug, Clone)]
struct There {
    parent: u32,
    started_ns: u64,
    executable: &'static str,
    state: u8,
    kernel: bool,
    threads: u32,
    uid: u32,
    login: Option<u32>,
    namespace: u64,
}

impl There {
    fn new(parent: u32, started_ns: u64, executable: &'static str) -> Self {
        Self {
            parent,
            started_ns,
            executable,
            state: b'S',
            kernel: false,
            threads: 1,
            uid: 0,
            login: None,
            namespace: OWN_NAMESPACE,
        }
    }
}

#[derive(Debug, Default)]
struct Machine {
    there: BTreeMap<u32, There>,
    now_ns: u64,
}

/// The machine as the table reads it.
#[derive(Debug, Clone)]
struct FakeFiles(Rc<RefCell<Machine>>);

fn clocks_at(now_ns: u64) -> Clocks {
    Clocks {
        monotonic_ns: now_ns,
        // It slept for five seconds.
        boot_ns: now_ns + 5 * SECOND,
        wall_ns: i64::try_from(now_ns).unwrap() + 1_700_000_000_000_000_000,
        ticks_per_second: 100,
    }
}

fn ticks_of(started_ns: u64) -> u64 {
    (started_ns + 5 * SECOND) / (10 * MS)
}

impl FakeFiles {
    fn of<T>(&self, pid: u32, read: impl FnOnce(&There) -> T) -> Option<T> {
        self.0.borrow().there.get(&pid).map(read)
    }
}

impl ProcessFiles for FakeFiles {
    fn pids(&mut self) -> std::io::Result<Vec<u32>> {
        Ok(self.0.borrow().there.keys().rev().copied().collect())
    }

    fn image(&mut self, pid: u32) -> Image {
        self.of(pid, |there| Image {
            executable: there.executable.as_bytes().into(),
            argv: format!("{}\0", there.executable).as_bytes().into(),
            argv_state: ArgvState::Read,
            file: None,
        })
        .unwrap_or_else(Image::unread)
    }

    fn stat(&mut self, pid: u32) -> Option<Stat> {
        self.of(pid, |there| Stat {
            state: there.state,
            parent: there.parent,
            kernel: there.kernel,
            threads: there.threads,
            start_ticks: ticks_of(there.started_ns),
        })
    }

    fn login(&mut self, pid: u32) -> Option<Login> {
        self.of(pid, |there| Login {
            uid: there.login,
            session: there.login.map(|_| 1),
        })
    }

    fn effective_uid(&mut self, pid: u32) -> Option<u32> {
        self.of(pid, |there| there.uid)
    }

    fn network_namespace(&mut self, pid: u32) -> Option<u64> {
        self.of(pid, |there| there.namespace)
    }

    fn clocks(&mut self) -> Clocks {
        clocks_at(self.0.borrow().now_ns)
    }
}

/// A machine, its table, and what came of it.
struct Story {
    machine: Rc<RefCell<Machine>>,
    table: Table<FakeFiles>,
    sequence: u32,
}

impl Story {
    /// Processes 1 and 100 run already.
    fn begin(namespace: Option<u64>) -> Self {
        let machine = Rc::new(RefCell::new(Machine::default()));
        machine.borrow_mut().now_ns = BEGIN;
        let old = |parent, executable| There::new(parent, 10 * SECOND, executable);
        let mut there = BTreeMap::from([(1, old(0, "init")), (100, old(1, "shell"))]);
        if let Some(shell) = there.get_mut(&100) {
            shell.uid = 1000;
            shell.started_ns = 20 * SECOND;
        }
        machine.borrow_mut().there = there;
        let table = Table::new(FakeFiles(machine.clone()), namespace);
        Self {
            machine,
            table,
            sequence: 0,
        }
    }

    fn watched() -> Self {
        let mut story = Self::begin(None);
        story.table.scan().unwrap();
        story.table.take();
        story
    }

    fn now(&self) -> u64 {
        self.machine.borrow().now_ns
    }

    fn pass(&mut self, ns: u64) {
        self.machine.borrow_mut().now_ns += ns;
        self.table.set_clocks();
    }

    /// The kernel tells something, a millisecond later than the last time.
    fn tell(&mut self, what: What) {
        self.pass(MS);
        self.tell_of(what, self.now());
    }

    fn tell_of(&mut self, what: What, time_ns: u64) {
        self.sequence += 1;
        self.table.apply(&Notification {
            sequence: self.sequence,
            cpu: Some(0),
            time_ns,
            what,
        });
    }

    fn set(&mut self, pid: u32, there: There) {
        self.machine.borrow_mut().there.insert(pid, there);
    }

    fn change(&mut self, pid: u32, change: impl FnOnce(&mut There)) {
        change(self.machine.borrow_mut().there.get_mut(&pid).unwrap());
    }

    fn reap(&mut self, pid: u32) {
        self.machine.borrow_mut().there.remove(&pid);
    }

    /// A fork: the child is in `/proc` with its parent's image.
    fn fork(&mut self, parent: u32, child: u32) {
        let executable = self.machine.borrow().there[&parent].executable;
        let began = self.now();
        self.set(child, There::new(parent, began, executable));
        self.tell(What::Fork {
            parent,
            child_thread: child,
            child,
        });
    }

    fn exec(&mut self, pid: u32, executable: &'static str) {
        self.change(pid, |there| there.executable = executable);
        self.tell(What::Exec { process: pid });
    }

    fn exit(&mut self, pid: u32, status: u32) {
        self.reap(pid);
        self.tell(What::Exit {
            thread: pid,
            process: pid,
            status,
        });
    }

    fn thread(&mut self, process: u32, thread: u32) {
        self.tell(What::Fork {
            parent: process,
            child_thread: thread,
            child: process,
        });
    }

    fn thread_exit(&mut self, process: u32, thread: u32) {
        self.tell(What::Exit {
            thread,
            process,
            status: 0,
        });
    }

    fn take(&mut self) -> Vec<ProcessObservation> {
        self.table.take()
    }

    /// What came of it, in short.
    fn told(&mut self) -> Vec<String> {
        self.take().iter().map(short).collect()
    }
}

fn short(seen: &ProcessObservation) -> String {
    let executable = String::from_utf8_lossy(&seen.image.executable);
    let mut text = format!("{:?} {} {executable}", seen.activity, seen.pid);
    if seen.inherited {
        text.push_str(" inherited");
    }
    if let Some(exit) = seen.exit {
        text.push_str(&format!(" {}/{}", exit.code.unwrap_or(-1), exit.signal));
    }
    text
}

#[test]
fn what_runs_at_the_start_is_observed_parents_first() {
    let mut story = Story::begin(None);
    story.set(
        2,
        There {
            kernel: true,
            ..There::new(0, 0, "")
        },
    );
    story.set(
        5,
        There {
            state: b'Z',
            ..There::new(1, SECOND, "ended")
        },
    );
    story.table.scan().unwrap();
    let seen = story.take();
    let told: Vec<String> = seen.iter().map(short).collect();
    assert_eq!(told, ["Observed 1 init", "Observed 100 shell"]);
    let parent = seen[1].parent.as_ref().unwrap();
    assert_eq!((parent.pid, parent.start_ticks), (1, ticks_of(10 * SECOND)));
    assert_eq!(seen[1].account, Some(Account::Uid(1000)));
    story.table.scan().unwrap();
    assert!(story.told().is_empty(), "a second look finds nothing new");
}

#[test]
fn a_command_starts_once_and_ends_once() {
    let mut story = Story::watched();
    story.fork(100, 200);
    assert!(
        story.told().is_empty(),
        "what it will execute is not known yet"
    );
    story.exec(200, "ls");
    story.exit(200, 0x300);
    let seen = story.take();
    let told: Vec<String> = seen.iter().map(short).collect();
    assert_eq!(told, ["Start 200 ls", "Exit 200 ls 3/0"]);
    assert_eq!(seen[0].start_ticks, seen[1].start_ticks);
    assert_eq!(seen[0].account, Some(Account::Uid(1000)), "by inheritance");
    let parent = seen[0].parent.as_ref().unwrap();
    assert_eq!(parent.pid, 100);
    assert_eq!(parent.image.executable.as_ref(), b"shell");
    assert_eq!(story.table.entries.len(), 2);
}

#[test]
fn a_process_gone_before_it_was_read_still_starts_and_ends_with_its_parent() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.reap(200);
    story.tell(What::Exec { process: 200 });
    story.exit(200, 0);
    let seen = story.take();
    let told: Vec<String> = seen.iter().map(short).collect();
    assert_eq!(told, ["Start 200 ", "Exit 200  0/0"]);
    assert_eq!(seen[0].image.argv_state, ArgvState::Unread);
    assert_eq!(seen[0].parent.as_ref().unwrap().pid, 100);
    assert_eq!(seen[0].start_ticks, seen[1].start_ticks);
}

#[test]
fn every_further_exec_is_told_with_the_same_key() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.exec(200, "env");
    story.exec(200, "python");
    let seen = story.take();
    let told: Vec<String> = seen.iter().map(short).collect();
    assert_eq!(told, ["Start 200 env", "Exec 200 python"]);
    assert_eq!(seen[0].start_ticks, seen[1].start_ticks);
}

#[test]
fn a_fork_that_executes_nothing_starts_with_its_parents_image() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.table.look();
    assert!(story.told().is_empty());
    let due = story.table.next_look_ns().unwrap();
    story.pass(due - story.now());
    story.table.look();
    assert_eq!(story.told(), ["Start 200 shell inherited"]);
    assert_eq!(story.table.next_look_ns(), None);
    story.exec(200, "late");
    assert_eq!(story.told(), ["Exec 200 late"]);
}

#[test]
fn a_fork_that_had_no_rest_is_given_longer_to_execute_something() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.fork(100, 300);
    for pid in [200, 300] {
        story.change(pid, |there| there.state = b'R');
    }
    for _second in 0..5 {
        story.pass(SECOND);
        story.table.look();
    }
    assert!(story.told().is_empty());
    story.exec(200, "late");
    assert_eq!(story.told(), ["Start 200 late"]);
    for _second in 0..6 {
        story.pass(SECOND);
        story.table.look();
    }
    assert_eq!(story.told(), ["Start 300 shell inherited"]);
}

#[test]
fn a_fork_that_ends_before_it_is_due_starts_and_ends() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.exit(200, 9);
    assert_eq!(
        story.told(),
        ["Start 200 shell inherited", "Exit 200 shell inherited -1/9"]
    );
    assert_eq!(story.table.next_look_ns(), None, "nobody need wake for it");
}

#[test]
fn the_parent_is_the_creator_whoever_takes_the_child_over() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.exec(200, "daemonizer");
    story.fork(200, 300);
    story.exit(200, 0);
    story.change(300, |there| there.parent = 1);
    story.exec(300, "daemon");
    let seen = story.take();
    let daemon = seen.last().unwrap();
    assert_eq!(short(daemon), "Start 300 daemon");
    assert_eq!(daemon.parent.as_ref().unwrap().pid, 200);
    assert_eq!(
        daemon.parent.as_ref().unwrap().start_ticks,
        seen[0].start_ticks,
        "the key it had then"
    );
}

#[test]
fn a_reused_pid_is_another_process() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.exec(200, "first");
    story.exit(200, 0);
    story.pass(SECOND);
    story.fork(1, 200);
    story.exec(200, "second");
    let seen = story.take();
    assert_eq!(short(&seen[2]), "Start 200 second");
    assert_ne!(seen[0].start_ticks, seen[2].start_ticks);
}

#[test]
fn a_lost_exit_is_told_when_the_pid_is_used_again() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.exec(200, "first");
    story.pass(SECOND);
    story.fork(100, 200);
    assert_eq!(story.told(), ["Start 200 first", "Exit 200 first"]);
}

#[test]
fn nothing_is_read_of_a_later_process_with_the_same_pid() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.tell_of(What::Exec { process: 200 }, story.now());
    story.take();
    story.fork(100, 300);
    // Process 300 is gone and its pid was given to another one, before the exec is looked at.
    let later = story.now() + SECOND;
    story.set(300, There::new(1, later, "somebody else"));
    story.tell(What::Exec { process: 300 });
    let seen = story.take();
    assert_eq!(short(&seen[0]), "Start 300 ");
    assert_eq!(seen[0].image.argv_state, ArgvState::Unread);
    assert!(seen[0].start_ticks < ticks_of(later));
}

#[test]
fn the_key_is_what_proc_says_and_never_changes() {
    let mut story = Story::watched();
    story.fork(100, 200);
    // The notification came a tick later than the kernel's own note of the start.
    story.change(200, |there| there.started_ns -= 30 * MS);
    story.exec(200, "a");
    let start = story.take().remove(0).start_ticks;
    assert_eq!(
        start,
        ticks_of(story.machine.borrow().there[&200].started_ns)
    );
    story.exec(200, "b");
    story.exit(200, 0);
    assert!(story.take().iter().all(|seen| seen.start_ticks == start));
}

#[test]
fn threads_are_no_processes_and_the_last_one_ends_the_process() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.exec(200, "threaded");
    story.thread(200, 201);
    story.thread(200, 202);
    story.thread_exit(200, 201);
    assert_eq!(story.told(), ["Start 200 threaded"]);
    story.tell(What::Exit {
        thread: 200,
        process: 200,
        status: 0,
    });
    assert!(story.told().is_empty(), "one thread lives");
    story.thread_exit(200, 202);
    assert_eq!(story.told(), ["Exit 200 threaded 0/0"]);
}

#[test]
fn an_exec_by_another_thread_does_not_end_the_process() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.exec(200, "threaded");
    story.thread(200, 201);
    // The kernel ends the first thread, then the other one takes its number.
    story.tell(What::Exit {
        thread: 200,
        process: 200,
        status: 9,
    });
    story.exec(200, "next");
    story.exit(200, 0);
    assert_eq!(
        story.told(),
        ["Start 200 threaded", "Exec 200 next", "Exit 200 next 0/0"]
    );
}

#[test]
fn a_thread_whose_end_was_lost_does_not_keep_its_process_for_ever() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.exec(200, "threaded");
    story.thread(200, 201);
    story.exit(200, 0x500);
    story.take();
    let due = story.table.next_look_ns().unwrap();
    story.pass(due - story.now());
    story.table.look();
    assert_eq!(story.told(), ["Exit 200 threaded 5/0"]);
}

#[test]
fn a_change_of_user_is_known_at_the_exec() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.tell(What::Uid {
        thread: 200,
        process: 200,
        effective: 0,
    });
    story.exec(200, "sudo");
    story.tell(What::Uid {
        thread: 201,
        process: 200,
        effective: 5,
    });
    story.exit(200, 0);
    let seen = story.take();
    assert!(
        seen.iter()
            .all(|seen| seen.account == Some(Account::Uid(0)))
    );
}

#[test]
fn a_login_is_inherited_and_read_again_at_each_exec() {
    let mut story = Story::watched();
    story.change(100, |there| there.login = None);
    story.fork(100, 200);
    story.change(200, |there| there.login = Some(1001));
    story.exec(200, "bash");
    story.fork(200, 300);
    story.reap(300);
    story.tell(What::Exec { process: 300 });
    let seen = story.take();
    assert_eq!(seen[0].login_uid, Some(1001));
    assert_eq!(
        (seen[1].login_uid, seen[1].audit_session),
        (Some(1001), Some(1))
    );
}
