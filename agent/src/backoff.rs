//! How long to wait before trying again: doubled from a first delay to a cap, each time shortened by chance so
//! that a fleet which lost its server at once does not come back at once. Pure: the caller brings the chance.

use std::time::Duration;

/// Delays of one thing that is tried again and again.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    /// Delays from `first` to `cap`.
    pub(crate) const fn new(first: Duration, cap: Duration) -> Self {
        Self {
            first,
            cap,
            next: first,
        }
    }

    /// The next delay: between half and all of the present step, by `chance` from 0 to 1.
    pub(crate) fn next_delay(&mut self, chance: f64) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.cap);
        step.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    /// It worked: the next delay is the first one again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn backoff() -> Backoff {
        Backoff::new(Duration::from_millis(200), Duration::from_secs(30))
    }

    #[test]
    fn delays_double_up_to_the_cap() {
        let mut backoff = backoff();
        let delays: Vec<u128> = (0..10)
            .map(|_| backoff.next_delay(1.0).as_millis())
            .collect();
        assert_eq!(
            delays,
            [
                200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000
            ]
        );
        backoff.reset();
        assert_eq!(backoff.next_delay(1.0).as_millis(), 200);
    }

    proptest! {
        #[test]
        fn chance_takes_at_most_half(chances in proptest::collection::vec(0.0_f64..1.0, 1..40)) {
            let (mut by_chance, mut full) = (backoff(), backoff());
            for chance in chances {
                let (delay, whole) = (by_chance.next_delay(chance), full.next_delay(1.0));
                prop_assert!(delay <= whole && delay >= whole / 2);
            }
        }

        #[test]
        fn no_chance_and_no_number_of_failures_breaks_it(chance in any::<f64>(), times in 0_usize..200) {
            let mut backoff = backoff();
            for _ in 0..times {
                prop_assert!(backoff.next_delay(chance) <= Duration::from_secs(30));
            }
        }
    }
}
