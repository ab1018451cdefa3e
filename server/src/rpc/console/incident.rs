//! Incidents.

use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tonic::{Request, Status};

use super::{Answer, Context};
use crate::rpc::auth::Method;

/// `ListIncidents`.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListIncidentsRequest>,
) -> Answer<wire::ListIncidentsResponse> {
    context.auth.authorize(&request, Method::ListIncidents).await?;
    Err(Status::unimplemented("list"))
}

/// `GetIncident`.
pub(super) async fn get(
    context: &Arc<Context>,
    request: Request<wire::GetIncidentRequest>,
) -> Answer<wire::Incident> {
    context.auth.authorize(&request, Method::GetIncident).await?;
    Err(Status::unimplemented("get"))
}

/// `WatchIncidents`.
pub(super) async fn watch(
    context: &Arc<Context>,
    request: Request<wire::WatchIncidentsRequest>,
) -> Answer<crate::rpc::Replies<wire::IncidentSummary>> {
    context.auth.authorize(&request, Method::WatchIncidents).await?;
    Err(Status::unimplemented("watch"))
}

/// `AssignIncident`.
pub(super) async fn assign(
    context: &Arc<Context>,
    request: Request<wire::AssignIncidentRequest>,
) -> Answer<wire::IncidentSummary> {
    context.auth.authorize(&request, Method::AssignIncident).await?;
    Err(Status::unimplemented("assign"))
}

/// `SetIncidentState`.
pub(super) async fn set_state(
    context: &Arc<Context>,
    request: Request<wire::SetIncidentStateRequest>,
) -> Answer<wire::IncidentSummary> {
    context.auth.authorize(&request, Method::SetIncidentState).await?;
    Err(Status::unimplemented("set_state"))
}

/// `SetIncidentVerdict`.
pub(super) async fn set_verdict(
    context: &Arc<Context>,
    request: Request<wire::SetIncidentVerdictRequest>,
) -> Answer<wire::IncidentSummary> {
    context.auth.authorize(&request, Method::SetIncidentVerdict).await?;
    Err(Status::unimplemented("set_verdict"))
}

/// `AddIncidentNote`.
pub(super) async fn add_note(
    context: &Arc<Context>,
    request: Request<wire::AddIncidentNoteRequest>,
) -> Answer<wire::IncidentSummary> {
    context.auth.authorize(&request, Method::AddIncidentNote).await?;
    Err(Status::unimplemented("add_note"))
}
