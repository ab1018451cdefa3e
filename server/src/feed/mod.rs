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
mod country;
mod okta;
pub(crate) mod split;

use std::borrow::Cow;

use serde_json::Value;
use tocsin_correlate::{MfaEvent, Provider};

use self::split::EnvelopePath;

/// Bytes of a text that is kept of a record: user agents are the longest.
const TEXT_BYTES_MAX: usize = 1024;

/// What a record is.
#[derive(Debug)]
pub(crate) enum Parsed<'a> {
    /// An MFA event, with the record as it is to be kept: as it came, or without secrets.
    Event(Box<MfaEvent>, Cow<'a, [u8]>),
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
}

/// A provider's name that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{name}' is not a provider; there is: {}", provider_names())]
pub(crate) struct UnknownProvider {
    /// What was given, cut to 64 characters.
    pub(crate) name: String,
}

fn provider_names() -> String {
    let names: Vec<&str> = Provider::ALL
        .iter()
        .map(|provider| provider.word())
        .collect();
    names.join(", ")
}

/// The provider with this name.
///
/// # Errors
/// Names all there are.
pub(crate) fn provider(name: &str) -> Result<Provider, UnknownProvider> {
    let found = Provider::ALL
        .iter()
        .copied()
        .find(|provider| provider.word() == name);
    found.ok_or_else(|| UnknownProvider {
        name: name.chars().take(64).collect(),
    })
}

/// Where in a file's object the provider's records may stand.
pub(crate) fn envelopes(provider: Provider) -> &'static [EnvelopePath] {
    match provider {
        Provider::Okta => okta::ENVELOPES,
    }
}

/// Understands one record.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn parse(provider: Provider, raw: &[u8]) -> Result<Parsed<'_>, RecordError> {
    // Depth is bounded here too: serde_json gives up at 128.
    let record: Value = serde_json::from_slice(raw).map_err(|_| RecordError::NotAnObject)?;
    if !record.is_object() {
        return Err(RecordError::NotAnObject);
    }
    match provider {
        Provider::Okta => okta::parse(record, raw),
    }
}

/// A field by its path. Some exports fold the letters of keys; they are found all the same.
fn field<'a>(record: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(record, |value, key| {
        let object = value.as_object()?;
        object.get(*key).or_else(|| {
            let mut fields = object.iter();
            fields
                .find(|(name, _)| name.eq_ignore_ascii_case(key))
                .map(|(_, value)| value)
        })
    })
}

/// A text by its path; absent where it is one of the words by which providers say that they do not know.
fn text(record: &Value, path: &[&str]) -> Option<String> {
    known(field(record, path)?.as_str()?)
}

fn known(text: &str) -> Option<String> {
    const UNKNOWN: &[&str] = &["", "-", "null", "none", "unknown", "n/a", "undefined"];
    let is_unknown = UNKNOWN
        .iter()
        .any(|word| text.trim().eq_ignore_ascii_case(word));
    (!is_unknown).then(|| cut(text, TEXT_BYTES_MAX).to_owned())
}

/// At most so many bytes, and no half characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_provider_is_told_what_there_is() {
        assert_eq!(provider("okta"), Ok(Provider::Okta));
        let error = provider("entra").unwrap_err();
        assert_eq!(
            error.to_string(),
            "'entra' is not a provider; there is: okta"
        );
        assert_eq!(provider(&"x".repeat(1000)).unwrap_err().name.len(), 64);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for raw in ["", "3", "[]", "\"x\"", "{", "null"] {
            let error = parse(Provider::Okta, raw.as_bytes()).unwrap_err();
            assert_eq!(error, RecordError::NotAnObject, "{raw}");
        }
        let deep = format!("{}{}", "{\"a\":".repeat(200), "}".repeat(200));
        assert!(parse(Provider::Okta, deep.as_bytes()).is_err());
    }

    #[test]
    fn words_for_not_known_are_absent() {
        for word in ["", " ", "-", "null", "NULL", "unknown", "Unknown", "None"] {
            assert_eq!(known(word), None, "{word}");
        }
        assert_eq!(known("nullable").as_deref(), Some("nullable"));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("aéé", 2), "a");
        assert_eq!(cut("aéé", 3), "aé");
        assert_eq!(
            known(&"é".repeat(2_000)).map(|text| text.len()),
            Some(TEXT_BYTES_MAX)
        );
    }
}
