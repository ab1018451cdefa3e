//! Google Workspace's Reports API: activities of the applications `login`, `user_accounts`, `token`, `saml` and `admin`.
//!
//! An activity has one time, actor and address, and one event or more, each with a name and parameters. An export
//! may be flattened: one event, with `name` and `parameters` beside `actor`. Google does not log that a prompt was
//! sent; a challenge is told with its outcome, and a failed sign-in with why it failed. Whose event it is: the
//! actor's, or where an administrator changes somebody, or Google warns of somebody, that person's.

use serde_json::Value;
use tocsin_correlate::{
    AccountKey, Actor, Factor, MfaEvent, MfaEventKind as Kind, Provider, Risk, fold_login,
    identity_keys, is_address,
};

use super::address::address;
use super::secret::kept;
use super::split::EnvelopePath;
use super::time::required_time_ms;
use super::value::{field, list, scalar, text, word};
use super::{EVENTS_MAX, Parsed, RecordError, event};

/// The API's answers.
pub(super) const ENVELOPES: &[EnvelopePath] = &[&["items"], &["records"], &["logs"]];

/// Understands one activity.
pub(super) fn parse<'a>(record: &Value, raw: &'a [u8]) -> Result<Parsed<'a>, RecordError> {
    let application = text(record, &["id", "applicationName"]).unwrap_or_default();
    let flat = [record.clone()];
    let parts = match list(record, &["events"]) {
        [] => &flat[..],
        events => events,
    };
    let mut events = Vec::new();
    let mut unused = None;
    for (number, part) in parts.iter().enumerate() {
        let name = text(part, &["name"]).ok_or(RecordError::Missing { field: "name" })?;
        let name = name.trim().to_owned();
        let Some((kind, factor)) = kind(&application, &name, part) else {
            unused.get_or_insert_with(|| format!("{application} {name}"));
            continue;
        };
        match one(record, part, (number, &name), (kind, factor))? {
            Some(event) => events.push(event),
            None => {
                unused.get_or_insert_with(|| format!("{name} without an account"));
            }
        }
        if events.len() > EVENTS_MAX {
            return Err(RecordError::TooMany);
        }
    }
    if events.is_empty() {
        return Ok(Parsed::Unused(unused.unwrap_or(application)));
    }
    Ok(Parsed::Events(events, kept(record, raw, false)))
}

/// One event of an activity; `None` where it is nobody's.
fn one(
    record: &Value,
    part: &Value,
    (number, name): (usize, &str),
    (kind, factor): (Kind, Option<Factor>),
) -> Result<Option<MfaEvent>, RecordError> {
    let own = word(record, &["id", "uniqueQualifier"]).ok_or(RecordError::Missing {
        field: "id.uniqueQualifier",
    })?;
    let time_ms = required_time_ms(record, &[("id.time", &["id", "time"])])?;
    let actor = account(record);
    let affected = parameter(part, "affected_email_address")
        .or_else(|| parameter(part, "USER_EMAIL"))
        .map(|mail| AccountKey {
            provider: Provider::Google,
            provider_id: String::new(),
            login: fold_login(&mail),
        })
        .filter(|affected| affected.login != actor.login);
    let is_by_other = affected.is_some() && !identity_keys(&actor).is_empty();
    let account = affected.unwrap_or_else(|| actor.clone());
    if kind == Kind::PrimaryFailed && !is_address(&account.login) && account.provider_id.is_empty()
    {
        // What was typed as user name and is no account here: it may be a password.
        return Ok(None);
    }
    if identity_keys(&account).is_empty() {
        return Ok(None);
    }
    // One qualifier is only unique at its time; several events of one activity have their number.
    let (time, at) = (time_ms.to_be_bytes(), number.to_be_bytes());
    let mut event = event(
        &[own.as_bytes(), &time, name.as_bytes(), &at],
        time_ms,
        kind,
        account,
    );
    event.origin.ip = text(record, &["ipAddress"]).and_then(|ip| address(&ip));
    event.origin.asn = list(record, &["networkInfo", "ipAsn"])
        .first()
        .and_then(scalar)
        .and_then(|asn| asn.parse().ok());
    event.origin.place.country = text(record, &["networkInfo", "regionCode"])
        .map(|code| code.chars().take(2).collect::<String>().to_uppercase());
    event.actor = is_by_other.then(|| Actor {
        kind: text(record, &["actor", "callerType"]).unwrap_or_default(),
        provider_id: actor.provider_id,
        login: actor.login,
    });
    event.factor = factor;
    event.application = parameter(part, "app_name")
        .or_else(|| parameter(part, "application_name"))
        .or_else(|| parameter(part, "login_type"));
    event.risk = flagged(part, "is_suspicious").then_some(Risk::High);
    event.detail = parameter(part, "login_failure_type")
        .or_else(|| parameter(part, "login_challenge_status"))
        .or_else(|| Some(name.to_owned()));
    Ok(Some(event))
}

fn account(record: &Value) -> AccountKey {
    let mail = text(record, &["actor", "email"]);
    AccountKey {
        provider: Provider::Google,
        provider_id: word(record, &["actor", "profileId"]).unwrap_or_default(),
        login: mail.map(|mail| fold_login(&mail)).unwrap_or_default(),
    }
}

/// A parameter's value: parameters are a list of objects, or an object in flattened exports; a value is a text,
/// a truth value, or a list of texts of which the last is the newest.
fn parameter(part: &Value, name: &str) -> Option<String> {
    let parameters = field(part, &["parameters"])?;
    if parameters.is_object() {
        let value = field(parameters, &[name])?;
        let last = value.as_array().and_then(|values| values.last());
        return scalar(last.unwrap_or(value));
    }
    let found = list(parameters, &[])
        .iter()
        .find(|parameter| text(parameter, &["name"]).is_some_and(|own| own == name))?;
    let many = list(found, &["multiValue"]).last().and_then(scalar);
    many.or_else(|| word(found, &["value"]))
        .or_else(|| word(found, &["boolValue"]))
        .or_else(|| word(found, &["intValue"]))
}

fn flagged(part: &Value, name: &str) -> bool {
    parameter(part, name).is_some_and(|word| word.eq_ignore_ascii_case("true"))
}

/// What an event says, and of which factor; `None` where it is not used.
fn kind(application: &str, name: &str, part: &Value) -> Option<(Kind, Option<Factor>)> {
    let method = parameter(part, "login_challenge_method");
    let factor = method.as_deref().and_then(factor);
    let kind = match (application, name) {
        ("login", "login_success") => Kind::SessionStarted,
        ("login", "login_challenge" | "login_verification") => challenge(part, factor)?,
        ("login", "login_failure") => failure(part),
        ("login", name) if name.starts_with("account_disabled") => Kind::AccountLocked,
        (
            "login",
            "suspicious_login"
            | "suspicious_login_less_secure_app"
            | "suspicious_programmatic_login"
            | "gov_attack_warning"
            | "user_signed_out_due_to_suspicious_session_cookie",
        ) => Kind::RiskReported,
        ("user_accounts" | "login", "2sv_enroll" | "passkey_enrolled" | "titanium_enroll") => {
            Kind::FactorEnrolled
        }
        ("user_accounts" | "login", "2sv_disable" | "passkey_removed" | "titanium_unenroll") => {
            Kind::FactorRemoved
        }
        ("user_accounts", "recovery_phone_edit" | "recovery_email_edit") => Kind::FactorUpdated,
        ("user_accounts" | "login", "password_edit") => Kind::PasswordChanged,
        ("token", "authorize") | ("saml", "login_success") => Kind::AppAccess,
        ("admin", "CHANGE_PASSWORD") => Kind::PasswordReset,
        ("admin", "TURN_OFF_2_STEP_VERIFICATION") => Kind::FactorReset,
        ("admin", "REVOKE_SECURITY_KEY") => Kind::FactorRemoved,
        ("admin", "GENERATE_2_STEP_VERIFICATION_BACKUP_CODES" | "GENERATE_2SV_SCRATCH_CODES") => {
            Kind::BypassIssued
        }
        ("admin", "GRANT_ADMIN_PRIVILEGE" | "ASSIGN_ROLE") => Kind::PrivilegeGranted,
        ("admin", "RESET_SIGNIN_COOKIES") => Kind::SessionRevoked,
        _ => return None,
    };
    Some((kind, factor))
}

/// A challenge with its outcome. The password alone is no second factor.
fn challenge(part: &Value, factor: Option<Factor>) -> Option<Kind> {
    let method = parameter(part, "login_challenge_method").unwrap_or_default();
    let is_password = method.eq_ignore_ascii_case("password");
    let status = parameter(part, "login_challenge_status").unwrap_or_default();
    let status = status.to_lowercase();
    if status.contains("passed") {
        return Some(if is_password {
            Kind::PasswordAccepted
        } else {
            Kind::Approved
        });
    }
    if status.contains("failed") || status.contains("incorrect") {
        return Some(match factor {
            _ if is_password => Kind::PrimaryFailed,
            // Whether it was refused or ignored is not told.
            Some(Factor::Push) | None => Kind::Error,
            Some(_) => Kind::WrongCode,
        });
    }
    (!is_password).then_some(Kind::ChallengeRequired)
}

fn failure(part: &Value) -> Kind {
    let why = parameter(part, "login_failure_type").unwrap_or_default();
    match why.as_str() {
        "login_failure_invalid_second_factor" => Kind::WrongCode,
        "login_failure_account_disabled" => Kind::AccountLocked,
        "login_failure_access_code_disallowed" => Kind::PolicyDenied,
        _ => Kind::PrimaryFailed,
    }
}

/// The factor of Google's name for it.
fn factor(method: &str) -> Option<Factor> {
    Some(match method {
        "google_prompt" => Factor::Push,
        "google_authenticator" | "offline_otp" => Factor::Totp,
        "backup_code" => Factor::BypassCode,
        "security_key" | "passkey" => Factor::Webauthn,
        "security_key_otp" => Factor::HardwareToken,
        "idv_any_phone" | "idv_preregistered_phone" | "knowledge_preregistered_phone" => {
            Factor::Sms
        }
        "knowledge_preregistered_email" | "idv_any_email" => Factor::Email,
        "knowledge_employee_id" | "login_location" => Factor::SecurityQuestion,
        "none" | "password" | "" => return None,
        _ => Factor::Other,
    })
}

#[cfg(test)]
mod tests;
