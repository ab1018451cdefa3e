//! Traps of judging providers' logs, each a test named after it. Traps of reading them stand beside the readers.

use crate::baseline::HOUR_MS;
use crate::input::{Input, MfaEvent, MfaEventKind as Kind, Origin, Provider};
use crate::story::{Story, ms};
use crate::{AttemptResult, IncidentDraft, Severity, correlate};

fn known() -> Story {
    Story::new().usual_sign_ins(10)
}

fn bombed(n: usize, minutes_apart: i64) -> Story {
    let story = known().at("2026-03-12 02:10").attacker();
    (0..n).fold(story, |story, _| {
        story.prompt().denied().after_minutes(minutes_apart)
    })
}

/// Incidents as they stand while only these events have arrived.
fn arrived(input: &Input, has: impl Fn(&MfaEvent) -> bool) -> Vec<IncidentDraft> {
    let mut so_far = input.clone();
    so_far.mfa_events.retain(has);
    correlate(&so_far).incidents
}

#[test]
fn trap_8_what_comes_late_makes_an_incident_begin_earlier_and_worse() {
    let whole = bombed(6, 3)
        .prompt()
        .approved()
        .after_minutes(4)
        .event(Kind::FactorEnrolled)
        .input();
    let from_ms = ms("2026-03-12 02:16");
    let is_first = |event: &MfaEvent| {
        event.time_ms < ms("2026-03-12 00:00")
            || (event.time_ms >= from_ms && event.kind != Kind::FactorEnrolled)
    };
    let [first] = &arrived(&whole, is_first)[..] else {
        panic!()
    };
    let [grown] = &arrived(&whole, |_| true)[..] else {
        panic!()
    };
    assert!(grown.first_event_time_ms < first.first_event_time_ms);
    assert!(
        grown.severity > first.severity,
        "{:?} {:?}",
        grown.severity,
        first.severity
    );
    assert_eq!(grown.severity, Severity::Critical);
    assert!(
        first
            .event_ids
            .iter()
            .all(|id| grown.event_ids.contains(id))
    );
}

#[test]
fn trap_8_a_feed_that_is_behind_keeps_a_prompt_open_and_says_so() {
    let mut input = known()
        .at("2026-03-12 02:10")
        .attacker()
        .prompt()
        .denied()
        .after_minutes(1)
        .prompt()
        .input();
    input
        .observed_until_ms
        .insert(Provider::Okta, ms("2026-03-12 02:11"));
    let open = correlate(&input);
    let result = |n: usize| open.incidents[0].attempts[n].result;
    assert_eq!(result(1), AttemptResult::Prompted);
    assert!(open.next_change_ms.is_some());
    input
        .observed_until_ms
        .insert(Provider::Okta, ms("2026-03-12 02:30"));
    assert_eq!(
        correlate(&input).incidents[0].attempts[1].result,
        AttemptResult::Unanswered
    );
}

#[test]
fn trap_9_no_boundary_of_time_splits_a_burst() {
    let story = bombed(10, 1);
    let expect = correlate(&story.input()).incidents;
    // Every minute of an hour, and a day's end, comes to lie within the burst once.
    for minutes in (0..60).chain([21 * 60 + 45, 21 * 60 + 48]) {
        let mut moved = story.input();
        for event in &mut moved.mfa_events {
            event.time_ms += minutes * 60_000;
        }
        for until_ms in moved.observed_until_ms.values_mut() {
            *until_ms += minutes * 60_000;
        }
        let [incident] = &correlate(&moved).incidents[..] else {
            panic!("{minutes}")
        };
        assert_eq!(incident.attempts.len(), 10, "{minutes}");
        let burst = |incident: &IncidentDraft| {
            let found = incident
                .evidence
                .iter()
                .find(|piece| piece.kind == "prompting_burst");
            found.map(|piece| piece.weight)
        };
        assert_eq!(burst(incident), burst(&expect[0]), "{minutes}");
    }
}

#[test]
fn trap_10_another_sign_in_from_there_that_day_hides_nothing() {
    let plain = bombed(8, 1).prompt().approved();
    let wide = plain.clone().at("2026-03-12 14:00").attacker().sign_in();
    assert_eq!(plain.severities(), [Severity::High]);
    assert!(wide.severities().contains(&Severity::High));
}

#[test]
fn trap_10_an_answer_that_failed_is_no_success() {
    for kind in [
        Kind::Denied,
        Kind::WrongNumber,
        Kind::WrongCode,
        Kind::Error,
        Kind::Unanswered,
    ] {
        let outcome = bombed(6, 2).prompt().answer(kind).outcome();
        let [incident] = &outcome.incidents[..] else {
            panic!("{kind:?}")
        };
        let approved = |kind: &str| incident.evidence.iter().any(|piece| piece.kind == kind);
        assert!(!approved("approval_after_prompts"), "{kind:?}");
        let results = incident.attempts.iter().map(|attempt| attempt.result);
        assert!(
            !results
                .clone()
                .any(|result| result == AttemptResult::Approved),
            "{kind:?}"
        );
    }
}

#[test]
fn trap_14_the_own_machine_behind_relays_and_carriers_is_no_alarm() {
    let home = known().prompt().events().pop().unwrap().origin;
    let mut story = known();
    for (hour, ip, asn, country) in [
        (8, [198, 51, 100, 20], 64_701, "PT"),
        (9, [198, 51, 100, 90], 64_702, "DE"),
        (12, [198, 51, 100, 160], 64_703, "CA"),
        (15, [203, 0, 113, 5], 64_704, "US"),
    ] {
        let mut relayed: Origin = home.clone();
        relayed.ip = Some(ip.into());
        relayed.asn = Some(asn);
        relayed.place.country = Some(country.into());
        relayed.place.city = None;
        story = story
            .at(&format!("2026-03-12 {hour:02}:00"))
            .from(relayed)
            .sign_in();
    }
    let severities = story.severities();
    assert!(
        severities.iter().all(|severity| *severity <= Severity::Low),
        "{severities:?}"
    );
}

#[test]
fn trap_15_nobody_is_told_to_reset_all_factors_and_blocking_comes_before_removing() {
    let outcome = bombed(6, 3)
        .prompt()
        .approved()
        .after_minutes(4)
        .event(Kind::FactorEnrolled)
        .outcome();
    let advice = &outcome.incidents[0].recommended_actions;
    let at = |word: &str| advice.iter().position(|step| step.action == word);
    assert!(at("block_sign_in") < at("remove_authenticators"));
    assert!(at("block_sign_in") < at("new_password") && at("block_sign_in").is_some());
    assert!(
        advice.iter().all(|step| !step.action.contains("reset")),
        "{advice:?}"
    );
    let remove = &advice[at("remove_authenticators").unwrap()];
    assert!(remove.text.contains("one by one"), "{}", remove.text);
}

#[test]
fn trap_16_a_reset_counts_for_whom_it_was_done_to_and_names_who_did_it() {
    let story = known()
        .at("2026-03-12 14:00")
        .by_help_desk(Kind::FactorReset)
        .after_minutes(4);
    let outcome = story
        .attacker()
        .event(Kind::FactorEnrolled)
        .after_minutes(1)
        .sign_in()
        .outcome();
    let [incident] = &outcome.incidents[..] else {
        panic!()
    };
    assert_eq!(incident.display_name, "Dana Reyes");
    let chain = incident
        .evidence
        .iter()
        .find(|piece| piece.kind == "help_desk_reset");
    assert!(chain.unwrap().summary.contains("helpdesk@example.com"));
}

#[test]
fn trap_17_a_revoked_session_that_goes_on_is_evidence_and_advice_says_that_access_lives_on() {
    let story = bombed(6, 2).prompt().approved().flow(crate::FlowIds {
        session: Some("s".into()),
        ..crate::FlowIds::default()
    });
    let story = story.after_minutes(20).event(Kind::SessionRevoked);
    let outcome = story.after_minutes(50).event(Kind::AppAccess).outcome();
    let incident = &outcome.incidents[0];
    let kinds: Vec<_> = incident
        .evidence
        .iter()
        .map(|piece| piece.kind.as_str())
        .collect();
    assert!(kinds.contains(&"session_after_revocation"), "{kinds:?}");
    let revoke = incident
        .recommended_actions
        .iter()
        .find(|step| step.action == "revoke_sessions");
    assert!(revoke.unwrap().reason.contains("outlive"), "{revoke:?}");
}

#[test]
fn trap_20_repeated_and_unordered_events_give_the_same_incident() {
    let input = bombed(6, 3).prompt().approved().input();
    let expect = correlate(&input);
    let mut other = input.clone();
    other.mfa_events.reverse();
    other
        .mfa_events
        .extend(input.mfa_events.iter().step_by(2).cloned());
    assert_eq!(correlate(&other), expect);
    assert!(
        expect.incidents[0].last_event_time_ms - expect.incidents[0].first_event_time_ms < HOUR_MS
    );
}
