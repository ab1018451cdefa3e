//! Recordings of terminals: each a file of its own below the data directory, from before the endpoint is asked for the
//! terminal until it has ended.
//!
//! ```text
//! DIR/recordings/0001764000000000-<id of the terminal>.cast.zst     when it was opened, milliseconds since 1970
//! ```
//!
//! Promises: what an endpoint printed is on its way to the disk before the analyst's console gets it; what was typed is
//! kept only where the endpoint says that echo was on when it was taken; where a recording cannot be begun or goes on no
//! more, there is no terminal. Recordings go when they are too old, never to make room: a full folder refuses new
//! terminals. The format is in [`format`]; who may see one is decided in `rpc`.

mod cast;
mod format;
mod play;
mod writer;

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use tocsin_proto::console::v1::{Recording, Terminal, TerminalEnd, TerminalState};

pub(crate) use cast::Happening;
pub(crate) use play::{Played, play};
pub(crate) use writer::Recorder;

use crate::data_dir;
use format::{Reader, TERMINAL_BYTES_MAX, Writer};

/// Fewest characters by which a recording can be named.
const PREFIX_CHARS_MIN: usize = 4;

/// What the file of a recording is called at its end.
const EXTENSION: &str = ".cast.zst";

/// What one is called that cannot be read, from then on: nobody plays it, and nothing of it is lost.
const DAMAGED: &str = "damaged";

/// Digits of the time in a file's name.
const TIME_DIGITS: usize = 16;

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordingError {
    /// Their folder is full.
    #[error(
        "recordings of terminals fill the {0} bytes that retention.recordings_size allows: raise it, or lower retention.recordings_age"
    )]
    Full(u64),
    /// The disk refused.
    #[error("{0} a recording")]
    Io(&'static str, #[source] io::Error),
    /// No such one.
    #[error("no recording is of a terminal whose id begins with '{0}'")]
    NotFound(String),
    /// More than one.
    #[error("'{0}' begins the ids of several recorded terminals, or is too short")]
    Ambiguous(String),
}

/// All recordings. Its methods wait for the disk.
#[derive(Debug, Clone)]
pub(crate) struct Recordings {
    folder: PathBuf,
    /// Bytes that all of them may have when one is begun.
    size_max: u64,
}

/// One that a former run of the server did not end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Of which terminal.
    pub(crate) id: String,
    /// At which endpoint; empty where that cannot be read.
    pub(crate) endpoint: String,
    /// What became of it, for the audit log.
    pub(crate) said: String,
}

/// A recording's file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    time_ms: i64,
    id: String,
    path: PathBuf,
}

impl Recordings {
    /// Those in a folder, which need not exist.
    pub(crate) fn new(folder: PathBuf, size_max: u64) -> Self {
        Self { folder, size_max }
    }

    /// Begins one: its head is on the disk when this returns. `kind` is what TERM is.
    pub(crate) fn begin(&self, terminal: &Terminal, kind: &str) -> Result<Begun, RecordingError> {
        let failed = |source| RecordingError::Io("begin", source);
        fs::create_dir_all(&self.folder).map_err(failed)?;
        data_dir::restrict(&self.folder, 0o700).map_err(failed)?;
        if self.stored_bytes().map_err(failed)? >= self.size_max {
            return Err(RecordingError::Full(self.size_max));
        }
        let name = format!(
            "{:0width$}-{}{EXTENSION}",
            terminal.open_time_ms.max(0),
            terminal.id,
            width = TIME_DIGITS
        );
        let path = self.folder.join(name);
        let mut file = data_dir::create_secret(&path).map_err(failed)?;
        let (writer, head) = Writer::new(terminal);
        let mut begun = writer::Begun {
            file: file.try_clone().map_err(failed)?,
            writer,
            bytes: head.len() as u64,
            lines: cast::header(terminal, kind),
        };
        file.write_all(&head).map_err(failed)?;
        begun.flush().map_err(failed)?;
        file.sync_all().map_err(failed)?;
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Ok(Begun(begun))
    }

    /// Newest first, those that were opened before a moment and, where it is the same, whose id is less. Those whose head
    /// cannot be read are left out.
    pub(crate) fn list(
        &self,
        before: Option<(i64, String)>,
        wanted: impl Fn(&Terminal) -> bool,
        count: usize,
    ) -> Result<Vec<Recording>, RecordingError> {
        let mut entries = self.entries().map_err(reading)?;
        entries.sort_unstable();
        let earlier = |entry: &Entry| {
            before
                .as_ref()
                .is_none_or(|(time_ms, id)| (entry.time_ms, &entry.id) < (*time_ms, id))
        };
        let rows = entries.iter().rev().filter(|entry| earlier(entry));
        let rows = rows.filter_map(|entry| read_row(&entry.path));
        let of_those = rows.filter(|row| row.terminal.as_ref().is_some_and(&wanted));
        Ok(of_those.take(count).collect())
    }

    /// The one of the terminal whose id is, or begins with, this text: what is known of it, and its file.
    pub(crate) fn find(&self, text: &str) -> Result<(Recording, PathBuf), RecordingError> {
        let shown = || text.chars().take(64).collect::<String>();
        if text.chars().count() < PREFIX_CHARS_MIN {
            return Err(RecordingError::Ambiguous(shown()));
        }
        let entries = self.entries().map_err(reading)?;
        let mut found = entries
            .into_iter()
            .filter(|entry| entry.id.starts_with(text));
        match (found.next(), found.next()) {
            (Some(entry), None) => match read_row(&entry.path) {
                Some(row) => Ok((row, entry.path)),
                None => Err(RecordingError::NotFound(shown())),
            },
            (None, _) => Err(RecordingError::NotFound(shown())),
            (Some(_), Some(_)) => Err(RecordingError::Ambiguous(shown())),
        }
    }

    /// The files of those that have ended.
    pub(crate) fn ended(&self) -> io::Result<Vec<PathBuf>> {
        let mut ended = Vec::new();
        for entry in self.entries()? {
            if read_tail(&entry.path)?.is_some() {
                ended.push(entry.path);
            }
        }
        Ok(ended)
    }

    /// Removes those of terminals that were opened before a moment; how many.
    pub(crate) fn remove_old(&self, before_ms: i64) -> io::Result<u64> {
        let mut removed = 0;
        for entry in self.entries()? {
            if entry.time_ms < before_ms {
                fs::remove_file(&entry.path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Ends those that a former run of the server did not end. Only where no terminal is open.
    pub(crate) fn recover(&self) -> io::Result<Vec<Recovered>> {
        let mut recovered = Vec::new();
        for entry in self.entries()? {
            if read_tail(&entry.path)?.is_some() {
                continue;
            }
            let (endpoint, said) = match recover(&entry.path)? {
                Ok((endpoint, sha256)) => {
                    let said = format!(
                        "terminal {}: its recording was ended afterwards, as the server had stopped, sha256 {sha256}",
                        entry.id
                    );
                    (endpoint, said)
                }
                Err(damage) => {
                    let name = entry.path.with_added_extension(DAMAGED);
                    fs::rename(&entry.path, &name)?;
                    let said = format!(
                        "terminal {}: its recording cannot be read ({damage}) and is now {}",
                        entry.id,
                        name.display()
                    );
                    (String::new(), said)
                }
            };
            recovered.push(Recovered {
                id: entry.id,
                endpoint,
                said,
            });
        }
        Ok(recovered)
    }

    fn stored_bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir(&self.folder)? {
            bytes += entry?.metadata().map_or(0, |file| file.len());
        }
        Ok(bytes)
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let folder = match fs::read_dir(&self.folder) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        for entry in folder {
            let path = entry?.path();
            entries.extend(named(&path));
        }
        Ok(entries)
    }
}

/// A recording whose head is on the disk.
#[derive(Debug)]
pub(crate) struct Begun(writer::Begun);

impl Begun {
    /// Goes on with it; in a runtime.
    pub(crate) fn go_on(self) -> Recorder {
        Recorder::start(self.0)
    }
}

fn reading(source: io::Error) -> RecordingError {
    RecordingError::Io("read", source)
}

/// Hexadecimal digits of a hash.
pub(crate) fn hex(link: &format::Link) -> String {
    data_encoding::HEXLOWER.encode(link)
}

fn named(path: &Path) -> Option<Entry> {
    let name = path.file_name()?.to_str()?.strip_suffix(EXTENSION)?;
    let (time_ms, id) = name.split_once('-')?;
    Some(Entry {
        time_ms: time_ms.parse().ok()?,
        id: id.to_owned(),
        path: path.to_owned(),
    })
}

/// What is known of a recording; `None` where it cannot be read.
fn read_row(path: &Path) -> Option<Recording> {
    let read = || -> io::Result<Option<Recording>> {
        let (terminal, sha256) = match read_tail(path)? {
            Some((terminal, link)) => (Some(terminal), hex(&link)),
            None => (read_head(path)?, String::new()),
        };
        Ok(terminal.map(|terminal| Recording {
            terminal: Some(terminal),
            stored_bytes: fs::metadata(path).map_or(0, |file| file.len()),
            sha256,
        }))
    };
    read().unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "a recording cannot be read");
        None
    })
}

fn read_head(path: &Path) -> io::Result<Option<Terminal>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(TERMINAL_BYTES_MAX as u64)
        .read_to_end(&mut bytes)?;
    Ok(format::head(&bytes))
}

fn read_tail(path: &Path) -> io::Result<Option<(Terminal, format::Link)>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut read_last = |count: u64| -> io::Result<Vec<u8>> {
        file.seek(SeekFrom::Start(length.saturating_sub(count)))?;
        let mut bytes = Vec::new();
        (&mut file).take(count).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let said = read_last(4)?;
    let Some(said) = said.first_chunk::<4>() else {
        return Ok(None);
    };
    let count = u64::from(u32::from_le_bytes(*said));
    if count > TERMINAL_BYTES_MAX as u64 {
        return Ok(None);
    }
    Ok(format::tail(&read_last(count + 8)?))
}

/// Ends a recording where it is whole: its endpoint, and the last hash.
fn recover(path: &Path) -> io::Result<Result<(String, String), format::Damage>> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let modified = file.metadata()?.modified()?;
    let mut reader = Reader::new();
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut bytes)?;
        let read = bytes.get(..count).unwrap_or_default();
        if read.is_empty() {
            break;
        }
        if let Err(damage) = reader.push(read) {
            return Ok(Err(damage));
        }
    }
    let whole = reader.whole();
    let Some((mut terminal, (whole_bytes, writer))) = reader.terminal.zip(whole) else {
        return Ok(Err(format::Damage::Head));
    };
    terminal.state = TerminalState::Ended.into();
    terminal.end = TerminalEnd::ServerStopped.into();
    terminal.end_detail = "the server was ended before it could end it".to_owned();
    terminal.end_time_ms = crate::clock::unix_ms(modified);
    let (end, link) = writer.end(&terminal);
    file.set_len(whole_bytes)?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(&end)?;
    file.sync_all()?;
    Ok(Ok((terminal.endpoint, hex(&link))))
}

#[cfg(test)]
mod tests;
