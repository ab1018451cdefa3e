//! Writing incidents: what correlation found, and what analysts say.

use std::collections::BTreeMap;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};
use tocsin_proto::id::{IdentityId, IncidentId};

use super::{incident, incident_id, outage, sighting};
use crate::audit::AuditEntry;
use crate::store::StoreError;
use crate::store::case::{
    ACTIVITIES_MAX, ActivityRow, AnalystChange, CaseChange, CaseError, Correlated, IdentityFacts,
    IncidentRow, NOTES_MAX,
};
use crate::store::sqlite::trust::audit;
use crate::store::sqlite::{Database, engine};

const ACTION: &str = "write incidents";

/// See [`CaseStore::apply`](crate::store::case::CaseStore::apply).
pub(super) async fn apply(file: &Database, changes: &[CaseChange]) -> Result<(), CaseError> {
    let mut transaction = file.begin().await?;
    for change in changes {
        one(&mut transaction, change).await?;
    }
    transaction.commit().await.map_err(engine(ACTION))?;
    Ok(())
}

async fn one(connection: &mut SqliteConnection, change: &CaseChange) -> Result<(), CaseError> {
    check_read(connection, change).await?;
    for row in &change.write {
        write(connection, row).await?;
    }
    for (id, successor) in &change.remove {
        remove(connection, *id, *successor).await?;
    }
    for (id, activity) in &change.activity {
        add_activity(connection, *id, activity).await?;
    }
    match &change.of {
        Correlated::Person {
            identity,
            facts,
            sightings,
            failures,
        } => {
            write_facts(connection, *identity, facts).await?;
            sighting::write(connection, *identity, sightings).await?;
            outage::write(connection, *identity, failures).await?;
            let clean = sqlx::query("DELETE FROM dirty WHERE identity = ? AND mark <= ?")
                .bind(identity.as_bytes().as_slice())
                .bind(change.mark);
            execute(connection, clean).await?;
        }
        Correlated::Source {
            source,
            memberships,
        } => sighting::settle(connection, (source, change.mark), memberships).await?,
    }
    Ok(())
}

async fn write_facts(
    connection: &mut SqliteConnection,
    identity: IdentityId,
    facts: &IdentityFacts,
) -> Result<(), CaseError> {
    let update = sqlx::query(
        "UPDATE identity SET display_name = ?, privileged = ?, next_change_ms = ?, telemetry_sha256 = ?, \
         coverage = ? WHERE id = ?",
    );
    let update = update
        .bind(&facts.display_name)
        .bind(facts.privileged)
        .bind(facts.next_change_ms)
        .bind(facts.telemetry_sha256.as_slice())
        .bind(facts.coverage.as_slice())
        .bind(identity.as_bytes().as_slice());
    if execute(connection, update).await? != 1 {
        return Err(CaseError::Changed);
    }
    Ok(())
}

/// The incidents of the person or source are still those that were read.
async fn check_read(
    connection: &mut SqliteConnection,
    change: &CaseChange,
) -> Result<(), CaseError> {
    let select = match &change.of {
        Correlated::Person { identity, .. } => {
            sqlx::query_as("SELECT id, version FROM incident WHERE identity = ?")
                .bind(identity.as_bytes().to_vec())
        }
        Correlated::Source { source, .. } => {
            sqlx::query_as("SELECT id, version FROM incident WHERE source = ? AND source != ''")
                .bind(source.clone())
        }
    };
    let rows: Vec<(Vec<u8>, i64)> = select.fetch_all(connection).await.map_err(engine(ACTION))?;
    let mut stored = BTreeMap::new();
    for (id, version) in rows {
        stored.insert(incident_id(&id)?, version);
    }
    if stored == change.read.iter().copied().collect() {
        Ok(())
    } else {
        Err(CaseError::Changed)
    }
}

async fn write(connection: &mut SqliteConnection, row: &IncidentRow) -> Result<(), CaseError> {
    let id = row.id.as_bytes().as_slice();
    // An id that was only remembered is an incident again.
    let forget = sqlx::query("DELETE FROM incident_alias WHERE alias = ?").bind(id);
    execute(connection, forget).await?;
    let owner: Option<Vec<u8>> = sqlx::query_scalar("SELECT identity FROM incident WHERE id = ?")
        .bind(id)
        .fetch_optional(&mut *connection)
        .await
        .map_err(engine(ACTION))?;
    if let Some(owner) = owner
        && incident::owner(&owner)? != row.identity
    {
        // Its first event went over to another person, who has not been correlated yet.
        return Err(CaseError::Changed);
    }
    if !row.source.is_empty() {
        let nobody = sqlx::query("INSERT OR IGNORE INTO identity (id, is_nobody) VALUES (?, 1)")
            .bind(row.identity.as_bytes().as_slice());
        execute(connection, nobody).await?;
    }
    let (engine, analyst) = (&row.engine, &row.analyst);
    let insert = sqlx::query(
        "INSERT INTO incident (id, identity, source, severity, score, first_event_time_ms, last_event_time_ms, summary, \
         draft, draft_sha256, state, verdict, assignee, opened_time_ms, updated_time_ms, state_time_ms, is_touched, \
         is_frozen, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) \
         ON CONFLICT (id) DO UPDATE SET source = excluded.source, severity = excluded.severity, score = excluded.score, \
         first_event_time_ms = excluded.first_event_time_ms, last_event_time_ms = excluded.last_event_time_ms, \
         summary = excluded.summary, draft = excluded.draft, draft_sha256 = excluded.draft_sha256, \
         state = excluded.state, verdict = excluded.verdict, assignee = excluded.assignee, \
         opened_time_ms = excluded.opened_time_ms, updated_time_ms = excluded.updated_time_ms, \
         state_time_ms = excluded.state_time_ms, is_touched = excluded.is_touched, \
         is_frozen = excluded.is_frozen, version = version + 1",
    );
    let insert = insert
        .bind(id)
        .bind(row.identity.as_bytes().as_slice())
        .bind(&row.source)
        .bind(engine.severity)
        .bind(engine.score)
        .bind(engine.first_event_time_ms)
        .bind(engine.last_event_time_ms)
        .bind(engine.summary.as_slice())
        .bind(engine.draft.as_slice())
        .bind(engine.draft_sha256.as_slice())
        .bind(analyst.state)
        .bind(analyst.verdict)
        .bind(&analyst.assignee)
        .bind(analyst.opened_time_ms)
        .bind(analyst.updated_time_ms)
        .bind(analyst.state_time_ms)
        .bind(analyst.is_touched)
        .bind(row.is_frozen);
    execute(connection, insert).await?;
    Ok(())
}

/// Takes an incident away; what it had goes to its successor, or with it.
async fn remove(
    connection: &mut SqliteConnection,
    id: IncidentId,
    successor: Option<IncidentId>,
) -> Result<(), StoreError> {
    const WITH_IT: [&str; 4] = [
        "DELETE FROM incident_note WHERE incident = ?",
        "DELETE FROM incident_activity WHERE incident = ?",
        "DELETE FROM incident_alias WHERE incident = ?",
        "DELETE FROM incident WHERE id = ?",
    ];
    const GO_OVER: [&str; 5] = [
        "UPDATE incident_note SET incident = ?2 WHERE incident = ?1",
        "UPDATE incident_activity SET incident = ?2 WHERE incident = ?1",
        "UPDATE incident_alias SET incident = ?2 WHERE incident = ?1",
        "DELETE FROM incident WHERE id = ?1 AND ?1 != ?2",
        "INSERT OR REPLACE INTO incident_alias (alias, incident) VALUES (?1, ?2)",
    ];
    let id = id.as_bytes().as_slice();
    match successor {
        None => {
            for step in WITH_IT {
                execute(connection, sqlx::query(step).bind(id)).await?;
            }
        }
        Some(successor) => {
            for step in GO_OVER {
                let step = sqlx::query(step).bind(id);
                execute(connection, step.bind(successor.as_bytes().as_slice())).await?;
            }
        }
    }
    Ok(())
}

async fn add_activity(
    connection: &mut SqliteConnection,
    id: IncidentId,
    activity: &ActivityRow,
) -> Result<(), StoreError> {
    let id = id.as_bytes().as_slice();
    let insert = sqlx::query(
        "INSERT INTO incident_activity (incident, time_ms, actor, what) VALUES (?, ?, ?, ?)",
    );
    let insert = insert
        .bind(id)
        .bind(activity.time_ms)
        .bind(&activity.actor)
        .bind(&activity.what);
    execute(connection, insert).await?;
    // The second oldest goes: how the incident began stays.
    let trim = sqlx::query(
        "DELETE FROM incident_activity WHERE ?2 < (SELECT count(*) FROM incident_activity WHERE incident = ?1) \
         AND no = (SELECT no FROM incident_activity WHERE incident = ?1 ORDER BY no LIMIT 1 OFFSET 1)",
    );
    execute(connection, trim.bind(id).bind(ACTIVITIES_MAX)).await?;
    Ok(())
}

/// See [`CaseStore::change_incident`](crate::store::case::CaseStore::change_incident).
pub(super) async fn by_analyst(
    file: &Database,
    change: &AnalystChange,
    entry: &AuditEntry,
) -> Result<(), CaseError> {
    let id = change.id.as_bytes().as_slice();
    let analyst = &change.analyst;
    let mut transaction = file.begin().await?;
    let update = sqlx::query(
        "UPDATE incident SET state = ?, verdict = ?, assignee = ?, updated_time_ms = ?, state_time_ms = ?, \
         is_touched = 1, version = version + 1 WHERE id = ? AND version = ?",
    );
    let update = update
        .bind(analyst.state)
        .bind(analyst.verdict)
        .bind(&analyst.assignee)
        .bind(analyst.updated_time_ms)
        .bind(analyst.state_time_ms)
        .bind(id)
        .bind(change.version);
    if execute(&mut transaction, update).await? != 1 {
        return Err(CaseError::Changed);
    }
    if let Some(text) = &change.note {
        add_note(&mut transaction, change, text).await?;
    }
    add_activity(&mut transaction, change.id, &change.activity).await?;
    audit::append(&mut transaction, entry).await?;
    transaction.commit().await.map_err(engine(ACTION))?;
    Ok(())
}

async fn add_note(
    connection: &mut SqliteConnection,
    change: &AnalystChange,
    text: &str,
) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO incident_note (incident, time_ms, author, text) SELECT ?1, ?2, ?3, ?4 \
         WHERE ?5 > (SELECT count(*) FROM incident_note WHERE incident = ?1)",
    );
    let insert = insert
        .bind(change.id.as_bytes().as_slice())
        .bind(change.activity.time_ms)
        .bind(&change.activity.actor)
        .bind(text)
        .bind(NOTES_MAX);
    if execute(connection, insert).await? == 1 {
        return Ok(());
    }
    Err(StoreError::State {
        what: "incident",
        id: change.id.to_string(),
        why: "has as many notes as it can hold",
    })
}

async fn execute(
    connection: &mut SqliteConnection,
    query: Query<'_, Sqlite, SqliteArguments>,
) -> Result<u64, StoreError> {
    let done = query.execute(connection).await.map_err(engine(ACTION))?;
    Ok(done.rows_affected())
}
