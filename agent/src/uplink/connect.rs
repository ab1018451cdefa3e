//! A connection to the server: TCP to the first address that answers, TLS by the one policy, HTTP/2 over it.
//!
//! The connection is made here and handed to tonic ready, so that what goes wrong has a name and a cure, and so
//! that tonic never makes another one behind our back: a broken channel stays broken.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tocsin_proto::limits::{HANDSHAKE_TIMEOUT, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use tocsin_proto::tls;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use crate::address::{AddressError, ServerAddress};

/// Before the next address is tried as well (RFC 8305 recommends 250 ms).
const NEXT_ADDRESS_DELAY: Duration = Duration::from_millis(250);

/// For name lookup and TCP together.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// A connection that could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The host's name has no address, or the lookup failed.
    #[error("find an address of '{host}': check the name, and this machine's DNS")]
    Lookup {
        /// The name.
        host: String,
        /// What the system said, where it did.
        #[source]
        source: Option<std::io::Error>,
    },
    /// No address answers.
    #[error("reach {address}: check that tocsin-server runs there and that no firewall is between")]
    Tcp {
        /// The server.
        address: ServerAddress,
        /// What the last address said.
        #[source]
        source: std::io::Error,
    },
    /// The handshake failed.
    #[error("speak TLS with {address}{}", cure.map(|cure| format!(": {cure}")).unwrap_or_default())]
    Tls {
        /// The server.
        address: ServerAddress,
        /// What to do about it, where that is known.
        cure: Option<&'static str>,
        /// What rustls said.
        #[source]
        source: std::io::Error,
    },
    /// The address's host can be no certificate's name.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// HTTP/2 could not be begun.
    #[error("speak HTTP/2 with {address}")]
    Http {
        /// The server.
        address: ServerAddress,
        /// What tonic said.
        #[source]
        source: tonic::transport::Error,
    },
}

impl ConnectError {
    /// What to do about it, in one line.
    pub(crate) fn cure(&self) -> &'static str {
        match self {
            Self::Lookup { .. } => "check the name, and this machine's DNS",
            Self::Tcp { .. } => {
                "start tocsin-server there, and open its port in the firewalls between"
            }
            Self::Tls { cure, .. } => cure.unwrap_or(NOT_A_SERVER),
            Self::Address(_) => "enroll again, with --server HOST:PORT",
            Self::Http { .. } => NOT_A_SERVER,
        }
    }
}

/// Said where the other side does not behave like a server of this agent.
const NOT_A_SERVER: &str = "is this a tocsin-server, and its port?";

/// Connects up to TLS.
pub(crate) async fn connect_tls(
    address: &ServerAddress,
    config: ClientConfig,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let name = address.server_name()?;
    let tcp = connect_tcp(address).await?;
    let tls = |source: std::io::Error| ConnectError::Tls {
        address: address.clone(),
        cure: cure(&source).or_else(|| is_cut(&source).then_some(NOT_A_SERVER)),
        source,
    };
    // Small messages must not wait for more of them.
    tcp.set_nodelay(true).map_err(tls)?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    match timeout(HANDSHAKE_TIMEOUT, connecting).await {
        Ok(connected) => connected.map_err(tls),
        Err(_) => Err(tls(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Connects up to HTTP/2.
pub(crate) async fn connect(
    address: &ServerAddress,
    config: ClientConfig,
) -> Result<Channel, ConnectError> {
    let mut stream = Some(TokioIo::new(connect_tls(address, config).await?));
    let once = tower::service_fn(move |_| {
        let stream = stream
            .take()
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected));
        std::future::ready(stream)
    });
    let http = |source| ConnectError::Http {
        address: address.clone(),
        source,
    };
    // TLS is below; tonic is told of plain HTTP so that it adds none.
    Endpoint::from_shared(format!("http://{address}"))
        .map_err(http)?
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_with_connector(once)
        .await
        .map_err(http)
}

/// What is said of a connection that ended without a farewell.
const CUT: &str = "the other side cut the connection";

/// What a failed call means, for people: what the server said, or what became of the connection. The server's alert
/// about our certificate is among the latter, as it comes after our side of a TLS 1.3 handshake is done.
pub(crate) fn told(status: &tonic::Status) -> String {
    let mut cause = std::error::Error::source(status);
    let mut broken = None;
    while let Some(error) = cause {
        broken = Some(error.to_string());
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            let said = match error.kind() {
                std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => {
                    CUT.to_owned()
                }
                _ => error.to_string(),
            };
            broken = Some(cure(error).map_or(said, str::to_owned));
            break;
        }
        cause = error.source();
    }
    match broken {
        // h2 gives the words of its cause and not the cause.
        Some(broken) if broken.contains("close_notify") => CUT.to_owned(),
        Some(broken) => cure_of_alert(&broken).map_or(broken, str::to_owned),
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => status.message().to_owned(),
    }
}

/// The cure for a TLS alert of which only rustls's words are left.
fn cure_of_alert(words: &str) -> Option<&'static str> {
    use rustls::AlertDescription;
    [
        AlertDescription::CertificateExpired,
        AlertDescription::UnknownCA,
    ]
    .into_iter()
    .find(|alert| words.ends_with(&format!("{alert:?}")))
    .and_then(|alert| tls::explain(&rustls::Error::AlertReceived(alert)))
}

/// Whether the other side hung up or said nothing in the middle of the handshake.
fn is_cut(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionReset, TimedOut, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | TimedOut | UnexpectedEof)
}

fn cure(error: &std::io::Error) -> Option<&'static str> {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .and_then(tls::explain)
}

async fn connect_tcp(address: &ServerAddress) -> Result<TcpStream, ConnectError> {
    let tcp = |source| ConnectError::Tcp {
        address: address.clone(),
        source,
    };
    let connecting = async {
        let addresses = lookup(address).await?;
        first_that_answers(addresses).await.map_err(tcp)
    };
    match timeout(TCP_TIMEOUT, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(tcp(std::io::ErrorKind::TimedOut.into())),
    }
}

async fn lookup(address: &ServerAddress) -> Result<Vec<SocketAddr>, ConnectError> {
    let failed = |source| ConnectError::Lookup {
        host: address.host().to_owned(),
        source,
    };
    let found = tokio::net::lookup_host((address.host(), address.port()))
        .await
        .map_err(|error| failed(Some(error)))?;
    let addresses = alternate(found.collect());
    if addresses.is_empty() {
        return Err(failed(None));
    }
    Ok(addresses)
}

/// Both families in turn, the resolver's first choice first, so that one dead family costs one delay.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (std::collections::VecDeque<_>, std::collections::VecDeque<_>) =
        addresses
            .into_iter()
            .partition(|address| address.is_ipv6() == first_is_v6);
    let mut ordered = Vec::new();
    while !(one.is_empty() && other.is_empty()) {
        ordered.extend(one.pop_front());
        ordered.extend(other.pop_front());
    }
    ordered.truncate(ADDRESSES_MAX);
    ordered
}

/// Tries the addresses one after the other, the next as well when one has not answered for a moment.
async fn first_that_answers(addresses: Vec<SocketAddr>) -> std::io::Result<TcpStream> {
    let mut trying = JoinSet::new();
    let mut rest = addresses.into_iter();
    let mut last_error = std::io::Error::from(std::io::ErrorKind::NotConnected);
    loop {
        let more = rest
            .next()
            .map(|address| trying.spawn(TcpStream::connect(address)));
        if more.is_none() && trying.is_empty() {
            return Err(last_error);
        }
        let wait = if more.is_some() {
            NEXT_ADDRESS_DELAY
        } else {
            Duration::MAX
        };
        match timeout(wait, trying.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => last_error = error,
            Ok(Some(Err(error))) => last_error = std::io::Error::other(error),
            Ok(None) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_from_the_resolvers_first_choice() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        assert_eq!(
            alternate(addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"])),
            addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"])
        );
        assert_eq!(
            alternate(addresses(&["1.1.1.1:1", "[::1]:1"])),
            addresses(&["1.1.1.1:1", "[::1]:1"])
        );
        assert!(alternate(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_one_that_answers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = listener.local_addr().unwrap();
        // Nobody listens on port 1 of the loopback.
        let dead = SocketAddr::from(([127, 0, 0, 1], 1));
        let stream = first_that_answers(vec![dead, alive]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive);
        assert!(first_that_answers(vec![dead]).await.is_err());
        assert!(first_that_answers(Vec::new()).await.is_err());
    }

    #[test]
    fn a_failed_call_is_told_in_a_few_words() {
        use tonic::Status;
        assert_eq!(told(&Status::permission_denied("revoked")), "revoked");
        let eof = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let cut = Status::from_error(Box::new(eof));
        assert_eq!(told(&cut), "the other side cut the connection");
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA);
        let alert = std::io::Error::new(std::io::ErrorKind::InvalidData, alert);
        let refused = Status::from_error(Box::new(alert));
        assert!(
            told(&refused).contains("enroll again"),
            "{}",
            told(&refused)
        );
    }

    #[test]
    fn a_tls_failure_brings_its_cure() {
        let name = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, name);
        assert!(cure(&error).unwrap().contains("wrong server"));
        assert_eq!(cure(&std::io::Error::other("else")), None);
    }

    #[tokio::test]
    async fn a_port_that_speaks_no_tls_brings_the_question_whose_it_is() {
        use tokio::io::AsyncWriteExt as _;
        for greeting in [b"SSH-2.0-x\r\n".as_slice(), b""] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let other = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(greeting).await.unwrap();
            });
            let address: ServerAddress = format!("127.0.0.1:{port}").parse().unwrap();
            let config = tls::enrolling_client([0; 32], None).unwrap();
            let error = connect_tls(&address, config).await.unwrap_err();
            other.await.unwrap();
            assert!(error.cure().contains("tocsin-server"), "{error}");
            assert!(error.to_string().contains("is this a"), "{error}");
        }
    }
}
