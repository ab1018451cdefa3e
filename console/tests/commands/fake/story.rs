//! What the fake server tells: Dana's night, with names as an attacker would choose them.

use tocsin_proto::console::v1::*;

/// 2026-11-24T02:10:00Z.
pub(crate) const NIGHT_MS: i64 = 1_795_486_200_000;

/// Takes over a terminal, turns the reading direction, hides.
pub(crate) const HOSTILE: &str = "evil\x1b]0;owned\x07\u{9b}2J\u{202e}txt\u{200b}\r\n";

pub(crate) fn id(n: u32) -> String {
    format!("{n:08x}-58f0-8d2a-9d3e-0a1b2c3d4e5f")
}

fn subject() -> Subject {
    Subject {
        kind: SubjectKind::Person.into(),
        identity: id(0x1d),
        display_name: "Dana Example".into(),
        accounts: vec![Account {
            provider: "okta".into(),
            login: "dana@example.com".into(),
        }],
    }
}

pub(crate) fn summary(n: u32) -> IncidentSummary {
    IncidentSummary {
        id: id(n),
        title: format!("17 prompts in 40 minutes, one approved ({HOSTILE})"),
        severity: Severity::Critical.into(),
        score: 91,
        state: IncidentState::New.into(),
        subject: Some(subject()),
        first_event_time_ms: NIGHT_MS,
        last_event_time_ms: NIGHT_MS + 2_400_000,
        ..IncidentSummary::default()
    }
}

fn attempt(n: i64, result: AttemptResult) -> Attempt {
    Attempt {
        id: format!("attempt-{n}"),
        time_ms: NIGHT_MS + n * 60_000,
        provider: "okta".into(),
        result: result.into(),
        source_ip: "203.0.113.7".into(),
        source_place: "Lagos, NG".into(),
        application: "Mail".into(),
        factor: "push".into(),
        user_agent: HOSTILE.into(),
        provenance: Some(Provenance {
            verdict: ProvenanceVerdict::Unknown.into(),
            confidence: Confidence::None.into(),
            endpoint: String::new(),
            reasons: vec!["no endpoint sees sign-in traffic yet".into()],
            ..Provenance::default()
        }),
        ..Attempt::default()
    }
}

fn evidence(family: &str, weight: f64, summary: &str) -> Evidence {
    Evidence {
        kind: format!("{family}_kind"),
        family: family.into(),
        weight,
        basis: Basis::Judged.into(),
        basis_detail: "no figures are published".into(),
        summary: summary.into(),
        event_ids: vec![id(7)],
    }
}

pub(crate) fn incident() -> Incident {
    let head = summary(0xaa);
    Incident {
        id: head.id,
        title: head.title,
        severity: head.severity,
        score: head.score,
        state: head.state,
        subject: head.subject,
        first_event_time_ms: head.first_event_time_ms,
        last_event_time_ms: head.last_event_time_ms,
        belief: BeliefBand::VeryLikely.into(),
        weights_version: "2026.1".into(),
        attempts: vec![
            attempt(0, AttemptResult::Denied),
            attempt(1, AttemptResult::Unanswered),
            attempt(2, AttemptResult::Approved),
        ],
        stages: vec![Stage {
            name: "factor_changed".into(),
            technique: "T1556.006".into(),
            first_event_time_ms: NIGHT_MS,
            attack_version: "18".into(),
        }],
        evidence: vec![
            evidence("prompts", 2.25, "17 prompts in 40 minutes"),
            evidence("reports", 3.5, "the person denied seven"),
            evidence("origin", -0.5, "the address was used before"),
        ],
        endpoints: vec![EndpointRef {
            id: id(0xe1),
            hostname: HOSTILE.into(),
        }],
        gaps: vec![MissingData {
            what: "no network sensor".into(),
            from_time_ms: NIGHT_MS,
            until_time_ms: 0,
        }],
        freshness: vec![Freshness {
            feed: "okta-file".into(),
            behind_ms: 180_000,
        }],
        recommended_actions: vec![
            RecommendedAction {
                action: "block_sign_in".into(),
                reason: "the session is live".into(),
                text: "Block the sign-in".into(),
            },
            RecommendedAction {
                action: "revoke_sessions".into(),
                ..RecommendedAction::default()
            },
        ],
        notes: vec![Note {
            id: "1".into(),
            time_ms: NIGHT_MS,
            author: "kim".into(),
            text: format!("called Dana\n{HOSTILE}"),
        }],
        activity: vec![Activity {
            time_ms: NIGHT_MS,
            actor: "tocsin".into(),
            what: "opened".into(),
        }],
        ..Incident::default()
    }
}

/// A feed that fails, with what its provider said.
pub(crate) fn live_feed() -> Feed {
    Feed {
        id: "okta.okta".into(),
        provider: "okta".into(),
        kind: "live".into(),
        name: "okta".into(),
        url: "https://example.okta.com".into(),
        state: "failing".into(),
        state_time_ms: NIGHT_MS,
        behind_ms: 7_200_000,
        mfa_events: 17,
        malformed: 1,
        malformed_reason: HOSTILE.into(),
        last_event_time_ms: NIGHT_MS,
        last_success_time_ms: NIGHT_MS,
        last_error: format!("Okta does not accept the token: {HOSTILE}"),
        last_error_time_ms: NIGHT_MS,
        next_try_time_ms: NIGHT_MS + 60_000,
        ..Feed::default()
    }
}

pub(crate) fn endpoint(n: u32) -> Endpoint {
    Endpoint {
        id: id(n),
        hostname: format!("lab-{n}{HOSTILE}"),
        state: EndpointState::Online.into(),
        os: "linux".into(),
        last_seen_time_ms: NIGHT_MS,
        tags: vec!["lab".into()],
        ..Endpoint::default()
    }
}

pub(crate) fn identity() -> Identity {
    Identity {
        id: id(0x1d),
        display_name: "Dana Example".into(),
        accounts: vec![IdentityAccount {
            provider: "okta".into(),
            login: "dana@example.com".into(),
            ..IdentityAccount::default()
        }],
        ..Identity::default()
    }
}

pub(crate) fn unmapped(n: u32) -> Unmapped {
    Unmapped {
        id: n.to_string(),
        kind: "local_account".into(),
        hostname: format!("lab-{n}{HOSTILE}"),
        user: format!("dana{HOSTILE}"),
        last_interactive_time_ms: NIGHT_MS,
        suggestions: vec![Suggestion {
            id: format!("{n}/{}", id(0x1d)),
            hostname: format!("lab-{n}"),
            user: format!("dana{HOSTILE}"),
            identity: id(0x1d),
            login: "dana@example.com".into(),
            reason: format!("short name {HOSTILE}"),
            confidence: "medium".into(),
            ..Suggestion::default()
        }],
        next_step: "tocsin identities link".into(),
        ..Unmapped::default()
    }
}

pub(crate) fn process(n: u32) -> ProcessRow {
    ProcessRow {
        id: format!("boot.{n}.1"),
        pid: n,
        parent_pid: 1,
        user: "dana".into(),
        start_time_ms: NIGHT_MS,
        argv: vec!["sh".into(), "-c".into(), HOSTILE.into()],
        ..ProcessRow::default()
    }
}

pub(crate) fn event(sequence: u64) -> EventRow {
    EventRow {
        id: format!("{}.{}.{sequence}", id(0xe1), id(0x40)),
        kind: "process".into(),
        activity: "start".into(),
        endpoint: id(0xe1),
        run: id(0x40),
        sequence,
        event_time_ms: NIGHT_MS + i64::try_from(sequence % 1_000_000).unwrap(),
        receive_time_ms: NIGHT_MS,
        process: Some(ProcessEvent {
            pid: 7,
            argv: vec!["curl".into(), HOSTILE.into()],
            user: "dana".into(),
            ..ProcessEvent::default()
        }),
        ..EventRow::default()
    }
}

pub(crate) fn audit_row(n: u32) -> AuditRow {
    AuditRow {
        id: n.to_string(),
        time_ms: NIGHT_MS,
        actor_kind: "analyst".into(),
        actor: "kim".into(),
        action: "endpoints.revoke".into(),
        target: id(0xe1),
        decision: "refused".into(),
        ..AuditRow::default()
    }
}

pub(crate) fn release() -> Release {
    Release {
        id: "tocsin-agent-1.2.0-linux-x86_64.tar.gz".into(),
        version: "1.2.0".into(),
        os: HOSTILE.into(),
        bytes: 5,
        expiry_time_ms: NIGHT_MS,
        ..Release::default()
    }
}

pub(crate) fn rollout(state: RolloutState) -> Rollout {
    Rollout {
        id: "0123456789abcdef".into(),
        version: "1.2.0".into(),
        state: state.into(),
        reason: HOSTILE.into(),
        rings: vec!["2".into(), "100%".into()],
        ring: 1,
        failed: 1,
        members: vec![RolloutMember {
            endpoint: id(0xe1),
            ring: 1,
            state: RolloutMemberState::Failed.into(),
            detail: HOSTILE.into(),
            time_ms: NIGHT_MS,
        }],
        ..Rollout::default()
    }
}
