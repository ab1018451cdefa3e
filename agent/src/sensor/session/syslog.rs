//! Lines of a syslog file, in the two forms that are in use. Pure.
//!
//! ```text
//! 2026-11-24T04:48:45.462754+00:00 vm sshd[26181]: Accepted password for alice ...
//! Nov 24 04:48:45 vm sshd[26181]: Accepted password for alice ...
//! ```
//!
//! The second has no year and no zone: it is of this machine's zone and of the latest year in which it is not
//! in the future. Any local user can have a line written; the file does not say who did.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A line taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// When, Unix milliseconds.
    pub(crate) time_ms: i64,
    /// The program's name for itself.
    pub(crate) program: &'a str,
    /// Its process, where it says so.
    pub(crate) pid: Option<u32>,
    /// What it wrote.
    pub(crate) message: &'a str,
}

/// What the short form leaves out.
#[derive(Debug, Clone)]
pub(crate) struct Calendar {
    zone: TimeZone,
    now: Timestamp,
}

impl Calendar {
    /// For lines written up to `now_ms`.
    pub(crate) fn new(zone: TimeZone, now_ms: i64) -> Self {
        let now = Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        Self { zone, now }
    }

    /// `Nov 24 04:48:45` as Unix milliseconds.
    fn resolve(&self, stamp: &str) -> Option<i64> {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let mut words = stamp.split_ascii_whitespace();
        let name = words.next()?;
        let month = MONTHS.iter().position(|&month| month == name)? + 1;
        let day: i8 = words.next()?.parse().ok()?;
        let mut clock = words.next()?.splitn(3, ':').map(str::parse::<i8>);
        let (hour, minute, second) = (
            clock.next()?.ok()?,
            clock.next()?.ok()?,
            clock.next()?.ok()?,
        );
        let month = i8::try_from(month).ok()?;
        let latest = self.now.checked_add(Span::new().hours(24)).ok()?;
        let year = self.zone.to_datetime(self.now).year();
        // 29 February needs a leap year; a new year's first lines are of the next one.
        (0..=8).map(|back| year + 1 - back).find_map(|year| {
            let date = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
            let time = self.zone.to_timestamp(date).ok()?;
            (time <= latest).then(|| time.as_millisecond())
        })
    }
}

/// Takes a line apart; `None` where it has neither form.
pub(crate) fn parse<'a>(line: &'a str, calendar: &Calendar) -> Option<Line<'a>> {
    let line = strip_priority(line.trim_end_matches(['\n', '\r']));
    let (time_ms, rest) = if line.starts_with(|first: char| first.is_ascii_digit()) {
        let (stamp, rest) = line.split_once(' ')?;
        (stamp.parse::<Timestamp>().ok()?.as_millisecond(), rest)
    } else {
        let (stamp, rest) = line.split_at_checked(15)?;
        (calendar.resolve(stamp)?, rest.strip_prefix(' ')?)
    };
    let (_host, rest) = rest.split_once(' ')?;
    let (tag, message) = rest.split_once(':')?;
    let (program, pid) = match tag.split_once('[') {
        Some((program, pid)) => (program, pid.trim_end_matches(']').parse().ok()),
        None => (tag, None),
    };
    Some(Line {
        time_ms,
        // gdm's name for itself ends so: `gdm-password]`.
        program: program.trim_end_matches(']'),
        pid: pid.filter(|&pid| pid != 0),
        message: message.strip_prefix(' ').unwrap_or(message),
    })
}

/// Without `<86>` at its front.
fn strip_priority(line: &str) -> &str {
    line.strip_prefix('<')
        .and_then(|rest| rest.split_once('>'))
        .filter(|(number, _)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
        .map_or(line, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(now: &str) -> Calendar {
        let now: Timestamp = now.parse().unwrap();
        Calendar::new(TimeZone::UTC, now.as_millisecond())
    }

    fn time(line: &str, now: &str) -> String {
        let line = parse(line, &calendar(now)).unwrap();
        Timestamp::from_millisecond(line.time_ms)
            .unwrap()
            .to_string()
    }

    #[test]
    fn both_forms_say_the_same() {
        let calendar = calendar("2026-11-24T05:00:00Z");
        let long = "2026-11-24T04:48:45.462754+00:00 vm sshd[26181]: Accepted password: x\n";
        let short = "<86>Nov 24 04:48:45 vm sshd[26181]: Accepted password: x";
        let long = parse(long, &calendar).unwrap();
        let short = parse(short, &calendar).unwrap();
        assert_eq!(long.time_ms, 1_795_495_725_462);
        assert_eq!(short.time_ms, 1_795_495_725_000);
        assert_eq!(
            (long.program, long.pid, long.message),
            ("sshd", Some(26181), "Accepted password: x")
        );
        assert_eq!(long.message, short.message);
    }

    #[test]
    fn a_line_of_last_december_is_not_of_the_next() {
        assert_eq!(
            time("Dec 31 23:59:59 vm su: x", "2027-01-01T00:10:00Z"),
            "2026-12-31T23:59:59Z"
        );
        assert_eq!(
            time("Jan  1 00:00:01 vm su: x", "2027-01-01T00:10:00Z"),
            "2027-01-01T00:00:01Z"
        );
        assert_eq!(
            time("Feb 29 12:00:00 vm su: x", "2026-03-05T00:00:00Z"),
            "2024-02-29T12:00:00Z"
        );
    }

    #[test]
    fn programs_without_a_process_and_with_odd_names() {
        let calendar = calendar("2026-11-24T05:00:00Z");
        let sudo = parse("Nov 24 04:48:45 vm sudo:    alice : TTY=pts/0", &calendar).unwrap();
        assert_eq!(
            (sudo.program, sudo.pid, sudo.message),
            ("sudo", None, "   alice : TTY=pts/0")
        );
        let gdm = parse("Nov 24 04:48:45 vm gdm-password][77]: x", &calendar).unwrap();
        assert_eq!((gdm.program, gdm.pid), ("gdm-password", Some(77)));
    }

    #[test]
    fn what_is_no_line_is_none() {
        let calendar = calendar("2026-11-24T05:00:00Z");
        for line in [
            "",
            "x",
            "Nov",
            "Nov 24 99:00:00 vm a: b",
            "2026 vm a: b",
            "Äää 24 04:48:45 vm a: b",
        ] {
            assert_eq!(parse(line, &calendar), None, "{line}");
        }
    }
}
