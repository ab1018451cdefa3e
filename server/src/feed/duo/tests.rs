//! Tests of [`super`]: each trap of the format has one, named after it. The records are made here, in the
//! documented shapes.

use serde_json::json;

use super::*;
use crate::feed::Format;

/// A record of v2: denied by the person as a mistake.
fn record() -> Value {
    json!({
        "access_device": {
            "browser": "Chrome", "browser_version": "140.0", "epkey": "EP18JX1A10AB102M2T2X",
            "hostname": null, "ip": "203.0.113.66", "is_encryption_enabled": "unknown",
            "location": { "city": "Bucharest", "country": "Romania", "state": "-" },
            "os": "Windows", "os_version": "11", "security_agents": "unknown",
        },
        "alias": "unknown",
        "application": { "key": "DIY231J8BR23QK4UKBY8", "name": "VPN portal" },
        "auth_device": {
            "ip": "192.0.2.10", "key": "DP5BDQC0DZD7ORI6WUW7", "name": "dana's phone (555-0100)",
            "location": { "city": "Porto", "country": "Portugal", "state": "Porto" },
        },
        "email": "Dana@Example.com",
        "event_type": "authentication",
        "factor": "duo_push",
        "isotimestamp": "2026-03-12T02:10:11.123456+00:00",
        "reason": "user_mistake",
        "result": "denied",
        "timestamp": 1_773_281_411,
        "trusted_endpoint_status": "not trusted",
        "txid": "340a23e3-23f3-23c1-87dc-1491a23dfdbb",
        "user": { "groups": [], "key": "DU3KC77WJ06Y5HIV7XKQ", "name": "dana" },
    })
}

fn outcome(result: &str, reason: &str) -> Value {
    let mut record = record();
    record["result"] = json!(result);
    record["reason"] = json!(reason);
    record
}

fn event_of(record: &Value) -> MfaEvent {
    match Format::Duo.parse(record.to_string().as_bytes()) {
        Ok(Parsed::Events(mut events, _)) if events.len() == 1 => events.remove(0),
        other => panic!("{other:?}"),
    }
}

fn kind_of(record: &Value) -> Kind {
    event_of(record).kind
}

fn unused(record: &Value) -> Option<String> {
    match Format::Duo.parse(record.to_string().as_bytes()) {
        Ok(Parsed::Unused(what)) => Some(what),
        _ => None,
    }
}

fn refused(record: &Value) -> String {
    Format::Duo
        .parse(record.to_string().as_bytes())
        .unwrap_err()
        .to_string()
}

#[test]
fn every_field_of_v2_is_read() {
    let event = event_of(&record());
    assert_eq!(
        (event.kind, event.factor),
        (Kind::Denied, Some(Factor::Push))
    );
    assert_eq!(event.time_ms, 1_773_281_411_123);
    assert_eq!(event.account.provider_id, "DU3KC77WJ06Y5HIV7XKQ");
    assert_eq!(event.account.login, "dana@example.com");
    assert_eq!(event.application.as_deref(), Some("VPN portal"));
    assert_eq!(event.origin.os.as_deref(), Some("Windows"));
    assert_eq!(
        event.origin.device_id.as_deref(),
        Some("EP18JX1A10AB102M2T2X")
    );
    assert_eq!(event.detail.as_deref(), Some("user_mistake"));
}

#[test]
fn the_client_is_the_access_device_and_never_the_phone() {
    let event = event_of(&record());
    assert_eq!(event.origin.ip, Some([203, 0, 113, 66].into()));
    assert_eq!(event.origin.place.country.as_deref(), Some("RO"));
    assert_eq!(event.origin.place.city.as_deref(), Some("Bucharest"));
    assert_eq!(event.origin.place.region, None);
    let mut record = record();
    record["access_device"] = json!({ "ip": null, "epkey": "unknown" });
    let event = event_of(&record);
    assert_eq!(event.origin, Origin::default(), "not the phone's instead");
}

/// The same record as v1 writes it.
fn old() -> Value {
    json!({
        "access_device": { "browser": "Chrome", "os": "Windows", "epkey": "EP18JX1A10AB102M2T2X" },
        "device": "555-0100", "email": "dana@example.com", "event_type": "authentication",
        "factor": "Duo Push", "integration": "VPN portal", "ip": "203.0.113.66",
        "location": { "city": "Bucharest", "country": "Romania", "state": "" },
        "new_enrollment": false, "reason": "User mistake", "result": "FAILURE",
        "timestamp": 1_773_281_411, "txid": "340a23e3-23f3-23c1-87dc-1491a23dfdbb",
        "username": "dana",
    })
}

#[test]
fn one_record_in_both_versions_is_one_event() {
    let (new, old) = (event_of(&record()), event_of(&old()));
    assert_eq!((new.id, new.kind), (old.id, old.kind));
    assert_eq!((new.factor, new.application), (old.factor, old.application));
    assert_eq!((new.origin, new.flow), (old.origin, old.flow));
}

#[test]
fn a_record_of_v1_without_txid_is_told_by_what_it_says() {
    let mut first = old();
    first.as_object_mut().unwrap().remove("txid");
    let mut later = first.clone();
    later["timestamp"] = json!(1_773_281_471);
    assert_eq!(event_of(&first).id, event_of(&first).id);
    assert_ne!(event_of(&first).id, event_of(&later).id);
}

#[test]
fn every_outcome_has_its_kind() {
    for (result, reason, expect) in [
        ("success", "user_approved", Kind::Approved),
        ("success", "valid_passcode", Kind::Approved),
        ("success", "remembered_device", Kind::SessionStarted),
        ("success", "trusted_network", Kind::SessionStarted),
        ("success", "bypass_user", Kind::SessionStarted),
        ("SUCCESS", "User approved", Kind::Approved),
        ("fraud", "user_marked_fraud", Kind::FraudReported),
        ("FRAUD", "", Kind::FraudReported),
        ("denied", "user_mistake", Kind::Denied),
        ("denied", "no_response", Kind::Unanswered),
        ("FAILURE", "No response", Kind::Unanswered),
        ("denied", "no_keys_pressed", Kind::Unanswered),
        ("denied", "call_timed_out", Kind::Unanswered),
        ("denied", "user_cancelled", Kind::Abandoned),
        ("denied", "verification_code_incorrect", Kind::WrongNumber),
        ("denied", "invalid_passcode", Kind::WrongCode),
        ("denied", "locked_out", Kind::AccountLocked),
        ("denied", "deny_unenrolled_user", Kind::PolicyDenied),
        ("denied", "location_restricted", Kind::PolicyDenied),
        ("denied", "frequent_attempts", Kind::PolicyDenied),
        ("denied", "endpoint_is_not_trusted", Kind::PolicyDenied),
        ("denied", "anonymous_ip", Kind::PolicyDenied),
        ("denied", "something_new", Kind::Error),
        ("error", "error", Kind::Error),
    ] {
        assert_eq!(
            kind_of(&outcome(result, reason)),
            expect,
            "{result} {reason}"
        );
    }
    let odd = event_of(&outcome("denied", "anomalous_push"));
    assert_eq!((odd.kind, odd.risk), (Kind::Error, Some(Risk::High)));
}

#[test]
fn every_factor_is_known_by_both_its_names() {
    for (name, expect) in [
        ("duo_push", Some(Factor::Push)),
        ("Duo Push", Some(Factor::Push)),
        ("verified_duo_push", Some(Factor::Push)),
        ("phone_call", Some(Factor::Voice)),
        ("Phone Call", Some(Factor::Voice)),
        ("sms_passcode", Some(Factor::Sms)),
        ("duo_mobile_passcode", Some(Factor::Totp)),
        ("yubikey_code", Some(Factor::HardwareToken)),
        ("WebAuthn Security Key", Some(Factor::Webauthn)),
        ("bypass_code", Some(Factor::BypassCode)),
        ("remembered_device", None),
        ("not_available", None),
        ("n/a", None),
    ] {
        let mut record = record();
        record["factor"] = json!(name);
        assert_eq!(event_of(&record).factor, expect, "{name}");
    }
}

#[test]
fn trap_7_seconds_and_milliseconds_are_told_apart() {
    for (time, expect) in [
        (json!(1_773_281_411), 1_773_281_411_000),
        (json!(1_773_281_411_123_i64), 1_773_281_411_123),
    ] {
        let mut record = record();
        record.as_object_mut().unwrap().remove("isotimestamp");
        record["timestamp"] = time;
        assert_eq!(event_of(&record).time_ms, expect);
    }
}

#[test]
fn trap_4_words_for_not_known_are_absent() {
    let event = event_of(&record());
    assert_eq!(event.origin.place.region, None, "written as -");
    let mut record = record();
    record["email"] = json!("");
    record["alias"] = json!("unknown");
    assert_eq!(event_of(&record).account.login, "dana");
    record["txid"] = json!("unknown");
    assert_eq!(event_of(&record).flow.transaction, None);
}

#[test]
fn trap_13_a_short_name_joins_nobody_by_itself() {
    let mut record = record();
    record["email"] = json!("");
    let account = event_of(&record).account;
    let keys = identity_keys(&account);
    assert_eq!(keys.len(), 1, "{keys:?}");
    record["alias"] = json!("dana@example.com");
    assert_eq!(event_of(&record).account.login, "dana@example.com");
}

#[test]
fn trap_18_an_address_with_a_port_is_an_address() {
    for text in ["203.0.113.66:51234", "203.0.113.66"] {
        let mut record = record();
        record["access_device"]["ip"] = json!(text);
        assert_eq!(event_of(&record).origin.ip, Some([203, 0, 113, 66].into()));
    }
    let mut record = record();
    record["access_device"]["ip"] = json!("0.0.0.0");
    assert_eq!(event_of(&record).origin.ip, None);
}

#[test]
fn a_call_or_message_names_no_account_and_is_counted() {
    let old = json!({ "context": "authentication", "credits": 1, "phone": "+15550100100",
        "timestamp": 1_773_281_411, "type": "sms" });
    let new = json!({ "context": "authentication", "telephony_id": "5bf1a860", "txid": "340a23e3",
        "ts": "2026-03-12T02:10:11Z", "phone": "+15550100100", "type": "phone" });
    for record in [old, new] {
        assert!(unused(&record).unwrap().starts_with("telephony"));
    }
}

fn administrator(action: &str, object: &str, description: &Value) -> Value {
    json!({
        "action": action, "description": description.to_string(), "object": object,
        "isotimestamp": "2026-03-12T01:50:00+00:00", "timestamp": 1_773_280_200,
        "username": "Help Desk",
    })
}

#[test]
fn what_an_administrator_does_is_the_users_event() {
    let issued = administrator(
        "bypass_create",
        "dana@example.com",
        &json!({ "count": 1, "valid_secs": 3600, "user_id": "DU3KC77WJ06Y5HIV7XKQ" }),
    );
    let event = event_of(&issued);
    assert_eq!(event.kind, Kind::BypassIssued);
    assert_eq!(event.account.provider_id, "DU3KC77WJ06Y5HIV7XKQ");
    assert_eq!(event.account.login, "dana@example.com");
    assert_eq!(
        event.actor.map(|actor| actor.provider_id).as_deref(),
        Some("Help Desk")
    );
    let status = administrator("user_update", "dana", &json!({ "status": "Bypass" }));
    assert_eq!(kind_of(&status), Kind::BypassIssued);
    let other = administrator("user_update", "dana", &json!({ "realname": "Dana" }));
    assert_eq!(unused(&other).as_deref(), Some("user_update"));
    let phone = administrator("phone_create", "+15550100100", &json!({ "type": "Mobile" }));
    assert_eq!(
        unused(&phone).as_deref(),
        Some("phone_create without an account")
    );
}

#[test]
fn an_administrators_own_prompt_may_be_reported() {
    let details = json!({ "ip_address": "203.0.113.66", "email": "ada@example.com",
        "factor": "push", "error": "Login request reported as fraudulent." });
    let event = event_of(&administrator("admin_2fa_error", "", &details));
    assert_eq!(event.kind, Kind::FraudReported);
    assert_eq!(event.account.login, "ada@example.com");
    assert_eq!(event.origin.ip, Some([203, 0, 113, 66].into()));
    assert_eq!((event.factor, event.actor), (Some(Factor::Push), None));
    let nameless = administrator("admin_login", "", &json!({ "ip_address": "203.0.113.66" }));
    assert_eq!(
        unused(&nameless).as_deref(),
        Some("admin_login without an account")
    );
}

#[test]
fn an_activity_is_the_targets_or_ones_own() {
    let mut record = json!({
        "access_device": { "ip": { "address": "203.0.113.66" }, "browser": "Chrome", "os": "Windows",
            "location": { "city": "Bucharest", "country": "Romania", "state": "" } },
        "action": { "details": null, "name": "webauthncredential_create" },
        "activity_id": "720b8360-078b-47c4-adc7-7968df1caef0",
        "actor": { "details": "{\"email\": \"dana@example.com\"}", "key": "DU3KC77WJ06Y5HIV7XKQ",
            "name": "dana", "type": "user" },
        "outcome": null,
        "target": { "details": "{\"browser\": \"Chrome\"}", "key": "WA1", "name": "WA1",
            "type": "webauthn_credential" },
        "ts": "2026-03-12T02:20:11.591015+00:00",
    });
    let event = event_of(&record);
    assert_eq!((event.kind, event.actor), (Kind::FactorEnrolled, None));
    assert_eq!(event.account.login, "dana@example.com");
    assert_eq!(event.origin.ip, Some([203, 0, 113, 66].into()));
    record["outcome"] = json!({ "result": "FAILURE" });
    assert!(unused(&record).unwrap().contains("failed"));
    record["outcome"] = json!({ "result": "SUCCESS" });
    record["action"]["name"] = json!("bypass_create");
    record["actor"] = json!({ "details": "{\"email\":\"ada@example.com\"}", "key": "DE1",
        "name": "Ada", "type": "admin" });
    record["target"] = json!({ "details": "{}", "key": "DU3KC77WJ06Y5HIV7XKQ", "name": "dana",
        "type": "user" });
    let event = event_of(&record);
    assert_eq!(event.kind, Kind::BypassIssued);
    assert_eq!(event.account.provider_id, "DU3KC77WJ06Y5HIV7XKQ");
    assert_eq!(
        event.actor.map(|actor| actor.login).as_deref(),
        Some("ada@example.com")
    );
}

#[test]
fn what_must_be_there_is_missed_by_name() {
    assert_eq!(refused(&json!({})), "result is missing");
    for (name, expect) in [("result", "result is missing"), ("user", "user is missing")] {
        let mut record = record();
        record[name] = Value::Null;
        for other in ["email", "alias"] {
            record[other] = Value::Null;
        }
        assert_eq!(refused(&record), expect);
    }
    let mut record = record();
    record["isotimestamp"] = json!("yesterday");
    assert_eq!(refused(&record), "timestamp is not a time (RFC 3339)");
}

#[test]
fn hostile_text_stays_text_and_bounded() {
    let mut record = record();
    record["user"]["name"] = json!("\u{1b}[2J\u{202e}ana");
    record["email"] = json!(null);
    record["application"]["name"] = json!("x".repeat(100_000));
    let event = event_of(&record);
    assert!(
        event.account.login.contains('\u{1b}'),
        "the console makes it safe"
    );
    assert_eq!(event.application.map(|name| name.len()), Some(1024));
}
