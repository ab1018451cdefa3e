//! The right password, again and again, without the second factor.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::{MINUTE_MS, Standing};
use crate::case::{Case, event_ids};
use crate::input::MfaEventKind;
use crate::sentence;
use crate::timeline::Item;

/// See the file.
pub(super) struct PasswordPending;

const SPEC: Spec = Spec {
    kind: "password_pending",
    family: Family::Prompts,
    why: "the person finishes a sign-in once begun; who does not may have the password and not the phone",
    base_rate: "single ones are common, where people turn away; two from a strange place are not",
};

const TWO: Weight = Weight(100);
const MANY: Weight = Weight(160);
const MANY_FROM: usize = 4;
/// The second factor follows the password within this time.
const PENDING_MS: i64 = 10 * MINUTE_MS;

impl Evidence for PasswordPending {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let successes: Vec<_> = case.items.iter().filter(|item| item.is_sign_in()).collect();
        let is_finished = |item: &Item<'_>| {
            let from = successes.partition_point(|other| other.time_ms < item.time_ms);
            successes
                .get(from)
                .is_some_and(|other| other.time_ms - item.time_ms <= PENDING_MS)
        };
        let pending: Vec<_> = case
            .of_kind(MfaEventKind::PasswordAccepted)
            .filter(|item| item.place == Standing::Unusual && !is_finished(item))
            .collect();
        let first = pending.first()?;
        if pending.len() < 2 {
            return None;
        }
        Some(Finding {
            weight: if pending.len() >= MANY_FROM {
                MANY
            } else {
                TWO
            },
            summary: format!(
                "the right password was given {} from {} with no sign-in within 10 minutes",
                sentence::count(pending.len(), "time"),
                sentence::place(first.origin())
            ),
            event_ids: event_ids(&pending),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::story::Story;

    fn passwords(n: usize) -> Story {
        let mut story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 14:00")
            .attacker();
        for _ in 0..n {
            story = story
                .event(MfaEventKind::PasswordAccepted)
                .after_minutes(15);
        }
        story
    }

    #[test]
    fn the_right_password_twice_without_a_factor_is_seen() {
        assert_eq!(weigh(&PasswordPending, passwords(1)), 0);
        assert_eq!(weigh(&PasswordPending, passwords(2)), TWO.0);
        assert_eq!(weigh(&PasswordPending, passwords(5)), MANY.0);
    }

    #[test]
    fn a_sign_in_that_was_finished_is_not() {
        let mut story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 14:00")
            .attacker();
        for _ in 0..3 {
            story = story
                .event(MfaEventKind::PasswordAccepted)
                .sign_in()
                .after_minutes(60);
        }
        assert_eq!(weigh(&PasswordPending, story), 0);
    }
}
