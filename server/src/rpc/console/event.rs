//! `SearchEvents`, and what stored events look like to a console.

use std::sync::Arc;

use prost::Message;
use tocsin_proto::console::v1 as wire;
use tocsin_proto::event::{EventKind, parent_key, process_key};
use tocsin_proto::id::{BootId, EventId};
use tocsin_proto::telemetry::v1 as telemetry;
use tocsin_proto::telemetry::v1::event::Body;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Answer, Context};
use crate::rpc::Replies;
use crate::rpc::auth::Method;
use crate::rpc::status::ErrorCode;
use crate::search::{Filter, Found, Search, Text, find, search as search_events};

mod access;
mod file;
mod network;

/// Bytes of one reply: below the limit of a message, whatever one event adds.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// Chunks of the answer that are ready before they are sent.
const CHUNKS_MAX: usize = 2;

/// Bytes of a text to search for.
const TEXT_BYTES_MAX: usize = 4096;

/// Searches at once; more wait.
pub(crate) const SEARCHES_MAX: usize = 4;

/// `SearchEvents`.
pub(super) async fn search(
    context: &Arc<Context>,
    request: Request<wire::SearchEventsRequest>,
) -> Answer<Replies<wire::SearchEventsResponse>> {
    context
        .auth
        .authorize(&request, Method::SearchEvents)
        .await?;
    let request = request.into_inner();
    let (replies, receiver) = mpsc::channel(CHUNKS_MAX);
    let search = match understand(context, &request).await? {
        Wanted::Search(search) => search,
        Wanted::One(id) => {
            if let Some(row) = by_id(context, id).await? {
                let reply = wire::SearchEventsResponse { events: vec![row] };
                // The receiver is here, and the channel has room for it.
                let _sent = replies.send(Ok(reply)).await;
            }
            return Ok(Response::new(Box::pin(ReceiverStream::new(receiver))));
        }
    };
    tokio::spawn(answer(Arc::clone(context), search, replies));
    Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
}

/// What a request means.
enum Wanted {
    Search(Search),
    /// The text is the id of an event, and nothing else was asked for.
    One(EventId),
}

async fn understand(
    context: &Context,
    request: &wire::SearchEventsRequest,
) -> Result<Wanted, Status> {
    if request.text.len() > TEXT_BYTES_MAX || request.user.len() > TEXT_BYTES_MAX {
        let text = format!("text and user may have at most {TEXT_BYTES_MAX} bytes");
        return Err(ErrorCode::Invalid.status(text));
    }
    if let Ok(id) = request.text.parse() {
        return Ok(Wanted::One(id));
    }
    let kinds = match request.kind.as_str() {
        "" => 0,
        word => EventKind::from_word(word)
            .map(EventKind::bit)
            .ok_or_else(|| {
                let words: Vec<_> = EventKind::ALL.iter().map(|kind| kind.word()).collect();
                let words = words.join(", ");
                ErrorCode::Invalid.status(format!("there is no kind '{word}'; kinds: {words}"))
            })?,
    };
    let endpoint = match request.endpoint.as_str() {
        "" => None,
        text => Some(context.state.find_endpoint(text).await?),
    };
    let until_time_ms = match request.until_time_ms {
        0 => i64::MAX,
        until => until,
    };
    Ok(Wanted::Search(Search {
        filter: Filter {
            since_time_ms: request.since_time_ms,
            until_time_ms,
            kinds,
            user: (!request.user.is_empty()).then(|| request.user.clone()),
            text: Text::new(&request.text),
        },
        endpoint,
        ascending: request.ascending,
        limit: request.limit,
    }))
}

/// Looks one event up.
async fn by_id(context: &Context, id: EventId) -> Result<Option<wire::EventRow>, Status> {
    let Some(batch) = context.telemetry.batch_of(id).await? else {
        return Ok(None);
    };
    let payloads = context.telemetry.payloads(&[batch.number]).await?;
    let found = payloads
        .into_iter()
        .find_map(|(_, payload)| find(&batch, payload, id.sequence.0));
    Ok(found.as_ref().and_then(row))
}

/// Streams an answer until its end or until nobody reads it.
async fn answer(
    context: Arc<Context>,
    search: Search,
    replies: mpsc::Sender<Result<wire::SearchEventsResponse, Status>>,
) {
    let Ok(_turn) = context.searches.acquire().await else {
        return;
    };
    let (chunks, mut found) = mpsc::channel(CHUNKS_MAX);
    let work = search_events(Arc::clone(&context.telemetry), search, chunks);
    let send = async {
        while let Some(chunk) = found.recv().await {
            for reply in pack(&chunk) {
                if replies.send(Ok(reply)).await.is_err() {
                    found.close();
                    return;
                }
            }
        }
    };
    let all = async { tokio::join!(work, send).0 };
    let end = tokio::select! {
        end = all => end.map_err(Status::from),
        () = context.stopping.cancelled() => {
            Err(ErrorCode::Unavailable.status("the server is stopping"))
        }
    };
    if let Err(status) = end {
        // Whoever has gone already does not need to know.
        let _gone = replies.send(Err(status)).await;
    }
}

/// Replies of bounded size.
fn pack(found: &[Found]) -> Vec<wire::SearchEventsResponse> {
    let mut replies = Vec::new();
    let mut reply = wire::SearchEventsResponse::default();
    let mut bytes = 0;
    for row in found.iter().filter_map(row) {
        bytes += row.encoded_len();
        reply.events.push(row);
        if bytes >= REPLY_BYTES_MAX {
            replies.push(std::mem::take(&mut reply));
            bytes = 0;
        }
    }
    if !reply.events.is_empty() {
        replies.push(reply);
    }
    replies
}

/// A stored event as a console sees it. `None` where it is damaged, or of a kind this build does not know.
fn row(found: &Found) -> Option<wire::EventRow> {
    let mut row = wire::EventRow {
        id: found.id().to_string(),
        endpoint: found.source.endpoint.to_string(),
        run: found.source.run.to_string(),
        sequence: found.sequence,
        event_time_ms: found.event_time_ms,
        receive_time_ms: found.source.receive_time_ms,
        ..wire::EventRow::default()
    };
    let (kind, activity) = match found.event()?.body? {
        Body::Process(body) => {
            let activity = activity_word(body.activity);
            row.process = Some(process(found.source.boot, body));
            (EventKind::Process, activity)
        }
        Body::Gap(body) => {
            row.gap = Some(gap(body));
            (EventKind::Gap, "lost")
        }
        Body::Health(body) => {
            row.health = Some(health(body));
            (EventKind::Health, "report")
        }
        Body::Login(body) => {
            let activity = access::login_word(body.activity);
            row.login = Some(access::login(body));
            (EventKind::Login, activity)
        }
        Body::Session(body) => {
            let activity = access::session_word(body.activity);
            row.session = Some(access::session(body));
            (EventKind::Session, activity)
        }
        Body::Network(body) => {
            let activity = network::network_word(body.activity);
            row.network = Some(network::network(found.source.boot, body));
            (EventKind::Network, activity)
        }
        Body::File(body) => {
            let activity = file::file_word(body.activity);
            row.file = Some(file::file(found.source.boot, body));
            (EventKind::File, activity)
        }
    };
    row.kind = kind.word().to_owned();
    row.activity = activity.to_owned();
    Some(row)
}

fn activity_word(activity: i32) -> &'static str {
    use telemetry::ProcessActivity;
    match ProcessActivity::try_from(activity) {
        Ok(ProcessActivity::Start) => "start",
        Ok(ProcessActivity::Exit) => "exit",
        Ok(ProcessActivity::Exec) => "exec",
        Ok(ProcessActivity::Observed) => "observed",
        Ok(ProcessActivity::Unspecified) | Err(_) => "",
    }
}

/// How complete argv is, as a word.
pub(super) fn argv_state_word(state: i32) -> &'static str {
    use telemetry::ArgvState;
    match ArgvState::try_from(state) {
        Ok(ArgvState::Read) => "read",
        Ok(ArgvState::Unread) => "unread",
        Ok(ArgvState::Truncated) => "truncated",
        Ok(ArgvState::Inherited) => "inherited",
        Ok(ArgvState::Unspecified) | Err(_) => "",
    }
}

fn process(boot: BootId, body: telemetry::Process) -> wire::ProcessEvent {
    let key = process_key(boot, &body).to_string();
    let parent_key = parent_key(boot, &body);
    let is_exit = body.activity == i32::from(telemetry::ProcessActivity::Exit);
    let user = body.user.unwrap_or_default();
    let parent = body.parent.zip(parent_key);
    wire::ProcessEvent {
        pid: body.pid,
        key,
        argv: body.argv,
        argv_state: argv_state_word(body.argv_state).to_owned(),
        executable: body.executable,
        executable_sha256: data_encoding::HEXLOWER.encode(&body.executable_sha256),
        user: user.name,
        uid: user.uid,
        start_time_ms: body.start_time_ms,
        parent: parent.map(|(parent, key)| wire::ParentProcessRef {
            pid: parent.pid,
            key: key.to_string(),
            executable: parent.executable,
        }),
        exit_code: body.exit_code,
        exit_signal: is_exit.then_some(body.exit_signal),
        login_uid: body.login_uid,
        audit_session: body.audit_session,
    }
}

fn gap(body: telemetry::Gap) -> wire::GapEvent {
    use tocsin_proto::id::RunId;
    wire::GapEvent {
        place: place_word(body.place).to_owned(),
        reason: reason_word(body.reason).to_owned(),
        component: body.component,
        lost: body.lost,
        from_time_ms: body.from_time_ms,
        until_time_ms: body.until_time_ms,
        run: RunId::from_wire(&body.run_id)
            .map(|run| run.to_string())
            .unwrap_or_default(),
        first_sequence: body.first_sequence,
        last_sequence: body.last_sequence,
    }
}

/// Where events were lost, as a word.
pub(crate) fn place_word(place: i32) -> &'static str {
    use telemetry::GapPlace;
    match GapPlace::try_from(place) {
        Ok(GapPlace::Sensor) => "sensor",
        Ok(GapPlace::Queue) => "queue",
        Ok(GapPlace::Spool) => "spool",
        Ok(GapPlace::Ingest) => "ingest",
        Ok(GapPlace::Unspecified) | Err(_) => "",
    }
}

/// Why they were lost, as a word.
pub(crate) fn reason_word(reason: i32) -> &'static str {
    use telemetry::GapReason;
    match GapReason::try_from(reason) {
        Ok(GapReason::Overflow) => "overflow",
        Ok(GapReason::SensorStopped) => "sensor_stopped",
        Ok(GapReason::Damaged) => "damaged",
        Ok(GapReason::Invalid) => "invalid",
        Ok(GapReason::Quota) => "quota",
        Ok(GapReason::AgentStopped) => "agent_stopped",
        Ok(GapReason::Unspecified) | Err(_) => "",
    }
}

/// State of a sensor, as a word.
pub(crate) fn sensor_word(state: i32) -> &'static str {
    use telemetry::SensorState;
    match SensorState::try_from(state) {
        Ok(SensorState::Starting) => "starting",
        Ok(SensorState::Running) => "running",
        Ok(SensorState::Failed) => "failed",
        Ok(SensorState::Unavailable) => "unavailable",
        Ok(SensorState::Unspecified) | Err(_) => "",
    }
}

fn health(body: telemetry::Health) -> wire::HealthEvent {
    let sensor = |sensor: telemetry::SensorHealth| wire::SensorSummary {
        name: sensor.name,
        state: sensor_word(sensor.state).to_owned(),
        detail: sensor.detail,
        observed: sensor.observed,
        lost: sensor.lost,
    };
    wire::HealthEvent {
        sensors: body.sensors.into_iter().map(sensor).collect(),
        spool_bytes: body.spool_bytes,
        spool_events: body.spool_events,
        dropped_events: body.dropped_events,
        resident_bytes: body.resident_bytes,
        cpu_ms: body.cpu_ms,
    }
}
