//! SHA-256 of executables, off the hot path: each file is hashed once, by one worker, and remembered by what
//! identifies its content.
//!
//! A sensor hands over a file at the first sight of an executable and goes on at once; it does not open it for
//! reading, since a file system in user space may take for ever to answer. A worker that waits for such a one is
//! joined by another, up to [`WORKERS_MAX`]. When the pipeline
//! has gathered events, most hashes are there; it waits a moment for those that are on their way and sends the
//! event without a hash otherwise. A storm of new files fills the short queue of the worker, and those beyond
//! it stay without a hash until they are executed again.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// Files that are remembered; about 1 MiB. When it is full, half is forgotten.
const REMEMBERED_MAX: usize = 8192;

/// Open files that wait for the worker.
const WAITING_MAX: usize = 64;

/// Threads that hash. There is one, unless files do not answer.
const WORKERS_MAX: usize = 4;

/// A worker that takes longer for one file gets another one beside it, and is no longer waited for.
const SLOW_AFTER: Duration = Duration::from_secs(5);

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// A SHA-256.
pub(crate) type Sha256Hash = [u8; 32];

/// What identifies a file's content: a write changes it, a copy or a move does not share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
    /// Time of the last change of the inode: unlike `modified_ns` it cannot be set back.
    changed_ns: i128,
}

/// A file's numbers as the platform's own call gives them.
#[cfg(unix)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileNumbers {
    /// Which device.
    pub(crate) device: u64,
    /// Which inode.
    pub(crate) inode: u64,
    /// Bytes.
    pub(crate) size: u64,
    /// Seconds and nanoseconds.
    pub(crate) modified: (i64, i64),
    /// Seconds and nanoseconds.
    pub(crate) changed: (i64, i64),
}

#[cfg(unix)]
impl From<FileNumbers> for FileIdentity {
    fn from(numbers: FileNumbers) -> Self {
        let ns = |(seconds, ns): (i64, i64)| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            device: numbers.device,
            inode: numbers.inode,
            size: numbers.size,
            modified_ns: ns(numbers.modified),
            changed_ns: ns(numbers.changed),
        }
    }
}

impl FileIdentity {
    /// Of an open or named file; `None` where it is not a regular file or the platform cannot say.
    pub(crate) fn of(metadata: &Metadata) -> Option<Self> {
        metadata.is_file().then(|| Self::read(metadata)).flatten()
    }

    #[cfg(unix)]
    #[expect(
        clippy::unnecessary_wraps,
        reason = "other platforms cannot always say"
    )]
    fn read(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        Some(Self::from(FileNumbers {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }))
    }

    #[cfg(not(unix))]
    fn read(_metadata: &Metadata) -> Option<Self> {
        None
    }
}

#[derive(Debug, Clone, Copy)]
enum Known {
    /// The worker has it or will have it.
    Waiting,
    Hash(Sha256Hash),
    /// It cannot be hashed: too large, unreadable, or it changed meanwhile.
    Never,
}

/// A file on its way to a worker.
#[derive(Debug)]
struct Task {
    identity: FileIdentity,
    file: File,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<FileIdentity, Known>,
    /// Files that were requested and are not done.
    waiting: usize,
    /// What the workers do, and since when.
    working: Vec<(FileIdentity, Instant)>,
    workers: usize,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    tasks: Mutex<Receiver<Task>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workers and what they remember.
#[derive(Debug)]
pub(crate) struct Hasher {
    bytes_max: u64,
    shared: Arc<Shared>,
    /// `None` where nothing is hashed.
    queue: Option<SyncSender<Task>>,
}

impl Hasher {
    /// Starts a worker. It ends when the hasher is dropped.
    pub(crate) fn start(bytes_max: u64) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            tasks: Mutex::new(receiver),
        });
        let hasher = Self {
            bytes_max,
            queue: (bytes_max > 0).then_some(sender),
            shared,
        };
        if bytes_max > 0 {
            hasher.start_worker(&mut hasher.shared.lock())?;
        }
        Ok(hasher)
    }

    fn start_worker(&self, state: &mut State) -> io::Result<()> {
        let shared = self.shared.clone();
        std::thread::Builder::new()
            .name("hasher".into())
            .spawn(move || work(&shared))?;
        state.workers += 1;
        Ok(())
    }

    /// Sees to it that the file's hash gets known. `open` is called only for a file not yet seen; see
    /// [`open_unread`].
    pub(crate) fn request(&self, file: FileIdentity, open: impl FnOnce() -> io::Result<File>) {
        let Some(queue) = &self.queue else { return };
        let mut state = self.shared.lock();
        if state.known.contains_key(&file) {
            return;
        }
        state.make_room();
        if file.size > self.bytes_max {
            state.known.insert(file, Known::Never);
            return;
        }
        if state.workers < WORKERS_MAX && state.slow(Instant::now()) == state.workers {
            // Without another one, hashes stay away until the slow ones are done.
            if let Err(error) = self.start_worker(&mut state) {
                tracing::warn!(%error, "start another hasher");
            }
        }
        // A file that cannot be opened now may be at its next execution: nothing is remembered.
        let Ok(opened) = open() else { return };
        let task = Task {
            identity: file,
            file: opened,
        };
        match queue.try_send(task) {
            Ok(()) => {
                state.known.insert(file, Known::Waiting);
                state.waiting += 1;
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// The file's hash, where it is known by now.
    pub(crate) fn hash(&self, file: &FileIdentity) -> Option<Sha256Hash> {
        match self.shared.lock().known.get(file) {
            Some(Known::Hash(hash)) => Some(*hash),
            _ => None,
        }
    }

    /// Waits until every file that was requested is hashed, slow ones left out, at most so long.
    pub(crate) fn settle(&self, timeout: Duration) {
        let now = Instant::now();
        let unsettled = |state: &mut State| state.waiting > state.slow(now);
        // The result says only whether the time ran out, and either is right.
        drop(
            self.shared
                .changed
                .wait_timeout_while(self.shared.lock(), timeout, unsettled),
        );
    }
}

/// Opens a file for [`Hasher::request`] without a word to its file system, where the platform can do that.
pub(crate) fn open_unread(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(target_os = "linux")]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nix::libc::O_PATH);
    options.open(path)
}

/// The same file, open for reading.
#[cfg(target_os = "linux")]
fn reopen(file: &File) -> io::Result<File> {
    use std::os::fd::AsRawFd;
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(not(target_os = "linux"))]
fn reopen(file: &File) -> io::Result<File> {
    file.try_clone()
}

impl State {
    /// Workers that take long.
    fn slow(&self, now: Instant) -> usize {
        let is_slow = |since: &Instant| now.saturating_duration_since(*since) > SLOW_AFTER;
        self.working
            .iter()
            .filter(|(_, since)| is_slow(since))
            .count()
    }

    fn make_room(&mut self) {
        if self.known.len() < REMEMBERED_MAX {
            return;
        }
        let mut keep = false;
        self.known.retain(|_, known| {
            keep = !keep;
            keep || matches!(known, Known::Waiting)
        });
    }
}

fn work(shared: &Shared) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        // One worker waits for the next task, the others for it.
        let task = shared
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(Task { identity, file }) = task else {
            return;
        };
        shared.lock().working.push((identity, Instant::now()));
        let hashed = hash_file(&identity, &file, &mut buffer);
        let mut state = shared.lock();
        state.working.retain(|(other, _)| *other != identity);
        state.waiting -= 1;
        let known = hashed.map_or(Known::Never, Known::Hash);
        state.known.insert(identity, known);
        drop(state);
        shared.changed.notify_all();
    }
}

fn hash_file(identity: &FileIdentity, file: &File, buffer: &mut [u8]) -> io::Result<Sha256Hash> {
    let mut file = reopen(file)?;
    let mut hash = Sha256::new();
    loop {
        let read = file.read(buffer)?;
        if read == 0 {
            break;
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
    // The bytes are those of the identity only if it is the same before and after.
    if FileIdentity::of(&file.metadata()?) != Some(*identity) {
        return Err(io::Error::other("the file changed while it was read"));
    }
    Ok(hash.finalize().into())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn identity(path: &Path) -> FileIdentity {
        FileIdentity::of(&std::fs::metadata(path).unwrap()).unwrap()
    }

    fn hashed(hasher: &Hasher, path: &Path) -> Option<Sha256Hash> {
        let identity = identity(path);
        hasher.request(identity, || open_unread(path));
        hasher.settle(LONG);
        hasher.hash(&identity)
    }

    #[test]
    fn a_file_is_hashed_once_and_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        std::fs::write(&path, "abc").unwrap();
        let hasher = Hasher::start(1 << 20).unwrap();
        let expected: Sha256Hash = Sha256::digest("abc").into();
        assert_eq!(hashed(&hasher, &path), Some(expected));
        hasher.request(identity(&path), || panic!("it is known"));
        assert_eq!(hasher.hash(&identity(&path)), Some(expected));
    }

    #[test]
    fn a_changed_file_is_another_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        std::fs::write(&path, "abc").unwrap();
        let hasher = Hasher::start(1 << 20).unwrap();
        let before = identity(&path);
        assert!(hashed(&hasher, &path).is_some());
        std::fs::write(&path, "abcd").unwrap();
        assert_ne!(identity(&path), before);
        // Opened after the change, asked for as it was before.
        let hasher = Hasher::start(1 << 20).unwrap();
        hasher.request(before, || open_unread(&path));
        hasher.settle(LONG);
        assert_eq!(hasher.hash(&before), None, "never a hash of other bytes");
    }

    #[test]
    fn what_is_too_large_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        std::fs::write(&path, "12345").unwrap();
        let hasher = Hasher::start(4).unwrap();
        hasher.request(identity(&path), || panic!("it is too large"));
        assert_eq!(hasher.hash(&identity(&path)), None);
        let off = Hasher::start(0).unwrap();
        off.request(identity(&path), || panic!("nothing is hashed"));
    }

    #[test]
    fn a_file_that_does_not_answer_holds_up_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let path = directory.path().join("program");
        std::fs::write(&path, "abc").unwrap();
        let hasher = Hasher::start(1 << 20).unwrap();
        // To open a pipe for reading takes until somebody writes.
        let hung = FileIdentity {
            inode: 1,
            ..identity(&path)
        };
        hasher.request(hung, || open_unread(&pipe));
        while hasher.shared.lock().working.is_empty() {
            std::thread::yield_now();
        }
        let long_ago = Instant::now().checked_sub(SLOW_AFTER * 2).unwrap();
        hasher.shared.lock().working[0].1 = long_ago;
        assert!(hashed(&hasher, &path).is_some(), "by another worker");
        assert_eq!(hasher.shared.lock().workers, 2);
        // Lets the first worker end.
        drop(File::options().write(true).open(&pipe).unwrap());
        hasher.settle(LONG);
        assert_eq!(hasher.hash(&hung), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut state = State::default();
        let file = identity(Path::new("/proc/self/exe"));
        for inode in 0..(REMEMBERED_MAX as u64 * 3) {
            state.make_room();
            state
                .known
                .insert(FileIdentity { inode, ..file }, Known::Never);
            assert!(state.known.len() <= REMEMBERED_MAX);
        }
    }
}
