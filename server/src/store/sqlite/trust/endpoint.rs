//! Endpoints.

use prost::Message;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, SqlitePool};
use tocsin_proto::agent::v1::Machine;
use tocsin_proto::console::v1::ClockSkew;
use tocsin_proto::id::{EndpointId, RunId};
use tocsin_proto::limits::TAGS_MAX;
use tocsin_proto::telemetry::v1::Health;

use super::super::{Database, blob, engine};
use super::{audit, key};
use crate::audit::AuditEntry;
use crate::store::StoreError;
use crate::store::sqlite::case::mark_linked;
use crate::store::trust::{CONFLICTS_MAX, ConflictRow, EndpointRow, FleetTotals, SUCCESSORS_MAX};

const READ: &str = "read the endpoints";

/// One endpoint.
pub(super) async fn one(reader: &SqlitePool, id: EndpointId) -> Result<EndpointRow, StoreError> {
    let row = sqlx::query("SELECT * FROM endpoint WHERE id = ?")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(reader)
        .await
        .map_err(engine(READ))?
        .ok_or_else(|| not_found(&id.to_string()))?;
    let mut endpoints = vec![endpoint_row(&row)?];
    complete(reader, &mut endpoints).await?;
    endpoints.pop().ok_or_else(|| not_found(&id.to_string()))
}

/// See [`TrustStore::endpoint_totals`](crate::store::trust::TrustStore::endpoint_totals).
pub(super) async fn totals(reader: &SqlitePool) -> Result<FleetTotals, StoreError> {
    let row = sqlx::query("SELECT count(*), coalesce(sum(revoked_time_ms <> 0), 0) FROM endpoint")
        .fetch_one(reader)
        .await
        .map_err(engine(READ))?;
    let count = |column: usize| row.try_get::<i64, _>(column).map_err(engine(READ));
    let conflicts = sqlx::query(
        "SELECT DISTINCT endpoint FROM endpoint_conflict \
         WHERE endpoint IN (SELECT id FROM endpoint WHERE revoked_time_ms = 0)",
    )
    .fetch_all(reader)
    .await
    .map_err(engine(READ))?;
    let id = |row| Ok(EndpointId::from_bytes(blob(row, 0, "endpoint id")?));
    Ok(FleetTotals {
        all: count(0)?.unsigned_abs(),
        revoked: count(1)?.unsigned_abs(),
        in_conflict: conflicts
            .iter()
            .map(id)
            .collect::<Result<_, StoreError>>()?,
    })
}

/// See [`TrustStore::successors`](crate::store::trust::TrustStore::successors).
pub(super) async fn successors(
    reader: &SqlitePool,
    id: EndpointId,
) -> Result<Vec<EndpointId>, StoreError> {
    let rows =
        sqlx::query("SELECT id FROM endpoint WHERE former = ?1 AND id <> ?1 ORDER BY 1 LIMIT ?2")
            .bind(id.as_bytes().as_slice())
            .bind(SUCCESSORS_MAX)
            .fetch_all(reader)
            .await
            .map_err(engine(READ))?;
    let id = |row| Ok(EndpointId::from_bytes(blob(row, 0, "endpoint id")?));
    rows.iter().map(id).collect()
}

/// A page, by id.
pub(super) async fn page(
    reader: &SqlitePool,
    after: Option<EndpointId>,
    limit: u32,
) -> Result<Vec<EndpointRow>, StoreError> {
    let after = after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
    let rows = sqlx::query("SELECT * FROM endpoint WHERE id > ? ORDER BY id LIMIT ?")
        .bind(after)
        .bind(limit)
        .fetch_all(reader)
        .await
        .map_err(engine(READ))?;
    let mut endpoints = rows
        .iter()
        .map(endpoint_row)
        .collect::<Result<Vec<_>, _>>()?;
    complete(reader, &mut endpoints).await?;
    Ok(endpoints)
}

/// Adds tags and conflicts to endpoints that are in the order of their ids.
async fn complete(reader: &SqlitePool, endpoints: &mut [EndpointRow]) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (endpoints.first(), endpoints.last()) else {
        return Ok(());
    };
    let (first, last) = (first.id.as_bytes().to_vec(), last.id.as_bytes().to_vec());
    let place = |endpoints: &[EndpointRow], row: &SqliteRow| {
        let id = EndpointId::from_bytes(blob(row, 0, "endpoint id")?);
        Ok::<_, StoreError>(
            endpoints
                .binary_search_by(|endpoint| endpoint.id.cmp(&id))
                .ok(),
        )
    };
    let tags = sqlx::query(
        "SELECT endpoint, tag FROM endpoint_tag WHERE endpoint BETWEEN ? AND ? ORDER BY tag",
    )
    .bind(&first)
    .bind(&last)
    .fetch_all(reader)
    .await
    .map_err(engine(READ))?;
    for row in &tags {
        let at = place(endpoints, row)?;
        if let Some(endpoint) = at.and_then(|at| endpoints.get_mut(at)) {
            endpoint.tags.push(row.try_get(1).map_err(engine(READ))?);
        }
    }
    let conflicts = sqlx::query(
        "SELECT endpoint, run, time_ms, hostname, address FROM endpoint_conflict \
         WHERE endpoint BETWEEN ? AND ? ORDER BY time_ms DESC",
    )
    .bind(&first)
    .bind(&last)
    .fetch_all(reader)
    .await
    .map_err(engine(READ))?;
    for row in &conflicts {
        let at = place(endpoints, row)?;
        if let Some(endpoint) = at.and_then(|at| endpoints.get_mut(at)) {
            endpoint.conflicts.push(ConflictRow {
                run: RunId::from_bytes(blob(row, 1, "run id")?),
                time_ms: row.try_get(2).map_err(engine(READ))?,
                hostname: row.try_get(3).map_err(engine(READ))?,
                address: row.try_get(4).map_err(engine(READ))?,
            });
        }
    }
    Ok(())
}

fn endpoint_row(row: &SqliteRow) -> Result<EndpointRow, StoreError> {
    let id = EndpointId::from_bytes(blob(row, "id", "endpoint id")?);
    let read = || -> Result<EndpointRow, sqlx::Error> {
        let machine: Vec<u8> = row.try_get("machine")?;
        let health: Option<Vec<u8>> = row.try_get("health")?;
        let health_time_ms = row.try_get("health_time_ms")?;
        let skew: Option<i64> = row.try_get("skew_min_ms")?;
        let run: Option<Vec<u8>> = row.try_get("run")?;
        let former: Option<Vec<u8>> = row.try_get("former")?;
        let former = former.and_then(|former| former.try_into().ok());
        let mut machine = Machine::decode(machine.as_slice()).unwrap_or_default();
        machine.hostname = row.try_get("hostname")?;
        Ok(EndpointRow {
            id,
            machine,
            agent_version: row.try_get("agent_version")?,
            capability: row.try_get("capability")?,
            former: former.map(EndpointId::from_bytes),
            tags: Vec::new(),
            ring: row.try_get("ring")?,
            enrolled_time_ms: row.try_get("enrolled_time_ms")?,
            last_seen_time_ms: row.try_get("last_seen_time_ms")?,
            certificate_expiry_time_ms: row.try_get("certificate_expiry_time_ms")?,
            address: row.try_get("address")?,
            run: run.and_then(|run| RunId::from_wire(&run)),
            revoked_time_ms: row.try_get("revoked_time_ms")?,
            conflicts: Vec::new(),
            clock_skew: match skew {
                Some(min_ms) => Some(ClockSkew {
                    min_ms,
                    max_ms: row.try_get("skew_max_ms")?,
                    measured_time_ms: row.try_get("skew_measured_time_ms")?,
                }),
                None => None,
            },
            health: health
                .and_then(|health| Health::decode(health.as_slice()).ok())
                .map(|health| (health_time_ms, health)),
        })
    };
    read().map_err(engine(READ))
}

/// Characters of the shortest beginning of an id that is looked up.
const PREFIX_MIN: usize = 4;

/// The endpoint that a person means.
pub(super) async fn find(reader: &SqlitePool, text: &str) -> Result<EndpointId, StoreError> {
    if let Some((from, until)) = id_range(text) {
        let rows = sqlx::query("SELECT id FROM endpoint WHERE id BETWEEN ? AND ? LIMIT 2")
            .bind(from.as_slice())
            .bind(until.as_slice())
            .fetch_all(reader)
            .await
            .map_err(engine(READ))?;
        if !rows.is_empty() {
            return only(&rows, text);
        }
    }
    let rows =
        sqlx::query("SELECT id FROM endpoint WHERE hostname = ? AND revoked_time_ms = 0 LIMIT 2")
            .bind(text)
            .fetch_all(reader)
            .await
            .map_err(engine(READ))?;
    only(&rows, text)
}

fn only(rows: &[SqliteRow], text: &str) -> Result<EndpointId, StoreError> {
    match rows {
        [] => Err(not_found(text)),
        [row] => Ok(EndpointId::from_bytes(blob(row, 0, "endpoint id")?)),
        _ => Err(StoreError::Ambiguous {
            what: "endpoint",
            id: text.to_owned(),
        }),
    }
}

/// The smallest and largest id that begin like this text; `None` where it is no beginning of an id.
pub(in crate::store::sqlite) fn id_range(text: &str) -> Option<([u8; 16], [u8; 16])> {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    if text.len() < PREFIX_MIN || text.len() > 36 {
        return None;
    }
    let (mut from, mut until) = ([0_u8; 16], [0xff_u8; 16]);
    let mut digits = 0;
    for (at, character) in text.chars().enumerate() {
        if DASHES.contains(&at) {
            if character != '-' {
                return None;
            }
            continue;
        }
        if character.is_ascii_uppercase() {
            return None;
        }
        let digit = u8::try_from(character.to_digit(16)?).ok()?;
        let (low, high) = (from.get_mut(digits / 2)?, until.get_mut(digits / 2)?);
        if digits % 2 == 0 {
            (*low, *high) = (digit << 4, digit << 4 | 0x0f);
        } else {
            (*low, *high) = (*low | digit, *high & 0xf0 | digit);
        }
        digits += 1;
    }
    Some((from, until))
}

/// Adds and removes tags, as one change.
pub(super) async fn tag(
    database: &Database,
    id: EndpointId,
    (add, remove): (&[String], &[String]),
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    const ACTION: &str = "tag an endpoint";
    let mut transaction = database.begin().await?;
    exists(&mut transaction, id).await?;
    for tag in remove {
        sqlx::query("DELETE FROM endpoint_tag WHERE endpoint = ? AND tag = ?")
            .bind(id.as_bytes().as_slice())
            .bind(tag)
            .execute(&mut *transaction)
            .await
            .map_err(engine(ACTION))?;
    }
    if !add.is_empty() {
        let mut insert =
            QueryBuilder::<Sqlite>::new("INSERT OR IGNORE INTO endpoint_tag (endpoint, tag) ");
        insert.push_values(add, |mut row, tag| {
            row.push_bind(id.as_bytes().as_slice()).push_bind(tag);
        });
        insert
            .build()
            .execute(&mut *transaction)
            .await
            .map_err(engine(ACTION))?;
    }
    let count = sqlx::query("SELECT count(*) FROM endpoint_tag WHERE endpoint = ?")
        .bind(id.as_bytes().as_slice())
        .fetch_one(&mut *transaction)
        .await
        .and_then(|row| row.try_get::<i64, _>(0))
        .map_err(engine(ACTION))?;
    if usize::try_from(count).is_ok_and(|count| count > TAGS_MAX) {
        return Err(StoreError::State {
            what: "endpoint",
            id: id.to_string(),
            why: "would have more than 64 tags: remove some",
        });
    }
    audit::append(&mut transaction, entry).await?;
    transaction.commit().await.map_err(engine(ACTION))
}

/// Revokes an endpoint and its keys.
pub(super) async fn revoke(
    database: &Database,
    id: EndpointId,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    const ACTION: &str = "revoke an endpoint";
    let mut transaction = database.begin().await?;
    exists(&mut transaction, id).await?;
    sqlx::query("UPDATE endpoint SET revoked_time_ms = ? WHERE id = ? AND revoked_time_ms = 0")
        .bind(entry.time_ms)
        .bind(id.as_bytes().as_slice())
        .execute(&mut *transaction)
        .await
        .map_err(engine(ACTION))?;
    mark_linked(&mut transaction, id).await?;
    let keys = sqlx::query("SELECT key_pin FROM endpoint_key WHERE endpoint = ?")
        .bind(id.as_bytes().as_slice())
        .fetch_all(&mut *transaction)
        .await
        .map_err(engine(ACTION))?;
    for row in keys {
        let pin: Vec<u8> = row.try_get(0).map_err(engine(ACTION))?;
        key::revoke(&mut transaction, &pin, entry.time_ms).await?;
    }
    audit::append(&mut transaction, entry).await?;
    transaction.commit().await.map_err(engine(ACTION))
}

/// Notes a refused run; of many only the newest stay.
pub(super) async fn add_conflict(
    database: &Database,
    id: EndpointId,
    conflict: &ConflictRow,
) -> Result<(), StoreError> {
    const ACTION: &str = "note a conflict";
    let mut transaction = database.begin().await?;
    sqlx::query(
        "INSERT INTO endpoint_conflict (endpoint, run, time_ms, hostname, address) \
         VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET time_ms = excluded.time_ms, \
         hostname = excluded.hostname, address = excluded.address",
    )
    .bind(id.as_bytes().as_slice())
    .bind(conflict.run.as_bytes().as_slice())
    .bind(conflict.time_ms)
    .bind(&conflict.hostname)
    .bind(&conflict.address)
    .execute(&mut *transaction)
    .await
    .map_err(engine(ACTION))?;
    sqlx::query(
        "DELETE FROM endpoint_conflict WHERE endpoint = ?1 AND run NOT IN \
         (SELECT run FROM endpoint_conflict WHERE endpoint = ?1 ORDER BY time_ms DESC LIMIT ?2)",
    )
    .bind(id.as_bytes().as_slice())
    .bind(CONFLICTS_MAX)
    .execute(&mut *transaction)
    .await
    .map_err(engine(ACTION))?;
    transaction.commit().await.map_err(engine(ACTION))
}

async fn exists(connection: &mut SqliteConnection, id: EndpointId) -> Result<(), StoreError> {
    sqlx::query("SELECT 1 FROM endpoint WHERE id = ?")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(engine(READ))?
        .map(drop)
        .ok_or_else(|| not_found(&id.to_string()))
}

fn not_found(id: &str) -> StoreError {
    StoreError::NotFound {
        what: "endpoint",
        id: id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_of_an_id_is_a_range() {
        let id = EndpointId::from_public_key(b"key");
        let text = id.to_string();
        for end in 4..=36 {
            let (from, until) = id_range(&text[..end]).unwrap();
            assert!(from <= *id.as_bytes() && *id.as_bytes() <= until, "{end}");
        }
        assert_eq!(id_range(&text).unwrap(), (*id.as_bytes(), *id.as_bytes()));
        for none in ["abc", "host-1", "ABCDEF", "abcd_", "abcdefgh", "0123456789"] {
            assert_eq!(id_range(none), None, "{none}");
        }
    }
}
