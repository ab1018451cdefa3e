//! The case half of `state.db`: which statement is where.

use async_trait::async_trait;
use tocsin_proto::id::{EndpointId, IdentityId, IncidentId, MfaEventId};

use super::SqliteState;
use crate::audit::AuditEntry;
use crate::store::StoreError;
use crate::store::case::{
    ActivityRow, AnalystChange, CaseChange, CaseError, CaseStore, FeedRow, IdentityGroup,
    IdentityRow, IncidentQuery, IncidentRow, LinkedIdentity, LinkedTo, Membership, MfaBatch,
    NoteRow, Removal, SightingRow,
};

mod apply;
mod connection;
mod device;
mod dirty;
mod identity;
mod incident;
mod link;
mod local;
mod mfa;
mod outage;
mod people;
mod prefix;
mod retain;
mod sighting;

pub(super) use device::follow_devices;
pub(super) use link::{follow_links, mark_linked};

#[async_trait]
impl CaseStore for SqliteState {
    async fn feeds(&self) -> Result<Vec<FeedRow>, StoreError> {
        mfa::feeds(&self.0.reader).await
    }

    async fn groups(&self, keys: &[String]) -> Result<Vec<IdentityGroup>, StoreError> {
        identity::groups(&self.0.reader, keys).await
    }

    async fn add_mfa_events(&self, batch: &MfaBatch) -> Result<Vec<bool>, CaseError> {
        mfa::add(&self.0, batch).await
    }

    async fn mfa_events(
        &self,
        identity: IdentityId,
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        mfa::of(&self.0.reader, identity, limit).await
    }

    async fn mfa_events_until(
        &self,
        identity: IdentityId,
        until_ms: i64,
        after: Option<(i64, MfaEventId)>,
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        mfa::until(&self.0.reader, identity, until_ms, after, limit).await
    }

    async fn identity(&self, id: IdentityId) -> Result<IdentityRow, StoreError> {
        identity::one(&self.0.reader, id).await
    }

    async fn identities(
        &self,
        after: Option<IdentityId>,
        limit: u32,
    ) -> Result<Vec<IdentityRow>, StoreError> {
        identity::page(&self.0.reader, after, limit).await
    }

    async fn find_identity(&self, text: &str) -> Result<IdentityId, StoreError> {
        identity::find(&self.0.reader, text).await
    }

    async fn links_after(
        &self,
        after: Option<IdentityId>,
        limit: u32,
    ) -> Result<Vec<LinkedIdentity>, StoreError> {
        dirty::links_after(&self.0.reader, after, limit).await
    }

    async fn linked_to(&self, endpoint: EndpointId) -> Result<Vec<LinkedTo>, StoreError> {
        dirty::linked_to(&self.0.reader, endpoint).await
    }

    async fn mark_dirty(&self, identities: &[IdentityId]) -> Result<(), StoreError> {
        dirty::mark_all(&self.0, identities).await
    }

    async fn dirty(&self, limit: u32) -> Result<Vec<(IdentityId, i64)>, StoreError> {
        dirty::first(&self.0.reader, limit).await
    }

    async fn incidents_of(&self, identity: IdentityId) -> Result<Vec<IncidentRow>, StoreError> {
        incident::of(&self.0.reader, identity).await
    }

    async fn dirty_sources(&self, limit: u32) -> Result<Vec<(String, i64)>, StoreError> {
        sighting::dirty_sources(&self.0.reader, limit).await
    }

    async fn sightings_from(&self, source: &str) -> Result<Vec<SightingRow>, StoreError> {
        sighting::from(&self.0.reader, source).await
    }

    async fn incidents_from(&self, source: &str) -> Result<Vec<IncidentRow>, StoreError> {
        incident::from(&self.0.reader, source).await
    }

    async fn memberships(&self, identity: IdentityId) -> Result<Vec<Membership>, StoreError> {
        sighting::memberships(&self.0.reader, identity).await
    }

    async fn apply(&self, changes: &[CaseChange]) -> Result<(), CaseError> {
        apply::apply(&self.0, changes).await
    }

    async fn incidents(&self, query: &IncidentQuery) -> Result<Vec<IncidentRow>, StoreError> {
        incident::page(&self.0.reader, query).await
    }

    async fn incident(&self, id: IncidentId) -> Result<IncidentRow, StoreError> {
        incident::one(&self.0.reader, id).await
    }

    async fn find_incident(&self, text: &str) -> Result<IncidentId, StoreError> {
        incident::find(&self.0.reader, text).await
    }

    async fn incident_aliases(&self, id: IncidentId) -> Result<Vec<IncidentId>, StoreError> {
        incident::aliases(&self.0.reader, id).await
    }

    async fn notes(&self, id: IncidentId) -> Result<Vec<NoteRow>, StoreError> {
        incident::notes(&self.0.reader, id).await
    }

    async fn activity(&self, id: IncidentId) -> Result<Vec<ActivityRow>, StoreError> {
        incident::activity(&self.0.reader, id).await
    }

    async fn change_incident(
        &self,
        change: &AnalystChange,
        entry: &AuditEntry,
    ) -> Result<(), CaseError> {
        apply::by_analyst(&self.0, change, entry).await
    }

    async fn removable(
        &self,
        received_before_ms: i64,
        after: Option<IdentityId>,
        limit: u32,
    ) -> Result<Vec<(IdentityId, i64)>, StoreError> {
        retain::removable(&self.0.reader, received_before_ms, after, limit).await
    }

    async fn remove_mfa_events(&self, removal: &Removal) -> Result<u64, CaseError> {
        retain::remove(&self.0, removal).await
    }

    async fn remove_sightings(&self) -> Result<u64, StoreError> {
        sighting::remove(&self.0).await
    }
}

/// Reads a column that is an id or a hash of 16 bytes from a tuple row.
fn id_bytes(bytes: &[u8], what: &'static str) -> Result<[u8; 16], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Damaged { what })
}

fn identity_id(bytes: &[u8]) -> Result<IdentityId, StoreError> {
    id_bytes(bytes, "identity id").map(IdentityId::from_bytes)
}

fn incident_id(bytes: &[u8]) -> Result<IncidentId, StoreError> {
    id_bytes(bytes, "incident id").map(IncidentId::from_bytes)
}
