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
//! How columns and rows are read is said in `table.rs`. Of several rows of one person, privilege is yes where any says so,
//! and the name is the last.

use std::collections::BTreeMap;

use tocsin_correlate::{fold_login, is_address};

use super::fold_user;
use super::table::{self, Columns, TableError, repeated};
use crate::store::people::Claim;

/// Bytes of a file: a hundred thousand people have less.
pub(crate) const FILE_BYTES_MAX: usize = 16 << 20;

/// Names that are on every machine: no person's everywhere.
const EVERYWHERE: [&str; 3] = ["root", "administrator", "admin"];

/// Columns in their order within the fields of a row.
const COLUMNS: Columns<8> = Columns {
    names: [
        ("mail", "mail"),
        ("upn", "user_principal_name"),
        ("sid", "object_sid"),
        ("sam_account_name", "sam_account_name"),
        ("uid", "uid_number"),
        ("privilege", "privileged"),
        ("name", "display_name"),
        ("endpoint", "hostname"),
    ],
    one_of: &[&[0, 1]],
};

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
pub(crate) fn read(bytes: &[u8]) -> Result<Sheet, TableError> {
    let mut sheet = Sheet::default();
    sheet.rows_read = table::read(bytes, &COLUMNS, |line, fields| {
        match fields.and_then(|fields| row(line, fields)) {
            Ok(row) => sheet.rows.push(row),
            Err(why) => sheet.problems.push((line, why)),
        }
    })?;
    agree(&mut sheet.rows);
    Ok(sheet)
}

fn row(line: u64, fields: [String; 8]) -> Result<SheetRow, String> {
    let [mail, upn, sid, sam, uid, privilege, name, endpoint] = fields;
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
