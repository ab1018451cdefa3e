//! Counts events by key within a minute, with a bound on the keys.

use std::collections::HashMap;

/// Keys that are told apart; all others count as one.
const KEYS_MAX: usize = 1024;

/// Counts of the current minute.
#[derive(Debug, Default)]
pub(crate) struct PerMinute {
    minute: i64,
    counts: HashMap<String, u32>,
}

impl PerMinute {
    /// Counts one more; how many in this minute, with it.
    pub(crate) fn count(&mut self, key: &str, now_ms: i64) -> u32 {
        self.turn(now_ms);
        let known = self.counts.contains_key(key) || self.counts.len() < KEYS_MAX;
        let key = if known { key } else { "" };
        let count = self.counts.entry(key.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// How many in this minute.
    pub(crate) fn get(&mut self, key: &str, now_ms: i64) -> u32 {
        self.turn(now_ms);
        let known = self.counts.get(key);
        let others = || {
            self.counts
                .get("")
                .filter(|_| self.counts.len() >= KEYS_MAX)
        };
        known.or_else(others).copied().unwrap_or(0)
    }

    fn turn(&mut self, now_ms: i64) {
        let minute = now_ms.div_euclid(60_000);
        if self.minute != minute {
            self.minute = minute;
            self.counts.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_minute_begins_at_nothing() {
        let mut counts = PerMinute::default();
        assert_eq!(counts.count("a", 0), 1);
        assert_eq!(counts.count("a", 59_999), 2);
        assert_eq!(counts.get("a", 59_999), 2);
        assert_eq!(counts.get("b", 59_999), 0);
        assert_eq!(counts.count("a", 60_000), 1);
    }

    #[test]
    fn keys_without_number_count_as_one() {
        let mut counts = PerMinute::default();
        for key in 0..KEYS_MAX {
            assert_eq!(counts.count(&key.to_string(), 0), 1);
        }
        assert_eq!(counts.count("x", 0), 1);
        assert_eq!(counts.count("y", 0), 2);
        assert_eq!(counts.get("z", 0), 2);
        assert!(counts.counts.len() <= KEYS_MAX + 1);
    }
}
