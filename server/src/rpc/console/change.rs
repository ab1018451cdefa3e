//! `WatchChanges`: which lists are worth asking for again, so that a console that shows them asks for nothing while
//! nothing moves.
//!
//! Every [`LOOK_EVERY`] it compares a few numbers that are cheap to have, whoever may have changed what is behind
//! them: a session, a result of the correlation, another process that wrote to the database. What it says may be too
//! much, never too little. It sends only where something has changed.

use std::sync::Arc;
use std::time::Duration;

use tocsin_proto::console::v1 as wire;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Answer, Context, connection};
use crate::role::Role;
use crate::rpc::Replies;
use crate::rpc::auth::{Method, Who};
use crate::rpc::status::ErrorCode;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Messages that wait for a console.
const REPLIES_MAX: usize = 2;

/// `WatchChanges`.
pub(super) async fn watch(
    context: &Arc<Context>,
    request: Request<wire::WatchChangesRequest>,
) -> Answer<Replies<wire::Changes>> {
    let caller = context
        .auth
        .authorize(&request, Method::WatchChanges)
        .await?;
    let reads_audit = matches!(caller.who, Who::Analyst { role, .. } if role >= Role::Analyst);
    let (replies, receiver) = mpsc::channel(REPLIES_MAX);
    let context = Arc::clone(context);
    tokio::spawn(async move {
        let end = tokio::select! {
            end = tell(&context, reads_audit, &replies) => end,
            () = replies.closed() => Ok(()),
            () = context.stopping.cancelled() => {
                Err(ErrorCode::Unavailable.status("the server is stopping"))
            }
        };
        if let Err(status) = end {
            // Whoever has gone already does not need to know.
            let _gone = replies.send(Err(status)).await;
        }
    });
    Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
}

async fn tell(
    context: &Context,
    reads_audit: bool,
    replies: &mpsc::Sender<Result<wire::Changes, Status>>,
) -> Result<(), Status> {
    let mut seen = Seen::default();
    let mut told = wire::Changes::default();
    loop {
        seen.look(context).await?;
        let mut changes = seen.changes;
        if !reads_audit {
            changes.audit = 0;
        }
        if changes != told {
            told = changes;
            let sent = replies.send(Ok(changes)).await;
            sent.map_err(|_| ErrorCode::Unavailable.status("the caller has gone"))?;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What was seen last.
#[derive(Default)]
struct Seen {
    changes: wire::Changes,
    audit: Option<u64>,
    sessions: u64,
    results: u64,
    feeds: Vec<wire::Feed>,
    terminals: Vec<wire::Terminal>,
    batch: i64,
}

impl Seen {
    async fn look(&mut self, context: &Context) -> Result<(), Status> {
        let changes = &mut self.changes;
        // Whoever changes endpoints or people by hand is in the audit log, from other processes too.
        let audit = context.state.last_audit().await?;
        let is_by_hand = replace(&mut self.audit, Some(audit));
        let sessions = replace(&mut self.sessions, context.registry.revision());
        if sessions || is_by_hand {
            changes.endpoints += 1;
            changes.endpoint_counts = Some(counts(context).await?);
        }
        let results = replace(&mut self.results, context.correlator.results());
        changes.identities += u64::from(results || is_by_hand);
        let feeds = connection::settled(context).await?;
        changes.feeds += u64::from(replace(&mut self.feeds, feeds));
        let terminals = context.terminals.list();
        changes.terminals += u64::from(replace(&mut self.terminals, terminals));
        let batch = context.telemetry.last_number().await?;
        changes.events += u64::from(replace(&mut self.batch, batch));
        changes.audit = audit;
        Ok(())
    }
}

/// Puts the new in the old one's place; whether it is another.
fn replace<T: PartialEq>(old: &mut T, new: T) -> bool {
    let is_other = *old != new;
    *old = new;
    is_other
}

/// As a listing says it: revoked before in conflict before online.
async fn counts(context: &Context) -> Result<wire::EndpointCounts, Status> {
    let totals = context.state.endpoint_totals().await?;
    let conflict = totals.in_conflict.len() as u64;
    let online = context.registry.connected_but(&totals.in_conflict);
    let others = totals.revoked + conflict + online;
    Ok(wire::EndpointCounts {
        online,
        offline: totals.all.saturating_sub(others),
        conflict,
        revoked: totals.revoked,
    })
}
