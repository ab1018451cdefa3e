//! `tocsin-server`: the commands of the operator.
//!
//! All but `run` also work beside a running server: they write to its state, and it notices within a second.
//! Exit codes: 0 done, 1 failed, 64 usage, 77 not permitted, 78 configuration. What a command answers goes to
//! standard output, everything else to standard error; an error is one line with its causes and, where there
//! is one, its cure.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::app::RunError;
use crate::ca::CaError;
use crate::certificate::CertificateError;
use crate::config::ConfigError;
use crate::data_dir::DataDirError;
use crate::geo::GeoError;
use crate::rpc::status::chain;
use crate::store::StoreError;

mod analyst;
mod backup;
mod config;
mod doctor;
mod init;
mod restore;
mod run;
mod token;

/// How a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 64,
    NotPermitted = 77,
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The server of Tocsin: takes telemetry and MFA events, correlates them into incidents, serves consoles.
#[derive(Debug, Parser)]
#[command(name = "tocsin-server", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a data directory: CA, keys, databases, the first administrator's profile.
    Init(init::InitArgs),
    /// Run the server.
    Run(run::RunArgs),
    /// Add, list, revoke or renew analysts.
    #[command(subcommand)]
    Analyst(analyst::AnalystCommand),
    /// Make enrollment tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Copy everything that cannot be made again, also while the server runs.
    Backup(backup::BackupArgs),
    /// Make a data directory from a backup.
    Restore(restore::RestoreArgs),
    /// Check whether everything is in order.
    Doctor(doctor::DoctorArgs),
    /// Print or check the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// Where the data directory is.
#[derive(Debug, Args)]
struct DataArgs {
    /// The data directory.
    #[arg(long = "data", value_name = "DIR")]
    data: PathBuf,
}

/// Why a command did not do it.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("use the data directory")]
    Data(#[from] DataDirError),
    #[error("use the configuration")]
    Config(#[from] ConfigError),
    #[error("look up addresses")]
    Geo(#[from] GeoError),
    #[error("use the state")]
    Store(#[from] StoreError),
    #[error("make a certificate")]
    Ca(#[from] CaError),
    #[error("use the certificates")]
    Certificate(#[from] CertificateError),
    #[error("run the server")]
    Run(#[from] RunError),
    #[error("write a profile")]
    Profile(#[from] toml::ser::Error),
    #[error("write to standard output")]
    Output(#[source] io::Error),
    #[error("start the runtime")]
    Runtime(#[source] io::Error),
    #[error("{action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// What was asked for cannot be.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not there in this version.
    #[error("{0}")]
    Unsupported(String),
    /// Something is not as it must be; it has been said which.
    #[error("{0}")]
    NotInOrder(String),
}

impl CommandError {
    fn exit(&self) -> Exit {
        let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Unsupported(_) | Self::Config(_) | Self::Geo(_) => Exit::Configuration,
            Self::Run(RunError::Geo(_)) => Exit::Configuration,
            Self::Data(error) | Self::Run(RunError::Data(error)) => match error {
                DataDirError::NotEmpty { .. } | DataDirError::NotInitialized { .. } => {
                    Exit::Configuration
                }
                DataDirError::Io { source, .. } if denied(source) => Exit::NotPermitted,
                DataDirError::Locked { .. } | DataDirError::Io { .. } => Exit::Failed,
            },
            Self::File { source, .. } if denied(source) => Exit::NotPermitted,
            _ => Exit::Failed,
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let asked_for = !error.use_stderr();
            // Where nobody can be told, the exit code says it.
            error.print().ok();
            return if asked_for { Exit::Done } else { Exit::Usage }.into();
        }
    };
    log();
    restrict_new_files();
    let Err(error) = execute(arguments.command) else {
        return Exit::Done.into();
    };
    writeln!(io::stderr(), "tocsin-server: {}", chain(&error)).ok();
    error.exit().into()
}

fn execute(command: Command) -> Result<(), CommandError> {
    let mut runtime = match command {
        Command::Run(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)?;
    runtime.block_on(async {
        match command {
            Command::Init(args) => init::init(args).await,
            Command::Run(args) => run::run(args).await,
            Command::Analyst(command) => analyst::analyst(command).await,
            Command::Token(command) => token::token(command).await,
            Command::Backup(args) => backup::backup(args).await,
            Command::Restore(args) => restore::restore(args).await,
            Command::Doctor(args) => doctor::doctor(args).await,
            Command::Config(command) => config::config(&command),
        }
    })
}

/// Logs to standard error; `TOCSIN_LOG` says how much, as `debug` or `tocsin_server=debug`.
fn log() {
    let filter = EnvFilter::try_from_env("TOCSIN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // Nobody reads standard error any more: that must not end a task by a panic.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// Whatever this program makes is for its user alone.
fn restrict_new_files() {
    #[cfg(unix)]
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

/// Writes a line to standard output.
fn answer(line: &str) -> Result<(), CommandError> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .or_else(|error| match error.kind() {
            // Whoever reads has seen enough.
            io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(CommandError::Output(error)),
        })
}

/// Tells a person something beside the answer.
fn tell(line: &str) {
    // If nobody can be told, the command goes on.
    writeln!(io::stderr(), "{line}").ok();
}
