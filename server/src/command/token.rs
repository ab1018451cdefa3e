//! `token create`: what an endpoint enrolls with.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sha2::{Digest, Sha256};
use tocsin_proto::token::{EnrollmentToken, key_pin};

use super::{CommandError, DataArgs, answer, tell};
use crate::audit::AuditEntry;
use crate::certificate::open_authority;
use crate::clock::{millis, now_ms};
use crate::config::parse_duration;
use crate::data_dir::DataDir;
use crate::store::sqlite::SqliteState;
use crate::store::trust::{TokenRow, TrustStore};

/// Uses of one token at most.
const USES_MAX: i64 = 100_000;

/// Bytes of a root of update trust at most.
const UPDATE_ROOT_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token. It is printed once and kept nowhere.
    Create(CreateArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Endpoints that may enroll with it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=USES_MAX))]
    uses: u32,
    /// How long it is good, as 30m, 24h or 7d.
    #[arg(long, default_value = "24h", value_parser = ttl)]
    ttl: std::time::Duration,
    /// Ring of rollouts that its endpoints join.
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = ring)]
    ring: String,
    /// Root of update trust whose hash the token carries.
    #[arg(long, value_name = "FILE")]
    update_root: Option<PathBuf>,
}

fn ttl(text: &str) -> Result<std::time::Duration, String> {
    const MAX: std::time::Duration = std::time::Duration::from_secs(366 * 24 * 3600);
    parse_duration(text)
        .filter(|ttl| !ttl.is_zero() && *ttl <= MAX)
        .ok_or_else(|| "a duration as 30m, 24h or 7d, of at most 366d".to_owned())
}

fn ring(text: &str) -> Result<String, String> {
    let valid = (1..=64).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if valid {
        Ok(text.to_owned())
    } else {
        Err("1 to 64 letters, digits and -_.".to_owned())
    }
}

pub(super) async fn token(command: TokenCommand) -> Result<(), CommandError> {
    match command {
        TokenCommand::Create(args) => create(args).await,
    }
}

async fn create(args: CreateArgs) -> Result<(), CommandError> {
    let data = DataDir::open(&args.data.data)?;
    let authority = open_authority(&data)?;
    let update_root = args.update_root.as_deref().map(hash_file).transpose()?;
    let token = EnrollmentToken {
        ca_pin: authority.pin(),
        id: rand::random(),
        secret: rand::random(),
        update_root,
    };
    let now = now_ms();
    let row = TokenRow {
        id: token.id,
        secret_sha256: key_pin(&token.secret),
        uses_max: args.uses,
        created_time_ms: now,
        expiry_time_ms: now.saturating_add(millis(args.ttl)),
        ring: args.ring,
    };
    let expiry = tocsin_proto::json::format_time_ms(row.expiry_time_ms).unwrap_or_default();
    let detail = format!("uses {}, until {expiry}, ring {}", row.uses_max, row.ring);
    let id = data_encoding::HEXLOWER.encode(&row.id);
    let state = SqliteState::open_existing(&data.state()).await?;
    state
        .create_token(&row, &AuditEntry::operator("token.create", &id, &detail))
        .await?;
    state.close().await;
    tell(&format!("token {id}: {detail}"));
    answer(&token.to_string())
}

fn hash_file(path: &Path) -> Result<[u8; 32], CommandError> {
    let wrap = |source| CommandError::File {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(wrap)?;
    let mut content = Vec::new();
    file.take(UPDATE_ROOT_BYTES_MAX + 1)
        .read_to_end(&mut content)
        .map_err(wrap)?;
    if u64::try_from(content.len()).is_ok_and(|bytes| bytes > UPDATE_ROOT_BYTES_MAX) {
        return Err(wrap(io::Error::other("it is over 1 MiB")));
    }
    Ok(Sha256::digest(&content).into())
}
