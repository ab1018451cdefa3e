//! What is usual for a person.

use tocsin_proto::console::v1::{Habit, Habits};

use super::NIGHT_MS;

pub(super) fn usual(foreign: &impl Fn(&str) -> String) -> Habits {
    let habit = |text: &str| Habit {
        text: foreign(text),
        last_seen_time_ms: NIGHT_MS - 36_000_000,
    };
    let mut hours_utc = vec![0; 24];
    for hour in [8, 9, 10, 13, 14] {
        hours_utc[hour] = 3;
    }
    Habits {
        sign_ins: 15,
        days: 8,
        enough_known: true,
        enough_known_of_hours: true,
        networks: vec![habit("AS64500, Porto, PT")],
        addresses: vec![habit("192.0.2.4"), habit("192.0.2.9")],
        devices: vec![habit("device 1f0e")],
        clients: vec![habit("firefox on linux")],
        hours_utc,
    }
}
