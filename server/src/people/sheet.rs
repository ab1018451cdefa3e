//! The file of `identities import`: CSV (RFC 4180) with a header, in UTF-8. Pure.
//!
//! | column | also called | what it is |
//! |---|---|---|
//! | `mail` | | mail address; it or `upn` must be there |
//! | `upn` | `user_principal_name` | UPN; with `mail` in one row both are one person's |
//! | `sid` | `object_sid` | SID |
//! | `sam_account_name` | | name, with or without its domain |
//! | `uid` | `uid_number` | uid on Unix |
//! | `privilege` | `privileged` | yes or no: holds administrative rights |
//! | `name` | `display_name` | how the person is called |
//! | `endpoint` | `hostname` | the one endpoint of the account; without it the row is about all |
//!
//! Columns come in any order, letters of their names in any case, `_` may be missing or a blank or `-`; an unknown one
//! refuses the file. A BOM, CRLF and quoted fields with line breaks are understood. What is wrong with a row is told with
//! the physical line on which it begins; the others count. Of several rows of one person, privilege is yes where any says
//! so, and the name is the last.

use std::collections::BTreeMap;

use csv::{ByteRecord, ReaderBuilder};
use tocsin_correlate::{fold_login, is_address};
use tocsin_proto::limits::TEXT_BYTES_MAX;

use super::fold_user;
use crate::store::people::Claim;

/// Bytes of a file: a hundred thousand people have less.
pub(crate) const FILE_BYTES_MAX: usize = 16 << 20;

/// Rows of a file.
pub(crate) const ROWS_MAX: usize = 100_000;

/// Names that are on every machine: no person's everywhere.
const EVERYWHERE: [&str; 3] = ["root", "administrator", "admin"];

/// Characters of foreign text that a problem repeats.
const REPEATED_CHARS_MAX: usize = 64;

/// Columns in their order within [`Fields`].
const COLUMNS: [(&str, &str); 8] = [
    ("mail", "mail"),
    ("upn", "user_principal_name"),
    ("sid", "object_sid"),
    ("sam_account_name", "sam_account_name"),
    ("uid", "uid_number"),
    ("privilege", "privileged"),
    ("name", "display_name"),
    ("endpoint", "hostname"),
];

/// Why a file as a whole is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SheetError {
    /// No header.
    #[error(
        "the file is empty: its first line must name the columns, as mail,upn,sid,sam_account_name,uid,privilege"
    )]
    Empty,
    /// UTF-16, as spreadsheets write it.
    #[error("the file is UTF-16: save it as CSV in UTF-8")]
    Utf16,
    /// A column that is none of ours.
    #[error(
        "column '{0}' is not known: mail, upn, sid, sam_account_name, uid, privilege, name, endpoint are"
    )]
    Unknown(String),
    /// The same column twice.
    #[error("column '{0}' stands there twice")]
    Twice(&'static str),
    /// Nothing to know people by.
    #[error("there must be a column mail or upn")]
    Nameless,
    /// Too many rows.
    #[error("the file has more than {ROWS_MAX} rows: split it")]
    Long,
}

/// One row that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SheetRow {
    /// Physical line, from 1.
    pub(crate) line: u64,
    /// Mail and UPN, folded; the first there is first. One or two.
    pub(crate) addresses: Vec<String>,
    /// Whether the person holds administrative rights.
    pub(crate) privileged: Option<bool>,
    /// How the person is called.
    pub(crate) name: Option<String>,
    /// The endpoint as it was written; empty for all.
    pub(crate) endpoint: String,
    /// What the row says of accounts.
    pub(crate) claim: Claim,
    /// sAMAccountName as it was written, without its domain.
    pub(crate) user: String,
}

/// A file, understood.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    /// Rows below the header that are not blank.
    pub(crate) rows_read: u64,
    /// Those that make sense.
    pub(crate) rows: Vec<SheetRow>,
    /// Line and reason of those that do not.
    pub(crate) problems: Vec<(u64, String)>,
}

/// Reads a file.
///
/// # Errors
/// Where the header does not make sense, or there are too many rows.
pub(crate) fn read(bytes: &[u8]) -> Result<Sheet, SheetError> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(SheetError::Utf16);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut lines = Lines::new(bytes);
    let mut places: Option<Vec<usize>> = None;
    let mut sheet = Sheet::default();
    // Reading from memory does not fail, and bytes are not decoded here.
    while reader.read_byte_record(&mut record).unwrap_or(false) {
        let line = lines.of(record.position().map_or(0, csv::Position::byte));
        if record.iter().all(|field| field.trim_ascii().is_empty()) {
            continue;
        }
        let Some(places) = &places else {
            places = Some(header(&record)?);
            continue;
        };
        if sheet.rows_read >= ROWS_MAX as u64 {
            return Err(SheetError::Long);
        }
        sheet.rows_read += 1;
        match row(line, &record, places) {
            Ok(row) => sheet.rows.push(row),
            Err(why) => sheet.problems.push((line, why)),
        }
    }
    if places.is_none() {
        return Err(SheetError::Empty);
    }
    agree(&mut sheet.rows);
    Ok(sheet)
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

/// Which column each field is.
fn header(record: &ByteRecord) -> Result<Vec<usize>, SheetError> {
    let plain = |name: &str| -> String {
        let letters = name.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
        letters.collect::<String>().to_lowercase()
    };
    let mut places = Vec::with_capacity(record.len());
    for field in record {
        let name = String::from_utf8_lossy(field);
        let wanted = plain(name.trim());
        let found = COLUMNS
            .iter()
            .position(|(one, other)| plain(one) == wanted || plain(other) == wanted);
        let place = found.ok_or_else(|| SheetError::Unknown(repeated(name.trim())))?;
        if places.contains(&place) {
            let (name, _) = COLUMNS.get(place).copied().unwrap_or_default();
            return Err(SheetError::Twice(name));
        }
        places.push(place);
    }
    if !places.contains(&0) && !places.contains(&1) {
        return Err(SheetError::Nameless);
    }
    Ok(places)
}

/// The fields of a row in the order of [`COLUMNS`]; empty where the file has no such column.
type Fields = [String; COLUMNS.len()];

fn fields(record: &ByteRecord, places: &[usize]) -> Result<Fields, String> {
    if record.len() != places.len() {
        return Err(format!(
            "{} fields, the header has {}",
            record.len(),
            places.len()
        ));
    }
    let mut fields = Fields::default();
    for (bytes, place) in record.iter().zip(places) {
        let (column, _) = COLUMNS.get(*place).copied().unwrap_or_default();
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

fn row(line: u64, record: &ByteRecord, places: &[usize]) -> Result<SheetRow, String> {
    let [mail, upn, sid, sam, uid, privilege, name, endpoint] = fields(record, places)?;
    let mut addresses = Vec::new();
    for (column, text) in [("mail", &mail), ("upn", &upn)] {
        let folded = fold_login(text);
        if folded.is_empty() || addresses.contains(&folded) {
            continue;
        }
        if !is_address(&folded) {
            let said = repeated(text);
            return Err(format!("{column} '{said}' is no full address: NAME@DOMAIN"));
        }
        addresses.push(folded);
    }
    if addresses.is_empty() {
        return Err("neither mail nor upn".to_owned());
    }
    let user = sam.rsplit_once('\\').map_or(&*sam, |(_, name)| name);
    let claim = Claim {
        sid: number("sid", &sid, is_sid)?.to_ascii_uppercase(),
        upn: fold_login(&upn),
        name: fold_user(user),
        uid: number("uid", &uid, |text| text.parse::<u32>().is_ok())?,
        mail: fold_login(&mail),
    };
    if endpoint.is_empty() && (claim.uid == "0" || EVERYWHERE.contains(&claim.name.as_str())) {
        return Err("root and administrator are on every machine: name the endpoint".to_owned());
    }
    Ok(SheetRow {
        line,
        addresses,
        privileged: privileged(&privilege)?,
        name: (!name.is_empty()).then_some(name),
        endpoint,
        user: user.to_owned(),
        claim,
    })
}

fn number(column: &str, text: &str, is_good: impl Fn(&str) -> bool) -> Result<String, String> {
    match text.is_empty() || is_good(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("{column} '{}' is none", repeated(text))),
    }
}

/// `S-1-` and numbers (MS-DTYP 2.4.2.1).
fn is_sid(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    upper.strip_prefix("S-1-").is_some_and(|rest| {
        let mut parts = rest.split('-');
        parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

fn privileged(text: &str) -> Result<Option<bool>, String> {
    match text.to_lowercase().as_str() {
        "" => Ok(None),
        "yes" | "y" | "true" | "1" | "admin" | "administrator" | "privileged" => Ok(Some(true)),
        "no" | "n" | "false" | "0" | "none" | "user" | "standard" => Ok(Some(false)),
        _ => Err(format!(
            "privilege '{}' is neither yes nor no",
            repeated(text)
        )),
    }
}

/// Foreign text as a problem repeats it.
fn repeated(text: &str) -> String {
    text.chars().take(REPEATED_CHARS_MAX).collect()
}

/// Makes rows of one person say the same of the person.
fn agree(rows: &mut [SheetRow]) {
    type Said = (Option<bool>, Option<String>);
    let key = |row: &SheetRow| row.addresses.first().cloned().unwrap_or_default();
    let mut said: BTreeMap<String, Said> = BTreeMap::new();
    for row in rows.iter() {
        let (privileged, name) = said.entry(key(row)).or_default();
        *privileged = (*privileged).max(row.privileged);
        if row.name.is_some() {
            name.clone_from(&row.name);
        }
    }
    for row in rows {
        if let Some((privileged, name)) = said.get(&key(row)) {
            row.privileged = *privileged;
            row.name.clone_from(name);
        }
    }
}

#[cfg(test)]
#[path = "sheet/tests.rs"]
mod tests;
