//! One open session.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tocsin_proto::agent::v1::{ClockProbe, SessionResponse, UpdateReport, session_response};
use tocsin_proto::console::v1::ClockSkew;
use tocsin_proto::id::{EndpointId, RunId};
use tocsin_proto::limits::{REASON_BYTES_MAX, TEXT_BYTES_MAX};
use tocsin_proto::telemetry::v1::Health;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Applicant;
use super::clock_skew::ClockSkewEstimate;
use crate::clock::millis;
use crate::listener::Peer;
use crate::network::PublicAddress;
use crate::store::trust::{HelloFacts, PresenceChange, PresenceRow};

/// Probes that wait for their reply; an agent that answers none of them gets no more.
const PROBES_MAX: usize = 4;

/// How long a session's facts may be newer in memory than in the store.
const WRITE_INTERVAL: Duration = Duration::from_secs(60);

fn cut(text: &mut String, bytes_max: usize) {
    text.truncate(text.floor_char_boundary(bytes_max));
}

/// What is known of a connected endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// Its run.
    pub(crate) run: RunId,
    /// Where it connects from.
    pub(crate) address: String,
    /// When it was last heard.
    pub(crate) seen_time_ms: i64,
    /// What it says about itself.
    pub(crate) facts: HelloFacts,
    /// Where measured in this session.
    pub(crate) clock_skew: Option<ClockSkew>,
    /// Where reported in this session.
    pub(crate) health: Option<(i64, Health)>,
    /// What it last said of an update in this session.
    pub(crate) update: Option<UpdateReport>,
}

/// An open session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) endpoint: EndpointId,
    pub(super) run: RunId,
    pub(super) peer: Peer,
    /// Cancelled when it ends.
    pub(super) ended: CancellationToken,
    connected_time_ms: i64,
    public_addresses: Vec<PublicAddress>,
    outbox: mpsc::Sender<SessionResponse>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    facts: HelloFacts,
    seen_time_ms: i64,
    health: Option<(i64, Health)>,
    update: Option<UpdateReport>,
    skew: ClockSkewEstimate,
    skew_time_ms: i64,
    probe_id: u64,
    probes: Vec<Probe>,
    /// When the store was told last; `None` = it knows nothing of this session.
    written_time_ms: Option<i64>,
    /// It was told how far the clock is off.
    skew_is_written: bool,
}

#[derive(Debug)]
struct Probe {
    id: u64,
    sent: Instant,
    sent_ms: i64,
    answered: Option<oneshot::Sender<()>>,
}

impl Session {
    pub(super) fn new(applicant: Applicant) -> Self {
        Self {
            endpoint: applicant.endpoint,
            run: applicant.hello.run,
            peer: applicant.peer,
            ended: CancellationToken::new(),
            connected_time_ms: applicant.time_ms,
            public_addresses: applicant.public_addresses,
            outbox: applicant.outbox,
            state: Mutex::new(State {
                facts: applicant.hello.facts,
                seen_time_ms: applicant.time_ms,
                health: None,
                update: None,
                skew: ClockSkewEstimate::default(),
                skew_time_ms: 0,
                probe_id: 0,
                probes: Vec::new(),
                written_time_ms: None,
                skew_is_written: false,
            }),
        }
    }

    /// Whose it is.
    pub(crate) fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// Cancelled when it ends.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Queues a message for the agent; `false` where its queue is full or closed.
    pub(crate) fn send(&self, message: session_response::Message) -> bool {
        let message = Some(message);
        self.outbox.try_send(SessionResponse { message }).is_ok()
    }

    /// Asks for the endpoint's clock.
    pub(crate) fn probe(&self, now_ms: i64) {
        self.send_probe(now_ms, None);
    }

    /// Whether the agent answers a probe within this time. The end of the session is a no.
    pub(super) async fn answers(&self, timeout: Duration) -> bool {
        let (answered, answer) = oneshot::channel();
        self.send_probe(crate::clock::now_ms(), Some(answered));
        tokio::select! {
            () = self.ended.cancelled() => false,
            answer = tokio::time::timeout(timeout, answer) => matches!(answer, Ok(Ok(()))),
        }
    }

    fn send_probe(&self, now_ms: i64, answered: Option<oneshot::Sender<()>>) {
        let mut state = self.state();
        state.probe_id += 1;
        let id = state.probe_id;
        let probe = session_response::Message::ClockProbe(ClockProbe { probe_id: id });
        if !self.send(probe) {
            return;
        }
        if state.probes.len() >= PROBES_MAX {
            state.probes.remove(0);
        }
        state.probes.push(Probe {
            id,
            sent: Instant::now(),
            sent_ms: now_ms,
            answered,
        });
    }

    /// Takes a reply; one to no probe of ours says nothing.
    pub(crate) fn clock_reply(&self, probe_id: u64, agent_time_ms: i64) {
        let mut state = self.state();
        let Some(at) = state.probes.iter().position(|probe| probe.id == probe_id) else {
            return;
        };
        let probe = state.probes.remove(at);
        let received_ms = probe.sent_ms.saturating_add(millis(probe.sent.elapsed()));
        state.skew.record(probe.sent_ms, received_ms, agent_time_ms);
        state.skew_time_ms = received_ms;
        state.seen_time_ms = state.seen_time_ms.max(received_ms);
        if let Some(answered) = probe.answered {
            // Whoever asked may have stopped waiting.
            answered.send(()).ok();
        }
    }

    /// Takes a report that has been checked.
    pub(crate) fn heartbeat(&self, health: Health, now_ms: i64) {
        let mut state = self.state();
        state.health = Some((now_ms, health));
        state.seen_time_ms = state.seen_time_ms.max(now_ms);
    }

    /// Takes what the agent says of an update, cut to its limits.
    pub(crate) fn update(&self, mut report: UpdateReport, now_ms: i64) {
        cut(&mut report.version, TEXT_BYTES_MAX);
        cut(&mut report.running_version, TEXT_BYTES_MAX);
        cut(&mut report.detail, REASON_BYTES_MAX);
        let mut state = self.state();
        state.update = Some(report);
        state.seen_time_ms = state.seen_time_ms.max(now_ms);
    }

    /// Notes that the agent was heard.
    pub(crate) fn heard(&self, now_ms: i64) {
        let mut state = self.state();
        state.seen_time_ms = state.seen_time_ms.max(now_ms);
    }

    /// What is known now.
    pub(super) fn live(&self) -> Live {
        let state = self.state();
        Live {
            run: self.run,
            address: self.address(),
            seen_time_ms: state.seen_time_ms,
            facts: state.facts.clone(),
            clock_skew: state.clock_skew(),
            health: state.health.clone(),
            update: state.update.clone(),
        }
    }

    /// What the store should learn now, where it is time.
    pub(super) fn change(&self, now_ms: i64) -> Option<PresenceChange> {
        let mut state = self.state();
        // A first measurement is told at once: nothing that the endpoint sees before it can be compared with others' times.
        let is_measured = !state.skew_is_written && state.clock_skew().is_some();
        let due = state
            .written_time_ms
            .is_none_or(|written| now_ms - written >= millis(WRITE_INTERVAL));
        (due || is_measured).then(|| self.take_change(&mut state, now_ms, false))
    }

    /// What the store should learn now, whether it is time or not.
    pub(super) fn change_now(&self, now_ms: i64) -> PresenceChange {
        self.take_change(&mut self.state(), now_ms, false)
    }

    /// What the store should learn at the end.
    pub(super) fn last_change(&self) -> PresenceChange {
        let mut state = self.state();
        let seen = state.seen_time_ms;
        self.take_change(&mut state, seen, true)
    }

    fn take_change(&self, state: &mut State, now_ms: i64, ended: bool) -> PresenceChange {
        let former = state.written_time_ms.replace(now_ms);
        state.skew_is_written |= state.clock_skew().is_some();
        let is_new = |time_ms| former.is_none_or(|former| time_ms >= former);
        PresenceChange {
            endpoint: self.endpoint,
            presence: PresenceRow {
                run: self.run,
                address: self.address(),
                connected_time_ms: self.connected_time_ms,
                seen_time_ms: state.seen_time_ms,
                ended,
            },
            hello: former.is_none().then(|| state.facts.clone()),
            public_addresses: self.public_addresses.clone(),
            clock_skew: state
                .clock_skew()
                .filter(|skew| is_new(skew.measured_time_ms)),
            health: state.health.clone().filter(|(time, _)| is_new(*time)),
        }
    }

    fn address(&self) -> String {
        self.peer.address.ip().to_string()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn clock_skew(&self) -> Option<ClockSkew> {
        let (min_ms, max_ms) = self.skew.interval()?;
        Some(ClockSkew {
            min_ms,
            max_ms,
            measured_time_ms: self.skew_time_ms,
        })
    }
}
