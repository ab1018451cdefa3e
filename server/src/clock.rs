//! The one place that reads the wall clock. Everything that decides takes the time as a value.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix milliseconds now; 0 where the clock stands before 1970.
pub(crate) fn now_ms() -> i64 {
    unix_ms(SystemTime::now())
}

/// Unix milliseconds of a moment; 0 before 1970.
pub(crate) fn unix_ms(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, millis)
}

/// A duration as milliseconds, at most `i64::MAX`.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
