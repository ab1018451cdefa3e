//! Tests of what is usual for a person.

use super::*;
use crate::input::Place;

fn origin(ip: &str, token: &str) -> Origin {
    Origin {
        ip: Some(ip.parse().unwrap()),
        asn: Some(64_500),
        place: Place {
            country: Some("PT".into()),
            region: None,
            city: Some("Porto".into()),
        },
        device_token: Some(token.into()),
        os: Some("Linux".into()),
        browser: Some("FIREFOX".into()),
        ..Origin::default()
    }
}

fn abroad(ip: &str, token: &str) -> Origin {
    Origin {
        asn: Some(64_999),
        place: Place {
            country: Some("RO".into()),
            region: None,
            city: None,
        },
        os: Some("Windows".into()),
        ..origin(ip, token)
    }
}

fn known() -> Baseline {
    let mut baseline = Baseline::default();
    for day in 0..6 {
        baseline.learn(&origin("192.0.2.1", "laptop"), day * DAY_MS + 9 * HOUR_MS);
        baseline.learn(&origin("192.0.2.1", "laptop"), day * DAY_MS + 14 * HOUR_MS);
    }
    baseline
}

const NOW_MS: i64 = 7 * DAY_MS;

#[test]
fn nothing_is_unusual_for_a_person_of_whom_nothing_is_known() {
    let baseline = Baseline::default();
    let somewhere = origin("192.0.2.1", "laptop");
    let silent = Novelty::default();
    assert_eq!(
        baseline.place(&somewhere, silent, NOW_MS, true),
        Standing::Unknown
    );
    assert_eq!(
        baseline.device(&somewhere, silent, NOW_MS, true),
        Standing::Unknown
    );
    assert_eq!(baseline.hour(NOW_MS), Standing::Unknown);
}

#[test]
fn another_address_of_the_same_network_and_city_is_usual() {
    let moved = origin("192.0.2.77", "laptop");
    assert_eq!(
        known().place(&moved, Novelty::default(), NOW_MS, true),
        Standing::Usual
    );
}

#[test]
fn a_new_country_and_machine_are_unusual() {
    let away = abroad("198.51.100.9", "other");
    let baseline = known();
    assert_eq!(
        baseline.place(&away, Novelty::default(), NOW_MS, true),
        Standing::Unusual
    );
    assert_eq!(
        baseline.device(&away, Novelty::default(), NOW_MS, true),
        Standing::Unusual
    );
    assert!(baseline.is_new_country(&away, NOW_MS));
}

#[test]
fn a_common_browser_does_not_make_a_machine_usual_elsewhere() {
    let alike = Origin {
        device_token: None,
        ..origin("198.51.100.9", "")
    };
    let standing = known().device(&alike, Novelty::default(), NOW_MS, true);
    assert_eq!(standing, Standing::Unknown);
    let at_home = Origin {
        device_token: None,
        ..origin("192.0.2.1", "")
    };
    assert_eq!(
        known().device(&at_home, Novelty::default(), NOW_MS, true),
        Standing::Usual
    );
}

#[test]
fn a_machine_of_another_name_is_another_however_alike_and_wherever() {
    let named = |name: &str| Origin {
        device_token: None,
        device_id: Some(name.into()),
        ..origin("192.0.2.1", "")
    };
    let mut baseline = Baseline::default();
    for day in 0..6 {
        baseline.learn(&named("laptop"), day * DAY_MS + 9 * HOUR_MS);
        baseline.learn(&named("laptop"), day * DAY_MS + 14 * HOUR_MS);
    }
    let standing = |origin: &Origin| baseline.device(origin, Novelty::default(), NOW_MS, true);
    assert_eq!(standing(&named("another")), Standing::Unusual);
    let unnamed = Origin {
        device_id: None,
        ..named("")
    };
    assert_eq!(standing(&unnamed), Standing::Unknown);
    let away = Origin {
        ip: Some("198.51.100.9".parse().unwrap()),
        ..unnamed.clone()
    };
    assert_eq!(standing(&away), Standing::Unusual);
    baseline.learn(&unnamed, 6 * DAY_MS);
    let standing = baseline.device(&unnamed, Novelty::default(), NOW_MS, true);
    assert_eq!(standing, Standing::Usual);
}

#[test]
fn the_provider_is_believed_only_where_nothing_is_known() {
    let seen = Novelty {
        device: Some(false),
        address: Some(false),
        ..Novelty::default()
    };
    let away = abroad("198.51.100.9", "other");
    assert_eq!(
        Baseline::default().place(&away, seen, NOW_MS, true),
        Standing::Usual
    );
    assert_eq!(
        Baseline::default().place(&away, seen, NOW_MS, false),
        Standing::Unknown
    );
    assert_eq!(known().place(&away, seen, NOW_MS, true), Standing::Unusual);
    let new = Novelty {
        device: Some(true),
        place: Some(true),
        ..Novelty::default()
    };
    assert_eq!(
        Baseline::default().place(&away, new, NOW_MS, true),
        Standing::Unusual
    );
    assert_eq!(
        Baseline::default().device(&away, new, NOW_MS, true),
        Standing::Unusual
    );
}

#[test]
fn hours_are_usual_with_their_neighbors() {
    let baseline = known();
    for (hour, expect) in [
        (8, Standing::Usual),
        (10, Standing::Usual),
        (2, Standing::Unusual),
        (23, Standing::Unusual),
    ] {
        assert_eq!(baseline.hour(NOW_MS + hour * HOUR_MS), expect, "{hour}");
    }
}

#[test]
fn a_new_place_with_a_new_machine_becomes_usual_on_the_third_day() {
    let mut baseline = known();
    let away = abroad("198.51.100.9", "other");
    for (day, expect) in [
        (7, Standing::Unusual),
        (8, Standing::Unusual),
        (9, Standing::Usual),
    ] {
        baseline.learn_tentatively(&away, day * DAY_MS);
        baseline.learn_tentatively(&away, day * DAY_MS + HOUR_MS);
        let now_ms = day * DAY_MS + 2 * HOUR_MS;
        assert_eq!(
            baseline.place(&away, Novelty::default(), now_ms, true),
            expect,
            "{day}"
        );
    }
}

#[test]
fn what_was_not_seen_for_a_season_is_no_longer_usual() {
    let home = origin("192.0.2.1", "laptop");
    let later_ms = NOW_MS + 91 * DAY_MS;
    let standing = known().place(&home, Novelty::default(), later_ms, true);
    assert_eq!(standing, Standing::Unusual);
}

#[test]
fn it_remembers_a_bounded_number_of_values() {
    let mut baseline = Baseline::default();
    for n in 0..3_000_u32 {
        let ip = core::net::Ipv4Addr::from_bits(n).to_string();
        baseline.learn(&origin(&ip, &format!("t{n}")), i64::from(n));
        baseline.learn_tentatively(&abroad(&ip, &format!("u{n}")), i64::from(n));
    }
    assert!(baseline.seen.len() <= VALUES_MAX);
    assert!(baseline.tentative.len() <= VALUES_MAX);
}

#[test]
fn a_snapshot_goes_to_json_and_back() {
    let text = serde_json::to_string(&known()).unwrap();
    assert_eq!(serde_json::from_str::<Baseline>(&text).unwrap(), known());
}
