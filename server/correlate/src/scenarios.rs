//! Whole attacks and whole harmless mornings, with the severity they must get.
//!
//! Attack stories follow published cases; the harmless ones are what gives such rules a bad name.

use crate::story::Story;
use crate::{AttemptResult, Factor, MfaEventKind, Outcome, Severity, StageName};

fn known() -> Story {
    Story::new().usual_sign_ins(10)
}

fn stages(outcome: &Outcome) -> Vec<StageName> {
    outcome.incidents[0]
        .stages
        .iter()
        .map(|stage| stage.name)
        .collect()
}

/// Seventeen or more prompts over most of an hour, the last one approved.
fn pestered(story: Story) -> Story {
    let mut story = story.at("2026-03-12 02:00").attacker();
    for n in 0..17 {
        story = story
            .event(MfaEventKind::PasswordAccepted)
            .after_seconds(2)
            .prompt();
        story = if n % 5 < 2 {
            story.denied()
        } else {
            story.after_seconds(5)
        };
        story = story.after_seconds(120 + (n * 37) % 120);
    }
    story
        .event(MfaEventKind::PasswordAccepted)
        .after_seconds(2)
        .prompt()
        .approved()
}

fn a1(story: Story) -> Story {
    let story = pestered(story)
        .after_seconds(1)
        .event(MfaEventKind::SessionStarted);
    let mut story = story.after_minutes(6).event(MfaEventKind::FactorEnrolled);
    for _ in 0..5 {
        story = story.after_minutes(1).event(MfaEventKind::AppAccess);
    }
    story
}

#[test]
fn a1_pestered_until_approved_then_a_new_factor_is_critical() {
    let outcome = a1(known()).outcome();
    assert_eq!(outcome.incidents.len(), 1);
    let incident = &outcome.incidents[0];
    assert_eq!(incident.severity, Severity::Critical);
    assert_eq!(incident.attempts.len(), 18);
    let count = |result| {
        incident
            .attempts
            .iter()
            .filter(|a| a.result == result)
            .count()
    };
    assert_eq!(count(AttemptResult::Denied), 8);
    assert_eq!(count(AttemptResult::Unanswered), 9);
    assert_eq!(count(AttemptResult::Approved), 1);
    assert_eq!(
        stages(&outcome),
        [
            StageName::CredentialKnown,
            StageName::Prompting,
            StageName::Approved,
            StageName::FactorChanged,
        ]
    );
}

#[test]
fn a1_is_critical_for_a_person_never_seen_before() {
    assert_eq!(a1(Story::new()).severities(), [Severity::Critical]);
}

#[test]
fn a1_is_not_hidden_by_the_persons_own_sign_ins_in_the_middle() {
    let story = pestered(known().at("2026-03-12 02:20").home().sign_in());
    assert_eq!(story.severities(), [Severity::High]);
}

#[test]
fn a2_a_burst_that_the_person_reports_is_high_without_a_sign_in() {
    let mut story = known().at("2026-03-12 11:00").attacker();
    for _ in 0..25 {
        story = story.prompt().denied().after_seconds(5);
    }
    let story = story
        .home()
        .after_minutes(1)
        .event(MfaEventKind::SuspiciousReported);
    let outcome = story.outcome();
    assert_eq!(outcome.incidents.len(), 1);
    assert_eq!(outcome.incidents[0].severity, Severity::High);
    assert_eq!(stages(&outcome), [StageName::Prompting]);
}

/// Two ignored prompts a day from the twelfth.
fn slow(days: i64) -> Story {
    (0..days).fold(known().attacker(), |story, day| {
        let story = story.at(&format!("2026-03-{} 08:40", 12 + day)).prompt();
        story.at(&format!("2026-03-{} 17:10", 12 + day)).prompt()
    })
}

#[test]
fn a3_two_prompts_a_day_are_medium_by_the_third_day() {
    assert_eq!(slow(3).severities(), [Severity::Medium]);
}

#[test]
fn a3_the_approval_on_the_sixth_day_makes_it_high() {
    let story = slow(5)
        .at("2026-03-17 08:00")
        .prompt()
        .at("2026-03-17 08:55")
        .sign_in();
    let outcome = story.outcome();
    assert_eq!(outcome.incidents.len(), 1, "one incident over all days");
    assert_eq!(outcome.incidents[0].severity, Severity::High);
    assert_eq!(outcome.incidents[0].attempts.len(), 12);
}

#[test]
fn a3_is_found_though_the_person_signs_in_normally_every_day() {
    let mut story = slow(5);
    for day in 12..17 {
        story = story.at(&format!("2026-03-{day} 09:30")).home().sign_in();
    }
    let story = story.at("2026-03-17 08:55").attacker().sign_in();
    assert_eq!(story.severities(), [Severity::High]);
}

fn a4(story: Story) -> Story {
    story
        .at("2026-03-12 14:00")
        .by_help_desk(MfaEventKind::PasswordReset)
        .by_help_desk(MfaEventKind::FactorReset)
        .after_minutes(4)
        .attacker()
        .event(MfaEventKind::FactorEnrolled)
        .after_minutes(1)
        .event(MfaEventKind::SessionStarted)
        .after_minutes(40)
        .by_help_desk(MfaEventKind::PrivilegeGranted)
}

#[test]
fn a4_a_help_desk_call_is_critical_without_any_prompt() {
    let outcome = a4(known()).outcome();
    assert_eq!(outcome.incidents.len(), 1);
    assert_eq!(outcome.incidents[0].severity, Severity::Critical);
    assert_eq!(
        stages(&outcome),
        [StageName::Approved, StageName::FactorChanged]
    );
}

#[test]
fn a4_is_at_least_high_where_nothing_is_known_of_the_person() {
    let severities = a4(Story::new()).severities();
    assert!(
        severities.first() >= Some(&Severity::High),
        "{severities:?}"
    );
}

#[test]
fn a10_voice_calls_at_night_are_as_bad_as_pushes() {
    let mut story = known()
        .at("2026-03-12 01:00")
        .attacker()
        .factor(Factor::Voice);
    for _ in 0..12 {
        story = story.prompt().after_seconds(200);
    }
    let called = story.clone().severities();
    assert_eq!(called, [Severity::High]);
    assert_eq!(story.prompt().approved().severities(), [Severity::High]);
}

#[test]
fn b1_two_wrong_taps_and_a_right_one_are_no_incident() {
    let story = known()
        .at("2026-03-12 09:00")
        .prompt()
        .denied()
        .after_seconds(15);
    let story = story.prompt().denied().after_seconds(15).sign_in();
    assert_eq!(story.severities(), []);
}

#[test]
fn b1_is_no_incident_for_a_person_never_seen_before() {
    let story = Story::new()
        .at("2026-03-12 09:00")
        .prompt()
        .denied()
        .after_seconds(15);
    let story = story.prompt().denied().after_seconds(15).sign_in();
    assert_eq!(story.severities(), []);
}

#[test]
fn b3_a_new_phone_is_at_most_info() {
    let story = known()
        .at("2026-03-12 10:00")
        .by_help_desk(MfaEventKind::FactorReset)
        .after_minutes(8)
        .event(MfaEventKind::FactorEnrolled)
        .event(MfaEventKind::DeviceEnrolled)
        .after_minutes(1)
        .sign_in();
    let severities = story.severities();
    assert!(
        severities
            .iter()
            .all(|severity| *severity <= Severity::Info),
        "{severities:?}"
    );
}

#[test]
fn b3_a_new_phone_that_enrolls_itself_by_its_carrier_is_at_most_info() {
    let story = known()
        .at("2026-03-12 10:00")
        .by_help_desk(MfaEventKind::FactorReset)
        .after_minutes(8)
        .elsewhere()
        .event(MfaEventKind::FactorEnrolled)
        .after_minutes(1)
        .home()
        .sign_in();
    let severities = story.severities();
    assert!(
        severities
            .iter()
            .all(|severity| *severity <= Severity::Info),
        "{severities:?}"
    );
}

#[test]
fn b4_a_traveler_on_the_own_machine_is_low() {
    let story = known().at("2026-03-12 22:00").traveling().sign_in();
    assert_eq!(story.severities(), [Severity::Low]);
}

#[test]
fn b8_an_app_that_is_too_old_is_no_incident() {
    let mut story = known().at("2026-03-12 09:00");
    for _ in 0..6 {
        story = story
            .prompt()
            .answer(MfaEventKind::UpgradeNeeded)
            .after_minutes(1);
    }
    assert_eq!(story.factor(Factor::Totp).approved().severities(), []);
}

#[test]
fn ignored_prompts_now_and_then_are_no_incident() {
    let mut story = known();
    for day in [12, 15, 19, 20, 26] {
        story = story.at(&format!("2026-03-{day} 09:00")).prompt();
    }
    assert_eq!(story.severities(), []);
}

#[test]
fn four_denials_and_an_approval_from_a_new_network_at_three_in_the_morning_are_high() {
    let mut story = known().at("2026-03-12 03:00").attacker();
    for _ in 0..4 {
        story = story.prompt().denied().after_minutes(2);
    }
    assert_eq!(story.prompt().approved().severities(), [Severity::High]);
}

#[test]
fn a_factor_change_from_the_usual_place_without_hostile_prompts_sets_no_floor() {
    let story = known()
        .at("2026-03-12 09:00")
        .prompt()
        .denied()
        .after_minutes(2);
    let story = story
        .sign_in()
        .after_minutes(5)
        .event(MfaEventKind::FactorEnrolled);
    assert_eq!(story.severities(), []);
}

#[test]
fn rotating_addresses_do_not_hide_a_burst() {
    let mut story = known().at("2026-03-12 02:10").attacker();
    for n in 0..12_u8 {
        let mut origin = story.clone().prompt().events().pop().unwrap().origin;
        origin.ip = Some(core::net::IpAddr::from([203, 0, 113, n]));
        origin.asn = Some(65_000 + u32::from(n));
        origin.device_token = Some(format!("machine {n}"));
        story = story.from(origin).prompt().denied().after_minutes(4);
    }
    assert_eq!(
        story.elsewhere().prompt().approved().severities(),
        [Severity::High]
    );
}
