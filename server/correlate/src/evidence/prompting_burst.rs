//! Many refused or ignored prompts within an hour.
//!
//! The window slides, so no boundary splits a burst, and there is no threshold below which prompts count
//! nothing: four denials and an approval at three in the morning are seen too.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::HOUR_MS;
use crate::case::{Case, event_ids};
use crate::sentence;
use crate::timeline::Item;

/// See the file.
pub(super) struct PromptingBurst;

const SPEC: Spec = Spec {
    kind: "prompting_burst",
    family: Family::Prompts,
    why: "one or two happen to everybody; from five an hour on, no retry explains them",
    base_rate: "6.2 of 1000 authentications are ignored (134 in 7 days of one fleet); five within an \
                hour by chance would be a few in a billion",
};

/// From how many prompts on, which weight.
const WEIGHTS: [(usize, i32); 7] = [
    (1, 20),
    (2, 60),
    (3, 120),
    (4, 160),
    (5, 220),
    (8, 300),
    (15, 360),
];

impl Evidence for PromptingBurst {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let burst = densest(&case.refusals);
        let (first, last) = (burst.first()?, burst.last()?);
        let weight = WEIGHTS
            .iter()
            .rev()
            .find(|(from, _)| burst.len() >= *from)?
            .1;
        let results = burst
            .iter()
            .filter_map(|item| item.attempt())
            .map(|attempt| attempt.result);
        let within = match burst.len() {
            1 => format!("at {}", sentence::clock(first.time_ms)),
            _ => format!(
                "within {} from {}",
                sentence::length(last.time_ms - first.time_ms),
                sentence::clock(first.time_ms)
            ),
        };
        Some(Finding {
            weight: Weight(weight),
            summary: format!(
                "{} {within}: {}",
                sentence::count(burst.len(), "prompt"),
                sentence::results(results)
            ),
            event_ids: event_ids(burst),
        })
    }
}

/// The most refusals that any window of an hour holds; the earliest such window.
fn densest<'s, 't, 'a>(refusals: &'s [&'t Item<'a>]) -> &'s [&'t Item<'a>] {
    let mut best: &[&Item<'_>] = &[];
    let mut end = 0;
    for (start, first) in refusals.iter().enumerate() {
        while refusals
            .get(end)
            .is_some_and(|item| item.time_ms - first.time_ms <= HOUR_MS)
        {
            end += 1;
        }
        if let Some(window) = refusals.get(start..end)
            && window.len() > best.len()
        {
            best = window;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{find, weigh};
    use crate::story::Story;

    fn burst(n: usize, minutes_apart: i64) -> Story {
        let mut story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:10")
            .attacker();
        for _ in 0..n {
            story = story.prompt().denied().after_minutes(minutes_apart);
        }
        story
    }

    #[test]
    fn more_prompts_weigh_more() {
        let weights: Vec<_> = [1, 2, 3, 4, 5, 8, 15]
            .map(|n| weigh(&PromptingBurst, burst(n, 2)))
            .into();
        assert!(
            weights.is_sorted() && weights.iter().all(|weight| *weight > 0),
            "{weights:?}"
        );
    }

    #[test]
    fn a_burst_over_the_full_hour_is_not_split() {
        let story = burst(10, 5).at("2026-03-12 04:00");
        assert_eq!(find(&PromptingBurst, story).unwrap().event_ids.len(), 20);
    }

    #[test]
    fn the_sentence_counts_what_was_answered() {
        let finding = find(&PromptingBurst, burst(3, 4).prompt()).unwrap();
        assert_eq!(
            finding.summary,
            "4 prompts within 12 minutes from 02:10 UTC: 3 denied, 1 unanswered"
        );
    }

    #[test]
    fn prompts_that_a_retry_explains_count_nothing() {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 09:10");
        let story = story.prompt().denied().after_minutes(1).prompt().approved();
        let story = story.after_minutes(200).attacker().prompt().denied();
        assert_eq!(weigh(&PromptingBurst, story), 20);
    }
}
