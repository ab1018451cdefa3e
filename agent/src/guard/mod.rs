//! `tocsin-guard`: starts the agent, the packaged version or a later one in a slot, and goes back by itself.
//!
//! ```text
//! ledger -> the version to run -> start it -> it ends                     -> start again, after a moment
//!                                  on trial: looked at every second       -> keeps it, or goes back (probation)
//! ```
//!
//! It is small on purpose: it knows no server but by whether its port answers, no release but by the hash in the ledger,
//! and it never replaces itself; the package does. What it decides is in the ledger before it acts on it, so that a kill
//! or a power cut at any moment leaves a version that runs. A ledger or a slot that cannot be used means the version
//! before, and in the end the packaged one.

mod probation;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tocsin_proto::release::PROGRAM;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use self::probation::{Finding, Probation, Rules, Verdict, look};
use crate::app::Signals;
use crate::slot::{Ledger, Slot, Slots};
use crate::state::{LockError, StateDirectory};
use crate::status::Status;
use crate::text::chain;
use crate::{cli, clock, config, version};

/// How often a version on trial is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long the server's port may take to answer.
const PORT_TIMEOUT: Duration = Duration::from_secs(3);

/// Before an agent that ended is started again: first, and at most.
const RESTART_FIRST: Duration = Duration::from_secs(1);
const RESTART_CAP: Duration = Duration::from_secs(30);

/// An agent that ran so long was well.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// How long an agent may take to end in order; longer than it takes for its last events.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// Exit codes with which an agent says that starting it again is of no use: usage, permission, configuration.
const HOPELESS: [i32; 3] = [64, 77, 78];

/// Starts Tocsin's agent, and goes back to the version before where a new one does not work.
#[derive(Debug, Parser)]
#[command(name = "tocsin-guard", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run the agent until SIGTERM
    Run(RunArguments),
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// Where identity, spool, status and versions are kept
    #[arg(long, value_name = "DIR", default_value = config::DEFAULT_STATE)]
    state: PathBuf,
    /// Configuration file of the agent
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The packaged agent [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Seconds in which a new version has to become healthy while the server can be reached
    #[arg(long, value_name = "SECONDS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(10..=3600))]
    probation: u64,
    /// Seconds for which it has to stay so
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    healthy: u64,
}

/// Runs the guard's command line. `version` is that of the program, and of the packaged agent.
pub fn main(version: &'static str, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    version::say(version);
    let matches = Arguments::command()
        .version(version)
        .try_get_matches_from(arguments);
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_answer = !error.use_stderr();
            // Nobody is left to tell if this cannot be written.
            let _unheard = error.print();
            return ExitCode::from(if is_answer { 0 } else { 64 });
        }
    };
    cli::log_to_stderr("info");
    let Action::Run(arguments) = arguments.command;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime.and_then(|runtime| runtime.block_on(Guard::new(arguments)?.run()));
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            tracing::error!(error = chain(&error), "the guard cannot go on");
            ExitCode::FAILURE
        }
    }
}

struct Guard {
    arguments: RunArguments,
    packaged: PathBuf,
    state: StateDirectory,
    slots: Slots,
    rules: Rules,
}

/// How a run of the agent ended.
enum Ended {
    /// By itself.
    Itself(ExitStatus),
    /// The guard is to end, and the agent has.
    Stopped,
    /// The guard ended it: the version before is to run.
    WentBack,
}

impl Guard {
    fn new(arguments: RunArguments) -> std::io::Result<Self> {
        let packaged = match &arguments.agent {
            Some(path) => path.clone(),
            None => std::env::current_exe()?.with_file_name(PROGRAM),
        };
        let state = StateDirectory::new(arguments.state.clone());
        Ok(Self {
            packaged,
            slots: Slots::new(&state),
            state,
            rules: Rules {
                healthy_for: Duration::from_secs(arguments.healthy),
                probation: Duration::from_secs(arguments.probation),
                ..Rules::default()
            },
            arguments,
        })
    }

    async fn run(&self) -> std::io::Result<u8> {
        let mut signals = Signals::listen()?;
        let mut delay = RESTART_FIRST;
        loop {
            let mut ledger = self.ledger();
            let slot = self.choose(&mut ledger);
            let program = match &slot {
                Some(slot) => self.slots.program(slot.version),
                None => self.packaged.clone(),
            };
            self.wait_for_former().await;
            let begun = Instant::now();
            let ended = match self.start(&program) {
                Ok(child) => self.keep(child, &mut ledger, &mut signals).await?,
                Err(error) if slot.is_some() => {
                    tracing::error!(%error, program = %program.display(), "a version cannot be started");
                    self.not_started(&mut ledger, &error.to_string());
                    Ended::WentBack
                }
                Err(error) => return Err(error),
            };
            match ended {
                Ended::Stopped => return Ok(0),
                Ended::WentBack => continue,
                Ended::Itself(status) => {
                    // As it is now: a trial may have ended well meanwhile.
                    let on_trial = ledger.trial.is_some();
                    // It may have installed another version, which then runs at once.
                    let begins = self.ledger().trial.is_some() && !on_trial;
                    if begins {
                        continue;
                    }
                    tracing::warn!(%status, "the agent ended by itself");
                    let hopeless = status.code().filter(|code| HOPELESS.contains(code));
                    if on_trial {
                        self.crashed(&mut ledger, &format!("it ended with {status}"));
                    } else if let Some(code) = hopeless {
                        return Ok(u8::try_from(code).unwrap_or(1));
                    }
                }
            }
            if begun.elapsed() >= WELL_AFTER {
                delay = RESTART_FIRST;
            }
            tokio::select! {
                () = sleep(delay) => {}
                _ = signals.received() => return Ok(0),
            }
            delay = (delay * 2).min(RESTART_CAP);
        }
    }

    /// The agent of a guard that was killed may still be ending: a version on trial must not be blamed for that.
    async fn wait_for_former(&self) {
        let begun = Instant::now();
        while matches!(self.state.lock(), Err(LockError::Held { .. }))
            && begun.elapsed() < END_TIMEOUT
        {
            sleep(LOOK).await;
        }
    }

    fn ledger(&self) -> Ledger {
        self.slots.load().unwrap_or_else(|error| {
            tracing::error!(error = chain(&error), "the packaged version runs");
            Ledger::default()
        })
    }

    fn store(&self, ledger: &Ledger) {
        if let Err(error) = self.slots.store(ledger) {
            tracing::error!(error = chain(&error), "which version runs cannot be noted");
        }
    }

    /// What to run. What cannot be run is taken out of the ledger first.
    fn choose(&self, ledger: &mut Ledger) -> Option<Slot> {
        loop {
            let slot = ledger.chosen(version::running()).cloned()?;
            let why = match &mut ledger.trial {
                Some(trial) if trial.starts >= self.rules.starts_max => {
                    "it was started again and again without becoming healthy"
                }
                _ if !self.slots.is_whole(&slot) => "its program is not what was installed",
                Some(trial) => {
                    // Noted before it is started: a version that takes the machine down is counted too.
                    trial.starts += 1;
                    self.store(ledger);
                    return Some(slot);
                }
                None => return Some(slot),
            };
            tracing::error!(version = %slot.version, why, "the version before runs");
            match ledger.trial {
                Some(_) => ledger.go_back(why, clock::now_ms()),
                None => ledger.drop_current(why, clock::now_ms()),
            }
            self.store(ledger);
        }
    }

    fn start(&self, program: &Path) -> std::io::Result<Child> {
        let mut command = Command::new(program);
        command.arg("run").arg("--guarded");
        command.arg("--state").arg(self.state.path());
        if let Some(config) = &self.arguments.config {
            command.arg("--config").arg(config);
        }
        tracing::info!(program = %program.display(), "starts");
        command.stdin(std::process::Stdio::null()).spawn()
    }

    /// A version whose program does not run at all.
    fn not_started(&self, ledger: &mut Ledger, how: &str) {
        if ledger.trial.is_some() {
            self.crashed(ledger, how);
        } else {
            ledger.drop_current(how, clock::now_ms());
            self.store(ledger);
        }
    }

    /// Notes that a version on trial ended by itself, and goes back where that was once too often.
    fn crashed(&self, ledger: &mut Ledger, how: &str) {
        let Some(trial) = &mut ledger.trial else {
            return;
        };
        trial.crashes += 1;
        let times = trial.crashes;
        if times >= self.rules.crashes_max {
            self.go_back(ledger, &format!("{how}, {times} times"));
        } else {
            self.store(ledger);
        }
    }

    fn go_back(&self, ledger: &mut Ledger, reason: &str) {
        tracing::error!(
            reason,
            "the new version does not work: the one before runs again"
        );
        ledger.go_back(reason, clock::now_ms());
        self.store(ledger);
    }

    /// Stays with an agent until it ends.
    async fn keep(
        &self,
        mut child: Child,
        ledger: &mut Ledger,
        signals: &mut Signals,
    ) -> std::io::Result<Ended> {
        let pid = child.id().unwrap_or(0);
        let mut probation = Probation::default();
        let mut before = Instant::now();
        loop {
            tokio::select! {
                status = child.wait() => return Ok(Ended::Itself(status?)),
                signal = signals.received() => {
                    tracing::info!(signal, "ending");
                    end(&mut child).await?;
                    return Ok(Ended::Stopped);
                }
                () = sleep(LOOK), if ledger.trial.is_some() => {}
            }
            let passed = before.elapsed();
            before = Instant::now();
            match self.look(pid, passed, &mut probation).await {
                Verdict::GoOn => {}
                Verdict::Commit => {
                    tracing::info!("the new version works and is kept");
                    ledger.commit();
                    self.store(ledger);
                    if let Err(error) = self.slots.prune(ledger) {
                        tracing::warn!(%error, "older versions cannot be removed");
                    }
                }
                Verdict::GoBack(reason) => {
                    self.go_back(ledger, &reason);
                    end(&mut child).await?;
                    return Ok(Ended::WentBack);
                }
            }
        }
    }

    async fn look(&self, pid: u32, passed: Duration, probation: &mut Probation) -> Verdict {
        let status = Status::load(&self.state).ok().flatten();
        let finding = look(status.as_ref(), pid, clock::now_ms(), &self.rules);
        let reachable = match (&finding, &status) {
            (Finding::Offline(_), Some(status)) => answers(&status.server).await,
            _ => true,
        };
        probation.note(finding, reachable, passed, &self.rules)
    }
}

/// Whether a port answers.
async fn answers(server: &str) -> bool {
    matches!(
        timeout(PORT_TIMEOUT, TcpStream::connect(server)).await,
        Ok(Ok(_))
    )
}

/// Ends an agent in order, and where it does not, at once.
async fn end(child: &mut Child) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        let pid = nix::unistd::Pid::from_raw(pid);
        // It may just have ended.
        let _gone = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        if timeout(END_TIMEOUT, child.wait()).await.is_ok() {
            return Ok(());
        }
        tracing::warn!("the agent does not end and is killed");
    }
    child.kill().await
}
