//! Files that matter on a real machine, from the kernel's notices to the console.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tocsin_tests::agent::Agent;
use tocsin_tests::console::Console;
use tocsin_tests::machine::Machine;
use tocsin_tests::sandbox::{flow, is_root_or_skips};
use tocsin_tests::server::Server;
use tocsin_tests::wait::eventually;

use crate::{LIMIT, text};

const KEYS: &str = "/home/dana/.ssh/authorized_keys";
const STORE: &str = "/home/dana/.mozilla/firefox/a.default/cookies.sqlite";

/// What the machine has before the agent comes.
const FURNISH: &str = "
    mkdir -p /home/dana/.ssh /home/dana/.mozilla/firefox/a.default
    echo ssh-ed25519 one > /home/dana/.ssh/authorized_keys
    echo secret > /home/dana/.mozilla/firefox/a.default/cookies.sqlite
    mkdir -p /run/firefox && cp /bin/cat /run/firefox/firefox && chmod 755 /run/firefox/firefox
";

/// A mode, an account, and a home that comes later.
const CHANGE: &str = "
    chmod 600 /etc/sudoers
    useradd --create-home --home-dir /home/fay fay
    mkdir /home/fay/.ssh && echo ssh-ed25519 fay > /home/fay/.ssh/authorized_keys
";

/// Stored events of this file, the oldest first.
fn stored(console: &Console<'_>, endpoint: &str, path: &str) -> Result<Vec<Value>> {
    let mut rows = console.rows(&[
        "events",
        "search",
        "--endpoint",
        endpoint,
        "--kind",
        "file",
        "--text",
        path,
    ])?;
    rows.retain(|row| row["file"]["path"] == path);
    rows.reverse();
    Ok(rows)
}

/// Waits for this to have happened to this file.
fn expect(console: &Console<'_>, endpoint: &str, path: &str, activity: &str) -> Result<Value> {
    eventually(&format!("{path} is {activity}"), LIMIT, || {
        let mut rows = stored(console, endpoint, path)?.into_iter();
        Ok(rows.find(|row| row["activity"] == activity))
    })
}

/// A program that stays until it is let go, so that it can be asked who it is.
struct Staying(Child);

impl Staying {
    fn start(machine: &Machine, program: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = machine.command(Path::new(program));
        command.args(arguments).stdin(Stdio::piped());
        Ok(Self(command.spawn().context("start a program")?))
    }

    fn end(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        self.0.wait()?;
        Ok(())
    }
}

fn sha256(path: &Path) -> Result<String> {
    let out = tocsin_tests::server::run(std::process::Command::new("sha256sum").arg(path))?;
    Ok(out.split_whitespace().next().unwrap_or_default().to_owned())
}

#[test]
fn who_may_come_in_and_what_runs_is_told_when_it_changes() {
    if !is_root_or_skips("files that matter in a mount namespace") {
        return;
    }
    flow(|sandbox| {
        let machine = Machine::new(sandbox)?;
        machine.shell(FURNISH)?;
        let before = sha256(&machine.path("home/dana/.ssh/authorized_keys"))?;
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let mut agent = Agent::start(sandbox, machine.place(), &server)?;
        let endpoint = agent.sensing(&console, "file/fanotify")?;
        agent.sensing(&console, "file/inotify")?;
        let id = text(&endpoint, "id")?;

        let script = format!("echo ssh-ed25519 two >> {KEYS}; read _");
        let writer = Staying::start(&machine, "bash", &["-c", &script])?;
        let row = expect(&console, id, KEYS, "modified")?;
        let file = &row["file"];
        ensure!(
            row["kind"] == "file" && file["category"] == "authorized_keys",
            "{row}"
        );
        ensure!(file["name"] == "authorized_keys", "{row}");
        ensure!(file["before"]["sha256"] == before.as_str(), "{row}");
        let after = sha256(&machine.path("home/dana/.ssh/authorized_keys"))?;
        ensure!(file["after"]["sha256"] == after.as_str(), "{row}");
        ensure!(file["actor"]["pid"] == writer.0.id(), "{row}");
        ensure!(
            text(&file["actor"], "executable")?.ends_with("bash"),
            "{row}"
        );
        writer.end()?;

        let unit = "printf '[Service]\\nExecStart=/bin/true\\n' > /etc/systemd/system/x.service";
        machine.shell(unit)?;
        machine.shell("echo '* * * * * root /bin/true' > /etc/cron.d/x")?;
        for (path, activity, category) in [
            ("/etc/systemd/system/x.service", "created", "systemd_unit"),
            ("/etc/cron.d/x", "created", "cron"),
        ] {
            let row = expect(&console, id, path, activity)?;
            ensure!(row["file"]["category"] == category, "{row}");
        }
        machine.shell("mv /etc/cron.d/x /etc/cron.d/y; rm /etc/systemd/system/x.service")?;
        machine.shell(CHANGE)?;
        for (path, activity, category) in [
            ("/etc/systemd/system/x.service", "removed", "systemd_unit"),
            ("/etc/cron.d/y", "renamed", "cron"),
            ("/etc/sudoers", "permissions_changed", "sudo"),
            ("/etc/passwd", "modified", "account"),
            (
                "/home/fay/.ssh/authorized_keys",
                "created",
                "authorized_keys",
            ),
        ] {
            let row = expect(&console, id, path, activity)?;
            ensure!(row["file"]["category"] == category, "{row}");
        }
        let removed = expect(&console, id, "/etc/systemd/system/x.service", "removed")?;
        ensure!(
            removed["file"]["actor"].is_null(),
            "who did it is not known: {removed}"
        );
        Ok(())
    });
}

#[test]
fn who_reads_a_browsers_cookies_is_told_and_the_browser_is_not() {
    if !is_root_or_skips("openings in a mount namespace") {
        return;
    }
    flow(|sandbox| {
        let machine = Machine::new(sandbox)?;
        machine.shell(FURNISH)?;
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let mut agent = Agent::start(sandbox, machine.place(), &server)?;
        let endpoint = agent.sensing(&console, "file/fanotify")?;
        let id = text(&endpoint, "id")?;

        let browser = Staying::start(&machine, "/run/firefox/firefox", &[STORE, "-"])?;
        let script = format!("import sys\nopen('{STORE}')\nfor _ in sys.stdin: open('{STORE}')");
        let mut thief = Staying::start(&machine, "python3", &["-c", &script])?;
        let row = expect(&console, id, STORE, "opened")?;
        let actor = &row["file"]["actor"];
        ensure!(row["file"]["category"] == "credential_store", "{row}");
        ensure!(text(actor, "executable")?.contains("python"), "{row}");
        ensure!(actor["pid"] == thief.0.id() && actor["uid"] == "0", "{row}");
        ensure!(
            text(actor, "key")?.contains(&format!(".{}.", thief.0.id())),
            "{row}"
        );
        let input = thief.0.stdin.as_mut().context("the program's input")?;
        input
            .write_all(b"\n")
            .context("let it open the file again")?;
        thief.end()?;
        browser.end()?;
        // What was repeated is told when the agent ends.
        agent.stop()?;
        agent.run()?;
        let rows = eventually("the rest is told", LIMIT, || {
            let rows = stored(&console, id, STORE)?;
            Ok((rows.len() > 1).then_some(rows))
        })?;
        ensure!(
            rows.len() == 2,
            "one process, told once and once more: {rows:?}"
        );
        let same = |row: &Value| row["file"]["actor"] == rows[0]["file"]["actor"];
        ensure!(rows.iter().all(same), "{rows:?}");
        Ok(())
    });
}
