//! Whoever talks to a server: with a certificate or without, politely or not.

use std::net::Ipv4Addr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tocsin_proto::agent::v1 as agent;
use tocsin_proto::agent::v1::agent_service_client::AgentServiceClient;
use tocsin_proto::agent::v1::enrollment_service_client::EnrollmentServiceClient;
use tocsin_proto::console::v1::console_service_client::ConsoleServiceClient;
use tocsin_proto::tls::{self, ClientIdentity};
use tocsin_proto::token::EnrollmentToken;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

/// A way to one server.
#[derive(Clone)]
pub(crate) struct Client {
    port: u16,
    from: Ipv4Addr,
    config: Arc<ClientConfig>,
}

impl Client {
    pub(crate) fn new(
        port: u16,
        ca: CertificateDer<'static>,
        identity: Option<ClientIdentity>,
    ) -> Self {
        let config = match identity {
            Some(identity) => tls::client(ca, identity).unwrap(),
            None => {
                let mut roots = RootCertStore::empty();
                roots.add(ca).unwrap();
                let mut config = ClientConfig::builder_with_provider(tls::provider())
                    .with_protocol_versions(tls::VERSIONS)
                    .unwrap()
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                config.alpn_protocols = vec![tls::ALPN.to_vec()];
                config
            }
        };
        Self {
            port,
            from: Ipv4Addr::LOCALHOST,
            config: Arc::new(config),
        }
    }

    /// The same from another address of this machine.
    pub(crate) fn from(self, from: Ipv4Addr) -> Self {
        Self { from, ..self }
    }

    async fn tls(self) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        let tcp = socket.connect(([127, 0, 0, 1], self.port).into()).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(self.config).connect(name, tcp).await
    }

    /// Shakes hands and listens: what the server's side of the handshake ends with, where it refuses.
    pub(crate) async fn handshake(&self) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let mut stream = self.clone().tls().await.map_err(text)?;
        // In TLS 1.3 the client is done before the server has judged its certificate: it speaks, and the first
        // byte it hears tells.
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        stream.write_all(preface).await.map_err(text)?;
        stream.flush().await.map_err(text)?;
        let mut first = [0];
        stream.read_exact(&mut first).await.map_err(text)?;
        Ok(())
    }

    /// The certificate that the server shows.
    pub(crate) async fn server_certificate(&self) -> CertificateDer<'static> {
        let stream = self.clone().tls().await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    }

    /// A channel, connected now; every clone of it is the same connection.
    pub(crate) async fn channel(&self) -> Channel {
        let client = self.clone();
        let connect = tower::service_fn(move |_| {
            let client = client.clone();
            async move { client.tls().await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://localhost")
            .connect_with_connector(connect)
            .await
            .unwrap()
    }

    pub(crate) async fn console(&self) -> ConsoleServiceClient<Channel> {
        ConsoleServiceClient::new(self.channel().await)
    }

    pub(crate) async fn agent(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.channel().await)
    }

    /// Calls a method, by its path, with an empty message; the status it begins with.
    pub(crate) async fn call(&self, path: &str) -> Code {
        let mut client = tonic::client::Grpc::new(self.channel().await);
        client.ready().await.unwrap();
        let path = format!("/{path}").parse().unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let empty = tokio_stream::once(());
        let result: Result<Response<_>, Status> =
            client.streaming(Request::new(empty), path, codec).await;
        result.map_or_else(|status| status.code(), |_| Code::Ok)
    }

    /// Enrolls with this key; its certificate.
    pub(crate) async fn enroll(
        &self,
        token: &EnrollmentToken,
        key: &KeyPair,
    ) -> Result<agent::EnrollResponse, Status> {
        let request = agent::EnrollRequest {
            token_id: token.id.to_vec(),
            token_secret: token.secret.to_vec(),
            certificate_request: request(key),
            hostname: "test-host".into(),
            agent_version: "0".into(),
        };
        EnrollmentServiceClient::new(self.channel().await)
            .enroll(request)
            .await
            .map(Response::into_inner)
    }
}

/// A certificate request, DER.
pub(crate) fn request(key: &KeyPair) -> Vec<u8> {
    let request = CertificateParams::default().serialize_request(key).unwrap();
    request.der().to_vec()
}

/// The identity of a key with a certificate.
pub(crate) fn identity(key: &KeyPair, certificate: &[u8]) -> ClientIdentity {
    ClientIdentity {
        chain: vec![CertificateDer::from(certificate.to_vec())],
        key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
    }
}

/// `package.Service/Method` of every method in the contract.
pub(crate) fn methods() -> Vec<String> {
    let mut methods = Vec::new();
    for file in [
        "agent/v1/agent_service.proto",
        "agent/v1/enrollment_service.proto",
        "console/v1/console_service.proto",
    ] {
        let path = format!("{}/../proto/tocsin/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let word = |line: &str, before: &str| {
            let rest = line.trim().strip_prefix(before)?;
            Some(rest.split([';', ' ', '(']).next()?.to_owned())
        };
        let find = |before| text.lines().find_map(|line| word(line, before)).unwrap();
        let (package, service) = (find("package "), find("service "));
        let names = text.lines().filter_map(|line| word(line, "rpc "));
        methods.extend(names.map(|name| format!("{package}.{service}/{name}")));
    }
    assert!(methods.len() > 20);
    methods
}
