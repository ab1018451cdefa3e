//! From a file's bytes to records, and the count of everything that is none. Runs on blocking threads.

use sha2::{Digest, Sha256};
use tocsin_correlate::{MfaEvent, identity_keys};
use tocsin_proto::console::v1::{ImportProblem, ImportSummary};
use tocsin_proto::limits::IMPORT_PROBLEMS_MAX;

use super::Record;
use super::kinds::{self, Kinds, Outcome};
use crate::feed::split::{Piece, Splitter};
use crate::feed::{Format, Parsed};

/// Bytes that are split before what came out of them is understood: bounds how many pieces there are at once.
const STEP_BYTES: usize = 64 << 10;

/// Bytes of one problem's reason.
const REASON_BYTES_MAX: usize = 512;

/// Malformed records whose hashes are kept; more are counted with the last of them.
const REFUSED_MAX: usize = 1_000;

/// How far ahead of this server's clock a record may be dated. By the newest record of a provider its prompts are
/// known to be unanswered: one from next year would make every prompt that waits look ignored.
const AHEAD_MS_MAX: i64 = 24 * 60 * 60 * 1000;

/// A file on its way in.
#[derive(Debug)]
pub(super) struct Reader {
    format: Format,
    splitter: Splitter,
    /// Of all bytes taken.
    digest: Sha256,
    /// Records dated later are refused.
    latest_ms: i64,
    /// Understood and not stored yet.
    pub(super) records: Vec<Record>,
    /// Bytes of them.
    pub(super) record_bytes: usize,
    /// Bytes taken.
    pub(super) bytes_read: u64,
    /// All but `imported`, `repeated`, `kinds` and the incidents.
    pub(super) summary: ImportSummary,
    /// What the records were.
    pub(super) kinds: Kinds,
    /// SHA-256 of each malformed record.
    pub(super) refused: Vec<[u8; 32]>,
    /// Why the last of them is malformed.
    pub(super) refused_reason: String,
}

impl Reader {
    /// Nothing yet.
    pub(super) fn new(format: Format, now_ms: i64) -> Self {
        Self {
            splitter: Splitter::new(format.envelopes()),
            format,
            digest: Sha256::new(),
            latest_ms: now_ms.saturating_add(AHEAD_MS_MAX),
            records: Vec::new(),
            record_bytes: 0,
            bytes_read: 0,
            summary: ImportSummary::default(),
            kinds: Kinds::default(),
            refused: Vec::new(),
            refused_reason: String::new(),
        }
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.bytes_read = self.bytes_read.saturating_add(chunk.len() as u64);
        self.digest.update(chunk);
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

    /// SHA-256 of the whole file, once it has ended.
    pub(super) fn sha256(&self) -> [u8; 32] {
        self.digest.clone().finalize().into()
    }

    fn piece(&mut self, piece: Piece) {
        self.summary.records += 1;
        let (line, bytes) = match piece {
            Piece::Record { line, bytes } => (line, bytes),
            Piece::Problem { line, reason } => {
                // It has no bytes of its own: it is known by where it stands.
                let place = [self.sha256().as_slice(), &line.to_be_bytes()].concat();
                return self.problem(line, &place, &reason);
            }
        };
        match self.format.parse(&bytes) {
            Ok(Parsed::Unused(kind)) => {
                self.kinds.count(Outcome::Unused, &kind);
                self.summary.unused += 1;
            }
            Ok(Parsed::Events(events, _)) if events.iter().any(is_nobodys) => {
                self.problem(line, &bytes, "names no account");
            }
            Ok(Parsed::Events(events, _)) if events.iter().any(|e| e.time_ms > self.latest_ms) => {
                self.problem(
                    line,
                    &bytes,
                    "is dated more than a day after this server's time",
                );
            }
            Ok(Parsed::Events(events, raw)) => {
                self.kinds.count(Outcome::Used, &kinds::of(&events));
                self.record_bytes += raw.len() * events.len();
                self.records.push(Record {
                    events,
                    raw: raw.into_owned(),
                });
            }
            Err(error) => self.problem(line, &bytes, &error.to_string()),
        }
    }

    fn problem(&mut self, line: u64, record: &[u8], reason: &str) {
        self.summary.malformed += 1;
        if self.refused.len() < REFUSED_MAX {
            self.refused.push(Sha256::digest(record).into());
            reason.clone_into(&mut self.refused_reason);
        }
        self.kinds.count(Outcome::Malformed, reason);
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

fn is_nobodys(event: &MfaEvent) -> bool {
    identity_keys(&event.account).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_773_281_411_000;

    fn record(time: &str) -> String {
        format!(
            r#"{{"eventType":"user.session.start","uuid":"{time}","published":"{time}",
            "outcome":{{"result":"SUCCESS"}},
            "actor":{{"type":"User","id":"00u1","alternateId":"dana@example.com"}}}}"#
        )
        .replace('\n', "")
    }

    fn read(file: &str) -> Reader {
        let mut reader = Reader::new(Format::Okta, NOW_MS);
        reader.push(file.as_bytes());
        reader.finish();
        reader
    }

    #[test]
    fn a_record_from_the_future_is_refused_with_its_line() {
        // A day ahead and a second more; a clock that is off by hours is common.
        let file = [
            record("2026-03-12T02:10:11Z"),
            record("2026-03-13T02:10:12Z"),
            record("2026-03-13T02:10:11Z"),
            record("9999-12-31T00:00:00Z"),
        ]
        .join("\n");
        let reader = read(&file);
        assert_eq!(reader.records.len(), 2);
        let lines: Vec<u64> = reader.summary.problems.iter().map(|p| p.line).collect();
        assert_eq!(lines, [2, 4]);
        assert!(
            reader.summary.problems[0]
                .reason
                .starts_with("is dated more than a day")
        );
    }

    #[test]
    fn a_files_digest_does_not_depend_on_its_pieces() {
        let file = record("2026-03-12T02:10:11Z");
        let mut reader = Reader::new(Format::Okta, NOW_MS);
        for byte in file.as_bytes() {
            reader.push(&[*byte]);
        }
        reader.finish();
        assert_eq!(reader.sha256(), read(&file).sha256());
        assert_ne!(reader.sha256(), read(&format!("{file}\n")).sha256());
    }
}
