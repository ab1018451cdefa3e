//! Duo's logs of what administrators and people changed.
//!
//! Two shapes: `administrator` (v1) has `action`, whom it concerns in `object` and the rest in `description`, a
//! text that often holds JSON; `activity` (v2) has objects `action`, `actor`, `target`, `access_device`. Of the
//! first only actions that name a user are used; in the second the user is the target, or whoever acts on
//! something of their own.

use serde_json::Value;
use sha2::{Digest, Sha256};
use tocsin_correlate::{AccountKey, Actor, MfaEventKind as Kind, identity_keys};

use super::{Reading, event, factor, login_account, origin};
use crate::feed::RecordError;
use crate::feed::address::address;
use crate::feed::time::required_time_ms;
use crate::feed::value::{field, folded, object, required, text};

/// Understands a record of either log.
pub(super) fn read(record: &Value) -> Result<Reading, RecordError> {
    if field(record, &["action"]).is_some_and(Value::is_object) {
        return activity(record);
    }
    administrator(record)
}

/// The kind of a change.
fn changed(action: &str) -> Option<Kind> {
    Some(match action {
        "bypass_create" | "user_bypass_create" | "bypass_code_create" => Kind::BypassIssued,
        "phone_create"
        | "phone_associate"
        | "user_associate_phone"
        | "hardtoken_associate"
        | "hardtoken_assign"
        | "u2ftoken_create"
        | "webauthncredential_create"
        | "user_self_enrolled" => Kind::FactorEnrolled,
        "phone_update" | "phone_activation_code_regenerated" | "webauthncredential_rename" => {
            Kind::FactorUpdated
        }
        "phone_delete"
        | "phone_disassociate"
        | "hardtoken_disassociate"
        | "u2ftoken_delete"
        | "webauthncredential_delete" => Kind::FactorRemoved,
        "device_registration_create" | "computer_registration_create" => Kind::DeviceEnrolled,
        "user_lockout" | "user_adminapi_lockout" | "user_not_enrolled_lockout" => {
            Kind::AccountLocked
        }
        "user_marked_fraud" => Kind::SuspiciousReported,
        _ => return None,
    })
}

/// Whether a user was set to be let in without a second factor.
fn is_bypass(details: Option<&Value>) -> bool {
    details
        .and_then(|details| text(details, &["status"]))
        .is_some_and(|status| folded(&status) == "bypass")
}

fn administrator(record: &Value) -> Result<Reading, RecordError> {
    let action = required(record, "action")?;
    let description = object(record, &["description"]);
    let of = |name: &str| description.as_ref().and_then(|d| text(d, &[name]));
    let by_person = match action.as_str() {
        "admin_login" => Some(Kind::AdminAccess),
        "admin_2fa_error" | "admin_login_error" => Some(admin_failure(of("error"))),
        _ => None,
    };
    let change = changed(&action).or_else(|| {
        (action == "user_update" && is_bypass(description.as_ref())).then_some(Kind::BypassIssued)
    });
    let Some(kind) = by_person.or(change) else {
        return Ok(Reading::Unused(action));
    };
    let time_ms = required_time_ms(
        record,
        &[
            ("timestamp", &["isotimestamp"]),
            ("timestamp", &["timestamp"]),
        ],
    )?;
    let account = if by_person.is_some() {
        login_account(None, &[of("email")])
    } else {
        // What a phone is called says nothing of whose it is.
        let user = of("uname").or_else(|| of("user_name"));
        let is_about_user = action.starts_with("bypass") || action.starts_with("user");
        let named = text(record, &["object"]).filter(|_| is_about_user);
        login_account(of("user_id"), &[of("email"), user, named])
    };
    if identity_keys(&account).is_empty() {
        return Ok(Reading::Unused(format!("{action} without an account")));
    }
    let mut event = event(&[&digest(record)], time_ms, kind, account);
    event.origin.ip = of("ip_address").and_then(|ip| address(&ip));
    event.factor = of("factor").and_then(|name| factor(&folded(&name)));
    event.actor = text(record, &["username"])
        .filter(|_| by_person.is_none())
        .map(|name| Actor {
            kind: "admin".to_owned(),
            provider_id: name,
            login: String::new(),
        });
    event.detail = of("error").or(Some(action));
    Ok(Reading::Event(Box::new(event)))
}

/// Why an administrator's own prompt failed, as far as the remark says.
fn admin_failure(error: Option<String>) -> Kind {
    let error = error.unwrap_or_default().to_lowercase();
    if error.contains("fraud") {
        Kind::FraudReported
    } else if error.contains("denied") {
        Kind::Denied
    } else if error.contains("timed out") || error.contains("no response") {
        Kind::Unanswered
    } else if error.contains("passcode") {
        Kind::WrongCode
    } else {
        Kind::Error
    }
}

/// The log gives its records no id: what they say is their id, in whatever order it is written.
fn digest(record: &Value) -> [u8; 32] {
    let of = |name: &str| field(record, &[name]).map_or_else(String::new, Value::to_string);
    let names = [
        "timestamp",
        "isotimestamp",
        "action",
        "username",
        "object",
        "description",
    ];
    let all: Vec<String> = names.iter().map(|name| of(name)).collect();
    Sha256::digest(all.join("\n")).into()
}

fn activity(record: &Value) -> Result<Reading, RecordError> {
    let action = text(record, &["action", "name"]).ok_or(RecordError::Missing {
        field: "action.name",
    })?;
    let details = object(record, &["target", "details"]);
    let change = changed(&action).or_else(|| {
        (action == "user_update" && is_bypass(details.as_ref())).then_some(Kind::BypassIssued)
    });
    let is_login = action == "admin_login";
    let Some(kind) = change.or(is_login.then_some(Kind::AdminAccess)) else {
        return Ok(Reading::Unused(action));
    };
    let id = required(record, "activity_id")?;
    let time_ms = required_time_ms(record, &[("ts", &["ts"])])?;
    let outcome = text(record, &["outcome", "result"]).unwrap_or_default();
    if outcome.eq_ignore_ascii_case("FAILURE") {
        return Ok(Reading::Unused(format!("{action} that failed")));
    }
    let target = person(record, "target", details.as_ref());
    let actor = person(
        record,
        "actor",
        object(record, &["actor", "details"]).as_ref(),
    );
    let Some(account) = target.clone().or_else(|| actor.clone()) else {
        return Ok(Reading::Unused(format!("{action} without an account")));
    };
    let by_self = actor.as_ref().is_some_and(|actor| *actor == account);
    let mut event = event(&[id.as_bytes()], time_ms, kind, account);
    event.origin = origin(record);
    event.actor = (!by_self).then(|| Actor {
        kind: text(record, &["actor", "type"]).unwrap_or_default(),
        provider_id: text(record, &["actor", "key"]).unwrap_or_default(),
        login: actor.map(|actor| actor.login).unwrap_or_default(),
    });
    event.detail = Some(action);
    Ok(Reading::Event(Box::new(event)))
}

/// The person on one side of an activity; `None` where it is a phone, a policy, the API.
fn person(record: &Value, side: &str, details: Option<&Value>) -> Option<AccountKey> {
    let kind = text(record, &[side, "type"])?;
    let own = |name: &str| details.and_then(|details| text(details, &[name]));
    let (key, name) = match kind.as_str() {
        "user" => (text(record, &[side, "key"]), text(record, &[side, "name"])),
        // Administrators have no user key; only their mail joins them to anybody.
        "admin" => (None, None),
        "user_bypass" | "phone" | "hardtoken" | "webauthn_credential" | "u2f_token" => {
            (own("user_key"), own("username"))
        }
        _ => return None,
    };
    let account = login_account(key, &[own("email"), name]);
    (!identity_keys(&account).is_empty()).then_some(account)
}
