//! Numbers that look random and are the same for the same seed, on every machine and with every version of a library.
//!
//! SplitMix64 (Steele, Lea, Flood 2014): one addition and three mixing steps a number. Not for secrets.

/// A source of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The numbers of a seed and what they are for, so that more numbers for one thing do not shift another's.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mut random = Self { state: seed };
        for byte in purpose.bytes() {
            random.state = random.state.wrapping_mul(31).wrapping_add(u64::from(byte));
            let _mixed = random.next();
        }
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `from` to `until`, both included.
    pub(crate) fn between(&mut self, from: i64, until: i64) -> i64 {
        let width = u64::try_from(until - from).unwrap_or(0) + 1;
        from + i64::try_from(self.next() % width).unwrap_or(0)
    }

    /// True so often in 10,000.
    pub(crate) fn chance(&mut self, in_ten_thousand: i64) -> bool {
        self.between(0, 9_999) < in_ten_thousand
    }

    /// One of them.
    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        let last = i64::try_from(of.len()).unwrap_or(1) - 1;
        let at = usize::try_from(self.between(0, last)).unwrap_or(0);
        of[at].clone()
    }

    /// About `mean`, most within `spread` of it: the sum of three.
    pub(crate) fn about(&mut self, mean: i64, spread: i64) -> i64 {
        let third = (spread / 2).max(1);
        mean + (0..3).map(|_| self.between(-third, third)).sum::<i64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_series_and_another_another() {
        let series = |seed, purpose| {
            let mut random = Random::new(seed, purpose);
            (0..4).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(series(1, "life"), series(1, "life"));
        assert_ne!(series(1, "life"), series(2, "life"));
        assert_ne!(series(1, "life"), series(1, "attack"));
    }

    #[test]
    fn numbers_keep_to_their_bounds() {
        let mut random = Random::new(7, "bounds");
        let numbers: Vec<i64> = (0..1000).map(|_| random.between(-2, 2)).collect();
        assert!((-2..=2).all(|n| numbers.contains(&n)));
        assert!(numbers.iter().all(|n| (-2..=2).contains(n)));
        let hits = (0..10_000).filter(|_| random.chance(1_000)).count();
        assert!((900..1100).contains(&hits), "{hits}");
    }
}
