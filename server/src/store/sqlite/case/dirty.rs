//! Who is to be correlated (again).

use sqlx::{SqliteConnection, SqlitePool};
use tocsin_proto::id::{EndpointId, IdentityId};

use super::{id_bytes, identity_id};
use crate::store::StoreError;
use crate::store::case::{LinkedIdentity, LinkedTo};
use crate::store::sqlite::{Database, engine};

const ACTION: &str = "mark people for correlation";

/// Marks within the caller's transaction. A newer mark replaces an older one.
pub(super) async fn mark(
    connection: &mut SqliteConnection,
    identities: impl IntoIterator<Item = IdentityId>,
) -> Result<(), StoreError> {
    for identity in identities {
        sqlx::query("INSERT OR REPLACE INTO dirty (identity) VALUES (?)")
            .bind(identity.as_bytes().as_slice())
            .execute(&mut *connection)
            .await
            .map_err(engine(ACTION))?;
    }
    Ok(())
}

/// Marks those whose open prompts have become unanswered: a provider's newest event has reached their time.
pub(super) async fn mark_waiting(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO dirty (identity) SELECT id FROM identity WHERE next_change_ms IS NOT NULL \
         AND next_change_ms <= (SELECT max(event_time_max_ms) FROM feed)",
    )
    .execute(connection)
    .await
    .map_err(engine(ACTION))?;
    Ok(())
}

/// Marks in a transaction of its own; who is not known is passed over.
pub(super) async fn mark_all(file: &Database, identities: &[IdentityId]) -> Result<(), StoreError> {
    if identities.is_empty() {
        return Ok(());
    }
    let mut transaction = file.begin().await?;
    for identity in identities {
        sqlx::query("INSERT OR REPLACE INTO dirty (identity) SELECT id FROM identity WHERE id = ?")
            .bind(identity.as_bytes().as_slice())
            .execute(&mut *transaction)
            .await
            .map_err(engine(ACTION))?;
    }
    transaction.commit().await.map_err(engine(ACTION))
}

/// The longest dirty, with their marks.
pub(super) async fn first(
    reader: &SqlitePool,
    limit: u32,
) -> Result<Vec<(IdentityId, i64)>, StoreError> {
    let rows: Vec<(Vec<u8>, i64)> =
        sqlx::query_as("SELECT identity, mark FROM dirty ORDER BY mark LIMIT ?")
            .bind(limit)
            .fetch_all(reader)
            .await
            .map_err(engine("read who is to be correlated"))?;
    rows.into_iter()
        .map(|(id, mark)| Ok((identity_id(&id)?, mark)))
        .collect()
}

/// People with links, by id.
pub(super) async fn links_after(
    reader: &SqlitePool,
    after: Option<IdentityId>,
    limit: u32,
) -> Result<Vec<LinkedIdentity>, StoreError> {
    const ACTION: &str = "read links";
    let after = after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
    let people: Vec<(Vec<u8>, Vec<u8>, i64, i64)> = sqlx::query_as(
        "SELECT id, telemetry_sha256, \
         (SELECT coalesce(min(nullif(event_time_min_ms, 0)), 0) FROM account WHERE identity = id), \
         (SELECT coalesce(max(event_time_max_ms), 0) FROM account WHERE identity = id) \
         FROM identity WHERE id > ? AND id IN (SELECT identity FROM link) ORDER BY id LIMIT ?",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(reader)
    .await
    .map_err(engine(ACTION))?;
    let mut linked = Vec::with_capacity(people.len());
    for (id, telemetry_sha256, min_ms, max_ms) in people {
        let endpoints: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT DISTINCT endpoint FROM link WHERE identity = ? ORDER BY 1")
                .bind(&id)
                .fetch_all(reader)
                .await
                .map_err(engine(ACTION))?;
        let endpoints: Result<_, StoreError> = endpoints
            .iter()
            .map(|id| Ok(EndpointId::from_bytes(id_bytes(id, "endpoint id")?)))
            .collect();
        linked.push(LinkedIdentity {
            identity: identity_id(&id)?,
            endpoints: endpoints?,
            event_times_ms: (min_ms, max_ms),
            telemetry_sha256,
        });
    }
    Ok(linked)
}

/// People that are linked to an endpoint.
pub(super) async fn linked_to(
    reader: &SqlitePool,
    endpoint: EndpointId,
) -> Result<Vec<LinkedTo>, StoreError> {
    let rows: Vec<(Vec<u8>, i64, i64)> = sqlx::query_as(
        "SELECT linked.identity, \
         (SELECT coalesce(min(nullif(event_time_min_ms, 0)), 0) FROM account \
          WHERE account.identity = linked.identity), \
         (SELECT coalesce(max(event_time_max_ms), 0) FROM account WHERE account.identity = linked.identity) \
         FROM (SELECT DISTINCT identity FROM link WHERE endpoint = ?) AS linked ORDER BY 1",
    )
    .bind(endpoint.as_bytes().as_slice())
    .fetch_all(reader)
    .await
    .map_err(engine("read links"))?;
    rows.into_iter()
        .map(|(id, min_ms, max_ms)| {
            Ok(LinkedTo {
                identity: identity_id(&id)?,
                event_times_ms: (min_ms, max_ms),
            })
        })
        .collect()
}
