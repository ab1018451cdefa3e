//! Terminals: open, list, watch, kill.
//!
//! A terminal lives as long as its analyst's call. Before the endpoint is asked for it, it is in the audit log, and
//! before anybody learns that it has ended, its end is. Every answer that depends on an endpoint is waited for with a
//! limit: an endpoint that says nothing is cut from the terminal, and the row says that it did not report.

use std::sync::Arc;
use std::time::Duration;

use tocsin_proto::agent::v1 as agent;
use tocsin_proto::agent::v1::session_response::Message as ToAgent;
use tocsin_proto::agent::v1::terminal_response::Message as Down;
use tocsin_proto::capability;
use tocsin_proto::console::v1 as wire;
use tocsin_proto::console::v1::open_terminal_request::Message as Said;
use tocsin_proto::console::v1::terminal_news::Message as News;
use tocsin_proto::limits::{
    REASON_BYTES_MAX, TERMINAL_CHUNK_BYTES_MAX, TERMINAL_COLUMNS_MAX, TERMINAL_KIND_BYTES_MAX,
    TERMINAL_ROWS_MAX,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Answer, Context};
use crate::audit::AuditEntry;
use crate::clock::now_ms;
use crate::rpc::Replies;
use crate::rpc::auth::{Caller, Method};
use crate::rpc::status::{ErrorCode, chain, status};
use crate::session::terminal::{
    Facts, FromEndpoint, Near, Seen, Terminal, TerminalError, Violation, Watcher,
};

mod keep;
mod recording;

pub(super) use recording::{list as list_recordings, play};

/// How long an analyst's console may take to say what it wants.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages that wait for a console. Their bytes are bounded by the window.
const REPLIES_MAX: usize = 8;

/// How long `KillTerminal` waits: longer than an endpoint has to report.
const KILL_TIMEOUT: Duration = Duration::from_secs(20);

/// `OpenTerminal`.
pub(super) async fn open(
    context: &Arc<Context>,
    request: Request<Streaming<wire::OpenTerminalRequest>>,
) -> Answer<Replies<wire::TerminalNews>> {
    let caller = context
        .auth
        .authorize(&request, Method::OpenTerminal)
        .await?;
    let mut requests = request.into_inner();
    let first = tokio::time::timeout(FIRST_TIMEOUT, requests.message()).await;
    let first = first.map_err(|_| ErrorCode::Invalid.status("nothing was asked for"))??;
    let Some(Said::Open(header)) = first.and_then(|first| first.message) else {
        return Err(ErrorCode::Invalid.status("a terminal's call begins with what is asked for"));
    };
    let (facts, term) = check(context, &caller, header).await?;
    let endpoint = facts.endpoint;
    let asked = agent::OpenTerminal {
        terminal_id: Vec::new(),
        columns: facts.size.columns,
        rows: facts.size.rows,
        term,
        analyst: facts.analyst.clone(),
    };
    let (reason, incident) = (facts.reason.clone(), facts.incident.clone());
    let near = context.terminals.add(facts)?;
    let id = near.terminal.id();
    recording::begin(context, &near.terminal, &asked.term).await?;
    let incident = match incident.as_str() {
        "" => "no incident".to_owned(),
        id => format!("incident {id}"),
    };
    let detail = format!("terminal {id}, as the agent's account, for {incident}: {reason}");
    let target = endpoint.to_string();
    let audit = &context.audit;
    audit
        .allowed(&caller, Method::OpenTerminal, &target, &detail)
        .await?;
    let asked = agent::OpenTerminal {
        terminal_id: id.as_bytes().to_vec(),
        ..asked
    };
    let sent = context
        .registry
        .send(endpoint, ToAgent::OpenTerminal(asked));
    if !sent {
        let said = "the endpoint is not connected any more, or does not read what it is sent";
        keep::note_end(context, &near.terminal, None, said).await;
        return Err(ErrorCode::Unreachable.status(said));
    }
    let (replies, receiver) = mpsc::channel(REPLIES_MAX);
    tokio::spawn(keep::keep(context.clone(), near, requests, replies));
    Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
}

/// What is asked for, where it can be had.
async fn check(
    context: &Context,
    caller: &Caller,
    header: wire::TerminalHeader,
) -> Result<(Facts, String), Status> {
    let reason = header.reason.trim();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(
            ErrorCode::Invalid.status(format!("reason is empty or over {REASON_BYTES_MAX} bytes"))
        );
    }
    let size = header.size.unwrap_or_default();
    check_size(size)?;
    if !is_kind(&header.term) {
        return Err(ErrorCode::Invalid.status("term is not the name of a kind of terminal"));
    }
    let endpoint = context.state.find_endpoint(&header.endpoint).await?;
    let incident = match header.incident.as_str() {
        "" => String::new(),
        text => context.state.find_incident(text).await?.to_string(),
    };
    let row = context.state.endpoint(endpoint).await?;
    let name = row.machine.hostname;
    let live = context.registry.live(endpoint);
    let Some(live) = live.filter(|_| row.revoked_time_ms == 0) else {
        let said = format!("endpoint {endpoint} ({name}) is not connected");
        return Err(ErrorCode::Unreachable.status(said));
    };
    if live.facts.capability < capability::TERMINAL {
        return Err(ErrorCode::State.status(format!(
            "the agent of endpoint {endpoint} ({name}) is too old for terminals: update it"
        )));
    }
    let facts = Facts {
        endpoint,
        hostname: live.facts.machine.hostname,
        analyst: caller.analyst().to_owned(),
        reason: reason.to_owned(),
        incident,
        size,
        time_ms: now_ms(),
    };
    Ok((facts, header.term))
}

fn check_size(size: wire::TerminalSize) -> Result<(), Status> {
    let fits = (1..=TERMINAL_COLUMNS_MAX).contains(&size.columns)
        && (1..=TERMINAL_ROWS_MAX).contains(&size.rows);
    if fits {
        return Ok(());
    }
    Err(ErrorCode::Invalid.status(format!(
        "a terminal has 1 to {TERMINAL_COLUMNS_MAX} columns and 1 to {TERMINAL_ROWS_MAX} rows"
    )))
}

/// A name for TERM that is one and nothing else.
fn is_kind(term: &str) -> bool {
    (1..=TERMINAL_KIND_BYTES_MAX).contains(&term.len())
        && term
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte))
}

/// `ListTerminals`.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListTerminalsRequest>,
) -> Answer<wire::ListTerminalsResponse> {
    context
        .auth
        .authorize(&request, Method::ListTerminals)
        .await?;
    Ok(Response::new(wire::ListTerminalsResponse {
        terminals: context.terminals.list(),
    }))
}

/// `KillTerminal`.
pub(super) async fn kill(
    context: &Arc<Context>,
    request: Request<wire::KillTerminalRequest>,
) -> Answer<wire::Terminal> {
    let caller = context
        .auth
        .authorize(&request, Method::KillTerminal)
        .await?;
    let terminal = context.terminals.find(&request.get_ref().id)?;
    let (target, detail) = subject(&terminal);
    let audit = &context.audit;
    audit
        .allowed(&caller, Method::KillTerminal, &target, &detail)
        .await?;
    let by = format!("ended by {}", caller.analyst());
    terminal.ask_end(wire::TerminalEnd::Killed, &by);
    let ended = tokio::time::timeout(KILL_TIMEOUT, terminal.ended().cancelled()).await;
    if ended.is_err() {
        let said = "the terminal was asked to end and has not ended yet";
        return Err(ErrorCode::Unreachable.status(said));
    }
    Ok(Response::new(terminal.row()))
}

/// Target and detail of an audit row about an open terminal.
fn subject(terminal: &Terminal) -> (String, String) {
    let row = terminal.row();
    let detail = format!("terminal {} of {}", row.id, row.analyst);
    (row.endpoint, detail)
}

/// `WatchTerminal`.
pub(super) async fn watch(
    context: &Arc<Context>,
    request: Request<wire::WatchTerminalRequest>,
) -> Answer<Replies<wire::TerminalNews>> {
    let caller = context
        .auth
        .authorize(&request, Method::WatchTerminal)
        .await?;
    let terminal = context.terminals.find(&request.get_ref().id)?;
    let (target, detail) = subject(&terminal);
    let audit = &context.audit;
    audit
        .allowed(&caller, Method::WatchTerminal, &target, &detail)
        .await?;
    let watcher = terminal.watch()?;
    let (replies, receiver) = mpsc::channel(REPLIES_MAX);
    let stopping = context.stopping.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = show(watcher, &replies) => {}
            () = replies.closed() => {}
            () = stopping.cancelled() => {
                let end = ErrorCode::Unavailable.status("the server is stopping");
                let _gone = replies.send(Err(end)).await;
            }
        }
    });
    Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
}

/// Shows a watcher everything, until the end or until nobody looks any more.
async fn show(mut watcher: Watcher, replies: &keep::NewsSender) {
    let mut waiting = vec![News::Opened(watcher.row.clone())];
    let backlog = std::mem::take(&mut watcher.backlog);
    let pieces = backlog.chunks(TERMINAL_CHUNK_BYTES_MAX);
    waiting.extend(pieces.map(|piece| News::Output(piece.to_vec())));
    loop {
        for news in waiting.drain(..) {
            if replies.send(Ok(keep::news(news))).await.is_err() {
                return;
            }
        }
        match watcher.next().await {
            Seen::Output(missed, bytes) => {
                waiting.extend((missed > 0).then_some(News::SkippedBytes(missed)));
                waiting.push(News::Output(bytes.to_vec()));
            }
            Seen::Size(size) => waiting.push(News::Size(size)),
            Seen::Ended(row) => {
                let _gone = replies.send(Ok(keep::news(News::Ended(*row)))).await;
                return;
            }
        }
    }
}

impl From<TerminalError> for Status {
    fn from(error: TerminalError) -> Self {
        let code = match &error {
            TerminalError::NotFound(_) => ErrorCode::NotFound,
            TerminalError::Ambiguous(_) => ErrorCode::Invalid,
            TerminalError::TooMany
            | TerminalError::TooManyOfEndpoint
            | TerminalError::TooManyOfAnalyst
            | TerminalError::TooManyWatchers => ErrorCode::Busy,
        };
        status(code, &error)
    }
}

impl From<Violation> for Status {
    fn from(violation: Violation) -> Self {
        status(ErrorCode::Invalid, &violation)
    }
}
