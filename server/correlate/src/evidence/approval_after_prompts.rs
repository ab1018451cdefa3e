//! Hostile prompts, then one that was approved.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::case::{Case, event_ids};
use crate::sentence;

/// See the file.
pub(super) struct ApprovalAfterPrompts;

const SPEC: Spec = Spec {
    kind: "approval_after_prompts",
    family: Family::Consequences,
    why: "giving in after refusing is what prompt bombing is for; the person's own retry does not \
              come from a stranger's place or machine",
    base_rate: "hostile prompts are rare by themselves; about 1 in 100 people approve even the first",
};

const WEIGHT: Weight = Weight(300);

impl Evidence for ApprovalAfterPrompts {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let success = case.confirmed.first()?;
        let before = case
            .hostile
            .iter()
            .filter(|item| item.time_ms <= success.end_ms())
            .count();
        let mut items: Vec<_> = case.hostile.iter().copied().take(before).collect();
        items.extend(&case.confirmed);
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "a sign-in from {} succeeded at {}, after {} that {} refused or ignored",
                sentence::place(success.origin()),
                sentence::clock(success.end_ms()),
                sentence::count(before, "prompt"),
                if before == 1 { "was" } else { "were" }
            ),
            event_ids: event_ids(&items),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{find, weigh};
    use crate::story::Story;

    fn bombed(n: usize) -> Story {
        let mut story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:10")
            .attacker();
        for _ in 0..n {
            story = story.prompt().denied().after_minutes(3);
        }
        story
    }

    #[test]
    fn giving_in_after_four_denials_is_seen() {
        let finding = find(&ApprovalAfterPrompts, bombed(4).prompt().approved()).unwrap();
        assert!(
            finding
                .summary
                .ends_with("after 4 prompts that were refused or ignored"),
            "{}",
            finding.summary
        );
    }

    #[test]
    fn hostile_prompts_without_a_success_are_not() {
        assert_eq!(weigh(&ApprovalAfterPrompts, bombed(12)), 0);
    }

    #[test]
    fn the_persons_own_retry_is_not() {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 09:10");
        let story = story
            .prompt()
            .denied()
            .prompt()
            .denied()
            .after_minutes(1)
            .prompt()
            .approved();
        let story = story
            .after_minutes(300)
            .attacker()
            .event(crate::MfaEventKind::SuspiciousReported);
        assert_eq!(weigh(&ApprovalAfterPrompts, story), 0);
    }
}
