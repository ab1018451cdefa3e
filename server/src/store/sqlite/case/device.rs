//! Ids of endpoints at providers, in `state.db`.

use async_trait::async_trait;
use sqlx::{Row as _, SqliteConnection};
use tocsin_proto::id::EndpointId;

use super::identity::execute;
use crate::audit::AuditEntry;
use crate::store::StoreError;
use crate::store::device::{DEVICES_MAX, DeviceImported, DeviceRow, DeviceStore};
use crate::store::sqlite::trust::audit;
use crate::store::sqlite::{SqliteState, blob, engine};

const READ: &str = "read device ids";
const WRITE: &str = "write device ids";

#[async_trait]
impl DeviceStore for SqliteState {
    async fn bind_device(
        &self,
        device: &DeviceRow,
        is_move: bool,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.0.begin().await?;
        let held = held(&mut transaction, device).await?;
        if let Some(other) = held.elsewhere(device.endpoint) {
            if !is_move {
                return Err(taken(&mut transaction, other, device).await?);
            }
            mark(&mut transaction, other).await?;
        }
        put(&mut transaction, device).await?;
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await.map_err(engine(WRITE))
    }

    async fn unbind_device(
        &self,
        endpoint: EndpointId,
        (provider, device_id): (&str, &str),
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.0.begin().await?;
        let update = sqlx::query(
            "UPDATE device SET unbound_time_ms = max(1, ?4) WHERE endpoint = ?1 AND provider = ?2 AND device_id = ?3 \
             AND unbound_time_ms = 0",
        );
        let update = update
            .bind(endpoint.as_bytes().as_slice())
            .bind(provider)
            .bind(device_id)
            .bind(entry.time_ms);
        if execute(&mut transaction, update).await? == 0 {
            return Err(StoreError::NotFound {
                what: "device id of this endpoint at this provider",
                id: device_id.to_owned(),
            });
        }
        mark(&mut transaction, endpoint).await?;
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await.map_err(engine(WRITE))
    }

    async fn import_devices(
        &self,
        devices: &[DeviceRow],
    ) -> Result<Vec<DeviceImported>, StoreError> {
        let mut transaction = self.0.begin().await?;
        let mut done = Vec::with_capacity(devices.len());
        for device in devices {
            done.push(import(&mut transaction, device).await?);
        }
        transaction.commit().await.map_err(engine(WRITE))?;
        Ok(done)
    }

    async fn devices(&self, endpoint: EndpointId) -> Result<Vec<DeviceRow>, StoreError> {
        let rows = sqlx::query(
            "WITH RECURSIVE line (id) AS (VALUES (?1) UNION SELECT endpoint.id FROM endpoint JOIN line \
             ON endpoint.former = line.id LIMIT ?2) \
             SELECT * FROM device WHERE endpoint IN (SELECT id FROM line) AND unbound_time_ms = 0 \
             ORDER BY provider, device_id LIMIT ?2",
        )
        .bind(endpoint.as_bytes().as_slice())
        .bind(DEVICES_MAX)
        .fetch_all(&self.0.reader)
        .await
        .map_err(engine(READ))?;
        let row = |row| {
            let text = |column: &str| {
                let text = sqlx::sqlite::SqliteRow::try_get::<String, _>(row, column);
                text.map_err(engine(READ))
            };
            Ok(DeviceRow {
                provider: text("provider")?,
                device_id: text("device_id")?,
                endpoint: EndpointId::from_bytes(blob(row, "endpoint", "endpoint id")?),
                source: text("source")?,
                confidence: text("confidence")?,
                bound_by: text("bound_by")?,
                reason: text("reason")?,
                bound_time_ms: row.try_get("bound_time_ms").map_err(engine(READ))?,
            })
        };
        rows.iter().map(row).collect()
    }
}

/// Who has an id.
enum Held {
    Nobody,
    /// An analyst took it from this endpoint.
    Formerly(EndpointId),
    By(EndpointId),
}

impl Held {
    fn elsewhere(&self, endpoint: EndpointId) -> Option<EndpointId> {
        match self {
            Self::By(other) if *other != endpoint => Some(*other),
            _ => None,
        }
    }
}

async fn held(connection: &mut SqliteConnection, device: &DeviceRow) -> Result<Held, StoreError> {
    let row = sqlx::query(
        "SELECT endpoint, unbound_time_ms FROM device WHERE provider = ? AND device_id = ?",
    )
    .bind(&device.provider)
    .bind(&device.device_id)
    .fetch_optional(connection)
    .await
    .map_err(engine(READ))?;
    let Some(row) = row else {
        return Ok(Held::Nobody);
    };
    let endpoint = EndpointId::from_bytes(blob(&row, 0, "endpoint id")?);
    let unbound_time_ms: i64 = row.try_get(1).map_err(engine(READ))?;
    Ok(match unbound_time_ms {
        0 => Held::By(endpoint),
        _ => Held::Formerly(endpoint),
    })
}

/// Writes an id in the place of what was said of it, and marks whom it concerns.
async fn put(connection: &mut SqliteConnection, device: &DeviceRow) -> Result<(), StoreError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM device WHERE endpoint = ? AND unbound_time_ms = 0 \
         AND NOT (provider = ? AND device_id = ?)",
    )
    .bind(device.endpoint.as_bytes().as_slice())
    .bind(&device.provider)
    .bind(&device.device_id)
    .fetch_one(&mut *connection)
    .await
    .map_err(engine(READ))?;
    if count >= i64::from(DEVICES_MAX) {
        return Err(StoreError::State {
            what: "endpoint",
            id: device.endpoint.to_string(),
            why: "has as many device ids as can be bound",
        });
    }
    let insert = sqlx::query("INSERT OR REPLACE INTO device VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)");
    let insert = insert
        .bind(&device.provider)
        .bind(&device.device_id)
        .bind(device.endpoint.as_bytes().as_slice())
        .bind(&device.source)
        .bind(&device.confidence)
        .bind(&device.bound_by)
        .bind(&device.reason)
        .bind(device.bound_time_ms);
    execute(connection, insert).await?;
    mark(connection, device.endpoint).await
}

async fn import(
    connection: &mut SqliteConnection,
    device: &DeviceRow,
) -> Result<DeviceImported, StoreError> {
    match held(connection, device).await? {
        Held::By(endpoint) if endpoint == device.endpoint => return Ok(DeviceImported::Same),
        Held::By(other) => {
            let why = taken(connection, other, device).await?.to_string();
            return Ok(DeviceImported::Refused(why));
        }
        Held::Formerly(endpoint) if endpoint == device.endpoint => {
            return Ok(DeviceImported::Refused(format!(
                "'{}' was unbound by an analyst: bind it with 'tocsin endpoints bind'",
                device.device_id
            )));
        }
        Held::Formerly(_) | Held::Nobody => {}
    }
    match put(connection, device).await {
        Ok(()) => Ok(DeviceImported::Bound),
        Err(error @ StoreError::State { .. }) => Ok(DeviceImported::Refused(error.to_string())),
        Err(error) => Err(error),
    }
}

/// That another endpoint has the id, and which.
async fn taken(
    connection: &mut SqliteConnection,
    holder: EndpointId,
    device: &DeviceRow,
) -> Result<StoreError, StoreError> {
    let hostname: Option<String> = sqlx::query_scalar("SELECT hostname FROM endpoint WHERE id = ?")
        .bind(holder.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(engine(READ))?;
    Ok(StoreError::Bound {
        device: format!("'{}' at {}", device.device_id, device.provider),
        holder: match hostname {
            Some(hostname) => format!("{hostname} ({holder})"),
            None => holder.to_string(),
        },
    })
}

/// Marks everybody who has a link to an endpoint, or to what its machine was before.
async fn mark(connection: &mut SqliteConnection, endpoint: EndpointId) -> Result<(), StoreError> {
    let mark = sqlx::query(
        "INSERT OR REPLACE INTO dirty (identity) SELECT DISTINCT identity FROM link WHERE endpoint IN ( \
         WITH RECURSIVE line (id) AS (VALUES (?1) UNION SELECT endpoint.former FROM endpoint JOIN line \
         ON endpoint.id = line.id WHERE endpoint.former IS NOT NULL LIMIT ?2) SELECT id FROM line)",
    );
    let mark = mark.bind(endpoint.as_bytes().as_slice()).bind(DEVICES_MAX);
    execute(connection, mark).await.map(drop)
}

/// Gives the ids of an endpoint to the one that its machine has become; each is in the audit log.
pub(in crate::store::sqlite) async fn follow_devices(
    connection: &mut SqliteConnection,
    (former, endpoint): (EndpointId, EndpointId),
) -> Result<(), StoreError> {
    if former == endpoint {
        return Ok(());
    }
    let moved: Vec<(String, String, i64)> = sqlx::query_as(
        "UPDATE device SET endpoint = ?2 WHERE endpoint = ?1 RETURNING provider, device_id, unbound_time_ms",
    )
    .bind(former.as_bytes().as_slice())
    .bind(endpoint.as_bytes().as_slice())
    .fetch_all(&mut *connection)
    .await
    .map_err(engine(WRITE))?;
    for (provider, device_id, unbound_time_ms) in moved {
        if unbound_time_ms == 0 {
            let detail = format!(
                "{device_id} at {provider}: it was endpoint {former}'s, which was enrolled anew"
            );
            let entry = AuditEntry::server("endpoints.bind", &endpoint.to_string(), &detail);
            audit::append(connection, &entry).await?;
        }
    }
    Ok(())
}
