//! Wrong passwords from a stranger's place and machine, before the prompts.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::case::{Case, event_ids};
use crate::input::MfaEventKind;
use crate::sentence;
use crate::timeline::Item;

/// See the file.
pub(super) struct SprayBefore;

const SPEC: Spec = Spec {
    kind: "spray_before",
    family: Family::Origin,
    why: "who guesses passwords and then prompts has probably found the right one",
    base_rate: "every account is guessed at from the Internet; a prompt from the same place needs the right password",
};

const FEW: Weight = Weight(60);
const MANY: Weight = Weight(120);
const MANY_FROM: usize = 5;

impl Evidence for SprayBefore {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let prompt = case.hostile.first().or(case.confirmed.first())?;
        let failed: Vec<&Item<'_>> = case
            .of_kind(MfaEventKind::PrimaryFailed)
            .filter(|item| item.is_foreign() && item.time_ms <= prompt.time_ms)
            .collect();
        let first = failed.first()?;
        Some(Finding {
            weight: if failed.len() >= MANY_FROM { MANY } else { FEW },
            summary: format!(
                "{} from {} before the first prompt",
                sentence::count(failed.len(), "wrong password"),
                sentence::place(first.origin())
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

    fn guessed(story: Story, times: usize) -> Story {
        (0..times).fold(story, |story, _| {
            story.event(MfaEventKind::PrimaryFailed).after_minutes(1)
        })
    }

    #[test]
    fn guesses_before_a_hostile_prompt() {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:00")
            .attacker();
        assert_eq!(
            weigh(&SprayBefore, guessed(story.clone(), 6).prompt().denied()),
            120
        );
        assert_eq!(weigh(&SprayBefore, guessed(story, 2).prompt().denied()), 60);
    }

    #[test]
    fn the_persons_own_slips_and_guesses_alone_are_nothing() {
        let known = Story::new().usual_sign_ins(10).at("2026-03-12 10:00");
        let slips = guessed(known.clone(), 6).attacker().prompt().denied();
        assert_eq!(weigh(&SprayBefore, slips), 0);
        assert!(guessed(known.attacker(), 30).severities().is_empty());
    }
}
