//! What holds for any events: no order, repetition or division of them shows.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tocsin_proto::id::MfaEventId;

use crate::story::{Story, account};
use crate::{
    AccountKey, Actor, EVENTS_MAX, Factor, Failure, FlowIds, Input, MfaEvent, MfaEventKind,
    Novelty, OUTAGE_PEOPLE_MIN, Origin, Outage, Outcome, Place, Provider, correlate, outages,
};

const KINDS: &[MfaEventKind] = &[
    MfaEventKind::PromptSent,
    MfaEventKind::PromptSent,
    MfaEventKind::PromptSent,
    MfaEventKind::Denied,
    MfaEventKind::Approved,
    MfaEventKind::Approved,
    MfaEventKind::Unanswered,
    MfaEventKind::WrongNumber,
    MfaEventKind::FraudReported,
    MfaEventKind::Error,
    MfaEventKind::PasswordAccepted,
    MfaEventKind::SessionStarted,
    MfaEventKind::SessionMoved,
    MfaEventKind::FactorEnrolled,
    MfaEventKind::FactorReset,
    MfaEventKind::PasswordReset,
    MfaEventKind::PrivilegeGranted,
    MfaEventKind::SuspiciousReported,
    MfaEventKind::AppAccess,
];

/// Each writes a sign-in in its own way.
const PROVIDERS: &[Provider] = &[
    Provider::Okta,
    Provider::Entra,
    Provider::Duo,
    Provider::Auth0,
];

fn event() -> impl Strategy<Value = MfaEvent> {
    let shape = (0..KINDS.len(), 0..4_u8, 0..4_u8, any::<bool>(), 0..16_u8);
    // Few values and many ties: same times, same addresses, same requests.
    (0..400_u64, 0..3_000_i64, shape).prop_map(
        |(id, minutes, (kind, ip, device, other, request))| {
            let kind = KINDS[kind];
            let provider = PROVIDERS[usize::from(request / 4)];
            let request = request % 4;
            let factor = match (device, provider) {
                (3, _) => Factor::Sms,
                (2, Provider::Entra) => Factor::External,
                _ => Factor::Push,
            };
            MfaEvent {
                id: MfaEventId::derive(&[&id.to_be_bytes()]),
                provider,
                time_ms: 1_770_000_000_000 + minutes / 3 * 90_000,
                kind,
                account: AccountKey {
                    provider,
                    ..account()
                },
                display_name: None,
                actor: (other && kind == MfaEventKind::FactorReset).then(|| Actor {
                    kind: "User".into(),
                    provider_id: "00u9".into(),
                    login: String::new(),
                }),
                origin: Origin {
                    ip: Some([203, 0, 113, ip].into()),
                    asn: Some(u32::from(ip / 2)),
                    place: Place {
                        country: Some(format!("C{}", ip / 3)),
                        ..Place::default()
                    },
                    device_token: (device > 0).then(|| format!("token {device}")),
                    ..Origin::default()
                },
                previous_ip: None,
                factor: Some(factor),
                application: None,
                flow: FlowIds {
                    transaction: (request > 1).then(|| format!("request {request}")),
                    authentication: (request % 2 == 1).then(|| format!("sign-in {device}")),
                    ..FlowIds::default()
                },
                novelty: Novelty {
                    device: other.then_some(device == 2),
                    ..Novelty::default()
                },
                risk: None,
                detail: None,
            }
        },
    )
}

fn input(events: Vec<MfaEvent>) -> Input {
    let until_ms = events.iter().map(|event| event.time_ms).max().unwrap_or(0);
    Input {
        mfa_events: events,
        observed_until_ms: PROVIDERS
            .iter()
            .map(|provider| (*provider, until_ms))
            .collect(),
        ..Story::new().input()
    }
}

fn bytes(outcome: &Outcome) -> String {
    serde_json::to_string(outcome).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_or_repetition_of_events_shows(
        events in prop::collection::vec(event(), 0..160),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..320),
    ) {
        let expect = bytes(&correlate(&input(events.clone())));
        // Any picks with repetition, then whatever was not picked.
        let mut other: Vec<MfaEvent> =
            if events.is_empty() { vec![] } else { order.iter().map(|at| at.get(&events).clone()).collect() };
        other.extend(events.iter().rev().cloned());
        prop_assert_eq!(bytes(&correlate(&input(other))), expect);
    }

    #[test]
    fn no_division_into_recomputations_shows(
        events in prop::collection::vec(event(), 1..120),
        cut in any::<prop::sample::Index>(),
    ) {
        // A store keeps one record an id.
        let mut events = events;
        events.sort_by_key(|event| event.id);
        events.dedup_by_key(|event| event.id);
        events.sort_by_key(|event| event.flow.transaction.clone());
        let expect = bytes(&correlate(&input(events.clone())));
        // A server that has correlated one part keeps nothing of it but the events.
        let (first, second) = events.split_at(cut.index(events.len()));
        let mut stored: BTreeMap<MfaEventId, MfaEvent> = BTreeMap::new();
        for part in [second, first] {
            for event in part {
                stored.insert(event.id, event.clone());
            }
            let _so_far = correlate(&input(stored.values().cloned().collect()));
        }
        prop_assert_eq!(bytes(&correlate(&input(stored.into_values().collect()))), expect);
    }

    /// Retention: what was quiet for longer than anything is remembered for may go, and a baseline stands for it.
    #[test]
    fn no_removal_of_old_events_shows(
        old in prop::collection::vec(event(), 0..80),
        new in prop::collection::vec(event(), 1..80),
    ) {
        const QUIET_MS: i64 = 30 * 24 * 3_600_000;
        let mut new = new;
        for event in &mut new {
            event.time_ms += QUIET_MS;
            event.id = MfaEventId::derive(&[b"new", event.id.as_bytes()]);
        }
        let first_ms = new.iter().map(|event| event.time_ms).min().unwrap_or(0);
        let whole = input(old.iter().chain(&new).cloned().collect());
        let mut later = whole.clone();
        later.baseline = crate::baseline_before(&whole, first_ms);
        // Rights are remembered beside the baseline.
        later.identity.privileged = correlate(&input(old)).privileged;
        later.mfa_events = new;
        let mut whole = correlate(&whole);
        whole.incidents.retain(|incident| incident.first_event_time_ms >= first_ms);
        for incident in &mut whole.incidents {
            // It may name an older incident from the same source.
            incident.related.clear();
        }
        let mut later = correlate(&later);
        for incident in &mut later.incidents {
            incident.related.clear();
        }
        prop_assert_eq!(
            serde_json::to_string(&later.incidents).unwrap(),
            serde_json::to_string(&whole.incidents).unwrap()
        );
    }

    /// Many people: any order of their sightings gives the same campaigns.
    #[test]
    fn no_order_of_people_shows(
        people in prop::collection::vec(prop::collection::vec(event(), 1..30), 1..6),
    ) {
        let sightings = |order: &[usize]| -> Vec<crate::Sighting> {
            let of = |n: &usize| {
                let mut input = input(people.get(*n).cloned().unwrap_or_default());
                input.identity.id = tocsin_proto::id::IdentityId::derive(&[&n.to_be_bytes()]);
                correlate(&input).sightings
            };
            order.iter().flat_map(of).collect()
        };
        let order: Vec<usize> = (0..people.len()).collect();
        let reversed: Vec<usize> = order.iter().rev().copied().collect();
        let text = |order| serde_json::to_string(&crate::campaigns(&sightings(order))).unwrap();
        prop_assert_eq!(text(&order), text(&reversed));
    }

    #[test]
    fn every_event_is_in_at_most_one_incident(events in prop::collection::vec(event(), 0..160)) {
        let outcome = correlate(&input(events));
        let mut ids: Vec<_> = outcome.incidents.iter().flat_map(|i| &i.event_ids).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), count);
        for incident in &outcome.incidents {
            prop_assert!(incident.score <= 100);
            prop_assert!(incident.first_event_time_ms <= incident.last_event_time_ms);
            prop_assert!(incident.attempts.is_sorted_by_key(|attempt| attempt.time_ms));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// What many people show of an outage depends on nothing that follows from it, so that both settle; and on no order.
    #[test]
    fn outages_depend_on_no_outage_and_no_order(
        events in prop::collection::vec(event(), 0..160),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..320),
        people in 1..12_usize,
    ) {
        let mut input = input(events);
        let alone = correlate(&input);
        let mut failures: Vec<Failure> = Vec::new();
        for n in 0..people {
            let subject = tocsin_proto::id::IdentityId::derive(&[&n.to_be_bytes()]);
            failures.extend(alone.failures.iter().map(|failure| Failure { subject, ..*failure }));
        }
        let span = |provider: &Provider| (*provider, i64::MIN / 2, i64::MAX / 2);
        let all = |failures: &[Failure]| -> Vec<Outage> {
            let of = |provider| outages(span(provider), failures, &BTreeMap::new());
            PROVIDERS.iter().flat_map(of).collect()
        };
        let found = all(&failures);
        prop_assert!(people >= OUTAGE_PEOPLE_MIN || found.is_empty());
        if !failures.is_empty() {
            let picked = order.iter().map(|at| *at.get(&failures));
            let again: Vec<Failure> = picked.chain(failures.iter().rev().copied()).collect();
            prop_assert_eq!(all(&again), found.clone());
        }
        input.outages = found.iter().rev().chain(&found).copied().collect();
        let told = correlate(&input);
        prop_assert_eq!(&told.failures, &alone.failures);
        prop_assert_eq!(&told.sightings.len(), &alone.sightings.len());
        input.mfa_events.reverse();
        prop_assert_eq!(bytes(&correlate(&input)), bytes(&told));
    }
}

#[test]
fn nothing_comes_of_nothing() {
    let outcome = correlate(&input(Vec::new()));
    assert_eq!(
        outcome,
        Outcome {
            incidents: vec![],
            privileged: false,
            next_change_ms: None,
            coverage: crate::Coverage::default(),
            habits: crate::Habits {
                hours_utc: vec![0; 24],
                ..crate::Habits::default()
            },
            sightings: vec![],
            failures: vec![],
        }
    );
}

#[test]
fn a_baseline_stands_in_for_events_that_are_gone() {
    let story = Story::new()
        .usual_sign_ins(10)
        .at("2026-03-12 02:10")
        .attacker();
    let story = (0..6).fold(story, |story, _| story.prompt().denied().after_minutes(3));
    let whole = story.prompt().approved().input();
    let cut_ms = crate::story::ms("2026-03-11 00:00");
    let mut later = whole.clone();
    later.baseline = crate::baseline_before(&whole, cut_ms);
    later.mfa_events.retain(|event| event.time_ms >= cut_ms);
    assert!(later.mfa_events.len() < whole.mfa_events.len());
    let (later, whole) = (correlate(&later), correlate(&whole));
    // Coverage tells how many attempts are still there.
    assert!(later.coverage.attempts < whole.coverage.attempts);
    let coverage = whole.coverage.clone();
    assert_eq!(bytes(&Outcome { coverage, ..later }), bytes(&whole));
}

/// As many events as are looked at, in the shapes that cost most: all in one episode, all from one
/// address; all from different ones; all at one time.
#[test]
fn the_most_events_are_bounded_work() {
    let first = Story::new().attacker().prompt().events().remove(0);
    let shapes: [fn(u32) -> (i64, u32); 3] = [
        |n| (i64::from(n) * 2_500, 0),
        |n| (i64::from(n) * 2_500, n),
        |n| (i64::from(n / 5_000), n),
    ];
    for shape in shapes {
        let events: Vec<MfaEvent> = (0..u32::try_from(EVENTS_MAX).unwrap())
            .map(|n| {
                let (offset_ms, address) = shape(n);
                let mut event = first.clone();
                event.id = MfaEventId::derive(&[&n.to_be_bytes()]);
                event.time_ms += offset_ms;
                event.kind = KINDS[n as usize % KINDS.len()];
                event.origin.ip = Some(core::net::Ipv4Addr::from_bits(address).into());
                event.origin.device_token = Some(format!("machine {address}"));
                event
            })
            .collect();
        let outcome = correlate(&input(events));
        assert_eq!(outcome.incidents.len(), 1);
        assert!(bytes(&outcome).len() < 4 << 20);
    }
}
