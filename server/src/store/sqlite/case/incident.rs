//! Reading incidents.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqlitePool};
use tocsin_proto::id::{IdentityId, IncidentId};

use super::{identity_id, incident_id, prefix};
use crate::store::StoreError;
use crate::store::case::{
    ACTIVITIES_MAX, ActivityRow, AnalystState, EngineState, IncidentQuery, IncidentRow, NOTES_MAX,
    NoteRow,
};
use crate::store::sqlite::{blob, engine};

const READ: &str = "read incidents";

/// One, whole.
pub(super) async fn one(reader: &SqlitePool, id: IncidentId) -> Result<IncidentRow, StoreError> {
    let row = sqlx::query("SELECT * FROM incident WHERE id = ?")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(reader)
        .await
        .map_err(engine(READ))?;
    row.as_ref()
        .map_or_else(|| Err(not_found(&id.to_string())), incident)
}

/// All of a person, whole.
pub(super) async fn of(
    reader: &SqlitePool,
    identity: IdentityId,
) -> Result<Vec<IncidentRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM incident WHERE identity = ? ORDER BY id")
        .bind(identity.as_bytes().as_slice())
        .fetch_all(reader)
        .await
        .map_err(engine(READ))?;
    rows.iter().map(incident).collect()
}

/// All about a source, whole.
pub(super) async fn from(
    reader: &SqlitePool,
    source: &str,
) -> Result<Vec<IncidentRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM incident WHERE source = ? AND source != '' ORDER BY id")
        .bind(source)
        .fetch_all(reader)
        .await
        .map_err(engine(READ))?;
    rows.iter().map(incident).collect()
}

/// A page, without drafts.
pub(super) async fn page(
    reader: &SqlitePool,
    query: &IncidentQuery,
) -> Result<Vec<IncidentRow>, StoreError> {
    let mut sql = QueryBuilder::<Sqlite>::new(
        "SELECT id, identity, source, severity, score, first_event_time_ms, last_event_time_ms, summary, x'' AS draft, \
         draft_sha256, state, verdict, assignee, opened_time_ms, updated_time_ms, state_time_ms, is_touched, \
         is_frozen, version FROM incident WHERE severity >= ",
    );
    sql.push_bind(query.severity_min);
    if !query.states.is_empty() {
        sql.push(" AND state IN (");
        let mut list = sql.separated(", ");
        for state in &query.states {
            list.push_bind(*state);
        }
        sql.push(")");
    }
    if let Some(assignee) = &query.assignee {
        sql.push(" AND assignee = ").push_bind(assignee.clone());
    }
    if let Some(identity) = query.identity {
        let id = identity.as_bytes().to_vec();
        sql.push(" AND (identity = ").push_bind(id.clone());
        sql.push(" OR id IN (SELECT campaign FROM sighting WHERE identity = ")
            .push_bind(id);
        sql.push(" AND campaign IS NOT NULL))");
    }
    if let Some((severity, last_ms, id)) = query.after {
        // Descending, descending, ascending: as the order below.
        sql.push(" AND (severity < ").push_bind(severity);
        sql.push(" OR (severity = ").push_bind(severity);
        sql.push(" AND (last_event_time_ms < ").push_bind(last_ms);
        sql.push(" OR (last_event_time_ms = ").push_bind(last_ms);
        sql.push(" AND id > ").push_bind(id.as_bytes().to_vec());
        sql.push("))))");
    }
    sql.push(" ORDER BY severity DESC, last_event_time_ms DESC, id LIMIT ")
        .push_bind(query.limit);
    let rows = sql.build().fetch_all(reader).await.map_err(engine(READ))?;
    rows.iter().map(incident).collect()
}

/// See [`CaseStore::find_incident`](crate::store::case::CaseStore::find_incident).
pub(super) async fn find(reader: &SqlitePool, text: &str) -> Result<IncidentId, StoreError> {
    let found = prefix::find(reader, &prefix::INCIDENT, text).await?;
    found
        .map(IncidentId::from_bytes)
        .ok_or_else(|| not_found(text))
}

/// Former ids, in order.
pub(super) async fn aliases(
    reader: &SqlitePool,
    id: IncidentId,
) -> Result<Vec<IncidentId>, StoreError> {
    let rows: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT alias FROM incident_alias WHERE incident = ? ORDER BY alias")
            .bind(id.as_bytes().as_slice())
            .fetch_all(reader)
            .await
            .map_err(engine(READ))?;
    rows.iter().map(|id| incident_id(id)).collect()
}

/// Notes, oldest first.
pub(super) async fn notes(reader: &SqlitePool, id: IncidentId) -> Result<Vec<NoteRow>, StoreError> {
    let rows: Vec<(i64, i64, String, String)> = sqlx::query_as(
        "SELECT no, time_ms, author, text FROM incident_note WHERE incident = ? ORDER BY time_ms, no LIMIT ?",
    )
    .bind(id.as_bytes().as_slice())
    .bind(NOTES_MAX)
    .fetch_all(reader)
    .await
    .map_err(engine(READ))?;
    let note = |(number, time_ms, author, text)| NoteRow {
        number,
        time_ms,
        author,
        text,
    };
    Ok(rows.into_iter().map(note).collect())
}

/// What happened, oldest first.
pub(super) async fn activity(
    reader: &SqlitePool,
    id: IncidentId,
) -> Result<Vec<ActivityRow>, StoreError> {
    let rows: Vec<(i64, String, String)> = sqlx::query_as(
        "SELECT time_ms, actor, what FROM incident_activity WHERE incident = ? ORDER BY time_ms, no LIMIT ?",
    )
    .bind(id.as_bytes().as_slice())
    .bind(ACTIVITIES_MAX)
    .fetch_all(reader)
    .await
    .map_err(engine(READ))?;
    let activity = |(time_ms, actor, what)| ActivityRow {
        time_ms,
        actor,
        what,
    };
    Ok(rows.into_iter().map(activity).collect())
}

fn incident(row: &SqliteRow) -> Result<IncidentRow, StoreError> {
    let id = IncidentId::from_bytes(blob(row, "id", "incident id")?);
    let identity: [u8; 16] = blob(row, "identity", "identity id")?;
    let draft_sha256 = blob(row, "draft_sha256", "hash of an incident")?;
    let read = || -> Result<IncidentRow, sqlx::Error> {
        Ok(IncidentRow {
            id,
            identity: IdentityId::from_bytes(identity),
            source: row.try_get("source")?,
            engine: EngineState {
                severity: row.try_get("severity")?,
                score: row.try_get("score")?,
                first_event_time_ms: row.try_get("first_event_time_ms")?,
                last_event_time_ms: row.try_get("last_event_time_ms")?,
                summary: row.try_get("summary")?,
                draft: row.try_get("draft")?,
                draft_sha256,
            },
            analyst: AnalystState {
                state: row.try_get("state")?,
                verdict: row.try_get("verdict")?,
                assignee: row.try_get("assignee")?,
                opened_time_ms: row.try_get("opened_time_ms")?,
                updated_time_ms: row.try_get("updated_time_ms")?,
                state_time_ms: row.try_get("state_time_ms")?,
                is_touched: row.try_get("is_touched")?,
            },
            is_frozen: row.try_get("is_frozen")?,
            version: row.try_get("version")?,
        })
    };
    read().map_err(engine(READ))
}

/// There is none.
pub(super) fn not_found(id: &str) -> StoreError {
    StoreError::NotFound {
        what: "incident",
        id: id.to_owned(),
    }
}

/// The identity of an incident's row.
pub(super) fn owner(bytes: &[u8]) -> Result<IdentityId, StoreError> {
    identity_id(bytes)
}
