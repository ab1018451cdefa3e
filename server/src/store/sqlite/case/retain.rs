//! Old MFA events go; what was usual by them stays.

use sqlx::{SqliteConnection, SqlitePool};
use tocsin_proto::id::IdentityId;

use super::identity_id;
use crate::store::StoreError;
use crate::store::case::{CaseError, Removal};
use crate::store::sqlite::{Database, engine};

const ACTION: &str = "remove old MFA events";

/// See [`CaseStore::removable`](crate::store::case::CaseStore::removable).
pub(super) async fn removable(
    reader: &SqlitePool,
    received_before_ms: i64,
    after: Option<IdentityId>,
    limit: u32,
) -> Result<Vec<(IdentityId, i64)>, StoreError> {
    // Up to the event before the first one that has to stay, all may go.
    let rows: Vec<(Vec<u8>, Option<i64>, i64)> = sqlx::query_as(
        "SELECT a.identity, min(CASE WHEN e.receive_time_ms >= ?1 THEN e.event_time_ms END), max(e.event_time_ms) \
         FROM account AS a JOIN mfa_event AS e ON e.account_no = a.no \
         WHERE a.identity > ?2 GROUP BY a.identity HAVING min(e.receive_time_ms) < ?1 ORDER BY a.identity LIMIT ?3",
    )
    .bind(received_before_ms)
    .bind(after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
    .bind(limit)
    .fetch_all(reader)
    .await
    .map_err(engine(ACTION))?;
    rows.into_iter()
        .map(|(id, first_to_stay_ms, last_ms)| {
            let until_ms = first_to_stay_ms.map_or(last_ms, |ms| ms.saturating_sub(1));
            Ok((identity_id(&id)?, until_ms))
        })
        .collect()
}

/// See [`CaseStore::remove_mfa_events`](crate::store::case::CaseStore::remove_mfa_events).
pub(super) async fn remove(file: &Database, removal: &Removal) -> Result<u64, CaseError> {
    let id = removal.identity.as_bytes().as_slice();
    let until_ms = removal.until_ms;
    let mut transaction = file.begin().await?;
    check(&mut transaction, removal).await?;
    let steps = [
        // Counts first, while the events are there.
        "UPDATE feed SET mfa_events = mfa_events - (SELECT count(*) FROM mfa_event AS e JOIN account AS a \
         ON a.no = e.account_no WHERE a.identity = ?1 AND e.event_time_ms <= ?2 AND e.feed_no = feed.no)",
        "UPDATE account SET mfa_events = mfa_events - (SELECT count(*) FROM mfa_event AS e \
         WHERE e.account_no = account.no AND e.event_time_ms <= ?2) WHERE identity = ?1",
        "UPDATE incident SET is_frozen = 1, version = version + 1 \
         WHERE identity = ?1 AND last_event_time_ms <= ?2 AND is_frozen = 0",
    ];
    for step in steps {
        sqlx::query(step)
            .bind(id)
            .bind(until_ms)
            .execute(&mut *transaction)
            .await
            .map_err(engine(ACTION))?;
    }
    let removed = sqlx::query(
        "DELETE FROM mfa_event WHERE event_time_ms <= ?2 \
         AND account_no IN (SELECT no FROM account WHERE identity = ?1)",
    )
    .bind(id)
    .bind(until_ms)
    .execute(&mut *transaction)
    .await
    .map_err(engine(ACTION))?
    .rows_affected();
    sqlx::query(
        "UPDATE identity SET baseline = ?3, removed_until_ms = max(removed_until_ms, ?2) WHERE id = ?1",
    )
    .bind(id)
    .bind(until_ms)
    .bind(removal.baseline.as_slice())
    .execute(&mut *transaction)
    .await
    .map_err(engine(ACTION))?;
    transaction.commit().await.map_err(engine(ACTION))?;
    Ok(removed)
}

/// What is to go is what was looked at: an event that came meanwhile, however old, has not been correlated yet.
async fn check(connection: &mut SqliteConnection, removal: &Removal) -> Result<(), CaseError> {
    let (events, late): (i64, i64) = sqlx::query_as(
        "SELECT count(*), coalesce(sum(receive_time_ms >= ?3), 0) FROM mfa_event WHERE event_time_ms <= ?2 \
         AND account_no IN (SELECT no FROM account WHERE identity = ?1)",
    )
    .bind(removal.identity.as_bytes().as_slice())
    .bind(removal.until_ms)
    .bind(removal.received_before_ms)
    .fetch_one(connection)
    .await
    .map_err(engine(ACTION))?;
    if late == 0 && events.unsigned_abs() == removal.events {
        Ok(())
    } else {
        Err(CaseError::Changed)
    }
}
