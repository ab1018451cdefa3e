//! Which releases may be installed: what the operator has signed, by TUF.
//!
//! It begins with the root that came with enrolment, never with anything that a server says. What was seen is kept in
//! one file, written whole: newer roots, and the versions below which nothing is believed any more, also after a
//! restart. `tough` does the verifying, on a copy of that in a folder of its own; what it has verified is kept even
//! where a later step fails, so that no failure makes an endpoint believe older things again.
//!
//! Metadata that has expired stops updates and nothing else. A clock that was set back behind what it has shown before
//! does as well, until it has passed that time again: with an older clock, expired metadata would look fresh.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tocsin_proto::release::{
    ARCHIVE_BYTES_MAX, CUSTOM_KEY, Kind, METADATA_BYTES_MAX, PROGRAM_BYTES_MAX, Statement, Version,
    archive_name,
};
use tough::{ExpirationEnforcement, Limits, Repository, RepositoryLoader};

use super::source::{BASE, Metadata, Source};
use crate::file::{self, Access, Durability, FileError};
use crate::state::StateDirectory;

/// All metadata has to come in this time.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(180);

/// Roots that are followed in one go; a year of weekly rotations.
const ROOTS_MAX: u64 = 64;

/// Bytes of the file in which it is kept: five files of metadata, and the escapes of text in text.
const KNOWN_BYTES_MAX: u64 = 12 * METADATA_BYTES_MAX;

/// Version of that file. One that is newer is not touched.
const KNOWN_VERSION: u32 = 1;

/// What `tough` keeps in its folder.
const FILES: [&str; 5] = [
    "root.json",
    "timestamp.json",
    "snapshot.json",
    "targets.json",
    "latest_known_time.json",
];

/// Why no release may be installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// Enrolment brought no root.
    #[error(
        "this endpoint has no root of update trust: enroll it anew with --update-root, or put the file at {}", path.display()
    )]
    NoRoot {
        /// Where it belongs.
        path: PathBuf,
    },
    /// What was seen before cannot be read any more. Nothing is believed then: it might be older.
    #[error(
        "what was known of releases is damaged ({}): remove it to begin with the update root again", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Files of our own.
    #[error("keep what is known of releases")]
    File(#[from] FileError),
    /// Metadata that has expired.
    #[error(
        "the signed {role} has expired: updates stop, the agent runs on; have it renewed ('tocsin releases sign')"
    )]
    Expired {
        /// root, timestamp, snapshot or targets.
        role: String,
    },
    /// Anything else that is wrong with it, or with how it comes.
    #[error("verify the signed metadata of releases")]
    Refused(#[source] Box<tough::error::Error>),
    /// It does not come to an end.
    #[error("verify the signed metadata of releases: it did not come within {} s", REFRESH_TIMEOUT.as_secs())]
    Slow,
    /// A target that says of itself what this cannot use.
    #[error("use the signed target {name}: {reason}")]
    Target {
        /// Which.
        name: String,
        /// Why not.
        reason: &'static str,
    },
}

impl TrustError {
    /// Whether it may be that only the connection broke.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Slow => true,
            Self::Refused(error) => matches!(**error, tough::error::Error::Transport { .. }),
            _ => false,
        }
    }
}

/// A release that the operator has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    /// Name of the archive at the server.
    pub(crate) file: String,
    /// Bytes of the archive.
    pub(crate) bytes: u64,
    /// SHA-256 of the archive.
    pub(crate) sha256: [u8; 32],
    /// What else is signed.
    pub(crate) statement: Statement,
}

/// What is signed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Releases of any platform.
    pub(crate) releases: Vec<Release>,
    /// The highest minimum that was ever seen.
    pub(crate) minimum: Option<Version>,
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    version: u32,
    /// SHA-256 of the root that it began with.
    origin: String,
    minimum_version: Option<Version>,
    /// Of [`FILES`], those there are.
    files: BTreeMap<String, String>,
}

/// What this endpoint believes.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    root: PathBuf,
    known: PathBuf,
    scratch: PathBuf,
}

impl Trust {
    /// Of a state directory.
    pub(crate) fn new(state: &StateDirectory) -> Self {
        let folder = state.update();
        Self {
            root: state.update_root(),
            known: folder.join("trust.json"),
            scratch: folder.join("trust.new"),
        }
    }

    /// Asks what is signed now, and verifies it against what was seen.
    pub(crate) async fn refresh(&self, source: Arc<dyn Source>) -> Result<Offer, TrustError> {
        let mut known = self.load()?;
        self.lay_out(&known)?;
        let loaded = self.verify(&known, source).await;
        // Whatever has been verified counts from now on, also where something else was refused.
        let before = known.clone();
        self.take_up(&mut known)?;
        let offer = loaded.and_then(|repository| offer(&repository, known.minimum_version));
        if let Ok(offer) = &offer {
            known.minimum_version = offer.minimum;
        }
        if known != before {
            self.store(&known)?;
        }
        // Only a copy.
        let _later = std::fs::remove_dir_all(&self.scratch);
        offer
    }

    async fn verify(
        &self,
        known: &Known,
        source: Arc<dyn Source>,
    ) -> Result<Repository, TrustError> {
        let root = known.files.get("root.json").cloned().unwrap_or_default();
        let Ok(base) = BASE.parse::<url::Url>() else {
            return Err(TrustError::Slow);
        };
        let loading = RepositoryLoader::new(&root, base.clone(), base)
            .transport(Metadata(source))
            .datastore(&self.scratch)
            .expiration_enforcement(ExpirationEnforcement::Safe)
            .limits(Limits {
                max_root_size: METADATA_BYTES_MAX,
                max_targets_size: METADATA_BYTES_MAX,
                max_timestamp_size: METADATA_BYTES_MAX,
                max_snapshot_size: METADATA_BYTES_MAX,
                max_root_updates: ROOTS_MAX,
            })
            .load();
        match tokio::time::timeout(REFRESH_TIMEOUT, loading).await {
            Ok(Ok(repository)) => Ok(repository),
            Ok(Err(tough::error::Error::ExpiredMetadata { role, .. })) => {
                Err(TrustError::Expired {
                    role: role.to_string(),
                })
            }
            Ok(Err(error)) => Err(TrustError::Refused(Box::new(error))),
            Err(_) => Err(TrustError::Slow),
        }
    }

    /// What was seen; where nothing was, or where enrolment brought another root since, that root alone.
    fn load(&self) -> Result<Known, TrustError> {
        let root = match file::read_text(&self.root, METADATA_BYTES_MAX) {
            Ok(root) => root,
            Err(error) if error.is_missing() => {
                let path = self.root.clone();
                return Err(TrustError::NoRoot { path });
            }
            Err(error) => return Err(error.into()),
        };
        let origin = HEXLOWER.encode(&Sha256::digest(root.as_bytes()));
        match file::read(&self.known, KNOWN_BYTES_MAX) {
            Ok(bytes) => {
                let known = serde_json::from_slice::<Known>(&bytes).ok();
                let known = known.filter(|known| known.version == KNOWN_VERSION);
                let known = known.ok_or_else(|| TrustError::Damaged {
                    path: self.known.clone(),
                })?;
                if known.origin == origin {
                    return Ok(known);
                }
                tracing::warn!("the root of update trust was replaced: trust begins anew");
            }
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Known {
            version: KNOWN_VERSION,
            origin,
            minimum_version: None,
            files: BTreeMap::from([("root.json".to_owned(), root)]),
        })
    }

    fn store(&self, known: &Known) -> Result<(), TrustError> {
        // Text and numbers always serialize.
        let bytes = serde_json::to_vec(known).unwrap_or_default();
        file::write(&self.known, &bytes, Access::Private, Durability::Synced)?;
        Ok(())
    }

    fn lay_out(&self, known: &Known) -> Result<(), TrustError> {
        if let Some(folder) = self.scratch.parent() {
            file::create_directory(folder, Access::Private)?;
        }
        // Left behind by a killed agent, perhaps torn.
        let _missing = std::fs::remove_dir_all(&self.scratch);
        file::create_directory(&self.scratch, Access::Private)?;
        for name in FILES {
            if let Some(text) = known.files.get(name) {
                let path = self.scratch.join(name);
                file::write(&path, text.as_bytes(), Access::Private, Durability::Process)?;
            }
        }
        Ok(())
    }

    /// What `tough` has left in its folder is verified.
    fn take_up(&self, known: &mut Known) -> Result<(), TrustError> {
        for name in FILES {
            match read_verified(&self.scratch.join(name))? {
                Some(text) => {
                    known.files.insert(name.to_owned(), text);
                }
                // It forgets what keys had signed that were replaced. The root is never forgotten.
                None if name == "root.json" => {}
                None => {
                    known.files.remove(name);
                }
            }
        }
        Ok(())
    }
}

fn read_verified(path: &Path) -> Result<Option<String>, FileError> {
    match file::read_text(path, 2 * METADATA_BYTES_MAX) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a verified repository offers.
fn offer(repository: &Repository, seen: Option<Version>) -> Result<Offer, TrustError> {
    let mut offer = Offer {
        releases: Vec::new(),
        minimum: seen,
    };
    for (name, target) in repository.all_targets() {
        let refuse = |reason| TrustError::Target {
            name: crate::text::cut(name.raw().to_owned()),
            reason,
        };
        let statement = target
            .custom
            .get(CUSTOM_KEY)
            .and_then(|custom| serde_json::from_value::<Statement>(custom.clone()).ok())
            .ok_or_else(|| refuse("it does not say which release it is"))?;
        let expected = archive_name(statement.version, &statement.os, &statement.architecture);
        if name.raw() != expected {
            return Err(refuse("its name and what is signed about it differ"));
        }
        if target.length > ARCHIVE_BYTES_MAX || statement.program_bytes > PROGRAM_BYTES_MAX {
            return Err(refuse("it is larger than any release may be"));
        }
        let sha256 = <[u8; 32]>::try_from(target.hashes.sha256.as_ref())
            .map_err(|_| refuse("its hash is not a SHA-256"))?;
        let file = format!("{}.{expected}", HEXLOWER.encode(&sha256));
        // The name becomes a path here.
        if Kind::of(&file) != Some(Kind::Archive) {
            return Err(refuse("its name is not one that an archive may have"));
        }
        offer.minimum = offer.minimum.max(Some(statement.minimum_version));
        offer.releases.push(Release {
            file,
            bytes: target.length,
            sha256,
            statement,
        });
    }
    Ok(offer)
}
