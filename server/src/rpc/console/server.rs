//! The server itself.

use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tonic::{Request, Status};

use super::{Answer, Context};
use crate::rpc::auth::Method;

/// `GetServer`.
pub(super) async fn get(
    context: &Arc<Context>,
    request: Request<wire::GetServerRequest>,
) -> Answer<wire::GetServerResponse> {
    context.auth.authorize(&request, Method::GetServer).await?;
    Err(Status::unimplemented("get"))
}
