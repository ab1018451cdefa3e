//! Releases: list, publish. What is published is kept as it came; only endpoints verify it.

use std::sync::Arc;
use std::time::Duration;

use tocsin_proto::console::v1 as wire;
use tocsin_proto::console::v1::publish_releases_request::Message;
use tonic::{Request, Response, Status, Streaming};

use super::{Answer, Context};
use crate::release::publish::Publication;
use crate::rpc::auth::Method;
use crate::rpc::release::told;
use crate::rpc::status::ErrorCode;

/// A caller that sends nothing for so long has given up, or holds others up.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// `ListReleases`.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListReleasesRequest>,
) -> Answer<wire::ListReleasesResponse> {
    context
        .auth
        .authorize(&request, Method::ListReleases)
        .await?;
    let releases = context.releases.list().await.map_err(told)?;
    Ok(Response::new(wire::ListReleasesResponse { releases }))
}

/// `PublishReleases`.
pub(super) async fn publish(
    context: &Arc<Context>,
    request: Request<Streaming<wire::PublishReleasesRequest>>,
) -> Answer<wire::PublishReleasesResponse> {
    let caller = context
        .auth
        .authorize(&request, Method::PublishReleases)
        .await?;
    let mut pieces = request.into_inner();
    let Some(mut publication) = Publication::begin(&context.releases).map_err(told)? else {
        return Err(ErrorCode::Busy.status("somebody else publishes releases"));
    };
    let mut names = Vec::new();
    while let Some(message) = next(&mut pieces).await? {
        match message {
            Message::File(file) => {
                publication
                    .file(&file.name, file.bytes)
                    .await
                    .map_err(told)?;
                names.push(file.name);
            }
            Message::Data(data) => publication.data(&data).await.map_err(told)?,
        }
    }
    let metadata: Vec<_> = names
        .iter()
        .filter(|name| name.ends_with(".json"))
        .cloned()
        .collect();
    let audit = &context.audit;
    audit
        .allowed(
            &caller,
            Method::PublishReleases,
            &metadata.join(" "),
            &names.join(" "),
        )
        .await?;
    let published = publication.finish().await.map_err(told)?;
    Ok(Response::new(wire::PublishReleasesResponse {
        files: published.files,
        bytes: published.bytes,
    }))
}

async fn next(
    pieces: &mut Streaming<wire::PublishReleasesRequest>,
) -> Result<Option<Message>, Status> {
    let next = tokio::time::timeout(PIECE_TIMEOUT, pieces.message()).await;
    let next = next.map_err(|_| ErrorCode::Invalid.status("the next piece did not come"))?;
    Ok(next?.and_then(|piece| piece.message))
}
