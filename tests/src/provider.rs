//! Stand-ins for the interfaces of identity providers: real TLS, real HTTP, the documented protocol to the letter, and the
//! misbehaviour that those show.
//!
//! ```text
//! Provider   listens on 127.0.0.1 with a certificate of its own authority
//!   Api      what it speaks (okta.rs, ...): a request in, an answer out
//!   Fault    what happens to an answer on its way: limit, error, cut, late
//! ```

pub mod okta;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::sandbox::Sandbox;

/// Ports that no kernel gives away by itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A request, as far as an interface looks at it.
#[derive(Debug, Clone)]
pub struct Question {
    /// Method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Decoded query, in its order.
    pub query: Vec<(String, String)>,
    /// The query as it came.
    pub raw_query: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What was posted.
    pub body: String,
}

impl Question {
    /// A value of the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        value(&self.query, name)
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name)
    }
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut pairs = pairs.iter();
    pairs.find(|(key, _)| key == name).map(|(_, v)| v.as_str())
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

/// What an answer suffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The limit is reached, for a second.
    Limited,
    /// 503 with a page for people.
    Down,
    /// JSON that ends in the middle, in an answer that is whole by its length.
    Truncated,
    /// The connection ends in the middle of the body.
    Cut,
    /// The connection ends before there is an answer, in the middle of a TLS record.
    Gone,
    /// It takes its time.
    Late,
    /// Rows that were sent before come again, and all in another order.
    Repeated,
    /// The place is not known any more.
    Forgotten,
}

impl Fault {
    /// Every one.
    pub const ALL: &'static [Self] = &[
        Self::Limited,
        Self::Cut,
        Self::Repeated,
        Self::Down,
        Self::Truncated,
        Self::Late,
        Self::Gone,
        Self::Forgotten,
    ];
}

/// What a stand-in speaks.
pub trait Api: Send + 'static {
    /// Answers; `fault` is what the interface itself does wrong, where it is one of its own.
    fn answer(&mut self, question: &Question, fault: Option<Fault>) -> Answer;
}

/// A stand-in.
#[derive(Debug)]
pub struct Provider<A> {
    address: SocketAddr,
    ca_file: PathBuf,
    shared: Arc<Mutex<Shared<A>>>,
    _runtime: tokio::runtime::Runtime,
}

/// What the connections of a stand-in share.
#[derive(Debug)]
pub struct Shared<A> {
    /// What it speaks.
    pub api: A,
    /// Requests so far.
    pub requests: u64,
    /// Each request whose number is a multiple of it goes wrong, in turn by every [`Fault`]; 0 = none does.
    pub fault_every: u64,
    /// How often each went wrong.
    pub faults: Vec<Fault>,
}

impl<A: Api> Provider<A> {
    /// One that listens on loopback.
    ///
    /// # Errors
    /// Where no port is free, or its certificate cannot be made.
    pub fn start(sandbox: &Sandbox, api: A) -> Result<Self> {
        let first = rand::random_range(PORTS);
        let mut ports = (first..PORTS.end).chain(PORTS.start..first);
        let listener = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        let listener = listener.context("find a free port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let ca_file = sandbox.fresh("provider-ca.pem");
        let tls = certificate(&ca_file)?;
        let shared = Arc::new(Mutex::new(Shared {
            api,
            requests: 0,
            fault_every: 0,
            faults: Vec::new(),
        }));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let work = accept(listener, tls, Arc::clone(&shared));
        runtime.spawn(work);
        Ok(Self {
            address,
            ca_file,
            shared,
            _runtime: runtime,
        })
    }

    /// Its origin.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Its authority's certificate, PEM.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// What it has, and what it was asked.
    pub fn shared(&self) -> MutexGuard<'_, Shared<A>> {
        lock(&self.shared)
    }
}

fn lock<A>(shared: &Mutex<Shared<A>>) -> MutexGuard<'_, Shared<A>> {
    // A test that panicked with it has failed already.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An authority, written to a file, and a server's certificate of it.
fn certificate(ca_file: &Path) -> Result<TlsAcceptor> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key)?;
    std::fs::write(ca_file, ca_certificate.pem())?;
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept<A: Api>(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Mutex<Shared<A>>>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, tls.clone(), Arc::clone(&shared)));
    }
}

/// One connection. TLS is passed on through a pipe, so that a record can be cut in its middle.
async fn serve<A: Api>(
    stream: tokio::net::TcpStream,
    tls: TlsAcceptor,
    shared: Arc<Mutex<Shared<A>>>,
) {
    let (near, far) = tokio::io::duplex(64 << 10);
    let cut = Arc::new(Mutex::new(None));
    let wire = tokio::spawn(wire(stream, far, Arc::clone(&cut)));
    let Ok(secured) = tls.accept(near).await else {
        return;
    };
    let service = service_fn(|request| {
        let (shared, cut) = (Arc::clone(&shared), Arc::clone(&cut));
        async move { Ok::<_, Infallible>(answer(request, &shared, &cut).await) }
    });
    let served = hyper::server::conn::http1::Builder::new();
    // A cut connection is an error here, and meant to be.
    let _ended = served
        .serve_connection(TokioIo::new(secured), service)
        .await;
    let _done = wire.await;
}

/// Bytes that may still go out; `None` = all.
type Cut = Arc<Mutex<Option<usize>>>;

/// Passes TLS on, until it is to be cut.
async fn wire(stream: tokio::net::TcpStream, far: tokio::io::DuplexStream, cut: Cut) {
    let (mut from_peer, mut to_peer) = stream.into_split();
    let (mut from_tls, mut to_tls) = tokio::io::split(far);
    let inward = tokio::spawn(async move {
        // Ends when either side does.
        let _copied = tokio::io::copy(&mut from_peer, &mut to_tls).await;
        let _closed = to_tls.shutdown().await;
    });
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from_tls.read(&mut buffer).await {
        let room = {
            let mut cut = cut.lock().unwrap_or_else(PoisonError::into_inner);
            let room = cut.map_or(read, |left| left.min(read));
            *cut = cut.map(|left| left - room);
            room
        };
        let bytes = buffer.get(..room).unwrap_or_default();
        if to_peer.write_all(bytes).await.is_err() || room < read {
            break;
        }
    }
    inward.abort();
}

async fn answer<A: Api>(
    request: Request<Incoming>,
    shared: &Mutex<Shared<A>>,
    cut: &Cut,
) -> Response<Full<Bytes>> {
    let question = question(request).await;
    let (fault, answer) = {
        let mut shared = lock(shared);
        shared.requests += 1;
        let turn = shared.requests.checked_div(shared.fault_every);
        let is_due = turn.is_some_and(|turn| turn * shared.fault_every == shared.requests);
        let which = usize::try_from(turn.unwrap_or_default()).unwrap_or_default();
        let fault = Fault::ALL
            .get(which % Fault::ALL.len())
            .copied()
            .filter(|_| is_due);
        shared.faults.extend(fault);
        (fault, shared.api.answer(&question, fault))
    };
    if fault == Some(Fault::Late) {
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    let mut body = answer.body;
    match fault {
        Some(Fault::Truncated) if answer.status == 200 => {
            let mut middle = body.len() / 2;
            while !body.is_char_boundary(middle) {
                middle -= 1;
            }
            body.truncate(middle);
        }
        // Not even the head goes out, and of it half a TLS record.
        Some(Fault::Gone) => set(cut, 40),
        Some(Fault::Cut) => set(cut, body.len() / 2),
        _ => {}
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Full::from(body)).unwrap_or_default()
}

fn set(cut: &Cut, bytes: usize) {
    *cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
}

async fn question(request: Request<Incoming>) -> Question {
    let (head, body) = request.into_parts();
    let raw_query = head.uri.query().unwrap_or_default().to_owned();
    let pairs = raw_query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    });
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (name.as_str().to_owned(), value.into_owned())
    });
    let body = body.collect().await.map(|body| body.to_bytes());
    Question {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: pairs.collect(),
        raw_query: raw_query.clone(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body.unwrap_or_default()).into_owned(),
    }
}

/// Percent-decodes; `+` is a blank.
pub fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let escaped = after.split_at_checked(2).filter(|_| *first == b'%');
        let byte = escaped.and_then(|(digits, after)| {
            let byte = data_encoding::HEXUPPER_PERMISSIVE.decode(digits).ok()?;
            rest = after;
            byte.first().copied()
        });
        out.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Unix seconds now.
fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}
