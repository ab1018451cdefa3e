//! Processes of real machines, each in a network namespace of its own, seen from a fourth.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;
use tocsin_tests::agent::Agent;
use tocsin_tests::console::Console;
use tocsin_tests::network::Network;
use tocsin_tests::sandbox::{Place, flow, is_root_or_skips};
use tocsin_tests::server::{Server, Setup};
use tocsin_tests::wait::eventually;

use crate::{LIMIT, text};

/// Processes that live a millisecond or two.
const SHORT: usize = 200;

/// Processes that live a second or two.
const LONG: usize = 2_000;

/// Starts `count` short processes one after another; their parent is the shell, whose pid is the child's.
pub(crate) fn short_processes(place: Place<'_>, count: usize) -> Result<Child> {
    let script = "i=0; while [ $i -lt $1 ]; do /bin/true; i=$((i+1)); done";
    shell(place, script, count)
}

/// Starts `count` processes that live for two seconds, 250 at a time.
pub(crate) fn longer_processes(place: Place<'_>, count: usize) -> Result<Child> {
    let script = "i=0; while [ $i -lt $1 ]; do sleep 2 & i=$((i+1)); [ $((i % 250)) -eq 0 ] && wait; done; wait";
    shell(place, script, count)
}

/// Starts `count` processes that live until they are ended, each with an argument of its own.
fn staying_processes(place: Place<'_>, count: usize) -> Result<Child> {
    let script = "i=0; while [ $i -lt $1 ]; do sleep 600 0.000$i & i=$((i+1)); done; wait";
    shell(place, script, count)
}

/// A shell that leads a process group of its own.
fn shell(place: Place<'_>, script: &str, count: usize) -> Result<Child> {
    place
        .command(Path::new("/bin/sh"))
        .args(["-c", script, "storm", &count.to_string()])
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .context("start a storm of processes")
}

/// Stored process events of an endpoint.
pub(crate) fn processes(console: &Console<'_>, endpoint: &str) -> Result<Vec<Value>> {
    console.rows(&[
        "events",
        "search",
        "--endpoint",
        endpoint,
        "--kind",
        "process",
    ])
}

/// Keys of processes with this activity whose parent has this pid.
pub(crate) fn keys(rows: &[Value], activity: &str, parent: u32) -> Vec<String> {
    rows.iter()
        .filter(|row| row["activity"] == activity && row["process"]["parent"]["pid"] == parent)
        .filter_map(|row| row["process"]["key"].as_str().map(ToOwned::to_owned))
        .collect()
}

#[test]
fn every_short_process_is_seen_to_start_and_to_exit_with_its_parent() {
    if !is_root_or_skips("process events in network namespaces") {
        return;
    }
    flow(|sandbox| {
        let network = Network::new()?;
        let (at_server, at_a) = (network.namespace()?, network.namespace()?);
        let (at_b, at_desk) = (network.namespace()?, network.namespace()?);
        let place = Place::Inside(&at_server);
        let server = Server::start_with(
            sandbox,
            Setup {
                place,
                ..Default::default()
            },
        )?;
        let console = server.admin().at(Place::Inside(&at_desk));
        let mut agents = Vec::new();
        for namespace in [&at_a, &at_b] {
            let mut agent = Agent::start(sandbox, Place::Inside(namespace), &server)?;
            let row = agent.sensing_processes(&console)?;
            agents.push((agent, text(&row, "id")?.to_owned(), namespace));
        }
        let mut parents = Vec::new();
        for (_, id, namespace) in &agents {
            let mut storm = short_processes(Place::Inside(namespace), SHORT)?;
            parents.push((id, storm.id()));
            let status = storm.wait()?;
            ensure!(status.success(), "the storm ended with {status}");
        }
        for (id, parent) in &parents {
            let rows = eventually("every exit is stored", LIMIT, || {
                let rows = processes(&console, id)?;
                Ok((keys(&rows, "exit", *parent).len() >= SHORT).then_some(rows))
            })?;
            for activity in ["start", "exit"] {
                let keys = keys(&rows, activity, *parent);
                let distinct: BTreeSet<&String> = keys.iter().collect();
                ensure!(keys.len() == SHORT, "{} times {activity}", keys.len());
                ensure!(
                    distinct.len() == SHORT,
                    "{} distinct {activity}",
                    distinct.len()
                );
            }
            let foreign = parents.iter().filter(|(other, _)| other != id);
            for (_, parent) in foreign {
                let seen = keys(&rows, "start", *parent).len();
                ensure!(
                    seen == 0,
                    "{id} reports {seen} processes of the other machine"
                );
            }
        }
        Ok(())
    });
}

#[test]
fn two_thousand_longer_processes_are_seen_with_all_their_arguments() {
    if !is_root_or_skips("process events in network namespaces") {
        return;
    }
    flow(|sandbox| {
        let network = Network::new()?;
        let (at_server, at_agent) = (network.namespace()?, network.namespace()?);
        let place = Place::Inside(&at_server);
        let server = Server::start_with(
            sandbox,
            Setup {
                place,
                ..Default::default()
            },
        )?;
        let console = server.admin();
        let mut agent = Agent::start(sandbox, Place::Inside(&at_agent), &server)?;
        let row = agent.sensing_processes(&console)?;
        let id = text(&row, "id")?;
        let mut storm = staying_processes(Place::Inside(&at_agent), LONG)?;
        let parent = storm.id();
        let started = eventually("every start is stored", LIMIT, || {
            let rows = processes(&console, id)?;
            Ok((keys(&rows, "start", parent).len() >= LONG).then_some(()))
        });
        let group = Pid::from_raw(i32::try_from(parent)?);
        nix::sys::signal::killpg(group, Signal::SIGKILL)?;
        storm.wait()?;
        started?;
        let rows = eventually("every exit is stored", LIMIT, || {
            let rows = processes(&console, id)?;
            Ok((keys(&rows, "exit", parent).len() >= LONG).then_some(rows))
        })?;
        let with = arguments(&rows, parent).len();
        let states = argv_states(&rows, parent);
        ensure!(
            with == LONG,
            "{with} of {LONG} have their arguments: {states:?}"
        );
        Ok(())
    });
}

/// The distinct arguments of sleepers that this parent started.
fn arguments(rows: &[Value], parent: u32) -> BTreeSet<String> {
    rows.iter()
        .map(|row| (&row["activity"], &row["process"]))
        .filter(|(activity, process)| {
            **activity == "start"
                && process["parent"]["pid"] == parent
                && process["argv_state"] == "read"
        })
        .filter(|(_, process)| process["argv"][0] == "sleep" && process["argv"][1] == "600")
        .filter_map(|(_, process)| process["argv"][2].as_str().map(ToOwned::to_owned))
        .collect()
}

/// How many rows of this parent's children there are by activity and state of their arguments.
fn argv_states(rows: &[Value], parent: u32) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for row in rows {
        let process = &row["process"];
        if process["parent"]["pid"] == parent {
            let state = format!(
                "{} {} {}",
                row["activity"], process["argv_state"], process["argv"][0]
            );
            *states.entry(state).or_default() += 1;
        }
    }
    states
}

/// The first process of an executable does not wait long for its hash; a later one has it.
fn hash_comes(console: &Console<'_>, id: &str, first: &Value) -> Result<()> {
    let executable = text(first, "executable")?;
    eventually("the executable's hash is stored", LIMIT, || {
        Command::new(executable).arg("0.01").status()?;
        let rows = processes(console, id)?;
        let mut hashes = rows
            .iter()
            .filter(|row| row["process"]["executable"] == executable)
            .filter_map(|row| row["process"]["executable_sha256"].as_str());
        Ok(hashes.any(|hash| hash.len() == 64).then_some(()))
    })
}

#[test]
fn a_process_of_this_machine_is_stored_with_its_arguments_user_and_parent() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        let endpoint = agent.online(&console)?;
        let id = text(&endpoint, "id")?;
        let marker = format!("0.{:07}", std::process::id());
        let mut sleeper = Command::new("sleep").args(["60", &marker]).spawn()?;
        let search = ["events", "search", "--endpoint", id, "--text", &marker];
        let seen = eventually("the process is stored", LIMIT, || {
            let rows = console.rows(&search)?;
            let mut rows = rows.into_iter();
            Ok(rows.find(|row| {
                row["process"]["pid"] == sleeper.id() && row["process"]["argv"][0] == "sleep"
            }))
        })?;
        let listed = console.json(&["endpoints", "processes", id])?;
        sleeper.kill()?;
        sleeper.wait()?;
        let process = &seen["process"];
        ensure!(process["argv"][2] == marker.as_str(), "{seen}");
        ensure!(process["parent"]["pid"] == std::process::id(), "{seen}");
        ensure!(
            process["uid"] == nix::unistd::geteuid().to_string(),
            "{seen}"
        );
        ensure!(text(process, "executable")?.ends_with("/sleep"), "{seen}");
        hash_comes(&console, id, process)?;
        let runs = crate::rows(&listed)?
            .iter()
            .any(|row| row["pid"] == sleeper.id());
        ensure!(runs, "it is not among the processes that run");
        let key = text(process, "key")?.to_owned();
        eventually("its exit is stored", LIMIT, || {
            let exits = processes(&console, id)?;
            let mut exits = exits.iter().filter(|row| row["activity"] == "exit");
            Ok(exits
                .any(|row| row["process"]["key"] == key.as_str())
                .then_some(()))
        })
    });
}
