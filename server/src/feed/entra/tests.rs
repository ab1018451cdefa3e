//! Tests of [`super`]: each trap of the format has one, named after it. The records are made here, in the
//! documented shapes.

use serde_json::json;
use tocsin_correlate::{Factor, MfaEvent, MfaEventKind as Kind, Risk, identity_keys};

use super::*;
use crate::feed::Format;

const DECLINED: &str = "MFA denied; user declined the authentication";

/// A record of Graph's beta: declined on the phone.
fn graph() -> Value {
    json!({
        "id": "66ea54eb-6301-4ee5-be62-ff5a759b0100",
        "createdDateTime": "2026-03-12T02:10:11.1234567Z",
        "userDisplayName": "Dana Reyes",
        "userPrincipalName": "Dana@Example.com",
        "userId": "26be570a-ae82-4189-b4e2-a37c6808512d",
        "appDisplayName": "Office 365 Exchange Online",
        "ipAddress": "203.0.113.66",
        "clientAppUsed": "Browser",
        "userAgent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0",
        "correlationId": "d79f5bee-5860-4832-928f-3133e22ae912",
        "conditionalAccessStatus": "success",
        "isInteractive": true,
        "riskLevelDuringSignIn": "high",
        "riskDetail": "none",
        "riskEventTypes_v2": ["anonymizedIPAddress"],
        "autonomousSystemNumber": 64_666,
        "sessionId": "0053c9e4-1111-4222-8333-944455566677",
        "status": {
            "errorCode": 500_121, "additionalDetails": DECLINED,
            "failureReason": "Authentication failed during strong authentication request.",
        },
        "deviceDetail": {
            "deviceId": "", "displayName": "", "operatingSystem": "Windows10", "browser": "Chrome 140.0.0",
            "isCompliant": false, "isManaged": false, "trustType": "",
        },
        "location": { "city": "Bucharest", "state": "Bucuresti", "countryOrRegion": "RO" },
        "authenticationDetails": [
            step("Password", true, "Correct password"),
            step("Mobile app notification", false, DECLINED),
        ],
    })
}

fn step(method: &str, succeeded: bool, remark: &str) -> Value {
    json!({
        "authenticationStepDateTime": "2026-03-12T02:10:11Z",
        "authenticationMethod": method,
        "authenticationMethodDetail": "",
        "succeeded": succeeded,
        "authenticationStepResultDetail": remark,
        "authenticationStepRequirement": "Primary authentication",
    })
}

/// The same record as Azure Monitor writes it.
fn diagnostic() -> Value {
    json!({
        "time": "2026-03-12T02:11:40.0000000Z",
        "resourceId": "/tenants/8a4de8b5-095c-47d0-a96f-a75130c61d53/providers/Microsoft.aadiam",
        "operationName": "Sign-in activity", "operationVersion": "1.0", "category": "SignInLogs",
        "tenantId": "8a4de8b5-095c-47d0-a96f-a75130c61d53", "resultType": "500121",
        "resultSignature": "None", "resultDescription": "Authentication failed.", "durationMs": 0,
        "callerIpAddress": "203.0.113.66", "correlationId": "d79f5bee-5860-4832-928f-3133e22ae912",
        "identity": "Dana Reyes", "Level": 4, "location": "RO", "properties": graph(),
    })
}

fn code(code: i64, remark: &str, steps: &[Value]) -> Value {
    let mut record = graph();
    record["status"] = json!({ "errorCode": code, "additionalDetails": remark });
    record["authenticationDetails"] = json!(steps);
    record
}

fn events(record: &Value) -> Vec<MfaEvent> {
    match Format::Entra.parse(record.to_string().as_bytes()) {
        Ok(Parsed::Events(events, _)) => events,
        other => panic!("{other:?}"),
    }
}

fn event(record: &Value) -> MfaEvent {
    events(record).remove(0)
}

fn kind(record: &Value) -> Kind {
    event(record).kind
}

fn unused(record: &Value) -> Option<String> {
    match Format::Entra.parse(record.to_string().as_bytes()) {
        Ok(Parsed::Unused(what)) => Some(what),
        _ => None,
    }
}

fn refused(record: &Value) -> String {
    let raw = record.to_string();
    Format::Entra.parse(raw.as_bytes()).unwrap_err().to_string()
}

#[test]
fn every_field_of_a_sign_in_is_read() {
    let event = event(&graph());
    assert_eq!(
        (event.kind, event.factor),
        (Kind::Denied, Some(Factor::Push))
    );
    assert_eq!(event.time_ms, 1_773_281_411_123);
    assert_eq!(event.account.login, "dana@example.com");
    assert_eq!(event.display_name.as_deref(), Some("Dana Reyes"));
    assert_eq!(
        event.application.as_deref(),
        Some("Office 365 Exchange Online")
    );
    let origin = &event.origin;
    assert_eq!(origin.ip, Some([203, 0, 113, 66].into()));
    assert_eq!((origin.asn, origin.is_proxy), (Some(64_666), Some(true)));
    assert_eq!(
        origin.browser.as_deref(),
        Some("Chrome"),
        "without its version"
    );
    assert_eq!(origin.device_id, None, "an empty one is none");
    assert_eq!(event.risk, Some(Risk::High));
    assert_eq!(
        event.flow.authentication.as_deref(),
        Some("d79f5bee-5860-4832-928f-3133e22ae912")
    );
    assert_eq!(event.detail.as_deref(), Some(DECLINED));
}

#[test]
fn the_shapes_of_one_record_are_one_event() {
    let whole = event(&graph());
    assert_eq!(event(&diagnostic()), whole);
    // v1.0 has no steps; the remark says the same.
    let mut old = graph();
    for name in [
        "authenticationDetails",
        "userAgent",
        "sessionId",
        "autonomousSystemNumber",
    ] {
        old.as_object_mut().unwrap().remove(name);
    }
    old["mfaDetail"] = json!({ "authMethod": "Mobile app notification", "authDetail": null });
    assert_eq!((event(&old).id, event(&old).kind), (whole.id, whole.kind));
    assert_eq!(event(&old).factor, whole.factor);
    // Log Analytics writes objects as texts, and letters its own way.
    let mut table = serde_json::Map::new();
    for (name, value) in graph().as_object().unwrap() {
        let name = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
        let value = if value.is_object() || value.is_array() {
            json!(value.to_string())
        } else {
            value.clone()
        };
        table.insert(name, value);
    }
    table.insert("Category".into(), json!("SignInLogs"));
    table.insert("ResultType".into(), json!("500121"));
    let table = Value::Object(table);
    assert_eq!(event(&table), whole);
}

#[test]
fn a_devices_own_id_is_its_binding() {
    let mut record = graph();
    record["deviceDetail"]["deviceId"] = json!("7f2d3c11-0001-4000-8000-00000000d001");
    assert_eq!(
        event(&record).origin.device_id.as_deref(),
        Some("7f2d3c11-0001-4000-8000-00000000d001")
    );
}

#[test]
fn trap_11_a_text_and_a_number_are_one_code_and_not_every_code_is_a_failure() {
    for code in [json!("500121"), json!(500_121)] {
        let mut record = diagnostic();
        record["resultType"] = code;
        record["properties"]["status"] = json!({ "additionalDetails": DECLINED });
        assert_eq!(kind(&record), Kind::Denied);
    }
    let mut record = diagnostic();
    record["resultType"] = json!("50140");
    record["properties"]["status"] = Value::Null;
    assert_eq!(unused(&record).as_deref(), Some("sign-in 50140"));
}

#[test]
fn trap_12_a_step_is_told_by_its_method() {
    let push = |succeeded, remark| step("Mobile app notification", succeeded, remark);
    let password = || step("Password", true, "Correct password");
    // The second factor comes first, and is called the primary authentication.
    let done = [push(true, "MFA successfully completed"), password()];
    let approved = event(&code(0, "", &done));
    assert_eq!(
        (approved.kind, approved.factor),
        (Kind::Approved, Some(Factor::Push))
    );
    let waiting = code(
        0,
        "",
        &[password(), push(false, "Authentication in progress")],
    );
    assert_eq!(kind(&waiting), Kind::PasswordAccepted, "not approved");
    let carried = [
        password(),
        step(
            "Previously satisfied",
            true,
            "MFA requirement satisfied by claim in the token",
        ),
    ];
    assert_eq!(kind(&code(0, "", &carried)), Kind::SessionStarted);
    assert_eq!(kind(&code(0, "", &[password()])), Kind::SessionStarted);
    let by_remark = code(0, "MFA completed in Azure AD", &[]);
    assert_eq!(kind(&by_remark), Kind::Approved);
    let by_claim = code(0, "MFA requirement satisfied by claim in the token", &[]);
    assert_eq!(kind(&by_claim), Kind::SessionStarted);
}

#[test]
fn every_refusal_has_its_kind_in_whatever_letters() {
    for (remark, expect) in [
        (DECLINED, Kind::Denied),
        ("MFA Denied; User Declined the Authentication", Kind::Denied),
        (
            "MFA denied; user did not respond to mobile app notification",
            Kind::Unanswered,
        ),
        ("MFA denied; duplicate authentication attempt", Kind::Error),
        ("MFA denied; Phone App Reported Fraud", Kind::FraudReported),
        ("MFA denied, fraud code entered", Kind::FraudReported),
        ("MFA denied; invalid verification code", Kind::WrongCode),
        (
            "MFA denied; user entered number did not match: wrong number",
            Kind::WrongNumber,
        ),
        ("something new", Kind::Error),
    ] {
        assert_eq!(kind(&code(500_121, remark, &[])), expect, "{remark}");
    }
    let call = [step(
        "Phone call approval",
        false,
        "MFA denied; user did not respond",
    )];
    let event = event(&code(500_121, "", &call));
    assert_eq!(
        (event.kind, event.factor),
        (Kind::Unanswered, Some(Factor::Voice))
    );
    let text = event_of_method("Text message");
    assert_eq!((text.kind, text.factor), (Kind::Error, Some(Factor::Sms)));
}

fn event_of_method(method: &str) -> MfaEvent {
    event(&code(
        500_121,
        "",
        &[step(method, false, "Authentication failed")],
    ))
}

#[test]
fn every_code_has_its_kind() {
    for (number, expect) in [
        (50_126, Some(Kind::PrimaryFailed)),
        (50_072, Some(Kind::PasswordAccepted)),
        (50_074, Some(Kind::PasswordAccepted)),
        (50_076, Some(Kind::PasswordAccepted)),
        (50_158, Some(Kind::PasswordAccepted)),
        (50_053, Some(Kind::AccountLocked)),
        (53_003, Some(Kind::PolicyDenied)),
        (50_097, Some(Kind::ChallengeRequired)),
        (50_133, Some(Kind::SessionRevoked)),
        (50_058, None),
        (65_001, None),
        (70_044, None),
        (999_999, None),
    ] {
        let record = code(number, "", &[]);
        match expect {
            Some(expect) => assert_eq!(kind(&record), expect, "{number}"),
            None => assert_eq!(unused(&record), Some(format!("sign-in {number}"))),
        }
    }
    let external = event(&code(
        50_158,
        "External security challenge not satisfied",
        &[],
    ));
    assert_eq!(external.factor, Some(Factor::External));
    let done = "MFA requirement satisfied by claim provided by external provider";
    let approved = event(&code(0, done, &[]));
    assert_eq!(
        (approved.kind, approved.factor),
        (Kind::Approved, Some(Factor::External))
    );
}

#[test]
fn trap_3_a_record_that_is_written_again_is_of_the_same_sign_in() {
    let waiting = [step(
        "Mobile app notification",
        false,
        "Authentication in progress",
    )];
    let first = event(&code(0, "", &waiting));
    let last = event(&graph());
    assert_ne!(first.id, last.id, "both are kept, whichever comes first");
    assert_eq!(first.flow, last.flow);
}

#[test]
fn who_is_no_person_and_what_is_not_interactive_is_counted() {
    let mut record = diagnostic();
    record["category"] = json!("ServicePrincipalSignInLogs");
    assert_eq!(
        unused(&record).as_deref(),
        Some("ServicePrincipalSignInLogs")
    );
    let mut record = code(0, "", &[]);
    record["isInteractive"] = json!(false);
    assert_eq!(
        unused(&record).as_deref(),
        Some("non-interactive sign-in 0")
    );
    let mut record = diagnostic();
    record["category"] = json!("RiskyUsers");
    record["properties"] = json!({ "riskState": "atRisk" });
    assert_eq!(unused(&record).as_deref(), Some("RiskyUsers"));
}

#[test]
fn trap_6_the_country_is_a_code_in_every_shape() {
    for place in [
        json!({ "countryOrRegion": "ro" }),
        json!({ "countryOrRegion": "Romania" }),
    ] {
        let mut record = graph();
        record["location"] = place;
        assert_eq!(event(&record).origin.place.country.as_deref(), Some("RO"));
    }
    let mut record = diagnostic();
    record["properties"]["location"] = Value::Null;
    assert_eq!(event(&record).origin.place.country.as_deref(), Some("RO"));
}

#[test]
fn times_with_an_offset_are_the_same_instant() {
    let mut record = graph();
    record["createdDateTime"] = json!("2026-03-11T21:10:11.123-05:00");
    assert_eq!(event(&record).time_ms, 1_773_281_411_123);
}

#[test]
fn trap_18_an_address_may_have_a_port() {
    for text in ["203.0.113.66:51234", "::ffff:203.0.113.66"] {
        let mut record = graph();
        record["ipAddress"] = json!(text);
        assert_eq!(event(&record).origin.ip, Some([203, 0, 113, 66].into()));
    }
    let mut record = graph();
    record["ipAddress"] = json!("[2001:db8::7]:443");
    let ip = event(&record).origin.ip.unwrap();
    assert_eq!(ip.to_string(), "2001:db8::7");
}

#[test]
fn trap_19_a_password_typed_as_user_name_is_taken_out_everywhere() {
    let mut record = diagnostic();
    record["properties"]["status"]["errorCode"] = json!(50_126);
    record["properties"]["userPrincipalName"] = json!("Tr0ub4dor&3");
    record["identity"] = json!("Tr0ub4dor&3");
    let raw = record.to_string();
    let Ok(Parsed::Events(events, kept)) = Format::Entra.parse(raw.as_bytes()) else {
        panic!();
    };
    assert!(!format!("{events:?}").contains("Tr0ub4dor"));
    assert!(!String::from_utf8_lossy(&kept).contains("Tr0ub4dor"));
    assert_eq!(events[0].account.login, "");
    record["properties"]["userId"] = json!("00000000-0000-0000-0000-000000000000");
    assert!(unused(&record).is_some(), "nobody's");
}

#[test]
fn trap_13_letters_of_a_user_principal_name_do_not_matter() {
    let mut other = graph();
    other["userPrincipalName"] = json!("dana@EXAMPLE.com");
    assert_eq!(
        identity_keys(&event(&other).account),
        identity_keys(&event(&graph()).account)
    );
}

/// An audit in Graph's shape.
fn audit(activity: &str, targets: &Value) -> Value {
    json!({
        "id": "Directory_54a04b5e_1", "category": "UserManagement",
        "correlationId": "54a04b5e-1111-4222-8333-944455566677", "result": "success",
        "resultReason": "", "activityDisplayName": activity,
        "activityDateTime": "2026-03-12T02:05:00.1234567Z", "loggedByService": "Core Directory",
        "initiatedBy": { "app": null, "user": { "id": "5f7a0000-0000-4000-8000-0000000000aa",
            "displayName": "Help Desk", "userPrincipalName": "helpdesk@example.com",
            "ipAddress": "192.0.2.99" } },
        "targetResources": targets,
        "additionalDetails": [{ "key": "User-Agent", "value": "Mozilla/5.0" }],
    })
}

fn dana() -> Value {
    json!({ "id": "26be570a-ae82-4189-b4e2-a37c6808512d", "displayName": "Dana Reyes",
        "type": "User", "userPrincipalName": "dana@example.com", "modifiedProperties": [] })
}

#[test]
fn trap_16_a_change_is_whom_it_is_done_to() {
    for (activity, expect) in [
        ("Disable Strong Authentication", Kind::FactorReset),
        ("Admin registered security info", Kind::FactorEnrolled),
        ("User deleted security info", Kind::FactorRemoved),
        (
            "Create Temporary Access Pass method for user",
            Kind::BypassIssued,
        ),
        (
            "Update StsRefreshTokenValidFrom Timestamp",
            Kind::SessionRevoked,
        ),
        ("Reset password", Kind::PasswordReset),
        ("Reset user password", Kind::PasswordReset),
        ("Change user password", Kind::PasswordChanged),
        ("Add member to role", Kind::PrivilegeGranted),
        (
            "Add member to role in PIM completed (permanent)",
            Kind::PrivilegeGranted,
        ),
        ("Suspicious activity reported", Kind::SuspiciousReported),
        ("Fraud reported - no action taken", Kind::SuspiciousReported),
    ] {
        let record = audit(activity, &json!([dana(), { "type": "Role", "id": "r" }]));
        let event = event(&record);
        assert_eq!(event.kind, expect, "{activity}");
        assert_eq!(event.account.login, "dana@example.com");
        let actor = event.actor.unwrap();
        assert_eq!(actor.login, "helpdesk@example.com", "{activity}");
    }
    let other = audit(
        "Add member to role in PIM requested (permanent)",
        &json!([dana()]),
    );
    assert!(unused(&other).is_some());
    let mut failed = audit("Reset password", &json!([dana()]));
    failed["result"] = json!("failure");
    assert_eq!(
        unused(&failed).as_deref(),
        Some("Reset password that failed")
    );
}

#[test]
fn who_registers_a_device_is_its_person() {
    let mut record = audit(
        "Register device",
        &json!([{ "type": "Device", "id": "d1" }]),
    );
    record["initiatedBy"]["user"] = dana();
    let event = event(&record);
    assert_eq!((event.kind, event.actor), (Kind::DeviceEnrolled, None));
    assert_eq!(event.account.login, "dana@example.com");
    let mut own = audit("User registered security info", &json!([dana()]));
    own["initiatedBy"]["user"] = dana();
    own["resultReason"] = json!("User registered Authenticator App with Notification and Code");
    let own = self::event(&own);
    assert_eq!((own.actor, own.factor), (None, Some(Factor::Push)));
}

#[test]
fn a_record_about_two_people_is_two_events_in_either_shape() {
    let eli = json!({ "id": "e1", "type": "User", "userPrincipalName": "eli@example.com" });
    let record = audit("Add member to role", &json!([dana(), eli, dana()]));
    let found = events(&record);
    assert_eq!(found.len(), 2, "each once");
    let wrapped = json!({ "time": "2026-03-12T02:06:00Z", "category": "AuditLogs",
        "operationName": "Add member to role", "callerIpAddress": "192.0.2.99",
        "properties": record });
    assert_eq!(events(&wrapped), found);
    let many: Vec<Value> = (0..20)
        .map(|n| json!({ "id": format!("u{n}"), "type": "User" }))
        .collect();
    let reason = refused(&audit("Add member to role", &json!(many)));
    assert_eq!(reason, "holds more than 16 events");
}

#[test]
fn what_must_be_there_is_missed_by_name() {
    for (name, expect) in [
        ("id", "id is missing"),
        ("createdDateTime", "createdDateTime is missing"),
        ("status", "status.errorCode is missing"),
    ] {
        let mut record = graph();
        record.as_object_mut().unwrap().remove(name);
        assert_eq!(refused(&record), expect);
    }
    let mut record = graph();
    record["status"]["errorCode"] = json!("soon");
    assert_eq!(refused(&record), "status.errorCode is not a number");
    assert_eq!(refused(&json!({ "a": 1 })), "createdDateTime is missing");
}
