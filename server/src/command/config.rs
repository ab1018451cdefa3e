//! `config print|check`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CommandError, DataArgs, answer, tell};
use crate::config::{self, Config};
use crate::data_dir::DataDir;
use crate::geo::Geo;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print every key: with --data as it is in force, without as it is by default, with its meaning.
    Print(PrintArgs),
    /// Check the configuration of a data directory.
    Check(DataArgs),
}

#[derive(Debug, Args)]
pub(super) struct PrintArgs {
    /// The data directory.
    #[arg(long = "data", value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) fn config(command: &ConfigCommand) -> Result<(), CommandError> {
    match command {
        ConfigCommand::Print(args) => match &args.data {
            None => answer(config::DEFAULT.trim_end()),
            Some(path) => {
                let data = DataDir::open(path)?;
                answer(config::effective(&data.config())?.trim_end())
            }
        },
        ConfigCommand::Check(args) => {
            let data = DataDir::open(&args.data)?;
            Geo::open(&Config::load(&data.config())?.geo)?;
            tell(&format!("{} is in order", data.config().display()));
            Ok(())
        }
    }
}
