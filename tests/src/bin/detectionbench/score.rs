//! What a detector found against what was done: counts, and bounds that tell how far they can be trusted.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_proto::id::MfaEventId;

use crate::attack::Attack;

/// Something that an analyst would have to look at.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub time_ms: i64,
    pub events: Vec<MfaEventId>,
}

/// One detector over some months.
#[derive(Debug, Clone, Default)]
pub(crate) struct Score {
    /// Findings that hold a record of an attack.
    pub right: usize,
    /// Findings that hold none.
    pub wrong: usize,
    /// Of authorised tests.
    pub tests: usize,
    /// By scenario: how many, how many found, and minutes until found.
    pub scenarios: BTreeMap<&'static str, (usize, usize)>,
    /// Attacks of the kind that must not be missed, and of these found.
    pub certain: (usize, usize),
    /// Minutes from an attack's first record until it was found.
    pub minutes: Vec<i64>,
}

impl Score {
    /// Takes what was found in a month. `certain` says which attacks must not be missed.
    pub(crate) fn add(
        &mut self,
        findings: &[Finding],
        attacks: &[Attack],
        certain: impl Fn(&Attack) -> bool,
    ) {
        let mut found: Vec<Option<i64>> = vec![None; attacks.len()];
        let mut owner: BTreeMap<MfaEventId, usize> = BTreeMap::new();
        for (n, attack) in attacks.iter().enumerate() {
            owner.extend(attack.events.iter().map(|event| (*event, n)));
        }
        for finding in findings {
            let hits: BTreeSet<usize> = finding
                .events
                .iter()
                .filter_map(|id| owner.get(id).copied())
                .collect();
            let (tests, real): (Vec<usize>, Vec<usize>) =
                hits.iter().partition(|n| attacks[**n].is_test);
            match (real.is_empty(), tests.is_empty()) {
                (false, _) => self.right += 1,
                (true, false) => self.tests += 1,
                (true, true) => self.wrong += 1,
            }
            for n in hits {
                let first = found[n].get_or_insert(finding.time_ms);
                *first = (*first).min(finding.time_ms);
            }
        }
        for (attack, found) in attacks
            .iter()
            .zip(found)
            .filter(|(attack, _)| !attack.is_test)
        {
            let entry = self.scenarios.entry(attack.scenario).or_default();
            entry.0 += 1;
            self.certain.0 += usize::from(certain(attack));
            if let Some(time_ms) = found {
                entry.1 += 1;
                self.certain.1 += usize::from(certain(attack));
                self.minutes
                    .push((time_ms - attack.start_ms).max(0) / 60_000);
            }
        }
    }

    /// Takes the counts of other months too.
    pub(crate) fn merge(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.tests += other.tests;
        for (scenario, (all, found)) in other.scenarios {
            let own = self.scenarios.entry(scenario).or_default();
            *own = (own.0 + all, own.1 + found);
        }
        self.certain = (
            self.certain.0 + other.certain.0,
            self.certain.1 + other.certain.1,
        );
        self.minutes.extend(other.minutes);
    }

    /// Attacks, and of these found.
    pub(crate) fn attacks(&self) -> (usize, usize) {
        self.scenarios
            .values()
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    pub(crate) fn recall(&self) -> Share {
        let (all, found) = self.attacks();
        Share::of(found, all)
    }

    pub(crate) fn precision(&self) -> Share {
        Share::of(self.right, self.right + self.wrong)
    }

    /// Minutes within which so many of a hundred found attacks were found.
    pub(crate) fn minutes_at(&self, percent: usize) -> Option<i64> {
        let mut minutes = self.minutes.clone();
        minutes.sort_unstable();
        let last = minutes.len().checked_sub(1)?;
        minutes.get(last * percent / 100).copied()
    }
}

/// A share with its 95 % bounds (Wilson 1927): good for few cases and for shares near 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share {
    pub of: usize,
    pub all: usize,
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Share {
    pub(crate) fn of(of: usize, all: usize) -> Self {
        const Z: f64 = 1.959_964;
        if all == 0 {
            return Self {
                of,
                all,
                value: f64::NAN,
                low: 0.0,
                high: 1.0,
            };
        }
        let (n, value) = (to_f64(all), to_f64(of) / to_f64(all));
        let middle = value + Z * Z / (2.0 * n);
        let width = Z * (value * (1.0 - value) / n + Z * Z / (4.0 * n * n)).sqrt();
        let whole = 1.0 + Z * Z / n;
        Self {
            of,
            all,
            value,
            low: ((middle - width) / whole).max(0.0),
            high: ((middle + width) / whole).min(1.0),
        }
    }
}

/// Counts here are far below what a float holds exactly.
pub(crate) fn to_f64(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_wilsons() {
        let half = Share::of(5, 10);
        assert!(
            (half.low - 0.2366).abs() < 1e-3 && (half.high - 0.7634).abs() < 1e-3,
            "{half:?}"
        );
        let all = Share::of(20, 20);
        assert!(
            (all.low - 0.8389).abs() < 1e-3 && all.high > 0.999,
            "{all:?}"
        );
        assert!(Share::of(0, 0).value.is_nan());
    }

    fn attack(scenario: &'static str, event: MfaEventId, is_test: bool) -> Attack {
        Attack {
            scenario,
            victims: vec![0],
            events: [event].into(),
            start_ms: 0,
            is_approved_after_prompts: true,
            is_acted_on: false,
            is_test,
            is_on_victims_machine: false,
        }
    }

    #[test]
    fn a_finding_is_right_wrong_or_of_a_test() {
        let id = |n: u8| MfaEventId::derive(&[&[n]]);
        let attacks = [
            attack("a", id(1), false),
            attack("b", id(2), false),
            attack("t", id(3), true),
        ];
        let finding = |n: u8, minutes: i64| Finding {
            time_ms: minutes * 60_000,
            events: vec![id(n)],
        };
        let mut score = Score::default();
        let findings = [finding(1, 9), finding(1, 4), finding(3, 1), finding(7, 1)];
        score.add(&findings, &attacks, |attack| attack.scenario == "b");
        assert_eq!((score.right, score.wrong, score.tests), (2, 1, 1));
        assert_eq!(score.attacks(), (2, 1));
        assert_eq!(score.certain, (1, 0));
        assert_eq!(score.minutes_at(50), Some(4));
    }
}
