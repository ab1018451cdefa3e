//! A real `tocsin-server`, from `init` to `kill -9` and on.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tocsin_proto::profile::Profile;

use crate::console::Console;
use crate::process::Process;
use crate::program::Programs;
use crate::sandbox::{Place, Sandbox};
use crate::wait::until;

/// Ports that are tried: below what systems hand out to clients.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// How long a server may take from its start until it answers; debug programs on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How often another port is tried where somebody else was faster.
const START_TRIES: u32 = 5;

/// How a server is set up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setup<'a> {
    /// Where it runs.
    pub place: Place<'a>,
    /// Tables of its configuration file, as TOML.
    pub config: &'a str,
    /// Its data folder, which must not exist yet; one in the sandbox otherwise.
    pub data: Option<&'a Path>,
}

/// A server with its data. Dropped, it is killed.
#[derive(Debug)]
pub struct Server<'a> {
    place: Place<'a>,
    data: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    process: Option<Process>,
}

impl<'a> Server<'a> {
    /// `init`, then `run` on this machine with the default configuration.
    ///
    /// # Errors
    /// Where either fails.
    pub fn start(sandbox: &Sandbox) -> Result<Self> {
        Self::start_with(sandbox, Setup::default())
    }

    /// `init`, then `run`.
    ///
    /// # Errors
    /// Where either fails.
    pub fn start_with(sandbox: &Sandbox, setup: Setup<'a>) -> Result<Self> {
        let data = setup
            .data
            .map_or_else(|| sandbox.fresh("server"), Path::to_owned);
        let host = setup.place.address().to_string();
        run(Command::new(Programs::get()?.server())
            .args(["init", "--name", &host, "--data"])
            .arg(&data))?;
        let config = format!("names = [\"{host}\"]\n{}", setup.config);
        fs::write(data.join("config.toml"), config)?;
        let mut server = Self {
            place: setup.place,
            log: sandbox.fresh("server.log"),
            data,
            address: SocketAddr::new(setup.place.address(), 0),
            process: None,
        };
        server.run_on_a_free_port()?;
        Ok(server)
    }

    fn run_on_a_free_port(&mut self) -> Result<()> {
        let mut failed = None;
        for _try in 0..START_TRIES {
            self.address.set_port(free_port(self.place)?);
            match self.run() {
                Ok(()) => return Ok(()),
                Err(error) if self.log_end().contains("in use") => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(failed.unwrap_or_else(|| anyhow::anyhow!("found no free port")))
    }

    /// `run`, on the address it had; returns when it answers.
    ///
    /// # Errors
    /// Where it ends, or does not answer in time.
    pub fn run(&mut self) -> Result<()> {
        let mut command = self.place.command(&Programs::get()?.server());
        command
            .args(["run", "--listen", &self.address.to_string(), "--data"])
            .arg(&self.data);
        let mut process = Process::start("tocsin-server", &mut command, &self.log)?;
        until("the server answers", START_LIMIT, || {
            process.check_running()?;
            Ok(self.answers())
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Its profile names its address, and, where that can be tried from here, somebody listens there.
    fn answers(&self) -> bool {
        let profile = fs::read_to_string(self.profile())
            .ok()
            .and_then(|text| Profile::from_toml(&text).ok());
        let told =
            profile.is_some_and(|profile| profile.servers.contains(&self.address.to_string()));
        told && match self.place {
            Place::Here | Place::Machine(_) => TcpStream::connect(self.address).is_ok(),
            Place::Inside(namespace) => {
                listens(&namespace.command(Path::new("cat")), self.address.port())
            }
        }
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// Where it is not running.
    pub fn kill(&mut self) -> Result<()> {
        self.process
            .take()
            .context("the server is not running")?
            .kill()
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// Where it is not running, or ends with an error.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the server is not running")?;
        let status = process.terminate()?;
        ensure!(
            status.success(),
            "the server ended with {status}:\n{}",
            process.log_end()
        );
        Ok(())
    }

    /// The running program.
    ///
    /// # Errors
    /// Where there is none.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the server is not running")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The first admin's profile.
    pub fn profile(&self) -> PathBuf {
        self.data.join("admin.profile")
    }

    /// The first admin's console, run where the server runs.
    pub fn admin(&self) -> Console<'a> {
        Console::new(self.place, self.profile())
    }

    /// A console for a new analyst with this role.
    ///
    /// # Errors
    /// Where the analyst cannot be added.
    pub fn analyst(&self, sandbox: &Sandbox, name: &str, role: &str) -> Result<Console<'a>> {
        let out = sandbox.fresh(&format!("{name}.profile"));
        let mut command = Command::new(Programs::get()?.server());
        command
            .args(["analyst", "add", name, "--role", role, "--data"])
            .arg(&self.data)
            .arg("--out")
            .arg(&out);
        run(&mut command)?;
        Ok(Console::new(self.place, out))
    }

    /// Takes an analyst's access away, beside the running server.
    ///
    /// # Errors
    /// Where that fails.
    pub fn revoke_analyst(&self, name: &str) -> Result<()> {
        let mut command = Command::new(Programs::get()?.server());
        command
            .args(["analyst", "revoke", name, "--data"])
            .arg(&self.data);
        run(&mut command)?;
        Ok(())
    }

    /// A new enrolment token.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn token(&self, uses: u32) -> Result<String> {
        let mut command = Command::new(Programs::get()?.server());
        command
            .args(["token", "create", "--uses", &uses.to_string(), "--data"])
            .arg(&self.data);
        Ok(run(&mut command)?.trim().to_owned())
    }

    /// All that it has logged.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn log(&self) -> Result<String> {
        let bytes = fs::read(&self.log).with_context(|| format!("read {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn log_end(&self) -> String {
        crate::process::log_end(&self.log)
    }
}

/// Runs a command to its end; its standard output.
///
/// # Errors
/// Where it cannot be run or fails, with what it said.
pub fn run(command: &mut Command) -> Result<String> {
    let done = command
        .output()
        .with_context(|| format!("run {}", command.get_program().display()))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{command:?} ended with {}:\n{}", done.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// A port nobody listens on now. Another program may take it before it is used: then try again. A
/// namespace is the test's alone.
fn free_port(place: Place<'_>) -> Result<u16> {
    if let Place::Inside(_) = place {
        return Ok(PORTS.start);
    }
    let first = rand::random_range(PORTS);
    (first..PORTS.end)
        .chain(PORTS.start..first)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("find a free port")
}

/// Whether something listens on the port, by the kernel's table as `reader` prints it.
fn listens(reader: &Command, port: u16) -> bool {
    let mut command = Command::new(reader.get_program());
    command.args(reader.get_args()).arg("/proc/net/tcp");
    let table = command.output().map(|done| done.stdout).unwrap_or_default();
    let table = String::from_utf8_lossy(&table);
    // "local_address" is HEX:PORT, state 0A is LISTEN.
    table.lines().any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let local = columns.next().unwrap_or_default();
        local.ends_with(&format!(":{port:04X}")) && columns.nth(1) == Some("0A")
    })
}
