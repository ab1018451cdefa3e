//! Log lines about peers whom nobody knows, at most so many a minute: a flood of connections is no flood of lines.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::origin::Origin;
use crate::per_minute::PerMinute;

/// Lines about one origin in a minute.
const LINES_PER_MINUTE_MAX: u32 = 5;

/// Origins that are told apart in a minute; all others share one origin's lines.
const ORIGINS_MAX: usize = 64;

/// Counts lines, and what was left unsaid.
#[derive(Debug)]
pub(crate) struct Quiet(Mutex<State>);

#[derive(Debug)]
struct State {
    lines: PerMinute<Origin>,
    minute: i64,
    unsaid: u64,
}

impl Quiet {
    /// Nothing has been said yet.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            lines: PerMinute::new(ORIGINS_MAX),
            minute: 0,
            unsaid: 0,
        }))
    }

    /// Whether there may be one more line about this address.
    pub(crate) fn may_speak(&self, address: IpAddr, now_ms: i64) -> bool {
        self.summarize(now_ms);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = state.lines.count(Origin::of(address), now_ms);
        if count > LINES_PER_MINUTE_MAX {
            state.unsaid += 1;
        }
        count <= LINES_PER_MINUTE_MAX
    }

    /// Says, once a minute, how many lines there were not.
    pub(crate) fn summarize(&self, now_ms: i64) {
        let unsaid = self.unsaid(now_ms);
        if unsaid > 0 {
            tracing::info!(
                count = unsaid,
                "refused connections and calls of peers with many of them, each without a line"
            );
        }
    }

    /// What was left unsaid in the minutes before this one, told once.
    fn unsaid(&self, now_ms: i64) -> u64 {
        let minute = now_ms.div_euclid(60_000);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.minute == minute {
            return 0;
        }
        state.minute = minute;
        std::mem::take(&mut state.unsaid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_few_lines_and_then_their_number() {
        let quiet = Quiet::new();
        let (a, b) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let said = (0..100).filter(|_| quiet.may_speak(a, 0)).count();
        assert_eq!(said, LINES_PER_MINUTE_MAX as usize);
        assert!(quiet.may_speak(b, 0), "of others there are lines");
        assert_eq!(quiet.unsaid(59_999), 0);
        assert_eq!(quiet.unsaid(60_000), 95);
        assert_eq!(quiet.unsaid(60_001), 0);
        assert!(quiet.may_speak(a, 60_001));
    }
}
