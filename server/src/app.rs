//! The only file that knows all parts: builds them, joins them, stops them in order.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::config::Config;
use crate::rpc::auth::Auth;
use crate::rpc::Context;
use crate::session::Registry;
use crate::store::StateStore;
use crate::store::telemetry::TelemetryStore;

/// Joins the parts that handlers use.
pub(crate) fn context(
    config: Config,
    state: Arc<dyn StateStore>,
    telemetry: Arc<dyn TelemetryStore>,
    stopping: CancellationToken,
) -> Context {
    let audit = Audit::new(state.clone());
    Context {
        config: Arc::new(config),
        auth: Auth::new(state.clone(), audit.clone()),
        audit,
        state,
        telemetry,
        registry: Arc::new(Registry::default()),
        stopping,
    }
}
