//! The audit log's rows.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};

use super::super::{blob, engine};
use crate::audit::{AuditEntry, AuditRow, GENESIS, chain, texts};
use crate::store::StoreError;

/// Appends within the caller's transaction, which must be an immediate one: no other process can append
/// between reading the last hash and writing the next.
pub(in crate::store::sqlite) async fn append(
    connection: &mut SqliteConnection,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    const ACTION: &str = "append to the audit log";
    let last = sqlx::query("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
        .fetch_optional(&mut *connection)
        .await
        .map_err(engine(ACTION))?;
    let (number, previous) = match &last {
        Some(row) => (
            row.try_get::<i64, _>(0).map_err(engine(ACTION))? + 1,
            blob(row, 1, "hash of an audit row")?,
        ),
        None => (1, GENESIS),
    };
    let texts = texts(entry);
    let hash = chain(&previous, number.unsigned_abs(), entry.time_ms, texts);
    let mut query = sqlx::query("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(number)
        .bind(entry.time_ms);
    for text in texts {
        query = query.bind(text);
    }
    query
        .bind(hash.as_slice())
        .execute(connection)
        .await
        .map(drop)
        .map_err(engine(ACTION))
}

/// Number of the last row.
pub(super) async fn last(reader: &SqlitePool) -> Result<u64, StoreError> {
    let last: i64 = sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM audit")
        .fetch_one(reader)
        .await
        .map_err(engine("read the audit log"))?;
    Ok(last.unsigned_abs())
}

/// At most `limit` rows after `after`, in order.
pub(super) async fn rows(
    reader: &SqlitePool,
    after: u64,
    limit: u32,
) -> Result<Vec<AuditRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM audit WHERE number > ? ORDER BY number LIMIT ?")
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(reader)
        .await
        .map_err(engine("read the audit log"))?;
    rows.iter().map(row).collect()
}

fn row(row: &SqliteRow) -> Result<AuditRow, StoreError> {
    let read = || -> Result<AuditRow, sqlx::Error> {
        Ok(AuditRow {
            number: row.try_get::<i64, _>("number")?.unsigned_abs(),
            time_ms: row.try_get("time_ms")?,
            texts: [
                row.try_get("actor_kind")?,
                row.try_get("actor")?,
                row.try_get("action")?,
                row.try_get("target")?,
                row.try_get("detail")?,
                row.try_get("decision")?,
            ],
            hash: [0; 32],
        })
    };
    let mut audit = read().map_err(engine("read the audit log"))?;
    // A hash of another length is a changed row, which the verifier finds; reading goes on.
    audit.hash = blob(row, "hash", "hash of an audit row").unwrap_or(GENESIS);
    Ok(audit)
}
