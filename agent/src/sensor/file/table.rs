//! Notices of one file within a short time become one observation, by comparing what it was with what it is.
//!
//! A notice only says that something was done; a rename, a write and a change of mode look alike once they are over.
//! So the table keeps the last known state of each file, waits until the notices pause, and tells the difference. One
//! file that is gone and the same file that came under another name at once are one renaming.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::change::{FileActivity, FileCategory, FileObservation, FileState};

/// Notices of one file that follow each other so soon are one: an editor makes four within a few milliseconds.
pub(crate) const WINDOW_MS: i64 = 500;
/// A file that never rests is told after so long.
const WINDOW_WHOLE_MS: i64 = 5_000;
/// Files that are known; a machine has a few hundred. Those beyond it are not watched, which health says.
pub(super) const FILES_MAX: usize = 8192;
/// Files of one folder that are known: whoever may write one folder cannot take the room of all others.
pub(super) const FOLDER_FILES_MAX: usize = 512;

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
        if !self.known.contains_key(path) && !self.has_room_beside(path) {
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

    fn has_room_beside(&self, path: &Path) -> bool {
        let Some(folder) = path.parent() else {
            return false;
        };
        self.known.len() < FILES_MAX && self.inside(folder).count() < FOLDER_FILES_MAX
    }

    fn inside<'a>(&'a self, folder: &'a Path) -> impl Iterator<Item = (&'a PathBuf, &'a Known)> {
        let from = self.known.range(folder.to_owned()..);
        from.take_while(move |(path, _)| path.starts_with(folder))
            .filter(move |(path, _)| path.parent() == Some(folder))
    }

    /// Known files of a folder, which may have gone unnoticed.
    pub(super) fn of(&self, folder: &Path) -> Vec<(PathBuf, FileCategory)> {
        self.inside(folder)
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
                    previous: None,
                    first_ms: pending.first_ms,
                    time_ms: pending.last_ms,
                    count: pending.count,
                    before,
                    after,
                    actor: None,
                });
            }
        }
        self.known
            .retain(|_, known| known.state.is_some() || known.pending.is_some());
        let mut told = join_renamed(told);
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

/// One file that went and came under another name is told once.
fn join_renamed(told: Vec<FileObservation>) -> Vec<FileObservation> {
    let (gone, mut others): (Vec<_>, Vec<_>) = told
        .into_iter()
        .partition(|one| one.activity == FileActivity::Removed);
    for gone in gone {
        let is_same = |one: &&mut FileObservation| {
            let same = gone.before.zip(one.after);
            one.activity == FileActivity::Created
                && same.is_some_and(|(gone, come)| (gone.id, gone.sha256) == (come.id, come.sha256))
        };
        match others.iter_mut().find(is_same) {
            Some(come) => {
                come.activity = FileActivity::Renamed;
                come.first_ms = come.first_ms.min(gone.first_ms);
                come.count = come.count.saturating_add(gone.count);
                come.before = gone.before;
                come.previous = Some(gone.path);
            }
            None => others.push(gone),
        }
    }
    others
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
    if is_other && before.id != after.id {
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
    use super::super::change::FileId;
    use super::*;

    fn state(content: u8, inode: u64, mode: u32) -> Option<FileState> {
        Some(FileState {
            sha256: Some([content; 32]),
            size: 1,
            mode,
            uid: 0,
            gid: 0,
            id: FileId {
                inode: (1, inode),
                born_ns: None,
            },
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
    fn a_file_under_another_name_is_told_once() {
        let (old, new) = (Path::new("/etc/cron.d/a"), Path::new("/etc/cron.d/b"));
        let mut files = Files::default();
        files.found(old, FileCategory::Cron, state(1, 1, 0));
        files.noticed(old, FileCategory::Cron, 0);
        files.noticed(new, FileCategory::Cron, 1);
        let told = files.tell(900, |path| Ok(state(1, 1, 0).filter(|_| path == new)));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].activity, FileActivity::Renamed);
        assert_eq!(told[0].path, new);
        assert_eq!(told[0].previous.as_deref(), Some(old));
        assert_eq!((told[0].first_ms, told[0].count), (0, 2));
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
        for index in 0..FOLDER_FILES_MAX + 2 {
            let path = format!("/home/dana/.config/systemd/user/{index}");
            files.noticed(Path::new(&path), FileCategory::SystemdUnit, 0);
        }
        assert_eq!(files.take_left_out(), 2);
        files.noticed(Path::new("/etc/cron.d/a"), FileCategory::Cron, 0);
        assert_eq!(
            files.take_left_out(),
            0,
            "one folder leaves room for others"
        );
        for index in 0..FILES_MAX {
            let path = format!("/home/{index}/.ssh/rc");
            files.noticed(Path::new(&path), FileCategory::AuthorizedKeys, 0);
        }
        assert_eq!(files.take_left_out(), FOLDER_FILES_MAX as u64 + 1);
        assert!(files.tell(1000, |_| Ok(None)).is_empty());
        assert_eq!(files.due_ms(), None, "nothing is kept of what is not there");
    }
}
