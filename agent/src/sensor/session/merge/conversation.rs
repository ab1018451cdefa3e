//! What is remembered of a conversation between its episodes, and what an episode means in its light.

use serde::{Deserialize, Serialize};

use super::Facts;
use super::assign::{Key, compatible};
use super::outcome::{self, Parts};
use crate::sensor::session::login::{Login, LoginActivity, Sources};
use crate::sensor::session::record::{Detail, Record, Sign, Source};

/// A conversation in which nothing is said for so long is over: sshd gives up after two minutes.
const SILENCE_MS: i64 = 150_000;

/// For so long, a source that said nothing yet about an outcome may still say it.
const STRAGGLER_MS: i64 = 5_000;

/// A login without a process, whose end was missed, is forgotten after so long.
const FORGET_MS: i64 = 12 * 3_600_000;

/// Outcomes that are remembered for their stragglers.
const RECENT_MAX: usize = 16;

/// An outcome that was told.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Recent {
    time_ms: i64,
    failed: bool,
    sources: Sources,
}

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Conversation {
    last_ms: i64,
    /// Who and from where, as far as this conversation said.
    context: Detail,
    /// A sign that somebody tried, without an attempt so far.
    hint: Option<Box<Record>>,
    /// sshd notes a failure when it hears an unknown name, before anything was tried.
    announced: bool,
    attempted: bool,
    open: Option<Box<Login>>,
    recent: Vec<Recent>,
}

impl Conversation {
    /// When it last said something.
    pub(super) fn last_ms(&self) -> i64 {
        self.last_ms
    }

    /// Its login, while that lasts.
    pub(super) fn open(&self) -> Option<&Login> {
        self.open.as_deref()
    }

    /// Whether the program itself said something in it, not only PAM.
    pub(super) fn has_spoken(&self) -> bool {
        self.attempted || self.announced || self.hint.is_some() || self.open.is_some()
    }

    /// Whether time alone may make an outcome of it.
    pub(super) fn is_waiting(&self) -> bool {
        self.hint.is_some()
    }

    /// Whether a line without a process may belong to it: the end of its session, or a straggler.
    pub(super) fn awaits(&self, has_process: bool, record: &Record) -> bool {
        if record.sign == Sign::Closed {
            // One with a process is closed by the source that named the process.
            return !has_process
                && self.open.as_ref().is_some_and(|login| {
                    login.user.name.is_none() || login.user.name == record.detail.user.name
                });
        }
        self.recent.iter().any(|recent| recent.waits_for(record))
            && compatible(&self.context, &record.detail)
    }

    /// Draws the conclusions of an episode that is complete.
    pub(super) fn take(
        &mut self,
        key: &Key,
        records: &[&Record],
        facts: Facts,
        told: &mut Vec<Login>,
    ) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return;
        };
        // The number of a process may come round again.
        if first.time_ms > self.last_ms.saturating_add(SILENCE_MS) {
            self.expire(key, first.time_ms, told);
            let open = self.open.take();
            *self = Self {
                open,
                ..Self::default()
            };
        }
        self.last_ms = self.last_ms.max(last.time_ms);
        if first.sign == Sign::Closed {
            self.close(records, told);
            return;
        }
        let mut records: Vec<&Record> = records.to_vec();
        records.retain(|record| !self.absorb(record));
        for record in &records {
            outcome::note_identity(&mut self.context, key, record);
        }
        self.set_announcement_apart(key, &mut records);
        let parts = Parts::of(key, &records);
        self.judge(key, &parts, facts, told);
    }

    /// Whether the record repeats, from another source, what was told already.
    fn absorb(&mut self, record: &Record) -> bool {
        let Some(recent) = self
            .recent
            .iter_mut()
            .find(|recent| recent.waits_for(record))
        else {
            return false;
        };
        if matches!(record.sign, Sign::Failed | Sign::RelayedFailure) {
            outcome::note_source(&mut recent.sources, record.source);
        }
        true
    }

    /// sshd writes to btmp as soon as it hears a name that does not exist: that is no attempt.
    fn set_announcement_apart(&mut self, key: &Key, records: &mut Vec<&Record>) {
        if key.service != "sshd" || self.context.user_exists != Some(false) || self.announced {
            return;
        }
        let announcement = records
            .iter()
            .position(|record| record.source == Source::Accounting && record.sign == Sign::Failed);
        if let Some(index) = announcement {
            self.announced = true;
            self.note_hint(records.remove(index));
        }
    }

    /// Keeps the sign that will be there again when its source is read again.
    fn note_hint(&mut self, record: &Record) {
        let better = self
            .hint
            .as_ref()
            .is_none_or(|hint| (record.source, record.time_ms) < (hint.source, hint.time_ms));
        if better {
            self.hint = Some(Box::new(record.clone()));
        }
    }

    fn judge(&mut self, key: &Key, parts: &Parts<'_>, facts: Facts, told: &mut Vec<Login>) {
        let mut tell = |this: &mut Self, login: Login| {
            this.attempted = true;
            this.hint = None;
            if this.recent.len() >= RECENT_MAX {
                this.recent.remove(0);
            }
            this.recent.push(Recent {
                time_ms: login.time_ms,
                failed: login.activity == LoginActivity::Failed,
                sources: login.sources,
            });
            told.push(login);
        };
        for attempt in parts.failures() {
            let login = attempt.login(key, &self.context);
            tell(self, login);
        }
        if let Some(login) = parts.success(key, &self.context, facts) {
            if let Some(former) = self.open.take() {
                // Its end was missed: the process serves another login now.
                let ended = outcome::ended(*former, login.time_ms, Some("replaced"));
                tell(self, ended);
            }
            self.open = Some(Box::new(login.clone()));
            tell(self, login);
        }
        if self.attempted {
            return;
        }
        for hint in parts.hints() {
            self.note_hint(hint);
        }
        let identified = self.hint.is_some() || !self.context.user.is_unknown();
        if let Some(end) = parts.given_up().filter(|_| identified) {
            self.note_hint(end);
            if let Some(hint) = self.hint.take() {
                let login = outcome::unattempted(key, &hint, &self.context);
                tell(self, login);
            }
        }
    }

    fn close(&mut self, records: &[&Record], told: &mut Vec<Login>) {
        let Some(login) = self.open.take() else {
            return;
        };
        // wtmp's record is the end of the terminal; the connection may go on.
        let follows = |record: &&&Record| {
            record.source != Source::Accounting || !(login.sources.text || login.sources.audit)
        };
        match records
            .iter()
            .filter(follows)
            .min_by_key(|record| record.source)
        {
            Some(record) => told.push(outcome::ended(*login, record.time_ms, None)),
            None => self.open = Some(login),
        }
    }

    /// Ends what time ends; true where nothing is left to remember.
    pub(super) fn expire(&mut self, key: &Key, now_ms: i64, told: &mut Vec<Login>) -> bool {
        if now_ms <= self.last_ms.saturating_add(SILENCE_MS) {
            return false;
        }
        if let Some(hint) = self.hint.take().filter(|_| !self.attempted) {
            told.push(outcome::unattempted(key, &hint, &self.context));
        }
        // Nobody could see that a process without a number ended.
        let lost = key.pid.is_none() && now_ms > self.last_ms.saturating_add(FORGET_MS);
        self.open.is_none() || lost
    }

    /// Its login ended with the machine's last run.
    pub(super) fn end_by_restart(self, boot_ms: i64) -> Option<Login> {
        let login = *self.open?;
        Some(outcome::ended(
            login,
            boot_ms,
            Some("the machine was restarted"),
        ))
    }
}

impl Recent {
    fn waits_for(&self, record: &Record) -> bool {
        let failure = matches!(
            record.sign,
            Sign::Failed | Sign::PamFailed | Sign::RelayedFailure | Sign::Hint
        );
        let known = match record.source {
            Source::Text => self.sources.text,
            Source::Accounting => self.sources.accounting,
            Source::Audit => self.sources.audit,
            Source::Process => true,
        };
        !known && failure == self.failed && (record.time_ms - self.time_ms).abs() <= STRAGGLER_MS
    }
}
