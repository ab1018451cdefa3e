//! `analyst add|list|revoke|renew`: who works at the consoles.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use tocsin_proto::json::format_time_ms;

use super::init::NewProfile;
use super::{CommandError, DataArgs, answer, tell};
use crate::app::ADDRESS_SETTING;
use crate::audit::AuditEntry;
use crate::certificate::open_authority;
use crate::config::Config;
use crate::data_dir::{DataDir, Pending};
use crate::role::Role;
use crate::store::StoreError;
use crate::store::sqlite::SqliteState;
use crate::store::trust::{AnalystRow, TrustStore};

#[derive(Debug, Subcommand)]
pub(super) enum AnalystCommand {
    /// Add an analyst and write the console's profile.
    Add(AddArgs),
    /// List all analysts.
    List(DataArgs),
    /// End an analyst for good; open consoles are cut off within a second.
    Revoke(RevokeArgs),
    /// Write a new profile with a new key; the former one ends at once.
    Renew(RenewArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Name, as it will stand in the audit log; never used again.
    #[arg(value_parser = name)]
    name: String,
    /// What the analyst may do.
    #[arg(long)]
    role: Role,
    /// Where the profile is written. It holds a private key.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Name.
    #[arg(value_parser = name)]
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct RenewArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Name.
    #[arg(value_parser = name)]
    name: String,
    /// Where the profile is written; the former one may be overwritten.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn name(text: &str) -> Result<String, String> {
    let valid = (1..=64).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.@+".contains(c));
    if valid {
        Ok(text.to_owned())
    } else {
        Err("1 to 64 letters, digits and -_.@+".to_owned())
    }
}

pub(super) async fn analyst(command: AnalystCommand) -> Result<(), CommandError> {
    match command {
        AnalystCommand::Add(args) => add(args).await,
        AnalystCommand::List(args) => list(&args).await,
        AnalystCommand::Revoke(args) => revoke(args).await,
        AnalystCommand::Renew(args) => renew(args).await,
    }
}

/// What making a profile takes.
struct Office {
    data: DataDir,
    config: Config,
    state: SqliteState,
    servers: Vec<String>,
}

impl Office {
    async fn open(args: &DataArgs) -> Result<Self, CommandError> {
        let data = DataDir::open(&args.data)?;
        let config = Config::load(&data.config())?;
        let state = SqliteState::open_existing(&data.state()).await?;
        let servers: Vec<_> = state.setting(ADDRESS_SETTING).await?.into_iter().collect();
        Ok(Self {
            data,
            config,
            state,
            servers,
        })
    }

    fn profile(&self, name: &str, role: Role) -> Result<NewProfile, CommandError> {
        let authority = open_authority(&self.data)?;
        NewProfile::make(&authority, name, role, &self.config)
    }

    /// Closes the state and says where the profile is.
    async fn finish(self, out: &Path) {
        self.state.close().await;
        tell(&format!("wrote {}: hand it over secretly", out.display()));
        if self.servers.is_empty() {
            tell("the server has not run yet: the profile has no address, write it into 'servers'");
        }
    }
}

async fn add(args: AddArgs) -> Result<(), CommandError> {
    if args.out.exists() {
        return Err(CommandError::Usage(format!(
            "{} exists: choose another --out",
            args.out.display()
        )));
    }
    let office = Office::open(&args.data).await?;
    let profile = office.profile(&args.name, args.role)?;
    let row = profile.row.clone();
    // The file first: a profile without an analyst is worth nothing, an analyst without a profile is in the way.
    let pending = Pending::new(&args.out, &profile.text(office.servers.clone())?)?;
    let entry = AuditEntry::operator("analyst.add", &args.name, args.role.word());
    office.state.add_analyst(&row, &entry).await?;
    pending.put()?;
    office.finish(&args.out).await;
    Ok(())
}

async fn renew(args: RenewArgs) -> Result<(), CommandError> {
    let office = Office::open(&args.data).await?;
    let analysts = office.state.analysts().await?;
    let known = analysts.iter().find(|row| row.name == args.name);
    let role = known.map(|row| row.role).ok_or(StoreError::NotFound {
        what: "analyst",
        id: args.name.clone(),
    })?;
    let profile = office.profile(&args.name, role)?;
    let row = profile.row.clone();
    let pending = Pending::new(&args.out, &profile.text(office.servers.clone())?)?;
    let entry = AuditEntry::operator("analyst.renew", &args.name, "new key");
    let expiry = row.certificate_expiry_time_ms;
    office
        .state
        .renew_analyst(&args.name, &row.key_pin, expiry, &entry)
        .await?;
    pending.put()?;
    office.finish(&args.out).await;
    Ok(())
}

async fn revoke(args: RevokeArgs) -> Result<(), CommandError> {
    let data = DataDir::open(&args.data.data)?;
    let state = SqliteState::open_existing(&data.state()).await?;
    let entry = AuditEntry::operator("analyst.revoke", &args.name, "");
    state.revoke_analyst(&args.name, &entry).await?;
    let analysts = state.analysts().await?;
    state.close().await;
    tell(&format!("{} is revoked", args.name));
    // Not refused: a lost admin's profile has to end at once, and this machine can make another.
    let is_admin = |row: &AnalystRow| row.role == Role::Admin && row.revoked_time_ms == 0;
    if !analysts.iter().any(is_admin) {
        tell("there is no admin now: add one with 'tocsin-server analyst add NAME --role admin'");
    }
    Ok(())
}

async fn list(args: &DataArgs) -> Result<(), CommandError> {
    let data = DataDir::open(&args.data)?;
    let state = SqliteState::open_existing(&data.state()).await?;
    let analysts = state.analysts().await?;
    state.close().await;
    let width = analysts
        .iter()
        .map(|row| row.name.len())
        .max()
        .unwrap_or(0)
        .max(4);
    answer(&format!(
        "{:width$}  {:9}  {:24}  {:24}  REVOKED",
        "NAME", "ROLE", "ADDED", "CERTIFICATE UNTIL"
    ))?;
    for row in &analysts {
        answer(&line(row, width))?;
    }
    Ok(())
}

fn line(row: &AnalystRow, width: usize) -> String {
    let time = |time_ms| format_time_ms(time_ms).unwrap_or_else(|| "-".to_owned());
    format!(
        "{:width$}  {:9}  {:24}  {:24}  {}",
        row.name,
        row.role.word(),
        time(row.added_time_ms),
        time(row.certificate_expiry_time_ms),
        time(row.revoked_time_ms)
    )
}
