//! The accounting files wtmp, btmp and utmp: arrays of fixed records in glibc's layout. Pure.
//!
//! ```text
//! 0 type i16   4 pid i32   8 line [32]   40 id [4]   44 user [32]   76 host [256]   332 exit [4]
//! compact (x86_64):      336 session i32   340 seconds i32   344 microseconds i32   348 address [16]   384
//! wide (aarch64):        336 session i64   344 seconds i64   352 microseconds i64   360 address [16]   400
//! ```
//!
//! They know only logins with a terminal and failures. Newer systems do not write them at all: their absence
//! says nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::login::Method;
use super::record::{Detail, Record, Sign, Source};
use crate::text::cut;

/// How the records are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// 384 bytes, 32-bit times.
    Compact,
    /// 400 bytes, 64-bit times.
    Wide,
}

impl Layout {
    /// That of this machine's C library.
    pub(crate) const NATIVE: Self = if cfg!(any(
        target_arch = "aarch64",
        target_arch = "riscv64",
        target_arch = "loongarch64"
    )) {
        Self::Wide
    } else {
        Self::Compact
    };

    /// Bytes of one record.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::Compact => 384,
            Self::Wide => 400,
        }
    }
}

/// Types of records that matter here, from utmp.h.
mod kind {
    pub(super) const RUN_LEVEL: i16 = 1;
    pub(super) const BOOT_TIME: i16 = 2;
    pub(super) const USER_PROCESS: i16 = 7;
    pub(super) const DEAD_PROCESS: i16 = 8;
}

/// One record as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    kind: i16,
    pid: Option<u32>,
    line: String,
    user: String,
    host: String,
    address: Option<IpAddr>,
    time_ms: i64,
}

/// What an entry of wtmp says about the machine itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    /// It booted.
    Booted,
    /// It was shut down.
    ShutDown,
}

impl Entry {
    /// Reads one record; `None` where it is too short.
    pub(crate) fn parse(bytes: &[u8], layout: Layout) -> Option<Self> {
        let (seconds, microseconds, address) = match layout {
            Layout::Compact => (
                i64::from(i32::from_ne_bytes(at(bytes, 340)?)),
                i64::from(i32::from_ne_bytes(at(bytes, 344)?)),
                at(bytes, 348)?,
            ),
            Layout::Wide => (
                i64::from_ne_bytes(at(bytes, 344)?),
                i64::from_ne_bytes(at(bytes, 352)?),
                at(bytes, 360)?,
            ),
        };
        let pid = i32::from_ne_bytes(at(bytes, 4)?);
        Some(Self {
            kind: i16::from_ne_bytes(at(bytes, 0)?),
            pid: u32::try_from(pid).ok().filter(|&pid| pid != 0),
            line: text(bytes, 8, 32)?,
            user: text(bytes, 44, 32)?,
            host: text(bytes, 76, 256)?,
            address: ip(address),
            time_ms: seconds
                .checked_mul(1000)?
                .checked_add(microseconds / 1000)?,
        })
    }

    /// When it was written, Unix milliseconds.
    pub(crate) fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// What it says about the machine.
    pub(crate) fn machine(&self) -> Option<Machine> {
        match self.kind {
            kind::BOOT_TIME => Some(Machine::Booted),
            kind::RUN_LEVEL if self.user == "shutdown" => Some(Machine::ShutDown),
            _ => None,
        }
    }

    /// A login or logout, from wtmp.
    pub(crate) fn login(&self) -> Option<Record> {
        // Terminal multiplexers and emulators register their windows as if they were logins.
        let window = self.host.starts_with("tmux(")
            || self.host.contains(":S.")
            || (self.line.starts_with("pts/") && self.host.starts_with(':'));
        match self.kind {
            kind::USER_PROCESS if !window => Some(self.record(Sign::Opened)),
            kind::DEAD_PROCESS => Some(self.record(Sign::Closed)),
            _ => None,
        }
        .filter(|record| record.pid.is_some())
    }

    /// A failed login, from btmp.
    pub(crate) fn failure(&self) -> Option<Record> {
        (!self.line.is_empty()).then(|| self.record(Sign::Failed))
    }

    fn record(&self, sign: Sign) -> Record {
        let mut detail = Detail::default();
        if !matches!(self.user.as_str(), "" | "UNKNOWN") {
            detail.user.name = Some(cut(self.user.clone()));
        }
        detail.set_host(&self.host);
        detail.address = detail.address.or(self.address);
        let over_ssh = self.line == "ssh:notty";
        if !over_ssh {
            detail.set_terminal(&self.line);
        }
        // The program is not recorded: a record of the same process in another source tells it.
        let service = if over_ssh { "sshd" } else { "" };
        if service.is_empty() && sign == Sign::Failed {
            // Whatever records here at a terminal has asked for one.
            detail.method = Some(Method::Password);
        }
        Record {
            time_ms: self.time_ms,
            source: Source::Accounting,
            service: service.to_owned(),
            pid: self.pid,
            sign,
            count: 1,
            detail: Box::new(detail),
        }
    }
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

/// A text that ends at its first zero or with its field.
fn text(bytes: &[u8], offset: usize, size: usize) -> Option<String> {
    let field = bytes.get(offset..offset.checked_add(size)?)?;
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(size);
    Some(String::from_utf8_lossy(field.get(..end)?).into_owned())
}

/// IPv4 stands in the first four bytes, the others zero.
fn ip(bytes: [u8; 16]) -> Option<IpAddr> {
    let [a, b, c, d, rest @ ..] = bytes;
    if rest != [0; 12] {
        return Some(Ipv6Addr::from(bytes).to_canonical());
    }
    ([a, b, c, d] != [0; 4]).then(|| Ipv4Addr::new(a, b, c, d).into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sensor::session::login::Terminal;

    /// A record as a program would write it, in the compact layout.
    pub(crate) fn bytes(kind: i16, pid: i32, texts: [&str; 3], seconds: i32) -> Vec<u8> {
        let mut bytes = vec![0; Layout::Compact.size()];
        bytes[..2].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..8].copy_from_slice(&pid.to_ne_bytes());
        for (offset, text) in [8, 44, 76].into_iter().zip(texts) {
            bytes[offset..offset + text.len()].copy_from_slice(text.as_bytes());
        }
        bytes[340..344].copy_from_slice(&seconds.to_ne_bytes());
        bytes[344..348].copy_from_slice(&516_991_i32.to_ne_bytes());
        bytes
    }

    fn entry(kind: i16, texts: [&str; 3]) -> Entry {
        Entry::parse(&bytes(kind, 26181, texts, 1_795_495_725), Layout::Compact).unwrap()
    }

    #[test]
    fn a_login_with_a_terminal() {
        let record = entry(7, ["pts/1", "alice", "127.0.0.1"]).login().unwrap();
        assert_eq!(record.time_ms, 1_795_495_725_516);
        assert_eq!((record.sign, record.pid), (Sign::Opened, Some(26181)));
        assert_eq!(record.detail.address, Some("127.0.0.1".parse().unwrap()));
        assert_eq!(record.detail.terminal, Terminal::Name("pts/1".into()));
        assert_eq!(
            entry(8, ["pts/1", "", ""]).login().unwrap().sign,
            Sign::Closed
        );
    }

    #[test]
    fn a_failure_over_ssh_has_no_terminal() {
        let record = entry(6, ["ssh:notty", "nosuch", "::1"]).failure().unwrap();
        assert_eq!(
            (record.sign, record.service.as_str()),
            (Sign::Failed, "sshd")
        );
        assert_eq!(record.detail.terminal, Terminal::Unknown);
        assert_eq!(record.detail.address, Some("::1".parse().unwrap()));
    }

    #[test]
    fn windows_of_a_multiplexer_are_no_logins() {
        for host in ["tmux(1234).%0", ":pts/0:S.0", ":0"] {
            assert_eq!(entry(7, ["pts/4", "alice", host]).login(), None, "{host}");
        }
        assert!(entry(7, [":0", "alice", ":0"]).login().is_some());
    }

    #[test]
    fn boot_and_shutdown() {
        assert_eq!(
            entry(2, ["~", "reboot", "6.1"]).machine(),
            Some(Machine::Booted)
        );
        assert_eq!(
            entry(1, ["~", "shutdown", "6.1"]).machine(),
            Some(Machine::ShutDown)
        );
        assert_eq!(entry(1, ["~", "runlevel", "6.1"]).machine(), None);
    }

    #[test]
    fn a_short_or_senseless_record_is_harmless() {
        assert_eq!(Entry::parse(&[7; 100], Layout::Compact), None);
        let noise = Entry::parse(&[0xff; 400], Layout::Wide).unwrap();
        assert_eq!(noise.login(), None);
        assert!(Entry::parse(&[0x7f; 400], Layout::Wide).is_none());
    }

    #[test]
    fn a_wide_record_has_its_times_further_on() {
        let mut wide = bytes(7, 9, ["tty1", "bob", ""], 0);
        wide.resize(Layout::Wide.size(), 0);
        wide[336..].fill(0);
        wide[344..352].copy_from_slice(&5_i64.to_ne_bytes());
        wide[352..360].copy_from_slice(&7000_i64.to_ne_bytes());
        wide[360..364].copy_from_slice(&[10, 0, 0, 1]);
        let entry = Entry::parse(&wide, Layout::Wide).unwrap();
        assert_eq!(entry.time_ms(), 5007);
        assert_eq!(entry.address, Some("10.0.0.1".parse().unwrap()));
    }
}
