//! The commands: arguments, what they print, and their exit codes.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed |
//! | 64 | the command line is wrong |
//! | 69 | the server cannot be reached |
//! | 77 | this account may not, or the server refused the token |
//! | 78 | the configuration or the identity cannot be used |

mod doctor;
mod enroll;
mod status;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use tocsin_proto::token::TokenError;

use crate::address::AddressError;
use crate::app::{self, RunError};
use crate::config::{self, Config, ConfigError};
use crate::file::FileError;
use crate::identity::IdentityError;
use crate::state::{LockError, StateDirectory};
use crate::text::{chain, printable};
use crate::uplink::enroll::EnrollError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 64,
    Unreachable = 69,
    NotPermitted = 77,
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Tocsin's endpoint agent.
#[derive(Debug, Parser)]
#[command(name = "tocsin-agent", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn an enrolment token into this machine's identity
    Enroll(enroll::EnrollArguments),
    /// Collect and send until SIGTERM
    Run {
        #[command(flatten)]
        state: StateArgument,
        /// Configuration file; without one, the default place, where nothing need be
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Said by tocsin-guard, which starts another version where one was installed
        #[arg(long, hide = true)]
        guarded: bool,
    },
    /// Show how the agent on this machine is; any user may ask
    Status {
        #[command(flatten)]
        state: StateArgument,
        #[command(flatten)]
        output: OutputArgument,
    },
    /// Check everything the agent needs, and say what to do where something is wrong
    Doctor {
        #[command(flatten)]
        state: StateArgument,
        /// Configuration file to check
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        output: OutputArgument,
    },
    /// Print or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Write the commented default configuration to standard output
    Print,
    /// Say what is wrong with a configuration file
    Check {
        /// The file; without one, the default place
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct StateArgument {
    /// Where identity, spool and status are kept
    #[arg(long = "state", value_name = "DIR", default_value = config::DEFAULT_STATE)]
    directory: PathBuf,
}

impl StateArgument {
    fn open(self) -> StateDirectory {
        StateDirectory::new(self.directory)
    }
}

#[derive(Debug, Args)]
struct OutputArgument {
    /// What to print
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// One JSON value
    Json,
    /// JSON on one line
    Jsonl,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    #[error("read the token")]
    Token(#[from] TokenError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("{0}")]
    Usage(String),
    /// What cannot be done here, with the cure.
    #[error("{0}")]
    Failed(String),
    #[error("write to standard output")]
    Output(#[source] std::io::Error),
    #[error("start the runtime")]
    Runtime(#[source] std::io::Error),
}

impl CommandError {
    fn exit(&self) -> Exit {
        let by_permission = |denied: bool, otherwise| {
            if denied {
                Exit::NotPermitted
            } else {
                otherwise
            }
        };
        match self {
            Self::Config(ConfigError::Read(error)) => {
                by_permission(error.is_permission(), Exit::Configuration)
            }
            Self::Config(_) => Exit::Configuration,
            Self::Identity(error) | Self::Run(RunError::Identity(error)) => {
                by_permission(error.is_permission(), Exit::Configuration)
            }
            Self::File(error) | Self::Run(RunError::State(error)) => {
                by_permission(error.is_permission(), Exit::Failed)
            }
            Self::Lock(error) | Self::Run(RunError::Lock(error)) => {
                by_permission(error.is_permission(), Exit::Failed)
            }
            Self::Enroll(error) if error.is_unreachable() => Exit::Unreachable,
            Self::Enroll(error) => by_permission(error.is_denied(), Exit::Failed),
            Self::Usage(_) | Self::Address(_) | Self::Token(_) => Exit::Usage,
            Self::Run(_) | Self::Failed(_) | Self::Output(_) | Self::Runtime(_) => Exit::Failed,
        }
    }
}

/// Runs the command line and says how it ended. Errors are on standard error, with their causes.
/// `version` is that of the program.
pub fn main(version: &'static str, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    crate::version::say(version);
    let matches = Arguments::command()
        .version(version)
        .try_get_matches_from(arguments);
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_answer = !error.use_stderr();
            // Nobody is left to tell if this cannot be written.
            let _unheard = error.print();
            return if is_answer { Exit::Done } else { Exit::Usage }.into();
        }
    };
    match run(arguments.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let text = printable(&chain(&error));
            let _unheard = writeln!(std::io::stderr(), "tocsin-agent: {text}");
            error.exit().into()
        }
    }
}

fn run(command: Command) -> Result<Exit, CommandError> {
    match command {
        Command::Enroll(arguments) => enroll::run(arguments),
        Command::Run {
            state,
            config,
            guarded,
        } => {
            let config = Config::load(config.as_deref())?;
            log_to_stderr(&config.log);
            app::run(&config, state.open(), guarded)?;
            Ok(Exit::Done)
        }
        Command::Status { state, output } => status::run(&state.open(), output.output),
        Command::Doctor {
            state,
            config,
            output,
        } => doctor::run(&state.open(), config.as_deref(), output.output),
        Command::Config(ConfigCommand::Print) => {
            print(config::DEFAULT_TEXT)?;
            Ok(Exit::Done)
        }
        Command::Config(ConfigCommand::Check { file }) => {
            Config::load(file.as_deref())?;
            print("the configuration is good\n")?;
            Ok(Exit::Done)
        }
    }
}

fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .or_else(|error| match error.kind() {
            // Whoever reads has seen enough.
            std::io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(CommandError::Output(error)),
        })
}

fn print_json(value: &impl serde::Serialize, output: Output) -> Result<(), CommandError> {
    let text = match output {
        Output::Jsonl => serde_json::to_string(value),
        Output::Table | Output::Json => serde_json::to_string_pretty(value),
    };
    let text = text.map_err(|error| CommandError::Failed(format!("write JSON: {error}")))?;
    print(&format!("{text}\n"))
}

pub(crate) fn log_to_stderr(level: &str) {
    let filter = tracing_subscriber::EnvFilter::new(format!(
        "warn,tocsin_agent={level},tocsin_spool={level}"
    ));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // Its own fallback prints, and panics where nobody reads standard error any more.
        .log_internal_errors(false)
        .init();
}

/// For commands that speak with the server.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)?;
    let done = runtime.block_on(work);
    // A lookup of a name may still hang in a thread; it is not waited for.
    runtime.shutdown_background();
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(arguments: &[&str]) -> Result<Exit, CommandError> {
        let all = ["tocsin-agent"].iter().chain(arguments);
        run(Arguments::try_parse_from(all).unwrap().command)
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_bad_configuration_is_told_by_its_exit_code() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.toml");
        std::fs::write(&path, "unknown = 1").unwrap();
        let error = exit(&["config", "check", path.to_str().unwrap()]).unwrap_err();
        assert_eq!(error.exit(), Exit::Configuration);
        std::fs::write(&path, config::DEFAULT_TEXT).unwrap();
        let checked = exit(&["config", "check", path.to_str().unwrap()]);
        assert_eq!(checked.unwrap(), Exit::Done);
    }

    #[test]
    fn an_agent_that_is_not_enrolled_does_not_run() {
        let directory = tempfile::tempdir().unwrap();
        let state = crate::state::StateDirectory::new(directory.path().join("state"));
        let error = app::run(&Config::default(), state, false).unwrap_err();
        let error = CommandError::from(error);
        assert_eq!(error.exit(), Exit::Configuration);
        assert!(chain(&error).contains("tocsin-agent enroll"));
    }

    #[test]
    fn codes_are_those_of_the_contract() {
        let codes = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Unreachable,
            Exit::NotPermitted,
            Exit::Configuration,
        ]
        .map(|exit| exit as u8);
        assert_eq!(codes, [0, 1, 64, 69, 77, 78]);
    }
}
