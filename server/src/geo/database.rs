//! One file in MaxMind's format (<https://maxmind.github.io/MaxMind-DB/>), read whole. What is used of a record are
//! `autonomous_system_number`, `autonomous_system_organization` and `country.iso_code`, as the files for networks,
//! countries and cities have them. The file is foreign: nothing of it panics, and its text is cut and made plain.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::Deserialize;

/// Bytes of a file: it is in memory whole. The largest that are published have less than half of it.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Networks of which the record is read to see whether a file is sound: more than the largest has.
const NETWORKS_MAX: usize = 20_000_000;

/// Bytes of a network's name, and of what a file calls itself.
const NAME_BYTES_MAX: usize = 256;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("use {} of network.geo", path.display())]
pub(crate) struct GeoError {
    path: PathBuf,
    #[source]
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(
        "it cannot be read: put it there, readable for the server, or take it out of network.geo"
    )]
    Read(#[source] io::Error),
    #[error("it is not a file: name the file itself")]
    NotAFile,
    #[error("it is larger than 256 MiB: take one for networks or countries alone")]
    TooLarge,
    #[error(
        "it is no sound file of MaxMind's format ({0}): get it anew, unpacked, or take it out of network.geo"
    )]
    Damaged(String),
    #[error(
        "it tells neither ASN nor country: take one that does, as GeoLite2-ASN or GeoLite2-Country"
    )]
    Useless,
}

/// By what a file that was replaced is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl Stamp {
    /// Of what is there; `None`: nothing, or nothing that may be looked at.
    pub(super) fn of_path(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|file| Self::of(&file))
    }

    fn of(file: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(file);
        #[cfg(not(unix))]
        let inode = 0;
        Self {
            bytes: file.len(),
            modified: file.modified().ok(),
            inode,
        }
    }
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// What it calls itself, plain text.
    pub(crate) kind: String,
    /// When it was made, Unix milliseconds.
    pub(crate) build_time_ms: i64,
    /// Whether it tells networks.
    pub(crate) tells_asn: bool,
    /// Whether it tells countries.
    pub(crate) tells_country: bool,
}

/// What a file says of an address.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) asn: Option<u32>,
    pub(super) as_org: Option<String>,
    /// ISO 3166 alpha-2.
    pub(super) country: Option<String>,
}

/// Fields of a record that are used.
#[derive(Debug, Default, Deserialize)]
struct Row<'a> {
    #[serde(default)]
    autonomous_system_number: Option<u32>,
    #[serde(default, borrow)]
    autonomous_system_organization: Option<&'a str>,
    #[serde(default, borrow)]
    country: Option<Country<'a>>,
}

#[derive(Debug, Deserialize)]
struct Country<'a> {
    #[serde(default, borrow)]
    iso_code: Option<&'a str>,
}

impl Row<'_> {
    fn asn(&self) -> Option<u32> {
        self.autonomous_system_number.filter(|asn| *asn > 0)
    }

    fn country(&self) -> Option<String> {
        let code = self.country.as_ref()?.iso_code?;
        let is_code = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
        is_code.then(|| code.to_ascii_uppercase())
    }
}

/// A file in memory.
pub(super) struct Database {
    path: PathBuf,
    reader: Reader<Vec<u8>>,
    facts: Facts,
    /// A record that could not be read has been told.
    has_failed: AtomicBool,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Database");
        shown.field("path", &self.path).finish_non_exhaustive()
    }
}

impl Database {
    /// Reads a file and looks whether all of it can be.
    pub(super) fn read(path: &Path) -> Result<(Self, Stamp), GeoError> {
        let wrap = |problem| GeoError {
            path: path.to_owned(),
            problem,
        };
        let (bytes, stamp) = bytes(path).map_err(wrap)?;
        let damaged = |error: MaxMindDbError| wrap(Problem::Damaged(plain(&error.to_string())));
        let reader = Reader::from_source(bytes).map_err(damaged)?;
        let facts = examine(&reader).map_err(damaged)?;
        if !facts.tells_asn && !facts.tells_country {
            return Err(wrap(Problem::Useless));
        }
        let database = Self {
            path: path.to_owned(),
            reader,
            facts,
            has_failed: AtomicBool::new(false),
        };
        Ok((database, stamp))
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What it says of an address: nothing where it does not know it.
    pub(super) fn find(&self, ip: IpAddr) -> Found {
        if ip.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Found::default();
        }
        let row = self
            .reader
            .lookup(ip)
            .and_then(|found| found.decode::<Row<'_>>());
        match row {
            Ok(Some(row)) => Found {
                asn: row.asn(),
                as_org: row
                    .autonomous_system_organization
                    .map(plain)
                    .filter(|name| !name.is_empty()),
                country: row.country(),
            },
            Ok(None) => Found::default(),
            Err(error) => {
                if !self.has_failed.swap(true, Ordering::Relaxed) {
                    let error = plain(&error.to_string());
                    tracing::warn!(
                        error,
                        "{} has records that cannot be read",
                        self.path.display()
                    );
                }
                Found::default()
            }
        }
    }
}

fn bytes(path: &Path) -> Result<(Vec<u8>, Stamp), Problem> {
    // Looked at before it is opened: what is no file may wait for a writer.
    if !std::fs::metadata(path).map_err(Problem::Read)?.is_file() {
        return Err(Problem::NotAFile);
    }
    let file = File::open(path).map_err(Problem::Read)?;
    let metadata = file.metadata().map_err(Problem::Read)?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(Problem::TooLarge);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    let mut file = file.take(FILE_BYTES_MAX + 1);
    file.read_to_end(&mut bytes).map_err(Problem::Read)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Problem::TooLarge);
    }
    Ok((bytes, Stamp::of(&metadata)))
}

/// Reads every record as it will be read.
fn examine(reader: &Reader<Vec<u8>>) -> Result<Facts, MaxMindDbError> {
    let metadata = reader.metadata();
    let mut facts = Facts {
        kind: plain(&metadata.database_type),
        build_time_ms: i64::try_from(metadata.build_epoch)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000),
        tells_asn: false,
        tells_country: false,
    };
    let networks = reader.networks(WithinOptions::default())?;
    for network in networks.take(NETWORKS_MAX) {
        if let Some(row) = network?.decode::<Row<'_>>()? {
            facts.tells_asn |= row.asn().is_some();
            facts.tells_country |= row.country().is_some();
        }
    }
    Ok(facts)
}

/// Foreign text without what moves a terminal's cursor, cut.
fn plain(text: &str) -> String {
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default().trim();
    text.chars().filter(|char| !char.is_control()).collect()
}
