//! `restore`: a data directory from a backup. Nothing is taken from a backup that is incomplete or damaged.

use std::path::PathBuf;

use clap::Args;

use super::backup::{
    DATABASES, FILES, FORMAT, MANIFEST, Manifest, OPTIONAL, RECORDINGS, copy, copy_recordings, hash,
};
use super::{CommandError, DataArgs, tell};
use crate::audit::AuditEntry;
use crate::data_dir::{self, DataDir};
use crate::store::sqlite::SqliteState;
use crate::store::trust::TrustStore;

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    data: DataArgs,
    /// The backup.
    #[arg(value_name = "FOLDER")]
    from: PathBuf,
}

pub(super) async fn restore(args: RestoreArgs) -> Result<(), CommandError> {
    let manifest = read_manifest(&args)?;
    for name in DATABASES.into_iter().chain(FILES) {
        let path = args.from.join(name);
        match manifest.sha256.get(name) {
            Some(stated) if *stated == hash(&path)? => {}
            Some(_) => {
                return Err(CommandError::NotInOrder(format!(
                    "{} is not what was backed up: use another backup",
                    path.display()
                )));
            }
            None if OPTIONAL.contains(&name) => {}
            None => {
                return Err(CommandError::NotInOrder(format!(
                    "{name} is not in the backup: use another one"
                )));
            }
        }
    }
    let data = DataDir::create(&args.data.data)?;
    if let Err(error) = fill(&data, &args, &manifest).await {
        data.clear();
        return Err(error);
    }
    tell(&format!(
        "restored {} as of {}",
        data.path().display(),
        manifest.time
    ));
    Ok(())
}

/// Copies everything; the configuration is last and makes it a data directory.
async fn fill(data: &DataDir, args: &RestoreArgs, manifest: &Manifest) -> Result<(), CommandError> {
    for name in DATABASES {
        copy(&args.from.join(name), &data.path().join(name))?;
    }
    let state = SqliteState::open_existing(&data.state()).await?;
    let detail = format!("as of {}", manifest.time);
    let entry = AuditEntry::operator(
        "server.restore",
        &data.path().display().to_string(),
        &detail,
    );
    state.append_audit(&entry).await?;
    state.close().await;
    copy_recordings(&args.from.join(RECORDINGS), &data.recordings())?;
    for name in FILES {
        copy(&args.from.join(name), &data.path().join(name))?;
    }
    Ok(())
}

fn read_manifest(args: &RestoreArgs) -> Result<Manifest, CommandError> {
    let no_backup = |why: &str| CommandError::NotInOrder(format!("{} {why}", args.from.display()));
    let text = data_dir::read(&args.from.join(MANIFEST))?
        .ok_or_else(|| no_backup("is no complete backup: it has no manifest.toml"))?;
    let manifest: Manifest = toml::from_str(&text)
        .map_err(|_| no_backup("is no backup that this version can read: update the server"))?;
    if manifest.format > FORMAT {
        return Err(no_backup("was made by a newer server: update this one"));
    }
    Ok(manifest)
}
