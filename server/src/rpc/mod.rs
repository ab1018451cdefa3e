//! gRPC: handlers that say who may ([`auth`]), check what was sent, and hand over. A service's methods are
//! one line each; a method's work is in its own file.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use tocsin_proto::agent::v1 as wire;
use tocsin_proto::agent::v1::agent_service_server::AgentService;
use tocsin_proto::agent::v1::enrollment_service_server::EnrollmentService;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::audit::Audit;
use crate::ca::Authority;
use crate::config::Config;
use crate::geo::Geo;
use crate::ingest::Ingest;
use crate::recording::Recordings;
use crate::release::Releases;
use crate::revocation::Revocations;
use crate::session::Registry;
use crate::session::terminal::Terminals;
use crate::store::StateStore;
use crate::store::telemetry::TelemetryStore;
use crate::task::accounts::Accounts;
use crate::task::correlate::Correlator;
use crate::task::feed::Feeds;

pub(crate) mod auth;
pub(crate) mod console;
pub(crate) mod enroll;
pub(crate) mod release;
pub(crate) mod session;
pub(crate) mod status;
pub(crate) mod terminal;
pub(crate) mod upload;

/// A stream of replies.
pub(crate) type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

/// All that handlers use; made once by `app.rs`.
#[derive(Debug)]
pub(crate) struct Context {
    /// What the operator says.
    pub(crate) config: Arc<Config>,
    /// Looks up where addresses lie.
    pub(crate) geo: Arc<Geo>,
    /// Who may.
    pub(crate) auth: auth::Auth,
    /// Recorded before it happens.
    pub(crate) audit: Audit,
    /// State.
    pub(crate) state: Arc<dyn StateStore>,
    /// Telemetry.
    pub(crate) telemetry: Arc<dyn TelemetryStore>,
    /// Takes uploads.
    pub(crate) ingest: Ingest,
    /// Searches that run; the others wait.
    pub(crate) searches: tokio::sync::Semaphore,
    /// Imports that run; the others wait.
    pub(crate) imports: tokio::sync::Semaphore,
    /// Keeps incidents what follows from what is stored.
    pub(crate) correlator: Arc<Correlator>,
    /// Knows the accounts of endpoints.
    pub(crate) accounts: Arc<Accounts>,
    /// Live feeds at work.
    pub(crate) feeds: Arc<Feeds>,
    /// The file with the key of sealed secrets.
    pub(crate) feed_key: PathBuf,
    /// Makes certificates.
    pub(crate) authority: Arc<Authority>,
    /// Bounds of enrollment.
    pub(crate) enroller: enroll::Enroller,
    /// Cuts revoked keys off.
    pub(crate) revocations: Arc<Revocations>,
    /// Connected agents.
    pub(crate) registry: Arc<Registry>,
    /// What endpoints may update to.
    pub(crate) releases: Releases,
    /// Held by whoever changes a rollout.
    pub(crate) rollouts: crate::task::rollout::Turn,
    /// Open terminals.
    pub(crate) terminals: Arc<Terminals>,
    /// What terminals printed.
    pub(crate) recordings: Recordings,
    /// Cancelled when the server stops: long streams end themselves.
    pub(crate) stopping: CancellationToken,
}

/// The services of agents.
#[derive(Debug, Clone)]
pub(crate) struct Agents(pub(crate) Arc<Context>);

#[async_trait::async_trait]
impl EnrollmentService for Agents {
    async fn enroll(
        &self,
        request: Request<wire::EnrollRequest>,
    ) -> Result<Response<wire::EnrollResponse>, Status> {
        enroll::enroll(&self.0, request).await
    }
}

#[async_trait::async_trait]
impl AgentService for Agents {
    type SessionStream = Replies<wire::SessionResponse>;
    type UploadEventsStream = Replies<wire::UploadEventsResponse>;
    type TerminalStream = Replies<wire::TerminalResponse>;
    type ReadReleaseStream = Replies<wire::ReadReleaseResponse>;

    async fn session(
        &self,
        request: Request<Streaming<wire::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        session::session(&self.0, request).await
    }

    async fn upload_events(
        &self,
        request: Request<Streaming<wire::UploadEventsRequest>>,
    ) -> Result<Response<Self::UploadEventsStream>, Status> {
        upload::upload(&self.0, request).await
    }

    async fn terminal(
        &self,
        request: Request<Streaming<wire::TerminalRequest>>,
    ) -> Result<Response<Self::TerminalStream>, Status> {
        terminal::terminal(&self.0, request).await
    }

    async fn read_release(
        &self,
        request: Request<wire::ReadReleaseRequest>,
    ) -> Result<Response<Self::ReadReleaseStream>, Status> {
        release::read(&self.0, request).await
    }

    async fn renew_certificate(
        &self,
        request: Request<wire::RenewCertificateRequest>,
    ) -> Result<Response<wire::RenewCertificateResponse>, Status> {
        enroll::renew(&self.0, request).await
    }
}
