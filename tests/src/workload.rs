//! Process events as a busy Linux machine makes them, by a seeded generator.
//!
//! A mix of shells, builds, scripts, services and browsers: long and short arguments, few executables many
//! times, paths and numbers that differ from process to process. Every process starts and ends; what ends
//! is repeated as the agent repeats it. Sequences are without holes, batches are packed as the agent packs them.

use std::collections::VecDeque;

use anyhow::Result;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};
use tocsin_proto::agent::v1::UploadEventsRequest;
use tocsin_proto::batch;
use tocsin_proto::telemetry::v1 as wire;

/// Processes that run at once on the simulated machine.
const RUNNING_MAX: usize = 40;

/// What runs: executable, arguments (`#` becomes a number, `%` a word, `~` a hash), relative frequency.
const PROGRAMS: &[(&str, &str, u32)] = &[
    (
        "/usr/bin/dash",
        "sh -c test -f /run/%/state && date +%s > /run/%/last",
        14,
    ),
    ("/usr/bin/grep", "grep -q ^%= /etc/default/%", 10),
    (
        "/usr/bin/cat",
        "cat /sys/class/power_supply/BAT#/capacity",
        8,
    ),
    (
        "/usr/bin/sed",
        "sed -n s/^%:[[:space:]]*//p /proc/#/status",
        8,
    ),
    (
        "/usr/bin/git",
        "git -c core.fsmonitor=false rev-parse --verify ~",
        7,
    ),
    (
        "/usr/bin/git",
        "git --no-optional-locks status --porcelain=v2 --branch",
        4,
    ),
    (
        "/usr/bin/x86_64-linux-gnu-gcc-14",
        "cc -O2 -g -fPIC -Wall -I/home/%/src/%/include -c -o build/%-#.o src/%/%.c",
        9,
    ),
    (
        "/usr/libexec/gcc/x86_64-linux-gnu/14/cc1",
        "cc1 -quiet -imultiarch x86_64-linux-gnu src/%/%.c -dumpdir build/ -dumpbase %.c -mtune=generic -march=x86-64 -O2 -o /tmp/cc#.s",
        9,
    ),
    (
        "/usr/bin/x86_64-linux-gnu-as",
        "as --64 -o build/%-#.o /tmp/cc#.s",
        9,
    ),
    (
        "/usr/bin/python3.13",
        "python3 -m % --config /etc/%/%.toml --job ~ --since #",
        6,
    ),
    (
        "/usr/bin/node",
        "node /home/%/src/%/node_modules/.bin/% --watch --port #",
        3,
    ),
    (
        "/usr/lib/firefox/firefox",
        "firefox -contentproc -childID # -isForBrowser -prefsLen # -prefMapSize # -parentBuildID # {~} # tab",
        2,
    ),
    (
        "/usr/bin/ssh",
        "ssh -o ControlMaster=auto -W %:# %@%.example.net",
        2,
    ),
    ("/usr/bin/sudo", "sudo -n /usr/sbin/% --status", 2),
    ("/usr/lib/systemd/systemd-executor", "(%)", 3),
    (
        "/usr/bin/runc",
        "runc --root /run/%/runtime --log-format json exec --process /tmp/runc-process# ~",
        3,
    ),
    (
        "/usr/bin/curl",
        "curl -fsS --max-time # https://%.example.net/%/#",
        2,
    ),
];

const WORDS: &[&str] = &[
    "alpine", "backup", "billing", "cache", "config", "daemon", "deploy", "editor", "export",
    "fetch", "index", "ledger", "mailer", "metrics", "network", "parser", "portal", "queue",
    "render", "report", "schema", "search", "session", "storage", "stream", "theme", "token",
    "update", "vendor", "worker",
];

/// A process of the simulated machine.
#[derive(Debug, Clone)]
struct Running {
    process: wire::Process,
}

/// One run of one endpoint.
#[derive(Debug)]
pub struct Workload {
    run_id: [u8; 16],
    boot_id: Vec<u8>,
    chance: StdRng,
    sequence: u64,
    pid: u32,
    start_ticks: u64,
    time_ms: i64,
    running: VecDeque<Running>,
}

impl Workload {
    /// A run whose first event is at `time_ms`.
    pub fn new(run_id: [u8; 16], seed: u64, time_ms: i64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        Self {
            run_id,
            boot_id: chance.random::<[u8; 16]>().to_vec(),
            sequence: 0,
            pid: chance.random_range(1_000..4_000_000),
            start_ticks: chance.random_range(100_000..100_000_000),
            time_ms,
            running: VecDeque::new(),
            chance,
        }
    }

    /// The same, going on behind this sequence of a run that somebody else began.
    pub fn behind(self, sequence: u64) -> Self {
        Self { sequence, ..self }
    }

    /// The run.
    pub fn run_id(&self) -> [u8; 16] {
        self.run_id
    }

    /// The last sequence that was given.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The next `count` events as one upload, their times up to `now_ms`.
    ///
    /// # Errors
    /// Where `count` is more than a batch holds.
    pub fn upload(&mut self, count: usize, now_ms: i64) -> Result<UploadEventsRequest> {
        let first_sequence = self.sequence + 1;
        let begin_ms = self.time_ms;
        let span_ms = (now_ms - begin_ms).max(0);
        let total = i64::try_from(count)?;
        let mut events = Vec::with_capacity(count);
        for position in 1..=total {
            self.time_ms = begin_ms + span_ms * position / total;
            events.push(self.event());
        }
        let packed = batch::pack(&wire::EventBatch {
            boot_id: self.boot_id.clone(),
            events,
        })?;
        Ok(UploadEventsRequest {
            run_id: self.run_id.to_vec(),
            first_sequence,
            last_sequence: self.sequence,
            batch: packed,
        })
    }

    fn event(&mut self) -> wire::Event {
        self.sequence += 1;
        let full = self.running.len() >= RUNNING_MAX;
        let ending = (full || self.chance.random_bool(0.45))
            .then(|| self.running.pop_front())
            .flatten();
        let process = match ending {
            Some(running) => self.exited(running),
            None => self.started(),
        };
        wire::Event {
            sequence: self.sequence,
            event_time_ms: self.time_ms,
            body: Some(wire::event::Body::Process(process)),
        }
    }

    fn started(&mut self) -> wire::Process {
        self.pid += self.chance.random_range(1..4);
        self.start_ticks += self.chance.random_range(0..3);
        let (executable, arguments) = self.program();
        let parent = self.running.back().map_or_else(
            || wire::ParentProcess {
                pid: 1,
                start_ticks: 4,
                executable: "/usr/lib/systemd/systemd".to_owned(),
            },
            |parent| wire::ParentProcess {
                pid: parent.process.pid,
                start_ticks: parent.process.start_ticks,
                executable: parent.process.executable.clone(),
            },
        );
        let user = match self.chance.random_range(0..10) {
            0..3 => ("0", "root"),
            3..4 => ("33", "www-data"),
            _ => ("1000", "dana"),
        };
        let process = wire::Process {
            activity: wire::ProcessActivity::Start.into(),
            pid: self.pid,
            start_ticks: self.start_ticks,
            start_time_ms: self.time_ms,
            argv_state: wire::ArgvState::Read.into(),
            argv: arguments,
            executable: executable.to_owned(),
            executable_sha256: Sha256::digest(executable).to_vec(),
            user: Some(wire::User {
                uid: user.0.to_owned(),
                name: user.1.to_owned(),
            }),
            parent: Some(parent),
            login_uid: Some(1000),
            audit_session: Some(3),
            ..Default::default()
        };
        self.running.push_back(Running {
            process: process.clone(),
        });
        process
    }

    fn exited(&mut self, running: Running) -> wire::Process {
        wire::Process {
            activity: wire::ProcessActivity::Exit.into(),
            exit_code: Some(i32::from(self.chance.random_bool(0.1))),
            ..running.process
        }
    }

    fn program(&mut self) -> (&'static str, Vec<String>) {
        let all: u32 = PROGRAMS.iter().map(|program| program.2).sum();
        let mut point = self.chance.random_range(0..all);
        let chosen = PROGRAMS.iter().find(|program| {
            let found = point < program.2;
            point = point.saturating_sub(program.2);
            found
        });
        let (executable, pattern, _) = chosen.copied().unwrap_or(("/usr/bin/true", "true", 1));
        let arguments = pattern
            .split(' ')
            .map(|argument| self.filled(argument))
            .collect();
        (executable, arguments)
    }

    fn filled(&mut self, pattern: &str) -> String {
        let mut text = String::with_capacity(pattern.len() + 16);
        for c in pattern.chars() {
            match c {
                '#' => text.push_str(&self.chance.random_range(0..100_000_u32).to_string()),
                '%' => {
                    let at = self.chance.random_range(0..WORDS.len());
                    text.push_str(WORDS.get(at).copied().unwrap_or_default());
                }
                '~' => text.push_str(&format!(
                    "{:016x}{:016x}",
                    self.chance.random::<u64>(),
                    self.chance.random::<u64>()
                )),
                c => text.push(c),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use tocsin_proto::event::Event;

    use super::*;

    #[test]
    fn every_event_passes_the_border_and_sequences_have_no_hole() {
        let mut workload = Workload::new([1; 16], 7, 1_000);
        let mut expected = 1;
        for round in 1..=4 {
            let upload = workload.upload(512, 1_000 + round * 200).unwrap();
            assert_eq!(upload.first_sequence, expected);
            for event in batch::unpack(&upload.batch).unwrap().events {
                let event = Event::try_from(event).unwrap();
                assert_eq!(event.sequence.0, expected);
                expected += 1;
            }
            assert_eq!(upload.last_sequence, expected - 1);
        }
    }

    #[test]
    fn what_ends_had_started() {
        let mut workload = Workload::new([1; 16], 8, 0);
        let upload = workload.upload(512, 1_000).unwrap();
        let mut running = std::collections::BTreeSet::new();
        for event in batch::unpack(&upload.batch).unwrap().events {
            let Some(wire::event::Body::Process(process)) = event.body else {
                unreachable!("only processes are made");
            };
            let key = (process.pid, process.start_ticks);
            if process.activity == i32::from(wire::ProcessActivity::Exit) {
                assert!(running.remove(&key), "{key:?} ended without a start");
            } else {
                assert!(running.insert(key), "{key:?} started twice");
            }
        }
    }
}
