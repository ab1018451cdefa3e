//! Plays a recording: its lines, in order, each only once its place in the chain was checked.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::format::{Part, Reader};
use super::hex;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// What comes of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Played {
    /// Whole lines of asciicast.
    Lines(Vec<u8>),
    /// All of it was there and every hash fits; the last of them.
    Whole(String),
    /// What is wrong, in one sentence. Nothing follows.
    Problem(String),
}

/// Reads a recording and hands out what comes of it, until `take` wants no more. Waits for the disk.
pub(crate) fn play(path: &Path, mut take: impl FnMut(Played) -> bool) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut reader = Reader::new();
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let count = file.read(&mut bytes)?;
        let read = bytes.get(..count).unwrap_or_default();
        if read.is_empty() {
            break;
        }
        let parts = match reader.push(read) {
            Ok(parts) => parts,
            Err(damage) => {
                take(Played::Problem(damage.to_string()));
                return Ok(());
            }
        };
        for part in parts {
            let played = match part {
                Part::Lines(lines) => Played::Lines(lines),
                Part::End(_, link) => Played::Whole(hex(&link)),
            };
            if !take(played) {
                return Ok(());
            }
        }
    }
    if !reader.has_ended {
        let said = "it has no end: the terminal is open, or the server has stopped since";
        take(Played::Problem(said.to_owned()));
    }
    Ok(())
}
