//! Sessions of agents: hello, clock, conflicts, revocation.

use rcgen::KeyPair;
use tocsin_proto::agent::v1 as wire;
use tocsin_proto::agent::v1::session_request::Message as Say;
use tocsin_proto::agent::v1::session_response::Message as Hear;
use tocsin_proto::capability;
use tocsin_proto::console::v1 as console;
use tocsin_proto::telemetry::v1::Health;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::client::{Client, identity};
use crate::server::{PATIENT, Server};

/// An agent, as far as sessions go.
pub(crate) struct Agent {
    say: mpsc::Sender<wire::SessionRequest>,
    hear: Streaming<wire::SessionResponse>,
}

fn hello(run: u8) -> wire::Hello {
    wire::Hello {
        run_id: vec![run; 16],
        boot_id: vec![9; 16],
        capability: capability::CURRENT,
        agent_version: "0.1.0".into(),
        start_time_ms: 1,
        sent_sequence: None,
        machine: Some(wire::Machine {
            hostname: format!("run-{run}"),
            os: "linux".into(),
            ..Default::default()
        }),
    }
}

impl Agent {
    /// Connects and says hello.
    pub(crate) async fn connect(client: &Client, run: u8) -> Self {
        let mut agent = Self::silent(client).await;
        agent.say(Say::Hello(hello(run))).await;
        agent
    }

    async fn silent(client: &Client) -> Self {
        let (say, said) = mpsc::channel(8);
        let stream = ReceiverStream::new(said);
        let hear = client.agent().await.session(stream).await.unwrap();
        Self {
            say,
            hear: hear.into_inner(),
        }
    }

    async fn say(&mut self, message: Say) {
        let message = Some(message);
        self.say
            .send(wire::SessionRequest { message })
            .await
            .unwrap();
    }

    /// The next message; `None` where the session has ended, one way or the other.
    async fn next(&mut self) -> Option<Hear> {
        let next = tokio::time::timeout(PATIENT, self.hear.message())
            .await
            .unwrap();
        next.ok().flatten()?.message
    }

    pub(crate) async fn welcome(&mut self) -> Option<wire::Welcome> {
        match self.next().await {
            Some(Hear::Welcome(welcome)) => Some(welcome),
            _ => None,
        }
    }

    async fn refused(&mut self) -> Option<wire::Refused> {
        match self.next().await {
            Some(Hear::Refused(refused)) => Some(refused),
            _ => None,
        }
    }

    /// Answers probes, with a clock that is a minute ahead, until the session ends.
    async fn answer(&mut self) {
        while let Some(message) = self.next().await {
            if let Hear::ClockProbe(probe) = message {
                let reply = wire::ClockReply {
                    probe_id: probe.probe_id,
                    agent_time_ms: now_ms() + 60_000,
                };
                let message = Some(Say::ClockReply(reply));
                if self
                    .say
                    .send(wire::SessionRequest { message })
                    .await
                    .is_err()
                {
                    return;
                }
            }
        }
    }

    /// Waits for the end; `true` once it is there.
    pub(crate) async fn end(&mut self) -> bool {
        while self.next().await.is_some() {}
        true
    }
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now();
    let unix = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    unix.as_millis().try_into().unwrap()
}

async fn enroll(server: &Server) -> (Client, String) {
    let key = KeyPair::generate().unwrap();
    let enrolled = server
        .client(None)
        .enroll(&server.token(1), &key)
        .await
        .unwrap();
    let client = server.client(Some(identity(&key, &enrolled.certificate)));
    (client, enrolled.endpoint_id)
}

async fn show(admin: &Client, id: &str) -> console::Endpoint {
    let request = console::GetEndpointRequest { id: id.to_owned() };
    admin
        .console()
        .await
        .get_endpoint(request)
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn a_connected_endpoint_is_seen_with_its_clock_and_health() {
    let server = Server::start();
    let (client, id) = enroll(&server).await;
    let admin = server.admin();
    let mut agent = Agent::connect(&client, 1).await;
    let welcome = agent.welcome().await.unwrap();
    assert_eq!(welcome.endpoint_id, id);
    assert_eq!(welcome.capability, capability::CURRENT);
    assert_eq!(welcome.heartbeat_interval_ms, 15_000);
    let health = Health {
        spool_events: 42,
        ..Default::default()
    };
    agent
        .say(Say::Heartbeat(wire::Heartbeat {
            health: Some(health),
        }))
        .await;
    let seen = async {
        loop {
            let endpoint = show(&admin, &id).await;
            if endpoint.clock_skew.is_some() && endpoint.health.is_some() {
                return endpoint;
            }
        }
    };
    let endpoint = tokio::select! {
        endpoint = seen => endpoint,
        () = agent.answer() => panic!("the session ended"),
    };
    assert!(endpoint.connected);
    assert_eq!(endpoint.state(), console::EndpointState::Online);
    assert_eq!(
        (endpoint.hostname.as_str(), endpoint.os.as_str()),
        ("run-1", "linux")
    );
    assert_eq!(endpoint.health.unwrap().spool_events, 42);
    let skew = endpoint.clock_skew.unwrap();
    assert!(skew.min_ms <= 60_000 && 60_000 <= skew.max_ms, "{skew:?}");
}

#[tokio::test]
async fn a_cloned_key_is_refused_and_shown_until_one_is_enrolled_anew() {
    let server = Server::start();
    let key = KeyPair::generate().unwrap();
    let token = server.token(2);
    let enrolled = server.client(None).enroll(&token, &key).await.unwrap();
    let client = server.client(Some(identity(&key, &enrolled.certificate)));
    let admin = server.admin();
    let mut original = Agent::connect(&client, 1).await;
    assert!(original.welcome().await.is_some());
    let judged = async {
        let mut clone = Agent::connect(&client, 2).await;
        clone.refused().await.unwrap()
    };
    let refused = tokio::select! {
        refused = judged => refused,
        () = original.answer() => panic!("the original's session ended"),
    };
    assert_eq!(refused.reason(), wire::RefusedReason::Conflict);
    assert!(refused.detail.contains("enroll"), "{}", refused.detail);
    let endpoint = show(&admin, &enrolled.endpoint_id).await;
    assert_eq!(endpoint.state(), console::EndpointState::Conflict);
    assert!(endpoint.connected, "the original stays connected");
    assert_eq!(endpoint.conflicts.len(), 1);
    assert_eq!(endpoint.conflicts[0].hostname, "run-2");

    let anew = client
        .enroll(&token, &KeyPair::generate().unwrap())
        .await
        .unwrap();
    assert_ne!(anew.endpoint_id, enrolled.endpoint_id);
    let endpoint = show(&admin, &enrolled.endpoint_id).await;
    assert_eq!(endpoint.state(), console::EndpointState::Online);
    assert!(endpoint.conflicts.is_empty());
}

#[tokio::test]
async fn a_run_that_no_longer_answers_gives_way_to_the_next() {
    let server = Server::configured(&[("conflict_probe_timeout", "100ms")]);
    let (client, _) = enroll(&server).await;
    let mut first = Agent::connect(&client, 1).await;
    assert!(first.welcome().await.is_some());
    let mut second = Agent::connect(&client, 2).await;
    assert!(second.welcome().await.is_some());
    assert!(first.end().await);
}

#[tokio::test]
async fn the_same_run_is_welcome_once_its_former_connection_is_gone_or_silent() {
    let server = Server::configured(&[("conflict_probe_timeout", "1h")]);
    let (client, _) = enroll(&server).await;
    let mut first = Agent::connect(&client, 1).await;
    assert!(first.welcome().await.is_some());
    // The end of a session answers the question whether it is alive.
    drop(first);
    let mut second = Agent::connect(&client, 1).await;
    assert!(second.welcome().await.is_some());

    let server = Server::configured(&[("conflict_probe_timeout", "100ms")]);
    let (client, id) = enroll(&server).await;
    let mut silent = Agent::connect(&client, 1).await;
    assert!(silent.welcome().await.is_some());
    let mut again = Agent::connect(&client, 1).await;
    assert!(again.welcome().await.is_some());
    assert!(silent.end().await);
    assert!(show(&server.admin(), &id).await.conflicts.is_empty());
}

#[tokio::test]
async fn a_revoked_endpoint_is_cut_and_not_let_in_again() {
    let server = Server::start();
    let (client, id) = enroll(&server).await;
    let mut agent = Agent::connect(&client, 1).await;
    assert!(agent.welcome().await.is_some());
    let revoke = console::RevokeEndpointRequest {
        id: id[..8].to_owned(),
        reason: "lost".into(),
    };
    let endpoint = server
        .admin()
        .console()
        .await
        .revoke_endpoint(revoke)
        .await
        .unwrap();
    assert_eq!(endpoint.get_ref().state(), console::EndpointState::Revoked);
    assert!(!endpoint.get_ref().connected);
    let second = std::time::Duration::from_secs(1);
    assert!(tokio::time::timeout(second, agent.end()).await.unwrap());
    let code = client.call("tocsin.agent.v1.AgentService/Session").await;
    assert_eq!(code, tonic::Code::PermissionDenied);
}

#[tokio::test]
async fn an_agent_of_another_age_learns_what_to_do() {
    let server = Server::start();
    let (client, _) = enroll(&server).await;
    let mut agent = Agent::silent(&client).await;
    let old = wire::Hello {
        capability: 0,
        ..hello(1)
    };
    agent.say(Say::Hello(old)).await;
    let refused = agent.refused().await.unwrap();
    assert_eq!(refused.reason(), wire::RefusedReason::Capability);
    assert!(
        refused.detail.contains("update the agent"),
        "{}",
        refused.detail
    );
    assert!(agent.end().await);
}

#[tokio::test]
async fn what_is_no_hello_or_no_health_ends_the_session() {
    let server = Server::start();
    let (client, _) = enroll(&server).await;
    let mut agent = Agent::silent(&client).await;
    agent.say(Say::Heartbeat(wire::Heartbeat::default())).await;
    let refused = agent.refused().await.unwrap();
    assert_eq!(refused.reason(), wire::RefusedReason::Invalid);
    let mut agent = Agent::connect(&client, 1).await;
    assert!(agent.welcome().await.is_some());
    let health = Health {
        sensors: vec![Default::default(); 33],
        ..Default::default()
    };
    agent
        .say(Say::Heartbeat(wire::Heartbeat {
            health: Some(health),
        }))
        .await;
    assert!(agent.end().await);
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_that_stops_ends_sessions_and_remembers_endpoints() {
    let mut server = Server::start();
    let (client, id) = enroll(&server).await;
    let mut agent = Agent::connect(&client, 1).await;
    assert!(agent.welcome().await.is_some());
    let stopped = tokio::task::spawn_blocking(move || {
        let well = server.stop();
        (server, well)
    });
    assert!(agent.end().await);
    let (mut server, well) = stopped.await.unwrap();
    assert!(well);
    server.run();
    let endpoint = show(&server.admin(), &id).await;
    assert_eq!(endpoint.state(), console::EndpointState::Offline);
    assert_eq!(endpoint.hostname, "run-1");
    assert_ne!(endpoint.last_seen_time_ms, 0);
}
