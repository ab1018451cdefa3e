//! The rows of a sign-in, and a row as either engine writes it.

use super::*;

pub(super) const MFA: &str = "user.authentication.auth_via_mfa";

pub(super) fn password(time_ms: i64) -> Row<'static> {
    Row {
        time_ms,
        event_type: MFA,
        message: "Authentication of user via MFA",
        outcome: ("SUCCESS", None),
        debug: json!({ "factor": "PASSWORD_AS_FACTOR", "factorIntent": "LOGIN" }),
        target: json!([]),
    }
}

pub(super) fn prompt(time_ms: i64, person: &Person, device: u8) -> Row<'static> {
    let platform = if device == 0 { "IOS" } else { "ANDROID" };
    Row {
        time_ms,
        event_type: "system.push.send_factor_verify_push",
        message: "Send Okta Verify push verification message to user",
        outcome: ("SUCCESS", None),
        debug: json!({ "devicePlatform": platform, "deviceCategory": "MOBILE" }),
        target: json!([user(person)]),
    }
}

pub(super) fn session_rows(time_ms: i64) -> [Row<'static>; 3] {
    let row = |after_ms, event_type, message, outcome, target| Row {
        time_ms: time_ms + after_ms,
        event_type,
        message,
        outcome: (outcome, None),
        debug: json!({}),
        target,
    };
    let app = json!([{
        "id": "0oa1vpnportal0example",
        "type": "AppInstance",
        "alternateId": "VPN portal",
        "displayName": "VPN portal",
        "detailEntry": { "signOnModeType": "SAML_2_0" },
    }]);
    [
        row(
            0,
            "policy.evaluate_sign_on",
            "Evaluation of sign-on policy",
            "ALLOW",
            json!([]),
        ),
        row(
            100,
            "user.session.start",
            "User login to Okta",
            "SUCCESS",
            json!([]),
        ),
        row(
            900,
            "user.authentication.sso",
            "User single sign on to app",
            "SUCCESS",
            app,
        ),
    ]
}

pub(super) fn user(person: &Person) -> Value {
    json!({
        "id": person.id,
        "type": "User",
        "alternateId": person.login,
        "displayName": person.name,
        "detailEntry": null,
    })
}

pub(super) fn record(engine: Engine, uuid: &str, request: &Request<'_>, row: &Row<'_>) -> Value {
    let (origin, person) = (request.origin, request.person);
    let (agent, os, browser) = origin.client;
    let (number, network) = origin.network;
    let mut record = json!({
        "uuid": uuid,
        "published": time(row.time_ms),
        "eventType": row.event_type,
        "legacyEventType": null,
        "version": "0",
        "severity": if row.outcome.0 == "FAILURE" { "WARN" } else { "INFO" },
        "displayMessage": row.message,
        "actor": user(person),
        "client": {
            "userAgent": { "rawUserAgent": agent, "os": os, "browser": browser },
            "zone": "null",
            "device": "Computer",
            "id": null,
            "ipAddress": origin.ip,
            "geographicalContext": {
                "city": origin.city,
                "state": null,
                "country": origin.country,
                "postalCode": null,
                "geolocation": { "lat": 48.1, "lon": 11.6 },
            },
        },
        "outcome": { "result": row.outcome.0, "reason": row.outcome.1 },
        "target": row.target,
        "transaction": { "type": "WEB", "id": request.transaction, "detail": {} },
        "debugContext": { "debugData": debug_data(engine, request, &row.debug) },
        "authenticationContext": {
            "authenticationProvider": null,
            "credentialProvider": null,
            "credentialType": null,
            "issuer": null,
            "interface": null,
            "authenticationStep": 0,
            // The session of a failed sign-in is not told; Identity Engine still names its root.
            "externalSessionId": request.session.unwrap_or("unknown"),
            "rootSessionId": if engine == Engine::Identity { json!(request.attempt[..24]) } else { Value::Null },
        },
        "securityContext": {
            "asNumber": number,
            "asOrg": network,
            "isp": network,
            "domain": ".",
            "isProxy": false,
        },
        "request": { "ipChain": [{
            "ip": origin.ip,
            "version": "V4",
            "source": null,
            "geographicalContext": { "city": origin.city, "country": origin.country },
        }] },
    });
    if let Some(device) = &origin.device {
        record["device"] = json!({
            "id": device,
            "name": "porto-17",
            "os_platform": os,
            "managed": false,
            "registered": true,
            "device_integrator": null,
            "disk_encryption_type": "FULL",
            "screen_lock_type": "PASSCODE",
        });
    }
    record
}

/// Every value is a text; `behaviors` and `risk` only look like maps.
pub(super) fn debug_data(engine: Engine, request: &Request<'_>, own: &Value) -> Value {
    let new = if request.origin.is_new {
        "POSITIVE"
    } else {
        "NEGATIVE"
    };
    let mut data = Map::new();
    let mut put = |key: &str, value: String| data.insert(key.to_owned(), json!(value));
    put("requestId", request.transaction.clone());
    put("requestUri", "/idp/idx/challenge/poll".to_owned());
    put("url", "/idp/idx/challenge/poll?".to_owned());
    put("threatSuspected", "false".to_owned());
    put(
        "dtHash",
        hex(&[
            request.person.login.as_bytes(),
            request.origin.ip.as_bytes(),
        ]),
    );
    put(
        "behaviors",
        format!(
            "{{New Geo-Location={new}, New Device={new}, New IP={new}, New Country={new}, Velocity=NEGATIVE}}"
        ),
    );
    put(
        "risk",
        if request.origin.is_new {
            "{reasons=Anomalous Location, Anomalous Device, level=HIGH}".to_owned()
        } else {
            "{level=LOW}".to_owned()
        },
    );
    if engine == Engine::Identity {
        put("authnRequestId", request.attempt[..32].to_owned());
    }
    for (key, value) in own.as_object().into_iter().flatten() {
        data.insert(key.clone(), value.clone());
    }
    Value::Object(data)
}
