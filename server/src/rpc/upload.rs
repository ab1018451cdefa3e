//! `UploadEvents`: batches up, acknowledgements down, in order. An acknowledgement means committed.
//!
//! A stream lives while the caller's session is open on the same connection. Batches are read ahead of their
//! acknowledgements by at most [`UPLOAD_BATCHES_IN_FLIGHT_MAX`]. It ends with a status that names what was wrong
//! where the caller broke the protocol; everything before that is acknowledged first.

use std::sync::Arc;

use tocsin_proto::agent::v1 as wire;
use tocsin_proto::id::EndpointId;
use tocsin_proto::limits::{BATCH_COMPRESSED_BYTES_MAX, UPLOAD_BATCHES_IN_FLIGHT_MAX};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::auth::Method;
use super::status::{ErrorCode, status};
use super::{Context, Replies};
use crate::clock::now_ms;
use crate::ingest::{CommitError, IngestError, Lane, Reply};
use crate::session::Admission;
use crate::store::StoreError;
use crate::store::telemetry::Appended;

/// Bytes of one upload: a full batch and its envelope.
pub(crate) const UPLOAD_BYTES_MAX: usize = BATCH_COMPRESSED_BYTES_MAX + (1 << 10);

/// How many endpoints back a run is looked for. An agent that ran once as each of them sends what it kept of that run.
const FORMERS_MAX: usize = 8;

/// What the acknowledging half waits for.
enum Pending {
    /// A batch of this run, until this sequence.
    Batch(Vec<u8>, u64, Reply),
    /// The end, and why.
    End(Status),
}

/// Takes batches for as long as the caller's session is open.
pub(crate) async fn upload(
    context: &Arc<Context>,
    request: Request<Streaming<wire::UploadEventsRequest>>,
) -> Result<Response<Replies<wire::UploadEventsResponse>>, Status> {
    let caller = context.auth.authorize(&request, Method::UploadEvents);
    let caller = caller.await?;
    let admission = context.registry.admitted(&caller.peer).ok_or_else(|| {
        ErrorCode::State.status("no session is open on this connection: open one first")
    })?;
    let (pending, acknowledged) = mpsc::channel(UPLOAD_BATCHES_IN_FLIGHT_MAX);
    let reader = Reader {
        context: Arc::clone(context),
        admission,
        uploads: request.into_inner(),
        pending,
    };
    tokio::spawn(reader.run());
    let replies = ReceiverStream::new(acknowledged).then(acknowledge);
    Ok(Response::new(Box::pin(replies)))
}

async fn acknowledge(pending: Pending) -> Result<wire::UploadEventsResponse, Status> {
    let (run_id, last_sequence, reply) = match pending {
        Pending::Batch(run_id, last_sequence, reply) => (run_id, last_sequence, reply),
        Pending::End(status) => return Err(status),
    };
    match reply.await.unwrap_or(Err(CommitError::Stopping)) {
        Ok(appended) => Ok(wire::UploadEventsResponse {
            run_id,
            last_sequence,
            renumber: appended == Appended::Reused,
        }),
        Err(error) => Err(IngestError::from(error).into()),
    }
}

struct Reader {
    context: Arc<Context>,
    admission: Admission,
    uploads: Streaming<wire::UploadEventsRequest>,
    pending: mpsc::Sender<Pending>,
}

impl Reader {
    async fn run(mut self) {
        let ended = self.admission.ended.clone();
        let stopping = self.context.stopping.clone();
        let end = tokio::select! {
            end = self.read() => end,
            () = ended.cancelled() => Some(ErrorCode::State.status("the session has ended")),
            () = stopping.cancelled() => Some(ErrorCode::Unavailable.status("the server is stopping")),
        };
        if let Some(status) = end {
            // Whoever has gone already does not need to know.
            let _gone = self.pending.send(Pending::End(status)).await;
        }
    }

    /// Reads until the caller's end, which needs no status, or until something is wrong.
    async fn read(&mut self) -> Option<Status> {
        let endpoint = self.admission.endpoint;
        let formers = match formers(&self.context, endpoint).await {
            Ok(formers) => formers,
            Err(error) => return Some(error.into()),
        };
        let mut lane = self.context.ingest.lane(endpoint, formers).await;
        loop {
            match self.uploads.message().await {
                Ok(Some(upload)) => {
                    if let Err(status) = self.take(&mut lane, upload).await {
                        return Some(status);
                    }
                }
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }

    async fn take(
        &mut self,
        lane: &mut Lane,
        upload: wire::UploadEventsRequest,
    ) -> Result<(), Status> {
        let run_id = upload.run_id.clone();
        let last_sequence = upload.last_sequence;
        let taken = self.context.ingest.take(lane, upload, now_ms()).await;
        let (reply, delay) = taken.inspect_err(|error| {
            tracing::warn!(
                endpoint = %self.admission.endpoint,
                error = super::status::chain(error),
                "upload refused"
            );
        })?;
        let pending = Pending::Batch(run_id, last_sequence, reply);
        if self.pending.send(pending).await.is_err() {
            return Err(ErrorCode::Unavailable.status("the caller has gone"));
        }
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

/// What the machine was before it was enrolled anew, the newest first.
async fn formers(context: &Context, endpoint: EndpointId) -> Result<Vec<EndpointId>, StoreError> {
    let mut formers = Vec::new();
    let mut next = context.state.endpoint(endpoint).await?.former;
    while let Some(former) = next.filter(|_| formers.len() < FORMERS_MAX) {
        formers.push(former);
        next = context.state.endpoint(former).await?.former;
    }
    Ok(formers)
}

impl From<IngestError> for Status {
    fn from(error: IngestError) -> Self {
        let code = match &error {
            IngestError::Violation(_) => ErrorCode::Invalid,
            IngestError::Commit(CommitError::Stopping) => ErrorCode::Unavailable,
            // It was not stored and may be sent again; what failed is in the log.
            IngestError::Commit(CommitError::Store(_)) => {
                tracing::error!(
                    error = super::status::chain(&error),
                    "a batch was not committed"
                );
                return ErrorCode::Unavailable.status("the batch was not committed: send it again");
            }
        };
        status(code, &error)
    }
}
