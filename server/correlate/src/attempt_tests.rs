//! Tests of [`super`].

use super::*;
use crate::input::FlowIds;
use crate::story::Story;

fn known() -> Story {
    Story::new().at("2026-03-12 09:00")
}

fn results(story: Story) -> Vec<AttemptResult> {
    story.with_attempts(|attempts| attempts.iter().map(|attempt| attempt.result).collect())
}

fn session(id: &str) -> FlowIds {
    FlowIds {
        session: Some(id.into()),
        ..FlowIds::default()
    }
}

fn request(id: &str) -> FlowIds {
    FlowIds {
        transaction: Some(id.into()),
        ..FlowIds::default()
    }
}

use AttemptResult::{
    Abandoned, Approved, Denied, Error, FraudReported, Prompted, Unanswered, WrongNumber,
};

#[test]
fn a_prompt_and_its_answer_are_one_attempt() {
    known().prompt().denied().with_attempts(|attempts| {
        let [attempt] = attempts else {
            panic!("{attempts:?}")
        };
        assert_eq!((attempt.result, attempt.events.len()), (Denied, 2));
        assert_eq!(attempt.result_time_ms, Some(attempt.time_ms + 5_000));
    });
}

#[test]
fn one_push_to_three_devices_is_one_attempt() {
    let story = known().prompt().prompt().after_seconds(2).prompt().denied();
    assert_eq!(results(story), [Denied]);
}

#[test]
fn a_quick_series_of_prompts_does_not_flow_together() {
    let mut story = known();
    for _ in 0..5 {
        story = story.prompt().after_seconds(3);
    }
    assert_eq!(results(story).len(), 5);
}

#[test]
fn prompts_from_two_addresses_at_once_are_two_attempts() {
    let story = known().prompt().attacker().prompt();
    assert_eq!(results(story).len(), 2);
}

#[test]
fn several_rows_of_one_denial_answer_one_prompt() {
    let story = known().prompt().after_minutes(1).prompt().denied();
    let story = story.after_seconds(1).event(MfaEventKind::Error);
    assert_eq!(results(story), [Unanswered, Denied]);
}

#[test]
fn an_answer_goes_to_the_newest_prompt_it_fits() {
    let story = known()
        .prompt()
        .after_seconds(20)
        .prompt()
        .after_seconds(20)
        .prompt()
        .denied();
    assert_eq!(results(story), [Unanswered, Unanswered, Denied]);
}

#[test]
fn what_ran_out_goes_to_the_oldest_prompt_it_fits() {
    let story = known()
        .prompt()
        .after_seconds(60)
        .prompt()
        .after_seconds(60);
    let story = story.event(MfaEventKind::Abandoned).after_minutes(20);
    assert_eq!(results(story), [Abandoned, Unanswered]);
}

#[test]
fn ids_decide_before_time() {
    let story = known().flow(session("one")).prompt().after_seconds(30);
    let story = story.flow(session("two")).prompt().after_seconds(30);
    let story = story.flow(session("one")).event(MfaEventKind::Approved);
    assert_eq!(results(story), [Approved, Unanswered]);
}

#[test]
fn an_answer_of_another_session_address_or_factor_is_another_sign_in() {
    let other_session = known()
        .flow(session("one"))
        .prompt()
        .flow(session("two"))
        .approved();
    assert_eq!(results(other_session).len(), 2);
    let other_address = known().attacker().prompt().home().approved();
    assert_eq!(results(other_address).len(), 2);
    let other_factor = known().prompt().factor(Factor::Totp).approved();
    assert_eq!(results(other_factor).len(), 2);
}

#[test]
fn ids_that_differ_within_one_sign_in_do_not_part_it() {
    let request = |id: &str| FlowIds {
        authentication: Some(id.into()),
        ..FlowIds::default()
    };
    let story = known()
        .flow(request("a"))
        .prompt()
        .flow(request("b"))
        .denied();
    assert_eq!(results(story), [Denied], "the same address and machine");
    let story = known()
        .flow(request("a"))
        .prompt()
        .elsewhere()
        .flow(request("b"))
        .denied();
    assert_eq!(results(story).len(), 2);
}

#[test]
fn a_factor_that_is_not_told_fits_any() {
    assert_eq!(
        results(known().prompt().factor(Factor::Other).denied()),
        [Denied]
    );
}

#[test]
fn an_answer_from_the_phones_address_is_found_by_its_session() {
    let story = known().flow(session("one")).prompt().elsewhere().approved();
    story.with_attempts(|attempts| {
        let [attempt] = attempts else {
            panic!("{attempts:?}")
        };
        assert_eq!(attempt.result, Approved);
        assert_eq!(
            attempt.origin.ip,
            Some("192.0.2.10".parse().unwrap()),
            "the sign-in's"
        );
    });
}

#[test]
fn one_request_joins_what_comes_late() {
    let story = known()
        .flow(request("r"))
        .prompt()
        .after_minutes(8)
        .approved();
    assert_eq!(results(story), [Approved]);
}

#[test]
fn an_approval_without_a_prompt_is_an_attempt() {
    assert_eq!(results(known().factor(Factor::Totp).approved()), [Approved]);
    assert_eq!(
        results(known().answer(MfaEventKind::FraudReported)),
        [FraudReported]
    );
}

#[test]
fn where_rows_disagree_what_let_somebody_in_wins() {
    let story = known()
        .flow(request("r"))
        .prompt()
        .denied()
        .after_seconds(1);
    assert_eq!(results(story.event(MfaEventKind::Approved)), [Approved]);
    let story = known()
        .flow(request("r"))
        .prompt()
        .answer(MfaEventKind::WrongNumber);
    assert_eq!(results(story.event(MfaEventKind::Error)), [WrongNumber]);
}

#[test]
fn failures_that_nobody_decided_are_errors() {
    for kind in [
        MfaEventKind::WrongCode,
        MfaEventKind::UpgradeNeeded,
        MfaEventKind::Error,
    ] {
        assert_eq!(results(known().prompt().answer(kind)), [Error]);
    }
}

#[test]
fn a_prompt_becomes_unanswered_when_the_feed_has_passed_it() {
    let input = known().prompt().input();
    let (events, _) = crate::input::normalize(&input.mfa_events);
    let sent_ms = events[0].time_ms;
    let result = |until_ms: i64| {
        attempts(&events, &[(Provider::Okta, until_ms)].into())
            .remove(0)
            .result
    };
    assert_eq!(result(sent_ms), Prompted);
    assert_eq!(result(sent_ms + UNANSWERED_AFTER_MS - 1), Prompted);
    assert_eq!(result(sent_ms + UNANSWERED_AFTER_MS), Unanswered);
    assert_eq!(
        attempts(&events, &BTreeMap::new()).remove(0).result,
        Prompted
    );
}

#[test]
fn a_row_of_the_same_sign_in_tells_what_the_prompt_does_not() {
    let seen_new = Novelty {
        device: Some(true),
        ..Novelty::default()
    };
    let story = known()
        .novelty(seen_new)
        .event(MfaEventKind::ChallengeRequired);
    let mut bare = story.clone().after_seconds(1).novelty(Novelty::default());
    bare = bare.from(Origin {
        ip: Some("192.0.2.10".parse().unwrap()),
        ..Origin::default()
    });
    bare.prompt().with_attempts(|attempts| {
        assert_eq!(attempts[0].novelty, seen_new);
        assert_eq!(attempts[0].origin.device_token.as_deref(), Some("laptop"));
    });
}

#[test]
fn every_prompt_and_answer_is_in_exactly_one_attempt() {
    let mut story = known();
    for n in 0..40 {
        story = story.prompt().after_seconds(n % 7);
        story = if n % 3 == 0 {
            story.denied()
        } else {
            story.after_seconds(11)
        };
        story = if n % 5 == 0 {
            story.attacker().approved()
        } else {
            story.home()
        };
    }
    let count = story.events().len();
    story.with_attempts(|attempts| {
        let mut ids: Vec<_> = attempts
            .iter()
            .flat_map(|a| &a.events)
            .map(|event| event.id)
            .collect();
        assert_eq!(ids.len(), count);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    });
}
