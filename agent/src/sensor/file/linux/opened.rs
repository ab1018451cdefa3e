//! Who opens the stores of browsers and keyrings, and who writes into folders of files that matter: fanotify.
//!
//! Marks lie on the stores and folders, not on the mount: nothing else costs anything. A store that is replaced by a rename is
//! marked again at the next look, at most [`LOOK_MS`] later; openings between are not seen. Browsers and keyrings are
//! not told, where nobody but root can have put their program there; a browser that a user installed is told.
//! Needs CAP_SYS_ADMIN.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyEvent, InitFlags, MarkFlags, MaskFlags};

use super::{Machine, actor, look, watch};
use crate::clock;
use crate::sensor::file::change::{Actor, FileActivity, FileCategory, FileObservation};
use crate::sensor::file::{FileSink, store};
use crate::sensor::{Output, Sensor, SensorError, Stop};

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

/// The sensor of openings and writings.
#[derive(Debug)]
pub(crate) struct Openings {
    machine: Machine,
}

impl Openings {
    pub(super) fn new(machine: Machine) -> Self {
        Self { machine }
    }

    /// Runs until it is stopped or can go on no more.
    ///
    /// # Errors
    /// `PermissionDenied` without CAP_SYS_ADMIN, `Unsupported` on a kernel without fanotify.
    pub(super) fn keep(&self, sink: &dyn FileSink, stop: &Stop) -> io::Result<()> {
        let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let group = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC)?;
        let wake = watch::wake_by(stop)?;
        let mut detail = None;
        let mut told = Told::default();
        let mut looked_ms = i64::MIN;
        let mut last_ms = clock::now_ms();
        while !stop.is_stopped() {
            let now_ms = clock::now_ms();
            if now_ms.saturating_sub(looked_ms) >= LOOK_MS || now_ms < looked_ms {
                looked_ms = now_ms;
                let now = self.mark(&group);
                if detail.as_ref() != Some(&now) {
                    sink.running(now.clone());
                    detail = Some(now);
                }
                let rest = told.rest(now_ms);
                if !rest.is_empty() {
                    sink.observed(rest);
                }
            }
            let timeout = Duration::from_millis(u64::try_from(LOOK_MS).unwrap_or(0));
            watch::wait(&group, &wake, timeout)?;
            let now_ms = clock::now_ms();
            let (observed, is_lost) = self.read(&group, &mut told, now_ms)?;
            if is_lost {
                sink.lost(None, last_ms, now_ms);
            }
            if !observed.is_empty() {
                sink.observed(observed);
            }
            last_ms = now_ms;
        }
        let rest = told.rest(i64::MAX);
        if !rest.is_empty() {
            sink.observed(rest);
        }
        Ok(())
    }

    /// Marks all stores and folders, anew where they were replaced. Says what is not watched.
    fn mark(&self, group: &Fanotify) -> String {
        let (homes, left_out) = self.machine.homes();
        let mut stores: Vec<PathBuf> = homes.iter().flat_map(|home| stores(home)).collect();
        stores.extend(self.machine.config.opened_paths.iter().cloned());
        let mut refused = 0_usize;
        for path in stores.iter().take(STORES_MAX) {
            refused += usize::from(!is_marked(group, path, MaskFlags::FAN_OPEN));
        }
        let (places, _) = self.machine.places();
        let writes = MaskFlags::FAN_MODIFY | MaskFlags::FAN_CLOSE_WRITE;
        for place in &places {
            // Without it only the writer of such a file is unknown, which its event says.
            let _known = is_marked(group, &place.folder, writes | MaskFlags::FAN_EVENT_ON_CHILD);
        }
        let missing = stores.len().saturating_sub(STORES_MAX) + refused;
        if missing + left_out == 0 {
            return String::new();
        }
        format!("not watched: {missing} stores, {left_out} homes")
    }

    /// Takes what the kernel has; true where its queue ran over.
    fn read(
        &self,
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
            let Some((descriptor, pid)) = source(event) else {
                continue;
            };
            if event.mask().contains(MaskFlags::FAN_OPEN) {
                let opening = self.opening(descriptor, pid);
                observed.extend(opening.and_then(|opening| told.tell(opening, now_ms)));
            } else {
                self.note(descriptor, pid, now_ms);
            }
        }
        Ok((observed, is_lost))
    }

    /// Who wrote the file, for the sensor of changes.
    fn note(&self, descriptor: RawFd, pid: u32, now_ms: i64) {
        if let Ok(metadata) = fs::metadata(format!("/proc/self/fd/{descriptor}")) {
            let id = look::id(&metadata);
            self.machine.writers.note(id, actor::actor(pid), now_ms);
        }
    }

    /// Which file, and by whom; `None` for those who open it by trade.
    fn opening(&self, descriptor: RawFd, pid: u32) -> Option<Opening> {
        let path = fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
        let actor = actor::actor(pid);
        if self.machine.config.opened_paths.contains(&path) {
            let category = FileCategory::Configured;
            return Some((path, category, actor));
        }
        let is_keeper = store::is_keeper(&actor.executable) && actor::is_of_root(pid);
        (!is_keeper).then_some((path, FileCategory::CredentialStore, actor))
    }
}

impl Sensor for Openings {
    fn name(&self) -> &'static str {
        "file/fanotify"
    }

    fn run(&mut self, output: &Output, stop: &Stop) -> Result<(), SensorError> {
        self.keep(output, stop).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => SensorError::Unavailable(
                "who opens stores of passwords and who writes files that matter: needs CAP_SYS_ADMIN".into(),
            ),
            io::ErrorKind::Unsupported => {
                SensorError::Unavailable("this kernel has no fanotify".into())
            }
            _ => SensorError::failed("watch who opens and writes files that matter")(error),
        })
    }
}

/// Which file was opened, and by whom.
type Opening = (PathBuf, FileCategory, Actor);

/// Marks a file or folder; true also where there is none.
fn is_marked(group: &Fanotify, path: &Path, mask: MaskFlags) -> bool {
    let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_DONT_FOLLOW;
    let marked = group.mark(flags, mask, AT_FDCWD, Some(path));
    matches!(marked, Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR))
}

/// The file and the process of an event; `None` where it is this program itself.
fn source(event: &FanotifyEvent) -> Option<(RawFd, u32)> {
    let descriptor = event.fd()?.as_raw_fd();
    let pid = u32::try_from(event.pid()).ok()?;
    (pid != std::process::id() && pid != 0).then_some((descriptor, pid))
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

/// What was told lately.
#[derive(Debug, Default)]
struct Told {
    /// When it was told, and how often it was opened since.
    known: BTreeMap<Opening, (i64, u32)>,
}

impl Told {
    /// The first opening at once; the next after [`REPEAT_MS`] stands for all since.
    fn tell(&mut self, opening: Opening, now_ms: i64) -> Option<FileObservation> {
        let (first_ms, count) = match self.known.get_mut(&opening) {
            Some((told_ms, count)) if now_ms.saturating_sub(*told_ms) < REPEAT_MS => {
                *count = count.saturating_add(1);
                return None;
            }
            Some((told_ms, count)) if *count > 0 => (*told_ms, count.saturating_add(1)),
            _ => (now_ms, 1),
        };
        if self.known.len() < REMEMBERED_MAX || self.known.contains_key(&opening) {
            self.known.insert(opening.clone(), (now_ms, 0));
        }
        Some(observation(opening, (first_ms, now_ms), count))
    }

    /// What was repeated and never told, a minute after it was told first; what was not repeated is forgotten.
    fn rest(&mut self, now_ms: i64) -> Vec<FileObservation> {
        let is_old = |told_ms: i64| now_ms.saturating_sub(told_ms) >= REPEAT_MS;
        let old = self
            .known
            .extract_if(.., |_, (told_ms, _)| is_old(*told_ms));
        let repeated = old.filter(|(_, (_, count))| *count > 0);
        repeated
            .map(|(opening, (told_ms, count))| {
                let until_ms = now_ms.min(told_ms.saturating_add(REPEAT_MS));
                observation(opening, (told_ms, until_ms), count)
            })
            .collect()
    }
}

fn observation(opening: Opening, times: (i64, i64), count: u32) -> FileObservation {
    let (path, category, actor) = opening;
    FileObservation {
        activity: FileActivity::Opened,
        category,
        path,
        previous: None,
        first_ms: times.0,
        time_ms: times.1,
        count,
        before: None,
        after: None,
        actor: Some(actor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_openings_are_counted_and_told_once_a_minute() {
        let mut told = Told::default();
        let actor = Actor {
            pid: 7,
            start_ticks: 1,
            executable: "/usr/bin/python3".into(),
            uid: Some(1000),
        };
        let opening = (
            PathBuf::from("/home/dana/key4.db"),
            FileCategory::CredentialStore,
            actor,
        );
        let mut tell = |now_ms| {
            let one = told.tell(opening.clone(), now_ms)?;
            Some((one.first_ms, one.count))
        };
        assert_eq!(tell(0), Some((0, 1)));
        assert_eq!(tell(10), None);
        assert_eq!(tell(20), None);
        assert_eq!(tell(REPEAT_MS), Some((0, 3)));
        assert_eq!(tell(REPEAT_MS + 5), None);
        assert!(told.rest(REPEAT_MS + 9).is_empty(), "it is not time yet");
        let rest = told.rest(3 * REPEAT_MS);
        let rest: Vec<_> = rest.iter().map(|one| (one.first_ms, one.count)).collect();
        assert_eq!(
            rest,
            [(REPEAT_MS, 1)],
            "what nobody repeated is told in the end"
        );
        assert!(told.known.is_empty());
    }
}
