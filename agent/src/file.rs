//! Files of the state directory: written whole or not at all, with the mode they need from the first byte.
//!
//! A reader sees the former content or the new one, never a part. With [`Durability::Synced`] the new one also
//! survives a power failure; without, a power failure may bring back the former one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What a written file must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The end of this process.
    Process,
    /// The end of the machine's power.
    Synced,
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner only.
    Private,
    /// Everybody; its owner may write.
    Public,
}

impl Access {
    fn mode(self, directory: bool) -> u32 {
        match (self, directory) {
            (Self::Private, false) => 0o600,
            (Self::Private, true) => 0o700,
            (Self::Public, false) => 0o644,
            (Self::Public, true) => 0o755,
        }
    }
}

/// A file or directory that could not be worked on.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {}", path.display())]
pub(crate) struct FileError {
    /// "read", "write", ...
    verb: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    fn new(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            verb,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the account is to blame.
    pub(crate) fn is_permission(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied
    }

    /// Whether there is no such file.
    pub(crate) fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Makes a directory and those above it. One that exists keeps its content and gets the right mode; it must be a
/// directory of this account and no link to one: whoever made it could put other files in the place of ours.
pub(crate) fn create_directory(path: &Path, access: Access) -> Result<(), FileError> {
    std::fs::create_dir_all(path).map_err(FileError::new("create", path))?;
    check_owner(path).map_err(FileError::new("use", path))?;
    set_mode(path, access.mode(true)).map_err(FileError::new("set the mode of", path))
}

#[cfg(unix)]
fn check_owner(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::symlink_metadata(path)?;
    let account = nix::unistd::geteuid().as_raw();
    if metadata.is_symlink() {
        return Err(io::Error::other("it is a link: name the directory itself"));
    }
    if metadata.uid() != account {
        let why = format!(
            "it belongs to uid {}, and the agent runs as uid {account}: name another directory, or give it to that account",
            metadata.uid()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_owner(_path: &Path) -> io::Result<()> {
    // The installer makes the state directory, with an access list that lets nobody else write there.
    Ok(())
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path)?;
    if metadata.permissions().mode() & 0o7777 == mode {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    // The installer sets the access list of the state directory; what is made in it inherits that.
    Ok(())
}

/// Replaces a file's content in one step.
pub(crate) fn write(
    path: &Path,
    content: &[u8],
    access: Access,
    durability: Durability,
) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let synced = durability == Durability::Synced;
    let written = (|| {
        // Left behind by a killed writer, perhaps with another mode.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = create(&new, access.mode(false))?;
        file.write_all(content)?;
        if synced {
            file.sync_all()?;
        }
        drop(file);
        std::fs::rename(&new, path)?;
        if synced {
            sync_directory(path)?;
        }
        Ok(())
    })();
    written.map_err(FileError::new("write", path))
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let file = options.open(path)?;
    // The process's umask may have taken bits away that readers of a public file need.
    set_mode(path, mode)?;
    Ok(file)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if cfg!(unix) => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

/// Reads a file of at most `bytes_max`; a longer one is an error.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    let read = || {
        let mut content = Vec::new();
        let mut file = File::open(path)?.take(bytes_max.saturating_add(1));
        file.read_to_end(&mut content)?;
        if content.len() as u64 > bytes_max {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has more than {bytes_max} bytes"),
            ));
        }
        Ok(content)
    };
    read().map_err(FileError::new("read", path))
}

/// SHA-256 of a file of any length.
pub(crate) fn sha256(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            n => hash.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// Like [`read`], for UTF-8.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, FileError> {
    String::from_utf8(read(path, bytes_max)?).map_err(|error| {
        FileError::new("read", path)(io::Error::new(io::ErrorKind::InvalidData, error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for content in ["first, longer", "second"] {
            write(
                &path,
                content.as_bytes(),
                Access::Private,
                Durability::Synced,
            )
            .unwrap();
            assert_eq!(read_text(&path, 100).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_writer_left_does_not_disturb() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(directory.path().join("file.new"), "half").unwrap();
        write(&path, b"whole", Access::Public, Durability::Process).unwrap();
        assert_eq!(read_text(&path, 100).unwrap(), "whole");
    }

    #[cfg(unix)]
    #[test]
    fn the_mode_is_the_one_asked_for() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret");
        create_directory(&secret, Access::Private).unwrap();
        assert_eq!(mode(&secret), 0o700);
        let path = secret.join("key");
        write(&path, b"key", Access::Private, Durability::Process).unwrap();
        assert_eq!(mode(&path), 0o600);
        write(&path, b"key", Access::Public, Durability::Process).unwrap();
        assert_eq!(mode(&path), 0o644);
    }

    #[test]
    fn too_long_a_file_is_refused_and_said_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert!(read(&path, 5).is_ok());
        let error = read(&path, 4).unwrap_err();
        assert!(error.to_string().starts_with("read "), "{error}");
        assert!(!error.is_missing() && !error.is_permission());
        assert!(
            read(&path.with_extension("not"), 4)
                .unwrap_err()
                .is_missing()
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_another_has_made_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let theirs = directory.path().join("theirs");
        std::fs::create_dir(&theirs).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&theirs, &link).unwrap();
        let error = create_directory(&link, Access::Private).unwrap_err();
        assert!(error.source.to_string().contains("is a link"), "{error:?}");
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        std::os::unix::fs::chown(&theirs, Some(12_345), None).unwrap();
        let error = create_directory(&theirs, Access::Private).unwrap_err();
        assert!(error.source.to_string().contains("uid 12345"), "{error:?}");
    }
}
