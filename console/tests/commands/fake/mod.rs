//! A console service in this process, over real TLS with its own CA, that answers from a story and
//! writes down what it was asked.

pub(crate) mod service;
pub(crate) mod story;
pub(crate) mod terminal;

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tocsin_proto::console::v1::console_service_server::ConsoleServiceServer;
use tocsin_proto::profile::Profile;
use tocsin_proto::tls;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

pub(crate) use self::service::Script;

/// After this a command hangs. It stands for "never": no test waits for it when all is well.
pub(crate) const HANGS: Duration = Duration::from_secs(60);

/// A CA.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named("test CA");
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Certificate and key, PEM.
    fn issue(&self, names: &[&str], year_of_end: i32) -> (String, String) {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = named("test");
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(year_of_end, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

/// A running server and a folder for the console's files.
pub(crate) struct Fake {
    pub(crate) ca: Ca,
    pub(crate) dir: TempDir,
    pub(crate) script: Arc<Mutex<Script>>,
    port: u16,
}

impl Fake {
    /// Starts one that tells the story.
    pub(crate) async fn start() -> Self {
        Self::start_with(Script::default()).await
    }

    pub(crate) async fn start_with(script: Script) -> Self {
        let ca = Ca::new();
        let acceptor = acceptor(&ca);
        let (listener, port) = listen().await;
        let script = Arc::new(Mutex::new(script));
        let service = ConsoleServiceServer::new(service::Service(script.clone()));
        let (sender, receiver) = tokio::sync::mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                // A client that fails the handshake is none.
                if let Ok(stream) = acceptor.accept(tcp).await {
                    sender.send(io::Result::Ok(Stream(stream))).await.unwrap();
                }
            }
        });
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(tokio_stream::wrappers::ReceiverStream::new(receiver)),
        );
        let fake = Self {
            ca,
            dir: tempfile::tempdir().unwrap(),
            script,
            port,
        };
        fake.write_profile(&fake.profile());
        fake
    }

    pub(crate) fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// A profile that this server likes.
    pub(crate) fn profile(&self) -> Profile {
        let (certificate, private_key) = self.ca.issue(&[], 2100);
        Profile {
            version: 1,
            name: "dana".into(),
            role: "admin".into(),
            servers: vec![self.address()],
            ca_certificate: self.ca.pem(),
            certificate,
            private_key,
        }
    }

    /// A profile with a certificate of this CA, that ended long ago.
    pub(crate) fn profile_of(&self, ca: &Ca, year_of_end: i32) -> Profile {
        let (certificate, private_key) = ca.issue(&[], year_of_end);
        Profile {
            certificate,
            private_key,
            ..self.profile()
        }
    }

    /// A profile that trusts this CA.
    pub(crate) fn profile_trusting(&self, ca: &Ca) -> Profile {
        Profile {
            ca_certificate: ca.pem(),
            ..self.profile()
        }
    }

    pub(crate) fn profile_path(&self) -> PathBuf {
        self.dir.path().join("profile")
    }

    pub(crate) fn write_profile(&self, profile: &Profile) {
        let path = self.profile_path();
        std::fs::write(&path, profile.to_toml().unwrap()).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let owner_only = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, owner_only).unwrap();
        }
    }

    /// The command, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
        command
            .env_remove("COLUMNS")
            .env_remove("TOCSIN_PROFILE")
            .arg("--profile")
            .arg(self.profile_path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Done {
        done(self.command(arguments).spawn().unwrap()).await
    }

    /// Runs a command to its end with this on its standard input.
    pub(crate) async fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Done {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Beside the reading: whoever writes all of it first waits for a reader that waits for it.
        let input = input.to_vec();
        let writing = tokio::spawn(async move {
            // A program that ends early does not read the rest.
            let _broken_pipe = stdin.write_all(&input).await;
        });
        let done = done(child).await;
        writing.abort();
        done
    }

    /// What was asked so far, one line a call.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.script.lock().unwrap().calls.clone()
    }
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Done {
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap()
    }

    pub(crate) fn rows(&self) -> Vec<serde_json::Value> {
        assert_eq!(self.code, 0, "{self:?}");
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

pub(crate) async fn done(child: Child) -> Done {
    let output = tokio::time::timeout(HANGS, child.wait_with_output()).await;
    let output = output.expect("the command ends").unwrap();
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        error: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A listener on a port below the ephemeral ones.
pub(crate) async fn listen() -> (TcpListener, u16) {
    // Tests of several processes begin at different ports.
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    for port in first..32_000 {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return (listener, port);
        }
    }
    panic!("no port is free");
}

fn acceptor(ca: &Ca) -> TlsAcceptor {
    let (certificate, key) = ca.issue(&["localhost"], 2100);
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap())
        .unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider())
        .build()
        .unwrap();
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(tls::VERSIONS)
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![tls::ALPN.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// A TLS stream as tonic wants it.
struct Stream(TlsStream<TcpStream>);

impl Connected for Stream {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
