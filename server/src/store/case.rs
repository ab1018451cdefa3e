//! MFA events, identities and incidents: the case half of the state.

use async_trait::async_trait;

/// Case state. Promises of every method: see [`super`].
#[async_trait]
pub(crate) trait CaseStore: std::fmt::Debug + Send + Sync {}
