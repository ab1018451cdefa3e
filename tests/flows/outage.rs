//! The link, the server and the agent fail at any moment: nothing acknowledged is missing, nothing is double.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tocsin_proto::agent::v1::UploadEventsRequest;
use tocsin_proto::id::RunId;
use tocsin_tests::agent::Agent;
use tocsin_tests::endpoint::{Enrolled, enroll, now_ms};
use tocsin_tests::network::Network;
use tocsin_tests::sandbox::{Place, flow, is_root_or_skips};
use tocsin_tests::server::{Server, Setup};
use tocsin_tests::wait::eventually;
use tocsin_tests::workload::Workload;

use crate::{LIMIT, number, runtime, sequence, telemetry, text};

/// A moment of chance, and the seed that gives it again.
fn chance() -> (StdRng, u64) {
    let seed = number("TOCSIN_SEED", rand::random::<u32>().into());
    (StdRng::seed_from_u64(seed), seed)
}

/// An endpoint that uploads and remembers what was acknowledged.
struct Uploader {
    endpoint: Enrolled,
    workload: Workload,
    waiting: VecDeque<UploadEventsRequest>,
    repeated: Option<UploadEventsRequest>,
    acknowledged: u64,
}

impl Uploader {
    /// Uploads until the server is gone: first what waits, and once more what had been acknowledged last.
    async fn until_the_end(&mut self, address: &str, chance: &mut StdRng) -> Result<()> {
        let session = self
            .endpoint
            .session(address, self.workload.run_id(), &Arc::default())
            .await?;
        let mut upload = session.upload().await?;
        for batch in self
            .repeated
            .iter()
            .chain(&self.waiting)
            .cloned()
            .collect::<Vec<_>>()
        {
            upload.commit(batch).await?;
        }
        self.acknowledged = self
            .waiting
            .back()
            .map_or(self.acknowledged, |last| last.last_sequence);
        self.waiting.clear();
        loop {
            while self.waiting.len() < 4 {
                let batch = self
                    .workload
                    .upload(chance.random_range(1..=64), now_ms())?;
                self.waiting.push_back(batch.clone());
                upload.send(batch).await?;
            }
            let through = upload.acknowledgement().await?.last_sequence;
            self.acknowledged = self.acknowledged.max(through);
            while let Some(batch) = self
                .waiting
                .pop_front_if(|batch| batch.last_sequence <= through)
            {
                self.repeated = Some(batch);
            }
        }
    }
}

#[test]
fn kill_9_of_the_server_at_any_moment_loses_nothing_acknowledged_and_doubles_nothing() {
    flow(|sandbox| {
        let (mut chance, seed) = chance();
        let mut server = Server::start(sandbox)?;
        let address = server.address().to_string();
        let runtime = runtime()?;
        let endpoint = runtime.block_on(enroll(&address, &server.token(1)?, "uploader"))?;
        let run = RunId::from_random(chance.random());
        let mut uploader = Uploader {
            workload: Workload::new(*run.as_bytes(), seed, now_ms()),
            endpoint,
            waiting: VecDeque::new(),
            repeated: None,
            acknowledged: 0,
        };
        for round in 0..4 * number("TOCSIN_ROUNDS", 1) {
            let moment = Duration::from_millis(chance.random_range(30..600));
            runtime.block_on(async {
                // Until the moment; or until it fails, which is only right in an unlucky first handshake.
                let _moment =
                    tokio::time::timeout(moment, uploader.until_the_end(&address, &mut chance))
                        .await;
            });
            server.kill()?;
            server.run()?;
            let stored = stored(&server, &uploader)?;
            ensure!(
                stored >= uploader.acknowledged,
                "seed {seed}, round {round}: {stored} stored of {} acknowledged",
                uploader.acknowledged
            );
        }
        ensure!(
            uploader.acknowledged > 0,
            "seed {seed}: nothing was ever acknowledged"
        );
        Ok(())
    });
}

/// How far the run is stored, after checking it by sequence.
fn stored(server: &Server<'_>, uploader: &Uploader) -> Result<u64> {
    let id = &uploader.endpoint.id;
    let rows = server
        .admin()
        .rows(&["events", "search", "--endpoint", id])?;
    let ends = sequence::check(&rows)?;
    ensure!(ends.len() <= 1, "one run, not {ends:?}");
    Ok(ends.into_values().next().unwrap_or_default())
}

#[test]
fn kill_9_of_agent_and_server_under_real_load_loses_nothing_and_doubles_nothing() {
    flow(|sandbox| {
        let (mut chance, seed) = chance();
        let mut server = Server::start(sandbox)?;
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        let row = agent.online(&server.admin())?;
        let id = text(&row, "id")?;
        let load = Load::start();
        let mut starts = 1;
        for _round in 0..6 * number("TOCSIN_ROUNDS", 1) {
            let moment = Duration::from_millis(chance.random_range(100..1_500));
            std::thread::sleep(moment);
            if chance.random_bool(0.5) {
                agent.kill()?;
                agent.run()?;
                starts += 1;
            } else {
                server.kill()?;
                server.run()?;
            }
        }
        drop(load);
        agent.online(&server.admin())?;
        // What was seen so far has left the agent, the last run's included.
        let run = text(&server.admin().json(&["endpoints", "show", id])?, "run")?.to_owned();
        let ends = eventually("all runs are stored", LIMIT, || {
            agent.process()?.check_running()?;
            agent.drained(LIMIT)?;
            let rows = server
                .admin()
                .rows(&["events", "search", "--endpoint", id])?;
            let ends: BTreeMap<String, u64> = sequence::check(&rows)?;
            Ok(ends.contains_key(&run).then_some(ends))
        })?;
        ensure!(
            ends.len() <= starts,
            "seed {seed}: {starts} starts, {ends:?}"
        );
        Ok(())
    });
}

/// Short and longer processes, until it is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // Load, nothing else: whether one of them fails does not matter.
                let _short = std::process::Command::new("/bin/true").status();
                let _longer = std::process::Command::new("sleep").arg("0.05").status();
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ended = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn a_pulled_cable_under_load_loses_nothing_and_doubles_nothing() {
    if !is_root_or_skips("process events in network namespaces") {
        return;
    }
    flow(|sandbox| {
        const PROCESSES: usize = 1_000;
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

        let mut storm = telemetry::longer_processes(Place::Inside(&at_agent), PROCESSES)?;
        at_agent.unplug()?;
        std::thread::sleep(Duration::from_secs(number("TOCSIN_OUTAGE_SECONDS", 8)));
        at_agent.plug()?;
        ensure!(storm.wait()?.success(), "the storm failed");

        eventually("every exit is stored", 2 * LIMIT, || {
            agent.process()?.check_running()?;
            let rows = telemetry::processes(&console, id)?;
            let count = |activity| telemetry::keys(&rows, activity, storm.id()).len();
            ensure!(count("start") <= PROCESSES, "{} starts", count("start"));
            Ok((count("start") == PROCESSES && count("exit") == PROCESSES).then_some(()))
        })?;
        agent.drained(LIMIT)?;
        let rows = console.rows(&["events", "search", "--endpoint", id])?;
        let ends = sequence::check(&rows)?;
        ensure!(ends.len() == 1, "one run, not {ends:?}");
        Ok(())
    });
}
