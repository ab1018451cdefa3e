//! A session that goes on after it was revoked.

use std::collections::BTreeMap;

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::MINUTE_MS;
use crate::case::{Case, event_ids};
use crate::input::MfaEventKind;
use crate::sentence;
use crate::timeline::Item;

/// See the file.
pub(super) struct SessionAfterRevocation;

const SPEC: Spec = Spec {
    kind: "session_after_revocation",
    family: Family::Consequences,
    why: "sessions of applications and access tokens outlive the provider's; who still uses one was not put out",
    base_rate: "a person's own applications do so for up to an hour after every revocation",
};

const WEIGHT: Weight = Weight(120);
/// Requests under way, and providers' clocks.
const GRACE_MS: i64 = 5 * MINUTE_MS;

impl Evidence for SessionAfterRevocation {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let mut revoked: BTreeMap<&str, i64> = BTreeMap::new();
        for item in case.of_kind(MfaEventKind::SessionRevoked) {
            if let Some(session) = session(item) {
                revoked.entry(session).or_insert(item.time_ms);
            }
        }
        let goes_on = |item: &&Item<'_>| {
            let is_use = matches!(
                item.event().map(|event| event.kind),
                Some(
                    MfaEventKind::AppAccess
                        | MfaEventKind::AdminAccess
                        | MfaEventKind::SessionMoved
                )
            );
            let since = session(item).and_then(|session| revoked.get(session));
            is_use && since.is_some_and(|ms| item.time_ms - ms > GRACE_MS)
        };
        let after: Vec<&Item<'_>> = case.items.iter().copied().filter(goes_on).collect();
        let last = after.last()?;
        let since_ms = session(last).and_then(|session| revoked.get(session))?;
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "a session from {} was still used {} after it was revoked",
                sentence::place(last.origin()),
                sentence::length(last.time_ms - since_ms)
            ),
            event_ids: event_ids(&after),
        })
    }
}

fn session<'a>(item: &Item<'a>) -> Option<&'a str> {
    item.event()?.flow.session.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::input::FlowIds;
    use crate::story::Story;

    fn used_after(minutes: i64) -> Story {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:00")
            .attacker();
        let story = story.prompt().denied().after_minutes(2).prompt().approved();
        let story = story.flow(FlowIds {
            session: Some("s".into()),
            ..FlowIds::default()
        });
        let story = story.after_minutes(30).event(MfaEventKind::SessionRevoked);
        story.after_minutes(minutes).event(MfaEventKind::AppAccess)
    }

    #[test]
    fn a_session_that_outlives_its_revocation() {
        assert_eq!(weigh(&SessionAfterRevocation, used_after(50)), 120);
    }

    #[test]
    fn a_request_under_way_is_nothing() {
        assert_eq!(weigh(&SessionAfterRevocation, used_after(2)), 0);
    }
}
