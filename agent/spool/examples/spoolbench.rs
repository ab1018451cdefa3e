//! What the spool costs an event, beside the least that any durable queue must do.
//!
//! `cargo run --release -p tocsin-spool --example spoolbench [FOLDER]`: records of 512 events and
//! 30,000 bytes, one sync each, on the disk of FOLDER (or the system's temporary folder). Floor:
//! the same bytes appended to one file, one fdatasync each. Both run in turns; medians of all runs.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use tocsin_proto::id::{EventSequence, RunId};
use tocsin_spool::{Record, Sequencer, Span, Spool, SpoolConfig};

const RUNS: usize = 9;
const RECORDS: usize = 200;
const EVENTS: u64 = 512;
const PAYLOAD_BYTES: usize = 30_000;
const MUST_MICROSECONDS: f64 = 5.0;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[expect(clippy::print_stdout, reason = "it is a benchmark")]
fn main() -> Outcome<()> {
    let parent = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, Into::into);
    let (mut floor, mut push, mut deliver) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let folder = tempfile::tempdir_in(&parent)?;
        floor.push(floor_run(folder.path())?);
        let (pushed, delivered) = spool_run(folder.path())?;
        push.push(pushed);
        deliver.push(delivered);
    }
    let (floor, push, deliver) = (median(floor), median(push), median(deliver));
    println!("{RUNS} runs of {RECORDS} records, {EVENTS} events and {PAYLOAD_BYTES} bytes each");
    println!("in {}", parent.display());
    println!("{floor:8.3} us an event   floor: write + fdatasync");
    println!("{push:8.3} us an event   push + sync (must: {MUST_MICROSECONDS})");
    println!("{:8.3} x the floor", push / floor);
    println!("{deliver:8.3} us an event   lease + commit, a checkpoint every 8 records");
    Ok(())
}

/// Microseconds an event.
fn floor_run(folder: &Path) -> Outcome<f64> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(folder.join("floor"))?;
    let payload = payload();
    let begin = Instant::now();
    for _ in 0..RECORDS {
        file.write_all(&payload)?;
        File::sync_data(&file)?;
    }
    Ok(per_event(begin))
}

/// Microseconds an event, to push and to deliver.
fn spool_run(folder: &Path) -> Outcome<(f64, f64)> {
    let (mut spool, _) = Spool::open(&folder.join("spool"), SpoolConfig::default())?;
    let mut sequencer = Sequencer::new(RunId::from_bytes([7; 16]));
    let mut record = Record {
        span: next_span(&mut sequencer),
        payload: payload(),
    };
    let begin = Instant::now();
    for _ in 0..RECORDS {
        spool.push(&record)?;
        spool.sync()?;
        record.span = next_span(&mut sequencer);
    }
    let pushed = per_event(begin);
    let begin = Instant::now();
    let mut delivered = 0;
    while let Some(record) = spool.lease()? {
        spool.commit(record.span.run, record.span.last);
        delivered += 1;
        if delivered % 8 == 0 {
            spool.checkpoint()?;
        }
    }
    if delivered != RECORDS {
        return Err(format!("{delivered} records of {RECORDS} came back").into());
    }
    Ok((pushed, per_event(begin)))
}

fn next_span(sequencer: &mut Sequencer) -> Span {
    let first = sequencer.assign();
    let last = (1..EVENTS)
        .map(|_| sequencer.assign())
        .last()
        .unwrap_or(first);
    Span {
        run: sequencer.run(),
        first,
        last: EventSequence(last.0),
    }
}

fn payload() -> Vec<u8> {
    let mut state = 1_u64;
    let step = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..PAYLOAD_BYTES).map(step).collect()
}

fn per_event(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e6 / (RECORDS as f64 * EVENTS as f64)
}

fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs.get(runs.len() / 2).copied().unwrap_or(f64::NAN)
}
