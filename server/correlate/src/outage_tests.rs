//! Tests of outages: what is one, and what it explains.

use super::*;
use crate::severity::Severity;
use crate::story::{Story, ms};

const FROM: &str = "2026-03-12 09:00";

fn failure(person: u32, time_ms: i64) -> Failure {
    Failure {
        time_ms,
        provider: Provider::Okta,
        subject: IdentityId::derive(&[&person.to_be_bytes()]),
        attempt: MfaEventId::derive(&[&person.to_be_bytes(), &time_ms.to_be_bytes()]),
    }
}

fn found(people: u32, approvals: u64) -> Vec<(i64, usize)> {
    let start_ms = ms(FROM);
    let failures: Vec<Failure> = (0..people)
        .map(|n| failure(n, start_ms + i64::from(n) * 1_000))
        .collect();
    let approvals = BTreeMap::from([(start_ms, approvals)]);
    let span = (Provider::Okta, start_ms - 3_600_000, start_ms + 3_600_000);
    let outages = outages(span, &failures, &approvals);
    outages
        .iter()
        .map(|one| (one.from_ms - start_ms, one.people))
        .collect()
}

#[test]
fn many_people_and_few_that_get_through_are_an_outage() {
    assert_eq!(found(4, 0), []);
    assert_eq!(found(7, 2), [(-300_000, 5), (0, 5), (300_000, 5)]);
    assert_eq!(found(23, 23).len(), 3);
    assert_eq!(found(23, 24), []);
}

#[test]
fn one_persons_loop_and_another_providers_failures_are_none() {
    let start_ms = ms(FROM);
    let loops: Vec<Failure> = (0..40).map(|n| failure(1, start_ms + n * 1_000)).collect();
    let span = |provider| (provider, start_ms, start_ms + 600_000);
    assert_eq!(outages(span(Provider::Okta), &loops, &BTreeMap::new()), []);
    let many: Vec<Failure> = (0..40).map(|n| failure(n, start_ms)).collect();
    assert_eq!(outages(span(Provider::Duo), &many, &BTreeMap::new()), []);
}

#[test]
fn a_time_lies_in_one_step_before_1970_too() {
    assert_eq!(outage_step(299_999), 0);
    assert_eq!(outage_step(-1), -300_000);
}

/// Prompts that nobody answered within half an hour.
fn ignored(story: Story, times: usize) -> Story {
    (0..times).fold(story, |story, _| {
        story
            .prompt()
            .answer(MfaEventKind::Unanswered)
            .after_minutes(4)
    })
}

fn out() -> Vec<Outage> {
    let from_ms = ms(FROM);
    (0..12)
        .map(|n| Outage {
            from_ms: from_ms + n * OUTAGE_STEP_MS,
            provider: Provider::Okta,
            people: 20,
        })
        .collect()
}

fn known() -> Story {
    Story::new().usual_sign_ins(10).at(FROM)
}

#[test]
fn an_outage_takes_the_number_of_prompts_away_from_what_is_hostile() {
    let story = ignored(known().nameless_machine(), 7).prompt().approved();
    let alone = story.clone().severities();
    assert!(alone.contains(&Severity::High), "{alone:?}");
    let explained = story.outages(out()).severities();
    assert!(
        explained.iter().all(|severity| *severity <= Severity::Low),
        "{explained:?}"
    );
}

#[test]
fn an_outage_changes_nothing_of_what_comes_from_a_strange_place() {
    let story = ignored(known().attacker(), 7).prompt().approved();
    assert_eq!(
        story.clone().outages(out()).severities(),
        story.severities()
    );
}

#[test]
fn what_fails_does_not_depend_on_outages() {
    let story = ignored(known(), 3);
    let without = story.clone().outcome().failures;
    assert_eq!(without.len(), 3);
    assert_eq!(story.outages(out()).outcome().failures, without);
}
