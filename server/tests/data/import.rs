//! Importing a provider's file, and what analysts then see and do.

use serde_json::{Value, json};
use tocsin_proto::console::v1 as console;
use tocsin_proto::console::v1::console_service_client::ConsoleServiceClient;
use tocsin_proto::console::v1::import_feed_request::Message;
use tocsin_proto::console::v1::{IncidentState, Severity, Verdict};
use tocsin_proto::json::format_time_ms;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::agent::Agent;
use crate::client::Client;
use crate::server::{PATIENT, Server};

const START_MS: i64 = 1_780_000_000_000;
const DAY_MS: i64 = 86_400_000;

/// One record of Okta's Identity Engine.
fn record(who: &str, time_ms: i64, kind: &str, outcome: (&str, &str)) -> Value {
    let is_home = outcome.0 == "HOME";
    let (ip, country, token) = if is_home {
        ("192.0.2.7", "Portugal", "home")
    } else {
        ("198.51.100.66", "Romania", "away")
    };
    json!({
        "uuid": format!("{who}-{time_ms}-{kind}"),
        "published": format_time_ms(time_ms),
        "eventType": kind,
        "actor": {
            "id": format!("00u-{who}"), "type": "User",
            "alternateId": format!("{who}@example.com"), "displayName": format!("{who} person"),
        },
        "client": {
            "ipAddress": ip,
            "geographicalContext": {"country": country},
            "userAgent": {"rawUserAgent": format!("agent {token}")},
        },
        "outcome": {"result": if is_home { "SUCCESS" } else { outcome.0 }, "reason": outcome.1},
        "debugContext": {"debugData": {"factor": "OKTA_VERIFY_PUSH", "dtHash": token}},
    })
}

const PUSH: &str = "system.push.send_factor_verify_push";
const ANSWER: &str = "user.authentication.auth_via_mfa";

/// Ordinary days, then prompts at night that are refused, and one that is approved.
fn attack(who: &str, prompts: i64) -> Vec<Value> {
    let mut records: Vec<Value> = (0..8)
        .map(|day| {
            record(
                who,
                START_MS + day * DAY_MS,
                "user.session.start",
                ("HOME", ""),
            )
        })
        .collect();
    let night_ms = START_MS + 10 * DAY_MS;
    for n in 0..prompts {
        let time_ms = night_ms + n * 120_000;
        records.push(record(who, time_ms, PUSH, ("SUCCESS", "")));
        records.push(record(
            who,
            time_ms + 9_000,
            ANSWER,
            ("FAILURE", "INVALID_CREDENTIALS"),
        ));
    }
    let time_ms = night_ms + prompts * 120_000;
    records.push(record(who, time_ms, PUSH, ("SUCCESS", "")));
    records.push(record(who, time_ms + 9_000, ANSWER, ("SUCCESS", "")));
    records
}

fn lines(records: &[Value]) -> Vec<u8> {
    records
        .iter()
        .flat_map(|record| format!("{record}\n").into_bytes())
        .collect()
}

/// Imports a file in pieces of this size; the messages that came back.
async fn import_in(
    client: &Client,
    provider: &str,
    file: &[u8],
    piece: usize,
) -> Result<Vec<console::ImportFeedResponse>, Status> {
    let header = Message::Header(console::ImportHeader {
        provider: provider.into(),
        file_name: "log.json".into(),
        mapping: Vec::new(),
        dry_run: false,
    });
    let chunks = file
        .chunks(piece)
        .map(|chunk| Message::Chunk(chunk.to_vec()));
    let messages: Vec<_> = std::iter::once(header)
        .chain(chunks)
        .map(|message| console::ImportFeedRequest {
            message: Some(message),
        })
        .collect();
    let mut console = client.console().await;
    let replies = console.import_feed(tokio_stream::iter(messages)).await?;
    let mut replies = replies.into_inner();
    let mut received = Vec::new();
    while let Some(reply) = replies.message().await? {
        received.push(reply);
    }
    Ok(received)
}

async fn import(client: &Client, file: &[u8]) -> console::ImportSummary {
    let replies = import_in(client, "okta", file, 1 << 16).await.unwrap();
    let last = replies.last().unwrap();
    assert_eq!(last.bytes_read, file.len() as u64);
    last.summary.clone().unwrap()
}

async fn incidents(client: &Client) -> Vec<console::IncidentSummary> {
    let request = console::ListIncidentsRequest::default();
    let list = client
        .console()
        .await
        .list_incidents(request)
        .await
        .unwrap();
    list.into_inner().incidents
}

async fn show(client: &Client, id: &str) -> Result<console::Incident, Status> {
    let request = console::GetIncidentRequest { id: id.into() };
    let incident = client.console().await.get_incident(request).await?;
    Ok(incident.into_inner())
}

#[tokio::test]
async fn an_import_ends_with_everything_correlated_and_counts_each_record_once() {
    let server = Server::start();
    let admin = server.admin();
    let records = attack("dana", 12);
    let mut file = lines(&records);
    file.extend_from_slice(b"\n\n{\"eventType\": 7}\n");
    let unused = record("dana", START_MS, "policy.lifecycle.update", ("SUCCESS", ""));
    file.extend(lines(&[unused]));

    let summary = import(&admin, &file).await;
    let known = records.len() as u64;
    assert_eq!((summary.records, summary.imported), (known + 2, known));
    assert_eq!(
        (summary.unused, summary.malformed, summary.repeated),
        (1, 1, 0)
    );
    assert_eq!(summary.blank_lines, 2);
    assert_eq!(summary.problems[0].line, known + 3);
    assert_eq!(
        (summary.incidents_opened, summary.incidents_updated),
        (1, 0)
    );

    let list = incidents(&admin).await;
    assert_eq!(list.len(), 1);
    assert!(list[0].severity >= i32::from(Severity::High), "{list:?}");
    let incident = show(&admin, &list[0].id[..6]).await.unwrap();
    assert!(incident.attempts.len() >= 13, "{}", incident.attempts.len());
    let stages: Vec<_> = incident
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    assert!(
        stages.contains(&"prompting") && stages.contains(&"approved"),
        "{stages:?}"
    );
    assert!(
        incident
            .gaps
            .iter()
            .any(|gap| gap.what.contains("no linked endpoint"))
    );
    assert_eq!(incident.freshness[0].feed, "okta.file");

    let again = import(&admin, &file).await;
    assert_eq!((again.imported, again.repeated), (0, known));
    assert_eq!((again.incidents_opened, again.incidents_updated), (0, 0));
    assert_eq!(
        incidents(&admin).await,
        list,
        "nothing has changed, not even a time"
    );
    let feeds = admin
        .console()
        .await
        .list_feeds(console::ListFeedsRequest {})
        .await
        .unwrap();
    let feed = feeds.into_inner().feeds.remove(0);
    assert_eq!((feed.id.as_str(), feed.mfa_events), ("okta.file", known));
}

#[tokio::test]
async fn the_pieces_of_a_file_do_not_show() {
    let records = attack("dana", 8);
    let array = serde_json::to_vec(&records).unwrap();
    let mut seen = Vec::new();
    for (file, piece) in [
        (lines(&records), 1_000_000),
        (array.clone(), 37),
        (array, 4096),
    ] {
        let server = Server::start();
        import_in(&server.admin(), "okta", &file, piece)
            .await
            .unwrap();
        let id = incidents(&server.admin()).await[0].id.clone();
        let mut incident = show(&server.admin(), &id).await.unwrap();
        (
            incident.opened_time_ms,
            incident.updated_time_ms,
            incident.state_time_ms,
        ) = (0, 0, 0);
        incident.activity.clear();
        incident.freshness.clear();
        seen.push(incident);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}

#[tokio::test]
async fn an_import_that_makes_no_sense_is_refused_by_name() {
    let server = Server::start();
    let admin = server.admin();
    let refused = import_in(&admin, "outlook", b"[]", 10).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("there is: okta"), "{refused}");
    let chunk = Message::Chunk(b"[]".to_vec());
    let messages = [console::ImportFeedRequest {
        message: Some(chunk),
    }];
    let mut console = admin.console().await;
    let refused = console
        .import_feed(tokio_stream::iter(messages))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = import_in(&server.analyst("viewer"), "okta", b"[]", 10)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let empty = import(&admin, b"").await;
    assert_eq!(empty.records, 0);
}

/// An analyst at work on one incident.
struct Work {
    console: ConsoleServiceClient<Channel>,
    id: String,
}

impl Work {
    /// The analyst named "analyst", and the incident of an imported attack.
    async fn start(server: &Server) -> Self {
        import(&server.admin(), &lines(&attack("dana", 12))).await;
        Self {
            console: server.analyst("analyst").console().await,
            id: incidents(&server.admin()).await[0].id.clone(),
        }
    }

    async fn assign(&mut self, assignee: &str) -> Result<console::IncidentSummary, Status> {
        let request = console::AssignIncidentRequest {
            id: self.id.clone(),
            assignee: assignee.into(),
        };
        Ok(self.console.assign_incident(request).await?.into_inner())
    }

    async fn state(&mut self, state: i32) -> Result<console::IncidentSummary, Status> {
        let request = console::SetIncidentStateRequest {
            id: self.id.clone(),
            state,
        };
        Ok(self.console.set_incident_state(request).await?.into_inner())
    }

    async fn verdict(&mut self, verdict: Verdict) -> Result<console::IncidentSummary, Status> {
        let request = console::SetIncidentVerdictRequest {
            id: self.id.clone(),
            verdict: verdict.into(),
        };
        Ok(self
            .console
            .set_incident_verdict(request)
            .await?
            .into_inner())
    }

    async fn note(&mut self, text: &str) -> Result<console::IncidentSummary, Status> {
        let request = console::AddIncidentNoteRequest {
            id: self.id[..8].to_owned(),
            text: text.into(),
        };
        Ok(self.console.add_incident_note(request).await?.into_inner())
    }

    /// What the audit log says of this analyst.
    async fn audited(&mut self) -> Vec<String> {
        let request = console::ListAuditRequest::default();
        let rows = self
            .console
            .list_audit(request)
            .await
            .unwrap()
            .into_inner()
            .rows;
        let own = rows.into_iter().filter(|row| row.actor == "analyst");
        own.map(|row| row.action).collect()
    }
}

#[tokio::test]
async fn an_analyst_works_on_an_incident_and_it_is_all_recorded() {
    let server = Server::start();
    let mut work = Work::start(&server).await;
    assert_eq!(work.assign("analyst").await.unwrap().assignee, "analyst");
    work.state(IncidentState::InProgress.into()).await.unwrap();
    work.verdict(Verdict::TruePositive).await.unwrap();
    work.note("she did not ask for it").await.unwrap();
    let closed = work.state(IncidentState::Closed.into()).await.unwrap();
    assert_eq!(closed.state, i32::from(IncidentState::Closed));

    let incident = show(&server.admin(), &work.id).await.unwrap();
    assert_eq!(incident.verdict, i32::from(Verdict::TruePositive));
    assert_eq!(incident.notes[0].text, "she did not ask for it");
    assert_eq!(incident.notes[0].author, "analyst");
    let what = incident.activity.iter().map(|row| row.what.as_str());
    let expected = [
        "assigned to analyst",
        "new -> in_progress",
        "verdict true_positive",
        "noted",
        "in_progress -> closed",
    ];
    assert_eq!(what.skip(1).collect::<Vec<_>>(), expected);
    let audited = work.audited().await;
    for action in ["assign", "state", "verdict", "note"] {
        let action = format!("incidents.{action}");
        assert!(audited.contains(&action), "{action}: {audited:?}");
    }
}

#[tokio::test]
async fn what_an_incident_does_not_allow_is_refused_by_name() {
    let server = Server::start();
    let mut work = Work::start(&server).await;
    let refused = work.assign("nobody").await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let refused = work.note("  ").await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = work.state(99).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    work.state(IncidentState::Closed.into()).await.unwrap();
    let refused = work.state(IncidentState::New.into()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let cure = "it can become in_progress";
    assert!(refused.message().contains(cure), "{refused}");
}

#[tokio::test]
async fn more_of_the_same_night_opens_a_closed_incident_with_all_that_was_said() {
    let server = Server::start();
    let mut work = Work::start(&server).await;
    work.assign("analyst").await.unwrap();
    work.note("she did not ask for it").await.unwrap();
    work.state(IncidentState::Closed.into()).await.unwrap();
    let later_ms = START_MS + 10 * DAY_MS + 12 * 120_000 + 500_000;
    let later = record("dana", later_ms, PUSH, ("SUCCESS", ""));
    let summary = import(&server.admin(), &lines(&[later])).await;
    let counts = (summary.incidents_opened, summary.incidents_updated);
    assert_eq!(counts, (0, 1));
    let incident = show(&server.admin(), &work.id).await.unwrap();
    assert_eq!(incident.state, i32::from(IncidentState::New));
    assert_eq!(incident.assignee, "analyst");
    assert_eq!(incident.notes.len(), 1);
}

#[tokio::test]
async fn what_is_unclear_or_missing_is_told() {
    let server = Server::start();
    let admin = server.admin();
    import(&admin, &lines(&attack("dana", 12))).await;
    let id = incidents(&admin).await[0].id.clone();
    let refused = show(&admin, &id[..3]).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = show(&admin, "00000000").await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(
        refused
            .message()
            .contains("there is no incident '00000000'"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_linked_endpoint_stands_in_the_incident() {
    let server = Server::start();
    let admin = server.admin();
    import(&admin, &lines(&attack("dana", 12))).await;
    let agent = Agent::connect(&server).await;
    let mut console = admin.console().await;
    let link = console::LinkIdentityRequest {
        id: "Dana@example.com".into(),
        endpoint: "test-host".into(),
        user: "dana".into(),
        reason: "her laptop".into(),
        ..Default::default()
    };
    let identity = console.link_identity(link).await.unwrap().into_inner();
    assert_eq!(identity.display_name, "dana person");
    assert_eq!(identity.local_accounts[0].endpoint, agent.endpoint);
    let id = incidents(&admin).await[0].id.clone();
    let incident = show(&admin, &id).await.unwrap();
    assert_eq!(incident.endpoints[0].hostname, "test-host");
    assert!(
        !incident
            .gaps
            .iter()
            .any(|gap| gap.what.contains("no linked endpoint"))
    );
    let request = console::GetIdentityRequest {
        id: identity.id[..6].to_owned(),
    };
    let shown = console.get_identity(request).await.unwrap().into_inner();
    assert_eq!(shown, identity);
    // What is usual is not in a list.
    assert_eq!(shown.usual.map(|usual| usual.sign_ins), Some(8));
    let listed = console::Identity {
        usual: None,
        ..identity
    };
    let all = console
        .list_identities(console::ListIdentitiesRequest::default())
        .await
        .unwrap();
    assert_eq!(all.into_inner().identities, [listed]);
}

#[tokio::test]
async fn a_watcher_is_told_of_what_is_there_and_of_every_change() {
    let server = Server::start();
    let admin = server.admin();
    import(&admin, &lines(&attack("dana", 12))).await;
    let request = console::WatchIncidentsRequest {
        severity_min: Severity::Medium.into(),
    };
    let mut console = admin.console().await;
    let mut watch = console.watch_incidents(request).await.unwrap().into_inner();
    let next = async |watch: &mut tonic::Streaming<console::IncidentSummary>| {
        let next = tokio::time::timeout(PATIENT, watch.message()).await;
        next.unwrap().unwrap().unwrap()
    };
    let first = next(&mut watch).await;
    let state = console::SetIncidentStateRequest {
        id: first.id.clone(),
        state: IncidentState::OnHold.into(),
    };
    console.set_incident_state(state).await.unwrap();
    let changed = next(&mut watch).await;
    assert_eq!(
        (changed.id, changed.state),
        (first.id.clone(), i32::from(IncidentState::OnHold))
    );
    import(&admin, &lines(&attack("eli", 12))).await;
    let other = next(&mut watch).await;
    assert_ne!(other.id, first.id);
}
