//! `backup`: a folder with a copy of everything that cannot be made again, consistent also while the server runs.
//!
//! ```text
//! OUT/            0700, files 0600
//!   manifest.toml   written last: a folder without it is an incomplete backup
//!   config.toml ca.key ca.crt server.key server.crt feed.key admin.profile state.db telemetry.db
//!   recordings/     of terminals that had ended; each tells by itself whether it is whole
//! ```
//!
//! Each database is copied at one moment, the state before the telemetry, so that no incident in the copy speaks of
//! events that are not in it. Endpoints do not send again what the server has acknowledged after that moment.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{CommandError, DataArgs, answer};
use crate::audit::AuditEntry;
use crate::clock::now_ms;
use crate::data_dir::{self, DataDir};
use crate::recording::Recordings;
use crate::store::sqlite::{SqliteState, SqliteTelemetry};
use crate::store::trust::TrustStore;

/// Newest format that is written and read.
pub(super) const FORMAT: u32 = 1;

/// The file that makes a folder a backup.
pub(super) const MANIFEST: &str = "manifest.toml";

/// Databases, in the order in which they are copied.
pub(super) const DATABASES: [&str; 2] = ["state.db", "telemetry.db"];

/// Other files; the configuration last, as in `init`.
pub(super) const FILES: [&str; 7] = [
    "ca.key",
    "ca.crt",
    "server.key",
    "server.crt",
    "feed.key",
    "admin.profile",
    "config.toml",
];

/// Recordings of terminals, in both places.
pub(super) const RECORDINGS: &str = "recordings";

/// Of these, those that need not be there: the key of live feeds' secrets is made with the first of them, the profile may
/// have been moved away.
pub(super) const OPTIONAL: [&str; 2] = ["feed.key", "admin.profile"];

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Folder to make; by default beside the data directory, with the time in its name.
    #[arg(value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// What a backup says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Format of the backup.
    pub(super) format: u32,
    /// Server that made it.
    pub(super) version: String,
    /// When.
    pub(super) time: String,
    /// SHA-256 of each file.
    pub(super) sha256: BTreeMap<String, String>,
}

pub(super) async fn backup(args: BackupArgs) -> Result<(), CommandError> {
    let data = DataDir::open(&args.data.data)?;
    let now = now_ms();
    let time = tocsin_proto::json::format_time_ms(now).unwrap_or_default();
    let out = match args.out {
        Some(out) => out,
        None => beside(data.path(), &time)?,
    };
    fs::create_dir(&out).map_err(wrap("make", &out))?;
    data_dir::restrict(&out, 0o700).map_err(wrap("restrict", &out))?;
    let state = SqliteState::open_existing(&data.state()).await?;
    let entry = AuditEntry::operator("server.backup", &out.display().to_string(), "");
    state.append_audit(&entry).await?;
    let [state_copy, telemetry_copy] = DATABASES.map(|name| out.join(name));
    state.copy_to(&state_copy).await?;
    state.close().await;
    let telemetry = SqliteTelemetry::open_existing(&data.telemetry()).await?;
    telemetry.copy_to(&telemetry_copy).await?;
    telemetry.close().await;
    let mut sha256 = BTreeMap::new();
    for name in FILES {
        copy(&data.path().join(name), &out.join(name))?;
    }
    for name in DATABASES.into_iter().chain(FILES) {
        let path = out.join(name);
        if OPTIONAL.contains(&name) && !path.exists() {
            continue;
        }
        data_dir::restrict(&path, 0o600).map_err(wrap("restrict", &path))?;
        sha256.insert(name.to_owned(), hash(&path)?);
    }
    copy_recordings(&data.recordings(), &out.join(RECORDINGS))?;
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time,
        sha256,
    };
    data_dir::write(&out.join(MANIFEST), &toml::to_string(&manifest)?)?;
    answer(&out.display().to_string())
}

/// Copies the recordings of terminals that have ended.
pub(super) fn copy_recordings(from: &Path, to: &Path) -> Result<(), CommandError> {
    // What they may fill is of no concern where none is begun.
    let ended = Recordings::new(from.to_owned(), 0).ended();
    let ended = ended.map_err(wrap("read", from))?;
    if ended.is_empty() {
        return Ok(());
    }
    fs::create_dir(to).map_err(wrap("make", to))?;
    data_dir::restrict(to, 0o700).map_err(wrap("restrict", to))?;
    for path in ended {
        copy(&path, &to.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// `DIR-backup-20261124T044200Z`, beside DIR.
fn beside(folder: &Path, time: &str) -> Result<PathBuf, CommandError> {
    let folder = fs::canonicalize(folder).map_err(wrap("find", folder))?;
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    let stamp: String = time
        .split('.')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .collect();
    name.push(format!("-backup-{stamp}Z"));
    Ok(folder.with_file_name(name))
}

/// Copies a file onto the disk; one that is missing stays missing.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), CommandError> {
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(wrap("read", from)(error)),
    };
    let mut target = data_dir::create_secret(to).map_err(wrap("write", to))?;
    io::copy(&mut source, &mut target)
        .and_then(|_| target.sync_all())
        .map_err(wrap("write", to))
}

/// SHA-256 of a file, hex.
pub(super) fn hash(path: &Path) -> Result<String, CommandError> {
    let mut file = File::open(path).map_err(wrap("read", path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let bytes = file.read(&mut buffer).map_err(wrap("read", path))?;
        let Some(read) = buffer.get(..bytes).filter(|read| !read.is_empty()) else {
            return Ok(data_encoding::HEXLOWER.encode(&hash.finalize()));
        };
        hash.update(read);
    }
}

pub(super) fn wrap(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CommandError {
    let path = path.to_owned();
    move |source| CommandError::File {
        action,
        path,
        source,
    }
}
