//! The connection to the server: kept for as long as the agent runs, made again whenever it breaks.
//!
//! ```text
//! connect -> (renew an expired certificate, connect again) -> Session: hello -> welcome
//!         -> at the same time: heartbeats and clock replies | uploads | renewal when it is due
//!         -> the first of them that breaks ends the connection -> wait -> connect
//! ```
//!
//! What the server says never ends the agent: a refusal is shown in the status, with its cure, and tried again,
//! slowly. One ends the run: where another copy of this machine has used its numbers, the next run begins. Without a server the spool fills; nothing here holds telemetry of its own.

mod connect;
pub(crate) mod enroll;
mod release;
mod retry;
mod terminal;
mod upload;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tocsin_proto::agent::v1::agent_service_client::AgentServiceClient;
use tocsin_proto::agent::v1::session_request::Message;
use tocsin_proto::agent::v1::session_response::Message as Reply;
use tocsin_proto::agent::v1::{
    ClockReply, Heartbeat, Hello, Machine as WireMachine, RenewCertificateRequest, SessionRequest,
    SessionResponse, UpdateReport, Welcome,
};
use tocsin_proto::capability;
use tocsin_proto::id::{BootId, RunId};
use tocsin_proto::limits::{HEARTBEAT_INTERVAL, MESSAGE_BYTES_MAX};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::backoff::Backoff;
use crate::clock;
use crate::command::Commands;
use crate::health::{self, ConnectionState, Health};
use crate::identity::{CurrentIdentity, Issued};
use crate::machine::Machine;
use crate::normalize;
use crate::outbox::Outbox;
use crate::queue::Queue;
use crate::text::chain;

pub(crate) use connect::connect_tls;
use retry::{RETRY_CAP, RETRY_FIRST, Retry, SessionError};
use terminal::Calls;
use upload::Upload;

/// A session that lasted so long was well: the next failure is a first one.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// A run lasts at least so long, whatever the server says of it.
const RUN_MIN: Duration = Duration::from_secs(10);

/// How often a refused endpoint looks whether it was enrolled anew.
const IDENTITY_LOOK: Duration = Duration::from_secs(5);

/// How long the server may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Messages of the session that wait for the connection.
const SESSION_MESSAGES_MAX: usize = 8;

/// Heartbeats are sent at least and at most so often, whatever the server asks for.
const HEARTBEAT_RANGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// How often the wall clock is compared with the time of renewal: timers stand still while a machine sleeps.
const RENEWAL_LOOK: Duration = Duration::from_secs(60);

/// Delays between two tries to renew.
const RENEWAL_RETRY_FIRST: Duration = Duration::from_secs(1);
const RENEWAL_RETRY_CAP: Duration = Duration::from_secs(300);

/// What the uplink works with.
#[derive(Debug)]
pub(crate) struct Uplink {
    /// Who carries out what the server asks for.
    pub(crate) commands: Arc<Commands>,
    /// Who we are.
    pub(crate) identity: Arc<CurrentIdentity>,
    /// What is to be sent.
    pub(crate) outbox: Arc<Outbox>,
    /// Whom to wake when there is a server to tell losses to.
    pub(crate) queue: Arc<Queue>,
    /// Where the state goes.
    pub(crate) health: Arc<Health>,
    /// This start of the agent.
    pub(crate) run: RunId,
    /// This boot of the machine.
    pub(crate) boot: BootId,
    /// When this run began, Unix milliseconds.
    pub(crate) start_ms: i64,
    /// The last sequence of this run that was sent, over any connection.
    pub(crate) sent: Arc<AtomicU64>,
    /// Cancelled where this run must not go on, but a new one must begin.
    pub(crate) anew: CancellationToken,
}

type Client = AgentServiceClient<Channel>;

impl Uplink {
    /// Keeps the connection until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_CAP);
        let begun = Instant::now();
        loop {
            let ended = tokio::select! {
                ended = self.session() => ended,
                () = stop.cancelled() => return,
            };
            let Err(error) = ended;
            if error.is_reuse() {
                tracing::warn!(detail = chain(&error), "a new run begins");
                self.health
                    .set_connection(ConnectionState::Waiting, chain(&error));
                tokio::select! {
                    () = sleep(RUN_MIN.saturating_sub(begun.elapsed())) => self.anew.cancel(),
                    () = stop.cancelled() => {}
                }
                return;
            }
            if self.health.connected_for(clock::now_ms()) >= WELL_AFTER {
                backoff.reset();
            }
            let (retry, state) = error.retry();
            let delay = retry.delay(&mut backoff, rand::random());
            let detail = chain(&error);
            if retry != Retry::Now {
                tracing::warn!(
                    detail,
                    retry_delay_ms = delay.as_millis(),
                    "no connection to the server; events are kept"
                );
            }
            self.health.set_connection(state, detail);
            tokio::select! {
                () = sleep(delay) => {}
                () = self.enrolled_anew(), if matches!(retry, Retry::After(_)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Waits until this machine has another identity, which ends most refusals.
    async fn enrolled_anew(&self) {
        let refused = self.identity.get().endpoint();
        loop {
            sleep(IDENTITY_LOOK).await;
            let identity = blocking(&self.identity, CurrentIdentity::refresh).await;
            if identity.endpoint() != refused {
                return;
            }
        }
    }

    /// One connection, until it breaks.
    async fn session(&self) -> Result<Infallible, SessionError> {
        let identity = blocking(&self.identity, CurrentIdentity::refresh).await;
        self.health.set_identity(&self.identity.get());
        let channel = connect::connect(identity.server(), identity.tls()?).await?;
        let mut client = AgentServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        if identity.validity().until_ms <= clock::now_ms() {
            self.renew(&mut client).await?;
            return Err(SessionError::Renewed);
        }
        match self.talk(&mut client).await {
            // The server's clock may already be past our certificate's end when ours is not.
            Err(error) if error.is_denial() => match self.renew(&mut client).await {
                Ok(()) => Err(SessionError::Renewed),
                Err(_) => Err(error),
            },
            ended => ended,
        }
    }

    /// Hello, welcome, and then everything at the same time.
    async fn talk(&self, client: &mut Client) -> Result<Infallible, SessionError> {
        let (requests, outgoing) = mpsc::channel(SESSION_MESSAGES_MAX);
        send(&requests, Message::Hello(self.hello().await)).await?;
        let opening = client.session(ReceiverStream::new(outgoing));
        let response = answer("open a session", opening).await?;
        self.note_server_clock(response.metadata());
        let mut replies = response.into_inner();
        let welcome = answer("open a session", first_reply(&mut replies)).await??;
        self.note_welcome(&welcome);
        let upload = Upload::begin(client.clone(), self).await;
        // What the server asked for ends with the connection that it asked by.
        let calls = Calls::new(client.clone(), self.commands.clone());
        tokio::select! {
            ended = self.converse(&requests, &mut replies, &welcome, &calls) => ended,
            ended = upload.run() => Ok(ended?),
            () = self.renew_when_due(client.clone()) => Err(SessionError::Renewed),
        }
    }

    async fn hello(&self) -> Hello {
        // Interfaces, memory and names are asked of the system.
        let machine = tokio::task::spawn_blocking(Machine::read).await.ok();
        Hello {
            run_id: self.run.as_bytes().to_vec(),
            boot_id: self.boot.as_bytes().to_vec(),
            capability: capability::CURRENT,
            agent_version: crate::version::text().into(),
            start_time_ms: self.start_ms,
            machine: machine.map(WireMachine::from),
            sent_sequence: Some(self.sent.load(Ordering::Relaxed)),
        }
    }

    fn note_welcome(&self, welcome: &Welcome) {
        let identity = self.identity.get();
        if welcome.endpoint_id != identity.endpoint().to_string() {
            tracing::warn!(
                theirs = welcome.endpoint_id,
                ours = %identity.endpoint(),
                "the server knows this endpoint by another id"
            );
        }
        tracing::info!(
            server = %identity.server(),
            server_version = welcome.server_version,
            endpoint = %identity.endpoint(),
            "connected"
        );
        self.health
            .set_connection(ConnectionState::Connected, String::new());
        self.queue.nudge();
    }

    /// HTTP's date, to the second. Good enough to tell a wrong clock.
    fn note_server_clock(&self, metadata: &tonic::metadata::MetadataMap) {
        let date = metadata.get("date").and_then(|date| date.to_str().ok());
        if let Some(server_ms) = date.and_then(parse_http_date_ms) {
            self.health
                .set_server_clock_ahead_ms(server_ms.saturating_sub(clock::now_ms()));
        }
    }

    /// Heartbeats and answers.
    async fn converse(
        &self,
        requests: &mpsc::Sender<SessionRequest>,
        replies: &mut Streaming<SessionResponse>,
        welcome: &Welcome,
        calls: &Calls,
    ) -> Result<Infallible, SessionError> {
        let mut reports = self.commands.updates.reports();
        // What was said over a former connection is said again.
        reports.mark_changed();
        let mut heartbeat = interval(heartbeat_interval(welcome.heartbeat_interval_ms));
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                reply = replies.message() => {
                    let reply = reply.map_err(SessionError::status("keep the session"))?;
                    match reply.ok_or(SessionError::Ended)?.message {
                        Some(Reply::ClockProbe(probe)) => {
                            let reply = ClockReply {
                                probe_id: probe.probe_id,
                                agent_time_ms: clock::now_ms(),
                            };
                            send(requests, Message::ClockReply(reply)).await?;
                        }
                        Some(Reply::OpenTerminal(open)) => calls.terminal(open),
                        Some(Reply::StartUpdate(update)) => calls.update(update),
                        Some(Reply::Refused(refused)) => return Err(SessionError::Refused(refused)),
                        Some(Reply::Welcome(_)) => {
                            return Err(SessionError::Protocol("a second welcome"));
                        }
                        // A message of a later version.
                        None => {}
                    }
                }
                // There always is a sender.
                Ok(()) = reports.changed() => {
                    reports.mark_changed();
                    tell_update(requests, &mut reports).await?;
                }
                _ = heartbeat.tick() => {
                    // Before the heartbeat: a server that has had one knows what is on trial.
                    blocking(&self.commands, |commands| commands.updates.look()).await;
                    tell_update(requests, &mut reports).await?;
                    let health = normalize::health(&self.health.report(), health::usage());
                    let heartbeat = Heartbeat { health: Some(health) };
                    send(requests, Message::Heartbeat(heartbeat)).await?;
                }
            }
        }
    }

    /// Renews the certificate when it is time. The connection is then to be made anew: the server cuts those that
    /// outlive the certificate they were made with.
    async fn renew_when_due(&self, mut client: Client) {
        let mut backoff = Backoff::new(RENEWAL_RETRY_FIRST, RENEWAL_RETRY_CAP);
        loop {
            let validity = self.identity.get().validity();
            let wait_ms = validity.renew_ms().saturating_sub(clock::now_ms());
            if let Ok(wait_ms @ 1..) = u64::try_from(wait_ms) {
                sleep(Duration::from_millis(wait_ms).min(RENEWAL_LOOK)).await;
                continue;
            }
            match self.renew(&mut client).await {
                Ok(()) => return,
                Err(error) => {
                    let delay = backoff.next_delay(rand::random());
                    tracing::warn!(
                        error = chain(&error),
                        retry_delay_ms = delay.as_millis(),
                        "the certificate is due for renewal and could not be renewed"
                    );
                    sleep(delay).await;
                }
            }
        }
    }

    /// A new certificate for the same key.
    async fn renew(&self, client: &mut Client) -> Result<(), SessionError> {
        let identity = self.identity.get();
        let request = RenewCertificateRequest {
            certificate_request: identity.certificate_request()?,
        };
        let renewing = client.renew_certificate(request);
        let response = answer("renew the certificate", renewing)
            .await?
            .into_inner();
        let renewed = identity.renewed(Issued {
            certificate: response.certificate,
            ca: response.ca_certificate,
            obtained_ms: clock::now_ms(),
        })?;
        blocking(&self.identity, move |identity| identity.replace(renewed)).await?;
        self.health.set_identity(&self.identity.get());
        tracing::info!("the certificate was renewed");
        Ok(())
    }
}

/// What is to be told of an update, where that is new.
async fn tell_update(
    requests: &mpsc::Sender<SessionRequest>,
    reports: &mut watch::Receiver<Option<UpdateReport>>,
) -> Result<(), SessionError> {
    let is_new = reports.has_changed().unwrap_or(false);
    let report = reports.borrow_and_update().clone();
    match report.filter(|_| is_new) {
        Some(report) => send(requests, Message::UpdateReport(report)).await,
        None => Ok(()),
    }
}

/// What the first reply says.
async fn first_reply(
    replies: &mut Streaming<SessionResponse>,
) -> Result<Result<Welcome, SessionError>, Status> {
    let reply = replies.message().await?;
    Ok(match reply.and_then(|reply| reply.message) {
        Some(Reply::Welcome(welcome)) => Ok(welcome),
        Some(Reply::Refused(refused)) => Err(SessionError::Refused(refused)),
        Some(Reply::ClockProbe(_) | Reply::OpenTerminal(_) | Reply::StartUpdate(_)) => {
            Err(SessionError::Protocol("something before a welcome"))
        }
        None => Err(SessionError::Ended),
    })
}

/// Waits for a call, not for ever.
async fn answer<T>(
    doing: &'static str,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, SessionError> {
    match timeout(ANSWER_TIMEOUT, call).await {
        Ok(answered) => answered.map_err(SessionError::status(doing)),
        Err(_) => Err(SessionError::Silent { doing }),
    }
}

async fn send(
    requests: &mpsc::Sender<SessionRequest>,
    message: Message,
) -> Result<(), SessionError> {
    let message = SessionRequest {
        message: Some(message),
    };
    requests
        .send(message)
        .await
        .map_err(|_| SessionError::Ended)
}

fn heartbeat_interval(asked_ms: u32) -> Duration {
    match asked_ms {
        0 => HEARTBEAT_INTERVAL,
        asked_ms => {
            let (least, most) = HEARTBEAT_RANGE;
            Duration::from_millis(asked_ms.into()).clamp(least, most)
        }
    }
}

fn parse_http_date_ms(text: &str) -> Option<i64> {
    let parsed = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(parsed.timestamp().as_millisecond())
}

impl From<Machine> for WireMachine {
    fn from(machine: Machine) -> Self {
        Self {
            hostname: machine.hostname,
            os: machine.os.into(),
            os_version: machine.os_version,
            kernel_version: machine.kernel_version,
            architecture: machine.architecture.into(),
            cpu_count: machine.cpu_count,
            memory_bytes: machine.memory_bytes,
            boot_time_ms: machine.boot_time_ms,
            time_zone: machine.time_zone,
            addresses: machine.addresses,
        }
    }
}

/// Runs what may wait for the disk where it holds nobody up.
async fn blocking<S: Send + Sync + 'static, T: Send + 'static>(
    shared: &Arc<S>,
    work: impl FnOnce(&S) -> T + Send + 'static,
) -> T {
    let shared = shared.clone();
    match tokio::task::spawn_blocking(move || work(&shared)).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is going down, and with it whoever waits here.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_keep_their_range() {
        assert_eq!(heartbeat_interval(0), HEARTBEAT_INTERVAL);
        assert_eq!(heartbeat_interval(1), HEARTBEAT_RANGE.0);
        assert_eq!(heartbeat_interval(5000), Duration::from_secs(5));
        assert_eq!(heartbeat_interval(u32::MAX), HEARTBEAT_RANGE.1);
    }

    #[test]
    fn the_date_of_http_is_read() {
        assert_eq!(
            parse_http_date_ms("Tue, 24 Nov 2026 04:44:00 GMT"),
            Some(1_795_495_440_000)
        );
        assert_eq!(parse_http_date_ms("yesterday"), None);
    }
}
