//! A simulated endpoint: enrols, keeps a session, uploads batches, over the real protocol.
//!
//! It has no sensors, no spool and no back-off; what it sends is what it was given. It stands in where a test
//! must do what the real agent never would, or where there are thousands of them.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tocsin_proto::agent::v1 as wire;
use tocsin_proto::agent::v1::agent_service_client::AgentServiceClient;
use tocsin_proto::agent::v1::enrollment_service_client::EnrollmentServiceClient;
use tocsin_proto::capability;
use tocsin_proto::id::RunId;
use tocsin_proto::limits::UPLOAD_BATCHES_IN_FLIGHT_MAX;
use tocsin_proto::tls::{self, ClientIdentity};
use tocsin_proto::token::EnrollmentToken;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::rpc::{self, WireCount};

/// Messages of a session that wait to be sent.
const SESSION_QUEUE_MAX: usize = 8;

/// An enrolled endpoint: its key and what enrolment gave it.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// Its id.
    pub id: String,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// The CA's, DER.
    pub ca_certificate: Vec<u8>,
    /// Its private key, PKCS #8, DER.
    pub key: Vec<u8>,
}

/// A session that the server has welcomed.
#[derive(Debug)]
pub struct Session {
    /// What the server said.
    pub welcome: wire::Welcome,
    /// The connection, for uploads and other calls.
    pub channel: Channel,
    ended: watch::Receiver<Option<Status>>,
    // Dropped, the session ends.
    _out: mpsc::Sender<wire::SessionRequest>,
}

/// Uploads of one run.
#[derive(Debug)]
pub struct Upload {
    out: mpsc::Sender<wire::UploadEventsRequest>,
    acknowledged: Streaming<wire::UploadEventsResponse>,
}

/// What the server answered to a hello.
#[derive(Debug)]
pub enum Answer {
    /// A session.
    Welcome(Session),
    /// None, and why.
    Refused(wire::Refused),
}

/// Turns a token into a certificate for a new key.
///
/// # Errors
/// Where the server is not reached or refuses.
pub async fn enroll(address: &str, token: &str, hostname: &str) -> Result<Enrolled> {
    let token: EnrollmentToken = token.parse()?;
    let channel = enrolling(address, &token).await?;
    enroll_over(channel, &token, hostname).await
}

/// A connection without a certificate. The server closes it after a minute.
///
/// # Errors
/// Where the server is not reached.
pub async fn enrolling(address: &str, token: &EnrollmentToken) -> Result<Channel> {
    let config = tls::enrolling_client(token.ca_pin, None)?;
    rpc::connect(address, Arc::new(config), Arc::default()).await
}

/// [`enroll`] over a connection that is there.
///
/// # Errors
/// Where the server refuses or the connection is closed.
pub async fn enroll_over(
    channel: Channel,
    token: &EnrollmentToken,
    hostname: &str,
) -> Result<Enrolled> {
    let key = KeyPair::generate()?;
    let request = CertificateParams::default().serialize_request(&key)?;
    let response = EnrollmentServiceClient::new(channel)
        .enroll(wire::EnrollRequest {
            token_id: token.id.to_vec(),
            token_secret: token.secret.to_vec(),
            certificate_request: request.der().to_vec(),
            hostname: hostname.to_owned(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        })
        .await?
        .into_inner();
    Ok(Enrolled {
        id: response.endpoint_id,
        certificate: response.certificate,
        ca_certificate: response.ca_certificate,
        key: key.serialize_der(),
    })
}

impl Enrolled {
    /// The TLS side of this endpoint.
    ///
    /// # Errors
    /// Where what enrolment gave cannot be used.
    pub fn tls(&self) -> Result<Arc<rustls::ClientConfig>> {
        let identity = ClientIdentity {
            chain: vec![CertificateDer::from(self.certificate.clone())],
            key: PrivateKeyDer::try_from(self.key.clone()).map_err(anyhow::Error::msg)?,
        };
        let ca = CertificateDer::from(self.ca_certificate.clone());
        Ok(Arc::new(tls::client(ca, identity)?))
    }

    /// A connection that shows this endpoint's certificate.
    ///
    /// # Errors
    /// Where the server is not reached or refuses.
    pub async fn connect(&self, address: &str, count: &Arc<WireCount>) -> Result<Channel> {
        rpc::connect(address, self.tls()?, count.clone()).await
    }

    /// Connects and says hello for this run.
    ///
    /// # Errors
    /// Where the server is not reached, or answers neither welcome nor refused.
    pub async fn hello(
        &self,
        address: &str,
        run_id: [u8; 16],
        count: &Arc<WireCount>,
    ) -> Result<Answer> {
        let channel = self.connect(address, count).await?;
        let (out, requests) = mpsc::channel(SESSION_QUEUE_MAX);
        out.send(message(wire::session_request::Message::Hello(hello(
            run_id,
        ))))
        .await?;
        let mut responses = AgentServiceClient::new(channel.clone())
            .session(ReceiverStream::new(requests))
            .await?
            .into_inner();
        use wire::session_response::Message;
        match responses.message().await?.and_then(|first| first.message) {
            Some(Message::Refused(refused)) => Ok(Answer::Refused(refused)),
            Some(Message::Welcome(welcome)) => {
                let (say, ended) = watch::channel(None);
                let interval = Duration::from_millis(welcome.heartbeat_interval_ms.into());
                tokio::spawn(keep(responses, out.downgrade(), interval, say));
                Ok(Answer::Welcome(Session {
                    welcome,
                    channel,
                    ended,
                    _out: out,
                }))
            }
            other => bail!("the server answered hello with {other:?}"),
        }
    }

    /// [`Enrolled::hello`] that must be welcomed.
    ///
    /// # Errors
    /// As [`Enrolled::hello`], and where the server refuses.
    pub async fn session(
        &self,
        address: &str,
        run_id: [u8; 16],
        count: &Arc<WireCount>,
    ) -> Result<Session> {
        match self.hello(address, run_id, count).await? {
            Answer::Welcome(session) => Ok(session),
            Answer::Refused(refused) => bail!("refused: {refused:?}"),
        }
    }
}

/// Answers the server's questions until the session ends, and says how it ended.
async fn keep(
    mut responses: Streaming<wire::SessionResponse>,
    out: mpsc::WeakSender<wire::SessionRequest>,
    heartbeat_interval: Duration,
    say: watch::Sender<Option<Status>>,
) {
    use wire::session_request::Message as Ours;
    use wire::session_response::Message as Theirs;
    let mut heartbeat = tokio::time::interval(heartbeat_interval.max(Duration::from_millis(100)));
    let end = loop {
        let answer = tokio::select! {
            next = responses.message() => match next {
                Ok(Some(wire::SessionResponse { message: Some(Theirs::ClockProbe(probe)) })) => {
                    Ours::ClockReply(wire::ClockReply {
                        probe_id: probe.probe_id,
                        agent_time_ms: now_ms(),
                    })
                }
                Ok(Some(_)) => continue,
                Ok(None) => break Status::ok("the server ended the session"),
                Err(status) => break status,
            },
            _ = heartbeat.tick() => Ours::Heartbeat(wire::Heartbeat {
                health: Some(Default::default()),
            }),
        };
        let Some(out) = out.upgrade() else {
            break Status::ok("this side ended the session");
        };
        if out.send(message(answer)).await.is_err() {
            break Status::ok("the server takes no more");
        }
    };
    say.send_replace(Some(end));
}

impl Session {
    /// Waits until the session has ended; how.
    ///
    /// # Errors
    /// Where it has not within `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Result<Status> {
        let ended = self.ended.wait_for(Option::is_some);
        let status = tokio::time::timeout(limit, ended)
            .await
            .with_context(|| format!("the session still runs after {limit:?}"))??;
        status.clone().context("a session that ended has a status")
    }

    /// Begins to upload.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn upload(&self) -> Result<Upload> {
        let (out, requests) = mpsc::channel(UPLOAD_BATCHES_IN_FLIGHT_MAX);
        let acknowledged = AgentServiceClient::new(self.channel.clone())
            .upload_events(ReceiverStream::new(requests))
            .await?
            .into_inner();
        Ok(Upload { out, acknowledged })
    }
}

impl Upload {
    /// Sends one batch and does not wait for its acknowledgement.
    ///
    /// # Errors
    /// Where the server takes no more.
    pub async fn send(&self, batch: wire::UploadEventsRequest) -> Result<()> {
        self.out
            .send(batch)
            .await
            .context("the server takes no more batches")
    }

    /// The next acknowledgement.
    ///
    /// # Errors
    /// Where the server ended the upload.
    pub async fn acknowledgement(&mut self) -> Result<wire::UploadEventsResponse> {
        let next = self.acknowledged.message().await?;
        next.context("the server ended the upload")
    }

    /// Sends one batch and waits until it is committed.
    ///
    /// # Errors
    /// Where the server does not acknowledge its last sequence next.
    pub async fn commit(&mut self, batch: wire::UploadEventsRequest) -> Result<()> {
        let last = batch.last_sequence;
        self.send(batch).await?;
        let acknowledged = self.acknowledgement().await?;
        ensure!(
            acknowledged.last_sequence == last,
            "{acknowledged:?} for {last}"
        );
        Ok(())
    }

    /// Both directions, for a sender and a receiver that do not wait for each other.
    pub fn split(
        self,
    ) -> (
        mpsc::Sender<wire::UploadEventsRequest>,
        Streaming<wire::UploadEventsResponse>,
    ) {
        (self.out, self.acknowledged)
    }
}

/// 16 random bytes: a run nobody had before.
pub fn fresh_run() -> [u8; 16] {
    *RunId::from_random(rand::random()).as_bytes()
}

/// The wall clock, Unix milliseconds.
pub fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or_default()
}

fn message(message: wire::session_request::Message) -> wire::SessionRequest {
    wire::SessionRequest {
        message: Some(message),
    }
}

fn hello(run_id: [u8; 16]) -> wire::Hello {
    wire::Hello {
        run_id: run_id.to_vec(),
        boot_id: vec![0xb0; 16],
        capability: capability::CURRENT,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        start_time_ms: now_ms(),
        sent_sequence: None,
        machine: Some(wire::Machine {
            hostname: "simulated".to_owned(),
            os: "linux".to_owned(),
            architecture: "x86_64".to_owned(),
            cpu_count: 2,
            ..Default::default()
        }),
    }
}
