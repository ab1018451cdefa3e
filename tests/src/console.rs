//! A real `tocsin`: one command at a time, with its exit code and what it printed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::program::Programs;
use crate::sandbox::Place;

/// An analyst's console: a profile, and where its commands run.
#[derive(Debug, Clone)]
pub struct Console<'a> {
    place: Place<'a>,
    profile: PathBuf,
}

/// What a command left behind.
#[derive(Debug)]
pub struct Done {
    /// Exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub error: Vec<u8>,
}

impl<'a> Console<'a> {
    /// A console with this profile.
    pub fn new(place: Place<'a>, profile: PathBuf) -> Self {
        Self { place, profile }
    }

    /// The same console at another place.
    #[must_use]
    pub fn at<'b>(&self, place: Place<'b>) -> Console<'b> {
        Console::new(place, self.profile.clone())
    }

    /// Its profile.
    pub fn profile(&self) -> &Path {
        &self.profile
    }

    /// The command with these arguments, not yet run.
    ///
    /// # Errors
    /// Where the programs cannot be built.
    pub fn command(&self, arguments: &[&str]) -> Result<std::process::Command> {
        let mut command = self.place.command(&Programs::get()?.console());
        command.arg("--profile").arg(&self.profile).args(arguments);
        Ok(command)
    }

    /// Runs a command to its end, whatever that is.
    ///
    /// # Errors
    /// Where it cannot be run.
    pub fn run(&self, arguments: &[&str]) -> Result<Done> {
        let done = self
            .command(arguments)?
            .output()
            .with_context(|| format!("run tocsin {arguments:?}"))?;
        Ok(Done {
            code: done.status.code().unwrap_or(-1),
            out: done.stdout,
            error: done.stderr,
        })
    }

    /// Runs a command that must succeed, with `-o json`.
    ///
    /// # Errors
    /// Where it fails, or prints no JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let done = self.run(&[arguments, &["-o", "json"]].concat())?;
        done.succeeded(arguments)?;
        serde_json::from_slice(&done.out)
            .with_context(|| format!("read JSON of tocsin {arguments:?}: {}", done.out_text()))
    }

    /// Runs a listing that must succeed, with `-o jsonl`; its rows.
    ///
    /// # Errors
    /// Where it fails, or a line is no JSON.
    pub fn rows(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let done = self.run(&[arguments, &["-o", "jsonl"]].concat())?;
        done.succeeded(arguments)?;
        done.out_text()
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("read JSON: {line}")))
            .collect()
    }

    /// `feeds import FILE --provider okta`.
    ///
    /// # Errors
    /// Where it cannot be run.
    pub fn import_okta(&self, file: &Path) -> Result<Done> {
        let file = file.to_str().context("a path in UTF-8")?;
        self.run(&["feeds", "import", file, "--provider", "okta"])
    }
}

impl Done {
    /// Standard output as text.
    pub fn out_text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Standard error as text.
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.error).into_owned()
    }

    /// Fails with what was said unless the exit code is 0.
    ///
    /// # Errors
    /// As it says.
    pub fn succeeded(&self, arguments: &[&str]) -> Result<()> {
        self.ended_with(0, arguments)
    }

    /// Fails with what was said unless the exit code is `code`.
    ///
    /// # Errors
    /// As it says.
    pub fn ended_with(&self, code: i32, arguments: &[&str]) -> Result<()> {
        ensure!(
            self.code == code,
            "tocsin {arguments:?} ended with {} and not {code}:\n{}",
            self.code,
            self.error_text()
        );
        Ok(())
    }
}
