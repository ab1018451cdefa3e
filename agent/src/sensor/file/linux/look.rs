//! A file's state, read without following links and without waiting for what is no file.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;
use sha2::{Digest, Sha256};

use crate::sensor::file::change::{FileId, FileState};

/// The state of a file, hashed up to this size; `None` where there is none.
pub(super) fn look(path: &Path, hash_bytes_max: u64) -> io::Result<Option<FileState>> {
    match state(path, hash_bytes_max) {
        Ok(state) => Ok(Some(state)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn state(path: &Path, hash_bytes_max: u64) -> io::Result<FileState> {
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
    if !metadata.is_file() || metadata.len() > hash_bytes_max {
        return Ok(of(&metadata, None));
    }
    let mut content = Vec::new();
    file.take(hash_bytes_max.saturating_add(1))
        .read_to_end(&mut content)?;
    let is_whole = content.len() as u64 <= hash_bytes_max;
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
        id: id(metadata),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    }
}

/// Which file it is.
pub(super) fn id(metadata: &fs::Metadata) -> FileId {
    let born = metadata.created().ok();
    let born = born.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    FileId {
        inode: (metadata.dev(), metadata.ino()),
        born_ns: born.and_then(|since| i128::try_from(since.as_nanos()).ok()),
    }
}
