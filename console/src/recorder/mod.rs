//! A recording of the screens: everything that came in (keys, sizes, answers of the server, times) and a mark for each
//! frame that was drawn, so that [`replay`] comes to the same frames. For reporting what looked wrong, and for tests.
//!
//! One JSON object a line; messages of the server are in it as they came, in base64, so whatever they hold stays data.
//! The profile is never in it, and of what was typed or pasted into a terminal only how much; what the terminal printed
//! is. The file is new, its user's alone, and at most [`FILE_BYTES_MAX`] large: what comes then is not recorded any more,
//! which the last line says.

mod line;
mod replay;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use ratatui::buffer::Buffer;

use self::line::{Begin, Line};
pub(crate) use self::replay::replay;
use crate::action::{Action, Change, Query};
use crate::event::{Event, News};
use crate::memory::Memory;
use crate::output::json::{Layout, render};
use crate::state::State;

/// Bytes of a recording.
const FILE_BYTES_MAX: usize = 64 << 20;

/// Questions and changes that may still be answered: far more than are under way at once.
const ASKED_MAX: usize = 4096;

/// What was asked and done so far, so that an answer is told apart by the number of its question.
#[derive(Debug, Default)]
struct Asked {
    queries: Numbered<Query>,
    changes: Numbered<Change>,
}

/// The last of some things, by number.
#[derive(Debug)]
struct Numbered<T> {
    first: u64,
    last: std::collections::VecDeque<T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            first: 0,
            last: std::collections::VecDeque::new(),
        }
    }
}

impl<T: PartialEq> Numbered<T> {
    fn push(&mut self, one: T) {
        if self.last.len() >= ASKED_MAX {
            self.last.pop_front();
            self.first += 1;
        }
        self.last.push_back(one);
    }

    /// The number of the newest that is like this.
    fn number(&self, one: &T) -> Option<u64> {
        let at = self.last.iter().rposition(|other| other == one)?;
        Some(self.first + at as u64)
    }

    fn get(&self, number: u64) -> Option<&T> {
        let at = number.checked_sub(self.first)?;
        self.last.get(usize::try_from(at).ok()?)
    }
}

impl Asked {
    fn note(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Ask(query) => self.queries.push(query.clone()),
                Action::Change(change) => self.changes.push(change.clone()),
                _ => {}
            }
        }
    }
}

/// Writes a recording.
#[derive(Debug)]
pub(crate) struct Recorder<W: Write = BufWriter<File>> {
    out: W,
    left: usize,
    asked: Asked,
    last: Buffer,
    problem: Option<io::Error>,
}

impl Recorder {
    /// Into a new file.
    ///
    /// # Errors
    /// Where it is there already or cannot be made.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.write(true).create_new(true);
        // What a server said is nobody else's business.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self::new(BufWriter::new(options.open(path)?)))
    }
}

impl<W: Write> Recorder<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            left: FILE_BYTES_MAX,
            asked: Asked::default(),
            last: Buffer::default(),
            problem: None,
        }
    }

    /// The screens begin like this.
    pub(crate) fn begin(&mut self, state: &State) {
        let zone = state.local_zone.as_ref().and_then(|zone| zone.iana_name());
        self.write(&Line::Begin(Box::new(Begin {
            recording: line::FORM,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            now_ms: state.now_ms,
            size: state.size,
            theme: state.theme.name().to_owned(),
            local_zone: zone.map(str::to_owned),
            keys: crate::keys::written(&state.keymap),
            memory: Memory::of(state),
        })));
    }

    /// This comes in.
    pub(crate) fn event(&mut self, event: &Event, now_ms: i64, state: &State) {
        let (queries, changes) = (&self.asked.queries, &self.asked.changes);
        let to = match event {
            Event::News(News::Answer(query, _)) => queries.number(query),
            Event::News(News::Changed(change, _)) => changes.number(change),
            _ => None,
        };
        let said = line::said(event, to, state);
        self.write(&Line::Event { now_ms, said });
    }

    /// The keys are others from here on.
    pub(crate) fn keys(&mut self, state: &State) {
        self.write(&Line::Keys {
            keys: crate::keys::written(&state.keymap),
        });
    }

    /// This came of it.
    pub(crate) fn actions(&mut self, actions: &[Action]) {
        self.asked.note(actions);
    }

    /// This was drawn.
    pub(crate) fn frame(&mut self, buffer: &Buffer) {
        self.last.clone_from(buffer);
        let frame = fingerprint(buffer);
        self.write(&Line::Frame { frame });
    }

    /// The last frame in full; whether all of it is in the recording.
    ///
    /// # Errors
    /// The first problem that there was.
    pub(crate) fn end(&mut self) -> io::Result<bool> {
        let rows = rows(&self.last);
        self.write(&Line::End { rows });
        let is_whole = self.left > 0;
        if !is_whole {
            // Within what was kept back for it.
            self.left = FILE_BYTES_MAX;
            self.write(&Line::Full);
        }
        match self.problem.take() {
            None => self.out.flush().map(|()| is_whole),
            Some(problem) => Err(problem),
        }
    }

    fn write(&mut self, line: &Line) {
        if self.left == 0 || self.problem.is_some() {
            return;
        }
        let written = render(line, Layout::Line).and_then(|text| {
            let bytes = text.len() + 1;
            if bytes > self.left {
                self.left = 0;
                return Ok(());
            }
            self.left -= bytes;
            self.out.write_all(text.as_bytes())?;
            self.out.write_all(b"\n")
        });
        self.problem = written.err();
    }
}

/// A frame as text, without what is right of its last sign.
fn rows(buffer: &Buffer) -> Vec<String> {
    let columns = usize::from(buffer.area.width).max(1);
    let rows = buffer.content().chunks(columns).map(|row| {
        let text: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.trim_end().to_owned()
    });
    rows.collect()
}

/// A number that two frames which differ in a sign hardly share (FNV-1a, 64 bits).
fn fingerprint(buffer: &Buffer) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut number = BASIS;
    for cell in buffer.content() {
        for byte in cell.symbol().bytes() {
            number = (number ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    }
    number
}

#[cfg(test)]
mod tests;
