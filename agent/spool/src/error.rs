//! Why the spool could not do what it was asked. Each text says what was attempted on what.

use std::io;
use std::path::PathBuf;

/// A failed attempt. Unless its own documentation says otherwise, the spool is as it was before it.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The limits contradict each other.
    #[error("use these spool limits: {reason}")]
    Config {
        /// Which, and what they must be.
        reason: &'static str,
    },

    /// Somebody else works in the folder.
    #[error("lock spool folder {}: another process uses it; stop that one first", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },

    /// The folder itself cannot be used.
    #[error("{attempt} spool folder {}", path.display())]
    Folder {
        /// A verb.
        attempt: &'static str,
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// No room on the disk, or the user's disk quota is used up. Nothing was pushed; the caller may
    /// drop the record and make a gap of it, or try again later.
    #[error("{attempt} spool file {name} on a full disk")]
    DiskFull {
        /// A verb.
        attempt: &'static str,
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },

    /// The disk failed otherwise.
    #[error("{attempt} spool file {name}")]
    Io {
        /// A verb.
        attempt: &'static str,
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },

    /// The limit is reached, and every segment that could be dropped holds a record in flight.
    /// Nothing was pushed; a commit or a rollback makes room.
    #[error("make room in the spool: every segment holds a record in flight")]
    InFlight,

    /// The record breaks the rules of [`Record`](crate::Record).
    #[error("push a record into the spool")]
    Record(#[from] RecordError),
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It has nothing in it, or more than fits.
    #[error("payload of {bytes} bytes; 1 to {bytes_max} are possible")]
    Size {
        /// What it has.
        bytes: u64,
        /// What it may have.
        bytes_max: u64,
    },

    /// Its sequences are not a range of 1 to `BATCH_EVENTS_MAX` numbers from 1 up.
    #[error("sequences {first} to {last}; a record has 1 to {events_max} events, counted from 1")]
    Range {
        /// As given.
        first: u64,
        /// As given.
        last: u64,
        /// How many it may have.
        events_max: u64,
    },

    /// A record of the run with this or a higher sequence was pushed before it.
    #[error("sequence {first} after {newest} of the same run; sequences only rise")]
    Order {
        /// Of the record.
        first: u64,
        /// Last of what was pushed before.
        newest: u64,
    },
}

/// Turns a system error on a file into ours; for `map_err`.
pub(crate) fn failed(attempt: &'static str, name: &str) -> impl FnOnce(io::Error) -> SpoolError {
    move |source| {
        let name = name.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SpoolError::DiskFull {
                attempt,
                name,
                source,
            },
            _ => SpoolError::Io {
                attempt,
                name,
                source,
            },
        }
    }
}
