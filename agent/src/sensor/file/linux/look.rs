//! A file's state, read without following links and without waiting for what is no file.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;
use sha2::{Digest, Sha256};

use crate::sensor::file::change::FileState;

/// Files up to this size are hashed: such files are written by people and have a few KiB.
pub(super) const HASHED_BYTES_MAX: u64 = 1 << 20;

/// The state of a file; `None` where there is none.
pub(super) fn look(path: &Path) -> io::Result<Option<FileState>> {
    match state(path) {
        Ok(state) => Ok(Some(state)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn state(path: &Path) -> io::Result<FileState> {
    let seen = fs::symlink_metadata(path)?;
    if seen.is_symlink() {
        let target = fs::read_link(path)?;
        return Ok(of(
            &seen,
            Some(Sha256::digest(target.as_os_str().as_bytes()).into()),
        ));
    }
    if !seen.is_file() {
        return Ok(of(&seen, None));
    }
    // It may be another by now: what is opened is what is told.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > HASHED_BYTES_MAX {
        return Ok(of(&metadata, None));
    }
    let mut content = Vec::new();
    file.take(HASHED_BYTES_MAX + 1).read_to_end(&mut content)?;
    let is_whole = content.len() as u64 <= HASHED_BYTES_MAX;
    Ok(of(
        &metadata,
        is_whole.then(|| Sha256::digest(&content).into()),
    ))
}

fn of(metadata: &fs::Metadata, sha256: Option<[u8; 32]>) -> FileState {
    FileState {
        sha256,
        size: metadata.len(),
        mode: metadata.mode(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        inode: (metadata.dev(), metadata.ino()),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    }
}
