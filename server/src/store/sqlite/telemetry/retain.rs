//! What goes, and what is kept of it.

use sqlx::query::QueryAs;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite};
use tocsin_proto::id::{EndpointId, RunId};

use super::append::{Removed, uncount};
use super::{signed, unsigned};
use crate::store::StoreError;
use crate::store::sqlite::{Database, blob, engine};
use crate::store::telemetry::{BATCHES_MAX, Heaviest, ProcessSnapshot};

const REMOVE: &str = "remove old event batches";

/// Pages given back to the file system at once: short enough that no commit waits long for it.
const VACUUM_PAGES: &str = "PRAGMA incremental_vacuum(512)";

/// Bytes on disk that hold something: the file without its free pages.
pub(super) async fn bytes_used(file: &Database) -> Result<u64, StoreError> {
    let bytes: i64 = sqlx::query_scalar(
        "SELECT (page_count - freelist_count) * page_size \
         FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()",
    )
    .fetch_one(&file.reader)
    .await
    .map_err(engine("measure the telemetry database"))?;
    Ok(unsigned(bytes))
}

/// See [`TelemetryStore::remove_oldest`](crate::store::telemetry::TelemetryStore::remove_oldest).
pub(super) async fn remove_oldest(
    file: &Database,
    received_before_ms: i64,
    limit: u32,
) -> Result<u64, StoreError> {
    // Numbers grow with the time of receipt but for the server's clock being set back; a few batches too many
    // or too few at the edge do not matter.
    let query = sqlx::query_as(
        "DELETE FROM batch WHERE no IN (SELECT no FROM batch ORDER BY no LIMIT ?) AND receive_time_ms < ? \
         RETURNING run_no, events, length(payload)",
    );
    let query = query.bind(limit.min(BATCHES_MAX)).bind(received_before_ms);
    remove(file, query).await
}

/// See [`TelemetryStore::remove_oldest_of`](crate::store::telemetry::TelemetryStore::remove_oldest_of).
pub(super) async fn remove_oldest_of(
    file: &Database,
    endpoint: EndpointId,
    limit: u32,
) -> Result<u64, StoreError> {
    let query = sqlx::query_as(
        "DELETE FROM batch WHERE no IN (SELECT no FROM batch WHERE run_no = \
         (SELECT min(run.no) FROM run JOIN endpoint ON endpoint.no = endpoint_no \
         WHERE endpoint.id = ? AND stored_bytes > 0) ORDER BY first_sequence LIMIT ?) \
         RETURNING run_no, events, length(payload)",
    );
    let query = query
        .bind(endpoint.as_bytes().to_vec())
        .bind(limit.min(BATCHES_MAX));
    remove(file, query).await
}

type Delete<'q> = QueryAs<'q, Sqlite, Removed, SqliteArguments>;

async fn remove(file: &Database, query: Delete<'_>) -> Result<u64, StoreError> {
    let mut transaction = file
        .writer
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(engine(REMOVE))?;
    let removed = query
        .fetch_all(&mut *transaction)
        .await
        .map_err(engine(REMOVE))?;
    uncount(&mut transaction, &removed)
        .await
        .map_err(engine(REMOVE))?;
    transaction.commit().await.map_err(engine(REMOVE))?;
    if !removed.is_empty() {
        sqlx::query(VACUUM_PAGES)
            .execute(&file.writer)
            .await
            .map_err(engine(REMOVE))?;
    }
    Ok(removed.len() as u64)
}

/// See [`TelemetryStore::heaviest`](crate::store::telemetry::TelemetryStore::heaviest).
pub(super) async fn heaviest(file: &Database) -> Result<Option<Heaviest>, StoreError> {
    const ACTION: &str = "find the endpoint that holds most";
    let row: Option<SqliteRow> = sqlx::query(
        "SELECT (SELECT id FROM endpoint WHERE no = endpoint_no), bytes, sum(bytes) OVER (), count(*) OVER () \
         FROM (SELECT endpoint_no, sum(stored_bytes) AS bytes FROM run WHERE stored_bytes > 0 GROUP BY endpoint_no) \
         ORDER BY bytes DESC LIMIT 1",
    )
    .fetch_optional(&file.reader)
    .await
    .map_err(engine(ACTION))?;
    let Some(row) = row else {
        return Ok(None);
    };
    let number = |column: usize| row.try_get::<i64, _>(column).map(unsigned);
    let bytes = number(1).map_err(engine(ACTION))?;
    let of_all = number(2).map_err(engine(ACTION))?;
    let endpoints = number(3).map_err(engine(ACTION))?;
    Ok(Some(Heaviest {
        endpoint: EndpointId::from_bytes(blob(&row, 0, "endpoint")?),
        bytes,
        others: endpoints.saturating_sub(1),
        bytes_of_others: of_all.saturating_sub(bytes),
    }))
}

/// See [`TelemetryStore::keep_process_snapshot`](crate::store::telemetry::TelemetryStore::keep_process_snapshot).
pub(super) async fn keep_process_snapshot(
    file: &Database,
    endpoint: EndpointId,
    run: RunId,
    snapshot: &ProcessSnapshot,
) -> Result<(), StoreError> {
    const ACTION: &str = "keep a process table";
    let mut transaction = file
        .writer
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(engine(ACTION))?;
    sqlx::query(
        "DELETE FROM process_snapshot WHERE run_no IN \
         (SELECT run.no FROM run JOIN endpoint ON endpoint.no = endpoint_no WHERE endpoint.id = ?)",
    )
    .bind(endpoint.as_bytes().as_slice())
    .execute(&mut *transaction)
    .await
    .map_err(engine(ACTION))?;
    sqlx::query(
        "INSERT INTO process_snapshot (run_no, through_sequence, event_time_max_ms, payload) \
         SELECT run.no, ?, ?, ? FROM run JOIN endpoint ON endpoint.no = endpoint_no \
         WHERE endpoint.id = ? AND run.id = ?",
    )
    .bind(signed(snapshot.through_sequence))
    .bind(snapshot.event_time_max_ms)
    .bind(snapshot.payload.as_slice())
    .bind(endpoint.as_bytes().as_slice())
    .bind(run.as_bytes().as_slice())
    .execute(&mut *transaction)
    .await
    .map_err(engine(ACTION))?;
    transaction.commit().await.map_err(engine(ACTION))
}
