//! Prompts or sign-ins by a program that is no browser and no app.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::case::{Case, event_ids};
use crate::sentence;

/// See the file.
pub(super) struct ScriptedClient;

const SPEC: Spec = Spec {
    kind: "scripted_client",
    family: Family::Origin,
    why: "tools that replay sign-ins often name themselves; people do not type prompts into scripts",
    base_rate: "a company's own scripts sign in without a person's factor, or with the same one daily",
};

const WEIGHT: Weight = Weight(150);

impl Evidence for ScriptedClient {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let scripted: Vec<_> = case
            .items
            .iter()
            .copied()
            .filter(|item| (item.is_refusal() || item.is_sign_in()) && item.is_scripted())
            .collect();
        if scripted.is_empty() {
            return None;
        }
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "{} by a program that is no browser",
                sentence::count(scripted.len(), "attempt")
            ),
            event_ids: event_ids(&scripted),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::story::Story;

    fn with_agent(agent: &str) -> i32 {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 14:00")
            .attacker();
        weigh(&ScriptedClient, story.user_agent(agent).prompt().denied())
    }

    #[test]
    fn tools_that_name_themselves_are_seen() {
        for agent in [
            "python-requests/2.31",
            "curl/8.5.0",
            "Mozilla/5.0 HeadlessChrome/120.0",
        ] {
            assert_eq!(with_agent(agent), WEIGHT.0, "{agent}");
        }
    }

    #[test]
    fn browsers_are_not() {
        assert_eq!(
            with_agent("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0"),
            0
        );
    }
}
