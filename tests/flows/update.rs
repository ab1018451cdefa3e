//! Releases: signed by an operator's commands, published, rolled out, installed; and what goes back by itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tocsin_tests::agent::Agent;
use tocsin_tests::console::Console;
use tocsin_tests::program::Programs;
use tocsin_tests::sandbox::{Place, Sandbox, flow};
use tocsin_tests::server::{Server, Setup, run};
use tocsin_tests::wait::{eventually, until};

use crate::{LIMIT, text};

/// What is built under that number; see `tests/src/bin/agent_next.rs`.
const NEXT: &str = "9.0.0";

/// A guard that decides fast.
const FAST: &[&str] = &["--healthy", "2", "--probation", "20"];

/// Agents that say how they are every second.
const CONFIG: &str = "[session]\nheartbeat = \"1s\"\n";

/// An operator with keys and a repository, by the console's commands alone.
struct Operator<'a> {
    console: Console<'a>,
    folder: PathBuf,
    key: PathBuf,
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

impl<'a> Operator<'a> {
    fn new(sandbox: &Sandbox, server: &Server<'a>) -> Result<Self> {
        let operator = Self {
            console: server.admin(),
            folder: sandbox.fresh("repository"),
            key: sandbox.fresh("key"),
        };
        let (folder, key) = (path(&operator.folder)?, path(&operator.key)?);
        let public = format!("{key}.pub");
        operator.console.json(&["releases", "key", key])?;
        let keys = [
            "--root-key",
            &public,
            "--release-key",
            &public,
            "--key",
            key,
        ];
        operator
            .console
            .json(&[&["releases", "init-root", folder][..], &keys].concat())?;
        Ok(operator)
    }

    /// Signs a program as a version, and publishes it.
    fn release(&self, program: &Path, version: &str) -> Result<()> {
        let (folder, key) = (path(&self.folder)?, path(&self.key)?);
        let add = ["--add", path(program)?, "--version", version, "--key", key];
        self.console
            .json(&[&["releases", "sign", folder][..], &add].concat())?;
        self.console.json(&["releases", "publish", folder])?;
        Ok(())
    }

    /// An agent that trusts this operator, by a token that carries the hash of the root.
    fn agent(&self, sandbox: &Sandbox, server: &Server<'_>) -> Result<Agent<'a>> {
        let agent = Agent::new(sandbox, Place::Here)?;
        let root = self.folder.join("1.root.json");
        let mut command = std::process::Command::new(Programs::get()?.server());
        command
            .args(["token", "create", "--data"])
            .arg(server.data());
        command.arg("--update-root").arg(&root);
        let token = run(&mut command)?;
        agent.enroll_with(server, token.trim(), &["--update-root", path(&root)?])?;
        Ok(agent)
    }

    fn rollout(&self, version: &str) -> Result<String> {
        let rollout = self
            .console
            .json(&["rollouts", "create", version, "--ring", "100%"])?;
        Ok(text(&rollout, "id")?.to_owned())
    }

    /// Waits until a rollout is in this state; it as it is then.
    fn ended(&self, id: &str, state: &str) -> Result<Value> {
        eventually(&format!("the rollout is {state}"), LIMIT, || {
            let rollout = self.console.json(&["rollouts", "show", id])?;
            Ok((rollout["state"] == state).then_some(rollout))
        })
    }
}

fn with_agent(
    sandbox: &Sandbox,
    test: impl FnOnce(&Operator<'_>, &mut Agent<'_>, &str) -> Result<()>,
) -> Result<()> {
    let setup = Setup {
        config: CONFIG,
        ..Setup::default()
    };
    let server = Server::start_with(sandbox, setup)?;
    let operator = Operator::new(sandbox, &server)?;
    let mut agent = operator.agent(sandbox, &server)?;
    agent.run_guarded(FAST)?;
    let row = agent.online(&operator.console)?;
    let id = text(&row, "id")?.to_owned();
    test(&operator, &mut agent, &id)
}

fn version_of(console: &Console<'_>, id: &str) -> Result<String> {
    let row = console.json(&["endpoints", "show", id])?;
    Ok(text(&row, "agent_version")?.to_owned())
}

#[test]
fn a_signed_release_is_installed_and_survives_kill_and_restart() {
    flow(|sandbox| {
        with_agent(sandbox, |operator, agent, id| {
            let before = version_of(&operator.console, id)?;
            operator.release(&Programs::get()?.agent_next(), NEXT)?;
            let listed = operator.console.rows(&["releases", "list"])?;
            ensure!(
                listed.len() == 1 && listed[0]["version"] == NEXT,
                "{listed:?}"
            );
            let rollout = operator.rollout(NEXT)?;
            let ended = operator.ended(&rollout, "done")?;
            ensure!(ended["members"][0]["state"] == "done", "{ended}");
            ensure!(before != NEXT && version_of(&operator.console, id)? == NEXT);
            // The guard is killed, and with it the agent: the new version comes back.
            agent.kill()?;
            agent.run_guarded(FAST)?;
            until("the new version is back", LIMIT, || {
                let status = agent.status()?;
                Ok(status["agent_version"] == NEXT && status["connection"]["state"] == "connected")
            })?;
            let log = operator.console.rows(&["audit", "list"])?;
            for action in ["releases.publish", "rollouts.create", "rollouts.ask"] {
                ensure!(log.iter().any(|row| row["action"] == action), "{action}");
            }
            agent.stop()
        })
    });
}

#[test]
fn a_release_that_crashes_or_hangs_goes_back_by_itself_and_stops_the_rollout() {
    flow(|sandbox| {
        with_agent(sandbox, |operator, agent, id| {
            let before = version_of(&operator.console, id)?;
            for (version, script, why) in [
                ("9.1.0", "#!/bin/sh\nexit 3\n", "exit status: 3"),
                (
                    "9.2.0",
                    "#!/bin/sh\nexec sleep 1000\n",
                    "has not said how it is",
                ),
            ] {
                let program = sandbox.file(version, script)?;
                operator.release(&program, version)?;
                let rollout = operator.rollout(version)?;
                let stopped = operator.ended(&rollout, "stopped")?;
                let reason = text(&stopped, "reason")?;
                ensure!(reason.contains(why), "{reason}");
                ensure!(stopped["members"][0]["state"] == "failed", "{stopped}");
                ensure!(version_of(&operator.console, id)? == before);
                operator.console.json(&["rollouts", "abort", &rollout])?;
            }
            // It is not tried a second time.
            let again = operator.rollout("9.1.0")?;
            let stopped = operator.ended(&again, "stopped")?;
            ensure!(text(&stopped, "reason")?.contains("failed"), "{stopped}");
            agent.drained(LIMIT)?;
            agent.stop()
        })
    });
}

#[test]
fn a_server_cannot_install_what_the_operator_has_not_signed() {
    flow(|sandbox| {
        with_agent(sandbox, |operator, agent, id| {
            let before = version_of(&operator.console, id)?;
            operator.release(&Programs::get()?.agent_next(), NEXT)?;
            // Somebody who owns the server and has made a root and a release of their own.
            let setup = Setup::default();
            let other = Server::start_with(sandbox, setup)?;
            let attacker = Operator::new(sandbox, &other)?;
            let evil = sandbox.file("evil", "#!/bin/sh\nexit 0\n")?;
            attacker.release(&evil, "9.9.0")?;
            for entry in std::fs::read_dir(&attacker.folder)? {
                let name = entry?.file_name();
                if name != "1.root.json" {
                    let to = operator.folder.join(&name);
                    std::fs::copy(attacker.folder.join(&name), to)?;
                }
            }
            replace(&operator.folder, "1.targets.json", &operator.console)?;
            let rollout = operator.rollout("9.9.0")?;
            let stopped = operator.ended(&rollout, "stopped")?;
            let reason = text(&stopped, "reason")?;
            ensure!(reason.contains("signature"), "{reason}");
            ensure!(version_of(&operator.console, id)? == before);
            std::thread::sleep(Duration::from_secs(1));
            agent.process()?.check_running()?;
            agent.stop()
        })
    });
}

/// Puts a folder of metadata in the place of what is published, as only the owner of the server's disk can.
fn replace(folder: &Path, name: &str, console: &Console<'_>) -> Result<()> {
    let profile = console.profile();
    let data = profile
        .parent()
        .context("the profile lies in the data folder")?;
    let releases = data.join("releases");
    ensure!(releases.join(name).exists(), "{}", releases.display());
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        std::fs::copy(entry.path(), releases.join(entry.file_name()))?;
    }
    Ok(())
}
