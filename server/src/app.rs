//! The only file that knows all parts: builds them, joins them, stops them in order.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::config::Config;
use crate::ingest::Ingest;
use crate::rpc::auth::Auth;
use crate::rpc::console::SEARCHES_MAX;
use crate::rpc::Context;
use crate::session::Registry;
use crate::store::StateStore;
use crate::store::telemetry::TelemetryStore;
use crate::task::{Tasks, retention};

/// Joins the parts that handlers use, and starts the tasks beside them. The tasks end after the context is dropped
/// and `stopping` is cancelled.
pub(crate) fn context(
    config: Config,
    state: Arc<dyn StateStore>,
    telemetry: Arc<dyn TelemetryStore>,
    stopping: CancellationToken,
) -> (Context, Tasks) {
    let mut tasks = Tasks::default();
    let (ingest, writer) = Ingest::new(telemetry.clone(), config.limit.events_per_second);
    tasks.spawn("ingest", writer);
    let retain = retention::run(telemetry.clone(), config.retention, stopping.clone());
    tasks.spawn("retention", retain);
    let audit = Audit::new(state.clone());
    let context = Context {
        config: Arc::new(config),
        auth: Auth::new(state.clone(), audit.clone()),
        audit,
        state,
        telemetry,
        ingest,
        searches: Semaphore::new(SEARCHES_MAX),
        registry: Arc::new(Registry::default()),
        stopping,
    };
    (context, tasks)
}
