//! A fleet in one program: a real server, and many simulated endpoints over real TLS and the real protocol.
//!
//! ```text
//! cargo run --release -p tocsin-tests --bin fleetsim -- --agents 20 --rate 2000
//! ```
//!
//! It prints what the server's documents claim, beside what must be reached: durable ingest per core of the
//! server's CPU time, acknowledgement latency, bytes an event stored and sent, memory of an idle stream, loss
//! and duplicates by sequence. CPU time is the server's own (`/proc/PID/stat`), so that the simulator's share of
//! the machine does not count. Events are made by `tocsin_tests::workload`; loss and duplicates are counted
//! from what an analyst reads back. The exit code is 1 where an event is lost or double, whatever the figures.

mod fleet;
mod load;
mod measure;
mod report;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tocsin_tests::meter::Meter;
use tocsin_tests::sandbox::{Place, Sandbox};
use tocsin_tests::server::{Server, Setup};

use crate::measure::descriptors_for;
use crate::report::Report;

/// Many simulated agents against a real server.
#[derive(Debug, Parser)]
struct Options {
    /// Agents that upload.
    #[arg(long, default_value_t = 20)]
    agents: usize,
    /// Events a second of each of them.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// How long they make events.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// How often the load is repeated; the median is reported.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Further agents that only keep their session open.
    #[arg(long, default_value_t = 500)]
    idle: usize,
    /// Folder for the server's data, which must not exist; a temporary one otherwise.
    #[arg(long)]
    server_data: Option<PathBuf>,
}

fn main() -> ExitCode {
    use std::io::Write;
    let result = run(&Options::parse());
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _shown = writeln!(std::io::stderr().lock(), "fleetsim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    ensure!(
        options.rounds > 0 && options.seconds > 0,
        "rounds and seconds are at least 1"
    );
    descriptors_for(options.agents + options.idle)?;
    let sandbox = Sandbox::new()?;
    let mut server = Server::start_with(
        &sandbox,
        Setup {
            place: Place::Here,
            data: options.server_data.as_deref(),
            ..Default::default()
        },
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let mut report = Report::new(options.agents, options.rate, options.seconds);
    let stored_before = measure::stored_bytes(server.data())?;
    let intact = runtime.block_on(measured(options, &mut server, &mut report))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    // A server that ends in order leaves nothing in the write-ahead log.
    server.stop()?;
    report.stored_bytes = measure::stored_bytes(server.data())?.saturating_sub(stored_before);
    report.print()?;
    Ok(intact)
}

async fn measured(options: &Options, server: &mut Server<'_>, report: &mut Report) -> Result<bool> {
    let address = server.address().to_string();
    let meter = Meter::new(server.process()?.pid());
    let token = server.token(u32::try_from(options.agents + options.idle)?)?;

    let idle = fleet::enroll(&address, &token, options.idle).await?;
    report.idle = fleet::keep_idle(&address, &idle, &meter).await?;

    let busy = fleet::enroll(&address, &token, options.agents).await?;
    let mut sent = Vec::new();
    for _round in 0..options.rounds {
        let round = load::run(&address, &busy, options, &meter).await?;
        report.rounds.push(round.figures);
        sent.extend(round.sent);
    }
    report.stored = verify::read_back(&server.profile(), &sent).await?;
    Ok(report.stored.lost == 0 && report.stored.double == 0)
}
