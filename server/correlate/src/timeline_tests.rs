//! Tests of [`super`].

use super::*;
use crate::story::Story;

fn known() -> Story {
    Story::new().usual_sign_ins(10).at("2026-03-12 09:00")
}

fn burst(story: Story, n: usize, seconds_apart: i64) -> Story {
    (0..n).fold(story, |story, _| {
        story.prompt().denied().after_seconds(seconds_apart - 5)
    })
}

/// How many refusals there are, and how many of them are hostile.
fn hostile(story: Story) -> (usize, usize) {
    story.with_timeline(|items| {
        let refusals: Vec<_> = items.iter().filter(|item| item.is_refusal()).collect();
        (
            refusals.len(),
            refusals.iter().filter(|item| item.is_hostile).count(),
        )
    })
}

#[test]
fn a_retry_from_the_usual_place_and_machine_closes_what_it_repeats() {
    let story = known()
        .prompt()
        .denied()
        .after_seconds(20)
        .prompt()
        .denied();
    assert_eq!(hostile(story.clone()), (2, 0));
    assert_eq!(hostile(story.after_seconds(20).prompt().approved()), (0, 0));
}

#[test]
fn a_success_closes_only_prompts_from_the_same_place_and_machine() {
    let story = known().attacker().prompt().denied().after_seconds(30);
    assert_eq!(hostile(story.home().prompt().approved()), (1, 1));
}

#[test]
fn a_success_where_neither_is_usual_closes_nothing() {
    let story = known().attacker().prompt().denied().after_seconds(30);
    assert_eq!(hostile(story.prompt().approved()), (1, 1));
}

#[test]
fn a_success_long_after_closes_nothing() {
    let story = known().prompt().denied().after_minutes(45);
    assert_eq!(hostile(story.prompt().approved()), (1, 0));
}

#[test]
fn too_many_for_a_retry_are_not_closed() {
    let story = burst(known(), 5, 60);
    assert_eq!(hostile(story.prompt().approved()), (5, 0));
    let story = burst(known(), 8, 60);
    assert_eq!(hostile(story.prompt().approved()), (8, 8));
}

#[test]
fn several_at_an_hour_that_is_not_the_persons_are_not_closed() {
    let story = burst(known().at("2026-03-12 03:00"), 3, 60);
    assert_eq!(hostile(story.prompt().approved()), (3, 3));
}

#[test]
fn five_an_hour_are_hostile_where_nothing_is_known() {
    assert_eq!(hostile(burst(Story::new(), 4, 60)), (4, 0));
    assert_eq!(hostile(burst(Story::new(), 5, 60)), (5, 5));
}

#[test]
fn one_a_minute_past_the_hour_is_counted_with_those_before_it() {
    let story = burst(Story::new().at("2026-03-12 01:57"), 5, 120);
    assert_eq!(hostile(story), (5, 5));
}

#[test]
fn a_scripted_client_is_hostile_by_itself() {
    let story = known().user_agent("python-requests/2.31").prompt().denied();
    assert_eq!(hostile(story), (1, 1));
}

#[test]
fn ten_a_week_from_a_strange_machine_are_hostile_though_the_place_is_usual() {
    let home = known().home().events().pop().unwrap().origin;
    let other = Origin {
        device_token: Some("other".into()),
        os: Some("Windows".into()),
        ..home
    };
    let mut story = known().from(other);
    for day in 12..17 {
        story = story.at(&format!("2026-03-{day} 09:00")).prompt();
        story = story.at(&format!("2026-03-{day} 13:00")).prompt();
    }
    assert_eq!(hostile(story), (10, 10));
}

#[test]
fn an_attackers_success_does_not_become_usual() {
    let mut story = burst(known().attacker(), 6, 60).prompt().approved();
    for day in 13..19 {
        story = story.at(&format!("2026-03-{day} 09:00")).sign_in();
    }
    let standings = story.with_timeline(|items| {
        items
            .iter()
            .map(|item| (item.place, item.device))
            .next_back()
            .unwrap()
    });
    assert_eq!(standings, (Standing::Unusual, Standing::Unusual));
}

#[test]
fn the_providers_seen_before_is_not_believed_of_an_attacker() {
    let seen = Novelty {
        device: Some(false),
        address: Some(false),
        place: Some(false),
        ..Novelty::default()
    };
    let story = burst(Story::new().attacker(), 6, 60)
        .novelty(seen)
        .prompt()
        .approved();
    let place = story.with_timeline(|items| items.last().map(|item| item.place));
    assert_eq!(place, Some(Standing::Unknown));
}

#[test]
fn a_journey_with_the_own_machine_becomes_usual() {
    let story = known().traveling().sign_in().after_minutes(300).sign_in();
    let places: Vec<_> = story.with_timeline(|items| {
        let traveled = items.iter().rev().filter(|item| item.is_approval()).take(2);
        traveled.map(|item| item.place).collect()
    });
    assert_eq!(places, [Standing::Usual, Standing::Unusual]);
}

#[test]
fn what_the_help_desk_does_says_nothing_of_the_persons_place() {
    let story = known().by_help_desk(MfaEventKind::FactorReset);
    let place = story.with_timeline(|items| items.last().map(|item| item.place));
    assert_eq!(place, Some(Standing::Unknown));
}

#[test]
fn windows_slide() {
    assert_eq!(most_within(&[0, 1, 2, 10, 11], 5), [3, 3, 3, 2, 2]);
    assert_eq!(most_within(&[0, 4, 8], 4), [2, 2, 2]);
    assert_eq!(most_within(&[0, 5, 6, 7], 5), [2, 3, 3, 3]);
    assert_eq!(most_within(&[], 5), [0; 0]);
}

#[test]
fn windows_hold_what_a_plain_count_finds() {
    let times: Vec<i64> = (0..200_i64).map(|n| n * n % 977).collect();
    let mut times = times;
    times.sort_unstable();
    let plain: Vec<usize> = times
        .iter()
        .map(|time| {
            let windows = times
                .iter()
                .filter(|start| (0..=40).contains(&(time - *start)));
            windows
                .map(|start| {
                    times
                        .iter()
                        .filter(|t| (0..=40).contains(&(*t - start)))
                        .count()
                })
                .max()
                .unwrap()
        })
        .collect();
    assert_eq!(most_within(&times, 40), plain);
}

#[test]
fn an_episode_stays_open_for_a_week_at_most() {
    assert_eq!(open_until(i64::MIN, 0), 2 * DAY_MS);
    assert_eq!(open_until(2 * DAY_MS, DAY_MS), 4 * DAY_MS);
    assert_eq!(
        (0..50).fold(i64::MIN, |until, _| open_until(until, 0)),
        7 * DAY_MS
    );
}
