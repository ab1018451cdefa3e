//! How much one endpoint may send. Whoever sends more is read more slowly; nothing is refused or lost by it.
//!
//! A bucket fills at the rate and holds two seconds of it. A batch is always taken, and the wait that follows pays
//! for it. Pure: the time comes in as a value.

use std::time::Duration;

use tokio::time::Instant;

/// Seconds of the rate that may be sent at once after a rest.
const BURST_S: f64 = 2.0;

/// What a batch costs beside its events, in events: its share of a transaction and its row.
const BATCH_COST: u32 = 4;

/// The lowest rate that may be set, events per second.
pub(crate) const RATE_MIN: u32 = 5_000;

/// One endpoint's bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: f64,
    /// Below zero: owed.
    level: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(events_per_second: u32, now: Instant) -> Self {
        let rate = f64::from(events_per_second.max(RATE_MIN));
        Self {
            rate,
            level: rate * BURST_S,
            at: now,
        }
    }

    /// Takes a batch of so many events; answers how long to wait before the next one is read.
    pub(crate) fn take(&mut self, events: u32, now: Instant) -> Duration {
        self.fill(now);
        self.level -= f64::from(events.saturating_add(BATCH_COST));
        if self.level >= 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(-self.level / self.rate)
    }

    /// Nothing would be forgotten if it were thrown away.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level >= self.rate * BURST_S
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.rate).min(self.rate * BURST_S);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as fast as it may for a while; answers events per second.
    fn rate_reached(rate: u32, events: u32) -> f64 {
        let start = Instant::now();
        let mut bucket = Bucket::new(rate, start);
        let (mut now, mut sent) = (start, 0_u64);
        while now - start < Duration::from_secs(60) {
            now += bucket.take(events, now).max(Duration::from_millis(1));
            sent += u64::from(events);
        }
        sent as f64 / (now - start).as_secs_f64()
    }

    #[test]
    fn five_thousand_events_a_second_pass_even_at_the_lowest_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1, start);
        for tenth in 1..600 {
            let now = start + Duration::from_millis(100 * tenth);
            assert_eq!(
                bucket.take(496, now),
                Duration::ZERO,
                "after {tenth} tenths"
            );
        }
    }

    #[test]
    fn whoever_sends_more_is_held_to_the_rate() {
        let reached = rate_reached(20_000, 512);
        assert!((18_000.0..22_000.0).contains(&reached), "{reached}");
    }

    #[test]
    fn tiny_batches_are_not_free() {
        let reached = rate_reached(5_000, 1);
        assert!(reached < 1_100.0, "{reached} batches a second");
    }

    #[test]
    fn a_rest_fills_it_again() {
        let start = Instant::now();
        let mut bucket = Bucket::new(5_000, start);
        assert!(bucket.take(20_000, start) > Duration::ZERO);
        assert!(!bucket.is_full(start + Duration::from_secs(1)));
        assert!(bucket.is_full(start + Duration::from_secs(10)));
    }
}
