//! Refused prompts of several kinds: a push, then a text message, then a call.

use std::collections::BTreeSet;

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::HOUR_MS;
use crate::case::{Case, event_ids};
use crate::sentence;
use crate::timeline::Item;

/// See the file.
pub(super) struct MixedFactors;

const SPEC: Spec = Spec {
    kind: "mixed_factors",
    family: Family::Prompts,
    why: "who is refused by one factor tries the next; rules that look at one factor count a part of it",
    base_rate: "a person whose push fails takes another factor once, and succeeds with it",
};

const TWO: Weight = Weight(60);
const MORE: Weight = Weight(140);

impl Evidence for MixedFactors {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let mut best: Vec<&Item<'_>> = Vec::new();
        let mut words: BTreeSet<&'static str> = BTreeSet::new();
        for (at, first) in case.refusals.iter().enumerate() {
            let near = case.refusals.iter().skip(at).copied();
            let near: Vec<&Item<'_>> = near
                .take_while(|item| item.time_ms - first.time_ms <= HOUR_MS)
                .collect();
            let factors: BTreeSet<&'static str> = near
                .iter()
                .filter_map(|item| Some(item.attempt()?.factor?.word()))
                .collect();
            if factors.len() > words.len() {
                (best, words) = (near, factors);
            }
        }
        if words.len() < 2 || best.len() < 3 {
            return None;
        }
        let listed: Vec<&str> = words.iter().copied().collect();
        Some(Finding {
            weight: if words.len() > 2 { MORE } else { TWO },
            summary: format!(
                "{} within an hour by {}",
                sentence::count(best.len(), "prompt"),
                listed.join(", ")
            ),
            event_ids: event_ids(&best),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::input::Factor;
    use crate::story::Story;

    fn by(factors: &[Factor]) -> Story {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:00")
            .attacker();
        factors.iter().fold(story, |story, factor| {
            story.factor(*factor).prompt().denied().after_minutes(3)
        })
    }

    #[test]
    fn several_factors_weigh_more_than_one() {
        let (push, sms, voice) = (Factor::Push, Factor::Sms, Factor::Voice);
        assert_eq!(weigh(&MixedFactors, by(&[push, sms, voice, push])), 140);
        assert_eq!(weigh(&MixedFactors, by(&[push, sms, push])), 60);
        assert_eq!(weigh(&MixedFactors, by(&[push, push, push])), 0);
    }

    #[test]
    fn another_factor_that_succeeds_is_nothing() {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 10:00");
        let story = story
            .prompt()
            .answer(crate::MfaEventKind::Unanswered)
            .after_minutes(6);
        assert_eq!(
            weigh(&MixedFactors, story.factor(Factor::Sms).prompt().approved()),
            0
        );
    }
}
