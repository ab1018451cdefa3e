//! Keys: whose they are, analysts, revocations.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};
use tocsin_proto::id::EndpointId;
use tocsin_proto::token::KeyPin;

use super::super::{Database, blob, engine};
use super::audit;
use crate::audit::AuditEntry;
use crate::role::Role;
use crate::store::StoreError;
use crate::store::trust::{AnalystRow, Holder, KeyHolder};

/// Revocations that are read at once.
const REVOCATIONS_MAX: i64 = 1000;

/// Who holds a key.
pub(super) async fn holder(
    reader: &SqlitePool,
    pin: &KeyPin,
    now_ms: i64,
) -> Result<Option<KeyHolder>, StoreError> {
    const ACTION: &str = "look up a key";
    let endpoint = sqlx::query(
        "SELECT id, revoked_time_ms FROM endpoint_key JOIN endpoint ON id = endpoint \
         WHERE key_pin = ? AND (retire_time_ms = 0 OR retire_time_ms > ?)",
    )
    .bind(pin.as_slice())
    .bind(now_ms)
    .fetch_optional(reader)
    .await
    .map_err(engine(ACTION))?;
    if let Some(row) = endpoint {
        return Ok(Some(KeyHolder {
            who: Holder::Endpoint(EndpointId::from_bytes(blob(&row, 0, "endpoint id")?)),
            revoked: row.try_get::<i64, _>(1).map_err(engine(ACTION))? != 0,
        }));
    }
    let analyst = sqlx::query("SELECT * FROM analyst WHERE key_pin = ?")
        .bind(pin.as_slice())
        .fetch_optional(reader)
        .await
        .map_err(engine(ACTION))?;
    let Some(row) = analyst else {
        return Ok(None);
    };
    let analyst = analyst_row(&row)?;
    Ok(Some(KeyHolder {
        who: Holder::Analyst {
            name: analyst.name,
            role: analyst.role,
        },
        revoked: analyst.revoked_time_ms != 0,
    }))
}

/// Revoked keys after a position.
pub(super) async fn revocations_after(
    reader: &SqlitePool,
    position: i64,
) -> Result<Vec<(i64, KeyPin)>, StoreError> {
    const ACTION: &str = "read the revocations";
    let rows = sqlx::query(
        "SELECT position, key_pin FROM revocation WHERE position > ? ORDER BY position LIMIT ?",
    )
    .bind(position)
    .bind(REVOCATIONS_MAX)
    .fetch_all(reader)
    .await
    .map_err(engine(ACTION))?;
    rows.iter()
        .map(|row| {
            let position = row.try_get(0).map_err(engine(ACTION))?;
            Ok((position, blob(row, 1, "revoked key")?))
        })
        .collect()
}

/// Notes within the caller's transaction that a key was revoked.
pub(super) async fn revoke(
    connection: &mut SqliteConnection,
    pin: &[u8],
    time_ms: i64,
) -> Result<(), StoreError> {
    sqlx::query("INSERT OR IGNORE INTO revocation (key_pin, time_ms) VALUES (?, ?)")
        .bind(pin)
        .bind(time_ms)
        .execute(connection)
        .await
        .map(drop)
        .map_err(engine("revoke a key"))
}

/// Whether a key was revoked.
pub(super) async fn is_revoked(
    connection: &mut SqliteConnection,
    pin: &KeyPin,
) -> Result<bool, StoreError> {
    sqlx::query("SELECT 1 FROM revocation WHERE key_pin = ?")
        .bind(pin.as_slice())
        .fetch_optional(connection)
        .await
        .map(|row| row.is_some())
        .map_err(engine("look up a revoked key"))
}

/// Adds an analyst.
pub(super) async fn add_analyst(
    database: &Database,
    row: &AnalystRow,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    const ACTION: &str = "add an analyst";
    let mut transaction = database.begin().await?;
    let result = sqlx::query("INSERT OR IGNORE INTO analyst VALUES (?, ?, ?, ?, ?, 0)")
        .bind(&row.name)
        .bind(row.role.word())
        .bind(row.key_pin.as_slice())
        .bind(row.added_time_ms)
        .bind(row.certificate_expiry_time_ms)
        .execute(&mut *transaction)
        .await
        .map_err(engine(ACTION))?;
    if result.rows_affected() == 0 {
        return Err(StoreError::State {
            what: "analyst",
            id: row.name.clone(),
            why: "exists already, and names are never used again: choose another",
        });
    }
    audit::append(&mut transaction, entry).await?;
    transaction.commit().await.map_err(engine(ACTION))
}

/// Every analyst, by name.
pub(super) async fn analysts(reader: &SqlitePool) -> Result<Vec<AnalystRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM analyst ORDER BY name")
        .fetch_all(reader)
        .await
        .map_err(engine("read the analysts"))?;
    rows.iter().map(analyst_row).collect()
}

/// Ends an analyst.
pub(super) async fn revoke_analyst(
    database: &Database,
    name: &str,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    const ACTION: &str = "revoke an analyst";
    let mut transaction = database.begin().await?;
    let analyst = active(&mut transaction, name).await?;
    sqlx::query("UPDATE analyst SET revoked_time_ms = ? WHERE name = ?")
        .bind(entry.time_ms)
        .bind(name)
        .execute(&mut *transaction)
        .await
        .map_err(engine(ACTION))?;
    revoke(&mut transaction, &analyst.key_pin, entry.time_ms).await?;
    audit::append(&mut transaction, entry).await?;
    transaction.commit().await.map_err(engine(ACTION))
}

/// Replaces an analyst's key.
pub(super) async fn renew_analyst(
    database: &Database,
    name: &str,
    key_pin: &KeyPin,
    certificate_expiry_time_ms: i64,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    const ACTION: &str = "renew an analyst";
    let mut transaction = database.begin().await?;
    let former = active(&mut transaction, name).await?;
    sqlx::query("UPDATE analyst SET key_pin = ?, certificate_expiry_time_ms = ? WHERE name = ?")
        .bind(key_pin.as_slice())
        .bind(certificate_expiry_time_ms)
        .bind(name)
        .execute(&mut *transaction)
        .await
        .map_err(engine(ACTION))?;
    revoke(&mut transaction, &former.key_pin, entry.time_ms).await?;
    audit::append(&mut transaction, entry).await?;
    transaction.commit().await.map_err(engine(ACTION))
}

/// The analyst of this name, who must not be revoked.
async fn active(connection: &mut SqliteConnection, name: &str) -> Result<AnalystRow, StoreError> {
    let row = sqlx::query("SELECT * FROM analyst WHERE name = ?")
        .bind(name)
        .fetch_optional(connection)
        .await
        .map_err(engine("look up an analyst"))?
        .ok_or_else(|| StoreError::NotFound {
            what: "analyst",
            id: name.to_owned(),
        })?;
    let analyst = analyst_row(&row)?;
    if analyst.revoked_time_ms != 0 {
        return Err(StoreError::State {
            what: "analyst",
            id: name.to_owned(),
            why: "is revoked, which is for good: add one with another name",
        });
    }
    Ok(analyst)
}

fn analyst_row(row: &SqliteRow) -> Result<AnalystRow, StoreError> {
    const ACTION: &str = "read an analyst";
    let role: String = row.try_get("role").map_err(engine(ACTION))?;
    Ok(AnalystRow {
        name: row.try_get("name").map_err(engine(ACTION))?,
        role: Role::from_word(&role).ok_or(StoreError::Damaged {
            what: "role of an analyst",
        })?,
        key_pin: blob(row, "key_pin", "key of an analyst")?,
        added_time_ms: row.try_get("added_time_ms").map_err(engine(ACTION))?,
        certificate_expiry_time_ms: row
            .try_get("certificate_expiry_time_ms")
            .map_err(engine(ACTION))?,
        revoked_time_ms: row.try_get("revoked_time_ms").map_err(engine(ACTION))?,
    })
}
