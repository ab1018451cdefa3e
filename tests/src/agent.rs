//! A real `tocsin-agent` with a state folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::console::Console;
use crate::endpoint::Enrolled;
use crate::process::Process;
use crate::program::Programs;
use crate::sandbox::{Place, Sandbox};
use crate::server::{Server, run};
use crate::wait::{eventually, until};

/// How long an agent may take until the server has it; it backs off between its tries.
const ONLINE_LIMIT: Duration = Duration::from_secs(60);

/// An agent with its state. Dropped, it is killed.
#[derive(Debug)]
pub struct Agent<'a> {
    place: Place<'a>,
    state: PathBuf,
    log: PathBuf,
    variables: Vec<(&'static str, String)>,
    launcher: Vec<&'static str>,
    process: Option<Process>,
}

impl<'a> Agent<'a> {
    /// An agent with an empty state folder.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn new(sandbox: &Sandbox, place: Place<'a>) -> Result<Self> {
        let state = sandbox.fresh("agent");
        fs::create_dir(&state).with_context(|| format!("make {}", state.display()))?;
        Ok(Self {
            place,
            log: sandbox.fresh("agent.log"),
            state,
            variables: Vec::new(),
            launcher: Vec::new(),
            process: None,
        })
    }

    /// A new agent that is enrolled and runs.
    ///
    /// # Errors
    /// Where either fails.
    pub fn start(sandbox: &Sandbox, place: Place<'a>, server: &Server<'_>) -> Result<Self> {
        let mut agent = Self::new(sandbox, place)?;
        agent.enroll(server, &server.token(1)?)?;
        agent.run()?;
        Ok(agent)
    }

    /// What `run` finds in its environment from now on, beside what the test has.
    pub fn set_variable(&mut self, name: &'static str, value: String) {
        self.variables.push((name, value));
    }

    /// What starts `run` and `doctor` from now on, with its arguments: one that takes rights away, say.
    pub fn set_launcher(&mut self, launcher: &[&'static str]) {
        self.launcher = launcher.to_vec();
    }

    /// `tocsin-agent`, by the launcher where there is one.
    fn command(&self) -> Result<Command> {
        let program = Programs::get()?.agent();
        let Some((first, arguments)) = self.launcher.split_first() else {
            return Ok(self.place.command(&program));
        };
        let mut command = self.place.command(Path::new(first));
        command.args(arguments).arg(program);
        Ok(command)
    }

    /// `doctor -o json`, whether or not all is well.
    ///
    /// # Errors
    /// Where it prints no JSON.
    pub fn doctor(&self, config: &Path) -> Result<Value> {
        let mut command = self.command()?;
        command.args(["doctor", "-o", "json", "--state"]);
        command.arg(&self.state).arg("--config").arg(config);
        let output = command.output().context("run the agent's doctor")?;
        serde_json::from_slice(&output.stdout).context("read what the agent's doctor says")
    }

    /// `enroll`.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn enroll(&self, server: &Server<'_>, token: &str) -> Result<()> {
        self.enroll_with(server, token, &[])
    }

    /// [`Agent::enroll`] with further arguments.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn enroll_with(&self, server: &Server<'_>, token: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.place.command(&Programs::get()?.agent());
        command
            .args(["enroll", "--server", &server.address().to_string()])
            .args(["--token", token, "--state"])
            .arg(&self.state)
            .args(arguments);
        run(&mut command)?;
        Ok(())
    }

    /// `run`, in the background.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn run(&mut self) -> Result<()> {
        self.run_with(&[])
    }

    /// [`Agent::run`] with further arguments.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn run_with(&mut self, arguments: &[&str]) -> Result<()> {
        let mut command = self.command()?;
        command.args(["run", "--state"]).arg(&self.state);
        command.args(arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start("tocsin-agent", &mut command, &self.log)?);
        Ok(())
    }

    /// `tocsin-guard run`, in the background, with further arguments: it starts the agent.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn run_guarded(&mut self, arguments: &[&str]) -> Result<()> {
        let mut command = self.place.command(&Programs::get()?.guard());
        command.args(["run", "--state"]).arg(&self.state);
        command.args(arguments);
        self.process = Some(Process::start("tocsin-guard", &mut command, &self.log)?);
        Ok(())
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// Where it is not running.
    pub fn kill(&mut self) -> Result<()> {
        self.process
            .take()
            .context("the agent is not running")?
            .kill()
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// Where it is not running, or ends with an error.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the agent is not running")?;
        let status = process.terminate()?;
        ensure!(
            status.success(),
            "the agent ended with {status}:\n{}",
            process.log_end()
        );
        Ok(())
    }

    /// The running program.
    ///
    /// # Errors
    /// Where there is none.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the agent is not running")
    }

    /// Its state folder.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// An agent that is not running with a copy of this one's state: what a cloned machine is.
    ///
    /// # Errors
    /// Where it cannot be copied.
    pub fn cloned(&self, sandbox: &Sandbox) -> Result<Self> {
        let state = sandbox.fresh("agent");
        run(Command::new("cp").arg("-a").arg(&self.state).arg(&state))?;
        Ok(Self {
            place: self.place,
            log: sandbox.fresh("agent.log"),
            state,
            variables: Vec::new(),
            launcher: Vec::new(),
            process: None,
        })
    }

    /// Its key and certificate, as the state folder has them: for what another copy of the machine would do.
    ///
    /// # Errors
    /// Where it is not enrolled.
    pub fn identity(&self) -> Result<Enrolled> {
        let path = self.state.join("secret/identity.toml");
        let text = fs::read_to_string(&path)?;
        // Texts of one line in quotes, PEM in three; nothing in them is escaped.
        let field = |name: &str| {
            let (_, value) = text.split_once(&format!("{name} = \""))?;
            let value = value.strip_prefix("\"\"").unwrap_or(value);
            value.split_once('"').map(|(value, _)| value)
        };
        let field = |name: &str| {
            field(&format!("\n{name}")).with_context(|| format!("{name} in {}", path.display()))
        };
        let certificate = |name: &str| {
            let der = CertificateDer::from_pem_slice(field(name)?.as_bytes())?;
            anyhow::Ok(der.to_vec())
        };
        let key = PrivateKeyDer::from_pem_slice(field("private_key")?.as_bytes())?;
        Ok(Enrolled {
            id: field("endpoint_id")?.to_owned(),
            certificate: certificate("certificate")?,
            ca_certificate: certificate("ca_certificate")?,
            key: key.secret_der().to_vec(),
        })
    }

    /// `status -o json`.
    ///
    /// # Errors
    /// Where it prints no JSON.
    pub fn status(&self) -> Result<Value> {
        let mut command = self.place.command(&Programs::get()?.agent());
        command
            .args(["status", "-o", "json", "--state"])
            .arg(&self.state);
        let text = run(&mut command)?;
        serde_json::from_str(&text).with_context(|| format!("read the agent's status: {text}"))
    }

    /// The endpoint's id, as enrolment left it.
    ///
    /// # Errors
    /// Where it is not enrolled.
    pub fn id(&self) -> Result<String> {
        eventually("the status names the endpoint", ONLINE_LIMIT, || {
            let status = self.status()?;
            let id = status["endpoint"].as_str().filter(|id| !id.is_empty());
            Ok(id.map(ToOwned::to_owned))
        })
    }

    /// Waits until the server says that this agent is online; its row.
    ///
    /// # Errors
    /// Where it does not come, or the agent ends.
    pub fn online(&mut self, console: &Console<'_>) -> Result<Value> {
        let id = self.id()?;
        eventually("the agent is online", ONLINE_LIMIT, || {
            self.process()?.check_running()?;
            let row = console.json(&["endpoints", "show", &id])?;
            Ok((row["connected"] == true).then_some(row))
        })
    }

    /// [`Agent::online`], and waits until this sensor runs: from then on it sees everything.
    ///
    /// # Errors
    /// As [`Agent::online`].
    pub fn sensing(&mut self, console: &Console<'_>, sensor: &str) -> Result<Value> {
        self.sensing_any(console, &[sensor])
    }

    /// [`Agent::sensing`], of a sensor that hears of every process: the best of them that this machine allows.
    ///
    /// # Errors
    /// As [`Agent::online`].
    pub fn sensing_processes(&mut self, console: &Console<'_>) -> Result<Value> {
        self.sensing_any(console, &["process/ebpf", "process/proc_connector"])
    }

    /// [`Agent::sensing`], of a sensor of flows: the best of them that this machine allows.
    ///
    /// # Errors
    /// As [`Agent::online`].
    pub fn sensing_flows(&mut self, console: &Console<'_>) -> Result<Value> {
        self.sensing_any(console, &["network/ebpf", "network/sock_diag"])
    }

    fn sensing_any(&mut self, console: &Console<'_>, names: &[&str]) -> Result<Value> {
        let row = self.online(console)?;
        until("the sensor runs", ONLINE_LIMIT, || {
            self.process()?.check_running()?;
            let status = self.status()?;
            let sensors = status["sensors"].as_array().into_iter().flatten();
            let mut running = sensors.filter(|found| found["state"] == "running");
            Ok(running.any(|found| names.iter().any(|name| found["name"] == *name)))
        })?;
        Ok(row)
    }

    /// Waits until the spool is empty: all that was packed so far is acknowledged.
    ///
    /// # Errors
    /// Where that does not come within `limit`.
    pub fn drained(&self, limit: Duration) -> Result<()> {
        until("the spool is empty", limit, || {
            Ok(self.status()?["spool_events"] == 0)
        })
    }
}
