//! Who this endpoint is: its key, its certificate, the CA and the server it was enrolled with.
//!
//! One file holds all of it and is replaced in one step, so that key and certificate always belong together. The key
//! is made here and never leaves; the endpoint's id is derived from it, so renewal keeps the key. A file that other
//! accounts can read is refused.
//!
//! A certificate is renewed at two thirds of its life, and also after its end: the server decides how long after.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use tocsin_proto::id::EndpointId;
use tocsin_proto::tls::{self, ClientIdentity};
use tocsin_proto::token::{KeyPin, key_pin};

use crate::address::ServerAddress;
use crate::file::{self, Access, Durability, FileError};
use crate::state::StateDirectory;
use crate::text::chain;

/// Newest version of the file that this build reads and writes.
const IDENTITY_VERSION: u32 = 1;

const IDENTITY_BYTES_MAX: u64 = 64 << 10;

/// An identity that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// The machine is not enrolled.
    #[error(
        "this machine is not enrolled (there is no {}): run 'tocsin-agent enroll'", path.display()
    )]
    NotEnrolled {
        /// Where the identity would be.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("use the identity")]
    File(#[from] FileError),
    /// Other accounts may read it.
    #[error(
        "{} may be read by other accounts (mode {mode:03o}): the key may be known to them; enroll again, or run 'chmod 600' where you know better", path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not TOML of this shape.
    #[error("understand {}: enroll again", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Written by a newer agent.
    #[error("{} has version {found}, this agent reads up to {IDENTITY_VERSION}: update the agent", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Something in it, or in what the server sent, cannot be used.
    #[error("use {what}: {reason}")]
    Content {
        /// Which part.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// rustls does not take it.
    #[error("use key and certificate for TLS")]
    Tls(#[from] rustls::Error),
}

impl IdentityError {
    fn content(what: &'static str, reason: impl ToString) -> Self {
        Self::Content {
            what,
            reason: reason.to_string(),
        }
    }

    /// Whether the account is to blame.
    pub(crate) fn is_permission(&self) -> bool {
        matches!(self, Self::File(error) if error.is_permission())
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    version: u32,
    server: String,
    endpoint_id: String,
    obtained_time_ms: i64,
    ca_certificate: String,
    certificate: String,
    private_key: String,
}

/// Only its version, to tell a newer file from a damaged one.
#[derive(Deserialize)]
struct AnyVersion {
    version: u32,
}

/// The endpoint's key. Its `Debug` tells nothing of it.
pub(crate) struct EndpointKey(KeyPair);

impl std::fmt::Debug for EndpointKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointKey").finish_non_exhaustive()
    }
}

impl EndpointKey {
    /// A new one.
    pub(crate) fn generate() -> Result<Self, IdentityError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map(Self)
            .map_err(|error| IdentityError::content("a new key", error))
    }

    /// A certificate request for it. The server takes only the key from it.
    pub(crate) fn certificate_request(&self) -> Result<Vec<u8>, IdentityError> {
        CertificateParams::default()
            .serialize_request(&self.0)
            .map(|request| request.der().to_vec())
            .map_err(|error| IdentityError::content("the key for a certificate request", error))
    }

    fn public_key(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }
}

/// What enrolment gave.
#[derive(Debug)]
pub(crate) struct Identity {
    server: ServerAddress,
    endpoint: EndpointId,
    key: EndpointKey,
    certificate: CertificateDer<'static>,
    ca: CertificateDer<'static>,
    validity: Validity,
}

/// A certificate's life, Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    /// Its begin.
    pub(crate) from_ms: i64,
    /// When this endpoint got it.
    pub(crate) obtained_ms: i64,
    /// Its end.
    pub(crate) until_ms: i64,
}

impl Validity {
    /// When it is time for the next one: two thirds of the life are over. A life begins when the certificate came,
    /// since servers date the begin back to allow for clocks that are behind.
    pub(crate) fn renew_ms(&self) -> i64 {
        let begin_ms = if self.obtained_ms < self.until_ms {
            self.from_ms.max(self.obtained_ms)
        } else {
            self.from_ms
        };
        let life = self.until_ms.saturating_sub(begin_ms).max(0);
        begin_ms.saturating_add(life / 3 * 2)
    }
}

/// What a server sends: DER.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    /// The endpoint's certificate.
    pub(crate) certificate: Vec<u8>,
    /// The CA's.
    pub(crate) ca: Vec<u8>,
    /// When it came, Unix milliseconds.
    pub(crate) obtained_ms: i64,
}

/// Public key and validity of a certificate.
fn inspect(
    what: &'static str,
    certificate: &CertificateDer<'_>,
    obtained_ms: i64,
) -> Result<(Vec<u8>, Validity), IdentityError> {
    let (rest, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| IdentityError::content(what, error))?;
    if !rest.is_empty() {
        return Err(IdentityError::content(what, "something follows it"));
    }
    let validity = Validity {
        obtained_ms,
        from_ms: parsed
            .validity()
            .not_before
            .timestamp()
            .saturating_mul(1000),
        until_ms: parsed.validity().not_after.timestamp().saturating_mul(1000),
    };
    Ok((parsed.public_key().raw.to_vec(), validity))
}

impl Identity {
    /// From what the server sent for a key. Refuses a certificate for another key, and a CA that is not the pinned
    /// one.
    pub(crate) fn new(
        server: ServerAddress,
        key: EndpointKey,
        issued: Issued,
        ca_pin: &KeyPin,
    ) -> Result<Self, IdentityError> {
        let certificate = CertificateDer::from(issued.certificate);
        let ca = CertificateDer::from(issued.ca);
        let (public_key, validity) = inspect("the certificate", &certificate, issued.obtained_ms)?;
        if public_key != key.public_key() {
            return Err(IdentityError::content(
                "the certificate",
                "it is for another key",
            ));
        }
        let (ca_key, _) = inspect("the CA certificate", &ca, 0)?;
        if key_pin(&ca_key) != *ca_pin {
            return Err(IdentityError::content(
                "the CA certificate",
                "it has another key than the one this endpoint trusts",
            ));
        }
        let identity = Self {
            endpoint: EndpointId::from_public_key(&key.public_key()),
            server,
            key,
            certificate,
            ca,
            validity,
        };
        identity.tls()?;
        Ok(identity)
    }

    /// Reads it.
    pub(crate) fn load(state: &StateDirectory) -> Result<Self, IdentityError> {
        let path = state.identity();
        let text = match file::read_text(&path, IDENTITY_BYTES_MAX) {
            Err(error) if error.is_missing() => return Err(IdentityError::NotEnrolled { path }),
            read => read?,
        };
        refuse_exposed(&path)?;
        let parse = |source| IdentityError::Parse {
            path: path.clone(),
            source: Box::new(source),
        };
        let AnyVersion { version } = toml::from_str(&text).map_err(parse)?;
        if version > IDENTITY_VERSION {
            return Err(IdentityError::Version {
                path,
                found: version,
            });
        }
        let stored: IdentityFile = toml::from_str(&text).map_err(parse)?;
        Self::from_file(&stored)
    }

    fn from_file(stored: &IdentityFile) -> Result<Self, IdentityError> {
        let certificate = |what, pem: &str| {
            CertificateDer::from_pem_slice(pem.as_bytes())
                .map_err(|error| IdentityError::content(what, error))
        };
        let server = stored
            .server
            .parse()
            .map_err(|error| IdentityError::content("the server's address", error))?;
        let key = KeyPair::from_pem(&stored.private_key)
            .map(EndpointKey)
            .map_err(|error| IdentityError::content("the private key", error))?;
        let ca = certificate("the CA certificate", &stored.ca_certificate)?;
        let own = certificate("the certificate", &stored.certificate)?;
        let (ca_key, _) = inspect("the CA certificate", &ca, 0)?;
        let issued = Issued {
            certificate: own.to_vec(),
            ca: ca.to_vec(),
            obtained_ms: stored.obtained_time_ms,
        };
        Self::new(server, key, issued, &key_pin(&ca_key))
    }

    /// Writes it, to survive a power failure.
    pub(crate) fn store(&self, state: &StateDirectory) -> Result<(), IdentityError> {
        let file = IdentityFile {
            version: IDENTITY_VERSION,
            server: self.server.to_string(),
            endpoint_id: self.endpoint.to_string(),
            obtained_time_ms: self.validity.obtained_ms,
            ca_certificate: pem("CERTIFICATE", &self.ca),
            certificate: pem("CERTIFICATE", &self.certificate),
            private_key: pem("PRIVATE KEY", self.key.0.serialized_der()),
        };
        let text = toml::to_string(&file)
            .map_err(|error| IdentityError::content("the identity's file", error))?;
        file::write(
            &state.identity(),
            text.as_bytes(),
            Access::Private,
            Durability::Synced,
        )?;
        Ok(())
    }

    /// The same endpoint with the certificate that the server sent on renewal.
    pub(crate) fn renewed(&self, issued: Issued) -> Result<Self, IdentityError> {
        let (ca_key, _) = inspect("the CA certificate", &self.ca, 0)?;
        let key = EndpointKey(self.key_copy()?);
        Self::new(self.server.clone(), key, issued, &key_pin(&ca_key))
    }

    fn key_copy(&self) -> Result<KeyPair, IdentityError> {
        let der = PrivatePkcs8KeyDer::from(self.key.0.serialized_der());
        KeyPair::try_from(&der).map_err(|error| IdentityError::content("the private key", error))
    }

    /// Where it was enrolled.
    pub(crate) fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// Its id.
    pub(crate) fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// Whether it is of the CA with this key.
    pub(crate) fn is_of(&self, ca_pin: &KeyPin) -> bool {
        inspect("the CA certificate", &self.ca, 0).is_ok_and(|(key, _)| key_pin(&key) == *ca_pin)
    }

    /// Its certificate's life.
    pub(crate) fn validity(&self) -> Validity {
        self.validity
    }

    /// A request for the next certificate of the same key.
    pub(crate) fn certificate_request(&self) -> Result<Vec<u8>, IdentityError> {
        self.key.certificate_request()
    }

    /// What it shows in TLS.
    pub(crate) fn client_identity(&self) -> ClientIdentity {
        let key = PrivatePkcs8KeyDer::from(self.key.0.serialized_der().to_vec());
        ClientIdentity {
            chain: vec![self.certificate.clone()],
            key: PrivateKeyDer::Pkcs8(key),
        }
    }

    /// A TLS client that is this endpoint and trusts its CA.
    pub(crate) fn tls(&self) -> Result<ClientConfig, IdentityError> {
        Ok(tls::client(self.ca.clone(), self.client_identity())?)
    }
}

/// The identity of a running agent: read by every connection, replaced by renewal.
#[derive(Debug)]
pub(crate) struct CurrentIdentity {
    state: StateDirectory,
    current: Mutex<Arc<Identity>>,
}

impl CurrentIdentity {
    /// Starts with this one.
    pub(crate) fn new(state: StateDirectory, identity: Identity) -> Self {
        Self {
            state,
            current: Mutex::new(Arc::new(identity)),
        }
    }

    /// The one to be used now.
    pub(crate) fn get(&self) -> Arc<Identity> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads it anew, since the machine may have been enrolled again. Where that fails the former one is used on.
    pub(crate) fn refresh(&self) -> Arc<Identity> {
        match Identity::load(&self.state) {
            Ok(stored) => {
                let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
                if stored.certificate != current.certificate {
                    tracing::info!(endpoint = %stored.endpoint(), "the identity was replaced");
                    *current = Arc::new(stored);
                }
                current.clone()
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "the identity cannot be read anew");
                self.get()
            }
        }
    }

    /// Stores the next one, then uses it. Should the machine have been enrolled anew meanwhile, it stays as it is.
    pub(crate) fn replace(&self, identity: Identity) -> Result<(), IdentityError> {
        if self.refresh().endpoint() != identity.endpoint() {
            return Ok(());
        }
        identity.store(&self.state)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
        Ok(())
    }
}

#[cfg(unix)]
fn refuse_exposed(path: &Path) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    // It could be read a moment ago; should it be gone now, its mode no longer matters.
    let mode = std::fs::metadata(path).map_or(0o600, |metadata| metadata.permissions().mode());
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(IdentityError::Exposed {
        path: path.to_owned(),
        mode: mode & 0o777,
    })
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
fn refuse_exposed(_path: &Path) -> Result<(), IdentityError> {
    // The access list of the state directory is the installer's business.
    Ok(())
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in BASE64.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
pub(crate) mod tests;
