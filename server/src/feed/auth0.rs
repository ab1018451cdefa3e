//! Auth0's tenant logs: as the Management API returns them, or streamed with `data` around the log.
//!
//! `gd_` codes are of the second factor: sent (`gd_send_pn`, `gd_send_sms`, `gd_send_voice`), answered
//! (`gd_auth_succeed`, `gd_auth_rejected`, `gd_auth_failed`), enrolled. An ignored prompt leaves only the row of its
//! sending. What an administrator changed is `sapi`, a call of the Management API: the path says whose factor it
//! is. Where a record came from (`channel`) is no condition: a prompt at a sign-in has none.

use serde_json::Value;
use tocsin_correlate::{
    AccountKey, Actor, Factor, MfaEventKind as Kind, Provider, fold_login, identity_keys,
};

use super::address::address;
use super::secret::{REDACTED, kept, redact, typed};
use super::split::EnvelopePath;
use super::time::required_time_ms;
use super::value::{field, required, text, word};
use super::{Parsed, RecordError, event};

/// The API's answers with totals, and log streams.
pub(super) const ENVELOPES: &[EnvelopePath] = &[&["logs"], &["events"], &["records"], &["items"]];

/// Understands one log entry.
pub(super) fn parse(mut record: Value, raw: &[u8]) -> Result<Parsed<'_>, RecordError> {
    let is_streamed = field(&record, &["data"]).is_some_and(Value::is_object);
    let inner = if is_streamed { "data" } else { "" };
    let of = |record: &Value| field(record, &[inner]).unwrap_or(record).clone();
    let mut log = of(&record);
    let code = required(&log, "type")?;
    let change = (code == "sapi").then(|| change(&log)).flatten();
    let Some(kind) = change
        .as_ref()
        .map(|change| change.0)
        .or_else(|| kind(&code))
    else {
        return Ok(Parsed::Unused(unused(code, &log)));
    };
    // What was typed, and nobody checked.
    let is_typed = matches!(
        kind,
        Kind::PrimaryFailed | Kind::RiskReported | Kind::AccountLocked | Kind::PolicyDenied
    );
    let secret = text(&log, &["user_name"])
        .filter(|_| is_typed)
        .and_then(|name| typed(&name));
    if let Some(secret) = &secret {
        redact(&mut record, secret);
        log = of(&record);
    }
    let id = text(&log, &["log_id"])
        .or_else(|| text(&record, &["log_id"]))
        .or_else(|| text(&log, &["_id"]))
        .ok_or(RecordError::Missing { field: "log_id" })?;
    let time_ms = required_time_ms(&log, &[("date", &["date"])])?;
    let own = account(&log);
    let account = change.map_or_else(|| own.clone(), |change| change.1);
    if identity_keys(&account).is_empty() {
        return Ok(Parsed::Unused(format!("{code} without an account")));
    }
    if kind == Kind::PrimaryFailed && account.provider_id.is_empty() {
        // Whoever it was, it is no account here: guessed names would become people.
        return Ok(Parsed::Unused(format!("{code} of an unknown user")));
    }
    let mut event = event(&[id.as_bytes()], time_ms, kind, account);
    event.actor = (code == "sapi" && own.provider_id != event.account.provider_id).then(|| Actor {
        kind: "User".to_owned(),
        provider_id: own.provider_id,
        login: own.login,
    });
    event.origin.ip = text(&log, &["ip"]).and_then(|ip| address(&ip));
    event.origin.user_agent = text(&log, &["user_agent"]);
    let country = text(&log, &["location_info", "country_code"]);
    event.origin.place.country = country.map(|code| code.to_uppercase());
    event.origin.place.city = text(&log, &["location_info", "city_name"]);
    event.factor = factor(&code, &log);
    event.application = text(&log, &["client_name"]);
    event.flow.transaction = text(&log, &["details", "transaction", "id"]);
    event.flow.session = text(&log, &["session_id"]);
    event.detail = text(&log, &["description"]);
    let kept = kept(&record, raw, secret.is_some());
    Ok(Parsed::Events(vec![event], kept))
}

/// What is not used. All calls of the Management API have one code: the remark says which it was.
fn unused(code: String, log: &Value) -> String {
    match text(log, &["description"]).filter(|_| code == "sapi") {
        Some(remark) => format!("{code}: {remark}"),
        None => code,
    }
}

/// The kind of a code; `None` where it is not used.
fn kind(code: &str) -> Option<Kind> {
    Some(match code {
        "s" => Kind::SessionStarted,
        "f" | "fp" | "fu" => Kind::PrimaryFailed,
        "mfar" | "gd_start_auth" => Kind::ChallengeRequired,
        "gd_send_pn" | "gd_send_sms" | "gd_send_voice" | "gd_send_email" => Kind::PromptSent,
        "gd_send_pn_failure"
        | "gd_send_sms_failure"
        | "gd_send_voice_failure"
        | "gd_send_email_failure"
        | "gd_webauthn_challenge_failed" => Kind::Error,
        "gd_auth_succeed" | "gd_recovery_succeed" => Kind::Approved,
        "gd_auth_rejected" => Kind::Denied,
        "gd_auth_failed" | "gd_recovery_failed" => Kind::WrongCode,
        "gd_otp_rate_limit_exceed" | "gd_recovery_rate_limit_exceed" => Kind::PolicyDenied,
        "gd_enrollment_complete" => Kind::FactorEnrolled,
        "gd_unenroll" => Kind::FactorRemoved,
        "gd_update_device_account" => Kind::FactorUpdated,
        "limit_wc" | "limit_sul" => Kind::AccountLocked,
        "pwd_leak" | "signup_pwd_leak" | "reset_pwd_leak" => Kind::RiskReported,
        "scp" => Kind::PasswordChanged,
        "srrt" => Kind::SessionRevoked,
        _ => return None,
    })
}

/// What a call of the Management API changed of a user's ways of signing in, and whose.
fn change(log: &Value) -> Option<(Kind, AccountKey)> {
    let request = |name: &str| text(log, &["details", "request", name]);
    let status = word(log, &["details", "response", "statusCode"])?;
    if !status.starts_with('2') {
        return None;
    }
    let path = request("path")?;
    let (_, rest) = path.split_once("/users/")?;
    let mut parts = rest.split('/');
    let user = parts.next()?.replace("%7C", "|").replace("%7c", "|");
    let (what, which) = (parts.next().unwrap_or_default(), parts.next());
    let method = request("method")?.to_ascii_lowercase();
    let body = |name: &str| field(log, &["details", "request", "body", name]).is_some();
    let kind = match (method.as_str(), what) {
        ("delete", "multifactor" | "authenticators") => Kind::FactorReset,
        ("delete", "authentication-methods") if which.is_none() => Kind::FactorReset,
        ("delete", "authentication-methods") => Kind::FactorRemoved,
        ("post", "authentication-methods") => Kind::FactorEnrolled,
        ("put" | "patch", "authentication-methods") => Kind::FactorUpdated,
        ("post", "recovery-code-regeneration") => Kind::BypassIssued,
        ("post", "roles") => Kind::PrivilegeGranted,
        ("delete", "sessions" | "refresh-tokens") => Kind::SessionRevoked,
        ("patch", "") if body("password") => Kind::PasswordReset,
        _ => return None,
    };
    let account = AccountKey {
        provider: Provider::Auth0,
        provider_id: user,
        login: String::new(),
    };
    Some((kind, account))
}

fn account(log: &Value) -> AccountKey {
    let login = text(log, &["user_name"]).filter(|name| name != REDACTED);
    let login = login.or_else(|| {
        // Of a call it is who calls.
        let user = |name: &str| text(log, &["details", "request", "auth", "user", name]);
        user("email")
            .filter(|_| user("user_id").is_some() && user("user_id") == text(log, &["user_id"]))
    });
    AccountKey {
        provider: Provider::Auth0,
        provider_id: text(log, &["user_id"]).unwrap_or_default(),
        login: login.map(|login| fold_login(&login)).unwrap_or_default(),
    }
}

/// By the code, else by what the remark names: "Guardian - Enrollment complete (sms)".
fn factor(code: &str, log: &Value) -> Option<Factor> {
    const WORDS: &[(&str, Factor)] = &[
        ("sms", Factor::Sms),
        ("voice", Factor::Voice),
        ("email", Factor::Email),
        ("push", Factor::Push),
        ("webauthn", Factor::Webauthn),
        ("recovery", Factor::BypassCode),
        ("otp", Factor::Totp),
    ];
    if matches!(
        code,
        "gd_send_pn" | "gd_send_pn_failure" | "gd_auth_rejected"
    ) {
        return Some(Factor::Push);
    }
    if !code.starts_with("gd_") {
        return None;
    }
    let remark = text(log, &["description"])
        .unwrap_or_default()
        .to_lowercase();
    let find = |text: &str| WORDS.iter().find(|(word, _)| text.contains(word));
    find(code)
        .or_else(|| find(&remark))
        .map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests;
