//! The rules.

use std::collections::BTreeSet;

use tocsin_correlate::{Factor, MfaEvent, MfaEventKind};

use super::window::{alert, single, sliding, tumbling};
use super::{Alert, Rule, is_declined, is_failure, is_success, is_unanswered};
use crate::world::{DAY_MS, HOUR_MS, MINUTE_MS};

/// All of them; the last is nobody's: what one line can do.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "ER okta: 5 denied in 10 min, no success",
        alerts: denied_without_success,
    },
    Rule {
        name: "ER okta: 5 denied in 10 min, then success",
        alerts: denied_then_success,
    },
    Rule {
        name: "ER entra: user reported",
        alerts: reported,
    },
    Rule {
        name: "OCD abandonment: >5 in 1 h from one address",
        alerts: abandonment,
    },
    Rule {
        name: "OCD mismatch of push and answer, by session",
        alerts: mismatch,
    },
    Rule {
        name: "OCD hunt: push rejected",
        alerts: rejected,
    },
    Rule {
        name: "OCD hunt: number challenge failed",
        alerts: wrong_number,
    },
    Rule {
        name: "SSC okta: 10 failed in 5 min buckets",
        alerts: okta_failed,
    },
    Rule {
        name: "SSC okta: 2 rejected in 10 min",
        alerts: two_rejected,
    },
    Rule {
        name: "SSC okta: exhaustion hunt, by day",
        alerts: exhaustion,
    },
    Rule {
        name: "CHR okta: 2 rejected in 10 min",
        alerts: two_denied,
    },
    Rule {
        name: "CHR okta: >4 pushes and success in 15 min, by session",
        alerts: brute_force,
    },
    Rule {
        name: "AZS okta: >10 pushes in 1 h, by session",
        alerts: many_pushes,
    },
    Rule {
        name: "SSC azure: 10 denied in 10 min buckets",
        alerts: azure_denied,
    },
    Rule {
        name: "SSC azure: >10 failed in 10 min buckets",
        alerts: azure_failed,
    },
    Rule {
        name: "SSC azure: failed during challenge",
        alerts: challenge_failed,
    },
    Rule {
        name: "AZS entra: >10 and success, day spans 5 min",
        alerts: spamming_and_success,
    },
    Rule {
        name: "SIG azure: MFA denied",
        alerts: rejected,
    },
    Rule {
        name: "SIG azure: MFA interrupted",
        alerts: interrupted,
    },
    Rule {
        name: "SSC o365, ping: 10 failed in 10 min",
        alerts: ten_failed,
    },
    Rule {
        name: "SSC gcp: 10 failed in 5 min, by address and factor",
        alerts: gcp_failed,
    },
    Rule {
        name: "SSC ping: countries of request and answer differ",
        alerts: countries,
    },
    Rule {
        name: "PA auth0: 5 pushes in 30 min, of the admin console",
        alerts: auth0_pushes,
    },
    Rule {
        name: "PA duo: fraud",
        alerts: fraud,
    },
    Rule {
        name: "one line: success from an address never seen",
        alerts: new_address,
    },
];

fn is_push_denied(event: &MfaEvent) -> bool {
    event.kind == MfaEventKind::Denied && event.factor == Some(Factor::Push)
}

fn denied_without_success(events: &[MfaEvent]) -> Vec<Alert> {
    runs_of_denied(events).0
}

fn denied_then_success(events: &[MfaEvent]) -> Vec<Alert> {
    runs_of_denied(events).1
}

/// Five denials within ten minutes with no success among them; and the success within the ten minutes, if any.
fn runs_of_denied(events: &[MfaEvent]) -> (Vec<Alert>, Vec<Alert>) {
    let (mut alone, mut followed) = (Vec::new(), Vec::new());
    let mut run: Vec<&MfaEvent> = Vec::new();
    for event in events {
        run.retain(|denied| event.time_ms - denied.time_ms <= 10 * MINUTE_MS);
        if is_success(event.kind) {
            if run.len() >= 5 {
                followed.push(alert(event.time_ms, run.iter().copied().chain([event])));
            }
            run.clear();
        } else if is_push_denied(event) {
            run.push(event);
            if run.len() >= 5 {
                alone.push(alert(event.time_ms, run.iter().copied()));
            }
        }
    }
    (alone, followed)
}

fn reported(events: &[MfaEvent]) -> Vec<Alert> {
    single(events, |event| {
        matches!(
            event.kind,
            MfaEventKind::SuspiciousReported | MfaEventKind::FraudReported
        )
    })
}

fn abandonment(events: &[MfaEvent]) -> Vec<Alert> {
    tumbling(
        events,
        HOUR_MS,
        |event| is_unanswered(event.kind).then_some(event.origin.ip)?,
        |bucket| bucket.len() > 5,
    )
}

/// Pushes against successes of a session, a push to several phones counted once by two seconds; and a new device at a
/// new address on the push, and more than one address in the session.
fn mismatch(events: &[MfaEvent]) -> Vec<Alert> {
    let in_session = |event: &MfaEvent| event.flow.session.clone();
    tumbling(events, DAY_MS, in_session, |session| {
        let of = |kind: MfaEventKind| session.iter().filter(move |event| event.kind == kind);
        let pushes: BTreeSet<i64> = of(MfaEventKind::PromptSent)
            .map(|e| e.time_ms / 2_000)
            .collect();
        let successes = of(MfaEventKind::Approved).count();
        let rejects = of(MfaEventKind::Denied).count();
        let addresses: BTreeSet<_> = session.iter().filter_map(|event| event.origin.ip).collect();
        let is_new = of(MfaEventKind::PromptSent)
            .any(|e| e.novelty.device == Some(true) && e.novelty.address == Some(true));
        let is_odd = (pushes.len() > 2 && successes * 2 < pushes.len()) || rejects > 0;
        is_odd && addresses.len() > 1 && is_new
    })
}

fn rejected(events: &[MfaEvent]) -> Vec<Alert> {
    single(events, |event| event.kind == MfaEventKind::Denied)
}

fn wrong_number(events: &[MfaEvent]) -> Vec<Alert> {
    single(events, |event| event.kind == MfaEventKind::WrongNumber)
}

fn okta_failed(events: &[MfaEvent]) -> Vec<Alert> {
    tumbling(
        events,
        5 * MINUTE_MS,
        |e| is_failure(e.kind).then_some(()),
        |bucket| bucket.len() >= 10,
    )
}

fn two_rejected(events: &[MfaEvent]) -> Vec<Alert> {
    tumbling(
        events,
        10 * MINUTE_MS,
        |e| is_push_denied(e).then_some(()),
        |bucket| bucket.len() >= 2,
    )
}

fn two_denied(events: &[MfaEvent]) -> Vec<Alert> {
    sliding(events, 2, 10 * MINUTE_MS, is_push_denied)
}

/// All denied, all ignored, or more than three pushes for a success; over the whole search, which is a day.
fn exhaustion(events: &[MfaEvent]) -> Vec<Alert> {
    tumbling(
        events,
        DAY_MS,
        |event| {
            let counts = event.kind == MfaEventKind::PromptSent || event.kind.is_answer();
            (counts && event.factor == Some(Factor::Push)).then_some(())
        },
        |day| {
            let count =
                |keep: fn(MfaEventKind) -> bool| day.iter().filter(|e| keep(e.kind)).count();
            let pushes = count(|kind| kind == MfaEventKind::PromptSent);
            let (successes, failures) = (count(is_success), count(is_failure));
            (failures == pushes && failures > 1)
                || (pushes > 1 && successes + failures == 0)
                || (successes > 0 && pushes > 3 && successes * 2 < pushes)
        },
    )
}

fn brute_force(events: &[MfaEvent]) -> Vec<Alert> {
    tumbling(
        events,
        15 * MINUTE_MS,
        |event| event.flow.session.clone(),
        |session| {
            let pushes = session
                .iter()
                .filter(|e| e.kind == MfaEventKind::PromptSent)
                .count();
            pushes > 4 && session.iter().any(|e| is_success(e.kind))
        },
    )
}

fn many_pushes(events: &[MfaEvent]) -> Vec<Alert> {
    let push = |event: &MfaEvent| {
        (event.kind == MfaEventKind::PromptSent)
            .then(|| event.flow.session.clone().unwrap_or_default())
    };
    tumbling(events, HOUR_MS, push, |bucket| bucket.len() > 10)
}

/// User, application and user agent.
fn azure_group(event: &MfaEvent) -> (Option<String>, Option<String>) {
    (event.application.clone(), event.origin.user_agent.clone())
}

fn azure_denied(events: &[MfaEvent]) -> Vec<Alert> {
    let denied = |e: &MfaEvent| is_declined(e.kind).then(|| azure_group(e));
    tumbling(events, 10 * MINUTE_MS, denied, |bucket| bucket.len() >= 10)
}

fn azure_failed(events: &[MfaEvent]) -> Vec<Alert> {
    let failed = |e: &MfaEvent| {
        (is_failure(e.kind) && !is_declined(e.kind)).then(|| (azure_group(e), e.kind))
    };
    tumbling(events, 10 * MINUTE_MS, failed, |bucket| bucket.len() > 10)
}

fn challenge_failed(events: &[MfaEvent]) -> Vec<Alert> {
    single(events, |event| is_failure(event.kind))
}

/// The span from a day's first to its last sign-in from an address must be five minutes, whatever else came from it.
fn spamming_and_success(events: &[MfaEvent]) -> Vec<Alert> {
    tumbling(
        events,
        DAY_MS,
        |event| event.kind.is_answer().then_some(event.origin.ip),
        |day| {
            let refused = day
                .iter()
                .filter(|e| is_declined(e.kind) || is_unanswered(e.kind))
                .count();
            let span_ms =
                day.last().map_or(0, |e| e.time_ms) - day.first().map_or(0, |e| e.time_ms);
            refused > 10
                && day.iter().any(|e| e.kind == MfaEventKind::Approved)
                && span_ms <= 5 * MINUTE_MS
        },
    )
}

/// The right password, and the second factor then failed.
fn interrupted(events: &[MfaEvent]) -> Vec<Alert> {
    single(events, |event| {
        is_failure(event.kind) || event.kind == MfaEventKind::ChallengeRequired
    })
}

fn ten_failed(events: &[MfaEvent]) -> Vec<Alert> {
    sliding(events, 10, 10 * MINUTE_MS, |event| is_failure(event.kind))
}

fn gcp_failed(events: &[MfaEvent]) -> Vec<Alert> {
    let failed = |e: &MfaEvent| is_failure(e.kind).then_some((e.origin.ip, e.factor));
    tumbling(events, 5 * MINUTE_MS, failed, |bucket| bucket.len() >= 10)
}

fn countries(events: &[MfaEvent]) -> Vec<Alert> {
    let in_session = |event: &MfaEvent| event.flow.session.clone();
    tumbling(events, DAY_MS, in_session, |session| {
        let of = |answer: bool| -> BTreeSet<_> {
            session
                .iter()
                .filter(|e| {
                    e.kind.is_answer() == answer && (answer || e.kind == MfaEventKind::PromptSent)
                })
                .filter_map(|e| e.origin.place.country.clone())
                .collect()
        };
        let (asked, answered) = (of(false), of(true));
        !asked.is_empty() && !answered.is_empty() && asked != answered
    })
}

/// It asks for the channel of the administrators' console, which a sign-in's push does not have.
fn auth0_pushes(events: &[MfaEvent]) -> Vec<Alert> {
    sliding(events, 5, 30 * MINUTE_MS, |event| {
        event.kind == MfaEventKind::PromptSent
            && event.application.as_deref() == Some("manage.auth0.com")
    })
}

fn fraud(events: &[MfaEvent]) -> Vec<Alert> {
    single(events, |event| event.kind == MfaEventKind::FraudReported)
}

fn new_address(events: &[MfaEvent]) -> Vec<Alert> {
    let mut seen = BTreeSet::new();
    let mut alerts = Vec::new();
    for event in events.iter().filter(|event| {
        event.kind == MfaEventKind::Approved || event.kind == MfaEventKind::SessionStarted
    }) {
        let is_first = seen.is_empty();
        if seen.insert(event.origin.ip) && !is_first {
            alerts.push(alert(event.time_ms, [event].into_iter()));
        }
    }
    alerts
}
