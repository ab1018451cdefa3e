//! Attempts against endpoints: the rows and bullets of the provenance table, from flows and sessions to the verdict.

use super::*;
use crate::fact::{
    DeviceBinding, LeftOut, Moment, NameSource, PowerState, ProviderFlow, SensorState, SessionLock,
    SessionUse, Sharing,
};
use crate::input::{LinkedEndpoint, MfaEventKind, Provider, TelemetryGap};
use crate::scene::{flow, laptop, porto, power, session, span, whole};
use crate::story::{Story, ms};

const AT: &str = "2026-03-12 02:10";

fn judged(story: Story) -> Provenance {
    let endpoints = crate::linked(&story.input().endpoints);
    story.with_timeline(|items| {
        let endpoints: Vec<&LinkedEndpoint> = endpoints.iter().collect();
        let judgements = judge(items, &endpoints, &crate::SignInDirectory::default());
        let attempt = items.iter().rev().find_map(|item| item.attempt()).unwrap();
        judgements.provenance(attempt)
    })
}

type Change = fn(&mut ProviderFlow);

/// Somebody's sign-in with Dana's password.
fn attack() -> Story {
    let story = Story::new().usual_sign_ins(10).at(AT).attacker();
    story
        .event(MfaEventKind::PasswordAccepted)
        .after_seconds(3)
        .prompt()
        .denied()
}

/// Dana's own.
fn own() -> Story {
    let story = Story::new().usual_sign_ins(10).at(AT);
    story
        .event(MfaEventKind::PasswordAccepted)
        .after_seconds(3)
        .prompt()
        .approved()
}

fn says(story: Story, endpoint: LinkedEndpoint) -> (&'static str, &'static str, String) {
    let found = judged(story.endpoint(endpoint));
    (
        found.verdict.word(),
        found.confidence.word(),
        found.reasons.join("; "),
    )
}

fn with(change: impl FnOnce(&mut LinkedEndpoint)) -> LinkedEndpoint {
    let mut endpoint = porto(10);
    change(&mut endpoint);
    endpoint
}

fn sign_in_flow() -> ProviderFlow {
    flow(ms(AT) - 4_000, ms(AT) + 20_000)
}

/// The laptop with one more flow at the time of the attempt.
fn with_flow(change: impl FnOnce(&mut ProviderFlow)) -> LinkedEndpoint {
    with(|endpoint| {
        let mut flow = sign_in_flow();
        change(&mut flow);
        endpoint.facts.flows.push(flow);
    })
}

fn unknown(story: Story, endpoint: LinkedEndpoint, reason: &str) {
    let (verdict, confidence, reasons) = says(story, endpoint);
    assert_eq!((verdict, confidence), ("unknown", "none"), "{reasons}");
    assert!(reasons.contains(reason), "{reasons}");
}

#[test]
fn without_a_linked_endpoint_it_is_unknown() {
    let found = judged(attack());
    assert_eq!(found.verdict, ProvenanceVerdict::Unknown);
    assert_eq!(found.reasons, ["no endpoint is linked to this person"]);
    assert_eq!(found.missing[0].what, MissingKind::NoEndpoint);
}

#[test]
fn the_providers_device_binding_is_here_strong_and_a_contradiction_weakens_it() {
    let bound = || {
        with(|endpoint| {
            endpoint.facts.devices.push(DeviceBinding {
                provider: Provider::Okta,
                device_id: "gu1".into(),
                span: None,
            });
        })
    };
    let sign_in = |os: &str, provider: Provider, id: &str| {
        let mut story = Story::new().usual_sign_ins(10).at(AT).prompt().events();
        let mut origin = story.pop().unwrap().origin;
        origin.device_id = Some(id.into());
        origin.os = Some(os.into());
        let mut story = Story::new().usual_sign_ins(10).at(AT).at_provider(provider);
        story = story.from(origin);
        story.prompt().approved()
    };
    let told = |os: &str| sign_in(os, Provider::Okta, "gu1");
    assert_eq!(says(told("Linux"), bound()).0, "here");
    assert_eq!(says(told("Linux"), bound()).1, "strong");
    let contradicted = says(told("Windows"), bound());
    assert_eq!(contradicted.1, "weak");
    let said = "the provider saw another system or browser than porto-17 has";
    assert!(contradicted.2.contains(said), "{contradicted:?}");
    unknown(own(), bound(), "shows no traffic for it");
    for (provider, id) in [(Provider::Okta, "GU1"), (Provider::Duo, "gu1")] {
        assert_ne!(says(sign_in("Linux", provider, id), bound()).1, "strong");
    }
    let entra = with(|endpoint| {
        endpoint.facts.devices.push(DeviceBinding {
            provider: Provider::Entra,
            device_id: "0f3c-ab".into(),
            span: None,
        });
    });
    let told = sign_in("Linux", Provider::Entra, "0F3C-AB");
    assert_eq!(says(told, entra).1, "strong", "a GUID in other letters");
}

#[test]
fn an_endpoint_that_only_its_own_word_links_is_here_without_credit() {
    let claimed = |is_claimed| {
        let endpoint = with_flow(|_| ());
        let (verdict, _, reasons) = says(
            own(),
            LinkedEndpoint {
                is_claimed,
                ..endpoint
            },
        );
        (verdict, reasons.contains("no sign of an ordinary sign-in"))
    };
    assert_eq!(claimed(false), ("here", false));
    assert_eq!(claimed(true), ("here", true));
}

#[test]
fn a_new_named_flow_from_the_own_address_is_here() {
    let found = judged(own().endpoint(with_flow(|_| ())));
    assert_eq!(
        (found.verdict.word(), found.confidence.word()),
        ("here", "strong")
    );
    assert_eq!(found.event_ids.len(), 1);
    assert!(
        found.reasons[0].contains("/usr/lib/firefox/firefox had a new connection to acme.okta.com")
    );
    assert!(found.reasons[1].contains("192.0.2.10, the public address of porto-17"));
    let office = |sharing| {
        let mut endpoint = with_flow(|_| ());
        endpoint.facts.addresses[0].sharing = sharing;
        says(own(), endpoint).1
    };
    assert_eq!(
        [office(Sharing::Shared), office(Sharing::Unknown)],
        ["medium", "medium"]
    );
}

#[test]
fn it_weighs_as_much_as_such_flows_are_rare() {
    // Ten minutes in each hour, and then all the time.
    let busy = |minutes: i64| {
        with(|endpoint| {
            for hour in 0..24 * 11 {
                let from_ms = ms("2026-03-01 00:20") + hour * 3_600_000;
                endpoint
                    .facts
                    .flows
                    .push(flow(from_ms, from_ms + minutes * 60_000));
            }
            endpoint.facts.flows.push(sign_in_flow());
        })
    };
    assert_eq!(says(own(), busy(10)).1, "medium");
    unknown(own(), busy(59), "connected to Okta nearly always");
}

#[test]
fn overlap_counts_and_not_the_start_alone() {
    let early = with_flow(|flow| flow.opened = Moment::exact(ms(AT) - 10 * 60_000));
    assert_eq!(says(own(), early).0, "here");
    let ended = with_flow(|flow| {
        flow.opened = Moment::exact(ms(AT) - 300_000);
        flow.closed = Some(Moment::exact(ms(AT) - 60_000));
    });
    unknown(own(), ended, "which shows no traffic for it");
}

#[test]
fn a_flow_that_only_could_be_it_forbids_elsewhere_and_gives_no_here() {
    let cases: [(&str, Change); 8] = [
        ("already open", |flow| flow.was_open = true),
        ("already open", |flow| {
            flow.opened = Moment::exact(ms("2026-03-11 08:00"))
        }),
        ("whose name is hidden", |flow| flow.names.clear()),
        ("shares with other services", |flow| {
            flow.names[0].name = "cdn.example.com".into()
        }),
        ("nobody there asked for", |flow| {
            flow.names[0].source = NameSource::HostsFile
        }),
        ("a proxy or remote browser", |flow| {
            flow.names[0].name = "proxy.example.com".into();
            flow.remote = "198.51.100.9".parse().unwrap();
            flow.port = 3128;
        }),
        ("time is not known well enough", |flow| {
            flow.opened = Moment {
                until_ms: ms(AT) + 30_000,
                from_ms: Some(ms(AT) - 30_000),
            };
        }),
        ("cannot be told", |flow| {
            (flow.owner, flow.uid) = (None, None)
        }),
    ];
    for (reason, change) in cases {
        unknown(own(), with_flow(change), reason);
        unknown(attack(), with_flow(change), reason);
    }
    let mut origin = attack().events().pop().unwrap().origin;
    (origin.os, origin.browser) = (None, None);
    let usual = Story::new().usual_sign_ins(10).at(AT);
    let reason = "203.0.113.66, another public address";
    unknown(
        usual.from(origin).prompt().denied(),
        with_flow(|_| ()),
        reason,
    );
}

#[test]
fn another_users_process_never_gives_here() {
    let other = |flow: &mut ProviderFlow| {
        flow.uid = Some(1001);
        flow.owner.as_mut().unwrap().login_uid = Some(1001);
    };
    unknown(own(), with_flow(other), "a process of another account");
}

#[test]
fn another_system_or_browser_is_no_here() {
    let mut origin = own().events().pop().unwrap().origin;
    origin.os = Some("Windows 11".into());
    let story = Story::new()
        .usual_sign_ins(10)
        .at(AT)
        .from(origin)
        .prompt()
        .approved();
    unknown(
        story,
        with_flow(|_| ()),
        "the provider saw another system or browser",
    );
}

#[test]
fn no_flow_on_a_healthy_endpoint_with_positive_control_is_elsewhere() {
    let (verdict, confidence, reasons) = says(attack(), porto(10));
    // Nobody was logged in: no session in the facts, and the session sensor was running.
    assert_eq!((verdict, confidence), ("elsewhere", "strong"), "{reasons}");
    let open = with(|endpoint| {
        endpoint
            .facts
            .sessions
            .push(session(SessionLock::Unlocked, None))
    });
    let (verdict, confidence, reasons) = says(attack(), open);
    assert_eq!((verdict, confidence), ("elsewhere", "medium"));
    assert!(reasons.contains("endpoint porto-17 was watched and shows no sign-in traffic to Okta"));
    assert!(!reasons.contains("Dana"));
}

#[test]
fn locked_all_the_time_is_strong_and_locked_with_a_flow_is_not() {
    let locked = |endpoint: &mut LinkedEndpoint| {
        endpoint
            .facts
            .sessions
            .push(session(SessionLock::Locked, Some(SessionUse::Idle)));
    };
    assert_eq!(says(attack(), with(locked)).1, "strong");
    let mut talking = with_flow(|_| ());
    locked(&mut talking);
    unknown(attack(), talking, "the provider saw another system");
    let unwatched = with(|endpoint| {
        locked(endpoint);
        endpoint.facts.sensors.pop();
    });
    assert_eq!(says(attack(), unwatched).1, "medium");
}

#[test]
fn off_or_asleep_is_strong_only_by_records_that_are_sure() {
    let down = |state, is_sure| {
        with(|endpoint| {
            let night = span("2026-03-11 22:00", "2026-03-12 07:00");
            endpoint.facts.power.push(power(state, night, is_sure));
            endpoint.reporting = vec![
                span("2026-02-20 00:00", "2026-03-11 22:00"),
                span("2026-03-12 07:00", "2026-04-10 00:00"),
            ];
            // A connection that was left open when it fell asleep.
            let mut left = sign_in_flow();
            left.opened = Moment::exact(ms("2026-03-11 21:00"));
            endpoint.facts.flows.push(left);
        })
    };
    for state in [PowerState::Off, PowerState::Asleep] {
        let (verdict, confidence, reasons) = says(attack(), down(state, true));
        assert_eq!((verdict, confidence), ("elsewhere", "strong"));
        assert!(reasons.contains("porto-17 was off or asleep"), "{reasons}");
        assert_eq!(says(attack(), down(state, false)).0, "unknown");
    }
}

#[test]
fn each_thing_that_is_missing_is_named() {
    let gap = TelemetryGap {
        span: span("2026-03-12 02:05", "2026-03-12 02:06"),
        what: "312 events, sensor overflow".into(),
    };
    let cases: Vec<(&str, LinkedEndpoint)> = vec![
        ("porto-17 was not reporting", with(|e| e.reporting.clear())),
        (
            "lost events at that time: 312 events",
            with(|e| e.gaps.push(gap)),
        ),
        (
            "its network sensor was not running",
            with(|e| e.facts.sensors[0].state = SensorState::Down),
        ),
        (
            "did not see all: no names",
            with(|e| {
                e.facts.sensors[0].state = SensorState::Degraded;
                e.facts.sensors[0].detail = "no names".into();
            }),
        ),
        (
            "network sensor was running is not known",
            with(|e| drop(e.facts.sensors.remove(0))),
        ),
        (
            "how far its clock was off around 02:10 UTC is not known",
            with(|e| e.facts.clock.clear()),
        ),
        (
            "some network flows were left out",
            with(|e| {
                e.facts.left_out.push(LeftOut {
                    what: "network flows".into(),
                    span: whole(),
                    count: None,
                })
            }),
        ),
        (
            "public address around 02:10 UTC is not known",
            with(|e| {
                e.facts.addresses[0].span.until_ms = ms("2026-03-11 00:00");
            }),
        ),
        (
            "no positive control: endpoint porto-17 has not shown a sign-in to Okta within 14 days",
            laptop("porto-17"),
        ),
        (
            "has no network flows that are matched yet",
            with(|e| {
                e.sends_flows = false;
                e.facts.sensors.clear();
            }),
        ),
    ];
    for (reason, endpoint) in cases {
        unknown(attack(), endpoint, reason);
    }
    unknown(
        own(),
        porto(10),
        "the public address of endpoint porto-17, which shows no traffic",
    );
}

#[test]
fn a_clock_that_nobody_keeps_says_neither_here_nor_elsewhere() {
    let off = |ahead_ms: i64| {
        move |endpoint: &mut LinkedEndpoint| {
            endpoint.facts.clock[0].ahead_min_ms = ahead_ms;
            endpoint.facts.clock[0].ahead_max_ms = ahead_ms + 10;
        }
    };
    let shows = |ahead_ms: i64| {
        let mut endpoint = with_flow(|flow| {
            flow.opened = Moment::exact(ms(AT) - 4_000 - ahead_ms);
            flow.closed = Some(Moment::exact(ms(AT) + 20_000 - ahead_ms));
        });
        off(ahead_ms)(&mut endpoint);
        endpoint
    };
    assert_eq!(says(own(), shows(29_000)).0, "here", "it is reckoned with");
    for ahead_ms in [90_000, -90_000, 30_001] {
        let said = format!("its clock was off by {} s around 02:10 UTC", {
            let off_ms: i64 = ahead_ms;
            off_ms.abs().max((off_ms + 10).abs()) / 1000
        });
        unknown(own(), shows(ahead_ms), &said);
        unknown(attack(), with(off(ahead_ms)), &said);
        let mut bound = with(off(ahead_ms));
        bound.facts.devices.push(DeviceBinding {
            provider: Provider::Okta,
            device_id: "gu1".into(),
            span: None,
        });
        let mut origin = own().events().pop().unwrap().origin;
        origin.device_id = Some("gu1".into());
        let known = Story::new().usual_sign_ins(10).at(AT).from(origin).prompt();
        assert_eq!(says(known, bound).1, "strong", "the provider's own word");
    }
}

#[test]
fn what_matters_most_is_said_first_whichever_endpoint_lacks_it() {
    // Of two endpoints the first shows another account's connection, the second was not reporting.
    let mut first = with_flow(|flow| flow.uid = Some(4_000));
    for flow in &mut first.facts.flows {
        flow.owner = None;
    }
    let mut second = porto(11);
    second.id = EndpointId::from_public_key(b"second");
    second.reporting.clear();
    let found = judged(attack().endpoint(first.clone()).endpoint(second));
    let what: Vec<MissingKind> = found.missing.iter().map(|one| one.what).collect();
    assert_eq!(what[0], MissingKind::NotReporting, "{found:?}");
    assert_eq!(what.last(), Some(&MissingKind::OtherUser), "{found:?}");
    assert!(found.reasons[0].contains("was not reporting"), "{found:?}");
    // On one endpoint too.
    first.reporting.clear();
    let found = judged(attack().endpoint(first));
    let what: Vec<MissingKind> = found.missing.iter().map(|one| one.what).collect();
    assert_eq!(what, [MissingKind::NotReporting, MissingKind::OtherUser]);
}

#[test]
fn a_skew_that_changes_the_answer_is_unknown_and_names_the_skew() {
    let skewed = |endpoint: &mut LinkedEndpoint| {
        endpoint.facts.clock[0].ahead_min_ms = -26_000;
        endpoint.facts.clock[0].ahead_max_ms = 26_000;
    };
    let mut endpoint = with_flow(|_| ());
    skewed(&mut endpoint);
    unknown(own(), endpoint, "clock uncertain by 56 s around 02:10 UTC");
    // A flow that overlaps whatever the skew is here all the same.
    let mut endpoint = with_flow(|flow| {
        flow.opened = Moment::exact(ms(AT) - 120_000);
        flow.closed = Some(Moment::exact(ms(AT) + 120_000));
    });
    skewed(&mut endpoint);
    assert_eq!(says(own(), endpoint).0, "here");
}

#[test]
fn gateways_are_unknown_until_their_address_is_configured() {
    let mut input = attack().endpoint(porto(10)).input();
    for event in &mut input.mfa_events {
        event.application = Some("Acme VPN (RADIUS)".into());
    }
    let of = |input: &crate::Input| {
        let incident = crate::correlate(input).incidents.pop().unwrap();
        incident.attempts.last().unwrap().provenance.clone()
    };
    let found = of(&input);
    assert_eq!(found.missing[0].what, MissingKind::RouteUntold);
    input.directory.gateways.push(crate::Gateway {
        application: "acme vpn*".into(),
        kind: crate::GatewayKind::Vpn,
        points: vec![crate::ServicePoint {
            host: "198.51.100.80".into(),
            port: None,
        }],
    });
    // The same flows now lead to the gateway.
    assert_eq!(of(&input).verdict, ProvenanceVerdict::Elsewhere);
}

#[test]
fn elsewhere_is_capped_by_sign_ins_from_machines_that_are_not_enrolled() {
    // Every second one of the usual sign-ins was not seen on the laptop, and came from a phone's address.
    let mut story = Story::new().usual_sign_ins(10);
    for day in 0..10 {
        story = story.at(&format!("2026-03-{:02} 19:00", day + 1)).home();
        let mut origin = story.clone().prompt().events().pop().unwrap().origin;
        origin.os = Some("Android".into());
        story = story.from(origin).sign_in();
    }
    let attacked = |os: &str| {
        let story = story.clone().at(AT).attacker();
        let mut origin = story.clone().prompt().events().pop().unwrap().origin;
        origin.os = Some(os.into());
        let story = story.from(origin).event(MfaEventKind::PasswordAccepted);
        says(story.after_seconds(3).prompt().denied(), porto(10))
    };
    let (verdict, confidence, reasons) = attacked("Android");
    assert_eq!((verdict, confidence), ("elsewhere", "weak"), "{reasons}");
    assert!(reasons.contains("often signs in from machines that are not enrolled"));
    // A phone in the person's hand does not call itself a desktop.
    let (verdict, confidence, reasons) = attacked("Windows");
    assert_eq!((verdict, confidence), ("elsewhere", "strong"), "{reasons}");
}

#[test]
fn no_order_or_repetition_of_facts_shows() {
    let mut endpoint = with_flow(|_| ());
    endpoint
        .facts
        .flows
        .push(flow(ms(AT) - 9_000, ms(AT) - 1_000));
    endpoint
        .facts
        .sessions
        .push(session(SessionLock::Unlocked, Some(SessionUse::Busy)));
    let bytes = |endpoints: Vec<LinkedEndpoint>| {
        let mut input = own().denied().input();
        input.endpoints = endpoints;
        serde_json::to_string(&crate::correlate(&input)).unwrap()
    };
    let expect = bytes(vec![endpoint.clone(), laptop("porto-18")]);
    for seed in 0..24 {
        let mut other = endpoint.clone();
        let facts = &mut other.facts;
        let count = facts.flows.len();
        facts.flows.extend_from_within(..seed.min(count));
        facts.flows.rotate_left(seed * 7 % count);
        facts.flows.reverse();
        facts.sensors.reverse();
        facts.sessions.extend_from_within(..);
        facts.clock.extend_from_within(..);
        other.reporting.extend_from_within(..);
        assert_eq!(
            bytes(vec![laptop("porto-18"), other.clone(), other]),
            expect
        );
    }
}

#[test]
fn late_telemetry_changes_the_verdict_and_the_rest_stays() {
    let early = with(|e| e.reporting = vec![span("2026-02-20 00:00", "2026-03-12 02:00")]);
    unknown(attack(), early, "was not reporting");
    assert_eq!(says(attack(), porto(10)).0, "elsewhere");
}

#[test]
fn all_endpoints_must_be_silent_and_one_is_enough_for_here() {
    let story = attack().endpoint(porto(10)).endpoint(laptop("porto-18"));
    assert_eq!(judged(story).verdict, ProvenanceVerdict::Unknown);
    let story = own()
        .endpoint(with_flow(|_| ()))
        .endpoint(laptop("porto-18"));
    let found = judged(story);
    assert_eq!(found.verdict, ProvenanceVerdict::Here);
    assert_eq!(found.endpoint, Some(porto(1).id));
}
