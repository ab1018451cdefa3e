//! Key pairs: the private key in a file of its owner's alone, the public one beside it, for the root.

use std::path::{Path, PathBuf};

use tough::key_source::{KeySource as _, LocalKeySource};
use tough::schema::key::Key;

use super::{ReleaseError, file, read_json, write};
use crate::text;

/// The public key's file beside a private one's.
pub(crate) fn public_path(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Makes a pair (Ed25519, PKCS #8 DER); a file that is there is never replaced. The id of the key.
pub(crate) async fn make(path: &Path) -> Result<String, ReleaseError> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519);
    let pair = pair.map_err(|error| ReleaseError::Refused(format!("make a key: {error}")))?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        std::io::Write::write_all(&mut file, &pair.serialize_der())?;
        file.sync_all()
    });
    written.map_err(file("write", path))?;
    let key = public_of(path).await?;
    let json = serde_json::to_vec_pretty(&key).unwrap_or_default();
    write(&public_path(path), &json)?;
    id(&key, path)
}

/// A public key from its file.
pub(crate) fn read_public(path: &Path) -> Result<Key, ReleaseError> {
    read_json(path)
}

/// The id of a key.
pub(crate) fn id(key: &Key, path: &Path) -> Result<String, ReleaseError> {
    let id = key.key_id().map_err(|error| ReleaseError::Content {
        file: text::path(path),
        reason: error.to_string(),
    })?;
    Ok(data_encoding::HEXLOWER.encode(id.as_ref()))
}

async fn public_of(path: &Path) -> Result<Key, ReleaseError> {
    let source = LocalKeySource {
        path: path.to_owned(),
    };
    let signer = source.as_sign().await;
    let signer = signer.map_err(|error| ReleaseError::Content {
        file: text::path(path),
        reason: error.to_string(),
    })?;
    Ok(signer.tuf_key())
}
