//! What a record says: event type, outcome and factor to a kind.

use serde_json::Value;
use tocsin_correlate::{Factor, MfaEventKind as Kind};

use super::{Subject, debug};
use crate::feed::RecordError;
use crate::feed::value::{field, text};

/// What a record is.
pub(super) enum Reading {
    /// An event of this kind, about this account.
    Used(Kind, Subject),
    /// Nothing that is used.
    Unused,
}

const PASSWORD: &str = "PASSWORD_AS_FACTOR";

/// Reads the kind.
pub(super) fn read(record: &Value, event_type: &str) -> Result<Reading, RecordError> {
    use Subject::{Actor, Target};
    let result = outcome(record);
    let is_success = matches!(result.as_deref(), Some("SUCCESS" | "ALLOW"));
    let used = |kind, subject| Ok(Reading::Used(kind, subject));
    // What is only meant when it was done.
    let done = |kind, subject| {
        if result.is_none() || is_success {
            used(kind, subject)
        } else {
            Ok(Reading::Unused)
        }
    };
    match event_type {
        "system.push.send_factor_verify_push"
        | "system.sms.send_factor_verify_message"
        | "system.voice.send_mfa_challenge_call" => {
            let sent = result.is_none() || is_success;
            used(if sent { Kind::PromptSent } else { Kind::Error }, Target)
        }
        "user.authentication.auth_via_mfa" | "user.mfa.okta_verify" => answer(record),
        "user.mfa.okta_verify.deny_push" => used(Kind::Denied, Actor),
        "user.mfa.okta_verify.deny_push_upgrade_needed" => used(Kind::UpgradeNeeded, Actor),
        "user.mfa.attempt_bypass" => used(Kind::BypassAttempted, Actor),
        "user.account.report_suspicious_activity_by_enduser" => {
            used(Kind::SuspiciousReported, Target)
        }
        "user.mfa.factor.activate" => done(Kind::FactorEnrolled, Target),
        "user.mfa.factor.update" | "user.mfa.factor.unsuspend" => done(Kind::FactorUpdated, Target),
        "user.mfa.factor.deactivate" | "user.mfa.factor.suspend" => {
            done(Kind::FactorRemoved, Target)
        }
        "user.mfa.factor.reset_all" => done(Kind::FactorReset, Target),
        "device.enrollment.create" | "device.user.add" => done(Kind::DeviceEnrolled, Target),
        "user.session.start" => match result.as_deref() {
            Some("SUCCESS" | "ALLOW") => used(Kind::SessionStarted, Actor),
            Some(_) => used(Kind::PrimaryFailed, Actor),
            None => missing_result(),
        },
        "user.session.clear"
        | "user.authentication.universal_logout"
        | "user.authentication.universal_logout.scheduled" => done(Kind::SessionRevoked, Target),
        "user.session.context.change" => used(Kind::SessionMoved, Actor),
        "user.session.access_admin_app" => done(Kind::AdminAccess, Actor),
        "user.authentication.sso" => done(Kind::AppAccess, Actor),
        "policy.evaluate_sign_on" => Ok(match result.as_deref() {
            Some("CHALLENGE") => Reading::Used(Kind::ChallengeRequired, Actor),
            Some("DENY") => Reading::Used(Kind::PolicyDenied, Actor),
            _ => Reading::Unused,
        }),
        "user.risk.detect" | "user.risk.change" => used(Kind::RiskReported, Target),
        "user.account.reset_password" => done(Kind::PasswordReset, Target),
        "user.account.update_password" => done(Kind::PasswordChanged, Target),
        "user.account.lock" => used(Kind::AccountLocked, Target),
        "user.account.privilege.grant" => done(Kind::PrivilegeGranted, Target),
        _ => Ok(Reading::Unused),
    }
}

fn outcome(record: &Value) -> Option<String> {
    text(record, &["outcome", "result"]).map(|result| result.to_ascii_uppercase())
}

fn missing_result() -> Result<Reading, RecordError> {
    Err(RecordError::Missing {
        field: "outcome.result",
    })
}

/// The answer to a factor, which Identity Engine also writes for the password.
fn answer(record: &Value) -> Result<Reading, RecordError> {
    if field(record, &["outcome", "result"]).is_some_and(|value| !value.is_string()) {
        return Err(RecordError::Wrong {
            field: "outcome.result",
            expected: "a text",
        });
    }
    let Some(result) = outcome(record) else {
        return missing_result();
    };
    let is_password = debug(record, "factor").is_some_and(|word| word == PASSWORD);
    let kind = match (result.as_str(), is_password) {
        ("SUCCESS" | "ALLOW", true) => Kind::PasswordAccepted,
        ("SUCCESS" | "ALLOW", false) => Kind::Approved,
        (_, true) => Kind::PrimaryFailed,
        ("UNANSWERED", _) => Kind::Unanswered,
        ("ABANDONED", _) => Kind::Abandoned,
        ("FAILURE", _) => failure(record),
        ("DENY" | "RATE_LIMIT", _) => Kind::Error,
        _ => return Ok(Reading::Unused),
    };
    Ok(Reading::Used(kind, Subject::Actor))
}

/// Why a second factor failed: by the person, by a wrong code, or by itself.
fn failure(record: &Value) -> Kind {
    let number = debug(record, "pushWithNumberChallengeResponseType");
    match number.as_deref() {
        Some("OV_WITH_CHALLENGE_RESPONSE_INVALID") => return Kind::WrongNumber,
        Some("OV_WITH_CHALLENGE_RESPONSE_ERROR") => return Kind::Error,
        _ => {}
    }
    match debug(record, "pushOnlyResponseType").as_deref() {
        Some("OV_RESPONSE_DENY") => return Kind::Denied,
        Some("OV_RESPONSE_ERROR" | "OV_RESPONSE_APPROVE") => return Kind::Error,
        _ => {}
    }
    let reason = text(record, &["outcome", "reason"])
        .unwrap_or_default()
        .to_ascii_lowercase();
    if reason.contains("phishing") {
        return Kind::PhishingBlocked;
    }
    if reason.contains("rejected okta push") || reason.contains("user rejected") {
        return Kind::Denied;
    }
    if reason != "invalid_credentials" {
        return Kind::Error;
    }
    match debug(record, "factor").map(|word| factor(&word)) {
        Some(Factor::Push) => Kind::Denied,
        Some(Factor::Totp | Factor::Sms | Factor::Voice | Factor::Email) => Kind::WrongCode,
        Some(Factor::HardwareToken | Factor::SecurityQuestion) => Kind::WrongCode,
        // Not told which: that would be a denial or a wrong code, and unknown is not a denial.
        _ => Kind::Error,
    }
}

/// Words within Okta's names of factors; the first that fits decides.
const FACTORS: &[(&str, Factor)] = &[
    ("PUSH", Factor::Push),
    ("SIGNED_NONCE", Factor::DeviceBound),
    ("FASTPASS", Factor::DeviceBound),
    ("WEBAUTHN", Factor::Webauthn),
    ("U2F", Factor::Webauthn),
    ("QUESTION", Factor::SecurityQuestion),
    ("SMS", Factor::Sms),
    ("CALL", Factor::Voice),
    ("VOICE", Factor::Voice),
    ("EMAIL", Factor::Email),
    ("SOFT_TOKEN", Factor::Totp),
    ("TOTP", Factor::Totp),
    ("GOOGLE_AUTH", Factor::Totp),
    ("GOOGLE_OTP", Factor::Totp),
    ("YUBIKEY", Factor::HardwareToken),
    ("RSA", Factor::HardwareToken),
    ("SYMANTEC", Factor::HardwareToken),
    ("HOTP", Factor::HardwareToken),
    ("HARDWARE", Factor::HardwareToken),
];

/// The factor of Okta's name for it.
pub(super) fn factor(word: &str) -> Factor {
    factor_in(word).unwrap_or(Factor::Other)
}

/// The factor that a remark speaks of: "User set up OKTA_VERIFY_PUSH factor".
pub(super) fn factor_in(remark: &str) -> Option<Factor> {
    let remark = remark.to_ascii_uppercase();
    FACTORS
        .iter()
        .find(|(word, _)| remark.contains(word))
        .map(|(_, factor)| *factor)
}
