//! Reading a folder back: what is there, what is torn, what is damaged, what is not ours to read.
//!
//! The end of the newest segment is where a crash tears a write that nobody was promised: it is cut
//! off and counted. Damage anywhere else hit records that had been synced, and is a loss: exact
//! where the damaged record's header is valid, else what is missing between its neighbors if both
//! are of one run (at most that, as sequences may have been left out on purpose), else unknown.
//! Each damage is told once, although its bytes stay.
//!
//! Reads one segment at a time, whole, and syncs it; writes the newest anew before more is added.
//! Removes only what the ledger says was dropped, and a newest segment that a crash left without a
//! record.

use std::collections::BTreeMap;
use std::io;

use tocsin_proto::id::EventSequence;

use crate::error::{SpoolError, failed};
use crate::folder::{Folder, FolderFile};
use crate::ledger::{
    LEDGER_ASIDE_NAME, LEDGER_BYTES_MAX, LEDGER_NAME, Ledger, LedgerState, LossReason,
};
use crate::record::{Header, Span};
use crate::segment::{
    Found, Head, SEGMENT_BYTES_LIMIT, Scanner, Segment, SegmentVersion, segment_name,
    segment_number,
};

/// What opening a spool found. Losses are told by [`Spool::losses`](crate::Spool::losses).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// What the ledger was.
    pub ledger: LedgerState,
    /// Events that wait to be delivered.
    pub events: u64,
    /// The newest events that are there, committed or not: what came after them in their run did
    /// not reach the disk.
    pub newest: Option<Span>,
    /// Bytes cut off the end: records that were not synced, or, which looks the same, damage to the
    /// last records of all.
    pub torn_bytes: u64,
    /// Damaged places, told now or earlier.
    pub damaged: u64,
    /// Files that this version cannot read. They stay until their room is needed.
    pub set_aside: Vec<SetAside>,
}

/// A segment that stays unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Its file.
    pub name: String,
    /// The version that it says it has; none where the disk gives nothing back or it is too long.
    pub version: Option<u32>,
}

/// A folder read back.
#[derive(Debug)]
pub(crate) struct Recovered<F: Folder> {
    pub(crate) ledger: Ledger,
    pub(crate) segments: BTreeMap<u64, Segment>,
    /// The newest segment, where it can be written on.
    pub(crate) active: Option<(u64, F::File)>,
    /// Why what was not synced before may still not survive a crash.
    pub(crate) failed_sync: Option<SpoolError>,
    pub(crate) report: Recovery,
}

pub(crate) fn recover<F: Folder>(folder: &F) -> Result<Recovered<F>, SpoolError> {
    // A file that the last process removed could come back after the ledger forgot it.
    folder.sync_names().map_err(failed("sync", "names"))?;
    let names = folder.names().map_err(failed("list", "names"))?;
    let (state, ledger) = read_ledger(folder, &names)?;
    let mut survey = Survey::new(ledger, state);
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| segment_number(name))
        .collect();
    numbers.sort_unstable();
    // The dead count too: their files may still be there, and their numbers stay used.
    let used = numbers.last().map_or(1, |newest| newest + 1);
    survey.ledger.next_segment = survey.ledger.next_segment.max(used);
    numbers.retain(|number| !survey.ledger.dead.contains(number));

    let mut segments = BTreeMap::new();
    let (mut active, mut failed_sync) = (None, None);
    for number in &numbers {
        let newest = numbers.last() == Some(number);
        let name = segment_name(*number);
        let mut file = folder.open(&name).map_err(failed("open", &name))?;
        let bytes = read_whole(&mut file, SEGMENT_BYTES_LIMIT);
        let length = file.bytes().map_err(failed("measure", &name))?;
        let found = survey.segment(*number, bytes.as_deref().ok_or(length), newest);
        let Some((segment, intact)) = found else {
            survey.ledger.dead.insert(*number);
            continue;
        };
        let durable = match bytes {
            Some(bytes) if newest && !segment.set_aside => {
                make_durable(&mut file, bytes, segment.bytes)
            }
            // The process that filled it may have died before the sync that it owed.
            _ => file.sync(),
        };
        match durable {
            Ok(()) if newest && intact => active = Some((*number, file)),
            Ok(()) => {}
            Err(error) => failed_sync = Some(failed("sync", &name)(error)),
        }
        segments.insert(*number, segment);
    }
    survey.end();
    let Survey {
        ledger, mut report, ..
    } = survey;
    let spans = segments
        .values()
        .flat_map(|segment: &Segment| &segment.spans);
    report.events = spans
        .filter_map(|s| ledger.uncommitted(*s))
        .map(|s| s.events())
        .sum();
    Ok(Recovered {
        ledger,
        segments,
        active,
        failed_sync,
        report,
    })
}

fn read_ledger<F: Folder>(
    folder: &F,
    names: &[String],
) -> Result<(LedgerState, Ledger), SpoolError> {
    if !names.iter().any(|name| name == LEDGER_NAME) {
        return Ok((LedgerState::Absent, Ledger::default()));
    }
    let mut file = folder
        .open(LEDGER_NAME)
        .map_err(failed("open", LEDGER_NAME))?;
    let Some(bytes) = read_whole(&mut file, LEDGER_BYTES_MAX) else {
        return Ok((LedgerState::Damaged, Ledger::default()));
    };
    let (state, ledger) = Ledger::decode(&bytes);
    if state == LedgerState::Newer {
        let moved = folder.rename(LEDGER_NAME, LEDGER_ASIDE_NAME);
        moved.map_err(failed("set aside", LEDGER_NAME))?;
    }
    Ok((state, ledger))
}

/// None where the disk does not give it back or it is longer than allowed.
pub(crate) fn read_whole<T: FolderFile>(file: &mut T, bytes_max: u64) -> Option<Vec<u8>> {
    let length = file.bytes().ok().filter(|bytes| *bytes <= bytes_max)?;
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    let read = file.read_at(&mut bytes, 0).ok()?;
    bytes.truncate(read);
    Some(bytes)
}

/// Leaves the newest segment as it was found valid, also if the machine crashes now. Writes it once
/// more: where an earlier process failed to sync, the system may show bytes that it has given up.
fn make_durable<T: FolderFile>(file: &mut T, mut bytes: Vec<u8>, end: u64) -> io::Result<()> {
    bytes.truncate(usize::try_from(end).unwrap_or(usize::MAX));
    file.cut(end)?;
    file.write_at(&bytes, 0)?;
    file.sync()
}

/// Goes over all records in order and works out what is missing.
struct Survey {
    ledger: Ledger,
    report: Recovery,
    /// The newest record so far, valid or known by its header.
    previous: Option<Span>,
    /// Something of unknown extent is damaged between `previous` and the next record.
    in_doubt: bool,
}

impl Survey {
    fn new(ledger: Ledger, state: LedgerState) -> Self {
        let report = Recovery {
            ledger: state,
            events: 0,
            newest: None,
            torn_bytes: 0,
            damaged: 0,
            set_aside: Vec::new(),
        };
        Self {
            ledger,
            report,
            previous: None,
            in_doubt: false,
        }
    }

    /// What a file holds, and whether its head is intact. None: a crash left nothing in it.
    /// Of a file that was not read, its length.
    fn segment(
        &mut self,
        number: u64,
        bytes: Result<&[u8], u64>,
        newest: bool,
    ) -> Option<(Segment, bool)> {
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(length) => {
                self.damage(number, 0, None);
                return Some((self.set_aside(number, length, None), false));
            }
        };
        let length = bytes.len() as u64;
        let head = Head::decode(bytes, number).unwrap_or(Head::LOST);
        if head.version > SegmentVersion::CURRENT {
            return Some((self.set_aside(number, length, Some(head.version.0)), false));
        }
        let mut segment = Segment {
            salt: head.salt,
            bytes: length,
            spans: Vec::new(),
            set_aside: false,
        };
        let mut trailing = Vec::new();
        for found in Scanner::new(bytes, head.salt) {
            match found {
                Found::Record { header, .. } => {
                    for (offset, damaged) in trailing.drain(..) {
                        self.damage(number, offset, damaged);
                    }
                    self.record(header.span);
                    self.report.newest = Some(header.span);
                    segment.add(header.span);
                }
                Found::Damage { offset, header } => trailing.push((offset, header)),
            }
        }
        if !newest {
            for (offset, damaged) in trailing {
                self.damage(number, offset, damaged);
            }
        } else if let Some((torn, _)) = trailing.first() {
            self.report.torn_bytes += length.saturating_sub(*torn);
            segment.bytes = *torn;
        }
        match (head.intact, segment.spans.is_empty(), newest) {
            (true, ..) => Some((segment, true)),
            (false, true, true) => {
                self.report.torn_bytes += segment.bytes;
                None
            }
            (false, true, false) => {
                self.damage(number, 0, None);
                Some((self.set_aside(number, length, None), false))
            }
            (false, false, _) => {
                self.report.damaged += 1;
                Some((segment, false))
            }
        }
    }

    fn set_aside(&mut self, number: u64, bytes: u64, version: Option<u32>) -> Segment {
        self.report.set_aside.push(SetAside {
            name: segment_name(number),
            version,
        });
        Segment {
            salt: 0,
            bytes,
            spans: Vec::new(),
            set_aside: true,
        }
    }

    fn record(&mut self, span: Span) {
        if std::mem::take(&mut self.in_doubt) {
            match self.previous {
                Some(previous) if previous.run == span.run => {
                    let first = EventSequence(previous.last.0.saturating_add(1));
                    let last = EventSequence(span.first.0.saturating_sub(1));
                    if first <= last {
                        self.lose_unless_told(Span {
                            run: span.run,
                            first,
                            last,
                        });
                    }
                }
                _ => self.lose(None),
            }
        }
        self.previous = Some(span);
    }

    fn damage(&mut self, segment: u64, offset: u64, header: Option<Header>) {
        self.report.damaged += 1;
        let news = self.ledger.note_damage(segment, offset);
        match header {
            Some(header) => {
                self.record(header.span);
                if news {
                    self.lose(Some(header.span));
                }
            }
            None => self.in_doubt |= news,
        }
    }

    fn lose(&mut self, span: Option<Span>) {
        self.ledger.lose(LossReason::Damaged, span, 0);
    }

    /// A segment that was evicted from between two others is missing there, too.
    fn lose_unless_told(&mut self, span: Span) {
        let told = self
            .ledger
            .losses
            .iter()
            .filter_map(|loss| loss.span.as_ref());
        for part in span.without(told) {
            self.lose(Some(part));
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.in_doubt) {
            self.lose(None);
        }
    }
}
