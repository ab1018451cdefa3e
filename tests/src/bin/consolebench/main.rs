//! The console's screens in a real terminal, against a real server with a large fleet behind it.
//!
//! ```text
//! cargo run --release -p tocsin-tests --bin consolebench
//! ```
//!
//! It enrols 100,000 endpoints and stores 1,000,000 events by the real protocol, which takes some minutes, opens the
//! screens in a pseudo-terminal of 200x60 (lent by util-linux's `script`), and prints what a person feels, beside what
//! must be reached: first paint, live data, from a key to its frame in each long list, from an incident's opening at the
//! server to its line on the screen, memory, and CPU time while nothing moves. A frame is what the terminal got after a
//! key until it was left in peace, so its time holds the whole way: reading the key, the screen's state, drawing, writing.

mod fill;
mod measure;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tocsin_tests::figures;
use tocsin_tests::program::Programs;
use tocsin_tests::sandbox::Sandbox;
use tocsin_tests::server::Server;

/// The console's speed and size against a real server.
#[derive(Debug, Parser)]
struct Options {
    /// Endpoints behind the lists.
    #[arg(long, default_value_t = 100_000)]
    endpoints: usize,
    /// Events behind the lists.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// How often each start and each incident is repeated; the median is reported.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Keys that are pressed in each list.
    #[arg(long, default_value_t = 300)]
    keys: usize,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _shown = writeln!(std::io::stderr().lock(), "consolebench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    ensure!(
        options.rounds > 0 && options.keys > 0 && options.endpoints > 0,
        "rounds, keys and endpoints are at least 1"
    );
    Programs::get_loudly()?;
    let sandbox = Sandbox::new()?;
    let server = Server::start(&sandbox)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(fill::fill(&server, options.endpoints, options.events))?;
    fill::incident(&server, &sandbox, 0)?;
    let figures = measure::all(&server, &sandbox, options)?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} endpoints, {} events, a terminal of 200x60",
        options.endpoints, options.events
    )?;
    figures::print(&mut out, figures)?;
    Ok(())
}
