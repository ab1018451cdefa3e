//! An identity is kept, loaded, renewed and refused as the module says.

use super::*;
use rcgen::{BasicConstraints, IsCa, Issuer};

/// A CA for tests: signs any key.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    pub(crate) fn pin(&self) -> KeyPin {
        key_pin(&self.issuer.key().subject_public_key_info())
    }

    pub(crate) fn certify(&self, key: &EndpointKey) -> Vec<u8> {
        let params = CertificateParams::default();
        params
            .signed_by(&key.0, &self.issuer)
            .unwrap()
            .der()
            .to_vec()
    }

    pub(crate) fn identity(&self) -> Identity {
        let key = EndpointKey::generate().unwrap();
        let issued = self.issue(&key);
        Identity::new("localhost:7443".parse().unwrap(), key, issued, &self.pin()).unwrap()
    }

    pub(crate) fn issue(&self, key: &EndpointKey) -> Issued {
        Issued {
            certificate: self.certify(key),
            ca: self.certificate.clone(),
            obtained_ms: 5,
        }
    }
}

fn state() -> (tempfile::TempDir, StateDirectory) {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDirectory::new(directory.path().to_owned());
    state.create().unwrap();
    (directory, state)
}

#[test]
fn an_identity_survives_the_file() {
    let (_directory, state) = state();
    let identity = Ca::new().identity();
    identity.store(&state).unwrap();
    let loaded = Identity::load(&state).unwrap();
    assert_eq!(loaded.endpoint(), identity.endpoint());
    assert_eq!(loaded.server(), identity.server());
    assert_eq!(loaded.validity(), identity.validity());
    assert_eq!(loaded.certificate, identity.certificate);
}

#[test]
fn a_machine_that_is_not_enrolled_is_told_the_cure() {
    let (_directory, state) = state();
    let error = Identity::load(&state).unwrap_err();
    assert!(error.to_string().contains("tocsin-agent enroll"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, state) = state();
    Ca::new().identity().store(&state).unwrap();
    for mode in [0o640, 0o604, 0o644, 0o660] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(state.identity(), permissions).unwrap();
        let error = Identity::load(&state).unwrap_err();
        assert!(matches!(error, IdentityError::Exposed { .. }), "{mode:o}");
    }
}

#[test]
fn a_newer_file_is_not_taken_for_a_damaged_one() {
    let (_directory, state) = state();
    std::fs::write(state.identity(), "version = 2\nnew = 1\n").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(state.identity(), permissions).unwrap();
    }
    let error = Identity::load(&state).unwrap_err();
    assert!(
        matches!(error, IdentityError::Version { found: 2, .. }),
        "{error}"
    );
}

#[test]
fn a_certificate_for_another_key_is_refused() {
    let ca = Ca::new();
    let other = ca.issue(&EndpointKey::generate().unwrap());
    let own = EndpointKey::generate().unwrap();
    let refused = Identity::new("localhost:1".parse().unwrap(), own, other, &ca.pin());
    assert!(refused.unwrap_err().to_string().contains("another key"));
}

#[test]
fn renewal_keeps_the_endpoint_and_its_ca() {
    let ca = Ca::new();
    let identity = ca.identity();
    let next = ca.issue(&identity.key);
    let renewed = identity.renewed(next.clone()).unwrap();
    assert_eq!(renewed.endpoint(), identity.endpoint());
    assert!(renewed.is_of(&ca.pin()) && !renewed.is_of(&Ca::new().pin()));
    let foreign = Issued {
        ca: Ca::new().certificate,
        ..next
    };
    assert!(identity.renewed(foreign).is_err());
}

#[test]
fn a_renewal_does_not_undo_an_enrolment() {
    let (_directory, state) = state();
    let ca = Ca::new();
    let first = ca.identity();
    first.store(&state).unwrap();
    let renewed = first.renewed(ca.issue(&first.key)).unwrap();
    let current = CurrentIdentity::new(state.clone(), first);
    let anew = ca.identity();
    anew.store(&state).unwrap();
    current.replace(renewed).unwrap();
    assert_eq!(Identity::load(&state).unwrap().endpoint(), anew.endpoint());
    assert_eq!(current.get().endpoint(), anew.endpoint());
}

#[test]
fn a_certificate_is_renewed_at_two_thirds() {
    let renew_ms = |from_ms, obtained_ms, until_ms| {
        let life = Validity {
            from_ms,
            obtained_ms,
            until_ms,
        };
        life.renew_ms()
    };
    assert_eq!(renew_ms(0, 0, 3000), 2000);
    assert_eq!(renew_ms(-300_000, 0, 3000), 2000, "dated back");
    assert_eq!(renew_ms(0, 9_999_999, 3000), 2000, "the clock was wrong");
    assert_eq!(renew_ms(5, 0, 1), 5);
}

#[test]
fn debug_tells_nothing_of_the_key() {
    let identity = Ca::new().identity();
    let der = identity.key.0.serialized_der().to_vec();
    let debug = format!("{identity:?}");
    assert!(debug.contains("EndpointKey { .. }"), "{debug}");
    assert!(!debug.contains(&format!("{:?}", &der[40..60])));
}
