//! OneLogin's events: by the API, or as its broadcaster sends them.
//!
//! A kind is a number. A failed sign-in has one number whatever the step: what `error_description` says tells a
//! second factor from the password. No record is written when a prompt is sent. `user_name` is a display name in
//! most accounts and a mail address in some; only an address joins an account to a person.

use serde_json::Value;
use tocsin_correlate::{
    AccountKey, Actor, Factor, MfaEventKind as Kind, Provider, Risk, fold_login, identity_keys,
    is_address,
};

use super::address::address;
use super::secret::kept;
use super::split::EnvelopePath;
use super::time::required_time_ms;
use super::value::{required_word, text, word};
use super::{Parsed, RecordError, event};

/// The API's answers, and batches of the broadcaster.
pub(super) const ENVELOPES: &[EnvelopePath] = &[&["data"], &["events"], &["records"], &["items"]];

/// Scores from here on are high, of 100.
const RISK_HIGH: i64 = 75;
/// Scores from here on are medium.
const RISK_MEDIUM: i64 = 40;

/// Understands one event.
pub(super) fn parse<'a>(record: &Value, raw: &'a [u8]) -> Result<Parsed<'a>, RecordError> {
    let number = required_word(record, "event_type_id")?;
    let what = text(record, &["error_description"])
        .or_else(|| text(record, &["notes"]))
        .map(|what| what.to_lowercase())
        .unwrap_or_default();
    let user = person(record, "user_id", "user_name");
    let actor = person(record, "actor_user_id", "actor_user_name");
    let is_own = actor.provider_id.is_empty() || actor.provider_id == user.provider_id;
    let Some(kind) = kind(&number, &what, is_own) else {
        return Ok(Parsed::Unused(format!("event type {number}")));
    };
    let id = required_word(record, "id").or_else(|_| required_word(record, "uuid"));
    let id = id.map_err(|_| RecordError::Missing { field: "id" })?;
    let time_ms = required_time_ms(
        record,
        &[
            ("created_at", &["created_at"]),
            ("created_at", &["event_timestamp"]),
        ],
    )?;
    if user.provider_id.is_empty() && kind == Kind::PrimaryFailed {
        // Whoever it was, it is no account here: guessed names would become people.
        return Ok(Parsed::Unused(format!(
            "event type {number} of an unknown user"
        )));
    }
    if identity_keys(&user).is_empty() {
        return Ok(Parsed::Unused(format!(
            "event type {number} without an account"
        )));
    }
    let mut event = event(&[id.as_bytes()], time_ms, kind, user);
    event.display_name = text(record, &["user_name"]).filter(|name| !is_address(&fold_login(name)));
    event.actor = (!is_own).then(|| Actor {
        kind: "User".to_owned(),
        provider_id: actor.provider_id,
        login: actor.login,
    });
    event.origin.ip = text(record, &["ipaddr"]).and_then(|ip| address(&ip));
    event.origin.user_agent = text(record, &["user_agent"]);
    event.factor = text(record, &["otp_device_name"])
        .and_then(|name| factor(&name.to_lowercase()))
        .or_else(|| factor(&what));
    event.application = text(record, &["app_name"]);
    event.risk = word(record, &["risk_score"])
        .and_then(|score| score.parse().ok())
        .and_then(risk);
    event.detail = text(record, &["error_description"]).or_else(|| text(record, &["notes"]));
    Ok(Parsed::Events(vec![event], kept(record, raw, false)))
}

/// The kind of an event type; `None` where it is not used.
fn kind(number: &str, what: &str, is_own: bool) -> Option<Kind> {
    Some(match number {
        "5" | "122" | "140" => Kind::SessionStarted,
        "6" | "86" | "123" | "141" => failure(what),
        "8" | "78" => Kind::AppAccess,
        "68" => Kind::Approved,
        "69" => failure(what),
        "10" | "11" if is_own => Kind::PasswordChanged,
        "10" | "11" | "18" => Kind::PasswordReset,
        "19" | "21" | "531" | "551" | "553" => Kind::AccountLocked,
        "22" => Kind::FactorEnrolled,
        "24" | "36" => Kind::FactorRemoved,
        "40" => Kind::FactorUpdated,
        "72" | "151" => Kind::PrivilegeGranted,
        _ => return None,
    })
}

/// Which step of a sign-in failed, as far as the remark says.
fn failure(what: &str) -> Kind {
    let says = |words: &[&str]| words.iter().any(|word| what.contains(word));
    let is_factor = says(&[
        "otp",
        "mfa",
        "second factor",
        "push",
        "security code",
        "verification",
    ]);
    if !is_factor {
        return Kind::PrimaryFailed;
    }
    if says(&["denied", "rejected", "declined"]) {
        Kind::Denied
    } else if says(&["timed out", "timeout", "no response", "expired"]) {
        Kind::Unanswered
    } else if says(&["push"]) {
        Kind::Error
    } else {
        Kind::WrongCode
    }
}

fn person(record: &Value, id: &str, name: &str) -> AccountKey {
    let login = text(record, &[name]).map(|name| fold_login(&name));
    AccountKey {
        provider: Provider::OneLogin,
        provider_id: word(record, &[id])
            .filter(|id| id != "0")
            .unwrap_or_default(),
        login: login.filter(|login| is_address(login)).unwrap_or_default(),
    }
}

/// The factor that a device's name or a remark in lower case speaks of.
fn factor(text: &str) -> Option<Factor> {
    const WORDS: &[(&str, Factor)] = &[
        ("sms", Factor::Sms),
        ("voice", Factor::Voice),
        ("email", Factor::Email),
        ("webauthn", Factor::Webauthn),
        ("yubikey", Factor::HardwareToken),
        ("google authenticator", Factor::Totp),
        ("push", Factor::Push),
        ("onelogin protect", Factor::Push),
        ("duo", Factor::External),
        ("otp", Factor::Totp),
    ];
    let found = WORDS.iter().find(|(word, _)| text.contains(word));
    found.map(|(_, factor)| *factor)
}

fn risk(score: i64) -> Option<Risk> {
    match score {
        RISK_HIGH.. => Some(Risk::High),
        RISK_MEDIUM..RISK_HIGH => Some(Risk::Medium),
        1..RISK_MEDIUM => Some(Risk::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
