//! Okta's System Log, Classic and Identity Engine.
//!
//! The two engines say the same things by different records:
//!
//! | what | Classic | Identity Engine |
//! |---|---|---|
//! | prompt sent, a row a device | `system.push.send_factor_verify_push` | the same |
//! | password right | - | `auth_via_mfa`, factor `PASSWORD_AS_FACTOR`, SUCCESS |
//! | approved | `auth_via_mfa` SUCCESS | the same |
//! | denied | `deny_push` | `auth_via_mfa` FAILURE `INVALID_CREDENTIALS`, factor push |
//! | ignored | no row | no row, or result UNANSWERED or ABANDONED where switched on |
//!
//! A wrong code is FAILURE `INVALID_CREDENTIALS` as well: only the factor and the kind of response tell it
//! from a denial, and where neither is told, it is an error and not a denial. All values in `debugData` are
//! texts, also those that look like maps ([`security`]). A sign-in's account is who acts; a change's account
//! is whom it is done to, so that what the help desk does is the victim's event.

mod kind;
pub(super) mod live;
mod security;

use serde_json::Value;
use tocsin_correlate::{
    AccountKey, Actor, Factor, FlowIds, MfaEvent, MfaEventKind, Origin, Place, Provider,
    fold_login, identity_keys,
};
use tocsin_proto::id::MfaEventId;

use self::kind::Reading;
use super::address::address;
use super::country::country;
use super::secret::{REDACTED, kept, redact, typed};
use super::split::EnvelopePath;
use super::time::required_text_time_ms;
use super::value::{field, required, text};
use super::{Parsed, RecordError};

/// Event hooks, and what pipelines put around lists.
pub(super) const ENVELOPES: &[EnvelopePath] = &[
    &["data", "events"],
    &["events"],
    &["records"],
    &["logs"],
    &["items"],
    &["value"],
];

/// Understands one record.
pub(super) fn parse(mut record: Value, raw: &[u8]) -> Result<Parsed<'_>, RecordError> {
    let event_type = required(&record, "eventType")?;
    let (kind, subject) = match kind::read(&record, &event_type)? {
        Reading::Used(kind, subject) => (kind, subject),
        Reading::Unused => return Ok(Parsed::Unused(event_type)),
    };
    let uuid = required(&record, "uuid")?;
    let time_ms = required_text_time_ms(&record, "published")?;
    let secret = typed_secret(&record, kind);
    if let Some(secret) = &secret {
        redact(&mut record, secret);
    }
    let Some(people) = People::of(&record, subject) else {
        return Ok(Parsed::Unused(format!("{event_type} without an account")));
    };
    if kind == MfaEventKind::PrimaryFailed && people.account.provider_id.is_empty() {
        // Whoever it was, it is no account here: guessed names would become people.
        return Ok(Parsed::Unused(format!("{event_type} of an unknown user")));
    }
    let event = MfaEvent {
        id: MfaEventId::derive(&[b"okta", uuid.as_bytes()]),
        provider: Provider::Okta,
        time_ms,
        kind,
        account: people.account,
        display_name: people.display_name,
        actor: people.actor,
        origin: origin(&record),
        previous_ip: debug(&record, "previousIpAddress").and_then(|ip| address(&ip)),
        factor: factor(&record, &event_type),
        application: application(&record),
        flow: flow(&record),
        novelty: security::novelty(&record),
        risk: security::risk(&record),
        detail: text(&record, &["outcome", "reason"]),
    };
    let kept = kept(&record, raw, secret.is_some());
    Ok(Parsed::Events(vec![event], kept))
}

/// A value of `debugData`.
fn debug(record: &Value, name: &str) -> Option<String> {
    text(record, &["debugContext", "debugData", name])
}

/// Whose event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    /// Who acts; a target where that is no person.
    Actor,
    /// Whom it is done to; who acts where there is no such person.
    Target,
}

/// The people of a record.
struct People {
    account: AccountKey,
    display_name: Option<String>,
    /// Somebody else, where an event is about a change to the account.
    actor: Option<Actor>,
}

impl People {
    fn of(record: &Value, subject: Subject) -> Option<Self> {
        let is_user = |value: &&Value| text(value, &["type"]).is_some_and(|kind| kind == "User");
        let actor = field(record, &["actor"]);
        let targets = field(record, &["target"]).and_then(Value::as_array);
        let target = targets.into_iter().flatten().find(is_user);
        let acting = actor.filter(is_user);
        let person = match subject {
            Subject::Actor => acting.or(target)?,
            Subject::Target => target.or(acting)?,
        };
        let account = account(person);
        if identity_keys(&account).is_empty() {
            return None;
        }
        let other = actor
            .filter(|_| subject == Subject::Target)
            .map(|actor| Actor {
                kind: text(actor, &["type"]).unwrap_or_default(),
                provider_id: text(actor, &["id"]).unwrap_or_default(),
                login: login(actor),
            });
        Some(Self {
            display_name: text(person, &["displayName"]).filter(|name| name != REDACTED),
            actor: other.filter(|other| !is_same(other, &account)),
            account,
        })
    }
}

fn account(person: &Value) -> AccountKey {
    AccountKey {
        provider: Provider::Okta,
        provider_id: text(person, &["id"]).unwrap_or_default(),
        login: login(person),
    }
}

fn login(person: &Value) -> String {
    let login = text(person, &["alternateId"]).filter(|login| login != REDACTED);
    login.map(|login| fold_login(&login)).unwrap_or_default()
}

fn is_same(actor: &Actor, account: &AccountKey) -> bool {
    if actor.provider_id.is_empty() || account.provider_id.is_empty() {
        return actor.login == account.login;
    }
    actor.provider_id == account.provider_id
}

/// What was typed as user name in a sign-in that failed, where it is no address: people type their
/// password there. A short name is lost with it; the provider's id still tells whose it is.
fn typed_secret(record: &Value, kind: MfaEventKind) -> Option<String> {
    let failed = field(record, &["outcome", "result"]).and_then(Value::as_str) == Some("FAILURE");
    if !failed && kind != MfaEventKind::PrimaryFailed {
        return None;
    }
    typed(field(record, &["actor", "alternateId"])?.as_str()?)
}

fn origin(record: &Value) -> Origin {
    let geo = |name: &str| text(record, &["client", "geographicalContext", name]);
    let agent = |name: &str| text(record, &["client", "userAgent", name]);
    let security = |name: &str| field(record, &["securityContext", name]);
    let in_chain = || {
        let chain = field(record, &["request", "ipChain"])?.as_array()?;
        text(chain.first()?, &["ip"])
    };
    let ip = debug(record, "newIpAddress")
        .or_else(|| text(record, &["client", "ipAddress"]))
        .or_else(in_chain);
    let tunnels = debug(record, "tunnels").unwrap_or_default();
    let is_tunnel = tunnels.contains("\"anonymous\":true").then_some(true);
    Origin {
        ip: ip.and_then(|ip| address(&ip)),
        place: Place {
            country: geo("country").map(|name| country(&name)),
            region: geo("state"),
            city: geo("city"),
        },
        asn: security("asNumber")
            .and_then(Value::as_u64)
            .and_then(|n| u32::try_from(n).ok()),
        as_org: text(record, &["securityContext", "asOrg"]),
        is_proxy: is_tunnel.or_else(|| security("isProxy").and_then(Value::as_bool)),
        user_agent: agent("rawUserAgent"),
        os: agent("os"),
        browser: agent("browser"),
        device_id: text(record, &["device", "id"]),
        device_token: debug(record, "dtHash"),
        device_fingerprint: debug(record, "deviceFingerprint"),
    }
}

fn flow(record: &Value) -> FlowIds {
    let context = |name: &str| text(record, &["authenticationContext", name]);
    // A job is about many people at once.
    let is_job = text(record, &["transaction", "type"]).is_some_and(|kind| kind == "JOB");
    FlowIds {
        transaction: text(record, &["transaction", "id"]).filter(|_| !is_job),
        authentication: debug(record, "authnRequestId"),
        session: context("externalSessionId"),
        root_session: context("rootSessionId"),
    }
}

fn application(record: &Value) -> Option<String> {
    let targets = field(record, &["target"])?.as_array()?;
    let app = targets
        .iter()
        .find(|target| text(target, &["type"]).is_some_and(|kind| kind == "AppInstance"))?;
    text(app, &["displayName"]).or_else(|| text(app, &["alternateId"]))
}

/// By the record's own word, else by what kind of record it is, else by the remark.
fn factor(record: &Value, event_type: &str) -> Option<Factor> {
    let by_type = match event_type {
        "system.push.send_factor_verify_push"
        | "user.mfa.okta_verify.deny_push"
        | "user.mfa.okta_verify.deny_push_upgrade_needed"
        | "user.mfa.okta_verify" => Some(Factor::Push),
        "system.sms.send_factor_verify_message" => Some(Factor::Sms),
        "system.voice.send_mfa_challenge_call" => Some(Factor::Voice),
        _ => None,
    };
    by_type
        .or_else(|| debug(record, "factor").map(|word| kind::factor(&word)))
        .or_else(|| kind::factor_in(&text(record, &["outcome", "reason"])?))
}

#[cfg(test)]
mod tests;
