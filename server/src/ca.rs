//! The private CA: who gets which certificate, and for how long.
//!
//! | certificate | names | use | not before | made from |
//! |---|---|---|---|---|
//! | CA | CN `Tocsin CA` and 8 hex digits of its key's pin | signs | a day ago | its own key, for ever the same |
//! | server | DNS names and addresses of the configuration | server | a day ago | a new key each time |
//! | endpoint | CN and URN = endpoint id | client | now | the key of a certificate request |
//! | analyst | CN = analyst's name | client | now | a new key, which goes into the profile |
//!
//! Keys are P-256; endpoints may also bring P-384 or Ed25519. A request's names and extensions are ignored:
//! the server alone says who somebody is. The names are for people who look at a certificate; programs look
//! up the key. A server's clock decides about all but the server's own certificate, which is therefore
//! dated back for machines whose clocks are late.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::RwLock;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use tocsin_proto::id::EndpointId;
use tocsin_proto::token::{KeyPin, key_pin};
use x509_parser::extensions::GeneralName;

/// Bytes of a certificate request at most; ours have about 250.
pub(crate) const REQUEST_BYTES_MAX: usize = 4096;

/// How far certificates that others check are dated back.
const BACKDATE: Duration = Duration::from_secs(24 * 3600);

/// Why a certificate was not made or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaError {
    /// A certificate request that cannot be granted; the peer's mistake.
    #[error("certificate request {why}")]
    Request {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A stored key or certificate is not one.
    #[error("{what} is not readable: restore it from a backup")]
    Stored {
        /// Which.
        what: &'static str,
    },
    /// Making one failed.
    #[error("make {what}")]
    Make {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
}

fn make(what: &'static str) -> impl FnOnce(rcgen::Error) -> CaError {
    move |source| CaError::Make { what, source }
}

/// From when until when, Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    from: i64,
    until: i64,
}

impl Validity {
    /// From now on.
    pub(crate) fn starting(now_ms: i64, lifetime: Duration) -> Self {
        let from = now_ms.div_euclid(1000);
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        Self {
            from,
            until: from.saturating_add(lifetime),
        }
    }

    fn dated_back(self) -> Self {
        let back = i64::try_from(BACKDATE.as_secs()).unwrap_or(0);
        Self {
            from: self.from - back,
            ..self
        }
    }

    /// Its end, Unix milliseconds.
    pub(crate) fn expiry_time_ms(self) -> i64 {
        self.until.saturating_mul(1000)
    }
}

/// A certificate request that may be granted: it proves to hold its key, and the key is of a kind we take.
#[derive(Debug)]
pub(crate) struct CheckedRequest {
    params: CertificateSigningRequestParams,
    /// The endpoint that this key is.
    pub(crate) endpoint: EndpointId,
    /// SHA-256 of its key.
    pub(crate) pin: KeyPin,
}

impl CheckedRequest {
    /// Checks a PKCS #10 request, DER.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, CaError> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(CaError::Request {
                why: "is too large",
            });
        }
        let params =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
                .map_err(|error| CaError::Request {
                    why: match error {
                        rcgen::Error::InvalidCertificationRequestSignature => {
                            "is not signed by its own key"
                        }
                        _ => "is not a PKCS #10 request of a kind that is taken",
                    },
                })?;
        let kinds = [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
        ];
        if !kinds.contains(&params.public_key.algorithm()) {
            return Err(CaError::Request {
                why: "has a key of a kind that is not taken: use P-256, P-384 or Ed25519",
            });
        }
        let spki = params.public_key.subject_public_key_info();
        Ok(Self {
            endpoint: EndpointId::from_public_key(&spki),
            pin: key_pin(&spki),
            params,
        })
    }
}

/// A new private key with its certificate, PEM.
#[derive(Debug)]
pub(crate) struct Issued {
    /// Private key, PKCS #8, PEM.
    pub(crate) key: String,
    /// Certificate, PEM.
    pub(crate) certificate: String,
    /// SHA-256 of the public key.
    pub(crate) pin: KeyPin,
}

/// The CA.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pin: KeyPin,
    certificate: RwLock<CertificateDer<'static>>,
}

impl Authority {
    /// A new CA; its key, PEM, is to be kept.
    pub(crate) fn create(validity: Validity) -> Result<(Self, String), CaError> {
        let key = KeyPair::generate().map_err(make("the CA's key"))?;
        let pem = key.serialize_pem();
        let certificate = self_signed(&key, validity)?;
        Self::new(key, certificate).map(|authority| (authority, pem))
    }

    /// The CA from what was kept.
    pub(crate) fn open(key: &str, certificate: &str) -> Result<Self, CaError> {
        let what = "the CA's key (ca.key)";
        let key = KeyPair::from_pem(key).map_err(|_| CaError::Stored { what })?;
        let what = "the CA's certificate (ca.crt)";
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| CaError::Stored { what })?;
        let facts = Facts::of(&certificate).ok_or(CaError::Stored { what })?;
        if facts.pin != key_pin(&key.subject_public_key_info()) {
            return Err(CaError::Stored {
                what: "the CA's certificate (ca.crt), which is not of its key (ca.key),",
            });
        }
        Self::new(key, certificate)
    }

    fn new(key: KeyPair, certificate: CertificateDer<'static>) -> Result<Self, CaError> {
        let pin = key_pin(&key.subject_public_key_info());
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(make("certificates in the CA's name"))?;
        Ok(Self {
            issuer,
            pin,
            certificate: RwLock::new(certificate),
        })
    }

    /// SHA-256 of its public key.
    pub(crate) fn pin(&self) -> KeyPin {
        self.pin
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.certificate
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Makes the CA's certificate anew with the same key and name; what the old one signed stays good.
    pub(crate) fn reissue(&self, validity: Validity) -> Result<(), CaError> {
        let certificate = self_signed(self.issuer.key(), validity)?;
        *self
            .certificate
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = certificate;
        Ok(())
    }

    /// A certificate for an endpoint's key.
    pub(crate) fn endpoint(
        &self,
        request: &CheckedRequest,
        id: EndpointId,
        validity: Validity,
    ) -> Result<CertificateDer<'static>, CaError> {
        let what = "an endpoint's certificate";
        let urn = format!("urn:uuid:{id}").try_into().map_err(make(what))?;
        let mut params = client_params(&id.to_string(), validity);
        params.subject_alt_names = vec![SanType::URI(urn)];
        let certificate = params
            .signed_by(&request.params.public_key, &self.issuer)
            .map_err(make(what))?;
        Ok(certificate.der().clone())
    }

    /// A key and certificate for an analyst.
    pub(crate) fn analyst(&self, name: &str, validity: Validity) -> Result<Issued, CaError> {
        self.issue(client_params(name, validity), "an analyst's certificate")
    }

    /// A key and certificate for the server.
    pub(crate) fn server(&self, names: &[String], validity: Validity) -> Result<Issued, CaError> {
        let what = "the server's certificate";
        let mut params = CertificateParams::new(names).map_err(make(what))?;
        describe(&mut params, "Tocsin server", validity.dated_back());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, what)
    }

    fn issue(&self, params: CertificateParams, what: &'static str) -> Result<Issued, CaError> {
        let key = KeyPair::generate().map_err(make(what))?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(make(what))?;
        Ok(Issued {
            pin: key_pin(&key.subject_public_key_info()),
            key: key.serialize_pem(),
            certificate: certificate.pem(),
        })
    }
}

fn self_signed(key: &KeyPair, validity: Validity) -> Result<CertificateDer<'static>, CaError> {
    let [a, b, c, d, ..] = key_pin(&key.subject_public_key_info());
    let mut params = CertificateParams::default();
    let name = format!("Tocsin CA {a:02x}{b:02x}{c:02x}{d:02x}");
    describe(&mut params, &name, validity.dated_back());
    // It signs leaves only: no certificate below it can sign another.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params
        .self_signed(key)
        .map_err(make("the CA's certificate"))?;
    Ok(certificate.der().clone())
}

fn client_params(name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    describe(&mut params, name, validity);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// What all certificates have: name, dates, a random serial number, signatures as their use.
fn describe(params: &mut CertificateParams, name: &str, validity: Validity) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |seconds: i64| epoch + Duration::from_secs(seconds.max(0).unsigned_abs());
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(validity.from);
    params.not_after = at(validity.until);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let mut serial: [u8; 16] = rand::random();
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
}

/// What we need to know of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// SHA-256 of its key.
    pub(crate) pin: KeyPin,
    /// Its end.
    pub(crate) expiry_time_ms: i64,
}

impl Facts {
    /// Of a certificate; `None` where it is none.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        Some(Self {
            pin: key_pin(parsed.public_key().raw),
            expiry_time_ms: parsed.validity().not_after.timestamp().checked_mul(1000)?,
        })
    }

    /// It has lived two thirds of a life of this length, or was made for a longer one than is wanted now.
    pub(crate) fn is_due(&self, now_ms: i64, lifetime: Duration) -> bool {
        let left = self.expiry_time_ms.saturating_sub(now_ms);
        let lifetime = crate::clock::millis(lifetime);
        left <= lifetime / 3 || left > lifetime
    }
}

/// DNS names and addresses of a certificate, in its order.
pub(crate) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|ip| Ipv4Addr::from(ip).to_string()),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|ip| Ipv6Addr::from(ip).to_string()),
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}

/// Reads a certificate, PEM.
pub(crate) fn certificate_from_pem(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

/// Reads a private key, PEM.
pub(crate) fn key_from_pem(pem: &str) -> Option<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()
}

/// Writes a certificate as PEM.
pub(crate) fn certificate_to_pem(certificate: &CertificateDer<'_>) -> String {
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let text = data_encoding::BASE64.encode(certificate);
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const NOW_MS: i64 = 1_800_000_000_000;

    fn authority() -> Authority {
        Authority::create(Validity::starting(NOW_MS, DAY))
            .unwrap()
            .0
    }

    fn request(key: &KeyPair) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "admin");
        params.serialize_request(key).unwrap().der().to_vec()
    }

    #[test]
    fn the_server_alone_names_an_endpoint() {
        let key = KeyPair::generate().unwrap();
        let checked = CheckedRequest::parse(&request(&key)).unwrap();
        let certificate = authority()
            .endpoint(&checked, checked.endpoint, Validity::starting(NOW_MS, DAY))
            .unwrap();
        let facts = Facts::of(&certificate).unwrap();
        assert_eq!(facts.pin, checked.pin);
        assert_eq!(facts.pin, key_pin(&key.subject_public_key_info()));
        assert_eq!(facts.expiry_time_ms, NOW_MS + 86_400_000);
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
        assert_eq!(
            parsed.subject().to_string(),
            format!("CN={}", checked.endpoint)
        );
        assert!(!String::from_utf8_lossy(&certificate).contains("evil"));
        assert!(!String::from_utf8_lossy(&certificate).contains("admin"));
    }

    /// Whatever is changed, left out or added: it is refused, or still says the key that has signed it.
    #[test]
    fn a_request_that_was_changed_on_its_way_brings_no_other_key() {
        let key = KeyPair::generate().unwrap();
        let request = request(&key);
        let pin = key_pin(&key.subject_public_key_info());
        let refused = |changed: &[u8]| match CheckedRequest::parse(changed) {
            Ok(checked) => {
                assert_eq!(checked.pin, pin);
                false
            }
            Err(_) => true,
        };
        let mut changed = request.clone();
        let mut count = 0;
        for at in 0..request.len() {
            for bit in 0..8 {
                changed[at] ^= 1 << bit;
                count += usize::from(refused(&changed));
                changed[at] ^= 1 << bit;
            }
            assert!(refused(&request[..at]), "cut at {at}");
        }
        assert!(count > request.len() * 79 / 10, "{count} were refused");
    }

    #[test]
    fn requests_of_other_keys_or_without_proof_are_refused() {
        let key = KeyPair::generate().unwrap();
        let good = request(&key);
        for kind in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            let key = KeyPair::generate_for(kind).unwrap();
            assert!(CheckedRequest::parse(&request(&key)).is_ok());
        }
        let p521 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
        assert!(CheckedRequest::parse(&request(&p521)).is_err());
        let mut unsigned = good.clone();
        *unsigned.last_mut().unwrap() ^= 1;
        assert!(CheckedRequest::parse(&unsigned).is_err());
        let error = CheckedRequest::parse(&vec![0; REQUEST_BYTES_MAX + 1]).unwrap_err();
        assert_eq!(error.to_string(), "certificate request is too large");
        for end in 0..good.len() {
            assert!(CheckedRequest::parse(&good[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_renewed_ca_has_the_same_key_and_name() {
        let authority = authority();
        let before = authority.certificate();
        authority
            .reissue(Validity::starting(NOW_MS, 2 * DAY))
            .unwrap();
        let after = authority.certificate();
        assert_ne!(before, after);
        let (before, after) = (Facts::of(&before).unwrap(), Facts::of(&after).unwrap());
        assert_eq!(before.pin, after.pin);
        assert!(before.expiry_time_ms < after.expiry_time_ms);
    }

    #[test]
    fn a_ca_is_opened_from_what_was_kept() {
        let (made, key) = Authority::create(Validity::starting(NOW_MS, DAY)).unwrap();
        let pem = certificate_to_pem(&made.certificate());
        let opened = Authority::open(&key, &pem).unwrap();
        assert_eq!(opened.pin(), made.pin());
        let (_, other) = Authority::create(Validity::starting(NOW_MS, DAY)).unwrap();
        assert!(Authority::open(&other, &pem).is_err(), "not its key");
    }

    #[test]
    fn renewal_is_due_at_two_thirds() {
        let facts = Facts {
            pin: [0; 32],
            expiry_time_ms: 90_000,
        };
        let life = Duration::from_secs(90);
        assert!(!facts.is_due(59_999, life));
        assert!(facts.is_due(60_000, life));
        assert!(!facts.is_due(0, life));
        assert!(facts.is_due(0, Duration::from_secs(89)), "too long a life");
    }
}
