//! The people half of `state.db`: which statement is where, and rows of imports.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use tocsin_proto::id::{EndpointId, IdentityId};

use super::identity::{execute, write_group};
use super::{dirty, link, local};
use crate::audit::AuditEntry;
use crate::people::BY_IMPORT;
use crate::store::StoreError;
use crate::store::case::{CaseError, LinkRow};
use crate::store::people::{
    Candidate, Claim, ClaimRow, LocalAccountRow, PeopleStore, PersonImport, PersonImported,
    Sighting,
};
use crate::store::sqlite::{SqliteState, engine};

const ACTION: &str = "import people";

#[async_trait]
impl PeopleStore for SqliteState {
    async fn link_account(
        &self,
        identity: IdentityId,
        link: &LinkRow,
        is_move: bool,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        link::link(&self.0, identity, link, is_move, entry).await
    }

    async fn unlink(
        &self,
        identity: IdentityId,
        account: (EndpointId, &str),
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        link::unlink(&self.0, identity, account, entry).await
    }

    async fn links_seen(&self, identity: IdentityId) -> Result<Vec<i64>, StoreError> {
        link::seen(&self.0.reader, identity).await
    }

    async fn seen_through(&self) -> Result<i64, StoreError> {
        local::through(&self.0.reader).await
    }

    async fn see(
        &self,
        sightings: &[(EndpointId, Vec<Sighting>)],
        through: i64,
    ) -> Result<u64, StoreError> {
        local::see(&self.0, sightings, through).await
    }

    async fn import_people(&self, rows: &[PersonImport]) -> Result<Vec<PersonImported>, CaseError> {
        let mut transaction = self.0.begin().await?;
        let mut done = Vec::with_capacity(rows.len());
        for row in rows {
            done.push(import(&mut transaction, row).await?);
        }
        let committed = transaction.commit().await;
        committed.map_err(engine(ACTION))?;
        Ok(done)
    }

    async fn unlinked_accounts(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<LocalAccountRow>, StoreError> {
        local::unlinked_accounts(&self.0.reader, after, limit).await
    }

    async fn unlinked_identities(
        &self,
        after: Option<IdentityId>,
        limit: u32,
    ) -> Result<Vec<IdentityId>, StoreError> {
        local::unlinked_identities(&self.0.reader, after, limit).await
    }

    async fn candidates(
        &self,
        folded: &str,
        uid: &str,
        limit: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        local::candidates(&self.0.reader, folded, uid, limit).await
    }
}

/// Writes one row.
async fn import(
    connection: &mut SqliteConnection,
    row: &PersonImport,
) -> Result<PersonImported, CaseError> {
    let identity = row.group.id;
    let mut done = PersonImported {
        is_new: row.group.former.is_empty(),
        ..PersonImported::default()
    };
    let mut is_persons = write_group(connection, &row.group).await?;
    is_persons |= facts(connection, row).await?;
    if let Some(claim) = &row.claim {
        match contradiction(connection, identity, claim).await? {
            Some(why) => done.refused.push(why),
            None => {
                done.is_changed |= say(connection, identity, claim, &row.said_by).await?;
                done.links += claim_links(connection, identity, claim, &mut done.refused).await?;
            }
        }
    }
    if let Some(wanted) = &row.link {
        match endpoint_link(connection, identity, wanted).await? {
            Ok(is_made) => done.links += u64::from(is_made),
            Err(why) => done.refused.push(why),
        }
    }
    done.is_changed |= is_persons || done.links > 0;
    if is_persons || done.links > 0 {
        dirty::mark(connection, [identity]).await?;
    }
    Ok(done)
}

/// Name and rights; whether either is other than before.
async fn facts(connection: &mut SqliteConnection, row: &PersonImport) -> Result<bool, StoreError> {
    let update = sqlx::query(
        "UPDATE identity SET imported_name = coalesce(?2, imported_name), \
         imported_privileged = coalesce(?3, imported_privileged) WHERE id = ?1 \
         AND (imported_name != coalesce(?2, imported_name) OR imported_privileged != coalesce(?3, imported_privileged))",
    );
    let update = update
        .bind(row.group.id.as_bytes().as_slice())
        .bind(&row.name)
        .bind(row.privileged);
    Ok(execute(connection, update).await? > 0)
}

/// Why a claim cannot be true beside what was imported before: an account of every endpoint has one person.
async fn contradiction(
    connection: &mut SqliteConnection,
    identity: IdentityId,
    claim: &Claim,
) -> Result<Option<String>, StoreError> {
    let found: Option<(Vec<u8>, i64)> = sqlx::query_as(
        "SELECT identity, sid != '' AND sid = ?2 FROM claim WHERE identity != ?1 AND ((sid != '' AND sid = ?2) \
         OR (name != '' AND name = ?3 AND uid = ?4 AND sid = ?2)) ORDER BY no LIMIT 1",
    )
    .bind(identity.as_bytes().as_slice())
    .bind(&claim.sid)
    .bind(&claim.name)
    .bind(&claim.uid)
    .fetch_optional(&mut *connection)
    .await
    .map_err(engine(ACTION))?;
    let Some((holder, is_by_sid)) = found else {
        return Ok(None);
    };
    let holder = link::called(connection, super::identity_id(&holder)?).await?;
    let what = match is_by_sid {
        0 => format!("sam_account_name '{}'", claim.name),
        _ => format!("sid {}", claim.sid),
    };
    Ok(Some(format!("{what} is {holder}'s by an import")))
}

/// Keeps a claim; whether it is new.
async fn say(
    connection: &mut SqliteConnection,
    identity: IdentityId,
    claim: &Claim,
    by: &str,
) -> Result<bool, StoreError> {
    let insert = sqlx::query(
        "INSERT INTO claim (identity, sid, upn, name, uid, mail, said_by) VALUES (?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT DO NOTHING",
    );
    let insert = insert
        .bind(identity.as_bytes().as_slice())
        .bind(&claim.sid)
        .bind(&claim.upn)
        .bind(&claim.name)
        .bind(&claim.uid)
        .bind(&claim.mail)
        .bind(by);
    Ok(execute(connection, insert).await? > 0)
}

/// Links the accounts seen so far that a claim fits; how many. Those that are another's are told.
async fn claim_links(
    connection: &mut SqliteConnection,
    identity: IdentityId,
    claim: &Claim,
    refused: &mut Vec<String>,
) -> Result<u64, StoreError> {
    let mut made = 0;
    for account in local::claimed(connection, claim).await? {
        let folded = crate::people::fold_user(&account.user);
        let claims: Vec<ClaimRow> = local::claims_of(connection, &folded, &account.uid).await?;
        let is_theirs = crate::people::owner(&claims, &folded, &account.uid)
            .is_some_and(|(owner, _)| owner == identity);
        if !is_theirs {
            continue;
        }
        if local::link_owner(connection, &account, &claims).await? {
            made += 1;
            continue;
        }
        let link = LinkRow {
            endpoint: account.endpoint,
            user: account.user,
            uid: account.uid,
            source: BY_IMPORT.to_owned(),
            confidence: String::new(),
            linked_by: String::new(),
            reason: String::new(),
            linked_time_ms: 0,
        };
        let others = link::others(connection, identity, &link).await?;
        if let Some(holder) = others.first() {
            refused.push(link::taken(connection, *holder, &link).await?.to_string());
        }
    }
    Ok(made)
}

/// Makes a link on one endpoint; whether it is new. What an analyst said of this account stands against it.
async fn endpoint_link(
    connection: &mut SqliteConnection,
    identity: IdentityId,
    wanted: &LinkRow,
) -> Result<Result<bool, String>, StoreError> {
    let wanted = link::complete(connection, wanted).await?;
    let others = link::others(connection, identity, &wanted).await?;
    if let Some(holder) = others.first() {
        let taken = link::taken(connection, *holder, &wanted).await?;
        return Ok(Err(taken.to_string()));
    }
    if link::is_unlinked(connection, identity, &wanted).await? {
        let account = match wanted.user.as_str() {
            "" => &wanted.uid,
            user => user,
        };
        return Ok(Err(format!(
            "'{account}' was unlinked by an analyst: link it with 'tocsin identities link'"
        )));
    }
    if link::is_own(connection, identity, &wanted).await? {
        return Ok(Ok(false));
    }
    match link::put(connection, identity, &wanted).await {
        Ok(()) => Ok(Ok(true)),
        Err(error @ StoreError::State { .. }) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}
