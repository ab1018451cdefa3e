//! A session that goes on from a place that is not the person's.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::Standing;
use crate::case::{Case, event_ids};
use crate::input::MfaEventKind;
use crate::sentence;

/// See the file.
pub(super) struct SessionMoved;

const SPEC: Spec = Spec {
    kind: "session_moved",
    family: Family::Consequences,
    why: "a stolen session shows as one session with another address and another machine",
    base_rate: "daily, where people change networks; seldom together with another machine",
};

const FOREIGN: Weight = Weight(200);
const PLACE: Weight = Weight(60);

impl Evidence for SessionMoved {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let moved: Vec<_> = case
            .of_kind(MfaEventKind::SessionMoved)
            .filter(|item| item.place == Standing::Unusual)
            .collect();
        let first = moved.first()?;
        let from = first
            .event()
            .and_then(|event| event.previous_ip)
            .map_or_else(|| "another address".to_owned(), |ip| ip.to_string());
        let foreign = moved.iter().any(|item| item.is_foreign());
        let used = case.items.iter().filter(|item| {
            item.is_kind(MfaEventKind::AppAccess)
                && item.time_ms >= first.time_ms
                && item.origin().ip == first.origin().ip
        });
        let used = match used.count() {
            0 => String::new(),
            n => format!(
                "; {} opened from there since",
                sentence::count(n, "application")
            ),
        };
        Some(Finding {
            weight: if foreign { FOREIGN } else { PLACE },
            summary: format!(
                "a session moved from {from} to {}, which is not usual for this person{used}",
                sentence::place(first.origin())
            ),
            event_ids: event_ids(&moved),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::story::Story;

    fn known() -> Story {
        Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 14:00")
            .sign_in()
            .after_minutes(20)
    }

    #[test]
    fn a_session_on_a_strange_machine_elsewhere_is_seen() {
        let story = known().attacker().event(MfaEventKind::SessionMoved);
        assert_eq!(weigh(&SessionMoved, story), FOREIGN.0);
    }

    #[test]
    fn the_own_machine_on_the_train_is_seen_a_little() {
        assert_eq!(
            weigh(
                &SessionMoved,
                known().traveling().event(MfaEventKind::SessionMoved)
            ),
            PLACE.0
        );
    }

    #[test]
    fn a_session_that_moved_within_the_usual_place_is_not() {
        let story = known().prompt().denied().event(MfaEventKind::SessionMoved);
        assert_eq!(weigh(&SessionMoved, story), 0);
    }
}
