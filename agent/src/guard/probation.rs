//! Whether a version on trial works, decided from what its status says. Pure: it is told what was seen and how much time
//! has passed.
//!
//! It works where it is up, the server has welcomed it over mTLS, sensors deliver, and the server has committed something
//! of this run, all of that for [`Rules::healthy_for`] without a break. It does not where that is not so within
//! [`Rules::probation`]. Time in which the guard itself cannot reach the server either does not count: a network that is
//! down at the wrong moment is no bad version.

use std::time::Duration;

use crate::health::{ConnectionState, SensorState};
use crate::status::Status;

/// A status that was not written for so long is from an agent that hangs.
const SILENT_MS: i64 = 10_000;

/// What a version on trial has to show.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// So long without a break.
    pub(super) healthy_for: Duration,
    /// Within this, while the server can be reached.
    pub(super) probation: Duration,
    /// It may end by itself so often less one.
    pub(super) crashes_max: u32,
    /// It may be started so often, over all starts of the machine.
    pub(super) starts_max: u32,
    /// Memory that it may take.
    pub(super) resident_bytes_max: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            healthy_for: Duration::from_secs(15),
            probation: Duration::from_secs(90),
            crashes_max: 3,
            // Each start of the machine is one, as is each of the guard.
            starts_max: 20,
            // Six times what an agent takes, and below what the unit allows.
            resident_bytes_max: 192 << 20,
        }
    }
}

/// What one look showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// All is well.
    Healthy,
    /// Not, or not yet.
    NotYet(String),
    /// The server was not reached.
    Offline(String),
    /// It must not go on.
    Sick(String),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again.
    GoOn,
    /// It works.
    Commit,
    /// It does not.
    GoBack(String),
}

/// Looks at the status of the process that runs.
pub(super) fn look(status: Option<&Status>, pid: u32, now_ms: i64, rules: &Rules) -> Finding {
    let Some(status) = status.filter(|status| status.pid == pid) else {
        return Finding::NotYet("it has not said how it is".into());
    };
    if now_ms.saturating_sub(status.updated_time) > SILENT_MS {
        return Finding::NotYet("it no longer says how it is".into());
    }
    if status.resident_bytes > rules.resident_bytes_max {
        let mib = status.resident_bytes >> 20;
        return Finding::Sick(format!("it takes {mib} MiB of memory"));
    }
    if status.connection.state != ConnectionState::Connected {
        let detail = &status.connection.detail;
        return Finding::Offline(format!("it has not reached the server: {detail}"));
    }
    let running = |sensor: &&crate::health::SensorReport| sensor.state == SensorState::Running;
    if !status.sensors.iter().any(|sensor| running(&sensor)) || status.last_sequence == 0 {
        return Finding::NotYet("its sensors deliver nothing".into());
    }
    if status.acknowledged_sequence == 0 {
        return Finding::NotYet("the server has committed nothing of it".into());
    }
    Finding::Healthy
}

/// A trial as it goes on.
#[derive(Debug, Default)]
pub(super) struct Probation {
    healthy: Duration,
    counted: Duration,
}

impl Probation {
    /// Takes a finding and the time since the one before. `reachable`: whether the guard can reach the server.
    pub(super) fn note(
        &mut self,
        finding: Finding,
        reachable: bool,
        passed: Duration,
        rules: &Rules,
    ) -> Verdict {
        let reason = match finding {
            Finding::Healthy => {
                self.healthy += passed;
                return match self.healthy >= rules.healthy_for {
                    true => Verdict::Commit,
                    false => Verdict::GoOn,
                };
            }
            Finding::Sick(reason) => return Verdict::GoBack(reason),
            Finding::Offline(_) if !reachable => {
                self.healthy = Duration::ZERO;
                return Verdict::GoOn;
            }
            Finding::Offline(reason) | Finding::NotYet(reason) => reason,
        };
        self.healthy = Duration::ZERO;
        self.counted += passed;
        if self.counted < rules.probation {
            return Verdict::GoOn;
        }
        let seconds = rules.probation.as_secs();
        Verdict::GoBack(format!("{reason}, for {seconds} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::SensorReport;

    const NOW_MS: i64 = 1_795_500_000_000;

    fn healthy() -> Status {
        let mut status = Status::never_run("host".into());
        status.pid = 7;
        status.updated_time = NOW_MS - 1000;
        status.connection.state = ConnectionState::Connected;
        status.sensors = vec![SensorReport {
            name: "process".into(),
            state: SensorState::Running,
            detail: String::new(),
            observed: 1,
            lost: 0,
            restarts: 0,
        }];
        status.last_sequence = 5;
        status.acknowledged_sequence = 4;
        status
    }

    fn finding(change: impl FnOnce(&mut Status)) -> Finding {
        let mut status = healthy();
        change(&mut status);
        look(Some(&status), 7, NOW_MS, &Rules::default())
    }

    #[test]
    fn it_works_only_where_everything_does() {
        assert_eq!(finding(|_| {}), Finding::Healthy);
        let not_yet = |finding| matches!(finding, Finding::NotYet(_));
        assert!(not_yet(look(None, 7, NOW_MS, &Rules::default())));
        assert!(not_yet(finding(|status| status.pid = 6)), "of another");
        assert!(
            not_yet(finding(|status| status.updated_time -= 60_000)),
            "hangs"
        );
        assert!(not_yet(finding(|status| status.last_sequence = 0)));
        assert!(not_yet(finding(|status| status.acknowledged_sequence = 0)));
        assert!(not_yet(finding(|status| {
            status.sensors[0].state = SensorState::Failed;
        })));
        assert!(matches!(
            finding(|status| status.connection.state = ConnectionState::Refused),
            Finding::Offline(_)
        ));
        assert!(matches!(
            finding(|status| status.resident_bytes = 1 << 30),
            Finding::Sick(_)
        ));
    }

    fn after(
        findings: impl IntoIterator<Item = (Finding, bool)>,
        seconds: usize,
    ) -> (Verdict, usize) {
        let (mut probation, rules) = (Probation::default(), Rules::default());
        let step = Duration::from_secs(1);
        let mut looks = 0;
        for (finding, reachable) in findings.into_iter().take(seconds) {
            looks += 1;
            let verdict = probation.note(finding, reachable, step, &rules);
            if verdict != Verdict::GoOn {
                return (verdict, looks);
            }
        }
        (Verdict::GoOn, looks)
    }

    #[test]
    fn a_version_that_stays_well_is_kept() {
        let (verdict, looks) = after(std::iter::repeat((Finding::Healthy, true)), 600);
        assert_eq!((verdict, looks), (Verdict::Commit, 15));
        let on_and_off = (0..600).map(|second| match second % 10 {
            9 => (Finding::NotYet("no".into()), true),
            _ => (Finding::Healthy, true),
        });
        assert_eq!(after(on_and_off, 600).0, Verdict::GoOn, "never long enough");
    }

    #[test]
    fn a_version_that_does_not_become_well_goes_back_in_time() {
        let silent = || (Finding::NotYet("it hangs".into()), true);
        let (verdict, looks) = after(std::iter::repeat_with(silent), 600);
        assert_eq!(looks, 90);
        assert_eq!(verdict, Verdict::GoBack("it hangs, for 90 s".into()));
        let refused = || (Finding::Offline("refused".into()), true);
        assert_eq!(after(std::iter::repeat_with(refused), 600).1, 90);
    }

    #[test]
    fn a_network_that_is_down_is_no_bad_version() {
        let cut = || (Finding::Offline("no route".into()), false);
        let day = 24 * 3600;
        assert_eq!(after(std::iter::repeat_with(cut), day).0, Verdict::GoOn);
        let then = std::iter::repeat_with(cut)
            .take(5000)
            .chain(std::iter::repeat((Finding::Healthy, true)));
        assert_eq!(after(then, day), (Verdict::Commit, 5015));
    }
}
