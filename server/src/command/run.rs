//! `run`: the server.

use std::net::SocketAddr;

use clap::Args;

use super::{CommandError, DataArgs};
use crate::app;
use crate::config::Config;
use crate::data_dir::DataDir;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Address and port to listen on, instead of the configured; port 0 takes any that is free.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where the state is kept; this version keeps it in the data directory.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// How several servers talk; this version runs alone.
    #[arg(long, value_name = "URL")]
    bus: Option<String>,
}

pub(super) async fn run(args: RunArgs) -> Result<(), CommandError> {
    if let Some(url) = args.database.filter(|url| url != "sqlite") {
        return Err(CommandError::Unsupported(format!(
            "--database {} is not supported yet: leave it out, SQLite in the data directory is used",
            scheme(&url)
        )));
    }
    if let Some(url) = args.bus.filter(|url| url != "none") {
        return Err(CommandError::Unsupported(format!(
            "--bus {} is not supported yet: leave it out, one server runs alone",
            scheme(&url)
        )));
    }
    let data = DataDir::open(&args.data.data)?;
    let mut config = Config::load(&data.config())?;
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    app::run(&data, config).await?;
    Ok(())
}

/// A URL without what may be secret in it.
fn scheme(url: &str) -> &str {
    url.split_once("://").map_or("URL", |(scheme, _)| scheme)
}
