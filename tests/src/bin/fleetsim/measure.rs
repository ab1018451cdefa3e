//! What is measured from outside: the server's files, the limits of this program.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that neither program needs for agents: files, logs, listeners, the runtime.
const DESCRIPTORS_BESIDE: u64 = 256;

/// Bytes of the telemetry database with its write-ahead log.
pub(crate) fn stored_bytes(data: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(data).with_context(|| format!("read {}", data.display()))? {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("telemetry.db")
        {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// Raises the limit of open files to what `agents` need, here and in what is started from here.
pub(crate) fn descriptors_for(agents: usize) -> Result<()> {
    let needed = agents as u64 + DESCRIPTORS_BESIDE;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(
        needed <= hard,
        "{agents} agents need {needed} open files, and this account may open {hard}: raise it ('ulimit -Hn') or simulate fewer"
    );
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raise the limit of open files")?;
    let ports = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let ports: Vec<u64> = ports.split_whitespace().flat_map(str::parse).collect();
    if let [first, last] = ports[..] {
        let free = last.saturating_sub(first);
        ensure!(
            (agents as u64) < free,
            "{agents} agents need as many local ports, and this machine gives {free} (net.ipv4.ip_local_port_range)"
        );
    }
    Ok(())
}
