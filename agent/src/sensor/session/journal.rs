//! Lines of `journalctl --output=json`. Pure.
//!
//! journald notes who sent a message; what claims to come from sshd, su or another program that lets people in must
//! have been sent by root, or by one of the programs that become root, or it is passed over.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::message;
use super::record::{Record, Source};

/// Fields to ask journalctl for; those that begin with two underscores always come.
pub(crate) const FIELDS: &str = "MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_UID,_EXE,\
     _AUDIT_SESSION,_AUDIT_LOGINUID,_SOURCE_REALTIME_TIMESTAMP";

/// Programs that speak for root though another user runs them.
const SPEAK_FOR_ROOT: [&str; 6] = [
    "/usr/bin/sudo",
    "/usr/bin/su",
    "/bin/su",
    "/usr/bin/pkexec",
    "/usr/bin/doas",
    "/usr/bin/sudo-rs",
];

/// One line.
#[derive(Debug, Deserialize)]
struct Entry<'a> {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    received_us: String,
    #[serde(rename = "_SOURCE_REALTIME_TIMESTAMP")]
    sent_us: Option<String>,
    // A text, or an array of bytes where it is no UTF-8, or an array of texts where it was given twice.
    #[serde(rename = "MESSAGE", borrow)]
    message: Option<&'a RawValue>,
    #[serde(rename = "SYSLOG_IDENTIFIER", borrow)]
    program: Option<&'a RawValue>,
    #[serde(rename = "SYSLOG_PID", borrow)]
    claimed_pid: Option<&'a RawValue>,
    #[serde(rename = "_PID")]
    pid: Option<String>,
    #[serde(rename = "_UID")]
    uid: Option<String>,
    #[serde(rename = "_EXE")]
    executable: Option<String>,
    #[serde(rename = "_AUDIT_SESSION")]
    audit_session: Option<String>,
    #[serde(rename = "_AUDIT_LOGINUID")]
    login_uid: Option<String>,
}

/// What a line gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where to go on after it.
    pub(crate) cursor: String,
    /// When, Unix milliseconds.
    pub(crate) time_ms: i64,
    /// What it says about a login.
    pub(crate) record: Option<Record>,
}

/// Reads one line; `None` where it is damaged.
pub(crate) fn parse(line: &[u8]) -> Option<Line> {
    let entry: Entry<'_> = serde_json::from_slice(line).ok()?;
    let sent_us = entry.sent_us.as_ref().unwrap_or(&entry.received_us);
    let time_ms = sent_us.parse::<i64>().ok()? / 1000;
    Some(Line {
        record: record(&entry, time_ms),
        cursor: entry.cursor,
        time_ms,
    })
}

fn record(entry: &Entry<'_>, time_ms: i64) -> Option<Record> {
    let is_root = entry.uid.as_deref().is_none_or(|uid| uid == "0");
    let speaks = |path: &str| SPEAK_FOR_ROOT.contains(&path);
    if !is_root && !entry.executable.as_deref().is_some_and(speaks) {
        return None;
    }
    let program = text(entry.program?)?;
    let saying = message::understand(program.trim_end_matches(']'), &text(entry.message?)?)?;
    let mut detail = saying.detail;
    let number = |text: &Option<String>| {
        let number: u32 = text.as_deref()?.parse().ok()?;
        (number != u32::MAX).then_some(number)
    };
    detail.audit_session = number(&entry.audit_session);
    detail.login_uid = number(&entry.login_uid);
    let claimed = entry.claimed_pid.and_then(text);
    let pid = entry.pid.clone().or(claimed)?;
    Some(Record {
        time_ms,
        source: Source::Text,
        service: saying.service,
        pid: pid.trim().parse().ok().filter(|&pid| pid != 0),
        sign: saying.sign,
        count: saying.count,
        detail: Box::new(detail),
    })
}

fn text(value: &RawValue) -> Option<String> {
    if let Ok(text) = serde_json::from_str(value.get()) {
        return Some(text);
    }
    if let Ok(bytes) = serde_json::from_str::<Vec<u8>>(value.get()) {
        return Some(String::from_utf8_lossy(&bytes).into_owned());
    }
    let texts: Vec<String> = serde_json::from_str(value.get()).ok()?;
    texts.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::session::record::Sign;

    fn line(rest: &str) -> Vec<u8> {
        format!(
            r#"{{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1795495725462754","_SOURCE_REALTIME_TIMESTAMP":"1795495725460000",{rest}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn a_login_with_its_session() {
        let parsed = parse(&line(
            r#""MESSAGE":"pam_unix(sshd:session): session opened for user alice(uid=1001) by (uid=0)","SYSLOG_IDENTIFIER":"sshd","_PID":"812","_UID":"0","_AUDIT_SESSION":"3","_AUDIT_LOGINUID":"1001""#,
        ))
        .unwrap();
        assert_eq!(parsed.cursor, "s=1;i=2");
        assert_eq!(parsed.time_ms, 1_795_495_725_460);
        let record = parsed.record.unwrap();
        assert_eq!((record.sign, record.pid), (Sign::Opened, Some(812)));
        assert_eq!(record.detail.audit_session, Some(3));
    }

    #[test]
    fn what_an_ordinary_user_sends_is_no_login() {
        let parsed = parse(&line(
            r#""MESSAGE":"Accepted password for root from 10.0.0.9 port 1 ssh2","SYSLOG_IDENTIFIER":"sshd","_PID":"812","_UID":"1001""#,
        ))
        .unwrap();
        assert_eq!(parsed.record, None);
        let sudo = |path: &str| {
            let fields = format!(
                r#""MESSAGE":"pam_unix(sudo:session): session opened for user root(uid=0) by (uid=1001)","SYSLOG_IDENTIFIER":"sudo","_PID":"812","_UID":"1001","_EXE":"{path}""#
            );
            parse(&line(&fields)).unwrap().record
        };
        assert!(sudo("/usr/bin/sudo").is_some());
        assert_eq!(sudo("/home/mallory/sudo"), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_read_all_the_same() {
        let bytes = b"Failed password for invalid user \xff from 10.0.0.9 port 1 ssh2";
        let message = serde_json::to_string(&bytes.to_vec()).unwrap();
        let parsed = parse(&line(&format!(
            r#""MESSAGE":{message},"SYSLOG_IDENTIFIER":["sshd","x"],"_PID":"812","_UID":"0""#
        )))
        .unwrap();
        let record = parsed.record.unwrap();
        assert_eq!(record.detail.user.name.as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn a_damaged_line_is_none() {
        assert_eq!(parse(b"{"), None);
        assert_eq!(parse(b"{}"), None);
        assert!(parse(&line(r#""MESSAGE":null"#)).unwrap().record.is_none());
    }
}
