//! The console's screens in a pseudo-terminal (lent by util-linux's `script`), and when what was on it.
//!
//! It does not judge what is shown. A program that does nothing for two minutes has failed.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::meter::Meter;
use crate::program::Programs;
use crate::wait::eventually;
use anyhow::{Context, Result, bail};

/// A frame has come when nothing more has for this long.
const QUIET: Duration = Duration::from_millis(4);

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The program, its terminal, and what is shown on it. Dropped, it is killed.
#[derive(Debug)]
pub struct Screens {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Shown>,
    begun: Instant,
}

#[derive(Debug)]
struct Shown {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    terminal: vt100::Parser,
    reads: u64,
    last: Instant,
    last_time: SystemTime,
}

impl std::fmt::Debug for State {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} reads", self.reads)
    }
}

impl Shown {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, mut output: ChildStdout) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            let mut state = self.lock();
            state.terminal.process(buffer.get(..count).unwrap_or(&[]));
            state.reads += 1;
            state.last = Instant::now();
            state.last_time = SystemTime::now();
            self.changed.notify_all();
        }
    }
}

impl Screens {
    /// Starts the program with this profile in a terminal of so many rows and columns, its memory of former runs in
    /// `home`.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn open(profile: &Path, home: &Path, size: (u16, u16)) -> Result<Self> {
        Self::open_with(profile, home, size, (&[], ("COLORTERM", "truecolor")))
    }

    /// [`Screens::open`] with more arguments, which need no quoting, and one variable.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn open_with(
        profile: &Path,
        home: &Path,
        (rows, columns): (u16, u16),
        (arguments, variable): (&[&str], (&str, &str)),
    ) -> Result<Self> {
        let program = Programs::get()?.console();
        // In a folder of its own, as a person has it: the server's is written to all the time, and the screens watch
        // the folder of their profile.
        let own = home.join("profile");
        std::fs::create_dir_all(home)?;
        std::fs::copy(profile, &own)?;
        let line = format!(
            "stty rows {rows} cols {columns}; exec {} --profile {} {}",
            program.display(),
            own.display(),
            arguments.join(" ")
        );
        let begun = Instant::now();
        let mut child = Command::new("script")
            .args(["-q", "-f", "-e", "-c", &line, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .env_remove("NO_COLOR")
            .env_remove("COLORTERM")
            .env(variable.0, variable.1)
            .env("XDG_STATE_HOME", home)
            .env("XDG_CONFIG_HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start 'script' (package bsdutils or util-linux)")?;
        let keys = child.stdin.take().context("the terminal's input")?;
        let output = child.stdout.take().context("the terminal's output")?;
        let shown = Arc::new(Shown {
            state: Mutex::new(State {
                terminal: vt100::Parser::new(rows, columns, 0),
                reads: 0,
                last: begun,
                last_time: SystemTime::now(),
            }),
            changed: Condvar::new(),
        });
        let reader = Arc::clone(&shown);
        std::thread::spawn(move || reader.read(output));
        Ok(Self {
            child,
            keys,
            shown,
            begun,
        })
    }

    /// Since the start, until what is shown is so; and the wall clock then.
    ///
    /// # Errors
    /// Where it does not come.
    pub fn until(
        &self,
        what: &str,
        holds: impl Fn(&str) -> bool,
    ) -> Result<(Duration, SystemTime)> {
        let begin = Instant::now();
        let mut state = self.shown.lock();
        loop {
            let text = state.terminal.screen().contents();
            if holds(&text) {
                return Ok((state.last.duration_since(self.begun), state.last_time));
            }
            if begin.elapsed() > LIMIT {
                bail!("'{what}' does not come:\n{text}");
            }
            let waited = self.shown.changed.wait_timeout(state, QUIET);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How long the program has been running.
    pub fn since_begun(&self) -> Duration {
        self.begun.elapsed()
    }

    /// [`Screens::until`] these words are shown.
    ///
    /// # Errors
    /// Where they do not come.
    pub fn sees(&self, words: &str) -> Result<(Duration, SystemTime)> {
        self.until(words, |text| text.contains(words))
    }

    /// What is shown, cell by cell, once this holds of it and nothing more has come for a moment.
    ///
    /// # Errors
    /// Where it does not come.
    pub fn settled(&self, what: &str, holds: impl Fn(&str) -> bool) -> Result<vt100::Screen> {
        const MOMENT: Duration = Duration::from_millis(300);
        eventually(what, LIMIT, || {
            let state = self.shown.lock();
            let screen = state.terminal.screen();
            let is_so = state.last.elapsed() >= MOMENT && holds(&screen.contents());
            Ok(is_so.then(|| screen.clone()))
        })
    }

    /// Presses keys and does not wait.
    ///
    /// # Errors
    /// Where the program has ended.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes())?;
        Ok(self.keys.flush()?)
    }

    /// From a key to the end of the frame that follows it; `None` where nothing is drawn anew.
    ///
    /// # Errors
    /// Where the program has ended.
    pub fn frame(&mut self, key: &str) -> Result<Option<Duration>> {
        const NOTHING: Duration = Duration::from_millis(500);
        let before = self.shown.lock().reads;
        let begin = Instant::now();
        self.press(key)?;
        let mut state = self.shown.lock();
        loop {
            let has_come = state.reads > before;
            if has_come && state.last.elapsed() >= QUIET {
                return Ok(Some(state.last.duration_since(begin)));
            }
            if !has_come && begin.elapsed() > NOTHING {
                return Ok(None);
            }
            let waited = self.shown.changed.wait_timeout(state, QUIET);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The program itself, which `script` has started.
    ///
    /// # Errors
    /// Where it has not been started.
    pub fn meter(&self) -> Result<Meter> {
        let script = self.child.id();
        let children = format!("/proc/{script}/task/{script}/children");
        let pid = eventually("the program runs", LIMIT, || {
            let children = std::fs::read_to_string(&children)?;
            Ok(children.split_whitespace().next().map(str::to_owned))
        })?;
        Ok(Meter::new(pid.parse()?))
    }

    /// Leaves it as a person does.
    ///
    /// # Errors
    /// Where it does not end.
    pub fn leave(mut self) -> Result<()> {
        self.press("q")?;
        eventually("the program ends", LIMIT, || Ok(self.child.try_wait()?))?;
        Ok(())
    }
}

impl Drop for Screens {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to do.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
