//! What the load does: this program again, in other roles. Each ends with whoever started it, however that ends.
//!
//! ```text
//! load host NUMBER PROCESSES SOCKETS     starts processes that sleep, holds connections to itself
//! load sleep PARENT ...                  sleeps; what follows only makes its command line as long as usual
//! load exec RATE SECONDS                 starts programs that end at once
//! load connect RATE SECONDS              makes connections that carry a byte each way and end
//! ```
//!
//! A host prints `ready` and the pids of its processes, a storm its [`Storm`] as JSON.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// First argument of all roles.
pub(crate) const ROLE: &str = "load";

/// Programs of a storm that run at once.
const AT_ONCE_MAX: usize = 64;

/// How often a storm looks whether it is late.
const PACE: Duration = Duration::from_millis(5);

/// What a storm did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Storm {
    /// Its own pid.
    pub(crate) pid: u32,
    /// Programs started, or connections made.
    pub(crate) made: u64,
    /// How long it took.
    pub(crate) took: Duration,
    /// CPU time of it and of all that it started.
    pub(crate) cpu: Duration,
    /// The port that was connected to.
    pub(crate) port: u16,
}

impl Storm {
    /// Reads what the storm's process printed.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).context("read what a storm did")?;
        let number = |name: &str| value[name].as_u64().context("a storm's number");
        Ok(Self {
            pid: u32::try_from(number("pid")?)?,
            made: number("made")?,
            took: Duration::from_micros(number("took_us")?),
            cpu: Duration::from_micros(number("cpu_us")?),
            port: u16::try_from(number("port")?)?,
        })
    }

    fn to_json(self) -> Value {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        json!({"pid": self.pid, "made": self.made, "took_us": us(self.took), "cpu_us": us(self.cpu), "port": self.port})
    }
}

/// Plays the role that the arguments name.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("end with whoever started this")?;
    let arguments: Vec<String> = arguments.collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["sleep", parent, ..] => {
            // It may have ended before this was to end with it.
            while parent.parse() == Ok(parent_id()) {
                std::thread::sleep(Duration::from_secs(1 << 20));
            }
            Ok(())
        }
        ["host", number, processes, sockets] => {
            host(number.parse()?, processes.parse()?, sockets.parse()?)
        }
        ["exec", rate, seconds] => say(exec(rate.parse()?, seconds.parse()?)?.to_json()),
        ["connect", rate, seconds] => say(connect(rate.parse()?, seconds.parse()?)?.to_json()),
        other => bail!("no such role: {other:?}"),
    }
}

fn say(line: impl std::fmt::Display) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}

fn host(number: u8, processes: usize, sockets: usize) -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let sleepers = (0..processes)
        .map(|index| sleeper(number, index))
        .collect::<Result<Vec<Child>>>()?;
    let connections = connections(number, sockets / 2)?;
    let pids: Vec<String> = sleepers
        .iter()
        .map(|child| child.id().to_string())
        .collect();
    say(format_args!("ready {}", pids.join(" ")))?;
    loop {
        std::thread::sleep(Duration::from_secs(1 << 20));
        // Not dropped before.
        std::hint::black_box((&sleepers, &connections));
    }
}

/// A process with a command line of some 120 bytes.
fn sleeper(number: u8, index: usize) -> Result<Child> {
    Command::new(std::env::current_exe()?)
        .args([ROLE, "sleep", &std::process::id().to_string()])
        .arg(format!("--name=worker-{number}-{index}"))
        .arg(format!("--config=/etc/example/worker-{index}.toml"))
        .args(["--log-level=info", "--pool=default", "--max-jobs=16"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start a process of the load")
}

/// Connections of this process to itself, each to another address, both ends of each.
fn connections(number: u8, count: usize) -> Result<Vec<(TcpStream, TcpStream)>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let (listener, port) = listener()?;
    let connection = |index: usize| {
        let to = TcpStream::connect((address(number, index), port)).context("connect")?;
        let (from, _) = listener.accept().context("accept")?;
        Ok((to, from))
    };
    (0..count).map(connection).collect()
}

/// An address of this machine that no other connection goes to.
fn address(number: u8, index: usize) -> Ipv4Addr {
    let low = |value: usize| u8::try_from(value % 250).unwrap_or_default() + 1;
    Ipv4Addr::new(
        127,
        100_u8.wrapping_add(number).max(1),
        low(index / 250),
        low(index),
    )
}

fn listener() -> Result<(TcpListener, u16)> {
    let first = 21_000 + u16::try_from(std::process::id() % 10_000)?;
    let bound = (first..32_000).find_map(|port| {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).ok()?;
        Some((listener, port))
    });
    bound.context("find a free port")
}

/// Does `make` so often a second, for so long; how often it was done.
fn at_rate(rate: u32, seconds: u32, mut make: impl FnMut(u64) -> Result<()>) -> Result<u64> {
    let (begin, mut made) = (Instant::now(), 0);
    let total = u64::from(rate) * u64::from(seconds);
    let limit = Duration::from_secs(u64::from(seconds) * 2);
    while made < total && begin.elapsed() < limit {
        let due = begin.elapsed().as_micros() * u128::from(rate) / 1_000_000;
        while u128::from(made) < due.min(u128::from(total)) {
            make(made)?;
            made += 1;
        }
        std::thread::sleep(PACE);
    }
    Ok(made)
}

fn exec(rate: u32, seconds: u32) -> Result<Storm> {
    let program = ["/bin/true", "/usr/bin/true"]
        .into_iter()
        .find(|program| Path::new(program).exists())
        .context("find a program that ends at once")?;
    let mut running: VecDeque<Child> = VecDeque::new();
    let begin = Instant::now();
    let made = at_rate(rate, seconds, |index| {
        if running.len() >= AT_ONCE_MAX
            && let Some(mut oldest) = running.pop_front()
        {
            oldest.wait()?;
        }
        let child = Command::new(program)
            .args(["--job", &index.to_string(), "--of=storm"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("start a program")?;
        running.push_back(child);
        // Those that have ended make room.
        while let Some(first) = running.front_mut()
            && first.try_wait()?.is_some()
        {
            running.pop_front();
        }
        Ok(())
    })?;
    for mut child in running {
        child.wait()?;
    }
    finished(begin, made, 0)
}

fn connect(rate: u32, seconds: u32) -> Result<Storm> {
    let (listener, port) = listener()?;
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut byte = [0];
            if connection.read_exact(&mut byte).is_ok() {
                // The other side may have gone.
                let _answered = connection.write_all(&byte);
            }
        }
    });
    let begin = Instant::now();
    let made = at_rate(rate, seconds, |index| {
        let address = address(200, usize::try_from(index)?);
        let mut connection = TcpStream::connect((address, port)).context("connect")?;
        let mut byte = [1];
        connection.write_all(&byte)?;
        connection.read_exact(&mut byte)?;
        Ok(())
    })?;
    finished(begin, made, port)
}

fn finished(begin: Instant, made: u64, port: u16) -> Result<Storm> {
    let mut cpu = Duration::ZERO;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        for time in [usage.user_time(), usage.system_time()] {
            let us = time.tv_sec() * 1_000_000 + time.tv_usec();
            cpu += Duration::from_micros(u64::try_from(us)?);
        }
    }
    Ok(Storm {
        pid: std::process::id(),
        made,
        took: begin.elapsed(),
        cpu,
        port,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn addresses_are_all_different() {
        let all: BTreeSet<Ipv4Addr> = (0..30_000).map(|index| address(7, index)).collect();
        assert_eq!(all.len(), 30_000);
        assert!(all.iter().all(Ipv4Addr::is_loopback));
    }

    #[test]
    fn what_a_storm_prints_is_read() {
        let storm = finished(Instant::now(), 7, 21_000).unwrap();
        let read = Storm::parse(&storm.to_json().to_string()).unwrap();
        assert_eq!((read.pid, read.made, read.port), (storm.pid, 7, 21_000));
    }

    #[test]
    fn a_rate_is_kept() {
        let begin = Instant::now();
        assert_eq!(at_rate(200, 1, |_| Ok(())).unwrap(), 200);
        assert!(begin.elapsed() >= Duration::from_millis(990));
    }
}
