//! How a key becomes an endpoint.

use sqlx::{Row, SqliteConnection};
use tocsin_proto::id::EndpointId;
use tocsin_proto::token::KeyPin;

use super::super::{Database, blob, engine};
use super::{audit, key};
use crate::audit::AuditEntry;
use crate::store::StoreError;
use crate::store::sqlite::case::{follow_devices, follow_links, mark_linked};
use crate::store::trust::{EnrollError, Enrollment, Renewal, TokenRow};

/// Keeps a token.
pub(super) async fn create_token(
    database: &Database,
    row: &TokenRow,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    const ACTION: &str = "keep an enrollment token";
    let mut transaction = database.begin().await?;
    sqlx::query("INSERT INTO token VALUES (?, ?, ?, 0, ?, ?, ?)")
        .bind(row.id.as_slice())
        .bind(row.secret_sha256.as_slice())
        .bind(row.uses_max)
        .bind(row.created_time_ms)
        .bind(row.expiry_time_ms)
        .bind(&row.ring)
        .execute(&mut *transaction)
        .await
        .map_err(engine(ACTION))?;
    audit::append(&mut transaction, entry).await?;
    transaction.commit().await.map_err(engine(ACTION))
}

/// Uses the token and makes the endpoint, in one immediate transaction: concurrent enrollments cannot use it
/// more often than it allows.
pub(super) async fn enroll(
    database: &Database,
    enrollment: &Enrollment,
    entry: &AuditEntry,
) -> Result<(), EnrollError> {
    const ACTION: &str = "enroll an endpoint";
    let mut transaction = database.begin().await?;
    let ring = use_token(&mut transaction, enrollment).await?;
    admit_key(&mut transaction, &enrollment.key_pin, enrollment.endpoint).await?;
    sqlx::query(
        "INSERT INTO endpoint (id, hostname, machine, agent_version, ring, enrolled_time_ms, \
         certificate_expiry_time_ms, address, former) VALUES (?, ?, x'', ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET hostname = excluded.hostname, \
         agent_version = excluded.agent_version, ring = excluded.ring, address = excluded.address, \
         certificate_expiry_time_ms = excluded.certificate_expiry_time_ms",
    )
    .bind(enrollment.endpoint.as_bytes().as_slice())
    .bind(&enrollment.hostname)
    .bind(&enrollment.agent_version)
    .bind(&ring)
    .bind(enrollment.time_ms)
    .bind(enrollment.certificate_expiry_time_ms)
    .bind(enrollment.address.ip().to_string())
    .bind(enrollment.former.map(|id| id.as_bytes().to_vec()))
    .execute(&mut *transaction)
    .await
    .map_err(engine(ACTION))?;
    bind_key(&mut transaction, &enrollment.key_pin, enrollment.endpoint).await?;
    if let Some(former) = enrollment.former.filter(|id| *id != enrollment.endpoint) {
        follow(&mut transaction, enrollment, former).await?;
        sqlx::query("DELETE FROM endpoint_conflict WHERE endpoint = ?")
            .bind(former.as_bytes().as_slice())
            .execute(&mut *transaction)
            .await
            .map_err(engine(ACTION))?;
    }
    audit::append(&mut transaction, entry).await?;
    transaction.commit().await.map_err(engine(ACTION))?;
    Ok(())
}

/// Lets what links people to the former endpoint follow. The connection has shown its key, so whoever asks could have
/// gone on as the former endpoint: it gains nothing. Not where it was revoked, nor where two machines have used the key,
/// as it is not known then on which of them the person works. A second machine that shows the key is that too, also when
/// the conflict has been taken for settled by the first.
async fn follow(
    connection: &mut SqliteConnection,
    enrollment: &Enrollment,
    former: EndpointId,
) -> Result<(), StoreError> {
    const ACTION: &str = "look up a former endpoint";
    let contested = sqlx::query(
        "SELECT 1 FROM endpoint_conflict WHERE endpoint = ?1 UNION ALL \
         SELECT 1 FROM endpoint WHERE (id = ?1 AND revoked_time_ms <> 0) OR (former = ?1 AND id <> ?2)",
    )
    .bind(former.as_bytes().as_slice())
    .bind(enrollment.endpoint.as_bytes().as_slice())
    .fetch_optional(&mut *connection)
    .await
    .map_err(engine(ACTION))?;
    if contested.is_some() {
        return mark_linked(connection, former).await;
    }
    follow_devices(connection, (former, enrollment.endpoint)).await?;
    follow_links(
        connection,
        (former, enrollment.endpoint),
        enrollment.time_ms,
    )
    .await
}

/// Notes a renewal.
pub(super) async fn renew(
    database: &Database,
    endpoint: EndpointId,
    renewal: &Renewal,
    entry: &AuditEntry,
) -> Result<(), EnrollError> {
    const ACTION: &str = "renew an endpoint's certificate";
    let mut transaction = database.begin().await?;
    admit_key(&mut transaction, &renewal.key_pin, endpoint).await?;
    sqlx::query(
        "UPDATE endpoint_key SET retire_time_ms = ? \
         WHERE endpoint = ? AND key_pin <> ? AND retire_time_ms = 0",
    )
    .bind(renewal.retire_time_ms)
    .bind(endpoint.as_bytes().as_slice())
    .bind(renewal.key_pin.as_slice())
    .execute(&mut *transaction)
    .await
    .map_err(engine(ACTION))?;
    bind_key(&mut transaction, &renewal.key_pin, endpoint).await?;
    sqlx::query("UPDATE endpoint SET certificate_expiry_time_ms = ? WHERE id = ?")
        .bind(renewal.certificate_expiry_time_ms)
        .bind(endpoint.as_bytes().as_slice())
        .execute(&mut *transaction)
        .await
        .map_err(engine(ACTION))?;
    audit::append(&mut transaction, entry).await?;
    transaction.commit().await.map_err(engine(ACTION))?;
    Ok(())
}

/// Uses the token up by one; its ring.
async fn use_token(
    connection: &mut SqliteConnection,
    enrollment: &Enrollment,
) -> Result<String, EnrollError> {
    const ACTION: &str = "use an enrollment token";
    let row = sqlx::query(
        "SELECT secret_sha256, uses, uses_max, expiry_time_ms, ring FROM token WHERE id = ?",
    )
    .bind(enrollment.token_id.as_slice())
    .fetch_optional(&mut *connection)
    .await
    .map_err(engine(ACTION))?
    .ok_or(EnrollError::TokenUnknown)?;
    // Both are hashes of a random secret: how long the comparison takes tells nothing of the secret.
    let secret: [u8; 32] = blob(&row, 0, "enrollment token")?;
    if secret != enrollment.secret_sha256 {
        return Err(EnrollError::TokenUnknown);
    }
    let number = |at| row.try_get::<i64, _>(at).map_err(engine(ACTION));
    if number(3)? <= enrollment.time_ms {
        return Err(EnrollError::TokenExpired);
    }
    if number(1)? >= number(2)? {
        return Err(EnrollError::TokenUsedUp);
    }
    sqlx::query("UPDATE token SET uses = uses + 1 WHERE id = ?")
        .bind(enrollment.token_id.as_slice())
        .execute(connection)
        .await
        .map_err(engine(ACTION))?;
    Ok(row.try_get(4).map_err(engine(ACTION))?)
}

/// Refuses a key that was revoked, was replaced, or is somebody else's.
async fn admit_key(
    connection: &mut SqliteConnection,
    pin: &KeyPin,
    endpoint: EndpointId,
) -> Result<(), EnrollError> {
    const ACTION: &str = "look up a key";
    if key::is_revoked(connection, pin).await? {
        return Err(EnrollError::KeyRefused);
    }
    let other = sqlx::query(
        "SELECT 1 FROM analyst WHERE key_pin = ?1 UNION ALL \
         SELECT 1 FROM endpoint_key WHERE key_pin = ?1 AND (endpoint <> ?2 OR retire_time_ms <> 0) \
         UNION ALL SELECT 1 FROM endpoint WHERE id = ?2 AND revoked_time_ms <> 0",
    )
    .bind(pin.as_slice())
    .bind(endpoint.as_bytes().as_slice())
    .fetch_optional(connection)
    .await
    .map_err(engine(ACTION))?;
    match other {
        Some(_) => Err(EnrollError::KeyRefused),
        None => Ok(()),
    }
}

async fn bind_key(
    connection: &mut SqliteConnection,
    pin: &KeyPin,
    endpoint: EndpointId,
) -> Result<(), StoreError> {
    sqlx::query("INSERT OR IGNORE INTO endpoint_key (key_pin, endpoint) VALUES (?, ?)")
        .bind(pin.as_slice())
        .bind(endpoint.as_bytes().as_slice())
        .execute(connection)
        .await
        .map(drop)
        .map_err(engine("keep an endpoint's key"))
}
