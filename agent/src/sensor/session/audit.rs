//! Records of the kernel's audit stream that speak of logins: user space programs (PAM, sshd, sudo, login) send
//! them to the kernel, which sends them on to whoever listens. Pure.
//!
//! ```text
//! type 1100  audit(1795495725.451:3): pid=26181 uid=0 auid=4294967295 ses=4294967295
//!            msg='op=PAM:authentication grantors=pam_permit acct="alice" exe="/usr/sbin/sshd"
//!                 hostname=127.0.0.1 addr=127.0.0.1 terminal=ssh res=success'
//! ```
//!
//! The kernel writes what stands before `msg=` and takes it from the sending process; what stands in it is
//! that program's word. Only root may send such records. Names with odd bytes are sent as hexadecimal digits.

use data_encoding::HEXUPPER_PERMISSIVE;

use super::login::{Account, COMMAND_BYTES_MAX, Method, Terminal};
use super::record::{Detail, Record, Sign, Source, service_name};
use crate::text::{cut, cut_at};

/// Kinds of records, from linux/audit.h and libaudit.h.
mod kind {
    pub(super) const USER_AUTH: u16 = 1100;
    pub(super) const USER_ACCOUNT: u16 = 1101;
    pub(super) const USER_START: u16 = 1105;
    pub(super) const USER_END: u16 = 1106;
    pub(super) const USER_ERROR: u16 = 1109;
    pub(super) const USER_LOGIN: u16 = 1112;
    pub(super) const USER_LOGOUT: u16 = 1113;
    pub(super) const USER_COMMAND: u16 = 1123;
}

/// What the kernel writes for an id that is not set.
const UNSET: u32 = u32::MAX;

/// Reads one record; `None` where it does not speak of a login or is damaged.
pub(crate) fn parse(kind: u16, payload: &[u8]) -> Option<Record> {
    if !matches!(kind, 1100..=1199) {
        return None;
    }
    let text = String::from_utf8_lossy(payload);
    let text = text.trim_end_matches(['\0', '\n']);
    let (stamp, rest) = text.strip_prefix("audit(")?.split_once("):")?;
    let (outer, message) = rest.split_once("msg='")?;
    let message = message.strip_suffix('\'').unwrap_or(message);
    let word = |key: &str| field(message, key);
    let program = unquoted(word("exe")?);
    let service = service_name(&program)?;
    if service == "unix_chkpwd" {
        return None;
    }
    let succeeded = word("res")? == "success";
    let operation = word("op").unwrap_or_default();
    let sign = sign(kind, succeeded, &service, operation)?;
    let mut detail = detail(outer, message, &service);
    match kind {
        kind::USER_AUTH => detail.method = method(&service, operation, word("grantors")),
        kind::USER_ACCOUNT if !succeeded => detail.reason = Some("account refused".to_owned()),
        kind::USER_START if service == "cron" || service == "at" => {
            detail.method = Some(Method::NotAsked);
            detail.terminal = Terminal::None;
        }
        _ => {}
    }
    // sudo authenticates its caller and opens a session for the other account.
    if service == "sudo" && matches!(kind, kind::USER_AUTH | kind::USER_ACCOUNT) {
        detail.actor.name = detail.user.name.take();
    }
    Some(Record {
        time_ms: time_ms(stamp)?,
        source: Source::Audit,
        pid: number(outer, "pid").filter(|&pid| pid != 0),
        service,
        sign,
        count: 1,
        detail: Box::new(detail),
    })
}

fn sign(kind: u16, succeeded: bool, service: &str, operation: &str) -> Option<Sign> {
    Some(match (kind, succeeded) {
        // sshd of some distributions reports each key that it tries.
        (kind::USER_AUTH, false) if operation.contains("pubkey") => Sign::Hint,
        (kind::USER_AUTH, true) if !operation.starts_with("PAM:") => Sign::Context,
        (kind::USER_AUTH, true) => Sign::PamAccepted,
        (kind::USER_AUTH | kind::USER_ACCOUNT, false) => Sign::PamFailed,
        (kind::USER_ACCOUNT, true) => Sign::Context,
        (kind::USER_START, true) => Sign::Opened,
        (kind::USER_LOGIN, true) => Sign::TerminalGiven,
        (kind::USER_LOGIN, false) if service == "sshd" => Sign::Hint,
        (kind::USER_LOGIN, false) => Sign::Failed,
        (kind::USER_END | kind::USER_LOGOUT, _) => Sign::Closed,
        (kind::USER_ERROR, false) => Sign::GivenUp,
        (kind::USER_COMMAND, true) => Sign::Accepted,
        (kind::USER_COMMAND, false) => Sign::Failed,
        _ => return None,
    })
}

fn detail(outer: &str, message: &str, service: &str) -> Detail {
    let mut detail = Detail::default();
    let set = |id: Option<u32>| id.filter(|&id| id != UNSET);
    detail.login_uid = set(number(outer, "auid"));
    detail.audit_session = set(number(outer, "ses"));
    let asks_for_another = matches!(service, "su" | "sudo" | "pkexec");
    if asks_for_another {
        detail.actor.uid = number(outer, "uid");
    }
    match field(message, "acct").map(encoded).as_deref() {
        None | Some("?" | "") => {}
        // sshd does not name accounts that do not exist here.
        Some(name) if name.starts_with('(') => detail.user_exists = Some(false),
        Some(name) => detail.user.name = Some(cut(name.to_owned())),
    }
    if let Some(uid) = number(message, "id") {
        detail.user = Account {
            uid: Some(uid),
            name: None,
        };
    }
    for key in ["addr", "hostname"] {
        if detail.address.is_none() {
            detail.set_host(field(message, key).unwrap_or_default());
        }
    }
    detail.port = number(message, "rport").and_then(|port| u16::try_from(port).ok());
    detail.key_fingerprint = field(message, "fp")
        .filter(|print| print.starts_with("SHA256:"))
        .map(|print| cut(print.to_owned()));
    detail.command =
        field(message, "cmd").map(|command| cut_at(encoded(command), COMMAND_BYTES_MAX));
    match field(message, "terminal") {
        Some("?") if asks_for_another => detail.terminal = Terminal::None,
        Some(terminal) => detail.set_terminal(terminal),
        None => {}
    }
    detail
}

/// What was asked for. sshd's dialogue and its password both go through PAM: the record does not tell them apart.
fn method(service: &str, operation: &str, grantors: Option<&str>) -> Option<Method> {
    if operation.contains("pubkey") || operation.starts_with("key") {
        return Some(Method::PublicKey);
    }
    if service == "sshd" {
        return None;
    }
    let granted_by = |module: &str| {
        grantors.is_some_and(|grantors| grantors.split(',').any(|grantor| grantor == module))
    };
    Some(if granted_by("pam_rootok") {
        Method::NotAsked
    } else if granted_by("pam_fprintd") {
        Method::Other("fingerprint".to_owned())
    } else if granted_by("pam_u2f") {
        Method::Other("security-key".to_owned())
    } else {
        Method::Password
    })
}

/// `1795495725.451:3` as Unix milliseconds.
fn time_ms(stamp: &str) -> Option<i64> {
    let (seconds, rest) = stamp.split_once('.')?;
    let milliseconds = rest.split(':').next()?;
    let seconds: i64 = seconds.parse().ok()?;
    let milliseconds: i64 = milliseconds.parse().ok()?;
    seconds.checked_mul(1000)?.checked_add(milliseconds)
}

/// The first value of `key`; up to the next space, or to the closing quote, which stays with it.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=')?;
        // A word without a value may stand before the name.
        let name = name.rsplit(' ').next().unwrap_or(name);
        let end = match value.strip_prefix('"') {
            Some(quoted) => quoted.find('"').map_or(value.len(), |end| end + 2),
            None => value.find(' ').unwrap_or(value.len()),
        };
        let (value, after) = value.split_at(end);
        if name == key {
            return Some(value);
        }
        rest = after.trim_start();
    }
    None
}

fn number(text: &str, key: &str) -> Option<u32> {
    field(text, key)?.parse().ok()
}

fn unquoted(value: &str) -> String {
    value.trim_matches('"').to_owned()
}

/// A value that is quoted where it is plain, and hexadecimal digits where it is not.
fn encoded(value: &str) -> String {
    if value.starts_with('"') {
        return unquoted(value);
    }
    match HEXUPPER_PERMISSIVE.decode(value.as_bytes()) {
        Ok(bytes) if !bytes.is_empty() => String::from_utf8_lossy(&bytes).into_owned(),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u16, text: &str) -> Record {
        parse(kind, text.as_bytes()).expect(text)
    }

    #[test]
    fn sshd_opens_a_session() {
        let record = record(
            1105,
            "audit(1795495725.467:7): pid=26181 uid=0 auid=1001 ses=1 msg='op=PAM:session_open grantors=pam_selinux,pam_loginuid acct=\"alice\" exe=\"/usr/sbin/sshd\" hostname=127.0.0.1 addr=127.0.0.1 terminal=ssh res=success'",
        );
        assert_eq!(record.time_ms, 1_795_495_725_467);
        assert_eq!((record.sign, record.pid), (Sign::Opened, Some(26181)));
        assert_eq!(record.service, "sshd");
        assert_eq!(record.detail.user.name.as_deref(), Some("alice"));
        assert_eq!(record.detail.audit_session, Some(1));
        assert_eq!(record.detail.login_uid, Some(1001));
        assert_eq!(record.detail.address, Some("127.0.0.1".parse().unwrap()));
        assert_eq!(record.detail.terminal, Terminal::Unknown);
    }

    #[test]
    fn an_account_that_does_not_exist_is_only_a_hint() {
        let record = record(
            1112,
            "audit(1795495731.779:29): pid=27335 uid=0 auid=4294967295 ses=4294967295 msg='op=login acct=28696E76616C6964207573657229 exe=\"/usr/sbin/sshd\" hostname=? addr=127.0.0.1 terminal=sshd res=failed'",
        );
        assert_eq!(record.sign, Sign::Hint);
        assert_eq!(record.detail.user_exists, Some(false));
        assert_eq!(record.detail.user.name, None);
        assert_eq!(record.detail.audit_session, None);
    }

    #[test]
    fn sudo_names_its_caller_by_uid_and_the_command_in_hexadecimal() {
        let record = record(
            1123,
            "audit(1795495745.211:56): pid=31021 uid=1001 auid=1001 ses=3 msg='cwd=\"/work\" cmd=6964202D756E exe=\"/usr/bin/sudo\" terminal=? res=success'",
        );
        assert_eq!(record.sign, Sign::Accepted);
        assert_eq!(record.detail.actor.uid, Some(1001));
        assert_eq!(record.detail.command.as_deref(), Some("id -un"));
        assert_eq!(record.detail.terminal, Terminal::None);
    }

    #[test]
    fn root_is_not_asked_by_su() {
        let text = |grantors: &str| {
            format!(
                "audit(1795495744.387:47): pid=30860 uid=0 auid=4294967295 ses=4294967295 msg='op=PAM:authentication grantors={grantors} acct=\"alice\" exe=\"/usr/bin/su\" hostname=? addr=? terminal=/dev/pts/0 res=success'"
            )
        };
        let asked = record(1100, &text("pam_permit,pam_cap"));
        assert_eq!(asked.detail.method, Some(Method::Password));
        assert_eq!(asked.detail.terminal, Terminal::Name("pts/0".into()));
        let not = record(1100, &text("pam_rootok"));
        assert_eq!(not.detail.method, Some(Method::NotAsked));
    }

    #[test]
    fn what_is_no_login_or_damaged_is_passed_over() {
        for (kind, text) in [
            (
                1105,
                "audit(1.1:1): pid=1 uid=0 auid=0 ses=1 msg='op=PAM:session_open acct=\"a\" exe=\"/usr/sbin/runuser\" res=success'",
            ),
            (
                1116,
                "audit(1.1:1): pid=1 uid=0 auid=0 ses=1 msg='op=adding-group exe=\"/usr/sbin/groupadd\" res=success'",
            ),
            (1300, "audit(1.1:1): arch=c000003e syscall=49"),
            (1100, "audit(1.1:1): pid=1 msg='"),
            (1100, "audit(x"),
            (1100, ""),
        ] {
            assert_eq!(parse(kind, text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_quoted_value_cannot_pose_as_a_field() {
        let text = r#"op=PAM:x acct="a res=success" exe="/usr/bin/su" res=failed"#;
        assert_eq!(field(text, "res"), Some("failed"));
    }
}
