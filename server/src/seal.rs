//! Secrets at rest: sealed with a key that lies beside the database and never in it.
//!
//! ```text
//! feed.key   32 random bytes, hex, 0600; made when the first secret is sealed
//! sealed     version 1 | nonce, 12 bytes | ciphertext | tag, 16 bytes        AES-256-GCM (NIST SP 800-38D)
//! bound to   what the secret is for: opened for anything else it does not open
//! ```
//!
//! A copy of the database alone gives no secret away, and whoever can write to it cannot have a secret sent to another
//! address: the address is part of what it is bound to. The key is in every backup, which is as secret as the CA's key.

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use data_encoding::HEXLOWER;

use crate::data_dir::{self, DataDirError};

/// First byte of what is sealed.
const VERSION: u8 = 1;

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Why a secret cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// The key cannot be read or written.
    #[error("use the key of secrets")]
    File(#[from] DataDirError),
    /// The key is gone, or is not one.
    #[error(
        "feed.key is missing or damaged: restore it from a backup, or remove the live feeds and add them anew"
    )]
    Key,
    /// Another key has sealed it, or it is bound to something else.
    #[error("the sealed secret does not open with feed.key: remove the live feed and add it anew")]
    Closed,
}

/// A secret in memory. Printed it is nothing.
#[derive(Clone)]
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    /// Of these bytes.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// It as text, without the white space around it that files end with; empty where it is none.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default().trim()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Seals a secret; makes the key where there is none.
///
/// # Errors
/// Where the key cannot be used.
pub(crate) fn seal(key: &Path, secret: &Secret, bound_to: &[u8]) -> Result<Vec<u8>, SealError> {
    let key = match read_key(key)? {
        Some(key) => key,
        None => make_key(key)?,
    };
    let mut sealed = secret.0.clone();
    let nonce = key
        .seal_in_place_append_tag(Aad::from(bound_to), &mut sealed)
        .map_err(|_| SealError::Key)?;
    let mut whole = vec![VERSION];
    whole.extend(nonce.as_ref());
    whole.append(&mut sealed);
    Ok(whole)
}

/// Opens what was sealed for exactly this.
///
/// # Errors
/// Where the key is missing or another one, or it is bound to something else.
pub(crate) fn open(key: &Path, sealed: &[u8], bound_to: &[u8]) -> Result<Secret, SealError> {
    let key = read_key(key)?.ok_or(SealError::Key)?;
    let (version, rest) = sealed.split_first().ok_or(SealError::Closed)?;
    let (nonce, rest) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Closed)?;
    if *version != VERSION {
        return Err(SealError::Closed);
    }
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Closed)?;
    let mut bytes = rest.to_vec();
    let opened = key
        .open_in_place(nonce, Aad::from(bound_to), &mut bytes)
        .map_err(|_| SealError::Closed)?;
    Ok(Secret(opened.to_vec()))
}

/// The key in the file; `None` where there is no file.
fn read_key(path: &Path) -> Result<Option<RandomizedNonceKey>, SealError> {
    let Some(text) = data_dir::read(path)? else {
        return Ok(None);
    };
    let bytes = HEXLOWER
        .decode(text.trim().as_bytes())
        .map_err(|_| SealError::Key)?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| SealError::Key)?;
    Ok(Some(key))
}

fn make_key(path: &Path) -> Result<RandomizedNonceKey, SealError> {
    let bytes: [u8; KEY_BYTES] = rand::random();
    data_dir::write(path, &format!("{}\n", HEXLOWER.encode(&bytes)))?;
    RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| SealError::Key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(folder: &Path) -> Vec<u8> {
        let secret = Secret::new(b"00token".to_vec());
        seal(&folder.join("feed.key"), &secret, b"https://a").unwrap()
    }

    #[test]
    fn a_secret_opens_for_what_it_was_sealed_for_and_for_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("feed.key");
        let sealed = sealed(folder.path());
        let opened = open(&key, &sealed, b"https://a").unwrap();
        assert_eq!(opened.bytes(), b"00token");
        assert!(matches!(
            open(&key, &sealed, b"https://b"),
            Err(SealError::Closed)
        ));
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert!(open(&key, &other, b"https://a").is_err(), "byte {at}");
            assert!(
                open(&key, &sealed[..at], b"https://a").is_err(),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn no_two_sealings_are_alike_and_none_holds_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (sealed(folder.path()), sealed(folder.path()));
        assert_ne!(one, other);
        assert!(!one.windows(7).any(|part| part == b"00token"));
    }

    #[test]
    fn without_its_key_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("feed.key");
        let sealed = sealed(folder.path());
        std::fs::remove_file(&key).unwrap();
        assert!(matches!(
            open(&key, &sealed, b"https://a"),
            Err(SealError::Key)
        ));
        // Another key, as on a machine that was set up anew.
        seal(&key, &Secret::new(Vec::new()), b"").unwrap();
        assert!(matches!(
            open(&key, &sealed, b"https://a"),
            Err(SealError::Closed)
        ));
        std::fs::write(&key, "zz").unwrap();
        assert!(matches!(
            open(&key, &sealed, b"https://a"),
            Err(SealError::Key)
        ));
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_for_its_owner_and_a_secret_is_not_printed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        sealed(folder.path());
        let key = folder.path().join("feed.key");
        let mode = std::fs::metadata(key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let secret = Secret::new(b"00token\n".to_vec());
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(secret.text(), "00token");
    }
}
