//! `UploadEvents`: batches up, acknowledgements down.

use std::sync::Arc;

use tocsin_proto::agent::v1 as wire;
use tonic::{Request, Response, Status, Streaming};

use super::auth::Method;
use super::{Context, Replies};

/// Takes batches for as long as the caller's session is open.
pub(crate) async fn upload(
    context: &Arc<Context>,
    request: Request<Streaming<wire::UploadEventsRequest>>,
) -> Result<Response<Replies<wire::UploadEventsResponse>>, Status> {
    context
        .auth
        .authorize(&request, Method::UploadEvents)
        .await?;
    Err(Status::unimplemented("upload"))
}
