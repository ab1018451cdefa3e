//! Accounts that events of endpoints have named, and whose they may be.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{SqliteConnection, SqlitePool};
use tocsin_proto::id::{EndpointId, IdentityId};

use super::identity::execute;
use super::link::{complete, is_own, is_unlinked, others, put};
use super::{dirty, id_bytes, identity_id};
use crate::audit::AuditEntry;
use crate::clock::now_ms;
use crate::people::sight::merge;
use crate::people::{BY_IMPORT, LIKELY, fold_user, is_system, owner};
use crate::store::StoreError;
use crate::store::case::LinkRow;
use crate::store::people::{Candidate, Claim, ClaimRow, LocalAccountRow, Sighting};
use crate::store::sqlite::trust::audit;
use crate::store::sqlite::{Database, engine};

const READ: &str = "read accounts of endpoints";
const WRITE: &str = "write accounts of endpoints";

/// The setting in which it is kept how far telemetry was looked through for accounts.
const THROUGH: &str = "accounts_seen_through";

/// Claims of one name or number that are looked at; an import refuses those of several people.
const CLAIMS_MAX: u32 = 32;

/// See [`PeopleStore::seen_through`](crate::store::people::PeopleStore::seen_through).
pub(super) async fn through(reader: &SqlitePool) -> Result<i64, StoreError> {
    let value: Option<String> = sqlx::query_scalar("SELECT value FROM setting WHERE name = ?")
        .bind(THROUGH)
        .fetch_optional(reader)
        .await
        .map_err(engine(READ))?;
    Ok(value.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// See [`PeopleStore::see`](crate::store::people::PeopleStore::see).
pub(super) async fn see(
    file: &Database,
    sightings: &[(EndpointId, Vec<Sighting>)],
    through: i64,
) -> Result<u64, StoreError> {
    let mut transaction = file.begin().await?;
    let mut linked = 0;
    for (endpoint, seen) in sightings {
        let known = of_endpoint(&mut transaction, *endpoint).await?;
        let (rows, gone) = merge(&known, *endpoint, seen);
        for number in gone {
            let delete = sqlx::query("DELETE FROM local_account WHERE no = ?").bind(number);
            execute(&mut transaction, delete).await?;
        }
        for row in &rows {
            write(&mut transaction, row).await?;
            // What an account is called never changes: another name is another account.
            if row.number == 0 {
                linked += u64::from(link_claimed(&mut transaction, row).await?);
            }
        }
    }
    let keep = sqlx::query("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)")
        .bind(THROUGH)
        .bind(through.to_string());
    execute(&mut transaction, keep).await?;
    transaction.commit().await.map_err(engine(WRITE))?;
    Ok(linked)
}

async fn write(connection: &mut SqliteConnection, row: &LocalAccountRow) -> Result<(), StoreError> {
    let statement = match row.number {
        0 => {
            "INSERT INTO local_account \
             (endpoint, user, uid, folded, first_seen_ms, last_seen_ms, interactive_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        }
        _ => {
            "UPDATE local_account SET user = ?2, uid = ?3, folded = ?4, first_seen_ms = ?5, last_seen_ms = ?6, \
             interactive_ms = ?7 WHERE no = ?8 AND endpoint = ?1"
        }
    };
    let mut write = sqlx::query(statement)
        .bind(row.endpoint.as_bytes().as_slice())
        .bind(&row.user)
        .bind(&row.uid)
        .bind(fold_user(&row.user))
        .bind(row.first_seen_ms)
        .bind(row.last_seen_ms)
        .bind(row.interactive_ms);
    if row.number != 0 {
        write = write.bind(row.number);
    }
    execute(connection, write).await.map(drop)
}

/// Links an account that was not known before to whom a claim fits, unless it is somebody's or was taken from them.
async fn link_claimed(
    connection: &mut SqliteConnection,
    row: &LocalAccountRow,
) -> Result<bool, StoreError> {
    let claims = claims_of(connection, &fold_user(&row.user), &row.uid).await?;
    link_owner(connection, row, &claims).await
}

/// Links an account to whom these claims give it; whether it did.
pub(super) async fn link_owner(
    connection: &mut SqliteConnection,
    row: &LocalAccountRow,
    claims: &[ClaimRow],
) -> Result<bool, StoreError> {
    // The least first uid of all systems: a claim names its person on purpose.
    if is_system(&row.uid, "macos") {
        return Ok(false);
    }
    let Some((identity, _)) = owner(claims, &fold_user(&row.user), &row.uid) else {
        return Ok(false);
    };
    let said_by = claims.iter().find(|row| row.identity == identity);
    let link = LinkRow {
        endpoint: row.endpoint,
        user: row.user.clone(),
        uid: row.uid.clone(),
        source: BY_IMPORT.to_owned(),
        confidence: LIKELY.to_owned(),
        linked_by: said_by.map_or_else(String::new, |row| row.said_by.clone()),
        reason: String::new(),
        linked_time_ms: now_ms(),
    };
    let link = complete(connection, &link).await?;
    let is_free = others(connection, identity, &link).await?.is_empty()
        && !is_own(connection, identity, &link).await?
        && !is_unlinked(connection, identity, &link).await?;
    if !is_free {
        return Ok(false);
    }
    match put(connection, identity, &link).await {
        Ok(()) => {}
        // Has as many as can be.
        Err(StoreError::State { .. }) => return Ok(false),
        Err(error) => return Err(error),
    }
    let detail = format!(
        "'{}' (uid {}) on {}: as imported by {}",
        link.user, link.uid, link.endpoint, link.linked_by
    );
    let entry = AuditEntry::server("identities.link", &identity.to_string(), &detail);
    audit::append(connection, &entry).await?;
    dirty::mark(connection, [identity]).await?;
    Ok(true)
}

type ClaimColumns = (Vec<u8>, String, String, String, String, String, String);

/// Claims that may fit an account.
pub(super) async fn claims_of(
    connection: &mut SqliteConnection,
    folded: &str,
    uid: &str,
) -> Result<Vec<ClaimRow>, StoreError> {
    let rows: Vec<ClaimColumns> = sqlx::query_as(
        "SELECT identity, sid, upn, name, uid, mail, said_by FROM claim WHERE (sid != '' AND sid = ?1) \
         OR (upn != '' AND upn = ?2) OR (mail != '' AND mail = ?2) OR (name != '' AND name = ?2) OR (uid != '' AND uid = ?3) ORDER BY no LIMIT ?4",
    )
    .bind(uid.to_ascii_uppercase())
    .bind(folded)
    .bind(uid)
    .bind(CLAIMS_MAX)
    .fetch_all(connection)
    .await
    .map_err(engine(READ))?;
    rows.into_iter()
        .map(|(identity, sid, upn, name, uid, mail, said_by)| {
            Ok(ClaimRow {
                identity: identity_id(&identity)?,
                claim: Claim {
                    sid,
                    upn,
                    name,
                    uid,
                    mail,
                },
                said_by,
            })
        })
        .collect()
}

type Columns = (i64, Vec<u8>, String, String, i64, i64, i64);

fn row(columns: Columns) -> Result<LocalAccountRow, StoreError> {
    let (number, endpoint, user, uid, first_seen_ms, last_seen_ms, interactive_ms) = columns;
    Ok(LocalAccountRow {
        number,
        endpoint: EndpointId::from_bytes(id_bytes(&endpoint, "endpoint id")?),
        user,
        uid,
        first_seen_ms,
        last_seen_ms,
        interactive_ms,
    })
}

async fn of_endpoint(
    connection: &mut SqliteConnection,
    endpoint: EndpointId,
) -> Result<Vec<LocalAccountRow>, StoreError> {
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT no, endpoint, user, uid, first_seen_ms, last_seen_ms, interactive_ms FROM local_account \
         WHERE endpoint = ? ORDER BY no",
    )
    .bind(endpoint.as_bytes().as_slice())
    .fetch_all(connection)
    .await
    .map_err(engine(READ))?;
    rows.into_iter().map(row).collect()
}

/// Accounts that a claim may fit.
pub(super) async fn claimed(
    connection: &mut SqliteConnection,
    claim: &Claim,
) -> Result<Vec<LocalAccountRow>, StoreError> {
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT no, endpoint, user, uid, first_seen_ms, last_seen_ms, interactive_ms FROM local_account \
         WHERE (uid != '' AND uid IN (?1, ?2)) OR (folded != '' AND folded IN (?3, ?4, ?5)) ORDER BY no",
    )
    .bind(&claim.sid)
    .bind(&claim.uid)
    .bind(&claim.upn)
    .bind(&claim.name)
    .bind(&claim.mail)
    .fetch_all(connection)
    .await
    .map_err(engine(READ))?;
    rows.into_iter().map(row).collect()
}

/// See [`PeopleStore::unlinked_accounts`](crate::store::people::PeopleStore::unlinked_accounts).
pub(super) async fn unlinked_accounts(
    reader: &SqlitePool,
    after: i64,
    limit: u32,
) -> Result<Vec<LocalAccountRow>, StoreError> {
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT no, endpoint, user, uid, first_seen_ms, last_seen_ms, interactive_ms FROM local_account AS a \
         WHERE no > ? AND NOT EXISTS (SELECT 1 FROM link AS l WHERE l.endpoint = a.endpoint \
         AND ((l.user != '' AND l.user = a.user) OR (l.uid != '' AND l.uid = a.uid))) ORDER BY no LIMIT ?",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(reader)
    .await
    .map_err(engine(READ))?;
    rows.into_iter().map(row).collect()
}

/// See [`PeopleStore::unlinked_identities`](crate::store::people::PeopleStore::unlinked_identities).
pub(super) async fn unlinked_identities(
    reader: &SqlitePool,
    after: Option<IdentityId>,
    limit: u32,
) -> Result<Vec<IdentityId>, StoreError> {
    let rows: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT id FROM identity WHERE id > ? AND is_nobody = 0 AND NOT EXISTS (SELECT 1 FROM link WHERE identity = id) \
         ORDER BY id LIMIT ?",
    )
    .bind(after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
    .bind(limit)
    .fetch_all(reader)
    .await
    .map_err(engine(READ))?;
    rows.iter().map(|id| identity_id(id)).collect()
}

/// See [`PeopleStore::candidates`](crate::store::people::PeopleStore::candidates).
pub(super) async fn candidates(
    reader: &SqlitePool,
    folded: &str,
    uid: &str,
    limit: u32,
) -> Result<Vec<Candidate>, StoreError> {
    let mut found: BTreeMap<IdentityId, (String, Option<Claim>)> = BTreeMap::new();
    let mut connection = reader.acquire().await.map_err(engine(READ))?;
    for row in claims_of(&mut connection, folded, uid).await? {
        found.insert(row.identity, (String::new(), Some(row.claim)));
    }
    if !folded.is_empty() {
        // Every login that begins with the name and an '@', by the index: '@' is followed by 'A'.
        let rows: Vec<(Vec<u8>, String)> = sqlx::query_as(
            "SELECT identity, min(login) FROM account WHERE login = ?1 OR (login >= ?1 || '@' AND login < ?1 || 'A') \
             GROUP BY identity ORDER BY 1 LIMIT ?2",
        )
        .bind(folded)
        .bind(limit)
        .fetch_all(&mut *connection)
        .await
        .map_err(engine(READ))?;
        for (identity, login) in rows {
            found.entry(identity_id(&identity)?).or_default().0 = login;
        }
    }
    let mut candidates = BTreeSet::new();
    for (identity, (login, claim)) in found.into_iter().take(limit as usize) {
        let (display_name, least): (String, String) = sqlx::query_as(
            "SELECT CASE WHEN imported_name != '' THEN imported_name ELSE display_name END, \
             coalesce((SELECT min(login) FROM account WHERE identity = id AND login != ''), '') \
             FROM identity WHERE id = ?",
        )
        .bind(identity.as_bytes().as_slice())
        .fetch_one(&mut *connection)
        .await
        .map_err(engine(READ))?;
        candidates.insert(Candidate {
            identity,
            display_name,
            login: if login.is_empty() { least } else { login },
            claim,
        });
    }
    Ok(candidates.into_iter().collect())
}
