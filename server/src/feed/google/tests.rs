//! Tests of [`super`]. The records are made here, in the documented shapes.

use serde_json::json;

use super::*;
use crate::feed::Format;

/// An activity with one event.
fn activity(application: &str, name: &str, parameters: &Value) -> Value {
    json!({
        "kind": "admin#reports#activity",
        "id": { "time": "2026-03-12T02:10:11.123Z", "uniqueQualifier": "-8811222",
            "applicationName": application, "customerId": "C03az79cb" },
        "actor": { "callerType": "USER", "email": "Dana@Example.com", "profileId": "1042" },
        "ipAddress": "203.0.113.66",
        "events": [{ "type": "login", "name": name, "parameters": parameters }],
    })
}

fn method(method: &str, status: &str) -> Value {
    json!([
        { "name": "login_challenge_method", "multiValue": ["password", method] },
        { "name": "login_challenge_status", "value": status },
        { "name": "is_second_factor", "boolValue": true },
    ])
}

fn events(record: &Value) -> Vec<MfaEvent> {
    match Format::Google.parse(record.to_string().as_bytes()) {
        Ok(Parsed::Events(events, _)) => events,
        other => panic!("{other:?}"),
    }
}

fn kind_of(record: &Value) -> (Kind, Option<Factor>) {
    let event = events(record).remove(0);
    (event.kind, event.factor)
}

fn unused(record: &Value) -> Option<String> {
    match Format::Google.parse(record.to_string().as_bytes()) {
        Ok(Parsed::Unused(what)) => Some(what),
        _ => None,
    }
}

#[test]
fn a_challenge_is_what_came_of_it() {
    for (how, status, expect) in [
        (
            "google_prompt",
            "Challenge Passed.",
            (Kind::Approved, Some(Factor::Push)),
        ),
        (
            "google_prompt",
            "Challenge Failed.",
            (Kind::Error, Some(Factor::Push)),
        ),
        (
            "google_authenticator",
            "Challenge Failed.",
            (Kind::WrongCode, Some(Factor::Totp)),
        ),
        (
            "idv_preregistered_phone",
            "Challenge Passed.",
            (Kind::Approved, Some(Factor::Sms)),
        ),
        (
            "backup_code",
            "Challenge Passed.",
            (Kind::Approved, Some(Factor::BypassCode)),
        ),
        (
            "security_key",
            "",
            (Kind::ChallengeRequired, Some(Factor::Webauthn)),
        ),
        (
            "password",
            "Challenge Passed.",
            (Kind::PasswordAccepted, None),
        ),
    ] {
        let record = activity("login", "login_verification", &method(how, status));
        assert_eq!(kind_of(&record), expect, "{how} {status}");
    }
}

#[test]
fn a_sign_in_a_failure_and_changes_have_their_kinds() {
    let why = |text: &str| json!([{ "name": "login_failure_type", "value": text }]);
    for (application, name, parameters, expect) in [
        ("login", "login_success", json!([]), Kind::SessionStarted),
        (
            "login",
            "login_failure",
            why("login_failure_invalid_password"),
            Kind::PrimaryFailed,
        ),
        (
            "login",
            "login_failure",
            why("login_failure_invalid_second_factor"),
            Kind::WrongCode,
        ),
        ("login", "gov_attack_warning", json!([]), Kind::RiskReported),
        (
            "user_accounts",
            "2sv_enroll",
            json!([]),
            Kind::FactorEnrolled,
        ),
        (
            "user_accounts",
            "2sv_disable",
            json!([]),
            Kind::FactorRemoved,
        ),
        (
            "user_accounts",
            "recovery_phone_edit",
            Value::Null,
            Kind::FactorUpdated,
        ),
        (
            "user_accounts",
            "password_edit",
            json!([]),
            Kind::PasswordChanged,
        ),
        (
            "token",
            "authorize",
            json!([{ "name": "app_name", "value": "x" }]),
            Kind::AppAccess,
        ),
    ] {
        let record = activity(application, name, &parameters);
        assert_eq!(kind_of(&record).0, expect, "{name}");
    }
    let other = activity("drive", "view", &json!([]));
    assert_eq!(unused(&other).as_deref(), Some("drive view"));
    let odd = json!([{ "name": "is_suspicious", "boolValue": true }]);
    let odd = events(&activity("login", "login_success", &odd)).remove(0);
    assert_eq!(odd.risk, Some(Risk::High));
}

#[test]
fn several_events_of_one_activity_are_all_read_and_apart() {
    let mut record = activity(
        "login",
        "login_verification",
        &method("google_prompt", "Challenge Passed."),
    );
    let more = json!({ "type": "login", "name": "login_success", "parameters": [] });
    record["events"].as_array_mut().unwrap().push(more.clone());
    record["events"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "logout" }));
    let found = events(&record);
    assert_eq!(found.len(), 2);
    assert_ne!(found[0].id, found[1].id);
    assert_eq!(found, events(&record), "the same ids again");
    record["events"] = json!(vec![more; 17]);
    let raw = record.to_string();
    let reason = Format::Google
        .parse(raw.as_bytes())
        .unwrap_err()
        .to_string();
    assert_eq!(reason, "holds more than 16 events");
}

#[test]
fn a_flattened_event_is_the_same_event() {
    let whole = activity(
        "login",
        "login_success",
        &json!([{ "name": "login_type", "value": "saml" }]),
    );
    let mut flat = whole.clone();
    flat.as_object_mut().unwrap().remove("events");
    flat["name"] = json!("login_success");
    flat["parameters"] = json!({ "login_type": "saml" });
    flat["id"]["time"] = json!("2026-03-12 02:10:11.123000000");
    assert_eq!(events(&flat), events(&whole));
}

#[test]
fn trap_16_what_an_administrator_does_is_the_other_persons() {
    let who = json!([{ "name": "USER_EMAIL", "value": "Eli@Example.com" }]);
    for (name, expect) in [
        ("TURN_OFF_2_STEP_VERIFICATION", Kind::FactorReset),
        ("CHANGE_PASSWORD", Kind::PasswordReset),
        ("ASSIGN_ROLE", Kind::PrivilegeGranted),
    ] {
        let event = events(&activity("admin", name, &who)).remove(0);
        assert_eq!(
            (event.kind, event.account.login.as_str()),
            (expect, "eli@example.com")
        );
        assert_eq!(event.actor.unwrap().login, "dana@example.com");
    }
}

#[test]
fn what_must_be_there_is_missed_by_name() {
    let record = activity("login", "login_success", &json!([]));
    let refused = |record: &Value| {
        let raw = record.to_string();
        Format::Google
            .parse(raw.as_bytes())
            .unwrap_err()
            .to_string()
    };
    for (name, expect) in [
        ("time", "id.time is missing"),
        ("uniqueQualifier", "id.uniqueQualifier is missing"),
    ] {
        let mut record = record.clone();
        record["id"][name] = Value::Null;
        assert_eq!(refused(&record), expect);
    }
    assert_eq!(refused(&json!({ "id": {} })), "name is missing");
    let mut nobody = record;
    nobody["actor"] = json!({ "callerType": "KEY" });
    assert_eq!(
        unused(&nobody).as_deref(),
        Some("login_success without an account")
    );
}
