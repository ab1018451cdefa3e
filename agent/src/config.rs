//! The configuration file: TOML -> [`RawConfig`] (what was said) -> [`Config`] (what it means).
//!
//! Unknown keys are refused, values out of their range are named with the range. It holds no secret, and
//! nothing that enrolment decides. The default file (`agent.toml`) is the manual; a test holds it and the
//! defaults of the code together.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::file::{self, FileError};

/// The commented default, as `config print` writes it.
pub(crate) const DEFAULT_TEXT: &str = include_str!("../agent.toml");

/// Where the configuration is looked for when no other place is named; it need not be there.
pub(crate) const DEFAULT_PATH: &str = if cfg!(windows) {
    r"C:\ProgramData\Tocsin\agent.toml"
} else {
    "/etc/tocsin/agent.toml"
};

/// Where the agent keeps its identity, spool and status when no other place is named.
pub(crate) const DEFAULT_STATE: &str = if cfg!(windows) {
    r"C:\ProgramData\Tocsin\agent"
} else {
    "/var/lib/tocsin-agent"
};

/// Bytes of a configuration file at most.
const CONFIG_BYTES_MAX: u64 = 64 << 10;

/// Smallest and largest spool: a few full batches; what a terabyte disk can spare.
const SPOOL_BYTES: std::ops::RangeInclusive<u64> = (16 << 20)..=(1 << 40);

/// Fastest and slowest polling: a scan costs up to 0.2 s of CPU; a minute sees next to nothing.
const POLL_INTERVAL_MS: std::ops::RangeInclusive<u64> = 250..=60_000;

/// Such a file is read whole into memory to be hashed.
const FILE_HASH_BYTES: std::ops::RangeInclusive<u64> = 0..=(16 << 20);

/// Paths of one list.
const PATHS_MAX: usize = 64;

/// Fewest and most terminals open at once: each may hold two threads and half a megabyte.
const TERMINAL_COUNT: std::ops::RangeInclusive<u64> = 1..=16;

/// Shortest and longest time of a terminal: a minute; a week.
const TERMINAL_MINUTES: std::ops::RangeInclusive<u64> = 1..=(7 * 24 * 60);

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("use the configuration file")]
    Read(#[from] FileError),
    /// It is not TOML of this shape.
    #[error("understand configuration {}: line {line}: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// In one line, without the picture of the file that the parser draws.
        reason: String,
    },
    /// A value out of its range.
    #[error("use configuration {}: {key} is {value}, it must be {range}", path.display())]
    Range {
        /// The file.
        path: PathBuf,
        /// The key, with its table.
        key: &'static str,
        /// What it says.
        value: String,
        /// What it may say.
        range: String,
    },
}

/// What a file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawConfig {
    log: Option<String>,
    spool: RawSpool,
    process: RawProcess,
    network: RawNetwork,
    file: RawFile,
    terminal: RawTerminal,
    update: RawUpdate,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSpool {
    bytes_max: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawProcess {
    source: Option<Source>,
    scope: Option<Scope>,
    hash_bytes_max: Option<u64>,
    poll_interval_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawNetwork {
    source: Option<FlowSource>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFile {
    paths: Option<Vec<PathBuf>>,
    opened_paths: Option<Vec<PathBuf>>,
    hash_bytes_max: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTerminal {
    enabled: Option<bool>,
    notice: Option<bool>,
    count_max: Option<u64>,
    idle_minutes_max: Option<u64>,
    open_minutes_max: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawUpdate {
    enabled: Option<bool>,
}

/// Which processes are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// [`Scope::Machine`] in the machine's own network namespace, [`Scope::Namespace`] in another.
    Auto,
    /// All of the machine.
    Machine,
    /// Those in the agent's network namespace.
    Namespace,
}

/// Where process events come from: the best source that is tried. What this machine cannot run hands over to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// Programs inside the kernel.
    Ebpf,
    /// The kernel's notifications, and what can be read then.
    ProcConnector,
    /// The process table, again and again.
    Poll,
}

/// Where flows come from: the best source that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FlowSource {
    /// Programs inside the kernel.
    Ebpf,
    /// Scans of the sockets.
    SockDiag,
}

/// What the agent is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Filter of the log.
    pub(crate) log: String,
    /// Limit of the spool.
    pub(crate) spool_bytes_max: u64,
    /// What the process sensors do.
    pub(crate) process: ProcessConfig,
    /// The best source of flows that is tried.
    pub(crate) flow_source: FlowSource,
    /// What this machine allows of remote terminals.
    pub(crate) terminal: TerminalConfig,
    /// What the sensors of files do.
    pub(crate) file: FileConfig,
    /// Whether signed releases may be installed when the server names one.
    pub(crate) update_enabled: bool,
}

/// What the sensors of files do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileConfig {
    /// Files and folders whose changes are reported beside those that are known; absolute.
    pub(crate) paths: Vec<PathBuf>,
    /// Files whose every opening is reported; absolute.
    pub(crate) opened_paths: Vec<PathBuf>,
    /// Largest file that is hashed; 0 = none is.
    pub(crate) hash_bytes_max: u64,
}

/// What the process sensors do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessConfig {
    /// The best source that is tried.
    pub(crate) source: Source,
    /// Which processes are reported.
    pub(crate) scope: Scope,
    /// Largest executable that is hashed; 0 = none is.
    pub(crate) hash_bytes_max: u64,
    /// Time between two scans of the polling sensor.
    pub(crate) poll_interval: Duration,
}

/// What this machine allows of remote terminals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TerminalConfig {
    /// Whether there are any.
    pub(crate) enabled: bool,
    /// Whether who is logged in is told of each by `wall`.
    pub(crate) notice: bool,
    /// Open at once.
    pub(crate) count_max: usize,
    /// Without input and output.
    pub(crate) idle_max: Duration,
    /// From opening to end.
    pub(crate) open_max: Duration,
}

impl Default for TerminalConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            notice: true,
            count_max: 4,
            idle_max: Duration::from_secs(30 * 60),
            open_max: Duration::from_secs(8 * 60 * 60),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log: "info".into(),
            spool_bytes_max: 256 << 20,
            process: ProcessConfig {
                source: Source::Ebpf,
                scope: Scope::Auto,
                hash_bytes_max: 256 << 20,
                poll_interval: Duration::from_secs(2),
            },
            flow_source: FlowSource::Ebpf,
            file: FileConfig {
                paths: Vec::new(),
                opened_paths: Vec::new(),
                hash_bytes_max: 1 << 20,
            },
            terminal: TerminalConfig::default(),
            update_enabled: true,
        }
    }
}

impl Config {
    /// Reads `path`; without one the default place, where nothing need be.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let chosen = path.unwrap_or(Path::new(DEFAULT_PATH));
        match file::read_text(chosen, CONFIG_BYTES_MAX) {
            Ok(text) => Self::parse(&text, chosen),
            Err(error) if path.is_none() && error.is_missing() => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: RawConfig = toml::from_str(text).map_err(|error| {
            let before = error.span().map_or(0, |span| span.start);
            let before = text.as_bytes().get(..before).unwrap_or_default();
            ConfigError::Parse {
                path: path.to_owned(),
                line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
                reason: error.message().replace('\n', "; "),
            }
        })?;
        let default = Self::default();
        let check = Ranges { path };
        Ok(Self {
            log: check.log(raw.log.unwrap_or(default.log))?,
            spool_bytes_max: check.number(
                "spool.bytes_max",
                raw.spool.bytes_max.unwrap_or(default.spool_bytes_max),
                SPOOL_BYTES,
            )?,
            process: ProcessConfig {
                source: raw.process.source.unwrap_or(default.process.source),
                scope: raw.process.scope.unwrap_or(default.process.scope),
                hash_bytes_max: raw
                    .process
                    .hash_bytes_max
                    .unwrap_or(default.process.hash_bytes_max),
                poll_interval: match raw.process.poll_interval_ms {
                    None => default.process.poll_interval,
                    Some(ms) => Duration::from_millis(check.number(
                        "process.poll_interval_ms",
                        ms,
                        POLL_INTERVAL_MS,
                    )?),
                },
            },
            flow_source: raw.network.source.unwrap_or(default.flow_source),
            file: FileConfig {
                paths: check.paths("file.paths", raw.file.paths)?,
                opened_paths: check.paths("file.opened_paths", raw.file.opened_paths)?,
                hash_bytes_max: check.number(
                    "file.hash_bytes_max",
                    raw.file
                        .hash_bytes_max
                        .unwrap_or(default.file.hash_bytes_max),
                    FILE_HASH_BYTES,
                )?,
            },
            terminal: check.terminal(&raw.terminal, default.terminal)?,
            update_enabled: raw.update.enabled.unwrap_or(default.update_enabled),
        })
    }
}

/// Checks values and names the file where one is wrong.
struct Ranges<'a> {
    path: &'a Path,
}

impl Ranges<'_> {
    fn number(
        &self,
        key: &'static str,
        value: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        if range.contains(&value) {
            return Ok(value);
        }
        Err(ConfigError::Range {
            path: self.path.to_owned(),
            key,
            value: value.to_string(),
            range: format!("from {} to {}", range.start(), range.end()),
        })
    }

    fn paths(
        &self,
        key: &'static str,
        value: Option<Vec<PathBuf>>,
    ) -> Result<Vec<PathBuf>, ConfigError> {
        let value = value.unwrap_or_default();
        let wrong = |value: String, range: String| ConfigError::Range {
            path: self.path.to_owned(),
            key,
            value,
            range,
        };
        if value.len() > PATHS_MAX {
            let range = format!("{PATHS_MAX} paths at most");
            return Err(wrong(format!("{} paths", value.len()), range));
        }
        // As the kernel names a file: another spelling would never match.
        let is_plain = |path: &Path| {
            let mut parts = path.components();
            let whole: PathBuf = path.components().collect();
            parts.next() == Some(Component::RootDir)
                && parts.clone().next().is_some()
                && parts.all(|part| matches!(part, Component::Normal(_)))
                && whole.as_os_str() == path.as_os_str()
        };
        if let Some(path) = value.iter().find(|path| !is_plain(path)) {
            let range = "an absolute path without '.', '..' and a '/' at its end";
            return Err(wrong(format!("'{}'", path.display()), range.to_owned()));
        }
        Ok(value)
    }

    fn terminal(
        &self,
        raw: &RawTerminal,
        default: TerminalConfig,
    ) -> Result<TerminalConfig, ConfigError> {
        let minutes = |key, value: Option<u64>, default| match value {
            None => Ok(default),
            Some(value) => self
                .number(key, value, TERMINAL_MINUTES)
                .map(|minutes| Duration::from_secs(minutes * 60)),
        };
        let count = match raw.count_max {
            None => default.count_max,
            Some(count) => {
                let count = self.number("terminal.count_max", count, TERMINAL_COUNT)?;
                usize::try_from(count).unwrap_or(default.count_max)
            }
        };
        Ok(TerminalConfig {
            enabled: raw.enabled.unwrap_or(default.enabled),
            notice: raw.notice.unwrap_or(default.notice),
            count_max: count,
            idle_max: minutes(
                "terminal.idle_minutes_max",
                raw.idle_minutes_max,
                default.idle_max,
            )?,
            open_max: minutes(
                "terminal.open_minutes_max",
                raw.open_minutes_max,
                default.open_max,
            )?,
        })
    }

    fn log(&self, value: String) -> Result<String, ConfigError> {
        const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
        if LEVELS.contains(&value.as_str()) {
            return Ok(value);
        }
        Err(ConfigError::Range {
            path: self.path.to_owned(),
            key: "log",
            value: format!("'{value}'"),
            range: format!("one of {}", LEVELS.join(", ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("agent.toml"))
    }

    #[test]
    fn the_printed_default_says_every_default() {
        assert_eq!(parse(DEFAULT_TEXT).unwrap(), Config::default());
        assert_eq!(parse("").unwrap(), Config::default());
    }

    #[test]
    fn the_printed_default_names_every_key() {
        let keys = [
            "log",
            "bytes_max",
            "source",
            "scope",
            "hash_bytes_max",
            "poll_interval_ms",
            "source",
            "paths",
            "opened_paths",
            "hash_bytes_max",
            "enabled",
            "notice",
            "count_max",
            "idle_minutes_max",
            "open_minutes_max",
            "enabled",
        ];
        let named: Vec<&str> = DEFAULT_TEXT
            .lines()
            .filter_map(|line| line.split_once(" = ").map(|(key, _)| key))
            .filter(|key| !key.starts_with('#'))
            .collect();
        assert_eq!(named, keys);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        for text in ["lgo = 'info'", "[spool]\nbytes = 1", "[other]\n"] {
            let said = parse(text).unwrap_err().to_string();
            assert!(said.contains("unknown field"), "{said}");
        }
    }

    #[test]
    fn what_is_no_toml_is_told_in_one_line_with_its_place() {
        let said = parse("log = 'info'\n[spool]\nbytes_max = = 5\n")
            .unwrap_err()
            .to_string();
        let start = "understand configuration agent.toml: line 3: ";
        assert!(said.starts_with(start), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        let text = parse("[spool]\nbytes_max = 5").unwrap_err().to_string();
        assert_eq!(
            text,
            "use configuration agent.toml: spool.bytes_max is 5, it must be from 16777216 to 1099511627776"
        );
        assert!(parse("[process]\npoll_interval_ms = 1").is_err());
        assert!(
            parse("log = 'loud'")
                .unwrap_err()
                .to_string()
                .contains("one of error")
        );
        assert!(parse("[process]\nscope = 'galaxy'").is_err());
    }

    #[test]
    fn paths_are_absolute_plain_and_bounded() {
        let config = parse("[file]\npaths = ['/srv/keys', '/etc/hosts']").unwrap();
        assert_eq!(config.file.paths.len(), 2);
        for path in [
            "srv/keys",
            "/srv/../etc",
            "/srv/./a",
            "/srv/keys/",
            "/",
            "",
            "//a",
        ] {
            let said = parse(&format!("[file]\nopened_paths = ['{path}']"));
            let said = said.unwrap_err().to_string();
            assert!(said.contains("file.opened_paths is"), "{path}: {said}");
        }
        let many = vec!["'/a'"; PATHS_MAX + 1].join(",");
        let said = parse(&format!("[file]\npaths = [{many}]")).unwrap_err();
        assert!(said.to_string().ends_with("it must be 64 paths at most"));
    }

    #[test]
    fn a_part_of_a_file_changes_only_that_part() {
        let config = parse("[process]\nscope = 'namespace'").unwrap();
        assert_eq!(config.process.scope, Scope::Namespace);
        assert_eq!(config.spool_bytes_max, Config::default().spool_bytes_max);
    }

    #[test]
    fn terminals_can_be_turned_off_and_have_their_limits() {
        let config = parse("[terminal]\nenabled = false\nidle_minutes_max = 5").unwrap();
        assert!(!config.terminal.enabled);
        assert_eq!(config.terminal.idle_max, Duration::from_secs(300));
        assert!(Config::default().terminal.enabled);
        for bad in [
            "count_max = 0",
            "count_max = 17",
            "idle_minutes_max = 0",
            "open_minutes_max = 99999",
        ] {
            assert!(parse(&format!("[terminal]\n{bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_named_file_must_be_there() {
        assert!(Config::load(Some(Path::new("/nonexistent/agent.toml"))).is_err());
    }
}
