//! The batch as it lies in the spool, travels and is stored: one zstd frame around an `EventBatch`.
//!
//! It is compressed once, on the endpoint, and never again. Unpacking is bounded twice: by the size
//! that the frame itself states and by what really comes out.

use prost::Message;

use crate::limits::{BATCH_BYTES_MAX, BATCH_COMPRESSED_BYTES_MAX, BATCH_EVENTS_MAX};
use crate::telemetry::v1::EventBatch;

/// zstd level: the fastest that still halves what the next faster one leaves.
const LEVEL: i32 = 3;

/// A batch that cannot be packed or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// More events or bytes than a batch may have.
    #[error(
        "batch of {events} events and {bytes} bytes is over the limit of {BATCH_EVENTS_MAX} events and {BATCH_BYTES_MAX} bytes"
    )]
    TooLarge {
        /// Events in it.
        events: usize,
        /// Bytes before compression.
        bytes: usize,
    },
    /// Not one zstd frame of the stated size.
    #[error("unpack a batch of {bytes} compressed bytes")]
    Compression {
        /// Bytes as compressed.
        bytes: usize,
        /// What zstd said.
        #[source]
        source: std::io::Error,
    },
    /// The frame does not state its content's size, or one over the limit.
    #[error("batch does not state a size of at most {BATCH_BYTES_MAX} bytes")]
    Size,
    /// Not an `EventBatch`.
    #[error("decode a batch")]
    Decode(#[from] prost::DecodeError),
}

/// Packs a batch.
///
/// # Errors
/// [`BatchError::TooLarge`]; [`BatchError::Compression`] where zstd fails, which it does only without memory.
pub fn pack(batch: &EventBatch) -> Result<Vec<u8>, BatchError> {
    let bytes = batch.encoded_len();
    if batch.events.len() > BATCH_EVENTS_MAX || bytes > BATCH_BYTES_MAX {
        return Err(BatchError::TooLarge {
            events: batch.events.len(),
            bytes,
        });
    }
    zstd::bulk::compress(&batch.encode_to_vec(), LEVEL)
        .map_err(|source| BatchError::Compression { bytes, source })
}

/// Unpacks a batch from a peer that may be hostile. What comes out still has to be checked event by
/// event ([`crate::event`]).
///
/// # Errors
/// Every [`BatchError`]; nothing is unpacked that states more than the limit.
pub fn unpack(packed: &[u8]) -> Result<EventBatch, BatchError> {
    let bytes = unpack_bytes(packed)?;
    let batch = EventBatch::decode(bytes.as_slice())?;
    if batch.events.len() > BATCH_EVENTS_MAX {
        return Err(BatchError::TooLarge {
            events: batch.events.len(),
            bytes: bytes.len(),
        });
    }
    Ok(batch)
}

/// The encoded `EventBatch` in a packed one, for readers that decode only what they need.
///
/// # Errors
/// Every [`BatchError`] but [`BatchError::Decode`].
pub fn unpack_bytes(packed: &[u8]) -> Result<Vec<u8>, BatchError> {
    let compression = |source| BatchError::Compression {
        bytes: packed.len(),
        source,
    };
    if packed.len() > BATCH_COMPRESSED_BYTES_MAX {
        return Err(BatchError::TooLarge {
            events: 0,
            bytes: packed.len(),
        });
    }
    let stated = zstd::zstd_safe::get_frame_content_size(packed)
        .ok()
        .flatten()
        .and_then(|size| usize::try_from(size).ok())
        .filter(|size| *size <= BATCH_BYTES_MAX)
        .ok_or(BatchError::Size)?;
    zstd::bulk::decompress(packed, stated).map_err(compression)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::v1::Event;

    fn batch(events: usize) -> EventBatch {
        let event = |sequence| Event {
            sequence,
            event_time_ms: 1,
            body: None,
        };
        EventBatch {
            boot_id: vec![1; 16],
            events: (1..=events as u64).map(event).collect(),
        }
    }

    #[test]
    fn goes_there_and_back() {
        assert_eq!(unpack(&pack(&batch(512)).unwrap()).unwrap(), batch(512));
    }

    #[test]
    fn too_many_events_are_refused_on_both_sides() {
        assert!(matches!(
            pack(&batch(513)),
            Err(BatchError::TooLarge { events: 513, .. })
        ));
        let packed = zstd::bulk::compress(&batch(513).encode_to_vec(), 1).unwrap();
        assert!(matches!(
            unpack(&packed),
            Err(BatchError::TooLarge { events: 513, .. })
        ));
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
        assert!(bomb.len() < 16 << 10);
        assert!(matches!(unpack(&bomb), Err(BatchError::Size)));
        // One that states no size at all.
        let silent = zstd::stream::encode_all([0_u8; 1 << 10].as_slice(), 1).unwrap();
        assert!(matches!(unpack(&silent), Err(BatchError::Size)));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let good = pack(&batch(3)).unwrap();
        for end in 0..good.len() {
            let cut = good.get(..end).unwrap();
            assert!(unpack(cut).is_err(), "cut at {end}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            let _either = unpack(&bad);
        }
    }
}
