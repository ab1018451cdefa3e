//! Which batches a reader needs, by time and by sequence.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row, Sqlite};
use tocsin_proto::event::EventKind;
use tocsin_proto::id::{EndpointId, EventId, RunId};

use super::{signed, unsigned};
use crate::store::StoreError;
use crate::store::sqlite::{Database, engine};
use crate::store::telemetry::{BATCHES_MAX, BatchCursor, BatchHead, BatchQuery, StoredBatch};

const ACTION: &str = "list event batches";

/// What "wide" means in the index `batch_wide`.
const WIDE_MS: i64 = 60_000;

/// CROSS JOIN: the batch is found first, whatever SQLite thinks of the others.
const COLUMNS: &str = "SELECT batch.no, endpoint.id AS endpoint_id, run.id AS run_id, first_sequence, last_sequence, \
     events, event_time_min_ms, event_time_max_ms, kinds, receive_time_ms, length(payload) AS bytes \
     FROM batch CROSS JOIN run ON run.no = run_no CROSS JOIN endpoint ON endpoint.no = batch.endpoint_no WHERE ";

/// A row of [`COLUMNS`].
struct Listed(StoredBatch);

impl<'r> FromRow<'r, SqliteRow> for Listed {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        let damaged = |column: &str| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: "not an id of 16 bytes".into(),
        };
        let endpoint = EndpointId::from_wire(row.try_get("endpoint_id")?);
        let run = RunId::from_wire(row.try_get("run_id")?);
        Ok(Self(StoredBatch {
            number: row.try_get("no")?,
            head: BatchHead {
                endpoint: endpoint.ok_or_else(|| damaged("endpoint_id"))?,
                run: run.ok_or_else(|| damaged("run_id"))?,
                first_sequence: unsigned(row.try_get("first_sequence")?),
                last_sequence: unsigned(row.try_get("last_sequence")?),
                events: row.try_get("events")?,
                event_time_min_ms: row.try_get("event_time_min_ms")?,
                event_time_max_ms: row.try_get("event_time_max_ms")?,
                kinds: row.try_get("kinds")?,
                receive_time_ms: row.try_get("receive_time_ms")?,
            },
            bytes: row.try_get("bytes")?,
        }))
    }
}

/// Number of the newest batch.
pub(super) async fn last_number(file: &Database) -> Result<i64, StoreError> {
    sqlx::query_scalar("SELECT coalesce(max(no), 0) FROM batch")
        .fetch_one(&file.reader)
        .await
        .map_err(engine(ACTION))
}

/// See [`TelemetryStore::list_batches`](crate::store::telemetry::TelemetryStore::list_batches).
///
/// A batch that overlaps the interval is sorted by its end, which may lie far beyond the interval only where the
/// batch is wide. So the listing begins with the wide ones from an index of their own, and goes on with all others
/// from at most [`WIDE_MS`] beyond the interval. Ascending it is the mirror image.
pub(super) async fn list_batches(
    file: &Database,
    query: &BatchQuery,
    after: Option<BatchCursor>,
    limit: u32,
) -> Result<Vec<StoredBatch>, StoreError> {
    let limit = limit.min(BATCHES_MAX);
    let edge = if query.ascending {
        query.since_time_ms.saturating_sub(WIDE_MS)
    } else {
        query.until_time_ms.saturating_add(WIDE_MS)
    };
    let in_wide = after.is_none_or(|after| {
        if query.ascending {
            after.time_ms < edge
        } else {
            after.time_ms > edge
        }
    });
    let mut found = Vec::new();
    if in_wide && query.endpoint.is_none() {
        found = part(file, query, Some(edge), after, limit).await?;
    }
    let rest = limit - u32::try_from(found.len()).unwrap_or(limit);
    if rest == 0 {
        return Ok(found);
    }
    // One endpoint's batches are few enough to walk from the end; all endpoints' are not.
    let start = BatchCursor {
        time_ms: edge,
        number: if query.ascending { 0 } else { i64::MAX },
    };
    let after = match after {
        Some(after) if !in_wide => Some(after),
        _ if query.endpoint.is_some() => after,
        _ => Some(start),
    };
    found.extend(part(file, query, None, after, rest).await?);
    Ok(found)
}

/// One part of the listing: the wide batches beyond `wide_edge`, or all.
async fn part(
    file: &Database,
    query: &BatchQuery,
    wide_edge: Option<i64>,
    after: Option<BatchCursor>,
    limit: u32,
) -> Result<Vec<StoredBatch>, StoreError> {
    let mut sql = QueryBuilder::<Sqlite>::new(COLUMNS);
    // The unary plus keeps SQLite from choosing an index for a filter that only narrows.
    sql.push("+batch.no <= ").push_bind(query.number_max);
    if let Some(endpoint) = query.endpoint {
        sql.push(" AND batch.endpoint_no = (SELECT no FROM endpoint WHERE id = ")
            .push_bind(endpoint.as_bytes().to_vec())
            .push(")");
    }
    if query.kinds == EventKind::Gap.bit() {
        // Word for word as in the index `batch_gap`, which can only so be used.
        sql.push(" AND kinds & 2 != 0");
    } else if query.kinds != 0 {
        sql.push(" AND kinds & ")
            .push_bind(query.kinds)
            .push(" != 0");
    }
    let (sorted, other) = if query.ascending {
        ("event_time_min_ms", "event_time_max_ms")
    } else {
        ("event_time_max_ms", "event_time_min_ms")
    };
    let (compare, reverse, order) = if query.ascending {
        (">", "<", "ASC")
    } else {
        ("<", ">", "DESC")
    };
    let (near, far) = if query.ascending {
        (query.since_time_ms, query.until_time_ms)
    } else {
        (query.until_time_ms, query.since_time_ms)
    };
    sql.push(format_args!(" AND +{other} {compare}= "))
        .push_bind(near);
    sql.push(format_args!(" AND {sorted} {reverse}= "))
        .push_bind(far);
    if let Some(edge) = wide_edge {
        sql.push(format_args!(
            " AND event_time_max_ms - event_time_min_ms > 60000 AND {sorted} {reverse} "
        ))
        .push_bind(edge);
    }
    if let Some(after) = after {
        sql.push(format_args!(" AND ({sorted}, batch.no) {compare} ("))
            .push_bind(after.time_ms)
            .push(", ")
            .push_bind(after.number)
            .push(")");
    }
    sql.push(format_args!(
        " ORDER BY {sorted} {order}, batch.no {order} LIMIT "
    ))
    .push_bind(limit);
    let rows: Vec<Listed> = sql
        .build_query_as()
        .fetch_all(&file.reader)
        .await
        .map_err(engine(ACTION))?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// See [`TelemetryStore::run_batches`](crate::store::telemetry::TelemetryStore::run_batches).
pub(super) async fn run_batches(
    file: &Database,
    of: (EndpointId, RunId),
    after_sequence: u64,
    kinds: u32,
    limit: u32,
) -> Result<Vec<StoredBatch>, StoreError> {
    let Some(run_no) = run_no(file, of).await? else {
        return Ok(Vec::new());
    };
    // The batch that the next sequence lies in begins at or before it; only a bound value finds it by the index.
    let from: Option<i64> = sqlx::query_scalar(
        "SELECT max(first_sequence) FROM batch WHERE run_no = ? AND first_sequence <= ?",
    )
    .bind(run_no)
    .bind(signed(after_sequence.saturating_add(1)))
    .fetch_one(&file.reader)
    .await
    .map_err(engine(ACTION))?;
    let mut sql = QueryBuilder::<Sqlite>::new(COLUMNS);
    sql.push("run_no = ").push_bind(run_no);
    sql.push(" AND first_sequence >= ")
        .push_bind(from.unwrap_or_default());
    sql.push(" AND last_sequence > ")
        .push_bind(signed(after_sequence));
    if kinds != 0 {
        sql.push(" AND kinds & ").push_bind(kinds).push(" != 0");
    }
    sql.push(" ORDER BY first_sequence LIMIT ")
        .push_bind(limit.min(BATCHES_MAX));
    let rows: Vec<Listed> = sql
        .build_query_as()
        .fetch_all(&file.reader)
        .await
        .map_err(engine(ACTION))?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// See [`TelemetryStore::batch_of`](crate::store::telemetry::TelemetryStore::batch_of).
pub(super) async fn batch_of(
    file: &Database,
    event: EventId,
) -> Result<Option<StoredBatch>, StoreError> {
    let Some(run_no) = run_no(file, (event.endpoint, event.run)).await? else {
        return Ok(None);
    };
    let mut sql = QueryBuilder::<Sqlite>::new(COLUMNS);
    sql.push("run_no = ").push_bind(run_no);
    sql.push(" AND first_sequence <= ")
        .push_bind(signed(event.sequence.0))
        .push(" ORDER BY first_sequence DESC LIMIT 1");
    let row: Option<Listed> = sql
        .build_query_as()
        .fetch_optional(&file.reader)
        .await
        .map_err(engine(ACTION))?;
    Ok(row
        .map(|row| row.0)
        .filter(|batch| batch.head.last_sequence >= event.sequence.0))
}

async fn run_no(
    file: &Database,
    (endpoint, run): (EndpointId, RunId),
) -> Result<Option<i64>, StoreError> {
    sqlx::query_scalar(
        "SELECT run.no FROM run JOIN endpoint ON endpoint.no = run.endpoint_no WHERE endpoint.id = ? AND run.id = ?",
    )
    .bind(endpoint.as_bytes().as_slice())
    .bind(run.as_bytes().as_slice())
    .fetch_optional(&file.reader)
    .await
    .map_err(engine(ACTION))
}
