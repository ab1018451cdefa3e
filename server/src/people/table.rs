//! Files that say something of people and their machines: CSV (RFC 4180) with a header, in UTF-8. Pure.
//!
//! Columns come in any order, letters of their names in any case, `_` may be missing or a blank or `-`; an unknown one
//! refuses the file. A BOM, CRLF and quoted fields with line breaks are understood. What is wrong with a row is told with
//! the physical line on which it begins; the others count.

use csv::{ByteRecord, ReaderBuilder};
use tocsin_proto::limits::TEXT_BYTES_MAX;

/// Rows of a file.
pub(crate) const ROWS_MAX: usize = 100_000;

/// Characters of foreign text that a problem repeats.
const REPEATED_CHARS_MAX: usize = 64;

/// The columns that a kind of file may have.
#[derive(Debug)]
pub(crate) struct Columns<const N: usize> {
    /// How each is called, and how also.
    pub(crate) names: [(&'static str, &'static str); N],
    /// Columns of which at least one must be there, several times.
    pub(crate) one_of: &'static [&'static [usize]],
}

/// Why a file as a whole is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum TableError {
    /// No header.
    #[error("the file is empty: its first line must name the columns, of {0}")]
    Empty(String),
    /// UTF-16, as spreadsheets write it.
    #[error("the file is UTF-16: save it as CSV in UTF-8")]
    Utf16,
    /// A column that is none of ours.
    #[error("column '{name}' is not known: {known} are")]
    Unknown {
        /// What it is called.
        name: String,
        /// Those that are.
        known: String,
    },
    /// The same column twice.
    #[error("column '{0}' stands there twice")]
    Twice(&'static str),
    /// What cannot be done without.
    #[error("there must be a column {0}")]
    Missing(String),
    /// Too many rows.
    #[error("the file has more than {ROWS_MAX} rows: split it")]
    Long,
}

/// Reads a file: `take` gets the line of each row, and its fields in the order of the columns (empty where the file has no
/// such column) or what is wrong with it. Answers how many rows there are that are not blank.
///
/// # Errors
/// Where the header does not make sense, or there are too many rows.
pub(crate) fn read<const N: usize>(
    bytes: &[u8],
    columns: &Columns<N>,
    mut take: impl FnMut(u64, Result<[String; N], String>),
) -> Result<u64, TableError> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(TableError::Utf16);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut lines = Lines::new(bytes);
    let mut places: Option<Vec<usize>> = None;
    let mut rows = 0;
    // Reading from memory does not fail, and bytes are not decoded here.
    while reader.read_byte_record(&mut record).unwrap_or(false) {
        let line = lines.of(record.position().map_or(0, csv::Position::byte));
        if record.iter().all(|field| field.trim_ascii().is_empty()) {
            continue;
        }
        let Some(places) = &places else {
            places = Some(columns.header(&record)?);
            continue;
        };
        if rows >= ROWS_MAX as u64 {
            return Err(TableError::Long);
        }
        rows += 1;
        take(line, columns.fields(&record, places));
    }
    match places {
        None => Err(TableError::Empty(columns.known())),
        Some(_) => Ok(rows),
    }
}

/// Foreign text as a problem repeats it.
pub(crate) fn repeated(text: &str) -> String {
    text.chars().take(REPEATED_CHARS_MAX).collect()
}

/// Counts the lines up to a place, each once.
struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
    line: u64,
}

impl<'b> Lines<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            line: 1,
        }
    }

    /// The line on which the record begins that is read from this byte on: blank lines before it are not its own.
    fn of(&mut self, byte: u64) -> u64 {
        let from = usize::try_from(byte).unwrap_or(usize::MAX);
        let rest = self.bytes.get(from..).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let begin = from.saturating_add(blank.count());
        let passed = self.bytes.get(self.at..begin).unwrap_or_default();
        let breaks = passed.iter().filter(|byte| **byte == b'\n').count();
        self.line += breaks as u64;
        self.at = begin;
        self.line
    }
}

impl<const N: usize> Columns<N> {
    fn name(&self, place: usize) -> &'static str {
        self.names.get(place).map_or("", |(name, _)| name)
    }

    fn known(&self) -> String {
        let names = self.names.iter().map(|(name, _)| *name);
        names.collect::<Vec<_>>().join(", ")
    }

    /// Which column each field is.
    fn header(&self, record: &ByteRecord) -> Result<Vec<usize>, TableError> {
        let plain = |name: &str| -> String {
            let letters = name.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
            letters.collect::<String>().to_lowercase()
        };
        let mut places = Vec::with_capacity(record.len());
        for field in record {
            let name = String::from_utf8_lossy(field);
            let wanted = plain(name.trim());
            let found = self
                .names
                .iter()
                .position(|(one, other)| plain(one) == wanted || plain(other) == wanted);
            let place = found.ok_or_else(|| TableError::Unknown {
                name: repeated(name.trim()),
                known: self.known(),
            })?;
            if places.contains(&place) {
                return Err(TableError::Twice(self.name(place)));
            }
            places.push(place);
        }
        for needed in self.one_of {
            if !needed.iter().any(|place| places.contains(place)) {
                let names: Vec<&str> = needed.iter().map(|place| self.name(*place)).collect();
                return Err(TableError::Missing(names.join(" or ")));
            }
        }
        Ok(places)
    }

    /// The fields of a row in the order of the columns.
    fn fields(&self, record: &ByteRecord, places: &[usize]) -> Result<[String; N], String> {
        if record.len() != places.len() {
            return Err(format!(
                "{} fields, the header has {}",
                record.len(),
                places.len()
            ));
        }
        let mut fields = std::array::from_fn(|_| String::new());
        for (bytes, place) in record.iter().zip(places) {
            let column = self.name(*place);
            let text = std::str::from_utf8(bytes).map_err(|_| format!("{column} is not UTF-8"))?;
            let text = text.trim();
            if text.len() > TEXT_BYTES_MAX {
                return Err(format!("{column} has more than {TEXT_BYTES_MAX} bytes"));
            }
            // A line break in a name is a blank.
            let text: String = text
                .split(['\r', '\n', '\t'])
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(" ");
            if text.chars().any(char::is_control) {
                return Err(format!("{column} has control characters"));
            }
            if let Some(field) = fields.get_mut(*place) {
                *field = text;
            }
        }
        Ok(fields)
    }
}
