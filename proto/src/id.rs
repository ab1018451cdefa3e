//! Typed ids. Each has one text form, used in files, JSON and on screens, and parses only that.
//!
//! | id | made of |
//! |---|---|
//! | [`EndpointId`] | the endpoint's public key: an endpoint is its key |
//! | [`RunId`] | 16 random bytes per start of the agent |
//! | [`EventId`] | endpoint, run, sequence |
//! | [`IdentityId`], [`IncidentId`], [`MfaEventId`] | the provider's own ids, so that the same records give the same ids on a fresh server |
//! | [`TerminalId`] | 16 random bytes, made by the server |
//! | [`ProcessKey`] | boot, pid, start: tells a reused pid apart |

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Text that is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {expected}")]
pub struct IdError {
    /// What was given, cut to 64 characters.
    pub text: String,
    /// What it should have been, with its article.
    pub expected: &'static str,
}

impl IdError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self {
            text: text.chars().take(64).collect(),
            expected,
        }
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// From its 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// From the bytes of a wire field, which must be exactly 16.
            pub fn from_wire(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self::from_bytes)
            }

            /// Its 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let id = Uuid::try_parse(text).map_err(|_| IdError::new(text, $expected))?;
                // One text form: anything else Uuid would take (braces, urn:, upper case) is refused.
                if id.hyphenated().to_string() != text {
                    return Err(IdError::new(text, $expected));
                }
                Ok(Self(id))
            }
        }
    };
}

uuid_id!(
    /// An enrolled machine: the first 16 bytes of the SHA-256 of its public key
    /// (SubjectPublicKeyInfo, DER), marked as UUID version 8.
    EndpointId,
    "an endpoint id (a UUID)"
);
uuid_id!(
    /// One start of an agent: 16 random bytes, marked as UUID version 4.
    RunId,
    "a run id (a UUID)"
);
uuid_id!(
    /// One boot of a machine, as its kernel names it.
    BootId,
    "a boot id (a UUID)"
);
uuid_id!(
    /// A person.
    IdentityId,
    "an identity id (a UUID)"
);
uuid_id!(
    /// An incident.
    IncidentId,
    "an incident id (a UUID)"
);
uuid_id!(
    /// A normalised record of an identity provider.
    MfaEventId,
    "an MFA event id (a UUID)"
);

uuid_id!(
    /// A remote terminal: 16 random bytes, marked as UUID version 4.
    TerminalId,
    "a terminal id (a UUID)"
);

impl TerminalId {
    /// From 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl EndpointId {
    /// The id of the endpoint with this public key (SubjectPublicKeyInfo, DER).
    pub fn from_public_key(spki_der: &[u8]) -> Self {
        Self(derived("endpoint", &[spki_der]))
    }
}

impl RunId {
    /// From 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl IdentityId {
    /// From what makes the person: see `tocsin-correlate`.
    pub fn derive(parts: &[&[u8]]) -> Self {
        Self(derived("identity", parts))
    }
}

impl IncidentId {
    /// From the subject and the event the incident starts with.
    pub fn derive(parts: &[&[u8]]) -> Self {
        Self(derived("incident", parts))
    }
}

impl MfaEventId {
    /// From the provider and the provider's own id of the record.
    pub fn derive(parts: &[&[u8]]) -> Self {
        Self(derived("mfa_event", parts))
    }
}

/// SHA-256 over the kind and the parts, each preceded by its length so that no two lists of parts
/// collide; its first 16 bytes as a UUID of version 8.
fn derived(kind: &str, parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"tocsin/v1/");
    hash.update(kind.as_bytes());
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(digest.get(..16).unwrap_or(&[0; 16]));
    Uuid::new_v8(bytes)
}

/// Position of an event in its run, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventSequence(pub u64);

/// An event: text form `ENDPOINT.RUN.SEQUENCE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Who saw it.
    pub endpoint: EndpointId,
    /// In which run.
    pub run: RunId,
    /// At which position.
    pub sequence: EventSequence,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.endpoint, self.run, self.sequence.0)
    }
}

impl Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for EventId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::new(text, "an event id (ENDPOINT.RUN.SEQUENCE)");
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or_else(bad);
        let id = Self {
            endpoint: part()?.parse().map_err(|_| bad())?,
            run: part()?.parse().map_err(|_| bad())?,
            sequence: EventSequence(part()?.parse().map_err(|_| bad())?),
        };
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(bad())
        }
    }
}

/// A process, told apart from every other that had or will have its pid. Text form
/// `BOOT.PID.START`: first 8 hex digits of the boot id, pid, start ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey {
    /// The boot in which it ran.
    pub boot: BootId,
    /// Its pid.
    pub pid: u32,
    /// Start counter of the platform (`Process.start_ticks`).
    pub start_ticks: u64,
}

impl fmt::Display for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = *self.boot.as_bytes();
        write!(
            f,
            "{a:02x}{b:02x}{c:02x}{d:02x}.{}.{}",
            self.pid, self.start_ticks
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_its_key() {
        let id = EndpointId::from_public_key(b"key");
        assert_eq!(id, EndpointId::from_public_key(b"key"));
        assert_ne!(id, EndpointId::from_public_key(b"kez"));
        assert_eq!(id.to_string().parse::<EndpointId>().unwrap(), id);
    }

    #[test]
    fn parts_are_not_run_together() {
        assert_ne!(
            IdentityId::derive(&[b"ab", b"c"]),
            IdentityId::derive(&[b"a", b"bc"])
        );
        assert_ne!(
            IdentityId::derive(&[b"a"]).as_bytes(),
            IncidentId::derive(&[b"a"]).as_bytes(),
            "the kind is part of it"
        );
    }

    #[test]
    fn only_the_one_text_form_parses() {
        let text = EndpointId::from_public_key(b"key").to_string();
        for bad in [
            text.to_uppercase(),
            text.replace('-', ""),
            format!("{{{text}}}"),
            format!("urn:uuid:{text}"),
            format!("{text} "),
            "../clients/server".to_owned(),
            String::new(),
        ] {
            assert!(bad.parse::<EndpointId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn event_ids_go_there_and_back() {
        let id = EventId {
            endpoint: EndpointId::from_public_key(b"key"),
            run: RunId::from_random([7; 16]),
            sequence: EventSequence(42),
        };
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        for bad in [
            "",
            "1.2.3",
            &format!("{id}x"),
            &id.to_string().replace(".42", ".+42"),
        ] {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_process_key_names_boot_pid_and_start() {
        let key = ProcessKey {
            boot: BootId::from_bytes([0xab; 16]),
            pid: 1234,
            start_ticks: 99,
        };
        assert_eq!(key.to_string(), "abababab.1234.99");
    }
}
