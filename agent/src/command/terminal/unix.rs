//! The shell and its PTY on Unix.
//!
//! The shell leads a session of its own, with the PTY as its terminal (`portable-pty`: setsid, TIOCSCTTY, no descriptor
//! but 0, 1 and 2, default signals). Its environment is made here from nothing. The PTY's end of ours never blocks.
//!
//! Whether the shell has ended is asked without burying it: as long as it is a zombie its process id, and with it
//! the id of its session, is nobody else's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::termios::{LocalFlags, SpecialCharacterIndices, tcgetattr};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{AccessFlags, Pid, User, access, geteuid};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::Asked;

/// Where the account names no shell that can be used.
const SHELL_FALLBACK: &str = "/bin/sh";

/// Shells that are there to refuse.
const NO_SHELLS: [&str; 3] = ["nologin", "false", "true"];

/// A shell of which it is known how it reads no startup files. On a machine that is looked into nobody knows what they
/// would do, and a terminal should not wait for them.
struct KnownShell {
    name: &'static str,
    arguments: &'static [&'static str],
    prompt: &'static str,
}

const SHELLS: [KnownShell; 4] = [
    KnownShell {
        name: "bash",
        arguments: &["--noprofile", "--norc"],
        prompt: r"\u@\h:\w\$ ",
    },
    KnownShell {
        name: "zsh",
        arguments: &["-f"],
        prompt: "%n@%m:%~%# ",
    },
    KnownShell {
        name: "fish",
        arguments: &["--no-config"],
        prompt: "",
    },
    // They read a file only where ENV names one.
    KnownShell {
        name: "sh",
        arguments: &[],
        prompt: "$ ",
    },
];

/// Where programs are found. The account's startup files are not read.
const PATH_ROOT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// See [`PATH_ROOT`].
const PATH_OTHERS: &str = "/usr/local/bin:/usr/bin:/bin";

/// Files that the shell makes are as those of any login.
const UMASK: u32 = 0o022;

/// A shell that could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// This process's account.
    #[error("the agent's account is not known")]
    Account(#[source] io::Error),
    /// No shell.
    #[error("{} cannot be run", .0.display())]
    Shell(PathBuf),
    /// No PTY, or no process; in the system's words.
    #[error("{doing}: {said}")]
    System {
        /// What was to be done.
        doing: &'static str,
        /// What was said.
        said: String,
    },
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::System {
        doing,
        said: error.to_string(),
    }
}

/// The account that the shell runs as.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    home: PathBuf,
    shell: PathBuf,
}

impl Account {
    /// The agent's own.
    fn own() -> Result<Self, StartError> {
        let uid = geteuid();
        let user = User::from_uid(uid).map_err(|error| StartError::Account(error.into()))?;
        let (name, home, shell) = match user {
            Some(user) => (user.name, user.dir, user.shell),
            None => (uid.to_string(), PathBuf::from("/"), PathBuf::new()),
        };
        let refuses = shell
            .file_name()
            .is_none_or(|name| NO_SHELLS.iter().any(|no| name == *no));
        let shell = if refuses || access(&shell, AccessFlags::X_OK).is_err() {
            PathBuf::from(SHELL_FALLBACK)
        } else {
            shell
        };
        if access(&shell, AccessFlags::X_OK).is_err() {
            return Err(StartError::Shell(shell));
        }
        Ok(Self {
            name,
            uid: uid.as_raw(),
            home,
            shell,
        })
    }

    /// What is run, with an environment of its own: nothing of the agent's is in it.
    fn command(&self, asked: &Asked) -> CommandBuilder {
        let mut command = CommandBuilder::new(&self.shell);
        command.env_clear();
        let name = self.shell.file_name().and_then(|name| name.to_str());
        let known = SHELLS.iter().find(|shell| Some(shell.name) == name);
        if let Some(shell) = known {
            command.args(shell.arguments);
            command.env("PS1", shell.prompt);
        }
        let path = if self.uid == 0 {
            PATH_ROOT
        } else {
            PATH_OTHERS
        };
        command.env("PATH", path);
        command.env("HOME", &self.home);
        command.env("SHELL", &self.shell);
        command.env("USER", &self.name);
        command.env("LOGNAME", &self.name);
        command.env("TERM", &asked.term);
        command.env("LANG", "C.UTF-8");
        command.env(super::process::MARK, asked.id.to_string());
        command.umask(Some(UMASK as _));
        command.cwd(if self.home.is_dir() {
            &self.home
        } else {
            Path::new("/")
        });
        command
    }
}

/// A running shell.
pub(super) struct Shell {
    pub(super) account: Account,
    pub(super) pid: u32,
    /// In a lock only because it may not be shared without; nobody ever waits for it.
    pty: Mutex<Box<dyn MasterPty + Send>>,
    child: Box<dyn Child + Send + Sync>,
    master: AsyncFd<OwnedFd>,
}

/// How a shell ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exited {
    /// By itself.
    Code(u32),
    /// By a signal.
    Signal(u32),
    /// The system does not say.
    Unknown,
}

impl Shell {
    /// Starts it. What comes with it completes when it has ended; it is not buried then.
    pub(super) fn start(asked: &Asked) -> Result<(Self, oneshot::Receiver<Exited>), StartError> {
        let account = Account::own()?;
        let said = |doing| {
            move |error: Box<dyn std::error::Error>| StartError::System {
                doing,
                said: error.to_string(),
            }
        };
        let pair = native_pty_system()
            .openpty(pty_size(asked.columns, asked.rows))
            .map_err(|error| said("open a PTY")(error.into()))?;
        let master = non_blocking(pair.master.as_ref()).map_err(failed("use the PTY"))?;
        let child = pair
            .slave
            .spawn_command(account.command(asked))
            .map_err(|error| said("run the shell")(error.into()))?;
        // Ours would keep the PTY open behind everybody's back.
        drop(pair.slave);
        let pid = child.process_id().unwrap_or_default();
        forget_privilege_of_memory(pid);
        let exiting = watch(pid).map_err(failed("start a thread"))?;
        let shell = Self {
            account,
            pid,
            pty: Mutex::new(pair.master),
            child,
            master,
        };
        Ok((shell, exiting))
    }

    /// Path of the shell.
    pub(super) fn program(&self) -> String {
        self.account.shell.display().to_string()
    }

    /// Tells the PTY its size; programs in it get SIGWINCH.
    pub(super) fn resize(&self, columns: u16, rows: u16) {
        let pty = self.pty.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = pty.resize(pty_size(columns, rows)) {
            tracing::warn!(%error, "a terminal keeps its size");
        }
    }

    /// The character that means "end of input", where the PTY has one now.
    pub(super) fn end_of_input(&self) -> Option<u8> {
        let settings = tcgetattr(self.master.get_ref().as_fd()).ok()?;
        let character = settings.control_chars[SpecialCharacterIndices::VEOF as usize];
        (character != 0).then_some(character)
    }

    /// Whether what is typed now is shown by the PTY itself. Where it is not, a program may be asking for a secret.
    pub(super) fn echoes(&self) -> bool {
        tcgetattr(self.master.get_ref().as_fd())
            .is_ok_and(|settings| settings.local_flags.contains(LocalFlags::ECHO))
    }

    /// Reads what was printed, as much as is there, at most `room`; nothing at the end.
    pub(super) async fn read(&self, room: usize) -> io::Result<Vec<u8>> {
        self.master
            .async_io(Interest::READABLE, |master| {
                let mut bytes = vec![0; room];
                let mut read = 0;
                // One read of a PTY gives no more than 4 KiB.
                while let Some(room) = bytes.get_mut(read..).filter(|room| !room.is_empty()) {
                    match nix::unistd::read(master, room) {
                        // EIO: nobody has the other side open.
                        Ok(0) | Err(nix::Error::EIO) => break,
                        Ok(more) => read += more,
                        Err(nix::Error::EINTR) => {}
                        Err(nix::Error::EAGAIN) if read > 0 => break,
                        Err(error) => return Err(error.into()),
                    }
                }
                bytes.truncate(read);
                Ok(bytes)
            })
            .await
    }

    /// Writes what is typed, as much as the PTY takes now; and whether it echoed that.
    pub(super) async fn write(&self, from: &[u8]) -> io::Result<(usize, bool)> {
        self.master
            .async_io(Interest::WRITABLE, |master| {
                // Echo is made as the PTY takes a byte, so it is asked for right before. What is typed ahead of a question
                // with echo off was echoed, and stands in the output.
                let echoes = self.echoes();
                Ok((nix::unistd::write(master, from)?, echoes))
            })
            .await
    }

    /// Buries the shell; one that nothing can end is left to a thread.
    pub(super) fn bury(mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let mut child = self.child;
        let waiting = std::thread::Builder::new()
            .name("terminal-end".into())
            // Nothing is to be done with how it ends.
            .spawn(move || child.wait().map(drop));
        if let Err(error) = waiting {
            tracing::warn!(%error, "a shell that does not end will stay a zombie");
        }
    }
}

fn pty_size(columns: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        pixel_width: 0,
        pixel_height: 0,
    }
}

/// A second descriptor of the PTY, which never blocks and which tokio can wait for.
fn non_blocking(pty: &dyn MasterPty) -> io::Result<AsyncFd<OwnedFd>> {
    let raw = pty
        .as_raw_fd()
        .ok_or_else(|| io::Error::other("it has no descriptor"))?;
    let owned = duplicate(raw)?;
    let flags = OFlag::from_bits_retain(fcntl(&owned, FcntlArg::F_GETFL)?);
    fcntl(&owned, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    // SAFETY: an `OwnedFd` keeps its descriptor open, and the same, for as long as it lives; the `AsyncFd` owns it.
    #[expect(unsafe_code, reason = "tokio trusts the type's descriptor")]
    let registered = unsafe { AsyncFd::register(owned) };
    registered.map_err(io::Error::from)
}

/// A descriptor of our own of the same file, closed on exec.
fn duplicate(raw: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor belongs to the PTY that the caller holds and lives as long as the borrow, which ends in
    // this statement.
    #[expect(unsafe_code, reason = "portable-pty gives a number and no borrow")]
    let borrowed = unsafe { BorrowedFd::borrow_raw(raw) };
    borrowed.try_clone_to_owned()
}

/// The system kills the agent last when memory runs out. That is not meant for what runs in a terminal.
fn forget_privilege_of_memory(pid: u32) {
    if cfg!(target_os = "linux") {
        // Where the agent has no such privilege there is nothing to give up.
        let _kept = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "0");
    }
}

/// Waits for the shell's end in a thread, without burying it.
fn watch(pid: u32) -> io::Result<oneshot::Receiver<Exited>> {
    let (told, exited) = oneshot::channel();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap_or_default());
    std::thread::Builder::new()
        .name("terminal".into())
        .spawn(move || {
            let ended = loop {
                match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                    Ok(WaitStatus::Exited(_, code)) => {
                        break Exited::Code(u32::try_from(code).unwrap_or(u32::MAX));
                    }
                    Ok(WaitStatus::Signaled(_, signal, _)) => {
                        break Exited::Signal(u32::try_from(signal as i32).unwrap_or_default());
                    }
                    Err(nix::Error::EINTR) => {}
                    Ok(_) | Err(_) => break Exited::Unknown,
                }
            };
            // Whoever waited may have gone.
            let _gone = told.send(ended);
        })?;
    Ok(exited)
}
