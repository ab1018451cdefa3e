//! Which process wrote a file last: noted by the source that sees who writes, asked by the one that sees what changed.
//!
//! The answer is about the very file that is there now, however it got its name: a file that was written beside
//! another and renamed over it has the writer that it had. A file that was written after the note has none.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::change::{Actor, FileId, FileState};

/// Writings that are remembered: a minute of a busy package manager. The oldest go.
const NOTES_MAX: usize = 1024;

/// The kernel stamps files by a clock that ticks every few milliseconds, and a note is made later than the write.
const CLOCK_MS: i64 = 50;

#[derive(Debug)]
struct Note {
    time_ms: i64,
    actor: Actor,
}

/// The notes, shared by both sources.
#[derive(Debug, Default)]
pub(super) struct Writers {
    notes: Mutex<BTreeMap<FileId, Note>>,
}

impl Writers {
    /// This process has written this file, noticed at `now_ms`.
    pub(super) fn note(&self, id: FileId, actor: Actor, now_ms: i64) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() >= NOTES_MAX && !notes.contains_key(&id) {
            let oldest = notes.iter().min_by_key(|(_, note)| note.time_ms);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                notes.remove(&oldest);
            }
        }
        let time_ms = now_ms;
        notes.insert(id, Note { time_ms, actor });
    }

    /// Who wrote what is in this file; `None` where it is not known, or where it was written later than that.
    pub(super) fn of(&self, state: &FileState) -> Option<Actor> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let note = notes.get(&state.id)?;
        let (seconds, nanoseconds) = state.modified;
        let modified_ms = seconds
            .saturating_mul(1000)
            .saturating_add(nanoseconds / 1_000_000);
        (modified_ms <= note.time_ms.saturating_add(CLOCK_MS)).then(|| note.actor.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(inode: u64, born_ns: i128) -> FileId {
        FileId {
            inode: (1, inode),
            born_ns: Some(born_ns),
        }
    }

    fn state(id: FileId, modified_s: i64) -> FileState {
        FileState {
            sha256: None,
            size: 1,
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            id,
            modified: (modified_s, 0),
        }
    }

    fn actor(pid: u32) -> Actor {
        Actor {
            pid,
            start_ticks: 1,
            executable: "/usr/bin/tee".into(),
            uid: Some(0),
        }
    }

    #[test]
    fn the_last_writer_of_the_very_file_is_known() {
        let writers = Writers::default();
        writers.note(id(5, 1), actor(7), 10_000);
        writers.note(id(5, 1), actor(8), 11_000);
        let who = |state: FileState| writers.of(&state).map(|actor| actor.pid);
        assert_eq!(who(state(id(5, 1), 11)), Some(8));
        assert_eq!(who(state(id(5, 2), 11)), None, "its number was used again");
        assert_eq!(who(state(id(6, 1), 11)), None);
        assert_eq!(who(state(id(5, 1), 12)), None, "somebody wrote it since");
    }

    #[test]
    fn notes_are_bounded_and_the_oldest_go() {
        let writers = Writers::default();
        for n in 0..NOTES_MAX as u64 + 1 {
            writers.note(id(n, 1), actor(7), n as i64);
        }
        assert_eq!(writers.notes.lock().unwrap().len(), NOTES_MAX);
        assert!(writers.of(&state(id(0, 1), 0)).is_none());
    }
}
