//! The enrolment token: what an operator hands to a new endpoint.
//!
//! ```text
//! tocsin1.BASE64URL( check[4] | ca_pin[32] | token_id[8] | secret[24] | update_root[0 or 32] )
//!
//! check        first bytes of the SHA-256 of all that follows: finds typing errors
//! ca_pin       SHA-256 of the CA's public key (SubjectPublicKeyInfo, DER)
//! token_id     names the token at the server, not secret
//! secret       proves it; the server keeps only its hash
//! update_root  SHA-256 of the operator's root of update trust, where one was given
//! ```
//!
//! The pin makes the token the only thing an endpoint has to trust: a server whose chain does not end in
//! that key is refused in the handshake. The pin is of the key and not of the certificate, so it survives
//! the CA certificate's renewal.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

const PREFIX: &str = "tocsin1.";

/// Bytes of a token's text at most; longer input is refused before it is decoded.
pub const TOKEN_TEXT_BYTES_MAX: usize = 256;

/// Text that is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not begin with the prefix.
    #[error(
        "not an enrolment token (it must begin with '{PREFIX}'): copy the whole line that 'tocsin-server token create' printed"
    )]
    NotAToken,
    /// Its check does not fit.
    #[error(
        "enrolment token is damaged: copy the whole line that 'tocsin-server token create' printed"
    )]
    Damaged,
}

/// SHA-256 of a public key (SubjectPublicKeyInfo, DER).
pub type KeyPin = [u8; 32];

/// The pin of a public key.
pub fn key_pin(spki_der: &[u8]) -> KeyPin {
    Sha256::digest(spki_der).into()
}

/// A token. Its `Debug` hides the secret; `Display` is the whole token, for the one time it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrollmentToken {
    /// The CA's key.
    pub ca_pin: KeyPin,
    /// Names it at the server.
    pub id: [u8; 8],
    /// Proves it.
    pub secret: [u8; 24],
    /// Hash of the operator's update root, where the operator minted one into it.
    pub update_root: Option<[u8; 32]>,
}

impl EnrollmentToken {
    fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(96);
        body.extend_from_slice(&self.ca_pin);
        body.extend_from_slice(&self.id);
        body.extend_from_slice(&self.secret);
        if let Some(root) = &self.update_root {
            body.extend_from_slice(root);
        }
        body
    }
}

fn check(body: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(body));
    [a, b, c, d]
}

impl fmt::Display for EnrollmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body();
        let mut bytes = check(&body).to_vec();
        bytes.extend_from_slice(&body);
        write!(f, "{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }
}

impl fmt::Debug for EnrollmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrollmentToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl FromStr for EnrollmentToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let encoded = text.strip_prefix(PREFIX).ok_or(TokenError::NotAToken)?;
        if text.len() > TOKEN_TEXT_BYTES_MAX {
            return Err(TokenError::Damaged);
        }
        let bytes = BASE64URL_NOPAD
            .decode(encoded.as_bytes())
            .map_err(|_| TokenError::Damaged)?;
        let (stated, body) = bytes.split_first_chunk::<4>().ok_or(TokenError::Damaged)?;
        if *stated != check(body) {
            return Err(TokenError::Damaged);
        }
        let (ca_pin, rest) = body.split_first_chunk::<32>().ok_or(TokenError::Damaged)?;
        let (id, rest) = rest.split_first_chunk::<8>().ok_or(TokenError::Damaged)?;
        let (secret, rest) = rest.split_first_chunk::<24>().ok_or(TokenError::Damaged)?;
        let update_root = match rest {
            [] => None,
            root => Some(root.try_into().map_err(|_| TokenError::Damaged)?),
        };
        Ok(Self {
            ca_pin: *ca_pin,
            id: *id,
            secret: *secret,
            update_root,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(update_root: Option<[u8; 32]>) -> EnrollmentToken {
        EnrollmentToken {
            ca_pin: [1; 32],
            id: [2; 8],
            secret: [3; 24],
            update_root,
        }
    }

    #[test]
    fn goes_there_and_back() {
        for token in [token(None), token(Some([4; 32]))] {
            assert_eq!(
                format!(" {token}\n").parse::<EnrollmentToken>().unwrap(),
                token
            );
        }
    }

    #[test]
    fn a_typing_error_is_found() {
        let good = token(None).to_string();
        for at in PREFIX.len()..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).unwrap();
            assert_eq!(
                bad.parse::<EnrollmentToken>(),
                Err(TokenError::Damaged),
                "at {at}"
            );
            assert!(
                good[..at].parse::<EnrollmentToken>().is_err(),
                "cut at {at}"
            );
        }
        assert_eq!(
            "hello".parse::<EnrollmentToken>(),
            Err(TokenError::NotAToken)
        );
    }

    #[test]
    fn its_debug_hides_the_secret() {
        assert!(!format!("{:?}", token(None)).contains('3'));
    }
}
