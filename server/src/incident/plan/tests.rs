//! What is written, by what was stored and what follows now.

use tocsin_correlate::{
    AccountKey, FlowIds, Input, MfaEvent, MfaEventKind, Novelty, Origin, Person, Provider,
    WeightsVersion, correlate, fold_login,
};

use super::*;

const HOUR_MS: i64 = 3_600_000;

fn event(time_ms: i64, kind: MfaEventKind) -> MfaEvent {
    MfaEvent {
        id: MfaEventId::derive(&[&time_ms.to_be_bytes(), format!("{kind:?}").as_bytes()]),
        provider: Provider::Okta,
        time_ms,
        kind,
        account: AccountKey {
            provider: Provider::Okta,
            provider_id: "00u1".into(),
            login: fold_login("dana@example.com"),
        },
        display_name: None,
        actor: None,
        origin: Origin::default(),
        previous_ip: None,
        factor: None,
        application: None,
        flow: FlowIds::default(),
        novelty: Novelty::default(),
        risk: None,
        detail: None,
    }
}

fn identity() -> IdentityId {
    IdentityId::derive(&[b"dana"])
}

/// Bursts of refused prompts that begin at these hours.
fn drafts(hours: &[i64]) -> Vec<IncidentDraft> {
    let burst = |hour: &i64| {
        let from_ms = hour * HOUR_MS;
        (0..8).flat_map(move |n| {
            let time_ms = from_ms + n * 120_000;
            let denied = event(time_ms + 9_000, MfaEventKind::Denied);
            [event(time_ms, MfaEventKind::PromptSent), denied]
        })
    };
    let input = Input {
        identity: Person {
            id: identity(),
            display_name: "Dana".into(),
            accounts: Vec::new(),
            privileged: false,
            said_privileged: false,
        },
        mfa_events: hours.iter().flat_map(burst).collect(),
        endpoints: Vec::new(),
        observed_until_ms: BTreeMap::new(),
        baseline: tocsin_correlate::Baseline::default(),
        directory: tocsin_correlate::SignInDirectory::default(),
        outages: Vec::new(),
        weights: WeightsVersion::default(),
    };
    correlate(&input).incidents
}

/// What is stored after a plan was applied.
fn apply(stored: Vec<Stored>, plan: &Plan) -> Vec<Stored> {
    let mut rows: BTreeMap<IncidentId, IncidentRow> = stored
        .into_iter()
        .map(|stored| (stored.row.id, stored.row))
        .collect();
    for row in &plan.write {
        rows.insert(row.id, row.clone());
    }
    for (id, _) in &plan.remove {
        rows.remove(id);
    }
    rows.into_values()
        .map(|row| Stored::new(row).unwrap())
        .collect()
}

fn planned(stored: &[Stored], drafts: &[IncidentDraft]) -> Plan {
    let owner = Owner {
        identity: identity(),
        source: String::new(),
    };
    plan(&owner, stored, drafts, 99).unwrap()
}

#[test]
fn the_same_drafts_again_change_nothing() {
    let drafts = drafts(&[0, 2_000]);
    assert_eq!(drafts.len(), 2, "far apart");
    let first = planned(&[], &drafts);
    assert_eq!((first.write.len(), first.activity.len()), (2, 2));
    assert!(
        first
            .effects
            .iter()
            .all(|(_, effect)| *effect == Effect::Opened)
    );
    let stored = apply(Vec::new(), &first);
    assert_eq!(planned(&stored, &drafts), Plan::default());
}

#[test]
fn two_that_become_one_leave_an_alias_and_the_longer_worked_on_goes_on() {
    let mut stored = apply(Vec::new(), &planned(&[], &drafts(&[2_000, 2_240])));
    assert_eq!(stored.len(), 2);
    for stored in &mut stored {
        stored.row.analyst.assignee = "ana".into();
    }
    let joined = drafts(&[1_999, 2_000, 2_060, 2_120, 2_180, 2_240]);
    assert_eq!(joined.len(), 1, "what lies between joins them");
    let plan = planned(&stored, &joined);
    assert_eq!(plan.write.len(), 1);
    assert_eq!(plan.write[0].analyst.assignee, "ana");
    assert_eq!(plan.remove.len(), 2);
    assert!(plan.remove.iter().all(|(_, to)| *to == Some(joined[0].id)));
}

#[test]
fn one_that_later_records_explain_goes_unless_it_was_worked_on() {
    let mut stored = apply(Vec::new(), &planned(&[], &drafts(&[0])));
    let id = stored[0].row.id;
    assert_eq!(planned(&stored, &[]).remove, [(id, None)]);
    stored[0].row.analyst.is_touched = true;
    let plan = planned(&stored, &[]);
    assert!(plan.remove.is_empty());
    assert!(plan.write[0].is_frozen);
    let stored = apply(stored, &plan);
    assert_eq!(planned(&stored, &[]), Plan::default(), "and it stays so");
}

#[test]
fn only_new_events_open_a_closed_one() {
    let mut stored = apply(Vec::new(), &planned(&[], &drafts(&[10])));
    stored[0].row.analyst.state = IncidentState::Closed.into();
    let mut same_events = drafts(&[10]);
    same_events[0].title.push('!');
    let plan = planned(&stored, &same_events);
    assert_eq!(
        plan.write[0].analyst.state,
        i32::from(IncidentState::Closed)
    );
    let plan = planned(&stored, &drafts(&[10, 11]));
    assert_eq!(plan.write[0].analyst.state, i32::from(IncidentState::New));
    assert_eq!(plan.write[0].analyst.state_time_ms, 99);
}

#[test]
fn a_tally_counts_what_was_opened_once() {
    let id = IncidentId::derive(&[b"one"]);
    let mut counts = BTreeMap::new();
    tally(&[(id, Effect::Opened)], &mut counts);
    tally(&[(id, Effect::Updated)], &mut counts);
    assert_eq!(counts.get(&id), Some(&Effect::Opened));
    tally(&[(id, Effect::Removed)], &mut counts);
    assert!(counts.is_empty());
}
