//! Makes one login of what several sources say about it. Pure: records and times in, logins out.
//!
//! ```text
//! records, any order --> held --> conversations --> episodes --> logins
//!                        sorted   one process       cut where
//!                                 (assign.rs)       a source could
//!                                                   say no more
//!                                                   (episode.rs, conversation.rs, outcome.rs)
//! ```
//!
//! - A *conversation* is what one process of one service has with one caller. An *episode* is a stretch of it that
//!   leads to outcomes: refused attempts, or a session. Its end is known by waiting, [`episode::wait_ms`], so an
//!   outcome is told that much after it happened.
//! - The same records give the same logins in whatever order they arrive, as long as each arrives before the
//!   episode that it belongs to is told; one that is later is recognized as a straggler for a few seconds.
//! - Everything held can be written down and read again ([`Merger`] is serializable), so that a restart neither
//!   loses nor repeats an outcome.
//!
//! Limits: [`HELD_MAX`] records, [`CONVERSATIONS_MAX`] conversations; the oldest go first and are counted.

mod assign;
mod conversation;
mod episode;
mod outcome;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::assign::{Key, assign};
use self::conversation::Conversation;
use super::login::Login;
use super::record::{Detail, Record, Sign, Source};

/// Records that wait for their outcome. A password guesser makes some hundred a second.
const HELD_MAX: usize = 8192;

/// Conversations that are remembered: open logins, and those that may still get a straggler.
const CONVERSATIONS_MAX: usize = 4096;

/// What the machine's configuration says about the sources.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts {
    /// A source is read that records every terminal: wtmp, or the audit stream.
    pub(crate) terminals_recorded: bool,
}

/// A record, and when it was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Held {
    record: Record,
    /// The record's time, or when it was read where the record claims to be of later.
    due_ms: i64,
}

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Merger {
    held: Vec<Held>,
    #[serde(with = "pairs")]
    conversations: BTreeMap<Key, Conversation>,
    dropped: u64,
}

impl Merger {
    /// Takes a record that was read at `now_ms`.
    pub(crate) fn push(&mut self, record: Record, now_ms: i64) {
        if self.held.len() >= HELD_MAX {
            self.held.sort_unstable();
            self.held.remove(0);
            self.dropped += 1;
        }
        let due_ms = record.time_ms.min(now_ms);
        self.held.push(Held { record, due_ms });
    }

    /// Tells what is certain when everything up to `now_ms` was read.
    pub(crate) fn advance(&mut self, now_ms: i64, facts: Facts) -> Vec<Login> {
        let mut told = Vec::new();
        self.held.sort_unstable();
        let mut consumed = vec![false; self.held.len()];
        for (key, members) in assign(&self.held, &self.conversations) {
            let conversation = self.conversations.entry(key.clone()).or_default();
            for episode in episode::cut(&self.held, &members, &key.service) {
                if !episode.is_settled(now_ms) {
                    break;
                }
                let records: Vec<&Record> = episode
                    .members
                    .iter()
                    .filter_map(|&index| self.held.get(index).map(|held| &held.record))
                    .collect();
                conversation.take(&key, &records, facts, &mut told);
                for index in episode.members {
                    if let Some(flag) = consumed.get_mut(index) {
                        *flag = true;
                    }
                }
            }
        }
        let mut flags = consumed.into_iter();
        self.held.retain(|_| !flags.next().unwrap_or(false));
        self.expire(now_ms, &mut told);
        told.sort_by_key(|login| (login.time_ms, login.activity, login.id));
        told
    }

    fn expire(&mut self, now_ms: i64, told: &mut Vec<Login>) {
        self.conversations
            .retain(|key, conversation| !conversation.expire(key, now_ms, told));
        while self.conversations.len() > CONVERSATIONS_MAX {
            let oldest = self
                .conversations
                .iter()
                .min_by_key(|(_, conversation)| conversation.last_ms())
                .map(|(key, _)| key.clone());
            let Some(key) = oldest else { break };
            self.conversations.remove(&key);
            self.dropped += 1;
        }
    }

    /// Whether [`Merger::advance`] has something to wait for.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.held.is_empty() || self.conversations.values().any(Conversation::is_waiting)
    }

    /// Whether it waits for what may come within seconds.
    pub(crate) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Logins that have not ended.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Login> {
        self.conversations.values().filter_map(Conversation::open)
    }

    /// Notes that the process of an open login is gone; its login ends unless a source says so itself.
    pub(crate) fn process_gone(&mut self, pid: u32, now_ms: i64) {
        let services: Vec<String> = self
            .open()
            .filter(|login| login.pid == Some(pid))
            .map(|login| login.service.clone())
            .collect();
        for service in services {
            let record = Record {
                time_ms: now_ms,
                source: Source::Process,
                service,
                pid: Some(pid),
                sign: Sign::Closed,
                count: 1,
                detail: Box::new(Detail::default()),
            };
            self.push(record, now_ms);
        }
    }

    /// Ends every open login: the machine was restarted.
    pub(crate) fn restarted(&mut self, boot_ms: i64) -> Vec<Login> {
        let conversations = std::mem::take(&mut self.conversations);
        self.held.clear();
        let mut ended: Vec<Login> = conversations
            .into_values()
            .filter_map(|conversation| conversation.end_by_restart(boot_ms))
            .collect();
        ended.sort_by_key(|login| (login.time_ms, login.id));
        ended
    }

    /// Records and conversations given up since the last call.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// A map with structured keys, as pairs: JSON has only texts for keys.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let pairs: Vec<(K, V)> = Vec::deserialize(deserializer)?;
        Ok(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
