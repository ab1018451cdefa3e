//! Rollouts: create, list, show, pause, resume, abort.

use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tocsin_proto::console::v1::{RolloutMemberState, RolloutState};
use tocsin_proto::limits::REASON_BYTES_MAX;
use tocsin_proto::release::Version;
use tonic::{Request, Response, Status};

use super::{Answer, Context};
use crate::audit::AuditEntry;
use crate::clock::now_ms;
use crate::release::rollout::{RINGS_MAX, Ring};
use crate::rpc::auth::Method;
use crate::rpc::release::told;
use crate::rpc::status::ErrorCode;
use crate::store::rollout::{MemberRow, RolloutRow};

/// `CreateRollout`.
pub(super) async fn create(
    context: &Arc<Context>,
    request: Request<wire::CreateRolloutRequest>,
) -> Answer<wire::Rollout> {
    let caller = context
        .auth
        .authorize(&request, Method::CreateRollout)
        .await?;
    let request = request.into_inner();
    let invalid = |text: String| ErrorCode::Invalid.status(text);
    let version = request.version.parse::<Version>();
    let version = version
        .map_err(|error| invalid(error.to_string()))?
        .to_string();
    if request.rings.is_empty() || request.rings.len() > RINGS_MAX {
        return Err(invalid(format!("a rollout has 1 to {RINGS_MAX} rings")));
    }
    for ring in &request.rings {
        ring.parse::<Ring>()
            .map_err(|error| invalid(format!("'{ring}': {error}")))?;
    }
    let releases = context.releases.list().await.map_err(told)?;
    if !releases.iter().any(|release| release.version == version) {
        let text = format!("no release {version} is published: see 'tocsin releases list'");
        return Err(ErrorCode::NotFound.status(text));
    }
    let row = RolloutRow {
        id: data_encoding::HEXLOWER.encode(&rand::random::<[u8; 8]>()),
        version,
        state: RolloutState::Running,
        reason: String::new(),
        ring: 0,
        rings: request.rings,
        created_by: caller.analyst().to_owned(),
        created_time_ms: now_ms(),
    };
    let detail = format!("version {}, rings {}", row.version, row.rings.join(" "));
    let entry = AuditEntry::allowed(&caller, Method::CreateRollout, &row.id, &detail);
    context.state.add_rollout(&row, &entry).await?;
    Ok(Response::new(wire_rollout(&row, &[])))
}

/// `ListRollouts`.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListRolloutsRequest>,
) -> Answer<wire::ListRolloutsResponse> {
    context
        .auth
        .authorize(&request, Method::ListRollouts)
        .await?;
    let mut rollouts = Vec::new();
    for row in context.state.rollouts().await? {
        let members = context.state.rollout_members(&row.id).await?;
        rollouts.push(wire_rollout(&row, &members));
    }
    Ok(Response::new(wire::ListRolloutsResponse { rollouts }))
}

/// `GetRollout`.
pub(super) async fn get(
    context: &Arc<Context>,
    request: Request<wire::GetRolloutRequest>,
) -> Answer<wire::Rollout> {
    context.auth.authorize(&request, Method::GetRollout).await?;
    let row = find(context, &request.get_ref().id).await?;
    show(context, &row).await
}

/// `SetRolloutState`.
pub(super) async fn set_state(
    context: &Arc<Context>,
    request: Request<wire::SetRolloutStateRequest>,
) -> Answer<wire::Rollout> {
    let caller = context
        .auth
        .authorize(&request, Method::SetRolloutState)
        .await?;
    let request = request.into_inner();
    if request.reason.len() > REASON_BYTES_MAX {
        return Err(ErrorCode::Invalid.status(format!("reason is over {REASON_BYTES_MAX} bytes")));
    }
    let state = request.state();
    // So that the task does not write over it what it read before.
    let _turn = context.rollouts.lock().await;
    let mut row = find(context, &request.id).await?;
    use RolloutState::{Aborted, Paused, Running, Stopped};
    if !matches!(
        (row.state, state),
        (Running, Paused) | (Paused | Stopped, Running) | (Running | Paused | Stopped, Aborted)
    ) {
        let text = format!("rollout '{}' cannot be made so from how it is now", row.id);
        return Err(ErrorCode::State.status(text));
    }
    let mut forgiven = Vec::new();
    if row.state == Stopped && state == Running {
        // Whoever goes on has seen the failures: they are asked no more and count no more.
        let members = context.state.rollout_members(&row.id).await?;
        forgiven = members
            .into_iter()
            .filter(|member| member.state == RolloutMemberState::Failed)
            .collect();
        for member in &mut forgiven {
            member.state = RolloutMemberState::Refused;
        }
    }
    let word = state.as_str_name();
    let detail = format!("{word}: {}", request.reason);
    let entry = AuditEntry::allowed(&caller, Method::SetRolloutState, &row.id, &detail);
    row.state = state;
    row.reason = request.reason;
    context
        .state
        .write_rollout(&row, &forgiven, Some(&entry))
        .await?;
    show(context, &row).await
}

/// By its id, or an unambiguous beginning of at least 4 characters.
async fn find(context: &Context, text: &str) -> Result<RolloutRow, Status> {
    let rows = context.state.rollouts().await?;
    let is_meant =
        |row: &&RolloutRow| row.id == text || (text.len() >= 4 && row.id.starts_with(text));
    let mut fitting = rows.iter().filter(is_meant);
    match (fitting.next(), fitting.next()) {
        (Some(row), None) => Ok(row.clone()),
        (None, _) => Err(ErrorCode::NotFound.status(format!("there is no rollout '{text}'"))),
        (Some(_), Some(_)) => {
            Err(ErrorCode::Invalid.status(format!("'{text}' fits more than one rollout")))
        }
    }
}

async fn show(context: &Context, row: &RolloutRow) -> Answer<wire::Rollout> {
    let members = context.state.rollout_members(&row.id).await?;
    let mut rollout = wire_rollout(row, &members);
    rollout.members = members
        .into_iter()
        .map(|member| wire::RolloutMember {
            endpoint: member.endpoint.to_string(),
            ring: member.ring,
            state: member.state.into(),
            detail: member.detail,
            time_ms: member.time_ms,
        })
        .collect();
    Ok(Response::new(rollout))
}

fn wire_rollout(row: &RolloutRow, members: &[MemberRow]) -> wire::Rollout {
    let count = |states: &[RolloutMemberState]| {
        let count = members
            .iter()
            .filter(|member| states.contains(&member.state))
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    use RolloutMemberState::{Done, Failed, OnTrial, Refused, Updating, Waiting};
    wire::Rollout {
        id: row.id.clone(),
        version: row.version.clone(),
        state: row.state.into(),
        reason: row.reason.clone(),
        created_by: row.created_by.clone(),
        created_time_ms: row.created_time_ms,
        rings: row.rings.clone(),
        ring: row.ring,
        waiting: count(&[Waiting]),
        updating: count(&[Updating, OnTrial]),
        done: count(&[Done]),
        refused: count(&[Refused]),
        failed: count(&[Failed]),
        members: Vec::new(),
    }
}
