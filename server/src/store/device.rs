//! What providers call endpoints: the device half of the state.
//!
//! - An id of a provider is one endpoint's at most. Nothing takes it from an endpoint unasked: an analyst who wants that
//!   says so, an import never does.
//! - What an analyst unbound stays unbound, whatever imports say, until an analyst binds it again.
//! - A machine that is enrolled anew keeps its ids where its links follow it too.
//! - Whoever is linked to an endpoint whose ids change is marked for correlation.

use async_trait::async_trait;
use tocsin_proto::id::EndpointId;

use super::StoreError;
use crate::audit::AuditEntry;

/// Ids of one endpoint: a machine has one or two at a provider, and one for each browser at Duo.
pub(crate) const DEVICES_MAX: u32 = 64;

/// A provider's id of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeviceRow {
    /// The provider's word.
    pub(crate) provider: String,
    /// The id, folded.
    pub(crate) device_id: String,
    /// Whose it is.
    pub(crate) endpoint: EndpointId,
    /// "analyst", "import".
    pub(crate) source: String,
    /// "certain".
    pub(crate) confidence: String,
    /// Which analyst said it or imported it.
    pub(crate) bound_by: String,
    /// Why; empty where nobody said.
    pub(crate) reason: String,
    /// When.
    pub(crate) bound_time_ms: i64,
}

/// What became of one row of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeviceImported {
    /// It is bound now, and was not before.
    Bound,
    /// It was before.
    Same,
    /// Why it was not bound.
    Refused(String),
}

/// Ids of endpoints at providers. Promises of every method: see [`super`].
#[async_trait]
pub(crate) trait DeviceStore: std::fmt::Debug + Send + Sync {
    /// Binds an id. Where it is another endpoint's: with `is_move` it is taken from there, else [`StoreError::Bound`].
    async fn bind_device(
        &self,
        device: &DeviceRow,
        is_move: bool,
        entry: &AuditEntry,
    ) -> Result<(), StoreError>;
    /// Takes an id from an endpoint; no import binds it there again.
    async fn unbind_device(
        &self,
        endpoint: EndpointId,
        device: (&str, &str),
        entry: &AuditEntry,
    ) -> Result<(), StoreError>;
    /// Binds what is nobody's and what nobody took away; what became of each, in order.
    async fn import_devices(
        &self,
        devices: &[DeviceRow],
    ) -> Result<Vec<DeviceImported>, StoreError>;
    /// Ids of an endpoint and of those that its machine has become since, by provider and id.
    async fn devices(&self, endpoint: EndpointId) -> Result<Vec<DeviceRow>, StoreError>;
}
