//! Limits of a spool, and how much of them is used.

use tocsin_proto::limits;

use crate::error::SpoolError;
use crate::record::Span;
use crate::segment::SEGMENT_BYTES_LIMIT;

/// Limits of a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Bytes that all segments together may have. The oldest are dropped for new ones.
    pub bytes_max: u64,
    /// Bytes of one segment: what is dropped, read at start and kept after use at a time. At most a
    /// quarter of `bytes_max`, and 64 MiB. A record must fit into one.
    pub segment_bytes: u64,
    /// Records that may be leased and not yet committed.
    pub in_flight_max: usize,
}

impl Default for SpoolConfig {
    /// 512 MiB: two hours of 1,000 events a second at 70 bytes, or weeks of an ordinary machine.
    fn default() -> Self {
        Self {
            bytes_max: 512 << 20,
            segment_bytes: 4 << 20,
            in_flight_max: limits::UPLOAD_BATCHES_IN_FLIGHT_MAX,
        }
    }
}

impl SpoolConfig {
    pub(crate) fn check(&self) -> Result<(), SpoolError> {
        let reason = if self.in_flight_max == 0 {
            "in_flight_max must be at least 1"
        } else if !(1 << 10..=SEGMENT_BYTES_LIMIT).contains(&self.segment_bytes) {
            "segment_bytes must be 1 KiB to 64 MiB"
        } else if self.bytes_max / 4 < self.segment_bytes {
            "bytes_max must be at least four times segment_bytes"
        } else {
            return Ok(());
        };
        Err(SpoolError::Config { reason })
    }

    /// Segments that may exist: runs that start and die at once leave small ones. Bounds memory.
    pub(crate) fn segments_max(&self) -> usize {
        usize::try_from(2 * (self.bytes_max / self.segment_bytes)).unwrap_or(usize::MAX)
    }
}

/// How full a spool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of all segments, those included that are delivered and not yet removed.
    pub bytes: u64,
    /// Events that are not committed.
    pub events: u64,
    /// Records that are leased and not committed.
    pub in_flight: usize,
    /// The oldest events that are not committed.
    pub oldest: Option<Span>,
}
