//! How the kernel's clocks stand to one another: notifications carry the monotonic one, `/proc` ticks of the one that
//! goes on while the machine sleeps, events the wall clock. Pure.

const NS_PER_MS: i64 = 1_000_000;

/// How the clocks stand to one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clocks {
    /// The clock of the notifications.
    pub(super) monotonic_ns: u64,
    /// The clock of `/proc`'s start ticks: it goes on while the machine sleeps.
    pub(super) boot_ns: u64,
    /// Wall clock.
    pub(super) wall_ns: i64,
    /// Start ticks in a second.
    pub(super) ticks_per_second: u64,
}

impl Clocks {
    /// Unix milliseconds of a time on the monotonic clock.
    pub(super) fn wall_ms(&self, monotonic_ns: u64) -> i64 {
        let ago = i128::from(self.monotonic_ns) - i128::from(monotonic_ns);
        let wall = i128::from(self.wall_ns) - ago;
        i64::try_from(wall / i128::from(NS_PER_MS)).map_or(0, |ms| ms.max(0))
    }

    /// Start ticks of a time on the monotonic clock.
    pub(super) fn ticks(&self, monotonic_ns: u64) -> u64 {
        let ago = self.monotonic_ns.saturating_sub(monotonic_ns);
        let boot = u128::from(self.boot_ns.saturating_sub(ago));
        let ticks = boot * u128::from(self.ticks_per_second) / 1_000_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// Start ticks of a time on the clock that goes on while the machine sleeps.
    pub(super) fn boot_ticks(&self, boot_ns: u64) -> u64 {
        // As the kernel does it: a tick is a whole number of nanoseconds.
        boot_ns / (1_000_000_000 / self.ticks_per_second.max(1)).max(1)
    }

    /// Time on the monotonic clock of one on the clock that goes on while the machine sleeps.
    pub(super) fn monotonic_ns_of_boot(&self, boot_ns: u64) -> u64 {
        let ago = self.boot_ns.saturating_sub(boot_ns);
        self.monotonic_ns.saturating_sub(ago)
    }

    /// Time on the monotonic clock of a tick; 0 where it lies before the clock's start.
    pub(super) fn monotonic_ns_of(&self, ticks: u64) -> u64 {
        let boot = u128::from(ticks) * 1_000_000_000 / u128::from(self.ticks_per_second.max(1));
        let ago = u128::from(self.boot_ns).saturating_sub(boot);
        u64::try_from(u128::from(self.monotonic_ns).saturating_sub(ago)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn times_go_from_one_clock_to_the_other() {
        let now_ns = 1000 * SECOND;
        let clocks = Clocks {
            monotonic_ns: now_ns,
            // It slept for five seconds.
            boot_ns: now_ns + 5 * SECOND,
            wall_ns: 1_700_000_000_000_000_000,
            ticks_per_second: 100,
        };
        let now_ms = clocks.wall_ns / NS_PER_MS;
        assert_eq!(clocks.wall_ms(now_ns), now_ms);
        assert_eq!(clocks.wall_ms(now_ns - SECOND), now_ms - 1000);
        assert_eq!(clocks.wall_ms(now_ns + SECOND), now_ms + 1000);
        let ticks = clocks.ticks(now_ns - SECOND);
        assert_eq!(ticks, 100 * 1004);
        assert_eq!(clocks.monotonic_ns_of(ticks), now_ns - SECOND);
        assert_eq!(clocks.boot_ticks(1004 * SECOND + 9_999_999), ticks);
        assert_eq!(clocks.monotonic_ns_of_boot(1004 * SECOND), now_ns - SECOND);
        assert_eq!(clocks.monotonic_ns_of(0), 0, "before the clock's start");
    }
}
