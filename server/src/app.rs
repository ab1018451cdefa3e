//! The only file that knows all parts: builds them, joins them, stops them in order.
//!
//! ```text
//! start  lock, certificates, stores, tasks, listener, address into the profile, accept
//! stop   no more connections; sessions and watches end themselves; uploads get their last acknowledgements;
//!        what is still open after SHUTDOWN_GRACE is cut; tasks write what they hold; stores close
//! ```

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tocsin_proto::agent::v1::agent_service_server::AgentServiceServer;
use tocsin_proto::agent::v1::enrollment_service_server::EnrollmentServiceServer;
use tocsin_proto::console::v1::console_service_server::ConsoleServiceServer;
use tocsin_proto::limits::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MESSAGE_BYTES_MAX};
use tocsin_proto::profile::Profile;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::audit::{Audit, AuditEntry};
use crate::ca::Authority;
use crate::certificate::{self, CertificateError, Certificates};
use crate::config::Config;
use crate::data_dir::{self, DataDir, DataDirError};
use crate::geo::{Geo, GeoError};
use crate::ingest::Ingest;
use crate::listener::{Acceptor, Connection, Connections, tls_config};
use crate::recording::Recordings;
use crate::release::Releases;
use crate::revocation::Revocations;
use crate::rpc::auth::Auth;
use crate::rpc::console::{Consoles, IMPORTS_MAX, SEARCHES_MAX};
use crate::rpc::enroll::Enroller;
use crate::rpc::status::chain;
use crate::rpc::upload::UPLOAD_BYTES_MAX;
use crate::rpc::{Agents, Context};
use crate::session::terminal::Terminals;
use crate::session::{Registry, presence};
use crate::store::sqlite::{SqliteState, SqliteTelemetry};
use crate::store::telemetry::TelemetryStore;
use crate::store::trust::TrustStore;
use crate::store::{StateStore, StoreError};
use crate::task::accounts::Accounts;
use crate::task::correlate::Correlator;
use crate::task::feed::{Feeds, Parts as FeedParts};
use crate::task::{Tasks, retention, rollout};
use crate::trace::Tracer;

/// The setting in which the server's address is kept for the profiles of analysts.
pub(crate) const ADDRESS_SETTING: &str = "server_address";

/// Open calls have that long to end by themselves.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Bytes that a peer may have on the way to us before we have read them: per call, and per connection. Enough for all
/// batches that an agent may have in flight at an ordinary size; it is all that a connection can make us hold.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 512 << 10;

/// Calls of one connection at once.
const STREAMS_MAX: u32 = 64;

/// Bytes of the headers of one call.
const HEADER_BYTES_MAX: u32 = 8 << 10;

/// Bytes of a request to enroll.
const ENROLL_BYTES_MAX: usize = 16 << 10;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The data directory cannot be used.
    #[error("use the data directory")]
    Data(#[from] DataDirError),
    /// Certificates.
    #[error("prepare certificates")]
    Certificate(#[from] CertificateError),
    /// A file that tells where addresses lie.
    #[error("look up addresses")]
    Geo(#[from] GeoError),
    /// A database.
    #[error("open the databases")]
    Store(#[from] StoreError),
    /// TLS.
    #[error("prepare TLS")]
    Tls(#[from] rustls::Error),
    /// The address is taken or is not ours.
    #[error("listen on {address}: choose another with --listen")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Recordings of terminals.
    #[error("read the recordings of terminals")]
    Recordings(#[source] io::Error),
    /// Signals.
    #[error("wait for signals")]
    Signal(#[source] io::Error),
    /// gRPC.
    #[error("serve")]
    Serve(#[from] tonic::transport::Error),
}

/// The stores of a data directory.
#[derive(Debug)]
struct Stores {
    state: Arc<SqliteState>,
    telemetry: Arc<SqliteTelemetry>,
}

impl Stores {
    async fn open(data: &DataDir) -> Result<Self, StoreError> {
        Ok(Self {
            state: Arc::new(SqliteState::open_existing(&data.state()).await?),
            telemetry: Arc::new(SqliteTelemetry::open_existing(&data.telemetry()).await?),
        })
    }

    async fn close(&self) {
        self.telemetry.close().await;
        self.state.close().await;
    }
}

/// Runs a server until a signal ends it.
pub(crate) async fn run(data: &DataDir, config: Config) -> Result<(), RunError> {
    let _lock = data.lock()?;
    raise_file_limit();
    let config = Arc::new(config);
    let authority = Arc::new(certificate::open_authority(data)?);
    let certificates = Certificates::open(data, config.clone(), authority.clone())?;
    let tls = tls_config(authority.certificate(), certificates.identity(), &config)?;
    let geo = Arc::new(Geo::open(&config.geo)?);
    let stores = Stores::open(data).await?;
    stores.state.end_presence().await?;

    let listener = TcpListener::bind(config.listen)
        .await
        .and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = listener.map_err(|source| RunError::Listen {
        address: config.listen,
        source,
    })?;
    let signal = signal().map_err(RunError::Signal)?;
    publish_address(data, &config, stores.state.as_ref(), address.port()).await?;
    let version = env!("CARGO_PKG_VERSION");
    let entry = AuditEntry::server("server.start", &address.to_string(), version);
    stores.state.append_audit(&entry).await?;

    let stopping = CancellationToken::new();
    let connections = Arc::new(Connections::default());
    let acceptor = Acceptor {
        listener,
        tls: Arc::new(tls),
        limit: config.limit,
        connections: connections.clone(),
        stopping: stopping.clone(),
    };
    let parts = Parts {
        releases: Releases::new(data.releases()),
        tracer: Arc::new(config.tracer()),
        recordings: open_recordings(data, &config, stores.state.as_ref()).await?,
        config,
        geo,
        feed_key: data.feed_key(),
        authority,
        connections: connections.clone(),
        state: stores.state.clone(),
        telemetry: stores.telemetry.clone(),
        stopping: stopping.clone(),
    };
    let (context, mut tasks) = parts.join();
    tasks.spawn("certificate", certificates.run(stopping.clone()));
    let served = CancellationToken::new();
    let cutter = stop_on(signal, stopping.clone(), connections);
    tasks.spawn("stop", {
        let served = served.clone();
        async move {
            served.run_until_cancelled(cutter).await;
        }
    });

    let accepted = acceptor.start();
    tracing::info!("listening on {address}");
    let result = serve(context, accepted, stopping.clone()).await;
    served.cancel();
    stopping.cancel();
    tasks.join().await;
    let entry = AuditEntry::server("server.stop", &address.to_string(), "");
    stores.state.append_audit(&entry).await?;
    stores.close().await;
    tracing::info!("stopped");
    result
}

/// The recordings of terminals. Those that a former run did not end are ended, which the audit log says.
async fn open_recordings(
    data: &DataDir,
    config: &Config,
    state: &dyn StateStore,
) -> Result<Recordings, RunError> {
    let recordings = Recordings::new(data.recordings(), config.retention.recordings_size);
    for recovered in recordings.recover().map_err(RunError::Recordings)? {
        tracing::warn!("{}", recovered.said);
        let entry = AuditEntry::server("terminal.recover", &recovered.endpoint, &recovered.said);
        state.append_audit(&entry).await?;
    }
    Ok(recordings)
}

/// What the context is made of.
struct Parts {
    releases: Releases,
    config: Arc<Config>,
    geo: Arc<Geo>,
    recordings: Recordings,
    feed_key: PathBuf,
    tracer: Arc<Tracer>,
    authority: Arc<Authority>,
    connections: Arc<Connections>,
    state: Arc<dyn StateStore>,
    telemetry: Arc<dyn TelemetryStore>,
    stopping: CancellationToken,
}

impl Parts {
    /// The live feeds, not at work yet.
    fn feeds(&self, correlator: &Arc<Correlator>) -> Arc<Feeds> {
        Arc::new(Feeds::new(FeedParts {
            state: self.state.clone(),
            correlator: correlator.clone(),
            geo: self.geo.clone(),
            key: self.feed_key.clone(),
            stopping: self.stopping.clone(),
        }))
    }

    /// Removes what is old.
    fn retain(&self, correlator: Arc<Correlator>) -> impl Future<Output = ()> + Send + use<> {
        retention::run(
            self.telemetry.clone(),
            correlator,
            self.recordings.clone(),
            self.config.retention,
            self.stopping.clone(),
        )
    }

    /// Joins the parts that handlers use, and starts the tasks beside them. The tasks end after the context is dropped
    /// and `stopping` is cancelled.
    fn join(self) -> (Context, Tasks) {
        let mut tasks = Tasks::default();
        let config = self.config.clone();
        let tracer = self.tracer.clone();
        let rate = config.limit.events_per_second;
        let (ingest, writer) = Ingest::new(self.telemetry.clone(), rate, tracer.clone());
        tasks.spawn("ingest", writer);
        let registry = Arc::new(Registry::default());
        let correlator = Arc::new(Correlator::new(
            self.state.clone(),
            self.telemetry.clone(),
            registry.clone(),
            tracer,
        ));
        tasks.spawn("retention", self.retain(correlator.clone()));
        tasks.spawn("correlate", correlator.clone().run(self.stopping.clone()));
        let accounts = Arc::new(Accounts::new(
            self.state.clone(),
            self.telemetry.clone(),
            correlator.clone(),
        ));
        tasks.spawn("accounts", accounts.clone().run(self.stopping.clone()));
        let feeds = self.feeds(&correlator);
        tasks.spawn("feeds", feeds.clone().run());
        let presence = presence::run(
            registry.clone(),
            self.state.clone(),
            // As long as sign-ins may be judged by it.
            config.retention.mfa_events_age,
            self.stopping.clone(),
        );
        tasks.spawn("presence", presence);
        let revocations = Arc::new(Revocations::new(self.state.clone(), self.connections));
        let grace = config.certificate.grace;
        let cut = revocations.clone().run(grace, self.stopping.clone());
        tasks.spawn("revocation", cut);
        let rollouts = rollout::Turn::default();
        let (turn, stopping) = (rollouts.clone(), self.stopping.clone());
        let roll_out = rollout::run(self.state.clone(), registry.clone(), turn, stopping);
        tasks.spawn("rollout", roll_out);
        let audit = Audit::new(self.state.clone());
        let context = Context {
            config,
            geo: self.geo,
            auth: Auth::new(self.state.clone(), audit.clone()),
            audit,
            state: self.state,
            telemetry: self.telemetry,
            ingest,
            searches: Semaphore::new(SEARCHES_MAX),
            imports: Semaphore::new(IMPORTS_MAX),
            correlator,
            accounts,
            feeds,
            feed_key: self.feed_key,
            authority: self.authority,
            enroller: Enroller::default(),
            revocations,
            registry,
            releases: self.releases,
            rollouts,
            terminals: Arc::new(Terminals::default()),
            recordings: self.recordings,
            stopping: self.stopping,
        };
        (context, tasks)
    }
}

/// Serves until `stopping`, and then until the last connection is closed.
async fn serve(
    context: Context,
    accepted: mpsc::Receiver<Connection>,
    stopping: CancellationToken,
) -> Result<(), RunError> {
    let context = Arc::new(context);
    let agents = Agents(context.clone());
    let enrollment =
        EnrollmentServiceServer::new(agents.clone()).max_decoding_message_size(ENROLL_BYTES_MAX);
    let agents = AgentServiceServer::new(agents).max_decoding_message_size(UPLOAD_BYTES_MAX);
    let consoles =
        ConsoleServiceServer::new(Consoles(context)).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(enrollment)
        .add_service(agents)
        .add_service(consoles)
        .serve_with_incoming_shutdown(
            ReceiverStream::new(accepted).map(Ok::<_, io::Error>),
            stopping.cancelled_owned(),
        )
        .await?;
    Ok(())
}

/// Stops the server on a signal: first politely, after a while for good.
async fn stop_on(
    signal: impl Future<Output = ()> + Send,
    stopping: CancellationToken,
    connections: Arc<Connections>,
) {
    signal.await;
    tracing::info!("stopping");
    stopping.cancel();
    tokio::time::sleep(SHUTDOWN_GRACE).await;
    let cut = connections.cut_all();
    tracing::debug!(cut, "connections were still open");
}

/// Completes on SIGTERM or SIGINT. They are listened to from the call on.
#[cfg(unix)]
fn signal() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Completes on Ctrl-C.
#[cfg(not(unix))]
fn signal() -> io::Result<impl Future<Output = ()> + Send> {
    Ok(async {
        // Without the signal the server runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}

/// Tells consoles where the server is: the administrator's by its profile, those of others when theirs is made.
async fn publish_address(
    data: &DataDir,
    config: &Config,
    state: &dyn TrustStore,
    port: u16,
) -> Result<(), RunError> {
    let Some(name) = config.names.first() else {
        return Ok(());
    };
    let address = if name.contains(':') {
        format!("[{name}]:{port}")
    } else {
        format!("{name}:{port}")
    };
    state.set_setting(ADDRESS_SETTING, &address).await?;
    let path = data.admin_profile();
    let Some(text) = data_dir::read(&path)? else {
        tracing::info!("admin.profile is gone: its new place must be told {address}");
        return Ok(());
    };
    let mut profile = match Profile::from_toml(&text) {
        Ok(profile) => profile,
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "admin.profile is not told where the server is"
            );
            return Ok(());
        }
    };
    if profile.servers != [address.as_str()] {
        profile.servers = vec![address];
        if let Ok(text) = profile.to_toml() {
            data_dir::write(&path, &text)?;
        }
    }
    Ok(())
}

/// Every connection is a file: takes as many as the system allows this user.
fn raise_file_limit() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let raised = getrlimit(Resource::RLIMIT_NOFILE)
            .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
        if let Err(error) = raised {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
}
