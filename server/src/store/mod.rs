//! What the server keeps, behind traits so that an engine is one folder.
//!
//! ```text
//! StateStore = TrustStore   analysts, endpoints, tokens, audit log, presence   (trust.rs)
//!            + CaseStore    MFA events, identities, incidents                  (case.rs)
//!            + OutageStore  outages of providers                              (outage.rs)
//!            + PeopleStore  accounts of endpoints and whose they are           (people.rs)
//!            + DeviceStore  what providers call endpoints                      (device.rs)
//!            + RolloutStore rollouts and how far each endpoint is             (rollout.rs)
//!            + ConnectionStore  connections to identity providers              (connection.rs)
//! TelemetryStore            event batches and what is read from them           (telemetry.rs)
//! ```
//!
//! A method that returns `Ok` has committed. What one method does is one transaction; where it takes an
//! [`AuditEntry`](crate::audit::AuditEntry), the entry is in that same transaction: no change without
//! its row, no row without its change.

pub(crate) mod case;
#[cfg(test)]
pub(crate) mod conformance;
pub(crate) mod connection;
pub(crate) mod device;
pub(crate) mod outage;
pub(crate) mod people;
pub(crate) mod rollout;
pub(crate) mod sqlite;
pub(crate) mod telemetry;
pub(crate) mod trace;
pub(crate) mod trust;

use case::CaseStore;
use connection::ConnectionStore;
use device::DeviceStore;
use outage::OutageStore;
use people::PeopleStore;
use rollout::RolloutStore;
use trust::TrustStore;

/// All state but telemetry.
pub(crate) trait StateStore:
    TrustStore + CaseStore + ConnectionStore + DeviceStore + OutageStore + PeopleStore + RolloutStore
{
}

impl<
    T: TrustStore
        + CaseStore
        + ConnectionStore
        + DeviceStore
        + OutageStore
        + PeopleStore
        + RolloutStore,
> StateStore for T
{
}

/// Why a store did not do it. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// There is no such thing.
    #[error("there is no {what} '{id}'")]
    NotFound {
        /// "endpoint", "incident", ...
        what: &'static str,
        /// What was asked for.
        id: String,
    },
    /// More than one fits.
    #[error("'{id}' fits more than one {what}: give more of its id")]
    Ambiguous {
        /// "endpoint", "incident", ...
        what: &'static str,
        /// What was asked for.
        id: String,
    },
    /// It exists already, or its state does not allow this.
    #[error("{what} '{id}' {why}")]
    State {
        /// "analyst", "endpoint", ...
        what: &'static str,
        /// Which one.
        id: String,
        /// What stands against it and what to do, as the end of a sentence.
        why: &'static str,
    },
    /// An account of an endpoint is somebody else's.
    #[error("{account} is linked to {holder}: unlink it there, or move it")]
    Taken {
        /// The account and where it is.
        account: String,
        /// Who has it.
        holder: String,
    },
    /// A provider's id of a device is another endpoint's.
    #[error("device id {device} is that of {holder}: unbind it there, or move it")]
    Bound {
        /// The id and whose it is.
        device: String,
        /// Which endpoint has it.
        holder: String,
    },
    /// Something stored cannot be read back: damage, or a newer program's.
    #[error("stored {what} is not readable")]
    Damaged {
        /// What it should have been.
        what: &'static str,
    },
    /// There is no room left for it.
    #[error("{action}: the server's disk is full: make room there, and try again")]
    Full {
        /// What was attempted on what.
        action: &'static str,
    },
    /// The engine failed.
    #[error("{action}")]
    Engine {
        /// What was attempted on what.
        action: &'static str,
        /// What the engine said.
        #[source]
        source: sqlite::EngineError,
    },
}
