//! The trust half of `state.db`: which statement is where.

use async_trait::async_trait;
use sqlx::Row;
use tocsin_proto::id::EndpointId;
use tocsin_proto::token::KeyPin;

use super::{SqliteState, engine};
use crate::audit::{AuditEntry, AuditRow};
use crate::store::StoreError;
use crate::store::trust::{
    AnalystRow, ClockSkewRow, ConflictRow, EndpointRow, EnrollError, Enrollment, FleetTotals,
    KeyHolder, PresenceChange, PresenceRow, PublicAddressRow, Renewal, TokenRow, TrustStore,
};

pub(super) mod audit;
mod clock_skew;
pub(super) mod endpoint;
mod enroll;
mod key;
mod presence;
mod public_address;
#[cfg(test)]
mod tests;

#[async_trait]
impl TrustStore for SqliteState {
    async fn append_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut transaction = self.0.begin().await?;
        audit::append(&mut transaction, entry).await?;
        transaction
            .commit()
            .await
            .map_err(engine("append to the audit log"))
    }

    async fn audit_rows(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        audit::rows(&self.0.reader, after, limit).await
    }

    async fn last_audit(&self) -> Result<u64, StoreError> {
        audit::last(&self.0.reader).await
    }

    async fn key_holder(&self, pin: &KeyPin, now_ms: i64) -> Result<Option<KeyHolder>, StoreError> {
        key::holder(&self.0.reader, pin, now_ms).await
    }

    async fn revocations_after(&self, position: i64) -> Result<Vec<(i64, KeyPin)>, StoreError> {
        key::revocations_after(&self.0.reader, position).await
    }

    async fn add_analyst(&self, row: &AnalystRow, entry: &AuditEntry) -> Result<(), StoreError> {
        key::add_analyst(&self.0, row, entry).await
    }

    async fn analysts(&self) -> Result<Vec<AnalystRow>, StoreError> {
        key::analysts(&self.0.reader).await
    }

    async fn revoke_analyst(&self, name: &str, entry: &AuditEntry) -> Result<(), StoreError> {
        key::revoke_analyst(&self.0, name, entry).await
    }

    async fn renew_analyst(
        &self,
        name: &str,
        key_pin: &KeyPin,
        certificate_expiry_time_ms: i64,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        key::renew_analyst(&self.0, name, key_pin, certificate_expiry_time_ms, entry).await
    }

    async fn create_token(&self, row: &TokenRow, entry: &AuditEntry) -> Result<(), StoreError> {
        enroll::create_token(&self.0, row, entry).await
    }

    async fn enroll(&self, enrollment: &Enrollment, entry: &AuditEntry) -> Result<(), EnrollError> {
        enroll::enroll(&self.0, enrollment, entry).await
    }

    async fn renew_endpoint(
        &self,
        endpoint: EndpointId,
        renewal: &Renewal,
        entry: &AuditEntry,
    ) -> Result<(), EnrollError> {
        enroll::renew(&self.0, endpoint, renewal, entry).await
    }

    async fn endpoint(&self, id: EndpointId) -> Result<EndpointRow, StoreError> {
        endpoint::one(&self.0.reader, id).await
    }

    async fn endpoint_totals(&self) -> Result<FleetTotals, StoreError> {
        endpoint::totals(&self.0.reader).await
    }

    async fn successors(&self, id: EndpointId) -> Result<Vec<EndpointId>, StoreError> {
        endpoint::successors(&self.0.reader, id).await
    }

    async fn endpoints(
        &self,
        after: Option<EndpointId>,
        limit: u32,
    ) -> Result<Vec<EndpointRow>, StoreError> {
        endpoint::page(&self.0.reader, after, limit).await
    }

    async fn find_endpoint(&self, text: &str) -> Result<EndpointId, StoreError> {
        endpoint::find(&self.0.reader, text).await
    }

    async fn tag_endpoint(
        &self,
        id: EndpointId,
        add: &[String],
        remove: &[String],
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        endpoint::tag(&self.0, id, (add, remove), entry).await
    }

    async fn revoke_endpoint(&self, id: EndpointId, entry: &AuditEntry) -> Result<(), StoreError> {
        endpoint::revoke(&self.0, id, entry).await
    }

    async fn add_conflict(&self, id: EndpointId, conflict: &ConflictRow) -> Result<(), StoreError> {
        endpoint::add_conflict(&self.0, id, conflict).await
    }

    async fn write_presence(&self, changes: &[PresenceChange]) -> Result<(), StoreError> {
        presence::write(&self.0, changes).await
    }

    async fn end_presence(&self) -> Result<(), StoreError> {
        presence::end_all(&self.0).await
    }

    async fn presence(
        &self,
        id: EndpointId,
        from_time_ms: i64,
        until_time_ms: i64,
        limit: u32,
    ) -> Result<Vec<PresenceRow>, StoreError> {
        presence::between(&self.0.reader, id, (from_time_ms, until_time_ms), limit).await
    }

    async fn public_addresses(
        &self,
        id: EndpointId,
        from_time_ms: i64,
        until_time_ms: i64,
    ) -> Result<Vec<PublicAddressRow>, StoreError> {
        public_address::between(&self.0.reader, id, (from_time_ms, until_time_ms)).await
    }

    async fn clock_skew(
        &self,
        id: EndpointId,
        from_time_ms: i64,
        until_time_ms: i64,
    ) -> Result<Vec<ClockSkewRow>, StoreError> {
        clock_skew::between(&self.0.reader, id, (from_time_ms, until_time_ms)).await
    }

    async fn remove_presence(&self, before_time_ms: i64, limit: u32) -> Result<u64, StoreError> {
        presence::remove(&self.0, before_time_ms, limit).await
    }

    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT value FROM setting WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.0.reader)
            .await
            .map_err(engine("read a setting"))?;
        row.map(|row| row.try_get(0))
            .transpose()
            .map_err(engine("read a setting"))
    }

    async fn set_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO setting VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        )
        .bind(name)
        .bind(value)
        .execute(&self.0.writer)
        .await
        .map(drop)
        .map_err(engine("keep a setting"))
    }
}
