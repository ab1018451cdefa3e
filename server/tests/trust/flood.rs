//! Peers whom nobody knows, in great number: they do not keep others out.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::client::Client;
use crate::server::Server;

/// An analyst whose machine answers is served within it.
const SOON: Duration = Duration::from_secs(2);

/// More than the server does handshakes at once, and more than one origin has places.
const MANY: usize = 400;

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

async fn connect(server: &Server, spoken: &[u8]) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..MANY {
        let stream = TcpStream::connect((HERE, server.port())).await.unwrap();
        stream.try_write(spoken).ok();
        streams.push(stream);
    }
    streams
}

async fn served(client: Client) -> bool {
    let served = tokio::time::timeout(SOON, client.handshake()).await;
    matches!(served, Ok(Ok(())))
}

#[tokio::test]
async fn peers_that_say_nothing_keep_nobody_out() {
    let server = Server::start();
    let silent = connect(&server, b"").await;
    assert!(served(server.admin().from(ELSEWHERE)).await);
    assert!(
        served(server.admin().from(HERE)).await,
        "who speaks at once"
    );
    drop(silent);
}

#[tokio::test]
async fn peers_that_begin_and_do_not_go_on_keep_no_other_address_out() {
    let server = Server::start();
    // The first byte of a TLS record.
    let stuck = connect(&server, &[22]).await;
    assert!(served(server.admin().from(ELSEWHERE)).await);
    drop(stuck);
}

#[tokio::test]
async fn a_silent_peer_is_let_go_soon() {
    use tokio::io::AsyncReadExt;
    let server = Server::start();
    let mut silent = TcpStream::connect((HERE, server.port())).await.unwrap();
    let closed = tokio::time::timeout(2 * SOON, silent.read(&mut [0])).await;
    assert_eq!(closed.unwrap().unwrap_or(0), 0);
}
