//! How ours does at each score: so that every rule can be compared at no less precision than its own.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_correlate::IncidentDraft;
use tocsin_proto::id::MfaEventId;

use crate::attack::Attack;
use crate::score::{Score, Share};

/// Incidents and attacks by the score from which on they are there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Curve {
    /// By score: incidents that hold a record of an attack, and those that hold none.
    incidents: BTreeMap<u32, (usize, usize)>,
    /// By the highest score of an incident that holds a record of them: attacks.
    attacks: BTreeMap<u32, usize>,
    /// All attacks.
    all: usize,
}

/// Ours from a score on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub score: u32,
    pub precision: Share,
    pub recall: Share,
}

/// A rule, and ours where it is as precise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Match {
    pub ours: Option<Point>,
    pub rule_recall: Share,
}

impl Match {
    /// Whether ours finds more: by how the bounds lie where they do not overlap.
    pub(crate) fn word(&self) -> &'static str {
        let Some(ours) = self.ours else {
            return "not reached";
        };
        let (ours, rule) = (ours.recall, self.rule_recall);
        if ours.low > rule.high {
            "above"
        } else if ours.value > rule.value {
            "above, bounds overlap"
        } else {
            "not above"
        }
    }
}

impl Curve {
    /// Takes a month's incidents of the measured time; those of authorised tests are neither right nor wrong.
    pub(crate) fn add(&mut self, incidents: &[IncidentDraft], attacks: &[Attack]) {
        let mut owner: BTreeMap<MfaEventId, usize> = BTreeMap::new();
        for (n, attack) in attacks.iter().enumerate() {
            owner.extend(attack.events.iter().map(|event| (*event, n)));
        }
        let mut best: BTreeMap<usize, u32> = BTreeMap::new();
        for incident in incidents {
            let events = incident.event_ids.iter();
            let hits: BTreeSet<usize> = events.filter_map(|id| owner.get(id).copied()).collect();
            let real: Vec<usize> = hits
                .iter()
                .copied()
                .filter(|n| !attacks[*n].is_test)
                .collect();
            for n in &real {
                let score = best.entry(*n).or_default();
                *score = (*score).max(incident.score);
            }
            let counts = self.incidents.entry(incident.score).or_default();
            counts.0 += usize::from(!real.is_empty());
            counts.1 += usize::from(hits.is_empty());
        }
        for score in best.into_values() {
            *self.attacks.entry(score).or_default() += 1;
        }
        self.all += attacks.iter().filter(|attack| !attack.is_test).count();
    }

    /// Takes the counts of other months too.
    pub(crate) fn merge(&mut self, other: Self) {
        for (score, (right, wrong)) in other.incidents {
            let own = self.incidents.entry(score).or_default();
            *own = (own.0 + right, own.1 + wrong);
        }
        for (score, count) in other.attacks {
            *self.attacks.entry(score).or_default() += count;
        }
        self.all += other.all;
    }

    /// Ours from the lowest score on from which it is at least so precise.
    pub(crate) fn at_precision(&self, least: f64) -> Option<Point> {
        let (mut right, mut wrong, mut found) = (0, 0, 0);
        let mut best = None;
        let scores: BTreeSet<u32> = self
            .incidents
            .keys()
            .chain(self.attacks.keys())
            .copied()
            .collect();
        for score in scores.into_iter().rev() {
            let counts = self.incidents.get(&score).copied().unwrap_or_default();
            (right, wrong) = (right + counts.0, wrong + counts.1);
            found += self.attacks.get(&score).copied().unwrap_or_default();
            let precision = Share::of(right, right + wrong);
            if precision.value >= least {
                best = Some(Point {
                    score,
                    precision,
                    recall: Share::of(found, self.all),
                });
            }
        }
        best
    }

    /// A rule beside ours; `None` where it never fired, so that it has no precision.
    pub(crate) fn beside(&self, rule: &Score) -> Option<Match> {
        let precision = rule.precision();
        (precision.all > 0).then(|| Match {
            ours: self.at_precision(precision.value),
            rule_recall: rule.recall(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve() -> Curve {
        Curve {
            incidents: [(95, (6, 0)), (80, (3, 1)), (50, (1, 9))].into(),
            attacks: [(95, 5), (80, 2), (50, 1)].into(),
            all: 10,
        }
    }

    #[test]
    fn the_lowest_score_that_is_precise_enough_is_taken() {
        let at = |least| curve().at_precision(least).map(|p| (p.score, p.recall.of));
        assert_eq!(at(1.0), Some((95, 5)));
        assert_eq!(at(0.9), Some((80, 7)));
        assert_eq!(at(0.3), Some((50, 8)));
        assert_eq!(Curve::default().at_precision(0.1), None);
    }

    #[test]
    fn ours_is_above_where_it_finds_more_at_no_less_precision() {
        let word = |found: usize| {
            let rule_recall = Share::of(found, 10);
            let ours = curve().at_precision(1.0);
            Match { ours, rule_recall }.word()
        };
        assert_eq!(
            (word(0), word(4), word(6)),
            (
                "above, bounds overlap",
                "above, bounds overlap",
                "not above"
            )
        );
        let never = Score::default();
        assert!(curve().beside(&never).is_none());
    }
}
