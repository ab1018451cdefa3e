//! Keeps the server's own certificates young: the CA's (same key) and the server's (new key), each renewed at
//! two thirds of its life, at the start and while the server runs. The next handshake shows the new one;
//! nothing is restarted. The server's is also renewed when the configuration names other hosts.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::ca::{self, Authority, CaError, Facts, Validity};
use crate::clock::now_ms;
use crate::config::Config;
use crate::data_dir::{self, DataDir, DataDirError};
use crate::listener::ServerIdentity;

/// Looks in one life of a certificate, so that "two thirds" is kept to.
const LOOKS: u32 = 60;

/// How long between two looks, at least and at most.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3600));

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// A file is missing.
    #[error("{name} is missing in {folder}: restore it from a backup")]
    Missing {
        /// Which.
        name: &'static str,
        /// Where.
        folder: String,
    },
    /// A file cannot be read or written.
    #[error("keep certificates")]
    File(#[from] DataDirError),
    /// It cannot be made.
    #[error("make certificates")]
    Ca(#[from] CaError),
    /// TLS does not take it.
    #[error("use the server's certificate")]
    Tls(#[from] rustls::Error),
}

/// The CA from the data directory.
pub(crate) fn open_authority(data: &DataDir) -> Result<Authority, CertificateError> {
    let missing = |name| CertificateError::Missing {
        name,
        folder: data.path().display().to_string(),
    };
    let key = data_dir::read(&data.ca_key())?.ok_or_else(|| missing("ca.key"))?;
    let certificate = data_dir::read(&data.ca_certificate())?.ok_or_else(|| missing("ca.crt"))?;
    Ok(Authority::open(&key, &certificate)?)
}

/// The certificates that a running server shows.
#[derive(Debug)]
pub(crate) struct Certificates {
    data: DataDir,
    config: Arc<Config>,
    authority: Arc<Authority>,
    identity: Arc<ServerIdentity>,
    expiry: std::sync::Mutex<Facts>,
}

impl Certificates {
    /// Reads them, and renews what is due.
    pub(crate) fn open(
        data: &DataDir,
        config: Arc<Config>,
        authority: Arc<Authority>,
    ) -> Result<Self, CertificateError> {
        let now = now_ms();
        renew_ca(data, &config, &authority, now)?;
        let kept = load_server(data, &config, &authority, now)?;
        let (identity, facts) = match kept {
            Some(kept) => kept,
            None => renew_server(data, &config, &authority, now)?,
        };
        Ok(Self {
            data: data.clone(),
            config,
            authority,
            identity: Arc::new(identity),
            expiry: std::sync::Mutex::new(facts),
        })
    }

    /// What handshakes show.
    pub(crate) fn identity(&self) -> Arc<ServerIdentity> {
        self.identity.clone()
    }

    /// Renews until `stopping`.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let life = self.config.certificate;
        let shortest = life.server_lifetime.min(life.ca_lifetime);
        let interval = (shortest / LOOKS).clamp(INTERVAL.0, INTERVAL.1);
        while stopping
            .run_until_cancelled(tokio::time::sleep(interval))
            .await
            .is_some()
        {
            if let Err(error) = self.renew(now_ms()) {
                let error = crate::rpc::status::chain(&error);
                tracing::error!(error, "a certificate of this server is due and not renewed");
            }
        }
    }

    fn renew(&self, now: i64) -> Result<(), CertificateError> {
        let ca_is_new = renew_ca(&self.data, &self.config, &self.authority, now)?;
        let lifetime = self.config.certificate.server_lifetime;
        let mut facts = self
            .expiry
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if ca_is_new || facts.is_due(now, lifetime) {
            let (identity, renewed) = renew_server(&self.data, &self.config, &self.authority, now)?;
            self.identity.replace(identity);
            *facts = renewed;
            tracing::info!("the server's certificate was renewed");
        }
        Ok(())
    }
}

fn renew_ca(
    data: &DataDir,
    config: &Config,
    authority: &Authority,
    now: i64,
) -> Result<bool, CertificateError> {
    let lifetime = config.certificate.ca_lifetime;
    let facts = Facts::of(&authority.certificate());
    if facts.is_some_and(|facts| !facts.is_due(now, lifetime)) {
        return Ok(false);
    }
    authority.reissue(Validity::starting(now, lifetime))?;
    let pem = ca::certificate_to_pem(&authority.certificate());
    data_dir::write(&data.ca_certificate(), &pem)?;
    tracing::info!("the CA's certificate was renewed; its key is the same");
    Ok(true)
}

/// The server's certificate as kept; `None` where it is missing, damaged, due, or for other names.
fn load_server(
    data: &DataDir,
    config: &Config,
    authority: &Authority,
    now: i64,
) -> Result<Option<(ServerIdentity, Facts)>, CertificateError> {
    let key = data_dir::read(&data.server_key())?;
    let certificate = data_dir::read(&data.server_certificate())?;
    let (Some(key), Some(leaf)) = (
        key.as_deref().and_then(ca::key_from_pem),
        certificate.as_deref().and_then(ca::certificate_from_pem),
    ) else {
        return Ok(None);
    };
    let Some(facts) = Facts::of(&leaf) else {
        return Ok(None);
    };
    if facts.is_due(now, config.certificate.server_lifetime) || ca::names(&leaf) != config.names {
        return Ok(None);
    }
    // A key that is not of this certificate, as after a crash between the two files, is no identity.
    Ok(ServerIdentity::new(leaf, authority.certificate(), key)
        .ok()
        .map(|identity| (identity, facts)))
}

fn renew_server(
    data: &DataDir,
    config: &Config,
    authority: &Authority,
    now: i64,
) -> Result<(ServerIdentity, Facts), CertificateError> {
    let what = "the server's new certificate";
    let validity = Validity::starting(now, config.certificate.server_lifetime);
    let issued = authority.server(&config.names, validity)?;
    let (Some(key), Some(leaf)) = (
        ca::key_from_pem(&issued.key),
        ca::certificate_from_pem(&issued.certificate),
    ) else {
        return Err(CaError::Stored { what }.into());
    };
    let facts = Facts::of(&leaf).ok_or(CaError::Stored { what })?;
    let identity = ServerIdentity::new(leaf, authority.certificate(), key)?;
    data_dir::write(&data.server_key(), &issued.key)?;
    data_dir::write(&data.server_certificate(), &issued.certificate)?;
    Ok((identity, facts))
}
