//! The authenticator itself refused, because the page that asked was not the real one.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::case::{Case, event_ids};
use crate::input::MfaEventKind;
use crate::sentence;

/// See the file.
pub(super) struct PhishingBlocked;

const SPEC: Spec = Spec {
    kind: "phishing_blocked",
    family: Family::Reports,
    why: "the key is bound to the real address; somebody showed the person a page of their own",
    base_rate: "harmless only where a company's own proxy rewrites addresses",
};

const WEIGHT: Weight = Weight(300);

impl Evidence for PhishingBlocked {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let blocked: Vec<_> = case
            .items
            .iter()
            .copied()
            .filter(|item| {
                item.attempt()
                    .is_some_and(|attempt| attempt.has(MfaEventKind::PhishingBlocked))
            })
            .collect();
        if blocked.is_empty() {
            return None;
        }
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "the authenticator refused {} because the page was not the provider's",
                sentence::count(blocked.len(), "sign-in")
            ),
            event_ids: event_ids(&blocked),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::story::Story;

    #[test]
    fn a_refused_page_is_seen_even_from_the_usual_place() {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 14:00");
        assert_eq!(
            weigh(
                &PhishingBlocked,
                story.answer(MfaEventKind::PhishingBlocked)
            ),
            WEIGHT.0
        );
    }

    #[test]
    fn any_other_failure_is_not() {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 14:00")
            .prompt()
            .denied();
        assert_eq!(
            weigh(&PhishingBlocked, story.answer(MfaEventKind::Error)),
            0
        );
    }
}
