//! Counts events by key within a minute, with a bound on the keys.

use std::collections::HashMap;
use std::hash::Hash;

/// Counts of the current minute.
#[derive(Debug)]
pub(crate) struct PerMinute<K> {
    keys_max: usize,
    minute: i64,
    /// `None` stands for all keys beyond the bound.
    counts: HashMap<Option<K>, u32>,
}

impl<K: Hash + Eq> PerMinute<K> {
    /// Tells that many keys apart; all others count as one.
    pub(crate) fn new(keys_max: usize) -> Self {
        Self {
            keys_max,
            minute: 0,
            counts: HashMap::new(),
        }
    }

    /// Counts one more; how many in this minute, with it.
    pub(crate) fn count(&mut self, key: K, now_ms: i64) -> u32 {
        self.turn(now_ms);
        let key = self.known(key);
        let count = self.counts.entry(key).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// How many in this minute.
    pub(crate) fn get(&mut self, key: K, now_ms: i64) -> u32 {
        self.turn(now_ms);
        let key = self.known(key);
        self.counts.get(&key).copied().unwrap_or(0)
    }

    fn known(&self, key: K) -> Option<K> {
        let key = Some(key);
        let known = self.counts.len() < self.keys_max || self.counts.contains_key(&key);
        key.filter(|_| known)
    }

    fn turn(&mut self, now_ms: i64) {
        let minute = now_ms.div_euclid(60_000);
        if self.minute != minute {
            self.minute = minute;
            self.counts = HashMap::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_minute_begins_at_nothing() {
        let mut counts = PerMinute::new(9);
        assert_eq!(counts.count("a", 0), 1);
        assert_eq!(counts.count("a", 59_999), 2);
        assert_eq!(counts.get("a", 59_999), 2);
        assert_eq!(counts.get("b", 59_999), 0);
        assert_eq!(counts.count("a", 60_000), 1);
    }

    #[test]
    fn keys_without_number_count_as_one() {
        let mut counts = PerMinute::new(100);
        for key in 0..100 {
            assert_eq!(counts.count(key, 0), 1);
        }
        assert_eq!(counts.count(1000, 0), 1);
        assert_eq!(counts.count(1001, 0), 2);
        assert_eq!(counts.get(1002, 0), 2);
        assert_eq!(counts.count(5, 0), 2, "known ones are still told apart");
        assert!(counts.counts.len() <= 101);
    }
}
