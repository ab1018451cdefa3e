//! An operator who signs, and servers that serve what was signed, or something else.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest, Sha256};
use tocsin_proto::release::{CUSTOM_KEY, PROGRAM, Statement, archive_name};
use tough::Bytes;
use tough::editor::signed::SignedRole;
use tough::key_source::{KeySource, LocalKeySource};
use tough::schema::{KeyHolder, Role, Root, Snapshot, Targets, Timestamp};

use crate::command::update::source::{Pieces, Source, SourceError};

/// Files of a repository by their names.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// A private key in a file.
#[derive(Debug, Clone)]
pub(super) struct Key {
    path: PathBuf,
    id: String,
    value: serde_json::Value,
}

/// Somebody with keys.
pub(super) struct Operator {
    folder: tempfile::TempDir,
}

/// Which keys sign what.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) root: Vec<Key>,
    pub(super) threshold: u64,
    pub(super) release: Key,
}

/// One state of the repository.
#[derive(Debug, Clone)]
pub(super) struct Edition {
    pub(super) version: u64,
    pub(super) expires: &'static str,
    pub(super) archives: Vec<(Statement, Vec<u8>)>,
}

impl Operator {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) async fn key(&self, name: &str) -> Key {
        let path = self.folder.path().join(name);
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        std::fs::write(&path, pair.serialize_der()).unwrap();
        let source = LocalKeySource { path: path.clone() };
        let key = source.as_sign().await.unwrap().tuf_key();
        Key {
            path,
            id: HEXLOWER.encode(key.key_id().unwrap().as_ref()),
            value: serde_json::to_value(&key).unwrap(),
        }
    }

    pub(super) async fn keys(&self, generation: &str) -> Keys {
        Keys {
            root: vec![
                self.key(&format!("{generation}-root-1")).await,
                self.key(&format!("{generation}-root-2")).await,
            ],
            threshold: 2,
            release: self.key(&format!("{generation}-release")).await,
        }
    }
}

/// A root that names these keys.
pub(super) fn root(version: u64, expires: &str, keys: &Keys) -> Root {
    let named: Vec<&Key> = keys.root.iter().chain([&keys.release]).collect();
    let all: HashMap<&str, &serde_json::Value> = named
        .iter()
        .map(|key| (key.id.as_str(), &key.value))
        .collect();
    let release = json!({"keyids": [keys.release.id], "threshold": 1});
    let ids: Vec<&str> = keys.root.iter().map(|key| key.id.as_str()).collect();
    serde_json::from_value(json!({
        "_type": "root",
        "spec_version": "1.0.0",
        "consistent_snapshot": true,
        "version": version,
        "expires": expires,
        "keys": all,
        "roles": {
            "root": {"keyids": ids, "threshold": keys.threshold},
            "targets": release,
            "snapshot": release,
            "timestamp": release,
        },
    }))
    .unwrap()
}

/// Signs a role with these keys as far as `root` knows them.
pub(super) async fn sign<T: Role + serde::Serialize>(
    role: T,
    root: &Root,
    keys: &[&Key],
) -> SignedRole<T> {
    let keys: Vec<Box<dyn KeySource>> = keys
        .iter()
        .map(|key| {
            let path = key.path.clone();
            Box::new(LocalKeySource { path }) as Box<dyn KeySource>
        })
        .collect();
    let holder = KeyHolder::Root(root.clone());
    SignedRole::new(role, &holder, &keys, &SystemRandom::new())
        .await
        .unwrap()
}

/// A signed root, by its own keys and by those of the one before.
pub(super) async fn signed_root(
    version: u64,
    expires: &str,
    keys: &Keys,
    before: Option<&Keys>,
) -> Vec<u8> {
    let root_now = root(version, expires, keys);
    let own: Vec<&Key> = keys.root.iter().collect();
    let signed = sign(root_now.clone(), &root_now, &own).await;
    let Some(before) = before else {
        return signed.buffer().clone();
    };
    let holder = root(version - 1, expires, before);
    let theirs: Vec<&Key> = before.root.iter().collect();
    let cross = sign(root_now, &holder, &theirs).await;
    let signatures = cross.signed().signatures.clone();
    signed
        .add_old_signatures(signatures)
        .unwrap()
        .buffer()
        .clone()
}

/// Everything but the root.
pub(super) async fn edition(keys: &Keys, edition: &Edition) -> Files {
    let root = root(1, "2099-01-01T00:00:00Z", keys);
    let version = NonZeroU64::new(edition.version).unwrap();
    let expires = serde_json::from_value(json!(edition.expires)).unwrap();
    let mut files = Files::new();
    let mut targets = Targets::new("1.0.0".into(), version, expires);
    for (statement, archive) in &edition.archives {
        let hash = HEXLOWER.encode(&Sha256::digest(archive));
        let name = archive_name(statement.version, &statement.os, &statement.architecture);
        files.insert(format!("{hash}.{name}"), archive.clone());
        let target = json!({
            "length": archive.len(),
            "hashes": {"sha256": hash},
            "custom": {CUSTOM_KEY: statement},
        });
        let target = serde_json::from_value(target).unwrap();
        targets.add_target(name.parse().unwrap(), target);
    }
    let signer = [&keys.release];
    let targets = sign(targets, &root, &signer).await;
    let mut snapshot = Snapshot::new("1.0.0".into(), version, expires);
    snapshot
        .meta
        .insert("targets.json".into(), about(&targets, version));
    let snapshot = sign(snapshot, &root, &signer).await;
    let mut timestamp = Timestamp::new("1.0.0".into(), version, expires);
    timestamp
        .meta
        .insert("snapshot.json".into(), about(&snapshot, version));
    let timestamp = sign(timestamp, &root, &signer).await;
    let number = edition.version;
    files.insert(format!("{number}.targets.json"), targets.buffer().clone());
    files.insert(format!("{number}.snapshot.json"), snapshot.buffer().clone());
    files.insert("timestamp.json".into(), timestamp.buffer().clone());
    files
}

fn about<T: Role + serde::Serialize, M: serde::de::DeserializeOwned>(
    role: &SignedRole<T>,
    version: NonZeroU64,
) -> M {
    serde_json::from_value(json!({
        "length": role.length(),
        "hashes": {"sha256": HEXLOWER.encode(role.sha256())},
        "version": version,
    }))
    .unwrap()
}

/// An entry of an archive: name, kind, content.
pub(super) type Entry<'a> = (&'a str, tar::EntryType, &'a [u8]);

/// An archive of these entries, as raw as an attacker would write them.
pub(super) fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut list = tar::Builder::new(zip);
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o4755);
        if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        list.append(&header, *content).unwrap();
    }
    list.into_inner().unwrap().finish().unwrap()
}

/// A release of this text as its program.
pub(super) fn release(version: &str, minimum: &str, program: &[u8]) -> (Statement, Vec<u8>) {
    let statement = Statement {
        version: version.parse().unwrap(),
        os: std::env::consts::OS.into(),
        architecture: std::env::consts::ARCH.into(),
        minimum_version: minimum.parse().unwrap(),
        program_bytes: program.len() as u64,
        program_sha256: HEXLOWER.encode(&Sha256::digest(program)),
    };
    let archive = archive(&[(PROGRAM, tar::EntryType::Regular, program)]);
    (statement, archive)
}

/// A server with these files.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) files: Mutex<Files>,
    /// A file that never ends.
    pub(super) endless: Option<&'static str>,
    /// The connection breaks after so many pieces of a file.
    pub(super) breaks_after: Option<usize>,
    /// What was asked for, and from where on.
    pub(super) asked: Mutex<Vec<(String, u64)>>,
}

impl Server {
    pub(super) fn new(files: Files) -> Arc<Self> {
        Arc::new(Self::with(files))
    }

    pub(super) fn with(files: Files) -> Self {
        Self {
            files: Mutex::new(files),
            ..Self::default()
        }
    }

    pub(super) fn asked(&self) -> Vec<(String, u64)> {
        self.asked.lock().unwrap().clone()
    }
}

#[tough::async_trait]
impl Source for Server {
    async fn read(&self, name: &str, offset: u64) -> Result<Pieces, SourceError> {
        self.asked.lock().unwrap().push((name.to_owned(), offset));
        if self.endless == Some(name) {
            let piece = Bytes::from(vec![b' '; 64 << 10]);
            return Ok(Box::pin(tokio_stream::iter(std::iter::repeat_with(
                move || Ok(piece.clone()),
            ))));
        }
        let file = self.files.lock().unwrap().get(name).cloned();
        let file = file.ok_or_else(|| SourceError::Missing {
            name: name.to_owned(),
        })?;
        let rest = file
            .get(usize::try_from(offset).unwrap()..)
            .unwrap_or_default();
        let mut pieces: Vec<Result<Bytes, SourceError>> = rest
            .chunks(100)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        if let Some(count) = self.breaks_after
            && pieces.len() > count
        {
            pieces.truncate(count);
            pieces.push(Err(SourceError::Broken {
                name: name.to_owned(),
                reason: "cut".into(),
            }));
        }
        Ok(Box::pin(tokio_stream::iter(pieces)))
    }
}
