//! What people type into the wrong field: a password as user name. It is taken out of the event and of the
//! record that is kept.

use std::borrow::Cow;

use serde_json::Value;
use tocsin_correlate::{fold_login, is_address};

use super::value::known;

/// What a typed secret is replaced by.
pub(super) const REDACTED: &str = "[redacted]";

/// What was typed as user name, where it is no address and so may be a password.
pub(super) fn typed(name: &str) -> Option<String> {
    (known(name).is_some() && !is_address(&fold_login(name))).then(|| name.to_owned())
}

/// Replaces every text that is the secret, wherever it stands.
pub(super) fn redact(value: &mut Value, secret: &str) {
    match value {
        Value::String(text) if text == secret => REDACTED.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, secret)),
        Value::Object(fields) => fields.values_mut().for_each(|field| redact(field, secret)),
        _ => {}
    }
}

/// The record as it is kept: as it came, or without the secret that was taken out of it.
pub(super) fn kept<'a>(record: &Value, raw: &'a [u8], is_redacted: bool) -> Cow<'a, [u8]> {
    if is_redacted {
        Cow::Owned(record.to_string().into_bytes())
    } else {
        Cow::Borrowed(raw)
    }
}
