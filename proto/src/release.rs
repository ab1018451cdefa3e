//! What operator, server and endpoint must agree on about a release: its version, its name, what is signed about it.
//!
//! A repository of releases is TUF metadata (consistent snapshots) and archives, all in one folder without subfolders:
//!
//! ```text
//! timestamp.json  N.snapshot.json  N.targets.json  N.root.json         metadata
//! SHA256.tocsin-agent-VERSION-OS-ARCHITECTURE.tar.gz                    an archive, named by its hash
//! ```
//!
//! An archive holds exactly one file, [`PROGRAM`]. What is signed about it beside length and hash stands in the
//! target's `custom` field under [`CUSTOM_KEY`], as [`Statement`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The key under a target's `custom` at which [`Statement`] stands.
pub const CUSTOM_KEY: &str = "tocsin";

/// The only file in an archive.
pub const PROGRAM: &str = "tocsin-agent";

/// Bytes of an archive at most: thirty times an agent of today.
pub const ARCHIVE_BYTES_MAX: u64 = 256 << 20;

/// Bytes of the program in it at most.
pub const PROGRAM_BYTES_MAX: u64 = 512 << 20;

/// Bytes of one file of metadata: a root with hundreds of keys, a list of a thousand releases.
pub const METADATA_BYTES_MAX: u64 = 1 << 20;

/// Files of one repository that a server keeps.
pub const FILES_MAX: usize = 4096;

/// Bytes of a file's name.
pub const NAME_BYTES_MAX: usize = 200;

/// Bytes of one piece of a file on its way.
pub const CHUNK_BYTES: usize = 64 << 10;

/// A version: three numbers. What is compared is the numbers, never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    /// Breaking changes.
    pub major: u32,
    /// Additions.
    pub minor: u32,
    /// Mends.
    pub patch: u32,
}

/// Text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read a version: it must be three numbers, as 1.2.3")]
pub struct VersionError;

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let number = |part: &str| {
            let is_plain = part == "0" || !part.starts_with('0');
            let is_digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            (is_plain && is_digits)
                .then(|| part.parse().ok())
                .flatten()
                .ok_or(VersionError)
        };
        let mut parts = text.splitn(4, '.');
        let mut next = || parts.next().ok_or(VersionError).and_then(number);
        let version = Self {
            major: next()?,
            minor: next()?,
            patch: next()?,
        };
        match parts.next() {
            None => Ok(version),
            Some(_) => Err(VersionError),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

/// What is signed about an archive beside its length and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The agent's version.
    pub version: Version,
    /// "linux", "windows", "macos".
    pub os: String,
    /// "x86_64", "aarch64".
    pub architecture: String,
    /// No endpoint that has seen this installs anything below it any more.
    pub minimum_version: Version,
    /// Bytes of the program in the archive.
    pub program_bytes: u64,
    /// SHA-256 of it, lower-case hex.
    pub program_sha256: String,
}

/// The name of an archive, as metadata has it.
pub fn archive_name(version: Version, os: &str, architecture: &str) -> String {
    format!("{PROGRAM}-{version}-{os}-{architecture}.tar.gz")
}

/// What a file of a repository is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Metadata that is never replaced: its name has its version.
    Metadata,
    /// The one file that is replaced.
    Timestamp,
    /// An archive, named by its hash.
    Archive,
}

impl Kind {
    /// Of a name; `None` for one that has no place in a repository. There is no way out of the folder in a name that
    /// has one: it has no separator and begins with no dot.
    pub fn of(name: &str) -> Option<Self> {
        let is_plain = name.len() <= NAME_BYTES_MAX
            && !name.starts_with('.')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !is_plain {
            return None;
        }
        if name == "timestamp.json" {
            return Some(Self::Timestamp);
        }
        let (first, rest) = name.split_once('.')?;
        if matches!(rest, "root.json" | "snapshot.json" | "targets.json") {
            let is_number = !first.starts_with('0') && first.len() <= 9;
            return (is_number && first.bytes().all(|byte| byte.is_ascii_digit()))
                .then_some(Self::Metadata);
        }
        let is_hash = first.len() == 64
            && first
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        (is_hash && rest.ends_with(".tar.gz")).then_some(Self::Archive)
    }

    /// Bytes of such a file at most.
    pub fn bytes_max(self) -> u64 {
        match self {
            Self::Metadata | Self::Timestamp => METADATA_BYTES_MAX,
            Self::Archive => ARCHIVE_BYTES_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("0.10.0") > version("0.9.9"));
        assert!(version("1.0.0") > version("0.99.99"));
        assert_eq!(version("1.2.3").to_string(), "1.2.3");
        for text in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "1.2.x",
            "01.2.3",
            "1..3",
            " 1.2.3",
            "1.2.-3",
            "+1.2.3",
            "99999999999.1.1",
            "1.2.3-rc1",
        ] {
            assert_eq!(text.parse::<Version>(), Err(VersionError), "{text}");
        }
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        let hash = "ab".repeat(32);
        assert_eq!(Kind::of("timestamp.json"), Some(Kind::Timestamp));
        assert_eq!(Kind::of("12.root.json"), Some(Kind::Metadata));
        let archive = archive_name("1.2.3".parse().unwrap(), "linux", "x86_64");
        assert_eq!(Kind::of(&format!("{hash}.{archive}")), Some(Kind::Archive));
        for name in [
            "",
            "..",
            "../timestamp.json",
            "a/timestamp.json",
            "1.root.json/",
            "/etc/passwd",
            ".1.root.json",
            "01.root.json",
            "x.root.json",
            "1234567890.root.json",
            "1.other.json",
            "timestamp.json\0",
            &format!("{hash}.../x.tar.gz"),
            &format!("{}.{archive}", hash.to_uppercase()),
            &archive,
            &"a".repeat(300),
        ] {
            assert_eq!(Kind::of(name), None, "{name}");
        }
    }
}
