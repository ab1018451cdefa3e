//! Connections to identity providers. Their pages are stored by `mfa.rs`, which moves the cursor.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::audit::AuditEntry;
use crate::store::StoreError;
use crate::store::connection::{CONNECTIONS_MAX, ConnectionRow, ConnectionStore};
use crate::store::sqlite::trust::audit;
use crate::store::sqlite::{SqliteState, engine};

const READ: &str = "read the live feeds";
const ADD: &str = "add a live feed";
const REMOVE: &str = "remove a live feed";

#[async_trait]
impl ConnectionStore for SqliteState {
    async fn connections(&self) -> Result<Vec<ConnectionRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM feed_connection ORDER BY name")
            .fetch_all(&self.0.reader)
            .await
            .map_err(engine(READ))?;
        let rows: Result<Vec<_>, _> = rows.iter().map(connection).collect();
        rows.map_err(engine(READ))
    }

    async fn connection(&self, name: &str) -> Result<ConnectionRow, StoreError> {
        let row = sqlx::query("SELECT * FROM feed_connection WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.0.reader)
            .await
            .map_err(engine(READ))?;
        let row = row.ok_or_else(|| not_found(name))?;
        connection(&row).map_err(engine(READ))
    }

    async fn add_connection(
        &self,
        row: &ConnectionRow,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.0.begin().await?;
        let refuse = |why| {
            Err(StoreError::State {
                what: "live feed",
                id: row.name.clone(),
                why,
            })
        };
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM feed_connection")
            .fetch_one(&mut *transaction)
            .await
            .map_err(engine(ADD))?;
        if count.unsigned_abs() >= CONNECTIONS_MAX as u64 {
            return refuse("is one too many: remove another one");
        }
        let added = sqlx::query(
            "INSERT INTO feed_connection (name, provider, settings, secret, added_by, added_time_ms) \
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
        )
        .bind(&row.name)
        .bind(&row.provider)
        .bind(&row.settings)
        .bind(&row.secret)
        .bind(&row.added_by)
        .bind(row.added_time_ms)
        .execute(&mut *transaction)
        .await
        .map_err(engine(ADD))?;
        if added.rows_affected() == 0 {
            return refuse("exists: remove it first, or choose another name");
        }
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await.map_err(engine(ADD))
    }

    async fn remove_connection(&self, name: &str, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut transaction = self.0.begin().await?;
        let removed = sqlx::query("DELETE FROM feed_connection WHERE name = ?")
            .bind(name)
            .execute(&mut *transaction)
            .await
            .map_err(engine(REMOVE))?;
        if removed.rows_affected() == 0 {
            return Err(not_found(name));
        }
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await.map_err(engine(REMOVE))
    }
}

fn not_found(name: &str) -> StoreError {
    StoreError::NotFound {
        what: "live feed",
        id: name.to_owned(),
    }
}

fn connection(row: &SqliteRow) -> Result<ConnectionRow, sqlx::Error> {
    Ok(ConnectionRow {
        no: row.try_get("no")?,
        name: row.try_get("name")?,
        provider: row.try_get("provider")?,
        settings: row.try_get("settings")?,
        secret: row.try_get("secret")?,
        added_by: row.try_get("added_by")?,
        added_time_ms: row.try_get("added_time_ms")?,
        cursor: row.try_get("cursor")?,
        page_time_ms: row.try_get("page_time_ms")?,
        pages: row.try_get::<i64, _>("pages")?.unsigned_abs(),
    })
}
