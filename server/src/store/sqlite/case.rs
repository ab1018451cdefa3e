//! The case half of `state.db`.

use super::SqliteState;
use crate::store::case::CaseStore;

#[async_trait::async_trait]
impl CaseStore for SqliteState {}
