//! Feeds: what identity providers write, made into MFA events. A provider a file.
//!
//! ```text
//! bytes of a file or reply -> split -> one record -> parse -> MFA event | not used | why it cannot be read
//! ```
//!
//! Pure: no clock, no network, no store. A record is foreign and may say anything: it is understood, left out
//! because its kind is not used, or refused with a reason, and never makes anything panic. Reasons name
//! fields and never repeat content. A secret that a person typed into the wrong field is taken out of the
//! event and of the record that is kept.

mod address;
mod auth0;
mod country;
mod duo;
mod entra;
mod generic;
mod google;
pub(crate) mod live;
mod okta;
mod onelogin;
mod secret;
pub(crate) mod split;
mod time;
#[cfg(test)]
mod traps;
mod value;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;
use tocsin_correlate::{AccountKey, FlowIds, MfaEvent, MfaEventKind, Novelty, Origin, Provider};
use tocsin_proto::id::MfaEventId;

use self::generic::{Mapping, MappingError};
use self::live::{Connection, Draft, MfaFeed};
use self::split::EnvelopePath;

/// MFA events that one record may hold. Google writes several into one; nobody writes so many.
const EVENTS_MAX: usize = 16;

/// What a record is.
#[derive(Debug)]
pub(crate) enum Parsed<'a> {
    /// Its MFA events, one or more, with the record as it is to be kept: as it came, or without secrets.
    Events(Vec<MfaEvent>, Cow<'a, [u8]>),
    /// A good record of a kind that is not used: which.
    Unused(String),
}

/// Why a record cannot be read. Reads on after "line 7: ".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// No JSON object.
    #[error("is not a JSON object")]
    NotAnObject,
    /// A field that every record has.
    #[error("{field} is missing")]
    Missing {
        /// The field's path.
        field: &'static str,
    },
    /// A field that says something else than it can.
    #[error("{field} is not {expected}")]
    Wrong {
        /// The field's path.
        field: &'static str,
        /// What it should be, with its article.
        expected: &'static str,
    },
    /// More MFA events than a record can have.
    #[error("holds more than {EVENTS_MAX} events")]
    TooMany,
}

/// Why a file cannot be understood at all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormatError {
    /// A name that is none.
    #[error("'{name}' is not a provider; there is: {}", Format::names())]
    Unknown {
        /// What was given, cut to 64 characters.
        name: String,
    },
    /// A mapping for a provider that is read without, or none for one that needs it.
    #[error("{0}")]
    Mapping(&'static str),
    /// A mapping that cannot be used.
    #[error(transparent)]
    BadMapping(#[from] MappingError),
}

/// How the records of a file are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Format {
    /// Okta's System Log.
    Okta,
    /// Entra ID's sign-ins and audits.
    Entra,
    /// Duo's Admin API logs.
    Duo,
    /// Google Workspace's activities.
    Google,
    /// OneLogin's events.
    OneLogin,
    /// Auth0's tenant logs.
    Auth0,
    /// What a mapping says.
    Mapped(Arc<Mapping>),
}

impl Format {
    /// Every format that is known by its provider's name.
    const ALL: &'static [Self] = &[
        Self::Okta,
        Self::Entra,
        Self::Duo,
        Self::Google,
        Self::OneLogin,
        Self::Auth0,
    ];

    /// Words of the providers that are read by a mapping: which one.
    const MAPPED: &'static [(&'static str, &'static str)] =
        &[("jumpcloud", generic::JUMPCLOUD), ("ping", generic::PING)];

    fn names() -> String {
        let own = Self::ALL.iter().map(|format| format.provider().word());
        let mapped = Self::MAPPED.iter().map(|(word, _)| *word);
        let names: Vec<&str> = own.chain(mapped).chain(["generic"]).collect();
        names.join(", ")
    }

    /// The format with this name. `mapping`: a mapping file, which only `generic` takes and needs; empty where
    /// there is none.
    ///
    /// # Errors
    /// Names all there are; says what is wrong with a mapping.
    pub(crate) fn of(name: &str, mapping: &[u8]) -> Result<Self, FormatError> {
        if name == "generic" {
            if mapping.is_empty() {
                return Err(FormatError::Mapping("generic needs a mapping"));
            }
            return Ok(Self::Mapped(Arc::new(Mapping::read(mapping)?)));
        }
        if !mapping.is_empty() {
            return Err(FormatError::Mapping("only generic takes a mapping"));
        }
        if let Some((_, shipped)) = Self::MAPPED.iter().find(|(word, _)| *word == name) {
            return Ok(Self::Mapped(Arc::new(Mapping::read(shipped.as_bytes())?)));
        }
        let mut own = Self::ALL.iter();
        let found = own.find(|format| format.provider().word() == name);
        found.cloned().ok_or_else(|| FormatError::Unknown {
            name: name.chars().take(64).collect(),
        })
    }

    /// Whose records they are.
    pub(crate) fn provider(&self) -> Provider {
        match self {
            Self::Okta => Provider::Okta,
            Self::Entra => Provider::Entra,
            Self::Duo => Provider::Duo,
            Self::Google => Provider::Google,
            Self::OneLogin => Provider::OneLogin,
            Self::Auth0 => Provider::Auth0,
            Self::Mapped(mapping) => mapping.provider(),
        }
    }

    /// Where in a file's object the records may stand.
    pub(crate) fn envelopes(&self) -> &'static [EnvelopePath] {
        match self {
            Self::Okta => okta::ENVELOPES,
            Self::Entra => entra::ENVELOPES,
            Self::Duo => duo::ENVELOPES,
            Self::Google => google::ENVELOPES,
            Self::OneLogin => onelogin::ENVELOPES,
            Self::Auth0 => auth0::ENVELOPES,
            Self::Mapped(_) => generic::ENVELOPES,
        }
    }

    /// Its provider's interface over a connection; `None` where records come by files only.
    pub(crate) fn live(&self, connection: Connection) -> Option<Box<dyn MfaFeed>> {
        match self {
            Self::Okta => Some(Box::new(okta::live::OktaFeed::new(connection))),
            _ => None,
        }
    }

    /// Fills in what a connection to this provider needs and nobody said.
    ///
    /// # Errors
    /// What is missing, or does not belong to it.
    pub(crate) fn complete<'a>(&self, draft: Draft<'a>) -> Result<Draft<'a>, &'static str> {
        match self {
            Self::Okta => okta::live::complete(draft),
            _ => Err("there is no live feed of this provider: import its files"),
        }
    }

    /// Understands one record.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn parse<'a>(&self, raw: &'a [u8]) -> Result<Parsed<'a>, RecordError> {
        // Depth is bounded here too: serde_json gives up at 128.
        let record: Value = serde_json::from_slice(raw).map_err(|_| RecordError::NotAnObject)?;
        if !record.is_object() {
            return Err(RecordError::NotAnObject);
        }
        match self {
            Self::Okta => okta::parse(record, raw),
            Self::Entra => entra::parse(record, raw),
            Self::Duo => duo::parse(&record, raw),
            Self::Google => google::parse(&record, raw),
            Self::OneLogin => onelogin::parse(&record, raw),
            Self::Auth0 => auth0::parse(record, raw),
            Self::Mapped(mapping) => generic::parse(mapping, record, raw),
        }
    }
}

/// An event that says what every event says, and nothing else yet. `ids` are the provider's own ids of the
/// record, from which its id follows.
fn event(ids: &[&[u8]], time_ms: i64, kind: MfaEventKind, account: AccountKey) -> MfaEvent {
    let mut parts = vec![account.provider.word().as_bytes()];
    parts.extend(ids);
    MfaEvent {
        id: MfaEventId::derive(&parts),
        provider: account.provider,
        time_ms,
        kind,
        account,
        display_name: None,
        actor: None,
        origin: Origin::default(),
        previous_ip: None,
        factor: None,
        application: None,
        flow: FlowIds::default(),
        novelty: Novelty::default(),
        risk: None,
        detail: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_provider_is_told_what_there_is() {
        assert_eq!(Format::of("okta", b""), Ok(Format::Okta));
        let error = Format::of("octa", b"").unwrap_err();
        assert_eq!(
            error.to_string(),
            "'octa' is not a provider; there is: okta, entra, duo, google, onelogin, auth0, jumpcloud, ping, generic"
        );
        let long = Format::of(&"x".repeat(1000), b"").unwrap_err();
        assert_eq!(
            long,
            FormatError::Unknown {
                name: "x".repeat(64)
            }
        );
    }

    #[test]
    fn only_generic_takes_a_mapping_and_needs_it() {
        let error = |name, mapping: &[u8]| Format::of(name, mapping).unwrap_err().to_string();
        assert_eq!(error("generic", b""), "generic needs a mapping");
        assert_eq!(error("okta", b"x"), "only generic takes a mapping");
        for name in ["jumpcloud", "ping"] {
            assert_eq!(Format::of(name, b"").unwrap().provider().word(), name);
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for format in Format::ALL {
            for raw in ["", "3", "[]", "\"x\"", "{", "null"] {
                let error = format.parse(raw.as_bytes()).unwrap_err();
                assert_eq!(error, RecordError::NotAnObject, "{raw}");
            }
            let deep = format!("{}{}", "{\"a\":".repeat(200), "}".repeat(200));
            assert!(format.parse(deep.as_bytes()).is_err());
        }
    }
}
