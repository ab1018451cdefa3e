//! Feeds: list, import. Live ones are in `connection.rs`.

use std::sync::Arc;
use std::time::Duration;

use tocsin_proto::console::v1 as wire;
use tocsin_proto::console::v1::import_feed_request::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Answer, Context};
use crate::feed::Format;
use crate::import::Import;
use crate::rpc::Replies;
use crate::rpc::auth::Method;
use crate::rpc::status::ErrorCode;

/// Progress messages that wait for the caller.
const REPLIES_MAX: usize = 4;

/// Imports at once; more wait.
pub(crate) const IMPORTS_MAX: usize = 2;

/// A caller that sends nothing for so long has given up, or holds others up.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// `ListFeeds`.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListFeedsRequest>,
) -> Answer<wire::ListFeedsResponse> {
    context.auth.authorize(&request, Method::ListFeeds).await?;
    let feeds = super::connection::rows(context).await?;
    Ok(Response::new(wire::ListFeedsResponse { feeds }))
}

/// `ImportFeed`: first the header, then the file's bytes; progress and, last, the summary.
pub(super) async fn import(
    context: &Arc<Context>,
    request: Request<Streaming<wire::ImportFeedRequest>>,
) -> Answer<Replies<wire::ImportFeedResponse>> {
    let caller = context.auth.authorize(&request, Method::ImportFeed).await?;
    let mut pieces = request.into_inner();
    let Some(Message::Header(header)) = next(&mut pieces).await? else {
        return Err(ErrorCode::Invalid.status("an import begins with its header"));
    };
    let format = Format::of(&header.provider, &header.mapping)
        .map_err(|error| ErrorCode::Invalid.status(error.to_string()))?;
    let audit = &context.audit;
    audit
        .allowed(
            &caller,
            Method::ImportFeed,
            &header.provider,
            &header.file_name,
        )
        .await?;
    let (replies, receiver) = mpsc::channel(REPLIES_MAX);
    let import = Import::new(
        Arc::clone(&context.state),
        Arc::clone(&context.correlator),
        format,
        header.dry_run,
        Arc::clone(&context.geo),
    );
    tokio::spawn(run(Arc::clone(context), import, pieces, replies));
    Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
}

/// Takes the file until its end or until the caller is gone.
async fn run(
    context: Arc<Context>,
    import: Import,
    pieces: Streaming<wire::ImportFeedRequest>,
    replies: mpsc::Sender<Result<wire::ImportFeedResponse, Status>>,
) {
    let work = async {
        let _turn = context.imports.acquire().await;
        take(import, pieces, &replies).await
    };
    let end = tokio::select! {
        end = work => end,
        () = replies.closed() => return,
        () = context.stopping.cancelled() => {
            Err(ErrorCode::Unavailable.status("the server is stopping: import the file again"))
        }
    };
    // Whoever has gone already does not need to know.
    let _gone = replies.send(end).await;
}

async fn take(
    mut import: Import,
    mut pieces: Streaming<wire::ImportFeedRequest>,
    replies: &mpsc::Sender<Result<wire::ImportFeedResponse, Status>>,
) -> Result<wire::ImportFeedResponse, Status> {
    while let Some(message) = next(&mut pieces).await? {
        let Message::Chunk(chunk) = message else {
            return Err(ErrorCode::Invalid.status("an import has one header"));
        };
        import.push(chunk).await?;
        let (bytes_read, records_read) = import.progress();
        let progress = wire::ImportFeedResponse {
            bytes_read,
            records_read,
            summary: None,
        };
        // A caller that does not read its progress does not hold the import up.
        let _full = replies.try_send(Ok(progress));
    }
    let (bytes_read, _) = import.progress();
    let summary = import.finish().await?;
    Ok(wire::ImportFeedResponse {
        bytes_read,
        records_read: summary.records,
        summary: Some(summary),
    })
}

/// The next message, which must come in time; `None` at the end.
async fn next(pieces: &mut Streaming<wire::ImportFeedRequest>) -> Result<Option<Message>, Status> {
    let next = tokio::time::timeout(PIECE_TIMEOUT, pieces.message()).await;
    let next =
        next.map_err(|_| ErrorCode::Invalid.status("the import's next piece did not come"))?;
    Ok(next?.and_then(|piece| piece.message))
}
