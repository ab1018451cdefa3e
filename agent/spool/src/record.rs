//! A record, who numbers its events, and how it stands in a segment.
//!
//! ```text
//!  0  4  marker "tREC"
//!  4  4  payload bytes
//!  8  4  crc32c of the payload
//! 12 16  run id
//! 28  8  first sequence
//! 36  8  last sequence
//! 44  4  crc32c of: the segment's salt, the record's offset in the file, bytes 0..44
//! 48     payload
//! ```
//!
//! Numbers are little-endian. The salt and the offset in the checksum are why bytes of an older
//! file, or bytes that an attacker got into a payload, cannot pass for a record when the spool
//! looks for the next valid one behind a damaged one.

use tocsin_proto::id::{EventSequence, RunId};
use tocsin_proto::limits;

use crate::error::RecordError;

/// What is queued: one compressed batch of events, and which events they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which events: every sequence of the span belongs to this record.
    pub span: Span,
    /// The batch; opaque. 1 to `BATCH_COMPRESSED_BYTES_MAX` bytes.
    pub payload: Vec<u8>,
}

/// Consecutive events of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Of which start of the agent.
    pub run: RunId,
    /// Sequence of the first event, from 1.
    pub first: EventSequence,
    /// Sequence of the last event, not below the first.
    pub last: EventSequence,
}

impl Span {
    /// How many events.
    pub fn events(&self) -> u64 {
        self.last.0.saturating_sub(self.first.0).saturating_add(1)
    }

    /// Whether the other one goes on exactly where this one ends.
    pub(crate) fn continued_by(&self, next: &Self) -> bool {
        self.run == next.run && self.last.0.checked_add(1) == Some(next.first.0)
    }

    /// The parts of it that none of the others has.
    pub(crate) fn without<'a>(self, others: impl IntoIterator<Item = &'a Self>) -> Vec<Self> {
        let mut left = vec![self];
        for other in others {
            left = left
                .into_iter()
                .flat_map(|part| part.around(other))
                .collect();
        }
        left
    }

    /// What is left of it before and behind another.
    fn around(self, other: &Self) -> impl Iterator<Item = Self> {
        let apart = self.run != other.run || self.last < other.first || other.last < self.first;
        let before = Self {
            last: EventSequence(other.first.0.saturating_sub(1)),
            ..self
        };
        let behind = Self {
            first: EventSequence(other.last.0.saturating_add(1)),
            ..self
        };
        let parts = if apart {
            [Some(self), None]
        } else {
            [Some(before), Some(behind)]
        };
        parts
            .into_iter()
            .flatten()
            .filter(|part| part.first <= part.last)
    }

    pub(crate) fn check(&self) -> Result<(), RecordError> {
        let (first, last) = (self.first.0, self.last.0);
        let events_max = limits::BATCH_EVENTS_MAX as u64;
        if first == 0 || last < first || self.events() > events_max {
            return Err(RecordError::Range {
                first,
                last,
                events_max,
            });
        }
        Ok(())
    }
}

/// Numbers the events of the current run: from 1, each once.
#[derive(Debug)]
pub struct Sequencer {
    run: RunId,
    next: u64,
}

impl Sequencer {
    /// For a run that has numbered nothing yet.
    pub const fn new(run: RunId) -> Self {
        Self { run, next: 1 }
    }

    /// The run it numbers.
    pub const fn run(&self) -> RunId {
        self.run
    }

    /// The next sequence, which is then used up, also if the event is lost afterwards.
    pub const fn assign(&mut self) -> EventSequence {
        let sequence = EventSequence(self.next);
        self.next += 1;
        sequence
    }
}

/// Where a record stands; part of its checksum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) salt: u64,
    pub(crate) offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) span: Span,
    payload_bytes: u32,
    payload_crc: u32,
}

pub(crate) const MARKER: [u8; 4] = *b"tREC";
const SUMMED_BYTES: usize = 44;

impl Header {
    pub(crate) const BYTES: usize = 48;

    /// None where the payload is out of bounds.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let payload_bytes = u32::try_from(record.payload.len()).ok()?;
        let within = 1..=limits::BATCH_COMPRESSED_BYTES_MAX;
        within.contains(&record.payload.len()).then(|| Self {
            span: record.span,
            payload_bytes,
            payload_crc: crc32c::crc32c(&record.payload),
        })
    }

    pub(crate) const fn payload_bytes(&self) -> usize {
        self.payload_bytes as usize
    }

    /// Header and payload.
    pub(crate) const fn stored_bytes(&self) -> u64 {
        Self::BYTES as u64 + self.payload_bytes as u64
    }

    pub(crate) fn matches(&self, payload: &[u8]) -> bool {
        payload.len() == self.payload_bytes() && crc32c::crc32c(payload) == self.payload_crc
    }

    pub(crate) fn encode(&self, place: Place) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend_from_slice(&MARKER);
        bytes.extend_from_slice(&self.payload_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.payload_crc.to_le_bytes());
        bytes.extend_from_slice(self.span.run.as_bytes());
        bytes.extend_from_slice(&self.span.first.0.to_le_bytes());
        bytes.extend_from_slice(&self.span.last.0.to_le_bytes());
        bytes.extend_from_slice(&checksum(place, &bytes).to_le_bytes());
        bytes
    }

    /// Reads the header that begins the bytes, if a whole and valid one does.
    pub(crate) fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.array()? != MARKER {
            return None;
        }
        let (payload_bytes, payload_crc) = (fields.u32()?, fields.u32()?);
        let span = fields.span()?;
        let summed = bytes.get(..SUMMED_BYTES)?;
        let valid = fields.u32()? == checksum(place, summed)
            && (1..=limits::BATCH_COMPRESSED_BYTES_MAX).contains(&(payload_bytes as usize))
            && span.check().is_ok();
        valid.then_some(Self {
            span,
            payload_bytes,
            payload_crc,
        })
    }
}

fn checksum(place: Place, summed: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&place.salt.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &place.offset.to_le_bytes());
    crc32c::crc32c_append(crc, summed)
}

/// Takes fixed fields off the front of foreign bytes.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn span(&mut self) -> Option<Span> {
        Some(Span {
            run: RunId::from_bytes(self.array()?),
            first: EventSequence(self.u64()?),
            last: EventSequence(self.u64()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        salt: 7,
        offset: 32,
    };

    fn header() -> Header {
        let span = Span {
            run: RunId::from_bytes([3; 16]),
            first: EventSequence(5),
            last: EventSequence(9),
        };
        Header::of(&Record {
            span,
            payload: b"batch".to_vec(),
        })
        .unwrap()
    }

    #[test]
    fn a_header_goes_there_and_back() {
        let bytes = header().encode(PLACE);
        assert_eq!(bytes.len(), Header::BYTES);
        assert_eq!(Header::decode(&bytes, PLACE), Some(header()));
        assert_eq!(header().span.events(), 5);
        assert!(header().matches(b"batch") && !header().matches(b"botch"));
    }

    #[test]
    fn a_header_is_valid_only_whole_and_unchanged() {
        let bytes = header().encode(PLACE);
        for at in 0..bytes.len() {
            assert_eq!(Header::decode(&bytes[..at], PLACE), None, "cut at {at}");
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            assert_eq!(Header::decode(&bytes, PLACE), None, "changed at {at}");
        }
    }

    #[test]
    fn a_header_is_valid_only_where_it_was_written() {
        let bytes = header().encode(PLACE);
        assert_eq!(
            Header::decode(
                &bytes,
                Place {
                    offset: 33,
                    ..PLACE
                }
            ),
            None
        );
        assert_eq!(Header::decode(&bytes, Place { salt: 8, ..PLACE }), None);
    }

    #[test]
    fn a_span_without_others_is_what_they_leave() {
        let span = |run, first, last| Span {
            run: RunId::from_bytes([run; 16]),
            first: EventSequence(first),
            last: EventSequence(last),
        };
        let others = [span(1, 8, 30), span(1, 1, 2), span(2, 1, 9), span(1, 4, 5)];
        assert_eq!(
            span(1, 1, 9).without(&others),
            [span(1, 3, 3), span(1, 6, 7)]
        );
        assert_eq!(span(1, 8, 20).without(&others), []);
        assert_eq!(span(1, 31, 31).without(&others), [span(1, 31, 31)]);
    }

    #[test]
    fn sequences_start_at_one_and_never_repeat() {
        let mut sequencer = Sequencer::new(RunId::from_bytes([3; 16]));
        let assigned: Vec<u64> = (0..4).map(|_| sequencer.assign().0).collect();
        assert_eq!(assigned, [1, 2, 3, 4]);
    }
}
