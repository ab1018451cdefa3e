//! Severity = belief × stage × privilege, with floors that no counter-evidence lowers.
//!
//! ```text
//!                prompting or less   a sign-in   changed, moved or further
//! below 1 in 10       info              info             info
//! unlikely            low               low              low
//! possible            low               low              medium
//! likely              medium            high             high
//! very likely         high              high             critical
//!
//! privileged account, belief 3 in 10 or more       one step up
//! approval after hostile prompts                  at least high
//! a factor change after that                      critical
//! a sign-in that the person's endpoints speak against   at least medium
//! ```
//!
//! Belief is shown as a band, never as a probability: the weights are too coarse for two digits.

use serde::{Deserialize, Serialize};

use crate::evidence::{PRIOR, Weight};
use crate::stage::StageName;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Look when there is time.
    Low,
    /// Look today.
    Medium,
    /// Look now.
    High,
    /// Act now.
    Critical,
}

impl Severity {
    /// Its word, in JSON and on screens.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    fn raised(self) -> Self {
        match self {
            Self::Info | Self::Low => Self::Medium,
            Self::Medium => Self::High,
            Self::High | Self::Critical => Self::Critical,
        }
    }
}

/// How likely it is an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BeliefBand {
    /// About 1 in 4 or less.
    Unlikely,
    /// Up to even.
    Possible,
    /// More than even.
    Likely,
    /// About 12 in 13 or more.
    VeryLikely,
}

impl BeliefBand {
    /// The band of a belief.
    pub(crate) fn of(belief: Weight) -> Self {
        match belief.0 {
            i32::MIN..-95 => Self::Unlikely,
            -95..0 => Self::Possible,
            0..250 => Self::Likely,
            _ => Self::VeryLikely,
        }
    }

    /// Its word, in JSON and on screens.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unlikely => "unlikely",
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::VeryLikely => "very_likely",
        }
    }
}

/// What severity is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grounds {
    pub belief: Weight,
    /// The furthest stage reached.
    pub stage: Option<StageName>,
    pub is_privileged: bool,
    /// Hostile prompts led to a sign-in.
    pub is_confirmed: bool,
    /// And a factor change followed.
    pub is_factor_changed_after: bool,
    /// A sign-in that the person's own endpoints speak against.
    pub is_strangers: bool,
}

/// Log-odds from which on a privileged account counts for more: about 3 in 10.
const RAISED_FROM: Weight = Weight(-90);

/// Log-odds from which on it is worth a look when there is time: about 1 in 10.
const LOW_FROM: Weight = Weight(-220);

/// The severity on these grounds.
pub(crate) fn severity(grounds: Grounds) -> Severity {
    use BeliefBand::{Likely, Possible, Unlikely, VeryLikely};
    let band = BeliefBand::of(grounds.belief);
    let is_in = grounds.stage >= Some(StageName::Approved);
    let is_further = grounds.stage >= Some(StageName::FactorChanged);
    let by_table = match (band, is_in, is_further) {
        (Unlikely, _, _) if grounds.belief < LOW_FROM => Severity::Info,
        (Unlikely, _, _) | (Possible, _, false) => Severity::Low,
        (Possible, _, true) | (Likely, false, false) => Severity::Medium,
        (Likely, _, _) | (VeryLikely, _, false) => Severity::High,
        (VeryLikely, _, true) => Severity::Critical,
    };
    let by_privilege = if grounds.is_privileged && grounds.belief >= RAISED_FROM {
        by_table.raised()
    } else {
        by_table
    };
    let floor = match (grounds.is_confirmed, grounds.is_factor_changed_after) {
        (true, true) => Severity::Critical,
        (true, false) => Severity::High,
        (false, _) if grounds.is_strangers => Severity::Medium,
        (false, _) => Severity::Info,
    };
    by_privilege.max(floor)
}

/// 0 to 100 for sorting: severity first, belief within it.
pub(crate) fn score(severity: Severity, belief: Weight) -> u32 {
    let (from, width) = match severity {
        Severity::Info => (0, 19),
        Severity::Low => (20, 19),
        Severity::Medium => (40, 19),
        Severity::High => (60, 19),
        Severity::Critical => (80, 20),
    };
    const SPAN: i32 = 1_200;
    let above = (belief.0 - PRIOR.0).clamp(0, SPAN);
    u32::try_from(from + above * width / SPAN).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grounds(belief: i32, stage: StageName) -> Grounds {
        Grounds {
            belief: Weight(belief),
            stage: Some(stage),
            is_privileged: false,
            is_confirmed: false,
            is_factor_changed_after: false,
            is_strangers: false,
        }
    }

    #[test]
    fn belief_and_stage_make_the_table() {
        use Severity::{Critical, High, Info, Low, Medium};
        for (belief, expect) in [
            (-250, [Info, Info, Info]),
            (-100, [Low, Low, Low]),
            (-90, [Low, Low, Medium]),
            (100, [Medium, High, High]),
            (300, [High, High, Critical]),
        ] {
            let stages = [
                StageName::Prompting,
                StageName::Approved,
                StageName::FactorChanged,
            ];
            let found = stages.map(|stage| severity(grounds(belief, stage)));
            assert_eq!(found, expect, "{belief}");
        }
    }

    #[test]
    fn approval_after_hostile_prompts_is_at_least_high_whatever_speaks_against() {
        let confirmed = Grounds {
            is_confirmed: true,
            ..grounds(-900, StageName::Approved)
        };
        assert_eq!(severity(confirmed), Severity::High);
        let changed = Grounds {
            is_factor_changed_after: true,
            ..confirmed
        };
        assert_eq!(severity(changed), Severity::Critical);
    }

    #[test]
    fn a_privileged_account_is_one_step_up_where_there_is_some_belief() {
        let of = |belief| {
            severity(Grounds {
                is_privileged: true,
                ..grounds(belief, StageName::Prompting)
            })
        };
        assert_eq!(
            [of(-250), of(-80), of(100), of(300)].map(Severity::word),
            ["info", "medium", "high", "critical"]
        );
    }

    #[test]
    fn a_sign_in_that_the_persons_endpoints_speak_against_is_at_least_medium() {
        let strangers = Grounds {
            is_strangers: true,
            ..grounds(-200, StageName::Approved)
        };
        assert_eq!(severity(strangers), Severity::Medium);
    }

    #[test]
    fn the_score_sorts_by_severity_and_then_belief() {
        let severities = [
            Severity::Info,
            Severity::Low,
            Severity::Medium,
            Severity::High,
            Severity::Critical,
        ];
        let mut last = None;
        for severity in severities {
            for belief in [-2000, -300, 0, 300, 900, 5000] {
                let next = Some(score(severity, Weight(belief)));
                assert!(next >= last && next <= Some(100));
                last = next;
            }
        }
        assert_eq!(last, Some(100));
    }

    #[test]
    fn words_are_what_json_says() {
        for band in [
            BeliefBand::Unlikely,
            BeliefBand::Possible,
            BeliefBand::Likely,
            BeliefBand::VeryLikely,
        ] {
            assert_eq!(serde_json::to_value(band).unwrap(), band.word());
        }
        assert_eq!(
            serde_json::to_value(Severity::Critical).unwrap(),
            Severity::Critical.word()
        );
    }
}
