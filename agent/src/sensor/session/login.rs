//! What became of a login, as this sensor tells it: plain data, no wire types.
//!
//! A fact that no source gave stays `None` or `Unknown`; it is never filled in with "no". All text
//! comes from log lines and is hostile: its length is bounded when it is read, its content is not cleaned.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Bytes of a command line that sudo logged.
pub(crate) const COMMAND_BYTES_MAX: usize = 4096;

/// Identifies one login on this endpoint, the same in its start and its end. It derives from the most
/// lasting record that told of it, so that the same log read again gives the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct LoginId(pub(crate) [u8; 16]);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum LoginActivity {
    /// Authentication or authorization was granted.
    Succeeded,
    /// It was refused.
    Failed,
    /// A login that had succeeded ended.
    Ended,
}

/// How the account was proven.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Method {
    /// A password.
    Password,
    /// A key; its fingerprint stands beside it where the source tells it.
    PublicKey,
    /// A dialogue of questions, in practice PAM's.
    KeyboardInteractive,
    /// Nothing was asked: cron, root's su, sudo without password.
    NotAsked,
    /// As the program calls it: `hostbased`, `gssapi-with-mic`.
    Other(String),
}

/// The terminal of a login.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Terminal {
    /// No source tells.
    #[default]
    Unknown,
    /// It has none; a source that records terminals was read and has no record of one.
    None,
    /// Its name without `/dev/`.
    Name(String),
}

/// An account, by what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Account {
    /// Numeric id.
    pub(crate) uid: Option<u32>,
    /// Name.
    pub(crate) name: Option<String>,
}

impl Account {
    /// Whether nothing is known of it.
    pub(crate) fn is_unknown(&self) -> bool {
        self.uid.is_none() && self.name.is_none()
    }
}

/// Where a login came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Origin {
    /// No source tells.
    #[default]
    Unknown,
    /// From this machine itself: its console, or a process on it.
    Local,
    /// Over the network.
    Remote {
        /// Peer's address; `None` where only a host name was logged.
        address: Option<IpAddr>,
        /// Peer's port.
        port: Option<u16>,
        /// The host as it was logged, where that is no address.
        host: Option<String>,
    },
}

/// Which kinds of sources told of it, for the analyst's question "how do we know".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Sources {
    /// The kernel's audit stream.
    pub(crate) audit: bool,
    /// journald or a syslog file.
    pub(crate) text: bool,
    /// wtmp, btmp or utmp.
    pub(crate) accounting: bool,
}

/// One login, failed login or logout.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Login {
    /// The same in a login and its end.
    pub(crate) id: LoginId,
    /// What happened.
    pub(crate) activity: LoginActivity,
    /// When, Unix milliseconds.
    pub(crate) time_ms: i64,
    /// The program that let the account in or refused it: `sshd`, `su`, `sudo`, `login`, `cron`.
    pub(crate) service: String,
    /// The process that decided.
    pub(crate) pid: Option<u32>,
    /// The account that was to be used.
    pub(crate) user: Account,
    /// Whether that account exists on this machine.
    pub(crate) user_exists: Option<bool>,
    /// Who asked, where that is an account of this machine: su and sudo.
    pub(crate) actor: Account,
    /// Where it came from.
    pub(crate) origin: Origin,
    /// How it was proven, or was to be.
    pub(crate) method: Option<Method>,
    /// `SHA256:...` as OpenSSH prints it.
    pub(crate) key_fingerprint: Option<String>,
    /// Its terminal.
    pub(crate) terminal: Terminal,
    /// Kernel's audit session; joins processes to it.
    pub(crate) audit_session: Option<u32>,
    /// Kernel's login uid: for su and sudo the person behind the actor.
    pub(crate) login_uid: Option<u32>,
    /// What sudo ran or refused to run.
    pub(crate) command: Option<String>,
    /// Attempts inside this one that were refused first: sudo asks up to three times.
    pub(crate) failed_attempts: u32,
    /// Why it was refused, in the program's words.
    pub(crate) reason: Option<String>,
    /// Who told of it.
    pub(crate) sources: Sources,
}
