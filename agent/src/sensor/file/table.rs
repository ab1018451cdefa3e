//! Notices of one file within a short time become one observation, by comparing what it was with what it is.
//!
//! A notice only says that something was done; a rename, a write and a change of mode look alike once they are over.
//! So the table keeps the last known state of each file, waits until the notices pause, and tells the difference.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::change::{FileActivity, FileCategory, FileObservation, FileState};

/// Notices of one file that follow each other so soon are one: an editor makes four within a few milliseconds.
pub(crate) const WINDOW_MS: i64 = 500;
/// A file that never rests is told after so long.
const WINDOW_WHOLE_MS: i64 = 5_000;
/// Files that are known; a machine has a few hundred. Those beyond it are not watched, which health says.
pub(super) const FILES_MAX: usize = 8192;

#[derive(Debug, Clone, Copy)]
struct Pending {
    first_ms: i64,
    last_ms: i64,
    count: u32,
}

#[derive(Debug)]
struct Known {
    category: FileCategory,
    state: Option<FileState>,
    pending: Option<Pending>,
}

/// The files that matter, as they were last seen.
#[derive(Debug, Default)]
pub(super) struct Files {
    known: BTreeMap<PathBuf, Known>,
    left_out: u64,
}

impl Files {
    /// What a file was before anything was noticed: nothing is told of it.
    pub(super) fn found(&mut self, path: &Path, category: FileCategory, state: Option<FileState>) {
        if let Some(known) = self.entry(path, category) {
            known.state = state;
        }
    }

    /// Something was done to a file.
    pub(super) fn noticed(&mut self, path: &Path, category: FileCategory, now_ms: i64) {
        if let Some(known) = self.entry(path, category) {
            let pending = known.pending.get_or_insert(Pending {
                first_ms: now_ms,
                last_ms: now_ms,
                count: 0,
            });
            pending.last_ms = now_ms;
            pending.count = pending.count.saturating_add(1);
        }
    }

    fn entry(&mut self, path: &Path, category: FileCategory) -> Option<&mut Known> {
        if !self.known.contains_key(path) && self.known.len() >= FILES_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        let entry = self.known.entry(path.to_owned());
        Some(entry.or_insert(Known {
            category,
            state: None,
            pending: None,
        }))
    }

    /// Known files of a folder, which may have gone unnoticed.
    pub(super) fn of(&self, folder: &Path) -> Vec<(PathBuf, FileCategory)> {
        let inside = self
            .known
            .iter()
            .filter(|(path, _)| path.parent() == Some(folder));
        inside
            .map(|(path, known)| (path.clone(), known.category))
            .collect()
    }

    /// Notices of files that were one too many, since it was last asked.
    pub(super) fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    /// When the next file is due.
    pub(super) fn due_ms(&self) -> Option<i64> {
        let pending = self.known.values().filter_map(|known| known.pending);
        pending.map(Pending::due_ms).min()
    }

    /// Tells the files whose notices have paused. `look` gives a file's state, or `Err` where it cannot be read:
    /// then nothing is told and nothing is forgotten.
    pub(super) fn tell(
        &mut self,
        now_ms: i64,
        mut look: impl FnMut(&Path) -> std::io::Result<Option<FileState>>,
    ) -> Vec<FileObservation> {
        let mut told = Vec::new();
        for (path, known) in &mut self.known {
            let Some(pending) = known.pending.take_if(|pending| pending.due_ms() <= now_ms) else {
                continue;
            };
            let Ok(after) = look(path) else {
                continue;
            };
            let before = std::mem::replace(&mut known.state, after);
            if let Some(activity) = difference(before.as_ref(), after.as_ref()) {
                told.push(FileObservation {
                    activity,
                    category: known.category,
                    path: path.clone(),
                    first_ms: pending.first_ms,
                    time_ms: pending.last_ms,
                    count: pending.count,
                    before,
                    after,
                    opener: None,
                });
            }
        }
        self.known
            .retain(|_, known| known.state.is_some() || known.pending.is_some());
        told.sort_by_key(|one| one.first_ms);
        told
    }
}

impl Pending {
    fn due_ms(self) -> i64 {
        let paused_ms = self.last_ms.saturating_add(WINDOW_MS);
        paused_ms.min(self.first_ms.saturating_add(WINDOW_WHOLE_MS))
    }
}

fn difference(before: Option<&FileState>, after: Option<&FileState>) -> Option<FileActivity> {
    let (before, after) = match (before, after) {
        (None, None) => return None,
        (None, Some(_)) => return Some(FileActivity::Created),
        (Some(_), None) => return Some(FileActivity::Removed),
        (Some(before), Some(after)) => (before, after),
    };
    let is_other = match (before.sha256, after.sha256) {
        (Some(before), Some(after)) => before != after,
        _ => before.modified != after.modified || before.size != after.size,
    };
    let permissions = |state: &FileState| (state.mode, state.uid, state.gid);
    if is_other && before.inode != after.inode {
        Some(FileActivity::Replaced)
    } else if is_other {
        Some(FileActivity::Changed)
    } else if permissions(before) != permissions(after) {
        Some(FileActivity::Permissions)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(content: u8, inode: u64, mode: u32) -> Option<FileState> {
        Some(FileState {
            sha256: Some([content; 32]),
            size: 1,
            mode,
            uid: 0,
            gid: 0,
            inode: (1, inode),
            modified: (0, 0),
        })
    }

    fn told(before: Option<FileState>, after: Option<FileState>) -> Option<FileActivity> {
        let path = Path::new("/etc/sudoers");
        let mut files = Files::default();
        files.found(path, FileCategory::Sudo, before);
        for at in [0, 3, 400] {
            files.noticed(path, FileCategory::Sudo, at);
        }
        assert_eq!(files.due_ms(), Some(900));
        assert!(files.tell(899, |_| Ok(after)).is_empty());
        let told = files.tell(900, |_| Ok(after));
        assert!(files.tell(9000, |_| Ok(before)).is_empty(), "told once");
        let one = told.first()?;
        assert_eq!((one.first_ms, one.time_ms, one.count), (0, 400, 3));
        assert_eq!((one.before, one.after), (before, after));
        Some(one.activity)
    }

    #[test]
    fn notices_become_the_difference() {
        let old = state(1, 1, 0o644);
        assert_eq!(told(None, old), Some(FileActivity::Created));
        assert_eq!(told(old, None), Some(FileActivity::Removed));
        assert_eq!(told(old, state(2, 1, 0o644)), Some(FileActivity::Changed));
        assert_eq!(told(old, state(2, 2, 0o644)), Some(FileActivity::Replaced));
        assert_eq!(
            told(old, state(1, 1, 0o666)),
            Some(FileActivity::Permissions)
        );
        assert_eq!(told(old, state(1, 2, 0o644)), None, "the same content");
        assert_eq!(told(None, None), None, "came and went");
    }

    #[test]
    fn a_file_that_never_rests_is_told() {
        let path = Path::new("/etc/crontab");
        let mut files = Files::default();
        for at in (0..20_000).step_by(100) {
            files.noticed(path, FileCategory::Cron, at);
        }
        assert_eq!(files.due_ms(), Some(WINDOW_WHOLE_MS));
    }

    #[test]
    fn what_cannot_be_read_is_neither_told_nor_forgotten() {
        let path = Path::new("/etc/shadow");
        let mut files = Files::default();
        files.found(path, FileCategory::Account, state(1, 1, 0));
        files.noticed(path, FileCategory::Account, 0);
        let refused = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert!(files.tell(1000, |_| Err(refused())).is_empty());
        files.noticed(path, FileCategory::Account, 2000);
        assert_eq!(files.tell(3000, |_| Ok(state(2, 1, 0))).len(), 1);
    }

    #[test]
    fn files_are_bounded_and_those_beyond_are_counted() {
        let mut files = Files::default();
        for index in 0..FILES_MAX + 2 {
            files.noticed(
                Path::new(&format!("/etc/cron.d/{index}")),
                FileCategory::Cron,
                0,
            );
        }
        assert_eq!(files.take_left_out(), 2);
        assert!(files.tell(1000, |_| Ok(None)).is_empty());
        assert_eq!(files.due_ms(), None, "nothing is kept of what is not there");
    }
}
