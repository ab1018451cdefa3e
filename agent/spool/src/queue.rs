//! The queue itself: push, sync, lease, commit, roll back.
//!
//! Owned by one thread; every call that touches the disk blocks. See the package's documentation for
//! what is promised and for the formats.

mod reading;
mod room;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use tocsin_proto::id::{EventSequence, RunId};
use tocsin_proto::limits;

use self::reading::{Position, Read};
use crate::config::{SpoolConfig, Stats};
use crate::error::{RecordError, SpoolError, failed};
use crate::folder::{DiskFolder, Folder, FolderFile};
use crate::ledger::{Ledger, Loss, LossReason};
use crate::record::{Header, Place, Record, Span};
use crate::recovery::{Recovered, Recovery, recover};
use crate::segment::{HEAD_BYTES, Head, SEGMENT_SPANS_MAX, Segment, segment_name};

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

#[derive(Debug)]
struct Leased {
    span: Span,
    position: Position,
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
    /// Told by the next sync: a segment that is full, or was found at start, could not be synced.
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
            failed_sync,
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
            failed_sync,
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
                Read::Damaged if self.is_known_damage(position) => {
                    self.skip_damage(position)?;
                }
                // A record in flight from there may still be committed; its loss is told only when
                // it would have to be read again.
                Read::Damaged | Read::Refused if self.has_in_flight(position.segment) => {
                    return Ok(None);
                }
                Read::Damaged => self.skip_new_damage(position)?,
                Read::Refused => self.drop_segment(position.segment, LossReason::Damaged)?,
            }
        }
        Ok(None)
    }

    /// A record that is in flight, once more; `None` where it is not, or cannot be read again. It stays in flight.
    ///
    /// # Errors
    ///
    /// A file could not be opened.
    pub fn leased(&mut self, span: Span) -> Result<Option<Record>, SpoolError> {
        let leased = self.in_flight.iter().find(|leased| leased.span == span);
        let Some(position) = leased.map(|leased| leased.position) else {
            return Ok(None);
        };
        Ok(match self.read(position)? {
            Read::Record(record, _) => Some(record),
            Read::Committed(_) | Read::Damaged | Read::Refused => None,
        })
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
}
