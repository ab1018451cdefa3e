//! Files that matter: what decides who may come in and what runs, and who opens a browser's secrets.
//!
//! | platform | source |
//! |---|---|
//! | Linux | inotify on the folders of such files; fanotify on the stores themselves, and on the folders for who writes |
//! | others | none yet |
//!
//! A change says what is otherwise now. Who did it is told where fanotify saw a process write the very file that is
//! there now; for a removal, a change of mode and a link nothing tells, and nothing is told. The content of a file
//! never leaves this module, only its SHA-256.
//!
//! Not seen: a change that was taken back within [`table::WINDOW_MS`], or was made while the agent did not run; files
//! behind a link that lies in a watched folder; keys where `AuthorizedKeysFile` names another place; accounts without
//! a folder under `/home` and without a line in `passwd`.

pub(crate) mod change;
#[cfg(target_os = "linux")]
pub(crate) mod linux;
mod place;
mod store;
mod table;
mod writer;

use change::FileObservation;

use super::{LossReason, Observation, Output, Sensor};
use crate::config::FileConfig;

/// The sensors of files: what has changed, and who opens and writes. Both run, each as a chain of its own.
pub(crate) fn chains(config: &FileConfig) -> [(&'static str, Vec<Box<dyn Sensor>>); 2] {
    #[cfg(target_os = "linux")]
    {
        let (changes, openings) = linux::sensors(config);
        [
            ("file", vec![Box::new(changes)]),
            ("opening", vec![Box::new(openings)]),
        ]
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _unused = config;
        [("file", Vec::new()), ("opening", Vec::new())]
    }
}

impl FileSink for Output {
    fn running(&self, detail: String) {
        Self::running(self, detail);
    }

    fn observed(&self, observations: Vec<FileObservation>) {
        self.send(
            observations
                .into_iter()
                .map(|one| Observation::File(Box::new(one))),
        );
    }

    fn lost(&self, lost: Option<u64>, from_ms: i64, until_ms: i64) {
        Self::lost(self, LossReason::Overflow, lost, from_ms, until_ms);
    }
}

/// Where the sensors put what they saw.
pub(crate) trait FileSink {
    /// The source is open; `detail` names what is not watched.
    fn running(&self, detail: String);
    /// Hands over what was seen, in order. Never blocks.
    fn observed(&self, observations: Vec<FileObservation>);
    /// Changes were lost between these times, Unix milliseconds.
    fn lost(&self, lost: Option<u64>, from_ms: i64, until_ms: i64);
}
