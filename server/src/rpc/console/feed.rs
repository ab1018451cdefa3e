//! Feeds: list, import.

use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tonic::{Request, Response, Status};

use super::{Answer, Context};
use crate::rpc::auth::Method;
use crate::store::case::FeedRow;

/// `ListFeeds`.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListFeedsRequest>,
) -> Answer<wire::ListFeedsResponse> {
    context.auth.authorize(&request, Method::ListFeeds).await?;
    let feeds = context.state.feeds().await?;
    Ok(Response::new(wire::ListFeedsResponse {
        feeds: feeds.iter().map(row).collect(),
    }))
}

/// Id of a feed: "okta.file".
pub(super) fn feed_id(feed: &FeedRow) -> String {
    format!("{}.{}", feed.provider, feed.kind)
}

fn row(feed: &FeedRow) -> wire::Feed {
    wire::Feed {
        id: feed_id(feed),
        provider: feed.provider.clone(),
        kind: feed.kind.clone(),
        mfa_events: feed.mfa_events,
        last_event_time_ms: feed.event_time_max_ms,
        last_receive_time_ms: feed.receive_time_ms,
        malformed: feed.malformed,
    }
}

/// `ImportFeed`.
pub(super) async fn import(
    context: &Arc<Context>,
    request: Request<tonic::Streaming<wire::ImportFeedRequest>>,
) -> Answer<crate::rpc::Replies<wire::ImportFeedResponse>> {
    context.auth.authorize(&request, Method::ImportFeed).await?;
    Err(Status::unimplemented("import"))
}
