//! Stories of many people.

use tocsin_proto::id::IdentityId;

use super::*;
use crate::story::Story;
use crate::{Outcome, correlate};

/// Person `n` of a company, prompted from the attacker's address at a minute of the night.
fn prompted(n: u8, minute: i64, approves: bool) -> Outcome {
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
fn person(n: u8, story: Story) -> Outcome {
    let mut input = story.input();
    input.identity.id = IdentityId::derive(&[&[n]]);
    for (at, event) in input.mfa_events.iter_mut().enumerate() {
        event.id = MfaEventId::derive(&[&[n], &at.to_be_bytes()]);
    }
    correlate(&input)
}

fn night(people: u8, minutes: i64) -> Vec<Outcome> {
    (0..people)
        .map(|n| prompted(n, i64::from(n) * minutes, n == 4))
        .collect()
}

fn sightings_of(outcomes: &[Outcome]) -> Vec<Sighting> {
    let all = outcomes.iter().flat_map(|outcome| &outcome.sightings);
    all.cloned().collect()
}

/// Both passes: the campaigns, and everybody's incidents with what they are part of.
fn settled(outcomes: &[Outcome]) -> (Vec<IncidentDraft>, Vec<IncidentDraft>) {
    let sightings = sightings_of(outcomes);
    let found = campaigns(&sightings);
    let parts = memberships(&found, &sightings);
    let mut drafts: Vec<IncidentDraft> = outcomes
        .iter()
        .flat_map(|outcome| outcome.incidents.clone())
        .collect();
    absorb(&mut drafts, &parts);
    (found, drafts)
}

#[test]
fn one_source_against_many_people_is_one_incident() {
    let found = campaigns(&sightings_of(&night(8, 2)));
    assert_eq!(found.len(), 1);
    let campaign = found[0].campaign.as_ref().unwrap();
    let entered: Vec<_> = campaign.members.iter().filter(|m| m.is_in).collect();
    assert_eq!((campaign.people, entered.len()), (8, 1));
    assert_eq!(entered[0].identity, IdentityId::derive(&[&[4]]));
    assert!(found[0].severity >= Severity::High, "somebody let it in");
    assert_eq!(
        found[0].title,
        "One source, 203.0.113.66, prompted 8 people, 1 of them let it in"
    );
    assert!(found[0].attempts.iter().all(|one| one.whose.is_some()));
    assert_eq!(found[0].recommended_actions[0].action, "contain_members");
    assert!(
        found[0].gaps[0]
            .what
            .starts_with("no linked endpoint for 8")
    );
}

#[test]
fn whoever_has_no_incident_of_their_own_is_a_member_too() {
    let mut outcomes = night(3, 2);
    for outcome in &mut outcomes {
        outcome.incidents.clear();
        for sighting in &mut outcome.sightings {
            sighting.incident = None;
        }
    }
    let found = campaigns(&sightings_of(&outcomes));
    assert_eq!(found[0].campaign.as_ref().unwrap().people, 3);
    assert!(found[0].related.is_empty());
}

#[test]
fn two_people_or_three_on_three_days_are_none() {
    let none = |outcomes: &[Outcome]| campaigns(&sightings_of(outcomes)).is_empty();
    assert!(none(&night(2, 2)));
    assert!(none(&night(3, 24 * 60)));
    assert!(none(&night(3, 40)), "never three within an hour");
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
    let outcomes: Vec<Outcome> = (0..9).map(refused).collect();
    assert!(campaigns(&sightings_of(&outcomes)).is_empty());
}

#[test]
fn whoever_is_touched_by_nothing_else_is_low_and_who_let_it_in_is_not() {
    let (found, drafts) = settled(&night(8, 2));
    assert!(!drafts.is_empty());
    for draft in &drafts {
        let is_in = draft
            .stages
            .iter()
            .any(|stage| stage.name == StageName::Approved);
        assert_eq!(
            draft.severity > Severity::Low,
            is_in && draft.severity >= Severity::Medium
        );
        let campaign = draft.related.iter().find(|one| one.relation == "campaign");
        assert_eq!(campaign.unwrap().id, found[0].id);
        let member = found[0].related.iter().find(|one| one.id == draft.id);
        assert_eq!(member.unwrap().relation, "member");
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
    let own = burst.incidents[0].clone();
    let mut outcomes = night(4, 2);
    outcomes.push(burst);
    let (_, drafts) = settled(&outcomes);
    let after = drafts.iter().find(|draft| draft.id == own.id).unwrap();
    assert_eq!(after.severity, own.severity);
}

#[test]
fn what_one_person_shows_is_bounded_from_one_source_and_from_all() {
    let burst = |story: Story, count: usize| {
        (0..count).fold(story, |story, _| story.after_minutes(2).prompt().denied())
    };
    let story = Story::new().usual_sign_ins(10).at("2026-03-12 02:03");
    let outcome = person(1, burst(story.attacker(), 90));
    let kept = &outcome.sightings;
    assert_eq!(kept.len(), SIGHTINGS_OF_ONE);
    assert!(kept.is_sorted_by_key(|sighting| sighting.attempt.time_ms));
    let attempts = &outcome.incidents[0].attempts;
    assert_eq!(
        [kept[0].attempt.id, kept[kept.len() - 1].attempt.id],
        [attempts[0].id, attempts[attempts.len() - 1].id]
    );
}

#[test]
fn no_order_shows_and_the_second_pass_settles() {
    let outcomes = night(9, 3);
    let mut sightings = sightings_of(&outcomes);
    let (found, drafts) = settled(&outcomes);
    sightings.reverse();
    assert_eq!(campaigns(&sightings), found);
    let mut again = drafts.clone();
    absorb(&mut again, &memberships(&found, &sightings));
    assert_eq!(again, drafts);
}
