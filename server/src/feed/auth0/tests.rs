//! Tests of [`super`]. The records are made here, in the documented shapes.

use serde_json::json;
use tocsin_correlate::MfaEvent;

use super::*;
use crate::feed::Format;

fn log(code: &str) -> Value {
    json!({
        "log_id": format!("9002026031202101{code}"), "date": "2026-03-12T02:10:11.123Z", "type": code,
        "description": "", "client_name": "VPN portal", "ip": "203.0.113.66",
        "user_agent": "Chrome 140.0.0 / Windows 10.0.0", "user_id": "auth0|5f7a1b",
        "user_name": "Dana@Example.com", "details": {},
    })
}

fn event_of(record: &Value) -> MfaEvent {
    match Format::Auth0.parse(record.to_string().as_bytes()) {
        Ok(Parsed::Events(mut events, _)) => events.remove(0),
        other => panic!("{other:?}"),
    }
}

fn unused(record: &Value) -> Option<String> {
    match Format::Auth0.parse(record.to_string().as_bytes()) {
        Ok(Parsed::Unused(what)) => Some(what),
        _ => None,
    }
}

#[test]
fn every_code_has_its_kind_and_factor() {
    for (code, expect) in [
        ("gd_send_pn", (Kind::PromptSent, Some(Factor::Push))),
        ("gd_send_sms", (Kind::PromptSent, Some(Factor::Sms))),
        ("gd_send_voice", (Kind::PromptSent, Some(Factor::Voice))),
        ("gd_auth_rejected", (Kind::Denied, Some(Factor::Push))),
        ("gd_auth_succeed", (Kind::Approved, None)),
        ("gd_auth_failed", (Kind::WrongCode, None)),
        (
            "gd_recovery_succeed",
            (Kind::Approved, Some(Factor::BypassCode)),
        ),
        ("gd_enrollment_complete", (Kind::FactorEnrolled, None)),
        ("s", (Kind::SessionStarted, None)),
        ("fp", (Kind::PrimaryFailed, None)),
        ("pwd_leak", (Kind::RiskReported, None)),
        ("limit_wc", (Kind::AccountLocked, None)),
    ] {
        let event = event_of(&log(code));
        assert_eq!((event.kind, event.factor), expect, "{code}");
    }
    assert_eq!(unused(&log("seacft")).as_deref(), Some("seacft"));
    let mut record = log("gd_enrollment_complete");
    record["description"] = json!("Guardian - Enrollment complete (sms)");
    assert_eq!(event_of(&record).factor, Some(Factor::Sms));
}

#[test]
fn trap_10_a_prompt_needs_no_channel() {
    let plain = event_of(&log("gd_send_pn"));
    let mut record = log("gd_send_pn");
    record["details"] = json!({ "request": { "channel": "https://manage.auth0.com/" } });
    assert_eq!(event_of(&record), plain);
}

#[test]
fn a_streamed_entry_is_the_same_event() {
    let streamed = json!({ "log_id": log("s")["log_id"], "data": log("s") });
    assert_eq!(event_of(&streamed), event_of(&log("s")));
    let event = event_of(&streamed);
    assert_eq!(event.time_ms, 1_773_281_411_123);
    assert_eq!(event.account.login, "dana@example.com");
    assert_eq!(event.origin.ip, Some([203, 0, 113, 66].into()));
}

fn call(method: &str, path: &str, status: u16) -> Value {
    let mut record = log("sapi");
    record["user_id"] = json!("auth0|admin");
    record["user_name"] = Value::Null;
    record["details"] = json!({
        "request": { "method": method, "path": path, "body": { "password": "****" },
            "auth": { "user": { "user_id": "auth0|admin", "email": "Ada@example.com" } } },
        "response": { "statusCode": status },
    });
    record
}

#[test]
fn trap_16_a_call_is_whom_it_is_done_to() {
    for (method, path, expect) in [
        (
            "delete",
            "/api/v2/users/auth0%7C5f7a1b/multifactor/guardian",
            Kind::FactorReset,
        ),
        (
            "delete",
            "/api/v2/users/auth0%7C5f7a1b/authentication-methods",
            Kind::FactorReset,
        ),
        (
            "delete",
            "/api/v2/users/auth0|5f7a1b/authentication-methods/x",
            Kind::FactorRemoved,
        ),
        (
            "post",
            "/api/v2/users/auth0%7C5f7a1b/recovery-code-regeneration",
            Kind::BypassIssued,
        ),
        ("patch", "/api/v2/users/auth0%7C5f7a1b", Kind::PasswordReset),
        (
            "post",
            "/api/v2/users/auth0%7C5f7a1b/roles",
            Kind::PrivilegeGranted,
        ),
    ] {
        let event = event_of(&call(method, path, 200));
        assert_eq!(
            (event.kind, event.account.provider_id.as_str()),
            (expect, "auth0|5f7a1b")
        );
        assert_eq!(event.actor.unwrap().login, "ada@example.com");
    }
    let path = "/api/v2/users/auth0%7C5f7a1b/roles";
    assert_eq!(unused(&call("post", path, 403)).as_deref(), Some("sapi"));
    let other = call("post", "/api/v2/guardian/policies", 200);
    assert_eq!(unused(&other).as_deref(), Some("sapi"));
}

#[test]
fn trap_19_a_password_typed_as_user_name_is_taken_out_everywhere() {
    let mut record = log("fp");
    record["user_name"] = json!("Tr0ub4dor&3");
    let raw = record.to_string();
    let Ok(Parsed::Events(events, kept)) = Format::Auth0.parse(raw.as_bytes()) else {
        panic!();
    };
    assert!(!format!("{events:?}").contains("Tr0ub4dor"));
    assert!(!String::from_utf8_lossy(&kept).contains("Tr0ub4dor"));
    record["user_id"] = json!("");
    assert!(unused(&record).is_some(), "nobody's");
}

#[test]
fn what_must_be_there_is_missed_by_name() {
    for (name, expect) in [
        ("type", "type is missing"),
        ("log_id", "log_id is missing"),
        ("date", "date is missing"),
    ] {
        let mut record = log("s");
        record.as_object_mut().unwrap().remove(name);
        let raw = record.to_string();
        let reason = Format::Auth0.parse(raw.as_bytes()).unwrap_err().to_string();
        assert_eq!(reason, expect);
    }
}
