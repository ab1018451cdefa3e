//! The polling sensor: the process table, read again and again. For machines that offer nothing better; portable.
//!
//! It says of itself what it misses: a process that begins and ends between two scans is never seen, exit codes are
//! unknown, and times are those of the scans.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sysinfo::{Process, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};
use tocsin_proto::limits::{ARGV_BYTES_MAX, PATH_BYTES_MAX};

use super::{Account, Activity, ArgvState, Image, Parent, ProcessObservation};
use crate::clock;
use crate::config::ProcessConfig;
use crate::hash::{FileIdentity, Hasher, open_unread};
use crate::sensor::{Observation, Output, Sensor, SensorError, Stop};

/// Its name in health and gaps.
pub(super) const NAME: &str = "process/poll";

/// The sensor.
#[derive(Debug)]
pub(crate) struct Poll {
    config: ProcessConfig,
    hasher: Arc<Hasher>,
    /// Only processes of this network namespace are reported, where set.
    #[cfg(target_os = "linux")]
    namespace: Option<u64>,
}

impl Poll {
    /// Scans as `config` says; executables are hashed by `hasher`.
    pub(crate) fn new(config: ProcessConfig, hasher: Arc<Hasher>) -> Self {
        Self {
            #[cfg(target_os = "linux")]
            namespace: super::namespace::restriction(config.scope),
            config,
            hasher,
        }
    }
}

impl Sensor for Poll {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, output: &Output, stop: &Stop) -> Result<(), SensorError> {
        let mut system = System::new().map_err(|error| {
            SensorError::Unavailable(format!("the process table cannot be read: {error}"))
        })?;
        let mut known = Known::default();
        let mut activity = Activity::Observed;
        loop {
            let kind = ProcessRefreshKind::nothing()
                .without_tasks()
                .with_cmd(UpdateKind::OnlyIfNotSet)
                .with_exe(UpdateKind::OnlyIfNotSet)
                .with_user(UpdateKind::OnlyIfNotSet);
            system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
            let now_ms = clock::now_ms();
            let seen = self.compare(&mut known, &system, activity, now_ms);
            output.send(
                seen.into_iter()
                    .map(|process| Observation::Process(Box::new(process))),
            );
            if activity == Activity::Observed {
                output.running(detail(self.config.poll_interval));
                activity = Activity::Start;
            }
            if stop.wait(self.config.poll_interval) {
                return Ok(());
            }
        }
    }
}

/// What it sees and misses.
pub(super) fn detail(interval: Duration) -> String {
    format!(
        "sees what lives when the process table is read, every {} ms: misses shorter processes, exit codes and changes of image",
        interval.as_millis()
    )
}

/// What the last scan saw, by pid.
#[derive(Debug, Default)]
struct Known(HashMap<u32, ProcessObservation>);

impl Poll {
    fn compare(
        &self,
        known: &mut Known,
        system: &System,
        activity: Activity,
        now_ms: i64,
    ) -> Vec<ProcessObservation> {
        let mut seen = Vec::new();
        let processes = system.processes();
        known.0.retain(|pid, former| {
            let same = processes
                .get(&sysinfo::Pid::from_u32(*pid))
                .is_some_and(|process| start_time_ms(process) == former.start_time_ms);
            if !same {
                let mut exit = former.clone();
                exit.activity = Activity::Exit;
                exit.time_ms = now_ms;
                seen.push(exit);
            }
            same
        });
        let mut new: Vec<&Process> = processes
            .values()
            .filter(|process| !known.0.contains_key(&process.pid().as_u32()))
            .filter(|process| process.exe().is_some() || !process.cmd().is_empty())
            .filter(|process| self.includes(process))
            .collect();
        // Parents began before their children, so they are known when these name them.
        new.sort_by_key(|process| (process.start_time(), process.pid()));
        for process in new {
            let mut observation = self.observe(process, known);
            observation.activity = activity;
            observation.time_ms = now_ms;
            known.0.insert(observation.pid, observation.clone());
            seen.push(observation);
        }
        seen
    }

    /// Whether it is in the network namespace to which the sensor is restricted, if it is.
    fn includes(&self, process: &Process) -> bool {
        #[cfg(target_os = "linux")]
        if let Some(own) = self.namespace {
            return super::namespace::network_inode_of(process.pid().as_u32()) == Some(own);
        }
        // Elsewhere there are none.
        let _unused = process;
        true
    }

    fn observe(&self, process: &Process, known: &Known) -> ProcessObservation {
        let parent = process.parent().and_then(|pid| known.0.get(&pid.as_u32()));
        let pid = process.pid().as_u32();
        ProcessObservation {
            activity: Activity::Start,
            time_ms: 0,
            pid,
            start_ticks: start_ticks(process),
            start_time_ms: start_time_ms(process),
            image: Arc::new(self.image(process)),
            inherited: false,
            account: account(process),
            parent: parent.map(|parent| Parent {
                pid: parent.pid,
                start_ticks: parent.start_ticks,
                image: parent.image.clone(),
            }),
            exit: None,
            login_uid: None,
            audit_session: None,
        }
    }

    fn image(&self, process: &Process) -> Image {
        let mut argv = Vec::new();
        for argument in process.cmd() {
            argv.extend_from_slice(argument.as_encoded_bytes());
            argv.push(0);
        }
        let argv_state = match argv.len() {
            0 => ArgvState::Unread,
            length if length > ARGV_BYTES_MAX => ArgvState::Truncated,
            _ => ArgvState::Read,
        };
        argv.truncate(ARGV_BYTES_MAX);
        let path = process.exe().unwrap_or(std::path::Path::new(""));
        let mut executable = path.as_os_str().as_encoded_bytes().to_vec();
        executable.truncate(PATH_BYTES_MAX);
        let file = std::fs::metadata(path)
            .ok()
            .and_then(|metadata| FileIdentity::of(&metadata));
        if let Some(file) = file {
            self.hasher.request(file, || open_unread(path));
        }
        Image {
            executable: executable.into(),
            argv: argv.into(),
            argv_state,
            file,
        }
    }
}

fn start_time_ms(process: &Process) -> i64 {
    i64::try_from(process.start_time()).map_or(0, |seconds| seconds.saturating_mul(1000))
}

/// The same counter as the other sensors use, so that a process keeps its key from one to the other.
#[cfg(target_os = "linux")]
fn start_ticks(process: &Process) -> u64 {
    std::fs::read(format!("/proc/{}/stat", process.pid()))
        .ok()
        .and_then(|stat| super::procfs::parse_stat(&stat))
        .map_or(process.start_time(), |stat| stat.start_ticks)
}

#[cfg(not(target_os = "linux"))]
fn start_ticks(process: &Process) -> u64 {
    process.start_time()
}

#[cfg(unix)]
fn account(process: &Process) -> Option<Account> {
    let uid = process.effective_user_id().or(process.user_id())?;
    Some(Account::Uid(**uid))
}

#[cfg(not(unix))]
fn account(process: &Process) -> Option<Account> {
    process.user_id().map(|id| Account::Text(id.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn system() -> System {
        let mut system = System::new().unwrap();
        let kind = ProcessRefreshKind::everything().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
        system
    }

    #[test]
    fn a_process_is_observed_once_and_ends_once() {
        let poll = Poll::new(
            Config::default().process,
            Arc::new(Hasher::start(0).unwrap()),
        );
        let own = std::process::id();
        let of_own = |seen: &[ProcessObservation]| -> Vec<Activity> {
            seen.iter()
                .filter(|seen| seen.pid == own)
                .map(|seen| seen.activity)
                .collect()
        };
        let mut known = Known::default();
        let system = system();
        let seen = poll.compare(&mut known, &system, Activity::Observed, 5);
        assert_eq!(of_own(&seen), [Activity::Observed]);
        assert!(
            poll.compare(&mut known, &system, Activity::Start, 6)
                .is_empty()
        );
        let seen = poll.compare(&mut known, &System::new().unwrap(), Activity::Start, 7);
        assert_eq!(of_own(&seen), [Activity::Exit]);
        assert!(known.0.is_empty());
    }

    #[test]
    fn parents_come_before_their_children() {
        let poll = Poll::new(
            Config::default().process,
            Arc::new(Hasher::start(0).unwrap()),
        );
        let seen = poll.compare(&mut Known::default(), &system(), Activity::Observed, 5);
        let own = seen
            .iter()
            .find(|seen| seen.pid == std::process::id())
            .unwrap();
        let parent = own.parent.as_ref().expect("the test runner");
        #[cfg(unix)]
        assert_eq!(parent.pid, std::os::unix::process::parent_id());
        assert!(seen.iter().any(|seen| seen.pid == parent.pid));
    }
}
