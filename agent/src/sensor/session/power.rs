//! Boots, shutdowns and sleep of the machine, and how they are noticed without asking anybody. Pure.
//!
//! A sleep shows in the kernel's clocks: one stands still meanwhile, the other does not. That tells how long it
//! was, and bounds when: after the last look before, and before the first look after.

use serde::{Deserialize, Serialize};

/// What happened to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PowerActivity {
    /// It started.
    Booted,
    /// It was told to stop.
    ShutDown,
    /// It went to sleep.
    Suspended,
    /// It woke.
    Resumed,
}

/// One such moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Power {
    /// What happened.
    pub(crate) activity: PowerActivity,
    /// When at the earliest, Unix milliseconds.
    pub(crate) time_ms: i64,
    /// When at the latest.
    pub(crate) until_ms: i64,
}

/// Sleeps that are shorter are inaccuracy of the clocks.
const SLEEP_MIN_MS: i64 = 500;

/// The three clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clocks {
    /// Unix milliseconds.
    pub(crate) wall_ms: i64,
    /// Milliseconds since the boot, with sleep.
    pub(crate) boot_ms: i64,
    /// Without.
    pub(crate) awake_ms: i64,
}

/// Watches the clocks.
#[derive(Debug)]
pub(crate) struct SleepWatch {
    last: Clocks,
}

impl SleepWatch {
    /// Begins with these.
    pub(crate) fn new(clocks: Clocks) -> Self {
        Self { last: clocks }
    }

    /// The sleep between the last look and this one.
    pub(crate) fn look(&mut self, now: Clocks) -> Option<[Power; 2]> {
        let last = std::mem::replace(&mut self.last, now);
        let elapsed_ms = now.boot_ms - last.boot_ms;
        let awake_ms = now.awake_ms - last.awake_ms;
        let asleep_ms = elapsed_ms - awake_ms;
        if asleep_ms < SLEEP_MIN_MS {
            return None;
        }
        let moment = |activity, time_ms, until_ms| Power {
            activity,
            time_ms,
            until_ms,
        };
        // By today's wall clock, which may have been set meanwhile.
        let began_ms = now.wall_ms - elapsed_ms;
        Some([
            moment(PowerActivity::Suspended, began_ms, began_ms + awake_ms),
            moment(PowerActivity::Resumed, began_ms + asleep_ms, now.wall_ms),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_shows_in_the_clocks_with_its_bounds() {
        let clocks = |wall_ms, boot_ms, awake_ms| Clocks {
            wall_ms,
            boot_ms,
            awake_ms,
        };
        let mut watch = SleepWatch::new(clocks(1_000_000, 5_000, 5_000));
        assert_eq!(watch.look(clocks(1_030_000, 35_000, 34_990)), None);
        // Ten seconds awake, an hour asleep.
        let [down, up] = watch.look(clocks(4_640_000, 3_645_000, 44_990)).unwrap();
        assert_eq!(down.activity, PowerActivity::Suspended);
        assert_eq!((down.time_ms, down.until_ms), (1_030_000, 1_040_000));
        assert_eq!(up.activity, PowerActivity::Resumed);
        assert_eq!((up.time_ms, up.until_ms), (4_630_000, 4_640_000));
        assert_eq!(watch.look(clocks(4_670_000, 3_675_000, 74_990)), None);
    }
}
