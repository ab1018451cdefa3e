//! A machine goes on from a snapshot of its memory: the same key, the same run, the same next number, twice.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tocsin_proto::agent::v1::RefusedReason;
use tocsin_proto::id::RunId;
use tocsin_tests::agent::Agent;
use tocsin_tests::console::Console;
use tocsin_tests::endpoint::{Answer, now_ms};
use tocsin_tests::sandbox::{Place, flow, is_root_or_skips};
use tocsin_tests::server::Server;
use tocsin_tests::wait::eventually;
use tocsin_tests::workload::Workload;

use crate::{LIMIT, rows, runtime, sequence, text};

/// Processes with names of their own, before and after the machine goes on.
const MARKERS: usize = 12;

#[test]
fn what_a_machine_saw_after_it_went_on_from_a_snapshot_is_kept_beside_what_the_other_saw() {
    if !is_root_or_skips("seeing short processes") {
        return;
    }
    // With many events of the other copy the hello tells; with one of them only the upload may.
    for events_of_the_other in [200, 1] {
        flow(|sandbox| goes_on(&Server::start(sandbox)?, sandbox, events_of_the_other));
    }
}

fn goes_on(
    server: &Server<'_>,
    sandbox: &tocsin_tests::sandbox::Sandbox,
    events_of_the_other: usize,
) -> Result<()> {
    let console = server.admin();
    let mut agent = Agent::start(sandbox, Place::Here, server)?;
    let row = agent.sensing_processes(&console)?;
    let (id, run) = (text(&row, "id")?.to_owned(), text(&row, "run")?.to_owned());
    // A machine where nothing has happened yet has no number to repeat.
    eventually("something of the run is stored", LIMIT, || {
        ensure!(Command::new("/bin/true").status()?.success(), "true");
        Ok(ends(&console, &id)?.contains_key(&run).then_some(()))
    })?;
    agent.drained(LIMIT)?;

    // The snapshot: from here on it goes on twice.
    agent.process()?.signal(Signal::SIGSTOP)?;
    let mark = ends(&console, &id)?.get(&run).copied().context("a mark")?;
    let workload = Workload::new(run_bytes(&run)?, 7, now_ms()).behind(mark);
    the_other_goes_on(server, &agent, workload, events_of_the_other)?;
    let mut marked = Marked(Vec::new());
    marked.start(0..MARKERS)?;
    agent.process()?.signal(Signal::SIGCONT)?;
    marked.start(MARKERS..2 * MARKERS)?;

    eventually("the next run is online", LIMIT, || {
        agent.process()?.check_running()?;
        let row = console.json(&["endpoints", "show", &id])?;
        Ok((row["connected"] == true && row["run"] != *run).then_some(()))
    })?;
    let expected: BTreeSet<String> = (0..2 * MARKERS).map(marker).collect();
    let found = eventually("every process is stored", LIMIT, || {
        let mut rows =
            console.rows(&["events", "search", "--endpoint", &id, "--text", "marker-"])?;
        rows.retain(|row| marker_of(row).is_some());
        let seen: BTreeSet<String> = rows.iter().filter_map(marker_of).collect();
        Ok((seen == expected).then_some(rows))
    })?;
    let distinct: BTreeSet<(String, String)> = found.iter().map(activity_and_key).collect();
    ensure!(distinct.len() == found.len(), "stored twice: {found:?}");

    agent.drained(LIMIT)?;
    let stored = ends(&console, &id)?;
    let of_the_other = mark + u64::try_from(events_of_the_other)?;
    ensure!(stored.get(&run) == Some(&of_the_other), "{stored:?}");
    let gaps = console.rows(&["events", "search", "--endpoint", &id, "--kind", "gap"])?;
    let of_the_server = |gap: &&Value| gap["gap"]["component"] == "server";
    ensure!(gaps.iter().find(of_the_server).is_none(), "{gaps:?}");
    let row = console.json(&["endpoints", "show", &id])?;
    ensure!(row["state"] == "online", "{row}");
    agent.stop()
}

/// What the machine does that went on first.
fn the_other_goes_on(
    server: &Server<'_>,
    agent: &Agent<'_>,
    mut workload: Workload,
    events: usize,
) -> Result<()> {
    let other = agent.identity()?;
    let address = server.address().to_string();
    runtime()?.block_on(async {
        let run = workload.run_id();
        let session = other.session(&address, run, &Arc::default()).await?;
        let mut upload = session.upload().await?;
        upload.commit(workload.upload(events, now_ms())?).await
    })
}

#[test]
fn a_machine_resumed_twice_is_a_conflict_and_the_first_keeps_its_session() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        let row = agent.online(&console)?;
        let (id, run) = (text(&row, "id")?, text(&row, "run")?);
        let address = server.address().to_string();
        let other = agent.identity()?;
        let answer =
            runtime()?.block_on(other.hello(&address, run_bytes(run)?, &Arc::default()))?;
        let Answer::Refused(refused) = answer else {
            anyhow::bail!("the second one was welcomed");
        };
        ensure!(refused.reason() == RefusedReason::Conflict, "{refused:?}");
        let row = console.json(&["endpoints", "show", id])?;
        ensure!(
            row["state"] == "conflict" && row["connected"] == true,
            "{row}"
        );
        ensure!(row["run"] == run, "{row}");
        ensure!(rows(&row["conflicts"])?[0]["run"] == run, "{row}");

        // Silent, the first one gives way, and is itself refused when it comes back.
        agent.process()?.signal(Signal::SIGSTOP)?;
        runtime()?.block_on(async {
            let second = other
                .session(&address, run_bytes(run)?, &Arc::default())
                .await?;
            agent.process()?.signal(Signal::SIGCONT)?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            let said = eventually("the first one is refused", LIMIT, || {
                let status = agent.status()?;
                Ok((status["connection"]["state"] == "conflict").then_some(status))
            });
            drop(second);
            said
        })?;
        Ok(())
    });
}

fn ends(console: &Console<'_>, id: &str) -> Result<std::collections::BTreeMap<String, u64>> {
    sequence::check(&console.rows(&["events", "search", "--endpoint", id])?)
}

fn run_bytes(run: &str) -> Result<[u8; 16]> {
    Ok(*run.parse::<RunId>()?.as_bytes())
}

fn marker(number: usize) -> String {
    format!("marker-{number}-")
}

/// Processes that can be looked at for as long as this lives.
struct Marked(Vec<Child>);

impl Marked {
    fn start(&mut self, numbers: std::ops::Range<usize>) -> Result<()> {
        for number in numbers {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "read _line", &marker(number)]);
            self.0.push(command.stdin(Stdio::piped()).spawn()?);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // They end by themselves with their standard input.
            let (_killed, _ended) = (child.kill(), child.wait());
        }
    }
}

fn marker_of(row: &Value) -> Option<String> {
    // Whoever searches for them has their name on its command line as well.
    let argv = row["process"]["argv"]
        .as_array()
        .filter(|argv| argv.len() == 4)?;
    Some(argv.last()?.as_str()?.to_owned())
}

fn activity_and_key(row: &Value) -> (String, String) {
    (
        row["activity"].to_string(),
        row["process"]["key"].to_string(),
    )
}
