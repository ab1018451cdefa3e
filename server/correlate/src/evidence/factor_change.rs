//! A factor enrolled, changed or removed, where that is not plainly the person's own doing.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::{Standing, same_place};
use crate::case::{Case, event_ids};
use crate::input::MfaEventKind;
use crate::sentence;
use crate::timeline::{CHANGED_SOON_MS, Item};

/// See the file.
pub(super) struct FactorChange;

const SPEC: Spec = Spec {
    kind: "factor_change",
    family: Family::Consequences,
    why: "who got in once enrolls an own factor, to come back without asking",
    base_rate: "people change phones about every three years, and do so at their usual place",
};

const AFTER_APPROVAL: Weight = Weight(250);
/// From where a sign-in or a moved session came shortly before, on a machine that is not known to be the person's.
const AFTER_ENTRY: Weight = Weight(220);
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
            let what = change
                .event()
                .map_or("a factor was changed", |event| event.kind.happened());
            return Some(Finding {
                weight: AFTER_APPROVAL,
                summary: format!(
                    "{what} {after} after the sign-in that the refused prompts led to"
                ),
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
        let what = first
            .event()
            .map_or("a factor was changed", |event| event.kind.happened());
        let entered = odd.iter().find_map(|item| entry_before(case, item));
        let foreign = odd.iter().any(|item| item.is_foreign());
        let (weight, after) = match entered {
            Some(after) => (AFTER_ENTRY, after),
            None if foreign => (FOREIGN, String::new()),
            None => (UNUSUAL_PLACE, String::new()),
        };
        Some(Finding {
            weight,
            summary: format!(
                "{what} from {}, which is not usual for this person{after}",
                sentence::place(first.origin())
            ),
            event_ids: event_ids(&odd),
        })
    }
}

/// How long after a sign-in or a moved session from the same place a change came, where that is soon and the machine is
/// not known to be the person's.
fn entry_before(case: &Case<'_, '_>, change: &Item<'_>) -> Option<String> {
    if change.device == Standing::Usual {
        return None;
    }
    let is_entry = |item: &&&Item<'_>| {
        let what = item.is_sign_in() || item.is_kind(MfaEventKind::SessionMoved);
        let is_soon = (0..=CHANGED_SOON_MS).contains(&(change.time_ms - item.end_ms()));
        what && is_soon
            && item.place == Standing::Unusual
            && item.device != Standing::Usual
            && same_place(item.origin(), change.origin())
    };
    let entry = case.items.iter().rfind(is_entry)?;
    let after = sentence::length(change.time_ms - entry.end_ms());
    let what = if entry.is_sign_in() {
        "a sign-in from there"
    } else {
        "a session had moved there"
    };
    Some(format!(", {after} after {what}"))
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
    #[test]
    fn a_factor_enrolled_soon_after_a_sign_in_from_the_same_strange_place_weighs_more() {
        let story = known().attacker().sign_in().after_minutes(6);
        let finding = find(&FactorChange, story.event(MfaEventKind::FactorEnrolled)).unwrap();
        assert_eq!(finding.weight, AFTER_ENTRY);
        assert!(
            finding.summary.ends_with("after a sign-in from there"),
            "{}",
            finding.summary
        );
        let late = known().attacker().sign_in().after_minutes(600);
        assert_eq!(
            weigh(&FactorChange, late.event(MfaEventKind::FactorEnrolled)),
            FOREIGN.0
        );
    }
}
