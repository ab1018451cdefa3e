//! The state directory and what lies where in it.
//!
//! ```text
//! STATE/                0755
//!   status.json         0644  how the agent is, for everybody
//!   update_root         0644  the operator's root of update trust, where enrolment brought one
//!   secret/             0700
//!     identity.toml     0600  key, certificates, server
//!     lock              0600  held by the agent that runs
//!     logins.json       0600  where the session sensor is in the logs, and who is logged in
//!     update/           0700  what is known of releases, versions beside the packaged one, which of them runs
//!     spool/            0700  events that the server has not acknowledged
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::file::{self, Access, FileError};

/// A state directory.
#[derive(Debug, Clone)]
pub(crate) struct StateDirectory(PathBuf);

/// Another agent runs on this state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// The lock is held.
    #[error("lock {}: another tocsin-agent runs on this state directory", path.display())]
    Held {
        /// The lock.
        path: PathBuf,
    },
    /// The lock cannot be opened or taken.
    #[error("lock {}", path.display())]
    Io {
        /// The lock.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl LockError {
    /// Whether the account is to blame.
    pub(crate) fn is_permission(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied)
    }
}

impl StateDirectory {
    /// At this path.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where the session sensor keeps its place in the logs.
    pub(crate) fn logins_path(&self) -> PathBuf {
        self.secret().join("logins.json")
    }

    /// Makes it and its secret part, with the modes they need.
    pub(crate) fn create(&self) -> Result<(), FileError> {
        file::create_directory(&self.0, Access::Public)?;
        file::create_directory(&self.secret(), Access::Private)
    }

    /// Itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The part that only the agent's account may enter.
    pub(crate) fn secret(&self) -> PathBuf {
        self.0.join("secret")
    }

    /// How the agent is.
    pub(crate) fn status(&self) -> PathBuf {
        self.0.join("status.json")
    }

    /// The operator's root of update trust.
    pub(crate) fn update_root(&self) -> PathBuf {
        self.0.join("update_root")
    }

    /// What is known of releases, and versions beside the packaged one.
    pub(crate) fn update(&self) -> PathBuf {
        self.secret().join("update")
    }

    /// Key, certificates, server.
    pub(crate) fn identity(&self) -> PathBuf {
        self.secret().join("identity.toml")
    }

    /// Events that the server has not acknowledged.
    pub(crate) fn spool(&self) -> PathBuf {
        self.secret().join("spool")
    }

    /// Takes the right to run on it. It is given back when the file is closed, however the process ends.
    pub(crate) fn lock(&self) -> Result<File, LockError> {
        let path = self.secret().join("lock");
        let io = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(LockError::Held { path }),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_runs_on_a_state_directory() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().join("state"));
        state.create().unwrap();
        let held = state.lock().unwrap();
        assert!(matches!(state.lock(), Err(LockError::Held { .. })));
        drop(held);
        state.lock().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_the_status_and_nothing_else() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().join("state"));
        state.create().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(state.path()), 0o755);
        assert_eq!(mode(&state.secret()), 0o700);
        for path in [state.identity(), state.spool()] {
            assert!(path.starts_with(state.secret()));
        }
    }
}
