//! Tests of [`super`]: one sign-in over several providers, and over several rows of one.

use crate::attempt::AttemptResult::{self, Approved, Denied, FraudReported, Unanswered};
use crate::input::{Factor, FlowIds, MfaEventKind as Kind, Provider};
use crate::story::Story;

fn flow(id: &str) -> FlowIds {
    FlowIds {
        authentication: Some(id.into()),
        ..FlowIds::default()
    }
}

fn at(provider: Provider) -> Story {
    Story::new()
        .at("2026-03-12 02:10")
        .attacker()
        .at_provider(provider)
}

fn results(story: Story) -> Vec<AttemptResult> {
    story.with_attempts(|attempts| attempts.iter().map(|attempt| attempt.result).collect())
}

/// Entra ID asks for Duo, and half a minute later Duo says what came of it.
fn asked(id: &str) -> Story {
    at(Provider::Entra)
        .flow(flow(id))
        .factor(Factor::External)
        .external(Kind::PasswordAccepted)
        .after_seconds(30)
        .at_provider(Provider::Duo)
        .flow(FlowIds::default())
        .factor(Factor::Push)
}

fn let_in(story: Story, id: &str) -> Story {
    story
        .after_seconds(3)
        .at_provider(Provider::Entra)
        .flow(flow(id))
        .factor(Factor::External)
        .event(Kind::Approved)
}

#[test]
fn entra_that_asks_for_duo_is_one_attempt_with_duos_answer() {
    asked("f1").event(Kind::Denied).with_attempts(|attempts| {
        let [attempt] = attempts else {
            panic!("{attempts:?}")
        };
        assert_eq!((attempt.result, attempt.events.len()), (Denied, 2));
        assert_eq!(attempt.provider, Provider::Duo);
        assert_eq!(attempt.factor, Some(Factor::Push));
    });
    let story = let_in(asked("f1").event(Kind::Approved), "f1");
    story.with_attempts(|attempts| {
        let [attempt] = attempts else {
            panic!("{attempts:?}")
        };
        assert_eq!((attempt.result, attempt.events.len()), (Approved, 3));
    });
}

#[test]
fn what_is_part_of_an_attempt_is_not_told_twice() {
    let story = let_in(asked("f1").event(Kind::Approved), "f1");
    story.with_timeline(|items| {
        let count: usize = items.iter().map(|item| item.events().len()).sum();
        assert_eq!((items.len(), count), (1, 3));
    });
}

#[test]
fn without_the_other_log_a_sign_in_stands_for_itself() {
    let story = at(Provider::Entra).factor(Factor::External);
    assert_eq!(results(story.clone().event(Kind::Approved)), [Approved]);
    // Nobody knows whether Duo was answered: that is no prompt left open.
    assert_eq!(results(story.external(Kind::PasswordAccepted)), []);
}

#[test]
fn another_place_time_or_outcome_is_another_sign_in() {
    let elsewhere = at(Provider::Duo)
        .event(Kind::Approved)
        .elsewhere()
        .at_provider(Provider::Entra)
        .factor(Factor::External)
        .event(Kind::Approved);
    assert_eq!(results(elsewhere).len(), 2);
    let later = let_in(asked("f1").event(Kind::Approved).after_minutes(20), "f1");
    assert_eq!(results(later).len(), 2);
    let contrary = let_in(asked("f1").event(Kind::Denied), "f1");
    assert_eq!(results(contrary), [Denied, Approved]);
}

#[test]
fn one_answer_does_not_swallow_several_sign_ins() {
    let two = at(Provider::Duo)
        .event(Kind::Approved)
        .at_provider(Provider::Entra)
        .factor(Factor::External)
        .flow(flow("f1"))
        .event(Kind::Approved)
        .after_seconds(40)
        .flow(flow("f2"))
        .event(Kind::Approved);
    assert_eq!(results(two), [Approved, Approved]);
}

#[test]
fn trap_3_rows_of_one_sign_in_at_entra_are_one_attempt_and_sign_ins_are_not_one() {
    let rows = at(Provider::Entra)
        .flow(flow("f1"))
        .event(Kind::Error)
        .after_seconds(10)
        .event(Kind::Denied)
        .after_seconds(5)
        .event(Kind::Denied);
    assert_eq!(results(rows), [Denied]);
    let sign_ins = at(Provider::Entra)
        .flow(flow("f1"))
        .event(Kind::Denied)
        .after_seconds(1)
        .flow(flow("f2"))
        .event(Kind::Denied);
    assert_eq!(results(sign_ins), [Denied, Denied]);
    // Asked again after a while, within the same flow: the person was asked again.
    let again = at(Provider::Entra)
        .flow(flow("f1"))
        .event(Kind::Unanswered)
        .after_minutes(1)
        .event(Kind::FraudReported);
    assert_eq!(results(again), [Unanswered, FraudReported]);
}

#[test]
fn trap_3_two_transactions_at_duo_are_two_attempts_however_near() {
    let transaction = |id: &str| FlowIds {
        transaction: Some(id.into()),
        ..FlowIds::default()
    };
    let story = at(Provider::Duo)
        .flow(transaction("t1"))
        .event(Kind::Denied)
        .after_seconds(1)
        .flow(transaction("t2"))
        .event(Kind::Denied);
    assert_eq!(results(story), [Denied, Denied]);
}

#[test]
fn another_providers_attempt_is_looked_for_within_five_minutes_and_no_further() {
    let attempts_of = |minutes| {
        let story = at(Provider::Duo)
            .factor(Factor::Push)
            .event(Kind::Approved)
            .after_minutes(minutes)
            .at_provider(Provider::Entra)
            .flow(flow("f1"))
            .factor(Factor::External)
            .event(Kind::Approved);
        results(story).len()
    };
    assert_eq!((attempts_of(4), attempts_of(7), attempts_of(90)), (1, 2, 2));
    let asked_later = |minutes| {
        let story = at(Provider::Entra)
            .flow(flow("f1"))
            .factor(Factor::External)
            .event(Kind::Approved)
            .after_minutes(minutes)
            .at_provider(Provider::Duo)
            .flow(FlowIds::default())
            .factor(Factor::Push)
            .event(Kind::Approved);
        results(story).len()
    };
    assert_eq!((asked_later(4), asked_later(7)), (1, 2));
}

#[test]
fn messages_and_calls_become_unanswered_by_their_own_providers_time() {
    for factor in [Factor::Sms, Factor::Voice] {
        let story = at(Provider::Auth0).factor(factor).prompt().after_minutes(9);
        let mut input = story.at_provider(Provider::Okta).prompt().denied().input();
        let results = |input: &crate::Input| {
            let (events, _) = crate::input::normalize(&input.mfa_events);
            crate::attempt::attempts(&events, &input.observed_until_ms)
                .iter()
                .map(|attempt| attempt.result)
                .collect::<Vec<_>>()
        };
        assert_eq!(results(&input)[0], Unanswered);
        // Okta's log is newer; Auth0's has not come so far.
        input.observed_until_ms.remove(&Provider::Auth0);
        assert_eq!(results(&input)[0], AttemptResult::Prompted);
    }
}

#[test]
fn seventeen_prompts_by_two_providers_are_one_incident() {
    let mut story = Story::new()
        .usual_sign_ins(14)
        .at("2026-03-20 02:00")
        .attacker();
    for number in 0..17 {
        let id = format!("f{number}");
        story = story
            .at_provider(Provider::Entra)
            .flow(flow(&id))
            .factor(Factor::External)
            .external(Kind::PasswordAccepted)
            .after_seconds(20)
            .at_provider(Provider::Duo)
            .flow(FlowIds::default())
            .factor(Factor::Push)
            .event(if number == 16 {
                Kind::Approved
            } else {
                Kind::Unanswered
            })
            .after_minutes(2);
    }
    let outcome = story.outcome();
    let [incident] = outcome.incidents.as_slice() else {
        panic!("{:?}", outcome.incidents)
    };
    assert_eq!(incident.attempts.len(), 17);
    assert!(incident.severity >= crate::Severity::High);
}
