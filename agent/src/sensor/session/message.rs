//! What programs write to the system's log when they let somebody in or refuse to. Pure.
//!
//! A user name in a refused login is whatever the caller typed, with blanks and all: where a message puts it
//! before fields of the program's own, those are searched from the end. sudo's lines have no process and put the
//! working directory before the command; a directory named like a field can hide the rest of such a line.

use super::login::{Account, COMMAND_BYTES_MAX, Method, Terminal};
use super::record::{Detail, Sign, service_name};
use crate::text::{cut, cut_at};

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saying {
    /// The program or PAM service.
    pub(crate) service: String,
    /// What about.
    pub(crate) sign: Sign,
    /// How often.
    pub(crate) count: u32,
    /// With which details.
    pub(crate) detail: Detail,
}

/// Repeats of one line that are believed.
const REPEATS_MAX: u32 = 1000;

/// Understands a message of `program`; `None` where it does not speak of a login.
pub(crate) fn understand(program: &str, message: &str) -> Option<Saying> {
    if let Some((count, repeated)) = repeated(message) {
        let saying = understand(program, repeated)?;
        let count = saying.count.saturating_mul(count).min(REPEATS_MAX);
        return Some(Saying { count, ..saying });
    }
    if message.starts_with("pam_") {
        return pam(message);
    }
    let service = service_name(program)?;
    let (sign, detail) = match service.as_str() {
        "sshd" => sshd(message)?,
        "su" => su(message)?,
        "sudo" => sudo(message)?,
        "login" => login(message)?,
        _ => return None,
    };
    Some(Saying {
        service,
        sign,
        count: 1,
        detail,
    })
}

/// `message repeated 2 times: [ Failed password for ...]`, as rsyslog folds.
fn repeated(message: &str) -> Option<(u32, &str)> {
    let rest = message.strip_prefix("message repeated ")?;
    let (count, rest) = rest.split_once(" times: [")?;
    // No repeat within a repeat: rsyslog writes none, and it would have no end.
    let inner = rest.trim_start().strip_suffix(']')?;
    let nested = inner.starts_with("message repeated ");
    (!nested).then_some((count.parse().ok()?, inner))
}

fn named(name: &str) -> Account {
    Account {
        uid: None,
        name: (!name.is_empty()).then(|| cut(name.to_owned())),
    }
}

/// `alice(uid=1001)`, `(uid=1001)` or `alice`.
fn account(text: &str) -> Account {
    match text.rsplit_once("(uid=") {
        Some((name, uid)) => Account {
            uid: uid.trim_end_matches(')').parse().ok(),
            ..named(name)
        },
        None => named(text),
    }
}

/// `pam_unix(sshd:session): session opened for user alice(uid=1001) by (uid=0)`
fn pam(message: &str) -> Option<Saying> {
    let (head, text) = message.split_once("): ")?;
    let (module, place) = head.split_once('(')?;
    let (name, stage) = place.split_once(':')?;
    let service = service_name(name)?;
    let mut detail = Detail::default();
    let sign = match (module, stage) {
        ("pam_unix", "session") => pam_session(text, &service, &mut detail)?,
        ("pam_unix" | "pam_sss", "auth") => pam_auth(text, &service, &mut detail)?,
        _ => return None,
    };
    Some(Saying {
        service,
        sign,
        count: 1,
        detail,
    })
}

fn pam_session(text: &str, service: &str, detail: &mut Detail) -> Option<Sign> {
    if let Some(name) = text.strip_prefix("session closed for user ") {
        detail.user = account(name);
        return Some(Sign::Closed);
    }
    let rest = text.strip_prefix("session opened for user ")?;
    let (user, by) = rest.rsplit_once(" by ").unwrap_or((rest, ""));
    detail.user = account(user);
    match service {
        // The name beside the id is that of the terminal's login, not of the caller.
        "su" | "sudo" | "pkexec" => {
            detail.actor = account(by);
            if detail.actor.uid.is_some() {
                detail.actor.name = None;
            }
        }
        "cron" | "at" => {
            detail.method = Some(Method::NotAsked);
            detail.terminal = Terminal::None;
        }
        _ => {}
    }
    Some(Sign::Opened)
}

/// `authentication failure; logname= uid=1002 euid=0 tty=/dev/pts/0 ruser=bob rhost=  user=alice`
fn pam_auth(text: &str, service: &str, detail: &mut Detail) -> Option<Sign> {
    if text == "check pass; user unknown" {
        // sshd says so itself.
        detail.user_exists = (service != "sshd").then_some(false);
        return detail.user_exists.and(Some(Sign::Context));
    }
    let fields = text.strip_prefix("authentication failure; ")?;
    // The caller chooses the name at the end; what stands before it is PAM's.
    let (fields, user) = fields.split_once(" user=").unwrap_or((fields, ""));
    let field = |key: &str| {
        fields
            .split(' ')
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    };
    detail.user = named(user);
    detail.set_host(field("rhost").unwrap_or_default());
    detail.set_terminal(field("tty").unwrap_or_default());
    match service {
        "su" => detail.actor = named(field("ruser").unwrap_or_default()),
        // It is the caller who is asked.
        "sudo" => detail.actor = std::mem::take(&mut detail.user),
        _ => {}
    }
    if service != "sshd" {
        detail.method = Some(Method::Password);
    }
    Some(Sign::PamFailed)
}

fn sshd(message: &str) -> Option<(Sign, Detail)> {
    let mut detail = Detail::default();
    if let Some(rest) = message.strip_prefix("Accepted ") {
        let (method, rest) = rest.split_once(" for ")?;
        detail.method = Some(ssh_method(method));
        // The account exists, so its name is plain; what follows may name a certificate's holder.
        let (user, peer) = rest.split_once(" from ")?;
        detail.user = named(user);
        detail.user_exists = Some(true);
        peer_of(peer, &mut detail)?;
        return Some((Sign::Accepted, detail));
    }
    if let Some(rest) = message.strip_prefix("Failed ") {
        let (method, rest) = rest.split_once(" for ")?;
        let (user, peer) = rest.rsplit_once(" from ")?;
        ssh_user(user, "invalid user ", &mut detail);
        peer_of(peer, &mut detail)?;
        // Keys are tried one after the other, without the user's doing.
        let sign = match method {
            "none" | "publickey" => Sign::Hint,
            _ => Sign::Failed,
        };
        if sign == Sign::Failed {
            detail.method = Some(ssh_method(method));
        }
        return Some((sign, detail));
    }
    if let Some(rest) = message.strip_prefix("Invalid user ") {
        let (user, peer) = rest.rsplit_once(" from ").or(rest.split_once("from "))?;
        detail.user = named(user);
        detail.user_exists = Some(false);
        peer_of(peer, &mut detail)?;
        return Some((Sign::Hint, detail));
    }
    if let Some(rest) = message.strip_prefix("error: PAM: ") {
        let (reason, rest) = rest.split_once(" for ")?;
        let (user, host) = rest.rsplit_once(" from ")?;
        ssh_user(user, "illegal user ", &mut detail);
        detail.set_host(host);
        detail.method = Some(Method::KeyboardInteractive);
        if reason != "Authentication failure" {
            detail.reason = Some(cut(reason.to_owned()));
        }
        return Some((Sign::RelayedFailure, detail));
    }
    sshd_end(message)
}

/// How sshd says that a conversation led nowhere, and why it will not.
fn sshd_end(message: &str) -> Option<(Sign, Detail)> {
    let mut detail = Detail::default();
    if let Some(rest) = message.strip_prefix("User ")
        && let Some((who, reason)) = rest.split_once(" not allowed because ")
    {
        let (user, host) = who.rsplit_once(" from ").unwrap_or((who, ""));
        detail.user = named(user);
        detail.set_host(host);
        detail.reason = Some(cut(format!("not allowed because {reason}")));
        return Some((Sign::Hint, detail));
    }
    if let Some(rest) = message.strip_prefix("fatal: Access denied for user ") {
        let (user, reason) = rest.split_once(" by ")?;
        detail.user = named(user);
        detail.reason = Some(cut(format!(
            "denied by {}",
            reason.trim_end_matches(" [preauth]")
        )));
        return Some((Sign::GivenUp, detail));
    }
    let before = message.strip_suffix(" [preauth]")?;
    if let Some(rest) = before.strip_prefix("error: maximum authentication attempts exceeded for ")
    {
        let (user, peer) = rest.rsplit_once(" from ")?;
        ssh_user(user, "invalid user ", &mut detail);
        peer_of(peer, &mut detail)?;
        return Some((Sign::GivenUp, detail));
    }
    let (_how, who) = ["authenticating user ", "invalid user "]
        .into_iter()
        .filter_map(|marker| before.split_once(marker))
        .min_by_key(|(how, _)| how.len())
        .filter(|(how, _)| how.starts_with("Connection ") || how.starts_with("Disconnect"))?;
    if before.contains("invalid user ") && !before.contains("authenticating user ") {
        detail.user_exists = Some(false);
    }
    // `nosuch 127.0.0.1 port 47886`, perhaps with `: Too many authentication failures` or `:11: ...` behind.
    let (who, port) = who.rsplit_once(" port ")?;
    let (user, host) = who.rsplit_once(' ')?;
    detail.user = named(user);
    detail.set_host(host);
    detail.port = leading_number(port);
    Some((Sign::GivenUp, detail))
}

fn ssh_user(text: &str, marker: &str, detail: &mut Detail) {
    let unknown = text.strip_prefix(marker);
    detail.user = named(unknown.unwrap_or(text));
    if unknown.is_some() {
        detail.user_exists = Some(false);
    }
}

fn ssh_method(word: &str) -> Method {
    // `keyboard-interactive/pam` names the device behind it.
    match word.split('/').next().unwrap_or(word) {
        "password" => Method::Password,
        "publickey" => Method::PublicKey,
        "keyboard-interactive" => Method::KeyboardInteractive,
        other => Method::Other(cut(other.to_owned())),
    }
}

/// `127.0.0.1 port 47872 ssh2: ED25519 SHA256:mARq...`
fn peer_of(text: &str, detail: &mut Detail) -> Option<()> {
    let (host, rest) = text.split_once(" port ")?;
    detail.set_host(host);
    detail.port = leading_number(rest);
    if let Some((_, key)) = rest.split_once(" ssh2: ") {
        detail.key_fingerprint = key
            .split(' ')
            .find(|word| word.starts_with("SHA256:") || word.starts_with("MD5:"))
            .map(|print| cut(print.to_owned()));
    }
    Some(())
}

fn leading_number(text: &str) -> Option<u16> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// `(to alice) bob on pts/0`, `FAILED SU (to alice) bob on pts/0`; older: `Successful su for alice by bob`.
fn su(message: &str) -> Option<(Sign, Detail)> {
    let mut detail = Detail::default();
    let (failed, rest) = match message.strip_prefix("FAILED SU ") {
        Some(rest) => (true, rest),
        None => (false, message),
    };
    if let Some(rest) = rest.strip_prefix("(to ") {
        let (user, rest) = rest.split_once(") ")?;
        let (actor, terminal) = rest.rsplit_once(" on ")?;
        detail.user = named(user);
        detail.actor = named(actor);
        detail.set_terminal(terminal);
    } else {
        let (outcome, rest) = message.split_once(" su for ")?;
        let (user, actor) = rest.split_once(" by ")?;
        detail.user = named(user);
        detail.actor = named(actor);
        if outcome == "FAILED" {
            return Some((Sign::Failed, detail));
        }
    }
    if !failed && detail.actor.name.as_deref() == Some("root") {
        detail.method = Some(Method::NotAsked);
    }
    Some((if failed { Sign::Failed } else { Sign::Accepted }, detail))
}

/// `   alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/id`, with a reason before `TTY`
/// where it was refused.
fn sudo(message: &str) -> Option<(Sign, Detail)> {
    let (actor, rest) = message.trim_start().split_once(" : ")?;
    let mut detail = Detail {
        actor: named(actor),
        terminal: Terminal::None,
        ..Detail::default()
    };
    let (fields, command) = rest.split_once("COMMAND=")?;
    detail.command = Some(cut_at(command.to_owned(), COMMAND_BYTES_MAX));
    for field in fields.split(" ; ").map(str::trim) {
        match field.split_once('=') {
            Some(("TTY", tty)) => detail.set_terminal(tty),
            Some(("USER", user)) if detail.user.is_unknown() => detail.user = named(user),
            Some((key, _)) if key.bytes().all(|byte| byte.is_ascii_uppercase()) => {}
            _ if field.is_empty() || detail.reason.is_some() => {}
            _ => detail.reason = Some(cut(field.to_owned())),
        }
    }
    let sign = match detail.reason {
        Some(_) => Sign::Failed,
        None => Sign::Accepted,
    };
    Some((sign, detail))
}

/// `FAILED LOGIN (1) on '/dev/pts/0' FOR 'alice', Authentication failure`, `LOGIN ON tty1 BY alice FROM host`
fn login(message: &str) -> Option<(Sign, Detail)> {
    let mut detail = Detail::default();
    let quoted = |text: &str| text.trim_matches('\'').to_owned();
    if let Some(rest) = message.strip_prefix("FAILED LOGIN ") {
        let (place, rest) = rest.split_once(" FOR ")?;
        let (user, reason) = rest.rsplit_once(", ")?;
        detail.user = named(&quoted(user));
        if detail.user.name.as_deref() == Some("UNKNOWN") {
            detail.user = Account::default();
            detail.user_exists = Some(false);
        }
        detail.reason = Some(cut(reason.to_owned()));
        detail.method = Some(Method::Password);
        let place = place.split_once(") on ").map_or(place, |(_, place)| place);
        let (terminal, host) = place.split_once(" FROM ").unwrap_or((place, ""));
        detail.set_terminal(&quoted(terminal));
        detail.set_host(&quoted(host));
        return Some((Sign::Failed, detail));
    }
    let rest = message.strip_prefix("LOGIN ON ")?;
    let (terminal, rest) = rest.split_once(" BY ")?;
    let (user, host) = rest.split_once(" FROM ").unwrap_or((rest, ""));
    detail.set_terminal(terminal);
    detail.user = named(user);
    detail.set_host(host);
    Some((Sign::TerminalGiven, detail))
}

#[cfg(test)]
mod tests;
