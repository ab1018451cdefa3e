//! The operator's side of releases, without any server: keys, the root of trust, what is signed.
//!
//! ```text
//! DIR/N.root.json  N.targets.json  N.snapshot.json  timestamp.json  SHA256.tocsin-agent-....tar.gz
//! ```
//!
//! All of it works on a machine that has no network. Who has which key is the operator's choice: the root's keys belong
//! apart and offline, the release key signs what may be installed, the timestamp key may be on a machine that signs every
//! day by a timer: it can make nothing installable, and holds the fleet back at most. What is written is complete
//! before the timestamp names it, so that a folder that was copied at any moment is one that endpoints accept.

pub(crate) mod archive;
pub(crate) mod key;
pub(crate) mod repository;
pub(crate) mod root;

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tocsin_proto::release::METADATA_BYTES_MAX;
use tough::editor::signed::SignedRole;
use tough::key_source::{KeySource, LocalKeySource};
use tough::schema::{KeyHolder, Role};

use crate::text;

/// The version of TUF that is written.
const SPEC_VERSION: &str = "1.0.0";

/// Why something was not made or signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    /// A file of the operator's.
    #[error("{verb} {file}")]
    File {
        /// "read", "write".
        verb: &'static str,
        /// Its name, clean.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file that is not what it should be.
    #[error("understand {file}: {reason}")]
    Content {
        /// Its name, clean.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Something that makes no sense, with the cure.
    #[error("{0}")]
    Refused(String),
    /// TUF.
    #[error("sign the {what}")]
    Sign {
        /// "root", "targets", ...
        what: String,
        /// What went wrong.
        #[source]
        source: Box<tough::error::Error>,
    },
}

fn refuse<T>(text: impl Into<String>) -> Result<T, ReleaseError> {
    Err(ReleaseError::Refused(text.into()))
}

fn file(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ReleaseError {
    let file = text::path(path);
    move |source| ReleaseError::File { verb, file, source }
}

/// Reads JSON, no longer than metadata may be.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ReleaseError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(METADATA_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(file("read", path))?;
    serde_json::from_slice(&bytes).map_err(|error| ReleaseError::Content {
        file: text::path(path),
        reason: error.to_string(),
    })
}

/// Writes a file whole or not at all, on disk when it returns.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ReleaseError> {
    use std::io::Write as _;
    let new = path.with_extension("new");
    let written = (|| {
        let mut file = std::fs::File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    })();
    written.map_err(file("write", path))
}

/// Keys as `tough` takes them.
fn sources(keys: &[PathBuf]) -> Vec<Box<dyn KeySource>> {
    keys.iter()
        .map(|path| Box::new(LocalKeySource { path: path.clone() }) as Box<dyn KeySource>)
        .collect()
}

/// Signs a role with those of the keys that may.
async fn sign<T: Role + Serialize>(
    role: T,
    holder: &KeyHolder,
    keys: &[PathBuf],
) -> Result<SignedRole<T>, ReleaseError> {
    let rng = aws_lc_rs::rand::SystemRandom::new();
    SignedRole::new(role, holder, &sources(keys), &rng)
        .await
        .map_err(|source| ReleaseError::Sign {
            what: T::TYPE.to_string(),
            source: Box::new(source),
        })
}

#[cfg(test)]
mod tests;
