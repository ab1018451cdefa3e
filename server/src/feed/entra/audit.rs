//! Directory audits: what was changed, by whom, to whom.
//!
//! A record may concern several people: each gets an event of their own. Where no person is among the targets,
//! as where somebody registers a device, it is whoever did it.

use serde_json::Value;
use tocsin_correlate::{
    AccountKey, Actor, MfaEventKind as Kind, Provider, fold_login, identity_keys,
};

use super::Record;
use super::sign_in::factor;
use crate::feed::address::address;
use crate::feed::secret::kept;
use crate::feed::time::required_time_ms;
use crate::feed::value::{field, list, text};
use crate::feed::{EVENTS_MAX, Parsed, RecordError, event};

/// Understands one audit.
pub(super) fn parse<'a>(record: Record<'_>, raw: &'a [u8]) -> Result<Parsed<'a>, RecordError> {
    let activity = record
        .text(&["activityDisplayName"])
        .or_else(|| record.text(&["operationName"]))
        .ok_or(RecordError::Missing {
            field: "activityDisplayName",
        })?;
    let by = record.nested(&["initiatedBy"]).unwrap_or_default();
    let actor = field(&by, &["user"]).map(person);
    let targets = people(record);
    let is_own = actor
        .as_ref()
        .is_some_and(|actor| targets.iter().all(|(target, _)| is_same(target, actor)));
    let Some(kind) = kind(&activity.to_lowercase(), is_own) else {
        return Ok(Parsed::Unused(activity));
    };
    let result = record.text(&["result"]).unwrap_or_default();
    if ["failure", "failed", "timeout"].contains(&result.to_ascii_lowercase().as_str()) {
        return Ok(Parsed::Unused(format!("{activity} that failed")));
    }
    let id = id(record)?;
    let inner = record.inner.unwrap_or(record.whole);
    let time_ms = required_time_ms(
        inner,
        &[
            ("activityDateTime", &["activityDateTime"]),
            ("time", &["time"]),
        ],
    )?;
    let targets = match (targets.is_empty(), &actor) {
        (true, Some(actor)) if !identity_keys(actor).is_empty() => vec![(actor.clone(), None)],
        _ => targets,
    };
    if targets.is_empty() {
        return Ok(Parsed::Unused(format!("{activity} without an account")));
    }
    if targets.len() > EVENTS_MAX {
        return Err(RecordError::TooMany);
    }
    let detail = record.text(&["resultReason"]);
    let ip = text(&by, &["user", "ipAddress"])
        .or_else(|| additional(record, "ipaddr"))
        .or_else(|| text(record.whole, &["callerIpAddress"]));
    let events = targets.into_iter().map(|(target, name)| {
        let own = format!("{kind:?}/{}/{}", target.provider_id, target.login);
        let is_own = actor.as_ref().is_some_and(|actor| is_same(&target, actor));
        let mut event = event(&[id.as_bytes(), own.as_bytes()], time_ms, kind, target);
        event.display_name = name;
        event.actor = acting(&by).filter(|_| !is_own);
        event.origin.ip = ip.as_deref().and_then(address);
        event.origin.user_agent = additional(record, "User-Agent");
        event.factor = detail
            .as_deref()
            .and_then(|text| factor(&text.to_lowercase()));
        event.flow.transaction = record.text(&["correlationId"]);
        event.detail = detail.clone().or_else(|| Some(activity.clone()));
        event
    });
    Ok(Parsed::Events(
        events.collect(),
        kept(record.whole, raw, false),
    ))
}

/// The record's own id; where a service that logs here gives it none, what it belongs to, at its time.
fn id(record: Record<'_>) -> Result<String, RecordError> {
    let time = || {
        record
            .text(&["activityDateTime"])
            .or_else(|| record.text(&["time"]))
    };
    record.required("id").or_else(|missing| {
        let (flow, time) = record.text(&["correlationId"]).zip(time()).ok_or(missing)?;
        Ok(format!("{flow}/{time}"))
    })
}

/// The kind of an activity in lower case. `is_own`: who does it does it to themselves.
fn kind(activity: &str, is_own: bool) -> Option<Kind> {
    Some(match activity {
        "suspicious activity reported" => Kind::SuspiciousReported,
        _ if activity.starts_with("fraud reported") => Kind::SuspiciousReported,
        "user registered security info"
        | "admin registered security info"
        | "user registered all required security info" => Kind::FactorEnrolled,
        "user changed default security info"
        | "user updated security info"
        | "admin updated security info" => Kind::FactorUpdated,
        "user deleted security info" | "admin deleted security info" => Kind::FactorRemoved,
        "disable strong authentication" => Kind::FactorReset,
        "create temporary access pass method for user"
        | "admin registered temporary access pass method for user" => Kind::BypassIssued,
        "register device" | "add registered owner to device" | "add registered users to device" => {
            Kind::DeviceEnrolled
        }
        "update stsrefreshtokenvalidfrom timestamp"
        | "revoke sign in sessions"
        | "invalidate all refresh tokens" => Kind::SessionRevoked,
        "change user password" | "change password (self-service)" => Kind::PasswordChanged,
        "reset password (self-service)" => Kind::PasswordChanged,
        "reset password" | "reset user password" | "reset password (by admin)" => {
            if is_own {
                Kind::PasswordChanged
            } else {
                Kind::PasswordReset
            }
        }
        "add member to role" | "add eligible member to role" => Kind::PrivilegeGranted,
        // A global administrator who takes all rights on subscriptions too.
        _ if activity.starts_with("user has elevated their access") => Kind::PrivilegeGranted,
        _ if activity.starts_with("add member to role") && activity.contains("completed") => {
            Kind::PrivilegeGranted
        }
        _ => return None,
    })
}

/// The people among the targets, each once.
fn people(record: Record<'_>) -> Vec<(AccountKey, Option<String>)> {
    let targets = record.nested(&["targetResources"]).unwrap_or_default();
    let mut people: Vec<(AccountKey, Option<String>)> = Vec::new();
    let is_user = |target: &&Value| text(target, &["type"]).is_some_and(|kind| kind == "User");
    for target in list(&targets, &[]).iter().filter(is_user) {
        let account = person(target);
        let is_known = people.iter().any(|(known, _)| *known == account);
        if !is_known && !identity_keys(&account).is_empty() && people.len() <= EVENTS_MAX {
            people.push((account, text(target, &["displayName"])));
        }
    }
    people
}

fn person(value: &Value) -> AccountKey {
    let login = text(value, &["userPrincipalName"]);
    AccountKey {
        provider: Provider::Entra,
        provider_id: text(value, &["id"]).unwrap_or_default(),
        login: login.map(|login| fold_login(&login)).unwrap_or_default(),
    }
}

/// Who did it: a person, or an application.
fn acting(by: &Value) -> Option<Actor> {
    if let Some(user) = field(by, &["user"]).filter(|user| user.is_object()) {
        let account = person(user);
        return Some(Actor {
            kind: "User".to_owned(),
            provider_id: account.provider_id,
            login: account.login,
        });
    }
    let app = field(by, &["app"]).filter(|app| app.is_object())?;
    Some(Actor {
        kind: "Application".to_owned(),
        provider_id: text(app, &["servicePrincipalId"])
            .or_else(|| text(app, &["displayName"]))
            .unwrap_or_default(),
        login: String::new(),
    })
}

fn is_same(a: &AccountKey, b: &AccountKey) -> bool {
    if a.provider_id.is_empty() || b.provider_id.is_empty() {
        return a.login == b.login;
    }
    a.provider_id == b.provider_id
}

/// A value of `additionalDetails`, which is a list of pairs.
fn additional(record: Record<'_>, key: &str) -> Option<String> {
    let details = record.nested(&["additionalDetails"])?;
    let pair = list(&details, &[])
        .iter()
        .find(|pair| text(pair, &["key"]).is_some_and(|name| name == key))?;
    text(pair, &["value"])
}
