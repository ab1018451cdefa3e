//! A publication on its way in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tocsin_proto::release::{FILES_MAX, Kind};
use tokio::io::AsyncWriteExt as _;

use super::{ReleaseError, Releases, chain, io};

/// Bytes of one publication.
const PUBLICATION_BYTES_MAX: u64 = 8 << 30;

/// Takes files, and puts them in place when all have come. Dropped before, it leaves nothing that is served.
#[derive(Debug)]
pub(crate) struct Publication<'r> {
    releases: &'r Releases,
    _turn: tokio::sync::MutexGuard<'r, ()>,
    staged: PathBuf,
    files: BTreeMap<String, Kind>,
    bytes: u64,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    name: String,
    kind: Kind,
    file: tokio::fs::File,
    left: u64,
    hash: Sha256,
}

/// What was new of a publication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// Files.
    pub(crate) files: u32,
    /// Their bytes.
    pub(crate) bytes: u64,
}

fn refuse<T>(text: impl Into<String>) -> Result<T, ReleaseError> {
    Err(ReleaseError::Publication(text.into()))
}

impl<'r> Publication<'r> {
    /// Begins one; `None` where another is going on.
    pub(crate) fn begin(releases: &'r Releases) -> Result<Option<Self>, ReleaseError> {
        let Ok(turn) = releases.publishing.try_lock() else {
            return Ok(None);
        };
        let staged = releases.folder.join("new");
        // Of one that broke off.
        let _missing = fs::remove_dir_all(&staged);
        fs::create_dir_all(&staged).map_err(io("make", staged.clone()))?;
        Ok(Some(Self {
            releases,
            _turn: turn,
            staged,
            files: BTreeMap::new(),
            bytes: 0,
            current: None,
        }))
    }

    /// The next file.
    pub(crate) async fn file(&mut self, name: &str, bytes: u64) -> Result<(), ReleaseError> {
        self.end_file().await?;
        let Some(kind) = Kind::of(name) else {
            let shown: String = name.chars().take(100).collect();
            return refuse(format!("'{shown}' is no name of a file of a repository"));
        };
        self.bytes = self.bytes.saturating_add(bytes);
        if bytes > kind.bytes_max() || self.bytes > PUBLICATION_BYTES_MAX {
            return refuse(format!("{name} is longer than such a file may be"));
        }
        if self.files.len() >= FILES_MAX || self.files.contains_key(name) {
            return refuse(format!("{name} is one file too many"));
        }
        let path = self.staged.join(name);
        let file = tokio::fs::File::create_new(&path).await;
        self.current = Some(Current {
            name: name.to_owned(),
            kind,
            file: file.map_err(io("write", path))?,
            left: bytes,
            hash: Sha256::new(),
        });
        Ok(())
    }

    /// A piece of it.
    pub(crate) async fn data(&mut self, data: &[u8]) -> Result<(), ReleaseError> {
        let Some(current) = &mut self.current else {
            return refuse("a file's bytes came before its name");
        };
        let Some(left) = current.left.checked_sub(data.len() as u64) else {
            return refuse(format!("{} is longer than was said", current.name));
        };
        current.left = left;
        current.hash.update(data);
        let path = self.staged.join(&current.name);
        current
            .file
            .write_all(data)
            .await
            .map_err(io("write", path))
    }

    async fn end_file(&mut self) -> Result<(), ReleaseError> {
        let Some(mut current) = self.current.take() else {
            return Ok(());
        };
        let path = self.staged.join(&current.name);
        if current.left > 0 {
            return refuse(format!("{} is shorter than was said", current.name));
        }
        current
            .file
            .flush()
            .await
            .map_err(io("write", path.clone()))?;
        current.file.sync_all().await.map_err(io("write", path))?;
        let hash = HEXLOWER.encode(&current.hash.finalize());
        if current.kind == Kind::Archive && !current.name.starts_with(&hash) {
            return refuse(format!(
                "{} is not what its name says (SHA-256)",
                current.name
            ));
        }
        self.files.insert(current.name, current.kind);
        Ok(())
    }

    /// Puts everything in place.
    pub(crate) async fn finish(mut self) -> Result<Published, ReleaseError> {
        self.end_file().await?;
        let (folder, staged) = (self.releases.folder.clone(), self.staged.clone());
        let files = std::mem::take(&mut self.files);
        let placing = tokio::task::spawn_blocking(move || {
            let place = Place {
                folder: &folder,
                staged: &staged,
            };
            place.check(&files)?;
            place.put(&files)
        });
        let placed = placing.await;
        placed.unwrap_or_else(|error| {
            let path = self.releases.folder.clone();
            Err(io("publish in", path)(std::io::Error::other(error)))
        })
    }
}

/// Where files come from and go to.
struct Place<'p> {
    folder: &'p Path,
    staged: &'p Path,
}

impl Place<'_> {
    /// Whether what would be there hangs together, and takes nothing back.
    fn check(&self, files: &BTreeMap<String, Kind>) -> Result<(), ReleaseError> {
        let read = |name: &str| match fs::read(self.staged.join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::read(self.folder.join(name))
            }
            bytes => bytes,
        };
        let new = chain(&read)?;
        for (name, bytes) in &new.archives {
            if Kind::of(name) != Some(Kind::Archive) {
                return refuse("a target has a name that no archive may have");
            }
            let there = [self.staged, self.folder]
                .iter()
                .filter_map(|folder| fs::metadata(folder.join(name)).ok())
                .any(|metadata| metadata.is_file() && metadata.len() == *bytes);
            if !there {
                return refuse(format!(
                    "the archive {name} is missing, or has another length"
                ));
            }
        }
        let before = |name: &str| fs::read(self.folder.join(name));
        if self.folder.join("timestamp.json").exists()
            && chain(&before).is_ok_and(|old| old.timestamp_version > new.timestamp_version)
        {
            return refuse(
                "a later timestamp is published already: sign anew from the latest files",
            );
        }
        for name in files.keys().filter(|name| *name != "timestamp.json") {
            let is_other = before(name).is_ok_and(|old| read(name).is_ok_and(|new| new != old));
            if is_other {
                return refuse(format!("{name} is published already, with another content"));
            }
        }
        Ok(())
    }

    /// The timestamp comes last.
    fn put(&self, files: &BTreeMap<String, Kind>) -> Result<Published, ReleaseError> {
        let mut published = Published::default();
        let timestamp = files.iter().filter(|(_, kind)| **kind == Kind::Timestamp);
        let others = files.iter().filter(|(_, kind)| **kind != Kind::Timestamp);
        for (name, kind) in others.chain(timestamp) {
            let (from, to) = (self.staged.join(name), self.folder.join(name));
            if *kind != Kind::Timestamp && to.exists() {
                continue;
            }
            if *kind == Kind::Timestamp {
                self.sync()?;
            }
            let bytes = fs::metadata(&from).map_err(io("read", from.clone()))?.len();
            fs::rename(&from, &to).map_err(io("write", to))?;
            published.files += 1;
            published.bytes += bytes;
        }
        self.sync()?;
        // Empty, or files that were there already.
        let _left = fs::remove_dir_all(self.staged);
        Ok(published)
    }

    fn sync(&self) -> Result<(), ReleaseError> {
        let synced = fs::File::open(self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(io("write", self.folder.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A repository whose signatures nobody here looks at.
    fn files(version: u64, archive: &[u8]) -> Vec<(String, Vec<u8>)> {
        let hash = HEXLOWER.encode(&Sha256::digest(archive));
        let name = format!("tocsin-agent-1.{version}.0-linux-x86_64.tar.gz");
        let signed = |value: serde_json::Value| json!({"signed": value}).to_string().into_bytes();
        let meta = |file: &str| json!({"version": version, "meta": {file: {"version": version}}});
        let custom = json!({
            "version": format!("1.{version}.0"), "os": "linux", "architecture": "x86_64",
            "minimum_version": "1.0.0", "program_bytes": 1, "program_sha256": "",
        });
        let target = json!({
            "length": archive.len(), "hashes": {"sha256": hash}, "custom": {"tocsin": custom},
        });
        vec![
            (format!("{hash}.{name}"), archive.to_vec()),
            (
                format!("{version}.targets.json"),
                signed(json!({"targets": {name: target}})),
            ),
            (
                format!("{version}.snapshot.json"),
                signed(meta("targets.json")),
            ),
            ("timestamp.json".into(), signed(meta("snapshot.json"))),
        ]
    }

    async fn publish(
        releases: &Releases,
        files: &[(String, Vec<u8>)],
    ) -> Result<Published, ReleaseError> {
        let mut publication = Publication::begin(releases)?.expect("nobody else publishes");
        for (name, content) in files {
            publication.file(name, content.len() as u64).await?;
            for piece in content.chunks(7) {
                publication.data(piece).await?;
            }
        }
        publication.finish().await
    }

    fn repository() -> (tempfile::TempDir, Releases) {
        let folder = tempfile::tempdir().unwrap();
        let releases = Releases::new(folder.path().join("releases"));
        (folder, releases)
    }

    #[tokio::test]
    async fn what_was_published_is_listed_and_served() {
        let (_folder, releases) = repository();
        assert!(releases.list().await.unwrap().is_empty());
        let first = files(1, b"archive");
        assert_eq!(publish(&releases, &first).await.unwrap().files, 4);
        let listed = releases.list().await.unwrap();
        assert_eq!(listed[0].version, "1.1.0");
        assert_eq!(listed[0].bytes, 7);
        releases.open(&first[0].0, 3).await.unwrap();
        let again = publish(&releases, &first).await.unwrap();
        assert_eq!(again.files, 1, "the timestamp");
        publish(&releases, &files(2, b"other")).await.unwrap();
        assert_eq!(releases.list().await.unwrap()[0].version, "1.2.0");
    }

    #[tokio::test]
    async fn what_does_not_hang_together_changes_nothing() {
        let (_folder, releases) = repository();
        publish(&releases, &files(2, b"archive")).await.unwrap();
        let said = |result: Result<Published, ReleaseError>| result.unwrap_err().to_string();
        let older = files(1, b"archive");
        assert!(said(publish(&releases, &older).await).contains("later timestamp"));
        let mut missing = files(3, b"new");
        missing.remove(0);
        assert!(said(publish(&releases, &missing).await).contains("missing"));
        let mut other = files(3, b"new");
        other[0].1 = b"bad".to_vec();
        assert!(said(publish(&releases, &other).await).contains("SHA-256"));
        let changed = vec![("2.targets.json".to_owned(), b"{\"signed\":{}}".to_vec())];
        assert!(publish(&releases, &changed).await.is_err());
        for name in ["../ca.key", "new", "x.json"] {
            let named = vec![(name.to_owned(), b"x".to_vec())];
            assert!(
                said(publish(&releases, &named).await).contains("no name"),
                "{name}"
            );
        }
        assert_eq!(releases.list().await.unwrap()[0].version, "1.2.0");
        publish(&releases, &files(3, b"new")).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_not_as_long_as_was_said_is_refused() {
        let (_folder, releases) = repository();
        let begin = || Publication::begin(&releases).unwrap().unwrap();
        let mut publication = begin();
        publication.file("timestamp.json", 3).await.unwrap();
        assert!(publication.data(b"four").await.is_err());
        drop(publication);
        let mut publication = begin();
        publication.file("timestamp.json", 3).await.unwrap();
        publication.data(b"12").await.unwrap();
        assert!(
            Publication::begin(&releases).unwrap().is_none(),
            "one at a time"
        );
        assert!(publication.finish().await.is_err());
        let mut publication = begin();
        assert!(publication.data(b"x").await.is_err());
        assert!(publication.file("timestamp.json", u64::MAX).await.is_err());
    }
}
