//! A verified archive becomes a program on disk.
//!
//! The archive is what the operator has signed, and still nothing in it decides where anything is written: before the
//! first byte is unpacked its list is read through, bounded, and it must be one plain file of the signed name and size.
//! Links, folders, devices, `..`, a second file: refused. The program is then compared with its own signed hash.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use self_update::{ArchiveKind, Compression, Extract};
use tar::EntryType;
use tocsin_proto::release::{PROGRAM, Statement};
// Not called: self_update needs its HTTP client to be able to speak TLS, of which this names the kind.
use ureq as _;

use crate::file::sha256;

/// Bytes of headers around the one file.
const HEADERS_BYTES_MAX: u64 = 1 << 20;

/// An archive that is no release.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// Its list is not one plain file of the signed name.
    #[error("unpack the release: {0}")]
    Content(String),
    /// The program is not the signed one.
    #[error("unpack the release: the program in it is not the one that is signed")]
    OtherProgram,
    /// It cannot be read.
    #[error("read the release {}", path.display())]
    Read {
        /// The archive.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The program cannot be written.
    #[error("unpack the release to {}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Unpacks the program into an empty folder and makes it runnable; its path. Everything is on disk afterwards.
pub(crate) fn unpack(
    archive: &Path,
    statement: &Statement,
    folder: &Path,
) -> Result<PathBuf, UnpackError> {
    check(archive, statement)?;
    let path = folder.join(PROGRAM);
    let write = |source: Box<dyn std::error::Error + Send + Sync>| UnpackError::Write {
        path: path.clone(),
        source,
    };
    Extract::from_source(archive)
        .archive(ArchiveKind::Tar(Some(Compression::Gz)))
        .extract_file(folder, PROGRAM)
        .map_err(|error| write(error.into()))?;
    let io = |source: std::io::Error| write(source.into());
    let metadata = std::fs::symlink_metadata(&path).map_err(io)?;
    let hash = data_encoding::HEXLOWER.encode(&sha256(&path).map_err(io)?);
    if !metadata.is_file()
        || metadata.len() != statement.program_bytes
        || hash != statement.program_sha256
    {
        return Err(UnpackError::OtherProgram);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, mode).map_err(io)?;
    }
    File::open(&path)
        .and_then(|file| file.sync_all())
        .map_err(io)?;
    Ok(path)
}

/// Reads the list of the archive through, to its end.
fn check(archive: &Path, statement: &Statement) -> Result<(), UnpackError> {
    let read = |source| UnpackError::Read {
        path: archive.to_owned(),
        source,
    };
    let content = |what: &str| Err(UnpackError::Content(what.to_owned()));
    let file = File::open(archive).map_err(read)?;
    let bytes_max = statement.program_bytes.saturating_add(HEADERS_BYTES_MAX);
    let mut list = tar::Archive::new(GzDecoder::new(file).take(bytes_max));
    let mut files = 0_u32;
    for entry in list.entries().map_err(read)? {
        let entry = entry.map_err(read)?;
        let kind = entry.header().entry_type();
        if kind != EntryType::Regular {
            return content(
                "it holds something that is not a plain file (a link, a folder, a device)",
            );
        }
        let name = entry.path_bytes();
        if *name != *PROGRAM.as_bytes() {
            let name = String::from_utf8_lossy(&name).into_owned();
            let name = crate::text::cut(crate::text::printable(&name));
            return content(&format!("it holds '{name}' and not only {PROGRAM}"));
        }
        if entry.size() != statement.program_bytes {
            return content("the size of its program is not the signed one");
        }
        files += 1;
        if files > 1 {
            return content("it holds its program twice");
        }
    }
    match files {
        0 => content("it is empty"),
        _ => Ok(()),
    }
}
