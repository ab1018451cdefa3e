//! Precision, recall and time to detect of the incident engine, on labelled months of a made-up company, beside public
//! rules on the same records.
//!
//! ```text
//! cargo run --release -p tocsin-tests --bin detectionbench -- --seeds 3000..3051
//!
//! world      sites, networks, people          random     the same numbers for the same seed
//! life/      harmless months                   attack/    attacks and evasions, labelled
//! endpoint   what agents would have told      outage     what many people's failures show       rules/     public rules
//! month      one seed through all detectors    score, curve, report
//! ```
//!
//! It drives the pure engine in this process. The generator knows nothing of the engine's weights. Weights are tuned on
//! seeds 1..50 and reported on others, each range of them once.

mod attack;
mod curve;
mod endpoint;
mod life;
mod merge;
mod month;
mod outage;
mod random;
mod record;
mod report;
mod rules;
mod score;
mod world;

use std::io::Write;
use std::process::ExitCode;

use crate::month::Measured;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

/// How it prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Measures the incident engine on labelled months.
#[derive(Debug, Parser)]
struct Options {
    /// Seeds, both ends included: 1..50.
    #[arg(long, default_value = "1..3")]
    seeds: String,
    /// People of the company.
    #[arg(long, default_value_t = 500)]
    people: usize,
    /// Tells so many false incidents, one by one, instead.
    #[arg(long, default_value_t = 0)]
    explain: usize,
    /// Threads that months are spread over; for --cost use one.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Tells what the engine costs instead: time an event, on this machine.
    #[arg(long)]
    cost: bool,
    /// As if nobody knew of outages of providers: to see what knowing them is worth.
    #[arg(long)]
    without_outages: bool,
    /// How it prints.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _shown = writeln!(std::io::stderr().lock(), "detectionbench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// "3..5" or "4".
fn seeds(text: &str) -> Result<std::ops::RangeInclusive<u64>> {
    let (from, until) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| {
        text.trim_start_matches('=')
            .parse::<u64>()
            .with_context(|| format!("'{text}' is no seed"))
    };
    let range = number(from)?..=number(until)?;
    ensure!(!range.is_empty(), "no seed in {text}");
    Ok(range)
}

fn run(options: &Options) -> Result<()> {
    ensure!(
        options.people >= 100,
        "at least 100 people, so that there are enough to attack"
    );
    let totals = merge::run(
        seeds(&options.seeds)?,
        options.people,
        options.jobs,
        Measured {
            baselines: options.cost,
            without_outages: options.without_outages,
        },
    );
    let text = match options.output {
        _ if options.cost => report::cost(&totals),
        _ if options.explain > 0 => report::explained(&totals, options.explain),
        Format::Table => report::table(&totals),
        Format::Json => format!("{:#}\n", report::object(&totals)),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}
