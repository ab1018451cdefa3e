//! An agent, as far as sessions and uploads go.

use rcgen::KeyPair;
use tocsin_proto::agent::v1 as wire;
use tocsin_proto::agent::v1::agent_service_client::AgentServiceClient;
use tocsin_proto::agent::v1::session_request::Message as Say;
use tocsin_proto::agent::v1::session_response::Message as Hear;
use tocsin_proto::telemetry::v1::event::Body;
use tocsin_proto::telemetry::v1::{Event, EventBatch, Process, ProcessActivity, User};
use tocsin_proto::{batch, capability};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::client::identity;
use crate::server::{PATIENT, Server};

/// A connection of an enrolled endpoint with an open session.
pub(crate) struct Agent {
    pub(crate) endpoint: String,
    pub(crate) run: [u8; 16],
    client: AgentServiceClient<Channel>,
    session: Option<(
        mpsc::Sender<wire::SessionRequest>,
        Streaming<wire::SessionResponse>,
    )>,
}

impl Agent {
    /// Enrols, connects, and opens a session.
    pub(crate) async fn connect(server: &Server) -> Self {
        let mut agent = Self::silent(server).await;
        agent.open().await;
        agent
    }

    /// Enrols and connects without a session.
    pub(crate) async fn silent(server: &Server) -> Self {
        let key = KeyPair::generate().unwrap();
        let enrolled = server
            .client(None)
            .enroll(&server.token(1), &key)
            .await
            .unwrap();
        let client = server.client(Some(identity(&key, &enrolled.certificate)));
        Self {
            endpoint: enrolled.endpoint_id,
            run: [7; 16],
            client: client.agent().await,
            session: None,
        }
    }

    /// Opens a session.
    pub(crate) async fn open(&mut self) {
        let (say, said) = mpsc::channel(8);
        let hello = wire::Hello {
            run_id: self.run.to_vec(),
            boot_id: vec![9; 16],
            capability: capability::CURRENT,
            agent_version: "0.1.0".into(),
            start_time_ms: 1,
            sent_sequence: None,
            machine: Some(wire::Machine {
                hostname: "test-host".into(),
                os: "linux".into(),
                ..Default::default()
            }),
        };
        let message = Some(Say::Hello(hello));
        say.send(wire::SessionRequest { message }).await.unwrap();
        let hear = self
            .client
            .session(ReceiverStream::new(said))
            .await
            .unwrap();
        let mut hear = hear.into_inner();
        let welcome = tokio::time::timeout(PATIENT, hear.message())
            .await
            .unwrap()
            .unwrap();
        assert!(matches!(welcome.unwrap().message, Some(Hear::Welcome(_))));
        self.session = Some((say, hear));
    }

    /// Ends the session.
    pub(crate) fn close(&mut self) {
        self.session = None;
    }

    /// Opens a stream of uploads.
    pub(crate) async fn upload(&self) -> Upload {
        let (send, sent) = mpsc::channel(64);
        let mut client = self.client.clone();
        let replies = client.upload_events(ReceiverStream::new(sent)).await;
        Upload {
            send,
            replies: replies.map(tonic::Response::into_inner),
        }
    }

    /// An upload of these events.
    pub(crate) fn request(&self, events: Vec<Event>) -> wire::UploadEventsRequest {
        let (first, last) = (events[0].sequence, events[events.len() - 1].sequence);
        let content = EventBatch {
            boot_id: vec![9; 16],
            events,
        };
        wire::UploadEventsRequest {
            run_id: self.run.to_vec(),
            first_sequence: first,
            last_sequence: last,
            batch: batch::pack(&content).unwrap(),
        }
    }

    /// An upload of started processes with these sequences.
    pub(crate) fn starts(&self, first: u64, last: u64) -> wire::UploadEventsRequest {
        self.request((first..=last).map(start).collect())
    }

    /// Uploads and waits for the acknowledgement.
    pub(crate) async fn commit(&self, requests: Vec<wire::UploadEventsRequest>) {
        let mut upload = self.upload().await;
        for request in requests {
            let last = request.last_sequence;
            upload.send(request).await;
            assert_eq!(upload.acknowledged().await.unwrap(), Some(last));
        }
    }
}

/// A process that started a second after the one before it.
pub(crate) fn start(sequence: u64) -> Event {
    Event {
        sequence,
        event_time_ms: i64::try_from(sequence).unwrap() * 1_000,
        body: Some(Body::Process(Process {
            activity: ProcessActivity::Start.into(),
            pid: u32::try_from(sequence).unwrap() + 100,
            start_ticks: sequence,
            argv: vec!["/usr/bin/tool".into(), format!("--number={sequence}")],
            executable: "/usr/bin/tool".into(),
            user: Some(User {
                uid: "1000".into(),
                name: "dana".into(),
            }),
            ..Process::default()
        })),
    }
}

/// A stream of uploads.
pub(crate) struct Upload {
    send: mpsc::Sender<wire::UploadEventsRequest>,
    replies: Result<Streaming<wire::UploadEventsResponse>, Status>,
}

impl Upload {
    pub(crate) async fn send(&self, request: wire::UploadEventsRequest) {
        // Where the stream has ended, the reply says so.
        let _ended = self.send.send(request).await;
    }

    /// The next acknowledged sequence; `None` at the end.
    pub(crate) async fn acknowledged(&mut self) -> Result<Option<u64>, Status> {
        let replies = match &mut self.replies {
            Ok(replies) => replies,
            Err(status) => return Err(status.clone()),
        };
        let reply = tokio::time::timeout(PATIENT, replies.message())
            .await
            .unwrap()?;
        Ok(reply.map(|reply| reply.last_sequence))
    }

    /// Sends nothing more.
    pub(crate) fn done(&mut self) {
        let (closed, _) = mpsc::channel(1);
        self.send = closed;
    }
}
