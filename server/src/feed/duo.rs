//! Cisco Duo's Admin API logs.
//!
//! | log | told by | what is used |
//! |---|---|---|
//! | authentication, v1 and v2 | `result` | every record: one attempt with its outcome; "push sent" is not logged |
//! | activity, v2 | `activity_id` | changes to a person's factors, bypass codes ([`admin`]) |
//! | administrator, v1 | `action`, a text | the same, and prompts of administrators |
//! | telephony | `telephony_id`, or `phone` and `type` | nothing: a call or message names a phone, no account |
//!
//! The versions spell one record differently: v1 has "User approved", "SUCCESS" and the address at the top,
//! v2 `user_approved`, `success` and `access_device`. Where it came from is the access device; the other one,
//! `auth_device` or `device`, is the phone and says nothing of it. A user name is often a short one: only
//! `email`, where there is one, joins the account to a person.

mod admin;

use serde_json::Value;
use tocsin_correlate::{
    AccountKey, Factor, FlowIds, MfaEvent, MfaEventKind as Kind, Origin, Place, Provider, Risk,
    fold_login, identity_keys, is_address,
};

use super::address::address;
use super::country::country;
use super::secret::kept;
use super::split::EnvelopePath;
use super::time::required_time_ms;
use super::value::{field, folded, required_word, text, word};
use super::{Parsed, RecordError, event};

/// The API's answers, with and without its own envelope, and what clients leave of it.
pub(super) const ENVELOPES: &[EnvelopePath] = &[
    &["response", "authlogs"],
    &["response", "items"],
    &["response"],
    &["authlogs"],
    &["items"],
    &["records"],
    &["logs"],
];

/// Understands one record.
pub(super) fn parse<'a>(record: &Value, raw: &'a [u8]) -> Result<Parsed<'a>, RecordError> {
    let understood = if field(record, &["activity_id"]).is_some()
        || field(record, &["action"]).is_some_and(|action| !action.is_null())
    {
        admin::read(record)?
    } else if field(record, &["result"]).is_some() {
        authentication(record)?
    } else if field(record, &["telephony_id"]).is_some() || is_old_telephony(record) {
        Reading::Unused("telephony, which names no account".to_owned())
    } else {
        return Err(RecordError::Missing { field: "result" });
    };
    Ok(match understood {
        Reading::Event(event) => Parsed::Events(vec![*event], kept(record, raw, false)),
        Reading::Unused(what) => Parsed::Unused(what),
    })
}

/// What a record is.
enum Reading {
    Event(Box<MfaEvent>),
    Unused(String),
}

fn is_old_telephony(record: &Value) -> bool {
    ["phone", "type", "context"]
        .iter()
        .all(|name| field(record, &[name]).is_some())
}

/// What must be there of a text that is spelled in either way.
fn required_folded(record: &Value, name: &'static str) -> Result<String, RecordError> {
    required_word(record, name).map(|text| folded(&text))
}

fn authentication(record: &Value) -> Result<Reading, RecordError> {
    let result = required_folded(record, "result")?;
    let reason = text(record, &["reason"]).map(|reason| folded(&reason));
    let reason = reason.unwrap_or_default();
    let factor_word = text(record, &["factor"]).map(|factor| folded(&factor));
    let time_ms = required_time_ms(
        record,
        &[
            ("timestamp", &["isotimestamp"]),
            ("timestamp", &["timestamp"]),
        ],
    )?;
    let account = account(record);
    if identity_keys(&account).is_empty() {
        return Err(RecordError::Missing { field: "user" });
    }
    let factor = factor_word.as_deref().and_then(factor);
    let is_enrollment =
        text(record, &["event_type"]).is_some_and(|kind| folded(&kind) == "enrollment");
    let kind = if is_enrollment {
        if result != "success" {
            return Ok(Reading::Unused("enrollment that failed".to_owned()));
        }
        Kind::FactorEnrolled
    } else {
        kind(&result, &reason, factor)
    };
    let txid = text(record, &["txid"]);
    let composed = composed_id(record, time_ms, &account);
    let id = txid.clone().unwrap_or(composed);
    let mut event = event(&[id.as_bytes()], time_ms, kind, account);
    event.origin = origin(record);
    event.factor = factor;
    event.application =
        text(record, &["application", "name"]).or_else(|| text(record, &["integration"]));
    event.flow = FlowIds {
        transaction: txid,
        ..FlowIds::default()
    };
    event.risk = (reason == "anomalous_push").then_some(Risk::High);
    event.detail = Some(if reason.is_empty() { result } else { reason });
    Ok(Reading::Event(Box::new(event)))
}

/// What came of an attempt. `result` says who let in or not; only `reason` says what the person did.
fn kind(result: &str, reason: &str, factor: Option<Factor>) -> Kind {
    if result == "fraud" || reason == "user_marked_fraud" {
        return Kind::FraudReported;
    }
    if result == "success" {
        return match reason {
            "user_approved" | "valid_passcode" => Kind::Approved,
            // Let in by a policy or a remembered device: nobody was asked.
            "remembered_device"
            | "trusted_network"
            | "trusted_location"
            | "bypass_user"
            | "allowed_by_policy"
            | "allow_unenrolled_user"
            | "allow_unenrolled_user_on_trusted_network" => Kind::SessionStarted,
            _ if factor.is_some() => Kind::Approved,
            _ => Kind::SessionStarted,
        };
    }
    match reason {
        // The person says on the phone that it was not meant, without a report of fraud.
        "user_mistake" | "user_denied" => Kind::Denied,
        "no_response" | "no_keys_pressed" | "call_timed_out" => Kind::Unanswered,
        // Whoever signs in gave up.
        "user_cancelled" => Kind::Abandoned,
        "verification_code_incorrect" | "verification_code_missing" => Kind::WrongNumber,
        "invalid_passcode" => Kind::WrongCode,
        "locked_out" => Kind::AccountLocked,
        // Duo itself took the push for an attack; whether the person saw it is not told.
        "anomalous_push" | "error" | "invalid_device" | "" => Kind::Error,
        _ if POLICIES.iter().any(|policy| reason.contains(policy)) => Kind::PolicyDenied,
        _ => Kind::Error,
    }
}

/// Words within the reasons by which a policy refuses.
const POLICIES: &[&str] = &[
    "restricted",
    "policy",
    "deny_",
    "denied_network",
    "no_user_allowed",
    "user_disabled",
    "user_provided_invalid_certificate",
    "frequent_attempts",
    "anonymous_ip",
    "endpoint",
    "out_of_date",
    "no_activated_duo_mobile_account",
    "no_screen_lock",
    "no_disk_encryption",
    "rooted_device",
    "touchid_disabled",
    "referring_hostname",
    "referer",
    "certificate",
    "restricted_os",
];

/// The factor of Duo's name for it; `None` where no factor was asked for.
fn factor(folded: &str) -> Option<Factor> {
    Some(match folded {
        "duo_push" | "verified_duo_push" | "push" => Factor::Push,
        "phone_call" | "phone" => Factor::Voice,
        "sms_passcode" | "sms_refresh" | "sms" => Factor::Sms,
        "passcode" | "duo_mobile_passcode" => Factor::Totp,
        "hardware_token" | "yubikey_code" | "yubikey_passcode" | "digipass_go_7_token" => {
            Factor::HardwareToken
        }
        "u2f_token"
        | "security_key"
        | "webauthn"
        | "platform_authenticator"
        | "roaming_authenticator"
        | "touch_id" => Factor::Webauthn,
        "duo_desktop" => Factor::DeviceBound,
        "bypass_code" => Factor::BypassCode,
        "not_available"
        | "remembered_device"
        | "trusted_network"
        | "trusted_location"
        | "trusted_mobile_authenticator"
        | "" => {
            return None;
        }
        other if other.contains("webauthn") => Factor::Webauthn,
        _ => Factor::Other,
    })
}

fn account(record: &Value) -> AccountKey {
    let name = text(record, &["user", "name"]).or_else(|| text(record, &["username"]));
    let names = [name, text(record, &["email"]), text(record, &["alias"])];
    login_account(text(record, &["user", "key"]), &names)
}

/// The account of a user key and names: the first that is an address, else the first.
fn login_account(key: Option<String>, names: &[Option<String>]) -> AccountKey {
    let logins: Vec<String> = names
        .iter()
        .flatten()
        .map(|name| fold_login(name))
        .collect();
    let login = logins.iter().find(|login| is_address(login));
    AccountKey {
        provider: Provider::Duo,
        provider_id: key.unwrap_or_default(),
        login: login.or(logins.first()).cloned().unwrap_or_default(),
    }
}

/// Records of v1 may have no `txid`: then all that they say is their id.
fn composed_id(record: &Value, time_ms: i64, account: &AccountKey) -> String {
    let of = |path: &[&str]| word(record, path).unwrap_or_default();
    let address = of(&["ip"]);
    format!(
        "{}/{}/{}/{}/{}/{}/{address}",
        time_ms / 1000,
        account.login,
        folded(&of(&["factor"])),
        folded(&of(&["result"])),
        folded(&of(&["reason"])),
        of(&["integration"]),
    )
}

/// Of the access device; v1 has its address and place at the top.
fn origin(record: &Value) -> Origin {
    let device = |name: &str| text(record, &["access_device", name]);
    let in_place = |name: &str| {
        text(record, &["access_device", "location", name])
            .or_else(|| text(record, &["location", name]))
    };
    let ip = device("ip")
        .or_else(|| text(record, &["access_device", "ip", "address"]))
        .or_else(|| text(record, &["ip"]));
    Origin {
        ip: ip.and_then(|ip| address(&ip)),
        place: Place {
            country: in_place("country").map(|name| country(&name)),
            region: in_place("state"),
            city: in_place("city"),
        },
        os: device("os"),
        browser: device("browser"),
        device_id: device("epkey"),
        ..Origin::default()
    }
}

#[cfg(test)]
mod tests;
