//! Against: prompts failed because the app on the phone was too old.
//!
//! Such prompts are no refusals; this says so where something else opened the episode.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::case::{Case, event_ids};
use crate::input::MfaEventKind;
use crate::sentence;

/// See the file.
pub(super) struct AppUpgrade;

const SPEC: Spec = Spec {
    kind: "app_upgrade",
    family: Family::Prompts,
    why: "a person whose app is too old tries several times and then uses another factor",
    base_rate: "comes in waves, when a provider ends support for an old app",
};

const WEIGHT: Weight = Weight(-100);

impl Evidence for AppUpgrade {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        if !case.hostile.is_empty() {
            return None;
        }
        let failed: Vec<_> = case
            .items
            .iter()
            .copied()
            .filter(|item| {
                item.attempt()
                    .is_some_and(|attempt| attempt.has(MfaEventKind::UpgradeNeeded))
            })
            .collect();
        if failed.is_empty() {
            return None;
        }
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "{} could not be answered because the app must be updated",
                sentence::count(failed.len(), "prompt")
            ),
            event_ids: event_ids(&failed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::story::Story;

    #[test]
    fn prompts_that_need_a_newer_app_speak_against() {
        let mut story = Story::new().at("2026-03-12 09:00").prompt().denied();
        for _ in 0..3 {
            story = story
                .after_minutes(1)
                .prompt()
                .answer(MfaEventKind::UpgradeNeeded);
        }
        assert_eq!(weigh(&AppUpgrade, story), WEIGHT.0);
    }

    #[test]
    fn they_do_not_excuse_hostile_prompts() {
        let mut story = Story::new()
            .at("2026-03-12 09:00")
            .prompt()
            .answer(MfaEventKind::UpgradeNeeded);
        for _ in 0..6 {
            story = story.after_minutes(1).prompt().denied();
        }
        assert_eq!(weigh(&AppUpgrade, story), 0);
    }
}
