//! Cuts the records of a conversation into episodes, and knows when one is complete.

use super::Held;
use crate::sensor::session::record::{Record, Sign, Source};

/// How long after a record another one may follow that belongs to the same outcome.
///
/// PAM delays a refusal by up to three seconds before the program hears of it; sudo asks again, and tells only at
/// its end. Everything else follows at once; two seconds are for a slow machine.
pub(super) fn wait_ms(service: &str, sign: Sign) -> i64 {
    match sign {
        Sign::PamFailed if service == "sudo" => 60_000,
        Sign::PamFailed | Sign::PamAccepted => 6_000,
        _ => 2_000,
    }
}

/// The kernel's stamp is up to ten milliseconds behind the log's; this is much more.
pub(super) const CLOCKS_DIFFER_MS: i64 = 100;

/// Records that speak of one outcome, or of several that cannot be told apart by time.
#[derive(Debug)]
pub(super) struct Episode {
    /// Indices into what is held, in order of time.
    pub(super) members: Vec<usize>,
    first_ms: i64,
    /// Nothing of a later time belongs to it.
    until_ms: i64,
    /// Nothing that is read later belongs to it.
    settled_ms: i64,
    closes: bool,
}

impl Episode {
    fn new(index: usize, held: &Held, service: &str) -> Self {
        let record = &held.record;
        let wait_ms = wait_ms(service, record.sign);
        Self {
            members: vec![index],
            first_ms: record.time_ms,
            until_ms: record.time_ms.saturating_add(wait_ms),
            settled_ms: held.due_ms.saturating_add(wait_ms),
            closes: record.sign == Sign::Closed,
        }
    }

    fn add(&mut self, index: usize, held: &Held, service: &str) {
        self.members.push(index);
        let record = &held.record;
        let wait_ms = wait_ms(service, record.sign);
        let until_ms = record.time_ms.saturating_add(wait_ms);
        let settled_ms = held.due_ms.saturating_add(wait_ms);
        // The program's own word is what was waited for. What others note meanwhile ends no wait: sshd's record of a
        // name that does not exist lies between PAM's refusal and sshd's.
        if is_word_of_program(record) {
            (self.until_ms, self.settled_ms) = (until_ms, settled_ms);
        } else {
            self.until_ms = self.until_ms.max(until_ms);
            self.settled_ms = self.settled_ms.max(settled_ms);
        }
    }

    fn may_have(&self, held: &Held) -> bool {
        held.record.time_ms <= self.until_ms
    }

    /// Whether nothing more can belong to it once everything up to `now_ms` was read.
    pub(super) fn is_settled(&self, now_ms: i64) -> bool {
        now_ms > self.settled_ms
    }

    /// Where it stands among the others: the end of a very short session can seem to be before its beginning.
    fn place_ms(&self) -> i64 {
        self.first_ms + if self.closes { CLOCKS_DIFFER_MS } else { 0 }
    }
}

fn is_word_of_program(record: &Record) -> bool {
    let decides = matches!(
        record.sign,
        Sign::Failed | Sign::RelayedFailure | Sign::GivenUp | Sign::Accepted | Sign::Opened
    );
    decides && record.source != Source::Accounting
}

/// The episodes of a conversation, in order. Ends of sessions are episodes of their own.
pub(super) fn cut(held: &[Held], members: &[usize], service: &str) -> Vec<Episode> {
    let mut done = Vec::new();
    let mut current: [Option<Episode>; 2] = [None, None];
    for &index in members {
        let Some(one) = held.get(index) else { continue };
        let [opening, closing] = &mut current;
        let slot = if one.record.sign == Sign::Closed {
            closing
        } else {
            opening
        };
        match slot {
            Some(episode) if episode.may_have(one) => episode.add(index, one, service),
            _ => done.extend(slot.replace(Episode::new(index, one, service))),
        }
    }
    done.extend(current.into_iter().flatten());
    done.sort_by_key(Episode::place_ms);
    done
}
