//! What the spool needs of a file system: a trait, and the real folder behind it.
//!
//! The trait exists so that tests can lose, tear and refuse writes. It promises no more than POSIX
//! does: what was written is certain only after [`FolderFile::sync`], a created, renamed or removed
//! name only after [`Folder::sync_names`]; until then a crash may keep any part of it.
//!
//! [`DiskFolder`] holds an exclusive lock for as long as it lives, makes files of mode 0600 and
//! folders of mode 0700 (Unix), and names that are not UTF-8 do not exist for it.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::SpoolError;

/// A flat folder of files that belongs to one spool.
pub trait Folder: fmt::Debug {
    /// An open file of this folder.
    type File: FolderFile;

    /// The names of all files, in any order.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Opens a new file for reading and writing; one that was there is emptied.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file that is there for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Gives a file another name, in one step, also where that name is taken.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes every name created, changed or removed until now survive a crash.
    fn sync_names(&self) -> io::Result<()>;
    /// A number that nobody who cannot read the folder can guess.
    fn salt(&self) -> u64;
}

/// An open file of a [`Folder`].
pub trait FolderFile: fmt::Debug {
    /// Its length in bytes.
    fn bytes(&self) -> io::Result<u64>;
    /// Fills the buffer from an offset; fewer bytes only where the file ends.
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of the bytes at an offset. An error may leave a part of them there.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the file this long.
    fn cut(&mut self, bytes: u64) -> io::Result<()>;
    /// Makes what was written survive a crash.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder on disk, locked for this process.
#[derive(Debug)]
pub struct DiskFolder {
    path: PathBuf,
    /// Held for its lock, which the system drops with it.
    _lock: File,
}

const LOCK_NAME: &str = "lock";

impl DiskFolder {
    /// Makes the folder where it is missing, and locks it.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Locked`] where another process, or another spool of this one, has it.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let failed = |attempt| {
            move |source| SpoolError::Folder {
                attempt,
                path: path.to_owned(),
                source,
            }
        };
        if !path.is_dir() {
            make_folder(path).map_err(failed("create"))?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let lock = owner_only(&mut options)
            .open(path.join(LOCK_NAME))
            .map_err(failed("open the lock of"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(SpoolError::Locked {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(failed("lock")(source)),
        }
    }
}

impl Folder for DiskFolder {
    type File = File;

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        owner_only(&mut options).open(self.path.join(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }

    fn salt(&self) -> u64 {
        // The standard library's only source of randomness: its hashers are keyed by the system.
        RandomState::new().build_hasher().finish()
    }
}

impl FolderFile for File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.seek(SeekFrom::Start(offset))?;
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read(rest) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.write_all(bytes)
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => Ok(()),
    }
}

fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Windows has no handle on a folder that could be flushed; NTFS journals names by itself.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}
