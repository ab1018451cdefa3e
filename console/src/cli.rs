//! The arguments, and which command they lead to.

use std::io::Write as _;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Parser, Subcommand};
use jiff::Timestamp;
use tocsin_proto::json::Word;

use crate::app;
use crate::client::Client;
use crate::command::{self, Session};
use crate::config::{self, Surroundings};
use crate::exit::{Exit, Failure};
use crate::keys;
use crate::output::{Format, Output};
use crate::recorder;
use crate::settings::{Places, Settings};
use crate::text;

/// Below `--help`.
const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 partly done, 64 usage, 69 server not reachable, 77 not permitted, 78 configuration.
Times are UTC. An id may be shortened to any beginning of at least 4 characters that is unambiguous.";

/// Console of Tocsin, the endpoint XDR for the moment when a phone asks to approve a sign-in.
///
/// Without a command: the screens, on a terminal; otherwise who you are, what is open, which endpoints
/// are online.
#[derive(Debug, Parser)]
#[command(name = "tocsin", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// Profile to use [default: $TOCSIN_PROFILE, then ~/.config/tocsin/profile].
    #[arg(long, global = true, value_name = "FILE", display_order = 100)]
    profile: Option<PathBuf>,

    /// Form of the output: table, json or jsonl [default: table].
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORM",
        default_value_t = Format::Table,
        hide_default_value = true,
        hide_possible_values = true,
        display_order = 101
    )]
    output: Format,

    /// Record the screens into a new file: keys, answers of the server, frames; not the profile, and nothing that is
    /// typed into a terminal.
    #[arg(long, value_name = "FILE", display_order = 102)]
    record: Option<PathBuf>,

    /// Replay a recording: print its last screen, and whether all are as they were recorded.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "record",
        display_order = 103
    )]
    replay: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Incidents: list, read, watch, work on.
    #[command(subcommand)]
    Incidents(command::incidents::Incidents),
    /// Enrolled machines.
    #[command(subcommand)]
    Endpoints(command::endpoints::Endpoints),
    /// People and their accounts.
    #[command(subcommand)]
    Identities(command::identities::Identities),
    /// Stored telemetry.
    #[command(subcommand)]
    Events(command::events::Events),
    /// Connections to identity providers, and imports of their files.
    #[command(subcommand)]
    Feeds(command::feeds::Feeds),
    /// Terminals at endpoints: open, list, watch, kill.
    #[command(subcommand)]
    Terminal(command::terminal::Terminal),
    /// Signed versions of the agent: keys, roots, signing, publishing.
    #[command(subcommand)]
    Releases(command::releases::Releases),
    /// A release on its way to the fleet, ring by ring.
    #[command(subcommand)]
    Rollouts(command::rollouts::Rollouts),
    /// Who did what to what.
    #[command(subcommand)]
    Audit(command::audit::Audit),
    /// Print the file by which the keys of the screens are changed, in full.
    Keys,
    /// Write man pages into a folder, one for each command.
    Man {
        /// The folder; it is made where it is not there.
        dir: PathBuf,
    },
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Does what the arguments say. `now` is what `--since 24h` counts back from.
///
/// # Errors
/// Every [`Failure`].
pub(crate) async fn perform(cli: Cli, now: Timestamp) -> Result<Exit, Failure> {
    if let Some(Command::Completions { shell }) = cli.command {
        let mut script = Vec::new();
        let mut arguments = <Cli as clap::CommandFactory>::command();
        clap_complete::generate(shell, &mut arguments, "tocsin", &mut script);
        std::io::stdout().write_all(&script)?;
        return Ok(Exit::Done);
    }
    let is_screens = cli.command.is_none() && app::is_wanted(cli.output);
    match (&cli.replay, &cli.record) {
        (Some(_), _) if cli.command.is_some() => {
            let said = "--replay is without a command";
            return Err(Failure::Usage(said.to_owned()));
        }
        (Some(recording), _) => return replay(recording),
        (None, Some(_)) if !is_screens => {
            let said = "--record is of the screens: without a command, on a terminal";
            return Err(Failure::Usage(said.to_owned()));
        }
        (None, _) => {}
    }
    let connect = async || -> Result<Session, Failure> {
        let path = config::locate(cli.profile.clone(), Surroundings::now())?;
        let profile = config::load(&path)?;
        Ok(Session {
            client: Client::connect(&profile).await?,
            out: Output::stdout(cli.output),
            now,
        })
    };
    match cli.command {
        // Those that open a file do so before they connect.
        Some(Command::Feeds(command)) => command.perform(connect).await,
        Some(Command::Identities(command)) => command.perform(connect).await,
        // Most of these need no server.
        Some(Command::Releases(command)) => {
            let out = Output::stdout(cli.output);
            command.perform(connect, out, now).await
        }
        Some(Command::Rollouts(command)) => command.perform(connect().await?).await,
        None if app::is_wanted(cli.output) => {
            let settings = Settings::open(Places::find(cli.profile.clone())?)?;
            app::run(settings, cli.record.as_deref()).await
        }
        None => command::status::perform(connect().await?).await,
        Some(Command::Incidents(command)) => command.perform(connect().await?).await,
        Some(Command::Endpoints(command)) => command.perform(connect().await?).await,
        Some(Command::Events(command)) => command.perform(connect().await?).await,
        Some(Command::Terminal(command)) => command.perform(connect().await?).await,
        Some(Command::Audit(command)) => command.perform(connect().await?).await,
        Some(Command::Keys) => {
            Output::stdout(cli.output).text(&keys::in_full())?;
            Ok(Exit::Done)
        }
        Some(Command::Man { dir }) => man(&dir),
        Some(Command::Completions { .. }) => Ok(Exit::Done),
    }
}

/// Prints the last screen of a recording, and whether all came as they were recorded.
fn replay(path: &Path) -> Result<Exit, Failure> {
    let failure = |source| Failure::Input {
        file: text::line(&path.to_string_lossy()).into_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failure)?;
    let replayed = recorder::replay(std::io::BufReader::new(file))
        .map_err(|error| failure(std::io::Error::other(error)))?;
    let mut out = replayed.rows.join("\n");
    out.push('\n');
    std::io::stdout().write_all(out.as_bytes())?;
    let frames = replayed.frames;
    let (said, exit) = match (replayed.first_other, replayed.ends_alike) {
        (None, true) => (format!("all {frames} frames are as recorded"), Exit::Done),
        (None, false) => (
            format!("{frames} frames are as recorded, and the end is missing"),
            Exit::Partly,
        ),
        (Some(other), _) => {
            let said = format!("frame {other} of {frames} is another than was recorded");
            (said, Exit::Failed)
        }
    };
    crate::say(&format!("tocsin: {said}\n"));
    Ok(exit)
}

/// Writes the man pages: `tocsin.1`, `tocsin-incidents.1`, ...
fn man(dir: &Path) -> Result<Exit, Failure> {
    let arguments = <Cli as clap::CommandFactory>::command();
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(arguments, dir))
        .map_err(|source| Failure::Write {
            file: text::path(dir),
            source,
        })?;
    Ok(Exit::Done)
}

/// Prints what the parser has to say: help and version, or what is wrong with the arguments.
pub(crate) fn explain(error: &clap::Error) -> Exit {
    let said = error.render().to_string();
    if error.use_stderr() {
        let said = match said.strip_prefix("error: ") {
            Some(said) => format!("tocsin: {said}"),
            None => said,
        };
        let mut report = String::new();
        // The arguments may have been pasted from anywhere.
        for line in text::lines(said.trim_end()) {
            report.push_str(&line);
            report.push('\n');
        }
        crate::say(&report);
        return Exit::Usage;
    }
    let _reader_left = std::io::stdout().write_all(said.as_bytes());
    Exit::Done
}

/// Parses a word of the contract, whatever its case and with `-` for `_`.
#[derive(Debug)]
pub(crate) struct WordParser<T>(PhantomData<fn() -> T>);

impl<T> WordParser<T> {
    /// For the words of `T`.
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for WordParser<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T: Word + Send + Sync> TypedValueParser for WordParser<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<T, clap::Error> {
        let word = value.to_string_lossy().to_lowercase().replace('-', "_");
        T::from_word(&word).ok_or_else(|| {
            let name = argument.map_or_else(String::new, |argument| format!(" for '{argument}'"));
            clap::Error::raw(
                clap::error::ErrorKind::InvalidValue,
                format!(
                    "invalid value '{}'{name}: one of {}\n",
                    value.to_string_lossy(),
                    T::words().join(", ")
                ),
            )
            .with_cmd(command)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        // The parser's values live as long as the program; a dozen words do no harm.
        let words = T::words().into_iter();
        Some(Box::new(
            words.map(|word| PossibleValue::new(word.leak() as &str)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use tocsin_proto::console::v1::{IncidentState, Severity};

    use super::*;

    #[test]
    fn the_arguments_make_sense_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn words_are_taken_in_any_case_and_refused_with_the_list() {
        let parse = |word: &str| {
            WordParser::<IncidentState>::new().parse_ref(&Cli::command(), None, word.as_ref())
        };
        assert_eq!(parse("in_progress").unwrap(), IncidentState::InProgress);
        assert_eq!(parse("In-Progress").unwrap(), IncidentState::InProgress);
        let error = parse("done").unwrap_err().to_string();
        assert!(
            error.contains("new, in_progress, on_hold, resolved, closed"),
            "{error}"
        );
        let words = WordParser::<Severity>::new();
        assert_eq!(words.possible_values().unwrap().count(), 5);
    }
}
