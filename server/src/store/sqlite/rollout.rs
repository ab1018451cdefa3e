//! Rollouts in `state.db`.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tocsin_proto::console::v1::{RolloutMemberState, RolloutState};
use tocsin_proto::id::EndpointId;
use tocsin_proto::json::Word;

use super::trust::audit;
use super::{SqliteState, blob, engine};
use crate::audit::AuditEntry;
use crate::store::StoreError;
use crate::store::rollout::{MemberRow, ROLLOUTS_MAX, RolloutRow, RolloutStore};

const READ: &str = "read rollouts";
const WRITE: &str = "write a rollout";
const ROLLOUT: &str = "rollout";

#[async_trait]
impl RolloutStore for SqliteState {
    async fn add_rollout(&self, row: &RolloutRow, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut transaction = self.0.begin().await?;
        let open = sqlx::query("SELECT id FROM rollout WHERE state NOT IN (?, ?) LIMIT 1")
            .bind(RolloutState::Done.word())
            .bind(RolloutState::Aborted.word())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(engine(READ))?;
        if let Some(open) = open {
            return Err(StoreError::State {
                what: ROLLOUT,
                id: open.try_get(0).map_err(engine(READ))?,
                why: "has not ended: abort it first",
            });
        }
        sqlx::query("INSERT INTO rollout VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(&row.id)
            .bind(&row.version)
            .bind(row.state.word())
            .bind(&row.reason)
            .bind(row.ring)
            .bind(row.rings.join(" "))
            .bind(&row.created_by)
            .bind(row.created_time_ms)
            .execute(&mut *transaction)
            .await
            .map_err(engine(WRITE))?;
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await.map_err(engine(WRITE))
    }

    async fn rollouts(&self) -> Result<Vec<RolloutRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, version, state, reason, ring, rings, created_by, created_time_ms \
             FROM rollout ORDER BY created_time_ms DESC, id LIMIT ?",
        )
        .bind(ROLLOUTS_MAX)
        .fetch_all(&self.0.reader)
        .await
        .map_err(engine(READ))?;
        rows.iter().map(rollout_row).collect()
    }

    async fn rollout_members(&self, id: &str) -> Result<Vec<MemberRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT endpoint, ring, state, detail, time_ms FROM rollout_member \
             WHERE rollout = ? ORDER BY endpoint",
        )
        .bind(id)
        .fetch_all(&self.0.reader)
        .await
        .map_err(engine(READ))?;
        rows.iter().map(member_row).collect()
    }

    async fn write_rollout(
        &self,
        row: &RolloutRow,
        members: &[MemberRow],
        entry: Option<&AuditEntry>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.0.begin().await?;
        let done = sqlx::query("UPDATE rollout SET state = ?, reason = ?, ring = ? WHERE id = ?")
            .bind(row.state.word())
            .bind(&row.reason)
            .bind(row.ring)
            .bind(&row.id)
            .execute(&mut *transaction)
            .await
            .map_err(engine(WRITE))?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound {
                what: ROLLOUT,
                id: row.id.clone(),
            });
        }
        for member in members {
            sqlx::query(
                "INSERT INTO rollout_member VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET \
                 state = excluded.state, detail = excluded.detail, time_ms = excluded.time_ms",
            )
            .bind(&row.id)
            .bind(member.endpoint.as_bytes().as_slice())
            .bind(member.ring)
            .bind(member.state.word())
            .bind(&member.detail)
            .bind(member.time_ms)
            .execute(&mut *transaction)
            .await
            .map_err(engine(WRITE))?;
        }
        if let Some(entry) = entry {
            audit::append(&mut transaction, entry).await?;
        }
        transaction.commit().await.map_err(engine(WRITE))
    }
}

fn rollout_row(row: &SqliteRow) -> Result<RolloutRow, StoreError> {
    let text = |column| row.try_get::<String, _>(column).map_err(engine(READ));
    let state = RolloutState::from_word(&text("state")?);
    Ok(RolloutRow {
        id: text("id")?,
        version: text("version")?,
        state: state.ok_or(StoreError::Damaged { what: ROLLOUT })?,
        reason: text("reason")?,
        ring: row.try_get("ring").map_err(engine(READ))?,
        rings: text("rings")?.split(' ').map(str::to_owned).collect(),
        created_by: text("created_by")?,
        created_time_ms: row.try_get("created_time_ms").map_err(engine(READ))?,
    })
}

fn member_row(row: &SqliteRow) -> Result<MemberRow, StoreError> {
    let text = |column| row.try_get::<String, _>(column).map_err(engine(READ));
    let state = RolloutMemberState::from_word(&text("state")?);
    Ok(MemberRow {
        endpoint: EndpointId::from_bytes(blob(row, "endpoint", ROLLOUT)?),
        ring: row.try_get("ring").map_err(engine(READ))?,
        state: state.ok_or(StoreError::Damaged { what: ROLLOUT })?,
        detail: text("detail")?,
        time_ms: row.try_get("time_ms").map_err(engine(READ))?,
    })
}
