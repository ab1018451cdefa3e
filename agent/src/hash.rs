//! SHA-256 of executables, off the hot path: each file is hashed once, by one worker, and remembered by what
//! identifies its content.
//!
//! A sensor hands over an open file at the first sight of an executable and goes on at once. When the pipeline
//! has gathered events, most hashes are there; it waits a moment for those that are on their way and sends the
//! event without a hash otherwise. A storm of new files fills the short queue of the worker, and those beyond
//! it stay without a hash until they are executed again.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// Files that are remembered; about 1 MiB. When it is full, half is forgotten.
const REMEMBERED_MAX: usize = 8192;

/// Open files that wait for the worker.
const WAITING_MAX: usize = 64;

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
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        })
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

#[derive(Debug, Default)]
struct State {
    known: HashMap<FileIdentity, Known>,
    waiting: usize,
}

/// The worker and what it remembers.
#[derive(Debug)]
pub(crate) struct Hasher {
    bytes_max: u64,
    state: Arc<(Mutex<State>, Condvar)>,
    /// `None` where nothing is hashed.
    queue: Option<SyncSender<(FileIdentity, File)>>,
}

impl Hasher {
    /// Starts the worker. It ends when the hasher is dropped.
    pub(crate) fn start(bytes_max: u64) -> io::Result<Self> {
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let queue = if bytes_max > 0 {
            let state = state.clone();
            std::thread::Builder::new()
                .name("hasher".into())
                .spawn(move || work(&state, &receiver))?;
            Some(sender)
        } else {
            None
        };
        Ok(Self {
            bytes_max,
            state,
            queue,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that the file's hash gets known. `open` is called only for a file not yet seen.
    pub(crate) fn request(&self, file: FileIdentity, open: impl FnOnce() -> io::Result<File>) {
        let Some(queue) = &self.queue else { return };
        let mut state = self.lock();
        if state.known.contains_key(&file) {
            return;
        }
        state.make_room();
        if file.size > self.bytes_max {
            state.known.insert(file, Known::Never);
            return;
        }
        // A file that cannot be opened now may be at its next execution: nothing is remembered.
        let Ok(opened) = open() else { return };
        match queue.try_send((file, opened)) {
            Ok(()) => {
                state.known.insert(file, Known::Waiting);
                state.waiting += 1;
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// The file's hash, where it is known by now.
    pub(crate) fn hash(&self, file: &FileIdentity) -> Option<Sha256Hash> {
        match self.lock().known.get(file) {
            Some(Known::Hash(hash)) => Some(*hash),
            _ => None,
        }
    }

    /// Waits until every file that was requested is hashed, at most so long.
    pub(crate) fn settle(&self, timeout: Duration) {
        let (_, changed) = &*self.state;
        // The result says only whether the time ran out, and either is right.
        drop(changed.wait_timeout_while(self.lock(), timeout, |state| state.waiting > 0));
    }
}

impl State {
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

fn work(state: &(Mutex<State>, Condvar), queue: &Receiver<(FileIdentity, File)>) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok((identity, file)) = queue.recv() {
        let started = Instant::now();
        let hashed = hash_file(&identity, file, &mut buffer);
        tracing::trace!(
            bytes = identity.size,
            ms = started.elapsed().as_millis(),
            hashed = hashed.is_ok(),
            "hashed an executable"
        );
        let (lock, changed) = state;
        let mut state = lock.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
            .known
            .insert(identity, hashed.map_or(Known::Never, Known::Hash));
        drop(state);
        changed.notify_all();
    }
}

fn hash_file(identity: &FileIdentity, mut file: File, buffer: &mut [u8]) -> io::Result<Sha256Hash> {
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
    use std::path::Path;

    const LONG: Duration = Duration::from_secs(60);

    fn identity(path: &Path) -> FileIdentity {
        FileIdentity::of(&std::fs::metadata(path).unwrap()).unwrap()
    }

    fn hashed(hasher: &Hasher, path: &Path) -> Option<Sha256Hash> {
        let identity = identity(path);
        hasher.request(identity, || File::open(path));
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
        hasher.request(before, || File::open(&path));
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
