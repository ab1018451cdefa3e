//! Microsoft Entra ID's sign-in and audit logs.
//!
//! | shape | looks like | what it is |
//! |---|---|---|
//! | Graph v1.0, beta | `{"value": [..]}`, fields at the top | `signIns`, `directoryAudits`; only beta has the steps |
//! | Azure Monitor | `category`, `properties` with Graph's fields in it | diagnostic settings, event hub, storage |
//! | Log Analytics | fields at the top, objects as texts | an export of the tables |
//!
//! All are read as one: the fields are looked for in `properties`, then at the top, letters folded. The id of an
//! event follows from the record's own `id` and what it says, so the shapes of one record are one event, and a
//! record that was written again while its sign-in went on is another, of the same sign-in.

mod audit;
mod sign_in;

use serde_json::Value;

use super::split::EnvelopePath;
use super::value::{field, text};
use super::{Parsed, RecordError};

/// Graph's answers, and what storage and event hubs put around records.
pub(super) const ENVELOPES: &[EnvelopePath] = &[&["value"], &["records"], &["items"]];

/// Categories of sign-ins by which no person signs in.
const OF_NO_PERSON: &[&str] = &[
    "ServicePrincipalSignInLogs",
    "ManagedIdentitySignInLogs",
    "MicrosoftServicePrincipalSignInLogs",
];

/// A record in either shape.
#[derive(Debug, Clone, Copy)]
struct Record<'a> {
    whole: &'a Value,
    inner: Option<&'a Value>,
}

impl<'a> Record<'a> {
    fn new(whole: &'a Value) -> Self {
        Self {
            whole,
            inner: field(whole, &["properties"]).filter(|value| value.is_object()),
        }
    }

    /// A field, of the inner record before the outer.
    fn field(self, path: &[&str]) -> Option<&'a Value> {
        let inner = self.inner.and_then(|inner| field(inner, path));
        inner
            .filter(|value| !value.is_null())
            .or_else(|| field(self.whole, path))
    }

    /// A text, of the inner record before the outer.
    fn text(self, path: &[&str]) -> Option<String> {
        let inner = self.inner.and_then(|inner| text(inner, path));
        inner.or_else(|| text(self.whole, path))
    }

    /// An object or list that Log Analytics writes as text.
    fn nested(self, path: &[&str]) -> Option<Value> {
        match self.field(path)? {
            Value::String(text) => serde_json::from_str(text).ok(),
            value => Some(value.clone()),
        }
    }

    fn required(self, name: &'static str) -> Result<String, RecordError> {
        self.text(&[name])
            .ok_or(RecordError::Missing { field: name })
    }
}

/// Understands one record.
pub(super) fn parse<'a>(record: Value, raw: &'a [u8]) -> Result<Parsed<'a>, RecordError> {
    let shape = Record::new(&record);
    // Graph's own records have no category of this kind; an audit's category is another thing.
    let category = text(&record, &["category"]).filter(|_| shape.inner.is_some());
    let category = category.or_else(|| text(&record, &["Category"]));
    if let Some(name) = category
        .as_deref()
        .filter(|name| OF_NO_PERSON.contains(name))
    {
        return Ok(Parsed::Unused(name.to_owned()));
    }
    if shape.text(&["activityDisplayName"]).is_some() || shape.field(&["initiatedBy"]).is_some() {
        return audit::parse(shape, raw);
    }
    // A security alert has a status too, which is a word.
    let has_code = || {
        shape
            .nested(&["status"])
            .is_some_and(|status| status.is_object())
    };
    let is_sign_in = shape.field(&["createdDateTime"]).is_some()
        && (shape.field(&["userPrincipalName"]).is_some() || has_code());
    let is_named = category
        .as_deref()
        .is_some_and(|name| name.contains("SignInLogs"));
    if is_sign_in || is_named {
        let redacted = sign_in::without_secret(&record);
        return match &redacted {
            Some(redacted) => sign_in::parse(Record::new(redacted), raw, true),
            None => sign_in::parse(shape, raw, false),
        };
    }
    match category
        .or_else(|| shape.text(&["operationName"]))
        .or_else(|| of_another_log(&record))
    {
        Some(other) => Ok(Parsed::Unused(other)),
        None => Err(RecordError::Missing {
            field: "createdDateTime",
        }),
    }
}

/// What a record of Microsoft's other logs is: the unified audit log, and alerts.
fn of_another_log(record: &Value) -> Option<String> {
    let is_unified =
        field(record, &["RecordType"]).is_some() && field(record, &["CreationTime"]).is_some();
    if is_unified {
        let operation = text(record, &["Operation"]).unwrap_or_default();
        return Some(format!("unified audit log: {operation}"));
    }
    field(record, &["serviceSource"])?;
    let what = text(record, &["category"]).or_else(|| text(record, &["title"]));
    Some(format!("alert: {}", what.unwrap_or_default()))
}

#[cfg(test)]
mod tests;
