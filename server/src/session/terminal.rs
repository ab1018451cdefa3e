//! Terminals that analysts have open at endpoints: who may send how much, what is known of each, and its end.
//!
//! ```text
//! analyst's call --input, size, end--> [queue] --> endpoint's call     each byte within the credit that the
//! analyst's call <--output, report---- [queue] <-- endpoint's call     reading end gave: nothing here grows
//!                                        |
//!                                        +--> watchers: the last of it, then live; one that is slow misses some
//! ```
//!
//! A terminal is made here and nowhere else: its id is random, the endpoint it is asked of is fixed, and only that
//! endpoint can take its other end, once. It lives as long as both calls do; whoever ends it gives the first reason, and
//! that one stays. This module knows values and queues; `rpc` carries them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tocsin_proto::agent::v1 as agent;
use tocsin_proto::agent::v1::terminal_response::Message as Down;
use tocsin_proto::console::v1 as wire;
use tocsin_proto::id::{EndpointId, TerminalId};
use tocsin_proto::limits::{
    TERMINAL_CHUNK_BYTES_MAX, TERMINAL_INPUT_WINDOW_BYTES, TERMINAL_OUTPUT_WINDOW_BYTES,
    TERMINAL_PROCESSES_NAMED_MAX, TEXT_BYTES_MAX,
};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use crate::recording::{Happening, Recorder};

mod watch;

pub(crate) use watch::{Seen, Watcher};

/// Terminals at once: of the server, of one endpoint, of one analyst.
const TERMINALS_MAX: usize = 256;
/// See [`TERMINALS_MAX`]. The endpoint has a limit of its own, which may be lower.
const OF_ENDPOINT_MAX: usize = 16;
/// See [`TERMINALS_MAX`].
const OF_ANALYST_MAX: usize = 16;

/// Watchers of one terminal.
const WATCHERS_MAX: u32 = 16;

/// Messages that wait between the two calls. Their bytes are bounded by the windows.
const QUEUE_MAX: usize = 64;

/// Pieces of output that wait for the slowest watcher; then it misses some.
const WATCHED_MAX: usize = 32;

/// Bytes of output that a new watcher sees of what was before.
const BACKLOG_BYTES_MAX: usize = 64 << 10;

/// Fewest characters by which a terminal can be named.
const PREFIX_CHARS_MIN: usize = 4;

/// Why a terminal is not made or found, in words for the analyst.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TerminalError {
    /// Of the server.
    #[error("{TERMINALS_MAX} terminals are open at this server, as many as may be")]
    TooMany,
    /// Of the endpoint.
    #[error("{OF_ENDPOINT_MAX} terminals are open at this endpoint, as many as may be")]
    TooManyOfEndpoint,
    /// Of the analyst.
    #[error("you have {OF_ANALYST_MAX} terminals open, as many as may be")]
    TooManyOfAnalyst,
    /// Of the terminal.
    #[error("{WATCHERS_MAX} analysts watch this terminal, as many as may")]
    TooManyWatchers,
    /// No open one is named so.
    #[error("no open terminal has an id that begins with '{0}'")]
    NotFound(String),
    /// More than one is.
    #[error("'{0}' begins the ids of several terminals, or is too short")]
    Ambiguous(String),
}

/// A peer that sends what it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    /// More bytes than the other end has given credit for.
    #[error("more was sent than there was credit for")]
    Credit,
    /// A piece over its limit, or an empty one.
    #[error("a piece is empty or too large")]
    Piece,
    /// Something that cannot come there.
    #[error("a message came that makes no sense there")]
    Order,
}

/// What an endpoint's call brings.
#[derive(Debug)]
pub(crate) enum FromEndpoint {
    /// It is open.
    Started(agent::TerminalStarted),
    /// It will not be, and why.
    Refused(String),
    /// Printed.
    Output(Vec<u8>),
    /// Taken of the input.
    InputCredit(u32),
    /// It has ended.
    Report(agent::TerminalReport),
}

/// What watchers see.
#[derive(Debug, Clone)]
pub(crate) enum Shown {
    /// Output, and how much was before it.
    Output(u64, Arc<[u8]>),
    /// Another size.
    Size(wire::TerminalSize),
}

/// What is known when a terminal is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Where.
    pub(crate) endpoint: EndpointId,
    /// As the endpoint calls itself.
    pub(crate) hostname: String,
    /// Who.
    pub(crate) analyst: String,
    /// Why.
    pub(crate) reason: String,
    /// For which incident; empty for none.
    pub(crate) incident: String,
    /// How large.
    pub(crate) size: wire::TerminalSize,
    /// Now.
    pub(crate) time_ms: i64,
}

/// All open terminals.
#[derive(Debug, Default)]
pub(crate) struct Terminals {
    open: Mutex<HashMap<TerminalId, Arc<Terminal>>>,
}

/// One terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    id: TerminalId,
    endpoint: EndpointId,
    /// Its end was asked for.
    asked: CancellationToken,
    /// It has ended and that is in the audit log.
    ended: CancellationToken,
    watched: broadcast::Sender<Shown>,
    /// Set before the endpoint is asked for the terminal.
    recorder: OnceLock<Recorder>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    row: wire::Terminal,
    /// For the endpoint's call, until that has come.
    far: Option<Far>,
    output_credit: u32,
    input_credit: u32,
    input_ended: bool,
    /// Input of which the endpoint has not said how it was taken: at most a window.
    untaken: VecDeque<u8>,
    backlog: VecDeque<u8>,
    /// Why it was asked to end: the first reason.
    why: Option<(wire::TerminalEnd, String)>,
}

/// The ends of the queues that the endpoint's call takes.
#[derive(Debug)]
pub(crate) struct Far {
    /// To the analyst's call.
    pub(crate) up: mpsc::Sender<FromEndpoint>,
    /// From the analyst's call.
    pub(crate) down: mpsc::Receiver<Down>,
}

/// The ends that the analyst's call keeps. Dropped, the terminal is no longer open.
#[derive(Debug)]
pub(crate) struct Near {
    /// Which.
    pub(crate) terminal: Arc<Terminal>,
    /// From the endpoint's call.
    pub(crate) up: mpsc::Receiver<FromEndpoint>,
    /// To the endpoint's call.
    pub(crate) down: mpsc::Sender<Down>,
    of: Arc<Terminals>,
}

impl Drop for Near {
    fn drop(&mut self) {
        self.of.open().remove(&self.terminal.id);
        self.terminal.ended.cancel();
    }
}

impl Terminals {
    /// Makes one, within the limits.
    pub(crate) fn add(self: &Arc<Self>, facts: Facts) -> Result<Near, TerminalError> {
        let id = TerminalId::from_random(rand::random());
        let (to_near, up) = mpsc::channel(QUEUE_MAX);
        let (down, from_near) = mpsc::channel(QUEUE_MAX);
        let far = Far {
            up: to_near,
            down: from_near,
        };
        let mut open = self.open();
        let count = |which: &dyn Fn(&Terminal) -> bool| open.values().filter(|t| which(t)).count();
        if open.len() >= TERMINALS_MAX {
            return Err(TerminalError::TooMany);
        }
        if count(&|terminal| terminal.endpoint == facts.endpoint) >= OF_ENDPOINT_MAX {
            return Err(TerminalError::TooManyOfEndpoint);
        }
        if count(&|terminal| terminal.state().row.analyst == facts.analyst) >= OF_ANALYST_MAX {
            return Err(TerminalError::TooManyOfAnalyst);
        }
        let terminal = Arc::new(Terminal::new(id, facts, far));
        open.insert(id, terminal.clone());
        drop(open);
        Ok(Near {
            terminal,
            up,
            down,
            of: self.clone(),
        })
    }

    /// The other end of one, for the endpoint that it was asked of; `None` for any other, and the second time.
    pub(crate) fn take(
        &self,
        endpoint: EndpointId,
        id: TerminalId,
    ) -> Option<(Arc<Terminal>, Far)> {
        let terminal = self.open().get(&id).cloned()?;
        if terminal.endpoint != endpoint {
            return None;
        }
        let far = terminal.state().far.take()?;
        Some((terminal, far))
    }

    /// All of them, newest first.
    pub(crate) fn list(&self) -> Vec<wire::Terminal> {
        let mut rows: Vec<_> = self
            .open()
            .values()
            .map(|terminal| terminal.row())
            .collect();
        rows.sort_by(|a, b| (b.open_time_ms, &b.id).cmp(&(a.open_time_ms, &a.id)));
        rows
    }

    /// The one whose id is, or begins with, this text.
    pub(crate) fn find(&self, text: &str) -> Result<Arc<Terminal>, TerminalError> {
        let shown = || text.chars().take(64).collect::<String>();
        if text.chars().count() < PREFIX_CHARS_MIN {
            return Err(TerminalError::Ambiguous(shown()));
        }
        let open = self.open();
        let mut found = open
            .iter()
            .filter(|(id, _)| id.to_string().starts_with(text))
            .map(|(_, terminal)| terminal);
        match (found.next(), found.next()) {
            (Some(terminal), None) => Ok(terminal.clone()),
            (None, _) => Err(TerminalError::NotFound(shown())),
            (Some(_), Some(_)) => Err(TerminalError::Ambiguous(shown())),
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<TerminalId, Arc<Terminal>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Terminal {
    fn new(id: TerminalId, facts: Facts, far: Far) -> Self {
        let row = wire::Terminal {
            id: id.to_string(),
            endpoint: facts.endpoint.to_string(),
            hostname: facts.hostname,
            analyst: facts.analyst,
            reason: facts.reason,
            incident: facts.incident,
            state: wire::TerminalState::Opening.into(),
            open_time_ms: facts.time_ms,
            columns: facts.size.columns,
            rows: facts.size.rows,
            ..wire::Terminal::default()
        };
        Self {
            id,
            endpoint: facts.endpoint,
            asked: CancellationToken::new(),
            ended: CancellationToken::new(),
            watched: broadcast::channel(WATCHED_MAX).0,
            recorder: OnceLock::new(),
            state: Mutex::new(State {
                row,
                far: Some(far),
                output_credit: TERMINAL_OUTPUT_WINDOW_BYTES,
                input_credit: TERMINAL_INPUT_WINDOW_BYTES,
                input_ended: false,
                untaken: VecDeque::new(),
                backlog: VecDeque::new(),
                why: None,
            }),
        }
    }

    /// Which.
    pub(crate) fn id(&self) -> TerminalId {
        self.id
    }

    /// At which endpoint.
    pub(crate) fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// Cancelled when its end was asked for.
    pub(crate) fn asked(&self) -> &CancellationToken {
        &self.asked
    }

    /// Cancelled when it has ended.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// What is known of it.
    pub(crate) fn row(&self) -> wire::Terminal {
        self.state().row.clone()
    }

    /// Asks for its end. The first reason stays.
    pub(crate) fn ask_end(&self, end: wire::TerminalEnd, detail: &str) {
        let mut state = self.state();
        state.why.get_or_insert_with(|| (end, detail.to_owned()));
        state.row.state = wire::TerminalState::Ending.into();
        drop(state);
        self.asked.cancel();
    }

    /// The endpoint has opened it.
    pub(crate) fn started(&self, started: &agent::TerminalStarted) -> wire::Terminal {
        let mut state = self.state();
        let row = &mut state.row;
        if row.state() == wire::TerminalState::Opening {
            row.state = wire::TerminalState::Open.into();
        }
        row.user = bounded(&started.user);
        row.uid = bounded(&started.uid);
        row.shell = bounded(&started.shell);
        row.pid = started.pid;
        row.clone()
    }

    /// The endpoint sends output: it must have the credit.
    pub(crate) fn printed(&self, bytes: &[u8]) -> Result<(), Violation> {
        let length = piece(bytes)?;
        let mut state = self.state();
        let left = state.output_credit.checked_sub(length);
        state.output_credit = left.ok_or(Violation::Credit)?;
        let before = state.row.output_bytes;
        state.row.output_bytes += u64::from(length);
        state.backlog.extend(bytes);
        let over = state.backlog.len().saturating_sub(BACKLOG_BYTES_MAX);
        state.backlog.drain(..over);
        if self.watched.receiver_count() > 0 {
            // In the state's lock, so that a new watcher's backlog and what follows it fit together.
            let _nobody = self.watched.send(Shown::Output(before, bytes.into()));
        }
        Ok(())
    }

    /// The analyst sends input: it must have the credit.
    pub(crate) fn typed(&self, bytes: &[u8]) -> Result<(), Violation> {
        let length = piece(bytes)?;
        let mut state = self.state();
        if state.input_ended {
            return Err(Violation::Order);
        }
        let left = state.input_credit.checked_sub(length);
        state.input_credit = left.ok_or(Violation::Credit)?;
        state.row.input_bytes += u64::from(length);
        state.untaken.extend(bytes);
        let window = usize::try_from(TERMINAL_INPUT_WINDOW_BYTES).unwrap_or(usize::MAX);
        let over = state.untaken.len().saturating_sub(window);
        // An agent that does not say how it takes input: none is recorded.
        state.untaken.drain(..over);
        Ok(())
    }

    /// The endpoint has taken input, with echo on or not: what of that is recorded.
    pub(crate) fn taken(&self, taken: agent::TerminalInputTaken) -> Option<Happening> {
        let mut state = self.state();
        let count = usize::try_from(taken.bytes).unwrap_or(usize::MAX);
        let count = count.min(state.untaken.len());
        let bytes: Vec<u8> = state.untaken.drain(..count).collect();
        match (bytes.is_empty(), taken.echoed) {
            (true, _) => None,
            (false, true) => Some(Happening::Input(bytes)),
            (false, false) => Some(Happening::Hidden(count)),
        }
    }

    /// From now on it is recorded. The first recorder stays.
    pub(crate) fn record_with(&self, recorder: Recorder) {
        let _second = self.recorder.set(recorder);
    }

    /// What records it.
    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.recorder.get()
    }

    /// Records something, once there is room for it.
    pub(crate) async fn record(&self, happening: Happening) {
        if let Some(recorder) = self.recorder.get() {
            recorder.note(happening).await;
        }
    }

    /// The analyst sends no more input.
    pub(crate) fn input_ended(&self) {
        self.state().input_ended = true;
    }

    /// The analyst has taken output; what of that is passed on.
    pub(crate) fn give_output_credit(&self, bytes: u32) -> u32 {
        let mut state = self.state();
        let given = bytes.min(TERMINAL_OUTPUT_WINDOW_BYTES - state.output_credit);
        state.output_credit += given;
        given
    }

    /// The endpoint has taken input; what of that is passed on.
    pub(crate) fn give_input_credit(&self, bytes: u32) -> u32 {
        let mut state = self.state();
        let given = bytes.min(TERMINAL_INPUT_WINDOW_BYTES - state.input_credit);
        state.input_credit += given;
        given
    }

    /// It has another size.
    pub(crate) fn resized(&self, size: wire::TerminalSize) {
        let mut state = self.state();
        (state.row.columns, state.row.rows) = (size.columns, size.rows);
        let _nobody = self.watched.send(Shown::Size(size));
    }

    /// A new watcher: what was printed last, and everything from then on.
    pub(crate) fn watch(self: &Arc<Self>) -> Result<Watcher, TerminalError> {
        let mut state = self.state();
        if state.row.watchers >= WATCHERS_MAX {
            return Err(TerminalError::TooManyWatchers);
        }
        state.row.watchers += 1;
        let backlog = state.backlog.iter().copied().collect();
        Ok(Watcher {
            row: state.row.clone(),
            backlog,
            seen: state.row.output_bytes,
            news: self.watched.subscribe(),
            terminal: self.clone(),
        })
    }

    /// It has ended: with a report of the endpoint, or without one because of `otherwise`.
    pub(crate) fn end(
        &self,
        report: Option<agent::TerminalReport>,
        otherwise: (wire::TerminalEnd, &str),
        time_ms: i64,
    ) -> wire::Terminal {
        let mut state = self.state();
        let why = state.why.take();
        let row = &mut state.row;
        row.state = wire::TerminalState::Ended.into();
        row.end_time_ms = time_ms;
        row.reported = report.is_some();
        let by_itself = match &report {
            Some(report) => (reported_end(report.reason()), String::new()),
            None => (otherwise.0, otherwise.1.to_owned()),
        };
        let (end, detail) = match why {
            // It ended by itself before it learnt that it should.
            Some(_) if by_itself.0 == wire::TerminalEnd::Exited => by_itself,
            Some(why) => why,
            None => by_itself,
        };
        row.end = end.into();
        row.end_detail = detail;
        if let Some(report) = report {
            row.exit_code = report.exit_code;
            row.signal = report.signal;
            row.killed_count = report.killed_count;
            row.survived_count = report.survived_count;
            row.killed = named(report.killed);
            row.survived = named(report.survived);
        }
        row.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Length of a piece that is one.
fn piece(bytes: &[u8]) -> Result<u32, Violation> {
    let length = u32::try_from(bytes.len()).map_err(|_| Violation::Piece)?;
    let fits = (1..=TERMINAL_CHUNK_BYTES_MAX).contains(&bytes.len());
    fits.then_some(length).ok_or(Violation::Piece)
}

/// A text of an endpoint, within its limit.
fn bounded(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

fn named(processes: Vec<agent::TerminalProcess>) -> Vec<wire::TerminalProcess> {
    processes
        .into_iter()
        .take(TERMINAL_PROCESSES_NAMED_MAX)
        .map(|process| wire::TerminalProcess {
            pid: process.pid,
            name: bounded(&process.name),
        })
        .collect()
}

/// What an endpoint's reason means where nobody here asked for the end.
fn reported_end(reason: agent::TerminalEndReason) -> wire::TerminalEnd {
    use agent::TerminalEndReason as Reason;
    match reason {
        Reason::Exited => wire::TerminalEnd::Exited,
        Reason::Idle => wire::TerminalEnd::Idle,
        Reason::TimeLimit => wire::TerminalEnd::TimeLimit,
        Reason::AgentStopped => wire::TerminalEnd::AgentStopped,
        // Nobody asked, so its connection ended on its side.
        Reason::Asked => wire::TerminalEnd::EndpointLost,
        Reason::Protocol | Reason::Unspecified => wire::TerminalEnd::Protocol,
    }
}

#[cfg(test)]
mod tests;
