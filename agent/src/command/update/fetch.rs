//! An archive on its way: kept as far as it came, gone on with from there, and verified whole before anybody reads it.
//!
//! There is at most one unfinished archive on disk. A connection that breaks, a kill and a restart cost what was not
//! written yet. What does not have the signed length and hash in the end is removed.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use super::source::{self, Source, SourceError};
use super::trust::Release;

/// Bytes that are left free on the disk.
const SPARE_BYTES: u64 = 32 << 20;

/// An archive that is not here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// To be gone on with later.
    #[error("get the release")]
    Source(#[from] SourceError),
    /// More came than was signed.
    #[error("get the release: more came than the {bytes} bytes that are signed")]
    TooLong {
        /// Signed.
        bytes: u64,
    },
    /// It ended early.
    #[error("get the release: only {came} of {bytes} bytes came")]
    TooShort {
        /// Came.
        came: u64,
        /// Signed.
        bytes: u64,
    },
    /// Something else came.
    #[error("get the release: what came is not what is signed (SHA-256)")]
    OtherContent {
        /// A part of it was here before.
        resumed: bool,
    },
    /// No room.
    #[error("get the release: it needs {needed} bytes of disk and {free} are free at {}", path.display())]
    NoRoom {
        /// With what is left free.
        needed: u64,
        /// There are.
        free: u64,
        /// Where.
        path: PathBuf,
    },
    /// The disk.
    #[error("write the release to {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl FetchError {
    /// Whether the next try may go on where this one ended.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Source(SourceError::Broken { .. }) | Self::TooShort { .. } => true,
            // The part that was here may have been to blame; it has been removed.
            Self::OtherContent { resumed } => *resumed,
            Self::Source(SourceError::Missing { .. })
            | Self::TooLong { .. }
            | Self::NoRoom { .. }
            | Self::Write { .. } => false,
        }
    }
}

/// Gets the archive into `folder`; its path. What came before is gone on with.
pub(crate) async fn fetch(
    source: &dyn Source,
    release: &Release,
    folder: &Path,
) -> Result<PathBuf, FetchError> {
    let path = folder.join(&release.file);
    let write = |source| FetchError::Write {
        path: path.clone(),
        source,
    };
    forget_others(folder, &release.file).map_err(write)?;
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    options.mode(0o600);
    let mut file = options.open(&path).await.map_err(write)?;
    let mut came = file.metadata().await.map_err(write)?.len();
    if came > release.bytes {
        file.set_len(0).await.map_err(write)?;
        came = 0;
    }
    let resumed = came > 0;
    check_room(folder, release, came)?;
    file.seek(SeekFrom::Start(came)).await.map_err(write)?;
    let ended = append(source, release, &mut file, &mut came).await;
    let synced = match file.flush().await {
        Ok(()) => file.sync_all().await,
        Err(error) => Err(error),
    };
    match ended {
        Err(Ended::Disk(error)) => return Err(write(error)),
        Err(Ended::Other(FetchError::TooLong { bytes })) => {
            remove(&path);
            return Err(FetchError::TooLong { bytes });
        }
        Err(Ended::Other(error)) => return Err(error),
        Ok(()) => synced.map_err(write)?,
    }
    if came < release.bytes {
        let bytes = release.bytes;
        return Err(FetchError::TooShort { came, bytes });
    }
    drop(file);
    let hashed = path.clone();
    let hash = tokio::task::spawn_blocking(move || crate::file::sha256(&hashed));
    let hash = match hash.await {
        Ok(hash) => hash.map_err(write)?,
        Err(error) => return Err(write(std::io::Error::other(error))),
    };
    if hash != release.sha256 {
        remove(&path);
        return Err(FetchError::OtherContent { resumed });
    }
    Ok(path)
}

enum Ended {
    Disk(std::io::Error),
    Other(FetchError),
}

async fn append(
    source: &dyn Source,
    release: &Release,
    file: &mut tokio::fs::File,
    came: &mut u64,
) -> Result<(), Ended> {
    if *came == release.bytes {
        return Ok(());
    }
    let other = |error: SourceError| Ended::Other(error.into());
    let mut pieces = source.read(&release.file, *came).await.map_err(other)?;
    while let Some(piece) = source::next(&mut pieces, &release.file).await {
        let piece = piece.map_err(other)?;
        let after = came.saturating_add(piece.len() as u64);
        if after > release.bytes {
            let bytes = release.bytes;
            return Err(Ended::Other(FetchError::TooLong { bytes }));
        }
        file.write_all(&piece).await.map_err(Ended::Disk)?;
        *came = after;
    }
    Ok(())
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(%error, "what is no release cannot be removed");
    }
}

fn forget_others(folder: &Path, keep: &str) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() != keep && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether archive and program have room.
fn check_room(folder: &Path, release: &Release, came: u64) -> Result<(), FetchError> {
    let needed = (release.bytes.saturating_sub(came))
        .saturating_add(release.statement.program_bytes)
        .saturating_add(SPARE_BYTES);
    match free_bytes(folder) {
        Some(free) if free < needed => Err(FetchError::NoRoom {
            needed,
            free,
            path: folder.to_owned(),
        }),
        // Where the system does not say, the writing will.
        _ => Ok(()),
    }
}

#[cfg(unix)]
#[cfg_attr(
    target_os = "linux",
    expect(clippy::useless_conversion, reason = "elsewhere they are narrower")
)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(folder).ok()?;
    Some(u64::from(stat.blocks_available()).saturating_mul(u64::from(stat.fragment_size())))
}

#[cfg(not(unix))]
fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}
