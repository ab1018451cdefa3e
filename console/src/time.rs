//! Times: as arguments name them, and as they are shown. Commands and dates are in UTC, always; screens
//! where nobody asks for another zone.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// A day in UTC, which has no leap seconds in Unix time.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Text that names no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is neither a time back from now (90m, 24h, 7d), nor a date (2026-11-24), nor a time (2026-11-24T02:10:00Z)"
)]
pub(crate) struct MomentError {
    text: String,
}

/// A time as an argument names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So long before now.
    Back(SignedDuration),
    /// A day, UTC.
    Day(Date),
    /// A time.
    At(Timestamp),
}

impl Moment {
    /// Unix milliseconds of its first millisecond. At least 1: 0 would mean "not given".
    pub(crate) fn first_ms(self, now: Timestamp) -> i64 {
        let first = match self {
            Self::Back(duration) => now.checked_sub(duration),
            Self::Day(date) => date
                .to_zoned_datetime(TimeZone::UTC)
                .map(|midnight| midnight.timestamp()),
            Self::At(time) => Ok(time),
        };
        first.map_or(1, Timestamp::as_millisecond).max(1)
    }

    /// Unix milliseconds of its last millisecond: a day includes all of it.
    pub(crate) fn last_ms(self, now: Timestamp) -> i64 {
        match self {
            Self::Day(_) => self.first_ms(now).saturating_add(DAY_MS - 1),
            Self::Back(_) | Self::At(_) => self.first_ms(now),
        }
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        let error = || MomentError {
            text: text.chars().take(64).collect(),
        };
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self::At(time));
        }
        // A date alone; the parser would take the front of a longer text for one.
        if text.len() <= 10
            && let Ok(date) = text.parse::<Date>()
        {
            return Ok(Self::Day(date));
        }
        let span: Span = text.parse().map_err(|_| error())?;
        let duration = span
            .to_duration(SpanRelativeTo::days_are_24_hours())
            .map_err(|_| error())?;
        if duration.is_negative() {
            return Err(error());
        }
        Ok(Self::Back(duration))
    }
}

/// A time on a screen, to the second; empty where there is none.
pub(crate) fn second(time_ms: i64) -> String {
    format(time_ms, "%Y-%m-%d %H:%M:%S")
}

/// A time on a screen, to the minute; empty where there is none.
pub(crate) fn minute(time_ms: i64) -> String {
    format(time_ms, "%Y-%m-%d %H:%M")
}

fn format(time_ms: i64, how: &str) -> String {
    if time_ms == 0 {
        return String::new();
    }
    Timestamp::from_millisecond(time_ms).map_or_else(
        |_| format!("{time_ms} ms"),
        |time| time.strftime(how).to_string(),
    )
}

/// In which zone a screen shows times.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Zone {
    /// UTC.
    #[default]
    Utc,
    /// This machine's.
    Local(TimeZone),
    /// That of a person's machine, and its name, unclean.
    Person(TimeZone, String),
}

impl Zone {
    /// A time to the second; empty where there is none.
    pub(crate) fn second(&self, time_ms: i64) -> String {
        self.format(time_ms, "%Y-%m-%d %H:%M:%S")
    }

    /// A time to the minute; empty where there is none.
    pub(crate) fn minute(&self, time_ms: i64) -> String {
        self.format(time_ms, "%Y-%m-%d %H:%M")
    }

    /// How a screen calls it, unclean.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Utc => "UTC".to_owned(),
            Self::Local(zone) => match zone.iana_name() {
                Some(name) => format!("local {name}"),
                None => "local time".to_owned(),
            },
            Self::Person(_, name) => format!("person's {name}"),
        }
    }

    /// How far it is ahead of UTC at that time.
    pub(crate) fn ahead_ms(&self, time_ms: i64) -> i64 {
        let time = Timestamp::from_millisecond(time_ms);
        match (self.zone(), time) {
            (Some(zone), Ok(time)) => i64::from(zone.to_offset(time).seconds()) * 1000,
            _ => 0,
        }
    }

    fn zone(&self) -> Option<&TimeZone> {
        match self {
            Self::Utc => None,
            Self::Local(zone) | Self::Person(zone, _) => Some(zone),
        }
    }

    fn format(&self, time_ms: i64, how: &str) -> String {
        let time = Timestamp::from_millisecond(time_ms);
        match (self.zone(), time) {
            (Some(zone), Ok(time)) if time_ms != 0 => time
                .to_zoned_datetime(zone.clone())
                .strftime(how)
                .to_string(),
            _ => format(time_ms, how),
        }
    }
}

/// A length of time for people: its two largest units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    /// Milliseconds.
    pub(crate) ms: u64,
}

impl Length {
    /// From one time to another; nothing where they are in the wrong order.
    pub(crate) fn between(from_ms: i64, until_ms: i64) -> Self {
        Self {
            ms: u64::try_from(until_ms.saturating_sub(from_ms)).unwrap_or(0),
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.ms / 1000;
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        match (days, hours, minutes, seconds) {
            (0, 0, 0, 0) => write!(f, "{} ms", self.ms),
            (0, 0, 0, s) => write!(f, "{s} s"),
            (0, 0, m, _) => write!(f, "{m} min"),
            (0, h, 0, _) => write!(f, "{h} h"),
            (0, h, m, _) => write!(f, "{h} h {m} min"),
            (d, 0, _, _) => write!(f, "{d} d"),
            (d, h, _, _) => write!(f, "{d} d {h} h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-24T02:10:00Z".parse().unwrap()
    }

    fn check(text: &str, first: &str, last: &str) {
        let moment: Moment = text.parse().unwrap();
        let show = |ms| tocsin_proto::json::format_time_ms(ms).unwrap();
        assert_eq!(show(moment.first_ms(now())), first, "{text}");
        assert_eq!(show(moment.last_ms(now())), last, "{text}");
    }

    #[test]
    fn times_back_from_now_dates_and_times_are_understood() {
        let same = |text, expect| check(text, expect, expect);
        same("24h", "2026-11-23T02:10:00.000Z");
        same("7d", "2026-11-17T02:10:00.000Z");
        same("90m", "2026-11-24T00:40:00.000Z");
        same("2w", "2026-11-10T02:10:00.000Z");
        same("1h30m", "2026-11-24T00:40:00.000Z");
        same("30s", "2026-11-24T02:09:30.000Z");
        same("2026-11-24T03:00:00+02:00", "2026-11-24T01:00:00.000Z");
        same("2026-11-24T03:00:00.123Z", "2026-11-24T03:00:00.123Z");
        check(
            "2026-11-20",
            "2026-11-20T00:00:00.000Z",
            "2026-11-20T23:59:59.999Z",
        );
    }

    #[test]
    fn what_names_no_time_is_refused() {
        for bad in [
            "",
            "yesterday",
            "24",
            "-24h",
            "24h ago",
            "3mo",
            "1y",
            "2026-13-01",
            "2026-11-24T03:00:00",
            "\u{1b}",
            "h",
        ] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
    }

    #[test]
    fn no_time_is_the_one_that_means_not_given() {
        let epoch: Moment = "1970-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(epoch.first_ms(now()), 1);
        let long: Moment = "99999d".parse().unwrap();
        assert_eq!(long.first_ms(now()), 1);
    }

    #[test]
    fn times_on_screens() {
        assert_eq!(second(1_700_000_000_120), "2023-11-14 22:13:20");
        assert_eq!(minute(1_700_000_000_120), "2023-11-14 22:13");
        assert_eq!(second(0), "");
        assert_eq!(second(i64::MAX), "9223372036854775807 ms");
    }

    #[test]
    fn a_zone_moves_what_is_shown_and_not_what_is_unknown() {
        let zone = TimeZone::fixed(jiff::tz::offset(-5));
        let zone = Zone::Person(zone, "Somewhere".to_owned());
        assert_eq!(zone.minute(1_700_000_000_120), "2023-11-14 17:13");
        assert_eq!(zone.second(0), "");
        assert_eq!(zone.ahead_ms(1_700_000_000_120), -5 * 3_600_000);
        assert_eq!(zone.second(i64::MAX), second(i64::MAX));
        assert_eq!(Zone::Utc.minute(1_700_000_000_120), "2023-11-14 22:13");
    }

    #[test]
    fn lengths_have_their_two_largest_units() {
        for (ms, expect) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (59_999, "59 s"),
            (2_400_000, "40 min"),
            (3_600_000, "1 h"),
            (5_400_000, "1 h 30 min"),
            (90_000_000, "1 d 1 h"),
            (86_400_000, "1 d"),
        ] {
            assert_eq!(Length { ms }.to_string(), expect);
        }
        assert_eq!(Length::between(5, 3).to_string(), "0 ms");
    }
}
