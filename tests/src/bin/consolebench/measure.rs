//! What is measured, and in which order.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use tocsin_tests::figures::{Line, decimal, figure, line, percentile};
use tocsin_tests::sandbox::Sandbox;
use tocsin_tests::server::Server;

use crate::terminal::Screens;
use crate::{Options, fill};

/// How long the screens are left alone before it is measured what they do then, and while it is.
const SETTLE: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);

/// A list: the key that opens it, what shows that it is there, its name in the table.
const LISTS: [(&str, &str, &str); 3] = [
    ("2", "[2 incidents]", "incidents"),
    ("3", "[3 endpoints]", "endpoints"),
    ("5", "[5 events]", "events"),
];

/// Everything, as lines of the table.
pub(crate) fn all(server: &Server<'_>, sandbox: &Sandbox, options: &Options) -> Result<Vec<Line>> {
    let mut lines = starts(server, sandbox, options.rounds)?;
    let home = sandbox.fresh("home");
    let mut screens = Screens::open(&server.profile(), &home)?;
    screens.sees("Person 0")?;
    let (idle_cpu, at_rest) = at_rest(&screens)?;
    for (key, sign, name) in LISTS {
        screens.press(key)?;
        screens.sees(sign)?;
        screens.until("the list is read", |text| !text.contains("reading"))?;
        lines.extend(list(&mut screens, name, options.keys)?);
    }
    lines.push(line(
        "incident opened to its line on screen, p50 ms",
        decimal(incidents(server, sandbox, &mut screens, options.rounds)?),
        "250",
        "30",
    ));
    let peak = screens.meter()?.peak_resident_bytes()?;
    lines.push(figure("memory at rest, MiB", mebibytes(at_rest)));
    lines.push(line("memory at most, MiB", mebibytes(peak), "40", ""));
    lines.push(line(
        "CPU while nothing moves, ms in 10 s",
        decimal(idle_cpu.as_secs_f64() * 1000.0),
        "0",
        "0",
    ));
    screens.leave()?;
    Ok(lines)
}

fn starts(server: &Server<'_>, sandbox: &Sandbox, rounds: usize) -> Result<Vec<Line>> {
    let (mut paints, mut live) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let home = sandbox.fresh(&format!("home-{round}"));
        let screens = Screens::open(&server.profile(), &home)?;
        let painted = screens.until("anything", |text| !text.trim().is_empty())?;
        paints.push(painted.0);
        live.push(screens.sees("Person 0")?.0);
        screens.leave()?;
    }
    paints.sort();
    live.sort();
    Ok(vec![
        line(
            "start to first paint, p50 ms",
            decimal(percentile(&paints, 500)),
            "60",
            "25",
        ),
        line(
            "start to live data, p50 ms",
            decimal(percentile(&live, 500)),
            "300",
            "100",
        ),
    ])
}

/// CPU time while nothing moves, and memory then.
fn at_rest(screens: &Screens) -> Result<(Duration, u64)> {
    let meter = screens.meter()?;
    std::thread::sleep(SETTLE);
    let before = meter.cpu()?;
    std::thread::sleep(IDLE);
    Ok((meter.cpu()?.saturating_sub(before), meter.resident_bytes()?))
}

/// From key to frame in a list: line by line, page by page, and from end to end.
fn list(screens: &mut Screens, name: &str, keys: usize) -> Result<Vec<Line>> {
    let mut frames = Vec::with_capacity(keys);
    for number in 0..keys {
        let key = match number % 10 {
            0 => "\x04",
            5 => "G",
            6 => "g",
            _ => "j",
        };
        frames.extend(screens.frame(key)?);
    }
    frames.sort();
    let name = |what| format!("key to frame in {name}, {what} ms");
    Ok(vec![
        line(&name("p50"), decimal(percentile(&frames, 500)), "16", "5"),
        line(&name("p99"), decimal(percentile(&frames, 990)), "16", "5"),
    ])
}

/// From an incident's opening, as the server dates it, to its line on the screen; the median, milliseconds.
fn incidents(
    server: &Server<'_>,
    sandbox: &Sandbox,
    screens: &mut Screens,
    rounds: usize,
) -> Result<f64> {
    screens.press("2")?;
    screens.sees("[2 incidents]")?;
    let mut times = Vec::new();
    for number in 1..=rounds {
        let name = format!("Person {number} ");
        let (login, seen) = std::thread::scope(|scope| {
            let seen = scope.spawn(|| screens.sees(&name));
            let login = fill::incident(server, sandbox, number);
            let seen = seen
                .join()
                .map_err(|_| anyhow::anyhow!("the wait failed"))?;
            Ok::<_, anyhow::Error>((login?, seen?.1))
        })?;
        times.push(since_opened(server, &login, seen)?);
    }
    times.sort();
    Ok(percentile(&times, 500))
}

fn since_opened(server: &Server<'_>, login: &str, seen: SystemTime) -> Result<Duration> {
    let listed = server.admin().rows(&["incidents", "list"])?;
    let of_login = |row: &&serde_json::Value| {
        row.pointer("/subject/accounts/0/login")
            .is_some_and(|found| found == login)
    };
    let row = listed.iter().find(of_login);
    let id = row.and_then(|row| row.get("id")?.as_str());
    let id = id.with_context(|| format!("find the incident of {login}"))?;
    let incident = server.admin().json(&["incidents", "show", id])?;
    let opened = incident.get("opened_time").and_then(|time| time.as_str());
    let opened: jiff::Timestamp = opened.context("read opened_time")?.parse()?;
    let seen = seen.duration_since(UNIX_EPOCH)?;
    let opened = Duration::from_millis(u64::try_from(opened.as_millisecond())?);
    Ok(seen.saturating_sub(opened))
}

fn mebibytes(bytes: u64) -> String {
    decimal(bytes as f64 / f64::from(1 << 20))
}
