//! A program that was started here: its log, its end, and that it never outlives its owner.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::eventually;

/// Lines of a log that are shown when something failed.
const LOG_LINES_SHOWN: usize = 60;

/// How long a program may take to end after it was asked to.
const END_LIMIT: Duration = Duration::from_secs(20);

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to the file `log`, behind what stands there.
    ///
    /// # Errors
    /// Where the log cannot be opened or the program cannot be started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("open {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let process = Self {
            child,
            name: name.to_owned(),
            log: log.to_owned(),
        };
        running().insert(process.pid());
        Ok(process)
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its status, where it has ended.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails with the end of its log where it has ended.
    ///
    /// # Errors
    /// As it says.
    pub fn check_running(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} ended ({status}):\n{}", self.name, self.log_end());
        }
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// Where it does not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        eventually(&what, limit, || self.ended())
    }

    /// Ends it at once, as a power cut would: no handler runs.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// Where it does not end.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait(END_LIMIT)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// Where it has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid())?);
        kill(pid, signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// The last lines of its log.
    pub fn log_end(&self) -> String {
        log_end(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        running().remove(&self.pid());
        // Both fail only where it has ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Pids of what was started and is not dropped yet.
fn running() -> MutexGuard<'static, BTreeSet<u32>> {
    static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
    // A set of numbers is whole, whoever panicked while holding it.
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills everything that still runs: for a program that was told to end and drops nothing.
pub fn kill_all() {
    for pid in std::mem::take(&mut *running()) {
        if let Ok(pid) = i32::try_from(pid) {
            // It may have ended by itself.
            let _ended = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// The last lines of a log.
pub fn log_end(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES_SHOWN);
    lines.get(from..).unwrap_or_default().join("\n")
}
