//! Cuts a provider's file into records while it streams by, in pieces of any size.
//!
//! ```text
//! [{..},{..}]                    an array, on one line or on many; several after each other
//! {..}\n{..}\n                   one record a line, or one over many lines
//! {"data":{"events":[{..}]}}     the API's envelope, at the paths that the provider names
//! ```
//!
//! Promises: what comes out does not depend on where the pieces were cut; every record comes with the
//! physical line on which it begins, from 1, and is one JSON object in UTF-8; at most one record is held
//! in memory; no bytes make it panic or work more than a few times per byte.
//!
//! What is wrong costs as little as can be shown to be safe. A bad line among records of one line costs
//! that line. A bad element costs that element where its end can be found: by its brackets, or by the next
//! line that begins like it. Where a bracket is missing, following lines may have been swallowed: when that
//! shows, they are read again, and from then on a line that begins like a record ends the one before it.
//! Where no end can be found, the rest of the file is one problem, at its line.

mod check;
mod scan;

use tocsin_proto::limits::PROVIDER_RECORD_BYTES_MAX;

use self::check::invalid;
use self::scan::{DEPTH_MAX, Object, Step, Text};

/// A record, or what is wrong in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// One JSON object.
    Record {
        /// Line on which it begins, from 1.
        line: u64,
        /// As it stands in the file.
        bytes: Vec<u8>,
    },
    /// Something that is no record.
    Problem {
        /// Line on which it begins, from 1.
        line: u64,
        /// Why, without any of its content.
        reason: String,
    },
}

/// Keys on the way from a file's object to the array of records in it.
pub(crate) type EnvelopePath = &'static [&'static str];

/// See the file.
#[derive(Debug)]
pub(crate) struct Splitter {
    envelopes: &'static [EnvelopePath],
    /// Of the next byte.
    line: u64,
    /// Blanks since the line began; `None` once something else was seen on it.
    blanks: Option<usize>,
    blank_lines: u64,
    /// Bytes seen, to know the first ones.
    seen: u64,
    /// The file began with an array: more may follow.
    is_arrays: bool,
    /// A line that begins like a record is one: that was seen to hold, or is the only hope.
    is_strict: bool,
    state: State,
}

/// Where in the file we are.
#[derive(Debug)]
enum State {
    /// Between top-level values.
    Between,
    /// Between elements of an array.
    Elements(Outer),
    /// In a record.
    Record(Record),
    /// Behind a record on its line.
    After { line: u64, bytes: Vec<u8> },
    /// In an envelope, outside of its array.
    Envelope(Envelope),
    /// In something that is no record, until it ends.
    Garbage(Outer, Text),
    /// Looking for a line that begins like the record that went wrong.
    Lost {
        outer: Outer,
        line: u64,
        indent: Option<usize>,
        reason: String,
    },
    /// In a file of another kind: the problem is told already.
    Foreign,
}

/// What the records stand in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outer {
    File,
    Array,
    Envelope(Envelope),
}

/// An object that holds an array of records.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Envelope {
    object: Object,
    /// It stands in an array itself: pages or deliveries that were put together.
    is_element: bool,
}

#[derive(Debug)]
struct Record {
    outer: Outer,
    line: u64,
    /// Blanks before it, where it is the first on its line.
    indent: Option<usize>,
    object: Object,
    /// Empty once it is over the limit.
    bytes: Vec<u8>,
    is_too_long: bool,
}

const NOT_AN_OBJECT: &str = "is not a JSON object";
const NOT_CLOSED: &str = "is not valid JSON: it ends too early";

impl Splitter {
    /// For a file in which envelopes may have their records at these paths.
    pub(crate) fn new(envelopes: &'static [EnvelopePath]) -> Self {
        Self {
            envelopes,
            line: 1,
            blanks: Some(0),
            blank_lines: 0,
            seen: 0,
            is_arrays: false,
            is_strict: false,
            state: State::Between,
        }
    }

    /// Lines without anything on them, outside of records.
    pub(crate) fn blank_lines(&self) -> u64 {
        self.blank_lines
    }

    /// Takes the next piece of the file; appends what it completes to `out`.
    pub(crate) fn push(&mut self, chunk: &[u8], out: &mut Vec<Piece>) {
        let mut rest = chunk;
        while let Some((byte, after)) = rest.split_first() {
            let run = self.take_run(rest);
            if run > 0 {
                rest = rest.get(run..).unwrap_or_default();
                continue;
            }
            if !self.skip_mark(*byte, out) {
                self.byte(*byte, out);
            }
            rest = after;
        }
    }

    /// Takes what only goes on with a text in a record, all at once: most of a file is that. Says how much.
    fn take_run(&mut self, rest: &[u8]) -> usize {
        let State::Record(record) = &mut self.state else {
            return 0;
        };
        if !record.object.is_in_plain_text() {
            return 0;
        }
        let run = rest
            .iter()
            .take_while(|byte| !matches!(byte, b'"' | b'\\' | b'\n'))
            .count();
        if !record.is_too_long {
            record
                .bytes
                .extend_from_slice(rest.get(..run).unwrap_or_default());
        }
        self.seen = self.seen.saturating_add(run as u64);
        run
    }

    /// Takes the end of the file.
    pub(crate) fn finish(&mut self, out: &mut Vec<Piece>) {
        loop {
            match self.take() {
                // A few times at most: what was swallowed is read again strictly.
                State::Record(record) => self.fail(record, NOT_CLOSED, out),
                last => return self.end(last, out),
            }
        }
    }

    fn end(&self, last: State, out: &mut Vec<Piece>) {
        match last {
            State::After { line, bytes } => out.push(Piece::Record { line, bytes }),
            State::Lost { line, reason, .. } if reason == NOT_CLOSED => {
                self.problem(line, reason, out);
            }
            State::Lost { line, reason, .. } => {
                self.problem(
                    line,
                    format!("{reason}; nothing after it could be read"),
                    out,
                );
            }
            State::Garbage(Outer::File, _) | State::Between | State::Foreign => {}
            State::Record(_) | State::Elements(_) | State::Envelope(_) | State::Garbage(..) => {
                let is_new_line = self.blanks == Some(0) && self.line > 1;
                let line = self.line - u64::from(is_new_line);
                self.problem(line, "the file ends before its array of records does", out);
            }
        }
    }

    /// A byte order mark is skipped; the marks of UTF-16 end it all.
    fn skip_mark(&mut self, byte: u8, out: &mut Vec<Piece>) -> bool {
        let at = self.seen;
        self.seen = self.seen.saturating_add(1);
        match (at, byte) {
            (0, 0xEF) | (1, 0xBB) | (2, 0xBF) => true,
            (0, 0xFE | 0xFF) => {
                self.problem(1, "the file is UTF-16; only UTF-8 is read", out);
                self.state = State::Foreign;
                true
            }
            _ => false,
        }
    }

    fn take(&mut self) -> State {
        core::mem::replace(&mut self.state, State::Between)
    }

    fn problem(&self, line: u64, reason: impl Into<String>, out: &mut Vec<Piece>) {
        out.push(Piece::Problem {
            line,
            reason: reason.into(),
        });
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<Piece>) {
        // The first byte on its line that is no blank, with the blanks before it.
        let mut first = None;
        match byte {
            b'\n' => {}
            b' ' | b'\t' | b'\r' => self.blanks = self.blanks.map(|n| n + 1),
            _ => first = self.blanks.take(),
        }
        let line = self.line;
        match self.take() {
            State::Between => self.between(byte, first, out),
            State::Elements(outer) => self.element(outer, byte, first, out),
            State::Record(record) => self.record(record, byte, first, out),
            State::After { line, bytes } => self.after(line, bytes, byte, first, out),
            State::Envelope(envelope) => self.envelope(envelope, byte, out),
            State::Garbage(outer, text) => self.garbage(outer, text, byte, out),
            State::Lost {
                outer,
                line,
                indent,
                reason,
            } => {
                self.lost((outer, line, indent, reason), byte, first, out);
            }
            State::Foreign => self.state = State::Foreign,
        }
        if byte == b'\n' && self.line == line {
            let is_outside = matches!(self.state, State::Between | State::Elements(_));
            if self.blanks.is_some() && is_outside {
                self.blank_lines += 1;
            }
            self.line += 1;
            self.blanks = Some(0);
        }
    }

    fn between(&mut self, byte: u8, first: Option<usize>, out: &mut Vec<Piece>) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'{' => self.begin(Outer::File, first),
            b'[' if self.is_arrays || self.is_fresh() => {
                self.is_arrays = true;
                self.state = State::Elements(Outer::Array);
            }
            _ => {
                self.problem(self.line, NOT_AN_OBJECT, out);
                self.state = State::Garbage(Outer::File, Text::default());
            }
        }
    }

    /// Nothing but blanks came before.
    fn is_fresh(&self) -> bool {
        !self.is_strict && self.line == self.blank_lines + 1
    }

    fn element(&mut self, outer: Outer, byte: u8, first: Option<usize>, out: &mut Vec<Piece>) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => self.state = State::Elements(outer),
            b']' => self.close(outer),
            b'{' => self.begin(outer, first),
            _ => {
                self.problem(self.line, NOT_AN_OBJECT, out);
                self.garbage(outer, Text::default(), byte, out);
            }
        }
    }

    /// An array of records has ended.
    fn close(&mut self, outer: Outer) {
        self.state = match outer {
            Outer::Envelope(envelope) => State::Envelope(envelope),
            Outer::File | Outer::Array => State::Between,
        };
    }

    fn begin(&mut self, outer: Outer, indent: Option<usize>) {
        let mut object = Object::default();
        let _opened = object.step(b'{');
        self.state = State::Record(Record {
            outer,
            line: self.line,
            indent,
            object,
            bytes: vec![b'{'],
            is_too_long: false,
        });
    }

    fn record(&mut self, mut record: Record, byte: u8, first: Option<usize>, out: &mut Vec<Piece>) {
        let is_sibling = first.is_some() && first == record.indent && record.is_like_start(byte);
        if self.is_strict && is_sibling {
            self.blank_lines += blank_lines(&record.bytes);
            self.problem(record.line, NOT_CLOSED, out);
            return match record.outer {
                Outer::File => self.between(byte, first, out),
                outer => self.element(outer, byte, first, out),
            };
        }
        if !record.is_too_long {
            record.bytes.push(byte);
        }
        match record.object.step(byte) {
            Step::Inside => self.go_on(record, out),
            Step::ArrayOpened => {
                let is_inner = matches!(record.outer, Outer::Envelope(_));
                if is_inner || !self.is_path(&record.object) {
                    return self.go_on(record, out);
                }
                let mut object = record.object;
                object.give_up_array();
                let is_element = record.outer == Outer::Array;
                self.state = State::Elements(Outer::Envelope(Envelope { object, is_element }));
            }
            Step::Closed => self.complete(record, out),
            Step::Broken(reason) => self.fail(record, reason, out),
        }
    }

    fn go_on(&mut self, mut record: Record, out: &mut Vec<Piece>) {
        if record.bytes.len() > PROVIDER_RECORD_BYTES_MAX {
            if sibling(&record).is_some() {
                return self.fail(record, NOT_CLOSED, out);
            }
            record.is_too_long = true;
            record.bytes = Vec::new();
        }
        self.state = State::Record(record);
    }

    fn complete(&mut self, record: Record, out: &mut Vec<Piece>) {
        let problem = if record.is_too_long || record.bytes.len() > PROVIDER_RECORD_BYTES_MAX {
            Some(format!("is longer than {PROVIDER_RECORD_BYTES_MAX} bytes"))
        } else if record.object.was_too_deep {
            Some(format!("is nested deeper than {DEPTH_MAX}"))
        } else {
            invalid(&record.bytes)
        };
        let is_one_line = record.line == self.line;
        match problem {
            None => {
                self.is_strict |= is_one_line && record.indent.is_some();
                let (line, bytes) = (record.line, record.bytes);
                if record.outer == Outer::File {
                    self.state = State::After { line, bytes };
                } else {
                    out.push(Piece::Record { line, bytes });
                    self.state = State::Elements(record.outer);
                }
            }
            Some(reason) if is_one_line || sibling(&record).is_none() => {
                self.problem(record.line, reason, out);
                self.state = match record.outer {
                    Outer::File => State::Between,
                    outer => State::Elements(outer),
                };
            }
            Some(reason) => self.fail(record, &reason, out),
        }
    }

    /// The record went wrong. What it may have swallowed is read again.
    fn fail(&mut self, record: Record, reason: &str, out: &mut Vec<Piece>) {
        let swallowed = sibling(&record);
        let Record {
            outer,
            line,
            indent,
            bytes,
            ..
        } = record;
        if let Some(at) = swallowed {
            self.problem(line, reason, out);
            let (lost, again) = bytes.split_at(at);
            self.is_strict = true;
            self.line = line + lines(lost);
            self.blank_lines += blank_lines(lost);
            self.blanks = Some(0);
            self.state = match outer {
                Outer::File => State::Between,
                outer => State::Elements(outer),
            };
            for byte in again {
                self.byte(*byte, out);
            }
            return;
        }
        let ended_line = bytes.last() == Some(&b'\n');
        if outer == Outer::File && line == self.line {
            // One line of one-line records: the next is a new chance, whatever it begins with.
            self.problem(line, reason, out);
            self.state = if ended_line {
                State::Between
            } else {
                State::Garbage(Outer::File, Text::default())
            };
            return;
        }
        self.state = State::Lost {
            outer,
            line,
            indent,
            reason: reason.to_owned(),
        };
    }

    fn after(
        &mut self,
        line: u64,
        bytes: Vec<u8>,
        byte: u8,
        first: Option<usize>,
        out: &mut Vec<Piece>,
    ) {
        match byte {
            b' ' | b'\t' | b'\r' => self.state = State::After { line, bytes },
            b'\n' => out.push(Piece::Record { line, bytes }),
            b'{' => {
                out.push(Piece::Record { line, bytes });
                self.begin(Outer::File, first);
            }
            _ => {
                self.problem(line, "is followed by something else on its line", out);
                self.state = State::Garbage(Outer::File, Text::default());
            }
        }
    }

    fn envelope(&mut self, mut envelope: Envelope, byte: u8, out: &mut Vec<Piece>) {
        match envelope.object.step(byte) {
            Step::ArrayOpened if self.is_path(&envelope.object) => {
                envelope.object.give_up_array();
                self.state = State::Elements(Outer::Envelope(envelope));
            }
            Step::Inside | Step::ArrayOpened => self.state = State::Envelope(envelope),
            Step::Closed if envelope.is_element => self.state = State::Elements(Outer::Array),
            Step::Closed => self.state = State::Between,
            Step::Broken(reason) if envelope.is_element => {
                self.state = State::Lost {
                    outer: Outer::Array,
                    line: self.line,
                    indent: None,
                    reason: reason.to_owned(),
                };
            }
            Step::Broken(reason) => {
                self.problem(self.line, reason, out);
                if byte != b'\n' {
                    self.state = State::Garbage(Outer::File, Text::default());
                }
            }
        }
    }

    fn is_path(&self, object: &Object) -> bool {
        self.envelopes.iter().any(|path| object.is_at(path))
    }

    fn garbage(&mut self, outer: Outer, mut text: Text, byte: u8, out: &mut Vec<Piece>) {
        if outer == Outer::File {
            // To the end of the line.
            if byte != b'\n' {
                self.state = State::Garbage(outer, text);
            }
            return;
        }
        let was_inside = text.is_inside;
        text.step(byte);
        match byte {
            b'\n' => self.state = State::Elements(outer),
            b',' | b']' if !was_inside => self.element(outer, byte, None, out),
            _ => self.state = State::Garbage(outer, text),
        }
    }

    fn lost(
        &mut self,
        (outer, line, indent, reason): (Outer, u64, Option<usize>, String),
        byte: u8,
        first: Option<usize>,
        out: &mut Vec<Piece>,
    ) {
        let is_alike = first.is_some_and(|n| indent.is_none_or(|indent| n == indent));
        let ends_array =
            byte == b']' && outer != Outer::File && first.is_some_and(|n| Some(n) < indent);
        if ends_array || (byte == b'{' && is_alike) {
            self.problem(line, reason, out);
            self.is_strict = true;
            if ends_array {
                self.close(outer)
            } else {
                self.begin(outer, first)
            }
            return;
        }
        self.state = State::Lost {
            outer,
            line,
            indent,
            reason,
        };
    }
}

impl Record {
    /// Whether a line that begins with this byte, as far in as the record does, begins something new. A
    /// record that is written over many lines has only its end there, or where nothing is indented, more.
    fn is_like_start(&self, byte: u8) -> bool {
        let first_line = self
            .bytes
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        if first_line.trim_ascii() == b"{" {
            byte == b'{'
        } else {
            !matches!(byte, b'}' | b']')
        }
    }
}

/// Where in a record's bytes a line begins like the record itself.
fn sibling(record: &Record) -> Option<usize> {
    let indent = record.indent?;
    let mut at = 0;
    for line in record.bytes.split_inclusive(|byte| *byte == b'\n') {
        let blanks = line
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
            .count();
        let first = line.get(blanks).filter(|byte| **byte != b'\n');
        if at > 0 && blanks == indent && first.is_some_and(|byte| record.is_like_start(*byte)) {
            return Some(at);
        }
        at += line.len();
    }
    None
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// Blank lines in bytes that were given up, the first line aside.
fn blank_lines(bytes: &[u8]) -> u64 {
    let inner = bytes.split_inclusive(|byte| *byte == b'\n').skip(1);
    inner
        .map(|line| u64::from(line.ends_with(b"\n") && line.trim_ascii().is_empty()))
        .sum()
}

#[cfg(test)]
mod tests;
