//! The steps: an empty machine, then more and more on it, and each time what the agent uses at rest.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::unistd::geteuid;
use tocsin_proto::console::v1::EventRow;
use tocsin_tests::agent::Agent;
use tocsin_tests::endpoint::now_ms;
use tocsin_tests::machine::Machine;
use tocsin_tests::meter::Meter;
use tocsin_tests::program::Programs;
use tocsin_tests::sandbox::{Place, Sandbox};
use tocsin_tests::server::{Server, run};

use crate::measure::Look;
use crate::proxy::Proxy;
use crate::report::{Found, Report, Step};
use crate::world::Hosts;
use crate::{Options, rival, storm, tell};

/// At rest is who has had nothing to tell for so long: longer than the agent ever waits between two scans of sockets.
const REST: Duration = Duration::from_secs(12);

/// On a machine that never rests it is measured after so long nevertheless.
const REST_LIMIT: Duration = Duration::from_secs(120);

/// The agent under test, and what stands around it.
pub(crate) struct Bench<'a> {
    pub(crate) agent: Agent<'a>,
    pub(crate) server: &'a Server<'a>,
    pub(crate) proxy: &'a Proxy,
    pub(crate) options: &'a Options,
    /// CPU that the agent uses at rest, as a part of a core.
    pub(crate) at_rest: f64,
}

/// Takes all steps, then the storms.
pub(crate) fn measure(sandbox: &Sandbox, options: &Options, report: &mut Report) -> Result<()> {
    let machine = if geteuid().is_root() {
        Some(Machine::new(sandbox)?)
    } else {
        None
    };
    let place = machine.as_ref().map_or(Place::Here, Machine::place);
    let server = Server::start(sandbox)?;
    let proxy = Proxy::to(server.address())?;
    let agent = Agent::new(sandbox, place)?;
    let mut enroll = place.command(&Programs::get()?.agent());
    enroll
        .args(["enroll", "--server", &proxy.address().to_string()])
        .args(["--token", &server.token(1)?, "--state"])
        .arg(agent.state());
    run(&mut enroll)?;
    let mut bench = Bench {
        agent,
        server: &server,
        proxy: &proxy,
        options,
        at_rest: 0.0,
    };
    bench.start()?;
    report.steps.push(bench.at_rest("nothing")?);
    let mut hosts = Hosts::default();
    let mut name = String::from("with");
    if options.processes > 0 {
        hosts.processes(sandbox, options.processes)?;
        name.push_str(&format!(" {} processes", options.processes));
        report.steps.push(bench.at_rest(&name)?);
    }
    if options.sockets > 0 {
        hosts.sockets(sandbox, options.sockets)?;
        name = format!("and {} sockets", options.sockets);
        report.steps.push(bench.at_rest(&name)?);
    }
    if let Some(machine) = machine.as_ref().filter(|_| options.sessions > 0) {
        hosts.sessions(machine, options.sessions)?;
        name = format!("and {} sessions", options.sessions);
        report.steps.push(bench.at_rest(&name)?);
    }
    bench.restart(report)?;
    report.steps.push(bench.at_rest("all, after the start")?);
    storm::all(&mut bench, report)?;
    if options.rivals {
        // They and the agent's other sources on a machine without the load: what they make of the storm is asked for.
        drop(hosts);
        rival::all(&mut bench, sandbox, report)?;
    }
    Ok(())
}

impl Bench<'_> {
    fn start(&mut self) -> Result<()> {
        self.agent.run()?;
        let console = self.server.admin();
        self.agent.sensing_flows(&console)?;
        Ok(())
    }

    /// A start with another source of process events, until it is at rest.
    pub(crate) fn restart_with(&mut self, sandbox: &Sandbox, source: &str) -> Result<()> {
        let config = sandbox.fresh("agent.toml");
        fs::write(&config, format!("[process]\nsource = \"{source}\"\n"))?;
        let arguments = ["--config", &config.to_string_lossy()];
        self.agent.run_with(&arguments)?;
        let sensor = format!("process/{source}");
        self.agent.sensing(&self.server.admin(), &sensor)?;
        self.at_rest = self.at_rest(source)?.used.cpu_percent() / 100.0;
        Ok(())
    }

    /// A start on the loaded machine, until it is at rest: what it costs, and the most memory.
    fn restart(&mut self, report: &mut Report) -> Result<()> {
        tell("the agent is started anew");
        self.agent.stop()?;
        let since_ms = now_ms();
        self.start()?;
        self.rest()?;
        report.found = self.found(since_ms)?;
        let meter = self.meter()?;
        report.start_cpu = meter.cpu_exactly()?;
        report.start_peak_bytes = meter.peak_resident_bytes()?;
        Ok(())
    }

    /// How much of the load the agent told as found when it started.
    fn found(&self, since_ms: i64) -> Result<Found> {
        let this = std::env::current_exe()?.to_string_lossy().into_owned();
        let sleeps = |row: &&EventRow| {
            let process = row.process.as_ref();
            process.is_some_and(|process| process.argv.get(2).is_some_and(|role| role == "sleep"))
        };
        let connected = |row: &&EventRow| {
            let flow = row.network.as_ref();
            flow.is_some_and(|flow| flow.executable == this && !flow.direction.is_empty())
        };
        let count = |kind, is: &dyn Fn(&&EventRow) -> bool| {
            let rows = storm::read(self, kind, since_ms)?;
            let found = rows.iter().filter(|row| row.activity == "observed");
            anyhow::Ok(found.filter(is).count())
        };
        Ok(Found {
            processes: (count("process", &sleeps)?, self.options.processes),
            sockets: (count("network", &connected)?, self.options.sockets),
            sessions: (count("session", &|_| true)?, self.options.sessions),
        })
    }

    pub(crate) fn meter(&mut self) -> Result<Meter> {
        Ok(Meter::new(self.agent.process()?.pid()))
    }

    /// Waits until it is at rest.
    pub(crate) fn rest(&mut self) -> Result<Look> {
        let begin = Instant::now();
        let mut last = Look::at(&mut self.agent, self.proxy)?;
        let mut since = Instant::now();
        while since.elapsed() < REST && begin.elapsed() < REST_LIMIT {
            std::thread::sleep(Duration::from_secs(1));
            let look = Look::at(&mut self.agent, self.proxy)?;
            if look.sequence != last.sequence || look.waiting > 0 {
                since = Instant::now();
            }
            last = look;
        }
        Ok(last)
    }

    /// Waits until it is at rest, and measures for as long as asked.
    fn at_rest(&mut self, name: &str) -> Result<Step> {
        tell(&format!("{name}: until it is at rest"));
        self.rest()?;
        let meter = self.meter()?;
        let peak_bytes = meter.peak_resident_bytes()?;
        meter.forget_peak()?;
        tell(&format!("{name}: {} s", self.options.seconds));
        let before = Look::at(&mut self.agent, self.proxy)?;
        let threads_before = meter.cpu_of_threads()?;
        std::thread::sleep(Duration::from_secs(self.options.seconds.into()));
        let used = Look::at(&mut self.agent, self.proxy)?.since(&before);
        let mut threads = meter.cpu_of_threads()?;
        for (name, cpu) in &mut threads {
            let before = threads_before.get(name).copied().unwrap_or_default();
            *cpu = cpu.saturating_sub(before);
        }
        Ok(Step {
            name: name.to_owned(),
            threads,
            used,
            resident_bytes: meter.resident_bytes()?,
            own_bytes: meter.own_bytes()?,
            peak_bytes,
        })
    }

    /// A load that ends by itself; what it printed.
    pub(crate) fn load(role: &[&str]) -> Result<String> {
        run(Command::new(std::env::current_exe()?)
            .arg(crate::load::ROLE)
            .args(role))
    }
}
