//! From what the kernel says that is executed to an [`Image`] with a hash to come.
//!
//! The hash belongs to a file as its file system tells it, so each file is looked at once, at its first execution:
//! by the process's own link where it still runs, else by its path. What is found is taken only if inode, size and
//! times are those of the kernel's record; a path may lead to another file by then, or in another mount namespace.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::record::{Exec, KernelFile};
use crate::hash::{FileIdentity, FileNumbers, Hasher, open_unread};
use crate::sensor::bpf::path;
use crate::sensor::process::procfs::file_numbers;
use crate::sensor::process::{ArgvState, Image};

/// Files that are remembered; about 1 MiB. When it is full, all are forgotten.
const REMEMBERED_MAX: usize = 8192;

/// Makes images. One per sensor.
#[derive(Debug)]
pub(super) struct Images {
    hasher: Arc<Hasher>,
    /// `None` = it could not be found, or its file system tells other numbers than the kernel has.
    known: HashMap<KernelFile, Option<FileIdentity>>,
}

impl Images {
    /// Executables are hashed by `hasher`.
    pub(super) fn new(hasher: Arc<Hasher>) -> Self {
        Self {
            hasher,
            known: HashMap::new(),
        }
    }

    /// What the process executes.
    pub(super) fn image(&mut self, pid: u32, exec: &Exec<'_>) -> Image {
        let executable = path(exec.path, exec.is_deleted);
        let (argv, argv_state) = match exec.argv {
            None => (Box::default(), ArgvState::Unread),
            Some(argv) if exec.is_cut => (argv.into(), ArgvState::Truncated),
            Some(argv) => (argv.into(), ArgvState::Read),
        };
        let file = self.identity(pid, &executable, exec.file);
        if let Some(identity) = file {
            self.hasher.request(identity, || {
                open_same(&link(pid), exec.file)
                    .or_else(|_| open_same(Path::new(OsStr::from_bytes(&executable)), exec.file))
            });
        }
        Image {
            executable,
            argv,
            argv_state,
            file,
        }
    }

    fn identity(&mut self, pid: u32, path: &[u8], file: KernelFile) -> Option<FileIdentity> {
        if let Some(known) = self.known.get(&file) {
            return *known;
        }
        let find = |path: &Path| file_numbers(path).ok().filter(|found| is_same(found, file));
        let found = find(link(pid).as_ref()).or_else(|| find(Path::new(OsStr::from_bytes(path))));
        if self.known.len() >= REMEMBERED_MAX {
            self.known.clear();
        }
        let identity = found.map(FileIdentity::from);
        self.known.insert(file, identity);
        identity
    }
}

fn link(pid: u32) -> std::path::PathBuf {
    format!("/proc/{pid}/exe").into()
}

/// Whether the file system means the kernel's file. Its device is not compared: some have one of their own for each
/// of their parts.
fn is_same(found: &FileNumbers, file: KernelFile) -> bool {
    let time = |(seconds, ns): (i64, u32)| (seconds, i64::from(ns));
    (found.inode, found.size) == (file.inode, file.size)
        && found.modified == time(file.modified)
        && found.changed == time(file.changed)
}

fn open_same(path: &Path, file: KernelFile) -> io::Result<File> {
    use std::os::fd::AsRawFd;
    let opened = open_unread(path)?;
    let found = file_numbers(Path::new(&format!("/proc/self/fd/{}", opened.as_raw_fd())))?;
    if is_same(&found, file) {
        Ok(opened)
    } else {
        Err(io::Error::other("another file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel_file(found: &FileNumbers) -> KernelFile {
        let time = |(seconds, ns): (i64, i64)| (seconds, u32::try_from(ns).unwrap());
        KernelFile {
            device: 1,
            inode: found.inode,
            size: found.size,
            modified: time(found.modified),
            changed: time(found.changed),
        }
    }

    fn exec<'a>(file: KernelFile, path: &'a [u8], argv: Option<&'a [u8]>) -> Exec<'a> {
        Exec {
            file,
            is_deleted: false,
            path,
            argv,
            is_cut: false,
        }
    }

    /// Never the number of a process.
    const NOBODY: u32 = u32::MAX;

    #[test]
    fn a_process_that_is_gone_has_its_file_by_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        std::fs::write(&path, b"\x7fELF").unwrap();
        let file = kernel_file(&file_numbers(&path).unwrap());
        let hasher = Arc::new(Hasher::start(1 << 20).unwrap());
        let mut images = Images::new(hasher.clone());
        let names: Vec<u8> = path
            .iter()
            .skip(1)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .flat_map(|name| [name.as_bytes(), b"\0"].concat())
            .collect();
        let image = images.image(NOBODY, &exec(file, &names, Some(b"program\0")));
        assert_eq!(image.executable.as_ref(), path.as_os_str().as_bytes());
        assert_eq!(image.argv_state, ArgvState::Read);
        let identity = image.file.unwrap();
        hasher.settle(std::time::Duration::from_secs(60));
        assert!(hasher.hash(&identity).is_some());
        // Another content at the same place is another file.
        let other = KernelFile { size: 5, ..file };
        assert_eq!(images.image(NOBODY, &exec(other, &names, None)).file, None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let hasher = Arc::new(Hasher::start(0).unwrap());
        let mut images = Images::new(hasher);
        let mut file = kernel_file(&file_numbers(Path::new("/proc/self/exe")).unwrap());
        for inode in 0..=u64::try_from(REMEMBERED_MAX).unwrap() {
            file.inode = inode;
            images.known.insert(file, None);
            assert_eq!(images.image(NOBODY, &exec(file, b"", None)).file, None);
        }
        file.inode = u64::MAX;
        images.image(NOBODY, &exec(file, b"", None));
        assert!(images.known.len() <= REMEMBERED_MAX);
    }
}
