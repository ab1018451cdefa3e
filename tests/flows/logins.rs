//! Each way to come in, with a real sshd, su and sudo: exactly one event each, with the right outcome, service, method
//! and origin; also where the agent was away in the middle, and where it came only after.
//!
//! Accounts, logs and the syslog daemon are those of a [`Machine`]. Skipped by name where root or a program is
//! missing; `.ci/full logins` can install them on Debian. What these machines have no source for is said, not passed
//! over: see [`NOT_SHOWN`].

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tocsin_tests::agent::Agent;
use tocsin_tests::console::Console;
use tocsin_tests::machine::Machine;
use tocsin_tests::process::Process;
use tocsin_tests::sandbox::{Sandbox, flow, has_or_skips, is_root_or_skips};
use tocsin_tests::server::Server;
use tocsin_tests::wait::{eventually, until};

use crate::{LIMIT, text};

/// Ports that no kernel gives away by itself.
const PORTS: std::ops::Range<u16> = 21_000..32_000;

/// The one that is tried next.
static NEXT_PORT: AtomicU16 = AtomicU16::new(PORTS.start);

/// What such a machine cannot show, and why.
const NOT_SHOWN: &str = "not shown here: the audit stream's records of the same rows (auditing is off, and is the \
                         machine's to turn on), sessions of logind and lines of the journal (no systemd runs here)";

/// Accounts, keys and settings.
const FURNISH: &str = r#"
    mkdir -p /run/logins
    for name in dana eli; do useradd --create-home --shell /bin/bash "$name"; done
    printf 'dana:Right1pass\neli:Right2pass\n' | chpasswd
    echo 'dana ALL=(root) ALL' > /etc/sudoers.d/dana && chmod 440 /etc/sudoers.d/dana
    ssh-keygen -q -t ed25519 -N '' -f /run/logins/host
    ssh-keygen -q -t ed25519 -N '' -f /run/logins/key
    mkdir -p /home/dana/.ssh && cp /run/logins/key.pub /home/dana/.ssh/authorized_keys
    chown -R dana: /home/dana/.ssh
    printf '#!/bin/sh\necho "$PASSWORD"\n' > /run/logins/askpass && chmod 755 /run/logins/askpass
    printf '%s\n' 'module(load="imuxsock")' \
        'auth,authpriv.* action(type="omfile" file="/var/log/auth.log" fileOwner="root" template="RSYSLOG_TraditionalFileFormat")' \
        > /run/logins/rsyslog.conf
"#;

const AS_DANA: &str = "setpriv --reuid dana --regid dana --init-groups";
const AS_ELI: &str = "setpriv --reuid eli --regid eli --init-groups";

/// What a row is done by.
enum Act {
    /// ssh as this account with this password, to this command, on a terminal or not.
    Password(&'static str, &'static str, bool),
    /// ssh as dana with her key.
    Key,
    /// A shell's line on the machine.
    Shell(String),
}

/// A way to come in and the event that is to tell it.
struct Row {
    what: &'static str,
    act: Act,
    /// Activity, service, account, method, address.
    told: [&'static str; 5],
}

fn row(what: &'static str, act: Act, told: [&'static str; 5]) -> Row {
    Row { what, act, told }
}

/// The table.
fn table() -> Vec<Row> {
    let su = |line: &str| Act::Shell(line.to_owned());
    let sudo = |who: &str, password: &str, how: &str| {
        Act::Shell(format!("echo {password} | {who} sudo {how} -k id -un"))
    };
    let here = "127.0.0.1";
    vec![
        row(
            "ssh, right password, terminal",
            Act::Password("dana", "Right1pass", true),
            ["succeeded", "sshd", "dana", "password", here],
        ),
        row(
            "ssh, right password, no terminal",
            Act::Password("dana", "Right1pass", false),
            ["succeeded", "sshd", "dana", "password", here],
        ),
        row(
            "ssh, key",
            Act::Key,
            ["succeeded", "sshd", "dana", "public_key", here],
        ),
        row(
            "ssh, wrong password",
            Act::Password("dana", "wrong", false),
            ["failed", "sshd", "dana", "password", here],
        ),
        row(
            "ssh, unknown user",
            Act::Password("nosuch", "wrong", false),
            ["failed", "sshd", "nosuch", "password", here],
        ),
        row(
            "su",
            su("su eli -c 'id -un'"),
            ["succeeded", "su", "eli", "not_asked", "local"],
        ),
        row(
            "su, wrong password",
            su(&format!("echo wrong | {AS_DANA} su eli -c id")),
            ["failed", "su", "eli", "password", "local"],
        ),
        row(
            "sudo",
            sudo(AS_DANA, "Right1pass", "-S"),
            ["succeeded", "sudo", "root", "", "local"],
        ),
        row(
            "sudo, wrong password",
            sudo(AS_DANA, "wrong", "-S"),
            ["failed", "sudo", "root", "password", "local"],
        ),
        row(
            "sudo, not permitted",
            sudo(AS_ELI, "Right2pass", "-S"),
            ["failed", "sudo", "root", "", "local"],
        ),
        row(
            "sudo -n, which asks nobody",
            sudo(AS_DANA, "", "-n"),
            ["failed", "sudo", "root", "", "local"],
        ),
    ]
}

/// A machine with a syslog and an sshd.
struct Ssh<'a> {
    machine: &'a Machine,
    port: u16,
    _syslog: Process,
    _daemon: Process,
}

impl<'a> Ssh<'a> {
    fn start(sandbox: &Sandbox, machine: &'a Machine) -> Result<Self> {
        machine.shell(FURNISH)?;
        // Each port is tried once: another test may have found the same one free.
        let mut ports = std::iter::from_fn(|| {
            let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
            PORTS.contains(&port).then_some(port)
        });
        let listener = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        let port = listener.context("a free port")?.local_addr()?.port();
        let mut syslog = machine.command(Path::new("rsyslogd"));
        syslog.args([
            "-n",
            "-i",
            "/run/logins/rsyslog.pid",
            "-f",
            "/run/logins/rsyslog.conf",
        ]);
        let syslog = Process::start("rsyslogd", &mut syslog, &sandbox.fresh("rsyslog.log"))?;
        until("the syslog daemon listens", LIMIT, || {
            Ok(machine.path("dev/log").exists())
        })?;
        let mut daemon = machine.command(Path::new("/usr/sbin/sshd"));
        daemon.args(["-D", "-f", "/dev/null", "-p", &port.to_string()]);
        for option in [
            "HostKey=/run/logins/host",
            "ListenAddress=127.0.0.1",
            "PidFile=/run/logins/sshd.pid",
            "UsePAM=yes",
        ] {
            daemon.args(["-o", option]);
        }
        let mut daemon = Process::start("sshd", &mut daemon, &sandbox.fresh("sshd.log"))?;
        until("sshd listens", LIMIT, || {
            daemon.check_running()?;
            Ok(machine.path("run/logins/sshd.pid").exists())
        })?;
        Ok(Self {
            machine,
            port,
            _syslog: syslog,
            _daemon: daemon,
        })
    }

    fn client(&self, user: &str, options: &[&str]) -> Command {
        let mut ssh = self.machine.command(Path::new("ssh"));
        ssh.args(["-p", &self.port.to_string(), "-F", "none"]);
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "NumberOfPasswordPrompts=1",
        ] {
            ssh.args(["-o", option]);
        }
        ssh.args(options).arg(format!("{user}@127.0.0.1"));
        ssh.env("SSH_ASKPASS", "/run/logins/askpass")
            .env("SSH_ASKPASS_REQUIRE", "force");
        ssh
    }

    fn with_password(&self, user: &str, password: &str, terminal: &str) -> Command {
        let password_only = ["-o", "PubkeyAuthentication=no", terminal];
        let mut ssh = self.client(user, &password_only);
        ssh.args(["-o", "PreferredAuthentications=password"]);
        ssh.env("PASSWORD", password);
        ssh
    }

    /// The log knows times to the second: what follows stands in another one.
    fn next_second(&self) -> Result<()> {
        let second = || self.machine.shell("date +%s");
        let now = second()?;
        until("the second is over", LIMIT, || Ok(second()? != now))
    }

    /// Comes in, or does not; how that ends is the row's business.
    fn act(&self, row: &Row) -> Result<()> {
        self.next_second()?;
        let mut command = match &row.act {
            Act::Password(user, password, terminal) => {
                let terminal = if *terminal { "-tt" } else { "-T" };
                self.with_password(user, password, terminal)
            }
            Act::Key => self.client("dana", &["-i", "/run/logins/key", "-T"]),
            Act::Shell(line) => {
                let mut shell = self.machine.command(Path::new("bash"));
                shell.args(["-c", line]);
                shell
            }
        };
        if !matches!(row.act, Act::Shell(_)) {
            command.arg("id -un");
        }
        let done = command.stdin(Stdio::null()).output();
        let done = done.with_context(|| row.what.to_owned())?;
        ensure!(
            done.status.success() == (row.told[0] == "succeeded"),
            "{}: {done:?}",
            row.what
        );
        Ok(())
    }

    /// A session on a terminal that stays until its caller hangs up.
    fn stay(&self) -> Result<Child> {
        let mut ssh = self.with_password("dana", "Right1pass", "-tt");
        let ssh = ssh.arg("cat > /dev/null").stdin(Stdio::piped());
        let ssh = ssh.stdout(Stdio::null()).stderr(Stdio::null());
        ssh.spawn().context("open a session")
    }
}

/// Stored logins, the oldest first.
fn logins(console: &Console<'_>, endpoint: &str) -> Result<Vec<Value>> {
    let kind = [
        "events",
        "search",
        "--kind",
        "login",
        "--ascending",
        "--endpoint",
    ];
    let mut arguments = kind.to_vec();
    arguments.push(endpoint);
    console.rows(&arguments)
}

/// What a stored login tells, in the words of the table.
fn told(row: &Value) -> String {
    let login = &row["login"];
    let peer = &login["peer"];
    let origin = if peer["is_local"] == true {
        "local"
    } else {
        peer["address"].as_str().unwrap_or("unknown")
    };
    let word = |of: &Value| of.as_str().unwrap_or_default().to_owned();
    let words = [
        &row["activity"],
        &login["service"],
        &login["user"],
        &login["method"],
    ];
    format!("{} {origin}", words.map(word).join(" "))
}

/// Outcomes among stored logins, in an order of their own: a log knows times to the second.
fn outcomes(rows: &[Value]) -> Vec<String> {
    let mut outcomes: Vec<_> = rows
        .iter()
        .filter(|row| row["activity"] != "ended")
        .map(told)
        .collect();
    outcomes.sort();
    outcomes
}

fn expected(table: &[Row]) -> Vec<String> {
    let mut expected: Vec<_> = table.iter().map(|row| row.told.join(" ")).collect();
    expected.sort();
    expected
}

/// Waits for as many outcomes as are due, then for the agent's end, after which none may be more; what is stored.
fn settled(console: &Console<'_>, agent: &mut Agent<'_>, count: usize) -> Result<Vec<Value>> {
    let id = agent.id()?;
    eventually("the logins are stored", LIMIT, || {
        let rows = logins(console, &id)?;
        let ends = rows.iter().filter(|row| row["activity"] == "ended").count();
        let begun = rows
            .iter()
            .filter(|row| row["activity"] == "succeeded")
            .count();
        Ok((outcomes(&rows).len() >= count && ends >= begun).then_some(()))
    })
    .with_context(|| format!("{:#?}", logins(console, &id).map(|rows| outcomes(&rows))))?;
    agent.drained(LIMIT)?;
    agent.stop()?;
    agent.run()?;
    agent.sensing(console, "session/logins")?;
    agent.drained(LIMIT)?;
    logins(console, &id)
}

/// Each that came in has left, once.
fn all_have_left(rows: &[Value]) -> Result<()> {
    let ids = |activity: &str| {
        let of = rows.iter().filter(|row| row["activity"] == activity);
        let mut ids: Vec<_> = of.map(|row| row["login"]["login_id"].to_string()).collect();
        ids.sort();
        ids
    };
    let (begun, ended) = (ids("succeeded"), ids("ended"));
    ensure!(begun == ended, "came in {begun:?}, left {ended:?}");
    Ok(())
}

fn same(found: &[String], expected: &[String]) -> Result<()> {
    ensure!(
        found == expected,
        "stored: {found:#?}\nexpected: {expected:#?}"
    );
    Ok(())
}

/// Whether this machine can show it; otherwise says why not.
fn can_show(what: &str) -> bool {
    let programs = [
        "sshd", "ssh", "rsyslogd", "su", "sudo", "setpriv", "useradd",
    ];
    let can = is_root_or_skips(what) && has_or_skips(&programs, what);
    if can {
        let _shown = writeln!(std::io::stderr().lock(), "{what}: {NOT_SHOWN}");
    }
    can
}

#[test]
fn each_way_to_come_in_is_one_event() {
    if !can_show("logins by ssh, su and sudo") {
        return;
    }
    flow(|sandbox| {
        let machine = Machine::new(sandbox)?;
        let ssh = Ssh::start(sandbox, &machine)?;
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let mut agent = Agent::start(sandbox, machine.place(), &server)?;
        agent.sensing(&console, "session/logins")?;
        let table = table();
        for row in &table {
            ssh.act(row)?;
        }
        let rows = settled(&console, &mut agent, table.len())?;
        same(&outcomes(&rows), &expected(&table))?;
        all_have_left(&rows)?;
        let unknown = rows.iter().find(|row| row["login"]["user"] == "nosuch");
        let unknown = unknown.context("the unknown user")?;
        ensure!(unknown["login"]["user_exists"] == false, "{unknown}");
        let key = rows
            .iter()
            .find(|row| row["login"]["method"] == "public_key");
        let key = text(&key.context("the key")?["login"], "key_fingerprint")?;
        ensure!(key.starts_with("SHA256:"), "{key}");
        Ok(())
    });
}

#[test]
fn what_came_before_the_agent_is_told_from_the_log() {
    if !can_show("logins before the agent") {
        return;
    }
    flow(|sandbox| {
        let machine = Machine::new(sandbox)?;
        let ssh = Ssh::start(sandbox, &machine)?;
        let table = table();
        for row in &table {
            ssh.act(row)?;
        }
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let mut agent = Agent::start(sandbox, machine.place(), &server)?;
        let rows = settled(&console, &mut agent, table.len())?;
        same(&outcomes(&rows), &expected(&table))?;
        all_have_left(&rows)
    });
}

#[test]
fn an_agent_that_was_away_tells_each_login_once() {
    if !can_show("logins while the agent restarts") {
        return;
    }
    flow(|sandbox| {
        let machine = Machine::new(sandbox)?;
        let ssh = Ssh::start(sandbox, &machine)?;
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let mut agent = Agent::start(sandbox, machine.place(), &server)?;
        agent.sensing(&console, "session/logins")?;
        let id = agent.id()?;
        let stored = |count: usize| {
            until("the logins are stored", LIMIT, || {
                Ok(outcomes(&logins(&console, &id)?).len() >= count)
            })
        };
        // One that lasts over everything, one while the agent is away, and the same after a kill.
        let mut lasting = ssh.stay()?;
        stored(1)?;
        agent.stop()?;
        let table = table();
        let (first, rest) = table.split_at(4);
        for row in first {
            ssh.act(row)?;
        }
        agent.run()?;
        stored(5)?;
        agent.kill()?;
        for row in rest {
            ssh.act(row)?;
        }
        agent.run()?;
        stored(1 + table.len())?;
        // A terminal has no end of input: the caller hangs up.
        lasting.kill()?;
        lasting.wait()?;
        let rows = settled(&console, &mut agent, 1 + table.len())?;
        let mut expected = expected(&table);
        expected.push("succeeded sshd dana password 127.0.0.1".to_owned());
        expected.sort();
        same(&outcomes(&rows), &expected)?;
        all_have_left(&rows)
    });
}
