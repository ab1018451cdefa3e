//! Against: a program on the person's own machine or phone asks again and again, and nobody answers.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::attempt::AttemptResult;
use crate::baseline::Standing;
use crate::case::{Case, event_ids};
use crate::sentence;
use crate::timeline::{CHANGED_SOON_MS, Item};

/// See the file.
pub(super) struct ClientLoop;

const SPEC: Spec = Spec {
    kind: "client_loop",
    family: Family::Prompts,
    why: "mail and file programs with an old password ask by themselves; who bombs has neither the machine nor the place",
    base_rate: "about one person in a hundred a month, after a new password",
};

const WEIGHT: Weight = Weight(-250);
const COUNT_MIN: usize = 3;
/// Of ten prompts so many are not answered by anybody.
const SILENT_OF_TEN: usize = 6;

impl Evidence for ClientLoop {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let is_own = |item: &&Item<'_>| item.is_own_client();
        if case.refusals.len() < COUNT_MIN || !case.refusals.iter().all(is_own) {
            return None;
        }
        // Who enrols a factor soon after any of them was no program.
        let is_next = |item: &&Item<'_>| {
            let after = |refusal: &&Item<'_>| {
                (0..=CHANGED_SOON_MS).contains(&(item.time_ms - refusal.time_ms))
            };
            !item.is_by_other() && case.refusals.iter().any(after)
        };
        if case.factor_changes.iter().any(is_next) {
            return None;
        }
        let is_silent = |item: &&&Item<'_>| {
            let result = item.attempt().map(|attempt| attempt.result);
            matches!(
                result,
                Some(AttemptResult::Unanswered | AttemptResult::Abandoned)
            )
        };
        let silent = case.refusals.iter().filter(is_silent).count();
        let at_odd_hour = case
            .refusals
            .iter()
            .any(|item| item.hour == Standing::Unusual);
        if silent * 10 < case.refusals.len() * SILENT_OF_TEN || at_odd_hour {
            return None;
        }
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "{} of {} were not answered, all from this person's own machine or phone, as of a program that asks by itself",
                silent,
                sentence::count(case.refusals.len(), "prompt")
            ),
            event_ids: event_ids(&case.refusals),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::input::MfaEventKind;
    use crate::story::Story;

    fn asked(story: Story, times: usize, answer: MfaEventKind) -> Story {
        (0..times).fold(story, |story, _| {
            story.prompt().answer(answer).after_minutes(6)
        })
    }

    #[test]
    fn a_mail_program_on_the_own_machine() {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 10:00");
        let story = asked(story, 9, MfaEventKind::Unanswered);
        assert_eq!(weigh(&ClientLoop, story.clone()), -250);
        assert!(
            story
                .severities()
                .iter()
                .all(|severity| *severity <= crate::Severity::Low)
        );
    }

    #[test]
    fn denials_and_strangers_are_no_loop() {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 10:00");
        assert_eq!(
            weigh(&ClientLoop, asked(story.clone(), 9, MfaEventKind::Denied)),
            0
        );
        assert_eq!(
            weigh(
                &ClientLoop,
                asked(story.attacker(), 9, MfaEventKind::Unanswered)
            ),
            0
        );
    }

    #[test]
    fn who_enrols_a_factor_soon_after_was_no_program_whatever_is_ignored_days_later() {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 10:00");
        let story = asked(story, 6, MfaEventKind::Unanswered).event(MfaEventKind::FactorEnrolled);
        let story = asked(story.at("2026-03-15 10:00"), 1, MfaEventKind::Unanswered);
        assert_eq!(weigh(&ClientLoop, story), 0);
    }
}
