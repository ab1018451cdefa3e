//! Remote terminals: a real shell on a real PTY at a real agent, through the real server, from the real console.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tocsin_tests::agent::Agent;
use tocsin_tests::console::{Console, Done};
use tocsin_tests::sandbox::{Place, Sandbox, flow};
use tocsin_tests::server::Server;
use tocsin_tests::wait::{eventually, until};

use crate::{LIMIT, rows, text};

/// What a program may hold at most while 100 MB pass through it. Debug programs; idle they hold about 20 MiB.
const RESIDENT_BYTES_MAX: u64 = 96 << 20;

/// Bytes that are sent through a terminal.
const FLOOD_BYTES: usize = 100_000_000;

/// A server and an endpoint of it that is online.
pub(crate) struct Lab<'a> {
    pub(crate) server: Server<'a>,
    pub(crate) agent: Agent<'a>,
    pub(crate) admin: Console<'a>,
    pub(crate) endpoint: String,
}

impl<'a> Lab<'a> {
    pub(crate) fn start(sandbox: &Sandbox) -> Result<Self> {
        let server = Server::start(sandbox)?;
        let agent = Agent::start(sandbox, Place::Here, &server)?;
        Self::of(server, agent)
    }

    pub(crate) fn of(server: Server<'a>, mut agent: Agent<'a>) -> Result<Self> {
        let admin = server.admin();
        agent.online(&admin)?;
        let endpoint = agent.id()?;
        Ok(Self {
            server,
            agent,
            admin,
            endpoint,
        })
    }

    /// Runs a script in a terminal to its end.
    pub(crate) fn script(&self, script: &str, more: &[&str]) -> Result<Done> {
        let mut open = self.open(more)?;
        open.say(script)?;
        open.end()
    }

    /// Opens a terminal whose input stays open.
    pub(crate) fn open(&self, more: &[&str]) -> Result<Open> {
        let reason = ["terminal", "open", &self.endpoint, "--reason", "a test's"];
        let mut child = self
            .admin
            .command(&[&reason[..], more].concat())?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("run tocsin terminal open")?;
        let input = child.stdin.take().context("its input")?;
        Ok(Open { child, input })
    }

    /// The one that is open.
    pub(crate) fn listed(&self) -> Result<Value> {
        eventually("one terminal is open", LIMIT, || {
            let list = self.admin.json(&["terminal", "list"])?;
            let open = rows(&list)?.iter().find(|row| row["state"] == "open");
            Ok(open.cloned())
        })
    }

    /// Rows of the audit log about terminals.
    pub(crate) fn audit(&self, action: &str) -> Result<Vec<Value>> {
        let log = self.admin.json(&["audit", "list"])?;
        let found = rows(&log)?.iter().filter(|row| row["action"] == action);
        Ok(found.cloned().collect())
    }
}

/// A terminal whose input this test holds.
pub(crate) struct Open {
    pub(crate) child: Child,
    input: ChildStdin,
}

impl Open {
    pub(crate) fn say(&mut self, script: &str) -> Result<()> {
        Ok(self.input.write_all(script.as_bytes())?)
    }

    /// No more input; what it ended with.
    pub(crate) fn end(self) -> Result<Done> {
        drop(self.input);
        let done = self.child.wait_with_output()?;
        Ok(Done {
            code: done.status.code().unwrap_or(-1),
            out: done.stdout,
            error: done.stderr,
        })
    }
}

/// The most that a process held so far.
fn resident_bytes_most(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.context("VmHWM")?.trim().parse::<u64>()? << 10)
}

#[test]
fn a_script_runs_at_the_endpoint_and_its_exit_code_comes_back() {
    flow(|sandbox| {
        let lab = Lab::start(sandbox)?;
        let done = lab.script("echo sum=$((6*7)); stty size\nexit 7\n", &[])?;
        done.ended_with(7, &["terminal", "open"])?;
        let said = done.out_text();
        ensure!(
            said.contains("\nsum=42\n") && said.contains("24 80"),
            "{said}"
        );
        // Input that ends without an exit ends the shell.
        let done = lab.script("(exit 5)", &[])?;
        done.ended_with(5, &["terminal", "open"])?;
        let none = lab.admin.json(&["terminal", "list"])?;
        ensure!(rows(&none)?.is_empty(), "{none}");

        let opened = lab.audit("terminal.open")?;
        ensure!(opened.len() == 2, "{opened:?}");
        let row = opened.first().context("a row")?;
        ensure!(
            row["actor"] == "admin" && row["target"] == *lab.endpoint,
            "{row}"
        );
        ensure!(text(row, "detail")?.contains("a test's"), "{row}");
        let ended = lab.audit("terminal.end")?;
        let detail = text(ended.first().context("an end")?, "detail")?;
        ensure!(
            detail.contains("exited") && detail.contains("exit code 7"),
            "{detail}"
        );
        Ok(())
    });
}

#[test]
fn only_who_may_opens_one_and_everybody_sees_that_it_is_open() {
    flow(|sandbox| {
        let lab = Lab::start(sandbox)?;
        let open = ["terminal", "open", &lab.endpoint, "--reason", "curious"];
        for role in ["viewer", "analyst"] {
            let console = lab.server.analyst(sandbox, role, role)?;
            console.run(&open)?.ended_with(77, &open)?;
        }
        let refused = lab.audit("terminal.open")?;
        ensure!(
            refused.iter().all(|row| row["decision"] == "refused"),
            "{refused:?}"
        );

        let responder = lab.server.analyst(sandbox, "rita", "responder")?;
        responder.run(&open)?.succeeded(&open)?;

        let mut terminal = lab.open(&[])?;
        let row = lab.listed()?;
        ensure!(
            row["analyst"] == "admin" && row["reason"] == "a test's",
            "{row}"
        );
        let viewer = lab.server.analyst(sandbox, "vera", "viewer")?;
        ensure!(rows(&viewer.json(&["terminal", "list"])?)?.len() == 1);
        let id = text(&row, "id")?;
        let kill = ["terminal", "kill", id];
        viewer.run(&kill)?.ended_with(77, &kill)?;
        until("the endpoint's status shows it", LIMIT, || {
            let status = lab.agent.status()?;
            Ok(status["terminals"][0]["analyst"] == "admin")
        })?;
        terminal.say("exit\n")?;
        terminal.end()?.succeeded(&["terminal", "open"])
    });
}

#[test]
fn a_kill_takes_along_who_has_left_the_session() {
    flow(|sandbox| {
        let lab = Lab::start(sandbox)?;
        let mut terminal = lab.open(&[])?;
        let file = sandbox.fresh("pid");
        let path = file.display();
        // Nothing of it is in the shell's session, nobody of its parents lives, and it ignores what is polite.
        terminal.say(&format!(
            "(setsid sh -c 'trap \"\" HUP TERM; echo $$ > {path}; while :; do sleep 1; done' &)\n"
        ))?;
        let pid: u32 = eventually("the child runs", LIMIT, || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            Ok(text.trim().parse().ok())
        })?;
        let id = text(&lab.listed()?, "id")?.to_owned();
        let done = lab.admin.json(&["terminal", "kill", &id])?;
        ensure!(
            done["reported"] == true && done["survived_count"] == 0,
            "{done}"
        );
        let killed = rows(&done["killed"])?;
        ensure!(
            killed.iter().any(|one| one["pid"] == pid),
            "{pid} in {done}"
        );
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        ensure!(state.is_empty() || state.contains(") Z "), "{state}");
        let ended = terminal.end()?;
        ended.ended_with(1, &["terminal", "open"])?;
        ensure!(
            ended.error_text().contains("ended by admin"),
            "{}",
            ended.error_text()
        );
        let detail = lab.audit("terminal.end")?;
        let detail = text(detail.last().context("an end")?, "detail")?;
        ensure!(
            detail.contains("killed") && detail.contains(&pid.to_string()),
            "{detail}"
        );
        Ok(())
    });
}

#[test]
fn a_flood_arrives_complete_and_nobody_holds_it() {
    flow(|sandbox| {
        let mut lab = Lab::start(sandbox)?;
        let sum = sandbox.fresh("sum");
        let mut terminal = lab.open(&["--raw"])?;
        let console = terminal.child.id();
        // Lines that differ, so that a piece lost, doubled or moved shows. Any account's shell knows these words.
        let pipe = sandbox.fresh("pipe");
        terminal.say(&format!(
            "stty -opost -echo; mkfifo {pipe}; sha256sum < {pipe} > {sum} & seq -f '%098.0f|' {count} | tee {pipe}; wait; exit\n",
            pipe = pipe.display(),
            sum = sum.display(),
            count = FLOOD_BYTES / 100,
        ))?;
        let mut out = terminal.child.stdout.take().context("its output")?;
        let (mut hash, mut begun, mut bytes) = (Sha256::new(), Vec::new(), 0);
        let mut piece = vec![0; 64 << 10];
        let mut most = 0;
        while bytes < FLOOD_BYTES {
            let count = out.read(&mut piece)?;
            ensure!(count > 0, "ended after {bytes} bytes");
            let mut new = piece.get(..count).unwrap_or_default().to_vec();
            if bytes == 0 {
                begun.extend(new);
                // What the shell printed before; the first line begins with zeros.
                let Some(at) = begun.windows(60).position(|zeros| zeros == [b'0'; 60]) else {
                    continue;
                };
                new = begun.split_off(at);
            }
            new.truncate(FLOOD_BYTES - bytes);
            hash.update(&new);
            bytes += new.len();
            most = most.max(resident_bytes_most(console).unwrap_or(0));
        }
        std::io::copy(&mut out, &mut std::io::sink())?;
        terminal.end()?.succeeded(&["terminal", "open"])?;
        let expected = fs::read_to_string(&sum)?;
        let found = data_encoding::HEXLOWER.encode(&hash.finalize());
        ensure!(expected.starts_with(&found), "{found} is not {expected}");
        for (name, held) in [
            ("console", most),
            ("server", resident_bytes_most(lab.server.process()?.pid())?),
            ("agent", resident_bytes_most(lab.agent.process()?.pid())?),
        ] {
            ensure!(
                held > 0 && held < RESIDENT_BYTES_MAX,
                "{name} held {held} bytes"
            );
        }
        Ok(())
    });
}

#[test]
fn what_a_hostile_endpoint_prints_is_harmless_and_raw_is_raw() {
    flow(|sandbox| {
        let lab = Lab::start(sandbox)?;
        let script =
            "printf '\\033]0;ti''tle\\007\\033]52;c;eA==\\007\\033[6n\\033[31mr''ed\\n'; exit\n";
        let safe = lab.script(script, &[])?;
        safe.succeeded(&["terminal", "open"])?;
        let said = safe.out_text();
        let is_clean = said
            .chars()
            .all(|c| c == '\n' || c == '\t' || !c.is_control());
        ensure!(is_clean && said.contains("\nred\n"), "{said:?}");
        ensure!(!said.contains("title"), "{said:?}");
        let raw = lab.script(script, &["--raw"])?;
        ensure!(
            raw.out_text().contains("\x1b]0;title\x07"),
            "{:?}",
            raw.out_text()
        );
        Ok(())
    });
}

#[test]
fn a_machine_that_allows_none_and_one_that_is_gone_say_so() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let mut agent = Agent::new(sandbox, Place::Here)?;
        agent.enroll(&server, &server.token(1)?)?;
        let config = sandbox.file("agent.toml", "[terminal]\nenabled = false\n")?;
        agent.run_with(&["--config", config.to_str().context("a path in UTF-8")?])?;
        let mut lab = Lab::of(server, agent)?;
        let done = lab.script("", &[])?;
        done.ended_with(1, &["terminal", "open"])?;
        ensure!(
            done.error_text().contains("terminal.enabled"),
            "{}",
            done.error_text()
        );
        lab.agent.stop()?;
        until("the server knows that it is offline", LIMIT, || {
            let done = lab.script("", &[])?;
            Ok(done.code == 69 && done.error_text().contains("not connected"))
        })
    });
}

#[test]
fn a_revoked_endpoint_a_lost_console_and_a_stopped_server_leave_nothing_open() {
    flow(|sandbox| {
        let mut lab = Lab::start(sandbox)?;
        let is_gone = |pid: u64| {
            until("the shell has ended", LIMIT, || {
                let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                Ok(state.is_empty() || state.contains(") Z "))
            })
        };
        let pid = |row: &Value| row["pid"].as_u64().context("a pid");

        let mut terminal = lab.open(&[])?;
        let shell = pid(&lab.listed()?)?;
        terminal.child.kill()?;
        terminal.child.wait()?;
        is_gone(shell)?;
        until("the end is in the audit log", LIMIT, || {
            Ok(lab.audit("terminal.end")?.len() == 1)
        })?;

        let terminal = lab.open(&[])?;
        let shell = pid(&lab.listed()?)?;
        lab.server.stop()?;
        is_gone(shell)?;
        ensure!(terminal.end()?.code != 0);
        lab.server.run()?;
        lab.agent.online(&lab.admin)?;

        let terminal = lab.open(&[])?;
        let shell = pid(&lab.listed()?)?;
        let revoke = ["endpoints", "revoke", &lab.endpoint, "--reason", "lost"];
        lab.admin.run(&revoke)?.succeeded(&revoke)?;
        terminal.end()?.ended_with(69, &["terminal", "open"])?;
        is_gone(shell)
    });
}

#[test]
fn a_watcher_sees_what_was_printed_and_what_is() {
    flow(|sandbox| {
        let lab = Lab::start(sandbox)?;
        let mut terminal = lab.open(&[])?;
        let id = text(&lab.listed()?, "id")?.to_owned();
        terminal.say("echo be''fore\n")?;
        let mut watching = lab
            .admin
            .command(&["terminal", "watch", &id])?
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        until("somebody watches", LIMIT, || {
            Ok(lab.listed()?["watchers"] == 1)
        })?;
        terminal.say("echo af''ter\nexit\n")?;
        terminal.end()?.succeeded(&["terminal", "open"])?;
        let mut seen = String::new();
        let mut out = watching.stdout.take().context("its output")?;
        out.read_to_string(&mut seen)?;
        ensure!(watching.wait()?.success());
        ensure!(
            seen.contains("\nbefore\n") && seen.contains("\nafter\n"),
            "{seen}"
        );
        ensure!(lab.audit("terminal.watch")?.len() == 1);
        Ok(())
    });
}
