//! Logins and sessions on Linux: reads every source that this machine has, merges them, keeps its place.
//!
//! ```text
//! audit stream   netlink multicast, read only               -+
//! journal        journalctl --follow, by cursor  } one of    |
//! auth.log       by inode and offset             } these     +-> merger -> logins -> sessions
//! wtmp, btmp     by inode and offset                         |                          ^
//! /proc          the processes of open logins               -+                logind ---+
//! clocks         sleep, boot
//! ```
//!
//! One thread waits for all of them; it wakes every half second while an outcome is pending, and every half
//! minute otherwise. Sources that are missing are named in the sensor's state; with none of them left, logins are
//! unknown, not absent.

mod account_names;
mod audit_stream;
mod journal_child;
mod logind;
mod machine;
mod sources;
mod state;
mod tail;
mod watch;

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use self::account_names::AccountNames;
use self::logind::Logind;
use self::sources::Sources;
use self::state::State;
use super::login::Login;
use super::manager::{ManagerNews, SessionManager};
use super::merge::Facts;
use super::power::{Power, PowerActivity, SleepWatch};
use super::table::{Session, SessionTable};
use super::{SessionObservation, SessionSink};
use crate::clock;
use crate::sensor::{Output, Sensor, SensorError, Stop};

/// How often the processes of open logins are looked for.
const LIVENESS_MS: i64 = 30_000;

/// How long the start waits for the session manager.
const MEET_MS: u16 = 2_000;

/// Positions alone are written at most so often.
const SAVE_MS: i64 = 5_000;

/// Where the sources are.
#[derive(Debug, Clone)]
pub(crate) struct LoginConfig {
    /// Where the sensor keeps its place.
    pub(crate) state: PathBuf,
    /// How far back the first start reads.
    pub(crate) history_ms: i64,
    /// Whether to read the journal, where there is one.
    pub(crate) journal: bool,
    /// Whether to read the audit stream.
    pub(crate) audit: bool,
    /// The log of logins: the first that exists, where there is no journal.
    pub(crate) logs: Vec<PathBuf>,
    /// Logins with terminals.
    pub(crate) wtmp: PathBuf,
    /// Failed logins.
    pub(crate) btmp: PathBuf,
    /// Who is logged in.
    pub(crate) utmp: PathBuf,
    /// Whether to ask logind.
    pub(crate) logind: bool,
}

impl LoginConfig {
    /// The usual places.
    pub(crate) fn new(state: PathBuf) -> Self {
        Self {
            state,
            history_ms: 24 * 3_600_000,
            journal: true,
            audit: true,
            logs: vec!["/var/log/auth.log".into(), "/var/log/secure".into()],
            wtmp: "/var/log/wtmp".into(),
            btmp: "/var/log/btmp".into(),
            utmp: "/run/utmp".into(),
            logind: true,
        }
    }
}

/// The sensor.
#[derive(Debug)]
pub(crate) struct Logins {
    config: LoginConfig,
}

impl Logins {
    /// Reads what `config` names.
    pub(crate) fn new(config: LoginConfig) -> Self {
        Self { config }
    }

    /// Runs until it is stopped or can go on no more.
    pub(crate) fn run(&self, sink: &dyn SessionSink, stop: &Stop) -> io::Result<()> {
        let now_ms = clock::now_ms();
        let boot = machine::boot_id();
        let wake = wake_by(stop)?;
        let loaded = State::load(&self.config.state);
        let is_first = loaded.is_none();
        let state = loaded.unwrap_or_default();
        let sources = Sources::open(&self.config, &state, now_ms)?;
        let manager: Option<Box<dyn SessionManager>> = if self.config.logind {
            Some(Box::new(Logind::start()?))
        } else {
            None
        };
        let mut running = Running {
            config: &self.config,
            sink,
            state,
            sources,
            manager,
            slept_ms: None,
            names: AccountNames::default(),
            table: SessionTable::default(),
            sleep: SleepWatch::new(machine::clocks()),
            looked_ms: now_ms,
            saved_ms: now_ms,
        };
        running.note_boot(&boot, is_first);
        running.meet_manager(now_ms)?;
        sink.running(running.sources.detail());
        while !stop.is_stopped() {
            let more = running.look()?;
            if !more {
                running.wait(&wake)?;
            }
        }
        running.save();
        Ok(())
    }
}

impl Sensor for Logins {
    fn name(&self) -> &'static str {
        "session/logins"
    }

    fn run(&mut self, output: &Output, stop: &Stop) -> Result<(), SensorError> {
        Logins::run(self, output, stop).map_err(SensorError::failed("read who logs in"))
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

struct Running<'a> {
    config: &'a LoginConfig,
    sink: &'a dyn SessionSink,
    state: State,
    sources: Sources,
    manager: Option<Box<dyn SessionManager>>,
    /// When the session manager last spoke of sleep.
    slept_ms: Option<i64>,
    names: AccountNames,
    table: SessionTable,
    sleep: SleepWatch,
    looked_ms: i64,
    saved_ms: i64,
}

impl Running<'_> {
    /// The machine was restarted since the state was written, or is new to us.
    fn note_boot(&mut self, boot: &str, is_first: bool) {
        if self.state.boot == boot {
            return;
        }
        let boot_ms = machine::boot_time_ms();
        if !is_first {
            let ended = self.state.merger.restarted(boot_ms);
            self.tell(ended, boot_ms);
        }
        self.state.boot = boot.to_owned();
        let booted = Power {
            activity: PowerActivity::Booted,
            time_ms: boot_ms,
            until_ms: boot_ms,
        };
        self.sink.observed(vec![SessionObservation::Power(booted)]);
    }

    /// Waits a moment for the session manager, so that each session is told by one of the two.
    fn meet_manager(&mut self, now_ms: i64) -> io::Result<()> {
        if let Some(manager) = &self.manager {
            let mut ready = [PollFd::new(manager.descriptor(), PollFlags::POLLIN)];
            match poll(&mut ready, PollTimeout::from(MEET_MS)) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.hear_manager(now_ms);
        if !self.table.is_managed() {
            self.tell_open(now_ms);
        }
        Ok(())
    }

    /// Sessions that a former run of the agent knew, and those that only utmp knows.
    fn tell_open(&mut self, now_ms: i64) {
        let known: Vec<Login> = self.state.merger.open().cloned().collect();
        let mut observed: Vec<_> = known
            .iter()
            .filter_map(|login| self.table.observed(login, now_ms))
            .collect();
        for (id, facts) in machine::users(&self.config.utmp, &known) {
            observed.extend(self.table.update(&id, facts, false, now_ms));
        }
        self.tell_sessions(observed);
    }

    /// Reads every source once and tells what became certain; true where there is more to read.
    fn look(&mut self) -> io::Result<bool> {
        let now_ms = clock::now_ms();
        let read = self.sources.read(&mut self.names, now_ms)?;
        if read.lost {
            self.sink.lost(None, self.looked_ms, now_ms);
        }
        let changed = !read.records.is_empty();
        for mut record in read.records {
            machine::note_session(&mut record, now_ms);
            self.state.merger.push(record, now_ms);
        }
        for power in read.power {
            self.sink.observed(vec![SessionObservation::Power(power)]);
        }
        self.hear_manager(now_ms);
        self.look_at_clocks(now_ms);
        if now_ms - self.looked_ms >= LIVENESS_MS || now_ms < self.looked_ms {
            self.look_for_processes(now_ms);
        }
        let facts = Facts {
            terminals_recorded: self.sources.record_terminals(),
        };
        // A source that is still behind has not said everything up to now.
        let certain_ms = read.behind_ms.unwrap_or(now_ms);
        let told = self.state.merger.advance(certain_ms, facts);
        let dropped = self.state.merger.take_dropped();
        if dropped > 0 {
            self.sink.lost(Some(dropped), self.looked_ms, now_ms);
        }
        let has_told = !told.is_empty();
        self.tell(told, now_ms);
        if has_told || (changed && now_ms - self.saved_ms >= SAVE_MS) {
            self.save();
        }
        Ok(read.more)
    }

    /// Takes what the session manager says.
    fn hear_manager(&mut self, now_ms: i64) {
        let news = self
            .manager
            .as_mut()
            .map(|manager| manager.take())
            .unwrap_or_default();
        for news in news {
            let sessions = match news {
                ManagerNews::Connected(sessions) => self.table.connect(sessions, now_ms),
                ManagerNews::Session { id, facts, fresh } => {
                    self.table.update(&id, *facts, fresh, now_ms)
                }
                ManagerNews::Removed(id) => self.table.remove(&id, now_ms).into_iter().collect(),
                // It will be back: what it managed stays as it was.
                ManagerNews::Gone => Vec::new(),
                ManagerNews::Sleep(sleeps) => {
                    self.slept_ms = Some(now_ms);
                    let power = Power {
                        activity: if sleeps {
                            PowerActivity::Suspended
                        } else {
                            PowerActivity::Resumed
                        },
                        time_ms: now_ms,
                        until_ms: now_ms,
                    };
                    self.sink.observed(vec![SessionObservation::Power(power)]);
                    Vec::new()
                }
            };
            self.tell_sessions(sessions);
        }
    }

    /// Notices a sleep of which nobody spoke.
    fn look_at_clocks(&mut self, now_ms: i64) {
        let Some(sleep) = self.sleep.look(machine::clocks()) else {
            return;
        };
        let [went, _] = &sleep;
        if self
            .slept_ms
            .is_none_or(|told_ms| told_ms < went.time_ms || told_ms > now_ms)
        {
            self.sink
                .observed(sleep.map(SessionObservation::Power).to_vec());
        }
    }

    fn tell_sessions(&self, sessions: Vec<Session>) {
        if sessions.is_empty() {
            return;
        }
        let told = sessions
            .into_iter()
            .map(|session| SessionObservation::Session(Box::new(session)));
        self.sink.observed(told.collect());
    }

    fn look_for_processes(&mut self, now_ms: i64) {
        self.looked_ms = now_ms;
        let gone: Vec<u32> = self
            .state
            .merger
            .open()
            .filter(|login| !machine::is_alive(login))
            .filter_map(|login| login.pid)
            .collect();
        for pid in gone {
            self.state.merger.process_gone(pid, now_ms);
        }
    }

    fn tell(&mut self, logins: Vec<Login>, now_ms: i64) {
        let mut told = Vec::new();
        for mut login in logins {
            self.names.complete(&mut login, now_ms);
            let session = self.table.login(&login);
            told.push(SessionObservation::Login(Box::new(login)));
            told.extend(session.map(|session| SessionObservation::Session(Box::new(session))));
        }
        if !told.is_empty() {
            self.sink.observed(told);
        }
    }

    fn save(&mut self) {
        self.saved_ms = clock::now_ms();
        self.sources.note_positions(&mut self.state);
        if let Err(error) = self.state.save(&self.config.state) {
            tracing::error!(error = %crate::text::chain(&error), "the place in the logs is not kept");
        }
    }

    fn wait(&mut self, wake: &EventFd) -> io::Result<()> {
        let timeout_ms: u16 = match (
            self.state.merger.is_holding(),
            self.state.merger.is_waiting(),
        ) {
            (true, _) => 500,
            (false, true) => 5_000,
            (false, false) => 30_000,
        };
        let sources = self.sources.descriptors();
        let mut waits: Vec<PollFd<'_>> = sources
            .into_iter()
            .chain([wake.as_fd()])
            .chain(self.manager.as_ref().map(|manager| manager.descriptor()))
            .map(|descriptor: BorrowedFd<'_>| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        match poll(&mut waits, PollTimeout::from(timeout_ms)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
