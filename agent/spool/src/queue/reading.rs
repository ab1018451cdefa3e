//! Reading for a lease: where the next record stands, what stands there, and over damage to the next.
//!
//! Reads from the disk, or rather from the system's cache of it, which has what was just written. Keeps one file open.

use std::io;

use super::Spool;
use crate::error::{SpoolError, failed};
use crate::folder::{Folder, FolderFile};
use crate::ledger::LossReason;
use crate::record::{Header, Place, Record};
use crate::recovery::read_whole;
use crate::segment::{Found, HEAD_BYTES, SEGMENT_BYTES_LIMIT, Scanner, segment_name};

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// What a read at a position gave.
pub(super) enum Read {
    Record(Record, u64),
    /// A record that is committed, and the offset behind it.
    Committed(u64),
    Damaged,
    /// The disk gave nothing back.
    Refused,
}

impl<F: Folder> Spool<F> {
    /// Where the next record stands, if there is one.
    pub(super) fn next_position(&mut self) -> Option<Position> {
        loop {
            let (number, segment) = self.segments.range(self.next.segment..).next()?;
            if *number != self.next.segment {
                self.next = Position {
                    segment: *number,
                    offset: HEAD_BYTES,
                };
            }
            if !segment.set_aside && self.next.offset < segment.bytes {
                return Some(self.next);
            }
            // The newest may still grow.
            if self.segments.last_key_value().map(|(newest, _)| newest) == Some(number) {
                return None;
            }
            self.next = Position {
                segment: number + 1,
                offset: HEAD_BYTES,
            };
        }
    }

    pub(super) fn read(&mut self, position: Position) -> Result<Read, SpoolError> {
        let Position {
            segment: number,
            offset,
        } = position;
        let salt = self.segments.get(&number).map_or(0, |segment| segment.salt);
        let file = match self.reading_file(number) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Read::Refused),
            file => file.map_err(failed("open", &segment_name(number)))?,
        };
        let mut bytes = [0; Header::BYTES];
        let Ok(_) = file.read_at(&mut bytes, offset) else {
            return Ok(Read::Refused);
        };
        let Some(header) = Header::decode(&bytes, Place { salt, offset }) else {
            return Ok(Read::Damaged);
        };
        let behind = offset + header.stored_bytes();
        if self.ledger.uncommitted(header.span).is_none() {
            return Ok(Read::Committed(behind));
        }
        let mut payload = vec![0; header.payload_bytes()];
        let Some((_, file)) = &mut self.reading else {
            return Ok(Read::Refused);
        };
        Ok(
            match file.read_at(&mut payload, offset + Header::BYTES as u64) {
                Ok(count) if count == payload.len() && header.matches(&payload) => Read::Record(
                    Record {
                        span: header.span,
                        payload,
                    },
                    behind,
                ),
                Ok(_) => Read::Damaged,
                Err(_) => Read::Refused,
            },
        )
    }

    fn reading_file(&mut self, number: u64) -> io::Result<&mut F::File> {
        let file = match self.reading.take() {
            Some((reading, file)) if reading == number => file,
            _ => self.folder.open(&segment_name(number))?,
        };
        Ok(&mut self.reading.insert((number, file)).1)
    }

    /// Whether this damage is in a loss already, and so what is in memory does not have it.
    pub(super) fn is_known_damage(&self, position: Position) -> bool {
        let Position { segment, offset } = position;
        self.ledger.damage.contains(&(segment, offset))
    }

    /// Goes on behind the damage at a position. Gives back what else the segment has, unless the
    /// disk does not give it back: then it is dropped.
    pub(super) fn skip_damage(
        &mut self,
        position: Position,
    ) -> Result<Option<Vec<Found>>, SpoolError> {
        let number = position.segment;
        let file = self.reading_file(number).ok();
        let Some(bytes) = file.and_then(|file| read_whole(file, SEGMENT_BYTES_LIMIT)) else {
            self.drop_segment(number, LossReason::Damaged)?;
            return Ok(None);
        };
        let Some(segment) = self.segments.get(&number) else {
            return Ok(None);
        };
        let found: Vec<Found> = Scanner::new(&bytes, segment.salt).collect();
        let mut offsets = found.iter().map(Found::offset);
        let behind = offsets.find(|offset| *offset > position.offset);
        self.next.offset = behind.unwrap_or(segment.bytes);
        Ok(Some(found))
    }

    /// The same where nothing of the segment is in flight: what is missing in it is then lost.
    pub(super) fn skip_new_damage(&mut self, position: Position) -> Result<(), SpoolError> {
        let number = position.segment;
        let found = self.skip_damage(position)?;
        let (Some(found), Some(segment)) = (found, self.segments.get_mut(&number)) else {
            return Ok(());
        };
        let before = std::mem::take(&mut segment.spans);
        for found in found {
            match found {
                Found::Record { header, .. } => segment.add(header.span),
                Found::Damage { offset, .. } => {
                    self.ledger.note_damage(number, offset);
                }
            }
        }
        for span in before {
            for lost in span.without(&segment.spans) {
                self.ledger.lose(LossReason::Damaged, Some(lost), self.told);
            }
        }
        self.ledger_changed = true;
        Ok(())
    }
}
