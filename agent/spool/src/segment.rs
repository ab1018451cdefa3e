//! A segment: one file of records, and how valid records are found in it, whatever happened to it.
//!
//! ```text
//! NNNNNNNNNNNNNNNNNNNN.segment     its number, 20 digits; a number is never used twice
//!  0  8  magic "tocSEGMT"
//!  8  4  version
//! 12  8  number
//! 20  8  salt, random, part of each record's checksum
//! 28  4  crc32c of bytes 0..28
//! 32     records, one behind the other
//! ```
//!
//! The head looks the same in every version; what follows it may not. A head that is damaged is
//! read as one of this version: its records say by their own checksums whether that was right.

use crate::record::{Fields, Header, MARKER, Place, Span};

/// Version of the records behind a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentVersion(pub(crate) u32);

impl SegmentVersion {
    /// What this code writes, and the newest that it reads.
    pub(crate) const CURRENT: Self = Self(1);
}

/// A file above this is not one of ours. Bounds what is read into memory at once.
pub(crate) const SEGMENT_BYTES_LIMIT: u64 = 64 << 20;

/// Stretches of consecutive sequences in one segment; a segment that has this many is full. One or
/// two are usual. Bounds the memory of the index.
pub(crate) const SEGMENT_SPANS_MAX: usize = 256;

/// A higher number is not one of ours: counting up from it could overflow.
const SEGMENT_NUMBER_MAX: u64 = 1 << 56;

const HEAD_LENGTH: usize = 32;
pub(crate) const HEAD_BYTES: u64 = HEAD_LENGTH as u64;
const MAGIC: [u8; 8] = *b"tocSEGMT";

pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:020}.segment")
}

pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".segment")?.parse().ok()?;
    (number <= SEGMENT_NUMBER_MAX && segment_name(number) == name).then_some(number)
}

/// What the head of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: SegmentVersion,
    pub(crate) salt: u64,
    /// The checksum holds, and the file stands where it was made.
    pub(crate) intact: bool,
}

impl Head {
    /// For a file that is too short to have one.
    pub(crate) const LOST: Self = Self {
        version: SegmentVersion::CURRENT,
        salt: 0,
        intact: false,
    };

    pub(crate) fn encode(number: u64, salt: u64) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&SegmentVersion::CURRENT.0.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&salt.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// None where the bytes are too few for one.
    pub(crate) fn decode(bytes: &[u8], number: u64) -> Option<Self> {
        let mut fields = Fields(bytes);
        let magic: [u8; 8] = fields.array()?;
        let version = SegmentVersion(fields.u32()?);
        let (own_number, salt) = (fields.u64()?, fields.u64()?);
        let summed = bytes.get(..28)?;
        let intact =
            magic == MAGIC && own_number == number && fields.u32()? == crc32c::crc32c(summed);
        let version = if intact {
            version
        } else {
            SegmentVersion::CURRENT
        };
        Some(Self {
            version,
            salt,
            intact,
        })
    }
}

/// What the spool remembers of a segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) salt: u64,
    /// Length of the file up to the end of its last record.
    pub(crate) bytes: u64,
    /// The valid records in it, in order; consecutive ones as one.
    pub(crate) spans: Vec<Span>,
    /// Written by a newer version, or not readable: kept until the room is needed, never leased.
    pub(crate) set_aside: bool,
}

impl Segment {
    pub(crate) fn add(&mut self, span: Span) {
        match self.spans.last_mut() {
            Some(open) if open.continued_by(&span) => open.last = span.last,
            _ => self.spans.push(span),
        }
    }
}

/// What stands at one place of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Record {
        offset: u64,
        header: Header,
    },
    /// Bytes that are no record, up to the next one or the end. The header is there where it is
    /// valid and only the payload is not.
    Damage {
        offset: u64,
        header: Option<Header>,
    },
}

impl Found {
    pub(crate) const fn offset(&self) -> u64 {
        match self {
            Self::Record { offset, .. } | Self::Damage { offset, .. } => *offset,
        }
    }
}

/// Walks over the bytes of a whole segment file.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    salt: u64,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8], salt: u64) -> Self {
        Self {
            bytes,
            salt,
            at: HEAD_LENGTH,
        }
    }

    fn header(&self, at: usize) -> Option<Header> {
        let place = Place {
            salt: self.salt,
            offset: at as u64,
        };
        Header::decode(self.bytes.get(at..)?, place)
    }

    /// The next place behind `at` with a valid header, or the end.
    fn next_header(&self, at: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let places = rest.windows(MARKER.len()).enumerate().skip(1);
        places
            .filter(|(_, window)| *window == MARKER)
            .map(|(ahead, _)| at + ahead)
            .find(|place| self.header(*place).is_some())
            .unwrap_or(self.bytes.len())
    }
}

impl Iterator for Scanner<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        let at = self.at;
        if at >= self.bytes.len() {
            return None;
        }
        let offset = at as u64;
        let Some(header) = self.header(at) else {
            self.at = self.next_header(at);
            return Some(Found::Damage {
                offset,
                header: None,
            });
        };
        let begin = at + Header::BYTES;
        let end = begin + header.payload_bytes();
        self.at = end;
        Some(match self.bytes.get(begin..end) {
            Some(payload) if header.matches(payload) => Found::Record { offset, header },
            _ => Found::Damage {
                offset,
                header: Some(header),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use tocsin_proto::id::{EventSequence, RunId};

    use super::*;
    use crate::record::Record;

    fn segment(records: &[(u64, &[u8])]) -> Vec<u8> {
        let mut bytes = Head::encode(1, 99);
        for (sequence, payload) in records {
            let sequence = EventSequence(*sequence);
            let span = Span {
                run: RunId::from_bytes([1; 16]),
                first: sequence,
                last: sequence,
            };
            let header = Header::of(&Record {
                span,
                payload: payload.to_vec(),
            })
            .unwrap();
            let place = Place {
                salt: 99,
                offset: bytes.len() as u64,
            };
            bytes.extend(header.encode(place));
            bytes.extend_from_slice(payload);
        }
        bytes
    }

    fn valid(bytes: &[u8]) -> Vec<u64> {
        Scanner::new(bytes, 99)
            .filter_map(|found| match found {
                Found::Record { header, .. } => Some(header.span.first.0),
                Found::Damage { .. } => None,
            })
            .collect()
    }

    #[test]
    fn names_have_one_form() {
        assert_eq!(segment_number(&segment_name(42)), Some(42));
        for name in [
            "42.segment",
            "ledger",
            "+0000000000000000042.segment",
            ".segment",
            "18446744073709551615.segment",
        ] {
            assert_eq!(segment_number(name), None, "{name}");
        }
    }

    #[test]
    fn a_damaged_header_costs_its_own_record_only() {
        let mut bytes = segment(&[(1, b"one"), (2, b"two"), (3, b"three")]);
        assert_eq!(valid(&bytes), [1, 2, 3]);
        let second = HEAD_LENGTH + Header::BYTES + 3;
        bytes[second + 20] ^= 1;
        assert_eq!(valid(&bytes), [1, 3]);
    }

    #[test]
    fn a_record_inside_a_damaged_record_is_not_believed() {
        let planted = segment(&[(7, b"planted")])[HEAD_LENGTH..].to_vec();
        let mut bytes = segment(&[(1, &planted), (2, b"two")]);
        bytes[HEAD_LENGTH + 20] ^= 1;
        assert_eq!(valid(&bytes), [2], "its checksum belongs to another offset");
    }

    #[test]
    fn a_newer_version_is_told_from_a_damaged_head() {
        let mut bytes = Head::encode(1, 99);
        bytes[8] = 2;
        assert!(!Head::decode(&bytes, 1).unwrap().intact);
        let sum = crc32c::crc32c(&bytes[..28]).to_le_bytes();
        bytes[28..].copy_from_slice(&sum);
        let head = Head::decode(&bytes, 1).unwrap();
        assert!(head.intact && head.version > SegmentVersion::CURRENT);
        assert!(
            !Head::decode(&bytes, 2).unwrap().intact,
            "a file under another number"
        );
    }
}
