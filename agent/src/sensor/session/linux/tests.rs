//! The sensor against a real sshd on loopback.
//!
//! sshd runs in a mount namespace of its own, with accounts, accounting files and a system log of this test: the
//! machine's are neither needed nor touched. Needs root and OpenSSH; says so where it is skipped.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::sensor::session::login::{LoginActivity, LoginId, Method, Origin, Terminal};

/// How long anything may take on a busy machine before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// An account that every machine has, and which nobody uses.
const USER: &str = "daemon";
const PASSWORD: &str = "Right1pass";
const PASSWORD_HASH: &str = "$6$tocsintest$SBQie6Nukw7SC1S71.VRPBCwAn/0FxTwaSXP9QVX899yyXw7O1UV7U3GO1GMz4rqjak/DNCW49ljISyKlMPfV.";

/// Builds a private /dev, accounts and accounting files, then becomes sshd.
const INSIDE: &str = r#"
set -e
mount --make-rprivate /
mkdir dev
mount -t tmpfs none dev
mkdir dev/pts dev/shm
mount --rbind /dev/pts dev/pts
ln -s pts/ptmx dev/ptmx
for node in null zero full random urandom tty; do touch dev/$node; mount --bind /dev/$node dev/$node; done
touch dev/log
mount --bind log dev/log
mount --rbind dev /dev
mount --bind passwd /etc/passwd
mount --bind shadow /etc/shadow
for file in wtmp btmp; do touch /var/log/$file; mount --bind $file /var/log/$file; done
mkdir -p /run/sshd
echo ready
exec "$SSHD" -D -f "$PWD/sshd_config"
"#;

struct Sshd {
    directory: tempfile::TempDir,
    child: Child,
    port: u16,
    ssh: PathBuf,
}

fn program(names: &[&str]) -> Option<PathBuf> {
    names.iter().map(PathBuf::from).find(|path| path.exists())
}

/// Why the test cannot run here.
fn obstacle() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("it needs root");
    }
    let needed = [
        ["/usr/sbin/sshd", "/usr/bin/sshd"],
        ["/usr/bin/ssh", "/bin/ssh"],
        ["/usr/bin/unshare", "/bin/unshare"],
    ];
    needed
        .iter()
        .any(|names| program(names).is_none())
        .then_some("it needs OpenSSH and unshare")
}

impl Sshd {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let sshd = program(&["/usr/sbin/sshd", "/usr/bin/sshd"]).unwrap();
        let ssh = program(&["/usr/bin/ssh", "/bin/ssh"]).unwrap();
        for key in ["host", "user", "other"] {
            let made = Command::new(ssh.with_file_name("ssh-keygen"))
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(at(key))
                .status();
            assert!(made.unwrap().success());
        }
        std::fs::copy(at("user.pub"), at("authorized")).unwrap();
        let with_account = |file: &str, account: &str| {
            let others = std::fs::read_to_string(file).unwrap();
            let others = others.lines().filter(|line| !line.starts_with("daemon:"));
            let lines: Vec<&str> = others.chain([account]).collect();
            lines.join("\n") + "\n"
        };
        let passwd = with_account("/etc/passwd", "daemon:x:1:1:daemon:/:/bin/sh");
        std::fs::write(at("passwd"), passwd).unwrap();
        let shadow = format!("daemon:{PASSWORD_HASH}:19000:0:99999:7:::");
        std::fs::write(at("shadow"), with_account("/etc/shadow", &shadow)).unwrap();
        for (name, content) in [
            ("wtmp", ""),
            ("btmp", ""),
            ("askpass", "#!/bin/sh\necho \"$ANSWER\"\n"),
        ] {
            std::fs::write(at(name), content).unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let port = (20_000..32_000)
            .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
            .unwrap();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             UsePAM yes\nStrictModes no\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\nLogLevel INFO\n",
            at("host").display(),
            at("authorized").display(),
        );
        std::fs::write(at("sshd_config"), config).unwrap();
        keep_log(&at("log"), &at("auth.log"));
        let mut child = Command::new(program(&["/usr/bin/unshare", "/bin/unshare"]).unwrap())
            .args(["--mount", "sh", "-c", INSIDE])
            .current_dir(directory.path())
            .env("SSHD", sshd)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        assert_eq!(ready, "ready\n");
        let sshd = Self {
            directory,
            child,
            port,
            ssh,
        };
        let end = std::time::Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(std::time::Instant::now() < end, "sshd does not listen");
            std::thread::yield_now();
        }
        sshd
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs ssh to its end; what it says is not looked at.
    fn ssh(&self, user: &str, answer: &str, options: &[&str], command: &[&str]) {
        let status = Command::new(&self.ssh)
            .args(["-p", &self.port.to_string(), "-F", "/dev/null"])
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .args([
                "-o",
                "NumberOfPasswordPrompts=1",
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "IdentityAgent=none",
            ])
            .args(options)
            .arg(format!("{user}@127.0.0.1"))
            .args(command)
            .env("SSH_ASKPASS", self.at("askpass"))
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("ANSWER", answer)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.is_ok());
    }

    fn config(&self, state: &str) -> LoginConfig {
        LoginConfig {
            journal: false,
            logind: false,
            audit: false,
            logs: vec![self.at("auth.log")],
            wtmp: self.at("wtmp"),
            btmp: self.at("btmp"),
            utmp: self.at("none"),
            ..LoginConfig::new(self.at(state))
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Writes what comes to the socket to a file, as a syslog daemon does.
fn keep_log(socket: &Path, file: &Path) {
    let socket = UnixDatagram::bind(socket).unwrap();
    let mut file = std::fs::File::create(file).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(length) = socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            // <38>Nov 24 04:48:45 sshd[26181]: ...
            let Some(tail) = text.split_once('>').and_then(|(_, rest)| rest.get(16..)) else {
                continue;
            };
            let now = jiff::Timestamp::from_millisecond(clock::now_ms()).unwrap();
            let line = format!("{now} host {}\n", tail.trim_end_matches(['\n', '\0']));
            file.write_all(line.as_bytes()).unwrap();
        }
    });
}

struct Channel(mpsc::Sender<Login>);

impl SessionSink for Channel {
    fn running(&self, _detail: String) {}

    fn observed(&self, observations: Vec<SessionObservation>) {
        for observation in observations {
            if let SessionObservation::Login(login) = observation {
                let _nobody_listens = self.0.send(*login);
            }
        }
    }

    fn lost(&self, lost: Option<u64>, _from_ms: i64, _until_ms: i64) {
        panic!("lost {lost:?}");
    }
}

/// Runs the sensor while `work` runs, and until it has told so many logins.
fn watch(config: LoginConfig, expected: usize, work: impl FnOnce()) -> Vec<Login> {
    let (sender, receiver) = mpsc::channel();
    let stop = Arc::new(Stop::default());
    let thread = std::thread::spawn({
        let stop = stop.clone();
        move || Logins::new(config).run(&Channel(sender), &stop)
    });
    work();
    let mut told = Vec::new();
    while told.len() < expected {
        told.push(receiver.recv_timeout(PATIENCE).expect("a login is missing"));
    }
    stop.stop();
    thread.join().unwrap().unwrap();
    told.extend(receiver.try_iter());
    told.sort_by_key(|login| (login.time_ms, login.activity, login.id));
    told
}

fn line(login: &Login) -> String {
    let from = match &login.origin {
        Origin::Remote {
            address: Some(address),
            port: Some(_),
            ..
        } => address.to_string(),
        other => format!("{other:?}"),
    };
    let terminal = match &login.terminal {
        Terminal::Name(_) => "a terminal",
        Terminal::None => "no terminal",
        Terminal::Unknown => "?",
    };
    let method = match &login.method {
        Some(Method::Password) => "password",
        Some(Method::PublicKey) if login.key_fingerprint.is_some() => "key",
        None => "?",
        _ => "other",
    };
    format!(
        "{:?} {} {} exists {:?} from {from} by {method} on {terminal}",
        login.activity,
        login.service,
        login.user.name.as_deref().unwrap_or("?"),
        login.user_exists,
    )
}

#[test]
fn every_kind_of_ssh_login_is_told_once_also_over_a_restart_and_afterwards() {
    if let Some(obstacle) = obstacle() {
        println!("skipped: {obstacle}");
        return;
    }
    let sshd = Sshd::start();
    let password = ["-o", "PreferredAuthentications=password"];
    let key = |name: &str| {
        let path = sshd.at(name).display().to_string();
        [
            "-i".to_owned(),
            path,
            "-o".to_owned(),
            "PreferredAuthentications=publickey".to_owned(),
        ]
    };
    let with_key = |user: &str, name: &str| {
        let options = key(name);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        sshd.ssh(user, "", &options, &["true"]);
    };
    let mut told = watch(sshd.config("state"), 5, || {
        let terminal = ["-tt", password[0], password[1]];
        sshd.ssh(USER, PASSWORD, &terminal, &["true"]);
        sshd.ssh(USER, PASSWORD, &password, &["true"]);
        sshd.ssh(USER, "wrong", &password, &["true"]);
    });
    // The agent is away for two of them, and comes back.
    with_key(USER, "user");
    sshd.ssh("nosuch", "wrong", &password, &["true"]);
    told.extend(watch(sshd.config("state"), 5, || {
        with_key(USER, "other");
        with_key("ghost", "other");
    }));
    let lines: Vec<String> = told.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "Succeeded sshd daemon exists Some(true) from 127.0.0.1 by password on a terminal",
            "Ended sshd daemon exists Some(true) from 127.0.0.1 by password on a terminal",
            "Succeeded sshd daemon exists Some(true) from 127.0.0.1 by password on no terminal",
            "Ended sshd daemon exists Some(true) from 127.0.0.1 by password on no terminal",
            "Failed sshd daemon exists Some(true) from 127.0.0.1 by password on ?",
            "Succeeded sshd daemon exists Some(true) from 127.0.0.1 by key on no terminal",
            "Ended sshd daemon exists Some(true) from 127.0.0.1 by key on no terminal",
            "Failed sshd nosuch exists Some(false) from 127.0.0.1 by password on ?",
            "Failed sshd daemon exists Some(true) from 127.0.0.1 by ? on ?",
            "Failed sshd ghost exists Some(false) from 127.0.0.1 by ? on ?",
        ]
    );
    // An agent that is installed only now finds the same logins in the files.
    let late = watch(sshd.config("late"), 10, || {});
    let ids = |logins: &[Login]| -> Vec<(LoginActivity, LoginId)> {
        logins
            .iter()
            .map(|login| (login.activity, login.id))
            .collect()
    };
    assert_eq!(ids(&late), ids(&told));
}
