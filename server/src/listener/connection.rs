//! An accepted connection, and the list of all of them by which any can be cut.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tocsin_proto::token::KeyPin;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::origin::Origin;
use super::{Peer, PeerKey};
use crate::clock::millis;

/// Connections that one key may have open: an agent has one or two, an analyst some consoles. One stolen or hostile
/// key cannot take the place of all others.
const KEY_CONNECTIONS_MAX: usize = 32;

/// Connections without a certificate at once. They are there to enroll, which takes a moment.
const NAMELESS_MAX: usize = 1024;

/// Of these, from one origin: many machines behind one address may enroll at once, but none keeps all others out.
const NAMELESS_ORIGIN_MAX: usize = 128;

/// How long a connection without a certificate stays open.
const NAMELESS_LIFETIME: Duration = Duration::from_secs(60);

/// Open connections. A connection is in it before any of its requests is heard.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    entries: HashMap<u64, Entry>,
    /// How many of them there are of whom.
    counts: HashMap<Holder, usize>,
    /// How many of them show no key.
    nameless: usize,
}

/// Who is held to a number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    Key(KeyPin),
    Nameless(Origin),
}

impl Holder {
    fn of(peer: &Peer) -> Self {
        match &peer.key {
            Some(key) => Self::Key(key.pin),
            None => Self::Nameless(Origin::of(peer.address.ip())),
        }
    }

    fn connections_max(self) -> usize {
        match self {
            Self::Key(_) => KEY_CONNECTIONS_MAX,
            Self::Nameless(_) => NAMELESS_ORIGIN_MAX,
        }
    }
}

#[derive(Debug)]
struct Entry {
    key: Option<PeerKey>,
    since_ms: i64,
    /// The certificate had ended already when it connected.
    in_grace: bool,
    cut: CancellationToken,
}

impl Connections {
    /// Cuts every connection that showed this key; how many.
    pub(crate) fn cut_key(&self, pin: &KeyPin) -> usize {
        self.cut_where(|entry| entry.key.as_ref().is_some_and(|key| key.pin == *pin))
    }

    /// Cuts what has outlived its certificate, or has none and stays: the peer connects again and is judged anew.
    pub(crate) fn cut_expired(&self, now_ms: i64, grace: Duration) -> usize {
        self.cut_where(|entry| {
            let until = match &entry.key {
                Some(key) if entry.in_grace => key.expiry_time_ms.saturating_add(millis(grace)),
                Some(key) => key.expiry_time_ms,
                None => entry.since_ms.saturating_add(millis(NAMELESS_LIFETIME)),
            };
            now_ms > until
        })
    }

    /// Cuts all of them.
    pub(crate) fn cut_all(&self) -> usize {
        self.cut_where(|_| true)
    }

    fn cut_where(&self, which: impl Fn(&Entry) -> bool) -> usize {
        let open = self.open();
        let mut count = 0;
        for entry in open.entries.values().filter(|entry| which(entry)) {
            entry.cut.cancel();
            count += 1;
        }
        count
    }

    /// Lists a connection; `None` where its key, or nobody, has as many as may be.
    pub(super) fn add(self: &Arc<Self>, peer: &Peer, now_ms: i64) -> Option<Listed> {
        let holder = Holder::of(peer);
        let is_nameless = peer.key.is_none();
        let mut open = self.open();
        if is_nameless && open.nameless >= NAMELESS_MAX {
            return None;
        }
        let count = open.counts.entry(holder).or_default();
        if *count >= holder.connections_max() {
            return None;
        }
        *count += 1;
        open.nameless += usize::from(is_nameless);
        let entry = Entry {
            key: peer.key.clone(),
            since_ms: now_ms,
            in_grace: peer.key.as_ref().is_some_and(|key| key.expired(now_ms)),
            cut: peer.cut.clone(),
        };
        open.entries.insert(peer.connection, entry);
        Some(Listed {
            connections: self.clone(),
            connection: peer.connection,
            holder,
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a connection off the list when it is dropped.
#[derive(Debug)]
pub(super) struct Listed {
    connections: Arc<Connections>,
    connection: u64,
    holder: Holder,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.entries.remove(&self.connection);
        if let Some(count) = open.counts.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                open.counts.remove(&self.holder);
            }
        }
        open.nameless -= usize::from(matches!(self.holder, Holder::Nameless(_)));
    }
}

/// A connection after its handshake. Once it is cut, reading and writing fail.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) tls: TlsStream<TcpStream>,
    pub(super) cut: Pin<Box<WaitForCancellationFutureOwned>>,
    pub(super) peer: Peer,
    pub(super) _listed: Listed,
    pub(super) _slot: OwnedSemaphorePermit,
}

impl Connection {
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.tls).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.tls).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        ready!(Pin::new(&mut self.tls).poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.tls).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(connection: u64, pin: u8, expiry_time_ms: i64) -> Peer {
        Peer {
            connection,
            address: ([127, 0, 0, 1], 1).into(),
            key: Some(PeerKey {
                pin: [pin; 32],
                expiry_time_ms,
            }),
            cut: CancellationToken::new(),
        }
    }

    #[test]
    fn only_the_connections_of_a_key_are_cut() {
        let connections = Arc::new(Connections::default());
        let (a, b) = (peer(1, 1, 100), peer(2, 2, 100));
        let _listed = (connections.add(&a, 0), connections.add(&b, 0));
        assert_eq!(connections.cut_key(&[1; 32]), 1);
        assert!(a.cut.is_cancelled() && !b.cut.is_cancelled());
    }

    #[test]
    fn a_connection_does_not_outlive_its_certificate() {
        let connections = Arc::new(Connections::default());
        let (valid, in_grace) = (peer(1, 1, 100), peer(2, 2, 40));
        let _listed = (connections.add(&valid, 50), connections.add(&in_grace, 50));
        let grace = Duration::from_millis(100);
        assert_eq!(connections.cut_expired(100, grace), 0);
        assert_eq!(connections.cut_expired(101, grace), 1);
        assert!(valid.cut.is_cancelled() && !in_grace.cut.is_cancelled());
        assert_eq!(connections.cut_expired(141, grace), 2);
    }

    #[test]
    fn a_dropped_connection_leaves_the_list() {
        let connections = Arc::new(Connections::default());
        drop(connections.add(&peer(1, 1, 100), 0));
        assert_eq!(connections.cut_all(), 0);
        assert!(connections.open().counts.is_empty());
    }

    #[test]
    fn one_key_does_not_take_the_place_of_others() {
        let connections = Arc::new(Connections::default());
        let add = |number: usize, pin| connections.add(&peer(number as u64, pin, 100), 0);
        let listed: Vec<_> = (0..KEY_CONNECTIONS_MAX).map(|n| add(n, 1)).collect();
        assert!(listed.iter().all(Option::is_some));
        assert!(add(1000, 1).is_none());
        assert!(add(1001, 2).is_some());
        drop(listed);
        assert!(add(1002, 1).is_some());
    }

    #[test]
    fn whoever_has_no_certificate_is_one_of_few_and_does_not_stay() {
        let connections = Arc::new(Connections::default());
        let nameless = |connection: u64, origin: usize| Peer {
            key: None,
            address: ([198, 51, 100, u8::try_from(origin).unwrap()], 1).into(),
            ..peer(connection, 0, 0)
        };
        let add = |number: usize, origin| connections.add(&nameless(number as u64, origin), 0);
        let first: Vec<_> = (0..NAMELESS_ORIGIN_MAX).map(|n| add(n, 0)).collect();
        assert!(first.iter().all(Option::is_some));
        assert!(add(10_000, 0).is_none(), "one origin has its share");
        let rest = NAMELESS_ORIGIN_MAX..NAMELESS_MAX;
        let others: Vec<_> = rest.map(|n| add(n, n / NAMELESS_ORIGIN_MAX)).collect();
        assert!(others.iter().all(Option::is_some), "others have theirs");
        assert!(add(10_001, 200).is_none(), "all together have no more");
        assert_eq!(connections.cut_expired(60_000, Duration::ZERO), 0);
        assert_eq!(
            connections.cut_expired(60_001, Duration::ZERO),
            NAMELESS_MAX
        );
        drop(first);
        assert!(add(10_002, 0).is_some());
        drop(others);
        assert!(connections.open().counts.is_empty());
        assert_eq!(connections.open().nameless, 0);
    }
}
