//! What may be installed: targets, snapshot and timestamp of a folder, each signed anew with a higher version.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tocsin_proto::release::{CUSTOM_KEY, Kind, Statement, Version, archive_name};
use tough::editor::signed::SignedRole;
use tough::schema::{KeyHolder, Role, Root, Signed, Snapshot, Targets, Timestamp};

use super::archive::pack;
use super::root::newest;
use super::{ReleaseError, SPEC_VERSION, read_json, refuse, sign, write};

/// A release to be added.
#[derive(Debug)]
pub(crate) struct Addition {
    /// The agent's program.
    pub(crate) program: PathBuf,
    /// Its version.
    pub(crate) version: Version,
    /// "linux", ...
    pub(crate) os: String,
    /// "x86_64", ...
    pub(crate) architecture: String,
    /// No endpoint that has seen this installs anything below it any more.
    pub(crate) minimum: Version,
}

/// What to sign, and for how long it is good.
#[derive(Debug)]
pub(crate) struct Order {
    /// Added.
    pub(crate) add: Option<Addition>,
    /// Taken away: it can no longer be installed.
    pub(crate) remove: Option<Version>,
    /// RFC 3339, of targets and snapshot.
    pub(crate) expires: String,
    /// RFC 3339, of the timestamp.
    pub(crate) timestamp_expires: String,
    /// Only the timestamp: what is signed of releases stays.
    pub(crate) timestamp_only: bool,
}

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Edition {
    /// Of the timestamp.
    pub(crate) timestamp_version: u64,
    /// Of the list of releases.
    pub(crate) targets_version: u64,
    /// In it.
    pub(crate) releases: Vec<String>,
}

/// Signs a folder.
pub(crate) async fn sign_folder(
    folder: &Path,
    order: &Order,
    keys: &[PathBuf],
) -> Result<Edition, ReleaseError> {
    let Some(root) = newest(folder)? else {
        return refuse("there is no root here: make one with 'tocsin releases init-root'");
    };
    if root.signed.verify_role(&root).is_err() {
        return refuse(
            "the newest root here has not enough signatures yet: see 'tocsin releases sign-root'",
        );
    }
    let former = Former::read(folder)?;
    let signer = Signer {
        folder,
        holder: KeyHolder::Root(root.signed.clone()),
        root: root.signed,
        keys,
    };
    signer.sign(order, former).await
}

/// What is signed now.
struct Former {
    timestamp: Option<Timestamp>,
    snapshot: Option<(Snapshot, Vec<u8>)>,
    targets: Option<Targets>,
}

impl Former {
    fn read(folder: &Path) -> Result<Self, ReleaseError> {
        let path = folder.join("timestamp.json");
        let mut former = Self {
            timestamp: None,
            snapshot: None,
            targets: None,
        };
        if !path.exists() {
            return Ok(former);
        }
        let timestamp: Signed<Timestamp> = read_json(&path)?;
        let version = |meta: Option<&tough::schema::Metafile>| meta.map(|meta| meta.version);
        if let Some(number) = version(timestamp.signed.meta.get("snapshot.json")) {
            let path = folder.join(format!("{number}.snapshot.json"));
            let snapshot: Signed<Snapshot> = read_json(&path)?;
            if let Some(number) = version(snapshot.signed.meta.get("targets.json")) {
                let path = folder.join(format!("{number}.targets.json"));
                former.targets = Some(read_json::<Signed<Targets>>(&path)?.signed);
            }
            let bytes = std::fs::read(&path).map_err(super::file("read", &path))?;
            former.snapshot = Some((snapshot.signed, bytes));
        }
        former.timestamp = Some(timestamp.signed);
        Ok(former)
    }
}

struct Signer<'f> {
    folder: &'f Path,
    root: Root,
    holder: KeyHolder,
    keys: &'f [PathBuf],
}

impl Signer<'_> {
    async fn sign(&self, order: &Order, former: Former) -> Result<Edition, ReleaseError> {
        let next = |version: Option<NonZeroU64>| match version {
            Some(version) => version.saturating_add(1),
            None => NonZeroU64::MIN,
        };
        let timestamp_version = next(former.timestamp.map(|timestamp| timestamp.version));
        let (about, targets) = if order.timestamp_only {
            let (Some((snapshot, bytes)), Some(targets)) = (former.snapshot, former.targets) else {
                return refuse("nothing is signed here yet: sign releases first");
            };
            (meta_of(&bytes, snapshot.version)?, targets)
        } else {
            let mut targets = match former.targets {
                Some(targets) => targets,
                None => Targets::new(SPEC_VERSION.into(), NonZeroU64::MIN, time(&order.expires)?),
            };
            let before = former
                .snapshot
                .as_ref()
                .map(|(snapshot, _)| snapshot.version);
            targets.version = next(before.map(|before| before.max(targets.version)));
            targets.expires = time(&order.expires)?;
            self.change(&mut targets, order)?;
            let signed = sign(targets.clone(), &self.holder, self.keys).await?;
            let mut snapshot =
                Snapshot::new(SPEC_VERSION.into(), targets.version, time(&order.expires)?);
            let about = meta_of(signed.buffer(), targets.version)?;
            snapshot.meta.insert("targets.json".into(), about);
            let snapshot = sign(snapshot, &self.holder, self.keys).await?;
            self.put(&signed)?;
            self.put(&snapshot)?;
            (meta_of(snapshot.buffer(), targets.version)?, targets)
        };
        let expires = time(&order.timestamp_expires)?;
        let mut timestamp = Timestamp::new(SPEC_VERSION.into(), timestamp_version, expires);
        timestamp.meta.insert("snapshot.json".into(), about);
        let timestamp = sign(timestamp, &self.holder, self.keys).await?;
        // What it names is on disk.
        self.put(&timestamp)?;
        let mut releases: Vec<String> = targets
            .targets_iter()
            .map(|(name, _)| name.raw().to_owned())
            .collect();
        releases.sort();
        Ok(Edition {
            timestamp_version: timestamp_version.get(),
            targets_version: targets.version.get(),
            releases,
        })
    }

    fn change(&self, targets: &mut Targets, order: &Order) -> Result<(), ReleaseError> {
        if let Some(version) = order.remove {
            let names: Vec<_> = targets
                .targets_iter()
                .filter(|(_, target)| {
                    let custom = target.custom.get(CUSTOM_KEY).cloned();
                    let statement =
                        custom.and_then(|custom| serde_json::from_value::<Statement>(custom).ok());
                    statement.is_some_and(|statement| statement.version == version)
                })
                .map(|(name, _)| name.clone())
                .collect();
            if names.is_empty() {
                return refuse(format!("no release {version} is signed here"));
            }
            for name in names {
                targets.remove_target(&name);
            }
        }
        match &order.add {
            Some(addition) => self.add(targets, addition),
            None => Ok(()),
        }
    }

    fn add(&self, targets: &mut Targets, addition: &Addition) -> Result<(), ReleaseError> {
        if addition.minimum > addition.version {
            return refuse("the minimum is above the version itself");
        }
        let packed = pack(&addition.program)?;
        let name = archive_name(addition.version, &addition.os, &addition.architecture);
        let path = format!("{}.{name}", packed.sha256);
        if Kind::of(&path) != Some(Kind::Archive) {
            return refuse(format!(
                "'{name}' is no name that an archive may have: check --os and --architecture"
            ));
        }
        let statement = Statement {
            version: addition.version,
            os: addition.os.clone(),
            architecture: addition.architecture.clone(),
            minimum_version: addition.minimum,
            program_bytes: packed.program_bytes,
            program_sha256: packed.program_sha256,
        };
        let target = decode(json!({
            "length": packed.bytes.len(),
            "hashes": {"sha256": packed.sha256},
            "custom": {CUSTOM_KEY: statement},
        }))?;
        let parsed = name.parse().map_err(|error: tough::error::Error| {
            ReleaseError::Refused(format!("name the archive: {error}"))
        })?;
        if targets
            .targets_map()
            .get(&parsed)
            .is_some_and(|old| **old != target)
        {
            return refuse(format!(
                "{name} is signed already, with another content: give it a new version"
            ));
        }
        targets.add_target(parsed, target);
        write(&self.folder.join(path), &packed.bytes)
    }

    fn put<T: Role + Serialize>(&self, role: &SignedRole<T>) -> Result<(), ReleaseError> {
        if self.root.verify_role(role.signed()).is_err() {
            return refuse(format!(
                "the {} would not have enough signatures: give more keys",
                T::TYPE
            ));
        }
        let name = role.signed().signed.filename(true);
        write(&self.folder.join(name), role.buffer())
    }
}

/// How metadata names another file.
fn meta_of<M: DeserializeOwned>(bytes: &[u8], version: NonZeroU64) -> Result<M, ReleaseError> {
    use sha2::{Digest as _, Sha256};
    decode(json!({
        "length": bytes.len(),
        "hashes": {"sha256": HEXLOWER.encode(&Sha256::digest(bytes))},
        "version": version,
    }))
}

/// A time as `tough` has it, whose clock is of another generation than ours.
fn time<T: DeserializeOwned>(text: &str) -> Result<T, ReleaseError> {
    decode(json!(text))
}

fn decode<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, ReleaseError> {
    serde_json::from_value(value).map_err(|error| ReleaseError::Refused(format!("sign: {error}")))
}
