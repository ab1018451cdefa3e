//! Looks at the rollout that goes on, every few seconds: asks endpoints, notes how far they are.
//!
//! What is asked is in the audit log first. All state is in the store: after a restart it goes on where it was.

use std::sync::Arc;
use std::time::Duration;

use tocsin_proto::agent::v1::StartUpdate;
use tocsin_proto::agent::v1::session_response::Message;
use tocsin_proto::console::v1::RolloutState;
use tokio_util::sync::CancellationToken;

use crate::audit::AuditEntry;
use crate::clock::now_ms;
use crate::release::rollout::{Seen, SeenLive, step};
use crate::rpc::status::chain;
use crate::session::Registry;
use crate::store::rollout::RolloutRow;
use crate::store::{StateStore, StoreError};

/// How often.
const INTERVAL: Duration = Duration::from_secs(2);

/// Endpoints that are read at once.
const PAGE: u32 = 5000;

/// So many endpoints more make everybody wait longer by chance; see [`delay_ms`].
const DELAY_MS_PER_ENDPOINT: u32 = 100;

/// Held by whoever changes a rollout, so that nobody writes over what another has just written.
pub(crate) type Turn = Arc<tokio::sync::Mutex<()>>;

/// Works until the server stops.
pub(crate) async fn run(
    state: Arc<dyn StateStore>,
    registry: Arc<Registry>,
    turn: Turn,
    stopping: CancellationToken,
) {
    loop {
        let waited = stopping
            .run_until_cancelled(tokio::time::sleep(INTERVAL))
            .await;
        if waited.is_none() {
            return;
        }
        let _turn = turn.lock().await;
        if let Err(error) = look(state.as_ref(), &registry).await {
            tracing::error!(
                error = chain(&error),
                "a rollout stands still until the next time"
            );
        }
    }
}

async fn look(state: &dyn StateStore, registry: &Registry) -> Result<(), StoreError> {
    for row in state.rollouts().await? {
        let has_ended = matches!(row.state, RolloutState::Done | RolloutState::Aborted);
        if !has_ended {
            look_at(state, registry, &row).await?;
        }
    }
    Ok(())
}

async fn look_at(
    state: &dyn StateStore,
    registry: &Registry,
    row: &RolloutRow,
) -> Result<(), StoreError> {
    let members = state.rollout_members(&row.id).await?;
    let fleet = fleet(state, registry).await?;
    let step = step(row, &members, &fleet, now_ms());
    if step.row == *row && step.changed.is_empty() {
        return Ok(());
    }
    let entry = (step.row.state != row.state).then(|| {
        let action = match step.row.state {
            RolloutState::Stopped => "rollouts.stop",
            _ => "rollouts.end",
        };
        AuditEntry::server(action, &row.id, &step.row.reason)
    });
    state
        .write_rollout(&step.row, &step.changed, entry.as_ref())
        .await?;
    if step.row.state != row.state {
        tracing::warn!(rollout = row.id, state = ?step.row.state, reason = step.row.reason, "a rollout has ended or stopped");
    }
    for endpoint in &step.ask {
        let detail = format!(
            "rollout {}, ring {}: version {}",
            row.id, step.row.ring, row.version
        );
        let entry = AuditEntry::server("rollouts.ask", &endpoint.to_string(), &detail);
        state.append_audit(&entry).await?;
        let start = StartUpdate {
            version: row.version.clone(),
            delay_ms_max: delay_ms(step.ask.len()),
        };
        // One that has just gone is asked again.
        registry.send(*endpoint, Message::StartUpdate(start));
    }
    Ok(())
}

/// Longest delay of chance before an endpoint begins; nothing where only one is asked.
fn delay_ms(asked: usize) -> u32 {
    let others = u32::try_from(asked.saturating_sub(1)).unwrap_or(u32::MAX);
    others.saturating_mul(DELAY_MS_PER_ENDPOINT)
}

/// All endpoints that are not revoked.
async fn fleet(state: &dyn StateStore, registry: &Registry) -> Result<Vec<Seen>, StoreError> {
    let (mut fleet, mut after) = (Vec::new(), None);
    loop {
        let page = state.endpoints(after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(fleet);
        };
        after = Some(last.id);
        for row in page.into_iter().filter(|row| row.revoked_time_ms == 0) {
            let live = registry.live(row.id).map(|live| SeenLive {
                version: live.facts.agent_version,
                capability: live.facts.capability,
                heard: live.health.is_some(),
                report: live.update,
            });
            let mut tags = row.tags;
            // The ring that its token named.
            tags.push(format!("ring:{}", row.ring));
            fleet.push(Seen {
                endpoint: row.id,
                tags,
                live,
            });
        }
    }
}
