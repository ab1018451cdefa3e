//! How far an endpoint's clock stands from the server's, as an interval.
//!
//! A probe leaves at server time `sent`, the agent reads its clock as `agent`, the reply arrives at
//! `received`. The agent read its clock somewhere between the two, so
//!
//! ```text
//! agent - received  <=  skew  <=  agent - sent
//! ```
//!
//! Each probe gives one such interval, all of them hold, so their intersection does. Where the newest does
//! not meet the older ones, a clock was set: the older ones no longer count. Times are whole milliseconds,
//! so each side is one wider.

use std::collections::VecDeque;

/// Probes that are remembered. Clocks drift: what is minutes old says little about now.
const SAMPLES_MAX: usize = 8;

/// The clock of one endpoint.
#[derive(Debug, Default)]
pub(super) struct ClockSkewEstimate {
    /// Newest first: least and greatest skew.
    samples: VecDeque<(i64, i64)>,
}

impl ClockSkewEstimate {
    /// Takes a reply. One that arrives before its probe was sent, by a server clock that was set back, is left out.
    pub(super) fn record(&mut self, sent_ms: i64, received_ms: i64, agent_ms: i64) {
        if received_ms < sent_ms {
            return;
        }
        let least = agent_ms.saturating_sub(received_ms).saturating_sub(1);
        let greatest = agent_ms.saturating_sub(sent_ms).saturating_add(1);
        self.samples.truncate(SAMPLES_MAX - 1);
        self.samples.push_front((least, greatest));
    }

    /// Least and greatest skew, endpoint minus server.
    pub(super) fn interval(&self) -> Option<(i64, i64)> {
        let mut samples = self.samples.iter();
        let mut interval = *samples.next()?;
        for (least, greatest) in samples {
            let met = (interval.0.max(*least), interval.1.min(*greatest));
            if met.0 > met.1 {
                break;
            }
            interval = met;
        }
        Some(interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(samples: &[(i64, i64, i64)], expect: Option<(i64, i64)>) {
        let mut estimate = ClockSkewEstimate::default();
        for (sent, received, agent) in samples {
            estimate.record(*sent, *received, *agent);
        }
        assert_eq!(estimate.interval(), expect, "{samples:?}");
    }

    #[test]
    fn unmeasured_is_unknown() {
        check(&[], None);
        check(&[(100, 90, 5000)], None);
    }

    #[test]
    fn one_probe_gives_an_interval_as_wide_as_its_round_trip() {
        check(&[(1000, 1010, 1005)], Some((-6, 6)));
        check(&[(1000, 1010, 3_601_005)], Some((3_599_994, 3_600_006)));
    }

    #[test]
    fn more_probes_make_it_narrower() {
        // The first reply was slow on its way back, the second on its way there.
        check(&[(0, 100, 5), (1000, 1100, 1095)], Some((-6, 6)));
    }

    #[test]
    fn a_clock_that_was_set_is_believed() {
        check(&[(0, 10, 5), (1000, 1010, 61_005)], Some((59_994, 60_006)));
    }

    #[test]
    fn old_probes_are_forgotten() {
        let mut samples = vec![(0, 1, 0)];
        samples.extend((1..=8).map(|n| (n * 1000, n * 1000 + 100, n * 1000 + 50)));
        check(&samples, Some((-51, 51)));
    }
}
