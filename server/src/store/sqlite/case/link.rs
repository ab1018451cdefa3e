//! Links between people and accounts of endpoints: made by analysts and imports, taken away by analysts.

use std::collections::BTreeSet;

use sqlx::{SqliteConnection, SqlitePool};
use tocsin_proto::id::{EndpointId, IdentityId};

use super::identity::{execute, not_found};
use super::{dirty, identity_id};
use crate::audit::AuditEntry;
use crate::store::StoreError;
use crate::store::case::{LINKS_MAX, LinkRow};
use crate::store::sqlite::trust::audit;
use crate::store::sqlite::{Database, engine};

const READ: &str = "read links";
const WRITE: &str = "write links";

/// A statement about rows of the same account of an endpoint (?1 the endpoint, ?2 its name, ?3 its number) and a
/// person (?4).
macro_rules! same {
    ($statement:literal, $identity:literal) => {
        concat!(
            $statement,
            " WHERE endpoint = ?1 AND ((user != '' AND user = ?2) OR (uid != '' AND uid = ?3)) AND identity ",
            $identity,
            " ?4"
        )
    };
}

/// See [`PeopleStore::link_account`](crate::store::people::PeopleStore::link_account).
pub(super) async fn link(
    file: &Database,
    identity: IdentityId,
    link: &LinkRow,
    is_move: bool,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    let mut transaction = file.begin().await?;
    let link = complete(&mut transaction, link).await?;
    let others = others(&mut transaction, identity, &link).await?;
    if let (Some(other), false) = (others.first(), is_move) {
        return Err(taken(&mut transaction, *other, &link).await?);
    }
    for other in others {
        take(&mut transaction, other, &link, &link.linked_by).await?;
    }
    put(&mut transaction, identity, &link).await?;
    dirty::mark(&mut transaction, [identity]).await?;
    audit::append(&mut transaction, entry).await?;
    transaction.commit().await.map_err(engine(WRITE))
}

/// Writes a link in the place of what the person had of this account, whoever else has it.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    identity: IdentityId,
    link: &LinkRow,
) -> Result<(), StoreError> {
    let id = identity.as_bytes().as_slice();
    for own in [
        same!("DELETE FROM link", "="),
        same!("DELETE FROM unlinked", "="),
    ] {
        let own = same(sqlx::query(own), link).bind(id);
        execute(connection, own).await?;
    }
    let (known, count): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM identity WHERE id = ?1), (SELECT count(*) FROM link WHERE identity = ?1)",
    )
    .bind(id)
    .fetch_one(&mut *connection)
    .await
    .map_err(engine(WRITE))?;
    if known == 0 {
        return Err(not_found(&identity.to_string()));
    }
    if count >= i64::from(LINKS_MAX) {
        return Err(StoreError::State {
            what: "identity",
            id: identity.to_string(),
            why: "has as many local accounts as can be linked",
        });
    }
    let insert = sqlx::query("INSERT INTO link VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(id)
        .bind(link.endpoint.as_bytes().as_slice())
        .bind(&link.user)
        .bind(&link.uid)
        .bind(&link.source)
        .bind(&link.confidence)
        .bind(&link.linked_by)
        .bind(&link.reason)
        .bind(link.linked_time_ms);
    execute(connection, insert).await.map(drop)
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// Binds the account that `same!` asks for.
fn same<'q>(query: Query<'q>, link: &'q LinkRow) -> Query<'q> {
    query
        .bind(link.endpoint.as_bytes().as_slice())
        .bind(link.user.as_str())
        .bind(link.uid.as_str())
}

/// The link with the name or number that the endpoint's events give the account, where it has only one of them.
pub(super) async fn complete(
    connection: &mut SqliteConnection,
    link: &LinkRow,
) -> Result<LinkRow, StoreError> {
    if !link.user.is_empty() && !link.uid.is_empty() {
        return Ok(link.clone());
    }
    let seen: Option<(String, String)> = sqlx::query_as(
        "SELECT user, uid FROM local_account WHERE endpoint = ? AND user != '' AND uid != '' \
         AND (user = ? OR uid = ?) ORDER BY last_seen_ms DESC, no LIMIT 1",
    )
    .bind(link.endpoint.as_bytes().as_slice())
    .bind(&link.user)
    .bind(&link.uid)
    .fetch_optional(connection)
    .await
    .map_err(engine(READ))?;
    let (user, uid) = seen.unwrap_or_else(|| (link.user.clone(), link.uid.clone()));
    Ok(LinkRow {
        user,
        uid,
        ..link.clone()
    })
}

/// Other people who have the account.
pub(super) async fn others(
    connection: &mut SqliteConnection,
    identity: IdentityId,
    link: &LinkRow,
) -> Result<BTreeSet<IdentityId>, StoreError> {
    let others = same!("SELECT DISTINCT identity FROM link", "!=");
    let rows: Vec<Vec<u8>> = sqlx::query_scalar(others)
        .bind(link.endpoint.as_bytes().as_slice())
        .bind(&link.user)
        .bind(&link.uid)
        .bind(identity.as_bytes().as_slice())
        .fetch_all(connection)
        .await
        .map_err(engine(READ))?;
    rows.iter().map(|id| identity_id(id)).collect()
}

/// How people call a person.
pub(super) async fn called(
    connection: &mut SqliteConnection,
    identity: IdentityId,
) -> Result<String, StoreError> {
    let (name, login): (String, String) = sqlx::query_as(
        "SELECT CASE WHEN imported_name != '' THEN imported_name ELSE display_name END, \
         coalesce((SELECT min(login) FROM account WHERE identity = id AND login != ''), '') \
         FROM identity WHERE id = ?",
    )
    .bind(identity.as_bytes().as_slice())
    .fetch_one(connection)
    .await
    .map_err(engine(READ))?;
    Ok(match (name.as_str(), login.as_str()) {
        ("", "") => identity.to_string(),
        ("", one) | (one, "") => one.to_owned(),
        (name, login) => format!("{name} ({login})"),
    })
}

/// That another person has the account, and who.
pub(super) async fn taken(
    connection: &mut SqliteConnection,
    holder: IdentityId,
    link: &LinkRow,
) -> Result<StoreError, StoreError> {
    let holder = called(connection, holder).await?;
    let hostname: Option<String> = sqlx::query_scalar("SELECT hostname FROM endpoint WHERE id = ?")
        .bind(link.endpoint.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(engine(READ))?;
    let account = match link.user.as_str() {
        "" => &link.uid,
        user => user,
    };
    let place = hostname.unwrap_or_else(|| link.endpoint.to_string());
    Ok(StoreError::Taken {
        account: format!("'{account}' on {place}"),
        holder,
    })
}

/// Whether the person has the account.
pub(super) async fn is_own(
    connection: &mut SqliteConnection,
    identity: IdentityId,
    link: &LinkRow,
) -> Result<bool, StoreError> {
    let own = same!("SELECT 1 FROM link", "=");
    is_any(connection, own, (identity, link)).await
}

/// Whether an analyst took the account from the person.
pub(super) async fn is_unlinked(
    connection: &mut SqliteConnection,
    identity: IdentityId,
    link: &LinkRow,
) -> Result<bool, StoreError> {
    let unlinked = same!("SELECT 1 FROM unlinked", "=");
    is_any(connection, unlinked, (identity, link)).await
}

/// Whether a statement of `same!` finds a row.
async fn is_any(
    connection: &mut SqliteConnection,
    statement: &'static str,
    (identity, link): (IdentityId, &LinkRow),
) -> Result<bool, StoreError> {
    let row = same(sqlx::query(statement), link)
        .bind(identity.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(engine(READ))?;
    Ok(row.is_some())
}

/// Takes a person's links to an account away, remembers that, and marks the person. Answers how many there were.
async fn take(
    connection: &mut SqliteConnection,
    identity: IdentityId,
    link: &LinkRow,
    by: &str,
) -> Result<u64, StoreError> {
    let id = identity.as_bytes().as_slice();
    let remember = same!(
        "INSERT OR REPLACE INTO unlinked SELECT identity, endpoint, user, uid, ?5, ?6 FROM link",
        "="
    );
    let remember = same(sqlx::query(remember), link)
        .bind(id)
        .bind(by)
        .bind(link.linked_time_ms);
    execute(connection, remember).await?;
    let delete = same(sqlx::query(same!("DELETE FROM link", "=")), link).bind(id);
    let count = execute(connection, delete).await?;
    dirty::mark(connection, [identity]).await?;
    Ok(count)
}

/// See [`PeopleStore::unlink`](crate::store::people::PeopleStore::unlink).
pub(super) async fn unlink(
    file: &Database,
    identity: IdentityId,
    (endpoint, account): (EndpointId, &str),
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    let mut transaction = file.begin().await?;
    let link = LinkRow {
        endpoint,
        user: account.to_owned(),
        uid: account.to_owned(),
        source: String::new(),
        confidence: String::new(),
        linked_by: String::new(),
        reason: String::new(),
        linked_time_ms: entry.time_ms,
    };
    if take(&mut transaction, identity, &link, &entry.actor).await? == 0 {
        return Err(StoreError::NotFound {
            what: "link of this person to the account",
            id: account.to_owned(),
        });
    }
    audit::append(&mut transaction, entry).await?;
    transaction.commit().await.map_err(engine(WRITE))
}

/// Copies the links of an endpoint to the one that its machine has become. They keep source, confidence and who made
/// them; each is in the audit log. A person who has as many as can be linked gets no more.
pub(in crate::store::sqlite) async fn follow_links(
    connection: &mut SqliteConnection,
    (former, endpoint): (EndpointId, EndpointId),
    time_ms: i64,
) -> Result<(), StoreError> {
    let copied: Vec<(Vec<u8>, String, String)> = sqlx::query_as(
        "INSERT OR IGNORE INTO link SELECT identity, ?2, user, uid, source, confidence, linked_by, \
         reason || CASE reason WHEN '' THEN '' ELSE '; ' END || ?3, ?4 FROM link AS old WHERE endpoint = ?1 \
         AND (SELECT count(*) FROM link AS own WHERE own.identity = old.identity) < ?5 \
         RETURNING identity, user, uid",
    )
    .bind(former.as_bytes().as_slice())
    .bind(endpoint.as_bytes().as_slice())
    .bind(format!("followed endpoint {former}, enrolled anew"))
    .bind(time_ms)
    .bind(LINKS_MAX)
    .fetch_all(&mut *connection)
    .await
    .map_err(engine(WRITE))?;
    for (identity, user, uid) in copied {
        let target = identity_id(&identity)?.to_string();
        let detail =
            format!("{user}{uid} on {endpoint}: it was endpoint {former} and was enrolled anew");
        let entry = AuditEntry::server("identities.link", &target, &detail);
        audit::append(connection, &entry).await?;
    }
    // What an analyst took away is not to come back by an import.
    let unlinked = sqlx::query(
        "INSERT OR IGNORE INTO unlinked SELECT identity, ?2, user, uid, unlinked_by, unlinked_time_ms FROM unlinked \
         WHERE endpoint = ?1",
    );
    let unlinked = unlinked
        .bind(former.as_bytes().as_slice())
        .bind(endpoint.as_bytes().as_slice());
    execute(connection, unlinked).await?;
    mark_linked(connection, former).await
}

/// Marks everybody who has a link to an endpoint.
pub(in crate::store::sqlite) async fn mark_linked(
    connection: &mut SqliteConnection,
    endpoint: EndpointId,
) -> Result<(), StoreError> {
    let mark = sqlx::query(
        "INSERT OR REPLACE INTO dirty (identity) SELECT DISTINCT identity FROM link WHERE endpoint = ?",
    );
    execute(connection, mark.bind(endpoint.as_bytes().as_slice())).await?;
    Ok(())
}

/// See [`PeopleStore::links_seen`](crate::store::people::PeopleStore::links_seen).
pub(super) async fn seen(
    reader: &SqlitePool,
    identity: IdentityId,
) -> Result<Vec<i64>, StoreError> {
    sqlx::query_scalar(
        "SELECT coalesce((SELECT max(a.last_seen_ms) FROM local_account AS a WHERE a.endpoint = link.endpoint \
         AND ((link.user != '' AND a.user = link.user) OR (link.uid != '' AND a.uid = link.uid))), 0) \
         FROM link WHERE identity = ? ORDER BY endpoint, user, uid",
    )
    .bind(identity.as_bytes().as_slice())
    .fetch_all(reader)
    .await
    .map_err(engine(READ))
}
