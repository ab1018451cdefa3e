//! The write path: many batches in one transaction.

use sqlx::{Sqlite, SqliteConnection, Transaction};
use tocsin_proto::batch;
use tocsin_proto::id::{EndpointId, RunId};
use tocsin_proto::limits::BATCH_EVENTS_MAX;
use tokio_stream::StreamExt;

use super::trace::Noted;
use super::{RUNS_MAX, RunState, Runs, signed, unsigned};
use crate::store::StoreError;
use crate::store::sqlite::{SqliteTelemetry, engine};
use crate::store::telemetry::{Appended, NamedLoss, NewBatch, differ, hole, trim};

const ACTION: &str = "store event batches";

/// Bytes that a batch takes beside its payload, about: its row, and its place in six indexes.
pub(super) const ROW_BYTES: usize = 512;

/// See [`TelemetryStore::append`](crate::store::telemetry::TelemetryStore::append).
pub(super) async fn append(
    store: &SqliteTelemetry,
    batches: &[NewBatch],
) -> Result<Vec<Appended>, StoreError> {
    // Held until the commit: the memory changes with the file or not at all.
    let mut known = store.runs.lock().await;
    // Out of the memory until the commit is known to have been made: a commit that fails may have taken effect.
    let mut changed = Runs::default();
    for batch in batches {
        let key = (batch.head.endpoint, batch.head.run);
        changed.0.extend(known.0.remove_entry(&key));
    }
    let begin = store.file.writer.begin_with("BEGIN IMMEDIATE");
    let mut transaction = begin.await.map_err(engine(ACTION))?;
    let mut runs = Touched {
        known: &known,
        changed,
        noted: Noted::default(),
    };
    let mut results = Vec::with_capacity(batches.len());
    for batch in batches {
        results.push(one(&mut transaction, &mut runs, batch).await?);
    }
    let Touched { changed, noted, .. } = runs;
    noted.write(&mut transaction).await?;
    transaction.commit().await.map_err(engine(ACTION))?;
    if known.0.len() > RUNS_MAX {
        known.0.clear();
    }
    known.0.extend(changed.0);
    Ok(results)
}

/// Runs as this transaction sees them.
struct Touched<'a> {
    known: &'a Runs,
    changed: Runs,
    noted: Noted,
}

impl Touched<'_> {
    fn get(&self, key: (EndpointId, RunId)) -> Option<RunState> {
        let changed = self.changed.0.get(&key);
        changed.or_else(|| self.known.0.get(&key)).copied()
    }
}

async fn one(
    transaction: &mut Transaction<'_, Sqlite>,
    runs: &mut Touched<'_>,
    batch: &NewBatch,
) -> Result<Appended, StoreError> {
    let run = run_state(transaction, runs, batch).await?;
    let head = &batch.head;
    if head.first_sequence <= run.mark && is_reused(transaction, &run, batch).await? {
        runs.changed
            .0
            .insert((head.endpoint, head.run), close(transaction, &run).await?);
        return Ok(Appended::Reused);
    }
    if head.last_sequence <= run.mark {
        return Ok(Appended::Repeated);
    }
    if run.reused {
        return Ok(Appended::Reused);
    }
    let damaged = |_| StoreError::Damaged {
        what: "event batch",
    };
    let mut added = Added::default();
    let mut appended = Appended::Stored;
    if head.first_sequence <= run.mark {
        let rest = trim(batch, run.mark).map_err(damaged)?;
        insert(transaction, runs, &run, &rest, false).await?;
        added.count(&rest);
        appended = Appended::Trimmed;
    } else {
        let missing = run.mark + 1;
        if missing < head.first_sequence && !is_named(batch, missing) {
            let gap = hole(batch, missing, run.event_time_max_ms).map_err(damaged)?;
            insert(transaction, runs, &run, &gap, true).await?;
            added.count(&gap);
        }
        insert(transaction, runs, &run, batch, false).await?;
        added.count(batch);
    }
    let run = move_mark(transaction, &run, batch, added).await?;
    runs.changed.0.insert((head.endpoint, head.run), run);
    for loss in &batch.named {
        forget_holes(transaction, runs, head.endpoint, loss).await?;
    }
    Ok(appended)
}

/// Whether other events than the batch's are stored with its numbers: its run goes on in two copies of a machine. What
/// retention has removed, and holes, cannot be compared.
async fn is_reused(
    connection: &mut SqliteConnection,
    run: &RunState,
    batch: &NewBatch,
) -> Result<bool, StoreError> {
    let head = &batch.head;
    // No batch but a hole is wider, so that the index needs to look no further.
    let from = head
        .first_sequence
        .saturating_sub(BATCH_EVENTS_MAX as u64 - 1);
    let mut stored = sqlx::query_scalar(
        "SELECT payload FROM batch WHERE run_no = ? AND first_sequence BETWEEN ? AND ? \
         AND last_sequence >= ? AND hole = 0",
    )
    .bind(run.no)
    .bind(signed(from))
    .bind(signed(head.last_sequence))
    .bind(signed(head.first_sequence))
    .fetch(connection);
    let mut content = None;
    while let Some(payload) = stored.next().await {
        let payload: Vec<u8> = payload.map_err(engine(ACTION))?;
        if payload == batch.payload {
            return Ok(false);
        }
        let damaged = |_| StoreError::Damaged {
            what: "event batch",
        };
        let content = match &content {
            Some(content) => content,
            None => content.insert(batch::unpack(&batch.payload).map_err(damaged)?),
        };
        if differ(content, &batch::unpack(&payload).map_err(damaged)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes nothing more of a run.
async fn close(connection: &mut SqliteConnection, run: &RunState) -> Result<RunState, StoreError> {
    sqlx::query("UPDATE run SET reused = 1 WHERE no = ?")
        .bind(run.no)
        .execute(connection)
        .await
        .map_err(engine(ACTION))?;
    Ok(RunState {
        reused: true,
        ..*run
    })
}

/// What a batch brings, with the gap in front of it.
#[derive(Debug, Clone, Copy, Default)]
struct Added {
    events: u32,
    bytes: usize,
}

impl Added {
    fn count(&mut self, batch: &NewBatch) {
        self.events += batch.head.events;
        self.bytes += batch.payload.len() + ROW_BYTES;
    }
}

/// The batch itself says that what is missing before it was lost, and where.
fn is_named(batch: &NewBatch, missing: u64) -> bool {
    batch.named.iter().any(|loss| {
        loss.run == batch.head.run
            && loss.first_sequence <= missing
            && loss.last_sequence >= batch.head.first_sequence - 1
    })
}

async fn run_state(
    connection: &mut SqliteConnection,
    runs: &Touched<'_>,
    batch: &NewBatch,
) -> Result<RunState, StoreError> {
    let head = &batch.head;
    if let Some(run) = runs.get((head.endpoint, head.run)) {
        return Ok(run);
    }
    if let Some(run) = find_run(connection, head.endpoint, head.run).await? {
        return Ok(run);
    }
    let mut begun = None;
    for former in &batch.formers {
        begun = match runs.get((*former, head.run)) {
            Some(run) => Some(run),
            None => find_run(connection, *former, head.run).await?,
        };
        if begun.is_some() {
            break;
        }
    }
    sqlx::query("INSERT INTO endpoint (id) VALUES (?) ON CONFLICT DO NOTHING")
        .bind(head.endpoint.as_bytes().as_slice())
        .execute(&mut *connection)
        .await
        .map_err(engine(ACTION))?;
    sqlx::query(
        "INSERT INTO run (endpoint_no, id, boot_id, committed_through, stored_events, first_event_time_ms, \
         last_event_time_ms, last_receive_time_ms, reused) SELECT no, ?2, ?3, ?6, 0, ?4, ?4, ?5, ?7 FROM endpoint WHERE id = ?1",
    )
    .bind(head.endpoint.as_bytes().as_slice())
    .bind(head.run.as_bytes().as_slice())
    .bind(batch.boot.as_bytes().as_slice())
    .bind(head.event_time_min_ms)
    .bind(head.receive_time_ms)
    .bind(signed(begun.map_or(0, |run| run.mark)))
    .bind(begun.is_some_and(|run| run.reused))
    .execute(&mut *connection)
    .await
    .map_err(engine(ACTION))?;
    find_run(connection, head.endpoint, head.run)
        .await?
        .ok_or(StoreError::Damaged { what: "run" })
}

async fn find_run(
    connection: &mut SqliteConnection,
    endpoint: EndpointId,
    run: RunId,
) -> Result<Option<RunState>, StoreError> {
    let row: Option<(i64, i64, i64, i64, bool)> = sqlx::query_as(
        "SELECT run.no, endpoint_no, committed_through, last_event_time_ms, reused \
         FROM run JOIN endpoint ON endpoint.no = endpoint_no WHERE endpoint.id = ? AND run.id = ?",
    )
    .bind(endpoint.as_bytes().as_slice())
    .bind(run.as_bytes().as_slice())
    .fetch_optional(connection)
    .await
    .map_err(engine(ACTION))?;
    Ok(row.map(
        |(no, endpoint_no, mark, event_time_max_ms, reused)| RunState {
            no,
            endpoint_no,
            mark: unsigned(mark),
            event_time_max_ms,
            reused,
        },
    ))
}

async fn insert(
    connection: &mut SqliteConnection,
    runs: &mut Touched<'_>,
    run: &RunState,
    batch: &NewBatch,
    is_hole: bool,
) -> Result<(), StoreError> {
    let head = &batch.head;
    sqlx::query(
        "INSERT INTO batch (run_no, endpoint_no, first_sequence, last_sequence, events, event_time_min_ms, \
         event_time_max_ms, kinds, receive_time_ms, hole, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(run.no)
    .bind(run.endpoint_no)
    .bind(signed(head.first_sequence))
    .bind(signed(head.last_sequence))
    .bind(head.events)
    .bind(head.event_time_min_ms)
    .bind(head.event_time_max_ms)
    .bind(head.kinds)
    .bind(head.receive_time_ms)
    .bind(is_hole)
    .bind(batch.payload.as_slice())
    .execute(&mut *connection)
    .await
    .map_err(engine(ACTION))?;
    runs.noted.batch(connection, run, batch).await
}

/// Moves the mark to the end of the batch, from where it is known to be.
async fn move_mark(
    connection: &mut SqliteConnection,
    run: &RunState,
    batch: &NewBatch,
    added: Added,
) -> Result<RunState, StoreError> {
    let head = &batch.head;
    let event_time_max_ms = run.event_time_max_ms.max(head.event_time_max_ms);
    let moved = sqlx::query(
        "UPDATE run SET committed_through = ?, stored_events = stored_events + ?, \
         stored_bytes = stored_bytes + ?, first_event_time_ms = min(first_event_time_ms, ?), last_event_time_ms = ?, last_receive_time_ms = ? \
         WHERE no = ? AND committed_through = ?",
    )
    .bind(signed(head.last_sequence))
    .bind(added.events)
    .bind(i64::try_from(added.bytes).unwrap_or(i64::MAX))
    .bind(head.event_time_min_ms)
    .bind(event_time_max_ms)
    .bind(head.receive_time_ms)
    .bind(run.no)
    .bind(signed(run.mark))
    .execute(connection)
    .await
    .map_err(engine(ACTION))?;
    if moved.rows_affected() != 1 {
        return Err(StoreError::Damaged {
            what: "mark of a run",
        });
    }
    Ok(RunState {
        mark: head.last_sequence,
        event_time_max_ms,
        ..*run
    })
}

/// The endpoint has said what was lost, and why: the server's own gaps for it would count it twice.
async fn forget_holes(
    connection: &mut SqliteConnection,
    runs: &mut Touched<'_>,
    endpoint: EndpointId,
    loss: &NamedLoss,
) -> Result<(), StoreError> {
    let run = match runs.get((endpoint, loss.run)) {
        Some(run) => Some(run),
        None => find_run(connection, endpoint, loss.run).await?,
    };
    let Some(run) = run else {
        return Ok(());
    };
    let removed: Vec<(i64, i64, i64, i64, i64)> = sqlx::query_as(
        "DELETE FROM batch WHERE run_no = ? AND hole = 1 AND first_sequence BETWEEN ? AND ? AND last_sequence <= ? \
         RETURNING run_no, events, length(payload), first_sequence, event_time_max_ms",
    )
    .bind(run.no)
    .bind(signed(loss.first_sequence))
    .bind(signed(loss.last_sequence))
    .bind(signed(loss.last_sequence))
    .fetch_all(&mut *connection)
    .await
    .map_err(engine(ACTION))?;
    for (_, _, _, sequence, time_ms) in &removed {
        let noted = &mut runs.noted;
        noted
            .remove_hole(connection, &run, (*sequence, *time_ms))
            .await?;
    }
    let removed: Vec<Removed> = removed
        .into_iter()
        .map(|one| (one.0, one.1, one.2))
        .collect();
    uncount(connection, &removed).await.map_err(engine(ACTION))
}

/// Number of its run, events and bytes of payload of a batch that is gone.
pub(super) type Removed = (i64, i64, i64);

/// Takes what is gone from what its runs are known to have stored.
pub(super) async fn uncount(
    connection: &mut SqliteConnection,
    removed: &[Removed],
) -> Result<(), sqlx::Error> {
    for (run_no, events, payload_bytes) in removed {
        sqlx::query(
            "UPDATE run SET stored_events = max(stored_events - ?, 0), \
             stored_bytes = max(stored_bytes - ?, 0) WHERE no = ?",
        )
        .bind(events)
        .bind(payload_bytes.saturating_add(signed(ROW_BYTES as u64)))
        .bind(run_no)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
