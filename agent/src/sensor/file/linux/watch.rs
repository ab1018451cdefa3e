//! inotify on folders: waits, and gives the paths that something was done to.
//!
//! Only what may change a file is asked for. Openings are not: every program that starts opens files of `/etc`, and
//! each would wake this thread.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use crate::sensor::Stop;

/// Reads of the kernel's queue before the sensor looks at what they gave; each gives up to 4 KiB.
const READS_MAX: usize = 16;

/// Whether something happened that a stop can wake from.
pub(super) fn wake_by(stop: &Stop) -> io::Result<Arc<EventFd>> {
    let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
    let wake = Arc::new(EventFd::from_flags(flags)?);
    let other = Arc::clone(&wake);
    stop.wake_by(move || {
        // It can only fail by being signaled already.
        let _signaled = other.write(1);
    });
    Ok(wake)
}

/// Waits until there is something to read, it is time to stop, or so long.
pub(super) fn wait(source: impl AsFd, wake: &EventFd, timeout: Duration) -> io::Result<()> {
    let mut waits = [source.as_fd(), wake.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    match poll(&mut waits, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the kernel told since the last time.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Files that something was done to.
    pub(super) paths: Vec<PathBuf>,
    /// Folders that are watched no longer.
    pub(super) forgotten: Vec<PathBuf>,
    /// A folder itself was moved or removed.
    pub(super) is_moved: bool,
    /// The kernel's queue ran over.
    pub(super) is_lost: bool,
}

/// The watched folders.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Inotify,
    folders: HashMap<WatchDescriptor, PathBuf>,
}

impl Watch {
    /// None yet.
    pub(super) fn open() -> io::Result<Self> {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        Ok(Self {
            inotify: Inotify::init(flags)?,
            folders: HashMap::new(),
        })
    }

    /// Watches a folder; another one of this name is forgotten.
    pub(super) fn add(&mut self, folder: &Path) -> io::Result<()> {
        self.remove(folder);
        let changes = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        let how = AddWatchFlags::IN_ONLYDIR | AddWatchFlags::IN_DONT_FOLLOW;
        let descriptor = self.inotify.add_watch(folder, changes | how)?;
        self.folders.insert(descriptor, folder.to_owned());
        Ok(())
    }

    /// Watches it no longer.
    pub(super) fn remove(&mut self, folder: &Path) {
        let mut known = self.folders.iter();
        let Some(descriptor) = known.find_map(|(one, path)| (path == folder).then_some(*one))
        else {
            return;
        };
        self.folders.remove(&descriptor);
        // The kernel forgets by itself a folder that is gone.
        let _forgotten = self.inotify.rm_watch(descriptor);
    }

    /// Waits for something to read, at most so long.
    pub(super) fn wait(&self, wake: &EventFd, timeout: Duration) -> io::Result<()> {
        wait(&self.inotify, wake, timeout)
    }

    /// Takes what is there, without waiting.
    pub(super) fn read(&mut self) -> io::Result<Notices> {
        let mut notices = Notices::default();
        for _ in 0..READS_MAX {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(error) => return Err(error.into()),
            };
            for event in events {
                notices.is_lost |= event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
                let itself = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
                notices.is_moved |= event.mask.intersects(itself);
                if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                    notices.forgotten.extend(self.folders.remove(&event.wd));
                } else if let (Some(folder), Some(name)) = (self.folders.get(&event.wd), event.name)
                {
                    notices.paths.push(folder.join(name));
                }
            }
        }
        Ok(notices)
    }
}
