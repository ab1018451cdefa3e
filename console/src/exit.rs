//! How a command ends: its exit code, and the one place where an error is printed.
//!
//! An error is printed as one line, `tocsin: what was attempted: cause: cause`, and, where something can
//! be done about it, a second line that says what. Every text in it passes [`crate::text`].

use std::error::Error;
use std::io;

use crate::client::ClientError;
use crate::config::ConfigError;
use crate::release::ReleaseError;
use crate::text;

/// Columns of one line of an error at most; a server's text could be long.
const LINE_COLUMNS_MAX: usize = 2000;

/// Exit codes, a published contract (after `sysexits.h` where it has a word).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Done,
    /// Nothing, or not what was asked.
    Failed,
    /// Some of it was done, and what was not has been named.
    Partly,
    /// The arguments make no sense.
    Usage,
    /// The server did not answer, or its certificate was not good; an endpoint that was to do something is not there.
    Unreachable,
    /// The server knows who is asking, or does not, and refuses.
    NotPermitted,
    /// The profile cannot be used.
    Config,
    /// Of `terminal open`: as the shell at the endpoint ended.
    Remote(u8),
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Partly => 2,
            Self::Usage => 64,
            Self::Unreachable => 69,
            Self::NotPermitted => 77,
            Self::Config => 78,
            Self::Remote(code) => code,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What ends a command early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// About the profile.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// About the server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// About the arguments, beyond what the parser checks.
    #[error("{0}")]
    Usage(String),
    /// A file that the command reads.
    #[error("read {file}")]
    Input {
        /// Its name, clean.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that the command writes.
    #[error("write {file}")]
    Write {
        /// Its name, clean.
        file: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Releases.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// Standard output.
    #[error("write the output")]
    Output(#[from] io::Error),
    /// The runtime.
    #[error("start the program")]
    Start(#[source] io::Error),
}

impl Failure {
    /// The code that stands for it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Config(_) => Exit::Config,
            Self::Client(error) => error.exit(),
            Self::Usage(_) => Exit::Usage,
            // Whoever read the output has seen enough (`| head`); that is no failure.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Input { .. }
            | Self::Write { .. }
            | Self::Release(_)
            | Self::Output(_)
            | Self::Start(_) => Exit::Failed,
        }
    }

    /// What the reader can do about it, where that is known.
    fn cure(&self) -> Option<&'static str> {
        match self {
            Self::Config(error) => error.cure(),
            Self::Client(error) => error.cure(),
            _ => None,
        }
    }

    /// Its lines for standard error; none for an end that needs no words.
    pub(crate) fn report(&self) -> String {
        if self.exit() == Exit::Done {
            return String::new();
        }
        let mut report =
            text::fit(&format!("tocsin: {}", chain(self)), LINE_COLUMNS_MAX).into_owned();
        report.push('\n');
        if let Some(cure) = self.cure() {
            report.push_str("  to do: ");
            report.push_str(cure);
            report.push('\n');
        }
        report
    }
}

/// An error and its causes, joined by colons. A cause that only repeats what was said is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut all = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !all.ends_with(&said) {
            all.push_str(": ");
            all.push_str(&said);
        }
        next = cause.source();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let failure = Failure::Input {
            file: "x.json".into(),
            source: io::Error::other("no\x1b[2J luck"),
        };
        assert_eq!(failure.report(), "tocsin: read x.json: no\\x1b[2J luck\n");
        assert_eq!(failure.exit(), Exit::Failed);
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let failure = Failure::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(failure.exit(), Exit::Done);
        assert_eq!(failure.report(), "");
        let full = Failure::Output(io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit(), Exit::Failed);
    }

    #[test]
    fn a_long_text_is_cut() {
        let report = Failure::Usage("x".repeat(10_000)).report();
        assert_eq!(report.trim_end().chars().count(), LINE_COLUMNS_MAX);
    }
}
