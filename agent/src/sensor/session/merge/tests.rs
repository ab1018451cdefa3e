//! A recorded session of every kind of login, told by four sources, in every combination.

use jiff::tz::TimeZone;

use super::*;
use crate::sensor::session::login::{LoginActivity, Method, Origin, Terminal};
use crate::sensor::session::utmp::{Entry, Layout};
use crate::sensor::session::{audit, message, syslog};

const FACTS: Facts = Facts {
    terminals_recorded: true,
};

fn text() -> Vec<Record> {
    lines(include_str!("../recorded/auth.log"))
}

fn audit() -> Vec<Record> {
    include_str!("../recorded/audit.log")
        .lines()
        .filter_map(|line| {
            let (kind, payload) = line.split_once(' ')?;
            audit::parse(kind.parse().ok()?, payload.as_bytes())
        })
        .collect()
}

fn accounting() -> Vec<Record> {
    let wtmp = include_bytes!("../recorded/wtmp").chunks(Layout::Compact.size());
    let btmp = include_bytes!("../recorded/btmp").chunks(Layout::Compact.size());
    let entry = |bytes| Entry::parse(bytes, Layout::Compact).unwrap();
    let known = |mut record: Record| {
        let name = record.detail.user.name.clone().unwrap_or_default();
        // As the sensor does, from the list of accounts.
        record.detail.user_exists = Some(!matches!(name.as_str(), "nosuch" | "ghost"));
        record
    };
    wtmp.filter_map(|bytes| entry(bytes).login())
        .chain(btmp.filter_map(|bytes| entry(bytes).failure().map(known)))
        .collect()
}

fn everything() -> Vec<Record> {
    [text(), audit(), accounting()].concat()
}

/// All records, then all the time in the world.
fn merge(records: Vec<Record>) -> Vec<Login> {
    merge_with(records, FACTS)
}

fn merge_with(records: Vec<Record>, facts: Facts) -> Vec<Login> {
    let mut merger = Merger::default();
    let end_ms = records
        .iter()
        .map(|record| record.time_ms)
        .max()
        .unwrap_or(0);
    for record in records {
        merger.push(record, end_ms);
    }
    let told = merger.advance(end_ms + 1_000_000, facts);
    assert!(!merger.is_waiting());
    told
}

/// One line a login, without its end.
fn summary(logins: &[Login]) -> Vec<String> {
    logins
        .iter()
        .filter(|login| login.activity != LoginActivity::Ended)
        .map(|login| {
            let name = |account: &super::super::login::Account| {
                account.name.clone().unwrap_or_else(|| "-".to_owned())
            };
            let origin = match &login.origin {
                Origin::Unknown => "?".to_owned(),
                Origin::Local => "local".to_owned(),
                Origin::Remote { address, .. } => address.map(|a| a.to_string()).unwrap(),
            };
            let method = match &login.method {
                None => "?",
                Some(Method::Password) => "password",
                Some(Method::PublicKey) => "publickey",
                Some(Method::KeyboardInteractive) => "keyboard-interactive",
                Some(Method::NotAsked) => "not asked",
                Some(Method::Other(_)) => "other",
            };
            let terminal = match &login.terminal {
                Terminal::Unknown => "?",
                Terminal::None => "none",
                Terminal::Name(name) => name,
            };
            let result = if login.activity == LoginActivity::Failed {
                "failed"
            } else {
                "ok"
            };
            let exists = match login.user_exists {
                Some(false) => " no such user",
                _ => "",
            };
            format!(
                "{} {result} {} for {} from {origin} by {method} on {terminal}{exists}",
                login.service,
                name(&login.user),
                name(&login.actor),
            )
        })
        .collect()
}

const ALL: &[&str] = &[
    "sshd ok alice for - from 127.0.0.1 by password on pts/2",
    "sshd ok alice for - from 127.0.0.1 by password on none",
    "sshd ok alice for - from ::1 by publickey on none",
    "sshd failed alice for - from 127.0.0.1 by password on ?",
    "sshd failed nosuch for - from 127.0.0.1 by password on ? no such user",
    "sshd failed alice for - from 127.0.0.1 by ? on ?",
    "sshd failed ghost for - from 127.0.0.1 by ? on ? no such user",
    "sshd failed alice for - from 127.0.0.1 by password on ?",
    "sshd failed alice for - from 127.0.0.1 by password on ?",
    "sshd ok alice for - from 127.0.0.1 by password on none",
    "sshd failed alice for - from 127.0.0.1 by keyboard-interactive on ?",
    "sshd ok alice for - from 127.0.0.1 by keyboard-interactive on none",
    "sshd failed nosuch for - from 127.0.0.1 by keyboard-interactive on ? no such user",
    "sshd failed nosuch for - from 127.0.0.1 by keyboard-interactive on ? no such user",
    "su ok alice for bob from local by password on pts/0",
    "su failed alice for bob from local by password on pts/0",
    "su ok alice for root from local by not asked on none",
    "sudo ok root for alice from local by not asked on none",
    "sudo ok bob for alice from local by not asked on none",
    "sudo failed - for - from local by ? on none",
    "sudo failed root for bob from local by password on pts/0",
    "sudo ok root for bob from local by password on pts/0",
    "login failed alice for - from local by password on pts/0",
    "login ok alice for - from local by password on pts/0",
    "cron ok alice for - from local by not asked on none",
];

#[test]
fn four_sources_make_one_login_of_each() {
    let told = merge(everything());
    assert_eq!(summary(&told), ALL);
    let ended = told
        .iter()
        .filter(|login| login.activity == LoginActivity::Ended);
    for end in ended.clone() {
        let login = told
            .iter()
            .find(|login| login.id == end.id && login.activity == LoginActivity::Succeeded)
            .expect("an end has its beginning");
        assert_eq!((login.pid, &login.user), (end.pid, &end.user));
    }
    assert_eq!(ended.count(), 12);
    let ids: std::collections::BTreeSet<_> = told.iter().map(|login| login.id).collect();
    assert_eq!(ids.len(), ALL.len());
}

/// What differs from [`ALL`] when fewer sources tell: `-` lines are missing, `+` lines stand instead.
fn difference(told: &[Login]) -> Vec<String> {
    let mut expected: Vec<String> = ALL.iter().map(|line| (*line).to_owned()).collect();
    let mut added = Vec::new();
    for line in summary(told) {
        match expected.iter().position(|other| *other == line) {
            Some(index) => drop(expected.remove(index)),
            None => added.push(format!("+ {line}")),
        }
    }
    let missing = expected.into_iter().map(|line| format!("- {line}"));
    missing.chain(added).collect()
}

#[test]
fn the_log_alone_lacks_terminals_a_refused_sudo_and_what_su_and_sudo_asked() {
    let told = merge_with(text(), Facts::default());
    let ended = |login: &&Login| login.activity == LoginActivity::Ended;
    assert_eq!(told.iter().filter(ended).count(), 12);
    assert_eq!(
        difference(&told),
        [
            "- sshd ok alice for - from 127.0.0.1 by password on pts/2",
            "- sshd ok alice for - from 127.0.0.1 by password on none",
            "- sshd ok alice for - from ::1 by publickey on none",
            "- sshd ok alice for - from 127.0.0.1 by password on none",
            "- sshd ok alice for - from 127.0.0.1 by keyboard-interactive on none",
            "- su ok alice for bob from local by password on pts/0",
            "- sudo ok root for alice from local by not asked on none",
            "- sudo ok bob for alice from local by not asked on none",
            "- sudo failed - for - from local by ? on none",
            "- sudo ok root for bob from local by password on pts/0",
            "- login ok alice for - from local by password on pts/0",
            "+ sshd ok alice for - from 127.0.0.1 by password on ?",
            "+ sshd ok alice for - from 127.0.0.1 by password on ?",
            "+ sshd ok alice for - from ::1 by publickey on ?",
            "+ sshd ok alice for - from 127.0.0.1 by password on ?",
            "+ sshd ok alice for - from 127.0.0.1 by keyboard-interactive on ?",
            "+ su ok alice for bob from local by ? on pts/0",
            "+ sudo ok root for alice from local by ? on none",
            "+ sudo ok bob for alice from local by ? on none",
            "+ sudo ok root for bob from local by ? on pts/0",
            "+ login ok alice for - from local by ? on ?",
        ]
    );
}

#[test]
fn the_log_with_the_accounting_files_knows_terminals_too() {
    let told = merge([text(), accounting()].concat());
    assert_eq!(
        difference(&told),
        [
            "- su ok alice for bob from local by password on pts/0",
            "- sudo ok root for alice from local by not asked on none",
            "- sudo ok bob for alice from local by not asked on none",
            "- sudo failed - for - from local by ? on none",
            "- sudo ok root for bob from local by password on pts/0",
            "- login ok alice for - from local by password on pts/0",
            "+ su ok alice for bob from local by ? on pts/0",
            "+ sudo ok root for alice from local by ? on none",
            "+ sudo ok bob for alice from local by ? on none",
            "+ sudo ok root for bob from local by ? on pts/0",
            "+ login ok alice for - from local by ? on pts/0",
        ]
    );
}

#[test]
fn the_audit_stream_alone_lacks_keys_and_the_names_of_callers() {
    let told = merge_with(audit(), Facts::default());
    assert_eq!(
        difference(&told),
        [
            "- sshd ok alice for - from ::1 by publickey on none",
            "- sshd failed ghost for - from 127.0.0.1 by ? on ? no such user",
            "- su ok alice for bob from local by password on pts/0",
            "- su failed alice for bob from local by password on pts/0",
            "- su ok alice for root from local by not asked on none",
            "- sudo failed root for bob from local by password on pts/0",
            "+ sshd ok alice for - from ::1 by ? on none",
            "+ sshd failed - for - from 127.0.0.1 by ? on ? no such user",
            "+ su ok alice for - from local by password on pts/0",
            "+ su failed alice for - from local by password on pts/0",
            "+ su ok alice for - from local by not asked on none",
            "+ sudo failed - for bob from local by password on pts/0",
        ]
    );
    let callers: Vec<_> = told.iter().filter(|login| login.service == "su").collect();
    assert!(callers.iter().all(|login| login.actor.uid.is_some()));
}

#[test]
fn the_accounting_files_alone_know_terminals_and_failures() {
    let told = merge(accounting());
    let failed = told
        .iter()
        .filter(|login| login.activity == LoginActivity::Failed);
    // su's and login's among them; a name that does not exist counts once, not as often as btmp has it.
    assert_eq!(failed.count(), 10);
    let terminals: Vec<_> = told
        .iter()
        .filter(|login| login.activity == LoginActivity::Succeeded)
        .map(|login| login.terminal.clone())
        .collect();
    assert_eq!(
        terminals,
        [
            Terminal::Name("pts/2".into()),
            Terminal::Name("pts/0".into())
        ]
    );
}

#[test]
fn sudo_counts_the_answers_it_refused() {
    let told = merge(everything());
    let refused: Vec<_> = told
        .iter()
        .filter(|login| login.failed_attempts > 0 && login.activity != LoginActivity::Ended)
        .map(|login| (login.activity, login.failed_attempts))
        .collect();
    assert_eq!(
        refused,
        [(LoginActivity::Failed, 3), (LoginActivity::Succeeded, 1)]
    );
}

#[test]
fn the_audit_session_and_the_login_uid_join_processes() {
    let told = merge(everything());
    let first = told.first().unwrap();
    assert!(first.audit_session.is_some());
    assert_eq!(first.login_uid, Some(1001));
    let key = told
        .iter()
        .find(|login| login.method == Some(Method::PublicKey))
        .unwrap();
    assert!(
        key.key_fingerprint
            .as_deref()
            .unwrap()
            .starts_with("SHA256:mARq")
    );
}

#[test]
fn an_id_comes_from_the_most_lasting_source() {
    let ids = |told: &[Login]| -> std::collections::BTreeSet<_> {
        let of_sshd = told.iter().filter(|login| login.service == "sshd");
        of_sshd.map(|login| login.id).collect()
    };
    // The log read again, without what is not kept, gives the same logins.
    assert_eq!(ids(&merge(everything())), ids(&merge(text())));
}

#[test]
fn a_late_source_adds_nothing_to_what_was_told() {
    let mut merger = Merger::default();
    let end_ms = text().last().unwrap().time_ms;
    for record in text() {
        merger.push(record, end_ms);
    }
    let told = merger.advance(end_ms + 3_000, FACTS);
    // The last ones are fresh: everything older is no straggler any more but history.
    for record in accounting().into_iter().chain(audit()) {
        if record.service == "cron" {
            merger.push(record, end_ms + 3_000);
        }
    }
    assert_eq!(merger.advance(end_ms + 9_000, FACTS), []);
    assert_eq!(told.last().unwrap().service, "cron");
}

#[test]
fn a_flood_is_bounded_and_counted() {
    let mut merger = Merger::default();
    let record = text()
        .into_iter()
        .find(|record| record.sign == Sign::Failed)
        .unwrap();
    for pid in 1..=u32::try_from(HELD_MAX).unwrap() + 5 {
        let pid = Some(pid);
        merger.push(
            Record {
                pid,
                ..record.clone()
            },
            record.time_ms,
        );
    }
    assert_eq!(merger.take_dropped(), 5);
    let told = merger.advance(record.time_ms + 3_000, FACTS);
    assert_eq!(told.len(), HELD_MAX);
    assert_eq!(merger.conversations.len(), CONVERSATIONS_MAX);
}

#[test]
fn a_restarted_machine_and_a_dead_process_end_their_logins() {
    let mut merger = Merger::default();
    let opened: Vec<Record> = text()
        .into_iter()
        .filter(|record| record.sign != Sign::Closed)
        .collect();
    let end_ms = opened.last().unwrap().time_ms;
    for record in opened {
        merger.push(record, end_ms);
    }
    merger.advance(end_ms + 3_000, FACTS);
    let open: Vec<u32> = merger.open().filter_map(|login| login.pid).collect();
    let (&gone, rest) = open.split_first().unwrap();
    merger.process_gone(gone, end_ms + 4_000);
    let ended = merger.advance(end_ms + 7_000, FACTS);
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (ended[0].pid, ended[0].activity),
        (Some(gone), LoginActivity::Ended)
    );
    let ended = merger.restarted(end_ms + 60_000);
    // The two sudo lines have no process.
    assert_eq!(
        ended.iter().filter(|login| login.pid.is_some()).count(),
        rest.len()
    );
    assert!(ended.iter().all(|login| login.reason.is_some()));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(16))]

    /// Records arrive late by up to a second and a half, in any order, and the agent is restarted all the time.
    #[test]
    fn order_and_restarts_do_not_matter(delays in proptest::collection::vec(0_i64..1_500, 400)) {
        let records = everything();
        let mut arrivals: Vec<(i64, Record)> = records
            .iter()
            .cloned()
            .zip(delays)
            .map(|(record, delay_ms)| (record.time_ms + delay_ms, record))
            .collect();
        arrivals.sort();
        let mut now_ms = arrivals[0].0;
        let mut merger = Merger::default();
        let mut told = Vec::new();
        let mut arrivals = arrivals.into_iter().peekable();
        while arrivals.peek().is_some() || merger.is_waiting() {
            while let Some((at_ms, record)) = arrivals.next_if(|(at_ms, _)| *at_ms <= now_ms) {
                merger.push(record, at_ms);
            }
            told.extend(merger.advance(now_ms, FACTS));
            let state = serde_json::to_string(&merger).unwrap();
            merger = serde_json::from_str(&state).unwrap();
            now_ms += 500;
        }
        told.sort_by_key(|login| (login.time_ms, login.activity, login.id));
        for (told, expected) in told.iter().zip(merge(records)) {
            assert_eq!(told, &expected);
        }
        assert_eq!(summary(&told), ALL);
    }
}

/// The records of a syslog file's lines.
fn lines(text: &str) -> Vec<Record> {
    let calendar = syslog::Calendar::new(TimeZone::UTC, i64::MAX / 4);
    let record = |line| {
        let line = syslog::parse(line, &calendar)?;
        let saying = message::understand(line.program, line.message)?;
        Some(Record {
            time_ms: line.time_ms,
            source: Source::Text,
            service: saying.service,
            pid: line.pid,
            sign: saying.sign,
            count: saying.count,
            detail: Box::new(saying.detail),
        })
    };
    text.lines().filter_map(record).collect()
}

#[test]
fn two_runs_of_sudo_in_one_second_are_two_refusals() {
    let records = lines(
        "Nov 24 02:10:07 host sudo:     dana : 1 incorrect password attempt ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id\n\
         Nov 24 02:10:07 host sudo:     dana : a password is required ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id\n",
    );
    assert_eq!(records.len(), 2);
    let told = merge(records);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert_ne!(told[0].id, told[1].id);
    assert!(told.iter().all(|one| one.activity == LoginActivity::Failed));
}

#[test]
fn an_unknown_name_is_one_refusal_however_long_pam_waits() {
    let [hint, pam, failed] = &lines(
        "2026-11-24T02:10:00.000000+00:00 host sshd[7]: Invalid user nosuch from 192.0.2.7 port 4022\n\
         2026-11-24T02:10:00.010000+00:00 host sshd[7]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7 \n\
         2026-11-24T02:10:02.900000+00:00 host sshd[7]: Failed password for invalid user nosuch from 192.0.2.7 port 4022 ssh2\n",
    )[..] else {
        panic!("three lines speak of it");
    };
    let btmp = |after_ms: i64| Record {
        time_ms: hint.time_ms + after_ms,
        source: Source::Accounting,
        sign: Sign::Failed,
        detail: Box::new(Detail {
            user_exists: Some(false),
            ..*hint.detail.clone()
        }),
        ..hint.clone()
    };
    let mut merger = Merger::default();
    let mut told = Vec::new();
    // As it is read: sshd notes the name at once, and the refusal when PAM has waited.
    let read = [
        (0, hint.clone()),
        (10, pam.clone()),
        (15, btmp(15)),
        (2900, failed.clone()),
        (2900, btmp(2900)),
    ];
    let mut read = read.into_iter().peekable();
    for after_ms in (0..20_000).step_by(5) {
        let now_ms = hint.time_ms + after_ms;
        while let Some((_, record)) = read.next_if(|(at_ms, _)| *at_ms <= after_ms) {
            merger.push(record, now_ms);
        }
        told.extend(merger.advance(now_ms, FACTS));
    }
    let told: Vec<_> = told.iter().map(|one| (one.activity, &one.method)).collect();
    assert_eq!(told, [(LoginActivity::Failed, &Some(Method::Password))]);
}
