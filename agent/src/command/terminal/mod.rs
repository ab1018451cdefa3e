//! Remote terminals: a shell on a real PTY for an analyst at the server, with the account that the agent runs as.
//!
//! ```text
//! OpenTerminal -> policy: on? one more? -> shell on a PTY -> started | refused
//!   input   link -> pending, at most its window -> PTY          credit goes back as the PTY takes it
//!   output  PTY -> link, at most the credit that was given      the PTY is not read beyond it
//! end: the shell ends, the server asks, idle, too long, the agent ends, the link is lost, a broken protocol
//!   -> everything that was started in it is ended -> what is still to be read -> report
//! ```
//!
//! Promises: neither side can make the agent hold more than the two windows; what was printed before the end arrives
//! complete, as long as somebody takes it; a terminal does not outlive the connection it came by, and what it started
//! does not outlive it, as far as [`process`] can find it; whoever uses the machine can see it (status, log, notice).
//! Governance of terminals (recording, approval) is the server's and not here.

mod limits;
#[cfg(unix)]
mod notice;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod relay;
#[cfg(unix)]
mod unix;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tocsin_proto::agent::v1::terminal_request::Message as Up;
use tocsin_proto::agent::v1::{OpenTerminal, TerminalRefused, TerminalRequest, TerminalResponse};
use tocsin_proto::id::TerminalId;
use tocsin_proto::limits::{
    TERMINAL_COLUMNS_MAX, TERMINAL_KIND_BYTES_MAX, TERMINAL_ROWS_MAX, TEXT_BYTES_MAX,
};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::TerminalConfig;
use crate::text::cut_at;
use limits::END_ALL_MAX;

/// The two ends of a terminal's call, as the uplink gives them. Both are bounded.
#[derive(Debug)]
pub(crate) struct Link {
    /// To the server.
    pub(crate) up: mpsc::Sender<TerminalRequest>,
    /// From the server; closed when the call has ended.
    pub(crate) down: mpsc::Receiver<TerminalResponse>,
}

impl Link {
    /// Sends; `false` where nobody is there any more.
    async fn send(&self, message: Up) -> bool {
        let message = Some(message);
        self.up.send(TerminalRequest { message }).await.is_ok()
    }
}

/// What everybody on the machine may know of an open terminal. The reason is not among it: it may say what an
/// attacker should not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TerminalReport {
    /// Id, made by the server.
    pub(crate) id: String,
    /// Who has it open.
    pub(crate) analyst: String,
    /// Since when.
    #[serde(with = "crate::status::time_text")]
    pub(crate) open_time: i64,
    /// Process id of its shell; 0 while it is being started.
    pub(crate) pid: u32,
}

/// What was asked for, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    id: TerminalId,
    columns: u16,
    rows: u16,
    term: String,
    analyst: String,
}

/// Why a terminal is not opened. The text goes to the analyst.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(
        "this machine's configuration does not allow terminals (terminal.enabled in its agent.toml)"
    )]
    Disabled,
    #[error(
        "this machine has {0} terminals open, as many as its configuration allows (terminal.count_max)"
    )]
    TooMany(usize),
    #[error("the server asked for a terminal in words that this agent does not understand: {0}")]
    Words(&'static str),
    #[error("the agent is ending")]
    Ending,
    #[cfg(unix)]
    #[error("the shell cannot be started: {0}")]
    Start(#[from] unix::StartError),
    #[cfg(not(unix))]
    #[error("this agent has no terminals on this system")]
    System,
}

impl Asked {
    fn check(open: &OpenTerminal) -> Result<Self, Refusal> {
        let id = TerminalId::from_wire(&open.terminal_id).ok_or(Refusal::Words("terminal_id"))?;
        let (columns, rows) =
            size(open.columns, open.rows).ok_or(Refusal::Words("columns, rows"))?;
        if !is_kind(&open.term) {
            return Err(Refusal::Words("term"));
        }
        Ok(Self {
            id,
            columns,
            rows,
            term: open.term.clone(),
            analyst: cut_at(open.analyst.clone(), TEXT_BYTES_MAX),
        })
    }
}

/// A size within its limits.
fn size(columns: u32, rows: u32) -> Option<(u16, u16)> {
    let fits =
        (1..=TERMINAL_COLUMNS_MAX).contains(&columns) && (1..=TERMINAL_ROWS_MAX).contains(&rows);
    let size = (u16::try_from(columns).ok()?, u16::try_from(rows).ok()?);
    fits.then_some(size)
}

/// A name for TERM that is one and nothing else.
fn is_kind(term: &str) -> bool {
    (1..=TERMINAL_KIND_BYTES_MAX).contains(&term.len())
        && !term.starts_with('.')
        && term
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte))
}

/// The open terminals of this machine.
#[derive(Debug)]
pub(crate) struct Terminals {
    config: TerminalConfig,
    open: Mutex<Vec<TerminalReport>>,
    /// One has ended.
    ended: Notify,
    /// The agent ends.
    stop: CancellationToken,
}

impl Terminals {
    /// None yet.
    pub(crate) fn new(config: TerminalConfig) -> Self {
        Self {
            config,
            open: Mutex::default(),
            ended: Notify::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Those that are open now, oldest first.
    pub(crate) fn list(&self) -> Vec<TerminalReport> {
        self.rows().clone()
    }

    /// Opens one and keeps it until its end.
    pub(super) async fn open(&self, open: OpenTerminal, link: Link, lost: CancellationToken) {
        let terminal_id = open.terminal_id.clone();
        let placed = Asked::check(&open).and_then(|asked| Ok((self.place(&asked)?, asked)));
        let refusal = match placed {
            // The place is kept until the terminal has ended.
            Ok((place, asked)) => match self.start(&asked, &place) {
                Ok(started) => return self.keep(started, link, lost).await,
                Err(refusal) => refusal,
            },
            Err(refusal) => refusal,
        };
        tracing::warn!(analyst = open.analyst, %refusal, "a terminal was refused");
        let refused = TerminalRefused {
            terminal_id,
            reason: refusal.to_string(),
        };
        // Whoever has gone does not need to know.
        let _gone = link.send(Up::Refused(refused)).await;
    }

    /// A place among those that may be open.
    fn place(&self, asked: &Asked) -> Result<Place<'_>, Refusal> {
        if !self.config.enabled {
            return Err(Refusal::Disabled);
        }
        if self.stop.is_cancelled() {
            return Err(Refusal::Ending);
        }
        let mut rows = self.rows();
        if rows.len() >= self.config.count_max {
            return Err(Refusal::TooMany(rows.len()));
        }
        let id = asked.id.to_string();
        if rows.iter().any(|row| row.id == id) {
            return Err(Refusal::Words("a terminal_id twice"));
        }
        rows.push(TerminalReport {
            id: id.clone(),
            analyst: asked.analyst.clone(),
            open_time: clock::now_ms(),
            pid: 0,
        });
        Ok(Place { of: self, id })
    }

    /// Ends all of them, each with what it started; returns when they have ended, or after a while.
    pub(super) async fn end_all(&self) {
        self.stop.cancel();
        let all_ended = async {
            loop {
                let ended = self.ended.notified();
                if self.rows().is_empty() {
                    return;
                }
                ended.await;
            }
        };
        if tokio::time::timeout(END_ALL_MAX, all_ended).await.is_err() {
            tracing::error!("a terminal has not ended in time");
        }
    }

    fn rows(&self) -> MutexGuard<'_, Vec<TerminalReport>> {
        // A list of rows is whole, whoever panicked while holding it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the places for open terminals, as long as it lives.
struct Place<'t> {
    of: &'t Terminals,
    id: String,
}

impl Place<'_> {
    #[cfg(unix)]
    fn set_pid(&self, pid: u32) {
        for row in self.of.rows().iter_mut().filter(|row| row.id == self.id) {
            row.pid = pid;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.of.rows().retain(|row| row.id != self.id);
        self.of.ended.notify_waiters();
    }
}

#[cfg(not(unix))]
impl Terminals {
    fn start<'t>(&'t self, _asked: &Asked, _place: &Place<'t>) -> Result<(), Refusal> {
        Err(Refusal::System)
    }

    async fn keep(&self, _started: (), _link: Link, _lost: CancellationToken) {}
}

#[cfg(test)]
mod tests;
