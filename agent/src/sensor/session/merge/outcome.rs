//! Builds logins from the records of an episode.

use sha2::{Digest, Sha256};

use super::Facts;
use super::assign::Key;
use crate::sensor::session::login::{
    Login, LoginActivity, LoginId, Method, Origin, Sources, Terminal,
};
use crate::sensor::session::record::{Detail, Record, Sign, Source};

/// Attempts of one episode that are told one by one. sshd allows six in a conversation.
const ATTEMPTS_MAX: usize = 64;

/// Services whose one run is one login, however often they ask.
fn asks_in_one_run(service: &str) -> bool {
    service == "sudo"
}

/// The records of an episode by what they are good for; each list in order of time.
#[derive(Debug, Default)]
pub(super) struct Parts<'a> {
    in_one_run: bool,
    /// The log's word for a refused attempt, once an attempt.
    text_failures: Vec<&'a Record>,
    relayed: Vec<&'a Record>,
    accounting_failures: Vec<&'a Record>,
    audit_failures: Vec<&'a Record>,
    audit_pam_failures: Vec<&'a Record>,
    /// PAM's word from a child of sshd: it may be another conversation's.
    adopted_pam_failures: Vec<&'a Record>,
    /// PAM's word in the log: it does not come for every attempt.
    text_pam_failures: Vec<&'a Record>,
    /// What a success is made of, best source first.
    successes: Vec<&'a Record>,
    succeeded: bool,
    hints: Vec<&'a Record>,
    ends: Vec<&'a Record>,
}

impl<'a> Parts<'a> {
    /// Sorts the records of an episode.
    pub(super) fn of(key: &Key, records: &[&'a Record]) -> Self {
        let mut parts = Self {
            in_one_run: asks_in_one_run(&key.service),
            ..Self::default()
        };
        for &record in records {
            let list = match (record.sign, record.source) {
                (Sign::Failed, Source::Text) => &mut parts.text_failures,
                (Sign::Failed, Source::Accounting) => &mut parts.accounting_failures,
                (Sign::Failed, _) => &mut parts.audit_failures,
                (Sign::RelayedFailure, _) => &mut parts.relayed,
                (Sign::PamFailed, Source::Audit) if record.pid != key.pid => {
                    &mut parts.adopted_pam_failures
                }
                (Sign::PamFailed, Source::Audit) => &mut parts.audit_pam_failures,
                (Sign::PamFailed, _) => &mut parts.text_pam_failures,
                (Sign::Hint, _) => &mut parts.hints,
                (Sign::GivenUp, _) => &mut parts.ends,
                (Sign::Closed, _) => continue,
                (Sign::Accepted | Sign::Opened, _) => {
                    parts.succeeded = true;
                    &mut parts.successes
                }
                (Sign::PamAccepted | Sign::TerminalGiven | Sign::Context, _) => {
                    &mut parts.successes
                }
            };
            let times = usize::try_from(record.count).unwrap_or(ATTEMPTS_MAX);
            let room = ATTEMPTS_MAX.saturating_sub(list.len());
            list.extend(std::iter::repeat_n(record, times.min(room)));
        }
        // The words that decide before those that only add to them, the most lasting source first.
        parts.successes.sort_by_key(|record| {
            let decides = matches!(record.sign, Sign::Accepted | Sign::Opened);
            (!decides, record.source, record.time_ms)
        });
        parts
    }

    /// Signs that somebody tried.
    pub(super) fn hints(&self) -> &[&'a Record] {
        &self.hints
    }

    /// The conversation's end without a login.
    pub(super) fn given_up(&self) -> Option<&'a Record> {
        self.ends.iter().min_by_key(|record| record.source).copied()
    }

    /// Sources of refusals, the one that is believed about the time first.
    fn failure_lists(&self) -> [&Vec<&'a Record>; 7] {
        [
            &self.text_failures,
            &self.relayed,
            &self.accounting_failures,
            &self.audit_failures,
            &self.audit_pam_failures,
            &self.adopted_pam_failures,
            &self.text_pam_failures,
        ]
    }

    /// The refused attempts. Sources are aligned at their ends: one that began to be read in the middle of the
    /// conversation lacks the first ones.
    pub(super) fn failures(&self) -> Vec<Attempt<'a>> {
        let lists = self.failure_lists();
        let [sure @ .., _, _] = lists;
        let mut count = sure.iter().map(|list| list.len()).max().unwrap_or(0);
        if count == 0 {
            count = self.adopted_pam_failures.len();
        }
        if count == 0 && !self.succeeded {
            count = self.text_pam_failures.len().min(1);
        }
        if self.in_one_run && (count > 1 || self.succeeded) {
            if self.succeeded {
                return Vec::new();
            }
            let mut parts: Vec<&Record> = lists.into_iter().flatten().copied().collect();
            parts.extend(&self.successes);
            return vec![Attempt {
                parts,
                ordinal: 0,
                failed_attempts: self.refusals(),
            }];
        }
        let mut attempts: Vec<Attempt<'a>> = Vec::new();
        for number in 0..count {
            let parts: Vec<&Record> = lists
                .iter()
                .filter_map(|list| {
                    let index = (number + list.len()).checked_sub(count)?;
                    list.get(index).copied()
                })
                .collect();
            // Repeats that the log folded into one line have ids of their own.
            let ordinal = attempts
                .iter()
                .filter(|other| other.parts.first() == parts.first())
                .count();
            attempts.push(Attempt {
                parts,
                ordinal,
                failed_attempts: if self.in_one_run { self.refusals() } else { 0 },
            });
        }
        attempts
    }

    /// How often sudo refused an answer in its run.
    fn refusals(&self) -> u32 {
        let told = self.text_failures.iter().find_map(|record| {
            let reason = record.detail.reason.as_deref()?;
            reason.split_once(" incorrect password")?.0.parse().ok()
        });
        let counted = self
            .audit_pam_failures
            .len()
            .max(self.text_pam_failures.len());
        told.unwrap_or_else(|| u32::try_from(counted).unwrap_or(u32::MAX))
    }

    /// The session or permission that was given.
    pub(super) fn success(&self, key: &Key, context: &Detail, facts: Facts) -> Option<Login> {
        let first = self.successes.first().filter(|_| self.succeeded)?;
        let mut login = build(LoginActivity::Succeeded, key, &self.successes, 0)?;
        login.time_ms = first.time_ms;
        let mut detail = gathered(&self.successes, context);
        let asked = self
            .successes
            .iter()
            .find(|record| record.sign == Sign::PamAccepted);
        if detail.method.is_none() {
            detail.method = match (key.service.as_str(), asked) {
                ("sshd", Some(record)) => Some(ssh_method(key, record)),
                // The audit stream would have it, had PAM been asked.
                ("sudo", None) if login.sources.audit => Some(Method::NotAsked),
                _ => None,
            };
        }
        if self.in_one_run {
            login.failed_attempts = self.refusals();
        }
        detail.user_exists = Some(true);
        settle(&mut login, key, detail);
        let looked = facts.terminals_recorded || login.sources.audit;
        if login.terminal == Terminal::Unknown && looked && key.service == "sshd" {
            login.terminal = Terminal::None;
        }
        Some(login)
    }
}

/// One refused attempt: what each source says of it.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    parts: Vec<&'a Record>,
    ordinal: usize,
    failed_attempts: u32,
}

impl Attempt<'_> {
    /// The login that failed.
    pub(super) fn login(&self, key: &Key, context: &Detail) -> Login {
        let mut detail = gathered(&self.parts, context);
        if detail.method.is_none()
            && key.service == "sshd"
            && let Some(asked) = self.parts.iter().find(|part| part.sign == Sign::PamFailed)
        {
            detail.method = Some(ssh_method(key, asked));
        }
        let mut login = build(LoginActivity::Failed, key, &self.parts, self.ordinal)
            .unwrap_or_else(|| empty(LoginActivity::Failed, key));
        login.failed_attempts = self.failed_attempts;
        settle(&mut login, key, detail);
        login
    }
}

/// A failed login of which only its beginning or its end is known: somebody named an account, or left.
pub(super) fn unattempted(key: &Key, record: &Record, context: &Detail) -> Login {
    let mut login = build(LoginActivity::Failed, key, &[record], 0)
        .unwrap_or_else(|| empty(LoginActivity::Failed, key));
    let mut detail = gathered(&[record], context);
    detail.method = None;
    settle(&mut login, key, detail);
    login
}

/// The end of a login.
pub(super) fn ended(login: Login, time_ms: i64, reason: Option<&str>) -> Login {
    Login {
        activity: LoginActivity::Ended,
        time_ms: time_ms.max(login.time_ms),
        reason: reason.map(str::to_owned),
        ..login
    }
}

/// Remembers who and from where for later episodes of the conversation.
pub(super) fn note_identity(context: &mut Detail, key: &Key, record: &Record) {
    let detail = &record.detail;
    context.fill(&Detail {
        user: detail.user.clone(),
        // Only sshd keeps to the name it was told first; login asks anew.
        user_exists: detail.user_exists.filter(|_| key.service == "sshd"),
        actor: detail.actor.clone(),
        address: detail.address,
        port: detail.port,
        host: detail.host.clone(),
        ..Detail::default()
    });
}

/// Notes that a source told of something.
pub(super) fn note_source(sources: &mut Sources, source: Source) {
    match source {
        Source::Text => sources.text = true,
        Source::Accounting => sources.accounting = true,
        Source::Audit => sources.audit = true,
        Source::Process => {}
    }
}

fn gathered(records: &[&Record], context: &Detail) -> Detail {
    let mut detail = Detail::default();
    for record in records {
        detail.fill(&record.detail);
    }
    detail.fill(context);
    detail
}

/// PAM is asked in sshd's own process for a password, and in a child for a dialogue.
fn ssh_method(key: &Key, asked: &Record) -> Method {
    if asked.pid == key.pid {
        Method::Password
    } else {
        Method::KeyboardInteractive
    }
}

/// A login with its id, time and sources, from the records that tell of it, best first.
fn build(activity: LoginActivity, key: &Key, records: &[&Record], ordinal: usize) -> Option<Login> {
    let best = records.iter().min_by_key(|record| record.source)?;
    let mut login = empty(activity, key);
    login.time_ms = records.first()?.time_ms;
    let number = usize::try_from(key.number()).unwrap_or(usize::MAX);
    login.id = identify(best, activity, ordinal.saturating_add(number));
    for record in records {
        note_source(&mut login.sources, record.source);
    }
    Some(login)
}

/// Derives the id from the most lasting record: read again, it gives the same id.
fn identify(record: &Record, activity: LoginActivity, ordinal: usize) -> LoginId {
    let mut hash = Sha256::new();
    hash.update(b"tocsin login 1\0");
    hash.update(record.time_ms.to_be_bytes());
    hash.update(record.pid.unwrap_or(0).to_be_bytes());
    hash.update([u8::from(activity == LoginActivity::Failed)]);
    hash.update(u64::try_from(ordinal).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(record.service.as_bytes());
    hash.update([0]);
    hash.update(record.detail.actor.name.as_deref().unwrap_or_default());
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    LoginId(id)
}

fn empty(activity: LoginActivity, key: &Key) -> Login {
    Login {
        id: LoginId([0; 16]),
        activity,
        time_ms: 0,
        service: key.service.clone(),
        pid: key.pid,
        user: Default::default(),
        user_exists: None,
        actor: Default::default(),
        origin: Origin::Unknown,
        method: None,
        key_fingerprint: None,
        terminal: Terminal::Unknown,
        audit_session: None,
        login_uid: None,
        command: None,
        failed_attempts: 0,
        reason: None,
        sources: Sources::default(),
    }
}

fn settle(login: &mut Login, key: &Key, detail: Detail) {
    login.origin = detail.origin(&key.service);
    login.user = detail.user;
    login.user_exists = detail.user_exists;
    login.actor = detail.actor;
    login.method = detail.method;
    login.key_fingerprint = detail.key_fingerprint;
    login.terminal = detail.terminal;
    login.audit_session = detail.audit_session;
    login.login_uid = detail.login_uid;
    login.command = detail.command;
    login.reason = detail.reason;
}
