//! `Terminal`: an endpoint's end of a terminal that was asked of it.
//!
//! The first message names the terminal. It must be one that was asked of this very endpoint and has no other end yet;
//! for anything else the call is refused and that is in the audit log. Nothing an endpoint sends opens anything.

use std::sync::Arc;
use std::time::Duration;

use tocsin_proto::agent::v1 as wire;
use tocsin_proto::agent::v1::terminal_request::Message as Up;
use tocsin_proto::console::v1::TerminalEnd;
use tocsin_proto::id::TerminalId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::auth::{Caller, Method};
use super::status::ErrorCode;
use super::{Context, Replies};
use crate::recording::Happening;
use crate::session::Admission;
use crate::session::terminal::{Far, FromEndpoint, Terminal, Violation};

/// How long an endpoint may take to name its terminal.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an endpoint whose session has ended may take to report.
const LAST_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages that wait for the endpoint. Their bytes are bounded by the window.
const OUTBOX_MAX: usize = 8;

/// Keeps the endpoint's end of a terminal.
pub(crate) async fn terminal(
    context: &Arc<Context>,
    request: Request<Streaming<wire::TerminalRequest>>,
) -> Result<Response<Replies<wire::TerminalResponse>>, Status> {
    let caller = context.auth.authorize(&request, Method::Terminal).await?;
    let admission = context.registry.admitted(&caller.peer).ok_or_else(|| {
        ErrorCode::State.status("no session is open on this connection: open one first")
    })?;
    let (outbox, inbox) = mpsc::channel(OUTBOX_MAX);
    let call = Call {
        context: context.clone(),
        caller,
        admission,
        requests: request.into_inner(),
    };
    tokio::spawn(async move {
        if let Err(status) = call.run(&outbox).await {
            // Whoever has gone already does not need to know.
            let _gone = outbox.send(Err(status)).await;
        }
    });
    Ok(Response::new(Box::pin(ReceiverStream::new(inbox))))
}

type Outbox = mpsc::Sender<Result<wire::TerminalResponse, Status>>;

struct Call {
    context: Arc<Context>,
    caller: Caller,
    admission: Admission,
    requests: Streaming<wire::TerminalRequest>,
}

impl Call {
    async fn run(mut self, outbox: &Outbox) -> Result<(), Status> {
        let first = tokio::time::timeout(FIRST_TIMEOUT, self.requests.message()).await;
        let first =
            first.map_err(|_| ErrorCode::Invalid.status("the terminal was not named"))??;
        let (id, first) = match first.and_then(|request| request.message) {
            Some(Up::Started(started)) => {
                (started.terminal_id.clone(), FromEndpoint::Started(started))
            }
            Some(Up::Refused(refused)) => {
                let id = refused.terminal_id.clone();
                (id, FromEndpoint::Refused(refused.reason))
            }
            _ => return Err(ErrorCode::Invalid.status("a terminal's call begins with its name")),
        };
        let taken = TerminalId::from_wire(&id)
            .and_then(|id| self.context.terminals.take(self.admission.endpoint, id));
        let Some((terminal, far)) = taken else {
            let why = "a terminal that was not asked of this endpoint, or no longer is";
            let audit = &self.context.audit;
            audit.refused(&self.caller, Method::Terminal, why).await?;
            return Err(ErrorCode::NotFound.status(why));
        };
        let Far { up, mut down } = far;
        // Its other side has gone where this fails.
        let _gone = up.send(first).await;
        let bring_down = async {
            while let Some(message) = down.recv().await {
                let message = Some(message);
                if outbox
                    .send(Ok(wire::TerminalResponse { message }))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        };
        tokio::select! {
            brought = bring_up(&mut self.requests, &terminal, up) => brought,
            () = bring_down => Ok(()),
            () = session_end(&self.admission, &terminal) => Ok(()),
        }
    }
}

/// Waits for the session's end, asks for the terminal's, and leaves a moment for its report.
async fn session_end(admission: &Admission, terminal: &Terminal) {
    admission.ended.cancelled().await;
    terminal.ask_end(TerminalEnd::EndpointLost, "its session ended");
    tokio::time::sleep(LAST_TIMEOUT).await;
}

/// Brings up what the endpoint sends, until its report.
async fn bring_up(
    requests: &mut Streaming<wire::TerminalRequest>,
    terminal: &Terminal,
    up: mpsc::Sender<FromEndpoint>,
) -> Result<(), Status> {
    while let Some(request) = requests.message().await? {
        let brought = match check(terminal, request) {
            Ok(brought) => brought,
            Err(violation) => {
                tracing::warn!(
                    endpoint = %terminal.endpoint(),
                    terminal = %terminal.id(),
                    %violation,
                    "an endpoint broke the protocol of a terminal"
                );
                terminal.ask_end(TerminalEnd::Protocol, &violation.to_string());
                return Err(ErrorCode::Invalid.status(violation.to_string()));
            }
        };
        if let Some(happening) = brought.happening {
            terminal.record(happening).await;
        }
        let Some(message) = brought.message else {
            continue;
        };
        let is_last = matches!(message, FromEndpoint::Report(_));
        if up.send(message).await.is_err() || is_last {
            return Ok(());
        }
    }
    Ok(())
}

/// What a message brings.
#[derive(Debug, Default)]
struct Brought {
    /// For the recording, first.
    happening: Option<Happening>,
    /// For the analyst's call.
    message: Option<FromEndpoint>,
}

fn check(terminal: &Terminal, request: wire::TerminalRequest) -> Result<Brought, Violation> {
    let (happening, message) = match request.message {
        Some(Up::Output(bytes)) => {
            terminal.printed(&bytes)?;
            let happening = Happening::Output(bytes.clone());
            (Some(happening), Some(FromEndpoint::Output(bytes)))
        }
        Some(Up::InputCredit(bytes)) => {
            let given = terminal.give_input_credit(bytes);
            (None, Some(FromEndpoint::InputCredit(given)))
        }
        Some(Up::InputTaken(taken)) => (terminal.taken(taken), None),
        Some(Up::Report(report)) => (None, Some(FromEndpoint::Report(report))),
        Some(Up::Started(_) | Up::Refused(_)) => return Err(Violation::Order),
        // A message of a later version.
        None => (None, None),
    };
    Ok(Brought { happening, message })
}
