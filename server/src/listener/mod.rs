//! Accepts TLS connections and says who is at their other end.

use std::net::SocketAddr;

use tocsin_proto::token::KeyPin;
use tokio_util::sync::CancellationToken;

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
