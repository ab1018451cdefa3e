//! Administrative rights soon after a reset or a suspicious sign-in.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::{DAY_MS, Standing};
use crate::case::{Case, event_ids};
use crate::input::MfaEventKind;
use crate::sentence;

/// See the file.
pub(super) struct PrivilegeGranted;

const SPEC: Spec = Spec {
    kind: "privilege_granted",
    family: Family::Consequences,
    why: "rights are granted by plan, not in the hours after factors moved or prompts were refused",
    base_rate: "a few grants a month in a whole company",
};

const AFTER_RESET: Weight = Weight(250);
const AFTER_SIGN_IN: Weight = Weight(200);

impl Evidence for PrivilegeGranted {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let grants: Vec<_> = case.of_kind(MfaEventKind::PrivilegeGranted).collect();
        let grant = grants.first()?;
        let is_before = |ms: i64| (0..=DAY_MS).contains(&(grant.time_ms - ms));
        let resets = case.resets_by_others();
        let reset = resets.iter().find(|item| is_before(item.time_ms));
        let sign_in = case.items.iter().find(|item| {
            item.is_sign_in()
                && item.place != Standing::Usual
                && item.device != Standing::Usual
                && is_before(item.end_ms())
        });
        let (weight, what, from_ms) = match (reset, sign_in) {
            (Some(item), _) => (AFTER_RESET, "a reset by somebody else", item.time_ms),
            (None, Some(item)) => (AFTER_SIGN_IN, "a suspicious sign-in", item.end_ms()),
            (None, None) => return None,
        };
        Some(Finding {
            weight,
            summary: format!(
                "administrative rights were granted {} after {what}",
                sentence::length(grant.time_ms - from_ms)
            ),
            event_ids: event_ids(&grants),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::story::Story;

    fn known() -> Story {
        Story::new().usual_sign_ins(10).at("2026-03-12 14:00")
    }

    #[test]
    fn rights_after_a_reset_are_seen() {
        let story = known()
            .by_help_desk(MfaEventKind::FactorReset)
            .after_minutes(40);
        let story = story.by_help_desk(MfaEventKind::PrivilegeGranted);
        assert_eq!(weigh(&PrivilegeGranted, story), AFTER_RESET.0);
    }

    #[test]
    fn rights_after_a_strange_sign_in_are_seen() {
        let story = known().attacker().sign_in().after_minutes(40);
        let story = story.by_help_desk(MfaEventKind::PrivilegeGranted);
        assert_eq!(weigh(&PrivilegeGranted, story), AFTER_SIGN_IN.0);
    }

    #[test]
    fn rights_after_a_denial_alone_are_not() {
        let story = known().prompt().denied().after_minutes(40);
        let story = story.by_help_desk(MfaEventKind::PrivilegeGranted);
        assert_eq!(weigh(&PrivilegeGranted, story), 0);
    }
}
