//! Tests of [`super`] and of the mappings that ship. The records are made here, in the documented shapes.

use serde_json::json;
use tocsin_correlate::{Factor, MfaEvent};

use super::*;
use crate::feed::Format;

const MAPPING: &str = r#"
provider = "generic"
name = "keycloak"

[fields]
id = ["id"]
time = ["time"]
kind = ["type"]
login = ["user.mail", "user.name"]
account_id = ["user.id"]
actor_id = ["by.id"]
ip = ["clients.0.address"]
country = ["country"]
factor = ["how"]

[[kind]]
is = "approved"
when = { "type" = ["MFA*"], "ok" = ["true"] }

[[kind]]
is = "unused"
when = { "type" = ["mfa_settings"] }

[[kind]]
is = "denied"
when = { "type" = ["mfa*"] }

[[kind]]
is = "primary_failed"
when = { "type" = ["login_error"] }

[factors]
App = "push"
"#;

fn record() -> Value {
    json!({
        "id": 7, "time": 1_773_281_411, "type": "mfa_push", "ok": true, "how": "APP",
        "user": { "id": "u1", "name": "dana", "mail": "Dana@Example.com" },
        "clients": [{ "address": "203.0.113.66:51234" }], "country": "Romania",
    })
}

fn read(mapping: &str) -> Result<Mapping, String> {
    Mapping::read(mapping.as_bytes()).map_err(|error| error.to_string())
}

fn parse_by(name: &str, mapping: &str, record: &Value) -> Result<Option<MfaEvent>, String> {
    let raw = record.to_string();
    let format = Format::of(name, mapping.as_bytes()).unwrap();
    match format.parse(raw.as_bytes()) {
        Ok(Parsed::Events(mut events, _)) => Ok(Some(events.remove(0))),
        Ok(Parsed::Unused(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn event_of(record: &Value) -> MfaEvent {
    parse_by("generic", MAPPING, record).unwrap().unwrap()
}

#[test]
fn a_record_is_read_by_its_mapping() {
    let event = event_of(&record());
    assert_eq!(
        (event.kind, event.factor),
        (Kind::Approved, Some(Factor::Push))
    );
    assert_eq!(event.time_ms, 1_773_281_411_000);
    assert_eq!(event.account.provider, Provider::Generic);
    assert_eq!(event.account.provider_id, "keycloak/u1");
    assert_eq!(event.account.login, "dana@example.com");
    assert_eq!(event.origin.ip, Some([203, 0, 113, 66].into()));
    assert_eq!(event.origin.place.country.as_deref(), Some("RO"));
}

#[test]
fn the_first_kind_whose_conditions_hold_is_it() {
    let mut record = record();
    record["ok"] = json!("false");
    assert_eq!(event_of(&record).kind, Kind::Denied);
    record["type"] = json!("mfa_settings");
    assert_eq!(parse_by("generic", MAPPING, &record), Ok(None));
    record["type"] = json!("heartbeat");
    assert_eq!(parse_by("generic", MAPPING, &record), Ok(None));
}

#[test]
fn two_sources_by_mappings_do_not_share_ids_or_short_names() {
    let other = MAPPING.replace("keycloak", "authelia");
    let mut record = record();
    record["user"] = json!({ "name": "dana" });
    let one = event_of(&record);
    let two = parse_by("generic", &other, &record).unwrap().unwrap();
    assert_ne!(one.id, two.id);
    let keys = identity_keys(&one.account);
    assert!(keys.is_disjoint(&identity_keys(&two.account)), "{keys:?}");
}

#[test]
fn trap_4_and_19_hold_for_mapped_records_too() {
    let mut record = record();
    record["clients"][0]["address"] = json!("unknown");
    assert_eq!(event_of(&record).origin.ip, None);
    record["type"] = json!("login_error");
    record["user"]["mail"] = json!("Tr0ub4dor&3");
    assert!(!format!("{:?}", event_of(&record)).contains("Tr0ub4dor"));
    record["id"] = json!("-");
    let refused = parse_by("generic", MAPPING, &record).unwrap_err();
    assert_eq!(refused, "id is missing");
    record["id"] = json!("a");
    record["time"] = json!("soon");
    let refused = parse_by("generic", MAPPING, &record).unwrap_err();
    assert_eq!(refused, "time is not a time (RFC 3339)");
}

#[test]
fn a_mapping_that_cannot_be_used_says_why() {
    assert!(read(MAPPING).is_ok());
    for (from, to, expect) in [
        ("\"generic\"", "\"okta\"", "names no provider"),
        ("keycloak", "key cloak", "needs a name"),
        ("time = [\"time\"]\n", "", "does not say where time stands"),
        (
            "country =",
            "county =",
            "names a field that is none: county",
        ),
        (
            "is = \"denied\"",
            "is = \"refused\"",
            "has a kind that is none: refused",
        ),
        ("name =", "nom =", "cannot be read"),
        ("App = \"push\"", "App = \"pigeon\"", "cannot be read"),
    ] {
        let error = read(&MAPPING.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(expect), "{error}");
    }
    let long = format!("{MAPPING}\n# {}", "x".repeat(70_000));
    assert!(read(&long).unwrap_err().contains("longer than"));
    assert!(read("").unwrap_err().contains("cannot be read"));
    assert!(Mapping::read(b"\xff").is_err());
}

#[test]
fn jumpclouds_records_are_read_by_the_mapping_that_ships() {
    let record = |kind: &str, success: bool, error: &str| {
        json!({
            "id": "65f0", "timestamp": "2026-03-12T02:10:11.123Z", "event_type": kind,
            "success": success, "mfa": false, "error_message": error, "client_ip": "203.0.113.66",
            "initiated_by": { "id": "5f7a", "type": "user", "email": "Dana@Example.com" },
            "geoip": { "country_code": "RO" }, "auth_method": "push", "service": "directory",
        })
    };
    for (kind, success, error, expect) in [
        ("push_mfa_attempt", true, "", Some(Kind::Approved)),
        (
            "push_mfa_attempt",
            false,
            "denied by user",
            Some(Kind::Denied),
        ),
        ("push_mfa_attempt", false, "expired", Some(Kind::Unanswered)),
        ("push_mfa_attempt", false, "", Some(Kind::Error)),
        ("user_login_attempt", true, "", Some(Kind::SessionStarted)),
        ("user_login_attempt", false, "", Some(Kind::PrimaryFailed)),
        ("system_login", true, "", None),
    ] {
        let event = parse_by("jumpcloud", "", &record(kind, success, error)).unwrap();
        assert_eq!(
            event.as_ref().map(|event| event.kind),
            expect,
            "{kind} {error}"
        );
        if let Some(event) = event {
            assert_eq!(event.account.provider_id, "5f7a");
            assert_eq!(event.origin.ip, Some([203, 0, 113, 66].into()));
        }
    }
}

#[test]
fn pings_records_are_read_by_the_mapping_that_ships() {
    let one = json!({
        "id": "a1", "recordedAt": "2026-03-12T02:10:11.123Z", "action": { "type": "OTP.CHECK_INVALID" },
        "actors": { "user": { "id": "u1", "name": "Dana@Example.com" } }, "correlationId": "c1",
        "result": { "status": "FAILED", "description": "Invalid passcode" },
    });
    let event = parse_by("ping", "", &one).unwrap().unwrap();
    assert_eq!(
        (event.kind, event.account.provider_id.as_str()),
        (Kind::WrongCode, "u1")
    );
    let feed = |status: &str, message: &str| {
        json!({
            "id": "a2", "recorded": "2026-03-12T02:10:11.123Z",
            "actors": [{ "name": "Dana@Example.com" }],
            "resources": [{ "ipaddress": "203.0.113.66", "devicemodel": "iPhone" }],
            "result": { "status": status, "message": message },
        })
    };
    for (status, message, expect) in [
        ("SUCCESS", "Device Paired: iPhone", Kind::FactorEnrolled),
        ("SUCCESS_ONLINE", "", Kind::Approved),
        ("FAILURE,authFail", "", Kind::Error),
        ("POLICY", "", Kind::PolicyDenied),
    ] {
        let event = parse_by("ping", "", &feed(status, message))
            .unwrap()
            .unwrap();
        assert_eq!(
            (event.kind, event.account.login.as_str()),
            (expect, "dana@example.com")
        );
    }
}
