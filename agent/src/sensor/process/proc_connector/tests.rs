//! The sensor on this machine's own kernel. Needs root; without it each test says so and passes.

use std::collections::{HashMap, HashSet};
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::health::{Health, SensorState};
use crate::queue::Queue;
use crate::sensor::process::{Activity, ArgvState, ProcessObservation};
use crate::sensor::supervisor::{self, Running};
use crate::sensor::{Loss, Observation};

/// Whether this account may watch; says so where it may not.
fn may_watch() -> bool {
    match probe(Scope::Auto) {
        Ok(_) if nix::unistd::geteuid().is_root() => true,
        Ok(_) => {
            println!("skipped: needs root");
            false
        }
        Err(error) => {
            println!("skipped: {error}");
            false
        }
    }
}

/// The sensor at work, and what it saw so far.
struct Live {
    queue: Arc<Queue>,
    running: Running,
    seen: Vec<ProcessObservation>,
}

impl Live {
    fn start(scope: Scope) -> Self {
        let hasher = Arc::new(Hasher::start(1 << 30).unwrap());
        let (queue, health) = (Arc::new(Queue::default()), Arc::new(Health::default()));
        let sensor = ProcConnector::new(scope, hasher);
        let running = supervisor::start("live", vec![Box::new(sensor)], &queue, &health).unwrap();
        let mut live = Self {
            queue,
            running,
            seen: Vec::new(),
        };
        while health.sensor_state(NAME) != Some(SensorState::Running) {
            live.take();
        }
        live
    }

    fn take(&mut self) {
        let group = self.queue.gather().unwrap();
        self.seen.extend(group.into_iter().filter_map(process));
    }

    fn until(&mut self, what: impl Fn(&[ProcessObservation]) -> bool) {
        while !what(&self.seen) {
            self.take();
        }
    }

    fn saw(&self, activity: Activity, pid: u32) -> usize {
        let is = |seen: &&ProcessObservation| seen.activity == activity && seen.pid == pid;
        self.seen.iter().filter(is).count()
    }

    fn end(mut self) -> Vec<ProcessObservation> {
        self.running.stop();
        self.queue.close();
        let rest = std::iter::from_fn(|| self.queue.gather()).flatten();
        self.seen.extend(rest.filter_map(process));
        self.seen
    }
}

fn process(observation: Observation) -> Option<ProcessObservation> {
    match observation {
        Observation::Process(process) => Some(*process),
        _ => None,
    }
}

fn ended(seen: &[ProcessObservation], pids: &HashSet<u32>) -> bool {
    let exits = seen.iter().filter(|seen| seen.activity == Activity::Exit);
    exits.filter(|seen| pids.contains(&seen.pid)).count() >= pids.len()
}

#[test]
fn short_processes_start_and_end_once_with_their_parent() {
    if !may_watch() {
        return;
    }
    let mut live = Live::start(Scope::Auto);
    let pids: HashSet<u32> = (0..200)
        .map(|_| {
            let mut child = Command::new("/bin/true").spawn().unwrap();
            child.wait().unwrap();
            child.id()
        })
        .collect();
    live.until(|seen| ended(seen, &pids));
    let mut told: HashMap<u32, Vec<ProcessObservation>> = HashMap::new();
    for seen in live.end() {
        if pids.contains(&seen.pid) {
            told.entry(seen.pid).or_default().push(seen);
        }
    }
    assert_eq!(told.len(), pids.len());
    for story in told.values() {
        let [start, exit] = story.as_slice() else {
            panic!("one start and one exit: {story:?}");
        };
        assert_eq!(
            (start.activity, exit.activity),
            (Activity::Start, Activity::Exit)
        );
        assert_eq!(start.start_ticks, exit.start_ticks);
        assert_eq!(start.parent.as_ref().unwrap().pid, std::process::id());
        assert_eq!(exit.exit.unwrap().code, Some(0));
        if start.image.argv_state == ArgvState::Read {
            assert_eq!(start.image.argv.as_ref(), b"/bin/true\0");
        }
    }
}

/// A child that lives until its standard input ends.
fn waiting_child() -> Child {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    command.arg("-").spawn().unwrap()
}

fn end_child(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn longer_processes_are_read_whole() {
    if !may_watch() {
        return;
    }
    let mut live = Live::start(Scope::Auto);
    let children: Vec<Child> = (0..20).map(|_| waiting_child()).collect();
    let pids: HashSet<u32> = children.iter().map(Child::id).collect();
    live.until(|seen| {
        let starts = seen.iter().filter(|seen| seen.activity == Activity::Start);
        starts.filter(|seen| pids.contains(&seen.pid)).count() == pids.len()
    });
    children.into_iter().for_each(end_child);
    for seen in live.end().iter().filter(|seen| pids.contains(&seen.pid)) {
        assert_eq!(seen.image.argv_state, ArgvState::Read);
        assert_eq!(seen.image.argv.as_ref(), b"cat\0-\0");
        assert!(seen.image.executable.starts_with(b"/"));
        assert!(seen.image.file.is_some(), "it can be hashed");
    }
}

#[test]
fn in_another_network_namespace_only_its_own_processes_are_seen() {
    if !may_watch() {
        return;
    }
    let inside = std::thread::spawn(|| {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            println!("skipped: no new network namespace: {error}");
            return;
        }
        // Threads and processes made here are in the namespace of this thread.
        let mut live = Live::start(Scope::Auto);
        let outside = std::thread::scope(|scope| {
            let outside = scope.spawn(|| {
                in_initial(|| {
                    let child = waiting_child();
                    let pid = child.id();
                    end_child(child);
                    pid
                })
            });
            outside.join().unwrap().unwrap()
        });
        let own = waiting_child();
        let pid = own.id();
        end_child(own);
        live.until(|seen| ended(seen, &HashSet::from([pid])));
        assert_eq!(live.saw(Activity::Start, pid), 1);
        assert_eq!(live.saw(Activity::Start, outside), 0);
        assert_eq!(live.saw(Activity::Exit, outside), 0);
        live.end();
    });
    inside.join().unwrap();
}

/// Collects without the supervisor.
fn output(queue: &Arc<Queue>) -> Output {
    Output::for_test(NAME, queue.clone())
}

#[test]
fn a_full_socket_is_a_counted_gap_and_the_table_is_right_afterwards() {
    if !may_watch() {
        return;
    }
    let queue = Arc::new(Queue::default());
    let output = output(&queue);
    // Room for a handful of notifications, and nobody reads while the processes run.
    let (source, _) = Source::open(4096).unwrap();
    let files = ProcFiles::new(Arc::new(Hasher::start(0).unwrap()));
    let mut watch = Watch::new(source, Table::new(files, None), &output);
    watch.scan().unwrap();
    for _ in 0..50 {
        Command::new("/bin/true").status().unwrap();
    }
    let survivor = waiting_child();
    watch.drain().unwrap();
    // More notifications, so that every CPU tells where its count stands.
    let mut lost = 0;
    let mut seen = Vec::new();
    while lost == 0 {
        Command::new("/bin/true").status().unwrap();
        watch.drain().unwrap();
        for observation in queue.gather().unwrap() {
            match observation {
                Observation::Loss(loss) => lost += check_loss(&loss),
                other => seen.extend(process(other)),
            }
        }
    }
    let starts = seen.iter().filter(|seen| {
        seen.pid == survivor.id() && matches!(seen.activity, Activity::Start | Activity::Observed)
    });
    assert_eq!(starts.count(), 1, "found although its start was dropped");
    end_child(survivor);
}

fn check_loss(loss: &Loss) -> u64 {
    assert_eq!(loss.reason, LossReason::Overflow);
    assert!(loss.from_ms > 0 && loss.from_ms <= loss.until_ms);
    loss.lost.unwrap_or(0)
}

#[test]
fn a_missing_priority_is_said() {
    let refused = io::Error::from(io::ErrorKind::PermissionDenied);
    let said = detail(None, Some(refused));
    assert!(said.contains("no priority over other threads"), "{said}");
    assert!(!detail(None, None).contains("priority"));
}
