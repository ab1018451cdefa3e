//! Tests of [`super`].

use super::*;
use crate::fact::EndpointFacts;
use crate::story::Story;

fn burst(story: Story, n: usize) -> Story {
    (0..n).fold(story, |story, _| story.prompt().denied().after_minutes(3))
}

fn bombed() -> Story {
    burst(
        Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:10")
            .attacker(),
        10,
    )
}

fn one(story: &Story) -> IncidentDraft {
    let mut incidents = story.outcome().incidents;
    assert_eq!(incidents.len(), 1);
    incidents.remove(0)
}

#[test]
fn the_title_tells_the_attack_in_its_order() {
    let story = bombed()
        .prompt()
        .approved()
        .after_minutes(6)
        .event(MfaEventKind::FactorEnrolled);
    assert_eq!(
        one(&story).title,
        "10 MFA prompts refused or ignored within 27 minutes, then one approved, then a factor change"
    );
}

#[test]
fn one_ignored_prompt_from_home_is_no_incident() {
    let story = Story::new()
        .usual_sign_ins(10)
        .at("2026-03-12 09:00")
        .prompt();
    assert_eq!(story.outcome().incidents, []);
}

#[test]
fn the_id_comes_from_the_first_event_alone() {
    let incident = one(&bombed());
    let first = incident.event_ids[0];
    assert_eq!(
        incident.id,
        IncidentId::derive(&[b"person", first.as_bytes()])
    );
    assert_eq!(one(&bombed().after_minutes(60).prompt()).id, incident.id);
}

#[test]
fn without_a_linked_endpoint_it_says_so() {
    let incident = one(&bombed());
    assert!(
        incident
            .gaps
            .iter()
            .any(|gap| gap.what.starts_with("no linked endpoint"))
    );
    assert!(incident.endpoints.is_empty());
}

#[test]
fn linked_endpoints_are_listed_in_a_fixed_order_with_what_they_lack() {
    let endpoint = |name: &str| LinkedEndpoint {
        id: EndpointId::from_public_key(name.as_bytes()),
        hostname: name.into(),
        is_claimed: false,
        stands: None,
        sends_flows: false,
        reporting: Vec::new(),
        gaps: Vec::new(),
        facts: EndpointFacts::default(),
    };
    let mut input = bombed().input();
    input.endpoints = vec![endpoint("b"), endpoint("a"), endpoint("b")];
    let incident = crate::correlate(&input).incidents.remove(0);
    let names: Vec<_> = incident
        .endpoints
        .iter()
        .map(|(_, name)| name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    let gaps: Vec<_> = incident.gaps.iter().map(|gap| gap.what.as_str()).collect();
    assert_eq!(
        gaps,
        [
            "endpoint a was not reporting",
            "endpoint a has no network flows that are matched yet",
            "endpoint b was not reporting",
            "endpoint b has no network flows that are matched yet",
        ]
    );
    assert_eq!(incident.attempts[0].provenance.reasons.len(), 2);
}

#[test]
fn what_is_missing_is_when_an_endpoint_did_not_report() {
    let span = |from: i64, until: i64| TimeSpan {
        from_ms: from,
        until_ms: until,
    };
    let parts = |reporting: &[TimeSpan]| {
        let silent = silent(reporting, span(10, 50)).into_iter();
        silent
            .map(|one| (one.from_ms, one.until_ms))
            .collect::<Vec<_>>()
    };
    assert_eq!(parts(&[]), [(10, 50)]);
    assert_eq!(parts(&[span(0, 5), span(60, 70)]), [(10, 50)]);
    assert_eq!(parts(&[span(0, 99)]), []);
    assert_eq!(parts(&[span(0, 30), span(20, 60)]), []);
    assert_eq!(parts(&[span(40, 60)]), [(10, 40)]);
    assert_eq!(parts(&[span(0, 20), span(30, 40)]), [(20, 30), (40, 50)]);
    let instant = silent(&[], span(10, 10));
    assert_eq!(instant, [span(10, 10)]);
}

#[test]
fn a_person_of_whom_little_is_known_has_a_gap() {
    let story = burst(Story::new().at("2026-03-12 02:10").attacker(), 10);
    let gaps = one(&story).gaps;
    assert!(
        gaps.iter().any(|gap| {
            gap.what == "what is usual for this person is not known: 0 sign-ins before this"
        }),
        "{gaps:?}"
    );
}

#[test]
fn prompts_that_may_still_be_answered_are_a_gap() {
    let story = bombed().prompt();
    let mut input = story.input();
    let last_ms = input
        .mfa_events
        .iter()
        .map(|event| event.time_ms)
        .max()
        .unwrap();
    input.observed_until_ms = [(Provider::Okta, last_ms)].into();
    let outcome = crate::correlate(&input);
    assert_eq!(outcome.next_change_ms, Some(last_ms + 5 * 60_000));
    let incident = &outcome.incidents[0];
    assert!(
        incident
            .gaps
            .iter()
            .any(|gap| gap.what == "1 prompt not answered yet")
    );
    assert_eq!(
        incident.attempts.last().map(|a| a.result),
        Some(AttemptResult::Prompted)
    );
}

#[test]
fn a_privileged_person_is_one_step_worse() {
    let story = burst(Story::new().at("2026-03-12 09:00").attacker(), 6);
    let plain = one(&story).severity;
    let privileged = one(&story.clone().privileged()).severity;
    assert!(privileged > plain, "{plain:?} {privileged:?}");
    let admin = Story::new()
        .at("2026-03-02 09:00")
        .event(MfaEventKind::AdminAccess);
    let story = burst(admin.at("2026-03-12 09:00").attacker(), 6);
    assert_eq!(
        one(&story).severity,
        privileged,
        "known by what they opened"
    );
    assert!(story.outcome().privileged);
}

#[test]
fn a_long_incident_lists_its_first_and_last_attempts() {
    let mut story = Story::new()
        .usual_sign_ins(10)
        .at("2026-03-12 02:10")
        .attacker();
    for _ in 0..ATTEMPTS_MAX + 50 {
        story = story.prompt().denied().after_seconds(30);
    }
    let incident = one(&story.prompt().approved());
    assert_eq!(incident.attempts.len(), ATTEMPTS_MAX);
    assert_eq!(
        incident.attempts.last().map(|a| a.result),
        Some(AttemptResult::Approved)
    );
    assert!(
        incident
            .gaps
            .iter()
            .any(|gap| gap.what.starts_with("51 attempts not listed"))
    );
}

#[test]
fn incidents_from_one_address_know_each_other() {
    let story = burst(bombed().at("2026-03-25 02:10"), 10);
    let incidents = story.outcome().incidents;
    assert_eq!(incidents.len(), 2);
    for (own, other) in [(0, 1), (1, 0)] {
        let related: Vec<_> = incidents[own]
            .related
            .iter()
            .map(|related| related.id)
            .collect();
        assert_eq!(related, [incidents[other].id]);
    }
}

#[test]
fn an_incident_goes_to_json_and_back() {
    let incident = one(&bombed().prompt().approved());
    let text = serde_json::to_string(&incident).unwrap();
    assert_eq!(
        serde_json::from_str::<IncidentDraft>(&text).unwrap(),
        incident
    );
}

#[test]
fn each_piece_of_evidence_points_at_events_of_the_incident() {
    let incident = one(&bombed()
        .prompt()
        .approved()
        .event(MfaEventKind::FactorEnrolled));
    assert!(incident.evidence.len() >= 4);
    for piece in &incident.evidence {
        assert!(!piece.event_ids.is_empty(), "{}", piece.kind);
        assert!(
            piece
                .event_ids
                .iter()
                .all(|id| incident.event_ids.contains(id)),
            "{}",
            piece.kind
        );
        assert!(piece.basis_detail.contains("base rate: "), "{}", piece.kind);
    }
}
