//! What is told of a file: plain data, no wire types.

use std::path::PathBuf;

use crate::hash::Sha256Hash;

/// What the file decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FileCategory {
    /// Who may come in by ssh without a password.
    AuthorizedKeys,
    /// Who may act as another.
    Sudo,
    /// How accounts are authenticated.
    Pam,
    /// Which accounts and groups there are.
    Account,
    /// What runs at times.
    Cron,
    /// What runs as a service.
    SystemdUnit,
    /// How the ssh server lets people in.
    SshServer,
    /// Passwords and sessions that a browser or keyring keeps.
    CredentialStore,
    /// The configuration names it.
    Configured,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FileActivity {
    /// It was not there before.
    Created,
    /// Its content is another, in the same file.
    Changed,
    /// Another file stands in its place: editors and account tools write a new one and rename it.
    Replaced,
    /// It is gone.
    Removed,
    /// The same file has another name now.
    Renamed,
    /// Only its owner, group or mode is another.
    Permissions,
    /// A process opened it.
    Opened,
}

/// Which file it is, whatever it is called; a number that is used again is born at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId {
    /// Device and inode.
    pub(crate) inode: (u64, u64),
    /// Nanoseconds since 1970; `None` where the file system does not keep it.
    pub(crate) born_ns: Option<i128>,
}

/// A file at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileState {
    /// Of its content, or of where a link leads; `None` where it is too large or no file.
    pub(crate) sha256: Option<Sha256Hash>,
    /// Bytes.
    pub(crate) size: u64,
    /// Type and permission bits.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Which file.
    pub(crate) id: FileId,
    /// Seconds and nanoseconds of the last write; tells a change where there is no hash.
    pub(crate) modified: (i64, i64),
}

/// A process that opened a file or wrote it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Actor {
    /// Process.
    pub(crate) pid: u32,
    /// Clock ticks from boot to its start; 0 where it was gone.
    pub(crate) start_ticks: u64,
    /// Path of its image; empty where it was gone.
    pub(crate) executable: String,
    /// Its effective user.
    pub(crate) uid: Option<u32>,
}

/// A file and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileObservation {
    /// What happened.
    pub(crate) activity: FileActivity,
    /// What the file decides.
    pub(crate) category: FileCategory,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Where it was before it was renamed.
    pub(crate) previous: Option<PathBuf>,
    /// When it was noticed first and last, Unix milliseconds.
    pub(crate) first_ms: i64,
    pub(crate) time_ms: i64,
    /// Notices that this stands for.
    pub(crate) count: u32,
    /// Before it; `None` where it was not there.
    pub(crate) before: Option<FileState>,
    /// After it; `None` where it is not there.
    pub(crate) after: Option<FileState>,
    /// Who opened it, or wrote what is in it now; `None` where that is not known.
    pub(crate) actor: Option<Actor>,
}
