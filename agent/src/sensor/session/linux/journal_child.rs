//! `journalctl --follow` as a child: the journal's format is journald's own, and this is how it wants to be read.
//!
//! The child is told where to go on by the cursor of the last line. It ends with its pipe, so it cannot outlive us.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::sensor::session::journal::{self, Line};

/// Bytes of one line that are kept: messages are short, and journalctl cuts longer ones itself unless asked.
const LINE_MAX: usize = 64 << 10;

/// Bytes that one call reads; more stay for the next.
const READ_MAX: usize = 256 << 10;

/// Where journalctl is.
const PROGRAMS: [&str; 2] = ["/usr/bin/journalctl", "/bin/journalctl"];

/// The running child.
#[derive(Debug)]
pub(super) struct JournalChild {
    child: Child,
    output: ChildStdout,
    rest: Vec<u8>,
}

/// What a call found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Lines in order.
    pub(super) lines: Vec<Line>,
    /// There is more to read at once.
    pub(super) more: bool,
    /// The child has ended.
    pub(super) ended: bool,
}

/// Where the journal is read from.
#[derive(Debug, Clone)]
pub(super) enum From {
    /// After this line.
    Cursor(String),
    /// From this time on, Unix milliseconds.
    Time(i64),
}

/// Whether this machine has a journal that can be read.
pub(super) fn is_there() -> bool {
    let keeps = ["/run/log/journal", "/var/log/journal"]
        .iter()
        .any(|path| Path::new(path).is_dir());
    keeps && Path::new("/run/systemd/journal/socket").exists() && program().is_some()
}

fn program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|path| Path::new(path).exists())
}

impl JournalChild {
    /// Starts it.
    pub(super) fn start(from: &From) -> io::Result<Self> {
        let program = program().ok_or(io::ErrorKind::NotFound)?;
        let begin = match from {
            From::Cursor(cursor) => format!("--after-cursor={cursor}"),
            From::Time(time_ms) => format!("--since=@{}", time_ms / 1000),
        };
        let mut child = Command::new(program)
            .args(["--follow", "--no-tail", "--quiet", "--output=json"])
            .arg(format!("--output-fields={}", journal::FIELDS))
            .arg(begin)
            // auth and authpriv.
            .args(["SYSLOG_FACILITY=4", "SYSLOG_FACILITY=10"])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let flags = OFlag::from_bits_retain(fcntl(&output, FcntlArg::F_GETFL)?);
        fcntl(&output, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self {
            child,
            output,
            rest: Vec::new(),
        })
    }

    /// Reads what has come.
    pub(super) fn read(&mut self) -> io::Result<Found> {
        let mut found = Found::default();
        let mut buffer = [0; 16 << 10];
        let mut taken = 0;
        while taken < READ_MAX {
            match self.output.read(&mut buffer) {
                Ok(0) => {
                    found.ended = true;
                    break;
                }
                Ok(length) => {
                    taken += length;
                    self.rest.extend(buffer.get(..length).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        found.more = taken >= READ_MAX;
        if let Some(last) = self.rest.iter().rposition(|&byte| byte == b'\n') {
            let rest = self.rest.split_off(last + 1);
            let whole = std::mem::replace(&mut self.rest, rest);
            let lines = whole.split(|&byte| byte == b'\n');
            found.lines.extend(lines.filter_map(journal::parse));
        } else if self.rest.len() > LINE_MAX {
            self.rest.clear();
        }
        Ok(found)
    }
}

impl AsFd for JournalChild {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }
}

impl Drop for JournalChild {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
