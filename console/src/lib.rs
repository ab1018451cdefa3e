//! Tocsin's console: an analyst's screens, and the same as commands, with tables for people and JSON for
//! programs.
//!
//! ```text
//! arguments -> cli -> config: the profile -> client: TLS, gRPC
//!                  -> command: asks the client, hands rows on
//!                  -> output: tables through text, JSON -> standard output
//!                  -> app: keys, news of client::task -> event -> state -> screen -> terminal
//!                                                               -> action -> client::task
//! ```
//!
//! Only `client` knows gRPC and TLS. Every text that came from outside passes `text` before it
//! reaches a terminal, errors included. Only [`run`] reads the clock. What the screens
//! remember from run to run is in `memory`.

mod action;
mod app;
mod cli;
mod client;
mod command;
mod config;
mod event;
mod exit;
mod keymap;
mod keys;
mod memory;
mod output;
mod reading;
mod recorder;
mod release;
mod report;
mod screen;
mod settings;
mod state;
mod text;
mod theme;
mod time;
mod typed;
mod widget;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};

/// Runs the program with these arguments, the first being its name, and returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let exit = match Cli::try_parse_from(arguments) {
        Ok(cli) => perform(cli),
        Err(error) => cli::explain(&error),
    };
    exit.into()
}

fn perform(cli: Cli) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The main thread may block on standard output while this one keeps the connection alive.
        .worker_threads(1)
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(cli::perform(cli, jiff::Timestamp::now()));
            // Not to wait for a read from standard input that never ends.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::Start(error)),
    };
    result.unwrap_or_else(|failure| {
        say(&failure.report());
        failure.exit()
    })
}

/// Writes clean text to standard error; where that cannot be done, nobody is there to be told.
pub(crate) fn say(clean: &str) {
    let _nobody_listens = std::io::stderr().write_all(clean.as_bytes());
}
