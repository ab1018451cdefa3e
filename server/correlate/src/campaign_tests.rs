//! Stories of many people.

use tocsin_proto::id::IdentityId;

use super::*;
use crate::correlate;
use crate::story::Story;

/// Person `n` of a company, prompted from the attacker's address at a minute of the night.
fn prompted(n: u8, minute: i64, approves: bool) -> Vec<IncidentDraft> {
    let story = Story::new()
        .usual_sign_ins(10)
        .at("2026-03-12 02:00")
        .after_minutes(minute);
    let story = story.attacker().prompt();
    person(
        n,
        if approves {
            story.approved()
        } else {
            story.denied()
        },
    )
}

/// The same story as somebody else's.
fn person(n: u8, story: Story) -> Vec<IncidentDraft> {
    let mut input = story.input();
    input.identity.id = IdentityId::derive(&[&[n]]);
    for (at, event) in input.mfa_events.iter_mut().enumerate() {
        event.id = MfaEventId::derive(&[&[n], &at.to_be_bytes()]);
    }
    correlate(&input).incidents
}

fn night(people: u8, minutes: i64) -> Vec<IncidentDraft> {
    (0..people)
        .flat_map(|n| prompted(n, i64::from(n) * minutes, n == 4))
        .collect()
}

#[test]
fn one_source_against_many_people_is_one_incident() {
    let drafts = night(8, 2);
    let found = campaigns(&drafts);
    assert_eq!(found.len(), 1);
    let campaign = found[0].campaign.as_ref().unwrap();
    assert_eq!(
        (
            campaign.people,
            campaign.members.iter().filter(|m| m.is_in).count()
        ),
        (8, 1)
    );
    assert!(found[0].severity >= Severity::High, "somebody let it in");
    assert_eq!(
        found[0].title,
        "One source, 203.0.113.66, prompted 8 people, 1 let in"
    );
}

#[test]
fn two_people_or_three_on_three_days_are_none() {
    assert!(campaigns(&night(2, 2)).is_empty());
    assert!(campaigns(&night(3, 24 * 60)).is_empty());
    assert!(
        campaigns(&night(3, 40)).is_empty(),
        "never three within an hour"
    );
}

#[test]
fn an_office_that_many_people_fail_at_is_none() {
    let refused = |n: u8| {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 10:00");
        person(
            n,
            story.prompt().denied().after_minutes(3).prompt().denied(),
        )
    };
    let drafts: Vec<IncidentDraft> = (0..9).flat_map(refused).collect();
    assert!(campaigns(&drafts).is_empty());
}

#[test]
fn whoever_is_touched_by_nothing_else_is_low_and_who_let_it_in_is_not() {
    let mut drafts = night(8, 2);
    let found = campaigns(&drafts);
    absorb(&mut drafts, &found);
    for draft in &drafts {
        let is_in = draft
            .stages
            .iter()
            .any(|stage| stage.name == StageName::Approved);
        assert_eq!(
            draft.severity > Severity::Low,
            is_in && draft.severity >= Severity::Medium
        );
        assert!(
            draft
                .related
                .iter()
                .any(|related| related.id == found[0].id)
        );
    }
}

#[test]
fn a_burst_on_one_of_them_keeps_its_own_severity() {
    let mut story = Story::new()
        .usual_sign_ins(10)
        .at("2026-03-12 02:03")
        .attacker();
    for _ in 0..9 {
        story = story.prompt().denied().after_minutes(3);
    }
    let burst = person(99, story.elsewhere().prompt().denied());
    let mut drafts = night(4, 2);
    drafts.extend(burst.clone());
    let found = campaigns(&drafts);
    absorb(&mut drafts, &found);
    let own = drafts
        .iter()
        .find(|draft| draft.subject == burst[0].subject)
        .unwrap();
    assert_eq!(own.severity, burst[0].severity);
}

#[test]
fn no_order_shows_and_the_second_pass_settles() {
    let mut drafts = night(9, 3);
    let found = campaigns(&drafts);
    let text = serde_json::to_string(&found).unwrap();
    drafts.reverse();
    assert_eq!(serde_json::to_string(&campaigns(&drafts)).unwrap(), text);
    absorb(&mut drafts, &found);
    let once = serde_json::to_string(&drafts).unwrap();
    assert_eq!(serde_json::to_string(&campaigns(&drafts)).unwrap(), text);
    absorb(&mut drafts, &found);
    assert_eq!(serde_json::to_string(&drafts).unwrap(), once);
}
