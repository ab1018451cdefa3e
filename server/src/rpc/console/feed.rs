//! Feeds.

use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tonic::{Request, Status};

use super::{Answer, Context};
use crate::rpc::auth::Method;

/// `ListFeeds`.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListFeedsRequest>,
) -> Answer<wire::ListFeedsResponse> {
    context.auth.authorize(&request, Method::ListFeeds).await?;
    Err(Status::unimplemented("list"))
}

/// `ImportFeed`.
pub(super) async fn import(
    context: &Arc<Context>,
    request: Request<tonic::Streaming<wire::ImportFeedRequest>>,
) -> Answer<crate::rpc::Replies<wire::ImportFeedResponse>> {
    context.auth.authorize(&request, Method::ImportFeed).await?;
    Err(Status::unimplemented("import"))
}
