//! A way between agent and server that counts what goes through it, TLS and all.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};

/// Ports that are tried.
const PORTS: std::ops::Range<u16> = 19_000..20_000;

/// The way. Its threads end with this program.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    count: Arc<Count>,
}

#[derive(Debug, Default)]
struct Count {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Proxy {
    /// Opens it.
    pub(crate) fn to(server: SocketAddr) -> Result<Self> {
        let listener = PORTS
            .into_iter()
            .find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
            .context("find a free port")?;
        let address = listener.local_addr()?;
        let count = Arc::new(Count::default());
        let shared = Arc::clone(&count);
        std::thread::spawn(move || {
            for agent in listener.incoming().flatten() {
                // Whoever is refused tries again.
                let _joined = join(&agent, server, &shared);
            }
        });
        Ok(Self { address, count })
    }

    /// Where the agent finds the server.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes from the agent, and to it.
    pub(crate) fn counted(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.count.sent), read(&self.count.received))
    }
}

fn join(agent: &TcpStream, server: SocketAddr, count: &Arc<Count>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    for stream in [agent, &server] {
        stream.set_nodelay(true)?;
    }
    let (there, back) = (Arc::clone(count), Arc::clone(count));
    let (from, to) = (agent.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || copy(from, to, &there.sent));
    let (from, to) = (server, agent.try_clone()?);
    std::thread::spawn(move || copy(from, to, &back.received));
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = [0; 32 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        count.fetch_add(length as u64, Ordering::Relaxed);
        if to
            .write_all(buffer.get(..length).unwrap_or_default())
            .is_err()
        {
            break;
        }
    }
    // Either may be closed already.
    let _closed = to.shutdown(Shutdown::Write);
    let _closed = from.shutdown(Shutdown::Read);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_through_is_counted() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::to(server.local_addr().unwrap()).unwrap();
        let mut agent = TcpStream::connect(proxy.address()).unwrap();
        agent.write_all(b"hello").unwrap();
        let (mut end, _) = server.accept().unwrap();
        let mut said = [0; 5];
        end.read_exact(&mut said).unwrap();
        end.write_all(b"yes").unwrap();
        let mut said = [0; 3];
        agent.read_exact(&mut said).unwrap();
        assert_eq!(proxy.counted(), (5, 3));
    }
}
