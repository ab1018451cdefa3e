//! What must survive a restart of the agent: how far each source was read, and what the merger holds.
//!
//! ```text
//! {"version":1,"boot":"...","positions":{"/var/log/wtmp":{"inode":7,"offset":384}},"cursor":"s=...","merger":{...}}
//! ```
//!
//! It is written after outcomes were handed over: an agent that dies in between tells them again, with the same
//! ids. A file of another version, or a damaged one, is as none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::tail::Position;
use crate::file::{self, Access, Durability, FileError};
use crate::sensor::session::merge::Merger;

/// Version of the format.
const VERSION: u32 = 1;

/// More than a full merger takes.
const BYTES_MAX: u64 = 32 << 20;

/// See the module.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    version: u32,
    /// The boot in which it was written.
    pub(super) boot: String,
    /// How far each file was read.
    pub(super) positions: BTreeMap<PathBuf, Position>,
    /// The last line of the journal.
    pub(super) cursor: Option<String>,
    /// What waits for its outcome, and the open logins.
    pub(super) merger: Merger,
}

impl State {
    /// Reads it; `None` where there is none that can be used.
    pub(super) fn load(path: &Path) -> Option<Self> {
        let bytes = match file::read(path, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => return None,
            Err(error) => {
                tracing::error!(error = %crate::text::chain(&error), "logins are read anew");
                return None;
            }
        };
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(state) if state.version == VERSION => Some(state),
            Ok(state) => {
                tracing::error!(
                    version = state.version,
                    "state of logins has another version"
                );
                None
            }
            Err(error) => {
                tracing::error!(%error, "state of logins is damaged");
                None
            }
        }
    }

    /// Writes it.
    pub(super) fn save(&mut self, path: &Path) -> Result<(), FileError> {
        self.version = VERSION;
        // Nothing in it can fail to be written down.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        file::write(path, &bytes, Access::Private, Durability::Process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_was_and_a_damaged_one_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logins.json");
        assert!(State::load(&path).is_none());
        let mut state = State {
            boot: "b".into(),
            cursor: Some("c".into()),
            ..State::default()
        };
        state.save(&path).unwrap();
        let loaded = State::load(&path).unwrap();
        assert_eq!(
            (loaded.boot.as_str(), loaded.cursor.as_deref()),
            ("b", Some("c"))
        );
        std::fs::write(&path, r#"{"version":2"#).unwrap();
        assert!(State::load(&path).is_none());
    }
}
