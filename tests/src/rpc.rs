//! Connections over the real protocol, as somebody who is not one of the three programs.
//!
//! TLS is the contract's own ([`tocsin_proto::tls`]); nothing is shared with the programs but `proto`.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Task, Poll};

use anyhow::{Context, Result};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tocsin_proto::console::v1::console_service_client::ConsoleServiceClient;
use tocsin_proto::limits::MESSAGE_BYTES_MAX;
use tocsin_proto::profile::{Profile, split_address};
use tocsin_proto::tls::{self, ClientIdentity};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// An analyst's calls.
pub type Analyst = ConsoleServiceClient<Channel>;

/// Bytes on the wire, TLS and all, of every connection that was given it.
#[derive(Debug, Default)]
pub struct WireCount {
    sent: AtomicU64,
    received: AtomicU64,
}

impl WireCount {
    /// Bytes sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes received.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// A TLS connection to `HOST:PORT`, its handshake done on this side.
///
/// # Errors
/// Where the server is not reached or refuses.
pub async fn handshake(
    address: &str,
    config: Arc<ClientConfig>,
    count: Arc<WireCount>,
) -> Result<TlsStream<Counted>> {
    let (host, _) = split_address(address).context("address is not HOST:PORT")?;
    let name = ServerName::try_from(host.to_owned())?;
    let tcp = TcpStream::connect(address)
        .await
        .with_context(|| format!("connect to {address}"))?;
    tcp.set_nodelay(true)?;
    let counted = Counted { tcp, count };
    let connector = TlsConnector::from(config);
    connector
        .connect(name, counted)
        .await
        .context("TLS handshake")
}

/// A channel over one TLS connection to `HOST:PORT`.
///
/// # Errors
/// Where the server is not reached or refuses.
pub async fn connect(
    address: &str,
    config: Arc<ClientConfig>,
    count: Arc<WireCount>,
) -> Result<Channel> {
    let address = address.to_owned();
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let connector = tower::service_fn(move |_: Uri| {
        let (address, config, count) = (address.clone(), config.clone(), count.clone());
        async move {
            match handshake(&address, config, count).await {
                Ok(stream) => Ok(TokioIo::new(stream)),
                // The chain as text: what it is made of does not pass through the transport.
                Err(error) => Err(io::Error::other(format!("{error:#}"))),
            }
        }
    });
    Ok(endpoint.connect_with_connector(connector).await?)
}

/// Calls as the analyst of a profile.
///
/// # Errors
/// Where the profile cannot be used or the server is not reached.
pub async fn analyst(profile: &Path) -> Result<Analyst> {
    let text =
        std::fs::read_to_string(profile).with_context(|| format!("read {}", profile.display()))?;
    let profile = Profile::from_toml(&text)?;
    let ca = CertificateDer::from_pem_slice(profile.ca_certificate.as_bytes())?;
    let chain = CertificateDer::pem_slice_iter(profile.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(profile.private_key.as_bytes())?;
    let config = tls::client(ca, ClientIdentity { chain, key })?;
    let address = profile
        .servers
        .first()
        .context("the profile names no server")?;
    let channel = connect(address, Arc::new(config), Arc::default()).await?;
    Ok(Analyst::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// A connection whose bytes are counted.
#[derive(Debug)]
pub struct Counted {
    tcp: TcpStream,
    count: Arc<WireCount>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(task, buffer);
        let read = buffer.filled().len().saturating_sub(before);
        self.count
            .received
            .fetch_add(read as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write(task, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.count
                .sent
                .fetch_add(*written as u64, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(task)
    }
}
