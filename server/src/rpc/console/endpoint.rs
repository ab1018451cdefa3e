//! Endpoints: list, show, tag, revoke.

use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tonic::{Request, Status};

use super::{Answer, Context};
use crate::rpc::auth::Method;

/// `ListEndpoints`.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListEndpointsRequest>,
) -> Answer<wire::ListEndpointsResponse> {
    context.auth.authorize(&request, Method::ListEndpoints).await?;
    Err(Status::unimplemented("list"))
}

/// `GetEndpoint`.
pub(super) async fn get(
    context: &Arc<Context>,
    request: Request<wire::GetEndpointRequest>,
) -> Answer<wire::Endpoint> {
    context.auth.authorize(&request, Method::GetEndpoint).await?;
    Err(Status::unimplemented("get"))
}

/// `TagEndpoint`.
pub(super) async fn tag(
    context: &Arc<Context>,
    request: Request<wire::TagEndpointRequest>,
) -> Answer<wire::Endpoint> {
    context.auth.authorize(&request, Method::TagEndpoint).await?;
    Err(Status::unimplemented("tag"))
}

/// `RevokeEndpoint`.
pub(super) async fn revoke(
    context: &Arc<Context>,
    request: Request<wire::RevokeEndpointRequest>,
) -> Answer<wire::Endpoint> {
    context.auth.authorize(&request, Method::RevokeEndpoint).await?;
    Err(Status::unimplemented("revoke"))
}
