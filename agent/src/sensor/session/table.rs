//! The sessions of this machine: who, where, since when, in use or not. Pure: what sources say goes in, what changed
//! comes out.
//!
//! Where logind manages sessions, it alone makes them; elsewhere a login that is a session of its own makes one, of
//! which nobody can say whether it is locked or idle.

use std::collections::BTreeMap;

use super::login::{Account, Login, LoginActivity, LoginId, Origin, Terminal};

/// Sessions that are kept; more are not told.
const SESSIONS_MAX: usize = 4096;

/// What happened to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SessionActivity {
    /// It began.
    Opened,
    /// It was there when the agent started.
    Observed,
    /// Its screen was locked.
    Locked,
    /// Its screen was unlocked.
    Unlocked,
    /// Its user does nothing any more.
    Idle,
    /// Its user does something again.
    Busy,
    /// It came to its seat's foreground.
    Foreground,
    /// Another one took its seat.
    Background,
    /// It ended.
    Closed,
}

/// What is known of a session. Empty means unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SessionFacts {
    /// Its account.
    pub(crate) user: Account,
    /// The PAM service that opened it.
    pub(crate) service: String,
    /// `tty`, `x11`, `wayland`, `mir`, `unspecified`, as logind calls it.
    pub(crate) kind: String,
    /// `user`, `greeter`, `lock-screen`, `background`, as logind calls it.
    pub(crate) class: String,
    /// Its seat: `seat0`.
    pub(crate) seat: String,
    /// Its terminal.
    pub(crate) terminal: Terminal,
    /// Where its user sits.
    pub(crate) origin: Origin,
    /// The process that opened it.
    pub(crate) leader: Option<u32>,
    /// Kernel's audit session.
    pub(crate) audit_session: Option<u32>,
    /// The login that opened it.
    pub(crate) login: Option<LoginId>,
    /// Since when, Unix milliseconds.
    pub(crate) since_ms: Option<i64>,
    /// Whether it is in its seat's foreground; one without a seat always is.
    pub(crate) active: Option<bool>,
    /// Whether its screen is locked.
    pub(crate) locked: Option<bool>,
    /// Whether its user does nothing.
    pub(crate) idle: Option<bool>,
}

/// A session and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// logind's id, or that of its login; unique while the machine runs.
    pub(crate) id: String,
    /// What happened.
    pub(crate) activity: SessionActivity,
    /// When, Unix milliseconds.
    pub(crate) time_ms: i64,
    /// As it is now.
    pub(crate) facts: SessionFacts,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SessionTable {
    sessions: BTreeMap<String, SessionFacts>,
    managed: bool,
}

impl SessionTable {
    /// Whether logind manages the sessions.
    pub(crate) fn is_managed(&self) -> bool {
        self.managed
    }

    /// logind is there, and these are all its sessions: others are no more, or were only made of logins.
    pub(crate) fn connect(
        &mut self,
        sessions: Vec<(String, SessionFacts)>,
        now_ms: i64,
    ) -> Vec<Session> {
        self.managed = true;
        let is_there = |id: &String| sessions.iter().any(|(there, _)| there == id);
        let gone: Vec<String> = self
            .sessions
            .keys()
            .filter(|id| !is_there(id))
            .cloned()
            .collect();
        let mut told: Vec<Session> = gone
            .iter()
            .filter_map(|id| self.remove(id, now_ms))
            .collect();
        for (id, facts) in sessions {
            told.extend(self.update(&id, facts, false, now_ms));
        }
        told
    }

    /// A login or its end.
    pub(crate) fn login(&mut self, login: &Login) -> Option<Session> {
        if self.managed {
            return None;
        }
        let id = session_id(login)?;
        match login.activity {
            LoginActivity::Failed => None,
            LoginActivity::Ended => self.remove(&id, login.time_ms),
            LoginActivity::Succeeded => {
                let facts = facts_of(login);
                self.put(id, facts, SessionActivity::Opened, login.time_ms)
            }
        }
    }

    /// A login that was open before the agent started.
    pub(crate) fn observed(&mut self, login: &Login, now_ms: i64) -> Option<Session> {
        if self.managed {
            return None;
        }
        let id = session_id(login)?;
        self.put(id, facts_of(login), SessionActivity::Observed, now_ms)
    }

    fn put(
        &mut self,
        id: String,
        facts: SessionFacts,
        activity: SessionActivity,
        time_ms: i64,
    ) -> Option<Session> {
        if self.sessions.len() >= SESSIONS_MAX || self.sessions.contains_key(&id) {
            return None;
        }
        self.sessions.insert(id.clone(), facts.clone());
        Some(Session {
            id,
            activity,
            time_ms,
            facts,
        })
    }

    /// What logind says of a session now; `fresh` where it has just begun.
    pub(crate) fn update(
        &mut self,
        id: &str,
        facts: SessionFacts,
        fresh: bool,
        now_ms: i64,
    ) -> Vec<Session> {
        let Some(former) = self.sessions.get(id).cloned() else {
            let activity = if fresh {
                SessionActivity::Opened
            } else {
                SessionActivity::Observed
            };
            let time_ms = facts.since_ms.filter(|_| fresh).unwrap_or(now_ms);
            return self
                .put(id.to_owned(), facts, activity, time_ms)
                .into_iter()
                .collect();
        };
        let changes = [
            (
                former.locked,
                facts.locked,
                SessionActivity::Locked,
                SessionActivity::Unlocked,
            ),
            (
                former.idle,
                facts.idle,
                SessionActivity::Idle,
                SessionActivity::Busy,
            ),
            (
                former.active,
                facts.active,
                SessionActivity::Foreground,
                SessionActivity::Background,
            ),
        ];
        self.sessions.insert(id.to_owned(), facts.clone());
        changes
            .into_iter()
            .filter(|(before, after, _, _)| before != after)
            .filter_map(|(_, after, on, off)| Some(if after? { on } else { off }))
            .map(|activity| Session {
                id: id.to_owned(),
                activity,
                time_ms: now_ms,
                facts: facts.clone(),
            })
            .collect()
    }

    /// A session ended.
    pub(crate) fn remove(&mut self, id: &str, now_ms: i64) -> Option<Session> {
        let facts = self.sessions.remove(id)?;
        Some(Session {
            id: id.to_owned(),
            activity: SessionActivity::Closed,
            time_ms: now_ms,
            facts,
        })
    }

    /// Ids of the sessions that are open.
    #[cfg(test)]
    fn ids(&self) -> Vec<String> {
        self.sessions.keys().cloned().collect()
    }
}

/// The session that a login is; su and sudo work inside of another one, cron has no user.
fn session_id(login: &Login) -> Option<String> {
    let own = matches!(
        login.service.as_str(),
        "sshd" | "login" | "gdm" | "sddm" | "lightdm" | ""
    );
    own.then(|| format!("login-{}", data_encoding::HEXLOWER.encode(&login.id.0)))
}

fn facts_of(login: &Login) -> SessionFacts {
    SessionFacts {
        user: login.user.clone(),
        service: login.service.clone(),
        terminal: login.terminal.clone(),
        origin: login.origin.clone(),
        leader: login.pid,
        audit_session: login.audit_session,
        login: Some(login.id),
        since_ms: Some(login.time_ms),
        ..SessionFacts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(locked: Option<bool>, idle: Option<bool>) -> SessionFacts {
        SessionFacts {
            locked,
            idle,
            active: Some(true),
            since_ms: Some(5),
            ..SessionFacts::default()
        }
    }

    fn activities(sessions: &[Session]) -> Vec<SessionActivity> {
        sessions.iter().map(|session| session.activity).collect()
    }

    #[test]
    fn each_change_is_told_once() {
        let mut table = SessionTable::default();
        assert!(table.connect(Vec::new(), 1).is_empty());
        let opened = table.update("3", facts(Some(false), Some(false)), true, 9);
        assert_eq!(activities(&opened), [SessionActivity::Opened]);
        assert_eq!(opened[0].time_ms, 5);
        assert!(
            table
                .update("3", facts(Some(false), Some(false)), false, 10)
                .is_empty()
        );
        let changed = table.update("3", facts(Some(true), Some(true)), false, 11);
        assert_eq!(
            activities(&changed),
            [SessionActivity::Locked, SessionActivity::Idle]
        );
        let back = table.update("3", facts(Some(false), Some(true)), false, 12);
        assert_eq!(activities(&back), [SessionActivity::Unlocked]);
        assert_eq!(
            table.remove("3", 13).unwrap().activity,
            SessionActivity::Closed
        );
        assert_eq!(table.remove("3", 14), None);
    }

    #[test]
    fn a_manager_that_comes_back_ends_what_it_does_not_know_any_more() {
        let mut table = SessionTable::default();
        let session = |id: &str| (id.to_owned(), facts(None, None));
        table.connect(vec![session("1"), session("2")], 5);
        let told = table.connect(vec![session("2"), session("3")], 9);
        let told: Vec<_> = told
            .iter()
            .map(|session| (session.id.as_str(), session.activity))
            .collect();
        assert_eq!(
            told,
            [
                ("1", SessionActivity::Closed),
                ("3", SessionActivity::Observed)
            ]
        );
        assert_eq!(table.ids(), ["2", "3"]);
    }

    #[test]
    fn what_becomes_unknown_is_no_change_that_is_told() {
        let mut table = SessionTable::default();
        let observed = table.update("3", facts(Some(true), None), false, 9);
        assert_eq!(activities(&observed), [SessionActivity::Observed]);
        assert!(table.update("3", facts(None, None), false, 10).is_empty());
    }
}
