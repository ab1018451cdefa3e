//! Prompts denied, one then approved, and a factor enrolled at once, all from the person's own place and machine.
//!
//! That is what somebody on the victim's machine leaves: nothing of where it came from is odd.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::attempt::AttemptResult;
use crate::case::{Case, event_ids};
use crate::input::MfaEventKind;
use crate::sentence;
use crate::timeline::{CHANGED_SOON_MS, DENIED_MIN, Item};

/// See the file.
pub(super) struct RefusedThenChanged;

const SPEC: Spec = Spec {
    kind: "refused_then_changed",
    family: Family::Consequences,
    why: "a person who wants to enrol a factor does not deny the prompts for it first, and somebody on their machine is at \
          their usual place",
    base_rate: "3 of 1000 prompts are denied by mistake and a phone lasts three years: both within an hour is chance",
};

const WEIGHT: Weight = Weight(450);
/// Prompts refused or ignored from which on it does not matter whether anybody said no.
const IGNORED_MIN: usize = 5;

impl Evidence for RefusedThenChanged {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        if !case.confirmed.is_empty() {
            return None;
        }
        let is_enrolled = |item: &Item<'_>| {
            item.is_kind(MfaEventKind::FactorEnrolled) || item.is_kind(MfaEventKind::DeviceEnrolled)
        };
        let changes = case.items.iter().copied().filter(|item| is_enrolled(item));
        let (mut items, what, change) = changes
            .filter_map(|change| refused_before(case, change))
            .next()?;
        let prompts = sentence::count(items.len(), "prompt");
        items.push(change);
        Some(Finding {
            weight: WEIGHT,
            summary: format!("{prompts} {what}, and within the hour a factor was enrolled"),
            event_ids: event_ids(&items),
        })
    }
}

/// Items, what they were, and the change that they came before.
type Refused<'t, 'a> = (Vec<&'t Item<'a>>, &'static str, &'t Item<'a>);

/// What was refused within the hour before a change, where it is enough.
fn refused_before<'t, 'a>(case: &Case<'t, 'a>, change: &'t Item<'a>) -> Option<Refused<'t, 'a>> {
    let is_denied = |item: &&Item<'_>| {
        let result = item.attempt().map(|attempt| attempt.result);
        result == Some(AttemptResult::Denied)
    };
    let refused = case.refusals.iter().copied();
    let mut items: Vec<&'t Item<'a>> = refused
        .filter(|item| (0..=CHANGED_SOON_MS).contains(&(change.time_ms - item.time_ms)))
        .collect();
    let denied = items.iter().copied().filter(is_denied).count();
    if denied >= DENIED_MIN {
        items.retain(is_denied);
        return Some((items, "denied", change));
    }
    (items.len() >= IGNORED_MIN).then_some((items, "refused or ignored", change))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::story::Story;

    fn denied(times: usize) -> Story {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 10:00");
        (0..times).fold(story, |story, _| story.prompt().denied().after_minutes(2))
    }

    #[test]
    fn denied_and_then_a_factor_from_the_own_machine() {
        let story = denied(3).prompt().approved().after_minutes(4);
        let story = story.event(MfaEventKind::FactorEnrolled);
        assert_eq!(weigh(&RefusedThenChanged, story.clone()), WEIGHT.0);
        assert_eq!(story.severities(), [crate::Severity::High]);
        // The person's own sign-in soon after explains none of it.
        let later = story.after_minutes(10).sign_in();
        assert_eq!(weigh(&RefusedThenChanged, later), WEIGHT.0);
    }

    #[test]
    fn one_slip_and_a_new_phone_is_nothing() {
        let story = denied(1).prompt().approved().after_minutes(4);
        assert_eq!(
            weigh(
                &RefusedThenChanged,
                story.event(MfaEventKind::FactorEnrolled)
            ),
            0
        );
    }

    #[test]
    fn a_new_phone_hours_later_is_nothing() {
        let story = denied(3).prompt().approved().after_minutes(200);
        let story = story.event(MfaEventKind::FactorEnrolled);
        assert!(story.severities().is_empty());
    }
}
