//! Accepts TLS connections and says who is at their other end.
//!
//! ```text
//! accept -> [place] -> first byte -> [connection slot, handshake slot] -> TLS 1.3 handshake, within its time -> tonic
//! ```
//!
//! Everything that comes is accepted at once and takes a place (`lobby.rs`), of which each origin has few. It has a short
//! time to say something; only then it takes a slot of the handshakes in progress, of which each origin has few
//! too. So peers that say nothing, or peers without number, neither take all memory nor keep others out: what finds no place
//! or no connection slot is closed at once. One key has few connections at once, and those without
//! a certificate are few and short (`connection.rs`). Sessions of TLS are never resumed: every
//! connection proves its key and has its certificate verified.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use tocsin_proto::tls;
use tocsin_proto::token::KeyPin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::ca::Facts;
use crate::clock::now_ms;
use crate::config::{Config, LimitConfig};

mod connection;
mod identity;
mod lobby;
mod origin;
mod quiet;
mod verifier;

pub(crate) use connection::{Connection, Connections};
pub(crate) use identity::ServerIdentity;
pub(crate) use origin::Origin;
pub(crate) use quiet::Quiet;

use lobby::{Lobby, Place};

/// Connections that wait for tonic to take them; it takes them at once.
const ACCEPTED_MAX: usize = 64;

/// How long nothing is accepted after the system refused, as it does when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a new connection may say nothing. A client begins its handshake as soon as it is connected.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// How often a summary of what had no log line is due.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);

/// How long a refused peer has to close its side, and how much of what it still sends is read.
const PARTING_TIMEOUT: Duration = Duration::from_secs(2);
const PARTING_BYTES_MAX: u64 = 64 << 10;

/// The other end of a connection, as the handshake has proved it. In the extensions of every request.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Number of the connection, unique in this run of the server.
    pub(crate) connection: u64,
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// Key of its certificate, where it showed one.
    pub(crate) key: Option<PeerKey>,
    /// Cancel it and the connection is gone at once.
    pub(crate) cut: CancellationToken,
}

/// A key that a peer has proved to hold, in a certificate of our CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerKey {
    /// SHA-256 of the key (SubjectPublicKeyInfo, DER).
    pub(crate) pin: KeyPin,
    /// End of the certificate.
    pub(crate) expiry_time_ms: i64,
}

impl PeerKey {
    /// The certificate has ended; its bearer is within the grace period.
    pub(crate) fn expired(&self, now_ms: i64) -> bool {
        now_ms > self.expiry_time_ms
    }
}

/// What the handshake is done with.
pub(crate) fn tls_config(
    ca: CertificateDer<'static>,
    identity: Arc<ServerIdentity>,
    config: &Config,
) -> Result<ServerConfig, rustls::Error> {
    let verifier = verifier::Verifier::new(ca, config.certificate.grace)?;
    let mut tls = ServerConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(tls::VERSIONS)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(identity);
    tls.alpn_protocols = vec![tls::ALPN.to_vec()];
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    Ok(tls)
}

/// Accepts until `stopping` is cancelled.
#[derive(Debug)]
pub(crate) struct Acceptor {
    /// Where.
    pub(crate) listener: TcpListener,
    /// How.
    pub(crate) tls: Arc<ServerConfig>,
    /// At most.
    pub(crate) limit: LimitConfig,
    /// Where they are listed.
    pub(crate) connections: Arc<Connections>,
    /// Until when.
    pub(crate) stopping: CancellationToken,
}

impl Acceptor {
    /// Starts accepting; what comes through the handshake comes out of the channel.
    pub(crate) fn start(self) -> mpsc::Receiver<Connection> {
        let (sender, receiver) = mpsc::channel(ACCEPTED_MAX);
        tokio::spawn(self.run(sender));
        receiver
    }

    async fn run(self, sender: mpsc::Sender<Connection>) {
        let shared = Shared {
            tls: TlsAcceptor::from(self.tls),
            limit: self.limit,
            connections: self.connections,
            handshakes: semaphore(self.limit.handshakes),
            slots: semaphore(self.limit.connections),
            lobby: Arc::default(),
            quiet: Arc::new(Quiet::new()),
        };
        let mut summary = tokio::time::interval(SUMMARY_INTERVAL);
        let mut number: u64 = 0;
        loop {
            let accepted = tokio::select! {
                () = self.stopping.cancelled() => return,
                _ = summary.tick() => {
                    shared.quiet.summarize(now_ms());
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            let (tcp, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            number += 1;
            // One form for an IPv4 address, however the socket listens.
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            let greeting = Greeting {
                number,
                address,
                shared: shared.clone(),
            };
            let Some(place) = shared.lobby.enter(Origin::of(address.ip()), number) else {
                greeting.fail("too many connections of this origin at once");
                continue;
            };
            let sender = sender.clone();
            tokio::spawn(async move {
                if let Some(connection) = greeting.greet(tcp, place).await {
                    // Closed only when the server stops.
                    sender.send(connection).await.ok();
                }
            });
        }
    }
}

fn semaphore(permits: u32) -> Arc<Semaphore> {
    let permits = usize::try_from(permits).unwrap_or(Semaphore::MAX_PERMITS);
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

/// Closes a connection so that the peer can read why: closing it while its bytes lie unread would reset it, and the
/// alert that was sent would be lost.
async fn part(mut tcp: TcpStream, _held: (Place, OwnedSemaphorePermit)) {
    let drained = async {
        tcp.shutdown().await?;
        tokio::io::copy(
            &mut (&mut tcp).take(PARTING_BYTES_MAX),
            &mut tokio::io::sink(),
        )
        .await
    };
    // Whatever came of it, the connection is closed now.
    tokio::time::timeout(PARTING_TIMEOUT, drained).await.ok();
}

/// What all greetings share.
#[derive(Clone)]
struct Shared {
    tls: TlsAcceptor,
    limit: LimitConfig,
    connections: Arc<Connections>,
    /// Handshakes in progress.
    handshakes: Arc<Semaphore>,
    /// Open connections.
    slots: Arc<Semaphore>,
    lobby: Arc<Lobby>,
    quiet: Arc<Quiet>,
}

/// A connection that is not one yet.
struct Greeting {
    number: u64,
    address: SocketAddr,
    shared: Shared,
}

impl Greeting {
    /// Waits until the peer speaks, then shakes hands with it.
    async fn greet(self, tcp: TcpStream, place: Place) -> Option<Connection> {
        let address = self.address;
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%address, %error, "small packets will be delayed");
        }
        // What has spoken by now is heard, even if its place is taken in the same moment.
        let mut byte = [0];
        let first = tokio::select! {
            biased;
            first = tokio::time::timeout(SILENCE_MAX, tcp.peek(&mut byte)) => first,
            () = place.leave.cancelled() => {
                self.fail("it was silent, and others of its origin came");
                return None;
            }
        };
        match first {
            Ok(Ok(1..)) => place.spoke(),
            // It closed, as a check of whether the port is open does.
            Ok(Ok(0) | Err(_)) => return None,
            Err(_) => {
                self.fail("it said nothing");
                return None;
            }
        }
        let Ok(slot) = self.shared.slots.clone().try_acquire_owned() else {
            if self.may_speak() {
                let limit = self.shared.limit.connections;
                tracing::warn!(%address, limit, "too many connections: one was closed");
            }
            return None;
        };
        let leave = place.leave.clone();
        tokio::select! {
            connection = self.shake(tcp, place, slot) => connection,
            () = leave.cancelled() => {
                self.fail("too many connections, and most of them of its origin");
                None
            }
        }
    }

    async fn shake(
        &self,
        tcp: TcpStream,
        place: Place,
        slot: OwnedSemaphorePermit,
    ) -> Option<Connection> {
        let accept = async {
            let handshakes = self.handshake_slot(&place).await;
            let accepted = self.shared.tls.accept(tcp).into_fallible().await;
            drop(handshakes);
            accepted
        };
        let tls = match tokio::time::timeout(self.shared.limit.handshake_timeout, accept).await {
            Ok(Ok(tls)) => tls,
            Ok(Err((error, tcp))) => {
                self.fail(error);
                tokio::spawn(part(tcp, (place, slot)));
                return None;
            }
            Err(_) => {
                self.fail("it took too long");
                return None;
            }
        };
        self.list(tls, slot)
    }

    /// One of the origin's handshakes, then one of all: an origin waits for itself before others wait for it.
    async fn handshake_slot(
        &self,
        place: &Place,
    ) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), AcquireError> {
        let own = place.handshakes.clone().acquire_owned().await?;
        let of_all = self.shared.handshakes.clone().acquire_owned().await?;
        Ok((own, of_all))
    }

    fn list(
        &self,
        tls: tokio_rustls::server::TlsStream<TcpStream>,
        slot: OwnedSemaphorePermit,
    ) -> Option<Connection> {
        let address = self.address;
        let certificates = tls.get_ref().1.peer_certificates();
        let key = match certificates.and_then(<[_]>::first) {
            // It was verified, so it parses; if not, nobody is let in on it.
            Some(certificate) => Some(Facts::of(certificate)?),
            None => None,
        };
        let peer = Peer {
            connection: self.number,
            address,
            key: key.map(|facts| PeerKey {
                pin: facts.pin,
                expiry_time_ms: facts.expiry_time_ms,
            }),
            cut: CancellationToken::new(),
        };
        let Some(listed) = self.shared.connections.add(&peer, now_ms()) else {
            if self.may_speak() {
                tracing::warn!(%address, "too many connections of one key, or without any: one was closed");
            }
            return None;
        };
        Some(Connection {
            tls,
            cut: Box::pin(peer.cut.clone().cancelled_owned()),
            _listed: listed,
            _slot: slot,
            peer,
        })
    }

    fn fail(&self, why: impl std::fmt::Display) {
        if self.may_speak() {
            tracing::info!(address = %self.address, %why, "a handshake failed");
        }
    }

    fn may_speak(&self) -> bool {
        self.shared.quiet.may_speak(self.address.ip(), now_ms())
    }
}
