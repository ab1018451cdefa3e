//! Where a provider is, and the way there: TCP or a proxy's tunnel, then TLS.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::HttpError;
use super::proxy::Proxy;

/// Bytes of an address with its path.
const URL_BYTES_MAX: usize = 8 << 10;

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// TLS, or plain to a loopback address.
    pub(crate) is_tls: bool,
    /// Name or address, without brackets.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
}

impl Origin {
    /// Of an address, with the path and query behind it.
    ///
    /// # Errors
    /// Where it is not one to ask: anything but HTTPS, and plain HTTP to a loopback address.
    pub(crate) fn of(url: &str) -> Result<(Self, String), HttpError> {
        let wrong = |why| HttpError::Url {
            url: url.chars().take(200).collect(),
            why,
        };
        if url.len() > URL_BYTES_MAX {
            return Err(wrong("is too long"));
        }
        let uri: Uri = url.parse().map_err(|_| wrong("is not an address"))?;
        let authority = uri
            .authority()
            .ok_or_else(|| wrong("has no host: https://HOST"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("names an account: give secrets by --secret-file"));
        }
        let host = authority
            .host()
            .trim_matches(['[', ']'])
            .to_ascii_lowercase();
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_loopback(&host) => false,
            _ => return Err(wrong("is not https")),
        };
        let origin = Self {
            is_tls,
            port: authority
                .port_u16()
                .unwrap_or(if is_tls { 443 } else { 80 }),
            host,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok((origin, path.to_owned()))
    }

    /// As it stands in addresses: without a path, the usual port left out.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// Host, and the port where it is not the usual one.
    pub(crate) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.is_tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// A loopback address, not a name: what a name is, others decide.
fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A way to the provider, ready for HTTP.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Opens it.
pub(super) async fn open(
    origin: &Origin,
    proxy: Option<&Proxy>,
    tls: &TlsConnector,
) -> Result<Stream, HttpError> {
    let wrap = |source| HttpError::Connect {
        host: origin.host.clone(),
        source,
    };
    let tcp = match proxy.filter(|proxy| origin.is_tls && proxy.is_for(&origin.host)) {
        Some(proxy) => proxy.tunnel(origin).await?,
        None => TcpStream::connect((origin.host.as_str(), origin.port))
            .await
            .map_err(wrap)?,
    };
    // One question, one answer: nothing to be gained from waiting.
    tcp.set_nodelay(true).map_err(wrap)?;
    if !origin.is_tls {
        return Ok(Stream::Plain(tcp));
    }
    let name = ServerName::try_from(origin.host.clone())
        .map_err(|_| wrap(io::Error::from(io::ErrorKind::InvalidInput)))?;
    let stream = tls.connect(name, tcp).await.map_err(wrap)?;
    Ok(Stream::Tls(Box::new(stream)))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Result<String, String> {
        let of = Origin::of(url).map_err(|error| error.to_string())?;
        Ok(format!("{} {} {}", of.0.url(), of.0.port, of.1))
    }

    #[test]
    fn only_https_is_asked_and_plain_http_on_this_machine() {
        for (url, expected) in [
            ("https://Example.okta.com", "https://example.okta.com 443 /"),
            (
                "https://example.okta.com:8443/a?b=%20",
                "https://example.okta.com:8443 8443 /a?b=%20",
            ),
            ("https://[2001:db8::1]/x", "https://[2001:db8::1] 443 /x"),
            ("http://127.0.0.1:20001/", "http://127.0.0.1:20001 20001 /"),
            ("http://[::1]", "http://[::1] 80 /"),
        ] {
            assert_eq!(origin(url).unwrap(), expected);
        }
        for url in [
            "http://example.okta.com",
            "http://localhost/",
            "http://127.0.0.1.example/",
            "ftp://127.0.0.1/",
            "example.okta.com",
            "/api",
            "https://dana:secret@example.okta.com",
            "https://exa mple",
            "",
        ] {
            assert!(origin(url).is_err(), "{url}");
        }
    }
}
