//! The root of trust: which keys sign what, and how many of its own keys a root needs.
//!
//! A new root after a first one is a rotation: it needs signatures of enough keys of the root before and of enough of its
//! own. They may be added one by one, each where its key is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;
use tough::schema::{KeyHolder, Root, Signed};

use super::key::{id, read_public};
use super::{ReleaseError, SPEC_VERSION, read_json, refuse, sign, write};

/// Roots that are looked for in a folder.
const ROOTS_MAX: u64 = 100_000;

/// What a root is to say.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Files of public keys that a root is signed with.
    pub(crate) root: Vec<PathBuf>,
    /// How many of them it takes.
    pub(crate) threshold: u64,
    /// Of keys that sign what may be installed.
    pub(crate) release: Vec<PathBuf>,
    /// How many of them it takes.
    pub(crate) release_threshold: u64,
    /// Of keys that sign the timestamp.
    pub(crate) timestamp: Vec<PathBuf>,
    /// RFC 3339.
    pub(crate) expires: String,
}

/// How far the signing of a root is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Its file.
    pub(crate) path: PathBuf,
    /// Its version.
    pub(crate) version: u64,
    /// Whether endpoints take it.
    pub(crate) is_complete: bool,
}

/// The newest root in a folder.
pub(crate) fn newest(folder: &Path) -> Result<Option<Signed<Root>>, ReleaseError> {
    let mut found = None;
    for version in 1..ROOTS_MAX {
        let path = folder.join(format!("{version}.root.json"));
        if !path.exists() {
            break;
        }
        found = Some(path);
    }
    found.map(|path| read_json(&path)).transpose()
}

/// Makes the first root of a folder, or the next one, signed with the private keys that are at hand.
pub(crate) async fn init(
    folder: &Path,
    wanted: &Wanted,
    keys: &[PathBuf],
) -> Result<Progress, ReleaseError> {
    std::fs::create_dir_all(folder).map_err(super::file("make", folder))?;
    let former = newest(folder)?;
    let version = former
        .as_ref()
        .map_or(1, |root| root.signed.version.get() + 1);
    let root = build(version, wanted)?;
    let unsigned = Signed {
        signed: root,
        signatures: Vec::new(),
    };
    add_signatures(folder, unsigned, former.as_ref(), keys).await
}

/// Adds signatures to the newest root of a folder.
pub(crate) async fn add(folder: &Path, keys: &[PathBuf]) -> Result<Progress, ReleaseError> {
    let Some(root) = newest(folder)? else {
        return refuse("there is no root here: make one with 'tocsin releases init-root'");
    };
    let former = match root.signed.version.get() {
        1 => None,
        version => Some(read_json(
            &folder.join(format!("{}.root.json", version - 1)),
        )?),
    };
    add_signatures(folder, root, former.as_ref(), keys).await
}

async fn add_signatures(
    folder: &Path,
    root: Signed<Root>,
    former: Option<&Signed<Root>>,
    keys: &[PathBuf],
) -> Result<Progress, ReleaseError> {
    let mut signed = root;
    let own = signed.signed.clone();
    let mut belongs = false;
    for holder in [Some(&own), former.map(|former| &former.signed)]
        .into_iter()
        .flatten()
    {
        let holder = KeyHolder::Root(holder.clone());
        // Keys that this root does not know sign the other.
        if let Ok(role) = sign(own.clone(), &holder, keys).await {
            for signature in &role.signed().signatures {
                belongs = true;
                let is_there = |old: &tough::schema::Signature| old.keyid == signature.keyid;
                if !signed.signatures.iter().any(is_there) {
                    signed.signatures.push(signature.clone());
                }
            }
        }
    }
    // Also where others have signed before: who signs with a wrong key is to know.
    if !belongs {
        return refuse("none of these keys belongs to this root or to the one before");
    }
    let is_complete = own.verify_role(&signed).is_ok()
        && former.is_none_or(|former| former.signed.verify_role(&signed).is_ok());
    let version = own.version.get();
    let path = folder.join(format!("{version}.root.json"));
    let mut bytes = serde_json::to_vec_pretty(&signed).unwrap_or_default();
    bytes.push(b'\n');
    write(&path, &bytes)?;
    Ok(Progress {
        path,
        version,
        is_complete,
    })
}

fn build(version: u64, wanted: &Wanted) -> Result<Root, ReleaseError> {
    let mut keys = BTreeMap::new();
    let mut role = |paths: &[PathBuf], threshold: u64, what: &str| {
        let mut ids = Vec::new();
        for path in paths {
            let key = read_public(path)?;
            let id = id(&key, path)?;
            if ids.contains(&id) {
                return refuse(format!("one key is named twice for the {what}"));
            }
            ids.push(id.clone());
            keys.insert(id, key);
        }
        if threshold == 0 || ids.len() < usize::try_from(threshold).unwrap_or(usize::MAX) {
            return refuse(format!(
                "the {what} needs at least as many keys as its threshold, {threshold}"
            ));
        }
        Ok(json!({"keyids": ids, "threshold": threshold}))
    };
    let root = role(&wanted.root, wanted.threshold, "root")?;
    let release = role(&wanted.release, wanted.release_threshold, "releases")?;
    let timestamp = role(&wanted.timestamp, 1, "timestamp")?;
    let value = json!({
        "_type": "root",
        "spec_version": SPEC_VERSION,
        "consistent_snapshot": true,
        "version": version,
        "expires": wanted.expires,
        "keys": keys,
        "roles": {"root": root, "targets": release, "snapshot": release, "timestamp": timestamp},
    });
    serde_json::from_value(value)
        .map_err(|error| ReleaseError::Refused(format!("make a root: {error}")))
}
