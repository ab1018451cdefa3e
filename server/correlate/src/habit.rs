//! What is usual for a person in words, for people to read: the [baseline](crate::baseline) judges by values of its own.

use serde::{Deserialize, Serialize};

/// What is named of each kind, the newest.
pub const HABITS_MAX: usize = 20;

/// What is usual for a person, as of some time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Habits {
    /// Sign-ins that it was learned from; those that are suspected taught nothing.
    pub sign_ins: u32,
    /// Different days with one.
    pub days: u32,
    /// Whether enough is known to call a place or a device unusual.
    pub enough_known: bool,
    /// Whether enough is known to call an hour unusual.
    pub enough_known_of_hours: bool,
    /// Networks with their cities, newest first; at most [`HABITS_MAX`].
    pub networks: Vec<Habit>,
    /// Addresses, likewise.
    pub addresses: Vec<Habit>,
    /// What names a machine, likewise.
    pub devices: Vec<Habit>,
    /// Systems and browsers, likewise.
    pub clients: Vec<Habit>,
    /// Sign-ins by the hour of the day, UTC: 24 numbers.
    pub hours_utc: Vec<u32>,
}

/// Something that is usual for a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Habit {
    /// In words; of providers' records, as they are.
    pub text: String,
    /// When it was seen last.
    pub last_seen_time_ms: i64,
}

/// The newest of them, newest first.
pub(crate) fn newest(mut habits: Vec<Habit>) -> Vec<Habit> {
    habits.sort_by(|a, b| {
        let time = b.last_seen_time_ms.cmp(&a.last_seen_time_ms);
        time.then_with(|| a.text.cmp(&b.text))
    });
    habits.truncate(HABITS_MAX);
    habits
}

/// "64500/PT/Porto" in words.
pub(crate) fn network_words(value: &str) -> String {
    let mut parts = value.splitn(3, '/');
    let mut part = || parts.next().unwrap_or("?");
    let (asn, country, city) = (part(), part(), part());
    match city {
        "?" => format!("AS{asn}, {country}"),
        city => format!("AS{asn}, {city}, {country}"),
    }
}

/// "windows/firefox" in words; what a client calls itself where it is not known better, as it is.
pub(crate) fn client_words(value: &str) -> String {
    match value.split_once('/') {
        Some((os, "?")) => os.to_owned(),
        Some(("?", browser)) => browser.to_owned(),
        Some((os, browser)) if !browser.contains(['/', ' ']) => format!("{browser} on {os}"),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate;
    use crate::story::Story;

    #[test]
    fn words_for_what_the_baseline_keeps() {
        assert_eq!(network_words("64500/PT/Porto"), "AS64500, Porto, PT");
        assert_eq!(network_words("64500/PT/?"), "AS64500, PT");
        assert_eq!(client_words("windows/firefox"), "firefox on windows");
        assert_eq!(client_words("?/chrome"), "chrome");
        assert_eq!(
            client_words("Mozilla/5.0 (X11; Linux)"),
            "Mozilla/5.0 (X11; Linux)"
        );
    }

    #[test]
    fn what_a_person_does_is_usual_and_what_an_attacker_does_is_not() {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:10")
            .attacker();
        let story = (0..6).fold(story, |story, _| story.prompt().denied().after_minutes(3));
        let usual = correlate(&story.prompt().approved().input()).habits;
        assert!(
            usual.enough_known && usual.enough_known_of_hours,
            "{usual:?}"
        );
        assert_eq!(usual.hours_utc.iter().sum::<u32>(), usual.sign_ins);
        assert_eq!(usual.hours_utc.get(2), Some(&0), "nobody signs in at night");
        assert_eq!(
            (usual.networks.len(), usual.addresses.len()),
            (1, 1),
            "{usual:?}"
        );
        assert!(!usual.devices.is_empty() || !usual.clients.is_empty());
    }

    #[test]
    fn the_newest_are_named() {
        let habit = |n: i64| Habit {
            text: n.to_string(),
            last_seen_time_ms: n,
        };
        let found = newest((0..99).map(habit).collect());
        assert_eq!(found.len(), HABITS_MAX);
        assert_eq!(found.first(), Some(&habit(98)));
    }
}
