//! Follows a file that others append to and rotate, and knows where to go on after a restart.
//!
//! - A position is a file's inode and an offset in it, at the end of the last whole line or record.
//! - A file that was renamed is read to its end before the new one; after a restart it is looked for beside it. What
//!   a rotation took away (compressed, deleted) is reported as lost.
//! - A file that became shorter is read from its beginning.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Bytes that one call reads; more stay for the next.
const READ_MAX: usize = 256 << 10;

/// A line that is longer is no line: its bytes are passed over.
const LINE_MAX: usize = 32 << 10;

/// Files beside a rotated one that are looked at.
const SIBLINGS_MAX: usize = 1024;

/// Where to go on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    inode: u64,
    offset: u64,
}

/// How a file is cut into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Lines; a piece has no line end.
    Lines,
    /// Records of so many bytes.
    Records(usize),
}

/// What a call found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Whole pieces, in order.
    pub(super) pieces: Vec<Vec<u8>>,
    /// A part between the last position and these pieces is gone.
    pub(super) lost: bool,
    /// There is more to read at once.
    pub(super) more: bool,
}

/// One file.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    cut: Cut,
    begin_bytes: u64,
    file: Option<Open>,
    position: Option<Position>,
}

#[derive(Debug)]
struct Open {
    file: File,
    inode: u64,
    offset: u64,
}

impl Tail {
    /// Follows `path` from `position`; where there is none, from `begin_bytes` before its end.
    pub(super) fn new(path: &Path, cut: Cut, begin_bytes: u64, position: Option<Position>) -> Self {
        Self {
            path: path.to_owned(),
            cut,
            begin_bytes,
            file: None,
            position,
        }
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where to go on after a restart.
    pub(super) fn position(&self) -> Option<Position> {
        self.position
    }

    /// Whether there is such a file.
    pub(super) fn exists(&self) -> bool {
        self.file.is_some()
    }

    /// Reads what is new. A missing file is empty.
    pub(super) fn read(&mut self) -> io::Result<Found> {
        let mut found = Found::default();
        if self.file.is_none() && !self.open_first(&mut found)? {
            return Ok(found);
        }
        self.read_open(&mut found)?;
        if !found.more && self.is_replaced()? {
            // The rest of the renamed file has been read.
            self.file = None;
            self.position = None;
            self.begin_bytes = u64::MAX;
            if self.open_first(&mut found)? {
                self.read_open(&mut found)?;
            }
        }
        Ok(found)
    }

    fn is_replaced(&self) -> io::Result<bool> {
        match (std::fs::metadata(&self.path), &self.file) {
            (Ok(metadata), Some(open)) => Ok(metadata.ino() != open.inode),
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            (Err(error), _) => Err(error),
            (Ok(_), None) => Ok(true),
        }
    }

    fn open_first(&mut self, found: &mut Found) -> io::Result<bool> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        let metadata = file.metadata()?;
        let inode = metadata.ino();
        let offset = match self.position {
            Some(position) if position.inode == inode => position.offset,
            Some(position) => {
                // It was rotated while nobody read it.
                match self.renamed(position.inode)? {
                    Some(file) => {
                        self.file = Some(Open {
                            file,
                            inode: position.inode,
                            offset: position.offset,
                        });
                        return Ok(true);
                    }
                    None => found.lost = true,
                }
                0
            }
            None => self.begin_at(metadata.len()),
        };
        self.file = Some(Open {
            file,
            inode,
            offset,
        });
        Ok(true)
    }

    /// The offset at which to begin a file of so many bytes; in a file of lines, it may be inside of one.
    fn begin_at(&self, length: u64) -> u64 {
        let offset = length.saturating_sub(self.begin_bytes);
        match self.cut {
            Cut::Lines => offset,
            Cut::Records(size) => {
                let size = u64::try_from(size).unwrap_or(1).max(1);
                offset.div_ceil(size) * size
            }
        }
    }

    /// The file with this inode beside ours: `auth.log.1`, `secure-20261101`.
    fn renamed(&self, inode: u64) -> io::Result<Option<File>> {
        let (Some(directory), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Ok(None);
        };
        for entry in std::fs::read_dir(directory)?.take(SIBLINGS_MAX) {
            let entry = entry?;
            let sibling = entry.file_name();
            let is_ours = sibling
                .as_encoded_bytes()
                .starts_with(name.as_encoded_bytes());
            if is_ours
                && entry
                    .metadata()
                    .is_ok_and(|metadata| metadata.ino() == inode)
            {
                return File::open(entry.path()).map(Some);
            }
        }
        Ok(None)
    }

    fn read_open(&mut self, found: &mut Found) -> io::Result<()> {
        let Some(open) = &mut self.file else {
            return Ok(());
        };
        let length = open.file.metadata()?.len();
        if length < open.offset {
            open.offset = 0;
        }
        let mut buffer = Vec::new();
        // A beginning inside of a line: the line's rest is no line.
        let inside = self.position.is_none() && open.offset > 0 && self.cut == Cut::Lines;
        open.file.seek(SeekFrom::Start(open.offset))?;
        let limit = u64::try_from(READ_MAX).unwrap_or(u64::MAX);
        Read::by_ref(&mut open.file)
            .take(limit)
            .read_to_end(&mut buffer)?;
        let mut used = self.cut.split(&buffer, &mut found.pieces);
        if inside && !found.pieces.is_empty() {
            found.pieces.remove(0);
        }
        if used == 0 && buffer.len() >= LINE_MAX {
            used = buffer.len();
            found.lost = true;
        }
        open.offset += u64::try_from(used).unwrap_or(0);
        found.more = used > 0 && open.offset < length;
        self.position = Some(Position {
            inode: open.inode,
            offset: open.offset,
        });
        Ok(())
    }
}

impl Cut {
    /// Adds the whole pieces of `buffer`; returns how many bytes they and their ends take.
    fn split(self, buffer: &[u8], pieces: &mut Vec<Vec<u8>>) -> usize {
        match self {
            Self::Lines => {
                let Some(last) = buffer.iter().rposition(|&byte| byte == b'\n') else {
                    return 0;
                };
                let (whole, _) = buffer.split_at(last);
                pieces.extend(
                    whole
                        .split(|&byte| byte == b'\n')
                        .filter(|line| line.len() <= LINE_MAX)
                        .map(<[u8]>::to_vec),
                );
                last + 1
            }
            Self::Records(size) => {
                let whole = buffer.chunks_exact(size.max(1));
                let used = buffer.len() - whole.remainder().len();
                pieces.extend(whole.map(<[u8]>::to_vec));
                used
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    struct Trial {
        directory: tempfile::TempDir,
        path: PathBuf,
    }

    impl Trial {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("auth.log");
            Self { directory, path }
        }

        fn tail(&self, position: Option<Position>) -> Tail {
            Tail::new(&self.path, Cut::Lines, u64::MAX, position)
        }

        fn append(&self, text: &str) {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.create(true).append(true).open(&self.path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn rotate(&self) {
            std::fs::rename(&self.path, self.directory.path().join("auth.log.1")).unwrap();
        }
    }

    fn lines(tail: &mut Tail) -> Vec<String> {
        let found = tail.read().unwrap();
        let text = |line| String::from_utf8(line).unwrap();
        found.pieces.into_iter().map(text).collect()
    }

    #[test]
    fn a_line_is_given_once_it_is_whole() {
        let trial = Trial::new();
        let mut tail = trial.tail(None);
        assert!(lines(&mut tail).is_empty());
        trial.append("one\ntw");
        assert_eq!(lines(&mut tail), ["one"]);
        trial.append("o\n");
        assert_eq!(lines(&mut tail), ["two"]);
        assert!(lines(&mut tail).is_empty());
    }

    #[test]
    fn a_rotated_file_is_read_to_its_end_first() {
        let trial = Trial::new();
        let mut tail = trial.tail(None);
        trial.append("one\n");
        assert_eq!(lines(&mut tail), ["one"]);
        trial.append("two\n");
        trial.rotate();
        trial.append("three\n");
        assert_eq!(lines(&mut tail), ["two", "three"]);
    }

    #[test]
    fn a_restart_goes_on_where_it_was_also_in_a_rotated_file() {
        let trial = Trial::new();
        let mut tail = trial.tail(None);
        trial.append("one\n");
        lines(&mut tail);
        let position = tail.position();
        trial.append("two\n");
        assert_eq!(lines(&mut trial.tail(position)), ["two"]);
        trial.rotate();
        trial.append("three\n");
        let mut tail = trial.tail(position);
        let mut all = lines(&mut tail);
        all.extend(lines(&mut tail));
        assert_eq!(all, ["two", "three"]);
    }

    #[test]
    fn what_a_rotation_took_away_is_lost_and_said_so() {
        let trial = Trial::new();
        let mut tail = trial.tail(None);
        trial.append("one\n");
        lines(&mut tail);
        trial.rotate();
        std::fs::rename(
            trial.directory.path().join("auth.log.1"),
            trial.directory.path().join("other"),
        )
        .unwrap();
        trial.append("two\n");
        let found = trial.tail(tail.position()).read().unwrap();
        assert!(found.lost);
        assert_eq!(found.pieces, [b"two"]);
    }

    #[test]
    fn a_truncated_file_is_read_from_its_beginning() {
        let trial = Trial::new();
        let mut tail = trial.tail(None);
        trial.append("one\ntwo\n");
        lines(&mut tail);
        std::fs::write(&trial.path, "new\n").unwrap();
        assert_eq!(lines(&mut tail), ["new"]);
    }

    #[test]
    fn the_first_start_reads_only_the_end_and_whole_pieces() {
        let trial = Trial::new();
        trial.append("first\nsecond\nthirds\n");
        let mut tail = Tail::new(&trial.path, Cut::Lines, 9, None);
        assert_eq!(lines(&mut tail), ["thirds"]);
        let mut tail = Tail::new(&trial.path, Cut::Records(4), 7, None);
        assert_eq!(lines(&mut tail), ["rds\n"]);
    }
}
