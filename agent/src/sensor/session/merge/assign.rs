//! Which conversation a record belongs to. By its process, where it names one; sudo's lines name none, PAM's lines
//! for sshd's dialogue name a child, and accounting files name no service: those are placed by what they say.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::conversation::Conversation;
use super::{Held, episode};
use crate::sensor::session::record::{Detail, Record, Sign};

/// Names a conversation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) service: String,
    pub(super) pid: Option<u32>,
    /// Without a process: the time and caller of the line that began it.
    lane: Option<(i64, String)>,
    /// Which of several that the same caller began at the same time: a log may know times to the second only.
    #[serde(default)]
    number: u32,
}

/// Two sources name the same moment within this.
const SAME_MOMENT_MS: i64 = 1_500;

/// Places every record; the members of a conversation are in order of time, as `held` is.
pub(super) fn assign(
    held: &[Held],
    conversations: &BTreeMap<Key, Conversation>,
) -> BTreeMap<Key, Vec<usize>> {
    let mut placing = Placing {
        held,
        conversations,
        placed: BTreeMap::new(),
        taken: BTreeSet::new(),
        ended: BTreeSet::new(),
    };
    // Those whose place is certain first: the others look for them.
    let mut later = Vec::new();
    for (index, held) in held.iter().enumerate() {
        let record = &held.record;
        match record.pid {
            Some(pid) if !record.service.is_empty() => placing.put(index, Key::of(record, pid)),
            _ => later.push(index),
        }
    }
    placing.adopt_children();
    // A line that decides before those that lead to it or follow from it.
    later.sort_by_key(|&index| {
        placing
            .record(index)
            .is_none_or(|record| !decides(record) || record.pid.is_some())
    });
    for index in later {
        let Some(held) = held.get(index) else {
            continue;
        };
        let key = match held.record.pid {
            Some(pid) => placing.by_process(&held.record, pid),
            None => placing.by_content(&held.record),
        };
        placing.put(index, key);
    }
    let mut groups: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
    for (index, key) in placing.placed {
        groups.entry(key).or_default().push(index);
    }
    groups
}

impl Key {
    fn of(record: &Record, pid: u32) -> Self {
        Self {
            service: record.service.clone(),
            pid: Some(pid),
            lane: None,
            number: 0,
        }
    }

    /// What tells it from others of the same caller and time.
    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

struct Placing<'a> {
    held: &'a [Held],
    conversations: &'a BTreeMap<Key, Conversation>,
    placed: BTreeMap<usize, Key>,
    /// Conversations that already have a line of the log which decides.
    taken: BTreeSet<Key>,
    /// Those that already have the line that ends them.
    ended: BTreeSet<Key>,
}

impl Placing<'_> {
    fn put(&mut self, index: usize, key: Key) {
        self.placed.insert(index, key);
    }

    fn record(&self, index: usize) -> Option<&Record> {
        self.held.get(index).map(|held| &held.record)
    }

    /// Indices of records from `from_ms` to `until_ms`.
    fn between(&self, from_ms: i64, until_ms: i64) -> std::ops::Range<usize> {
        let start = self
            .held
            .partition_point(|held| held.record.time_ms < from_ms);
        let end = self
            .held
            .partition_point(|held| held.record.time_ms <= until_ms);
        start..end.max(start)
    }

    /// sshd lets a child run PAM's dialogue: what PAM says there belongs to the parent, which speaks next.
    fn adopt_children(&mut self) {
        let speaks = |sign| !matches!(sign, Sign::PamFailed | Sign::PamAccepted | Sign::Context);
        let mut speakers: BTreeSet<u32> = BTreeSet::new();
        for (key, conversation) in self.conversations {
            if key.service == "sshd" && conversation.has_spoken() {
                speakers.extend(key.pid);
            }
        }
        for held in self.held {
            if held.record.service == "sshd" && speaks(held.record.sign) {
                speakers.extend(held.record.pid);
            }
        }
        for index in 0..self.held.len() {
            let Some(child) = self.record(index) else {
                continue;
            };
            let is_child =
                child.service == "sshd" && child.pid.is_some_and(|pid| !speakers.contains(&pid));
            if !is_child {
                continue;
            }
            let wait_ms = episode::wait_ms("sshd", Sign::PamFailed);
            let parent = self
                .between(child.time_ms, child.time_ms + wait_ms)
                .filter_map(|other| Some((other, self.record(other)?)))
                .filter(|(_, other)| {
                    other.service == "sshd"
                        && other.pid.is_some_and(|pid| speakers.contains(&pid))
                        && speaks(other.sign)
                        && compatible(&child.detail, &other.detail)
                })
                .min_by_key(|(_, other)| (other.time_ms, other.pid))
                .and_then(|(other, _)| self.placed.get(&other).cloned());
            if let Some(key) = parent {
                self.put(index, key);
            }
        }
    }

    /// A record of an accounting file: the conversation that this process has in another source.
    fn by_process(&self, record: &Record, pid: u32) -> Key {
        let wait_ms = episode::wait_ms("", Sign::PamFailed);
        self.between(record.time_ms - wait_ms, record.time_ms + wait_ms)
            .filter(|&other| {
                self.record(other)
                    .is_some_and(|other| other.pid == Some(pid))
            })
            .filter_map(|other| self.placed.get(&other))
            .chain(self.conversations.keys())
            .find(|key| key.pid == Some(pid) && !key.service.is_empty())
            .cloned()
            .unwrap_or_else(|| Key::of(record, pid))
    }

    /// A line without a process.
    fn by_content(&mut self, record: &Record) -> Key {
        let found = self.similar(record);
        if record.sign == Sign::Closed
            && let Some(key) = &found
        {
            self.ended.insert(key.clone());
        }
        let key = found.unwrap_or_else(|| self.new_lane(record));
        if decides(record) {
            self.taken.insert(key.clone());
        }
        key
    }

    fn new_lane(&self, record: &Record) -> Key {
        let caller = record.detail.actor.name.clone().unwrap_or_default();
        let mut key = Key {
            service: record.service.clone(),
            pid: None,
            lane: Some((record.time_ms, caller)),
            number: 0,
        };
        // One run decides once: another line that does is of another run.
        while decides(record) && self.taken.contains(&key) {
            key.number += 1;
        }
        key
    }

    fn similar(&self, record: &Record) -> Option<Key> {
        let (behind_ms, ahead_ms) = match record.sign {
            Sign::PamFailed => (
                episode::CLOCKS_DIFFER_MS,
                episode::wait_ms(&record.service, Sign::PamFailed),
            ),
            _ => (SAME_MOMENT_MS, SAME_MOMENT_MS),
        };
        let mut around: BTreeMap<&Key, (i64, Detail)> = BTreeMap::new();
        for other in self.between(record.time_ms - behind_ms, record.time_ms + ahead_ms) {
            let (Some(other), Some(key)) = (self.record(other), self.placed.get(&other)) else {
                continue;
            };
            let closes = |sign| sign == Sign::Closed;
            if key.service != record.service || closes(other.sign) != closes(record.sign) {
                continue;
            }
            let distance_ms = (other.time_ms - record.time_ms).abs();
            let (nearest_ms, detail) = around.entry(key).or_insert((i64::MAX, Detail::default()));
            *nearest_ms = distance_ms.min(*nearest_ms);
            detail.fill(&other.detail);
        }
        let held = around
            .into_iter()
            .filter(|(key, (_, detail))| {
                // A line that decides begins a lane of its own; it joins only what another source says.
                let free = !decides(record) || (key.lane.is_none() && !self.taken.contains(key));
                free && compatible(&record.detail, detail)
            })
            .min_by_key(|(key, (distance_ms, _))| (*distance_ms, *key))
            .map(|(key, _)| key.clone());
        held.or_else(|| self.awaiting(record))
    }

    /// What was told already and may get a straggler; for the end of a session, the oldest that has none yet.
    fn awaiting(&self, record: &Record) -> Option<Key> {
        let remembered = self
            .conversations
            .iter()
            .filter(|(key, conversation)| {
                key.service == record.service
                    && !self.ended.contains(key)
                    && conversation.awaits(key.pid.is_some(), record)
            })
            .min_by_key(|(key, conversation)| (conversation.last_ms(), *key))
            .map(|(key, _)| key.clone());
        if record.sign != Sign::Closed {
            return remembered;
        }
        let until_ms = record.time_ms + episode::CLOCKS_DIFFER_MS;
        remembered.or_else(|| {
            self.placed
                .iter()
                .filter_map(|(&index, key)| Some((self.record(index)?, key)))
                .find(|(other, key)| {
                    key.lane.is_some()
                        && key.service == record.service
                        && !self.ended.contains(key)
                        && matches!(other.sign, Sign::Accepted | Sign::Opened)
                        && other.time_ms <= until_ms
                        && compatible(&record.detail, &other.detail)
                })
                .map(|(_, key)| key.clone())
        })
    }
}

/// Whether it says how a conversation went.
fn decides(record: &Record) -> bool {
    matches!(record.sign, Sign::Accepted | Sign::Failed)
}

/// Whether two records can be of one conversation, by what both say.
pub(super) fn compatible(a: &Detail, b: &Detail) -> bool {
    fn agree<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
        a.is_none() || b.is_none() || a == b
    }
    agree(a.user.name.as_ref(), b.user.name.as_ref())
        && agree(a.user.uid.as_ref(), b.user.uid.as_ref())
        && agree(a.actor.name.as_ref(), b.actor.name.as_ref())
        && agree(a.actor.uid.as_ref(), b.actor.uid.as_ref())
        && agree(a.address.as_ref(), b.address.as_ref())
        && agree(arguments(a).as_ref(), arguments(b).as_ref())
}

/// A command without the program: one source has its name, the other its path.
fn arguments(detail: &Detail) -> Option<String> {
    let command = detail.command.as_deref()?;
    Some(
        command
            .split_once(' ')
            .map_or("", |(_, rest)| rest)
            .to_owned(),
    )
}
