//! Outgoing HTTP: questions to identity providers, and nothing else.
//!
//! ```text
//! Ask -> connect (proxy, TLS) -> HTTP/1.1 -> Reply, whole and no larger than BODY_BYTES_MAX
//! ```
//!
//! One question at a time, over one connection that is kept while its origin stays the same. TLS always, 1.2 or 1.3, with
//! the name checked, against the system's authorities or those that the connection brings; plain HTTP to loopback addresses
//! only. No redirect is followed: a secret goes where it was told to and nowhere else. Everything has its time: a
//! connection [`CONNECT_TIMEOUT`], a whole answer [`REPLY_TIMEOUT`].

mod connect;
mod proxy;
mod trust;

use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio_rustls::TlsConnector;

pub(crate) use self::connect::Origin;
use self::proxy::Proxy;
use crate::feed::live::{Ask, Reply};

/// Name, TCP, proxy and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// From the question to the last byte of the answer. Okta gives itself 30 seconds for a page.
const REPLY_TIMEOUT: Duration = Duration::from_secs(90);

/// Bytes of an answer. A thousand of the largest records that were seen are a fifth of it.
const BODY_BYTES_MAX: usize = 32 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// An address that is not to be asked.
    #[error("'{url}' {why}")]
    Url {
        /// Which.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Authorities that cannot be used.
    #[error("{0}")]
    Trust(&'static str),
    /// TLS cannot be set up.
    #[error("prepare TLS")]
    Tls(#[from] rustls::Error),
    /// Nobody is reached there.
    #[error("connect to {host}")]
    Connect {
        /// Where.
        host: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The proxy does not let us through.
    #[error("the proxy {proxy} {why}")]
    Proxy {
        /// Which, without its password.
        proxy: String,
        /// What it said.
        why: String,
    },
    /// It took too long.
    #[error("{host} has not answered in {} seconds", after.as_secs())]
    Silent {
        /// Who.
        host: String,
        /// In which time.
        after: Duration,
    },
    /// The answer does not end.
    #[error("the answer is larger than {} MiB", BODY_BYTES_MAX >> 20)]
    TooLarge,
    /// The connection broke, or it was no HTTP.
    #[error("the connection to {host} broke")]
    Broken {
        /// Who.
        host: String,
        /// How.
        #[source]
        source: hyper::Error,
    },
}

/// Asks one provider.
pub(crate) struct Client {
    tls: TlsConnector,
    proxy: Option<Proxy>,
    open: Option<Open>,
}

/// A connection that is kept.
struct Open {
    origin: Origin,
    sender: SendRequest<Full<Bytes>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// One that trusts these authorities (PEM), or the system's where there are none. The proxy is the one of
    /// `HTTPS_PROXY`, for hosts that `NO_PROXY` does not except.
    ///
    /// # Errors
    /// Where authorities or proxy cannot be used.
    pub(crate) fn new(ca_pem: &str) -> Result<Self, HttpError> {
        Ok(Self {
            tls: trust::connector(ca_pem)?,
            proxy: Proxy::from_environment()?,
            open: None,
        })
    }

    /// Asks, and reads the whole answer. A kept connection that was closed meanwhile is opened anew once.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn send(&mut self, ask: &Ask) -> Result<Reply, HttpError> {
        let (origin, path) = Origin::of(&ask.url)?;
        let kept = self.open.take().filter(|open| open.origin == origin);
        if let Some(mut open) = kept
            && open.sender.ready().await.is_ok()
        {
            match self.exchange(open, ask, &path).await {
                // It may have been closed the moment before: all we ask can be asked twice.
                Err(HttpError::Broken { .. }) => {}
                answer => return answer,
            }
        }
        let open = self.connect(origin).await?;
        self.exchange(open, ask, &path).await
    }

    async fn connect(&self, origin: Origin) -> Result<Open, HttpError> {
        let work = async {
            let stream = connect::open(&origin, self.proxy.as_ref(), &self.tls).await?;
            let done = handshake(TokioIo::new(stream)).await;
            done.map_err(|source| broken(&origin, source))
        };
        let (sender, connection) = within(CONNECT_TIMEOUT, &origin, work).await?;
        let host = origin.host.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(host, %error, "a connection to a provider has ended");
            }
        });
        Ok(Open { origin, sender })
    }

    async fn exchange(
        &mut self,
        mut open: Open,
        ask: &Ask,
        path: &str,
    ) -> Result<Reply, HttpError> {
        let request = request(ask, path, &open.origin)?;
        let work = async {
            let sent = open.sender.send_request(request).await;
            let response = sent.map_err(|source| broken(&open.origin, source))?;
            reply(response, &open.origin).await
        };
        let reply = within(REPLY_TIMEOUT, &open.origin, work).await?;
        self.open = Some(open);
        Ok(reply)
    }
}

fn broken(origin: &Origin, source: hyper::Error) -> HttpError {
    HttpError::Broken {
        host: origin.host.clone(),
        source,
    }
}

async fn within<T>(
    after: Duration,
    origin: &Origin,
    work: impl Future<Output = Result<T, HttpError>>,
) -> Result<T, HttpError> {
    let done = tokio::time::timeout(after, work).await;
    done.unwrap_or_else(|_| {
        Err(HttpError::Silent {
            host: origin.host.clone(),
            after,
        })
    })
}

fn request(ask: &Ask, path: &str, origin: &Origin) -> Result<Request<Full<Bytes>>, HttpError> {
    let wrong = || HttpError::Url {
        url: origin.host.clone(),
        why: "cannot be asked that",
    };
    let uri: Uri = path.parse().map_err(|_| wrong())?;
    let method = match ask.form {
        Some(_) => Method::POST,
        None => Method::GET,
    };
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header(HOST, origin.authority())
        .header(
            USER_AGENT,
            concat!("tocsin-server/", env!("CARGO_PKG_VERSION")),
        );
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    if ask.form.is_some() {
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let form = ask.form.clone().unwrap_or_default();
    request.body(Full::new(form.into())).map_err(|_| wrong())
}

async fn reply(response: Response<Incoming>, origin: &Origin) -> Result<Reply, HttpError> {
    let (head, body) = response.into_parts();
    let headers = head.headers.iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    let headers = headers.collect();
    let read = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = read.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return HttpError::TooLarge;
        }
        match error.downcast::<hyper::Error>() {
            Ok(source) => broken(origin, *source),
            Err(_) => HttpError::TooLarge,
        }
    })?;
    Ok(Reply {
        status: head.status.as_u16(),
        headers,
        body: body.to_bytes().into(),
    })
}

#[cfg(test)]
mod tests;
