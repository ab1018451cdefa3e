//! Connections to identity providers: what live feeds are made from, and how far each has come.
//!
//! ```text
//! connection --page--> mfa_event (kind = the connection's name)
//!     \-- cursor: behind the last page of which every record is stored
//! ```
//!
//! The cursor moves in the transaction that stores the page's last records ([`Advance`] in a
//! [`MfaBatch`](super::case::MfaBatch)): a server that dies in between fetches that page again, and what of it was
//! stored is recognised. A connection that was removed takes no page any more: its transaction fails.

use async_trait::async_trait;

use super::StoreError;
use crate::audit::AuditEntry;

/// Connections of one server: each is a task, and asks a provider every few seconds.
pub(crate) const CONNECTIONS_MAX: usize = 64;

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionRow {
    /// Its number, never given twice. 0 in one that is not stored yet.
    pub(crate) no: i64,
    /// Unique; the kind of its feed.
    pub(crate) name: String,
    /// The provider's word.
    pub(crate) provider: String,
    /// What it is made from, but for the secret: JSON.
    pub(crate) settings: Vec<u8>,
    /// The secret, sealed.
    pub(crate) secret: Vec<u8>,
    /// Name of the analyst who added it.
    pub(crate) added_by: String,
    /// When.
    pub(crate) added_time_ms: i64,
    /// Where the next page begins, in the feed's own words; empty before the first page.
    pub(crate) cursor: String,
    /// When the last page was stored.
    pub(crate) page_time_ms: i64,
    /// Pages stored since it was added.
    pub(crate) pages: u64,
}

/// How far a connection comes with a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advance {
    /// Which: [`ConnectionRow::no`].
    pub(crate) connection: i64,
    /// Where the next page begins.
    pub(crate) cursor: String,
    /// Everything that the provider logged until then is stored; 0 where that cannot be said of this page.
    pub(crate) complete_until_ms: i64,
    /// SHA-256 of each record of the page that could not be read: one that comes again does not count twice.
    pub(crate) malformed: Vec<[u8; 32]>,
    /// Why the last of them could not be read; empty where there is none.
    pub(crate) malformed_reason: String,
}

/// State of connections. Promises of every method: see [`super`].
#[async_trait]
pub(crate) trait ConnectionStore: std::fmt::Debug + Send + Sync {
    /// Every connection, by name.
    async fn connections(&self) -> Result<Vec<ConnectionRow>, StoreError>;
    /// The connection with this name.
    async fn connection(&self, name: &str) -> Result<ConnectionRow, StoreError>;
    /// Stores a new one; a name that is taken is refused, and so is one beyond [`CONNECTIONS_MAX`].
    async fn add_connection(
        &self,
        row: &ConnectionRow,
        entry: &AuditEntry,
    ) -> Result<(), StoreError>;
    /// Removes it with its secret; its records stay.
    async fn remove_connection(&self, name: &str, entry: &AuditEntry) -> Result<(), StoreError>;
}
