//! Which of an endpoint's accounts are the person's, and who logged in to them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tocsin_correlate::TimeSpan;
use tocsin_correlate::fact::{LocalAccount, LoginFact, SessionFact};
use tocsin_proto::telemetry::v1 as wire;

use super::flows::uid;
use super::read::Traces;
use super::{Link, Source, overlaps_any};
use crate::trace::address;

/// The person's accounts, by numbers and names.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) list: Vec<LocalAccount>,
}

impl Accounts {
    /// The linked accounts; the number of one that is linked by its name is what the endpoint's events call it.
    pub(super) fn new(links: &[Link], traces: &Traces) -> Self {
        let mut numbers: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        for user in users(traces) {
            if let (false, Some(uid)) = (user.name.is_empty(), uid(Some(user))) {
                numbers.entry(&user.name).or_default().insert(uid);
            }
        }
        let mut list = Vec::new();
        for link in links {
            let account = |uid: Option<u32>| LocalAccount {
                uid,
                name: link.user.clone(),
                audit_sessions: Vec::new(),
            };
            match (link.uid.parse().ok(), numbers.get(link.user.as_str())) {
                (None, Some(known)) => list.extend(known.iter().map(|uid| account(Some(*uid)))),
                (uid, _) => list.push(account(uid)),
            }
        }
        Self { list }
    }

    /// Whether an account of an event is one of the person's.
    pub(super) fn holds(&self, user: Option<&wire::User>) -> bool {
        let Some(user) = user else {
            return false;
        };
        let number = uid(Some(user));
        self.list.iter().any(|own| match (own.uid, number) {
            (Some(own), Some(number)) => own == number,
            _ => !own.name.is_empty() && own.name == user.name,
        })
    }

    /// Adds the audit sessions of the person's sessions, with the time in which each number meant this one.
    pub(super) fn add_audit_sessions(&mut self, sessions: &[SessionFact], until_ms: i64) {
        for session in sessions {
            let Some(id) = session.audit_session else {
                continue;
            };
            let from_ms = session.opened.from_ms.unwrap_or(session.opened.until_ms);
            let end_ms = session.closed.map_or(until_ms, |closed| closed.until_ms);
            let account = self.list.iter_mut().find(|own| own.uid == session.uid);
            if let Some(account) = account {
                let span = TimeSpan {
                    from_ms,
                    until_ms: end_ms,
                };
                account.audit_sessions.push((id, span));
            }
        }
    }
}

fn users(traces: &Traces) -> impl Iterator<Item = &wire::User> {
    let networks = traces.networks.iter().flat_map(|seen| {
        let owner = seen.body.owner.as_ref();
        [
            seen.body.user.as_ref(),
            owner.and_then(|owner| owner.user.as_ref()),
        ]
    });
    let sessions = traces.sessions.iter().map(|seen| seen.body.user.as_ref());
    let logins = traces.logins.iter().map(|seen| seen.body.user.as_ref());
    let processes = traces.processes.iter().map(|seen| seen.body.user.as_ref());
    let all = networks.chain(sessions).chain(logins).chain(processes);
    all.flatten()
}

/// Successful logins of the person's accounts around attempts.
pub(super) fn logins(source: &Source, traces: &Traces, accounts: &Accounts) -> Vec<LoginFact> {
    let mut first_ms: BTreeMap<(String, Option<IpAddr>, String), i64> = BTreeMap::new();
    let mut found = Vec::new();
    for seen in &traces.logins {
        let login = &seen.body;
        if !accounts.holds(login.user.as_ref()) {
            continue;
        }
        let account = login.user.as_ref().map_or("", |user| &user.name);
        let peer = login.peer.as_ref().filter(|peer| !peer.is_local);
        let from = peer.and_then(|peer| address(&peer.address));
        let host = peer.map_or("", |peer| &peer.host);
        let first = first_ms
            .entry((account.to_owned(), from, host.to_owned()))
            .or_insert(seen.time_ms);
        let time = TimeSpan {
            from_ms: seen.time_ms,
            until_ms: seen.time_ms,
        };
        if overlaps_any(&source.around, time) {
            found.push(LoginFact {
                time_ms: seen.time_ms,
                service: login.service.clone(),
                account: account.to_owned(),
                address: from,
                host: host.to_owned(),
                source_first_seen_ms: Some(*first),
                event_id: seen.id,
            });
        }
    }
    found
}
