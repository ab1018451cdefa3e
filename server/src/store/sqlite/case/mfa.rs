//! Feeds and MFA events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::{Row, SqliteConnection, SqlitePool};
use tocsin_proto::id::{IdentityId, MfaEventId};

use super::{dirty, identity, identity_id, outage};
use crate::store::StoreError;
use crate::store::case::{
    AccountRow, CaseError, FeedRow, MfaBatch, NewMfaEvent, REFUSED_FILES_MAX, RefusedRecords,
};
use crate::store::connection::Advance;
use crate::store::outage::step;
use crate::store::sqlite::{Database, engine};

const ADD: &str = "store MFA events";

/// Every feed.
pub(super) async fn feeds(reader: &SqlitePool) -> Result<Vec<FeedRow>, StoreError> {
    const ACTION: &str = "read the feeds";
    let rows = sqlx::query("SELECT * FROM feed ORDER BY provider, kind")
        .fetch_all(reader)
        .await
        .map_err(engine(ACTION))?;
    let read = |row: &sqlx::sqlite::SqliteRow| -> Result<FeedRow, sqlx::Error> {
        Ok(FeedRow {
            provider: row.try_get("provider")?,
            kind: row.try_get("kind")?,
            mfa_events: row.try_get::<i64, _>("mfa_events")?.unsigned_abs(),
            malformed: row.try_get::<i64, _>("malformed")?.unsigned_abs(),
            malformed_reason: row.try_get("malformed_reason")?,
            event_time_max_ms: row.try_get("event_time_max_ms")?,
            receive_time_ms: row.try_get("receive_time_ms")?,
            complete_until_ms: row.try_get("complete_until_ms")?,
        })
    };
    let feeds: Result<Vec<_>, _> = rows.iter().map(read).collect();
    feeds.map_err(engine(ACTION))
}

/// Normalized events of a person, the newest.
pub(super) async fn of(
    reader: &SqlitePool,
    identity: IdentityId,
    limit: u32,
) -> Result<Vec<Vec<u8>>, StoreError> {
    sqlx::query_scalar(
        "SELECT event FROM mfa_event WHERE account_no IN (SELECT no FROM account WHERE identity = ?) \
         ORDER BY event_time_ms DESC, id DESC LIMIT ?",
    )
    .bind(identity.as_bytes().as_slice())
    .bind(limit)
    .fetch_all(reader)
    .await
    .map_err(engine("read a person's MFA events"))
}

/// See [`CaseStore::mfa_events_until`](crate::store::case::CaseStore::mfa_events_until).
pub(super) async fn until(
    reader: &SqlitePool,
    identity: IdentityId,
    until_ms: i64,
    after: Option<(i64, MfaEventId)>,
    limit: u32,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let (after_ms, after_id) = after.map_or((i64::MIN, Vec::new()), |(time_ms, id)| {
        (time_ms, id.as_bytes().to_vec())
    });
    sqlx::query_scalar(
        "SELECT event FROM mfa_event WHERE account_no IN (SELECT no FROM account WHERE identity = ?1) \
         AND event_time_ms <= ?2 AND event_time_ms >= ?3 AND (event_time_ms, id) > (?3, ?4) \
         ORDER BY event_time_ms, id LIMIT ?5",
    )
    .bind(identity.as_bytes().as_slice())
    .bind(until_ms)
    .bind(after_ms)
    .bind(after_id)
    .bind(limit)
    .fetch_all(reader)
    .await
    .map_err(engine("read a person's oldest MFA events"))
}

/// See [`CaseStore::add_mfa_events`](crate::store::case::CaseStore::add_mfa_events).
pub(super) async fn add(file: &Database, batch: &MfaBatch) -> Result<Vec<bool>, CaseError> {
    let mut transaction = file.begin().await?;
    let feed_no = feed_no(&mut transaction, batch).await?;
    let mut dirty: BTreeSet<IdentityId> = BTreeSet::new();
    for group in batch.groups.iter().filter(|group| group.is_changed) {
        if identity::write_group(&mut transaction, group).await? {
            dirty.insert(group.id);
        }
    }
    let owners = owners(&mut transaction, batch).await?;
    let mut results = Vec::with_capacity(batch.events.len());
    let mut tally: HashMap<i64, Tally> = HashMap::new();
    let mut approvals = Approvals::default();
    for event in &batch.events {
        // Where it is another's by now, it is not among those of the groups.
        let owner = owners.get(&event.account).copied();
        let (account_no, owner) = owner.ok_or(CaseError::Changed)?;
        let place = Place {
            account_no,
            feed_no,
            receive_time_ms: batch.receive_time_ms,
        };
        let before = stored(&mut transaction, event.id).await?;
        let is_new = insert(&mut transaction, event, &place).await?;
        if is_new {
            approvals
                .take(&mut transaction, (event, owner), None)
                .await?;
            tally
                .entry(account_no)
                .or_default()
                .count(event.event_time_ms);
            dirty.insert(owner);
        } else if replace(&mut transaction, event, owner).await? {
            approvals
                .take(&mut transaction, (event, owner), before)
                .await?;
            let times_ms = Some((event.event_time_ms, event.event_time_ms));
            tally
                .entry(account_no)
                .or_default()
                .add(&Tally { count: 0, times_ms });
            dirty.insert(owner);
        }
        results.push(is_new);
    }
    let mut all = Tally::default();
    for (account_no, tally) in &tally {
        all.add(tally);
        count_account(&mut transaction, *account_no, tally).await?;
    }
    count_feed(&mut transaction, feed_no, batch, &all).await?;
    outage::count(&mut transaction, &approvals.changes).await?;
    if let Some(page) = &batch.advance {
        advance(&mut transaction, feed_no, batch, page).await?;
    }
    dirty::mark(&mut transaction, dirty).await?;
    dirty::mark_waiting(&mut transaction).await?;
    transaction.commit().await.map_err(engine(ADD))?;
    Ok(results)
}

/// Changes of how many sign-ins have succeeded, by provider and step.
#[derive(Debug, Default)]
struct Approvals {
    changes: BTreeMap<(String, i64), i64>,
    /// Newest event of each owner that retention has removed.
    removed_until_ms: HashMap<IdentityId, i64>,
}

impl Approvals {
    /// Takes an event that is stored now, in place of what was stored as it before.
    async fn take(
        &mut self,
        connection: &mut SqliteConnection,
        (event, owner): (&NewMfaEvent, IdentityId),
        before: Option<(bool, i64)>,
    ) -> Result<(), StoreError> {
        let now = (event.is_approval, event.event_time_ms);
        let changes = before.map(|was| (was, -1)).into_iter().chain([(now, 1)]);
        for ((_, time_ms), change) in changes.filter(|((is_approval, _), _)| *is_approval) {
            if time_ms > self.removed_until(connection, owner).await? {
                let key = (event.account.provider.clone(), step(time_ms));
                *self.changes.entry(key).or_default() += change;
            }
        }
        Ok(())
    }

    async fn removed_until(
        &mut self,
        connection: &mut SqliteConnection,
        owner: IdentityId,
    ) -> Result<i64, StoreError> {
        if let Some(known) = self.removed_until_ms.get(&owner) {
            return Ok(*known);
        }
        let read: Option<i64> =
            sqlx::query_scalar("SELECT removed_until_ms FROM identity WHERE id = ?")
                .bind(owner.as_bytes().as_slice())
                .fetch_optional(connection)
                .await
                .map_err(engine(ADD))?;
        let until_ms = read.unwrap_or(0);
        self.removed_until_ms.insert(owner, until_ms);
        Ok(until_ms)
    }
}

/// Whether a record is stored, and then whether it is an approval, and its time.
async fn stored(
    connection: &mut SqliteConnection,
    id: MfaEventId,
) -> Result<Option<(bool, i64)>, StoreError> {
    sqlx::query_as("SELECT is_approval, event_time_ms FROM mfa_event WHERE id = ?")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(engine(ADD))
}

/// Number and owner of each account of the groups.
async fn owners(
    connection: &mut SqliteConnection,
    batch: &MfaBatch,
) -> Result<HashMap<AccountRow, (i64, IdentityId)>, StoreError> {
    let ids = batch
        .groups
        .iter()
        .map(|group| group.id.as_bytes().to_vec());
    let ids: Vec<Vec<u8>> = ids.collect();
    let mut owners = HashMap::new();
    for (id, no, account) in identity::accounts(connection, &ids).await? {
        owners.insert(account, (no, identity_id(&id)?));
    }
    Ok(owners)
}

/// Events that were new.
#[derive(Debug, Default)]
struct Tally {
    count: i64,
    times_ms: Option<(i64, i64)>,
}

impl Tally {
    fn count(&mut self, time_ms: i64) {
        self.add(&Self {
            count: 1,
            times_ms: Some((time_ms, time_ms)),
        });
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.times_ms = match (self.times_ms, other.times_ms) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }
}

async fn feed_no(connection: &mut SqliteConnection, batch: &MfaBatch) -> Result<i64, StoreError> {
    sqlx::query("INSERT INTO feed (provider, kind) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(&batch.provider)
        .bind(&batch.kind)
        .execute(&mut *connection)
        .await
        .map_err(engine(ADD))?;
    sqlx::query_scalar("SELECT no FROM feed WHERE provider = ? AND kind = ?")
        .bind(&batch.provider)
        .bind(&batch.kind)
        .fetch_one(connection)
        .await
        .map_err(engine(ADD))
}

struct Place {
    account_no: i64,
    feed_no: i64,
    receive_time_ms: i64,
}

/// Stores one record; `false` where it is there already.
async fn insert(
    connection: &mut SqliteConnection,
    event: &NewMfaEvent,
    place: &Place,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO mfa_event (id, account_no, feed_no, event_time_ms, receive_time_ms, event, raw, raw_sha256, said, \
         is_approval) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    )
    .bind(event.id.as_bytes().as_slice())
    .bind(place.account_no)
    .bind(place.feed_no)
    .bind(event.event_time_ms)
    .bind(place.receive_time_ms)
    .bind(event.event.as_slice())
    .bind(event.raw.as_slice())
    .bind(event.raw_sha256.as_slice())
    .bind(event.said.as_deref())
    .bind(event.is_approval)
    .execute(connection)
    .await
    .map_err(engine(ADD))?;
    Ok(inserted.rows_affected() == 1)
}

/// Takes a record's other form where it says more: providers write one record in several shapes, and in whatever
/// order they come the fullest stays. What was looked up says nothing about that: the same record with other files is
/// no other form, and keeps what was looked up first. Answers whether it did.
async fn replace(
    connection: &mut SqliteConnection,
    event: &NewMfaEvent,
    owner: IdentityId,
) -> Result<bool, StoreError> {
    let replaced = sqlx::query(
        "UPDATE mfa_event SET event = ?1, raw = ?2, raw_sha256 = ?3, event_time_ms = ?4, said = ?7, \
         is_approval = ?9 \
         WHERE id = ?5 AND (length(coalesce(said, event)) < length(?8) \
         OR (length(coalesce(said, event)) = length(?8) AND coalesce(said, event) < ?8)) \
         AND account_no IN (SELECT no FROM account WHERE identity = ?6)",
    )
    .bind(event.event.as_slice())
    .bind(event.raw.as_slice())
    .bind(event.raw_sha256.as_slice())
    .bind(event.event_time_ms)
    .bind(event.id.as_bytes().as_slice())
    .bind(owner.as_bytes().as_slice())
    .bind(event.said.as_deref())
    .bind(event.said.as_ref().unwrap_or(&event.event).as_slice())
    .bind(event.is_approval)
    .execute(connection)
    .await
    .map_err(engine(ADD))?;
    Ok(replaced.rows_affected() == 1)
}

async fn count_account(
    connection: &mut SqliteConnection,
    account_no: i64,
    tally: &Tally,
) -> Result<(), StoreError> {
    let Some((min_ms, max_ms)) = tally.times_ms else {
        return Ok(());
    };
    sqlx::query(
        "UPDATE account SET mfa_events = mfa_events + ?1, event_time_max_ms = max(event_time_max_ms, ?3), \
         event_time_min_ms = CASE event_time_min_ms WHEN 0 THEN ?2 ELSE min(event_time_min_ms, ?2) END \
         WHERE no = ?4",
    )
    .bind(tally.count)
    .bind(min_ms)
    .bind(max_ms)
    .bind(account_no)
    .execute(connection)
    .await
    .map_err(engine(ADD))?;
    Ok(())
}

async fn count_feed(
    connection: &mut SqliteConnection,
    feed_no: i64,
    batch: &MfaBatch,
    tally: &Tally,
) -> Result<(), StoreError> {
    let refused = match &batch.refused {
        Some(refused) => count_refused(connection, feed_no, refused).await?,
        None => 0,
    };
    sqlx::query(
        "UPDATE feed SET mfa_events = mfa_events + ?, malformed = malformed + ?, \
         event_time_max_ms = max(event_time_max_ms, ?), receive_time_ms = max(receive_time_ms, ?) WHERE no = ?",
    )
    .bind(tally.count)
    .bind(i64::try_from(refused).unwrap_or(i64::MAX))
    .bind(tally.times_ms.map_or(0, |times| times.1))
    // A connection's page may be empty: then nothing has come.
    .bind(match batch.events.is_empty() && batch.advance.is_some() {
        true => 0,
        false => batch.receive_time_ms,
    })
    .bind(feed_no)
    .execute(connection)
    .await
    .map_err(engine(ADD))?;
    Ok(())
}

/// Moves a connection behind its page.
async fn advance(
    connection: &mut SqliteConnection,
    feed_no: i64,
    batch: &MfaBatch,
    page: &Advance,
) -> Result<(), StoreError> {
    let moved = sqlx::query(
        "UPDATE feed_connection SET cursor = ?, page_time_ms = ?, pages = pages + 1 WHERE no = ?",
    )
    .bind(&page.cursor)
    .bind(batch.receive_time_ms)
    .bind(page.connection)
    .execute(&mut *connection)
    .await
    .map_err(engine(ADD))?;
    if moved.rows_affected() == 0 {
        return Err(StoreError::NotFound {
            what: "live feed",
            id: batch.kind.clone(),
        });
    }
    let mut malformed = 0;
    for record in &page.malformed {
        let refused = RefusedRecords {
            file_sha256: *record,
            count: 1,
        };
        malformed += count_refused(connection, feed_no, &refused).await?;
    }
    sqlx::query(
        "UPDATE feed SET complete_until_ms = max(complete_until_ms, ?1), malformed = malformed + ?2, \
         malformed_reason = CASE ?3 WHEN '' THEN malformed_reason ELSE ?3 END WHERE no = ?4",
    )
    .bind(page.complete_until_ms)
    .bind(i64::try_from(malformed).unwrap_or(i64::MAX))
    .bind(&page.malformed_reason)
    .bind(feed_no)
    .execute(connection)
    .await
    .map_err(engine(ADD))?;
    Ok(())
}

/// What of a file's refused records is to be counted: nothing where the same file came before.
async fn count_refused(
    connection: &mut SqliteConnection,
    feed_no: i64,
    refused: &RefusedRecords,
) -> Result<u64, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO refused_file (feed_no, file_sha256) VALUES (?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(feed_no)
    .bind(refused.file_sha256.as_slice())
    .execute(&mut *connection)
    .await
    .map_err(engine(ADD))?;
    if inserted.rows_affected() == 0 {
        return Ok(0);
    }
    sqlx::query(
        "DELETE FROM refused_file WHERE feed_no = ?1 AND no <= (SELECT no FROM refused_file WHERE feed_no = ?1 \
         ORDER BY no DESC LIMIT 1 OFFSET ?2)",
    )
    .bind(feed_no)
    .bind(REFUSED_FILES_MAX)
    .execute(connection)
    .await
    .map_err(engine(ADD))?;
    Ok(refused.count)
}
