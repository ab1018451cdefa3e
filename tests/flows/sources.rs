//! The sources of process events, best first: which is taken where, what it says it misses, and that it sees what it says.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tocsin_tests::agent::Agent;
use tocsin_tests::network::Network;
use tocsin_tests::sandbox::{Place, Sandbox, flow, is_root_or_skips};
use tocsin_tests::server::{Server, Setup};
use tocsin_tests::wait::eventually;

use crate::telemetry::{keys, processes, short_processes};
use crate::{LIMIT, rows, text};

/// Processes that live a millisecond or two.
const SHORT: usize = 100;

const EBPF: &str = "process/ebpf";
const PROC_CONNECTOR: &str = "process/proc_connector";
const POLL: &str = "process/poll";

/// A machine that allows so much.
struct Case {
    /// `process.source` of the configuration.
    source: &'static str,
    /// Takes rights from the agent.
    launcher: &'static [&'static str],
    /// The source that is taken.
    taken: &'static str,
    /// Part of what is said of it, to the analyst too.
    said: &'static str,
    /// Those that were refused, with part of the reason.
    refused: &'static [(&'static str, &'static str)],
}

const NO_KERNEL_PROGRAMS: &[&str] = &["setpriv", "--bounding-set", "-bpf,-perfmon,-sys_admin"];
const NO_RIGHTS: &[&str] = &["setpriv", "--bounding-set", "-all"];

const CASES: [Case; 5] = [
    Case {
        source: "ebpf",
        launcher: &[],
        taken: EBPF,
        said: "only processes in network namespace",
        refused: &[],
    },
    Case {
        source: "proc_connector",
        launcher: &[],
        taken: PROC_CONNECTOR,
        said: "misses arguments of processes that end before they are read",
        refused: &[],
    },
    Case {
        source: "poll",
        launcher: &[],
        taken: POLL,
        said: "misses shorter processes",
        refused: &[],
    },
    Case {
        source: "ebpf",
        launcher: NO_KERNEL_PROGRAMS,
        taken: PROC_CONNECTOR,
        said: "misses arguments",
        refused: &[(EBPF, "the kernel takes no programs from here")],
    },
    Case {
        source: "ebpf",
        launcher: NO_RIGHTS,
        taken: POLL,
        said: "misses shorter processes",
        refused: &[
            (EBPF, "the kernel takes no programs from here"),
            (PROC_CONNECTOR, "cannot be entered from here"),
        ],
    },
];

#[test]
fn the_best_source_is_taken_and_what_it_misses_is_said() {
    if !is_root_or_skips("sources of process events") {
        return;
    }
    if Command::new("setpriv").arg("--version").output().is_err() {
        println!("skipped: setpriv is missing");
        return;
    }
    flow(|sandbox| {
        let network = Network::new()?;
        let at_server = network.namespace()?;
        let setup = Setup {
            place: Place::Inside(&at_server),
            ..Default::default()
        };
        let server = Server::start_with(sandbox, setup)?;
        // Without the right to enter a namespace the kernel's events are to be had only where they come.
        let here = Server::start(sandbox)?;
        for case in &CASES {
            let at_agent = network.namespace()?;
            let (place, server) = if case.launcher == NO_KERNEL_PROGRAMS {
                (Place::Here, &here)
            } else {
                (Place::Inside(&at_agent), &server)
            };
            check(case, sandbox, place, server).with_context(|| {
                let Case {
                    source, launcher, ..
                } = case;
                format!("with source {source}, started by {launcher:?}")
            })?;
        }
        Ok(())
    });
}

fn check(case: &Case, sandbox: &Sandbox, place: Place<'_>, server: &Server<'_>) -> Result<()> {
    let config = sandbox.fresh("agent.toml");
    let text_of = format!("[process]\nsource = \"{}\"\n", case.source);
    fs::write(&config, text_of)?;
    let mut agent = Agent::new(sandbox, place)?;
    agent.enroll(server, &server.token(1)?)?;
    agent.set_launcher(case.launcher);
    agent.run_with(&["--config", &config.display().to_string()])?;
    let console = server.admin();
    let row = agent.sensing(&console, case.taken)?;
    let id = text(&row, "id")?;

    let mut storm = short_processes(place, SHORT)?;
    ensure!(storm.wait()?.success(), "the storm failed");
    if case.taken != POLL {
        let rows = eventually("every exit is stored", LIMIT, || {
            let rows = processes(&console, id)?;
            Ok((keys(&rows, "exit", storm.id()).len() >= SHORT).then_some(rows))
        })?;
        are_told(&rows, storm.id(), case.taken == EBPF)?;
    }
    eventually("the analyst sees what is missing", LIMIT, || {
        let row = console.json(&["endpoints", "show", id])?;
        Ok(is_told(case, rows(&row["health"]["sensors"])?).then_some(()))
    })?;
    says_doctor(case, &agent, &config)?;
    agent.stop()
}

/// Whether each process of the storm began and ended once, with its arguments where `whole`.
fn are_told(rows: &[Value], parent: u32, whole: bool) -> Result<()> {
    for activity in ["start", "exit"] {
        let count = keys(rows, activity, parent).len();
        ensure!(count == SHORT, "{count} times {activity}");
    }
    let starts = rows
        .iter()
        .filter(|row| row["activity"] == "start" && row["process"]["parent"]["pid"] == parent);
    let read = starts.filter(|row| row["process"]["argv"] == serde_json::json!(["/bin/true"]));
    let read = read.count();
    ensure!(
        !whole || read == SHORT,
        "{read} of {SHORT} have their arguments"
    );
    Ok(())
}

fn is_told(case: &Case, sensors: &[Value]) -> bool {
    let says = |name: &str, state: &str, part: &str| {
        sensors.iter().any(|sensor| {
            let detail = sensor["detail"].as_str().unwrap_or_default();
            sensor["name"] == name && sensor["state"] == state && detail.contains(part)
        })
    };
    let refused = |(name, reason): &(&str, &str)| says(name, "unavailable", reason);
    says(case.taken, "running", case.said) && case.refused.iter().all(refused)
}

fn says_doctor(case: &Case, agent: &Agent<'_>, config: &Path) -> Result<()> {
    let said = agent.doctor(config)?;
    let checks = rows(&said)?.iter();
    let mut checks = checks.filter(|check| check["name"] == "process sensor");
    let check = checks.next().context("a line about process sensors")?;
    let detail = text(check, "detail")?;
    ensure!(detail.starts_with(&format!("{}: ", case.taken)), "{check}");
    for (name, reason) in case.refused {
        ensure!(detail.contains(&format!("not {name}: ")), "{check}");
        ensure!(detail.contains(reason), "{check}");
        ensure!(check["outcome"] == "warn", "{check}");
    }
    Ok(())
}
