//! The data directory: what lies where, who may read it, and that one server at a time runs on it.
//!
//! ```text
//! DIR/                  0700
//!   config.toml         what the operator says
//!   ca.key  ca.crt      the CA; whoever has the key can enroll anything
//!   server.key .crt     the server's certificate, renewed by the server
//!   feed.key            opens the secrets of live feeds that state.db holds sealed; made with the first
//!   admin.profile       the first administrator's console profile
//!   state.db            trust, audit log, MFA events, identities, incidents
//!   telemetry.db        events of endpoints
//!   recordings/         of terminals
//!   releases/           what endpoints may update to; signed elsewhere
//!   lock                held by a running server
//! ```
//!
//! Files are written whole or not at all ([`write`]), mode 0600.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    /// `init` needs an empty one.
    #[error("{} exists and is not empty: choose another directory", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// It was not made by `init`.
    #[error("{} is no data directory: make one with 'tocsin-server init --data {} --name HOST'", path.display(), path.display())]
    NotInitialized {
        /// The directory.
        path: PathBuf,
    },
    /// A server runs on it.
    #[error("another tocsin-server runs on {}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{action} {}", path.display())]
    Io {
        /// "read", "write", ...
        action: &'static str,
        /// What.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn wrap(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io {
        action,
        path,
        source,
    }
}

/// Held while a server runs.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

/// A data directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// Makes one, or takes one that is empty.
    pub(crate) fn create(path: &Path) -> Result<Self, DataDirError> {
        match fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(DataDirError::NotEmpty {
                        path: path.to_owned(),
                    });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path).map_err(wrap("make", path))?;
            }
            Err(error) => return Err(wrap("read", path)(error)),
        }
        restrict(path, 0o700).map_err(wrap("restrict", path))?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Empties one that was just created, where filling it failed.
    pub(crate) fn clear(&self) {
        let Ok(entries) = fs::read_dir(&self.path) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "a file stays behind");
            }
        }
    }

    /// Takes one that `init` has made.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let data = Self {
            path: path.to_owned(),
        };
        match fs::metadata(data.config()) {
            Ok(_) => Ok(data),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(DataDirError::NotInitialized {
                    path: path.to_owned(),
                })
            }
            Err(error) => Err(wrap("read", &data.config())(error)),
        }
    }

    /// Takes the place of the one server; it is given back when the lock is dropped.
    pub(crate) fn lock(&self) -> Result<Lock, DataDirError> {
        let path = self.path.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(wrap("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(DataDirError::Locked {
                path: self.path.clone(),
            }),
            Err(TryLockError::Error(error)) => Err(wrap("lock", &path)(error)),
        }
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The operator's configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The CA's private key, PEM.
    pub(crate) fn ca_key(&self) -> PathBuf {
        self.path.join("ca.key")
    }

    /// The CA's certificate, PEM.
    pub(crate) fn ca_certificate(&self) -> PathBuf {
        self.path.join("ca.crt")
    }

    /// The server's private key, PEM.
    pub(crate) fn server_key(&self) -> PathBuf {
        self.path.join("server.key")
    }

    /// The server's certificate, PEM.
    pub(crate) fn server_certificate(&self) -> PathBuf {
        self.path.join("server.crt")
    }

    /// The first administrator's profile.
    pub(crate) fn admin_profile(&self) -> PathBuf {
        self.path.join("admin.profile")
    }

    /// The key of sealed secrets.
    pub(crate) fn feed_key(&self) -> PathBuf {
        self.path.join("feed.key")
    }

    /// Trust, audit log, cases.
    pub(crate) fn state(&self) -> PathBuf {
        self.path.join("state.db")
    }

    /// Signed releases.
    pub(crate) fn releases(&self) -> PathBuf {
        self.path.join("releases")
    }

    /// Events.
    pub(crate) fn telemetry(&self) -> PathBuf {
        self.path.join("telemetry.db")
    }

    /// Recordings of terminals.
    pub(crate) fn recordings(&self) -> PathBuf {
        self.path.join("recordings")
    }
}

/// Bytes of a key, certificate or profile at most.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Reads a small text file; `None` where it is missing.
pub(crate) fn read(path: &Path) -> Result<Option<String>, DataDirError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrap("read", path)(error)),
    };
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, FILE_BYTES_MAX), &mut text)
        .map_err(wrap("read", path))?;
    Ok(Some(text))
}

/// Puts a file in place, mode 0600: after a crash there is the old one or the new one, complete.
pub(crate) fn write(path: &Path, content: &str) -> Result<(), DataDirError> {
    Pending::new(path, content)?.put()
}

/// A file that is written but not in its place yet.
#[derive(Debug)]
pub(crate) struct Pending {
    temporary: PathBuf,
    path: PathBuf,
}

impl Pending {
    /// Writes it beside its place.
    pub(crate) fn new(path: &Path, content: &str) -> Result<Self, DataDirError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let pending = Self {
            temporary: path.with_file_name(name),
            path: path.to_owned(),
        };
        let mut file = create_secret(&pending.temporary).map_err(wrap("write", path))?;
        file.write_all(content.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(wrap("write", path))?;
        Ok(pending)
    }

    /// Puts it in place.
    pub(crate) fn put(self) -> Result<(), DataDirError> {
        fs::rename(&self.temporary, &self.path).map_err(wrap("write", &self.path))?;
        sync_folder(&self.path).map_err(wrap("write", &self.path))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After `put` there is nothing to remove.
        if let Err(error) = fs::remove_file(&self.temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.temporary.display(), %error, "a temporary file stays behind");
        }
    }
}

/// A new file that only its owner may read, emptied where it exists.
pub(crate) fn create_secret(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    // Where it existed, its mode did too.
    restrict(path, 0o600)?;
    Ok(file)
}

/// Takes rights away from everybody but the owner.
pub(crate) fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    #[cfg(not(unix))]
    let _ = (path, mode);
    Ok(())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        File::open(folder)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(DataDir::create(folder.path()).is_ok(), "empty is fine");
        fs::write(folder.path().join("x"), "x").unwrap();
        let error = DataDir::create(folder.path()).unwrap_err();
        assert!(matches!(error, DataDirError::NotEmpty { .. }));
        let error = DataDir::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("tocsin-server init"), "{error}");
    }

    #[test]
    fn only_one_may_hold_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::create(folder.path()).unwrap();
        let held = data.lock().unwrap();
        assert!(matches!(
            data.lock().unwrap_err(),
            DataDirError::Locked { .. }
        ));
        drop(held);
        assert!(data.lock().is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_for_their_owner_also_where_a_file_lay_open_before() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, "new").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
