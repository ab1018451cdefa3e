//! Identities: list, show, link.

use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tonic::{Request, Status};

use super::{Answer, Context};
use crate::rpc::auth::Method;

/// `ListIdentities`.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListIdentitiesRequest>,
) -> Answer<wire::ListIdentitiesResponse> {
    context.auth.authorize(&request, Method::ListIdentities).await?;
    Err(Status::unimplemented("list"))
}

/// `GetIdentity`.
pub(super) async fn get(
    context: &Arc<Context>,
    request: Request<wire::GetIdentityRequest>,
) -> Answer<wire::Identity> {
    context.auth.authorize(&request, Method::GetIdentity).await?;
    Err(Status::unimplemented("get"))
}

/// `LinkIdentity`.
pub(super) async fn link(
    context: &Arc<Context>,
    request: Request<wire::LinkIdentityRequest>,
) -> Answer<wire::Identity> {
    context.auth.authorize(&request, Method::LinkIdentity).await?;
    Err(Status::unimplemented("link"))
}
