//! Against: the prompts failed while the provider's prompts failed for many people at once.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::Standing;
use crate::case::{Case, event_ids};
use crate::sentence;
use crate::timeline::Item;

/// See the file.
pub(super) struct ProviderOutage;

const SPEC: Spec = Spec {
    kind: "provider_outage",
    family: Family::Prompts,
    why: "prompts that do not arrive are not answered, and people try again until they do",
    base_rate: "a provider's prompts fail for half an hour about once a month",
};

const WEIGHT: Weight = Weight(-200);
/// Of ten prompts so many lie in the outage.
const EXPLAINED_OF_TEN: usize = 8;

impl Evidence for ProviderOutage {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let is_strange = |item: &&Item<'_>| item.is_sign_in() && item.place == Standing::Unusual;
        if !case.confirmed.is_empty()
            || !case.hostile.is_empty()
            || case.items.iter().any(is_strange)
        {
            return None;
        }
        let explained: Vec<&Item<'_>> = case
            .refusals
            .iter()
            .copied()
            .filter(|item| item.in_outage.is_some())
            .collect();
        let people = explained.iter().filter_map(|item| item.in_outage).max()?;
        if explained.len() * 10 < case.refusals.len() * EXPLAINED_OF_TEN {
            return None;
        }
        let provider = explained.first()?.attempt()?.provider;
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "{} of {} failed while prompts of {} failed for at least {people} people at once, from their usual places",
                explained.len(),
                sentence::count(case.refusals.len(), "prompt"),
                provider.name()
            ),
            event_ids: event_ids(&explained),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{find, weigh};
    use crate::input::{MfaEventKind, Provider};
    use crate::outage::{OUTAGE_STEP_MS, Outage};
    use crate::story::{Story, ms};

    fn known() -> Story {
        Story::new().usual_sign_ins(10).at("2026-03-12 09:00")
    }

    fn out(story: Story) -> Story {
        let outage = |n: i64| Outage {
            from_ms: ms("2026-03-12 09:00") + n * OUTAGE_STEP_MS,
            provider: Provider::Okta,
            people: 20,
        };
        story.outages((0..6).map(outage).collect())
    }

    fn ignored(story: Story) -> Story {
        story
            .prompt()
            .answer(MfaEventKind::Unanswered)
            .after_minutes(7)
    }

    #[test]
    fn prompts_that_failed_for_everybody_speak_against() {
        let finding = find(&ProviderOutage, out(ignored(ignored(known())))).unwrap();
        assert_eq!(finding.weight, WEIGHT);
        assert_eq!(
            finding.summary,
            "2 of 2 prompts failed while prompts of Okta failed for at least 20 people at once, from their usual places"
        );
        assert_eq!(weigh(&ProviderOutage, ignored(known())), 0);
    }

    #[test]
    fn a_no_and_what_is_later_are_not_explained() {
        assert_eq!(weigh(&ProviderOutage, out(known().prompt().denied())), 0);
        let later = known().after_minutes(45);
        assert_eq!(weigh(&ProviderOutage, out(ignored(later))), 0);
    }

    #[test]
    fn a_sign_in_from_an_unusual_place_is_never_made_up_for() {
        let entered = out(ignored(known())).after_minutes(60);
        assert_eq!(
            weigh(&ProviderOutage, entered.clone().attacker().sign_in()),
            0
        );
        assert_eq!(weigh(&ProviderOutage, entered.traveling().sign_in()), 0);
    }
}
