//! Cuts the records of a conversation into episodes, and knows when one is complete.

use super::Held;
use crate::sensor::session::record::Sign;

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
    last_ms: i64,
    due_ms: i64,
    wait_ms: i64,
    closes: bool,
}

impl Episode {
    fn new(index: usize, held: &Held, service: &str) -> Self {
        let record = &held.record;
        Self {
            members: vec![index],
            first_ms: record.time_ms,
            last_ms: record.time_ms,
            due_ms: held.due_ms,
            wait_ms: wait_ms(service, record.sign),
            closes: record.sign == Sign::Closed,
        }
    }

    fn add(&mut self, index: usize, held: &Held, service: &str) {
        self.members.push(index);
        self.last_ms = held.record.time_ms;
        self.due_ms = held.due_ms;
        if held.record.sign != Sign::Context {
            self.wait_ms = wait_ms(service, held.record.sign);
        }
    }

    fn may_have(&self, held: &Held) -> bool {
        held.record.time_ms <= self.last_ms.saturating_add(self.wait_ms)
    }

    /// Whether nothing more can belong to it once everything up to `now_ms` was read.
    pub(super) fn is_settled(&self, now_ms: i64) -> bool {
        now_ms > self.due_ms.saturating_add(self.wait_ms)
    }

    /// Where it stands among the others: the end of a very short session can seem to be before its beginning.
    fn place_ms(&self) -> i64 {
        self.first_ms + if self.closes { CLOCKS_DIFFER_MS } else { 0 }
    }
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
