//! `ReadRelease`: a file of the repository for an endpoint whose session is open.
//!
//! Reading changes nothing and is not in the audit log; that an endpoint was asked to update is. How many read at once
//! and how fast they get it together is bounded; one who does not read holds two pieces and its place.

use std::sync::Arc;
use std::time::Duration;

use tocsin_proto::agent::v1 as wire;
use tocsin_proto::release::CHUNK_BYTES;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::auth::Method;
use super::status::{ErrorCode, chain};
use super::{Context, Replies};
use crate::release::ReleaseError;

/// Pieces that wait for the endpoint.
const PIECES_MAX: usize = 2;

/// How long an endpoint may take for a piece before its place is given to another.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves a file from an offset on.
pub(crate) async fn read(
    context: &Arc<Context>,
    request: Request<wire::ReadReleaseRequest>,
) -> Result<Response<Replies<wire::ReadReleaseResponse>>, Status> {
    let caller = context
        .auth
        .authorize(&request, Method::ReadRelease)
        .await?;
    let admission = context.registry.admitted(&caller.peer).ok_or_else(|| {
        ErrorCode::State.status("no session is open on this connection: open one first")
    })?;
    let request = request.into_inner();
    let mut file = context
        .releases
        .open(&request.name, request.offset)
        .await
        .map_err(told)?;
    if context.releases.reads.available_permits() == 0 {
        return Err(ErrorCode::Busy.status("too many endpoints read releases: come again"));
    }
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    let context = context.clone();
    let work = async move {
        let Ok(_place) = context.releases.reads.try_acquire() else {
            let busy = ErrorCode::Busy.status("too many endpoints read releases: come again");
            let _gone = pieces.send(Err(busy)).await;
            return;
        };
        loop {
            let mut data = Vec::with_capacity(CHUNK_BYTES);
            let mut piece = (&mut file).take(CHUNK_BYTES as u64);
            let reply = match piece.read_to_end(&mut data).await {
                Ok(0) => return,
                Ok(_) => Ok(wire::ReadReleaseResponse { data }),
                Err(error) => {
                    tracing::error!(error = chain(&error), "a release cannot be read");
                    Err(ErrorCode::Internal.status("the file cannot be read"))
                }
            };
            let is_last = reply.is_err();
            context.releases.pace(CHUNK_BYTES).await;
            let sent = tokio::time::timeout(PIECE_TIMEOUT, pieces.send(reply)).await;
            if !matches!(sent, Ok(Ok(()))) || is_last {
                return;
            }
        }
    };
    tokio::spawn(admission.ended.run_until_cancelled_owned(work));
    Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
}

/// What a caller is told of a release that cannot be had.
pub(super) fn told(error: ReleaseError) -> Status {
    match &error {
        ReleaseError::NotFound { .. } => ErrorCode::NotFound.status(error.to_string()),
        ReleaseError::Metadata { .. } | ReleaseError::Publication(_) => {
            ErrorCode::Invalid.status(error.to_string())
        }
        ReleaseError::Io { .. } => {
            tracing::error!(error = chain(&error), "releases cannot be read or written");
            ErrorCode::Internal
                .status("the server's folder of releases cannot be used: see its log")
        }
    }
}
