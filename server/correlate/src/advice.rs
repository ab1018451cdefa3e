//! What to do about an incident, in the order of containment, and only what its stage asks for.
//!
//! Where somebody got in and it matters, the account is contained before the person is asked: every minute counts, and
//! a block is undone in one. Where there are only prompts, the person is asked first. Blocking comes before removing:
//! a factor taken away while the password still works hands the attacker an enrollment window. Nothing here is done
//! by itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::attempt::{Attempt, AttemptResult};
use crate::baseline::Standing;
use crate::case::Case;
use crate::evidence::Piece;
use crate::input::{MfaEventKind, Provider};
use crate::sentence;
use crate::severity::Severity;
use crate::timeline::Item;

/// Something that an analyst should make happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecommendedAction {
    /// Its word: "block_sign_in".
    pub action: String,
    /// What to do, for people: "Block the account's sign-in at Okta".
    #[serde(default)]
    pub text: String,
    /// Why here, and what to mind.
    pub reason: String,
}

/// One action.
pub(crate) fn step(
    action: &str,
    text: impl Into<String>,
    reason: impl Into<String>,
) -> RecommendedAction {
    RecommendedAction {
        action: action.to_owned(),
        text: text.into(),
        reason: reason.into(),
    }
}

/// The actions that fit, first things first. `pieces`: the evidence of the case.
pub(crate) fn advice(
    case: &Case<'_, '_>,
    severity: Severity,
    pieces: &[Piece],
) -> Vec<RecommendedAction> {
    if severity <= Severity::Low {
        return vec![ask(case, false)];
    }
    let is_in = is_in(case);
    let is_urgent = is_in && severity >= Severity::High;
    // Who has said that it was not them need not be asked first.
    let is_said = has_reported(case);
    let mut actions = Vec::new();
    if !is_urgent && !is_said {
        actions.push(ask(case, is_in));
    }
    if is_in {
        actions.extend(contain(case));
    }
    actions.extend(endpoint(pieces));
    if is_urgent || (is_in && is_said) {
        actions.push(ask(case, true));
    }
    if is_in {
        actions.extend(remove(case));
    }
    actions.push(step(
        "new_password",
        "Set a new password",
        format!(
            "{}; set a random one, hand it over by another channel, and do not let it be changed at the next sign-in",
            password(case)
        ),
    ));
    if is_said && !is_in {
        actions.push(ask(case, false));
    }
    if is_in {
        actions.push(step(
            "verify",
            "Verify that nobody else is in any more",
            "look in the provider's state and log: no session and no new sign-in is left",
        ));
    }
    actions.push(step(
        "enroll_resistant_factor",
        "Enroll a factor that cannot be approved in passing",
        "as a security key or number matching, with the person verified",
    ));
    if is_in {
        actions.push(step(
            "unblock_sign_in",
            "Unblock the sign-in",
            "last, when everything above is verified",
        ));
    }
    actions
}

/// Whether the person said, not only by a denial, that it was not theirs.
fn has_reported(case: &Case<'_, '_>) -> bool {
    case.items.iter().any(|item| {
        item.is_kind(MfaEventKind::SuspiciousReported)
            || item
                .attempt()
                .is_some_and(|attempt| attempt.result == AttemptResult::FraudReported)
    })
}

/// Whether somebody who need not be the person got in.
fn is_in(case: &Case<'_, '_>) -> bool {
    let is_entry = |item: &&Item<'_>| {
        item.is_foreign() && (item.is_sign_in() || item.is_kind(MfaEventKind::SessionMoved))
    };
    !case.confirmed.is_empty() || case.items.iter().any(is_entry) || !case.after_reset().is_empty()
}

fn ask(case: &Case<'_, '_>, is_in: bool) -> RecommendedAction {
    let reason = "by another channel, not by mail or chat of this account";
    if has_reported(case) {
        return step(
            "ask_person",
            "Ask the person what else happened",
            format!("they reported it; calls, messages, anything they approved; {reason}"),
        );
    }
    let what = if !case.factor_changes.is_empty() {
        "Ask the person which sign-ins and which factors are theirs"
    } else if case.items.iter().any(|item| item.attempt().is_some()) {
        "Ask the person whether these sign-ins were theirs"
    } else {
        "Ask the person whether this was them"
    };
    let reason = match is_in {
        true => format!("{reason}; where they are not, or nobody is reached, go on as below"),
        false => reason.to_owned(),
    };
    step("ask_person", what, reason)
}

/// Where the account is, as people write it: "Okta and Duo".
fn providers(case: &Case<'_, '_>) -> String {
    let events = case.items.iter().flat_map(|item| item.events());
    let found: BTreeSet<Provider> = events.map(|event| event.provider).collect();
    let names: Vec<&str> = found.into_iter().map(Provider::name).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "the provider".to_owned(),
    }
}

fn contain(case: &Case<'_, '_>) -> [RecommendedAction; 3] {
    let at = providers(case);
    let apps = applications(case);
    let outlive = match apps.is_empty() {
        true => "access already given to applications can outlive them".to_owned(),
        false => format!("access already given to {apps} can outlive them: end it there too"),
    };
    [
        step(
            "snapshot",
            "Note the account's state",
            "its factors, sessions, grants, roles and mailbox rules, before anything is changed; it takes a minute",
        ),
        step(
            "block_sign_in",
            format!("Block the account's sign-in at {at}"),
            "somebody got in who may not be the person; blocked first, nothing below is undone meanwhile; an account \
             that is mastered in a directory is disabled there too",
        ),
        step(
            "revoke_sessions",
            "End all its sessions and tokens",
            outlive,
        ),
    ]
}

/// Applications opened, by name.
fn applications(case: &Case<'_, '_>) -> String {
    let opened = case.of_kind(MfaEventKind::AppAccess);
    let names: BTreeSet<&str> = opened
        .filter_map(|item| item.event()?.application.as_deref())
        .collect();
    let named: Vec<&str> = names.iter().copied().take(NAMED_MAX).collect();
    match names.len().checked_sub(NAMED_MAX) {
        Some(more @ 1..) => format!("{} and {more} more", named.join(", ")),
        _ => named.join(", "),
    }
}

/// Applications, or changes, that one sentence names.
const NAMED_MAX: usize = 4;

/// What there is to do on the person's machines, by the evidence that was found there.
fn endpoint(pieces: &[Piece]) -> Option<RecommendedAction> {
    const ON_ENDPOINTS: [&str; 2] = ["remote_support_tool", "new_login_source"];
    let found = pieces
        .iter()
        .find(|piece| ON_ENDPOINTS.contains(&piece.spec.kind))?;
    Some(step(
        "secure_endpoint",
        "Make sure that nobody else is on the person's machine",
        format!(
            "{}; unless IT says that it was theirs, end it, lock or log off the session, or isolate the machine",
            found.finding.summary
        ),
    ))
}

fn remove(case: &Case<'_, '_>) -> Vec<RecommendedAction> {
    let mut actions = Vec::new();
    if !case.factor_changes.is_empty() {
        let changes = case.factor_changes.iter().take(NAMED_MAX);
        let changes: Vec<String> = changes.copied().filter_map(change).collect();
        let over = case.factor_changes.len().saturating_sub(NAMED_MAX);
        let more = match over {
            0 => String::new(),
            over => format!(" and {over} more"),
        };
        actions.push(step(
            "remove_authenticators",
            "Remove authenticators that are not the person's, one by one",
            format!(
                "{}{more}; do not reset all: that would let whoever has the password enroll again",
                changes.join(", ")
            ),
        ));
    }
    let has_rights = case
        .of_kind(MfaEventKind::PrivilegeGranted)
        .next()
        .is_some();
    let used_apps = case.of_kind(MfaEventKind::AppAccess).next().is_some();
    if has_rights || used_apps {
        let what = match (has_rights, applications(case)) {
            (true, _) => "administrative rights were granted".to_owned(),
            (false, apps) if apps.is_empty() => "applications were opened".to_owned(),
            (false, apps) => format!("applications opened: {apps}"),
        };
        actions.push(step(
            "remove_persistence",
            "Look for what the intruder left behind, and remove it",
            format!(
                "{what}; look through grants, application passwords, API tokens and mailbox rules"
            ),
        ));
    }
    actions
}

/// "a factor was enrolled at 10:20 UTC from 203.0.113.9 (Porto, PT)".
fn change(item: &Item<'_>) -> Option<String> {
    let event = item.event()?;
    let who = match event.actor.as_ref().map(|actor| &actor.login) {
        Some(login) if event.is_by_other() && !login.is_empty() => format!(" by {login}"),
        _ => String::new(),
    };
    Some(format!(
        "{} at {} from {}{who}",
        event.kind.happened(),
        sentence::clock(item.time_ms),
        sentence::place(item.origin())
    ))
}

/// Who has the password, as far as the records show it.
fn password(case: &Case<'_, '_>) -> String {
    let knew = |attempt: &Attempt<'_>| attempt.has(MfaEventKind::PasswordAccepted);
    let accepted = case.items.iter().copied().filter(|item| {
        item.place != Standing::Usual
            && (item.is_kind(MfaEventKind::PasswordAccepted) || item.attempt().is_some_and(knew))
    });
    let accepted: Vec<_> = accepted.collect();
    if let Some(first) = accepted.first() {
        return format!(
            "the provider accepted the password {} from {}",
            match accepted.len() {
                1 => "once".to_owned(),
                n => sentence::count(n, "time"),
            },
            sentence::place(first.origin())
        );
    }
    if case.items.iter().any(|item| item.attempt().is_some()) {
        return "prompts mostly come after the password, so whoever caused these probably has it"
            .to_owned();
    }
    "it is not known how they came in, and the password is one way".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::Story;

    fn actions(story: Story, severity: Severity) -> Vec<String> {
        story.with_case(|case| {
            let pieces = crate::evidence::collect(case);
            advice(case, severity, &pieces)
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
                "snapshot",
                "block_sign_in",
                "revoke_sessions",
                "ask_person",
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

    fn texts(story: Story, severity: Severity) -> Vec<RecommendedAction> {
        story.with_case(|case| advice(case, severity, &crate::evidence::collect(case)))
    }

    fn reason_of(actions: &[RecommendedAction], word: &str) -> String {
        let found = actions.iter().find(|action| action.action == word);
        found.unwrap().reason.clone()
    }

    #[test]
    fn every_step_is_a_sentence_beside_its_word() {
        let story = bombed().prompt().approved().after_minutes(6);
        let found = texts(
            story.event(MfaEventKind::FactorEnrolled),
            Severity::Critical,
        );
        for action in &found {
            assert!(
                action.text.contains(' ') && !action.text.contains('_'),
                "{action:?}"
            );
        }
        assert_eq!(found[1].text, "Block the account's sign-in at Okta");
        assert!(
            reason_of(&found, "remove_authenticators")
                .starts_with("a factor was enrolled at 02:46 UTC from 203.0.113.66"),
            "{found:?}"
        );
    }

    #[test]
    fn the_password_is_only_said_to_be_known_where_it_was_accepted() {
        let reason = reason_of(&texts(bombed(), Severity::High), "new_password");
        assert!(reason.contains("probably has it"), "{reason}");
        let story = bombed().event(MfaEventKind::PasswordAccepted).prompt();
        let reason = reason_of(&texts(story, Severity::High), "new_password");
        assert!(
            reason.starts_with("the provider accepted the password once from 203.0.113.66"),
            "{reason}"
        );
    }

    #[test]
    fn who_only_possibly_got_in_is_asked_about_before_the_account_is_blocked() {
        let story = bombed().prompt().approved();
        let found = actions(story, Severity::Medium);
        assert_eq!(found.first().map(String::as_str), Some("ask_person"));
        assert!(found.iter().any(|word| word == "block_sign_in"));
    }

    #[test]
    fn who_has_reported_it_is_not_asked_whether_it_was_them() {
        let found = texts(
            bombed().event(MfaEventKind::SuspiciousReported),
            Severity::High,
        );
        let words: Vec<_> = found.iter().map(|action| action.action.as_str()).collect();
        assert_eq!(
            words,
            ["new_password", "ask_person", "enroll_resistant_factor"]
        );
        assert!(found[1].text.contains("what else happened"));
    }

    #[test]
    fn a_session_that_moved_is_ended_too() {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 11:00")
            .attacker();
        let found = actions(story.event(MfaEventKind::SessionMoved), Severity::High);
        assert!(
            found.iter().any(|word| word == "revoke_sessions"),
            "{found:?}"
        );
    }

    #[test]
    fn a_remote_support_tool_is_ended_on_the_machine() {
        let mut endpoint = crate::scene::laptop("porto-17");
        let span = crate::scene::span("2026-03-12 02:20", "2026-03-12 04:00");
        let tool = crate::scene::control(crate::fact::ControlKind::Process, "AnyDesk", span);
        endpoint.facts.remote_control.push(tool);
        let found = texts(bombed().endpoint(endpoint), Severity::High);
        assert!(
            reason_of(&found, "secure_endpoint").contains("AnyDesk"),
            "{found:?}"
        );
    }
}
