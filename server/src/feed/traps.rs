//! Traps of providers' logs that are not one provider's, each a test named after it. A provider's own stand beside
//! its reader; those of the engine in `tocsin-correlate`.

use proptest::prelude::*;
use serde_json::{Value, json};
use tocsin_correlate::{IdentityKey, MfaEvent, MfaEventKind as Kind, identity_keys, resolve};
use tocsin_proto::limits::PROVIDER_RECORD_BYTES_MAX;

use super::split::{Piece, Splitter};
use super::{Format, Parsed};

/// A second factor's answer at each provider, by the person with this login.
fn answers(login: &str) -> Vec<(Format, Value)> {
    let okta = json!({
        "uuid": "7a3c1f00-0001-11f0-8000-0000000000aa", "published": "2026-03-12T02:10:11.123Z",
        "eventType": "user.authentication.auth_via_mfa", "outcome": { "result": "SUCCESS" },
        "actor": { "id": "00u1dana", "type": "User", "alternateId": login },
        "authenticationContext": { "externalSessionId": "s1" },
        "debugContext": { "debugData": { "factor": "OKTA_VERIFY_PUSH" } },
        "client": { "ipAddress": "203.0.113.66" },
    });
    let entra = json!({
        "id": "66ea54eb-6301", "createdDateTime": "2026-03-12T02:10:11Z", "userId": "26be570a",
        "userPrincipalName": login, "ipAddress": "203.0.113.66", "sessionId": "s1",
        "status": { "errorCode": 0, "additionalDetails": "MFA completed in Azure AD" },
    });
    let duo = json!({
        "txid": "340a23e3", "timestamp": 1_773_281_411, "result": "success",
        "reason": "user_approved", "factor": "duo_push", "user": { "key": "DU3KC", "name": login },
        "access_device": { "ip": "203.0.113.66" },
    });
    let google = json!({
        "id": { "time": "2026-03-12T02:10:11Z", "uniqueQualifier": "-88", "applicationName": "login" },
        "actor": { "email": login, "profileId": "1042" }, "ipAddress": "203.0.113.66",
        "events": [{ "name": "login_success", "parameters": [] }],
    });
    let onelogin = json!({
        "id": 12, "created_at": "2026-03-12T02:10:11Z", "event_type_id": 68, "user_id": 123,
        "user_name": login, "actor_user_id": 123, "ipaddr": "203.0.113.66",
    });
    let auth0 = json!({
        "log_id": "9002", "date": "2026-03-12T02:10:11Z", "type": "gd_auth_succeed",
        "user_id": "auth0|5f7a", "user_name": login, "ip": "203.0.113.66", "session_id": "s1",
    });
    vec![
        (Format::Okta, okta),
        (Format::Entra, entra),
        (Format::Duo, duo),
        (Format::Google, google),
        (Format::OneLogin, onelogin),
        (Format::Auth0, auth0),
    ]
}

fn event(format: &Format, record: &Value) -> MfaEvent {
    match format.parse(record.to_string().as_bytes()) {
        Ok(Parsed::Events(mut events, _)) if events.len() == 1 => events.remove(0),
        other => panic!("{format:?}: {other:?}"),
    }
}

#[test]
fn trap_3_what_comes_twice_is_one_event_at_every_provider() {
    for (format, record) in answers("dana@example.com") {
        let mut again = record.clone();
        // Delivered by another way, which adds its own fields.
        again["ingested_at"] = json!("2026-03-12T02:15:00Z");
        let (first, second) = (event(&format, &record), event(&format, &again));
        assert_eq!(first, second, "{format:?}");
    }
}

#[test]
fn trap_4_words_for_not_known_are_no_session_and_no_address() {
    for (format, record) in answers("dana@example.com") {
        for word in ["unknown", "-", "null", "", "N/A"] {
            let text = record.to_string();
            let text = text.replace("\"s1\"", &format!("\"{word}\""));
            let text = text.replace("203.0.113.66", word);
            let found = event(&format, &serde_json::from_str(&text).unwrap());
            assert_eq!(found.flow.session, None, "{format:?} {word}");
            assert_eq!(found.origin.ip, None, "{format:?} {word}");
        }
    }
}

#[test]
fn trap_13_one_address_in_any_letters_is_one_person_at_every_provider() {
    let mut accounts = Vec::new();
    for login in ["dana@example.com", "Dana@Example.COM"] {
        let answers = answers(login);
        accounts.extend(
            answers
                .iter()
                .map(|(format, one)| event(format, one).account),
        );
    }
    assert_eq!(resolve(&accounts).len(), 1);
}

#[test]
fn trap_13_what_is_no_address_joins_two_providers_never() {
    for login in [
        "dana",
        "EXAMPLE\\dana",
        "S-1-5-21-1-2-3-1104",
        "1000",
        "dana@localhost",
    ] {
        let answers = answers(login);
        let accounts = answers
            .iter()
            .map(|(format, one)| event(format, one).account);
        let accounts: Vec<_> = accounts.collect();
        assert_eq!(resolve(&accounts).len(), accounts.len(), "{login}");
        for account in &accounts {
            let is_address = |key: &IdentityKey| matches!(key, IdentityKey::Address(_));
            assert!(!identity_keys(account).iter().any(is_address), "{login}");
        }
    }
}

#[test]
fn trap_14_where_the_phone_is_says_nothing_of_the_sign_in() {
    let (_, mut record) = answers("dana@example.com").remove(2);
    let plain = event(&Format::Duo, &record);
    record["auth_device"] = json!({
        "ip": "198.51.100.9", "name": "dana's phone",
        "location": { "city": "Frankfurt", "country": "Germany", "state": "Hesse" },
    });
    assert_eq!(event(&Format::Duo, &record), plain, "a carrier's exit");
}

#[test]
fn trap_14_what_a_service_does_for_a_person_is_not_their_place() {
    let (_, mut record) = answers("dana@example.com").remove(1);
    record["isInteractive"] = json!(false);
    record["location"] = json!({ "countryOrRegion": "CA", "city": "Toronto" });
    let raw = record.to_string();
    let read = Format::Entra.parse(raw.as_bytes());
    assert!(matches!(read, Ok(Parsed::Unused(_))), "{read:?}");
}

#[test]
fn trap_19_of_a_failed_sign_in_by_nobody_nothing_is_kept() {
    const SECRET: &str = "Tr0ub4dor&3";
    let onelogin = json!({
        "id": 12, "created_at": "2026-03-12T02:10:11Z", "event_type_id": 6, "user_id": null,
        "user_name": SECRET, "error_description": "Invalid password",
    });
    let google = json!({
        "id": { "time": "2026-03-12T02:10:11Z", "uniqueQualifier": "-88", "applicationName": "login" },
        "actor": { "email": SECRET }, "ipAddress": "203.0.113.66",
        "events": [{ "name": "login_failure", "parameters": [] }],
    });
    let leaked = json!({
        "log_id": "9002", "date": "2026-03-12T02:10:11Z", "type": "pwd_leak",
        "user_id": "auth0|5f7a", "user_name": SECRET, "ip": "203.0.113.66",
    });
    for (format, record) in [
        (Format::OneLogin, onelogin),
        (Format::Google, google),
        (Format::Auth0, leaked),
    ] {
        let raw = record.to_string();
        match format.parse(raw.as_bytes()) {
            Ok(Parsed::Unused(what)) => assert!(!what.contains(SECRET), "{what}"),
            Ok(Parsed::Events(events, kept)) => {
                assert!(!format!("{events:?}").contains(SECRET), "{format:?}");
                assert!(
                    !String::from_utf8_lossy(&kept).contains(SECRET),
                    "{format:?}"
                );
            }
            Err(error) => panic!("{format:?}: {error}"),
        }
    }
}

/// The body of an event hook with these events.
fn hook(events: &[Value]) -> String {
    json!({
        "eventType": "com.okta.event_hook", "eventId": "b5a188b9", "eventTime": "2026-03-12T02:10:13Z",
        "source": "https://example.okta.com/api/v1/eventHooks/who1", "data": { "events": events },
    })
    .to_string()
}

fn events_of(file: &str) -> Vec<MfaEvent> {
    let mut splitter = Splitter::new(Format::Okta.envelopes());
    let mut pieces = Vec::new();
    splitter.push(file.as_bytes(), &mut pieces);
    splitter.finish(&mut pieces);
    let read = pieces.iter().map(|piece| match piece {
        Piece::Record { bytes, .. } => {
            event(&Format::Okta, &serde_json::from_slice(bytes).unwrap())
        }
        Piece::Problem { reason, .. } => panic!("{reason}"),
    });
    let mut events: Vec<_> = read.collect();
    events.sort_by_key(|event| event.id);
    events.dedup_by_key(|event| event.id);
    events
}

fn numbered(n: u8) -> Value {
    let (_, mut record) = answers("dana@example.com").remove(0);
    record["uuid"] = json!(format!("7a3c1f00-0001-11f0-8000-0000000000{n:02x}"));
    record
}

proptest! {
    #[test]
    fn trap_20_hooks_that_come_twice_and_in_any_order_give_the_same_events(
        order in prop::collection::vec(0..12_u8, 1..40),
        cut in 0..40_usize,
    ) {
        let mut distinct = order.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let expect = events_of(&hook(&distinct.into_iter().map(numbered).collect::<Vec<_>>()));
        let (first, second) = order.split_at(cut.min(order.len()));
        let deliver = |part: &[u8]| hook(&part.iter().copied().map(numbered).collect::<Vec<_>>());
        let bodies = [deliver(second), deliver(first), deliver(second)];
        prop_assert_eq!(events_of(&bodies.join("\n")), expect);
    }
}

#[test]
fn trap_20_a_body_without_end_is_refused_and_not_held() {
    let mut splitter = Splitter::new(Format::Okta.envelopes());
    let mut pieces = Vec::new();
    splitter.push(b"{\"data\":{\"events\":[{\"uuid\":\"", &mut pieces);
    let chunk = vec![b'x'; PROVIDER_RECORD_BYTES_MAX / 4 + 1];
    for _ in 0..8 {
        splitter.push(&chunk, &mut pieces);
    }
    splitter.finish(&mut pieces);
    let is_problem = |piece: &Piece| matches!(piece, Piece::Problem { .. });
    assert!(!pieces.is_empty() && pieces.iter().all(is_problem));
}

#[test]
fn what_microsofts_other_logs_hold_is_counted_by_name() {
    for (record, expect) in [
        (
            json!({ "CreationTime": "2026-03-12T02:10:11", "RecordType": 8, "Operation": "Update user." }),
            "unified audit log: Update user.",
        ),
        (
            json!({ "createdDateTime": "2026-03-12T02:10:11Z", "status": "new", "serviceSource": "x",
                "title": "Anonymous IP address" }),
            "alert: Anonymous IP address",
        ),
    ] {
        let raw = record.to_string();
        match Format::Entra.parse(raw.as_bytes()) {
            Ok(Parsed::Unused(what)) => assert_eq!(what, expect),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_takes_all_rights_is_given_them_also_where_the_record_has_no_id() {
    let mut record = json!({
        "time": "2026-03-12T02:10:11Z", "category": "AuditLogs", "correlationId": "c1",
        "operationName": "User has elevated their access to User Access Administrator for their Azure Resources",
        "callerIpAddress": "203.0.113.66", "properties": {
            "activityDateTime": "2026-03-12T02:10:11Z",
            "initiatedBy": { "user": { "id": "26be570a", "userPrincipalName": "Dana@Example.com" } },
        },
    });
    let found = event(&Format::Entra, &record);
    assert_eq!(found.kind, Kind::PrivilegeGranted);
    assert_eq!(found.account.login, "dana@example.com");
    assert_eq!(found.origin.ip, Some([203, 0, 113, 66].into()));
    record["correlationId"] = Value::Null;
    let raw = record.to_string();
    let error = Format::Entra.parse(raw.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "id is missing");
}
