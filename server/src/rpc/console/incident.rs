//! Incidents: list, show, watch, and what analysts do with them.
//!
//! A change is made from what was read, and made again where somebody else was faster. It is recorded in the same
//! transaction; what does not change anything is recorded too, as an attempt that was allowed.

use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tocsin_proto::console::v1::{IncidentState, Verdict};
use tocsin_proto::id::IncidentId;
use tocsin_proto::json::Word;
use tocsin_proto::limits::NOTE_BYTES_MAX;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Answer, Context, fit, page_size};
use crate::audit::AuditEntry;
use crate::clock::now_ms;
use crate::incident::{self, unpack_draft};
use crate::rpc::Replies;
use crate::rpc::auth::{Caller, Method};
use crate::rpc::status::ErrorCode;
use crate::store::StoreError;
use crate::store::case::{
    ActivityRow, AnalystChange, AnalystState, CaseError, IncidentQuery, IncidentRow,
};

mod draft;

/// Times that a change is made anew because somebody else was faster.
const TRIES: u32 = 8;

/// Incidents that are ready for a watcher before it reads them.
const WATCHED_MAX: usize = 16;

/// Rows that a watcher's first listing reads at once.
const WATCH_PAGE: u32 = 200;

/// `ListIncidents`: by severity, then newest first.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListIncidentsRequest>,
) -> Answer<wire::ListIncidentsResponse> {
    context
        .auth
        .authorize(&request, Method::ListIncidents)
        .await?;
    let request = request.into_inner();
    let size = page_size(request.page_size);
    let identity = match request.identity.as_str() {
        "" => None,
        text => Some(context.state.find_identity(text).await?),
    };
    let query = IncidentQuery {
        severity_min: request.severity_min,
        states: request.states,
        assignee: (!request.assignee.is_empty()).then_some(request.assignee),
        identity,
        after: page_token(&request.page_token)?,
        limit: size.saturating_add(1),
    };
    let mut rows = context.state.incidents(&query).await?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let incidents: Result<Vec<_>, StoreError> = rows.iter().map(draft::summary).collect();
    let mut incidents = incidents?;
    let is_cut = fit(&mut incidents);
    let next_page_token = match incidents.last() {
        Some(last) if is_cut || more => {
            format!("{}.{}.{}", last.severity, last.last_event_time_ms, last.id)
        }
        _ => String::new(),
    };
    Ok(Response::new(wire::ListIncidentsResponse {
        incidents,
        next_page_token,
    }))
}

/// Severity, last event and id of the row that a page ended with.
fn page_token(token: &str) -> Result<Option<(i32, i64, IncidentId)>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let parse = || {
        let mut parts = token.splitn(3, '.');
        let severity = parts.next()?.parse().ok()?;
        let last_ms = parts.next()?.parse().ok()?;
        Some((severity, last_ms, parts.next()?.parse().ok()?))
    };
    let bad = || ErrorCode::Invalid.status("page_token is not one of this method");
    parse().map(Some).ok_or_else(bad)
}

/// `GetIncident`.
pub(super) async fn get(
    context: &Arc<Context>,
    request: Request<wire::GetIncidentRequest>,
) -> Answer<wire::Incident> {
    context
        .auth
        .authorize(&request, Method::GetIncident)
        .await?;
    let id = find(context, &request.into_inner().id).await?;
    let row = context.state.incident(id).await?;
    let about = draft::About {
        aliases: context.state.incident_aliases(id).await?,
        notes: context.state.notes(id).await?,
        activity: context.state.activity(id).await?,
        feeds: context.state.feeds().await?,
        now_ms: now_ms(),
    };
    let draft = unpack_draft(&row.engine.draft)?;
    Ok(Response::new(draft::incident(&row, draft, about)?))
}

/// The incident that a caller means.
async fn find(context: &Context, text: &str) -> Result<IncidentId, Status> {
    const LEAST: usize = 4;
    if text.chars().count() < LEAST {
        let why = format!("give an incident's id, or at least its first {LEAST} characters");
        return Err(ErrorCode::Invalid.status(why));
    }
    Ok(context.state.find_incident(text).await?)
}

/// `WatchIncidents`: those that match now, then each one that changes.
pub(super) async fn watch(
    context: &Arc<Context>,
    request: Request<wire::WatchIncidentsRequest>,
) -> Answer<Replies<wire::IncidentSummary>> {
    context
        .auth
        .authorize(&request, Method::WatchIncidents)
        .await?;
    let (replies, receiver) = mpsc::channel(WATCHED_MAX);
    let watch = Watch {
        severity_min: request.into_inner().severity_min,
        // From before the first listing on: a change between the two is sent twice rather than never.
        changed: context.correlator.watch(),
        context: Arc::clone(context),
        replies,
    };
    tokio::spawn(watch.run());
    Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
}

struct Watch {
    severity_min: i32,
    changed: broadcast::Receiver<IncidentId>,
    context: Arc<Context>,
    replies: mpsc::Sender<Result<wire::IncidentSummary, Status>>,
}

impl Watch {
    async fn run(mut self) {
        let replies = self.replies.clone();
        let stopping = self.context.stopping.clone();
        let end = tokio::select! {
            end = self.send() => end,
            () = replies.closed() => Ok(()),
            () = stopping.cancelled() => {
                Err(ErrorCode::Unavailable.status("the server is stopping"))
            }
        };
        if let Err(status) = end {
            // Whoever has gone already does not need to know.
            let _gone = replies.send(Err(status)).await;
        }
    }

    async fn send(&mut self) -> Result<(), Status> {
        self.list().await?;
        loop {
            match self.changed.recv().await {
                Ok(id) => match self.context.state.incident(id).await {
                    Ok(row) => self.reply(&row).await?,
                    // It is another one now, which has changed too, or is no more.
                    Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                },
                Err(broadcast::error::RecvError::Lagged(_)) => self.list().await?,
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            }
        }
    }

    async fn list(&mut self) -> Result<(), Status> {
        let mut query = IncidentQuery {
            severity_min: self.severity_min,
            limit: WATCH_PAGE,
            ..IncidentQuery::default()
        };
        loop {
            let rows = self.context.state.incidents(&query).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            query.after = Some((
                last.engine.severity,
                last.engine.last_event_time_ms,
                last.id,
            ));
            for row in &rows {
                self.reply(row).await?;
            }
        }
    }

    async fn reply(&self, row: &IncidentRow) -> Result<(), Status> {
        if row.engine.severity < self.severity_min {
            return Ok(());
        }
        let summary = draft::summary(row)?;
        let sent = self.replies.send(Ok(summary)).await;
        sent.map_err(|_| ErrorCode::Unavailable.status("the caller has gone"))
    }
}

/// `AssignIncident`.
pub(super) async fn assign(
    context: &Arc<Context>,
    request: Request<wire::AssignIncidentRequest>,
) -> Answer<wire::IncidentSummary> {
    let caller = context
        .auth
        .authorize(&request, Method::AssignIncident)
        .await?;
    let request = request.into_inner();
    let assignee = request.assignee;
    if !assignee.is_empty() {
        let analysts = context.state.analysts().await?;
        let known = analysts
            .iter()
            .any(|analyst| analyst.name == assignee && analyst.revoked_time_ms == 0);
        if !known {
            let why = format!("there is no analyst '{assignee}'");
            return Err(ErrorCode::NotFound.status(why));
        }
    }
    let work = Work {
        context,
        caller: &caller,
        method: Method::AssignIncident,
        detail: assignee.clone(),
        note: None,
    };
    let what = match assignee.as_str() {
        "" => "taken from its assignee".to_owned(),
        name => format!("assigned to {name}"),
    };
    work.on(&request.id, |analyst, now_ms| {
        Ok(incident::assign(analyst, &assignee, now_ms).map(|changed| (changed, what.clone())))
    })
    .await
}

/// `SetIncidentState`.
pub(super) async fn set_state(
    context: &Arc<Context>,
    request: Request<wire::SetIncidentStateRequest>,
) -> Answer<wire::IncidentSummary> {
    let caller = context
        .auth
        .authorize(&request, Method::SetIncidentState)
        .await?;
    let request = request.into_inner();
    let state = known::<IncidentState>("state", request.state)?;
    let work = Work {
        context,
        caller: &caller,
        method: Method::SetIncidentState,
        detail: state.word(),
        note: None,
    };
    work.on(&request.id, |analyst, now_ms| {
        let changed = incident::move_to(analyst, state, now_ms)
            .map_err(|error| ErrorCode::State.status(error.to_string()))?;
        let was = IncidentState::try_from(analyst.state)
            .unwrap_or_default()
            .word();
        Ok(changed.map(|changed| (changed, format!("{was} -> {}", state.word()))))
    })
    .await
}

/// `SetIncidentVerdict`.
pub(super) async fn set_verdict(
    context: &Arc<Context>,
    request: Request<wire::SetIncidentVerdictRequest>,
) -> Answer<wire::IncidentSummary> {
    let caller = context
        .auth
        .authorize(&request, Method::SetIncidentVerdict)
        .await?;
    let request = request.into_inner();
    let verdict = known::<Verdict>("verdict", request.verdict)?;
    let work = Work {
        context,
        caller: &caller,
        method: Method::SetIncidentVerdict,
        detail: verdict.word(),
        note: None,
    };
    work.on(&request.id, |analyst, now_ms| {
        let changed = incident::judge(analyst, verdict, now_ms);
        Ok(changed.map(|changed| (changed, format!("verdict {}", verdict.word()))))
    })
    .await
}

/// `AddIncidentNote`.
pub(super) async fn add_note(
    context: &Arc<Context>,
    request: Request<wire::AddIncidentNoteRequest>,
) -> Answer<wire::IncidentSummary> {
    let caller = context
        .auth
        .authorize(&request, Method::AddIncidentNote)
        .await?;
    let request = request.into_inner();
    if request.text.trim().is_empty() || request.text.len() > NOTE_BYTES_MAX {
        let why = format!("a note has 1 to {NOTE_BYTES_MAX} bytes of text");
        return Err(ErrorCode::Invalid.status(why));
    }
    let work = Work {
        context,
        caller: &caller,
        method: Method::AddIncidentNote,
        detail: format!("{} bytes", request.text.len()),
        note: Some(request.text),
    };
    work.on(&request.id, |analyst, now_ms| {
        Ok(Some((
            incident::touched(analyst, now_ms),
            "noted".to_owned(),
        )))
    })
    .await
}

/// A value of an enum that was really given.
fn known<T: Word + PartialEq>(field: &str, value: i32) -> Result<T, Status> {
    let value = T::try_from(value)
        .ok()
        .filter(|value| T::ALL.contains(value));
    value.ok_or_else(|| {
        let words = T::words().join(", ");
        ErrorCode::Invalid.status(format!("{field} must be one of: {words}"))
    })
}

/// What an analyst does to an incident.
struct Work<'a> {
    context: &'a Context,
    caller: &'a Caller,
    method: Method,
    /// For the audit log.
    detail: String,
    note: Option<String>,
}

impl Work<'_> {
    /// Does it. `change` answers the new state and what happened, or `None` where nothing changes.
    async fn on(
        &self,
        id: &str,
        change: impl Fn(&AnalystState, i64) -> Result<Option<(AnalystState, String)>, Status> + Send,
    ) -> Answer<wire::IncidentSummary> {
        let state = &self.context.state;
        for _ in 0..TRIES {
            let id = find(self.context, id).await?;
            let row = state.incident(id).await?;
            let now_ms = now_ms();
            let target = id.to_string();
            let Some((analyst, what)) = change(&row.analyst, now_ms)? else {
                let audit = &self.context.audit;
                audit
                    .allowed(self.caller, self.method, &target, &self.detail)
                    .await?;
                return Ok(Response::new(draft::summary(&row)?));
            };
            let entry = AuditEntry::allowed(self.caller, self.method, &target, &self.detail);
            let change = AnalystChange {
                id,
                version: row.version,
                analyst,
                activity: ActivityRow {
                    time_ms: now_ms,
                    actor: self.caller.analyst().to_owned(),
                    what,
                },
                note: self.note.clone(),
            };
            match state.change_incident(&change, &entry).await {
                Ok(()) => {
                    self.context.correlator.tell(id);
                    let row = state.incident(id).await?;
                    return Ok(Response::new(draft::summary(&row)?));
                }
                Err(CaseError::Changed) => {}
                Err(CaseError::Store(error)) => return Err(error.into()),
            }
        }
        Err(ErrorCode::Busy.status("the incident changes all the time: try again"))
    }
}
