//! Who may do what, who is enrolled, and what was done: the trust half of the state.

use std::net::SocketAddr;

use async_trait::async_trait;
use tocsin_proto::agent::v1::Machine;
use tocsin_proto::console::v1::ClockSkew;
use tocsin_proto::id::{EndpointId, RunId};
use tocsin_proto::telemetry::v1::Health;
use tocsin_proto::token::KeyPin;

use super::StoreError;
use crate::audit::{AuditEntry, AuditRow};
use crate::network::PublicAddress;
use crate::role::Role;

/// Refused runs that are kept for one endpoint; the oldest make room.
pub(crate) const CONFLICTS_MAX: u32 = 16;

/// Intervals of public addresses that are kept for one endpoint; those that ended first make room.
pub(crate) const PUBLIC_ADDRESSES_MAX: u32 = 512;

/// Endpoints that show the key of one former, that are looked at.
pub(crate) const SUCCESSORS_MAX: u32 = 16;

/// Two intervals of one address that are no further apart are one: an agent that has lost its connection is back by
/// then, and what it was at meanwhile is most likely the same.
pub(crate) const PUBLIC_ADDRESS_JOIN_MS: i64 = 5 * 60_000;

/// Intervals of clock skew that are kept for one endpoint; the oldest make room.
pub(crate) const CLOCK_SKEWS_MAX: u32 = 1_024;

/// Two measurements further apart are not one interval: a clock may have been set in between.
pub(crate) const CLOCK_SKEW_JOIN_MS: i64 = 15 * 60_000;

/// An interval holds measurements that are so close together, or as close as twice the newest one is wide.
pub(crate) const CLOCK_SKEW_WIDTH_MS: i64 = 500;

/// Who holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyHolder {
    /// Endpoint or analyst.
    pub(crate) who: Holder,
    /// It was revoked; nothing may be done with it.
    pub(crate) revoked: bool,
}

/// An endpoint or an analyst.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// An endpoint.
    Endpoint(EndpointId),
    /// An analyst.
    Analyst {
        /// Unique name.
        name: String,
        /// Role, as it is now.
        role: Role,
    },
}

/// An analyst.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnalystRow {
    /// Unique, never used again.
    pub(crate) name: String,
    /// What the analyst may do.
    pub(crate) role: Role,
    /// SHA-256 of the public key.
    pub(crate) key_pin: KeyPin,
    /// When added.
    pub(crate) added_time_ms: i64,
    /// End of the certificate.
    pub(crate) certificate_expiry_time_ms: i64,
    /// When revoked; 0 = not.
    pub(crate) revoked_time_ms: i64,
}

/// An enrollment token as it is kept: of its secret only the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRow {
    /// Names it.
    pub(crate) id: [u8; 8],
    /// SHA-256 of its secret.
    pub(crate) secret_sha256: [u8; 32],
    /// Endpoints it may still enroll in total.
    pub(crate) uses_max: u32,
    /// When made.
    pub(crate) created_time_ms: i64,
    /// When it ends.
    pub(crate) expiry_time_ms: i64,
    /// Ring that its endpoints join.
    pub(crate) ring: String,
}

/// A key that asks to become an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Enrollment {
    /// Names the token.
    pub(crate) token_id: [u8; 8],
    /// SHA-256 of the secret that was shown.
    pub(crate) secret_sha256: [u8; 32],
    /// Id by its key.
    pub(crate) endpoint: EndpointId,
    /// SHA-256 of the key.
    pub(crate) key_pin: KeyPin,
    /// Endpoint whose certificate the connection showed.
    pub(crate) former: Option<EndpointId>,
    /// As it calls itself.
    pub(crate) hostname: String,
    /// As it says.
    pub(crate) agent_version: String,
    /// Where it connected from.
    pub(crate) address: SocketAddr,
    /// End of the certificate it will get.
    pub(crate) certificate_expiry_time_ms: i64,
    /// Now.
    pub(crate) time_ms: i64,
}

/// A renewed certificate of an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    /// SHA-256 of its key, the same or a new one.
    pub(crate) key_pin: KeyPin,
    /// Its end.
    pub(crate) certificate_expiry_time_ms: i64,
    /// Until when the keys that a new one replaces are good.
    pub(crate) retire_time_ms: i64,
}

/// Why a key did not become an endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrollError {
    /// Unknown, or its secret is wrong; a caller is not told which.
    #[error(
        "enrollment token is not known here: check that it was copied whole and is of this server"
    )]
    TokenUnknown,
    /// It has ended.
    #[error("enrollment token has expired: have a new one made ('tocsin-server token create')")]
    TokenExpired,
    /// It has enrolled as many as it may.
    #[error("enrollment token is used up: have a new one made ('tocsin-server token create')")]
    TokenUsedUp,
    /// This key was revoked, retired, or belongs to somebody else.
    #[error("this key may not enroll: remove the agent's state and enroll with a new key")]
    KeyRefused,
    /// The store failed.
    #[error("enroll an endpoint")]
    Store(#[from] StoreError),
}

/// A second run with the same key, as it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConflictRow {
    /// When last.
    pub(crate) time_ms: i64,
    /// Its run.
    pub(crate) run: RunId,
    /// As it calls itself.
    pub(crate) hostname: String,
    /// Where it connected from.
    pub(crate) address: String,
}

/// An endpoint as it is stored. Whether it is connected now, only the registry knows.
#[derive(Debug, Clone)]
pub(crate) struct EndpointRow {
    /// Its id.
    pub(crate) id: EndpointId,
    /// What it last said about itself.
    pub(crate) machine: Machine,
    /// As it said.
    pub(crate) agent_version: String,
    /// As it said.
    pub(crate) capability: u32,
    /// Which endpoint the machine was before it was enrolled anew: whose key its enrollment showed.
    pub(crate) former: Option<EndpointId>,
    /// Sorted.
    pub(crate) tags: Vec<String>,
    /// Ring of rollouts.
    pub(crate) ring: String,
    /// When enrolled.
    pub(crate) enrolled_time_ms: i64,
    /// When last connected; 0 = never.
    pub(crate) last_seen_time_ms: i64,
    /// End of its newest certificate.
    pub(crate) certificate_expiry_time_ms: i64,
    /// Where it last connected from.
    pub(crate) address: String,
    /// Its last run.
    pub(crate) run: Option<RunId>,
    /// When revoked; 0 = not.
    pub(crate) revoked_time_ms: i64,
    /// Open conflicts, newest first.
    pub(crate) conflicts: Vec<ConflictRow>,
    /// Last measured.
    pub(crate) clock_skew: Option<ClockSkew>,
    /// Last reported, with its time.
    pub(crate) health: Option<(i64, Health)>,
}

/// A stretch in which an endpoint was connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PresenceRow {
    /// Its run.
    pub(crate) run: RunId,
    /// Where it connected from.
    pub(crate) address: String,
    /// When admitted.
    pub(crate) connected_time_ms: i64,
    /// Known to be connected until then.
    pub(crate) seen_time_ms: i64,
    /// It ended; while `false` it may still go on.
    pub(crate) ended: bool,
}

/// From where an endpoint was on the Internet in an interval of the server's clock. It was there throughout, or came back
/// to it within [`PUBLIC_ADDRESS_JOIN_MS`]. Two rows of one family may overlap: then it was at both, or at one of them.
/// An address that is not known has no row; that is not the same as another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicAddressRow {
    /// Which endpoint.
    pub(crate) endpoint: EndpointId,
    /// Its address; as it is read, `shared` also says that another endpoint had the same one in this interval.
    pub(crate) address: PublicAddress,
    /// Begin, Unix milliseconds.
    pub(crate) from_ms: i64,
    /// End, inclusive. It grows while the endpoint is connected.
    pub(crate) until_ms: i64,
}

/// All measurements of an endpoint's clock in an interval of the server's clock lie between these, endpoint minus server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockSkewRow {
    /// First measurement, Unix milliseconds.
    pub(crate) from_ms: i64,
    /// Last one. It grows while the endpoint is connected.
    pub(crate) until_ms: i64,
    /// Least.
    pub(crate) min_ms: i64,
    /// Greatest.
    pub(crate) max_ms: i64,
}

/// What the registry has learned about one connected endpoint since it last told the store.
#[derive(Debug, Clone)]
pub(crate) struct PresenceChange {
    /// Which endpoint.
    pub(crate) endpoint: EndpointId,
    /// Which stretch.
    pub(crate) presence: PresenceRow,
    /// What it says about itself, where it has just said so.
    pub(crate) hello: Option<HelloFacts>,
    /// From where it is on the Internet as long as this stretch lasts; none where that is unknown.
    pub(crate) public_addresses: Vec<PublicAddress>,
    /// Where newly measured.
    pub(crate) clock_skew: Option<ClockSkew>,
    /// Where newly reported.
    pub(crate) health: Option<(i64, Health)>,
}

/// What an agent says when it connects.
#[derive(Debug, Clone)]
pub(crate) struct HelloFacts {
    /// Facts about its machine, within limits.
    pub(crate) machine: Machine,
    /// Its version.
    pub(crate) agent_version: String,
    /// Its capability.
    pub(crate) capability: u32,
}

/// How many endpoints there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FleetTotals {
    /// All.
    pub(crate) all: u64,
    /// Of them, those that were revoked.
    pub(crate) revoked: u64,
    /// Those of the others that are in conflict.
    pub(crate) in_conflict: Vec<EndpointId>,
}

/// Trust state. Promises of every method: see [`super`].
#[async_trait]
pub(crate) trait TrustStore: std::fmt::Debug + Send + Sync {
    /// Appends to the audit log; the row is chained to the one before, also when another process appends.
    async fn append_audit(&self, entry: &AuditEntry) -> Result<(), StoreError>;
    /// At most `limit` rows after row number `after`, in order.
    async fn audit_rows(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError>;

    /// Number of the last row of the audit log; 0 where it is empty.
    async fn last_audit(&self) -> Result<u64, StoreError>;

    /// Who holds a key now. `None`: nobody ever, or the key was replaced.
    async fn key_holder(&self, pin: &KeyPin, now_ms: i64) -> Result<Option<KeyHolder>, StoreError>;
    /// Revoked keys with their position after `position`, in order; positions only grow.
    async fn revocations_after(&self, position: i64) -> Result<Vec<(i64, KeyPin)>, StoreError>;

    /// Adds an analyst; its name must be new.
    async fn add_analyst(&self, row: &AnalystRow, entry: &AuditEntry) -> Result<(), StoreError>;
    /// Every analyst, by name.
    async fn analysts(&self) -> Result<Vec<AnalystRow>, StoreError>;
    /// Ends an analyst for good.
    async fn revoke_analyst(&self, name: &str, entry: &AuditEntry) -> Result<(), StoreError>;
    /// Replaces the key of an analyst who is not revoked; the former key is revoked.
    async fn renew_analyst(
        &self,
        name: &str,
        key_pin: &KeyPin,
        certificate_expiry_time_ms: i64,
        entry: &AuditEntry,
    ) -> Result<(), StoreError>;

    /// Keeps a token.
    async fn create_token(&self, row: &TokenRow, entry: &AuditEntry) -> Result<(), StoreError>;
    /// Uses a token up by one and makes the key an endpoint, or does neither. Ends the conflict of
    /// `former` where that is another endpoint. `entry` is written where it succeeds.
    async fn enroll(&self, enrollment: &Enrollment, entry: &AuditEntry) -> Result<(), EnrollError>;
    /// Notes an endpoint's new certificate, and its new key where it has one.
    async fn renew_endpoint(
        &self,
        endpoint: EndpointId,
        renewal: &Renewal,
        entry: &AuditEntry,
    ) -> Result<(), EnrollError>;

    /// One endpoint.
    async fn endpoint(&self, id: EndpointId) -> Result<EndpointRow, StoreError>;
    /// How many endpoints there are.
    async fn endpoint_totals(&self) -> Result<FleetTotals, StoreError>;
    /// Endpoints whose enrollment showed this one's key, by id; at most [`SUCCESSORS_MAX`].
    async fn successors(&self, id: EndpointId) -> Result<Vec<EndpointId>, StoreError>;
    /// At most `limit` endpoints after `after`, by id.
    async fn endpoints(
        &self,
        after: Option<EndpointId>,
        limit: u32,
    ) -> Result<Vec<EndpointRow>, StoreError>;
    /// The endpoint that a person means: an id, an unambiguous beginning of at least 4 characters of one, or a hostname
    /// that only one endpoint that is not revoked has.
    async fn find_endpoint(&self, text: &str) -> Result<EndpointId, StoreError>;
    /// Adds and removes tags.
    async fn tag_endpoint(
        &self,
        id: EndpointId,
        add: &[String],
        remove: &[String],
        entry: &AuditEntry,
    ) -> Result<(), StoreError>;
    /// Revokes an endpoint and all its keys for good.
    async fn revoke_endpoint(&self, id: EndpointId, entry: &AuditEntry) -> Result<(), StoreError>;

    /// Notes a refused run; an endpoint with one is in conflict.
    async fn add_conflict(&self, id: EndpointId, conflict: &ConflictRow) -> Result<(), StoreError>;
    /// Writes what the registry learned, all of it or nothing.
    async fn write_presence(&self, changes: &[PresenceChange]) -> Result<(), StoreError>;
    /// Ends the stretches that a former run of the server left open.
    async fn end_presence(&self) -> Result<(), StoreError>;
    /// Stretches of an endpoint that touch the interval, in order; at most `limit`.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for provenance, which comes later")
    )]
    async fn presence(
        &self,
        id: EndpointId,
        from_time_ms: i64,
        until_time_ms: i64,
        limit: u32,
    ) -> Result<Vec<PresenceRow>, StoreError>;

    /// Public addresses of an endpoint that it had within the interval, by their begin; at most
    /// [`PUBLIC_ADDRESSES_MAX`].
    async fn public_addresses(
        &self,
        id: EndpointId,
        from_time_ms: i64,
        until_time_ms: i64,
    ) -> Result<Vec<PublicAddressRow>, StoreError>;
    /// How far an endpoint's clock stood from the server's within the interval, in order; at most [`CLOCK_SKEWS_MAX`].
    async fn clock_skew(
        &self,
        id: EndpointId,
        from_time_ms: i64,
        until_time_ms: i64,
    ) -> Result<Vec<ClockSkewRow>, StoreError>;

    /// Removes stretches, public addresses and clock skews that ended before a time, at most `limit` of each. Answers how
    /// many of whichever were most: as long as that is `limit` there may be more.
    async fn remove_presence(&self, before_time_ms: i64, limit: u32) -> Result<u64, StoreError>;

    /// A setting of the server's own.
    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError>;
    /// Sets it.
    async fn set_setting(&self, name: &str, value: &str) -> Result<(), StoreError>;
}
