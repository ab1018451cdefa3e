//! The provider itself states a risk.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::case::{Case, event_ids};
use crate::input::Risk;
use crate::timeline::Item;

/// See the file.
pub(super) struct ReportedRisk;

const SPEC: Spec = Spec {
    kind: "reported_risk",
    family: Family::Origin,
    why: "the provider sees addresses across its customers; its score is not explained",
    base_rate: "high is stated for every new phone network; a trial found it no strong signal alone",
};

const HIGH: Weight = Weight(40);
const MEDIUM: Weight = Weight(20);

fn risk(item: &Item<'_>) -> Option<Risk> {
    item.attempt().map_or_else(
        || item.event().and_then(|event| event.risk),
        |attempt| attempt.risk,
    )
}

impl Evidence for ReportedRisk {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let most = case.items.iter().filter_map(|item| risk(item)).max()?;
        let (weight, word) = match most {
            Risk::High => (HIGH, "high"),
            Risk::Medium => (MEDIUM, "medium"),
            Risk::Low => return None,
        };
        let items: Vec<_> = case
            .items
            .iter()
            .copied()
            .filter(|item| risk(item) == Some(most))
            .collect();
        Some(Finding {
            weight,
            summary: format!("the provider states {word} risk"),
            event_ids: event_ids(&items),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::story::Story;

    fn at(risk: Risk) -> i32 {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 14:00")
            .attacker();
        weigh(&ReportedRisk, story.risk(risk).prompt().denied())
    }

    #[test]
    fn the_highest_stated_risk_counts() {
        assert_eq!(
            [at(Risk::Low), at(Risk::Medium), at(Risk::High)],
            [0, MEDIUM.0, HIGH.0]
        );
    }
}
