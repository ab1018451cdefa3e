//! What the kernel tells beside the sources: boot, clocks, processes, and who utmp says is logged in.

use std::fs;
use std::path::Path;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use crate::clock;
use crate::sensor::session::login::Login;
use crate::sensor::session::power::Clocks;
use crate::sensor::session::record::{Record, Sign};
use crate::sensor::session::table::SessionFacts;
use crate::sensor::session::utmp::{Entry, Layout};

/// Bytes of utmp that are read: some thousand users.
const UTMP_MAX: u64 = 2 << 20;

/// A process is asked for its session while its record is so fresh that it must be the one.
const FRESH_MS: i64 = 5_000;

/// Names this run of the machine; empty where the kernel does not.
pub(super) fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// When the machine booted, by today's wall clock.
pub(super) fn boot_time_ms() -> i64 {
    let clocks = clocks();
    clocks.wall_ms - clocks.boot_ms
}

/// The clocks now.
pub(super) fn clocks() -> Clocks {
    let milliseconds = |time: TimeSpec| {
        let seconds: i64 = time.tv_sec();
        seconds
            .saturating_mul(1000)
            .saturating_add(time.tv_nsec() / 1_000_000)
    };
    let read = |id| clock_gettime(id).map_or(0, milliseconds);
    Clocks {
        wall_ms: clock::now_ms(),
        boot_ms: read(ClockId::CLOCK_BOOTTIME),
        awake_ms: read(ClockId::CLOCK_MONOTONIC),
    }
}

fn number(pid: u32, file: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    text.trim()
        .parse()
        .ok()
        .filter(|&number| number != u32::MAX)
}

/// Notes the kernel's session of the process that opened one, where the record does not know it.
pub(super) fn note_session(record: &mut Record, now_ms: i64) {
    let fresh = (now_ms - record.time_ms).abs() <= FRESH_MS;
    let Some(pid) = record.pid.filter(|_| fresh && record.sign == Sign::Opened) else {
        return;
    };
    let detail = &mut record.detail;
    if detail.audit_session.is_none() {
        detail.audit_session = number(pid, "sessionid");
        detail.login_uid = detail.login_uid.or_else(|| number(pid, "loginuid"));
    }
}

/// Whether the process of an open login is still there, and the same. One that cannot be told is.
pub(super) fn is_alive(login: &Login) -> bool {
    let Some(pid) = login.pid else { return true };
    if !Path::new(&format!("/proc/{pid}")).exists() {
        return false;
    }
    // Another one may have got its number; it would be in another session.
    match (login.audit_session, login.service.as_str()) {
        (Some(session), "sshd" | "login" | "cron") => {
            number(pid, "sessionid").is_none_or(|other| other == session)
        }
        _ => true,
    }
}

/// Users whom utmp knows and no login does: they came before the logs begin.
pub(super) fn users(utmp: &Path, known: &[Login]) -> Vec<(String, SessionFacts)> {
    let bytes = crate::file::read(utmp, UTMP_MAX).unwrap_or_default();
    bytes
        .chunks_exact(Layout::NATIVE.size())
        .filter_map(|bytes| Entry::parse(bytes, Layout::NATIVE)?.login())
        .filter(|record| record.sign == Sign::Opened)
        .filter_map(|record| {
            let pid = record.pid?;
            let is_known = known.iter().any(|login| login.pid == Some(pid));
            let is_there = Path::new(&format!("/proc/{pid}")).exists();
            (!is_known && is_there).then(|| {
                let detail = *record.detail;
                let facts = SessionFacts {
                    user: detail.user.clone(),
                    terminal: detail.terminal.clone(),
                    origin: detail.origin(""),
                    leader: Some(pid),
                    since_ms: Some(record.time_ms),
                    ..SessionFacts::default()
                };
                (format!("utmp-{pid}"), facts)
            })
        })
        .collect()
}
