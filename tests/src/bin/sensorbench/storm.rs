//! Storms: programs that end at once and connections that carry a byte, at a given rate; then what the server has of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use tocsin_proto::console::v1::{EventRow, SearchEventsRequest};
use tocsin_tests::endpoint::now_ms;
use tocsin_tests::rpc;

use crate::load::Storm;
use crate::measure::Used;
use crate::report::{Connects, Execs, Report};
use crate::rest::Bench;
use crate::tell;

/// A storm lasts so long at most: it is to be over before a minute's connections are folded.
const SECONDS_MAX: u32 = 15;

/// What a storm cost beside what the agent uses at rest.
#[derive(Debug, Clone, Copy)]
struct Cost {
    storm: Storm,
    used: Used,
    cpu: Duration,
    since_ms: i64,
}

/// How long a storm lasts, as its role takes it.
pub(crate) fn seconds(bench: &Bench<'_>) -> String {
    bench.options.seconds.min(SECONDS_MAX).to_string()
}

/// All storms, each on the load that is there; then those of programs without the agent.
pub(crate) fn all(bench: &mut Bench<'_>, report: &mut Report) -> Result<()> {
    let seconds = seconds(bench);
    bench.at_rest = report
        .steps
        .last()
        .map_or(0.0, |step| step.used.cpu_percent() / 100.0);
    for rate in bench.options.exec_rate.clone() {
        tell(&format!("{rate} programs a second"));
        report.execs.push(execs_at(bench, rate)?);
    }
    for rate in bench.options.connect_rate.clone() {
        tell(&format!("{rate} connections a second"));
        let role = ["connect", &rate.to_string(), &seconds];
        let cost = storm(bench, &role)?;
        let rows = read(bench, "network", cost.since_ms)?;
        report.connects.push(connects(rate, &cost, &rows));
    }
    bench.agent.stop()?;
    tell("the same programs without an agent");
    for execs in &mut report.execs {
        let role = ["exec", &execs.rate.to_string(), &seconds];
        execs.alone = Storm::parse(&Bench::load(&role)?)?;
    }
    Ok(())
}

/// A storm of programs, and what the server has of it.
pub(crate) fn execs_at(bench: &mut Bench<'_>, rate: u32) -> Result<Execs> {
    let role = ["exec", &rate.to_string(), &seconds(bench)];
    let cost = storm(bench, &role)?;
    let rows = read(bench, "process", cost.since_ms)?;
    let resident_bytes = bench.meter()?.resident_bytes()?;
    Ok(Execs {
        resident_bytes,
        ..execs(rate, &cost, &rows)
    })
}

fn storm(bench: &mut Bench<'_>, role: &[&str]) -> Result<Cost> {
    let before = bench.rest()?;
    let since_ms = now_ms();
    let storm = Storm::parse(&Bench::load(role)?)?;
    let used = bench.rest()?.since(&before);
    let rest = used.took.mul_f64(bench.at_rest);
    Ok(Cost {
        storm,
        used,
        cpu: used.cpu.saturating_sub(rest),
        since_ms,
    })
}

/// What the server has of a kind since then.
pub(crate) fn read(bench: &Bench<'_>, kind: &str, since_time_ms: i64) -> Result<Vec<EventRow>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut analyst = rpc::analyst(&bench.server.profile()).await?;
        let request = SearchEventsRequest {
            since_time_ms,
            kind: kind.to_owned(),
            ..Default::default()
        };
        let mut found = analyst.search_events(request).await?.into_inner();
        let mut rows = Vec::new();
        while let Some(response) = found.message().await.context("read events back")? {
            rows.extend(response.events);
        }
        Ok(rows)
    })
}

/// Programs of the storm, by their key: those whose start is known, and what else is.
fn execs(rate: u32, cost: &Cost, rows: &[EventRow]) -> Execs {
    let mut seen: BTreeMap<&str, (bool, bool, bool)> = BTreeMap::new();
    for row in rows {
        let Some(process) = &row.process else {
            continue;
        };
        let (of, complete) = match &process.parent {
            Some(parent) => (parent.pid == cost.storm.pid, !parent.executable.is_empty()),
            None => (false, false),
        };
        if !of {
            continue;
        }
        let found = seen.entry(&process.key).or_default();
        found.0 |=
            process.argv_state == "read" && process.argv.iter().any(|word| word == "--of=storm");
        found.1 |= complete && !process.key.is_empty();
        found.2 |= row.activity == "exit";
    }
    let count = |is: fn(&(bool, bool, bool)) -> bool| {
        seen.values().filter(|found| is(found)).count() as u64
    };
    Execs {
        rate,
        storm: cost.storm,
        alone: Storm::default(),
        seen: seen.len() as u64,
        with_argv: count(|found| found.0),
        with_parent: count(|found| found.1),
        with_exit: count(|found| found.2),
        cpu: cost.cpu,
        used: cost.used,
        resident_bytes: 0,
    }
}

/// Connections of the storm, by their socket.
fn connects(rate: u32, cost: &Cost, rows: &[EventRow]) -> Connects {
    let mut seen = BTreeSet::new();
    let mut with_process = BTreeSet::new();
    let mut folded = 0;
    for row in rows {
        let Some(flow) = &row.network else { continue };
        if flow.direction != "outbound" || flow.remote_port != u32::from(cost.storm.port) {
            continue;
        }
        seen.insert(&flow.flow_id);
        folded += u64::from(flow.repeats);
        if flow.pid.is_some() {
            with_process.insert(&flow.flow_id);
        }
    }
    Connects {
        rate,
        storm: cost.storm,
        seen: seen.len() as u64 + folded,
        with_process: with_process.len() as u64,
        cpu: cost.cpu,
        used: cost.used,
    }
}
