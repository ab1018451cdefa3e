//! The queue itself: push, sync, lease, commit, roll back, and room for what is new.
//!
//! Owned by one thread; every call that touches the disk blocks. See the package's documentation for
//! what is promised and for the formats.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;

use tocsin_proto::id::{EventSequence, RunId};
use tocsin_proto::limits;

use crate::error::{RecordError, SpoolError, failed};
use crate::folder::{DiskFolder, Folder, FolderFile};
use crate::ledger::{LEDGER_NAME, LEDGER_NEW_NAME, Ledger, Loss, LossReason};
use crate::record::{Header, Place, Record, Span};
use crate::recovery::{Recovered, Recovery, read_whole, recover};
use crate::segment::{
    Found, HEAD_BYTES, Head, SEGMENT_BYTES_LIMIT, SEGMENT_SPANS_MAX, Scanner, Segment, segment_name,
};

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
    fn check(&self) -> Result<(), SpoolError> {
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
    fn segments_max(&self) -> usize {
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

/// The segment that is written on.
#[derive(Debug)]
struct Active<T> {
    number: u64,
    file: T,
    /// Something was written since the last sync.
    unsynced: bool,
    /// The disk failed on it: what it holds can be read, perhaps, but nothing is added.
    broken: bool,
}

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    segment: u64,
    offset: u64,
}

#[derive(Debug)]
struct Leased {
    span: Span,
    position: Position,
}

/// What a read at a position gave.
enum Read {
    Record(Record, u64),
    /// A record that is committed, and the offset behind it.
    Committed(u64),
    Damaged,
    /// The disk gave nothing back.
    Refused,
}

/// A durable queue of records in a folder. See the package's documentation.
#[derive(Debug)]
pub struct Spool<F: Folder = DiskFolder> {
    folder: F,
    config: SpoolConfig,
    ledger: Ledger,
    /// The ledger differs from its file.
    ledger_changed: bool,
    segments: BTreeMap<u64, Segment>,
    active: Option<Active<F::File>>,
    /// A segment was created since the names were synced.
    names_changed: bool,
    /// Told by the next sync: a full segment could not be synced.
    failed_sync: Option<SpoolError>,
    /// Segments whose files were removed since the names were synced.
    removed: Vec<u64>,
    /// Where the next lease looks.
    next: Position,
    /// The file that the last lease read.
    reading: Option<(u64, F::File)>,
    in_flight: VecDeque<Leased>,
    /// What was pushed last, in this process.
    newest: Option<Span>,
    /// The newest loss that the caller was told.
    told: u64,
}

impl Spool {
    /// Opens a spool on disk; a new one where there is none.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Locked`] where the folder is in use. Damage is no error: see [`Recovery`].
    pub fn open(path: &Path, config: SpoolConfig) -> Result<(Self, Recovery), SpoolError> {
        Self::open_in(DiskFolder::open(path)?, config)
    }
}

impl<F: Folder> Spool<F> {
    /// Opens a spool in any kind of folder, which must be this one's alone.
    ///
    /// # Errors
    ///
    /// The limits are impossible, or the folder cannot be read, cut or synced.
    pub fn open_in(folder: F, config: SpoolConfig) -> Result<(Self, Recovery), SpoolError> {
        config.check()?;
        let Recovered {
            ledger,
            segments,
            active,
            report,
        } = recover(&folder)?;
        let mut spool = Self {
            folder,
            config,
            ledger,
            ledger_changed: true,
            segments,
            active: active.map(|(number, file)| Active {
                number,
                file,
                unsynced: false,
                broken: false,
            }),
            names_changed: false,
            failed_sync: None,
            removed: Vec::new(),
            next: Position {
                segment: 0,
                offset: HEAD_BYTES,
            },
            reading: None,
            in_flight: VecDeque::new(),
            newest: report.newest,
            told: 0,
        };
        spool.remove_dead();
        // What was found is found again if this fails, as it may on a full disk.
        spool.write_ledger(spool.ledger.clone()).ok();
        Ok((spool, report))
    }

    /// Appends a record. It survives the process at once, and a crash of the machine after
    /// [`sync`](Self::sync). Where the limit demands it, the oldest segments are dropped first, which
    /// [`losses`](Self::losses) tells; records in flight are not dropped.
    ///
    /// # Errors
    ///
    /// Nothing was pushed: [`SpoolError::DiskFull`], [`SpoolError::InFlight`], a record that breaks
    /// its rules, or a failing disk. The spool goes on; older segments may have been dropped.
    pub fn push(&mut self, record: &Record) -> Result<(), SpoolError> {
        let header = self.check(record)?;
        self.make_room(header.stored_bytes())?;
        let number = self.writable(header.stored_bytes())?;
        let (Some(segment), Some(active)) = (self.segments.get_mut(&number), &mut self.active)
        else {
            return Err(SpoolError::InFlight);
        };
        let begin = segment.bytes;
        let place = Place {
            salt: segment.salt,
            offset: begin,
        };
        active.unsynced = true;
        let written = active
            .file
            .write_at(&header.encode(place), begin)
            .and_then(|()| {
                active
                    .file
                    .write_at(&record.payload, begin + Header::BYTES as u64)
            });
        if let Err(error) = written {
            // What was written of it must not stand in front of the next record.
            active.broken = active.file.cut(begin).is_err();
            return Err(failed("append to", &segment_name(number))(error));
        }
        segment.bytes += header.stored_bytes();
        segment.add(record.span);
        self.newest = Some(record.span);
        Ok(())
    }

    /// Makes every record pushed until now survive a crash of the machine.
    ///
    /// # Errors
    ///
    /// The records pushed since the last success may not survive one. They are delivered
    /// nevertheless, if the disk gives them back; a later success does not cover them.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        let earlier = self.failed_sync.take();
        self.sync_active()?;
        if self.names_changed {
            self.folder.sync_names().map_err(failed("sync", "names"))?;
            self.note_names_synced();
        }
        earlier.map_or(Ok(()), Err)
    }

    /// The next record, which is then in flight. None where all are, or as many as may be, or where
    /// only a commit or a rollback can show how to go on.
    ///
    /// # Errors
    ///
    /// A file could not be opened, or the ledger not written; it may go well next time.
    pub fn lease(&mut self) -> Result<Option<Record>, SpoolError> {
        if self.in_flight.len() >= self.config.in_flight_max {
            return Ok(None);
        }
        while let Some(position) = self.next_position() {
            match self.read(position)? {
                Read::Record(record, behind) => {
                    self.in_flight.push_back(Leased {
                        span: record.span,
                        position,
                    });
                    self.next.offset = behind;
                    return Ok(Some(record));
                }
                Read::Committed(behind) => self.next.offset = behind,
                // A record in flight from there may still be committed; its loss is told only when
                // it would have to be read again.
                Read::Damaged | Read::Refused if self.has_in_flight(position.segment) => {
                    return Ok(None);
                }
                Read::Damaged => self.skip_damage(position)?,
                Read::Refused => self.drop_segment(position.segment, LossReason::Damaged)?,
            }
        }
        Ok(None)
    }

    /// Notes that the server has a run's events up to this one, leased or not. It survives the
    /// process after [`checkpoint`](Self::checkpoint). What is not in the spool is ignored.
    pub fn commit(&mut self, run: RunId, through: EventSequence) {
        let committed = through.0.min(self.pushed_through(run));
        if committed <= self.ledger.cursors.get(&run).copied().unwrap_or(0) {
            return;
        }
        self.ledger.cursors.insert(run, committed);
        self.ledger_changed = true;
        self.in_flight
            .retain(|leased| leased.span.run != run || leased.span.last.0 > committed);
    }

    /// Takes back every lease, as after a lost connection: what is not committed is leased again.
    pub fn rollback(&mut self) {
        if let Some(oldest) = self.in_flight.front() {
            self.next = oldest.position;
        }
        self.in_flight.clear();
    }

    /// Makes commits and settled losses survive a crash, and removes segments that are delivered.
    /// Costs a few syncs; once a second is often enough, as a lost one only makes the spool send again.
    ///
    /// # Errors
    ///
    /// The ledger on disk may be the one before; everything goes on from memory.
    pub fn checkpoint(&mut self) -> Result<(), SpoolError> {
        self.drop_delivered();
        if self.ledger_changed {
            self.write_ledger(self.ledger.clone())?;
        }
        Ok(())
    }

    /// The losses that are not settled, oldest first; also those of earlier processes.
    ///
    /// To tell each once: make gap events of them when there is a server to send them to, push and
    /// sync those, and [settle](Self::settle_losses) the losses. Until then they are kept here, where
    /// no limit can drop them, and those that follow each other become one.
    pub fn losses(&mut self) -> &[Loss] {
        self.told = self
            .ledger
            .losses
            .last()
            .map_or(self.told, |loss| loss.number);
        &self.ledger.losses
    }

    /// Forgets the losses up to this number. It survives the process after
    /// [`checkpoint`](Self::checkpoint).
    pub fn settle_losses(&mut self, through: u64) {
        self.ledger.losses.retain(|loss| loss.number > through);
        self.ledger_changed = true;
    }

    /// How full it is.
    pub fn stats(&self) -> Stats {
        let spans = self.segments.values().flat_map(|segment| &segment.spans);
        let mut left = spans
            .filter_map(|span| self.ledger.uncommitted(*span))
            .peekable();
        Stats {
            bytes: self.bytes(),
            in_flight: self.in_flight.len(),
            oldest: left.peek().copied(),
            events: left.map(|span| span.events()).sum(),
        }
    }

    fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    fn check(&self, record: &Record) -> Result<Header, SpoolError> {
        record.span.check()?;
        let bytes = record.payload.len() as u64;
        let heads = HEAD_BYTES + Header::BYTES as u64;
        let bytes_max = (self.config.segment_bytes.saturating_sub(heads))
            .min(limits::BATCH_COMPRESSED_BYTES_MAX as u64);
        let header = Header::of(record).filter(|_| bytes <= bytes_max);
        let header = header.ok_or(RecordError::Size { bytes, bytes_max })?;
        let newest = self.pushed_through(record.span.run);
        let first = record.span.first.0;
        if first <= newest {
            return Err(RecordError::Order { first, newest }.into());
        }
        Ok(header)
    }

    /// The last sequence of a run that is, or was, in the spool; 0 for none.
    fn pushed_through(&self, run: RunId) -> u64 {
        if let Some(newest) = self.newest.filter(|newest| newest.run == run) {
            return newest.last.0;
        }
        let mut stored = self
            .segments
            .values()
            .rev()
            .flat_map(|s| s.spans.iter().rev());
        let stored = stored
            .find(|span| span.run == run)
            .map_or(0, |span| span.last.0);
        // What was damaged since it was leased is no longer among the stored.
        let leased = self
            .in_flight
            .iter()
            .filter(|leased| leased.span.run == run);
        leased
            .map(|leased| leased.span.last.0)
            .fold(stored, u64::max)
    }

    fn sync_active(&mut self) -> Result<(), SpoolError> {
        let Some(active) = self.active.as_mut().filter(|active| active.unsynced) else {
            return Ok(());
        };
        active.unsynced = false;
        active.file.sync().map_err(|error| {
            // The system may have thrown the unwritten pages away: never append behind them.
            active.broken = true;
            failed("sync", &segment_name(active.number))(error)
        })
    }

    /// A segment with room for a record.
    fn writable(&mut self, bytes: u64) -> Result<u64, SpoolError> {
        if let Some(active) = &mut self.active {
            let room = self.segments.get(&active.number).is_some_and(|segment| {
                segment.bytes + bytes <= self.config.segment_bytes
                    && segment.spans.len() < SEGMENT_SPANS_MAX
            });
            if room && !active.broken {
                return Ok(active.number);
            }
            // Only the newest segment may be torn: the one before is synced first. That this failed
            // is no reason to refuse a record that goes elsewhere.
            if let Err(error) = self.sync_active() {
                self.failed_sync = Some(error);
            }
        }
        let number = self.ledger.next_segment;
        let name = segment_name(number);
        let salt = self.folder.salt();
        let mut file = self.folder.create(&name).map_err(failed("create", &name))?;
        if let Err(error) = file.write_at(&Head::encode(number, salt), 0) {
            // If this fails as well, recovery removes it: there is no record in it.
            self.folder.remove(&name).ok();
            return Err(failed("begin", &name)(error));
        }
        self.ledger.next_segment += 1;
        self.names_changed = true;
        self.active = Some(Active {
            number,
            file,
            unsynced: true,
            broken: false,
        });
        let segment = Segment {
            salt,
            bytes: HEAD_BYTES,
            spans: Vec::new(),
            set_aside: false,
        };
        self.segments.insert(number, segment);
        Ok(number)
    }

    /// Drops what is delivered, then the oldest that is not in flight, until a record fits.
    fn make_room(&mut self, bytes: u64) -> Result<(), SpoolError> {
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

    fn has_in_flight(&self, number: u64) -> bool {
        self.in_flight
            .iter()
            .any(|leased| leased.position.segment == number)
    }

    /// Drops a segment with what is left in it. The loss is on disk before the records are not.
    fn drop_segment(&mut self, number: u64, reason: LossReason) -> Result<(), SpoolError> {
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
    fn drop_delivered(&mut self) {
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
    fn remove_dead(&mut self) {
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

    fn note_names_synced(&mut self) {
        self.names_changed = false;
        // The ledger on disk may go on naming them: the numbers are not used again.
        for number in self.removed.drain(..) {
            self.ledger.dead.remove(&number);
        }
    }

    /// Replaces the ledger on disk, and, once that is certain, in memory.
    fn write_ledger(&mut self, mut ledger: Ledger) -> Result<(), SpoolError> {
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

    /// Where the next record stands, if there is one.
    fn next_position(&mut self) -> Option<Position> {
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

    fn read(&mut self, position: Position) -> Result<Read, SpoolError> {
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

    /// Goes on at the next valid record of a segment, and notes what is missing of what was in it.
    fn skip_damage(&mut self, position: Position) -> Result<(), SpoolError> {
        let number = position.segment;
        let file = self.reading_file(number).ok();
        let Some(bytes) = file.and_then(|file| read_whole(file, SEGMENT_BYTES_LIMIT)) else {
            return self.drop_segment(number, LossReason::Damaged);
        };
        let Some(segment) = self.segments.get_mut(&number) else {
            return Ok(());
        };
        let mut left = Segment {
            salt: segment.salt,
            bytes: segment.bytes,
            spans: Vec::new(),
            set_aside: false,
        };
        self.next.offset = segment.bytes;
        for found in Scanner::new(&bytes, segment.salt) {
            match found {
                Found::Record { offset, header } => {
                    if offset >= position.offset {
                        self.next.offset = self.next.offset.min(offset);
                    }
                    left.add(header.span);
                }
                Found::Damage { offset, .. } => {
                    self.ledger.note_damage(number, offset);
                }
            }
        }
        let before = std::mem::replace(segment, left).spans;
        for span in before {
            for lost in span.without(&segment.spans) {
                self.ledger.lose(LossReason::Damaged, Some(lost), self.told);
            }
        }
        self.ledger_changed = true;
        Ok(())
    }
}
