//! One open terminal: bytes both ways between its PTY and its link, until its end, and then the report.
//!
//! One loop waits for everything at once and does a little of what is possible; nothing in it blocks. What is held:
//! input that the PTY has not taken, at most its window; one piece of output.

use std::collections::VecDeque;
use std::time::Duration;

use tocsin_proto::agent::v1::terminal_request::Message as Up;
use tocsin_proto::agent::v1::terminal_response::Message as Down;
use tocsin_proto::agent::v1::{
    TerminalEndReason, TerminalInputTaken, TerminalProcess, TerminalReport as WireReport,
    TerminalStarted,
};
use tocsin_proto::limits::{
    TERMINAL_CHUNK_BYTES_MAX, TERMINAL_INPUT_WINDOW_BYTES, TERMINAL_OUTPUT_WINDOW_BYTES,
    TERMINAL_PROCESSES_NAMED_MAX,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::limits::{
    DRAIN_BYTES_MAX, DRAIN_QUIET, DRAIN_STALLED_MAX, DRAIN_WAIT_MAX, Deadlines, INPUT_END_PAUSE,
    Passed,
};
use super::process::{self, Ended, Found};
use super::unix::{Exited, Shell};
use super::{Asked, Link, Place, Refusal, Terminals, notice, size};
use crate::text::{chain, cut};

impl Terminals {
    /// Starts the shell.
    pub(super) fn start(&self, asked: &Asked, place: &Place<'_>) -> Result<Relay, Refusal> {
        let (shell, exiting) = Shell::start(asked)?;
        place.set_pid(shell.pid);
        let now = Instant::now();
        tracing::warn!(
            terminal = %asked.id,
            analyst = asked.analyst,
            user = shell.account.name,
            pid = shell.pid,
            "a remote terminal was opened"
        );
        if self.config.notice {
            notice::opened(&asked.analyst, &shell.account.name);
        }
        Ok(Relay {
            asked: asked.clone(),
            exiting,
            exited: None,
            credit: TERMINAL_OUTPUT_WINDOW_BYTES,
            pending: VecDeque::new(),
            taken: 0,
            untold: 0,
            last_typed: None,
            input_end: None,
            deadlines: Deadlines::new(&self.config, now),
            output_open: true,
            moved: now,
            drained: 0,
            waited: Duration::ZERO,
            input_bytes: 0,
            output_bytes: 0,
            end: End::None,
            shell,
        })
    }

    /// Keeps it until its end.
    pub(super) async fn keep(&self, mut relay: Relay, mut link: Link, lost: CancellationToken) {
        let started = TerminalStarted {
            terminal_id: relay.asked.id.as_bytes().to_vec(),
            user: cut(relay.shell.account.name.clone()),
            uid: relay.shell.account.uid.to_string(),
            shell: cut(relay.shell.program()),
            pid: relay.shell.pid,
        };
        if link.send(Up::Started(started)).await {
            relay.run(&mut link, &lost, &self.stop).await;
        } else {
            relay.begin_end(TerminalEndReason::Asked);
            relay.run(&mut link, &lost, &self.stop).await;
        }
        let report = relay.report();
        tracing::warn!(
            terminal = %relay.asked.id,
            analyst = relay.asked.analyst,
            reason = report.reason().as_str_name(),
            killed = report.killed_count,
            survived = report.survived_count,
            "a remote terminal has ended"
        );
        relay.shell.bury();
        // Without a link nobody asks any more.
        let _gone = link.send(Up::Report(report)).await;
    }
}

/// How far the end has come.
enum End {
    None,
    /// What was started in it is being ended.
    Killing(TerminalEndReason, JoinHandle<Ended>),
    /// That is done; what is still in the PTY is read.
    Draining(TerminalEndReason, Ended),
}

/// An open terminal.
pub(super) struct Relay {
    asked: Asked,
    shell: Shell,
    exiting: oneshot::Receiver<Exited>,
    exited: Option<Exited>,
    /// Bytes of output that may still be sent.
    credit: u32,
    /// Input that the PTY has not taken.
    pending: VecDeque<u8>,
    /// Input that it has taken and that no credit was given back for.
    taken: u32,
    /// Input of the server of which was not said how the PTY took it.
    untold: u64,
    /// The last byte of input.
    last_typed: Option<u8>,
    /// Input has ended: when that is told next, and the pause after.
    input_end: Option<(Instant, Duration)>,
    deadlines: Deadlines,
    /// The PTY may still have something to say.
    output_open: bool,
    /// When something was last read from it.
    moved: Instant,
    /// Bytes that were read after everything had ended, and how long reading them was waited for.
    drained: usize,
    waited: Duration,
    input_bytes: u64,
    output_bytes: u64,
    end: End,
}

/// What the loop waited for.
enum Happened {
    Said(Option<Down>),
    Read(std::io::Result<Vec<u8>>),
    Wrote(std::io::Result<(usize, bool)>),
    Exited(Exited),
    Ended(Ended),
    Timer,
    Stop(TerminalEndReason),
}

impl Relay {
    async fn run(&mut self, link: &mut Link, lost: &CancellationToken, stop: &CancellationToken) {
        let mut linked = true;
        while !self.is_done(Instant::now(), linked) {
            let (begun, reads) = (Instant::now(), self.credit > 0);
            let happened = self.next(link, linked, lost, stop).await;
            if reads && matches!(self.end, End::Draining(..)) {
                self.waited += begun.elapsed();
            }
            match happened {
                Happened::Said(Some(message)) => self.take(message),
                Happened::Said(None) => {
                    linked = false;
                    self.begin_end(TerminalEndReason::Asked);
                }
                Happened::Read(read) => self.send_output(read, link).await,
                Happened::Wrote(written) => self.note_written(written, link).await,
                Happened::Exited(exited) => {
                    self.exited = Some(exited);
                    self.begin_end(TerminalEndReason::Exited);
                }
                Happened::Ended(ended) => {
                    let End::Killing(reason, _) = &self.end else {
                        continue;
                    };
                    self.end = End::Draining(*reason, ended);
                    self.moved = Instant::now();
                }
                Happened::Timer => self.look_at_the_clock(Instant::now()),
                Happened::Stop(reason) => self.begin_end(reason),
            }
        }
    }

    /// Waits for the next thing.
    async fn next(
        &mut self,
        link: &mut Link,
        linked: bool,
        lost: &CancellationToken,
        stop: &CancellationToken,
    ) -> Happened {
        let wake = self.wake(Instant::now());
        let open = matches!(self.end, End::None);
        let may_read = self.output_open && self.credit > 0 && linked;
        let (shell, up) = (&self.shell, &link.up);
        let room = TERMINAL_CHUNK_BYTES_MAX.min(usize::try_from(self.credit).unwrap_or(0));
        let read = async {
            // Read only what can be sent on at once.
            let Ok(_permit) = up.reserve().await else {
                return std::future::pending().await;
            };
            shell.read(room).await
        };
        let (chunk, _) = self.pending.as_slices();
        let exit_is_known = self.exited.is_some();
        // Borrowed apart from the rest of the shell.
        let killing = match &mut self.end {
            End::Killing(_, killing) => Some(killing),
            End::None | End::Draining(..) => None,
        };
        tokio::select! {
            // A message of a later version says nothing.
            said = link.down.recv(), if linked =>
                Happened::Said(said.map(|said| said.message.unwrap_or(Down::OutputCredit(0)))),
            read = read, if may_read => Happened::Read(read),
            written = shell.write(chunk), if !chunk.is_empty() && open => Happened::Wrote(written),
            exited = &mut self.exiting, if !exit_is_known => Happened::Exited(exited.unwrap_or(Exited::Unknown)),
            ended = finished(killing) => Happened::Ended(ended),
            () = sleep_until(wake) => Happened::Timer,
            () = lost.cancelled(), if open => Happened::Stop(TerminalEndReason::Asked),
            () = stop.cancelled(), if open => Happened::Stop(TerminalEndReason::AgentStopped),
        }
    }

    /// When the clock has to be looked at again.
    fn wake(&self, now: Instant) -> Instant {
        match &self.end {
            End::None => {
                let input_end = self.input_end.filter(|_| self.pending.is_empty());
                input_end.map_or(self.deadlines.next(), |(when, _)| {
                    when.min(self.deadlines.next())
                })
            }
            End::Killing(..) => now + Duration::from_secs(1),
            End::Draining(..) => now + DRAIN_QUIET / 4,
        }
    }

    fn look_at_the_clock(&mut self, now: Instant) {
        if !matches!(self.end, End::None) {
            return;
        }
        match self.deadlines.passed(now) {
            Some(Passed::Idle) => return self.begin_end(TerminalEndReason::Idle),
            Some(Passed::Total) => return self.begin_end(TerminalEndReason::TimeLimit),
            None => {}
        }
        if let Some((when, pause)) = self.input_end
            && now >= when
            && self.pending.is_empty()
        {
            self.pending.extend(self.shell.end_of_input());
            self.input_end = Some((now + pause, (pause * 2).min(INPUT_END_PAUSE.1)));
        }
    }

    /// Takes a message of the server.
    fn take(&mut self, message: Down) {
        match message {
            Down::Input(bytes) => {
                self.deadlines.stir(Instant::now());
                let window = usize::try_from(TERMINAL_INPUT_WINDOW_BYTES).unwrap_or(0);
                let taken = usize::try_from(self.taken).unwrap_or(0);
                if self.pending.len() + taken + bytes.len() > window || self.input_end.is_some() {
                    self.begin_end(TerminalEndReason::Protocol);
                } else if matches!(self.end, End::None) {
                    self.input_bytes += bytes.len() as u64;
                    self.untold += bytes.len() as u64;
                    self.last_typed = bytes.last().copied().or(self.last_typed);
                    self.pending.extend(bytes);
                }
            }
            Down::OutputCredit(bytes) => {
                self.credit = self
                    .credit
                    .saturating_add(bytes)
                    .min(TERMINAL_OUTPUT_WINDOW_BYTES);
                self.moved = Instant::now();
            }
            Down::Size(asked) => match size(asked.columns, asked.rows) {
                Some((columns, rows)) => self.shell.resize(columns, rows),
                None => self.begin_end(TerminalEndReason::Protocol),
            },
            Down::InputEnd(_) => {
                // In the middle of a line the end of input is not one.
                if self.last_typed.is_some_and(|byte| !b"\r\n".contains(&byte)) {
                    self.pending.push_back(b'\n');
                }
                self.input_end = Some((Instant::now(), INPUT_END_PAUSE.0));
            }
            Down::End(_) => self.begin_end(TerminalEndReason::Asked),
        }
    }

    async fn send_output(&mut self, read: std::io::Result<Vec<u8>>, link: &Link) {
        match read {
            Ok(bytes) if bytes.is_empty() => self.output_open = false,
            Ok(bytes) => {
                let count = bytes.len();
                if matches!(self.end, End::Draining(..)) {
                    self.drained += count;
                }
                let now = Instant::now();
                self.moved = now;
                self.deadlines.stir(now);
                self.output_bytes += count as u64;
                self.credit = self
                    .credit
                    .saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
                // The other side's end is seen where its messages are read.
                let _gone = link.send(Up::Output(bytes)).await;
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "a terminal's PTY cannot be read");
                self.output_open = false;
            }
        }
    }

    async fn note_written(&mut self, written: std::io::Result<(usize, bool)>, link: &Link) {
        match written {
            Ok((count, echoed)) => {
                self.pending.drain(..count.min(self.pending.len()));
                // What this side adds at the end of input comes after all that the server sent.
                let told = self.untold.min(count as u64);
                self.untold -= told;
                if told > 0 {
                    let bytes = u32::try_from(told).unwrap_or(u32::MAX);
                    let taken = TerminalInputTaken { bytes, echoed };
                    let _gone = link.send(Up::InputTaken(taken)).await;
                }
                self.taken += u32::try_from(count).unwrap_or(0);
                if self.input_end.is_some() {
                    return;
                }
                if self.taken >= TERMINAL_INPUT_WINDOW_BYTES / 4 || self.pending.is_empty() {
                    let credit = std::mem::take(&mut self.taken);
                    let _gone = link.send(Up::InputCredit(credit)).await;
                }
            }
            // The shell's end is seen elsewhere.
            Err(error) => {
                tracing::debug!(error = chain(&error), "a terminal takes no input");
                self.pending.clear();
            }
        }
    }

    /// Ends everything that was started in it. The first reason stays.
    fn begin_end(&mut self, reason: TerminalEndReason) {
        if matches!(self.end, End::None) {
            self.pending.clear();
            let (shell, mark) = (self.shell.pid, self.asked.id.to_string());
            let killing = tokio::task::spawn_blocking(move || process::end_all(shell, &mark));
            self.end = End::Killing(reason, killing);
        }
    }

    /// Whether nothing more is to be waited for.
    fn is_done(&self, now: Instant, linked: bool) -> bool {
        let End::Draining(reason, _) = &self.end else {
            return false;
        };
        if !self.output_open || !linked {
            return true;
        }
        // What is still printed is nobody's who was started in it.
        if self.drained >= DRAIN_BYTES_MAX || self.waited >= DRAIN_WAIT_MAX {
            return true;
        }
        let still = now.saturating_duration_since(self.moved);
        match reason {
            // What was printed before the shell's end arrives, as long as it is taken.
            TerminalEndReason::Exited if self.credit == 0 => still >= DRAIN_STALLED_MAX,
            _ => still >= DRAIN_QUIET,
        }
    }

    fn report(&mut self) -> WireReport {
        let (reason, ended) = match std::mem::replace(&mut self.end, End::None) {
            End::Draining(reason, ended) => (reason, ended),
            End::None | End::Killing(..) => (TerminalEndReason::Unspecified, Ended::default()),
        };
        let exit_code = match self.exited {
            Some(Exited::Code(code)) if reason == TerminalEndReason::Exited => Some(code),
            _ => None,
        };
        let signal = match self.exited {
            Some(Exited::Signal(signal)) => signal,
            _ => 0,
        };
        WireReport {
            reason: reason.into(),
            exit_code,
            signal,
            killed_count: u32::try_from(ended.killed.len()).unwrap_or(u32::MAX),
            killed: named(ended.killed),
            survived_count: u32::try_from(ended.survived.len()).unwrap_or(u32::MAX),
            survived: named(ended.survived),
            input_bytes: self.input_bytes,
            output_bytes: self.output_bytes,
        }
    }
}

/// The first of them, by name.
fn named(found: Vec<Found>) -> Vec<TerminalProcess> {
    found
        .into_iter()
        .take(TERMINAL_PROCESSES_NAMED_MAX)
        .map(|found| TerminalProcess {
            pid: found.pid,
            name: cut(found.name),
        })
        .collect()
}

/// The end of the killing; never, where there is none.
async fn finished(killing: Option<&mut JoinHandle<Ended>>) -> Ended {
    match killing {
        // A panic in it has killed nobody more; the report then names nobody.
        Some(killing) => killing.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}
