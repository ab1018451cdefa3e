//! Sign-ins: an error code, and the steps that led to it.
//!
//! A code says where a sign-in stopped, not what the person did: that is in the remarks of the steps, or where a
//! record has none, of `status`. A step is known by its method alone, since the step that is said to be the
//! "Primary authentication" may be the second factor; and a sign-in without an error may have a second factor
//! that is still waited for.

use serde_json::Value;
use tocsin_correlate::{
    AccountKey, Factor, FlowIds, MfaEventKind as Kind, Origin, Place, Provider, Risk, fold_login,
    identity_keys,
};

use super::Record;
use crate::feed::address::address;
use crate::feed::country::country;
use crate::feed::secret::{REDACTED, kept, redact, typed};
use crate::feed::time::required_time_ms;
use crate::feed::value::{list, scalar, text, word};
use crate::feed::{Parsed, RecordError, event};

/// Steps of one sign-in that are looked at.
const STEPS_MAX: usize = 32;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Used(Kind, Option<Factor>),
    Unused,
}

/// Understands one sign-in.
pub(super) fn parse<'a>(
    record: Record<'_>,
    raw: &'a [u8],
    is_redacted: bool,
) -> Result<Parsed<'a>, RecordError> {
    let code = error_code(record)?;
    let steps = Steps::of(record);
    let is_interactive = record
        .field(&["isInteractive"])
        .and_then(scalar)
        .is_none_or(|word| !word.eq_ignore_ascii_case("false"));
    let reading = read(code, is_interactive, &steps);
    let Reading::Used(kind, factor) = reading else {
        let how = if is_interactive {
            ""
        } else {
            "non-interactive "
        };
        return Ok(Parsed::Unused(format!("{how}sign-in {code}")));
    };
    let id = record.required("id")?;
    let time_ms = required_time_ms(
        record.inner.unwrap_or(record.whole),
        &[("createdDateTime", &["createdDateTime"])],
    )
    .or_else(|error| match record.inner {
        Some(_) => required_time_ms(record.whole, &[("time", &["time"])]).map_err(|_| error),
        None => Err(error),
    })?;
    let account = account(record);
    if identity_keys(&account).is_empty() {
        return Ok(Parsed::Unused(format!("sign-in {code} without an account")));
    }
    if kind == Kind::PrimaryFailed && account.provider_id.is_empty() {
        // Whoever it was, it is no account here: guessed names would become people.
        return Ok(Parsed::Unused(format!("sign-in {code} of an unknown user")));
    }
    let what = format!("{kind:?}");
    let mut event = event(&[id.as_bytes(), what.as_bytes()], time_ms, kind, account);
    event.display_name = record
        .text(&["userDisplayName"])
        .filter(|name| name != REDACTED);
    event.origin = origin(record);
    event.factor = factor;
    event.application = record
        .text(&["appDisplayName"])
        .or_else(|| record.text(&["resourceDisplayName"]));
    event.flow = FlowIds {
        transaction: Some(id),
        authentication: record.text(&["correlationId"]),
        session: record.text(&["sessionId"]),
        root_session: None,
    };
    event.risk = risk(record);
    event.detail = steps.remark();
    Ok(Parsed::Events(
        vec![event],
        kept(record.whole, raw, is_redacted),
    ))
}

/// The record without what was typed as user name, where that is no address and the sign-in failed.
pub(super) fn without_secret(whole: &Value) -> Option<Value> {
    let record = Record::new(whole);
    if error_code(record).ok()? == 0 {
        return None;
    }
    let secret = typed(&record.text(&["userPrincipalName"])?)?;
    let mut redacted = whole.clone();
    redact(&mut redacted, &secret);
    Some(redacted)
}

/// A number in Graph, a text in `resultType`.
fn error_code(record: Record<'_>) -> Result<i64, RecordError> {
    let status = record.nested(&["status"]);
    let inner = status.and_then(|status| word(&status, &["errorCode"]));
    let outer = || record.field(&["resultType"]).and_then(scalar);
    let wrong = RecordError::Wrong {
        field: "status.errorCode",
        expected: "a number",
    };
    match inner.or_else(outer) {
        Some(code) => code.trim().parse().map_err(|_| wrong),
        None => Err(RecordError::Missing {
            field: "status.errorCode",
        }),
    }
}

fn read(code: i64, is_interactive: bool, steps: &Steps) -> Reading {
    let used = |kind| Reading::Used(kind, None);
    match code {
        0 if !is_interactive => Reading::Unused,
        0 => steps.success(),
        500_121 => Reading::Used(steps.refusal(), steps.factor()),
        // The password was right, the second factor is still to come, or still to be set up.
        50_072 | 50_074 | 50_076 | 50_079 => used(Kind::PasswordAccepted),
        // Another provider is to ask for it.
        50_158 => Reading::Used(Kind::PasswordAccepted, Some(Factor::External)),
        50_126 | 50_055 | 50_056 | 50_057 | 50_034 => used(Kind::PrimaryFailed),
        50_053 => used(Kind::AccountLocked),
        50_097 | 50_155 => used(Kind::ChallengeRequired),
        53_000..=53_004 | 530_032 | 530_034 | 50_105 => used(Kind::PolicyDenied),
        // A session that was ended does not go on: proof that ending it worked.
        50_132 | 50_133 => used(Kind::SessionRevoked),
        _ => Reading::Unused,
    }
}

/// One step: its method, and what came of it.
#[derive(Debug)]
struct Step {
    method: String,
    remark: String,
    succeeded: Option<bool>,
}

/// The steps of a sign-in beside the password, and the remark on all of it.
#[derive(Debug)]
struct Steps {
    steps: Vec<Step>,
    remark: String,
    original: Option<String>,
    /// The method of the record as a whole, as older records have it.
    method: Option<String>,
}

impl Steps {
    fn of(record: Record<'_>) -> Self {
        let details = record.nested(&["authenticationDetails"]);
        let details = details
            .as_ref()
            .map_or(&[][..], |details| list(details, &[]));
        let step = |step: &Value| Step {
            method: lower(text(step, &["authenticationMethod"])),
            remark: lower(text(step, &["authenticationStepResultDetail"])),
            succeeded: crate::feed::value::flag(step, &["succeeded"]),
        };
        let steps = details
            .iter()
            .take(STEPS_MAX)
            .map(step)
            .filter(|step| !is_password(&step.method))
            .collect();
        let status = record.nested(&["status"]);
        let of = |name: &str| status.as_ref().and_then(|status| text(status, &[name]));
        let original = of("additionalDetails")
            .or_else(|| of("failureReason"))
            .or_else(|| record.text(&["resultDescription"]));
        let mfa = record.nested(&["mfaDetail"]);
        Self {
            steps,
            remark: lower(original.clone()),
            original,
            method: mfa
                .and_then(|mfa| text(&mfa, &["authMethod"]))
                .map(|method| method.to_lowercase()),
        }
    }

    /// All remarks, the steps' first.
    fn remarks(&self) -> impl Iterator<Item = &str> {
        let steps = self.steps.iter().map(|step| step.remark.as_str());
        steps.chain([self.remark.as_str()])
    }

    fn says(&self, words: &[&str]) -> bool {
        self.remarks()
            .any(|remark| words.iter().any(|word| remark.contains(word)))
    }

    fn remark(&self) -> Option<String> {
        self.original.clone()
    }

    /// A sign-in without an error.
    fn success(&self) -> Reading {
        if self.says(&["external"])
            || self
                .steps
                .iter()
                .any(|step| step.method.contains("external"))
        {
            return Reading::Used(Kind::Approved, Some(Factor::External));
        }
        if self.says(&["in progress"]) && !self.is_completed() {
            return Reading::Used(Kind::PasswordAccepted, None);
        }
        if self.is_completed() {
            return Reading::Used(Kind::Approved, self.factor());
        }
        Reading::Used(Kind::SessionStarted, None)
    }

    /// A second factor was answered now, not carried over from before.
    fn is_completed(&self) -> bool {
        let carried = |text: &str| {
            [
                "claim in the token",
                "previously satisfied",
                "satisfied by",
                "skipped",
            ]
            .iter()
            .any(|word| text.contains(word))
        };
        let by_step = self.steps.iter().any(|step| {
            let is_method = !step.method.is_empty() && !carried(&step.method);
            let is_done = step.succeeded == Some(true) && is_method && !carried(&step.remark);
            is_done || step.remark.contains("mfa successfully completed")
        });
        let by_remark = ["mfa completed in", "mfa successfully completed"]
            .iter()
            .any(|word| self.remark.contains(word));
        by_step || by_remark
    }

    /// Why the second factor did not succeed.
    fn refusal(&self) -> Kind {
        if self.says(&["fraud"]) {
            return Kind::FraudReported;
        }
        if self.says(&["duplicate authentication attempt"]) {
            return Kind::Error;
        }
        if self.says(&["declined", "user denied", "hung up"]) {
            return Kind::Denied;
        }
        if self.says(&[
            "did not respond",
            "no response",
            "timed out",
            "not answered",
        ]) {
            return Kind::Unanswered;
        }
        if self.says(&[
            "wrong number",
            "incorrect number",
            "number mismatch",
            "entered number",
        ]) {
            return Kind::WrongNumber;
        }
        let is_code = self.says(&["incorrect verification code", "invalid verification code"])
            || self.says(&["wrong code", "incorrect code", "invalid code"]);
        if is_code || self.factor() == Some(Factor::Totp) {
            return Kind::WrongCode;
        }
        Kind::Error
    }

    /// The factor: of the last step that names one, else of the record, else of the remark.
    fn factor(&self) -> Option<Factor> {
        let of_steps = self
            .steps
            .iter()
            .rev()
            .find_map(|step| factor(&step.method));
        let of_record = || factor(self.method.as_deref()?);
        of_steps
            .or_else(of_record)
            .or_else(|| self.remarks().find_map(factor))
    }
}

fn lower(text: Option<String>) -> String {
    text.unwrap_or_default().to_lowercase()
}

fn is_password(method: &str) -> bool {
    method == "password" || method.starts_with("password hash") || method.contains("password (")
}

/// Words within the names of methods, lower case; the first that fits decides.
const FACTORS: &[(&str, Factor)] = &[
    ("external", Factor::External),
    ("mobile app notification", Factor::Push),
    ("phone app notification", Factor::Push),
    ("phoneappnotification", Factor::Push),
    ("notification", Factor::Push),
    ("mobile app verification code", Factor::Totp),
    ("phoneappotp", Factor::Totp),
    ("oath", Factor::Totp),
    ("authenticator app", Factor::Push),
    ("text message", Factor::Sms),
    ("sms", Factor::Sms),
    ("phone call", Factor::Voice),
    ("phonecall", Factor::Voice),
    ("voice", Factor::Voice),
    ("fido", Factor::Webauthn),
    ("passkey", Factor::Webauthn),
    ("windows hello", Factor::DeviceBound),
    ("certificate", Factor::DeviceBound),
    ("temporary access pass", Factor::BypassCode),
    ("email", Factor::Email),
    ("hardware", Factor::HardwareToken),
    ("verification code", Factor::Totp),
];

/// The factor that a text in lower case speaks of.
pub(super) fn factor(text: &str) -> Option<Factor> {
    let found = FACTORS.iter().find(|(word, _)| text.contains(word));
    found.map(|(_, factor)| *factor)
}

fn account(record: Record<'_>) -> AccountKey {
    let nobody = "00000000-0000-0000-0000-000000000000";
    let login = record.text(&["userPrincipalName"]);
    AccountKey {
        provider: Provider::Entra,
        provider_id: record
            .text(&["userId"])
            .filter(|id| id != nobody)
            .unwrap_or_default(),
        login: login
            .filter(|login| login != REDACTED)
            .map(|login| fold_login(&login))
            .unwrap_or_default(),
    }
}

fn origin(record: Record<'_>) -> Origin {
    let device = record.nested(&["deviceDetail"]);
    let of_device = |name: &str| device.as_ref().and_then(|device| text(device, &[name]));
    let place = record
        .nested(&["locationDetails"])
        .or_else(|| record.nested(&["location"]))
        .filter(Value::is_object);
    let in_place = |name: &str| place.as_ref().and_then(|place| text(place, &[name]));
    let whole_country = || text(record.whole, &["location"]);
    let ip = record
        .text(&["ipAddress"])
        .or_else(|| record.text(&["callerIpAddress"]));
    let asn = record.field(&["autonomousSystemNumber"]).and_then(scalar);
    let risks = record.nested(&["riskEventTypes_v2"]).unwrap_or_default();
    let is_anonymous = list(&risks, &[]).iter().any(|risk| {
        risk.as_str()
            .is_some_and(|risk| risk.starts_with("anonymized"))
    });
    Origin {
        ip: ip.and_then(|ip| address(&ip)),
        place: Place {
            country: in_place("countryOrRegion")
                .or_else(whole_country)
                .map(|name| country(&name)),
            region: in_place("state"),
            city: in_place("city"),
        },
        asn: asn.and_then(|asn| asn.parse().ok()),
        as_org: None,
        is_proxy: is_anonymous.then_some(true),
        user_agent: record.text(&["userAgent"]),
        os: of_device("operatingSystem"),
        browser: of_device("browser").map(|name| without_version(&name)),
        device_id: of_device("deviceId"),
        device_token: None,
        device_fingerprint: None,
    }
}

/// "Chrome 140.0.0" is Chrome: the version changes by itself.
fn without_version(name: &str) -> String {
    match name.rsplit_once(' ') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => {
            name.to_owned()
        }
        _ => name.to_owned(),
    }
}

fn risk(record: Record<'_>) -> Option<Risk> {
    match record.text(&["riskLevelDuringSignIn"])?.as_str() {
        "low" => Some(Risk::Low),
        "medium" => Some(Risk::Medium),
        "high" => Some(Risk::High),
        _ => None,
    }
}
