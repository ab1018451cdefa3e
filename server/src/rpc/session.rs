//! `Session`: hello, then open for as long as the agent runs.

use std::sync::Arc;
use std::time::Duration;

use tocsin_proto::agent::v1 as wire;
use tocsin_proto::agent::v1::session_request::Message as Request_;
use tocsin_proto::agent::v1::session_response::Message as Reply;
use tocsin_proto::capability;
use tocsin_proto::event::check_health;
use tocsin_proto::id::EndpointId;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::auth::{Caller, Method};
use super::status::{ErrorCode, chain};
use super::{Context, Replies};
use crate::clock::now_ms;
use crate::session::{AdmitError, Applicant, CheckedHello, HelloError, OUTBOX_MAX, Session};

/// How long a connected agent may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// After how long the clock is asked for at the start, so that an interval is there soon.
const FIRST_PROBES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(700),
    Duration::from_millis(1500),
];

/// How long a refused copy of an endpoint stays away.
const CONFLICT_RETRY: Duration = Duration::from_secs(60);

/// How long one stays away whose other connection is just being admitted.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// Opens a session.
pub(crate) async fn session(
    context: &Arc<Context>,
    request: Request<Streaming<wire::SessionRequest>>,
) -> Result<Response<Replies<wire::SessionResponse>>, Status> {
    let caller = context.auth.authorize(&request, Method::Session).await?;
    let endpoint = caller
        .endpoint()
        .ok_or_else(|| ErrorCode::NotPermitted.status("only endpoints have sessions"))?;
    let (outbox, inbox) = mpsc::channel(OUTBOX_MAX);
    let context = context.clone();
    tokio::spawn(async move {
        let mut requests = request.into_inner();
        let opened = open(&context, &caller, endpoint, &mut requests, outbox).await;
        if let Some(session) = opened {
            keep(&context, &caller, &session, &mut requests).await;
            context.registry.close(&session);
        }
    });
    Ok(Response::new(Box::pin(ReceiverStream::new(inbox).map(Ok))))
}

/// From hello to welcome; a refusal is told and ends it.
async fn open(
    context: &Context,
    caller: &Caller,
    endpoint: EndpointId,
    requests: &mut Streaming<wire::SessionRequest>,
    outbox: mpsc::Sender<wire::SessionResponse>,
) -> Option<Arc<Session>> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, requests.message()).await;
    // Gone, or silent: there is nobody to tell.
    let first = first.ok()?.ok()??;
    let hello = match first.message {
        Some(Request_::Hello(hello)) => CheckedHello::try_from(hello),
        _ => Err(HelloError::Field { field: "hello" }),
    };
    let refused = match hello {
        Ok(hello) => {
            let mark = context.telemetry.mark(endpoint, hello.run).await;
            let committed = mark.unwrap_or_else(|error| {
                // A reuse of the run then shows in what is uploaded.
                tracing::error!(error = chain(&error), "the mark of a run cannot be read");
                0
            });
            let applicant = Applicant {
                peer: caller.peer.clone(),
                endpoint,
                hello,
                committed,
                outbox: outbox.clone(),
                welcome: welcome(context, endpoint),
                public_addresses: context.config.network.public(caller.peer.address.ip()),
                time_ms: now_ms(),
            };
            let timeout = context.config.session.conflict_probe_timeout;
            let admitted = context
                .registry
                .admit(applicant, timeout, context.state.as_ref())
                .await;
            match admitted {
                Ok(session) => return Some(session),
                Err(error) => refuse(context, caller, &error).await,
            }
        }
        Err(error) => wire::Refused {
            reason: match error {
                HelloError::Capability { .. } => wire::RefusedReason::Capability,
                HelloError::Field { .. } => wire::RefusedReason::Invalid,
            }
            .into(),
            detail: error.to_string(),
            retry_delay_ms: 0,
        },
    };
    tracing::warn!(%endpoint, peer = %caller.peer.address, refused.detail, "a session was refused");
    let message = Some(Reply::Refused(refused));
    // Whoever has left already does not learn it.
    outbox.send(wire::SessionResponse { message }).await.ok();
    None
}

fn welcome(context: &Context, endpoint: EndpointId) -> wire::Welcome {
    wire::Welcome {
        capability: capability::CURRENT,
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        endpoint_id: endpoint.to_string(),
        heartbeat_interval_ms: u32_millis(context.config.session.heartbeat),
    }
}

/// What a refused agent is told; that there is another copy of it is in the audit log before.
async fn refuse(context: &Context, caller: &Caller, error: &AdmitError) -> wire::Refused {
    let (reason, retry) = match error {
        AdmitError::Conflict => (wire::RefusedReason::Conflict, CONFLICT_RETRY),
        AdmitError::Reused => (wire::RefusedReason::RunReused, Duration::ZERO),
        AdmitError::Busy => (wire::RefusedReason::Busy, BUSY_RETRY),
        AdmitError::TooOften | AdmitError::Store(_) => (wire::RefusedReason::Busy, CONFLICT_RETRY),
    };
    if let AdmitError::Store(source) = error {
        tracing::error!(error = chain(source), "a conflict cannot be noted");
    }
    let why = match error {
        AdmitError::Conflict => Some("conflict"),
        AdmitError::Reused => Some("run reused"),
        AdmitError::Busy | AdmitError::TooOften | AdmitError::Store(_) => None,
    };
    if let Some(why) = why {
        let recorded = context.audit.refused(caller, Method::Session, why);
        if let Err(error) = recorded.await {
            tracing::error!(error = chain(&error), "a refusal is not in the audit log");
        }
    }
    wire::Refused {
        reason: reason.into(),
        detail: error.to_string(),
        retry_delay_ms: u32_millis(retry),
    }
}

fn u32_millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// Listens to the agent, and asks for its clock, until either side ends.
async fn keep(
    context: &Context,
    caller: &Caller,
    session: &Session,
    requests: &mut Streaming<wire::SessionRequest>,
) {
    let mut probes = FIRST_PROBES.into_iter();
    let every = context.config.session.clock_probe;
    let mut next = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = session.ended().cancelled() => return,
            () = caller.peer.cut.cancelled() => return,
            () = context.stopping.cancelled() => return,
            () = tokio::time::sleep_until(next) => {
                session.probe(now_ms());
                next += probes.next().map_or_else(|| spread(every), |wait| wait.min(every));
            }
            message = requests.message() => match message {
                Ok(Some(request)) => if !take(session, request) {
                    return;
                },
                Ok(None) => {
                    session.heard(now_ms());
                    return;
                }
                Err(error) => {
                    tracing::debug!(endpoint = %session.endpoint(), %error, "a session broke off");
                    return;
                }
            },
        }
    }
}

/// Between 90 and 110 percent, so that a fleet that connected at once is not probed at once for ever.
fn spread(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + rand::random::<f64>() / 5.0)
}

/// Takes a message; `false` ends the session.
fn take(session: &Session, request: wire::SessionRequest) -> bool {
    match request.message {
        Some(Request_::ClockReply(reply)) => {
            session.clock_reply(reply.probe_id, reply.agent_time_ms);
            true
        }
        Some(Request_::Heartbeat(heartbeat)) => {
            let health = heartbeat.health.unwrap_or_default();
            if let Err(error) = check_health(&health) {
                tracing::warn!(endpoint = %session.endpoint(), %error, "a heartbeat was refused");
                return false;
            }
            session.heartbeat(health, now_ms());
            true
        }
        Some(Request_::UpdateReport(report)) => {
            session.update(report, now_ms());
            true
        }
        Some(Request_::Hello(_)) => {
            tracing::warn!(endpoint = %session.endpoint(), "a second hello ends the session");
            false
        }
        // A message of a later version: it is heard, and nothing else.
        None => {
            session.heard(now_ms());
            true
        }
    }
}
