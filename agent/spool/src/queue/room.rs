//! Room for what is new: drops what is delivered, then the oldest, and keeps the ledger.
//!
//! The order of things on disk is the point here. A loss is in the ledger before its segment is gone;
//! a dropped segment stays in the ledger until its name is surely gone.

use std::io;

use super::Spool;
use crate::error::{SpoolError, failed};
use crate::folder::{Folder, FolderFile};
use crate::ledger::{LEDGER_NAME, LEDGER_NEW_NAME, Ledger, LossReason};
use crate::segment::{HEAD_BYTES, segment_name};

impl<F: Folder> Spool<F> {
    /// Drops what is delivered, then the oldest that is not in flight, until a record fits.
    pub(super) fn make_room(&mut self, bytes: u64) -> Result<(), SpoolError> {
        if self.fits(bytes) {
            return Ok(());
        }
        self.drop_delivered();
        while !self.fits(bytes) {
            let mut numbers = self.segments.keys().copied();
            let oldest = numbers.find(|number| !self.has_in_flight(*number));
            self.drop_segment(oldest.ok_or(SpoolError::InFlight)?, LossReason::Evicted)?;
        }
        Ok(())
    }

    /// Whether a record can be added, also if it needs a segment of its own.
    fn fits(&self, bytes: u64) -> bool {
        self.bytes() + HEAD_BYTES + bytes <= self.config.bytes_max
            && self.segments.len() < self.config.segments_max()
    }

    pub(super) fn has_in_flight(&self, number: u64) -> bool {
        self.in_flight
            .iter()
            .any(|leased| leased.position.segment == number)
    }

    /// Drops a segment with what is left in it. The loss is on disk before the records are not.
    pub(super) fn drop_segment(
        &mut self,
        number: u64,
        reason: LossReason,
    ) -> Result<(), SpoolError> {
        let Some(segment) = self.segments.get(&number) else {
            return Ok(());
        };
        let mut ledger = self.ledger.clone();
        ledger.dead.insert(number);
        // One that cannot be read was told when that was found.
        if segment.set_aside && !ledger.damage.contains(&(number, 0)) {
            ledger.lose(reason, None, self.told);
        }
        for span in &segment.spans {
            ledger.lose(reason, Some(*span), self.told);
        }
        self.write_ledger(ledger)?;
        self.forget(number);
        self.remove_dead();
        Ok(())
    }

    /// Drops the segments that were leased to their end and have nothing in flight.
    pub(super) fn drop_delivered(&mut self) {
        let upto = self
            .next_position()
            .map_or(self.next.segment, |position| position.segment);
        let delivered: Vec<u64> = self
            .segments
            .range(..upto)
            .filter(|(number, segment)| !segment.set_aside && !self.has_in_flight(**number))
            .map(|(number, _)| *number)
            .collect();
        for number in delivered {
            self.ledger.dead.insert(number);
            self.forget(number);
        }
        self.remove_dead();
    }

    fn forget(&mut self, number: u64) {
        self.segments.remove(&number);
        self.active.take_if(|active| active.number == number);
        self.reading.take_if(|(reading, _)| *reading == number);
        self.ledger_changed = true;
    }

    /// Removes the files of dropped segments. One that cannot be removed stays dead, and is tried
    /// again.
    pub(super) fn remove_dead(&mut self) {
        for number in &self.ledger.dead {
            if self.removed.contains(number) {
                continue;
            }
            match self.folder.remove(&segment_name(*number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {}
                _ => self.removed.push(*number),
            }
        }
    }

    pub(super) fn note_names_synced(&mut self) {
        self.names_changed = false;
        // The ledger on disk may go on naming them: the numbers are not used again.
        for number in self.removed.drain(..) {
            self.ledger.dead.remove(&number);
        }
    }

    /// Replaces the ledger on disk, and, once that is certain, in memory.
    pub(super) fn write_ledger(&mut self, mut ledger: Ledger) -> Result<(), SpoolError> {
        self.ledger_changed = true;
        ledger
            .damage
            .retain(|(segment, _)| self.segments.contains_key(segment));
        ledger
            .cursors
            .retain(|run, _| self.pushed_through(*run) > 0);
        let bytes = ledger.encode();
        let write = |folder: &F| {
            let mut file = folder.create(LEDGER_NEW_NAME)?;
            file.write_at(&bytes, 0)?;
            file.sync()?;
            folder.rename(LEDGER_NEW_NAME, LEDGER_NAME)
        };
        if let Err(error) = write(&self.folder) {
            // It may have taken the last room; the next write makes it anew.
            self.folder.remove(LEDGER_NEW_NAME).ok();
            return Err(failed("write", LEDGER_NAME)(error));
        }
        self.folder
            .sync_names()
            .map_err(failed("sync the name of", LEDGER_NAME))?;
        self.ledger_changed = false;
        self.ledger = ledger;
        self.note_names_synced();
        Ok(())
    }
}
