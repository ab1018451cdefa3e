//! Sign-ins as an endpoint sees them: a browser of a person that speaks with a provider's service.
//!
//! The service is a stand-in on loopback, or in a namespace, that takes connections and says nothing, named to the server by its address
//! ([`Service::config`]), as an operator would name one that belongs to a provider alone. The browser is a real process
//! with a real connection, whose program is called `firefox`. Where a machine goes out to the Internet no test can
//! find out, so the server is told by a site that loopback is an office's.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::network::Namespace;
use crate::sandbox::{Place, Sandbox};

/// Ports that no kernel gives away by itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A stand-in for a provider's sign-in service.
#[derive(Debug)]
pub struct Service {
    listener: TcpListener,
}

impl Service {
    /// One that listens on loopback.
    ///
    /// # Errors
    /// Where no port is free.
    pub fn start() -> Result<Self> {
        let first = rand::random_range(PORTS);
        let mut ports = (first..PORTS.end).chain(PORTS.start..first);
        let listener = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        Ok(Self {
            listener: listener.context("find a free port")?,
        })
    }

    /// One that listens in a namespace, on this port of it.
    ///
    /// # Errors
    /// Where the port is taken.
    pub fn start_in(namespace: &Namespace, port: u16) -> Result<Self> {
        let address = SocketAddr::new(namespace.address(), port);
        let listener = namespace.enter(|| Ok(TcpListener::bind(address)?))?;
        Ok(Self { listener })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// What the server is told: that Okta's sign-ins go there, and that who comes from loopback is in an office with
    /// this address.
    ///
    /// # Errors
    /// Where the system does not say where it listens.
    pub fn config(&self, office: &str) -> Result<String> {
        Ok(format!(
            "[network]\nsite = [{{ name = \"office\", seen = [\"127.0.0.0/8\"], public = [\"{office}\"] }}]\n\
             [sign_in]\nservice = [{{ provider = \"okta\", at = [\"{}\"], only = true }}]\n",
            self.address()?
        ))
    }
}

/// A program that is called as a browser is. Copied once a sandbox.
#[derive(Debug)]
pub struct Browser {
    program: PathBuf,
}

/// A connection of a browser. It ends with [`Visit::end`], or when dropped.
#[derive(Debug)]
pub struct Visit {
    browser: Child,
    /// The service's side.
    _peer: TcpStream,
}

impl Browser {
    /// In this sandbox.
    ///
    /// # Errors
    /// Where it cannot be copied.
    pub fn new(sandbox: &Sandbox) -> Result<Self> {
        let folder = sandbox.fresh("browser");
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        let program = folder.join("firefox");
        fs::copy("/bin/bash", &program).context("copy bash")?;
        Ok(Self { program })
    }

    /// Its program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Connects, as this account of the machine where one is given, and stays connected.
    ///
    /// # Errors
    /// Where it cannot be started, or does not connect.
    pub fn visit(&self, service: &Service, uid: Option<u32>) -> Result<Visit> {
        let mut command = Command::new(&self.program);
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        Self::connect(service, command)
    }

    /// [`Browser::visit`] by an account of a machine that is a namespace: `ip` and `setpriv` become the browser.
    ///
    /// # Errors
    /// As [`Browser::visit`].
    pub fn visit_from(&self, place: Place<'_>, service: &Service, uid: u32) -> Result<Visit> {
        let mut command = place.command(Path::new("setpriv"));
        command.args([format!("--reuid={uid}"), format!("--regid={uid}")]);
        command.arg("--clear-groups").arg(&self.program);
        Self::connect(service, command)
    }

    fn connect(service: &Service, mut command: Command) -> Result<Visit> {
        let address = service.address()?;
        let script = format!(
            "exec 3<>/dev/tcp/{}/{}; read -r line <&3",
            address.ip(),
            address.port()
        );
        command
            .args(["-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let browser = command.spawn().context("start a browser")?;
        let (peer, _) = service.listener.accept()?;
        Ok(Visit {
            browser,
            _peer: peer,
        })
    }
}

impl Visit {
    /// The browser's pid.
    pub fn pid(&self) -> u32 {
        self.browser.id()
    }

    /// Ends it.
    pub fn end(self) {}
}

impl Drop for Visit {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ended = self.browser.kill();
        let _status = self.browser.wait();
    }
}
