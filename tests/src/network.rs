//! Machines' worth of network on one machine: namespaces that hang on one switch by a cable each.
//!
//! ```text
//! [ server 10.77.0.1 ]--eth0 port1--+
//! [ agent  10.77.0.2 ]--eth0 port2--+-- bridge, in a namespace of its own
//! [ agent  10.77.0.3 ]--eth0 port3--+
//! ```
//!
//! It needs root and iproute2 and touches nothing of the machine's own network. Names carry the pid of the
//! test, so several can run at once, and what a killed test left behind is removed by the next one.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};

const PREFIX: &str = "tocsin-test-";

/// A switch. Its namespaces go with it.
#[derive(Debug)]
pub struct Network {
    name: String,
    ports: AtomicUsize,
}

/// A namespace with one address, on the switch.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    switch: String,
    port: String,
    address: IpAddr,
}

impl Network {
    /// A switch with nothing on it.
    ///
    /// # Errors
    /// Where `ip` is missing or refuses.
    pub fn new() -> Result<Self> {
        static NETWORKS: AtomicUsize = AtomicUsize::new(0);
        remove_left_behind()?;
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        ip(&["netns", "add", &name])?;
        let network = Self {
            name,
            ports: AtomicUsize::new(0),
        };
        ip(&[
            "-n",
            &network.name,
            "link",
            "add",
            "bridge",
            "type",
            "bridge",
        ])?;
        ip(&["-n", &network.name, "link", "set", "bridge", "up"])?;
        Ok(network)
    }

    /// A namespace on this switch, its link up.
    ///
    /// # Errors
    /// Where `ip` refuses, or the switch has 250 already.
    pub fn namespace(&self) -> Result<Namespace> {
        let number = self.ports.fetch_add(1, Ordering::Relaxed) + 1;
        let host = u8::try_from(number).ok().filter(|host| *host <= 250);
        let host = host.context("a switch has at most 250 ports")?;
        let namespace = Namespace {
            name: format!("{}-{number}", self.name),
            switch: self.name.clone(),
            port: format!("port{number}"),
            address: Ipv4Addr::new(10, 77, 0, host).into(),
        };
        let (name, port) = (&namespace.name, &namespace.port);
        ip(&["netns", "add", name])?;
        ip(&[
            "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", port, "netns",
            &self.name,
        ])?;
        ip(&[
            "-n", &self.name, "link", "set", port, "master", "bridge", "up",
        ])?;
        let address = format!("{}/24", namespace.address);
        ip(&["-n", name, "address", "add", &address, "dev", "eth0"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        ip(&["-n", name, "link", "set", "eth0", "up"])?;
        Ok(namespace)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What fails here is removed by the next network.
        let _removed = ip(&["netns", "delete", &self.name]);
    }
}

impl Namespace {
    /// Its address on the switch.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// A command that runs `program` inside. `ip netns exec` becomes the program: the pid stays.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `work` on a thread that is inside. What it opens stays inside.
    ///
    /// # Errors
    /// Where the thread cannot enter, and what `work` reports.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = Path::new("/run/netns").join(&self.name);
        let namespace = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        std::thread::scope(|scope| {
            let moved = scope.spawn(|| {
                setns(&namespace, CloneFlags::CLONE_NEWNET).context("enter the namespace")?;
                work()
            });
            moved
                .join()
                .unwrap_or_else(|_| bail!("the thread in the namespace panicked"))
        })
    }

    /// Pulls the cable: what is sent is lost, and nobody is told.
    ///
    /// # Errors
    /// Where `ip` refuses.
    pub fn unplug(&self) -> Result<()> {
        ip(&["-n", &self.switch, "link", "set", &self.port, "down"])
    }

    /// Puts the cable back.
    ///
    /// # Errors
    /// Where `ip` refuses.
    pub fn plug(&self) -> Result<()> {
        ip(&["-n", &self.switch, "link", "set", &self.port, "up"])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _removed = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let done = Command::new("ip")
        .args(arguments)
        .output()
        .context("run ip (package iproute2)")?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("ip {}: {}", arguments.join(" "), said.trim());
    }
    Ok(())
}

/// Namespaces of tests that no longer run.
fn remove_left_behind() -> Result<()> {
    let list = Command::new("ip")
        .args(["netns", "list"])
        .output()
        .context("run ip (package iproute2)")?;
    for line in String::from_utf8_lossy(&list.stdout).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            ip(&["netns", "delete", name])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Stdio;

    use super::*;

    /// Whether `to` answers a connection from `from` within a second; a refusal is an answer.
    fn reaches(from: &Namespace, to: &Namespace) -> bool {
        let connect = format!("exec 3<>/dev/tcp/{}/9", to.address());
        let mut command = from.command(Path::new("timeout"));
        let status = command
            .args(["1", "bash", "-c", &connect])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        // timeout's own code says that nothing came back.
        status.code() != Some(124)
    }

    #[test]
    fn a_pulled_cable_carries_nothing_until_it_is_put_back() {
        if !nix::unistd::geteuid().is_root() {
            let mut out = std::io::stderr().lock();
            writeln!(out, "skipped: needs root: network namespaces").unwrap();
            return;
        }
        let network = Network::new().unwrap();
        let (a, b) = (network.namespace().unwrap(), network.namespace().unwrap());
        assert!(reaches(&a, &b));
        b.unplug().unwrap();
        assert!(!reaches(&a, &b));
        b.plug().unwrap();
        assert!((0..5).any(|_| reaches(&a, &b)));
    }
}
