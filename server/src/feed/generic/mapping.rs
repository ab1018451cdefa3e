//! The mapping file.
//!
//! ```toml
//! provider = "generic"              # or jumpcloud, ping
//! name = "keycloak"                 # of the generic kind: sets its ids apart from others'
//!
//! [fields]                          # where each value stands: the first path that has one
//! id = ["id"]
//! time = ["time"]                   # RFC 3339, or seconds, milliseconds, microseconds since 1970
//! login = ["user.email", "user.name"]
//! ip = ["client.0.address"]         # a number is the place in a list
//!
//! [[kind]]                          # the first whose conditions all hold
//! is = "approved"                   # a kind of MFA event, or "unused"
//! when = { "event_type" = ["push_mfa"], "success" = ["true"] }
//!
//! [factors]                         # what the value of `factor` means
//! "push" = "push"
//! ```
//!
//! Values are compared as texts, letters folded; `*` at the end of one stands for anything.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tocsin_correlate::{Factor, MfaEventKind, Provider};
use tocsin_proto::limits::MAPPING_BYTES_MAX;

use crate::feed::value::field;

/// Kinds that one mapping may have.
const KINDS_MAX: usize = 256;

/// Fields that a mapping may name; `kind` is told of records that are not used.
const FIELDS: &[&str] = &[
    "id",
    "time",
    "kind",
    "login",
    "account_id",
    "display_name",
    "actor_id",
    "actor_login",
    "ip",
    "country",
    "region",
    "city",
    "user_agent",
    "os",
    "browser",
    "device_id",
    "factor",
    "application",
    "transaction",
    "authentication",
    "session",
    "detail",
];

/// Why a mapping cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MappingError {
    /// Too long.
    #[error("the mapping is longer than {MAPPING_BYTES_MAX} bytes")]
    TooLong,
    /// No TOML of this form. The reader's words, which may repeat the file's: it is the caller's own.
    #[error("the mapping cannot be read: {0}")]
    Unreadable(String),
    /// Something that it must say, or must not.
    #[error("the mapping {0}")]
    Wrong(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: String,
    #[serde(default)]
    name: String,
    fields: BTreeMap<String, Vec<String>>,
    kind: Vec<KindFile>,
    #[serde(default)]
    factors: BTreeMap<String, Factor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KindFile {
    is: String,
    #[serde(default)]
    when: BTreeMap<String, Vec<String>>,
}

/// A mapping that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// Whose records they are.
    pub(super) provider: Provider,
    /// What sets its ids apart.
    pub(super) name: String,
    fields: BTreeMap<String, Vec<String>>,
    kinds: Vec<Rule>,
    factors: BTreeMap<String, Factor>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// `None`: not used.
    kind: Option<MfaEventKind>,
    when: Vec<(String, Vec<String>)>,
}

impl Mapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, MappingError> {
        if bytes.len() > MAPPING_BYTES_MAX {
            return Err(MappingError::TooLong);
        }
        let unreadable = |why: String| MappingError::Unreadable(why);
        let text = core::str::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))?;
        let file: File =
            toml::from_str(text).map_err(|error| unreadable(error.message().to_owned()))?;
        let wrong = |what: String| Err(MappingError::Wrong(what));
        let provider = match file.provider.as_str() {
            "jumpcloud" => Provider::JumpCloud,
            "ping" => Provider::Ping,
            "generic" => Provider::Generic,
            _ => return wrong("names no provider: jumpcloud, ping or generic".to_owned()),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if provider == Provider::Generic
            && (file.name.is_empty() || !file.name.chars().all(is_name))
        {
            return wrong("needs a name of letters, digits, - and _".to_owned());
        }
        for name in ["id", "time"] {
            if file.fields.get(name).is_none_or(Vec::is_empty) {
                return wrong(format!("does not say where {name} stands"));
            }
        }
        if !["login", "account_id"]
            .iter()
            .any(|name| file.fields.contains_key(*name))
        {
            return wrong("names neither login nor account_id".to_owned());
        }
        if let Some(other) = file
            .fields
            .keys()
            .find(|name| !FIELDS.contains(&name.as_str()))
        {
            return wrong(format!("names a field that is none: {other}"));
        }
        if file.kind.is_empty() || file.kind.len() > KINDS_MAX {
            return wrong(format!("has no kind, or more than {KINDS_MAX}"));
        }
        let kinds: Result<Vec<Rule>, MappingError> = file.kind.into_iter().map(rule).collect();
        let lower = |(word, factor): (String, Factor)| (word.to_lowercase(), factor);
        Ok(Self {
            provider,
            name: if file.name.is_empty() {
                file.provider
            } else {
                file.name
            },
            fields: file.fields,
            kinds: kinds?,
            factors: file.factors.into_iter().map(lower).collect(),
        })
    }

    /// Whose records they are.
    pub(crate) fn provider(&self) -> Provider {
        self.provider
    }

    /// The kind of a record; `None` where it is not used.
    pub(super) fn kind(&self, record: &Value) -> Option<MfaEventKind> {
        let holds = |rule: &&Rule| {
            rule.when.iter().all(|(path, patterns)| {
                let value = at(record, path).and_then(plain).unwrap_or_default();
                let value = value.to_lowercase();
                patterns.iter().any(|pattern| matches(pattern, &value))
            })
        };
        self.kinds.iter().find(holds)?.kind
    }

    /// The value of a field: of the first of its paths that has one.
    pub(super) fn value<'a>(&self, record: &'a Value, name: &str) -> Option<&'a Value> {
        let paths = self.fields.get(name)?;
        paths.iter().find_map(|path| {
            let value = at(record, path)?;
            plain(value)
                .filter(|text| !text.trim().is_empty())
                .map(|_| value)
        })
    }

    /// The value of a field as text.
    pub(super) fn word(&self, record: &Value, name: &str) -> Option<String> {
        self.value(record, name).and_then(plain)
    }

    /// What a factor's word means.
    pub(super) fn factor(&self, word: &str) -> Option<Factor> {
        Some(
            self.factors
                .get(&word.to_lowercase())
                .copied()
                .unwrap_or(Factor::Other),
        )
    }
}

fn rule(file: KindFile) -> Result<Rule, MappingError> {
    let kind = match file.is.as_str() {
        "unused" => None,
        word => {
            let kind = serde_json::from_value(Value::from(word));
            Some(kind.map_err(|_| MappingError::Wrong(format!("has a kind that is none: {word}")))?)
        }
    };
    let lower = |(path, patterns): (String, Vec<String>)| {
        let patterns = patterns.iter().map(|pattern| pattern.to_lowercase());
        (path, patterns.collect())
    };
    Ok(Rule {
        kind,
        when: file.when.into_iter().map(lower).collect(),
    })
}

fn matches(pattern: &str, value: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => value.starts_with(beginning),
        None => value == pattern,
    }
}

/// The value at a path.
fn at<'a>(record: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(record, |value, key| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => field(value, &[key]),
    })
}

/// A text, number or truth value as text, also one that means "not known".
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}
