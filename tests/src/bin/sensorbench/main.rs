//! What the agent costs: a real server and a real agent on this machine, with a load that is really there.
//!
//! ```text
//! cargo run --release -p tocsin-tests --bin sensorbench
//! ```
//!
//! Step by step it makes 5,000 processes, 20,000 sockets and 1,000 sessions, waits until the agent is at rest, and
//! prints what the agent then uses: CPU time, memory, switches, bytes on disk and on the wire; the same for the machine
//! without them. Then it starts programs and connections at given rates and reads back from the server how many of them
//! were seen, with what, at which cost, and what the storm itself was slowed down by.
//!
//! As root it takes a network namespace of its own, and one of mounts whose accounts and logs are copies, so that nothing
//! of the machine is touched; both end with the last program in them, and the programs of the load with this one. Other
//! users get the load among the machine's own sockets, the polling sensor and no sessions, which is said. Other programs
//! of the machine cost the agent too: how many began meanwhile stands beside each step.

mod load;
mod measure;
mod proxy;
mod report;
mod rest;
mod rival;
mod storm;
mod world;

use std::io::Write;
use std::process::{Command, ExitCode};
use std::sync::mpsc;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use nix::sched::{CloneFlags, unshare};
use tocsin_tests::process;
use tocsin_tests::program::Programs;
use tocsin_tests::sandbox::{Sandbox, is_root_or_skips};

use crate::report::Report;

/// The agent's cost against a real load.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Processes that are there and do nothing.
    #[arg(long, default_value_t = 5_000)]
    processes: usize,
    /// Sockets of connections that are open.
    #[arg(long, default_value_t = 20_000)]
    sockets: usize,
    /// People who are logged in.
    #[arg(long, default_value_t = 1_000)]
    sessions: usize,
    /// How long each step is measured, and each storm lasts at most.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Programs started a second, one storm for each.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 500, 1000])]
    exec_rate: Vec<u32>,
    /// Connections made a second, one storm for each.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000])]
    connect_rate: Vec<u32>,
    /// Also what the agent's lesser sources and other programs that are installed see of a storm of programs (root).
    #[arg(long)]
    rivals: bool,
    /// How the figures are printed.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// How figures are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(load::ROLE) {
        return ended(load::run(arguments).map(|()| ExitCode::SUCCESS));
    }
    let options = Options::parse();
    // A namespace is entered by one thread and inherited by those that it starts.
    if let Err(error) = prepare() {
        return ended(Err(error));
    }
    let (say, ends) = mpsc::channel();
    let interrupted = say.clone();
    std::thread::spawn(move || interrupted.send(signal().map(|()| ExitCode::from(130))));
    std::thread::spawn(move || say.send(measured(&options).map(|()| ExitCode::SUCCESS)));
    // Whichever comes first. A signal leaves the other thread in the middle of something.
    let code = ended(ends.recv().context("measure").flatten());
    process::kill_all();
    Sandbox::remove_all();
    code
}

fn ended(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        tell(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

/// Builds the programs, and enters a network of its own where that is permitted.
fn prepare() -> Result<()> {
    Programs::get_loudly()?;
    if is_root_or_skips(
        "a network of its own (the load's sockets are among the machine's), the kernel's process events (the agent polls), sessions",
    ) {
        unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status()
            .context("run ip (package iproute2)")?;
        ensure!(up.success(), "ip link set lo up: {up}");
    }
    Ok(())
}

/// Returns when this program is asked to end.
fn signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        Ok(())
    })
}

fn measured(options: &Options) -> Result<()> {
    ensure!(options.seconds > 0, "seconds are at least 1");
    let sandbox = Sandbox::new()?;
    let mut report = Report::default();
    let done = rest::measure(&sandbox, options, &mut report);
    if done.is_err() {
        sandbox.show_logs();
    }
    done?;
    let mut out = std::io::stdout().lock();
    match options.output {
        Format::Table => report.print(&mut out)?,
        Format::Json => writeln!(out, "{}", report.to_json())?,
    }
    Ok(())
}

/// A line for whoever waits.
fn tell(line: &str) {
    let _shown = writeln!(std::io::stderr().lock(), "sensorbench: {line}");
}
