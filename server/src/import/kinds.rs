//! What the records of a file were, counted by kind: what a provider's export holds, and why some of it is refused.
//!
//! Bounded: kinds beyond the first [`KEPT_MAX`] are counted together, so that a hostile file cannot fill memory with them.

use std::collections::BTreeMap;

use tocsin_correlate::MfaEvent;
use tocsin_proto::console::v1::ImportKind;
use tocsin_proto::limits::IMPORT_KINDS_MAX;

/// Kinds that are told apart while a file is read.
const KEPT_MAX: usize = 2_000;

/// Bytes of a kind's name.
const WHAT_BYTES_MAX: usize = 200;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Used,
    Unused,
    Malformed,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Unused => "unused",
            Self::Malformed => "malformed",
        }
    }
}

/// The count.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    records: BTreeMap<(Outcome, String), u64>,
    others: BTreeMap<Outcome, u64>,
}

impl Kinds {
    /// One record more.
    pub(super) fn count(&mut self, outcome: Outcome, what: &str) {
        let mut end = what.len().min(WHAT_BYTES_MAX);
        while !what.is_char_boundary(end) {
            end -= 1;
        }
        let key = (outcome, what.get(..end).unwrap_or_default().to_owned());
        if let Some(count) = self.records.get_mut(&key) {
            *count += 1;
        } else if self.records.len() < KEPT_MAX {
            self.records.insert(key, 1);
        } else {
            *self.others.entry(outcome).or_default() += 1;
        }
    }

    /// Rows by outcome, most frequent first; what does not fit is in a last row for each outcome.
    pub(super) fn rows(&self) -> Vec<ImportKind> {
        let mut sorted: Vec<_> = self.records.iter().collect();
        sorted
            .sort_by_key(|((outcome, what), count)| (*outcome, core::cmp::Reverse(**count), what));
        let mut others = self.others.clone();
        for ((outcome, _), count) in sorted.iter().skip(IMPORT_KINDS_MAX) {
            *others.entry(*outcome).or_default() += **count;
        }
        let named = sorted.iter().take(IMPORT_KINDS_MAX);
        let named = named.map(|((outcome, what), count)| row(*outcome, what, **count));
        let others = others.iter();
        let others = others.map(|(outcome, count)| row(*outcome, "others", *count));
        named.chain(others).collect()
    }
}

fn row(outcome: Outcome, what: &str, records: u64) -> ImportKind {
    ImportKind {
        outcome: outcome.word().to_owned(),
        what: what.to_owned(),
        records,
    }
}

/// The kinds of the MFA events that a record became, as they are written everywhere.
pub(super) fn of(events: &[MfaEvent]) -> String {
    let word = |event: &MfaEvent| {
        let value = serde_json::to_value(event.kind).ok();
        value.and_then(|value| Some(value.as_str()?.to_owned()))
    };
    let mut words: Vec<String> = events.iter().filter_map(word).collect();
    words.dedup();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_in_one_row() {
        let mut kinds = Kinds::default();
        kinds.count(Outcome::Used, "denied");
        for n in 0..3_000 {
            kinds.count(Outcome::Unused, &format!("kind {}", n % 2_500));
        }
        // Too late for a row of its own.
        kinds.count(Outcome::Malformed, &"\u{fc}".repeat(500));
        let rows = kinds.rows();
        assert_eq!(rows.iter().map(|row| row.records).sum::<u64>(), 3_002);
        assert_eq!(rows.len(), IMPORT_KINDS_MAX + 2);
        assert_eq!(rows[0].what, "denied");
        assert_eq!(rows[1].records, 2, "most frequent first");
        let mut long = Kinds::default();
        long.count(Outcome::Malformed, &"\u{fc}".repeat(500));
        assert_eq!(long.rows()[0].what, "\u{fc}".repeat(WHAT_BYTES_MAX / 2));
    }
}
