//! The ledger: what the spool must remember beside the records. One small file, replaced as a whole.
//!
//! ```text
//! ledger       written as ledger.new, synced, renamed, names synced
//!  0  8  magic "tocLEDGR"
//!  8  4  version
//! 12  4  bytes of the body
//! 16  4  crc32c of bytes 0..16 and the body
//! 20     body:  next segment number 8, next loss number 8, then four lists, each with its count 4:
//!          cursor   run 16, committed through 8
//!          dead     segment 8               dropped; its file may come back after a crash
//!          damage   segment 8, offset 8     already in a loss, though the bytes are still there
//!          loss     number 8, reason 1, run 16, first 8, last 8 (all 0: unknown), events 8 (max: unknown)
//! ```
//!
//! An old ledger is safe: it makes the spool send again what was committed since. Limits: each list
//! holds [`ENTRIES_MAX`] entries (dead: one a segment); the last losses are merged beyond that,
//! keeping the count of events, and forgotten cursors only make the spool send again.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_proto::id::{EventSequence, RunId};

use crate::record::{Fields, Span};

/// Version of the ledger's layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LedgerVersion(u32);

impl LedgerVersion {
    const CURRENT: Self = Self(1);
}

pub(crate) const LEDGER_NAME: &str = "ledger";
pub(crate) const LEDGER_NEW_NAME: &str = "ledger.new";
/// Where the ledger of a newer version is moved, so that ours does not replace it.
pub(crate) const LEDGER_ASIDE_NAME: &str = "ledger.aside";

/// Entries of each list.
pub(crate) const ENTRIES_MAX: usize = 256;

/// A longer file is no ledger.
pub(crate) const LEDGER_BYTES_MAX: u64 = 1 << 20;

const MAGIC: [u8; 8] = *b"tocLEDGR";
const SUMMED_HEAD_BYTES: usize = 16;
const UNKNOWN: u64 = u64::MAX;

/// Events that were pushed and cannot be delivered. Becomes a gap event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Rises from loss to loss; for [`Spool::settle_losses`](crate::Spool::settle_losses).
    pub number: u64,
    /// Why.
    pub reason: LossReason,
    /// Which events, as far as known.
    pub span: Option<Span>,
    /// How many, as far as known. Fewer than the span has, where losses had to be merged.
    pub events: Option<u64>,
}

/// Why events were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossReason {
    /// The spool was full and dropped its oldest.
    Evicted,
    /// The disk gave back something else, or nothing.
    Damaged,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) next_segment: u64,
    pub(crate) next_loss: u64,
    pub(crate) cursors: BTreeMap<RunId, u64>,
    pub(crate) dead: BTreeSet<u64>,
    pub(crate) damage: BTreeSet<(u64, u64)>,
    pub(crate) losses: Vec<Loss>,
}

/// What a ledger file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerState {
    /// There is none: a new spool.
    Absent,
    /// Read.
    Read,
    /// Not readable: everything in the spool is sent again, and losses not yet settled are forgotten.
    Damaged,
    /// Written by a newer version, and moved aside; otherwise as if damaged.
    Newer,
}

impl Ledger {
    /// The part of a span that is not committed.
    pub(crate) fn uncommitted(&self, span: Span) -> Option<Span> {
        let committed = self.cursors.get(&span.run).copied().unwrap_or(0);
        let first = EventSequence(span.first.0.max(committed.saturating_add(1)));
        (first <= span.last).then_some(Span { first, ..span })
    }

    /// Notes lost events, less those that were committed. `merge_after` is the newest loss that may
    /// already be in a gap event and so stays as it is.
    pub(crate) fn lose(&mut self, reason: LossReason, span: Option<Span>, merge_after: u64) {
        let span = match span.map(|span| self.uncommitted(span)) {
            Some(None) => return,
            Some(left) => left,
            None => None,
        };
        let number = self.next_loss.max(1);
        self.next_loss = number + 1;
        let mut loss = Loss {
            number,
            reason,
            span,
            events: span.map(|span| span.events()),
        };
        let full = self.losses.len() >= ENTRIES_MAX;
        if let Some(last) = self
            .losses
            .pop_if(|last| full || joins(last, &loss, merge_after))
        {
            loss.events = last.events.zip(loss.events).map(|(one, other)| one + other);
            loss.span = last
                .span
                .zip(loss.span)
                .and_then(|(one, other)| covering(one, other));
        }
        self.losses.push(loss);
    }

    /// Notes damage in a segment; false where it was known.
    pub(crate) fn note_damage(&mut self, segment: u64, offset: u64) -> bool {
        let known = self.damage.contains(&(segment, offset));
        if !known && self.damage.len() < ENTRIES_MAX {
            self.damage.insert((segment, offset));
        }
        !known
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut put = |number: u64| body.extend_from_slice(&number.to_le_bytes());
        put(self.next_segment);
        put(self.next_loss);
        let cursors = self.cursors.len().min(ENTRIES_MAX);
        put_count(&mut body, cursors);
        for (run, committed) in self.cursors.iter().take(cursors) {
            body.extend_from_slice(run.as_bytes());
            body.extend_from_slice(&committed.to_le_bytes());
        }
        put_count(&mut body, self.dead.len());
        for segment in &self.dead {
            body.extend_from_slice(&segment.to_le_bytes());
        }
        put_count(&mut body, self.damage.len());
        for (segment, offset) in &self.damage {
            body.extend_from_slice(&segment.to_le_bytes());
            body.extend_from_slice(&offset.to_le_bytes());
        }
        put_count(&mut body, self.losses.len());
        for loss in &self.losses {
            put_loss(&mut body, loss);
        }
        framed(&body)
    }

    /// Reads a ledger file.
    pub(crate) fn decode(bytes: &[u8]) -> (LedgerState, Self) {
        let Some((version, body)) = unframed(bytes) else {
            return (LedgerState::Damaged, Self::default());
        };
        if version > LedgerVersion::CURRENT {
            return (LedgerState::Newer, Self::default());
        }
        match Self::decode_body(body) {
            Some(ledger) => (LedgerState::Read, ledger),
            None => (LedgerState::Damaged, Self::default()),
        }
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        let mut fields = Fields(body);
        let mut ledger = Self {
            next_segment: fields.u64()?,
            next_loss: fields.u64()?,
            ..Self::default()
        };
        for _ in 0..fields.u32()? {
            ledger
                .cursors
                .insert(RunId::from_bytes(fields.array()?), fields.u64()?);
        }
        for _ in 0..fields.u32()? {
            ledger.dead.insert(fields.u64()?);
        }
        for _ in 0..fields.u32()? {
            ledger.damage.insert((fields.u64()?, fields.u64()?));
        }
        for _ in 0..fields.u32()? {
            ledger.losses.push(take_loss(&mut fields)?);
        }
        fields.0.is_empty().then_some(ledger)
    }
}

/// Whether two losses can be told as one without saying less.
fn joins(last: &Loss, next: &Loss, merge_after: u64) -> bool {
    let continued = last
        .span
        .zip(next.span)
        .is_some_and(|(one, other)| one.continued_by(&other));
    continued && last.reason == next.reason && last.number > merge_after
}

fn covering(one: Span, other: Span) -> Option<Span> {
    let (first, last) = (one.first.min(other.first), one.last.max(other.last));
    (one.run == other.run).then_some(Span {
        run: one.run,
        first,
        last,
    })
}

fn put_count(body: &mut Vec<u8>, count: usize) {
    body.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_loss(body: &mut Vec<u8>, loss: &Loss) {
    let unknown = Span {
        run: RunId::from_bytes([0; 16]),
        first: EventSequence(0),
        last: EventSequence(0),
    };
    let span = loss.span.unwrap_or(unknown);
    body.extend_from_slice(&loss.number.to_le_bytes());
    body.push(match loss.reason {
        LossReason::Evicted => 0,
        LossReason::Damaged => 1,
    });
    body.extend_from_slice(span.run.as_bytes());
    body.extend_from_slice(&span.first.0.to_le_bytes());
    body.extend_from_slice(&span.last.0.to_le_bytes());
    body.extend_from_slice(&loss.events.unwrap_or(UNKNOWN).to_le_bytes());
}

fn take_loss(fields: &mut Fields<'_>) -> Option<Loss> {
    let number = fields.u64()?;
    let reason = match fields.array()? {
        [0] => LossReason::Evicted,
        [1] => LossReason::Damaged,
        _ => return None,
    };
    let span = fields.span()?;
    let events = fields.u64()?;
    Some(Loss {
        number,
        reason,
        span: (span.first.0 != 0).then_some(span),
        events: (events != UNKNOWN).then_some(events),
    })
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&LedgerVersion::CURRENT.0.to_le_bytes());
    put_count(&mut bytes, body.len());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), body);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn unframed(bytes: &[u8]) -> Option<(LedgerVersion, &[u8])> {
    let mut fields = Fields(bytes);
    let magic: [u8; 8] = fields.array()?;
    let version = LedgerVersion(fields.u32()?);
    let body_bytes = fields.u32()?;
    let crc = fields.u32()?;
    let body = fields.0;
    let summed = crc32c::crc32c(bytes.get(..SUMMED_HEAD_BYTES)?);
    let valid = magic == MAGIC
        && u32::try_from(body.len()) == Ok(body_bytes)
        && crc == crc32c::crc32c_append(summed, body);
    valid.then_some((version, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(run: u8, first: u64, last: u64) -> Span {
        Span {
            run: RunId::from_bytes([run; 16]),
            first: EventSequence(first),
            last: EventSequence(last),
        }
    }

    fn full() -> Ledger {
        let mut ledger = Ledger {
            next_segment: 9,
            ..Ledger::default()
        };
        ledger.cursors.insert(span(1, 1, 1).run, 512);
        ledger.dead.insert(4);
        ledger.note_damage(5, 32);
        ledger.lose(LossReason::Evicted, Some(span(1, 513, 600)), 0);
        ledger.lose(LossReason::Damaged, None, 0);
        ledger
    }

    #[test]
    fn a_ledger_goes_there_and_back() {
        assert_eq!(
            Ledger::decode(&full().encode()),
            (LedgerState::Read, full())
        );
    }

    #[test]
    fn a_ledger_is_valid_only_whole_and_unchanged() {
        let bytes = full().encode();
        for at in 0..bytes.len() {
            assert_eq!(
                Ledger::decode(&bytes[..at]).0,
                LedgerState::Damaged,
                "cut at {at}"
            );
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            assert_eq!(
                Ledger::decode(&bytes).0,
                LedgerState::Damaged,
                "changed at {at}"
            );
        }
    }

    #[test]
    fn losses_that_follow_each_other_are_one_unless_the_first_was_told() {
        let mut ledger = Ledger::default();
        ledger.lose(LossReason::Evicted, Some(span(1, 1, 10)), 0);
        ledger.lose(LossReason::Evicted, Some(span(1, 11, 20)), 0);
        assert_eq!(ledger.losses.len(), 1);
        assert_eq!(ledger.losses[0].span, Some(span(1, 1, 20)));
        assert_eq!(ledger.losses[0].events, Some(20));
        let told = ledger.losses[0].number;
        ledger.lose(LossReason::Evicted, Some(span(1, 21, 30)), told);
        ledger.lose(LossReason::Damaged, Some(span(1, 31, 40)), told);
        ledger.lose(LossReason::Damaged, Some(span(2, 41, 50)), told);
        assert_eq!(ledger.losses.len(), 4);
    }

    #[test]
    fn too_many_losses_keep_their_count() {
        let mut ledger = Ledger::default();
        for number in 0..1000 {
            ledger.lose(
                LossReason::Evicted,
                Some(span(1, number * 10 + 1, number * 10 + 2)),
                0,
            );
        }
        assert_eq!(ledger.losses.len(), ENTRIES_MAX);
        let events: u64 = ledger.losses.iter().filter_map(|loss| loss.events).sum();
        assert_eq!(events, 2000);
        assert_eq!(
            ledger.losses.last().unwrap().span,
            Some(span(1, 2551, 9992))
        );
    }

    #[test]
    fn committed_events_cannot_be_lost() {
        let mut ledger = Ledger::default();
        ledger.cursors.insert(span(1, 1, 1).run, 15);
        ledger.lose(LossReason::Evicted, Some(span(1, 1, 10)), 0);
        assert_eq!(ledger.losses, []);
        ledger.lose(LossReason::Evicted, Some(span(1, 11, 20)), 0);
        assert_eq!(ledger.losses[0].span, Some(span(1, 16, 20)));
    }
}
