//! Wakes the sensor when a file that it follows has changed or appeared.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Inotify,
    files: Vec<PathBuf>,
}

impl Watch {
    /// Watches the files, and their directories for new ones in their place.
    pub(super) fn new(files: Vec<PathBuf>) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let directories: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        for directory in directories {
            let appears = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
            match inotify.add_watch(directory, appears) {
                Ok(_) | Err(Errno::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let watch = Self { inotify, files };
        watch.watch_files();
        Ok(watch)
    }

    /// A file that is watched already stays so; one in the place of a renamed one is new.
    fn watch_files(&self) {
        for file in &self.files {
            // Where it is missing, its directory tells when it comes.
            let _missing = self.inotify.add_watch(file, AddWatchFlags::IN_MODIFY);
        }
    }

    /// Takes notice of what happened.
    pub(super) fn drain(&self) {
        // An error says that there is nothing, or that there was too much to tell: both mean "look".
        while self
            .inotify
            .read_events()
            .is_ok_and(|events| !events.is_empty())
        {}
        self.watch_files();
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
