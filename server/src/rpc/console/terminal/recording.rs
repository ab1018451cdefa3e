//! Recordings of terminals: begin, list, play.

use std::io;
use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tocsin_proto::console::v1::play_terminal_response::Message as Part;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::super::page_size;
use super::{Answer, Context, ErrorCode, Method, REPLIES_MAX, Replies, Terminal, status};
use crate::recording::{self, Played, RecordingError};

/// Begins the recording of a terminal; without one there is no terminal.
pub(super) async fn begin(
    context: &Context,
    terminal: &Terminal,
    kind: &str,
) -> Result<(), Status> {
    let (row, kind) = (terminal.row(), kind.to_owned());
    let recordings = context.recordings.clone();
    let begun = waiting(move || recordings.begin(&row, &kind)).await?;
    terminal.record_with(begun.go_on());
    Ok(())
}

/// `ListRecordings`.
pub(in crate::rpc::console) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListRecordingsRequest>,
) -> Answer<wire::ListRecordingsResponse> {
    context
        .auth
        .authorize(&request, Method::ListRecordings)
        .await?;
    let request = request.into_inner();
    let endpoint = match request.endpoint.as_str() {
        "" => None,
        text => Some(context.state.find_endpoint(text).await?.to_string()),
    };
    let before = match request.page_token.as_str() {
        "" => None,
        token => Some(read_token(token)?),
    };
    let analyst = request.analyst;
    let wanted = move |row: &wire::Terminal| {
        endpoint
            .as_ref()
            .is_none_or(|endpoint| *endpoint == row.endpoint)
            && (analyst.is_empty() || analyst == row.analyst)
    };
    let limit = usize::try_from(page_size(request.page_size)).unwrap_or(usize::MAX);
    let recordings = context.recordings.clone();
    let rows = waiting(move || recordings.list(before, wanted, limit)).await?;
    let last = rows.last().filter(|_| rows.len() >= limit);
    let last = last.and_then(|row| row.terminal.as_ref());
    Ok(Response::new(wire::ListRecordingsResponse {
        next_page_token: last.map_or_else(String::new, |row| {
            format!("{}-{}", row.open_time_ms, row.id)
        }),
        recordings: rows,
    }))
}

fn read_token(token: &str) -> Result<(i64, String), Status> {
    let parts = token.split_once('-');
    let read = parts.and_then(|(time_ms, id)| Some((time_ms.parse().ok()?, id.to_owned())));
    read.ok_or_else(|| ErrorCode::Invalid.status("page_token is not one of this listing"))
}

/// `PlayTerminal`.
pub(in crate::rpc::console) async fn play(
    context: &Arc<Context>,
    request: Request<wire::PlayTerminalRequest>,
) -> Answer<Replies<wire::PlayTerminalResponse>> {
    let caller = context
        .auth
        .authorize(&request, Method::PlayTerminal)
        .await?;
    let (recordings, id) = (context.recordings.clone(), request.into_inner().id);
    let (recording, path) = waiting(move || recordings.find(&id)).await?;
    let row = recording.terminal.clone().unwrap_or_default();
    let detail = format!("terminal {} of {}", row.id, row.analyst);
    let audit = &context.audit;
    audit
        .allowed(&caller, Method::PlayTerminal, &row.endpoint, &detail)
        .await?;
    let (replies, receiver) = mpsc::channel(REPLIES_MAX);
    // Ends by itself once nobody reads: a part that cannot be sent is the last.
    tokio::task::spawn_blocking(move || {
        let send = |part| {
            let message = Some(part);
            replies
                .blocking_send(Ok(wire::PlayTerminalResponse { message }))
                .is_ok()
        };
        if !send(Part::Recording(Box::new(recording))) {
            return;
        }
        if let Err(error) = recording::play(&path, |played| send(part(played))) {
            tracing::warn!(path = %path.display(), %error, "a recording cannot be read");
            let problem = format!("it cannot be read: {error}");
            send(part(Played::Problem(problem)));
        }
    });
    Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
}

fn part(played: Played) -> Part {
    let (whole, problem) = match played {
        Played::Lines(lines) => return Part::Lines(lines),
        Played::Whole(_) => (true, String::new()),
        Played::Problem(problem) => (false, problem),
    };
    Part::End(wire::RecordingEnd { whole, problem })
}

/// Does what waits for the disk where that is no harm.
async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RecordingError> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|_| RecordingError::Io("read", io::Error::other("it has failed")));
    done.flatten().map_err(|error| {
        let code = match &error {
            RecordingError::Full(_) | RecordingError::Io(..) => ErrorCode::State,
            RecordingError::NotFound(_) => ErrorCode::NotFound,
            RecordingError::Ambiguous(_) => ErrorCode::Invalid,
        };
        status(code, &error)
    })
}
