//! Tests of [`super`]: each trap of the format has one, named after it. The records are made here, in the
//! documented shapes.

use std::borrow::Cow;

use serde_json::json;
use tocsin_correlate::{MfaEventKind as Kind, Risk, resolve};

use super::*;
use crate::feed::Format;

mod trap;

/// A record of Identity Engine.
fn record(event_type: &str, result: &str) -> Value {
    json!({
        "uuid": "7a3c1f00-0001-11f0-8000-0000000000aa",
        "published": "2026-03-12T02:10:11.123Z",
        "eventType": event_type,
        "version": "0",
        "severity": "INFO",
        "displayMessage": "made for a test",
        "actor": {
            "id": "00u1dana", "type": "User", "alternateId": "Dana@Example.com",
            "displayName": "Dana Reyes", "detailEntry": null,
        },
        "client": {
            "userAgent": {
                "rawUserAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0",
                "os": "Linux", "browser": "FIREFOX",
            },
            "zone": "null", "device": "Computer", "id": null, "ipAddress": "203.0.113.66",
            "geographicalContext": {
                "city": "Bucharest", "state": null, "country": "Romania", "postalCode": null,
                "geolocation": { "lat": 44.4, "lon": 26.1 },
            },
        },
        "outcome": { "result": result, "reason": null },
        "target": [],
        "transaction": { "type": "WEB", "id": "Zr3quest", "detail": {} },
        "debugContext": { "debugData": {
            "authnRequestId": "an-authn-request", "dtHash": "d7".repeat(32), "requestId": "Zr3quest",
            "threatSuspected": "false",
        } },
        "authenticationContext": {
            "authenticationStep": 0, "externalSessionId": "unknown", "rootSessionId": "idx-1",
        },
        "securityContext": {
            "asNumber": 64_500, "asOrg": "example hosting", "isp": "example", "domain": ".",
            "isProxy": false,
        },
        "request": { "ipChain": [{ "ip": "203.0.113.66", "version": "V4" }] },
    })
}

const MFA: &str = "user.authentication.auth_via_mfa";

fn with_debug(mut record: Value, values: &[(&str, &str)]) -> Value {
    for (name, value) in values {
        record["debugContext"]["debugData"][*name] = json!(value);
    }
    record
}

/// An answer with this factor.
fn answer(result: &str, reason: Option<&str>, values: &[(&str, &str)]) -> Value {
    let mut record = with_debug(record(MFA, result), values);
    record["outcome"]["reason"] = json!(reason);
    record
}

fn event(record: &Value) -> MfaEvent {
    let raw = record.to_string();
    match Format::Okta.parse(raw.as_bytes()) {
        Ok(Parsed::Events(mut events, _)) => events.remove(0),
        other => panic!("{other:?}"),
    }
}

fn kind(record: &Value) -> Kind {
    event(record).kind
}

fn unused(record: &Value) -> Option<String> {
    match Format::Okta.parse(record.to_string().as_bytes()) {
        Ok(Parsed::Unused(what)) => Some(what),
        _ => None,
    }
}

fn refused(record: &Value) -> String {
    Format::Okta
        .parse(record.to_string().as_bytes())
        .unwrap_err()
        .to_string()
}

const INVALID: Option<&str> = Some("INVALID_CREDENTIALS");
const PUSH: (&str, &str) = ("factor", "OKTA_VERIFY_PUSH");

#[test]
fn a_prompt_has_its_factor_and_is_the_targets_where_the_system_sent_it() {
    for (event_type, factor) in [
        ("system.push.send_factor_verify_push", Factor::Push),
        ("system.sms.send_factor_verify_message", Factor::Sms),
        ("system.voice.send_mfa_challenge_call", Factor::Voice),
    ] {
        let mut record = record(event_type, "SUCCESS");
        assert_eq!(
            (kind(&record), event(&record).factor),
            (Kind::PromptSent, Some(factor))
        );
        record["target"] = json!([record["actor"].clone()]);
        record["actor"] =
            json!({ "id": "okta", "type": "SystemPrincipal", "alternateId": "system@okta.com" });
        assert_eq!(event(&record).account.login, "dana@example.com");
        record["outcome"]["result"] = json!("FAILURE");
        assert_eq!(kind(&record), Kind::Error);
    }
}

#[test]
fn classic_writes_a_denial_as_its_own_type() {
    let record = record("user.mfa.okta_verify.deny_push", "FAILURE");
    assert_eq!(
        (kind(&record), event(&record).factor),
        (Kind::Denied, Some(Factor::Push))
    );
    let upgrade = self::record("user.mfa.okta_verify.deny_push_upgrade_needed", "FAILURE");
    assert_eq!(kind(&upgrade), Kind::UpgradeNeeded);
}

#[test]
fn ignored_prompts_are_told_where_that_is_switched_on() {
    assert_eq!(kind(&answer("UNANSWERED", None, &[PUSH])), Kind::Unanswered);
    assert_eq!(kind(&answer("ABANDONED", None, &[PUSH])), Kind::Abandoned);
}

#[test]
fn an_authenticator_that_refused_a_false_page_is_told_apart() {
    let reason = Some("FastPass declined phishing attempt");
    assert_eq!(kind(&answer("FAILURE", reason, &[])), Kind::PhishingBlocked);
    assert_eq!(
        kind(&answer("FAILURE", Some("VERIFICATION_ERROR"), &[PUSH])),
        Kind::Error
    );
}

#[test]
fn every_documented_type_has_its_kind() {
    for (event_type, result, expect) in [
        ("user.mfa.factor.activate", "SUCCESS", Kind::FactorEnrolled),
        ("user.mfa.factor.deactivate", "SUCCESS", Kind::FactorRemoved),
        ("user.mfa.factor.suspend", "SUCCESS", Kind::FactorRemoved),
        ("user.mfa.factor.unsuspend", "SUCCESS", Kind::FactorUpdated),
        ("user.mfa.factor.update", "SUCCESS", Kind::FactorUpdated),
        ("device.enrollment.create", "SUCCESS", Kind::DeviceEnrolled),
        ("device.user.add", "SUCCESS", Kind::DeviceEnrolled),
        ("user.session.start", "SUCCESS", Kind::SessionStarted),
        ("user.session.start", "FAILURE", Kind::PrimaryFailed),
        ("user.session.clear", "SUCCESS", Kind::SessionRevoked),
        (
            "user.session.access_admin_app",
            "SUCCESS",
            Kind::AdminAccess,
        ),
        ("user.authentication.sso", "SUCCESS", Kind::AppAccess),
        (
            "user.authentication.universal_logout",
            "SUCCESS",
            Kind::SessionRevoked,
        ),
        ("policy.evaluate_sign_on", "DENY", Kind::PolicyDenied),
        ("user.risk.detect", "SUCCESS", Kind::RiskReported),
        (
            "user.account.update_password",
            "SUCCESS",
            Kind::PasswordChanged,
        ),
        ("user.account.lock", "FAILURE", Kind::AccountLocked),
        ("user.mfa.attempt_bypass", "FAILURE", Kind::BypassAttempted),
        (
            "user.account.report_suspicious_activity_by_enduser",
            "SUCCESS",
            Kind::SuspiciousReported,
        ),
    ] {
        assert_eq!(kind(&record(event_type, result)), expect, "{event_type}");
    }
}

#[test]
fn a_session_that_moved_tells_from_where_to_where() {
    let values = [
        ("previousIpAddress", "192.0.2.10"),
        ("newIpAddress", "198.51.100.7"),
    ];
    let event = event(&with_debug(
        record("user.session.context.change", "SUCCESS"),
        &values,
    ));
    assert_eq!(event.kind, Kind::SessionMoved);
    assert_eq!(event.previous_ip, Some("192.0.2.10".parse().unwrap()));
    assert_eq!(event.origin.ip, Some("198.51.100.7".parse().unwrap()));
}

#[test]
fn kinds_that_are_not_used_are_no_failure_whatever_else_they_lack() {
    let bare = json!({ "eventType": "system.api_token.create" });
    assert_eq!(unused(&bare).as_deref(), Some("system.api_token.create"));
    assert!(unused(&record("policy.evaluate_sign_on", "ALLOW")).is_some());
    assert!(
        unused(&record("user.mfa.factor.activate", "FAILURE")).is_some(),
        "not done"
    );
    assert!(unused(&answer("SKIPPED", None, &[PUSH])).is_some());
    let mut machine = record("user.authentication.sso", "SUCCESS");
    machine["actor"]["type"] = json!("PublicClientApp");
    assert_eq!(
        unused(&machine).as_deref(),
        Some("user.authentication.sso without an account")
    );
}

#[test]
fn what_must_be_there_is_missed_by_name() {
    for (name, expect, is_not) in [
        ("eventType", "eventType is missing", "a text"),
        ("uuid", "uuid is missing", "a text"),
        ("published", "published is missing", "a time (RFC 3339)"),
    ] {
        let mut record = record(MFA, "SUCCESS");
        record.as_object_mut().unwrap().remove(name);
        assert_eq!(refused(&record), expect);
        record[name] = json!(7);
        assert_eq!(refused(&record), format!("{name} is not {is_not}"));
        record[name] = json!(null);
        assert_eq!(refused(&record), expect);
    }
    let mut record = record(MFA, "SUCCESS");
    record["outcome"] = json!({});
    assert_eq!(refused(&record), "outcome.result is missing");
    record["outcome"] = json!({ "result": 1 });
    assert_eq!(refused(&record), "outcome.result is not a text");
}

#[test]
fn times_are_read_with_and_without_a_zone_and_nothing_else() {
    let mut record = record(MFA, "SUCCESS");
    let expect = event(&record).time_ms;
    assert_eq!(expect, 1_773_281_411_123);
    for time in [
        "2026-03-12T03:10:11.123+01:00",
        "2026-03-12 02:10:11.123",
        "2026-03-12 02:10:11.123000000",
    ] {
        record["published"] = json!(time);
        assert_eq!(event(&record).time_ms, expect, "{time}");
    }
    for time in [
        "yesterday",
        "12/03/2026",
        "1773281411",
        "1970-01-01T00:00:00Z",
    ] {
        record["published"] = json!(time);
        assert_eq!(
            refused(&record),
            "published is not a time (RFC 3339)",
            "{time}"
        );
    }
}

#[test]
fn keys_with_folded_letters_are_found() {
    let mut record = record(MFA, "SUCCESS");
    let object = record.as_object_mut().unwrap();
    for name in [
        "eventType",
        "debugContext",
        "authenticationContext",
        "securityContext",
    ] {
        let value = object.remove(name).unwrap();
        object.insert(name.to_lowercase(), value);
    }
    let event = event(&record);
    assert_eq!(event.origin.asn, Some(64_500));
    assert_eq!(
        event.flow.authentication.as_deref(),
        Some("an-authn-request")
    );
}

#[test]
fn fields_of_the_wrong_kind_are_absent_and_nothing_more() {
    let mut record = record(MFA, "SUCCESS");
    for name in [
        "client",
        "securityContext",
        "debugContext",
        "authenticationContext",
        "request",
        "device",
    ] {
        record[name] = json!("a text");
    }
    record["target"] = json!({ "type": "User" });
    record["transaction"] = json!([1]);
    let event = event(&record);
    assert_eq!(
        (event.origin, event.flow),
        (Origin::default(), FlowIds::default())
    );
}

#[test]
fn one_push_denied_is_one_attempt_from_end_to_end() {
    let prompt = record("system.push.send_factor_verify_push", "SUCCESS");
    let mut second = prompt.clone();
    second["uuid"] = json!("7a3c1f00-0001-11f0-8000-0000000000ac");
    second["published"] = json!("2026-03-12T02:10:12.400Z");
    let mut denial = answer(
        "FAILURE",
        INVALID,
        &[PUSH, ("pushOnlyResponseType", "OV_RESPONSE_DENY")],
    );
    denial["uuid"] = json!("7a3c1f00-0001-11f0-8000-0000000000ad");
    denial["published"] = json!("2026-03-12T02:10:31Z");
    denial["transaction"]["id"] = json!("Zanother");
    let mut report = record(
        "user.account.report_suspicious_activity_by_enduser",
        "SUCCESS",
    );
    report["uuid"] = json!("7a3c1f00-0001-11f0-8000-0000000000ae");
    report["published"] = json!("2026-03-12T02:20:00Z");
    let events: Vec<MfaEvent> = [prompt, second, denial, report].iter().map(event).collect();
    let people = resolve(events.iter().map(|event| &event.account));
    assert_eq!(people.len(), 1);
    let input = tocsin_correlate::Input {
        identity: tocsin_correlate::Person {
            id: *people.keys().next().unwrap(),
            display_name: "Dana Reyes".into(),
            accounts: vec![events[0].account.clone()],
            privileged: false,
            said_privileged: false,
        },
        mfa_events: events,
        endpoints: Vec::new(),
        observed_until_ms: Default::default(),
        baseline: Default::default(),
        directory: tocsin_correlate::SignInDirectory::default(),
        outages: Vec::new(),
        weights: Default::default(),
    };
    let outcome = tocsin_correlate::correlate(&input);
    let attempts = &outcome.incidents[0].attempts;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].result, tocsin_correlate::AttemptResult::Denied);
    assert_eq!(attempts[0].event_ids.len(), 3);
}
