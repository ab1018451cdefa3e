//! One test's own place: a temporary folder, and the logs of what ran in it when the test fails.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::machine::Machine;
use crate::network::Namespace;
use crate::process::log_end;

/// How often, and with which pause, it is tried to remove a folder whose programs are being killed.
const REMOVAL_TRIES: u32 = 40;
/// See [`REMOVAL_TRIES`].
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);

/// A temporary folder with the state and the logs of programs.
#[derive(Debug)]
pub struct Sandbox {
    folder: tempfile::TempDir,
    names: AtomicUsize,
}

impl Sandbox {
    /// A new, empty one.
    ///
    /// # Errors
    /// Where no temporary folder can be made.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("tocsin-")
            .tempdir()
            .context("make a temporary folder")?;
        folders().insert(folder.path().to_owned());
        Ok(Self {
            folder,
            names: AtomicUsize::new(0),
        })
    }

    /// Removes every sandbox of this program: for one that was told to end and drops nothing.
    pub fn remove_all() {
        for folder in std::mem::take(&mut *folders()) {
            // Programs that are being killed may still write: then it is not empty at the first try.
            for _try in 0..REMOVAL_TRIES {
                match fs::remove_dir_all(&folder) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        std::thread::sleep(REMOVAL_PAUSE);
                    }
                    _ => break,
                }
            }
        }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it that nobody has yet: `1-NAME`, `2-NAME`, ...
    pub fn fresh(&self, name: &str) -> PathBuf {
        let number = self.names.fetch_add(1, Ordering::Relaxed) + 1;
        self.path().join(format!("{number}-{name}"))
    }

    /// Writes a file of its own.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.fresh(name);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// Shows the ends of all logs on standard error.
    pub fn show_logs(&self) {
        let mut out = std::io::stderr().lock();
        for entry in fs::read_dir(self.path()).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let _shown = writeln!(out, "--- {}\n{}", path.display(), log_end(&path));
            }
        }
    }
}

/// Folders of sandboxes that are not dropped yet.
fn folders() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    static FOLDERS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    // A set of paths is whole, whoever panicked while holding it.
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        folders().remove(self.path());
        if std::thread::panicking() {
            self.show_logs();
        }
    }
}

/// Runs a test in a sandbox. Where it fails, the logs are shown.
#[track_caller]
pub fn flow(test: impl FnOnce(&Sandbox) -> Result<()>) {
    let sandbox = Sandbox::new();
    let failed = match &sandbox {
        Ok(sandbox) => test(sandbox).err(),
        Err(error) => Some(anyhow::anyhow!("{error:#}")),
    };
    if let (Some(_), Ok(sandbox)) = (&failed, &sandbox) {
        sandbox.show_logs();
    }
    let failed = failed.map(|error| format!("{error:?}"));
    drop(sandbox);
    assert!(failed.is_none(), "{}", failed.unwrap_or_default());
}

/// Where a program runs: on this machine, in a network namespace, or among files of its own.
#[derive(Debug, Clone, Copy, Default)]
pub enum Place<'a> {
    /// This machine.
    #[default]
    Here,
    /// A namespace of a [`crate::network::Network`].
    Inside(&'a Namespace),
    /// A machine with accounts, homes and logs of its own; its network is this machine's.
    Machine(&'a Machine),
}

impl Place<'_> {
    /// A command that runs `program` there. Its pid is the program's own.
    pub fn command(self, program: &Path) -> std::process::Command {
        match self {
            Self::Here => std::process::Command::new(program),
            Self::Inside(namespace) => namespace.command(program),
            Self::Machine(machine) => machine.command(program),
        }
    }

    /// The address at which a program that runs there is reached.
    pub fn address(self) -> std::net::IpAddr {
        match self {
            Self::Here | Self::Machine(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            Self::Inside(namespace) => namespace.address(),
        }
    }
}

/// Whether these programs are there; otherwise says that `what` is skipped, in the words that a reader looks for.
pub fn has_or_skips(programs: &[&str], what: &str) -> bool {
    let places = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ];
    let is_there = |program: &str| places.iter().any(|at| Path::new(at).join(program).exists());
    let missing: Vec<_> = programs
        .iter()
        .filter(|program| !is_there(program))
        .copied()
        .collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        let _shown = writeln!(std::io::stderr().lock(), "skipped: needs {missing}: {what}");
    }
    missing.is_empty()
}

/// Whether this is root; otherwise says that `what` is skipped, in the words that a reader looks for.
pub fn is_root_or_skips(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        // Not through the test harness's capture: who runs the tests should see it.
        let _shown = writeln!(std::io::stderr().lock(), "skipped: needs root: {what}");
    }
    root
}
