//! The audit log: who did what to what, written before it happens.
//!
//! Rows are append-only and chained, so that changing, removing or reordering one shows:
//!
//! ```text
//! hash(n) = SHA-256( "tocsin/audit/v1" | hash(n-1) | n | time_ms | 6 texts, each after its length )
//!           numbers: 8 bytes big-endian; hash(0): 32 zero bytes
//! texts     actor_kind, actor, action, target, detail, decision
//! ```
//!
//! A cut tail does not show by itself: keep the head hash that `audit verify` prints somewhere else.
//! Reads are not recorded; every change and every refusal is. If a row cannot be written, the action is
//! refused. Refusals are bounded: a caller who is refused all the time fills neither the disk nor the
//! log, see [`REFUSALS_PER_MINUTE_MAX`].

use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::clock::now_ms;
use crate::per_minute::PerMinute;
use crate::rpc::auth::{Caller, Method};
use crate::store::{StateStore, StoreError};

/// Refusals of one actor that are written one by one in a minute; the last of them says that more followed.
const REFUSALS_PER_MINUTE_MAX: u32 = 20;

/// Actors whose refusals are told apart in a minute.
const REFUSED_ACTORS_MAX: usize = 1024;

/// Bytes of a target or detail that are kept; foreign text may be long.
const TEXT_BYTES_MAX: usize = 2048;

const DOMAIN: &[u8] = b"tocsin/audit/v1";

/// The hash before the first row.
pub(crate) const GENESIS: Hash = [0; 32];

/// Hash of a row.
pub(crate) type Hash = [u8; 32];

/// What kind of actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActorKind {
    /// A console.
    Analyst,
    /// An enrolled machine.
    Endpoint,
    /// A command on the server's machine.
    Operator,
    /// The server by itself.
    Server,
    /// A peer without a known certificate.
    Unknown,
}

impl ActorKind {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Analyst => "analyst",
            Self::Endpoint => "endpoint",
            Self::Operator => "operator",
            Self::Server => "server",
            Self::Unknown => "unknown",
        }
    }
}

/// Allowed or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It was done, or at least tried.
    Allowed,
    /// It was not.
    Refused,
}

impl Decision {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
        }
    }
}

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditEntry {
    /// When.
    pub(crate) time_ms: i64,
    /// Who, by kind.
    pub(crate) actor_kind: ActorKind,
    /// Who.
    pub(crate) actor: String,
    /// "endpoints.revoke", "token.create", ...
    pub(crate) action: &'static str,
    /// To what.
    pub(crate) target: String,
    /// How, or why not.
    pub(crate) detail: String,
    /// Allowed or refused.
    pub(crate) decision: Decision,
}

impl AuditEntry {
    /// What a caller is about to do by a method.
    pub(crate) fn allowed(caller: &Caller, method: Method, target: &str, detail: &str) -> Self {
        let (actor_kind, actor) = caller.actor();
        Self {
            time_ms: now_ms(),
            actor_kind,
            actor,
            action: method.action(),
            target: bounded(target),
            detail: bounded(detail),
            decision: Decision::Allowed,
        }
    }

    /// What a command on the server's machine is about to do.
    pub(crate) fn operator(action: &'static str, target: &str, detail: &str) -> Self {
        Self {
            time_ms: now_ms(),
            actor_kind: ActorKind::Operator,
            actor: String::new(),
            action,
            target: bounded(target),
            detail: bounded(detail),
            decision: Decision::Allowed,
        }
    }

    /// What the server does by itself.
    pub(crate) fn server(action: &'static str, target: &str, detail: &str) -> Self {
        Self {
            actor_kind: ActorKind::Server,
            ..Self::operator(action, target, detail)
        }
    }
}

fn bounded(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// A stored row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditRow {
    /// Position, from 1.
    pub(crate) number: u64,
    /// When.
    pub(crate) time_ms: i64,
    /// The six texts, in the order of the hash.
    pub(crate) texts: [String; 6],
    /// As stored.
    pub(crate) hash: Hash,
}

/// The texts of an entry, in the order of the hash.
pub(crate) fn texts(entry: &AuditEntry) -> [&str; 6] {
    [
        entry.actor_kind.word(),
        &entry.actor,
        entry.action,
        &entry.target,
        &entry.detail,
        entry.decision.word(),
    ]
}

/// Hash of the row `number` that follows `previous`.
pub(crate) fn chain(previous: &Hash, number: u64, time_ms: i64, texts: [&str; 6]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(previous);
    hash.update(number.to_be_bytes());
    hash.update(time_ms.to_be_bytes());
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

/// Walks the chain, row by row.
#[derive(Debug)]
pub(crate) struct Verifier {
    rows: u64,
    head: Hash,
    bad: Option<(u64, &'static str)>,
}

impl Verifier {
    /// Before the first row.
    pub(crate) fn new() -> Self {
        Self {
            rows: 0,
            head: GENESIS,
            bad: None,
        }
    }

    /// Takes the next row; after the first bad one it only counts.
    pub(crate) fn take(&mut self, row: &AuditRow) {
        let expected = self.rows + 1;
        self.rows = expected;
        if self.bad.is_some() {
            return;
        }
        let texts = row.texts.each_ref().map(String::as_str);
        if row.number != expected {
            self.bad = Some((expected, "a row is missing or out of order"));
        } else if chain(&self.head, row.number, row.time_ms, texts) != row.hash {
            self.bad = Some((row.number, "the row does not follow from the one before it"));
        } else {
            self.head = row.hash;
        }
    }

    /// Rows taken.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Hash of the last good row.
    pub(crate) fn head(&self) -> Hash {
        self.head
    }

    /// The first bad row and what is wrong with it.
    pub(crate) fn bad(&self) -> Option<(u64, &'static str)> {
        self.bad
    }
}

/// Records, and keeps refusals within bounds. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    store: Arc<dyn StateStore>,
    refusals: Arc<Mutex<PerMinute<String>>>,
}

impl Audit {
    /// Over a store.
    pub(crate) fn new(store: Arc<dyn StateStore>) -> Self {
        Self {
            store,
            refusals: Arc::new(Mutex::new(PerMinute::new(REFUSED_ACTORS_MAX))),
        }
    }

    /// Records what a caller is about to do. Do it only after this returned `Ok`.
    pub(crate) async fn allowed(
        &self,
        caller: &Caller,
        method: Method,
        target: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        let entry = AuditEntry::allowed(caller, method, target, detail);
        self.store.append_audit(&entry).await
    }

    /// Records that a caller was refused, within the bound.
    pub(crate) async fn refused(
        &self,
        caller: &Caller,
        method: Method,
        why: &str,
    ) -> Result<(), StoreError> {
        let mut entry = AuditEntry::allowed(caller, method, "", why);
        entry.decision = Decision::Refused;
        let count = self
            .refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(entry.actor.clone(), entry.time_ms);
        if count > REFUSALS_PER_MINUTE_MAX {
            return Ok(());
        }
        if count == REFUSALS_PER_MINUTE_MAX {
            entry
                .detail
                .push_str(" (more in this minute are not recorded)");
        }
        self.store.append_audit(&entry).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u64) -> Vec<AuditRow> {
        let mut head = GENESIS;
        let row = |number: u64| {
            let texts = ["operator", "", "token.create", "t", "", "allowed"];
            head = chain(&head, number, 7, texts);
            AuditRow {
                number,
                time_ms: 7,
                texts: texts.map(str::to_owned),
                hash: head,
            }
        };
        (1..=count).map(row).collect()
    }

    /// The first bad row after a change.
    fn first_bad(change: impl FnOnce(&mut Vec<AuditRow>)) -> Option<u64> {
        let mut rows = rows(5);
        change(&mut rows);
        let mut verifier = Verifier::new();
        for row in &rows {
            verifier.take(row);
        }
        assert_eq!(verifier.rows(), rows.len() as u64);
        verifier.bad().map(|(row, _)| row)
    }

    #[test]
    fn an_untouched_log_is_intact() {
        assert_eq!(first_bad(|_| {}), None);
        assert_eq!(Verifier::new().bad(), None);
    }

    #[test]
    fn a_changed_row_is_found() {
        for text in 0..6 {
            assert_eq!(first_bad(|rows| rows[2].texts[text].push('x')), Some(3));
        }
        assert_eq!(first_bad(|rows| rows[2].time_ms += 1), Some(3));
        assert_eq!(first_bad(|rows| rows[2].hash[0] ^= 1), Some(3));
    }

    #[test]
    fn text_moved_from_one_field_to_the_next_is_found() {
        let changed = first_bad(|rows| {
            rows[2].texts[3].clear();
            rows[2].texts[4] = "t".to_owned();
        });
        assert_eq!(changed, Some(3));
    }

    #[test]
    fn a_removed_row_is_found() {
        assert_eq!(first_bad(|rows| drop(rows.remove(2))), Some(3));
        assert_eq!(first_bad(|rows| drop(rows.remove(0))), Some(1));
        let renumbered = first_bad(|rows| {
            rows.remove(2);
            for row in &mut rows[2..] {
                row.number -= 1;
            }
        });
        assert_eq!(renumbered, Some(3));
    }

    #[test]
    fn reordered_rows_are_found() {
        assert_eq!(first_bad(|rows| rows.swap(1, 2)), Some(2));
        let renumbered = first_bad(|rows| {
            rows.swap(1, 2);
            (rows[1].number, rows[2].number) = (2, 3);
        });
        assert_eq!(renumbered, Some(2));
    }

    #[test]
    fn the_hash_is_the_documented_one() {
        let texts = ["operator", "", "token.create", "t", "", "allowed"];
        let hash = data_encoding::HEXLOWER.encode(&chain(&GENESIS, 1, 7, texts));
        assert_eq!(
            hash,
            "c99c93a7d706eb49e5c124f9a36c3bfe635c446f6291dce953f5cfa93efd057f"
        );
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let entry = AuditEntry::operator("x.y", &"ü".repeat(TEXT_BYTES_MAX), "");
        assert_eq!(entry.target.len(), TEXT_BYTES_MAX);
        assert!(bounded(&format!("a{}", "ü".repeat(TEXT_BYTES_MAX))).len() < TEXT_BYTES_MAX);
    }
}
