//! Files that matter: what decides who may come in and what runs, and who opens a browser's secrets.
//!
//! | platform | source |
//! |---|---|
//! | Linux | inotify on the folders of such files; fanotify on the stores themselves |
//! | others | none yet |
//!
//! A change says what is otherwise now, never who did it: inotify does not know. An opening says who: fanotify does.
//! The content of a file never leaves this module, only its SHA-256.
//!
//! Not seen: a change that was taken back within [`table::WINDOW_MS`]; files behind a link that lies in a watched
//! folder; keys where `AuthorizedKeysFile` names another place; accounts without a folder under `/home` and without a
//! line in `passwd`.

pub(crate) mod change;
#[cfg(target_os = "linux")]
pub(crate) mod linux;
mod place;
mod store;
mod table;

use change::FileObservation;

/// Where the sensors put what they saw.
pub(crate) trait FileSink {
    /// The source is open; `detail` names what is not watched.
    fn running(&self, detail: String);
    /// Hands over what was seen, in order. Never blocks.
    fn observed(&self, observations: Vec<FileObservation>);
    /// Changes were lost between these times, Unix milliseconds.
    fn lost(&self, lost: Option<u64>, from_ms: i64, until_ms: i64);
}
