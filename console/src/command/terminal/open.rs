//! `tocsin terminal open`: this terminal, or standard input and output, become one at an endpoint.
//!
//! ```text
//! standard input -> chord -> [credit] -> call        Ctrl-] is the chord's first key, on a terminal only
//! call -> filter, unless --raw -> standard output (printer.rs) -> credit goes back when it has been written
//! ```
//!
//! Nothing is read from standard input that cannot be sent, and nothing comes that was not asked for by credit.

use std::io::{self, Write as _};

use tocsin_proto::console::v1::open_terminal_request::Message as Said;
use tocsin_proto::console::v1::terminal_news::Message as News;
use tocsin_proto::console::v1::{
    OpenTerminalRequest, Terminal, TerminalClose, TerminalEnd, TerminalHeader, TerminalInputEnd,
    TerminalSize,
};
use tocsin_proto::limits::{
    TERMINAL_CHUNK_BYTES_MAX, TERMINAL_INPUT_WINDOW_BYTES, TERMINAL_OUTPUT_WINDOW_BYTES,
};
use tokio::sync::mpsc;

use super::ending;
use super::local::{Local, Resizes, input, told_to_end};
use super::printer::Printer;
use crate::client::{Client, ClientError, TerminalCall};
use crate::exit::{Exit, Failure};
use crate::text;
use crate::text::stream::{Filter, Form, restore_raw};

/// The chord's first key: Ctrl-].
const CHORD: u8 = 0x1d;

/// What the chord can do.
const CHORD_HELP: &str = "\r\nCtrl-] .  closes the terminal, with everything that was started in it\r\nCtrl-] Ctrl-]  sends Ctrl-]\r\n";

/// What is asked for.
pub(super) struct Wanted {
    pub(super) endpoint: String,
    pub(super) reason: String,
    pub(super) incident: String,
    pub(super) raw: bool,
}

/// Opens it and keeps it until its end.
pub(super) async fn open(client: &Client, wanted: Wanted) -> Result<Exit, Failure> {
    let local = Local::now();
    let header = TerminalHeader {
        endpoint: wanted.endpoint,
        reason: wanted.reason,
        incident: wanted.incident,
        size: Some(local.size()),
        term: local.kind(),
    };
    if header.reason.trim().is_empty() {
        let said = "open a terminal: --reason must say why";
        return Err(Failure::Usage(said.to_owned()));
    }
    let mut call = client.open_terminal(header).await?;
    let opened = match call.next().await? {
        Some(News::Opened(opened)) => opened,
        _ => return Err(nonsense("the server says nothing of a terminal")),
    };
    if local.typed {
        let said = format!(
            "terminal {} at {} as {}; Ctrl-] . closes it, Ctrl-] ? tells more",
            super::super::short(&opened.id),
            opened.hostname,
            opened.user
        );
        crate::say(&format!("tocsin: {}\n", text::line(&said)));
    }
    let form = if local.shown {
        Form::Screen
    } else {
        Form::Plain
    };
    let mut open = Open {
        out: call.sender(),
        filter: (!wanted.raw).then(|| Filter::new(form)),
        chord: local.typed.then(Chord::default),
        credit: TERMINAL_INPUT_WINDOW_BYTES,
        written: 0,
        waiting: Vec::new(),
        is_input_open: true,
        size: local.size(),
        local,
        printer: Printer::start()?,
    };
    let raw = local.raw()?;
    let ended = open.run(&mut call).await;
    // Where nobody reads, nothing is to be restored, and writing would wait for ever.
    if local.shown && open.printer.is_idle() {
        let restore = open.filter.as_ref().map(Filter::restore);
        let mut out = io::stdout().lock();
        // The terminal may have gone, and with it whoever looked.
        let _gone = out.write_all(restore.as_deref().unwrap_or(restore_raw()).as_bytes());
        let _gone = out.flush();
    }
    drop(raw);
    let row = ended?;
    tell(&row, local);
    Ok(exit(&row))
}

fn nonsense(what: &'static str) -> Failure {
    let attempt = "open a terminal".to_owned();
    Failure::Client(ClientError::Nonsense { attempt, what })
}

/// Says how it ended, where that is not plain.
fn tell(row: &Terminal, local: Local) {
    let is_plain =
        row.end() == TerminalEnd::Exited && row.killed_count == 0 && row.survived_count == 0;
    if local.typed || !is_plain {
        crate::say(&format!("tocsin: {}\n", text::line(&ending(row))));
    }
}

/// The exit code that stands for an end.
fn exit(row: &Terminal) -> Exit {
    let low = |number: u32| u8::try_from(number & 0xff).unwrap_or(u8::MAX);
    match row.end() {
        TerminalEnd::Exited => match row.exit_code {
            Some(code) => Exit::Remote(low(code)),
            None => Exit::Remote(low(128 + row.signal.min(127))),
        },
        TerminalEnd::Closed => Exit::Done,
        TerminalEnd::EndpointLost => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

/// An open terminal.
struct Open {
    out: mpsc::Sender<OpenTerminalRequest>,
    /// `None` with `--raw`.
    filter: Option<Filter>,
    /// Where keys are typed.
    chord: Option<Chord>,
    /// Bytes of input that may be sent.
    credit: u32,
    /// Bytes of output written that no credit was given back for.
    written: u32,
    /// Input that was read and not sent.
    waiting: Vec<u8>,
    is_input_open: bool,
    size: TerminalSize,
    local: Local,
    printer: Printer,
}

impl Open {
    /// Until its end.
    async fn run(&mut self, call: &mut TerminalCall) -> Result<Terminal, Failure> {
        let mut typed = input()?;
        let mut resizes = Resizes::listen();
        let end = told_to_end();
        tokio::pin!(end);
        let mut is_ending = false;
        loop {
            let out = self.out.clone();
            let may_read = self.is_input_open && self.waiting.is_empty();
            let may_send = !self.waiting.is_empty() && self.credit > 0;
            tokio::select! {
                news = call.next(), if !self.printer.is_full() => match news? {
                    Some(News::Output(bytes)) => self.show(&bytes),
                    Some(News::InputCredit(bytes)) => {
                        self.credit = self.credit.saturating_add(bytes).min(TERMINAL_INPUT_WINDOW_BYTES);
                    }
                    Some(News::Ended(row)) => {
                        let told = async {
                            if !is_ending {
                                end.await;
                            }
                        };
                        self.printer.finish(told).await?;
                        return Ok(row);
                    }
                    Some(News::Opened(_) | News::SkippedBytes(_) | News::Size(_)) => {}
                    None => return Err(nonsense("the server ended the terminal and says nothing of it")),
                },
                written = self.printer.work() => self.written += written?,
                piece = typed.recv(), if may_read => match piece {
                    Some(piece) => self.take(piece, call).await,
                    None => self.end_input(call).await,
                },
                permit = out.reserve(), if may_send => if let Ok(permit) = permit {
                    let message = Some(Said::Input(self.next_piece()));
                    permit.send(OpenTerminalRequest { message });
                },
                () = resizes.next() => self.resize(call).await,
                () = &mut end, if !is_ending => {
                    is_ending = true;
                    call.say(Said::Close(TerminalClose {})).await;
                }
            }
            if self.written >= TERMINAL_OUTPUT_WINDOW_BYTES / 4 {
                let credit = std::mem::take(&mut self.written);
                call.say(Said::OutputCredit(credit)).await;
            }
        }
    }

    /// Has written what was printed.
    fn show(&mut self, bytes: &[u8]) {
        match &mut self.filter {
            Some(filter) => self.printer.print(&filter.pass(bytes), bytes.len()),
            None => self.printer.print(bytes, bytes.len()),
        }
    }

    /// Takes what was typed or read.
    async fn take(&mut self, piece: Vec<u8>, call: &TerminalCall) {
        let Some(chord) = &mut self.chord else {
            self.waiting = piece;
            return;
        };
        let (bytes, asked) = chord.take(&piece);
        self.waiting = bytes;
        match asked {
            Some(Asked::Close) => call.say(Said::Close(TerminalClose {})).await,
            Some(Asked::Help) => crate::say(CHORD_HELP),
            None => {}
        }
    }

    async fn end_input(&mut self, call: &TerminalCall) {
        self.is_input_open = false;
        call.say(Said::InputEnd(TerminalInputEnd {})).await;
    }

    /// As much of what waits as may be sent.
    fn next_piece(&mut self) -> Vec<u8> {
        let credit = usize::try_from(self.credit).unwrap_or(usize::MAX);
        let count = self.waiting.len().min(credit).min(TERMINAL_CHUNK_BYTES_MAX);
        let rest = self.waiting.split_off(count);
        let piece = std::mem::replace(&mut self.waiting, rest);
        self.credit = self
            .credit
            .saturating_sub(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        piece
    }

    async fn resize(&mut self, call: &TerminalCall) {
        let size = self.local.size();
        if size != self.size {
            self.size = size;
            call.say(Said::Size(size)).await;
        }
    }
}

/// What the chord asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Close,
    Help,
}

/// Finds the chord in what is typed.
#[derive(Debug, Default)]
struct Chord {
    /// Its first key was the last one typed.
    is_begun: bool,
}

impl Chord {
    /// What is to be sent of it, and what was asked for.
    fn take(&mut self, typed: &[u8]) -> (Vec<u8>, Option<Asked>) {
        let mut sent = Vec::with_capacity(typed.len());
        let mut asked = None;
        for byte in typed {
            match (std::mem::take(&mut self.is_begun), *byte) {
                (false, CHORD) => self.is_begun = true,
                (true, b'.') => asked = Some(Asked::Close),
                (true, b'?') => asked = asked.or(Some(Asked::Help)),
                (true, CHORD) => sent.push(CHORD),
                // No chord: both keys were meant.
                (true, byte) => sent.extend([CHORD, byte]),
                (false, byte) => sent.push(byte),
            }
        }
        (sent, asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chord_closes_and_everything_else_is_sent() {
        let mut chord = Chord::default();
        assert_eq!(chord.take(b"ls\n"), (b"ls\n".to_vec(), None));
        assert_eq!(chord.take(b"\x1d"), (vec![], None));
        assert_eq!(chord.take(b"."), (vec![], Some(Asked::Close)));
        assert_eq!(chord.take(b"a\x1d\x1db"), (b"a\x1db".to_vec(), None));
        assert_eq!(chord.take(b"\x1dx."), (b"\x1dx.".to_vec(), None));
        assert_eq!(chord.take(b"\x1d?"), (vec![], Some(Asked::Help)));
        assert_eq!(chord.take(b"."), (b".".to_vec(), None));
    }

    #[test]
    fn the_exit_code_is_the_shells_where_it_ended_by_itself() {
        let row = |end: TerminalEnd, exit_code, signal| Terminal {
            end: end.into(),
            exit_code,
            signal,
            ..Terminal::default()
        };
        assert_eq!(exit(&row(TerminalEnd::Exited, Some(7), 0)).code(), 7);
        assert_eq!(exit(&row(TerminalEnd::Exited, Some(256), 0)).code(), 0);
        assert_eq!(exit(&row(TerminalEnd::Exited, None, 9)).code(), 137);
        assert_eq!(exit(&row(TerminalEnd::Closed, None, 1)).code(), 0);
        assert_eq!(exit(&row(TerminalEnd::Killed, None, 9)).code(), 1);
        assert_eq!(exit(&row(TerminalEnd::EndpointLost, None, 0)).code(), 69);
    }
}
