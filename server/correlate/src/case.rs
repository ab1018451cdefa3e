//! One episode with the questions that every kind of evidence asks about it, answered once.

use std::collections::BTreeMap;

use tocsin_proto::id::MfaEventId;

use crate::attempt::{Attempt, AttemptResult};
use crate::baseline::{DAY_MS, HOUR_MS, Standing, same_device, same_place};
use crate::episode::Episode;
use crate::input::{MfaEventKind, Origin, TimeSpan};
use crate::provenance::{Confidence, Judged, Judgements, ProvenanceVerdict, Sight};
use crate::stage::{Stage, StageName};
use crate::timeline::Item;

/// A success that is not from a hostile source counts as its consequence within this time.
const CONSEQUENCE_MS: i64 = HOUR_MS;
/// A sign-in or enrollment follows from a reset within this time.
pub(crate) const AFTER_RESET_MS: i64 = DAY_MS;

/// A device of the person's at a place says something of others there within this time.
const NEAR_MS: i64 = 4 * DAY_MS;

/// An episode, with what follows from it.
#[derive(Debug)]
pub(crate) struct Case<'t, 'a> {
    /// Members in time order.
    pub items: Vec<&'t Item<'a>>,
    /// Refused or ignored prompts that no retry explains.
    pub refusals: Vec<&'t Item<'a>>,
    /// Of these the hostile ones.
    pub hostile: Vec<&'t Item<'a>>,
    /// Sign-ins that hostile prompts led to.
    pub confirmed: Vec<&'t Item<'a>>,
    /// Changes to the ways of signing in.
    pub factor_changes: Vec<&'t Item<'a>>,
    /// Where each attempt's traffic was seen.
    pub judgements: &'t Judgements,
}

impl<'t, 'a> Case<'t, 'a> {
    pub(crate) fn new(episode: Episode<'t, 'a>, judgements: &'t Judgements) -> Self {
        let items = episode.items;
        let pick = |keep: &dyn Fn(&Item<'a>) -> bool| -> Vec<&'t Item<'a>> {
            items.iter().copied().filter(|item| keep(item)).collect()
        };
        let refusals = pick(&|item| item.is_refusal());
        let hostile = pick(&|item| item.is_hostile && item.is_refusal());
        let factor_changes = pick(&|item| {
            item.event()
                .is_some_and(|event| event.kind.is_factor_change())
        });
        let confirmed = confirmed(&items, &hostile);
        Self {
            items,
            refusals,
            hostile,
            confirmed,
            factor_changes,
            judgements,
        }
    }

    /// Time of the first event.
    pub(crate) fn first_ms(&self) -> i64 {
        self.items.first().map_or(0, |item| item.time_ms)
    }

    /// Time of the last stored event.
    pub(crate) fn last_ms(&self) -> i64 {
        let events = self.items.iter().flat_map(|item| item.events());
        events.map(|event| event.time_ms).max().unwrap_or(0)
    }

    pub(crate) fn of_kind(&self, kind: MfaEventKind) -> impl Iterator<Item = &'t Item<'a>> {
        self.items
            .iter()
            .copied()
            .filter(move |item| item.is_kind(kind))
    }

    /// When hostile prompts first led to a sign-in.
    pub(crate) fn confirmed_ms(&self) -> Option<i64> {
        self.confirmed.iter().map(|item| item.end_ms()).min()
    }

    /// A factor change after hostile prompts led to a sign-in.
    pub(crate) fn change_after_approval(&self) -> Option<&'t Item<'a>> {
        let from_ms = self.confirmed_ms()?;
        self.factor_changes
            .iter()
            .copied()
            .find(|item| item.time_ms >= from_ms)
    }

    /// Resets and bypasses that somebody else than the account's owner made.
    pub(crate) fn resets_by_others(&self) -> Vec<&'t Item<'a>> {
        self.items
            .iter()
            .copied()
            .filter(|item| item.is_reset_by_other())
            .collect()
    }

    /// Enrollments and sign-ins within a day after a reset by others, from where the person is not
    /// usual.
    pub(crate) fn after_reset(&self) -> Vec<&'t Item<'a>> {
        let resets = self.resets_by_others();
        let follows = |item: &Item<'a>| {
            resets.iter().any(|reset| {
                let after_ms = item.end_ms() - reset.time_ms;
                (0..=AFTER_RESET_MS).contains(&after_ms)
            })
        };
        let is_entry = |item: &Item<'a>| {
            item.is_sign_in()
                || item.is_kind(MfaEventKind::FactorEnrolled)
                || item.is_kind(MfaEventKind::DeviceEnrolled)
        };
        self.items
            .iter()
            .copied()
            .filter(|item| is_entry(item) && !item.is_by_other() && item.place != Standing::Usual)
            .filter(|item| follows(item))
            .collect()
    }

    /// Its attempts with their provenance.
    pub(crate) fn judged(&self) -> Vec<(&'t Item<'a>, &'t Judged)> {
        let of = |item: &'t Item<'a>| Some((item, self.judgements.of(item.attempt()?)?));
        self.items.iter().copied().filter_map(of).collect()
    }

    /// The same without attempts from where and with what the person usually signs in, which only happened meanwhile,
    /// and without sign-ins on phones and prompts of the person's own one: no phone is an endpoint, so that none was
    /// seen on one says nothing.
    pub(crate) fn suspects(&self) -> Vec<(&'t Item<'a>, &'t Judged)> {
        let mut judged = self.judged();
        judged.retain(|(item, _)| is_suspect_prompt(item) || (item.is_odd() && !item.is_mobile()));
        judged
    }

    /// Attempts while a session of the person was in use at another address, and where: the suspects, and sign-ins on
    /// phones from a country in which the person never was.
    pub(crate) fn while_in_use_elsewhere(&self) -> Vec<(&'t Item<'a>, &'t Sight)> {
        let mut judged = self.judged();
        judged.retain(|(item, _)| {
            is_suspect_prompt(item) || (item.is_odd() && (!item.is_mobile() || item.is_new_country))
        });
        let active =
            |(item, judged): (&'t Item<'a>, &'t Judged)| Some((item, judged.in_use_elsewhere()?));
        judged.into_iter().filter_map(active).collect()
    }

    /// Sign-ins from an unusual place, not on a machine of the person's or a phone that may be theirs.
    pub(crate) fn strange_sign_ins(&self) -> impl Iterator<Item = &'t Item<'a>> {
        let is_strange = |item: &&Item<'a>| {
            item.is_sign_in() && item.place == Standing::Unusual && !may_be_own(item)
        };
        self.items.iter().copied().filter(is_strange)
    }

    /// A sign-in on a device of the person's at the same place, some days before or after; none where anything else
    /// speaks of an attack.
    pub(crate) fn own_device_at(&self, strange: &Item<'a>) -> Option<&'t Item<'a>> {
        let is_quiet = self.hostile.is_empty()
            && self.factor_changes.is_empty()
            && self.of_kind(MfaEventKind::SessionMoved).next().is_none();
        let is_witness = |item: &&Item<'a>| {
            item.is_sign_in()
                && may_be_own(item)
                && (item.time_ms - strange.time_ms).abs() <= NEAR_MS
                && same_place(item.origin(), strange.origin())
        };
        self.items
            .iter()
            .copied()
            .filter(|_| is_quiet)
            .find(is_witness)
    }

    /// A sign-in from where neither place nor machine is the person's, or from a new country, while their endpoints, which
    /// would have shown it, did not; or from an unusual place, not on a machine of theirs, while they were at work at another address.
    pub(crate) fn has_strangers_sign_in(&self) -> bool {
        let is_shown = |(item, judged): &(&Item<'a>, &Judged)| {
            item.is_sign_in()
                && item.place == Standing::Unusual
                && item.device != Standing::Usual
                && (item.is_foreign() || item.is_new_country)
                && judged.provenance.verdict == ProvenanceVerdict::Elsewhere
                && judged.provenance.confidence >= Confidence::Medium
                && self.own_device_at(item).is_none()
        };
        let is_apart = |(item, _): &(&Item<'a>, &Sight)| {
            item.is_sign_in()
                && item.place == Standing::Unusual
                && item.device != Standing::Usual
                && (!item.is_mobile() || item.is_new_country)
        };
        self.suspects().iter().any(is_shown) || self.while_in_use_elsewhere().iter().any(is_apart)
    }

    /// Whether the person said that a prompt or an activity was not theirs.
    pub(crate) fn is_reported(&self) -> bool {
        self.items.iter().any(|item| {
            item.is_kind(MfaEventKind::SuspiciousReported)
                || item.attempt().is_some_and(|attempt| {
                    matches!(
                        attempt.result,
                        AttemptResult::Denied | AttemptResult::FraudReported
                    )
                })
        })
    }

    /// The time around its prompts, from `before_ms` before the first to `after_ms` after the last.
    pub(crate) fn around_prompts(&self, before_ms: i64, after_ms: i64) -> Option<TimeSpan> {
        let prompts = || self.items.iter().filter(|item| item.attempt().is_some());
        Some(TimeSpan {
            from_ms: prompts()
                .map(|item| item.time_ms)
                .min()?
                .saturating_sub(before_ms),
            until_ms: prompts()
                .map(|item| item.time_ms)
                .max()?
                .saturating_add(after_ms),
        })
    }

    /// The stages it shows, in their order.
    pub(crate) fn stages(&self) -> Vec<Stage> {
        let mut first: BTreeMap<StageName, i64> = BTreeMap::new();
        let mut reach = |name: StageName, time_ms: i64| {
            first
                .entry(name)
                .and_modify(|ms| *ms = (*ms).min(time_ms))
                .or_insert(time_ms);
        };
        for item in &self.items {
            let knew = |attempt: &Attempt<'_>| attempt.has(MfaEventKind::PasswordAccepted);
            if item.is_kind(MfaEventKind::PasswordAccepted) || item.attempt().is_some_and(knew) {
                reach(StageName::CredentialKnown, item.time_ms);
            }
            if item.is_refusal() || self.is_prompt_of_this(item) {
                reach(StageName::Prompting, item.time_ms);
            }
            if item.is_sign_in() && !item.is_usual() {
                reach(StageName::Approved, item.end_ms());
            }
            if item.is_kind(MfaEventKind::SessionMoved) && item.place != Standing::Usual {
                reach(StageName::SessionMoved, item.time_ms);
            }
        }
        for item in &self.confirmed {
            reach(StageName::Approved, item.end_ms());
        }
        for item in &self.factor_changes {
            reach(StageName::FactorChanged, item.time_ms);
        }
        first
            .into_iter()
            .map(|(name, time_ms)| Stage::new(name, time_ms))
            .collect()
    }

    /// An open prompt among refused ones.
    fn is_prompt_of_this(&self, item: &Item<'a>) -> bool {
        !self.refusals.is_empty()
            && item
                .attempt()
                .is_some_and(|attempt| attempt.result == AttemptResult::Prompted)
    }
}

/// A device that the person uses, or a phone of a kind that they use and that has no name.
fn may_be_own(item: &Item<'_>) -> bool {
    item.device == Standing::Usual || (item.is_mobile() && item.device == Standing::Unknown)
}

/// A prompt that led to no sign-in, but for those of the person's own phone.
fn is_suspect_prompt(item: &Item<'_>) -> bool {
    item.is_refusal() && !(item.is_mobile() && item.is_own_client())
}

/// The ids of the stored events that these items are made of.
pub(crate) fn event_ids(items: &[&Item<'_>]) -> Vec<MfaEventId> {
    let mut seen = std::collections::BTreeSet::new();
    let events = items.iter().flat_map(|item| item.events());
    events
        .map(|event| event.id)
        .filter(|id| seen.insert(*id))
        .collect()
}

/// Sign-ins that hostile prompts led to: from one of their sources, from a place and machine that are
/// neither the person's, or soon after from one that is not usual. The person's own ordinary sign-in in
/// the middle of an attack is none.
fn confirmed<'t, 'a>(items: &[&'t Item<'a>], hostile: &[&'t Item<'a>]) -> Vec<&'t Item<'a>> {
    let mut sources: BTreeMap<String, i64> = BTreeMap::new();
    for item in hostile {
        for value in source_values(item.origin()) {
            sources.entry(value).or_insert(item.time_ms);
        }
    }
    let first_ms = hostile.first().map(|item| item.time_ms);
    let counts = |item: &Item<'a>| {
        let end_ms = item.end_ms();
        if !item.is_sign_in() || first_ms.is_none_or(|ms| ms > end_ms) {
            return false;
        }
        if item.is_usual() {
            let is_same = |other: &&'t Item<'a>| {
                other.time_ms <= end_ms
                    && other.origin().ip == item.origin().ip
                    && same_device(other.origin(), item.origin())
            };
            return hostile.iter().rev().take(SOURCES_MAX).any(is_same);
        }
        let from_source = source_values(item.origin())
            .iter()
            .any(|value| sources.get(value).is_some_and(|ms| *ms <= end_ms));
        let before = hostile.partition_point(|other| other.time_ms <= end_ms);
        let last_ms = before
            .checked_sub(1)
            .and_then(|at| hostile.get(at))
            .map(|i| i.time_ms);
        from_source || item.is_foreign() || last_ms.is_some_and(|ms| end_ms - ms <= CONSEQUENCE_MS)
    };
    items.iter().copied().filter(|item| counts(item)).collect()
}

/// Hostile prompts that an ordinary-looking success is compared with, newest first.
const SOURCES_MAX: usize = 64;

fn source_values(origin: &Origin) -> Vec<String> {
    let mut values = Vec::new();
    values.extend(origin.ip.map(|ip| format!("ip/{ip}")));
    values.extend(
        origin
            .device_token
            .as_ref()
            .map(|token| format!("token/{token}")),
    );
    values.extend(origin.device_id.as_ref().map(|id| format!("device/{id}")));
    values
}

#[cfg(test)]
mod tests {
    use crate::input::MfaEventKind;
    use crate::stage::StageName;
    use crate::story::Story;

    fn bombed() -> Story {
        let mut story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:10")
            .attacker();
        for _ in 0..6 {
            story = story.prompt().denied().after_minutes(3);
        }
        story
    }

    fn confirmed(story: Story) -> usize {
        story.with_case(|case| case.confirmed.len())
    }

    #[test]
    fn a_sign_in_from_the_source_of_hostile_prompts_confirms_them() {
        assert_eq!(confirmed(bombed().prompt().approved()), 1);
        assert_eq!(
            confirmed(
                bombed()
                    .after_minutes(600)
                    .event(MfaEventKind::SessionStarted)
            ),
            1
        );
    }

    #[test]
    fn the_persons_own_sign_in_does_not_confirm_them() {
        assert_eq!(confirmed(bombed().home().after_minutes(5).sign_in()), 0);
    }

    #[test]
    fn a_sign_in_from_yet_another_place_and_machine_confirms_them() {
        assert_eq!(
            confirmed(bombed().after_minutes(600).elsewhere().approved()),
            1
        );
    }

    #[test]
    fn the_persons_own_machine_in_a_new_place_hours_later_does_not() {
        assert_eq!(
            confirmed(bombed().after_minutes(600).traveling().approved()),
            0
        );
        assert_eq!(
            confirmed(bombed().after_minutes(30).traveling().approved()),
            1
        );
    }

    #[test]
    fn many_prompts_on_the_own_machine_are_confirmed_by_its_success() {
        let mut story = Story::new().usual_sign_ins(10).at("2026-03-12 10:00");
        for _ in 0..9 {
            story = story.prompt().denied().after_minutes(2);
        }
        assert_eq!(confirmed(story.prompt().approved()), 1);
    }

    #[test]
    fn stages_come_in_their_order_with_the_first_time_each() {
        let story = bombed().prompt().approved().after_minutes(5);
        let story = story.event(MfaEventKind::FactorEnrolled);
        let stages = story.with_case(|case| case.stages());
        let names: Vec<_> = stages.iter().map(|stage| stage.name).collect();
        assert_eq!(
            names,
            [
                StageName::Prompting,
                StageName::Approved,
                StageName::FactorChanged
            ]
        );
        assert!(stages.is_sorted_by_key(|stage| stage.first_event_time_ms));
    }
}
