//! Failures, approvals and the outages of providers that follow from them: see `tocsin_correlate::outages`.
//!
//! ```text
//! person correlated -> failure  -\
//!                                 > hour dirty -> outage -> whoever has a failure in a changed step is dirty
//! record stored     -> approval -/
//! ```
//!
//! Approvals are counted when a record is stored, each once. A record that is older than what retention has removed of its
//! person was counted already, if it ever was there, and is not counted again.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use tocsin_proto::id::{IdentityId, MfaEventId};

use super::StoreError;

/// Outages of a provider that are read for one person: the newest. Years of them.
pub(crate) const OUTAGES_MAX: u32 = 10_000;
/// Failures of one provider that are read for an hour: of more, those are enough.
pub(crate) const FAILURES_MAX: u32 = 100_000;
/// Approvals and outages are kept by steps of this length: the engine's.
pub(crate) const STEP_MS: i64 = 300_000;
/// Failures near a step from which on one more approval may change what follows: no more than the engine's people.
pub(crate) const FAILURES_MIN: i64 = 5;
/// An hour, the unit in which outages are looked for.
pub(crate) const HOUR_MS: i64 = 3_600_000;

/// When the step begins that this time lies in.
pub(crate) fn step(time_ms: i64) -> i64 {
    time_ms - time_ms.rem_euclid(STEP_MS)
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailureRow {
    /// Whose.
    pub(crate) identity: IdentityId,
    /// Which, unique among the person's.
    pub(crate) attempt: MfaEventId,
    /// At which provider, its word.
    pub(crate) provider: String,
    /// When it began.
    pub(crate) time_ms: i64,
}

/// An hour of a provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProviderHour {
    /// The provider's word.
    pub(crate) provider: String,
    /// When it begins.
    pub(crate) hour_ms: i64,
}

/// What is known of an hour, and of one step before and after.
#[derive(Debug, Clone, Default)]
pub(crate) struct HourFacts {
    /// In no order.
    pub(crate) failures: Vec<FailureRow>,
    /// Sign-ins that succeeded, by step.
    pub(crate) approvals: BTreeMap<i64, u64>,
    /// Outages of the hour as they are stored: step and people.
    pub(crate) outages: BTreeMap<i64, u64>,
}

/// What an hour's outages are now.
#[derive(Debug, Clone)]
pub(crate) struct HourChange {
    /// Which.
    pub(crate) hour: ProviderHour,
    /// The mark that was read before the facts were: it goes, unless there is a newer one.
    pub(crate) mark: i64,
    /// Step and people, all of the hour.
    pub(crate) outages: BTreeMap<i64, u64>,
    /// Steps that were otherwise: whoever has a failure in one is marked dirty.
    pub(crate) changed: BTreeSet<i64>,
}

/// Outages. Promises of every method: see [`super`].
#[async_trait]
pub(crate) trait OutageStore: std::fmt::Debug + Send + Sync {
    /// At most `limit` hours to be looked at, with their marks, the longest waiting first.
    async fn dirty_hours(&self, limit: u32) -> Result<Vec<(ProviderHour, i64)>, StoreError>;
    /// What is known of an hour.
    async fn hour_facts(&self, hour: &ProviderHour) -> Result<HourFacts, StoreError>;
    /// Writes an hour's outages and marks whom they concern.
    async fn settle_hour(&self, change: &HourChange) -> Result<(), StoreError>;
    /// Outages of a provider whose steps begin within the span, the newest [`OUTAGES_MAX`]: step and people.
    async fn outages(
        &self,
        provider: &str,
        span_ms: (i64, i64),
    ) -> Result<Vec<(i64, u64)>, StoreError>;
    /// Removes failures whose events are gone and that no failure with events needs, and what follows from none any more.
    /// Answers how many failures it removed.
    async fn remove_failures(&self) -> Result<u64, StoreError>;
}
