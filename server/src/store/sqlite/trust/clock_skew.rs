//! How far an endpoint's clock stood from the server's, and when.

use sqlx::{SqliteConnection, SqlitePool};
use tocsin_proto::console::v1::ClockSkew;
use tocsin_proto::id::EndpointId;

use super::super::engine;
use crate::store::StoreError;
use crate::store::trust::{CLOCK_SKEW_JOIN_MS, CLOCK_SKEW_WIDTH_MS, CLOCK_SKEWS_MAX, ClockSkewRow};

const WRITE: &str = "note a clock skew";

/// Widens the newest row to hold a measurement, where that says about as much as the measurement does; otherwise adds
/// a row, and the oldest make room.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    endpoint: EndpointId,
    skew: &ClockSkew,
) -> Result<(), StoreError> {
    let id = endpoint.as_bytes().as_slice();
    let width = skew.max_ms.saturating_sub(skew.min_ms).saturating_mul(2);
    let widened = sqlx::query(
        "UPDATE clock_skew SET min_ms = min(min_ms, ?1), max_ms = max(max_ms, ?2), \
         until_ms = max(until_ms, ?3) WHERE endpoint = ?4 \
         AND from_ms = (SELECT max(from_ms) FROM clock_skew WHERE endpoint = ?4) \
         AND ?3 BETWEEN from_ms AND until_ms + ?5 AND max(max_ms, ?2) - min(min_ms, ?1) <= ?6",
    );
    let widened = widened
        .bind(skew.min_ms)
        .bind(skew.max_ms)
        .bind(skew.measured_time_ms)
        .bind(id)
        .bind(CLOCK_SKEW_JOIN_MS)
        .bind(width.max(CLOCK_SKEW_WIDTH_MS));
    let done = widened.execute(&mut *connection).await;
    if done.map_err(engine(WRITE))?.rows_affected() > 0 {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO clock_skew (endpoint, from_ms, until_ms, min_ms, max_ms) VALUES (?1, ?2, ?2, ?3, ?4) \
         ON CONFLICT DO UPDATE SET min_ms = min(min_ms, excluded.min_ms), max_ms = max(max_ms, excluded.max_ms)",
    )
    .bind(id)
    .bind(skew.measured_time_ms)
    .bind(skew.min_ms)
    .bind(skew.max_ms)
    .execute(&mut *connection)
    .await
    .map_err(engine(WRITE))?;
    sqlx::query(
        "DELETE FROM clock_skew WHERE endpoint = ?1 AND from_ms IN (SELECT from_ms FROM clock_skew \
         WHERE endpoint = ?1 ORDER BY from_ms DESC LIMIT -1 OFFSET ?2)",
    )
    .bind(id)
    .bind(CLOCK_SKEWS_MAX)
    .execute(connection)
    .await
    .map(drop)
    .map_err(engine(WRITE))
}

/// Rows that touch an interval.
pub(super) async fn between(
    reader: &SqlitePool,
    id: EndpointId,
    (from_ms, until_ms): (i64, i64),
) -> Result<Vec<ClockSkewRow>, StoreError> {
    let rows: Vec<(i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT from_ms, until_ms, min_ms, max_ms FROM clock_skew \
         WHERE endpoint = ? AND from_ms <= ? AND until_ms >= ? ORDER BY from_ms",
    )
    .bind(id.as_bytes().as_slice())
    .bind(until_ms)
    .bind(from_ms)
    .fetch_all(reader)
    .await
    .map_err(engine("read clock skews"))?;
    let row = |(from_ms, until_ms, min_ms, max_ms)| ClockSkewRow {
        from_ms,
        until_ms,
        min_ms,
        max_ms,
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Removes old rows.
pub(super) async fn remove(
    connection: &mut SqliteConnection,
    before_time_ms: i64,
    limit: u32,
) -> Result<u64, StoreError> {
    sqlx::query(
        "DELETE FROM clock_skew WHERE (endpoint, from_ms) IN \
         (SELECT endpoint, from_ms FROM clock_skew WHERE until_ms < ? LIMIT ?)",
    )
    .bind(before_time_ms)
    .bind(limit)
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
    .map_err(engine("remove old clock skews"))
}
