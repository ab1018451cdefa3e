//! Real files, cut and changed at every byte; and what else a folder can do to a spool.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by them"
)]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tocsin_proto::id::{EventSequence, RunId};
use tocsin_spool::{
    LedgerState, LossReason, Record, RecordError, Recovery, SetAside, Span, Spool, SpoolConfig,
    SpoolError,
};

const CONFIG: SpoolConfig = SpoolConfig {
    bytes_max: 1 << 20,
    segment_bytes: 1 << 10,
    in_flight_max: 1000,
};

fn run(number: u8) -> RunId {
    RunId::from_bytes([number; 16])
}

fn span(first: u64, last: u64) -> Span {
    Span {
        run: run(1),
        first: EventSequence(first),
        last: EventSequence(last),
    }
}

/// Two events, and what they are can be told from the payload.
fn record(number: u64, bytes: usize) -> Record {
    let span = span(2 * number - 1, 2 * number);
    Record {
        span,
        payload: vec![number as u8; bytes],
    }
}

fn open(folder: &Path) -> (Spool, Recovery) {
    Spool::open(folder, CONFIG).unwrap()
}

fn drain(spool: &mut Spool) -> Vec<Record> {
    std::iter::from_fn(|| spool.lease().unwrap()).collect()
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = paths.filter(|path| path.extension().is_some()).collect();
    segments.retain(|path| path.extension().unwrap() == "segment");
    segments.sort();
    segments
}

/// These tests sync thousands of times: in memory, where the system has a place for that.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory)
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// A folder with these records, synced and closed.
fn folder_of(records: &[Record]) -> TempDir {
    let folder = folder();
    let (mut spool, recovery) = open(folder.path());
    assert_eq!(recovery.ledger, LedgerState::Absent);
    for record in records {
        spool.push(record).unwrap();
    }
    spool.sync().unwrap();
    folder
}

#[test]
fn the_newest_segment_cut_anywhere_keeps_what_is_whole() {
    let records = [record(1, 5), record(2, 60), record(3, 1)];
    let ends = [32, 32 + 53, 32 + 53 + 108, 32 + 53 + 108 + 49];
    let folder = folder_of(&records);
    let path = segments(folder.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let ledger = fs::read(folder.path().join("ledger")).unwrap();
    assert_eq!(whole.len(), ends[3]);
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (mut spool, recovery) = open(folder.path());
        let kept = ends
            .iter()
            .filter(|end| **end <= cut)
            .count()
            .saturating_sub(1);
        let end = if cut < 32 { 0 } else { ends[kept] };
        assert_eq!(recovery.torn_bytes, (cut - end) as u64, "cut at {cut}");
        assert_eq!(
            recovery.newest.map(|span| span.last.0),
            kept.checked_sub(1).map(|at| 2 * at as u64 + 2)
        );
        assert_eq!(drain(&mut spool), records[..kept], "cut at {cut}");
        assert_eq!(spool.losses(), []);

        // It goes on behind what was kept.
        spool.push(&record(9, 7)).unwrap();
        spool.sync().unwrap();
        drop(spool);
        let (mut spool, recovery) = open(folder.path());
        assert_eq!(recovery.torn_bytes, 0, "cut at {cut}");
        let again = drain(&mut spool);
        assert_eq!(
            (again.len(), again.last()),
            (kept + 1, Some(&record(9, 7))),
            "cut at {cut}"
        );
        drop(spool);
        for other in segments(folder.path()) {
            fs::remove_file(other).unwrap();
        }
        fs::write(folder.path().join("ledger"), &ledger).unwrap();
    }
}

/// Changes each byte of the first segment in turn. Whatever is not delivered must be told.
fn flip_every_byte_of_the_first(records: &[Record], newest: bool) {
    let folder = folder_of(records);
    let path = segments(folder.path()).remove(0);
    assert_eq!(segments(folder.path()).len() == 1, newest);
    let whole = fs::read(&path).unwrap();
    let ledger = fs::read(folder.path().join("ledger")).unwrap();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        fs::write(&path, &changed).unwrap();
        fs::write(folder.path().join("ledger"), &ledger).unwrap();
        let (mut spool, recovery) = open(folder.path());
        let delivered = drain(&mut spool);
        let missing: Vec<Span> = records
            .iter()
            .filter(|record| !delivered.contains(record))
            .map(|r| r.span)
            .collect();
        assert_eq!(
            delivered.len() + missing.len(),
            records.len(),
            "nothing else at {at}"
        );
        // Only the salt, at 20..28, is worth more than one record.
        assert!(
            missing.len() <= 1 || (20..28).contains(&at),
            "{missing:?} at {at}"
        );
        let losses = spool.losses().to_vec();
        for lost in &missing {
            let told = losses.iter().any(|loss| match loss.span {
                Some(span) => span.first <= lost.first && lost.last <= span.last,
                None => true,
            });
            assert!(
                told || recovery.torn_bytes > 0,
                "{lost:?} is untold at {at}"
            );
        }
        assert!(losses.iter().all(|loss| loss.reason == LossReason::Damaged));
        assert_eq!(
            losses.is_empty() && recovery.torn_bytes == 0,
            missing.is_empty(),
            "at {at}"
        );
        drop(spool);

        // The damage is still there; it is not told as another loss.
        let (mut spool, _) = open(folder.path());
        assert_eq!(spool.losses(), losses, "told again at {at}");
        if newest {
            fs::write(&path, &whole).unwrap();
        }
    }
}

#[test]
fn a_byte_changed_anywhere_in_the_newest_segment_costs_one_record() {
    flip_every_byte_of_the_first(&[record(1, 5), record(2, 60), record(3, 1)], true);
}

#[test]
fn a_byte_changed_anywhere_in_an_older_segment_costs_one_record() {
    let mut records: Vec<Record> = (1..=6).map(|number| record(number, 20)).collect();
    records.extend([record(7, 900), record(8, 20)]);
    flip_every_byte_of_the_first(&records, false);
}

#[test]
fn a_hole_between_two_records_of_a_run_is_told_exactly() {
    let records: Vec<Record> = (1..=12).map(|number| record(number, 100)).collect();
    let folder = folder_of(&records);
    let path = segments(folder.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    // The headers of the second and the third record.
    bytes[32 + 148] ^= 1;
    bytes[32 + 2 * 148 + 47] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (mut spool, _) = open(folder.path());
    let losses = spool.losses();
    assert_eq!(losses.len(), 1);
    assert_eq!(
        (losses[0].span, losses[0].events),
        (Some(span(3, 6)), Some(4))
    );
    assert_eq!(drain(&mut spool).len(), 10);
}

#[test]
fn damage_that_comes_while_the_spool_is_open_is_told_when_it_is_met() {
    let records: Vec<Record> = (1..=12).map(|number| record(number, 100)).collect();
    let folder = folder_of(&records);
    let (mut spool, _) = open(folder.path());
    let path = segments(folder.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[32 + 148 + 60] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(spool.lease().unwrap().as_ref(), Some(&records[0]));
    assert_eq!(
        spool.lease().unwrap(),
        None,
        "the first may have to be read again"
    );
    spool.commit(run(1), EventSequence(2));
    assert_eq!(drain(&mut spool), records[2..]);
    let losses = spool.losses();
    assert_eq!(losses.len(), 1);
    assert_eq!(
        (losses[0].span, losses[0].reason),
        (Some(span(3, 4)), LossReason::Damaged)
    );
    assert_eq!(spool.stats().events, 20);
}

#[test]
fn a_segment_that_vanishes_is_a_loss_and_not_the_end() {
    let records: Vec<Record> = (1..=12).map(|number| record(number, 100)).collect();
    let folder = folder_of(&records);
    let (mut spool, _) = open(folder.path());
    fs::remove_file(segments(folder.path()).remove(0)).unwrap();
    assert_eq!(drain(&mut spool), records[6..]);
    assert_eq!(spool.losses()[0].span, Some(span(1, 12)));
}

#[test]
fn a_damaged_ledger_sends_again_and_loses_nothing() {
    let records = [record(1, 5), record(2, 60)];
    let folder = folder_of(&records);
    let (mut spool, _) = open(folder.path());
    drain(&mut spool);
    spool.commit(run(1), EventSequence(2));
    spool.checkpoint().unwrap();
    drop(spool);
    let (mut spool, recovery) = open(folder.path());
    assert_eq!((recovery.ledger, recovery.events), (LedgerState::Read, 2));
    assert_eq!(drain(&mut spool), records[1..]);
    drop(spool);
    fs::write(folder.path().join("ledger"), b"tocLEDGR").unwrap();
    let (mut spool, recovery) = open(folder.path());
    assert_eq!(
        (recovery.ledger, recovery.events),
        (LedgerState::Damaged, 4)
    );
    assert_eq!(drain(&mut spool), records);
}

/// Makes a file say that it is of version 2.
fn make_newer(path: &Path, summed: std::ops::Range<usize>, body: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[summed.clone()]), &bytes[body..]);
    bytes[summed.end..summed.end + 4].copy_from_slice(&crc.to_le_bytes());
    fs::write(path, &bytes).unwrap();
}

#[test]
fn newer_files_are_set_aside_and_told() {
    let folder = folder_of(&[record(1, 5)]);
    let path = segments(folder.path()).remove(0);
    let length = fs::metadata(&path).unwrap().len() as usize;
    make_newer(&path, 0..28, length);
    make_newer(&folder.path().join("ledger"), 0..16, 20);
    let newer = fs::read(&path).unwrap();
    let (mut spool, recovery) = open(folder.path());
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(
        recovery.set_aside,
        [SetAside {
            name,
            version: Some(2)
        }]
    );
    assert_eq!(recovery.ledger, LedgerState::Newer);
    assert!(folder.path().join("ledger.aside").exists());
    spool.push(&record(2, 5)).unwrap();
    spool.sync().unwrap();
    assert_eq!(drain(&mut spool), [record(2, 5)]);
    spool.commit(run(1), EventSequence(4));
    spool.checkpoint().unwrap();
    drop(spool);
    assert_eq!(open(folder.path()).1.set_aside.len(), 1);
    assert_eq!(fs::read(&path).unwrap(), newer);
}

#[test]
fn a_newer_segment_makes_room_when_it_must_and_is_then_a_loss() {
    let folder = folder_of(&[record(1, 900)]);
    let path = segments(folder.path()).remove(0);
    let length = fs::metadata(&path).unwrap().len() as usize;
    make_newer(&path, 0..28, length);
    let config = SpoolConfig {
        bytes_max: 4 << 10,
        ..CONFIG
    };
    let (mut spool, _) = Spool::open(folder.path(), config).unwrap();
    for number in 2..=5 {
        spool.push(&record(number, 900)).unwrap();
    }
    assert!(!path.exists());
    let losses = spool.losses();
    assert_eq!(losses.len(), 1);
    assert_eq!((losses[0].span, losses[0].events), (None, None));
    assert_eq!(losses[0].reason, LossReason::Evicted);
}

#[test]
fn a_second_opener_is_refused() {
    let folder = folder_of(&[]);
    let (spool, _) = open(folder.path());
    let error = Spool::open(folder.path(), CONFIG).unwrap_err();
    assert!(matches!(error, SpoolError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("another process"));
    drop(spool);
    open(folder.path());
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let parent = folder();
    let folder = parent.path().join("state/spool");
    let (mut spool, _) = open(&folder);
    spool.push(&record(1, 5)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn records_that_break_the_rules_are_refused() {
    let folder = folder_of(&[]);
    let (mut spool, _) = open(folder.path());
    spool.push(&record(2, 5)).unwrap();
    let mut refused = |first, last, bytes| {
        let record = Record {
            span: span(first, last),
            payload: vec![1; bytes],
        };
        match spool.push(&record) {
            Err(SpoolError::Record(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(refused(5, 5, 0), RecordError::Size { .. }));
    assert!(matches!(
        refused(5, 5, 945),
        RecordError::Size {
            bytes: 945,
            bytes_max: 944
        }
    ));
    assert!(matches!(refused(0, 5, 5), RecordError::Range { .. }));
    assert!(matches!(refused(6, 5, 5), RecordError::Range { .. }));
    assert!(matches!(refused(5, 517, 5), RecordError::Range { .. }));
    assert!(matches!(
        refused(4, 6, 5),
        RecordError::Order {
            first: 4,
            newest: 4
        }
    ));
    let other_run = Record {
        span: Span {
            run: run(2),
            ..span(1, 1)
        },
        payload: vec![1],
    };
    spool.push(&other_run).unwrap();
    assert_eq!(drain(&mut spool), [record(2, 5), other_run]);
}

#[test]
fn impossible_limits_are_refused() {
    let folder = folder();
    for config in [
        SpoolConfig {
            in_flight_max: 0,
            ..CONFIG
        },
        SpoolConfig {
            segment_bytes: 1 << 9,
            ..CONFIG
        },
        SpoolConfig {
            segment_bytes: 1 << 30,
            bytes_max: 1 << 40,
            ..CONFIG
        },
        SpoolConfig {
            bytes_max: 4095,
            ..CONFIG
        },
    ] {
        let error = Spool::open(folder.path(), config).unwrap_err();
        assert!(matches!(error, SpoolError::Config { .. }), "{config:?}");
    }
}

#[test]
fn runs_that_die_at_once_do_not_fill_memory() {
    let folder = folder();
    let config = SpoolConfig {
        bytes_max: 4 << 10,
        ..CONFIG
    };
    for number in 1..=250 {
        let (mut spool, _) = Spool::open(folder.path(), config).unwrap();
        let record = Record {
            span: Span {
                run: run(number),
                ..span(1, 1)
            },
            payload: vec![1],
        };
        spool.push(&record).unwrap();
        spool.sync().unwrap();
    }
    assert!(segments(folder.path()).len() <= 5);
    let (mut spool, recovery) = Spool::open(folder.path(), config).unwrap();
    let lost: u64 = spool.losses().iter().filter_map(|loss| loss.events).sum();
    assert_eq!(lost + recovery.events, 250);
    assert_eq!(drain(&mut spool).len() as u64, recovery.events);
}

#[test]
fn segments_full_of_records_in_flight_are_not_dropped() {
    let folder = folder();
    let config = SpoolConfig {
        bytes_max: 4 << 10,
        ..CONFIG
    };
    let (mut spool, _) = Spool::open(folder.path(), config).unwrap();
    for number in 1..=4 {
        spool.push(&record(number, 900)).unwrap();
    }
    let leased = drain(&mut spool);
    assert_eq!(leased.len(), 4);
    let error = spool.push(&record(5, 900)).unwrap_err();
    assert!(matches!(error, SpoolError::InFlight), "{error}");
    spool.commit(run(1), EventSequence(4));
    spool.push(&record(5, 900)).unwrap();
    assert_eq!(spool.losses(), []);
    spool.rollback();
    assert_eq!(
        drain(&mut spool),
        [record(3, 900), record(4, 900), record(5, 900)]
    );
}
