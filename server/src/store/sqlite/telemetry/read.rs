//! Bytes of batches, and what is known of runs and endpoints.

use sqlx::{QueryBuilder, Sqlite};
use tocsin_proto::id::{BootId, EndpointId, RunId};

use super::unsigned;
use crate::store::StoreError;
use crate::store::sqlite::{Database, engine};
use crate::store::telemetry::{EndpointTotals, ProcessSnapshot, RunRow, RunSpan};

/// See [`TelemetryStore::payloads`](crate::store::telemetry::TelemetryStore::payloads).
pub(super) async fn payloads(
    file: &Database,
    numbers: &[i64],
) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT no, payload FROM batch WHERE no IN (");
    let mut list = sql.separated(", ");
    for number in numbers {
        list.push_bind(*number);
    }
    sql.push(")");
    sql.build_query_as()
        .persistent(false)
        .fetch_all(&file.reader)
        .await
        .map_err(engine("read event batches"))
}

/// See [`TelemetryStore::mark`](crate::store::telemetry::TelemetryStore::mark).
pub(super) async fn mark(
    file: &Database,
    endpoint: EndpointId,
    run: RunId,
) -> Result<u64, StoreError> {
    let mark: Option<i64> = sqlx::query_scalar(
        "SELECT committed_through FROM run WHERE id = ?2 \
         AND endpoint_no = (SELECT no FROM endpoint WHERE id = ?1)",
    )
    .bind(endpoint.as_bytes().as_slice())
    .bind(run.as_bytes().as_slice())
    .fetch_optional(&file.reader)
    .await
    .map_err(engine("read the mark of a run"))?;
    Ok(mark.map_or(0, unsigned))
}

/// See [`TelemetryStore::payloads_after`](crate::store::telemetry::TelemetryStore::payloads_after).
pub(super) async fn payloads_after(
    file: &Database,
    number: i64,
    kinds: u32,
    limit: u32,
) -> Result<Vec<(i64, EndpointId, Vec<u8>)>, StoreError> {
    let rows: Vec<(i64, Vec<u8>, Vec<u8>)> = sqlx::query_as(
        "SELECT b.no, e.id, b.payload FROM batch AS b JOIN endpoint AS e ON e.no = b.endpoint_no \
         WHERE b.no > ? AND b.kinds & ? != 0 ORDER BY b.no LIMIT ?",
    )
    .bind(number)
    .bind(kinds)
    .bind(limit)
    .fetch_all(&file.reader)
    .await
    .map_err(engine("read event batches"))?;
    rows.into_iter()
        .map(|(number, endpoint, payload)| {
            let endpoint: [u8; 16] = endpoint.try_into().map_err(|_| StoreError::Damaged {
                what: "endpoint id",
            })?;
            Ok((number, EndpointId::from_bytes(endpoint), payload))
        })
        .collect()
}

/// See [`TelemetryStore::latest_run`](crate::store::telemetry::TelemetryStore::latest_run).
pub(super) async fn latest_run(
    file: &Database,
    endpoint: EndpointId,
) -> Result<Option<RunRow>, StoreError> {
    let row: Option<(Vec<u8>, Vec<u8>, i64, i64)> = sqlx::query_as(
        "SELECT id, boot_id, committed_through, last_event_time_ms FROM run \
         WHERE endpoint_no = (SELECT no FROM endpoint WHERE id = ?) ORDER BY no DESC LIMIT 1",
    )
    .bind(endpoint.as_bytes().as_slice())
    .fetch_optional(&file.reader)
    .await
    .map_err(engine("read the runs of an endpoint"))?;
    let Some((run, boot, mark, event_time_max_ms)) = row else {
        return Ok(None);
    };
    let damaged = || StoreError::Damaged { what: "run" };
    Ok(Some(RunRow {
        endpoint,
        run: RunId::from_wire(&run).ok_or_else(damaged)?,
        boot: BootId::from_wire(&boot).ok_or_else(damaged)?,
        committed_through: unsigned(mark),
        event_time_max_ms,
    }))
}

/// See [`TelemetryStore::run_spans`](crate::store::telemetry::TelemetryStore::run_spans).
pub(super) async fn run_spans(
    file: &Database,
    endpoint: EndpointId,
    interval_ms: (i64, i64),
    limit: u32,
) -> Result<Vec<RunSpan>, StoreError> {
    let rows: Vec<(Vec<u8>, Vec<u8>, i64, i64)> = sqlx::query_as(
        "SELECT id, boot_id, first_event_time_ms, last_event_time_ms FROM run \
         WHERE endpoint_no = (SELECT no FROM endpoint WHERE id = ?) \
         AND last_event_time_ms >= ? AND first_event_time_ms <= ? ORDER BY no DESC LIMIT ?",
    )
    .bind(endpoint.as_bytes().as_slice())
    .bind(interval_ms.0)
    .bind(interval_ms.1)
    .bind(limit)
    .fetch_all(&file.reader)
    .await
    .map_err(engine("read the runs of an endpoint"))?;
    let damaged = || StoreError::Damaged { what: "run" };
    rows.into_iter()
        .map(|(run, boot, from_ms, until_ms)| {
            Ok(RunSpan {
                run: RunId::from_wire(&run).ok_or_else(damaged)?,
                boot: BootId::from_wire(&boot).ok_or_else(damaged)?,
                from_ms,
                until_ms,
            })
        })
        .collect()
}

/// See [`TelemetryStore::first_event_ms`](crate::store::telemetry::TelemetryStore::first_event_ms).
pub(super) async fn first_event_ms(
    file: &Database,
    endpoint: EndpointId,
) -> Result<Option<i64>, StoreError> {
    sqlx::query_scalar(
        "SELECT min(first_event_time_ms) FROM run WHERE endpoint_no = (SELECT no FROM endpoint WHERE id = ?)",
    )
    .bind(endpoint.as_bytes().as_slice())
    .fetch_one(&file.reader)
    .await
    .map_err(engine("read the runs of an endpoint"))
}

/// See [`TelemetryStore::totals`](crate::store::telemetry::TelemetryStore::totals).
pub(super) async fn totals(
    file: &Database,
    endpoints: &[EndpointId],
) -> Result<Vec<EndpointTotals>, StoreError> {
    let mut totals = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        let (events, event_time_max_ms, receive_time_ms): (i64, i64, i64) = sqlx::query_as(
            "SELECT coalesce(sum(stored_events), 0), coalesce(max(last_event_time_ms), 0), \
             coalesce(max(last_receive_time_ms), 0) \
             FROM run WHERE endpoint_no = (SELECT no FROM endpoint WHERE id = ?)",
        )
        .bind(endpoint.as_bytes().as_slice())
        .fetch_one(&file.reader)
        .await
        .map_err(engine("count an endpoint's events"))?;
        totals.push(EndpointTotals {
            events: unsigned(events),
            event_time_max_ms,
            receive_time_ms,
        });
    }
    Ok(totals)
}

/// See [`TelemetryStore::process_snapshot`](crate::store::telemetry::TelemetryStore::process_snapshot).
pub(super) async fn process_snapshot(
    file: &Database,
    endpoint: EndpointId,
    run: RunId,
) -> Result<Option<ProcessSnapshot>, StoreError> {
    let row: Option<(i64, i64, Vec<u8>)> = sqlx::query_as(
        "SELECT through_sequence, event_time_max_ms, payload FROM process_snapshot \
         JOIN run ON run.no = run_no JOIN endpoint ON endpoint.no = endpoint_no \
         WHERE endpoint.id = ? AND run.id = ?",
    )
    .bind(endpoint.as_bytes().as_slice())
    .bind(run.as_bytes().as_slice())
    .fetch_optional(&file.reader)
    .await
    .map_err(engine("read a process table"))?;
    Ok(
        row.map(|(through, event_time_max_ms, payload)| ProcessSnapshot {
            through_sequence: unsigned(through),
            event_time_max_ms,
            payload,
        }),
    )
}
