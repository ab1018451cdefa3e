//! The sensor on this machine's own kernel. Needs root; without it each test says so and passes.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use tocsin_proto::limits::ARGV_BYTES_MAX;

use super::super::namespace::in_initial;
use super::*;
use crate::health::{Health, SensorState};
use crate::queue::Queue;
use crate::sensor::process::{Activity, ArgvState, ProcessObservation};
use crate::sensor::supervisor::{self, Running};

/// Whether this account may watch; says so where it may not.
fn may_watch() -> bool {
    match probe(Scope::Auto) {
        Ok(_) => true,
        Err(error) => {
            println!("skipped: {error}");
            false
        }
    }
}

/// The sensor at work, and what it saw so far.
struct Live {
    queue: Arc<Queue>,
    health: Arc<Health>,
    running: Running,
    seen: Vec<ProcessObservation>,
}

impl Live {
    fn start() -> Self {
        let hasher = Arc::new(Hasher::start(1 << 30).unwrap());
        let (queue, health) = (Arc::new(Queue::default()), Arc::new(Health::default()));
        let sensor = Ebpf::new(Scope::Auto, hasher);
        let running = supervisor::start("live", vec![Box::new(sensor)], &queue, &health).unwrap();
        let mut live = Self {
            queue,
            health,
            running,
            seen: Vec::new(),
        };
        while live.health.sensor_state(NAME) != Some(SensorState::Running) {
            live.take();
        }
        live
    }

    fn take(&mut self) {
        let group = self.queue.gather().unwrap();
        self.seen.extend(group.into_iter().filter_map(process));
    }

    fn until_ended(&mut self, pids: &HashSet<u32>) {
        let ended = |seen: &&ProcessObservation| {
            seen.activity == Activity::Exit && pids.contains(&seen.pid)
        };
        while self.seen.iter().filter(ended).count() < pids.len() {
            self.take();
        }
    }

    /// Ends it; what it saw of one process, in order.
    fn stories(self) -> HashMap<u32, Vec<ProcessObservation>> {
        assert_eq!(self.health.report().sensors[0].lost, 0);
        self.running.stop();
        self.queue.close();
        let rest = std::iter::from_fn(|| self.queue.gather()).flatten();
        let mut stories: HashMap<u32, Vec<ProcessObservation>> = HashMap::new();
        for seen in self.seen.into_iter().chain(rest.filter_map(process)) {
            stories.entry(seen.pid).or_default().push(seen);
        }
        stories
    }
}

fn process(observation: Observation) -> Option<ProcessObservation> {
    match observation {
        Observation::Process(process) => Some(*process),
        _ => None,
    }
}

fn run(command: &mut Command) -> u32 {
    let mut child = command.spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

/// Of a process that was started and ended: its start.
fn start_of(story: &[ProcessObservation]) -> &ProcessObservation {
    let [start, exit] = story else {
        panic!("one start and one exit: {story:?}");
    };
    assert_eq!(
        (start.activity, exit.activity),
        (Activity::Start, Activity::Exit)
    );
    assert_eq!(start.start_ticks, exit.start_ticks);
    assert!(Arc::ptr_eq(&start.image, &exit.image));
    start
}

#[test]
fn every_short_process_is_seen_whole() {
    if !may_watch() {
        return;
    }
    let mut live = Live::start();
    let pids: Vec<u32> = (0..500)
        .map(|number| run(Command::new("/bin/true").arg(number.to_string())))
        .collect();
    live.until_ended(&pids.iter().copied().collect());
    let stories = live.stories();
    let program = std::fs::canonicalize("/bin/true").unwrap();
    let uid = nix::unistd::geteuid().as_raw();
    for (number, pid) in pids.iter().enumerate() {
        let start = start_of(&stories[pid]);
        let argv = format!("/bin/true\0{number}\0");
        assert_eq!(start.image.argv.as_ref(), argv.as_bytes());
        assert_eq!(start.image.argv_state, ArgvState::Read);
        let path = program.as_os_str().as_encoded_bytes();
        assert_eq!(start.image.executable.as_ref(), path);
        assert!(start.image.file.is_some(), "it can be hashed");
        assert_eq!(start.parent.as_ref().unwrap().pid, std::process::id());
        assert_eq!(start.account, Some(super::super::Account::Uid(uid)));
        let exit = stories[pid][1].exit.unwrap();
        assert_eq!((exit.code, exit.signal), (Some(0), 0));
    }
}

#[test]
fn a_process_has_the_key_that_proc_gives_it() {
    if !may_watch() {
        return;
    }
    let mut live = Live::start();
    let child = waiting_child();
    let stat = std::fs::read(format!("/proc/{}/stat", child.id())).unwrap();
    let stat = super::super::procfs::parse_stat(&stat).unwrap();
    let pid = child.id();
    end_child(child);
    live.until_ended(&HashSet::from([pid]));
    assert_eq!(
        start_of(&live.stories()[&pid]).start_ticks,
        stat.start_ticks
    );
}

/// A child that lives until its standard input ends, and has answered: its exec is told by then.
fn waiting_child() -> Child {
    let mut command = Command::new("/bin/cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.arg("-").spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    let mut answer = [0];
    let answers = child.stdout.as_mut().unwrap();
    answers.read_exact(&mut answer).unwrap();
    child
}

fn end_child(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn two_megabytes_of_arguments_are_cut_and_marked() {
    if !may_watch() {
        return;
    }
    let mut live = Live::start();
    let argument = "x".repeat(100 << 10);
    let pid = run(Command::new("/bin/true").args(vec![argument; 15]));
    live.until_ended(&HashSet::from([pid]));
    let stories = live.stories();
    let image = &start_of(&stories[&pid]).image;
    assert_eq!(image.argv_state, ArgvState::Truncated);
    assert_eq!(image.argv.len(), ARGV_BYTES_MAX);
    assert!(image.argv.starts_with(b"/bin/true\0xxx"));
}

#[test]
fn a_program_in_memory_and_a_deleted_one_are_named() {
    if !may_watch() {
        return;
    }
    let mut live = Live::start();
    let program = std::fs::read("/bin/true").unwrap();
    let memory = memfd_create(c"hidden", MFdFlags::empty()).unwrap();
    let mut memory = std::fs::File::from(memory);
    memory.write_all(&program).unwrap();
    let in_memory = run(&mut Command::new(format!(
        "/proc/self/fd/{}",
        memory.as_raw_fd()
    )));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gone");
    std::fs::copy("/bin/cat", &path).unwrap();
    let mut deleted = Command::new("/bin/sh");
    deleted
        .arg("-c")
        .arg("exec 3<\"$0\"; rm \"$0\"; exec /proc/self/fd/3 /dev/null");
    let deleted = run(deleted.arg(&path));
    live.until_ended(&HashSet::from([in_memory, deleted]));
    let stories = live.stories();
    let image = &start_of(&stories[&in_memory]).image;
    assert_eq!(image.executable.as_ref(), b"/memfd:hidden (deleted)");
    let last = stories[&deleted].last().unwrap();
    let expected = format!("{} (deleted)", path.display());
    assert_eq!(last.image.executable.as_ref(), expected.as_bytes());
    let execs = stories[&deleted].iter();
    assert_eq!(
        execs.filter(|seen| seen.activity == Activity::Exec).count(),
        1
    );
}

#[test]
fn a_death_by_a_signal_and_a_fork_without_an_exec_are_told() {
    if !may_watch() {
        return;
    }
    let mut live = Live::start();
    let killed = run(Command::new("/bin/sh").args(["-c", "kill -9 $$"]));
    let shell = run(Command::new("/bin/sh").args(["-c", "(exit 3); exit 4"]));
    live.until_ended(&HashSet::from([killed, shell]));
    let stories = live.stories();
    let exit = stories[&killed].last().unwrap().exit.unwrap();
    assert_eq!((exit.code, exit.signal), (None, 9));
    let of_shell = |seen: &ProcessObservation| {
        seen.parent
            .as_ref()
            .is_some_and(|parent| parent.pid == shell)
    };
    let inner = stories.values().find(|story| story.iter().any(of_shell));
    let inner = inner.unwrap();
    assert!(start_of(inner).inherited);
    assert_eq!(inner[1].exit.unwrap().code, Some(3));
    assert_eq!(stories[&shell].last().unwrap().exit.unwrap().code, Some(4));
}

/// Runs `work` in a network namespace of its own.
fn in_new_namespace(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
                println!("skipped: no new network namespace: {error}");
                return;
            }
            // Threads and processes made here are in the namespace of this thread.
            work();
        });
    });
}

#[test]
fn in_another_network_namespace_only_its_own_processes_are_seen() {
    if !may_watch() {
        return;
    }
    in_new_namespace(|| {
        let mut live = Live::start();
        let outside = in_initial(|| run(&mut Command::new("/bin/true"))).unwrap();
        let own = run(&mut Command::new("/bin/true"));
        live.until_ended(&HashSet::from([own]));
        let stories = live.stories();
        start_of(&stories[&own]);
        assert!(!stories.contains_key(&outside));
    });
}

#[test]
fn what_a_full_ring_lost_is_told_to_the_record() {
    const RUNS: u64 = 200;
    if !may_watch() {
        return;
    }
    in_new_namespace(|| {
        let queue = Arc::new(Queue::default());
        let output = Output::for_test(NAME, queue.clone());
        let namespace = restriction(Scope::Namespace);
        // Room for a handful of records, and nobody reads while the processes run.
        let programs = load(8 << 10, namespace).unwrap();
        let hasher = Arc::new(Hasher::start(0).unwrap());
        let mut watch = Watch::new(programs, namespace, &hasher, &output);
        watch.scan().unwrap();
        for _ in 0..RUNS {
            run(&mut Command::new("/bin/true"));
        }
        let survivor = waiting_child();
        let (table, images) = (&mut watch.table, &mut watch.images);
        let read = watch
            .programs
            .take(usize::MAX, |bytes| apply(table, images, bytes));
        watch.report_losses().unwrap();
        watch.hand_over();
        // A fork, an exec and an exit of each; the survivor has no exit.
        let missing = 3 * RUNS + 2 - u64::try_from(read).unwrap();
        assert!(missing > RUNS && read > 0);
        let (mut lost, mut survived) = (Vec::new(), 0);
        for observation in queue.gather().unwrap() {
            match observation {
                Observation::Loss(loss) => lost.push((loss.reason, loss.lost)),
                Observation::Process(process) => {
                    survived += u32::from(process.pid == survivor.id());
                }
                _ => {}
            }
        }
        assert_eq!(lost, [(LossReason::Overflow, Some(missing))]);
        assert_eq!(survived, 1, "found although its start was lost");
        end_child(survivor);
        watch.drain().unwrap();
        let after = queue.gather().unwrap();
        assert!(
            !after
                .iter()
                .any(|seen| matches!(seen, Observation::Loss(_)))
        );
    });
}
