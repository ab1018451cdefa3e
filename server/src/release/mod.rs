//! The repository of releases: kept and served, never signed, and not believed either: endpoints verify it themselves.
//!
//! ```text
//! DIR/releases/          what is served; names by proto/src/release.rs
//! DIR/releases/new/      what is being published
//! ```
//!
//! A publication is taken whole or not at all: its files are checked to hang together (timestamp, snapshot, targets,
//! archives, by their hashes) before the first is put in place, and the timestamp, which makes the rest visible, comes
//! last. A file that is there is never replaced by another content, but for the timestamp, which never goes back.
//! That is care for the operator who mixes up folders, no protection against whoever owns the server.

pub(crate) mod publish;
pub(crate) mod rollout;

use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Deserialize as _;
use serde_json::Value;
use tocsin_proto::console::v1 as wire;
use tocsin_proto::release::{CUSTOM_KEY, Kind, METADATA_BYTES_MAX, Statement};
use tokio::io::AsyncSeekExt as _;
use tokio::sync::Semaphore;

/// Files that are read at once, over all endpoints. More are told to come again.
const READS_MAX: usize = 128;

/// Bytes that all readers together get in a second: a fleet that updates must not take the line from its telemetry.
const BYTES_PER_SECOND: u64 = 64 << 20;

/// Why a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    /// No file has such a name, or none is there.
    #[error("there is no file '{name}' among the releases")]
    NotFound {
        /// Asked for.
        name: String,
    },
    /// Metadata that does not say what it should.
    #[error("understand {name}: {reason}")]
    Metadata {
        /// Which.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// What was published does not hang together.
    #[error("{0}")]
    Publication(String),
    /// The disk.
    #[error("{action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The repository.
#[derive(Debug)]
pub(crate) struct Releases {
    folder: PathBuf,
    /// Reads at once.
    pub(crate) reads: Semaphore,
    /// Only one publishes.
    publishing: tokio::sync::Mutex<()>,
    pace: Pace,
}

impl Releases {
    /// In this folder, which need not be there.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            reads: Semaphore::new(READS_MAX),
            publishing: tokio::sync::Mutex::new(()),
            pace: Pace::new(BYTES_PER_SECOND),
        }
    }

    /// Opens a file at an offset.
    pub(crate) async fn open(
        &self,
        name: &str,
        offset: u64,
    ) -> Result<tokio::fs::File, ReleaseError> {
        let missing = || ReleaseError::NotFound {
            name: name.chars().take(100).collect(),
        };
        if Kind::of(name).is_none() {
            return Err(missing());
        }
        let path = self.folder.join(name);
        let mut file = match tokio::fs::File::open(&path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            file => file.map_err(io("open", path.clone()))?,
        };
        file.seek(io::SeekFrom::Start(offset))
            .await
            .map_err(io("read", path))?;
        Ok(file)
    }

    /// Waits until so many bytes may be sent.
    pub(crate) async fn pace(&self, bytes: usize) {
        let wait = self.pace.take(bytes, Instant::now());
        tokio::time::sleep(wait).await;
    }

    /// What the metadata names; empty where nothing was published.
    pub(crate) async fn list(&self) -> Result<Vec<wire::Release>, ReleaseError> {
        let folder = self.folder.clone();
        let list = tokio::task::spawn_blocking(move || {
            let read = |name: &str| std::fs::read(folder.join(name));
            if !folder.join("timestamp.json").exists() {
                return Ok(Vec::new());
            }
            chain(&read).map(|chain| chain.releases)
        });
        let joined = list.await;
        joined.unwrap_or_else(|error| Err(io("read", self.folder.clone())(io::Error::other(error))))
    }
}

fn io(action: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> ReleaseError {
    move |source| ReleaseError::Io {
        action,
        path,
        source,
    }
}

/// Metadata that hangs together.
#[derive(Debug)]
struct Chain {
    timestamp_version: u64,
    /// Names of archives, with their length.
    archives: Vec<(String, u64)>,
    releases: Vec<wire::Release>,
}

/// Follows the metadata from its timestamp. The hashes in it are compared by whoever has the bytes; here only names count.
fn chain(read: &dyn Fn(&str) -> io::Result<Vec<u8>>) -> Result<Chain, ReleaseError> {
    let load = |name: &str| -> Result<Value, ReleaseError> {
        let wrong = |reason| ReleaseError::Metadata {
            name: name.to_owned(),
            reason,
        };
        let bytes = read(name).map_err(|_| wrong("it is not there"))?;
        if bytes.len() as u64 > METADATA_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| wrong("it is no JSON"))?;
        value
            .get("signed")
            .cloned()
            .ok_or(wrong("nothing in it is signed"))
    };
    let version = |value: &Value| value.get("version").and_then(Value::as_u64);
    let named = |name: &str, parent: &Value, entry: &str| {
        let number = parent
            .get("meta")
            .and_then(|meta| meta.get(entry))
            .and_then(version);
        let number = number.ok_or_else(|| ReleaseError::Metadata {
            name: name.to_owned(),
            reason: "it does not name the next file",
        })?;
        Ok::<_, ReleaseError>(format!("{number}.{entry}"))
    };
    let timestamp = load("timestamp.json")?;
    let snapshot_name = named("timestamp.json", &timestamp, "snapshot.json")?;
    let snapshot = load(&snapshot_name)?;
    let targets_name = named(&snapshot_name, &snapshot, "targets.json")?;
    let targets = load(&targets_name)?;
    let expiry_time_ms = timestamp
        .get("expires")
        .and_then(Value::as_str)
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .map_or(0, jiff::Timestamp::as_millisecond);
    let mut found = Chain {
        timestamp_version: version(&timestamp).unwrap_or(0),
        archives: Vec::new(),
        releases: Vec::new(),
    };
    let entries = targets.get("targets").and_then(Value::as_object);
    for (name, target) in entries.into_iter().flatten() {
        let release = found
            .take(name, target)
            .ok_or_else(|| ReleaseError::Metadata {
                name: targets_name.clone(),
                reason: "a target has no hash or no length",
            })?;
        found.releases.extend(release.map(|release| wire::Release {
            expiry_time_ms,
            ..release
        }));
    }
    Ok(found)
}

impl Chain {
    /// Takes a target; the release that it says to be, where it says so. `None` where it names no archive.
    fn take(&mut self, name: &str, target: &Value) -> Option<Option<wire::Release>> {
        let hash = target.get("hashes")?.get("sha256")?.as_str()?;
        let bytes = target.get("length")?.as_u64()?;
        self.archives.push((format!("{hash}.{name}"), bytes));
        let statement = target
            .get("custom")
            .and_then(|custom| custom.get(CUSTOM_KEY));
        let statement = statement.and_then(|value| Statement::deserialize(value).ok());
        Some(statement.map(|statement| wire::Release {
            id: name.to_owned(),
            version: statement.version.to_string(),
            os: statement.os,
            architecture: statement.architecture,
            minimum_version: statement.minimum_version.to_string(),
            bytes,
            sha256: hash.to_owned(),
            expiry_time_ms: 0,
        }))
    }
}

/// Spreads bytes over time.
#[derive(Debug)]
struct Pace {
    per_second: u64,
    /// When what was given out so far has been sent.
    free: Mutex<Option<Instant>>,
}

impl Pace {
    fn new(per_second: u64) -> Self {
        Self {
            per_second,
            free: Mutex::new(None),
        }
    }

    /// How long to wait before so many bytes are sent.
    fn take(&self, bytes: usize, now: Instant) -> Duration {
        let takes = Duration::from_secs(1).mul_f64(bytes as f64 / self.per_second as f64);
        let mut free = self
            .free
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let begins = free.map_or(now, |free| free.max(now));
        *free = Some(begins + takes);
        begins - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spread_over_time() {
        let (pace, now) = (Pace::new(1000), Instant::now());
        assert_eq!(pace.take(500, now), Duration::ZERO);
        assert_eq!(pace.take(500, now), Duration::from_millis(500));
        assert_eq!(pace.take(500, now), Duration::from_secs(1));
        assert_eq!(pace.take(1, now + Duration::from_secs(60)), Duration::ZERO);
    }

    #[tokio::test]
    async fn only_names_of_a_repository_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("releases")).unwrap();
        std::fs::write(folder.path().join("ca.key"), "secret").unwrap();
        std::fs::write(folder.path().join("releases/timestamp.json"), "{}").unwrap();
        let releases = Releases::new(folder.path().join("releases"));
        for name in ["../ca.key", "ca.key", "", "new", "./timestamp.json"] {
            let error = releases.open(name, 0).await.unwrap_err();
            assert!(matches!(error, ReleaseError::NotFound { .. }), "{name}");
        }
        releases.open("timestamp.json", 1).await.unwrap();
        assert!(releases.list().await.is_err(), "it says nothing");
    }
}
