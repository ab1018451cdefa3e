//! Sightings: people's attempts by their source, and the campaigns that they are part of.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{SqliteConnection, SqlitePool};
use tocsin_proto::id::{IdentityId, MfaEventId};

use super::{dirty, id_bytes, identity_id, incident_id};
use crate::store::StoreError;
use crate::store::case::{Membership, SIGHTINGS_MAX, SightingRow};
use crate::store::sqlite::{Database, engine};

const READ: &str = "read sightings";
const WRITE: &str = "write sightings";

/// See [`CaseStore::dirty_sources`](crate::store::case::CaseStore::dirty_sources).
pub(super) async fn dirty_sources(
    reader: &SqlitePool,
    limit: u32,
) -> Result<Vec<(String, i64)>, StoreError> {
    sqlx::query_as("SELECT source, mark FROM dirty_source ORDER BY mark LIMIT ?")
        .bind(limit)
        .fetch_all(reader)
        .await
        .map_err(engine("read which sources are to be correlated"))
}

/// Identity, attempt, time, content and campaign.
type Stored = (Vec<u8>, Vec<u8>, i64, Vec<u8>, Option<Vec<u8>>);

/// See [`CaseStore::sightings_from`](crate::store::case::CaseStore::sightings_from).
pub(super) async fn from(
    reader: &SqlitePool,
    source: &str,
) -> Result<Vec<SightingRow>, StoreError> {
    let rows: Vec<Stored> = sqlx::query_as(
        "SELECT identity, attempt, time_ms, content, campaign FROM sighting WHERE source = ? \
         ORDER BY time_ms DESC, attempt DESC, identity DESC LIMIT ?",
    )
    .bind(source)
    .bind(SIGHTINGS_MAX)
    .fetch_all(reader)
    .await
    .map_err(engine(READ))?;
    let rows = rows.into_iter().rev();
    rows.map(|(identity, attempt, time_ms, content, campaign)| {
        Ok(SightingRow {
            identity: identity_id(&identity)?,
            attempt: attempt_id(&attempt)?,
            source: source.to_owned(),
            time_ms,
            content,
            campaign: campaign.as_deref().map(incident_id).transpose()?,
        })
    })
    .collect()
}

/// See [`CaseStore::memberships`](crate::store::case::CaseStore::memberships).
pub(super) async fn memberships(
    reader: &SqlitePool,
    identity: IdentityId,
) -> Result<Vec<Membership>, StoreError> {
    let rows: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as(
        "SELECT attempt, campaign FROM sighting WHERE identity = ? AND campaign IS NOT NULL ORDER BY attempt",
    )
    .bind(identity.as_bytes().as_slice())
    .fetch_all(reader)
    .await
    .map_err(engine(READ))?;
    rows.iter()
        .map(|(attempt, campaign)| {
            Ok(Membership {
                identity,
                attempt: attempt_id(attempt)?,
                campaign: Some(incident_id(campaign)?),
            })
        })
        .collect()
}

/// Writes what a person's stored events show, and marks the sources of what is another now.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    identity: IdentityId,
    sightings: &[SightingRow],
) -> Result<(), StoreError> {
    let id = identity.as_bytes().as_slice();
    let rows: Vec<(Vec<u8>, String, Vec<u8>)> = sqlx::query_as(
        "SELECT attempt, source, content FROM sighting WHERE identity = ?1 \
         AND time_ms > (SELECT removed_until_ms FROM identity WHERE id = ?1)",
    )
    .bind(id)
    .fetch_all(&mut *connection)
    .await
    .map_err(engine(WRITE))?;
    let mut stored: BTreeMap<MfaEventId, (String, Vec<u8>)> = BTreeMap::new();
    for (attempt, source, content) in rows {
        stored.insert(attempt_id(&attempt)?, (source, content));
    }
    let mut changed: BTreeSet<String> = BTreeSet::new();
    for row in sightings {
        let before = stored.remove(&row.attempt);
        if before.as_ref() == Some(&(row.source.clone(), row.content.clone())) {
            continue;
        }
        changed.extend(before.map(|(source, _)| source));
        changed.insert(row.source.clone());
        put(connection, identity, row).await?;
    }
    for (attempt, (source, _)) in stored {
        changed.insert(source);
        sqlx::query("DELETE FROM sighting WHERE identity = ? AND attempt = ?")
            .bind(id)
            .bind(attempt.as_bytes().as_slice())
            .execute(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
    }
    mark(connection, changed).await
}

async fn put(
    connection: &mut SqliteConnection,
    identity: IdentityId,
    row: &SightingRow,
) -> Result<(), StoreError> {
    // The campaign stays as it is until its source is correlated, which is marked.
    sqlx::query(
        "INSERT INTO sighting (identity, attempt, source, time_ms, content) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (identity, attempt) DO UPDATE SET source = excluded.source, time_ms = excluded.time_ms, \
         content = excluded.content",
    )
    .bind(identity.as_bytes().as_slice())
    .bind(row.attempt.as_bytes().as_slice())
    .bind(&row.source)
    .bind(row.time_ms)
    .bind(row.content.as_slice())
    .execute(connection)
    .await
    .map_err(engine(WRITE))?;
    Ok(())
}

async fn mark(
    connection: &mut SqliteConnection,
    sources: impl IntoIterator<Item = String>,
) -> Result<(), StoreError> {
    for source in sources {
        sqlx::query("INSERT OR REPLACE INTO dirty_source (source) VALUES (?)")
            .bind(source)
            .execute(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
    }
    Ok(())
}

/// Writes which sightings are part of which campaign, marks their people, and takes the source's mark away.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    (source, until_mark): (&str, i64),
    memberships: &[Membership],
) -> Result<(), StoreError> {
    for membership in memberships {
        sqlx::query("UPDATE sighting SET campaign = ? WHERE identity = ? AND attempt = ?")
            .bind(membership.campaign.map(|id| id.as_bytes().to_vec()))
            .bind(membership.identity.as_bytes().as_slice())
            .bind(membership.attempt.as_bytes().as_slice())
            .execute(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
    }
    let people: BTreeSet<IdentityId> = memberships.iter().map(|one| one.identity).collect();
    for identity in people {
        // Whoever has become part of another person is dirty under that id.
        sqlx::query("INSERT OR REPLACE INTO dirty (identity) SELECT id FROM identity WHERE id = ?")
            .bind(identity.as_bytes().as_slice())
            .execute(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
    }
    sqlx::query("DELETE FROM dirty_source WHERE source = ? AND mark <= ?")
        .bind(source)
        .bind(until_mark)
        .execute(connection)
        .await
        .map_err(engine(WRITE))?;
    Ok(())
}

/// Within the transaction that makes one person part of another: what was seen of them goes over, and is looked at again.
pub(super) async fn take_in(
    connection: &mut SqliteConnection,
    into: IdentityId,
    former: IdentityId,
) -> Result<(), StoreError> {
    const STEPS: [&str; 3] = [
        "INSERT OR REPLACE INTO dirty_source (source) SELECT DISTINCT source FROM sighting WHERE identity = ?2 AND ?1 != ?2",
        "UPDATE OR IGNORE sighting SET identity = ?1 WHERE identity = ?2",
        "DELETE FROM sighting WHERE identity = ?2 AND ?1 != ?2",
    ];
    for step in STEPS {
        sqlx::query(step)
            .bind(into.as_bytes().as_slice())
            .bind(former.as_bytes().as_slice())
            .execute(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
    }
    dirty::mark(connection, [into]).await
}

/// See [`CaseStore::remove_sightings`](crate::store::case::CaseStore::remove_sightings).
pub(super) async fn remove(file: &Database) -> Result<u64, StoreError> {
    const ACTION: &str = "remove old sightings";
    /// Sources of which no sighting has its events any more.
    const GONE: &str = "(SELECT s.source FROM sighting AS s JOIN identity AS i ON i.id = s.identity \
                        GROUP BY s.source HAVING max(s.time_ms > i.removed_until_ms) = 0)";
    let mut transaction = file.begin().await?;
    let mut removed = 0;
    for step in [
        "UPDATE incident SET is_frozen = 1, version = version + 1 WHERE is_frozen = 0 AND source IN ",
        "DELETE FROM dirty_source WHERE source IN ",
        "DELETE FROM sighting WHERE source IN ",
    ] {
        let mut statement = sqlx::QueryBuilder::<sqlx::Sqlite>::new(step);
        statement.push(GONE);
        let done = statement.build().execute(&mut *transaction).await;
        removed = done.map_err(engine(ACTION))?.rows_affected();
    }
    transaction.commit().await.map_err(engine(ACTION))?;
    Ok(removed)
}

fn attempt_id(bytes: &[u8]) -> Result<MfaEventId, StoreError> {
    id_bytes(bytes, "MFA event id").map(MfaEventId::from_bytes)
}
