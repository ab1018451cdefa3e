//! The load on the machine: processes and sockets of hosts, and people in the accounting file of a machine of its own.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::geteuid;
use tocsin_tests::machine::Machine;
use tocsin_tests::process::Process;
use tocsin_tests::sandbox::Sandbox;
use tocsin_tests::wait::eventually;

use crate::load::ROLE;

/// How long the hosts may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Among so many hosts processes and sockets are divided, at least.
const HOSTS: usize = 20;

/// More hosts would have no addresses of their own.
const HOSTS_MAX: usize = 90;

/// Descriptors of a host beside its sockets.
const DESCRIPTORS_BESIDE: u64 = 64;

/// First of the accounts of those who are logged in.
const FIRST_UID: usize = 20_000;

/// Programs that hold a part of the load. Dropped, all of it is gone.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    hosts: Vec<Process>,
    /// Of processes that sleep.
    pids: Vec<u32>,
}

impl Hosts {
    /// So many processes more.
    pub(crate) fn processes(&mut self, sandbox: &Sandbox, count: usize) -> Result<()> {
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NPROC) {
            ensure!(
                geteuid().is_root() || count as u64 + 256 <= hard,
                "{count} processes: this account may have {hard} ('ulimit -Hu')"
            );
        }
        self.start(sandbox, HOSTS, (count, 0))
    }

    /// So many sockets more.
    pub(crate) fn sockets(&mut self, sandbox: &Sandbox, count: usize) -> Result<()> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let each = usize::try_from(hard.saturating_sub(DESCRIPTORS_BESIDE))?;
        let hosts = count.div_ceil(each.max(1)).max(HOSTS);
        ensure!(
            hosts <= HOSTS_MAX,
            "{count} sockets: this account may open {hard} a program ('ulimit -Hn')"
        );
        self.start(sandbox, hosts, (0, count))
    }

    fn start(&mut self, sandbox: &Sandbox, hosts: usize, load: (usize, usize)) -> Result<()> {
        let share =
            |whole: usize, index: usize| whole * (index + 1) / hosts - whole * index / hosts;
        let mut started = Vec::with_capacity(hosts);
        for index in 0..hosts {
            let mut command = Command::new(std::env::current_exe()?);
            command.args([ROLE, "host", &index.to_string()]);
            command.arg(share(load.0, index).to_string());
            // Both ends of a connection.
            command.arg((share(load.1 / 2, index) * 2).to_string());
            let log = sandbox.fresh("host.log");
            started.push((Process::start("load host", &mut command, &log)?, log));
        }
        for (mut host, log) in started {
            let pids = eventually("the load is there", LIMIT, || {
                host.check_running()?;
                let said = fs::read_to_string(&log)?;
                let pids = said.strip_prefix("ready").filter(|_| said.ends_with('\n'));
                Ok(pids.map(|pids| {
                    pids.split_whitespace()
                        .flat_map(str::parse)
                        .collect::<Vec<u32>>()
                }))
            })?;
            self.pids.extend(pids);
            self.hosts.push(host);
        }
        Ok(())
    }

    /// So many people log in to terminals, each with an account and a home; their first processes are of this load.
    pub(crate) fn sessions(&self, machine: &Machine, count: usize) -> Result<()> {
        ensure!(
            count <= self.pids.len(),
            "{count} sessions need as many processes that they belong to: there are {}",
            self.pids.len()
        );
        let mut passwd = String::new();
        for index in 0..count {
            let (name, uid) = (name(index), FIRST_UID + index);
            fs::create_dir(machine.path(&format!("home/{name}")))?;
            passwd.push_str(&format!("{name}:x:{uid}:{uid}::/home/{name}:/bin/sh\n"));
        }
        append(machine, "etc/passwd", passwd.as_bytes())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let records = self.pids.iter().take(count).enumerate();
        let records: Vec<u8> = records
            .flat_map(|(index, pid)| record(*pid, index, now))
            .collect();
        append(machine, "log/wtmp", &records)
    }
}

fn name(index: usize) -> String {
    format!("person{index:04}")
}

fn append(machine: &Machine, path: &str, bytes: &[u8]) -> Result<()> {
    let path = machine.path(path);
    let mut file = File::options()
        .append(true)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    Ok(file.write_all(bytes)?)
}

/// A login as glibc writes it to wtmp: type, pid, line, id, user, host, time, address. Where longs are 64 bits in it
/// (not x86-64, there they are 32), the times lie further on.
fn record(pid: u32, index: usize, now: u64) -> Vec<u8> {
    const USER_PROCESS: i16 = 7;
    let wide = cfg!(not(target_arch = "x86_64"));
    let (size, time, address) = if wide {
        (400, 344, 360)
    } else {
        (384, 340, 348)
    };
    let mut bytes = vec![0; size];
    let seconds = now.to_le_bytes();
    // 192.0.2.0/24 is for documents.
    let client = [192, 0, 2, u8::try_from(index % 254).unwrap_or_default() + 1];
    let (line, name) = (format!("pts/{index}"), name(index));
    let fields: [(usize, &[u8]); 7] = [
        (0, &USER_PROCESS.to_ne_bytes()),
        (4, &pid.to_ne_bytes()),
        (8, line.as_bytes()),
        (44, name.as_bytes()),
        (76, b"client.example.com"),
        (
            time,
            seconds.get(..if wide { 8 } else { 4 }).unwrap_or_default(),
        ),
        (address, &client),
    ];
    for (at, field) in fields {
        for (to, from) in bytes.iter_mut().skip(at).zip(field) {
            *to = *from;
        }
    }
    bytes
}
