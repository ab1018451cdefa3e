//! What is usual for a person, in lines that commands and screens share. The texts are of providers' records: unclean.

use tocsin_proto::console::v1::{Habit, Habits};

use super::count;
use crate::output::style::Style;

/// What is named of each kind where one line has to hold it.
const NAMED_MAX: usize = 4;

/// In which zone hours are told: its name and how far it is ahead of UTC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HoursIn<'a> {
    /// As it is called.
    pub(crate) zone: &'a str,
    /// Milliseconds; hours are moved by whole ones.
    pub(crate) ahead_ms: i64,
}

/// Name, text and meaning of each line; `when` says a time.
pub(crate) fn lines(
    habits: Option<&Habits>,
    hours: HoursIn<'_>,
    when: impl Fn(i64) -> String,
) -> Vec<(&'static str, String, Style)> {
    let Some(habits) = habits else {
        let said = "nothing yet: no sign-in was taken as this person's own";
        return vec![("Known", said.to_owned(), Style::Medium)];
    };
    let learned = format!(
        "{} on {}",
        count(habits.sign_ins.into(), "sign-in"),
        count(habits.days.into(), "day")
    );
    let known = match (habits.enough_known, habits.enough_known_of_hours) {
        (true, true) => (learned, Style::Plain),
        (true, false) => (learned + ": too few to call an hour unusual", Style::Medium),
        (false, _) => (
            learned + ": too few to call a place, a device or an hour unusual",
            Style::Medium,
        ),
    };
    let mut lines = vec![("Known", known.0, known.1)];
    for (name, list) in [
        ("Networks", &habits.networks),
        ("Addresses", &habits.addresses),
        ("Devices", &habits.devices),
        ("Clients", &habits.clients),
    ] {
        lines.push((name, named(list, &when), Style::Plain));
    }
    lines.push(("Hours", hours_text(&habits.hours_utc, hours), Style::Plain));
    lines
}

fn named(list: &[Habit], when: impl Fn(i64) -> String) -> String {
    let first = list.iter().take(NAMED_MAX);
    let first = first.map(|one| format!("{} (last {})", one.text, when(one.last_seen_time_ms)));
    let mut said = first.collect::<Vec<_>>().join("; ");
    match (list.len(), list.len().checked_sub(NAMED_MAX + 1)) {
        (0, _) => said.push_str("none known"),
        (_, Some(more)) => said += &format!("; and {} more", more + 1),
        (_, None) => {}
    }
    said
}

/// "08-11, 13-18 (UTC)": the hours in which somebody signed in, each from its first minute to its last.
fn hours_text(counts_utc: &[u32], hours: HoursIn<'_>) -> String {
    const HOUR_MS: i64 = 3_600_000;
    let ahead = hours.ahead_ms.div_euclid(HOUR_MS);
    let has = |hour: i64| {
        let utc = usize::try_from((hour - ahead).rem_euclid(24)).unwrap_or(0);
        counts_utc.get(utc).is_some_and(|count| *count > 0)
    };
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for hour in (0..24).filter(|hour| has(*hour)) {
        match ranges.last_mut() {
            Some((_, end)) if *end == hour => *end = hour + 1,
            _ => ranges.push((hour, hour + 1)),
        }
    }
    if ranges.is_empty() {
        return "none known".to_owned();
    }
    let ranges = ranges
        .iter()
        .map(|(begin, end)| format!("{begin:02}-{end:02}"));
    let ranges = ranges.collect::<Vec<_>>().join(", ");
    format!(
        "{ranges} h {}; the hour before and after counts too",
        hours.zone
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTC: HoursIn<'static> = HoursIn {
        zone: "UTC",
        ahead_ms: 0,
    };

    #[test]
    fn hours_are_told_as_ranges_in_the_zone_that_is_shown() {
        let mut counts = vec![0; 24];
        for hour in [8, 9, 10, 13, 23] {
            counts[hour] = 2;
        }
        let said = hours_text(&counts, UTC);
        assert!(said.starts_with("08-11, 13-14, 23-24 h UTC;"), "{said}");
        let east = HoursIn {
            zone: "UTC+2",
            ahead_ms: 7_200_000,
        };
        let said = hours_text(&counts, east);
        assert!(said.starts_with("01-02, 10-13, 15-16 h UTC+2;"), "{said}");
        assert_eq!(hours_text(&[], UTC), "none known");
    }

    #[test]
    fn the_first_are_named_and_the_others_counted() {
        let habit = |n: i64| Habit {
            text: format!("n{n}"),
            last_seen_time_ms: n,
        };
        let list: Vec<_> = (0..9).map(habit).collect();
        let said = named(&list, |ms| ms.to_string());
        assert_eq!(
            said,
            "n0 (last 0); n1 (last 1); n2 (last 2); n3 (last 3); and 5 more"
        );
        let said = named(&list[..4], |ms| ms.to_string());
        assert!(said.ends_with("n3 (last 3)"), "{said}");
    }

    #[test]
    fn of_whom_little_is_known_nothing_is_called_unusual() {
        let said = lines(None, UTC, |ms| ms.to_string());
        assert!(said[0].1.contains("nothing yet"), "{said:?}");
        let habits = Habits {
            sign_ins: 2,
            days: 1,
            ..Habits::default()
        };
        let said = lines(Some(&habits), UTC, |ms| ms.to_string());
        assert!(
            said[0].1.starts_with("2 sign-ins on 1 day: too few"),
            "{said:?}"
        );
        assert_eq!(said.len(), 6);
    }
}
