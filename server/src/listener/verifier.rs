//! Which client certificates a handshake accepts: none at all, or one of our CA. A foreign one fails here.
//!
//! A certificate that has ended is accepted within the grace period, verified as of its last second; what
//! its bearer may then do is `rpc/auth.rs`'s decision.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use tocsin_proto::tls;

use crate::ca::Facts;

/// See the module.
#[derive(Debug)]
pub(super) struct Verifier {
    inner: Arc<dyn ClientCertVerifier>,
    grace: Duration,
}

impl Verifier {
    /// Trusts one CA.
    pub(super) fn new(ca: CertificateDer<'static>, grace: Duration) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(ca)?;
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { inner, grace })
    }
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let result = self
            .inner
            .verify_client_cert(end_entity, intermediates, now);
        let Err(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) = &result
        else {
            return result;
        };
        let expiry = Facts::of(end_entity)
            .and_then(|facts| u64::try_from(facts.expiry_time_ms / 1000).ok())
            .map(Duration::from_secs);
        match expiry {
            Some(expiry) if now.as_secs() <= (expiry + self.grace).as_secs() => {
                let last_second = UnixTime::since_unix_epoch(expiry);
                self.inner
                    .verify_client_cert(end_entity, intermediates, last_second)
            }
            _ => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::{Authority, CheckedRequest, Validity};

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW_SECONDS: u64 = 1_800_000_000;

    fn certificate(authority: &Authority) -> CertificateDer<'static> {
        let key = rcgen::KeyPair::generate().unwrap();
        let request = rcgen::CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let request = CheckedRequest::parse(request.der()).unwrap();
        authority
            .endpoint(&request, request.endpoint, validity())
            .unwrap()
    }

    fn validity() -> Validity {
        Validity::starting(i64::try_from(NOW_SECONDS).unwrap() * 1000, HOUR)
    }

    fn accepts(verifier: &Verifier, certificate: &CertificateDer<'_>, after: Duration) -> bool {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW_SECONDS) + after);
        verifier.verify_client_cert(certificate, &[], now).is_ok()
    }

    #[test]
    fn an_ended_certificate_is_accepted_until_the_grace_period_ends() {
        let (authority, _) = Authority::create(validity()).unwrap();
        let verifier = Verifier::new(authority.certificate(), 2 * HOUR).unwrap();
        let certificate = certificate(&authority);
        assert!(accepts(&verifier, &certificate, Duration::ZERO));
        assert!(accepts(&verifier, &certificate, 2 * HOUR));
        assert!(accepts(&verifier, &certificate, 3 * HOUR));
        assert!(!accepts(
            &verifier,
            &certificate,
            3 * HOUR + Duration::from_secs(1)
        ));
    }

    #[test]
    fn a_foreign_certificate_is_refused_and_gets_no_grace() {
        let (ours, _) = Authority::create(validity()).unwrap();
        let (foreign, _) = Authority::create(validity()).unwrap();
        let verifier = Verifier::new(ours.certificate(), 2 * HOUR).unwrap();
        let certificate = certificate(&foreign);
        assert!(!accepts(&verifier, &certificate, Duration::ZERO));
        assert!(!accepts(&verifier, &certificate, 2 * HOUR));
    }

    #[test]
    fn a_server_certificate_is_no_client_certificate() {
        let (authority, _) = Authority::create(validity()).unwrap();
        let verifier = Verifier::new(authority.certificate(), HOUR).unwrap();
        let issued = authority
            .server(&["localhost".to_owned()], validity())
            .unwrap();
        let certificate = crate::ca::certificate_from_pem(&issued.certificate).unwrap();
        assert!(!accepts(&verifier, &certificate, Duration::ZERO));
    }

    #[test]
    fn what_a_renewed_ca_signed_before_stays_good() {
        let (authority, _) = Authority::create(validity()).unwrap();
        let before = certificate(&authority);
        authority.reissue(validity()).unwrap();
        let verifier = Verifier::new(authority.certificate(), HOUR).unwrap();
        assert!(accepts(&verifier, &before, Duration::ZERO));
    }
}
