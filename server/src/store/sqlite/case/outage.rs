//! Failures and approvals, by provider and time, and the outages that follow from them.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::{SqliteConnection, SqlitePool};
use tocsin_proto::id::{IdentityId, MfaEventId};

use super::{id_bytes, identity_id};
use crate::store::StoreError;
use crate::store::outage::{
    FAILURES_MAX, FAILURES_MIN, FailureRow, HOUR_MS, HourChange, HourFacts, OUTAGES_MAX,
    OutageStore, ProviderHour, STEP_MS, step,
};
use crate::store::sqlite::{Database, SqliteState, engine};

const READ: &str = "read outages";
const WRITE: &str = "write outages";

#[async_trait]
impl OutageStore for SqliteState {
    async fn dirty_hours(&self, limit: u32) -> Result<Vec<(ProviderHour, i64)>, StoreError> {
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as("SELECT provider, hour_ms, mark FROM dirty_hour ORDER BY mark LIMIT ?")
                .bind(limit)
                .fetch_all(&self.0.reader)
                .await
                .map_err(engine(READ))?;
        let hour = |(provider, hour_ms, mark)| (ProviderHour { provider, hour_ms }, mark);
        Ok(rows.into_iter().map(hour).collect())
    }

    async fn hour_facts(&self, hour: &ProviderHour) -> Result<HourFacts, StoreError> {
        facts(&self.0.reader, hour).await
    }

    async fn settle_hour(&self, change: &HourChange) -> Result<(), StoreError> {
        settle(&self.0, change).await
    }

    async fn outages(
        &self,
        provider: &str,
        (from_ms, until_ms): (i64, i64),
    ) -> Result<Vec<(i64, u64)>, StoreError> {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT from_ms, people FROM outage WHERE provider = ? AND from_ms BETWEEN ? AND ? \
             ORDER BY from_ms DESC LIMIT ?",
        )
        .bind(provider)
        .bind(from_ms)
        .bind(until_ms)
        .bind(OUTAGES_MAX)
        .fetch_all(&self.0.reader)
        .await
        .map_err(engine(READ))?;
        Ok(counts(rows).collect())
    }

    async fn remove_failures(&self) -> Result<u64, StoreError> {
        remove(&self.0).await
    }
}

fn counts(rows: Vec<(i64, i64)>) -> impl Iterator<Item = (i64, u64)> {
    rows.into_iter()
        .map(|(key, count)| (key, count.unsigned_abs()))
}

async fn facts(reader: &SqlitePool, hour: &ProviderHour) -> Result<HourFacts, StoreError> {
    let (from_ms, until_ms) = (hour.hour_ms, hour.hour_ms + HOUR_MS);
    let around = (from_ms - STEP_MS, until_ms + STEP_MS);
    let failures: Vec<(Vec<u8>, Vec<u8>, i64)> = sqlx::query_as(
        "SELECT identity, attempt, time_ms FROM failure WHERE provider = ? AND time_ms >= ? AND time_ms < ? \
         ORDER BY time_ms, attempt LIMIT ?",
    )
    .bind(&hour.provider)
    .bind(around.0)
    .bind(around.1)
    .bind(FAILURES_MAX)
    .fetch_all(reader)
    .await
    .map_err(engine(READ))?;
    let failures: Result<Vec<FailureRow>, StoreError> = failures
        .iter()
        .map(|(identity, attempt, time_ms)| {
            Ok(FailureRow {
                identity: identity_id(identity)?,
                attempt: attempt_id(attempt)?,
                provider: hour.provider.clone(),
                time_ms: *time_ms,
            })
        })
        .collect();
    let counted = async |sql: &'static str, (from_ms, until_ms): (i64, i64)| {
        let rows: Vec<(i64, i64)> = sqlx::query_as(sql)
            .bind(&hour.provider)
            .bind(from_ms)
            .bind(until_ms)
            .fetch_all(reader)
            .await
            .map_err(engine(READ))?;
        Ok::<BTreeMap<i64, u64>, StoreError>(counts(rows).collect())
    };
    Ok(HourFacts {
        failures: failures?,
        approvals: counted(
            "SELECT step_ms, count FROM approval WHERE provider = ? AND step_ms >= ? AND step_ms < ?",
            around,
        )
        .await?,
        outages: counted(
            "SELECT from_ms, people FROM outage WHERE provider = ? AND from_ms >= ? AND from_ms < ?",
            (from_ms, until_ms),
        )
        .await?,
    })
}

async fn settle(file: &Database, change: &HourChange) -> Result<(), StoreError> {
    let (provider, hour_ms) = (&change.hour.provider, change.hour.hour_ms);
    let mut transaction = file.begin().await?;
    if !change.changed.is_empty() {
        sqlx::query("DELETE FROM outage WHERE provider = ? AND from_ms >= ? AND from_ms < ?")
            .bind(provider)
            .bind(hour_ms)
            .bind(hour_ms + HOUR_MS)
            .execute(&mut *transaction)
            .await
            .map_err(engine(WRITE))?;
    }
    for (from_ms, people) in change.outages.iter().filter(|_| !change.changed.is_empty()) {
        sqlx::query("INSERT INTO outage (provider, from_ms, people) VALUES (?, ?, ?)")
            .bind(provider)
            .bind(from_ms)
            .bind(i64::try_from(*people).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await
            .map_err(engine(WRITE))?;
    }
    for step_ms in &change.changed {
        sqlx::query(
            "INSERT OR REPLACE INTO dirty (identity) SELECT DISTINCT identity FROM failure \
             WHERE provider = ? AND time_ms >= ? AND time_ms < ?",
        )
        .bind(provider)
        .bind(step_ms)
        .bind(step_ms + STEP_MS)
        .execute(&mut *transaction)
        .await
        .map_err(engine(WRITE))?;
    }
    sqlx::query("DELETE FROM dirty_hour WHERE provider = ? AND hour_ms = ? AND mark <= ?")
        .bind(provider)
        .bind(hour_ms)
        .bind(change.mark)
        .execute(&mut *transaction)
        .await
        .map_err(engine(WRITE))?;
    transaction.commit().await.map_err(engine(WRITE))
}

/// The hours whose outages depend on what happened at a time.
fn hours(provider: &str, time_ms: i64) -> BTreeSet<ProviderHour> {
    let at = step(time_ms);
    let around = [-STEP_MS, 0, STEP_MS].into_iter();
    around
        .map(|away_ms| {
            let at_ms = at + away_ms;
            ProviderHour {
                provider: provider.to_owned(),
                hour_ms: at_ms - at_ms.rem_euclid(HOUR_MS),
            }
        })
        .collect()
}

async fn mark(
    connection: &mut SqliteConnection,
    hours: impl IntoIterator<Item = ProviderHour>,
) -> Result<(), StoreError> {
    for hour in hours {
        sqlx::query("INSERT OR REPLACE INTO dirty_hour (provider, hour_ms) VALUES (?, ?)")
            .bind(hour.provider)
            .bind(hour.hour_ms)
            .execute(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
    }
    Ok(())
}

/// Writes what a person's stored events show, and marks the hours of what is another now.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    identity: IdentityId,
    failures: &[FailureRow],
) -> Result<(), StoreError> {
    let id = identity.as_bytes().as_slice();
    let rows: Vec<(Vec<u8>, String, i64)> = sqlx::query_as(
        "SELECT attempt, provider, time_ms FROM failure WHERE identity = ?1 \
         AND time_ms > (SELECT removed_until_ms FROM identity WHERE id = ?1)",
    )
    .bind(id)
    .fetch_all(&mut *connection)
    .await
    .map_err(engine(WRITE))?;
    let mut stored: BTreeMap<MfaEventId, (String, i64)> = BTreeMap::new();
    for (attempt, provider, time_ms) in rows {
        stored.insert(attempt_id(&attempt)?, (provider, time_ms));
    }
    let mut changed: BTreeSet<ProviderHour> = BTreeSet::new();
    for row in failures {
        let before = stored.remove(&row.attempt);
        if before.as_ref() == Some(&(row.provider.clone(), row.time_ms)) {
            continue;
        }
        changed.extend(before.into_iter().flat_map(|(at, ms)| hours(&at, ms)));
        changed.extend(hours(&row.provider, row.time_ms));
        sqlx::query(
            "INSERT INTO failure (identity, attempt, provider, time_ms) VALUES (?, ?, ?, ?) \
             ON CONFLICT (identity, attempt) DO UPDATE SET provider = excluded.provider, time_ms = excluded.time_ms",
        )
        .bind(id)
        .bind(row.attempt.as_bytes().as_slice())
        .bind(&row.provider)
        .bind(row.time_ms)
        .execute(&mut *connection)
        .await
        .map_err(engine(WRITE))?;
    }
    for (attempt, (provider, time_ms)) in stored {
        changed.extend(hours(&provider, time_ms));
        sqlx::query("DELETE FROM failure WHERE identity = ? AND attempt = ?")
            .bind(id)
            .bind(attempt.as_bytes().as_slice())
            .execute(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
    }
    mark(connection, changed).await
}

/// Counts sign-ins that succeeded, given by provider and step, up or down, and marks the hours where enough failed for an
/// outage.
pub(super) async fn count(
    connection: &mut SqliteConnection,
    approvals: &BTreeMap<(String, i64), i64>,
) -> Result<(), StoreError> {
    for ((provider, step_ms), change) in approvals.iter().filter(|(_, change)| **change != 0) {
        sqlx::query(
            "INSERT INTO approval (provider, step_ms, count) VALUES (?1, ?2, max(?3, 0)) \
             ON CONFLICT (provider, step_ms) DO UPDATE SET count = max(count + ?3, 0)",
        )
        .bind(provider)
        .bind(step_ms)
        .bind(change)
        .execute(&mut *connection)
        .await
        .map_err(engine(WRITE))?;
        let near: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT 1 FROM failure WHERE provider = ? AND time_ms >= ? AND time_ms < ? LIMIT ?)",
        )
        .bind(provider)
        .bind(step_ms - 2 * STEP_MS)
        .bind(step_ms + 3 * STEP_MS)
        .bind(FAILURES_MIN)
        .fetch_one(&mut *connection)
        .await
        .map_err(engine(WRITE))?;
        if near >= FAILURES_MIN {
            mark(connection, hours(provider, *step_ms)).await?;
        }
    }
    Ok(())
}

/// Within the transaction that makes one person part of another: their failures go over, and the hours of both are looked at
/// again, as they may be fewer people now.
pub(super) async fn take_in(
    connection: &mut SqliteConnection,
    into: IdentityId,
    former: IdentityId,
) -> Result<(), StoreError> {
    if into == former {
        return Ok(());
    }
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT provider, time_ms FROM failure WHERE identity = ?")
            .bind(former.as_bytes().as_slice())
            .fetch_all(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
    let concerned: BTreeSet<ProviderHour> = rows
        .iter()
        .flat_map(|(provider, time_ms)| hours(provider, *time_ms))
        .collect();
    for statement in [
        "UPDATE OR IGNORE failure SET identity = ?1 WHERE identity = ?2",
        "DELETE FROM failure WHERE identity = ?2 AND ?1 != ?2",
    ] {
        sqlx::query(statement)
            .bind(into.as_bytes().as_slice())
            .bind(former.as_bytes().as_slice())
            .execute(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
    }
    mark(connection, concerned).await
}

async fn remove(file: &Database) -> Result<u64, StoreError> {
    const ACTION: &str = "remove old outages";
    // What an hour's outages follow from is within two hours of it.
    const STEPS: [&str; 3] = [
        "DELETE FROM failure WHERE time_ms <= (SELECT removed_until_ms FROM identity WHERE id = failure.identity) \
         AND NOT EXISTS (SELECT 1 FROM failure AS f JOIN identity AS i ON i.id = f.identity \
         WHERE f.provider = failure.provider AND f.time_ms > i.removed_until_ms \
         AND f.time_ms BETWEEN failure.time_ms - 7200000 AND failure.time_ms + 7200000)",
        "DELETE FROM outage WHERE NOT EXISTS (SELECT 1 FROM failure AS f WHERE f.provider = outage.provider \
         AND f.time_ms BETWEEN outage.from_ms - 7200000 AND outage.from_ms + 7200000)",
        "DELETE FROM approval WHERE step_ms < (SELECT min(event_time_ms) FROM mfa_event) - 7200000 \
         AND NOT EXISTS (SELECT 1 FROM failure AS f WHERE f.provider = approval.provider \
         AND f.time_ms BETWEEN approval.step_ms - 7200000 AND approval.step_ms + 7200000)",
    ];
    let mut transaction = file.begin().await?;
    let mut removed = 0;
    for (number, step) in STEPS.into_iter().enumerate() {
        let done = sqlx::query(step).execute(&mut *transaction).await;
        let rows = done.map_err(engine(ACTION))?.rows_affected();
        removed = if number == 0 { rows } else { removed };
    }
    transaction.commit().await.map_err(engine(ACTION))?;
    Ok(removed)
}

fn attempt_id(bytes: &[u8]) -> Result<MfaEventId, StoreError> {
    id_bytes(bytes, "MFA event id").map(MfaEventId::from_bytes)
}
