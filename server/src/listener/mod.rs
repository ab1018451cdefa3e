//! Accepts TLS connections and says who is at their other end.
//!
//! ```text
//! accept -> [handshake slot] -> TLS 1.3 handshake, within its time -> [connection slot] -> tonic
//! ```
//!
//! A handshake in progress and an open connection each hold a slot, so that neither peers that say nothing
//! nor peers without number take all memory: without a handshake slot connections wait in the kernel's
//! queue, without a connection slot they are closed at once. One key has few connections at once, and those without
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::ca::Facts;
use crate::clock::now_ms;
use crate::config::{Config, LimitConfig};

mod connection;
mod identity;
mod verifier;

pub(crate) use connection::{Connection, Connections};
pub(crate) use identity::ServerIdentity;

/// Connections that wait for tonic to take them; it takes them at once.
const ACCEPTED_MAX: usize = 64;

/// How long nothing is accepted after the system refused, as it does when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
        let handshakes = semaphore(self.limit.handshakes);
        let slots = semaphore(self.limit.connections);
        let tls = TlsAcceptor::from(self.tls.clone());
        let mut number: u64 = 0;
        loop {
            let next = async {
                let handshake = handshakes.clone().acquire_owned().await.ok()?;
                Some((handshake, self.listener.accept().await))
            };
            let (handshake, accepted) = tokio::select! {
                () = self.stopping.cancelled() => return,
                next = next => match next {
                    Some(next) => next,
                    None => return,
                },
            };
            let (tcp, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(slot) = slots.clone().try_acquire_owned() else {
                tracing::warn!(%address, limit = self.limit.connections, "too many connections: one was closed");
                continue;
            };
            number += 1;
            // One form for an IPv4 address, however the socket listens.
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            let greeting = Greeting {
                number,
                address,
                tls: tls.clone(),
                timeout: self.limit.handshake_timeout,
                connections: self.connections.clone(),
                slot,
            };
            let sender = sender.clone();
            tokio::spawn(async move {
                let connection = greeting.shake(tcp).await;
                drop(handshake);
                if let Some(connection) = connection {
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
async fn part(mut tcp: TcpStream, _slot: OwnedSemaphorePermit) {
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

/// A connection that is not one yet.
struct Greeting {
    number: u64,
    address: SocketAddr,
    tls: TlsAcceptor,
    timeout: Duration,
    connections: Arc<Connections>,
    slot: OwnedSemaphorePermit,
}

impl Greeting {
    async fn shake(self, tcp: TcpStream) -> Option<Connection> {
        let address = self.address;
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%address, %error, "small packets will be delayed");
        }
        let accept = self.tls.accept(tcp).into_fallible();
        let tls = match tokio::time::timeout(self.timeout, accept).await {
            Ok(Ok(tls)) => tls,
            Ok(Err((error, tcp))) => {
                tracing::info!(%address, %error, "a handshake failed");
                tokio::spawn(part(tcp, self.slot));
                return None;
            }
            Err(_) => {
                tracing::info!(%address, "a handshake took too long");
                return None;
            }
        };
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
        let Some(listed) = self.connections.add(&peer, now_ms()) else {
            tracing::warn!(%address, "too many connections of one key, or without any: one was closed");
            return None;
        };
        Some(Connection {
            tls,
            cut: Box::pin(peer.cut.clone().cancelled_owned()),
            _listed: listed,
            _slot: self.slot,
            peer,
        })
    }
}
