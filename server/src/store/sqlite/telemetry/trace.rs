//! Traces and news: written with their batches, read by class and time.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;
use tocsin_proto::id::{BootId, EndpointId, RunId};

use super::{RunState, signed, unsigned};
use crate::store::StoreError;
use crate::store::sqlite::{Database, engine};
use crate::store::telemetry::NewBatch;
use crate::store::trace::{Class, ClassState, News, StoredTrace, TraceQuery};

const WRITE: &str = "store traces";
const READ: &str = "read traces";
const REMOVE: &str = "remove traces";

/// What one transaction adds: counts of traces and times of news, to be written once at its end.
#[derive(Debug, Default)]
pub(super) struct Noted {
    traces: BTreeMap<(i64, i64), i64>,
    times_ms: BTreeMap<i64, (i64, i64)>,
}

impl Noted {
    /// Writes the traces of a batch and notes its times.
    pub(super) async fn batch(
        &mut self,
        connection: &mut SqliteConnection,
        run: &RunState,
        batch: &NewBatch,
    ) -> Result<(), StoreError> {
        for trace in &batch.traces {
            sqlx::query(
                "INSERT INTO trace (endpoint_no, class, event_time_ms, run_no, sequence, event) \
                 VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(run.endpoint_no)
            .bind(trace.class.number())
            .bind(trace.event_time_ms)
            .bind(run.no)
            .bind(signed(trace.sequence))
            .bind(trace.event.as_slice())
            .execute(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
            let key = (run.endpoint_no, trace.class.number());
            *self.traces.entry(key).or_default() += 1;
        }
        let head = &batch.head;
        self.time(run.endpoint_no, head.event_time_min_ms);
        self.time(run.endpoint_no, head.event_time_max_ms);
        Ok(())
    }

    /// Removes the trace of a hole that is none.
    pub(super) async fn remove_hole(
        &mut self,
        connection: &mut SqliteConnection,
        run: &RunState,
        (sequence, time_ms): (i64, i64),
    ) -> Result<(), StoreError> {
        let removed = sqlx::query(
            "DELETE FROM trace WHERE endpoint_no = ? AND class = ? AND event_time_ms = ? AND run_no = ? \
             AND sequence = ?",
        )
        .bind(run.endpoint_no)
        .bind(Class::Gap.number())
        .bind(time_ms)
        .bind(run.no)
        .bind(sequence)
        .execute(connection)
        .await
        .map_err(engine(REMOVE))?
        .rows_affected();
        let key = (run.endpoint_no, Class::Gap.number());
        *self.traces.entry(key).or_default() -= i64::try_from(removed).unwrap_or(i64::MAX);
        self.time(run.endpoint_no, time_ms);
        Ok(())
    }

    fn time(&mut self, endpoint_no: i64, time_ms: i64) {
        let times = self
            .times_ms
            .entry(endpoint_no)
            .or_insert((time_ms, time_ms));
        *times = (times.0.min(time_ms), times.1.max(time_ms));
    }

    /// Writes what was noted.
    pub(super) async fn write(self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        for ((endpoint_no, class), traces) in self.traces {
            sqlx::query(
                "INSERT INTO trace_class (endpoint_no, class, traces, since_ms) VALUES (?, ?, ?, 0) \
                 ON CONFLICT DO UPDATE SET traces = max(traces + excluded.traces, 0)",
            )
            .bind(endpoint_no)
            .bind(class)
            .bind(traces)
            .execute(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
        }
        for (endpoint_no, (from_ms, until_ms)) in self.times_ms {
            // A new row, so that its number grows: who looks at the old one must not take this one away.
            sqlx::query(
                "INSERT OR REPLACE INTO news (endpoint_no, from_ms, until_ms) VALUES (?1, \
                 min(?2, coalesce((SELECT from_ms FROM news WHERE endpoint_no = ?1), ?2)), \
                 max(?3, coalesce((SELECT until_ms FROM news WHERE endpoint_no = ?1), ?3)))",
            )
            .bind(endpoint_no)
            .bind(from_ms)
            .bind(until_ms)
            .execute(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
        }
        Ok(())
    }
}

/// See [`TelemetryStore::traces`](crate::store::telemetry::TelemetryStore::traces).
pub(super) async fn traces(
    file: &Database,
    query: &TraceQuery,
) -> Result<Vec<StoredTrace>, StoreError> {
    type Row = (Vec<u8>, Vec<u8>, i64, Vec<u8>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT run.id, run.boot_id, sequence, event FROM trace CROSS JOIN run ON run.no = run_no \
         WHERE trace.endpoint_no = (SELECT no FROM endpoint WHERE id = ?) AND class = ? \
         AND event_time_ms BETWEEN ? AND ? ORDER BY event_time_ms DESC, run_no DESC, sequence DESC LIMIT ?",
    )
    .bind(query.endpoint.as_bytes().as_slice())
    .bind(query.class.number())
    .bind(query.from_ms)
    .bind(query.until_ms)
    .bind(query.limit)
    .fetch_all(&file.reader)
    .await
    .map_err(engine(READ))?;
    let damaged = || StoreError::Damaged { what: "run" };
    rows.into_iter()
        .map(|(run, boot, sequence, event)| {
            Ok(StoredTrace {
                run: RunId::from_wire(&run).ok_or_else(damaged)?,
                boot: BootId::from_wire(&boot).ok_or_else(damaged)?,
                sequence: unsigned(sequence),
                event,
            })
        })
        .collect()
}

/// See [`TelemetryStore::trace_classes`](crate::store::telemetry::TelemetryStore::trace_classes).
pub(super) async fn classes(
    file: &Database,
    endpoint: EndpointId,
) -> Result<Vec<ClassState>, StoreError> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT class, since_ms FROM trace_class WHERE since_ms > 0 \
         AND endpoint_no = (SELECT no FROM endpoint WHERE id = ?) ORDER BY class",
    )
    .bind(endpoint.as_bytes().as_slice())
    .fetch_all(&file.reader)
    .await
    .map_err(engine(READ))?;
    let state = |(number, since_ms)| {
        let class = Class::ALL
            .into_iter()
            .find(|class| class.number() == number)?;
        Some(ClassState { class, since_ms })
    };
    Ok(rows.into_iter().filter_map(state).collect())
}

/// See [`TelemetryStore::news`](crate::store::telemetry::TelemetryStore::news).
pub(super) async fn news(file: &Database, limit: u32) -> Result<Vec<News>, StoreError> {
    let rows: Vec<(i64, Vec<u8>, i64, i64)> = sqlx::query_as(
        "SELECT number, id, from_ms, until_ms FROM news JOIN endpoint ON no = endpoint_no ORDER BY number LIMIT ?",
    )
    .bind(limit)
    .fetch_all(&file.reader)
    .await
    .map_err(engine("read news of endpoints"))?;
    rows.into_iter()
        .map(|(number, id, from_ms, until_ms)| {
            let damaged = StoreError::Damaged {
                what: "endpoint id",
            };
            Ok(News {
                number,
                endpoint: EndpointId::from_wire(&id).ok_or(damaged)?,
                from_ms,
                until_ms,
            })
        })
        .collect()
}

/// See [`TelemetryStore::forget_news`](crate::store::telemetry::TelemetryStore::forget_news).
pub(super) async fn forget_news(file: &Database, news: &[News]) -> Result<(), StoreError> {
    if news.is_empty() {
        return Ok(());
    }
    let mut transaction = file.begin().await?;
    for one in news {
        sqlx::query("DELETE FROM news WHERE number = ?")
            .bind(one.number)
            .execute(&mut *transaction)
            .await
            .map_err(engine("forget news of endpoints"))?;
    }
    transaction
        .commit()
        .await
        .map_err(engine("forget news of endpoints"))
}

/// See [`TelemetryStore::remove_excess_traces`](crate::store::telemetry::TelemetryStore::remove_excess_traces).
pub(super) async fn remove_excess(file: &Database, limit: u32) -> Result<u64, StoreError> {
    let mut removed = 0;
    for class in Class::ALL {
        let over: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT endpoint_no, traces - ?2 FROM trace_class WHERE class = ?1 AND traces > ?2",
        )
        .bind(class.number())
        .bind(class.traces_max())
        .fetch_all(&file.reader)
        .await
        .map_err(engine(REMOVE))?;
        for (endpoint_no, count) in over {
            let of = (endpoint_no, class);
            removed += remove(file, of, i64::MAX, count.min(limit.into())).await?;
        }
    }
    Ok(removed)
}

/// See [`TelemetryStore::remove_old_traces`](crate::store::telemetry::TelemetryStore::remove_old_traces).
pub(super) async fn remove_old(
    file: &Database,
    before_time_ms: i64,
    limit: u32,
) -> Result<u64, StoreError> {
    let all: Vec<(i64, i64)> =
        sqlx::query_as("SELECT endpoint_no, class FROM trace_class WHERE traces > 0")
            .fetch_all(&file.reader)
            .await
            .map_err(engine(REMOVE))?;
    let mut removed = 0;
    for (endpoint_no, number) in all {
        let class = Class::ALL.into_iter().find(|one| one.number() == number);
        if let Some(class) = class {
            removed += remove(file, (endpoint_no, class), before_time_ms, limit.into()).await?;
        }
    }
    Ok(removed)
}

/// Removes the oldest traces of a class and says since when there are all. A transaction of its own.
async fn remove(
    file: &Database,
    (endpoint_no, class): (i64, Class),
    before_time_ms: i64,
    limit: i64,
) -> Result<u64, StoreError> {
    let old: Option<i64> = sqlx::query_scalar(
        "SELECT 1 FROM trace WHERE endpoint_no = ? AND class = ? AND event_time_ms < ? LIMIT 1",
    )
    .bind(endpoint_no)
    .bind(class.number())
    .bind(before_time_ms)
    .fetch_optional(&file.reader)
    .await
    .map_err(engine(REMOVE))?;
    if old.is_none() {
        return Ok(0);
    }
    let mut transaction = file.begin().await?;
    let times_ms: Vec<i64> = sqlx::query_scalar(
        "DELETE FROM trace WHERE (endpoint_no, class, event_time_ms, run_no, sequence) IN \
         (SELECT endpoint_no, class, event_time_ms, run_no, sequence FROM trace WHERE endpoint_no = ? \
         AND class = ? AND event_time_ms < ? ORDER BY event_time_ms, run_no, sequence LIMIT ?) \
         RETURNING event_time_ms",
    )
    .bind(endpoint_no)
    .bind(class.number())
    .bind(before_time_ms)
    .bind(limit)
    .fetch_all(&mut *transaction)
    .await
    .map_err(engine(REMOVE))?;
    let since_ms = times_ms.iter().max().map_or(0, |ms| ms.saturating_add(1));
    sqlx::query(
        "UPDATE trace_class SET traces = max(traces - ?, 0), since_ms = max(since_ms, ?) \
         WHERE endpoint_no = ? AND class = ?",
    )
    .bind(i64::try_from(times_ms.len()).unwrap_or(i64::MAX))
    .bind(since_ms)
    .bind(endpoint_no)
    .bind(class.number())
    .execute(&mut *transaction)
    .await
    .map_err(engine(REMOVE))?;
    transaction.commit().await.map_err(engine(REMOVE))?;
    Ok(times_ms.len() as u64)
}
