//! Files that matter on Linux.
//!
//! ```text
//! passwd, /home -> places -> inotify on their folders -> notices -> table -> what is otherwise
//!                    ^ every LOOK: folders that came, went or were replaced; files are compared
//! fanotify on stores ----------------------------------------------> who opened them
//! ```
//!
//! A folder that does not exist yet is looked for every [`LOOK`]; what is in it then is told as new. The same look
//! compares all files with what is known of them after the kernel's queue ran over, which is told as a loss.

mod look;
pub(crate) mod opened;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::FileSink;
use super::change::FileCategory;
use super::place::{self, Place};
use super::table::Files;
use crate::clock;
use crate::sensor::Stop;

/// How often folders are looked for.
const LOOK: Duration = if cfg!(test) {
    Duration::from_millis(200)
} else {
    Duration::from_secs(10)
};

/// Folders that are watched; each costs the kernel about 1 KiB. Two for each home and some of the machine.
const WATCHES_MAX: usize = 1024;

/// Files of one folder that are known.
const FOLDER_FILES_MAX: usize = 1024;

/// Notices that wait; more are a loss.
const NOTICES_MAX: usize = 4096;

const PASSWD_BYTES_MAX: u64 = 4 << 20;

enum Notice {
    Path(PathBuf),
    Wake,
}

/// The sensor of changes.
#[derive(Debug)]
pub(crate) struct Changes {
    root: PathBuf,
}

impl Default for Changes {
    fn default() -> Self {
        Self { root: "/".into() }
    }
}

impl Changes {
    /// Runs until it is stopped or can go on no more.
    pub(crate) fn run(&self, sink: &dyn FileSink, stop: &Stop) -> io::Result<()> {
        let (sender, notices) = sync_channel(NOTICES_MAX);
        let overflowed = Arc::new(AtomicBool::new(false));
        let watcher = watch(sender.clone(), overflowed.clone())?;
        stop.wake_by(move || {
            // A full queue wakes as well.
            let _woken = sender.try_send(Notice::Wake);
        });
        let mut running = Running {
            sink,
            root: &self.root,
            watcher,
            places: BTreeMap::new(),
            files: Files::default(),
            overflowed,
            missing: Missing::default(),
            detail: None,
            last_ms: clock::now_ms(),
        };
        running.look(true);
        running.serve(&notices, stop)
    }
}

fn watch(
    sender: SyncSender<Notice>,
    overflowed: Arc<AtomicBool>,
) -> io::Result<RecommendedWatcher> {
    let handler = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else {
            overflowed.store(true, Ordering::Release);
            return;
        };
        if event.need_rescan() {
            overflowed.store(true, Ordering::Release);
        }
        // inotify is asked for openings too, which say nothing here.
        if let EventKind::Access(access) = event.kind
            && access != AccessKind::Close(AccessMode::Write)
        {
            return;
        }
        for path in event.paths {
            if sender.try_send(Notice::Path(path)).is_err() {
                overflowed.store(true, Ordering::Release);
            }
        }
    };
    notify::recommended_watcher(handler).map_err(io::Error::other)
}

/// A folder that is watched.
#[derive(Debug)]
struct Watched {
    place: Place,
    /// Device and inode: another folder of this name needs a new watch.
    inode: (u64, u64),
}

struct Running<'a> {
    sink: &'a dyn FileSink,
    root: &'a Path,
    watcher: RecommendedWatcher,
    places: BTreeMap<PathBuf, Watched>,
    files: Files,
    overflowed: Arc<AtomicBool>,
    /// What the last look could not watch.
    missing: Missing,
    /// As it was told last.
    detail: Option<String>,
    last_ms: i64,
}

impl Running<'_> {
    fn serve(&mut self, notices: &Receiver<Notice>, stop: &Stop) -> io::Result<()> {
        let look_ms = i64::try_from(LOOK.as_millis()).unwrap_or(i64::MAX);
        let mut looked_ms = clock::now_ms();
        while !stop.is_stopped() {
            let now_ms = clock::now_ms();
            let next_ms = looked_ms.saturating_add(look_ms);
            let due_ms = self.files.due_ms().unwrap_or(next_ms).min(next_ms);
            let left_ms = due_ms.saturating_sub(now_ms).clamp(0, look_ms);
            let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
            match notices.recv_timeout(left) {
                Ok(Notice::Path(path)) => self.notice(&path),
                Ok(Notice::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("inotify's reader has ended"));
                }
            }
            let now_ms = clock::now_ms();
            let is_lost = self.overflowed.swap(false, Ordering::AcqRel);
            if is_lost {
                self.sink.lost(None, self.last_ms, now_ms);
                self.compare();
            }
            if is_lost || now_ms >= next_ms || now_ms < looked_ms {
                self.look(false);
                looked_ms = now_ms;
            }
            let told = self.files.tell(now_ms, look::look);
            if !told.is_empty() {
                self.sink.observed(told);
            }
            self.last_ms = now_ms;
        }
        Ok(())
    }

    fn notice(&mut self, path: &Path) {
        if let Some(category) = self.category(path) {
            self.files.noticed(path, category, clock::now_ms());
        }
    }

    fn category(&self, path: &Path) -> Option<FileCategory> {
        let watched = self.places.get(path.parent()?)?;
        watched.place.category_of(path.file_name()?.to_str()?)
    }

    /// Notices everything that is known: the table tells what is otherwise.
    fn compare(&mut self) {
        let now_ms = clock::now_ms();
        let folders: Vec<PathBuf> = self.places.keys().cloned().collect();
        for folder in folders {
            for (path, category) in self.files.of(&folder) {
                self.files.noticed(&path, category, now_ms);
            }
            let (found, _) = self.scan(&folder);
            for (path, category) in found {
                self.files.noticed(&path, category, now_ms);
            }
        }
    }

    /// Files of a folder that matter; and whether there are too many.
    fn scan(&self, folder: &Path) -> (Vec<(PathBuf, FileCategory)>, bool) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<_> = entries
            .map(|entry| entry.path())
            .filter_map(|path| Some((self.category(&path)?, path)))
            .take(FOLDER_FILES_MAX + 1)
            .map(|(category, path)| (path, category))
            .collect();
        let is_cut = found.len() > FOLDER_FILES_MAX;
        found.truncate(FOLDER_FILES_MAX);
        (found, is_cut)
    }

    /// Looks which folders are there, and watches those that are new.
    fn look(&mut self, is_first: bool) {
        let (homes, homes_left_out) = homes(self.root);
        let mut missing = Missing {
            homes: homes_left_out,
            folders: 0,
            // A folder that is watched already is not read again: what was missing in it still is.
            ..self.missing
        };
        for place in place::places(self.root, &homes) {
            self.look_at(place, is_first, &mut missing);
        }
        let wanted: Vec<PathBuf> = self.places.keys().cloned().collect();
        for folder in wanted.into_iter().filter(|folder| !folder.is_dir()) {
            self.places.remove(&folder);
            // inotify itself forgot it with the folder.
            let _forgotten = self.watcher.unwatch(&folder);
            for (path, category) in self.files.of(&folder) {
                self.files.noticed(&path, category, clock::now_ms());
            }
        }
        // Notices, not files: one file may be noticed often.
        missing.files = missing.files.max(self.files.take_left_out());
        self.missing = missing;
        let detail = missing.to_string();
        if self.detail.as_ref() != Some(&detail) {
            self.sink.running(detail.clone());
            self.detail = Some(detail);
        }
    }

    fn look_at(&mut self, place: Place, is_first: bool, missing: &mut Missing) {
        let folder = place.folder.clone();
        // A link in the place of a folder is not followed: it would be watched under two names.
        let Ok(metadata) = fs::symlink_metadata(&folder) else {
            return;
        };
        if !metadata.is_dir() {
            return;
        }
        let inode = (metadata.dev(), metadata.ino());
        let known = self.places.get(&folder).map(|watched| watched.inode);
        if known == Some(inode) {
            return;
        }
        if known.is_none() && self.places.len() >= WATCHES_MAX {
            missing.folders += 1;
            return;
        }
        if known.is_some() {
            let _forgotten = self.watcher.unwatch(&folder);
        }
        // Watched first and read then: what comes between is seen twice, not never.
        if let Err(error) = self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
            tracing::warn!(folder = %folder.display(), %error, "cannot watch a folder");
            missing.folders += 1;
            return;
        }
        self.places.insert(folder.clone(), Watched { place, inode });
        let gone = self.files.of(&folder);
        let (found, is_cut) = self.scan(&folder);
        missing.files += u64::from(is_cut);
        let now_ms = clock::now_ms();
        for (path, category) in found.into_iter().chain(gone) {
            if is_first {
                match look::look(&path) {
                    Ok(state) => self.files.found(&path, category, state),
                    Err(_) => missing.unreadable += 1,
                }
            } else {
                self.files.noticed(&path, category, now_ms);
            }
        }
    }
}

/// Homes of accounts and folders of `/home`.
fn homes(root: &Path) -> (Vec<PathBuf>, usize) {
    let passwd = crate::file::read(&root.join("etc/passwd"), PASSWD_BYTES_MAX).unwrap_or_default();
    let entries = fs::read_dir(root.join("home"))
        .into_iter()
        .flatten()
        .flatten();
    // One more than will be taken shows that some are left out.
    let others: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .take(place::HOMES_MAX + 1)
        .collect();
    place::homes(root, &String::from_utf8_lossy(&passwd), &others)
}

/// What is not watched.
#[derive(Debug, Default, Clone, Copy)]
struct Missing {
    homes: usize,
    folders: usize,
    files: u64,
    unreadable: u64,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            (self.homes as u64, "homes"),
            (self.folders as u64, "folders"),
            (self.files, "files or more"),
            (self.unreadable, "files that cannot be read"),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = parts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if parts.is_empty() {
            return Ok(());
        }
        write!(f, "not watched: {}", parts.join(", "))
    }
}
