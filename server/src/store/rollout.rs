//! What is kept of rollouts, and how an engine is asked for it.

use async_trait::async_trait;
use tocsin_proto::console::v1::{RolloutMemberState, RolloutState};
use tocsin_proto::id::EndpointId;

use super::StoreError;
use crate::audit::AuditEntry;

/// Rollouts that are listed, newest first; older ones are kept and not shown.
pub(crate) const ROLLOUTS_MAX: u32 = 200;

/// A rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RolloutRow {
    /// Its id.
    pub(crate) id: String,
    /// Of which version.
    pub(crate) version: String,
    /// How it is.
    pub(crate) state: RolloutState,
    /// Why, where it does not go on.
    pub(crate) reason: String,
    /// Which ring it is at, from 1.
    pub(crate) ring: u32,
    /// As they were asked for.
    pub(crate) rings: Vec<String>,
    /// By whom.
    pub(crate) created_by: String,
    /// When.
    pub(crate) created_time_ms: i64,
}

/// An endpoint in a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberRow {
    /// Which.
    pub(crate) endpoint: EndpointId,
    /// In which ring, from 1.
    pub(crate) ring: u32,
    /// How far.
    pub(crate) state: RolloutMemberState,
    /// Why.
    pub(crate) detail: String,
    /// Since when.
    pub(crate) time_ms: i64,
}

/// Rollouts.
#[async_trait]
pub(crate) trait RolloutStore: std::fmt::Debug + Send + Sync {
    /// Adds one. There may be no other that has not ended.
    async fn add_rollout(&self, row: &RolloutRow, entry: &AuditEntry) -> Result<(), StoreError>;
    /// At most [`ROLLOUTS_MAX`], newest first.
    async fn rollouts(&self) -> Result<Vec<RolloutRow>, StoreError>;
    /// The members of one, by endpoint.
    async fn rollout_members(&self, id: &str) -> Result<Vec<MemberRow>, StoreError>;
    /// Writes what has changed of one: state, reason and ring, and these members.
    async fn write_rollout(
        &self,
        row: &RolloutRow,
        members: &[MemberRow],
        entry: Option<&AuditEntry>,
    ) -> Result<(), StoreError>;
}
