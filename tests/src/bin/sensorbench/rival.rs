//! The same storm of programs before other eyes: the agent with its lesser sources of process events, and programs that
//! Debian carries, where they are installed. None of them is given anything that the others do not have.
//!
//! The programs write a line for each process to a file; what is counted is the lines about the storm: those with the
//! program's name, with its last argument, and with its parent's pid. Two of them listen where the kernel's process
//! events come, outside of this program's network.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tocsin_tests::meter::Meter;
use tocsin_tests::sandbox::Sandbox;

use crate::load::Storm;
use crate::report::{Report, Row};
use crate::rest::Bench;
use crate::{storm, tell};

/// The agent's lesser sources, as its configuration calls them.
const SOURCES: [&str; 2] = ["proc_connector", "poll"];

/// A program that tells of processes, with its arguments.
const PROGRAMS: [(&str, &[&str]); 3] = [
    // libbpf-tools: the kernel's programs, woken for each event.
    ("execsnoop", &["-q"]),
    // bpfcc-tools.
    ("execsnoop-bpfcc", &["-q"]),
    ("forkstat", &["-l", "-e", "exec"]),
];

/// Until a program watches, and until it has written what it saw.
const SETTLE: Duration = Duration::from_secs(3);

/// One storm for each of them, at the highest rate that was asked for.
pub(crate) fn all(bench: &mut Bench<'_>, sandbox: &Sandbox, report: &mut Report) -> Result<()> {
    let Some(rate) = bench.options.exec_rate.iter().copied().max() else {
        return Ok(());
    };
    let seconds = storm::seconds(bench);
    for source in SOURCES {
        tell(&format!(
            "{rate} programs a second, by the agent's {source}"
        ));
        bench.restart_with(sandbox, source)?;
        let found = storm::execs_at(bench, rate)?;
        bench.agent.stop()?;
        report.rivals.push(Row::of_agent(source, &found));
    }
    let role = ["exec", &rate.to_string(), &seconds];
    for (name, arguments) in PROGRAMS {
        if !is_installed(name) {
            tell(&format!("{name} is not installed"));
            continue;
        }
        tell(&format!("{rate} programs a second, by {name}"));
        match watched(sandbox, (name, arguments), &role) {
            Ok(row) => report.rivals.push(row),
            Err(error) => tell(&format!("{name}: {error:#}")),
        }
    }
    tell("the same programs without anybody");
    report.alone = Storm::parse(&Bench::load(&role)?)?;
    Ok(())
}

fn is_installed(name: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\"", name])
        .stdout(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}

/// One that ends with this.
struct Watcher(Child);

impl Drop for Watcher {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn watched(sandbox: &Sandbox, program: (&str, &[&str]), role: &[&str]) -> Result<Row> {
    let (name, arguments) = program;
    let log = sandbox.fresh("rival.log");
    let mut watcher = Watcher(
        Command::new("nsenter")
            .args(["--net=/proc/1/ns/net", name])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {name}"))?,
    );
    std::thread::sleep(SETTLE);
    let meter = Meter::new(watcher.0.id());
    let before = meter.cpu_exactly().context("it ended at once")?;
    let storm = Storm::parse(&Bench::load(role)?)?;
    std::thread::sleep(SETTLE);
    let cpu = meter.cpu_exactly()?.saturating_sub(before);
    let resident_bytes = meter.resident_bytes()?;
    // It writes what it still holds when it is asked to end.
    kill(
        Pid::from_raw(i32::try_from(watcher.0.id())?),
        Signal::SIGINT,
    )?;
    watcher.0.wait()?;
    let text = fs::read(&log).context("read what it saw")?;
    Ok(row(
        name,
        storm,
        cpu,
        resident_bytes,
        &String::from_utf8_lossy(&text),
    ))
}

fn row(name: &str, storm: Storm, cpu: Duration, resident_bytes: u64, text: &str) -> Row {
    let parent = storm.pid.to_string();
    let (mut seen, mut with_argv, mut with_parent) = (0, 0, 0);
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if !words.any(|word| word == "true" || word.ends_with("/true")) {
            continue;
        }
        seen += 1;
        let has = |wanted: &str| line.split_whitespace().any(|word| word == wanted);
        with_argv += u64::from(has("--of=storm"));
        with_parent += u64::from(has(&parent));
    }
    Row {
        name: name.to_owned(),
        storm,
        seen,
        with_argv,
        with_parent,
        cpu,
        resident_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_the_storm_are_counted() {
        let storm = Storm {
            pid: 77,
            ..Storm::default()
        };
        let text = "PCOMM PID PPID RET ARGS\ntrue 90 77 0 /bin/true --job 1 --of=storm\ntrue 91 77 0 /bin/true\nls 5 77 0 /bin/ls\ntrue 92 1 0 \n";
        let row = row("x", storm, Duration::ZERO, 0, text);
        assert_eq!((row.seen, row.with_argv, row.with_parent), (3, 1, 2));
    }
}
