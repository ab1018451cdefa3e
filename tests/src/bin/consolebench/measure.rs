//! What is measured, and in which order.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use tocsin_tests::figures::{Line, decimal, figure, line, percentile};
use tocsin_tests::sandbox::Sandbox;
use tocsin_tests::screens::Screens;
use tocsin_tests::server::Server;

use crate::{Options, fill};

/// Rows and columns of the terminal.
const SIZE: (u16, u16) = (60, 200);

/// How long the screens are left alone while it is measured what they do then.
const IDLE: Duration = Duration::from_secs(30);

/// They are at rest when they have used less CPU time than [`RESTING_CPU`] for this long.
const SETTLE: Duration = Duration::from_secs(1);
const RESTING_CPU: Duration = Duration::from_millis(2);

/// What is typed into the palette, again and again.
const SOUGHT: &str = "laptop-09";

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
    let mut screens = Screens::open(&server.profile(), &home, SIZE)?;
    screens.sees("Person 0")?;
    let mut memory = Memory::default();
    lines.extend(at_rest(&screens, options, &mut memory)?);
    for (key, sign, name) in LISTS {
        screens.press(key)?;
        screens.sees(sign)?;
        screens.until("the list is read", |text| !text.contains("reading"))?;
        lines.extend(list(&mut screens, name, options.keys)?);
        memory.note(name, &screens)?;
    }
    lines.extend(palette(&mut screens, options.keys)?);
    memory.note("the palette", &screens)?;
    lines.push(line(
        "incident opened to its line on screen, p50 ms",
        decimal(incidents(server, sandbox, &mut screens, options.rounds)?),
        "250",
        "30",
    ));
    // A fleet is asked for again when it is old: the former and the new one are there at once.
    screens.press("3r")?;
    screens.sees("[3 endpoints]")?;
    std::thread::sleep(IDLE / 6);
    memory.note("the fleet again", &screens)?;
    let peak = screens.meter()?.peak_resident_bytes()?;
    lines.extend(memory.lines);
    lines.push(line("memory at most, MiB", mebibytes(peak), "40", ""));
    screens.leave()?;
    Ok(lines)
}

/// The most that was held up to several moments.
#[derive(Default)]
struct Memory {
    lines: Vec<Line>,
}

impl Memory {
    fn note(&mut self, what: &str, screens: &Screens) -> Result<()> {
        let peak = screens.meter()?.peak_resident_bytes()?;
        let name = format!("memory at most up to {what}, MiB");
        self.lines.push(figure(&name, mebibytes(peak)));
        Ok(())
    }
}

fn starts(server: &Server<'_>, sandbox: &Sandbox, rounds: usize) -> Result<Vec<Line>> {
    let (mut paints, mut live) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let home = sandbox.fresh(&format!("home-{round}"));
        let screens = Screens::open(&server.profile(), &home, SIZE)?;
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

/// When they are at rest, and what they do then: CPU time, context switches, memory.
fn at_rest(screens: &Screens, options: &Options, memory: &mut Memory) -> Result<Vec<Line>> {
    let all = format!("{} offline", options.endpoints);
    let read = screens.until("the fleet is counted and read", |text| {
        let shown = text.lines().find(|line| line.contains("Endpoints"));
        // A spinner stands behind the numbers while it is read.
        shown.is_some_and(|line| line.contains(&all) && line.trim_end().ends_with("revoked"))
    })?;
    let meter = screens.meter()?;
    loop {
        let before = meter.cpu_exactly()?;
        std::thread::sleep(SETTLE);
        if meter.cpu_exactly()?.saturating_sub(before) < RESTING_CPU {
            break;
        }
    }
    let rest = screens.since_begun().saturating_sub(SETTLE);
    memory.note("rest", screens)?;
    let before = (meter.cpu()?, meter.cpu_exactly()?, meter.switches()?);
    std::thread::sleep(IDLE);
    let after = (meter.cpu()?, meter.cpu_exactly()?, meter.switches()?);
    let (ticks, cpu, switches) = (
        after.0.saturating_sub(before.0),
        after.1.saturating_sub(before.1),
        after.2.saturating_sub(before.2),
    );
    let milliseconds = |time: Duration| decimal(time.as_secs_f64() * 1000.0);
    Ok(vec![
        figure("start to the whole fleet read, ms", milliseconds(read.0)),
        figure("start to rest, ms", milliseconds(rest)),
        line(
            "CPU at rest, ms in 30 s, by ticks",
            milliseconds(ticks),
            "0",
            "0",
        ),
        figure(
            "CPU at rest, ms in 30 s, exactly",
            format!("{:.3}", cpu.as_secs_f64() * 1000.0),
        ),
        figure("context switches at rest in 30 s", switches.to_string()),
        figure("memory at rest, MiB", mebibytes(meter.resident_bytes()?)),
    ])
}

/// From key to frame in the palette: every letter is looked for in all names.
fn palette(screens: &mut Screens, keys: usize) -> Result<Vec<Line>> {
    screens.press(":")?;
    screens.sees("Go to")?;
    let mut frames = Vec::with_capacity(keys);
    let mut letters = SOUGHT.chars().cycle();
    for number in 0..keys {
        let key = match number % (SOUGHT.len() + 1) {
            n if n == SOUGHT.len() => "\x15".to_owned(),
            _ => letters.next().map(String::from).unwrap_or_default(),
        };
        frames.extend(screens.frame(&key)?);
    }
    screens.press("\x1b")?;
    screens.until("the palette is left", |text| !text.contains("Go to"))?;
    Ok(distribution("the palette", &mut frames))
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
    Ok(distribution(name, &mut frames))
}

fn distribution(name: &str, frames: &mut [Duration]) -> Vec<Line> {
    frames.sort();
    let name = |what| format!("key to frame in {name}, {what} ms");
    vec![
        line(&name("p50"), decimal(percentile(frames, 500)), "16", "5"),
        line(&name("p99"), decimal(percentile(frames, 990)), "16", "5"),
    ]
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
