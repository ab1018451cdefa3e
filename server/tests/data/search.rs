//! Searching stored events, and what runs on an endpoint.

use tocsin_proto::console::v1 as console;
use tocsin_proto::telemetry::v1::event::Body;
use tocsin_proto::telemetry::v1::{Event, ProcessActivity};
use tonic::{Code, Status};

use crate::agent::{Agent, start};
use crate::server::Server;

/// What a search answers.
pub(crate) async fn search(
    server: &Server,
    request: console::SearchEventsRequest,
) -> Result<Vec<console::EventRow>, Status> {
    let mut console = server.admin().console().await;
    let mut replies = console.search_events(request).await?.into_inner();
    let mut rows = Vec::new();
    while let Some(reply) = replies.message().await? {
        rows.extend(reply.events);
    }
    Ok(rows)
}

/// Every stored event, newest first.
pub(crate) async fn everything(server: &Server) -> Vec<console::EventRow> {
    search(server, console::SearchEventsRequest::default())
        .await
        .unwrap()
}

pub(crate) fn sequences(rows: &[console::EventRow]) -> Vec<u64> {
    rows.iter().map(|row| row.sequence).collect()
}

#[tokio::test]
async fn filters_narrow_and_an_id_finds_its_event() {
    let server = Server::start();
    let agent = Agent::connect(&server).await;
    agent
        .commit(vec![agent.starts(1, 300), agent.starts(301, 400)])
        .await;
    let find = async |request| sequences(&search(&server, request).await.unwrap());
    let any = console::SearchEventsRequest::default;

    let request = console::SearchEventsRequest {
        text: "--NUMBER=39".into(),
        ..any()
    };
    let mut expected: Vec<u64> = (390..=399).rev().collect();
    expected.push(39);
    assert_eq!(find(request).await, expected);
    let request = console::SearchEventsRequest {
        since_time_ms: 100_000,
        until_time_ms: 102_000,
        ascending: true,
        endpoint: agent.endpoint[..8].to_owned(),
        user: "dana".into(),
        kind: "process".into(),
        ..any()
    };
    assert_eq!(find(request).await, [100, 101, 102]);
    let request = console::SearchEventsRequest { limit: 3, ..any() };
    assert_eq!(find(request).await, [400, 399, 398]);
    let request = console::SearchEventsRequest {
        user: "eli".into(),
        ..any()
    };
    assert!(find(request).await.is_empty());

    let row = everything(&server).await.remove(7);
    let request = console::SearchEventsRequest {
        text: row.id.clone(),
        ..any()
    };
    assert_eq!(search(&server, request).await.unwrap(), [row]);
}

/// A refused login of dana, a locked session of eli, a flow of fay.
fn login_session_flow() -> Vec<Event> {
    use tocsin_proto::telemetry::v1 as telemetry;
    let user = |name: &str| {
        Some(telemetry::User {
            uid: "1000".into(),
            name: name.into(),
        })
    };
    let login = telemetry::Login {
        login_id: vec![0xab; 16],
        activity: telemetry::LoginActivity::Failed.into(),
        service: "sshd".into(),
        user: user("dana"),
        peer: Some(telemetry::Peer {
            address: vec![203, 0, 113, 9],
            port: 4022,
            ..Default::default()
        }),
        method: telemetry::LoginMethod::PublicKey.into(),
        sources: vec![telemetry::LoginSource::Log.into()],
        ..Default::default()
    };
    let session = telemetry::Session {
        activity: telemetry::SessionActivity::Locked.into(),
        session_id: "3".into(),
        user: user("eli"),
        is_locked: Some(true),
        ..Default::default()
    };
    let flow = telemetry::Network {
        flow_id: 7,
        activity: telemetry::NetworkActivity::Opened.into(),
        direction: telemetry::FlowDirection::Outbound.into(),
        local_address: vec![192, 0, 2, 7],
        remote_address: vec![198, 51, 100, 4],
        remote_port: 443,
        user: user("fay"),
        names: vec![telemetry::FlowName {
            name: "sign-in.example".into(),
            source: telemetry::NameSource::DnsAnswer.into(),
        }],
        ..Default::default()
    };
    let bodies = [
        Body::Login(login),
        Body::Session(session),
        Body::Network(flow),
    ];
    let events = (1..).zip(bodies).map(|(sequence, body)| Event {
        sequence,
        event_time_ms: 1_000,
        body: Some(body),
    });
    events.collect()
}

#[tokio::test]
async fn logins_sessions_and_flows_come_back_as_they_were_sent() {
    let server = Server::start();
    let agent = Agent::connect(&server).await;
    agent
        .commit(vec![agent.request(login_session_flow())])
        .await;

    let one = async |user: &str, kind: &str, text: &str| {
        let request = console::SearchEventsRequest {
            user: user.into(),
            kind: kind.into(),
            text: text.into(),
            ..Default::default()
        };
        let mut rows = search(&server, request).await.unwrap();
        assert_eq!(rows.len(), 1, "{user} {kind} {text}");
        rows.remove(0)
    };
    let row = one("dana", "login", "203.0.113.9").await;
    let login = row.login.unwrap();
    assert_eq!((&*row.kind, &*row.activity), ("login", "failed"));
    assert_eq!((&*login.service, &*login.method), ("sshd", "public_key"));
    assert_eq!(login.peer.unwrap().address, "203.0.113.9");
    assert_eq!(login.sources, ["log"]);
    assert_eq!(login.login_id, "ab".repeat(16));
    let row = one("ELI", "session", "").await;
    let session = row.session.unwrap();
    assert_eq!((&*row.kind, &*row.activity), ("session", "locked"));
    assert_eq!((session.is_locked, session.is_idle), (Some(true), None));
    let row = one("", "", "sign-in.example").await;
    let flow = row.network.unwrap();
    assert_eq!((&*row.kind, &*row.activity), ("network", "opened"));
    assert_eq!((&*flow.direction, &*flow.user), ("outbound", "fay"));
    assert_eq!(
        (&*flow.remote_address, flow.remote_port),
        ("198.51.100.4", 443)
    );
    assert_eq!(flow.names[0].source, "dns_answer");
    assert_eq!((flow.pid, &*flow.key), (None, ""));
}

#[tokio::test]
async fn what_makes_no_sense_is_told_with_what_would() {
    let server = Server::start();
    let any = console::SearchEventsRequest::default;
    let request = console::SearchEventsRequest {
        kind: "proces".into(),
        ..any()
    };
    let refused = search(&server, request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused
            .message()
            .contains("process, login, session, network, file, gap, health"),
        "{refused}"
    );
    let request = console::SearchEventsRequest {
        endpoint: "nowhere".into(),
        ..any()
    };
    let refused = search(&server, request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

#[tokio::test]
async fn running_processes_come_in_pages() {
    let server = Server::start();
    let agent = Agent::connect(&server).await;
    let mut exit: Event = start(5);
    exit.sequence = 11;
    if let Some(Body::Process(process)) = &mut exit.body {
        process.activity = ProcessActivity::Exit.into();
    }
    agent
        .commit(vec![agent.starts(1, 10), agent.request(vec![exit])])
        .await;
    let mut console = server.admin().console().await;
    let mut pids = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = console::ListProcessesRequest {
            endpoint: agent.endpoint.clone(),
            page_size: 4,
            page_token,
        };
        let page = console.list_processes(request).await.unwrap().into_inner();
        assert!(page.processes.len() <= 4);
        assert_eq!(page.as_of_time_ms, 10_000);
        pids.extend(page.processes.iter().map(|process| process.pid));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let expected: Vec<u32> = (101..=110).filter(|pid| *pid != 105).collect();
    assert_eq!(pids, expected);
}
