//! Identities, their accounts, keys and links.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::SqliteRow;
use sqlx::{Encode, FromRow, QueryBuilder, Row, Sqlite, SqliteConnection, SqlitePool, Type};
use tocsin_proto::id::{EndpointId, IdentityId};

use super::{id_bytes, identity_id, outage, prefix, sighting};
use crate::store::StoreError;
use crate::store::case::{AccountRow, CaseError, IdentityGroup, IdentityRow, LinkRow};
use crate::store::sqlite::engine;

const READ: &str = "read identities";
const WRITE: &str = "write identities";

/// One person.
pub(super) async fn one(reader: &SqlitePool, id: IdentityId) -> Result<IdentityRow, StoreError> {
    let row = sqlx::query("SELECT * FROM identity WHERE id = ?")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(reader)
        .await
        .map_err(engine(READ))?;
    match row {
        Some(row) => whole(reader, &row).await,
        None => Err(not_found(&id.to_string())),
    }
}

/// A page, by id.
pub(super) async fn page(
    reader: &SqlitePool,
    after: Option<IdentityId>,
    limit: u32,
) -> Result<Vec<IdentityRow>, StoreError> {
    let after = after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
    let rows =
        sqlx::query("SELECT * FROM identity WHERE id > ? AND is_nobody = 0 ORDER BY id LIMIT ?")
            .bind(after)
            .bind(limit)
            .fetch_all(reader)
            .await
            .map_err(engine(READ))?;
    let mut page = Vec::with_capacity(rows.len());
    for row in &rows {
        page.push(whole(reader, row).await?);
    }
    Ok(page)
}

async fn whole(reader: &SqlitePool, row: &SqliteRow) -> Result<IdentityRow, StoreError> {
    let id: Vec<u8> = row.try_get("id").map_err(engine(READ))?;
    let accounts: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT provider, provider_id, login FROM account WHERE identity = ? ORDER BY 1, 3, 2",
    )
    .bind(&id)
    .fetch_all(reader)
    .await
    .map_err(engine(READ))?;
    let (mfa_events, min_ms, max_ms): (i64, i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(mfa_events), 0), \
         coalesce(min(CASE event_time_min_ms WHEN 0 THEN NULL ELSE event_time_min_ms END), 0), \
         coalesce(max(event_time_max_ms), 0) FROM account WHERE identity = ?",
    )
    .bind(&id)
    .fetch_one(reader)
    .await
    .map_err(engine(READ))?;
    let aliases: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT alias FROM identity_alias WHERE identity = ? ORDER BY alias")
            .bind(&id)
            .fetch_all(reader)
            .await
            .map_err(engine(READ))?;
    let read = || -> Result<_, sqlx::Error> {
        Ok((
            row.try_get("display_name")?,
            row.try_get("privileged")?,
            (
                row.try_get("imported_name")?,
                row.try_get("imported_privileged")?,
            ),
            row.try_get("baseline")?,
            row.try_get("removed_until_ms")?,
            row.try_get("coverage")?,
        ))
    };
    let (display_name, privileged, imported, baseline, removed_until_ms, coverage) =
        read().map_err(engine(READ))?;
    Ok(IdentityRow {
        id: identity_id(&id)?,
        display_name,
        privileged,
        imported_name: imported.0,
        imported_privileged: imported.1,
        event_time_min_ms: min_ms,
        event_time_max_ms: max_ms,
        mfa_events: mfa_events.unsigned_abs(),
        accounts: accounts.into_iter().map(account_row).collect(),
        links: links(reader, &id).await?,
        aliases: aliases
            .iter()
            .map(|id| identity_id(id))
            .collect::<Result<_, _>>()?,
        baseline,
        removed_until_ms,
        coverage,
    })
}

fn account_row((provider, provider_id, login): (String, String, String)) -> AccountRow {
    AccountRow {
        provider,
        provider_id,
        login,
    }
}

async fn links(reader: &SqlitePool, identity: &[u8]) -> Result<Vec<LinkRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM link WHERE identity = ? ORDER BY endpoint, user, uid")
        .bind(identity)
        .fetch_all(reader)
        .await
        .map_err(engine(READ))?;
    let read = |row: &SqliteRow| -> Result<LinkRow, StoreError> {
        let endpoint: Vec<u8> = row.try_get("endpoint").map_err(engine(READ))?;
        let endpoint = EndpointId::from_bytes(id_bytes(&endpoint, "endpoint id")?);
        let rest = || -> Result<LinkRow, sqlx::Error> {
            Ok(LinkRow {
                endpoint,
                user: row.try_get("user")?,
                uid: row.try_get("uid")?,
                source: row.try_get("source")?,
                confidence: row.try_get("confidence")?,
                linked_by: row.try_get("linked_by")?,
                reason: row.try_get("reason")?,
                linked_time_ms: row.try_get("linked_time_ms")?,
            })
        };
        rest().map_err(engine(READ))
    };
    rows.iter().map(read).collect()
}

/// See [`CaseStore::find_identity`](crate::store::case::CaseStore::find_identity).
pub(super) async fn find(reader: &SqlitePool, text: &str) -> Result<IdentityId, StoreError> {
    if let Some(id) = prefix::find(reader, &prefix::IDENTITY, text).await? {
        return Ok(IdentityId::from_bytes(id));
    }
    let rows: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT DISTINCT identity FROM account WHERE login = ? LIMIT 2")
            .bind(text.trim().to_lowercase())
            .fetch_all(reader)
            .await
            .map_err(engine(READ))?;
    match rows.as_slice() {
        [] => Err(not_found(text)),
        [id] => identity_id(id),
        _ => Err(StoreError::Ambiguous {
            what: "identity",
            id: text.to_owned(),
        }),
    }
}

/// Values in one list of a statement.
const LIST_MAX: usize = 500;

/// Rows of `SELECT ... IN (list)`, for a list of any length.
async fn in_list<R, V>(
    connection: &mut SqliteConnection,
    select: &'static str,
    values: &[V],
) -> Result<Vec<R>, StoreError>
where
    R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    V: Clone + Send + Sync + for<'q> Encode<'q, Sqlite> + Type<Sqlite> + 'static,
{
    let mut rows = Vec::new();
    for values in values.chunks(LIST_MAX) {
        let mut sql = QueryBuilder::<Sqlite>::new(select);
        sql.push(" IN (");
        let mut list = sql.separated(", ");
        for value in values {
            list.push_bind(value.clone());
        }
        sql.push(")");
        let query = sql.build_query_as().persistent(false);
        rows.extend(
            query
                .fetch_all(&mut *connection)
                .await
                .map_err(engine(READ))?,
        );
    }
    Ok(rows)
}

/// See [`CaseStore::groups`](crate::store::case::CaseStore::groups).
pub(super) async fn groups(
    reader: &SqlitePool,
    keys: &[String],
) -> Result<Vec<IdentityGroup>, StoreError> {
    let mut connection = reader.acquire().await.map_err(engine(READ))?;
    let found: Vec<(Vec<u8>,)> = in_list(
        &mut connection,
        "SELECT identity FROM identity_key WHERE key",
        keys,
    )
    .await?;
    let ids: BTreeSet<Vec<u8>> = found.into_iter().map(|row| row.0).collect();
    let ids: Vec<Vec<u8>> = ids.into_iter().collect();
    let mut groups: BTreeMap<Vec<u8>, IdentityGroup> = BTreeMap::new();
    for id in &ids {
        let group = IdentityGroup {
            id: identity_id(id)?,
            keys: Vec::new(),
            accounts: Vec::new(),
            former: vec![identity_id(id)?],
            is_changed: false,
        };
        groups.insert(id.clone(), group);
    }
    let select = "SELECT identity, key FROM identity_key WHERE identity";
    let keys: Vec<(Vec<u8>, String)> = in_list(&mut connection, select, &ids).await?;
    for (id, key) in keys {
        if let Some(group) = groups.get_mut(&id) {
            group.keys.push(key);
        }
    }
    for (id, _, account) in accounts(&mut connection, &ids).await? {
        if let Some(group) = groups.get_mut(&id) {
            group.accounts.push(account);
        }
    }
    Ok(groups.into_values().collect())
}

/// Accounts of people, with whose they are and their numbers.
pub(super) async fn accounts(
    connection: &mut SqliteConnection,
    ids: &[Vec<u8>],
) -> Result<Vec<(Vec<u8>, i64, AccountRow)>, StoreError> {
    let select = "SELECT identity, no, provider, provider_id, login FROM account WHERE identity";
    let rows: Vec<(Vec<u8>, i64, String, String, String)> =
        in_list(connection, select, ids).await?;
    let account = |(id, no, provider, provider_id, login)| {
        let account = account_row((provider, provider_id, login));
        (id, no, account)
    };
    Ok(rows.into_iter().map(account).collect())
}

/// Writes a group within the caller's transaction: makes the identity, takes in former ones, their keys, accounts,
/// links and incidents. Answers whether anything changed.
pub(super) async fn write_group(
    connection: &mut SqliteConnection,
    group: &IdentityGroup,
) -> Result<bool, CaseError> {
    let id = group.id.as_bytes().as_slice();
    let made = execute(
        connection,
        sqlx::query("INSERT INTO identity (id) VALUES (?) ON CONFLICT DO NOTHING").bind(id),
    )
    .await?;
    let mut changed = made > 0;
    if changed {
        // An id that was only remembered is somebody again.
        let forget = sqlx::query("DELETE FROM identity_alias WHERE alias = ?").bind(id);
        execute(connection, forget).await?;
    }
    for former in group.former.iter().filter(|former| **former != group.id) {
        take_in(connection, group.id, *former).await?;
        changed = true;
    }
    for key in &group.keys {
        let insert = sqlx::query(
            "INSERT INTO identity_key (key, identity) VALUES (?, ?) ON CONFLICT DO NOTHING",
        );
        changed |= execute(connection, insert.bind(key).bind(id)).await? > 0;
        let owner: Vec<u8> = sqlx::query_scalar("SELECT identity FROM identity_key WHERE key = ?")
            .bind(key)
            .fetch_one(&mut *connection)
            .await
            .map_err(engine(WRITE))?;
        if owner != id {
            return Err(CaseError::Changed);
        }
    }
    for account in &group.accounts {
        let insert = sqlx::query(
            "INSERT INTO account (provider, provider_id, login, identity) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        );
        let insert = insert
            .bind(&account.provider)
            .bind(&account.provider_id)
            .bind(&account.login)
            .bind(id);
        changed |= execute(connection, insert).await? > 0;
    }
    Ok(changed)
}

/// Makes one identity part of another: what it had goes over, its id becomes an alias.
async fn take_in(
    connection: &mut SqliteConnection,
    into: IdentityId,
    former: IdentityId,
) -> Result<(), StoreError> {
    sighting::take_in(connection, into, former).await?;
    outage::take_in(connection, into, former).await?;
    const STEPS: [&str; 14] = [
        "UPDATE identity_key SET identity = ?1 WHERE identity = ?2",
        "UPDATE account SET identity = ?1 WHERE identity = ?2",
        "UPDATE OR IGNORE link SET identity = ?1 WHERE identity = ?2",
        "DELETE FROM link WHERE identity = ?2 AND ?1 != ?2",
        "UPDATE OR IGNORE claim SET identity = ?1 WHERE identity = ?2",
        "DELETE FROM claim WHERE identity = ?2 AND ?1 != ?2",
        "UPDATE OR IGNORE unlinked SET identity = ?1 WHERE identity = ?2",
        "DELETE FROM unlinked WHERE identity = ?2 AND ?1 != ?2",
        // Of two names the first in the alphabet, whichever of them comes last.
        "UPDATE identity SET imported_privileged = max(identity.imported_privileged, f.imported_privileged), \
         imported_name = CASE WHEN identity.imported_name = '' OR (f.imported_name != '' \
         AND f.imported_name < identity.imported_name) THEN f.imported_name ELSE identity.imported_name END \
         FROM (SELECT imported_name, imported_privileged FROM identity WHERE id = ?2) AS f WHERE id = ?1",
        "UPDATE incident SET identity = ?1, version = version + 1 WHERE identity = ?2",
        "DELETE FROM dirty WHERE identity = ?2 AND ?1 != ?2",
        "UPDATE identity_alias SET identity = ?1 WHERE identity = ?2",
        // Of two baselines the one that reaches further is kept: both cannot be had without their events.
        "UPDATE identity SET (baseline, removed_until_ms) = \
         (SELECT f.baseline, f.removed_until_ms FROM identity AS f WHERE f.id = ?2) \
         WHERE id = ?1 AND removed_until_ms < (SELECT f.removed_until_ms FROM identity AS f WHERE f.id = ?2)",
        "DELETE FROM identity WHERE id = ?2 AND ?1 != ?2",
    ];
    for step in STEPS {
        let step = sqlx::query(step)
            .bind(into.as_bytes().as_slice())
            .bind(former.as_bytes().as_slice());
        execute(connection, step).await?;
    }
    let alias =
        sqlx::query("INSERT OR REPLACE INTO identity_alias (alias, identity) VALUES (?, ?)")
            .bind(former.as_bytes().as_slice())
            .bind(into.as_bytes().as_slice());
    execute(connection, alias).await?;
    Ok(())
}

pub(super) async fn execute(
    connection: &mut SqliteConnection,
    query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
) -> Result<u64, StoreError> {
    let done = query.execute(connection).await.map_err(engine(WRITE))?;
    Ok(done.rows_affected())
}

pub(super) fn not_found(id: &str) -> StoreError {
    StoreError::NotFound {
        what: "identity",
        id: id.to_owned(),
    }
}
