//! Who opens the stores of browsers and keyrings: fanotify on the files themselves.
//!
//! Marks lie on the files, not on the mount: nothing else costs anything. A store that is replaced by a rename is
//! marked again at the next look, at most [`LOOK_MS`] later; openings between are not seen. Browsers and keyrings are
//! not told, where nobody but root can have put their program there; a browser that a user installed is told.
//! Needs CAP_SYS_ADMIN.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyEvent, InitFlags, MarkFlags, MaskFlags};

use crate::clock;
use crate::sensor::Stop;
use crate::sensor::file::FileSink;
use crate::sensor::file::change::{FileActivity, FileCategory, FileObservation, Opener};
use crate::sensor::file::store;

/// How often stores are looked for.
const LOOK_MS: i64 = if cfg!(test) { 200 } else { 10_000 };
/// Stores that are marked; a person with three browsers has about twenty.
const STORES_MAX: usize = 2048;
/// Folders of one browser that are looked into as profiles, and files of one keyring.
const PROFILES_MAX: usize = 64;
/// The same process and store are told once in so long, with a count.
const REPEAT_MS: i64 = 60_000;
/// Pairs of process and store that are remembered.
const REMEMBERED_MAX: usize = 1024;

/// The sensor of openings.
#[derive(Debug)]
pub(crate) struct Openings {
    root: PathBuf,
}

impl Default for Openings {
    fn default() -> Self {
        Self { root: "/".into() }
    }
}

impl Openings {
    #[cfg(test)]
    pub(super) fn below(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// Runs until it is stopped or can go on no more.
    ///
    /// # Errors
    /// `PermissionDenied` without CAP_SYS_ADMIN, `Unsupported` on a kernel without fanotify.
    pub(crate) fn run(&self, sink: &dyn FileSink, stop: &Stop) -> io::Result<()> {
        let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let group = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC)?;
        let wake = Arc::new(EventFd::from_flags(
            EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC,
        )?);
        let other = Arc::clone(&wake);
        stop.wake_by(move || {
            // It can only fail by being signaled already.
            let _signaled = other.write(1);
        });
        let mut detail = None;
        let mut told = Told::default();
        let mut looked_ms = i64::MIN;
        let mut last_ms = clock::now_ms();
        while !stop.is_stopped() {
            let now_ms = clock::now_ms();
            if now_ms.saturating_sub(looked_ms) >= LOOK_MS || now_ms < looked_ms {
                looked_ms = now_ms;
                let now = mark(&group, &self.root);
                if detail.as_ref() != Some(&now) {
                    sink.running(now.clone());
                    detail = Some(now);
                }
            }
            wait(&group, &wake)?;
            let now_ms = clock::now_ms();
            let (observed, is_lost) = read(&group, &mut told, now_ms)?;
            if is_lost {
                sink.lost(None, last_ms, now_ms);
            }
            if !observed.is_empty() {
                sink.observed(observed);
            }
            last_ms = now_ms;
        }
        Ok(())
    }
}

fn wait(group: &Fanotify, wake: &EventFd) -> io::Result<()> {
    let mut waits = [group.as_fd(), wake.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let timeout = PollTimeout::try_from(LOOK_MS).unwrap_or(PollTimeout::MAX);
    match poll(&mut waits, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Marks all stores, anew where they were replaced. Says what is not watched.
fn mark(group: &Fanotify, root: &Path) -> String {
    let (homes, left_out) = super::homes(root);
    let stores: Vec<PathBuf> = homes.iter().flat_map(|home| stores(home)).collect();
    let mut refused = 0_usize;
    for path in stores.iter().take(STORES_MAX) {
        let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_DONT_FOLLOW;
        match group.mark(flags, MaskFlags::FAN_OPEN, AT_FDCWD, Some(path)) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(_) => refused += 1,
        }
    }
    let missing = stores.len().saturating_sub(STORES_MAX) + refused;
    if missing + left_out == 0 {
        return String::new();
    }
    format!("not watched: {missing} stores, {left_out} homes")
}

fn folders(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).take(PROFILES_MAX)
}

/// The stores that exist below a home.
fn stores(home: &Path) -> Vec<PathBuf> {
    let kinds = [
        (store::CHROMIUM_FOLDERS, store::CHROMIUM_FILES),
        (store::FIREFOX_FOLDERS, store::FIREFOX_FILES),
    ];
    let mut found = Vec::new();
    for (browsers, files) in kinds {
        for profile in browsers
            .iter()
            .flat_map(|browser| folders(&home.join(browser)))
        {
            found.extend(files.iter().map(|file| profile.join(file)));
        }
    }
    for folder in store::KEYRING_FOLDERS {
        let entries = fs::read_dir(home.join(folder))
            .into_iter()
            .flatten()
            .flatten();
        let is_ring = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            let ends = |name: &str| store::KEYRING_ENDINGS.iter().any(|end| name.ends_with(end));
            name.is_some_and(ends)
        };
        found.extend(
            entries
                .map(|entry| entry.path())
                .filter(is_ring)
                .take(PROFILES_MAX),
        );
    }
    found.retain(|path| path.is_file());
    found
}

/// Takes what the kernel has; true where its queue ran over.
fn read(
    group: &Fanotify,
    told: &mut Told,
    now_ms: i64,
) -> io::Result<(Vec<FileObservation>, bool)> {
    let events = match group.read_events() {
        Ok(events) => events,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok((Vec::new(), false)),
        Err(error) => return Err(error.into()),
    };
    let mut is_lost = false;
    let mut observed = Vec::new();
    for event in &events {
        is_lost |= event.mask().contains(MaskFlags::FAN_Q_OVERFLOW);
        if !event.check_version() {
            return Err(io::Error::other("this kernel's fanotify is another"));
        }
        observed.extend(opening(event).and_then(|(path, opener)| told.tell(path, opener, now_ms)));
    }
    Ok((observed, is_lost))
}

/// Path and opener; `None` for those who open it by trade, and for this program.
fn opening(event: &FanotifyEvent) -> Option<(PathBuf, Opener)> {
    let descriptor = event.fd()?.as_raw_fd();
    let pid = u32::try_from(event.pid())
        .ok()
        .filter(|pid| *pid != std::process::id())?;
    let path = fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
    let executable = fs::read_link(format!("/proc/{pid}/exe"));
    let executable = executable.map(|path| path.to_string_lossy().into_owned());
    let executable = executable.unwrap_or_default();
    if store::is_keeper(&executable) && is_of_root(pid) {
        return None;
    }
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let opener = Opener {
        pid,
        start_ticks: start_ticks(&stat).unwrap_or(0),
        executable,
        uid: fs::metadata(format!("/proc/{pid}"))
            .ok()
            .map(|one| one.uid()),
    };
    Some((path, opener))
}

/// Whether only root can write the program's file.
fn is_of_root(pid: u32) -> bool {
    fs::metadata(format!("/proc/{pid}/exe"))
        .is_ok_and(|file| file.uid() == 0 && file.mode() & 0o022 == 0)
}

/// Field 22 of `/proc/PID/stat`, counted from behind the name, which may hold anything.
fn start_ticks(stat: &[u8]) -> Option<u64> {
    let after_name = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after_name + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// What was told lately.
#[derive(Debug, Default)]
struct Told {
    /// When it was told, and how often it was opened since.
    known: BTreeMap<(PathBuf, Opener), (i64, u32)>,
}

impl Told {
    /// The first opening at once; the next after [`REPEAT_MS`] stands for all since.
    fn tell(&mut self, path: PathBuf, opener: Opener, now_ms: i64) -> Option<FileObservation> {
        let key = (path, opener);
        let (first_ms, count) = match self.known.get_mut(&key) {
            Some((told_ms, count)) if now_ms.saturating_sub(*told_ms) < REPEAT_MS => {
                *count = count.saturating_add(1);
                return None;
            }
            Some((told_ms, count)) if *count > 0 => (*told_ms, count.saturating_add(1)),
            _ => (now_ms, 1),
        };
        if self.known.len() >= REMEMBERED_MAX {
            self.known
                .retain(|_, (told_ms, _)| now_ms.saturating_sub(*told_ms) < REPEAT_MS);
        }
        if self.known.len() < REMEMBERED_MAX {
            self.known.insert(key.clone(), (now_ms, 0));
        }
        let (path, opener) = key;
        Some(FileObservation {
            activity: FileActivity::Opened,
            category: FileCategory::CredentialStore,
            path,
            first_ms,
            time_ms: now_ms,
            count,
            before: None,
            after: None,
            opener: Some(opener),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_openings_are_counted_and_told_once_a_minute() {
        let mut told = Told::default();
        let opener = Opener {
            pid: 7,
            start_ticks: 1,
            executable: "/usr/bin/python3".into(),
            uid: Some(1000),
        };
        let mut tell = |now_ms| {
            let one = told.tell("/home/dana/key4.db".into(), opener.clone(), now_ms)?;
            Some((one.first_ms, one.count))
        };
        assert_eq!(tell(0), Some((0, 1)));
        assert_eq!(tell(10), None);
        assert_eq!(tell(20), None);
        assert_eq!(tell(REPEAT_MS), Some((0, 3)));
    }
}
