//! Finding what somebody means by the beginning of an id or alias.

use std::collections::BTreeSet;

use sqlx::SqlitePool;

use super::id_bytes;
use crate::store::StoreError;
use crate::store::sqlite::engine;
use crate::store::sqlite::trust::endpoint::id_range;

/// One of the queries below: `(id or alias range) -> ids`, at most two different ones.
pub(super) struct Named {
    /// "identity", "incident".
    pub(super) what: &'static str,
    /// Selects the thing's id for every id and alias between two bounds.
    pub(super) query: &'static str,
}

/// Identities.
pub(super) const IDENTITY: Named = Named {
    what: "identity",
    query: "SELECT id FROM identity WHERE id BETWEEN ?1 AND ?2 AND is_nobody = 0 \
            UNION SELECT identity FROM identity_alias WHERE alias BETWEEN ?1 AND ?2 LIMIT 2",
};

/// Incidents.
pub(super) const INCIDENT: Named = Named {
    what: "incident",
    query: "SELECT id FROM incident WHERE id BETWEEN ?1 AND ?2 \
            UNION SELECT incident FROM incident_alias WHERE alias BETWEEN ?1 AND ?2 LIMIT 2",
};

/// The one thing whose id or alias begins like this; `None` where there is none.
pub(super) async fn find(
    reader: &SqlitePool,
    named: &Named,
    text: &str,
) -> Result<Option<[u8; 16]>, StoreError> {
    let Some((from, until)) = id_range(text) else {
        return Ok(None);
    };
    let rows: Vec<Vec<u8>> = sqlx::query_scalar(named.query)
        .bind(from.as_slice())
        .bind(until.as_slice())
        .fetch_all(reader)
        .await
        .map_err(engine("look up an id"))?;
    let found: BTreeSet<&[u8]> = rows.iter().map(Vec::as_slice).collect();
    match (found.first(), found.len()) {
        (None, _) => Ok(None),
        (Some(id), 1) => Ok(Some(id_bytes(id, "id")?)),
        _ => Err(StoreError::Ambiguous {
            what: named.what,
            id: text.to_owned(),
        }),
    }
}
