//! What to do about an incident, in the order of containment, and only what its stage asks for.
//!
//! Blocking comes before resetting: a factor reset while the password still works hands the attacker an
//! enrollment window. Nothing here is done by itself.

use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::input::MfaEventKind;
use crate::severity::Severity;

/// Something that an analyst should make happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecommendedAction {
    /// Its word: "block_sign_in".
    pub action: String,
    /// Why here.
    pub reason: String,
}

/// One action.
pub(crate) fn step(action: &str, reason: impl Into<String>) -> RecommendedAction {
    RecommendedAction {
        action: action.to_owned(),
        reason: reason.into(),
    }
}

/// The actions that fit, first things first.
pub(crate) fn advice(case: &Case<'_, '_>, severity: Severity) -> Vec<RecommendedAction> {
    let ask = step(
        "ask_person",
        "ask by another channel, not by mail or chat of this account, whether these sign-ins were theirs",
    );
    if severity <= Severity::Low {
        return vec![ask];
    }
    let is_in = !case.confirmed.is_empty()
        || case
            .items
            .iter()
            .any(|item| item.is_sign_in() && item.is_foreign())
        || !case.after_reset().is_empty();
    let mut actions = vec![ask];
    if is_in {
        contain(case, &mut actions);
    }
    actions.push(step(
        "new_password",
        "whoever caused the prompts has the password: set a random one and hand it over by another \
         channel; do not let it be changed at the next sign-in",
    ));
    if is_in {
        actions.push(step(
            "verify",
            "check in the provider's state and log that no session and no new sign-in is left",
        ));
    }
    actions.push(step(
        "enroll_resistant_factor",
        "enroll a factor that cannot be approved in passing, with the person verified",
    ));
    if is_in {
        actions.push(step(
            "unblock_sign_in",
            "last, when everything above is verified",
        ));
    }
    actions
}

fn contain(case: &Case<'_, '_>, actions: &mut Vec<RecommendedAction>) {
    actions.push(step(
        "snapshot",
        "keep the state of factors, sessions, grants and roles before anything is changed",
    ));
    actions.push(step(
        "block_sign_in",
        "somebody got in: suspend the account first, so that nothing below is undone meanwhile",
    ));
    actions.push(step(
        "revoke_sessions",
        "end sessions and tokens; access already given to applications can outlive them",
    ));
    if !case.factor_changes.is_empty() {
        let n = case.factor_changes.len();
        actions.push(step(
            "remove_authenticators",
            format!(
                "{} to the ways of signing in: remove what is not the person's, one by one",
                crate::sentence::count(n, "change")
            ),
        ));
    }
    let has_rights = case
        .of_kind(MfaEventKind::PrivilegeGranted)
        .next()
        .is_some();
    let used_apps = case.of_kind(MfaEventKind::AppAccess).next().is_some();
    if has_rights || used_apps {
        let what = if has_rights {
            "administrative rights were granted"
        } else {
            "applications were opened"
        };
        actions.push(step(
            "remove_persistence",
            format!("{what}: look for grants, application passwords, API tokens and mailbox rules"),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::Story;

    fn actions(story: Story, severity: Severity) -> Vec<String> {
        story.with_case(|case| {
            advice(case, severity)
                .into_iter()
                .map(|action| action.action)
                .collect()
        })
    }

    fn bombed() -> Story {
        let mut story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:10")
            .attacker();
        for _ in 0..10 {
            story = story.prompt().denied().after_minutes(3);
        }
        story
    }

    #[test]
    fn while_nobody_got_in_the_password_is_what_must_change() {
        let found = actions(bombed(), Severity::High);
        assert_eq!(
            found,
            ["ask_person", "new_password", "enroll_resistant_factor"]
        );
    }

    #[test]
    fn once_somebody_got_in_blocking_comes_before_anything_else_is_touched() {
        let story = bombed().prompt().approved().after_minutes(6);
        let story = story
            .event(MfaEventKind::FactorEnrolled)
            .event(MfaEventKind::AppAccess);
        assert_eq!(
            actions(story, Severity::Critical),
            [
                "ask_person",
                "snapshot",
                "block_sign_in",
                "revoke_sessions",
                "remove_authenticators",
                "remove_persistence",
                "new_password",
                "verify",
                "enroll_resistant_factor",
                "unblock_sign_in",
            ]
        );
    }

    #[test]
    fn a_low_one_asks_only_for_a_question() {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:10")
            .attacker();
        assert_eq!(
            actions(story.prompt().denied(), Severity::Low),
            ["ask_person"]
        );
    }
}
