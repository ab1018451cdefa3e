//! Files that matter on Linux.
//!
//! ```text
//! passwd, /home -> places -> inotify on their folders -> notices -> table -> what is otherwise
//!                    ^ every LOOK: folders that came, went or were replaced; files are compared
//! fanotify on the same folders -------------------------------------> who wrote it
//! fanotify on stores -----------------------------------------------> who opened them
//! ```
//!
//! A folder that does not exist yet is looked for every [`LOOK`]; what is in it then is told as new. The same look
//! compares all files with what is known of them after the kernel's queue ran over, which is told as a loss.

mod actor;
mod look;
pub(crate) mod opened;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::opened::Openings;
use self::watch::Watch;
use super::FileSink;
use super::change::{FileActivity, FileCategory};
use super::place::{self, Configuration, Place};
use super::table::{FOLDER_FILES_MAX, Files};
use super::writer::Writers;
use crate::clock;
use crate::config::FileConfig;
use crate::sensor::{Output, Sensor, SensorError, Stop};

/// How often folders are looked for.
const LOOK: Duration = if cfg!(test) {
    Duration::from_millis(200)
} else {
    Duration::from_secs(10)
};

/// Folders that are watched; each costs the kernel about 1 KiB. Two for each home and some of the machine.
const WATCHES_MAX: usize = 1024;

const PASSWD_BYTES_MAX: u64 = 4 << 20;

/// Both sensors of this machine; what one learns of writers the other tells.
pub(super) fn sensors(config: &FileConfig) -> (Changes, Openings) {
    let machine = Machine {
        root: "/".into(),
        config: config.clone(),
        writers: Arc::default(),
    };
    let changes = Changes {
        machine: machine.clone(),
    };
    (changes, Openings::new(machine))
}

/// What both sensors know.
#[derive(Debug, Clone)]
struct Machine {
    root: PathBuf,
    config: FileConfig,
    writers: Arc<Writers>,
}

impl Machine {
    /// Places of today's homes; and how many homes are left out.
    fn places(&self) -> (Vec<Place>, usize) {
        let (homes, left_out) = self.homes();
        let configured: Vec<_> = self
            .config
            .paths
            .iter()
            .map(|path| Configuration {
                path: path.clone(),
                is_folder: path.is_dir(),
            })
            .collect();
        (place::places(&self.root, &homes, &configured), left_out)
    }

    /// Homes of accounts and folders of `/home`.
    fn homes(&self) -> (Vec<PathBuf>, usize) {
        let passwd = crate::file::read(&self.root.join("etc/passwd"), PASSWD_BYTES_MAX);
        let passwd = passwd.unwrap_or_default();
        let entries = fs::read_dir(self.root.join("home"));
        // One more than will be taken shows that some are left out.
        let others: Vec<PathBuf> = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .take(place::HOMES_MAX + 1)
            .collect();
        place::homes(&self.root, &String::from_utf8_lossy(&passwd), &others)
    }
}

/// The sensor of changes.
#[derive(Debug)]
pub(crate) struct Changes {
    machine: Machine,
}

impl Changes {
    /// Runs until it is stopped or can go on no more.
    fn keep(&self, sink: &dyn FileSink, stop: &Stop) -> io::Result<()> {
        let wake = watch::wake_by(stop)?;
        let mut running = Running {
            sink,
            machine: &self.machine,
            watch: Watch::open()?,
            places: BTreeMap::new(),
            refused: BTreeSet::new(),
            files: Files::default(),
            missing: Missing::default(),
            detail: None,
            last_ms: clock::now_ms(),
        };
        running.look(true);
        let mut looked_ms = clock::now_ms();
        while !stop.is_stopped() {
            let timeout = running.timeout(looked_ms);
            running.watch.wait(&wake, timeout)?;
            running.step(&mut looked_ms)?;
        }
        Ok(())
    }
}

impl Sensor for Changes {
    fn name(&self) -> &'static str {
        "file/inotify"
    }

    fn run(&mut self, output: &Output, stop: &Stop) -> Result<(), SensorError> {
        self.keep(output, stop).map_err(SensorError::failed(
            "watch the folders of files that matter",
        ))
    }
}

/// A folder that is watched.
#[derive(Debug)]
struct Watched {
    place: Place,
    /// Device and inode: another folder of this name needs a new watch.
    inode: (u64, u64),
}

/// Of a folder whose watch has ended.
const NO_INODE: (u64, u64) = (0, 0);

struct Running<'a> {
    sink: &'a dyn FileSink,
    machine: &'a Machine,
    watch: Watch,
    places: BTreeMap<PathBuf, Watched>,
    /// Folders that could not be watched, which the log says once.
    refused: BTreeSet<PathBuf>,
    files: Files,
    /// What the last look could not watch.
    missing: Missing,
    /// As it was told last.
    detail: Option<String>,
    last_ms: i64,
}

impl Running<'_> {
    /// Until the next look, or until a file is due.
    fn timeout(&self, looked_ms: i64) -> Duration {
        let look_ms = i64::try_from(LOOK.as_millis()).unwrap_or(i64::MAX);
        let next_ms = looked_ms.saturating_add(look_ms);
        let due_ms = self.files.due_ms().unwrap_or(next_ms).min(next_ms);
        let left_ms = due_ms.saturating_sub(clock::now_ms()).clamp(0, look_ms);
        Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))
    }

    fn step(&mut self, looked_ms: &mut i64) -> io::Result<()> {
        let notices = self.watch.read()?;
        let now_ms = clock::now_ms();
        for path in notices.paths {
            if let Some(category) = self.category(&path) {
                self.files.noticed(&path, category, now_ms);
            }
        }
        for folder in &notices.forgotten {
            if let Some(watched) = self.places.get_mut(folder) {
                watched.inode = NO_INODE;
            }
        }
        if notices.is_lost {
            self.sink.lost(None, self.last_ms, now_ms);
            self.compare();
        }
        let age = Duration::from_millis(u64::try_from(now_ms - *looked_ms).unwrap_or(u64::MAX));
        if notices.is_lost || notices.is_moved || !notices.forgotten.is_empty() || age >= LOOK {
            self.look(false);
            *looked_ms = now_ms;
        }
        let hash_bytes_max = self.machine.config.hash_bytes_max;
        let mut told = self
            .files
            .tell(now_ms, |path| look::look(path, hash_bytes_max));
        for one in &mut told {
            let is_written = matches!(
                one.activity,
                FileActivity::Created | FileActivity::Changed | FileActivity::Replaced
            );
            let written = one.after.filter(|_| is_written);
            one.actor = written.and_then(|state| self.machine.writers.of(&state));
        }
        if !told.is_empty() {
            self.sink.observed(told);
        }
        self.last_ms = now_ms;
        Ok(())
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
        let (places, homes_left_out) = self.machine.places();
        let mut missing = Missing {
            homes: homes_left_out,
            folders: 0,
            // A folder that is watched already is not read again: what was missing in it still is.
            ..self.missing
        };
        for place in places {
            self.look_at(place, is_first, &mut missing);
        }
        let wanted: Vec<PathBuf> = self.places.keys().cloned().collect();
        for folder in wanted.into_iter().filter(|folder| !folder.is_dir()) {
            self.places.remove(&folder);
            self.watch.remove(&folder);
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
        // A home that is a link, or a folder that is mounted twice: the kernel has one watch for both.
        if self.places.values().any(|watched| watched.inode == inode) {
            return;
        }
        // Watched first and read then: what comes between is seen twice, not never.
        if let Err(error) = self.watch.add(&folder) {
            missing.folders += 1;
            if self.refused.len() < WATCHES_MAX && self.refused.insert(folder.clone()) {
                tracing::warn!(folder = %folder.display(), %error, "cannot watch a folder");
            }
            return;
        }
        self.refused.remove(&folder);
        self.places.insert(folder.clone(), Watched { place, inode });
        let gone = self.files.of(&folder);
        let (found, is_cut) = self.scan(&folder);
        missing.files += u64::from(is_cut);
        let now_ms = clock::now_ms();
        for (path, category) in found.into_iter().chain(gone) {
            if is_first {
                match look::look(&path, self.machine.config.hash_bytes_max) {
                    Ok(state) => self.files.found(&path, category, state),
                    Err(_) => missing.unreadable += 1,
                }
            } else {
                self.files.noticed(&path, category, now_ms);
            }
        }
    }
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
