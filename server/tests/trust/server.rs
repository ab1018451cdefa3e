//! A server of one's own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tocsin_proto::profile::{Profile, split_address};
use tocsin_proto::tls::ClientIdentity;
use tocsin_proto::token::EnrollmentToken;

use crate::client::Client;

/// Long enough for anything that does happen.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);

/// Runs the program to its end.
pub(crate) fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tocsin-server"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A data directory, and the server that runs on it.
pub(crate) struct Server {
    folder: TempDir,
    process: Option<Child>,
}

impl Server {
    /// A data directory without a running server.
    pub(crate) fn init() -> Self {
        let server = Self {
            folder: tempfile::tempdir().unwrap(),
            process: None,
        };
        let output = program(&[
            "init",
            "--data",
            server.text(),
            "--name",
            "localhost,127.0.0.1",
        ]);
        assert!(output.status.success(), "{output:?}");
        server
    }

    /// A running server.
    pub(crate) fn start() -> Self {
        Self::configured(&[])
    }

    /// A running server with some keys of its configuration changed.
    pub(crate) fn configured(changes: &[(&str, &str)]) -> Self {
        let mut server = Self::init();
        let path = server.data().join("config.toml");
        let mut config = std::fs::read_to_string(&path).unwrap();
        for (key, value) in changes {
            let line = config
                .lines()
                .find(|line| line.starts_with(&format!("{key} = ")))
                .unwrap()
                .to_owned();
            config = config.replace(&line, &format!("{key} = \"{value}\""));
        }
        std::fs::write(&path, config).unwrap();
        server.run();
        server
    }

    /// A running server whose standard error is closed at its other end.
    #[cfg(unix)]
    pub(crate) fn start_unread() -> Self {
        let mut server = Self::init();
        let mut process = server.spawn();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        server.process = Some(process);
        assert!(lines.any(|line| line.unwrap().contains("listening on")));
        server
    }

    /// Starts the server and waits until it listens.
    pub(crate) fn run(&mut self) {
        let mut process = self.spawn();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        self.process = Some(process);
        let (listening, is_listening) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end, so that the server never waits for a reader.
            for line in lines.map_while(Result::ok) {
                if line.contains("listening on") {
                    listening.send(()).ok();
                }
                eprintln!("{line}");
            }
        });
        is_listening.recv_timeout(PATIENT).unwrap();
    }

    fn spawn(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_tocsin-server"))
            .args(["run", "--listen", "127.0.0.1:0", "--data", self.text()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Ends the server as an operator does; whether it ended well.
    #[cfg(unix)]
    pub(crate) fn stop(&mut self) -> bool {
        let mut process = self.process.take().unwrap();
        let id = nix::unistd::Pid::from_raw(process.id().try_into().unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        process.wait().unwrap().success()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A place beside the data directory.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data directory, for command lines.
    pub(crate) fn text(&self) -> &'static str {
        // Leaked: a test process does not live long.
        Box::leak(self.data().display().to_string().into_boxed_str())
    }

    /// Runs a command on the data directory, which must succeed; what it answers.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let output = program(&[arguments, &["--data", self.text()]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A token.
    pub(crate) fn token(&self, uses: u32) -> EnrollmentToken {
        self.command(&["token", "create", "--uses", &uses.to_string()])
            .parse()
            .unwrap()
    }

    /// The CA's key and certificate, as a thief of the data directory has them.
    pub(crate) fn ca(&self) -> (String, String) {
        let read = |name| std::fs::read_to_string(self.data().join(name)).unwrap();
        (read("ca.key"), read("ca.crt"))
    }

    /// The CA's certificate.
    pub(crate) fn ca_certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.ca().1.as_bytes()).unwrap()
    }

    fn profile(path: &Path) -> Profile {
        Profile::from_toml(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        let profile = Self::profile(&self.data().join("admin.profile"));
        split_address(&profile.servers[0]).unwrap().1
    }

    /// Whoever shows this identity, or none.
    pub(crate) fn client(&self, identity: Option<ClientIdentity>) -> Client {
        Client::new(self.port(), self.ca_certificate(), identity)
    }

    /// The first administrator.
    pub(crate) fn admin(&self) -> Client {
        self.analyst_at(&self.data().join("admin.profile"))
    }

    /// A new analyst of this role.
    pub(crate) fn analyst(&self, role: &str) -> Client {
        let path = self.beside(&format!("{role}.profile"));
        let out = path.display().to_string();
        self.command(&["analyst", "add", role, "--role", role, "--out", &out]);
        self.analyst_at(&path)
    }

    /// The analyst of this profile.
    pub(crate) fn analyst_at(&self, path: &Path) -> Client {
        let profile = Self::profile(path);
        self.client(Some(ClientIdentity {
            chain: vec![CertificateDer::from_pem_slice(profile.certificate.as_bytes()).unwrap()],
            key: PrivateKeyDer::from_pem_slice(profile.private_key.as_bytes()).unwrap(),
        }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }
}
