//! Whose certificates are believed: the system's authorities, or those that a connection brings.
//!
//! The system's are read from the file that `SSL_CERT_FILE` names, or the first that is there of those that distributions
//! keep. A connection's own authorities are for companies whose proxy opens TLS: they stand instead of the system's, so
//! that nobody else can speak for the provider.

use std::fs;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tocsin_proto::tls;
use tokio_rustls::TlsConnector;

use super::HttpError;

/// Bundles of Debian, Fedora, openSUSE, Alpine, FreeBSD, macOS.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/private/etc/ssl/cert.pem",
];

/// Connects by TLS 1.3 or 1.2: providers and companies' proxies that speak no 1.3 are still in use.
pub(super) fn connector(ca_pem: &str) -> Result<TlsConnector, HttpError> {
    let roots = match ca_pem {
        "" => system()?,
        pem => own(pem)?,
    };
    let config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Every one must be usable: who brings them wants them.
fn own(pem: &str) -> Result<RootCertStore, HttpError> {
    let wrong = HttpError::Trust("the CA file is not a list of certificates in PEM");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let Ok(certificate) = certificate else {
            return Err(wrong);
        };
        if roots.add(certificate).is_err() {
            return Err(wrong);
        }
    }
    if roots.is_empty() {
        Err(wrong)
    } else {
        Ok(roots)
    }
}

/// Those that can be used: bundles hold old ones.
fn system() -> Result<RootCertStore, HttpError> {
    let named = std::env::var("SSL_CERT_FILE").ok();
    let paths = named.as_deref().into_iter().chain(BUNDLES);
    let bundle = paths.into_iter().find_map(|path| fs::read(path).ok());
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(bundle.as_deref().unwrap_or_default());
    roots.add_parsable_certificates(certificates.flatten());
    if roots.is_empty() {
        return Err(HttpError::Trust(
            "this system has no authorities to trust: install ca-certificates, or give a CA file",
        ));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_list_of_certificates_is_refused() {
        for pem in [
            "x",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(matches!(own(pem), Err(HttpError::Trust(_))), "{pem}");
        }
    }
}
