//! The provider's traps, each a test named after it.

use super::*;

#[test]
fn trap_1_a_denial_and_a_wrong_code_have_one_reason_and_are_two_things() {
    let denied = [
        &[PUSH, ("pushOnlyResponseType", "OV_RESPONSE_DENY")][..],
        &[("pushOnlyResponseType", "OV_RESPONSE_DENY")],
        &[PUSH],
    ];
    for values in denied {
        assert_eq!(
            kind(&answer("FAILURE", INVALID, values)),
            Kind::Denied,
            "{values:?}"
        );
    }
    for factor in [
        "SOFT_TOKEN",
        "GOOGLE_AUTH",
        "SMS_FACTOR",
        "SECURITY_QUESTION",
    ] {
        let record = answer("FAILURE", INVALID, &[("factor", factor)]);
        assert_eq!(kind(&record), Kind::WrongCode, "{factor}");
    }
    let number = (
        "pushWithNumberChallengeResponseType",
        "OV_WITH_CHALLENGE_RESPONSE_INVALID",
    );
    assert_eq!(
        kind(&answer("FAILURE", INVALID, &[PUSH, number])),
        Kind::WrongNumber
    );
    let not_used = (
        "pushWithNumberChallengeResponseType",
        "OV_WITH_CHALLENGE_RESPONSE_NOT_APPLICABLE",
    );
    let record = answer(
        "FAILURE",
        INVALID,
        &[PUSH, not_used, ("pushOnlyResponseType", "OV_RESPONSE_DENY")],
    );
    assert_eq!(kind(&record), Kind::Denied);
    let failed = ("pushOnlyResponseType", "OV_RESPONSE_ERROR");
    assert_eq!(
        kind(&answer("FAILURE", INVALID, &[PUSH, failed])),
        Kind::Error
    );
    assert_eq!(
        kind(&answer("FAILURE", INVALID, &[])),
        Kind::Error,
        "not told which"
    );
}

#[test]
fn trap_2_the_password_is_no_second_factor() {
    let password = &[("factor", "PASSWORD_AS_FACTOR")][..];
    assert_eq!(
        kind(&answer("SUCCESS", None, password)),
        Kind::PasswordAccepted
    );
    assert_eq!(
        kind(&answer("FAILURE", INVALID, password)),
        Kind::PrimaryFailed
    );
    assert_eq!(
        kind(&answer("ABANDONED", None, password)),
        Kind::PrimaryFailed
    );
    assert_eq!(kind(&answer("SUCCESS", None, &[PUSH])), Kind::Approved);
}

#[test]
fn trap_3_the_uuid_makes_the_id_and_nothing_else_does() {
    let first = record(MFA, "SUCCESS");
    let mut again = first.clone();
    again["displayMessage"] = json!("the same, delivered by a hook");
    again["version"] = json!("1");
    assert_eq!(event(&first).id, event(&again).id);
    let mut other = first.clone();
    other["uuid"] = json!("7a3c1f00-0001-11f0-8000-0000000000ab");
    assert_ne!(event(&first).id, event(&other).id);
}

#[test]
fn trap_4_words_for_not_known_are_absent() {
    let mut record = record("user.session.start", "FAILURE");
    for word in [
        json!("unknown"),
        json!("-"),
        json!("null"),
        json!(""),
        json!(null),
    ] {
        record["authenticationContext"]["externalSessionId"] = word.clone();
        record["client"]["geographicalContext"]["city"] = word.clone();
        record["client"]["userAgent"]["browser"] = json!("UNKNOWN");
        let event = event(&record);
        assert_eq!(event.flow.session, None, "{word}");
        assert_eq!(event.origin.place.city, None, "{word}");
        assert_eq!(event.origin.browser, None);
    }
}

#[test]
fn trap_5_behaviors_and_risk_are_texts_with_commas_in_them() {
    let values = [
        (
            "behaviors",
            "{New Geo-Location=POSITIVE, New Device=POSITIVE, New IP=NEGATIVE}",
        ),
        (
            "risk",
            "{reasons=Anomalous Location, Anomalous Device, level=HIGH}",
        ),
    ];
    let event = event(&with_debug(
        record("policy.evaluate_sign_on", "CHALLENGE"),
        &values,
    ));
    assert_eq!(event.kind, Kind::ChallengeRequired);
    assert_eq!(event.risk, Some(Risk::High));
    assert_eq!(
        (
            event.novelty.device,
            event.novelty.address,
            event.novelty.place
        ),
        (Some(true), Some(false), Some(true))
    );
}

#[test]
fn trap_6_the_country_is_a_code() {
    assert_eq!(
        event(&record(MFA, "SUCCESS"))
            .origin
            .place
            .country
            .as_deref(),
        Some("RO")
    );
}

#[test]
fn trap_13_a_login_is_folded_and_joins_only_as_an_address() {
    let mut other = record(MFA, "SUCCESS");
    other["actor"]["alternateId"] = json!("DANA@example.COM");
    other["actor"]["id"] = json!("00u2dana");
    let accounts = [
        event(&record(MFA, "SUCCESS")).account,
        event(&other).account,
    ];
    assert_eq!(accounts[0].login, "dana@example.com");
    assert_eq!(resolve(&accounts).len(), 1);
    other["actor"]["alternateId"] = json!("dana");
    assert_eq!(
        resolve(&[accounts[0].clone(), event(&other).account]).len(),
        2
    );
}

/// A change by the help desk.
fn by_help_desk(event_type: &str) -> Value {
    let mut record = record(event_type, "SUCCESS");
    record["actor"] = json!({
        "id": "00u9desk", "type": "User", "alternateId": "HelpDesk@example.com", "displayName": "Help Desk",
    });
    record["target"] = json!([
        { "id": "x", "type": "AppInstance", "alternateId": "Admin", "displayName": "Admin" },
        { "id": "00u1dana", "type": "User", "alternateId": "dana@example.com", "displayName": "Dana Reyes" },
    ]);
    record
}

#[test]
fn trap_15_and_16_a_reset_is_the_victims_event_and_names_who_did_it() {
    for (event_type, expect) in [
        ("user.mfa.factor.reset_all", Kind::FactorReset),
        ("user.account.reset_password", Kind::PasswordReset),
        ("user.account.privilege.grant", Kind::PrivilegeGranted),
    ] {
        let event = event(&by_help_desk(event_type));
        assert_eq!(
            (event.kind, event.account.login.as_str()),
            (expect, "dana@example.com")
        );
        assert_eq!(
            event.actor.map(|actor| actor.login).as_deref(),
            Some("helpdesk@example.com")
        );
    }
    let mut own = by_help_desk("user.mfa.factor.activate");
    own["actor"] = own["target"][1].clone();
    assert_eq!(event(&own).actor, None, "nobody else did it");
}

#[test]
fn trap_18_an_address_may_have_a_port() {
    let mut record = record(MFA, "SUCCESS");
    for text in ["203.0.113.66:51234", "[::ffff:203.0.113.66]:443"] {
        record["client"]["ipAddress"] = json!(text);
        assert_eq!(
            event(&record).origin.ip,
            Some("203.0.113.66".parse().unwrap()),
            "{text}"
        );
    }
    record["client"]["ipAddress"] = json!("none");
    assert_eq!(
        event(&record).origin.ip,
        Some("203.0.113.66".parse().unwrap()),
        "from the chain"
    );
}

#[test]
fn trap_19_a_password_typed_as_user_name_is_taken_out_everywhere() {
    let mut record = record("user.session.start", "FAILURE");
    record["outcome"]["reason"] = json!("INVALID_CREDENTIALS");
    for secret in ["Tr0ub4dor&3", "p@ss.w0rd", "correct horse battery"] {
        record["actor"]["alternateId"] = json!(secret);
        record["actor"]["displayName"] = json!(secret);
        record["target"] = json!([{ "type": "User", "id": "00u1dana", "alternateId": secret }]);
        let raw = record.to_string();
        let Ok(Parsed::Events(events, kept)) = Format::Okta.parse(raw.as_bytes()) else {
            panic!("{secret}");
        };
        let event = &events[0];
        assert!(!format!("{event:?}").contains(secret), "{event:?}");
        let kept = String::from_utf8(kept.into_owned()).unwrap();
        assert!(!kept.contains(secret), "{kept}");
        assert!(kept.contains(REDACTED) && kept.contains("7a3c1f00-0001"));
        assert_eq!(event.account.provider_id, "00u1dana", "still somebody's");
        assert_eq!(
            (event.account.login.as_str(), &event.display_name),
            ("", &None)
        );
    }
}

#[test]
fn trap_19_an_address_is_no_secret_and_the_record_is_kept_as_it_came() {
    let record = record("user.session.start", "FAILURE");
    let raw = record.to_string();
    let Ok(Parsed::Events(events, kept)) = Format::Okta.parse(raw.as_bytes()) else {
        panic!();
    };
    let event = &events[0];
    assert_eq!(event.account.login, "dana@example.com");
    assert!(matches!(kept, Cow::Borrowed(kept) if kept == raw.as_bytes()));
}

#[test]
fn trap_19_a_guessed_name_makes_nobody() {
    let mut record = record("user.session.start", "FAILURE");
    record["actor"]["id"] = json!("unknown");
    for typed in ["Tr0ub4dor&3", "ghost@example.com"] {
        record["actor"]["alternateId"] = json!(typed);
        let what = unused(&record).unwrap();
        assert!(
            what.starts_with("user.session.start") && !what.contains(typed),
            "{what}"
        );
    }
}
