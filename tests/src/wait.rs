//! Waiting for what happens elsewhere, with a limit and without a guess how long it takes.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// First pause between two looks; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(2);

/// Longest pause between two looks: what a test can lose, and small beside a program's start.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Looks until there is something, at most for `limit`.
///
/// # Errors
/// What `look` reports, at once; and the limit, with `what` was waited for.
pub fn eventually<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begin = Instant::now();
    let mut pause = PAUSE_MIN;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if begin.elapsed() >= limit {
            bail!("after {limit:?} still waiting until {what}");
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// [`eventually`] for a question.
///
/// # Errors
/// As [`eventually`].
pub fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    eventually(what, limit, || Ok(holds()?.then_some(())))
}
