//! Limits of terminals that only the agent knows, and when one has to end by itself. Time is handed in.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::TerminalConfig;

/// All terminals together have that long to end when the agent does.
pub(super) const END_ALL_MAX: Duration = Duration::from_secs(4);

/// Between the polite signal and the one that nobody can refuse.
#[cfg(unix)]
pub(super) const END_GRACE: Duration = Duration::from_millis(400);

/// How long processes are looked for and killed; a fork bomb wins a few rounds, not this.
#[cfg(unix)]
pub(super) const END_KILL_MAX: Duration = Duration::from_secs(2);

/// Once everything has ended, so long a pause says that nothing more comes out of the PTY.
#[cfg(unix)]
pub(super) const DRAIN_QUIET: Duration = Duration::from_millis(300);

/// All that is waited then for something to read. Somebody may hold the PTY who is none of the terminal's processes (one
/// who was handed it, say) and go on writing: then the end is not his to delay.
#[cfg(unix)]
pub(super) const DRAIN_WAIT_MAX: Duration = Duration::from_secs(2);

/// All that is read then. More than the kernel holds of a PTY was written after the end.
#[cfg(unix)]
pub(super) const DRAIN_BYTES_MAX: usize = 256 << 10;

/// A reader who takes nothing for so long after the end gets no more of it.
#[cfg(unix)]
pub(super) const DRAIN_STALLED_MAX: Duration = Duration::from_secs(30);

/// Pauses between two tellings that the input has ended; doubled up to the second. It is told again because a program
/// that changes the terminal's mode makes the kernel forget the first.
#[cfg(unix)]
pub(super) const INPUT_END_PAUSE: (Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(5));

/// When a terminal ends by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    idle_max: Duration,
    idle: Instant,
    total: Instant,
}

/// Which deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// Nothing happened for too long.
    Idle,
    /// Open for too long.
    Total,
}

impl Deadlines {
    /// Of a terminal that is opened now.
    pub(super) fn new(config: &TerminalConfig, now: Instant) -> Self {
        Self {
            idle_max: config.idle_max,
            idle: now + config.idle_max,
            total: now + config.open_max,
        }
    }

    /// Something was typed or printed.
    pub(super) fn stir(&mut self, now: Instant) {
        self.idle = now + self.idle_max;
    }

    /// The next one.
    pub(super) fn next(&self) -> Instant {
        self.idle.min(self.total)
    }

    /// What has passed by now.
    pub(super) fn passed(&self, now: Instant) -> Option<Passed> {
        if now >= self.total {
            Some(Passed::Total)
        } else if now >= self.idle {
            Some(Passed::Idle)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_ends_when_idle_and_after_its_time_whatever_happens() {
        let config = TerminalConfig {
            idle_max: Duration::from_secs(60),
            open_max: Duration::from_secs(100),
            ..TerminalConfig::default()
        };
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut deadlines = Deadlines::new(&config, begin);
        assert_eq!(deadlines.next(), at(60));
        assert_eq!(deadlines.passed(at(59)), None);
        assert_eq!(deadlines.passed(at(60)), Some(Passed::Idle));
        deadlines.stir(at(50));
        assert_eq!(deadlines.passed(at(60)), None);
        assert_eq!(deadlines.next(), at(100));
        deadlines.stir(at(99));
        assert_eq!(deadlines.passed(at(100)), Some(Passed::Total));
    }
}
