//! A factor enrolled, changed or removed, where that is not plainly the person's own doing.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::Standing;
use crate::case::{Case, event_ids};
use crate::input::{MfaEvent, MfaEventKind};
use crate::sentence;

/// See the file.
pub(super) struct FactorChange;

const SPEC: Spec = Spec {
    kind: "factor_change",
    family: Family::Consequences,
    why: "who got in once enrolls an own factor, to come back without asking",
    base_rate: "people change phones about every three years, and do so at their usual place",
};

const AFTER_APPROVAL: Weight = Weight(250);
const FOREIGN: Weight = Weight(150);
const UNUSUAL_PLACE: Weight = Weight(80);

impl Evidence for FactorChange {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        if let Some(change) = case.change_after_approval() {
            let from_ms = case.confirmed_ms()?;
            let after = sentence::length(change.time_ms - from_ms);
            let what = change.event().map_or("factor changed", name);
            return Some(Finding {
                weight: AFTER_APPROVAL,
                summary: format!("{what} {after} after the sign-in that hostile prompts led to"),
                event_ids: event_ids(&[change]),
            });
        }
        // Resets by others are evidence of their own.
        let own = case
            .factor_changes
            .iter()
            .copied()
            .filter(|item| !item.is_by_other());
        let odd: Vec<_> = own.filter(|item| item.place == Standing::Unusual).collect();
        let first = odd.first()?;
        let what = first.event().map_or("factor changed", name);
        let foreign = odd.iter().any(|item| item.is_foreign());
        Some(Finding {
            weight: if foreign { FOREIGN } else { UNUSUAL_PLACE },
            summary: format!(
                "{what} from {}, which is not usual for this person",
                sentence::place(first.origin())
            ),
            event_ids: event_ids(&odd),
        })
    }
}

/// What changed, for a sentence.
fn name(event: &MfaEvent) -> &'static str {
    match event.kind {
        MfaEventKind::FactorEnrolled => "a factor was enrolled",
        MfaEventKind::DeviceEnrolled => "a device was enrolled",
        MfaEventKind::FactorRemoved => "a factor was removed",
        MfaEventKind::FactorReset => "all factors were reset",
        MfaEventKind::BypassIssued => "a bypass was issued",
        _ => "a factor was changed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{find, weigh};
    use crate::story::Story;

    fn known() -> Story {
        Story::new().usual_sign_ins(10).at("2026-03-12 02:10")
    }

    fn approved() -> Story {
        let mut story = known().attacker();
        for _ in 0..6 {
            story = story.prompt().denied().after_minutes(3);
        }
        story.prompt().approved()
    }

    #[test]
    fn a_factor_enrolled_after_giving_in_is_seen() {
        let story = approved()
            .after_minutes(6)
            .event(MfaEventKind::FactorEnrolled);
        let finding = find(&FactorChange, story).unwrap();
        assert_eq!(finding.weight, AFTER_APPROVAL);
        assert!(
            finding
                .summary
                .starts_with("a factor was enrolled 6 minutes after")
        );
    }

    #[test]
    fn a_factor_enrolled_from_a_strange_place_without_prompts_is_seen() {
        let story = known().attacker().event(MfaEventKind::FactorEnrolled);
        assert_eq!(weigh(&FactorChange, story), FOREIGN.0);
    }

    #[test]
    fn a_new_phone_at_the_usual_place_is_not() {
        let story = known()
            .prompt()
            .denied()
            .after_minutes(30)
            .event(MfaEventKind::FactorEnrolled);
        assert_eq!(weigh(&FactorChange, story), 0);
    }
}
