//! From a profile to a channel: addresses in order, TCP, TLS, HTTP/2.
//!
//! Every attempt to connect is bounded in time. In TLS 1.3 a client has finished the handshake before the
//! server has looked at its certificate, and a refusal may be lost where the client writes on meanwhile. So
//! a connection counts as open when the server has spoken: with HTTP/2 it always speaks first.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use tocsin_proto::limits::{HANDSHAKE_TIMEOUT, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use tocsin_proto::profile::{Profile, split_address};
use tocsin_proto::tls::{self, ClientIdentity};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// A server that does not accept a TCP connection in this time is passed over.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that may be on their way in one stream: fills a link of 100 Mbit/s at 80 ms.
const WINDOW_BYTES: u32 = 1 << 20;

/// Bytes that are read before a connection counts as open; HTTP/2 begins with a few dozen.
const FIRST_BYTES_MAX: usize = 1024;

/// A profile's content that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileContentError {
    /// Not PEM of that kind.
    #[error("profile's {field} is not what it should be")]
    Pem {
        /// Which.
        field: &'static str,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key cannot be used together, or not at all.
    #[error("profile's certificates and key cannot be used")]
    Tls(#[source] rustls::Error),
    /// Neither a name nor an address of a host.
    #[error("profile's server '{address}' is not a host name or address")]
    Host {
        /// What it says.
        address: String,
        /// Why.
        #[source]
        source: InvalidDnsNameError,
    },
    /// It names no server.
    #[error("profile names no server")]
    Empty,
}

/// A server that cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// No TCP connection.
    #[error("reach the server at {address}")]
    Tcp {
        /// `HOST:PORT`.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Silence.
    #[error("reach the server at {address}: no answer in {} s", after.as_secs())]
    Silent {
        /// `HOST:PORT`.
        address: String,
        /// For how long.
        after: Duration,
    },
    /// Something answers, but not as our server.
    #[error("agree on TLS with the server at {address}")]
    Tls {
        /// `HOST:PORT`.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ConnectError {
    /// What TLS said, where that was it.
    pub(crate) fn tls(&self) -> Option<&rustls::Error> {
        match self {
            Self::Tls { source, .. } => tls_error(source),
            Self::Tcp { .. } | Self::Silent { .. } => None,
        }
    }
}

/// The TLS error in an I/O error.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// One server of the profile.
#[derive(Debug, Clone)]
struct Address {
    text: String,
    host: String,
    port: u16,
    name: ServerName<'static>,
}

impl Address {
    fn parse(text: &str) -> Result<Self, ProfileContentError> {
        let (host, port) = split_address(text).ok_or(ProfileContentError::Empty)?;
        let name =
            ServerName::try_from(host.to_owned()).map_err(|source| ProfileContentError::Host {
                address: text.to_owned(),
                source,
            })?;
        Ok(Self {
            text: text.to_owned(),
            host: host.to_owned(),
            port,
            name,
        })
    }
}

/// Opens connections: the first server that answers is used.
#[derive(Clone)]
pub(crate) struct Connector {
    addresses: Arc<[Address]>,
    tls: TlsConnector,
}

impl Connector {
    /// # Errors
    /// Where the profile holds what cannot be used.
    pub(crate) fn new(profile: &Profile) -> Result<Self, ProfileContentError> {
        let pem = |field| move |source| ProfileContentError::Pem { field, source };
        let certificate =
            |field, text: &str| CertificateDer::from_pem_slice(text.as_bytes()).map_err(pem(field));
        let ca = certificate("CA certificate", &profile.ca_certificate)?;
        let identity = ClientIdentity {
            chain: vec![certificate("certificate", &profile.certificate)?],
            key: PrivateKeyDer::from_pem_slice(profile.private_key.as_bytes())
                .map_err(pem("private key"))?,
        };
        let config = tls::client(ca, identity).map_err(ProfileContentError::Tls)?;
        let addresses: Arc<[Address]> = profile
            .servers
            .iter()
            .map(|text| Address::parse(text))
            .collect::<Result<_, _>>()?;
        if addresses.is_empty() {
            return Err(ProfileContentError::Empty);
        }
        Ok(Self {
            addresses,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// The server as errors name it.
    pub(crate) fn server(&self) -> String {
        let mut all = self.addresses.iter().map(|address| address.text.as_str());
        let first = all.next().unwrap_or_default();
        match all.count() {
            0 => first.to_owned(),
            more => format!("{first} or {more} more"),
        }
    }

    /// Opens a connection to the first server that answers.
    ///
    /// # Errors
    /// Of all that failed, the first: operators list the one they expect to answer first.
    pub(crate) async fn open(&self) -> Result<Connection, ConnectError> {
        let mut first_error = None;
        for address in self.addresses.iter() {
            match self.open_one(address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or(ConnectError::Silent {
            address: String::new(),
            after: Duration::ZERO,
        }))
    }

    async fn open_one(&self, address: &Address) -> Result<Connection, ConnectError> {
        let silent = |after| ConnectError::Silent {
            address: address.text.clone(),
            after,
        };
        let tcp = TcpStream::connect((address.host.as_str(), address.port));
        let tcp = tokio::time::timeout(TCP_TIMEOUT, tcp)
            .await
            .map_err(|_elapsed| silent(TCP_TIMEOUT))?
            .and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp))
            .map_err(|source| ConnectError::Tcp {
                address: address.text.clone(),
                source,
            })?;
        tokio::time::timeout(HANDSHAKE_TIMEOUT, self.agree(address, tcp))
            .await
            .map_err(|_elapsed| silent(HANDSHAKE_TIMEOUT))?
            .map_err(|source| ConnectError::Tls {
                address: address.text.clone(),
                source,
            })
    }

    /// TLS, until the server has accepted this client.
    async fn agree(&self, address: &Address, tcp: TcpStream) -> io::Result<Connection> {
        let mut stream = self.tls.connect(address.name.clone(), tcp).await?;
        let mut first = vec![0; FIRST_BYTES_MAX];
        let n = stream.read(&mut first).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        first.truncate(n);
        Ok(Connection {
            first: io::Cursor::new(first),
            stream,
        })
    }

    /// A channel that uses this connection first and opens another whenever it has none.
    ///
    /// # Errors
    /// Where a server's address cannot stand in a request.
    pub(crate) fn channel(&self, first: Connection) -> Result<Channel, tonic::transport::Error> {
        // Only the `:authority` of requests; where to connect to, the connector alone decides.
        let authority = self.addresses.first().map(|address| &address.text);
        let authority = authority.map_or("localhost", String::as_str);
        let endpoint = Endpoint::from_shared(format!("http://{authority}"))?
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        let connector = self.clone();
        let first = Arc::new(Mutex::new(Some(first)));
        let connect = tower::service_fn(move |_uri| {
            let connector = connector.clone();
            let ready = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            async move {
                match ready {
                    Some(connection) => Ok(TokioIo::new(connection)),
                    None => connector.open().await.map(TokioIo::new),
                }
            }
        });
        Ok(endpoint.connect_with_connector_lazy(connect))
    }
}

/// A TLS connection on which the server has spoken.
pub(crate) struct Connection {
    /// What it said, to be read first.
    first: io::Cursor<Vec<u8>>,
    stream: TlsStream<TcpStream>,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buf.filled().len();
        ready!(Pin::new(&mut self.first).poll_read(cx, buf))?;
        if buf.filled().len() > filled {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(servers: &[&str]) -> Profile {
        Profile {
            version: 1,
            name: "dana".into(),
            role: "viewer".into(),
            servers: servers.iter().map(|&server| server.to_owned()).collect(),
            ca_certificate: "no".into(),
            certificate: "no".into(),
            private_key: "no".into(),
        }
    }

    #[test]
    fn addresses_of_every_kind_are_understood() {
        for good in [
            "host:1",
            "a.example.com:443",
            "127.0.0.1:7443",
            "[::1]:7443",
        ] {
            let address = Address::parse(good).unwrap();
            assert!(!address.host.contains('['), "{good}");
        }
        for bad in ["a b:1", "host", "-:1", "\u{1b}:1"] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_profile_without_certificates_says_which_is_bad() {
        let error = Connector::new(&profile(&["a:1"]))
            .err()
            .unwrap()
            .to_string();
        assert_eq!(error, "profile's CA certificate is not what it should be");
    }
}
