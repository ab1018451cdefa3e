//! One line or record of one source, reduced to what it says about a login. Sources differ in what
//! they know and in how they word it; after this they differ only in which fields are filled.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::login::{Account, Method, Origin, Terminal};
use crate::text::cut;

/// Where a record was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Source {
    /// journald or a syslog file: lasting, in the programs' own words.
    Text,
    /// wtmp and btmp: lasting, only logins that have a terminal and failures.
    Accounting,
    /// The kernel's audit stream: complete while it is read, not kept.
    Audit,
    /// The agent saw that the process is gone.
    Process,
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Sign {
    /// One attempt was refused. Each source that says so says it once an attempt.
    Failed,
    /// PAM refused, said by PAM and not by the program that asked; the program's word may follow.
    PamFailed,
    /// sshd relays a refusal of PAM; may or may not be followed by its own word.
    RelayedFailure,
    /// The conversation concerns an account that does not exist, or was refused something that is not
    /// an attempt by itself: sshd tries keys that the user never chose.
    Hint,
    /// The conversation ended without a login.
    GivenUp,
    /// PAM accepted.
    PamAccepted,
    /// The program accepted.
    Accepted,
    /// A session began.
    Opened,
    /// A terminal was given to it.
    TerminalGiven,
    /// Nothing by itself; its details belong to the conversation.
    Context,
    /// The session ended.
    Closed,
}

/// What a record knows. Empty means that it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Detail {
    pub(crate) user: Account,
    pub(crate) user_exists: Option<bool>,
    pub(crate) actor: Account,
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) host: Option<String>,
    pub(crate) method: Option<Method>,
    pub(crate) key_fingerprint: Option<String>,
    pub(crate) terminal: Terminal,
    pub(crate) audit_session: Option<u32>,
    pub(crate) login_uid: Option<u32>,
    pub(crate) command: Option<String>,
    pub(crate) reason: Option<String>,
}

impl Detail {
    /// Takes from `other` what is not known here. Whoever is asked first wins.
    pub(crate) fn fill(&mut self, other: &Self) {
        fn take<T: Clone>(here: &mut Option<T>, there: &Option<T>) {
            if here.is_none() {
                here.clone_from(there);
            }
        }
        fill_account(&mut self.user, &other.user);
        take(&mut self.user_exists, &other.user_exists);
        fill_account(&mut self.actor, &other.actor);
        // An address and a port belong together.
        if self.address.is_none() || self.address == other.address {
            take(&mut self.port, &other.port);
        }
        take(&mut self.address, &other.address);
        take(&mut self.host, &other.host);
        // So do a method and its key.
        if self.method.is_none() || self.method == other.method {
            take(&mut self.key_fingerprint, &other.key_fingerprint);
        }
        take(&mut self.method, &other.method);
        if self.terminal == Terminal::Unknown {
            self.terminal.clone_from(&other.terminal);
        }
        take(&mut self.audit_session, &other.audit_session);
        take(&mut self.login_uid, &other.login_uid);
        take(&mut self.command, &other.command);
        take(&mut self.reason, &other.reason);
    }

    /// Where a login to `service` came from, by what is known.
    pub(crate) fn origin(&self, service: &str) -> Origin {
        // These are reached only by this machine's own processes and terminals.
        let is_local = matches!(service, "su" | "sudo" | "login" | "cron" | "at" | "pkexec");
        if self.address.is_some() || self.host.is_some() {
            Origin::Remote {
                address: self.address,
                port: self.port,
                host: self.host.clone(),
            }
        } else if is_local {
            Origin::Local
        } else {
            Origin::Unknown
        }
    }

    /// Notes a host as logged: an address where it is one, a name otherwise; `?` and empty are nothing.
    pub(crate) fn set_host(&mut self, text: &str) {
        // A scoped IPv6 address keeps its address; the scope means nothing elsewhere.
        let plain = text.split('%').next().unwrap_or(text);
        if let Ok(address) = plain.parse() {
            self.address = Some(address);
        } else if !matches!(text, "" | "?" | "UNKNOWN" | "(null)") {
            self.host = Some(cut(text.to_owned()));
        }
    }

    /// Notes a terminal as logged; what is only a word for "no terminal" is not one.
    pub(crate) fn set_terminal(&mut self, text: &str) {
        let name = text.strip_prefix("/dev/").unwrap_or(text);
        self.terminal = match name {
            "" | "?" | "ssh" | "sshd" | "cron" | "(null)" | "unknown" => Terminal::Unknown,
            "none" | "(none)" => Terminal::None,
            name => Terminal::Name(cut(name.to_owned())),
        };
    }
}

/// Takes a uid or a name that is missing, unless the two would then speak of different accounts.
fn fill_account(here: &mut Account, there: &Account) {
    let differs = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
    let uid_differs = here.uid.is_some() && there.uid.is_some() && here.uid != there.uid;
    if uid_differs || differs(&here.name, &there.name) {
        return;
    }
    here.uid = here.uid.or(there.uid);
    if here.name.is_none() {
        here.name.clone_from(&there.name);
    }
}

/// A record of one source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Record {
    /// When, by the source, Unix milliseconds.
    pub(crate) time_ms: i64,
    /// Which source.
    pub(crate) source: Source,
    /// The program, in its common name.
    pub(crate) service: String,
    /// Its process; sudo's lines have none.
    pub(crate) pid: Option<u32>,
    /// What it says.
    pub(crate) sign: Sign,
    /// How often it says it: syslog folds repeats.
    pub(crate) count: u32,
    /// What it knows.
    pub(crate) detail: Box<Detail>,
}

/// The common name of a program or PAM service; `None` for those whose sessions are no logins:
/// systemd's own user manager, and runuser, which asks nobody and is root's.
pub(crate) fn service_name(name: &str) -> Option<String> {
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = match name {
        "sshd" | "sshd-session" | "sshd-auth" => "sshd",
        "su" | "su-l" => "su",
        "sudo" | "sudo-i" => "sudo",
        "login" | "remote" => "login",
        "cron" | "crond" | "CRON" | "CROND" | "anacron" => "cron",
        "atd" | "at" => "at",
        "gdm-session-worker" => "gdm",
        "pkexec" | "polkit-1" => "pkexec",
        "" | "systemd-user" | "systemd" | "systemd-executor" | "runuser" | "runuser-l" => {
            return None;
        }
        name if name.starts_with("gdm") => "gdm",
        name if name.starts_with("sddm") => "sddm",
        name if name.starts_with("lightdm") => "lightdm",
        name => name,
    };
    Some(cut(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_overwritten_and_accounts_are_not_mixed() {
        let mut detail = Detail::default();
        detail.user.name = Some("alice".into());
        let mut other = Detail {
            user: Account {
                uid: Some(0),
                name: Some("root".into()),
            },
            ..Detail::default()
        };
        other.set_host("127.0.0.1");
        detail.fill(&other);
        assert_eq!(detail.user.uid, None);
        assert_eq!(detail.address, Some("127.0.0.1".parse().unwrap()));
        other.user = Account {
            uid: Some(1001),
            name: None,
        };
        detail.fill(&other);
        assert_eq!(detail.user.uid, Some(1001));
    }

    #[test]
    fn words_for_nothing_are_nothing() {
        let mut detail = Detail::default();
        detail.set_host("?");
        detail.set_terminal("ssh");
        assert_eq!(detail, Detail::default());
        detail.set_host("fe80::1%eth0");
        assert_eq!(detail.address, Some("fe80::1".parse().unwrap()));
        detail.set_terminal("/dev/pts/3");
        assert_eq!(detail.terminal, Terminal::Name("pts/3".into()));
    }

    #[test]
    fn services_have_one_name_each() {
        for (name, expected) in [
            ("/usr/sbin/sshd", Some("sshd")),
            ("/usr/lib/openssh/sshd-session", Some("sshd")),
            ("su-l", Some("su")),
            ("gdm-password", Some("gdm")),
            ("systemd-user", None),
            ("/usr/sbin/runuser", None),
            ("vsftpd", Some("vsftpd")),
        ] {
            assert_eq!(service_name(name).as_deref(), expected, "{name}");
        }
    }
}
