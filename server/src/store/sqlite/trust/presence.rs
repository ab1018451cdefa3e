//! When which endpoint was connected.

use prost::Message;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};
use tocsin_proto::id::{EndpointId, RunId};

use super::super::{Database, blob, engine};
use super::{clock_skew, public_address};
use crate::store::StoreError;
use crate::store::trust::{PresenceChange, PresenceRow, PublicAddressRow};

const WRITE: &str = "note who is connected";

/// Writes what changed, in one transaction.
pub(super) async fn write(
    database: &Database,
    changes: &[PresenceChange],
) -> Result<(), StoreError> {
    let mut transaction = database.begin().await?;
    for change in changes {
        write_one(&mut transaction, change).await?;
    }
    transaction.commit().await.map_err(engine(WRITE))
}

async fn write_one(
    connection: &mut SqliteConnection,
    change: &PresenceChange,
) -> Result<(), StoreError> {
    let id = change.endpoint.as_bytes().as_slice();
    let presence = &change.presence;
    sqlx::query(
        "INSERT INTO presence (endpoint, connected_time_ms, run, seen_time_ms, ended, address) \
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET \
         seen_time_ms = max(seen_time_ms, excluded.seen_time_ms), ended = max(ended, excluded.ended)",
    )
    .bind(id)
    .bind(presence.connected_time_ms)
    .bind(presence.run.as_bytes().as_slice())
    .bind(presence.seen_time_ms)
    .bind(presence.ended)
    .bind(&presence.address)
    .execute(&mut *connection)
    .await
    .map_err(engine(WRITE))?;
    sqlx::query("UPDATE endpoint SET last_seen_time_ms = max(last_seen_time_ms, ?) WHERE id = ?")
        .bind(presence.seen_time_ms)
        .bind(id)
        .execute(&mut *connection)
        .await
        .map_err(engine(WRITE))?;
    write_facts(connection, change).await
}

/// What it said and what was measured, where that is new.
async fn write_facts(
    connection: &mut SqliteConnection,
    change: &PresenceChange,
) -> Result<(), StoreError> {
    let id = change.endpoint.as_bytes().as_slice();
    let presence = &change.presence;
    if let Some(facts) = &change.hello {
        sqlx::query(
            "UPDATE endpoint SET hostname = ?, machine = ?, agent_version = ?, capability = ?, \
             run = ?, address = ? WHERE id = ?",
        )
        .bind(&facts.machine.hostname)
        .bind(facts.machine.encode_to_vec())
        .bind(&facts.agent_version)
        .bind(facts.capability)
        .bind(presence.run.as_bytes().as_slice())
        .bind(&presence.address)
        .bind(id)
        .execute(&mut *connection)
        .await
        .map_err(engine(WRITE))?;
    }
    for address in &change.public_addresses {
        let row = PublicAddressRow {
            endpoint: change.endpoint,
            address: address.clone(),
            from_ms: presence.connected_time_ms,
            until_ms: presence.seen_time_ms,
        };
        public_address::add_one(connection, &row).await?;
    }
    if let Some(skew) = &change.clock_skew {
        clock_skew::add(connection, change.endpoint, skew).await?;
        sqlx::query(
            "UPDATE endpoint SET skew_min_ms = ?, skew_max_ms = ?, skew_measured_time_ms = ? \
             WHERE id = ?",
        )
        .bind(skew.min_ms)
        .bind(skew.max_ms)
        .bind(skew.measured_time_ms)
        .bind(id)
        .execute(&mut *connection)
        .await
        .map_err(engine(WRITE))?;
    }
    if let Some((time_ms, health)) = &change.health {
        sqlx::query("UPDATE endpoint SET health = ?, health_time_ms = ? WHERE id = ?")
            .bind(health.encode_to_vec())
            .bind(time_ms)
            .bind(id)
            .execute(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
    }
    Ok(())
}

/// Ends what a former run of the server left open: known is only until when it was seen.
pub(super) async fn end_all(database: &Database) -> Result<(), StoreError> {
    sqlx::query("UPDATE presence SET ended = 1 WHERE ended = 0")
        .execute(&database.writer)
        .await
        .map(drop)
        .map_err(engine(WRITE))
}

/// Stretches that touch an interval.
pub(super) async fn between(
    reader: &SqlitePool,
    id: EndpointId,
    (from_time_ms, until_time_ms): (i64, i64),
    limit: u32,
) -> Result<Vec<PresenceRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT run, address, connected_time_ms, seen_time_ms, ended FROM presence \
         WHERE endpoint = ? AND connected_time_ms <= ? AND seen_time_ms >= ? \
         ORDER BY connected_time_ms LIMIT ?",
    )
    .bind(id.as_bytes().as_slice())
    .bind(until_time_ms)
    .bind(from_time_ms)
    .bind(limit)
    .fetch_all(reader)
    .await
    .map_err(engine("read when an endpoint was connected"))?;
    rows.iter().map(presence_row).collect()
}

/// Removes old stretches, public addresses and clock skews, of each at most so many; how many of whichever are most.
pub(super) async fn remove(
    database: &Database,
    before_time_ms: i64,
    limit: u32,
) -> Result<u64, StoreError> {
    let mut transaction = database.begin().await?;
    let stretches = remove_stretches(&mut transaction, before_time_ms, limit).await?;
    let addresses = public_address::remove(&mut transaction, before_time_ms, limit).await?;
    let skews = clock_skew::remove(&mut transaction, before_time_ms, limit).await?;
    transaction.commit().await.map_err(engine(WRITE))?;
    Ok(stretches.max(addresses).max(skews))
}

async fn remove_stretches(
    connection: &mut SqliteConnection,
    before_time_ms: i64,
    limit: u32,
) -> Result<u64, StoreError> {
    sqlx::query(
        "DELETE FROM presence WHERE (endpoint, connected_time_ms, run) IN \
         (SELECT endpoint, connected_time_ms, run FROM presence \
          WHERE ended = 1 AND seen_time_ms < ? LIMIT ?)",
    )
    .bind(before_time_ms)
    .bind(limit)
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
    .map_err(engine("remove old presence"))
}

fn presence_row(row: &SqliteRow) -> Result<PresenceRow, StoreError> {
    let run = RunId::from_bytes(blob(row, 0, "run id")?);
    let read = || -> Result<PresenceRow, sqlx::Error> {
        Ok(PresenceRow {
            run,
            address: row.try_get(1)?,
            connected_time_ms: row.try_get(2)?,
            seen_time_ms: row.try_get(3)?,
            ended: row.try_get(4)?,
        })
    };
    read().map_err(engine("read when an endpoint was connected"))
}
