//! What a server tells in these tests: Dana's night, on two machines; also with names as an attacker would
//! choose them.

use tocsin_proto::console::v1::*;

use crate::action::{Action, Query};
use crate::event::{Event, Link, News, Reply};
use crate::state::State;
use crate::state::fleet::Fleet;

mod event;
mod person;

use event::*;

/// 2026-11-24T02:10:00Z.
const NIGHT_MS: i64 = 1_795_486_200_000;

/// Two hours later somebody looks.
pub(super) const NOW_MS: i64 = NIGHT_MS + 7_200_000;

/// Takes over a terminal, turns the reading direction, hides, floods, is wide.
pub(super) const HOSTILE: &str = "evil\x1b]0;owned\x07\u{9b}2J\u{202e}txt\u{200b}\r\n\t宽宽e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{feff}\u{e0041}";

/// What the server knows.
pub(super) struct Story {
    incidents: Vec<IncidentSummary>,
    incident: Incident,
    endpoints: Vec<Endpoint>,
    processes: Vec<ProcessRow>,
    gaps: Vec<EventRow>,
    files: Vec<EventRow>,
    feeds: Vec<Feed>,
    identities: Vec<Identity>,
    events: Vec<EventRow>,
    audit: Vec<AuditRow>,
    terminals: Vec<Terminal>,
    unmapped: Vec<Unmapped>,
}

impl Story {
    pub(super) fn empty() -> Self {
        Self {
            incidents: Vec::new(),
            incident: Incident::default(),
            endpoints: Vec::new(),
            processes: Vec::new(),
            gaps: Vec::new(),
            files: Vec::new(),
            feeds: Vec::new(),
            identities: Vec::new(),
            events: Vec::new(),
            audit: Vec::new(),
            terminals: Vec::new(),
            unmapped: Vec::new(),
        }
    }

    pub(super) fn plain() -> Self {
        Self::with(|text| text.to_owned())
    }

    /// Every text that a machine or a person of the other side may choose is hostile.
    pub(super) fn hostile() -> Self {
        Self::with(|text| format!("{HOSTILE}{text}"))
    }

    fn with(foreign: impl Fn(&str) -> String) -> Self {
        let incident = incident(&foreign);
        let mut other = summary(&incident);
        other.id = id(0xbb);
        other.title = foreign("bypass code issued by the help desk, used 2 min later");
        other.severity = Severity::Medium.into();
        other.score = 48;
        other.state = IncidentState::InProgress.into();
        other.assignee = foreign("kim");
        other.subject = Some(subject(
            &foreign("Robin Sample"),
            &foreign("robin@example.com"),
        ));
        Self {
            incidents: vec![other, summary(&incident)],
            incident,
            endpoints: endpoints(&foreign),
            processes: processes(&foreign),
            gaps: vec![gap(&foreign)],
            files: vec![file(&foreign)],
            feeds: vec![Feed {
                id: "okta-file".into(),
                provider: foreign("okta"),
                kind: "file".into(),
                mfa_events: 61,
                last_event_time_ms: NIGHT_MS + 2_700_000,
                last_receive_time_ms: NIGHT_MS + 3_000_000,
                malformed: 2,
                ..Feed::default()
            }],
            identities: identities(&foreign),
            events: events(&foreign),
            audit: (1..=40).map(|n| audit_row(n, &foreign)).collect(),
            terminals: terminals(&foreign),
            unmapped: unmapped(&foreign),
        }
    }

    /// The connection, and the first news.
    pub(super) fn connect(&self, state: &mut State) {
        let up = Link::Up("tocsin.example.com:7443".into());
        let actions = state.on(Event::News(News::Link(up)), NOW_MS);
        self.answer(state, actions);
        for incident in &self.incidents {
            let news = News::Incident(Box::new(incident.clone()));
            state.on(Event::News(news), NOW_MS);
        }
        state.settle();
        let actions = state.on(Event::Refresh, NOW_MS);
        self.answer(state, actions);
    }

    /// What the server says to the questions among these.
    pub(super) fn answer(&self, state: &mut State, actions: Vec<Action>) {
        for action in actions {
            let Action::Ask(query) = action else {
                continue;
            };
            let reply = match &query {
                Query::Server => Reply::Server(GetServerResponse {
                    server_version: "0.1.0".into(),
                    analyst: "kim".into(),
                    role: "responder".into(),
                    ..GetServerResponse::default()
                }),
                Query::Feeds => Reply::Feeds(self.feeds.clone()),
                Query::Incident(_) => Reply::Incident(Box::new(self.incident.clone())),
                Query::Endpoints => Reply::Endpoints(Fleet::of(&self.endpoints).into()),
                Query::Endpoint(id) => {
                    let found = self.endpoints.iter().find(|one| one.id == *id);
                    Reply::Endpoint(Box::new(found.cloned().unwrap_or_default()))
                }
                Query::Processes(_) => Reply::Processes(self.processes.clone()),
                Query::Gaps(_) => Reply::Gaps(self.gaps.clone()),
                Query::Files(_) => Reply::Files(self.files.clone()),
                Query::Attempts(_) => Reply::Attempts(self.incident.attempts.clone()),
                Query::Identities => Reply::Identities(self.identities.clone()),
                Query::Unmapped => Reply::Unmapped(self.unmapped.clone()),
                Query::Identity(_) => {
                    let found = self.identities.first();
                    Reply::Identity(Box::new(found.cloned().unwrap_or_default()))
                }
                Query::Events(_) | Query::Newer(_) => {
                    Reply::Page(self.events.iter().cloned().collect())
                }
                Query::Around(..) => Reply::Events(self.events.clone()),
                Query::Audit(_) => Reply::Audit(self.audit.clone(), String::new()),
                Query::Terminals => Reply::Terminals(self.terminals.clone()),
                Query::VerifyAudit => Reply::Verified(Box::new(AuditVerification {
                    intact: true,
                    rows: 40,
                    head_hash: "5f".repeat(32),
                    ..AuditVerification::default()
                })),
            };
            let more = state.on(Event::News(News::Answer(query, Ok(reply))), NOW_MS);
            self.answer(state, more);
        }
    }
}

fn id(n: u32) -> String {
    format!("{n:08x}-58f0-8d2a-9d3e-0a1b2c3d4e5f")
}

fn unmapped(foreign: &impl Fn(&str) -> String) -> Vec<Unmapped> {
    vec![
        Unmapped {
            id: "a1".into(),
            kind: "local_account".into(),
            endpoint: id(0xe1),
            hostname: foreign("dana-laptop"),
            user: foreign("dana"),
            uid: "1000".into(),
            last_interactive_time_ms: NIGHT_MS,
            next_step: foreign("link it to Dana Example, or import people"),
            ..Unmapped::default()
        },
        Unmapped {
            id: "i1".into(),
            kind: "identity".into(),
            identity: id(0x1e),
            display_name: foreign("Robin Sample"),
            next_step: foreign("enroll a machine that Robin Sample uses"),
            ..Unmapped::default()
        },
    ]
}

fn terminals(foreign: &impl Fn(&str) -> String) -> Vec<Terminal> {
    let terminal = |n: u32, analyst: &str| Terminal {
        id: id(0x70 + n),
        endpoint: id(0xe1),
        hostname: foreign("dana-laptop"),
        analyst: analyst.into(),
        reason: foreign("is the remote tool still there?"),
        state: TerminalState::Open.into(),
        open_time_ms: NOW_MS - 240_000 * i64::from(n),
        user: foreign("root"),
        columns: 100,
        rows: 30,
        input_bytes: 120,
        output_bytes: 48_000,
        ..Terminal::default()
    };
    vec![
        Terminal {
            incident: id(0xaa),
            watchers: 1,
            ..terminal(1, "robin")
        },
        terminal(2, "kim"),
    ]
}

fn subject(name: &str, login: &str) -> Subject {
    Subject {
        kind: SubjectKind::Person.into(),
        identity: id(0x1d),
        display_name: name.into(),
        accounts: vec![Account {
            provider: "okta".into(),
            login: login.into(),
        }],
    }
}

fn summary(incident: &Incident) -> IncidentSummary {
    IncidentSummary {
        id: incident.id.clone(),
        title: incident.title.clone(),
        severity: incident.severity,
        score: incident.score,
        state: incident.state,
        subject: incident.subject.clone(),
        first_event_time_ms: incident.first_event_time_ms,
        last_event_time_ms: incident.last_event_time_ms,
        ..IncidentSummary::default()
    }
}

/// Seven denied, nine ignored, one approved, in 40 minutes.
fn attempts(foreign: &impl Fn(&str) -> String) -> Vec<Attempt> {
    let result = |n: i64| match n {
        16 => AttemptResult::Approved,
        n if n % 2 == 1 && n < 14 => AttemptResult::Denied,
        _ => AttemptResult::Unanswered,
    };
    let attempt = |n: i64| {
        let result = result(n);
        let time_ms = NIGHT_MS + n * 145_000;
        let after = match result {
            AttemptResult::Unanswered => 60_000,
            _ => 4_000 + n * 500,
        };
        let (verdict, confidence) = match n {
            0 => (ProvenanceVerdict::Unknown, Confidence::None),
            _ => (ProvenanceVerdict::Elsewhere, Confidence::Medium),
        };
        Attempt {
            id: format!("attempt-{n}"),
            time_ms,
            provider: "okta".into(),
            result: result.into(),
            source_ip: "203.0.113.7".into(),
            source_place: foreign("Lagos, NG"),
            application: foreign("Mail"),
            factor: "push".into(),
            user_agent: foreign("Mozilla/5.0 (X11; Linux x86_64)"),
            result_time_ms: time_ms + after,
            provenance: Some(Provenance {
                verdict: verdict.into(),
                confidence: confidence.into(),
                endpoint: String::new(),
                reasons: vec![
                    foreign("dana-laptop was locked from 01:12 on"),
                    "no process on it spoke to the provider in the 30 s before".into(),
                ],
                ..Provenance::default()
            }),
            ..Attempt::default()
        }
    };
    (0..17).map(attempt).collect()
}

fn evidence(foreign: &impl Fn(&str) -> String) -> Vec<Evidence> {
    let piece = |family: &str, weight: f64, summary: &str| Evidence {
        kind: format!("{family}_kind"),
        family: family.into(),
        weight,
        basis: Basis::Judged.into(),
        basis_detail: "no figures are published".into(),
        summary: foreign(summary),
        event_ids: vec![id(7)],
    };
    vec![
        piece(
            "prompting",
            3.2,
            "17 prompts in 40 minutes; the person has 3 on a usual day",
        ),
        piece("prompting", 1.1, "at night by the person's own clock"),
        piece("approval", 2.4, "approved after 7 denials"),
        piece(
            "provenance",
            1.9,
            "none was made on one of the person's machines",
        ),
        piece(
            "origin",
            -0.5,
            "the network was used by the person 41 days ago",
        ),
    ]
}

fn actions(foreign: &impl Fn(&str) -> String) -> Vec<RecommendedAction> {
    let action = |action: &str, text: &str, reason: &str| RecommendedAction {
        action: action.into(),
        text: foreign(text),
        reason: foreign(reason),
    };
    vec![
        action(
            "block_sign_in",
            "Block the account's sign-in at Okta",
            "the session that was approved is live",
        ),
        action(
            "revoke_sessions",
            "End all its sessions and tokens",
            "they outlive a new password",
        ),
        action(
            "remove_authenticators",
            "Remove authenticators that are not the person's, one by one",
            "a factor was enrolled 4 min after the approval",
        ),
    ]
}

fn incident(foreign: &impl Fn(&str) -> String) -> Incident {
    let stage = |name: &str, technique: &str, minutes: i64| Stage {
        name: name.into(),
        technique: technique.into(),
        first_event_time_ms: NIGHT_MS + minutes * 60_000,
        attack_version: "18".into(),
    };
    Incident {
        id: id(0xaa),
        title: foreign("17 prompts in 40 minutes, one approved, then a factor was added"),
        severity: Severity::Critical.into(),
        score: 91,
        state: IncidentState::New.into(),
        subject: Some(subject(
            &foreign("Dana Example"),
            &foreign("dana@example.com"),
        )),
        first_event_time_ms: NIGHT_MS,
        last_event_time_ms: NIGHT_MS + 2_700_000,
        opened_time_ms: NIGHT_MS + 1_200_000,
        updated_time_ms: NIGHT_MS + 2_760_000,
        belief: BeliefBand::VeryLikely.into(),
        weights_version: "2026.1".into(),
        attempts: attempts(foreign),
        stages: vec![
            stage("prompting", "T1621", 0),
            stage("approved", "T1078.004", 39),
            stage("factor_changed", "T1556.006", 43),
        ],
        evidence: evidence(foreign),
        endpoints: vec![EndpointRef {
            id: id(0xe1),
            hostname: foreign("dana-laptop"),
        }],
        gaps: vec![MissingData {
            what: foreign("no sensor sees sessions on dana-laptop"),
            from_time_ms: NIGHT_MS,
            until_time_ms: 0,
        }],
        freshness: vec![Freshness {
            feed: "okta-file".into(),
            behind_ms: 300_000,
        }],
        recommended_actions: actions(foreign),
        related_incidents: vec![RelatedIncident {
            id: id(0xbb),
            relation: "same source".into(),
        }],
        notes: vec![Note {
            id: "1".into(),
            time_ms: NIGHT_MS + 3_000_000,
            author: foreign("kim"),
            text: foreign("called Dana:\nshe was asleep"),
        }],
        activity: vec![Activity {
            time_ms: NIGHT_MS + 1_200_000,
            actor: "tocsin".into(),
            what: "opened".into(),
        }],
        ..Incident::default()
    }
}

fn endpoints(foreign: &impl Fn(&str) -> String) -> Vec<Endpoint> {
    let sensor = |name: &str, state: &str, detail: &str| SensorStatus {
        name: name.into(),
        state: state.into(),
        detail: foreign(detail),
        observed: 4711,
        ..SensorStatus::default()
    };
    let endpoint = |n: u32, hostname: &str, state: EndpointState| Endpoint {
        id: id(n),
        hostname: foreign(hostname),
        state: state.into(),
        os: "linux".into(),
        os_version: foreign("Debian 13"),
        kernel_version: "6.12.1".into(),
        architecture: "x86_64".into(),
        agent_version: "0.1.0".into(),
        tags: vec![foreign("finance")],
        enrolled_time_ms: NIGHT_MS - 86_400_000,
        last_seen_time_ms: NOW_MS - 4_000,
        certificate_expiry_time_ms: NIGHT_MS + 2_592_000_000,
        address: "192.0.2.4:40112".into(),
        run: id(0x40),
        clock_skew: Some(ClockSkew {
            min_ms: -3,
            max_ms: 5,
            measured_time_ms: NIGHT_MS,
        }),
        health: Some(AgentHealth {
            reported_time_ms: NOW_MS - 9_000,
            sensors: vec![
                sensor("process", "running", ""),
                sensor("session", "unavailable", "no logind"),
            ],
            spool_bytes: 40_960,
            spool_bytes_max: 268_435_456,
            dropped_events: 12,
            resident_bytes: 24_000_000,
            ..AgentHealth::default()
        }),
        events: 4711,
        boot_time_ms: NIGHT_MS - 172_800_000,
        time_zone: "Europe/Berlin".into(),
        ..Endpoint::default()
    };
    let mut doubled = endpoint(0xe2, "build-7", EndpointState::Conflict);
    doubled.conflicts = vec![Conflict {
        time_ms: NIGHT_MS,
        run: id(0x41),
        hostname: foreign("build-7-copy"),
        address: "192.0.2.99:1024".into(),
    }];
    vec![
        endpoint(0xe1, "dana-laptop", EndpointState::Online),
        doubled,
        endpoint(0xe3, "old-kiosk", EndpointState::Offline),
    ]
}

fn processes(foreign: &impl Fn(&str) -> String) -> Vec<ProcessRow> {
    let process = |pid: u32, parent: u32, user: &str, argv: &[&str]| ProcessRow {
        id: format!("boot.{pid}.1"),
        key: format!("boot.{pid}.1"),
        pid,
        parent_pid: parent,
        parent_key: format!("boot.{parent}.1"),
        user: foreign(user),
        start_time_ms: NIGHT_MS + i64::from(pid) * 1000,
        argv: argv.iter().map(|one| foreign(one)).collect(),
        ..ProcessRow::default()
    };
    vec![
        process(1, 0, "root", &["/sbin/init"]),
        process(402, 1, "root", &["/usr/sbin/sshd", "-D"]),
        process(977, 402, "dana", &["-bash"]),
        process(
            1022,
            977,
            "dana",
            &["curl", "-fsSL", "https://203.0.113.9/x"],
        ),
        process(511, 1, "root", &["/usr/sbin/cron", "-f"]),
    ]
}

fn identities(foreign: &impl Fn(&str) -> String) -> Vec<Identity> {
    let account = |provider: &str, login: &str| IdentityAccount {
        provider: provider.into(),
        login: foreign(login),
        provider_id: "00u1".into(),
        source: "provider".into(),
        confidence: "certain".into(),
    };
    let dana = Identity {
        id: id(0x1d),
        display_name: foreign("Dana Example"),
        accounts: vec![account("okta", "dana@example.com"), account("duo", "dana")],
        local_accounts: vec![LocalAccount {
            endpoint: id(0xe1),
            hostname: foreign("dana-laptop"),
            user: foreign("dana"),
            uid: "1000".into(),
            source: "analyst".into(),
            confidence: "certain".into(),
            linked_by: foreign("kim"),
            linked_time_ms: NIGHT_MS - 86_400_000,
            last_seen_time_ms: NIGHT_MS,
            never_seen: false,
        }],
        privileged: true,
        privileged_by: vec!["records".into()],
        first_event_time_ms: NIGHT_MS - 864_000_000,
        last_event_time_ms: NIGHT_MS + 2_700_000,
        mfa_events: 61,
        aliases: vec![id(0x1c)],
        usual: Some(person::usual(foreign)),
        coverage: Some(Coverage {
            attempts: 17,
            here: 3,
            elsewhere: 9,
            unknown: 5,
            told_percent: 70,
            next_steps: vec![CoverageStep {
                step: "set_site_map".into(),
                endpoint: id(0xe1),
                attempts: 5,
                text: foreign("tell the public addresses of the site of dana-laptop"),
            }],
        }),
        devices: Vec::new(),
    };
    let robin = Identity {
        id: id(0x2d),
        accounts: vec![account("okta", "robin@example.com")],
        last_event_time_ms: NIGHT_MS,
        mfa_events: 7,
        ..Identity::default()
    };
    vec![dana, robin]
}

fn audit_row(n: u32, foreign: &impl Fn(&str) -> String) -> AuditRow {
    let is_refused = n.is_multiple_of(7);
    AuditRow {
        id: n.to_string(),
        time_ms: NIGHT_MS + i64::from(n) * 30_000,
        actor_kind: "analyst".into(),
        actor: foreign("kim"),
        action: if is_refused {
            "endpoints.revoke"
        } else {
            "incidents.note"
        }
        .into(),
        target: id(0xaa),
        detail: foreign("12 characters"),
        decision: if is_refused { "refused" } else { "allowed" }.into(),
        hash: "0".repeat(64),
    }
}
