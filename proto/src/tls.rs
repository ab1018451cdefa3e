//! The one TLS policy of all programs: version 1.3, the post-quantum hybrid key exchange first, one
//! private CA, names always checked. There is no switch that turns any of it off.
//!
//! Two ways to trust a server: by the CA certificate that enrolment or a profile brought, or, once, by the
//! pin in an enrolment token ([`enrolling_client`]).

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::token::{KeyPin, key_pin};

/// ALPN of gRPC.
pub const ALPN: &[u8] = b"h2";

/// Versions of TLS that are spoken.
pub static VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The one crypto provider: AWS-LC, X25519MLKEM768 preferred.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A certificate chain and its key.
#[derive(Debug)]
pub struct ClientIdentity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

/// A client that trusts this CA and shows this identity.
///
/// # Errors
/// Where the CA certificate, the chain or the key cannot be used.
pub fn client(
    ca: CertificateDer<'static>,
    identity: ClientIdentity,
) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)?
        .with_root_certificates(roots)
        .with_client_auth_cert(identity.chain, identity.key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// A client that trusts the server whose chain ends in the pinned CA key. It shows its former identity
/// where it has one, which ends a conflict about it.
///
/// # Errors
/// Where the former identity cannot be used.
pub fn enrolling_client(
    ca_pin: KeyPin,
    former: Option<ClientIdentity>,
) -> Result<ClientConfig, rustls::Error> {
    let verifier = PinnedCa {
        ca_pin,
        provider: provider(),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match former {
        Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Accepts a chain that the pinned key signed: finds the CA certificate with that key among those the
/// server sent, then lets webpki verify leaf, dates and name against it alone.
#[derive(Debug)]
struct PinnedCa {
    ca_pin: KeyPin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut roots = RootCertStore::empty();
        for certificate in intermediates {
            let spki = rustls::server::ParsedCertificate::try_from(certificate)
                .map(|parsed| key_pin(&parsed.subject_public_key_info()));
            if spki.is_ok_and(|pin| pin == self.ca_pin) {
                roots.add(certificate.clone().into_owned())?;
            }
        }
        if roots.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Puts the cure beside what rustls says, where an operator can do something about it.
pub fn explain(error: &rustls::Error) -> Option<&'static str> {
    use rustls::Error::{AlertReceived, InvalidCertificate};
    match error {
        // A CA of the same name but another key shows as a bad signature.
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            Some(
                "the server's certificate is not from the CA this was enrolled with: wrong server, or a new CA (enroll again)",
            )
        }
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Some(
            "the server's certificate does not carry this host name: use one that it carries, or add this one to 'names' in the server's config.toml and restart the server",
        ),
        InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => Some("the server's certificate is not valid yet: check this machine's clock"),
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            Some(
                "the server's certificate has expired: check this machine's clock, then the server",
            )
        }
        rustls::Error::InvalidMessage(_) => {
            Some("what answers there does not speak TLS: is this a tocsin-server, and its port?")
        }
        AlertReceived(rustls::AlertDescription::UnknownCA) => {
            Some("the server does not know this certificate's CA: enroll again")
        }
        AlertReceived(rustls::AlertDescription::CertificateExpired) => {
            Some("this certificate has expired beyond the grace period: enroll again")
        }
        _ => None,
    }
}
