//! From a file's bytes to records, and the count of everything that is none. Runs on blocking threads.

use tocsin_correlate::{Provider, identity_keys};
use tocsin_proto::console::v1::{ImportProblem, ImportSummary};
use tocsin_proto::limits::IMPORT_PROBLEMS_MAX;

use super::Record;
use crate::feed::split::{Piece, Splitter};
use crate::feed::{self, Parsed};

/// Bytes that are split before what came out of them is understood: bounds how many pieces there are at once.
const STEP_BYTES: usize = 64 << 10;

/// Bytes of one problem's reason.
const REASON_BYTES_MAX: usize = 512;

/// A file on its way in.
#[derive(Debug)]
pub(super) struct Reader {
    provider: Provider,
    splitter: Splitter,
    /// Understood and not stored yet.
    pub(super) records: Vec<Record>,
    /// Bytes of them.
    pub(super) record_bytes: usize,
    /// Bytes taken.
    pub(super) bytes_read: u64,
    /// All but `imported`, `repeated` and the incidents.
    pub(super) summary: ImportSummary,
}

impl Reader {
    /// Nothing yet.
    pub(super) fn new(provider: Provider) -> Self {
        Self {
            splitter: Splitter::new(feed::envelopes(provider)),
            provider,
            records: Vec::new(),
            record_bytes: 0,
            bytes_read: 0,
            summary: ImportSummary::default(),
        }
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.bytes_read = self.bytes_read.saturating_add(chunk.len() as u64);
        let mut pieces = Vec::new();
        for step in chunk.chunks(STEP_BYTES) {
            self.splitter.push(step, &mut pieces);
            pieces.drain(..).for_each(|piece| self.piece(piece));
        }
    }

    /// Takes the end.
    pub(super) fn finish(&mut self) {
        let mut pieces = Vec::new();
        self.splitter.finish(&mut pieces);
        pieces.into_iter().for_each(|piece| self.piece(piece));
        self.summary.blank_lines = self.splitter.blank_lines();
    }

    /// What is ready to be stored.
    pub(super) fn take(&mut self) -> Vec<Record> {
        self.record_bytes = 0;
        std::mem::take(&mut self.records)
    }

    fn piece(&mut self, piece: Piece) {
        self.summary.records += 1;
        let (line, bytes) = match piece {
            Piece::Record { line, bytes } => (line, bytes),
            Piece::Problem { line, reason } => return self.problem(line, &reason),
        };
        match feed::parse(self.provider, &bytes) {
            Ok(Parsed::Unused(_kind)) => self.summary.unused += 1,
            Ok(Parsed::Event(event, _)) if identity_keys(&event.account).is_empty() => {
                self.problem(line, "names no account");
            }
            Ok(Parsed::Event(event, raw)) => {
                self.record_bytes += raw.len();
                self.records.push(Record {
                    event: *event,
                    raw: raw.into_owned(),
                });
            }
            Err(error) => self.problem(line, &error.to_string()),
        }
    }

    fn problem(&mut self, line: u64, reason: &str) {
        self.summary.malformed += 1;
        if self.summary.problems.len() < IMPORT_PROBLEMS_MAX {
            let mut end = reason.len().min(REASON_BYTES_MAX);
            while !reason.is_char_boundary(end) {
                end -= 1;
            }
            self.summary.problems.push(ImportProblem {
                line,
                reason: reason.get(..end).unwrap_or_default().to_owned(),
            });
        }
    }
}
