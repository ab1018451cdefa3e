//! Records of a provider that has no parser of its own, understood by a mapping (see [`mapping`]).
//!
//! The mapping names where each value stands and by which values a record is of which kind. It is data: it cannot
//! do more than name fields, and what it does not name is not read. The rules of every other parser hold: words for
//! "not known" are absent, logins are folded, a record without an account or of no kind is counted, one whose id or
//! time cannot be read is refused.

mod mapping;

use serde_json::Value;
use tocsin_correlate::{
    AccountKey, Actor, FlowIds, MfaEventKind as Kind, Origin, Place, Provider, fold_login,
    identity_keys,
};

pub(crate) use self::mapping::{Mapping, MappingError};
use super::address::address;
use super::country::country;
use super::secret::{kept, redact, typed};
use super::split::EnvelopePath;
use super::time::time_ms;
use super::value::known;
use super::{Parsed, RecordError, event};

/// Where most interfaces put their records.
pub(super) const ENVELOPES: &[EnvelopePath] = &[
    &["data"],
    &["data", "events"],
    &["events"],
    &["records"],
    &["logs"],
    &["items"],
    &["value"],
    &["results"],
    &["_embedded", "activities"],
    &["_embedded", "events"],
];

/// The mapping for JumpCloud's Directory Insights.
pub(super) const JUMPCLOUD: &str = include_str!("generic/jumpcloud.toml");

/// The mapping for PingOne's audit activities and PingID's feed.
pub(super) const PING: &str = include_str!("generic/ping.toml");

/// Understands one record.
pub(super) fn parse<'a>(
    mapping: &Mapping,
    mut record: Value,
    raw: &'a [u8],
) -> Result<Parsed<'a>, RecordError> {
    let Some(kind) = mapping.kind(&record) else {
        let what = mapping.word(&record, "kind");
        return Ok(Parsed::Unused(what.unwrap_or_else(|| "no kind".to_owned())));
    };
    let failed = matches!(kind, Kind::PrimaryFailed);
    let secret = mapping
        .word(&record, "login")
        .filter(|_| failed)
        .and_then(|login| typed(&login));
    if let Some(secret) = &secret {
        redact(&mut record, secret);
    }
    let get = |name: &str| mapping.word(&record, name).and_then(|text| known(&text));
    let id = get("id").ok_or(RecordError::Missing { field: "id" })?;
    let time = mapping
        .value(&record, "time")
        .ok_or(RecordError::Missing { field: "time" })?;
    let time_ms = time_ms(time).ok_or(RecordError::Wrong {
        field: "time",
        expected: "a time (RFC 3339)",
    })?;
    let login = get("login").filter(|_| secret.is_none());
    let account = account(mapping, get("account_id"), login);
    if identity_keys(&account).is_empty() {
        return Ok(Parsed::Unused("a record without an account".to_owned()));
    }
    let mut event = event(
        &[mapping.name.as_bytes(), id.as_bytes()],
        time_ms,
        kind,
        account,
    );
    event.display_name = get("display_name");
    event.actor = get("actor_id")
        .filter(|id| *id != event.account.provider_id)
        .map(|id| Actor {
            kind: "User".to_owned(),
            provider_id: id,
            login: get("actor_login")
                .map(|login| fold_login(&login))
                .unwrap_or_default(),
        });
    event.origin = origin(&get);
    event.factor = get("factor").and_then(|word| mapping.factor(&word));
    event.application = get("application");
    event.flow = FlowIds {
        transaction: get("transaction"),
        authentication: get("authentication"),
        session: get("session"),
        root_session: None,
    };
    event.detail = get("detail");
    let kept = kept(&record, raw, secret.is_some());
    Ok(Parsed::Events(vec![event], kept))
}

fn origin(get: &impl Fn(&str) -> Option<String>) -> Origin {
    Origin {
        ip: get("ip").and_then(|ip| address(&ip)),
        place: Place {
            country: get("country").map(|name| country(&name)),
            region: get("region"),
            city: get("city"),
        },
        user_agent: get("user_agent"),
        os: get("os"),
        browser: get("browser"),
        device_id: get("device_id"),
        ..Origin::default()
    }
}

/// Providers of the generic kind share a word, so their accounts carry the mapping's name.
fn account(mapping: &Mapping, id: Option<String>, login: Option<String>) -> AccountKey {
    let login = login.map(|login| fold_login(&login)).unwrap_or_default();
    let own = id.or_else(|| (!login.is_empty()).then(|| login.clone()));
    let provider_id = match mapping.provider {
        Provider::Generic => own.map(|own| format!("{}/{own}", mapping.name)),
        _ => own,
    };
    AccountKey {
        provider: mapping.provider,
        provider_id: provider_id.unwrap_or_default(),
        login,
    }
}

#[cfg(test)]
mod tests;
