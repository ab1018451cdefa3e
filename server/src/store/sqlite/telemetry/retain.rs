//! What goes, and what is kept of it.

use tocsin_proto::id::{EndpointId, RunId};

use super::{signed, unsigned};
use crate::store::StoreError;
use crate::store::sqlite::{Database, engine};
use crate::store::telemetry::{BATCHES_MAX, ProcessSnapshot};

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
    let mut transaction = file
        .writer
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(engine(REMOVE))?;
    // Numbers grow with the time of receipt but for the server's clock being set back; a few batches too many
    // or too few at the edge do not matter.
    let removed: Vec<(i64, i64)> = sqlx::query_as(
        "DELETE FROM batch WHERE no IN (SELECT no FROM batch ORDER BY no LIMIT ?) AND receive_time_ms < ? \
         RETURNING run_no, events",
    )
    .bind(limit.min(BATCHES_MAX))
    .bind(received_before_ms)
    .fetch_all(&mut *transaction)
    .await
    .map_err(engine(REMOVE))?;
    for (run_no, events) in &removed {
        sqlx::query("UPDATE run SET stored_events = max(stored_events - ?, 0) WHERE no = ?")
            .bind(events)
            .bind(run_no)
            .execute(&mut *transaction)
            .await
            .map_err(engine(REMOVE))?;
    }
    transaction.commit().await.map_err(engine(REMOVE))?;
    if !removed.is_empty() {
        sqlx::query(VACUUM_PAGES)
            .execute(&file.writer)
            .await
            .map_err(engine(REMOVE))?;
    }
    Ok(removed.len() as u64)
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
