//! Tests of [`super`]. The records are made here, in the documented shapes.

use serde_json::json;
use tocsin_correlate::MfaEvent;

use super::*;
use crate::feed::Format;

fn record(number: &Value, error: &str) -> Value {
    json!({
        "id": 1_203_406_001, "created_at": "2026-03-12T02:10:11.123Z", "event_type_id": number,
        "account_id": 99, "user_id": 123_456, "user_name": "Dana Reyes", "actor_user_id": 123_456,
        "actor_user_name": "Dana Reyes", "ipaddr": "203.0.113.66", "notes": null, "risk_score": 80,
        "error_description": error, "otp_device_name": "OneLogin Protect", "app_name": null,
    })
}

fn event_of(record: &Value) -> MfaEvent {
    match Format::OneLogin.parse(record.to_string().as_bytes()) {
        Ok(Parsed::Events(mut events, _)) => events.remove(0),
        other => panic!("{other:?}"),
    }
}

fn unused(record: &Value) -> Option<String> {
    match Format::OneLogin.parse(record.to_string().as_bytes()) {
        Ok(Parsed::Unused(what)) => Some(what),
        _ => None,
    }
}

#[test]
fn a_number_and_a_text_are_one_kind() {
    for number in [json!(5), json!("5")] {
        let event = event_of(&record(&number, ""));
        assert_eq!(event.kind, Kind::SessionStarted);
        assert_eq!(event.time_ms, 1_773_281_411_123);
        assert_eq!(event.account.provider_id, "123456");
        assert_eq!(event.account.login, "", "a display name is no login");
        assert_eq!(event.display_name.as_deref(), Some("Dana Reyes"));
        assert_eq!((event.risk, event.actor), (Some(Risk::High), None));
        assert_eq!(event.origin.ip, Some([203, 0, 113, 66].into()));
    }
    let unknown = record(&json!(26), "");
    assert_eq!(unused(&unknown).as_deref(), Some("event type 26"));
}

#[test]
fn a_failure_is_of_the_step_that_the_remark_names() {
    for (error, expect) in [
        ("Invalid password", Kind::PrimaryFailed),
        ("", Kind::PrimaryFailed),
        ("Push notification denied", Kind::Denied),
        ("Push notification timed out", Kind::Unanswered),
        ("OTP invalid", Kind::WrongCode),
    ] {
        let event = event_of(&record(&json!(6), error));
        assert_eq!(
            (event.kind, event.factor),
            (expect, Some(Factor::Push)),
            "{error}"
        );
    }
    let mut nobody = record(&json!(6), "");
    nobody["user_id"] = Value::Null;
    assert!(unused(&nobody).is_some());
}

#[test]
fn trap_16_what_somebody_else_does_is_the_users_event() {
    for (number, expect) in [
        (11, Kind::PasswordReset),
        (22, Kind::FactorEnrolled),
        (24, Kind::FactorRemoved),
        (72, Kind::PrivilegeGranted),
    ] {
        let mut record = record(&json!(number), "");
        record["actor_user_id"] = json!(654_321);
        let event = event_of(&record);
        assert_eq!(
            (event.kind, event.account.provider_id.as_str()),
            (expect, "123456")
        );
        assert_eq!(event.actor.unwrap().provider_id, "654321");
    }
    assert_eq!(
        event_of(&record(&json!(11), "")).kind,
        Kind::PasswordChanged
    );
}

#[test]
fn what_must_be_there_is_missed_by_name() {
    for (name, expect) in [
        ("event_type_id", "event_type_id is missing"),
        ("id", "id is missing"),
        ("created_at", "created_at is missing"),
    ] {
        let mut record = record(&json!(5), "");
        record.as_object_mut().unwrap().remove(name);
        let raw = record.to_string();
        let reason = Format::OneLogin
            .parse(raw.as_bytes())
            .unwrap_err()
            .to_string();
        assert_eq!(reason, expect);
    }
}
