//! A person's timeline -> episodes, the unit of belief.
//!
//! ```text
//! 25 prompts in an hour            ▮▮▮▮▮▮▮─────────────────────▶ open for a week
//! 2 prompts a day, six days        ▮──▮──▮──▮──▮──▮──────▶        one episode, not six
//! a prompt in May, one in June     ▮──▶            ▮──▶          two
//! ```
//!
//! A suspicious item opens an episode and keeps it open ([`open_until`]): two days each, adding up to a
//! week. What else happens while it is open and may follow from it becomes a member. So a burst and a slow
//! series need no rule each, no fixed window splits a series at a boundary, and what an attacker does days
//! after a burst still lands in its incident. The person's ordinary sign-ins in between are no members, but
//! for those after a reset by somebody else, which tell whose new factor it is.
//!
//! Most episodes are harmless: one ignored prompt opens one. Whether it becomes an incident is decided by
//! its evidence.

use std::collections::{BTreeSet, VecDeque};

use crate::attempt::AttemptResult;
use crate::baseline::{DAY_MS, Standing};
use crate::case::AFTER_RESET_MS;
use crate::input::{MfaEventKind, Origin, Risk};
use crate::timeline::{Item, open_until};

/// Wrong passwords from a stranger's place and machine belong to what follows within this time.
const GUESSED_MS: i64 = DAY_MS;
/// The newest of them that are kept.
const GUESSES_MAX: usize = 100;

/// Members of one episode, in time order, never empty.
#[derive(Debug)]
pub(crate) struct Episode<'t, 'a> {
    pub items: Vec<&'t Item<'a>>,
}

/// Cuts a timeline into episodes.
pub(crate) fn episodes<'t, 'a>(items: &'t [Item<'a>]) -> Vec<Episode<'t, 'a>> {
    let mut episodes: Vec<Episode<'t, 'a>> = Vec::new();
    let mut until_ms = i64::MIN;
    let mut sources = BTreeSet::new();
    let mut reset_ms = None;
    let mut guesses: VecDeque<&'t Item<'a>> = VecDeque::new();
    for item in items {
        let is_open = item.time_ms <= until_ms;
        let is_signal = is_signal(item);
        let is_guess = item.is_kind(MfaEventKind::PrimaryFailed) && item.is_foreign();
        if is_guess && !is_open {
            guesses.push_back(item);
            if guesses.len() > GUESSES_MAX {
                guesses.pop_front();
            }
        }
        if is_signal && !is_open {
            guesses.retain(|guess| item.time_ms - guess.time_ms <= GUESSED_MS);
            episodes.push(Episode {
                items: guesses.drain(..).collect(),
            });
            sources.clear();
            reset_ms = None;
            until_ms = i64::MIN;
        }
        if is_signal {
            until_ms = open_until(until_ms, item.time_ms);
        }
        if item.is_reset_by_other() {
            reset_ms = Some(item.time_ms);
        }
        let is_owners_return = item.is_approval()
            && item.is_usual()
            && reset_ms.is_some_and(|ms| item.end_ms() - ms <= AFTER_RESET_MS);
        if item.is_hostile {
            sources.extend(source(item.origin()));
        }
        if let Some(episode) = episodes.last_mut()
            && (is_signal || (is_open && (is_owners_return || may_follow(item, &sources))))
        {
            episode.items.push(item);
        }
    }
    episodes
}

/// An address and machine, as one value.
pub(crate) fn source(origin: &Origin) -> Option<String> {
    let ip = origin.ip?;
    let device = origin.device_token.as_ref().or(origin.device_id.as_ref());
    let device = device
        .or(origin.user_agent.as_ref())
        .map_or("", String::as_str);
    Some(format!("{ip} {device}"))
}

/// What opens an episode, or keeps it open.
fn is_signal(item: &Item<'_>) -> bool {
    if let Some(attempt) = item.attempt() {
        return match attempt.result {
            AttemptResult::Approved => item.place == Standing::Unusual,
            AttemptResult::Prompted => !item.is_usual(),
            AttemptResult::Error => attempt.has(MfaEventKind::PhishingBlocked),
            _ => item.is_refusal(),
        };
    }
    let Some(event) = item.event() else {
        return false;
    };
    match event.kind {
        MfaEventKind::SuspiciousReported => true,
        MfaEventKind::FactorReset | MfaEventKind::PasswordReset | MfaEventKind::BypassIssued => {
            event.is_by_other()
        }
        MfaEventKind::PasswordAccepted
        | MfaEventKind::FactorEnrolled
        | MfaEventKind::FactorRemoved
        | MfaEventKind::DeviceEnrolled => item.is_foreign(),
        // As an approval: where the answer is logged from the phone, the session says where the client is.
        MfaEventKind::SessionStarted | MfaEventKind::SessionMoved => {
            item.place == Standing::Unusual
        }
        _ => false,
    }
}

/// What belongs to an episode that is open.
fn may_follow(item: &Item<'_>, sources: &BTreeSet<String>) -> bool {
    let is_from_source = || source(item.origin()).is_some_and(|source| sources.contains(&source));
    if let Some(attempt) = item.attempt() {
        return match attempt.result {
            AttemptResult::Approved | AttemptResult::Error | AttemptResult::Prompted => {
                item.is_odd() || is_from_source()
            }
            _ => item.is_refusal(),
        };
    }
    let Some(event) = item.event() else {
        return false;
    };
    match event.kind {
        kind if kind.is_factor_change() => true,
        MfaEventKind::PasswordReset
        | MfaEventKind::PrivilegeGranted
        | MfaEventKind::SessionMoved
        | MfaEventKind::SessionRevoked
        | MfaEventKind::BypassAttempted => true,
        MfaEventKind::PasswordAccepted
        | MfaEventKind::SessionStarted
        | MfaEventKind::AppAccess
        | MfaEventKind::AdminAccess
        | MfaEventKind::PasswordChanged
        | MfaEventKind::PolicyDenied => item.is_odd() || is_from_source(),
        MfaEventKind::PrimaryFailed => item.is_foreign(),
        MfaEventKind::RiskReported => event.risk == Some(Risk::High),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;

    fn episodes(story: Story) -> Vec<usize> {
        story.with_timeline(|items| {
            super::episodes(items)
                .iter()
                .map(|episode| episode.items.len())
                .collect()
        })
    }

    #[test]
    fn two_prompts_a_day_are_one_episode() {
        let mut story = Story::new().usual_sign_ins(10).attacker();
        for day in 10..16 {
            story = story.at(&format!("2026-03-{day} 07:40")).prompt();
            story = story.at(&format!("2026-03-{day} 16:20")).prompt();
        }
        assert_eq!(episodes(story), [12]);
    }

    #[test]
    fn a_prompt_a_day_with_a_weekend_between_is_one_episode_once_it_is_warm() {
        let mut story = Story::new().usual_sign_ins(10).attacker();
        for day in [
            "2026-03-10",
            "2026-03-11",
            "2026-03-12",
            "2026-03-13",
            "2026-03-16",
        ] {
            story = story.at(&format!("{day} 08:00")).prompt();
        }
        assert_eq!(episodes(story), [5]);
    }

    #[test]
    fn ignored_prompts_weeks_apart_are_episodes_of_their_own() {
        let story = Story::new().usual_sign_ins(10).attacker();
        let story = story
            .at("2026-03-12 08:00")
            .prompt()
            .at("2026-03-25 08:00")
            .prompt();
        assert_eq!(episodes(story), [1, 1]);
    }

    #[test]
    fn the_persons_own_sign_ins_are_no_members() {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 08:00");
        let story = story.attacker().prompt().denied();
        let story = story.home().after_minutes(60).sign_in();
        assert_eq!(episodes(story), [1]);
    }

    #[test]
    fn a_burst_keeps_its_episode_open_for_a_week() {
        let mut story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:10")
            .attacker();
        for _ in 0..10 {
            story = story.prompt().denied().after_minutes(3);
        }
        let late = story
            .clone()
            .at("2026-03-18 12:00")
            .event(crate::MfaEventKind::FactorEnrolled);
        assert_eq!(episodes(late), [11]);
        let too_late = story.at("2026-03-20 12:00").home();
        assert_eq!(
            episodes(too_late.event(crate::MfaEventKind::FactorEnrolled)),
            [10]
        );
    }
}
