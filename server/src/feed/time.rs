//! Times as providers write them: RFC 3339 with any offset, without a zone (which means UTC), or as a number
//! of seconds, milliseconds or microseconds since 1970.

use serde_json::Value;

use super::RecordError;
use super::value::{field, scalar};

/// Earliest time that a record can have: 2008, when none of these services wrote such logs.
const TIME_MS_MIN: i64 = 1_199_145_600_000;

/// Numbers from here on are milliseconds: as seconds they would be in the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// Numbers from here on are microseconds: as milliseconds they would be in the year 5138.
const MICROSECONDS_FROM: i64 = 100_000_000_000_000;

/// Unix milliseconds of a text or number; `None` where it is no time.
pub(super) fn time_ms(value: &Value) -> Option<i64> {
    let ms = match value {
        Value::Number(number) => epoch(number.as_i64()?),
        Value::String(text) => by_text(text.trim()),
        _ => None,
    };
    ms.filter(|ms| *ms >= TIME_MS_MIN)
}

/// The time of a record, at the first of these paths that has anything.
///
/// # Errors
/// Where there is none, or something else.
pub(super) fn required_time_ms(
    record: &Value,
    paths: &[(&'static str, &[&str])],
) -> Result<i64, RecordError> {
    let found = paths.iter().find_map(|(name, path)| {
        let value = field(record, path).filter(|value| scalar(value).is_some())?;
        Some((*name, value))
    });
    let Some((name, value)) = found else {
        let field = paths.first().map_or("time", |(name, _)| name);
        return Err(RecordError::Missing { field });
    };
    time_ms(value).ok_or(RecordError::Wrong {
        field: name,
        expected: "a time (RFC 3339)",
    })
}

/// The time of a record that is never a number.
///
/// # Errors
/// As [`required_time_ms`].
pub(super) fn required_text_time_ms(
    record: &Value,
    name: &'static str,
) -> Result<i64, RecordError> {
    let is_number = field(record, &[name])
        .and_then(scalar)
        .is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    if is_number {
        return Err(RecordError::Wrong {
            field: name,
            expected: "a time (RFC 3339)",
        });
    }
    required_time_ms(record, &[(name, &[name])])
}

fn by_text(text: &str) -> Option<i64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return epoch(text.parse().ok()?);
    }
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return Some(stamp.as_millisecond());
    }
    // OneLogin's own "2026-03-12 02:10:11 UTC".
    let bare = text.strip_suffix("UTC").unwrap_or(text).trim_end();
    let civil = bare.parse::<jiff::civil::DateTime>().ok()?;
    let stamp = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
    Some(stamp.as_millisecond())
}

fn epoch(whole: i64) -> Option<i64> {
    match whole {
        ..MILLISECONDS_FROM => whole.checked_mul(1000),
        MILLISECONDS_FROM..MICROSECONDS_FROM => Some(whole),
        _ => Some(whole / 1000),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MS: i64 = 1_773_281_411_000;

    #[test]
    fn every_spelling_of_one_time_is_one_time() {
        for value in [
            json!("2026-03-12T02:10:11Z"),
            json!("2026-03-12T02:10:11.0000000Z"),
            json!("2026-03-11T21:10:11-05:00"),
            json!("2026-03-12T02:10:11+00:00"),
            json!("2026-03-12 02:10:11"),
            json!("2026-03-12 02:10:11.000000000"),
            json!("2026-03-12 02:10:11 UTC"),
            json!(1_773_281_411),
            json!(1_773_281_411_000_i64),
            json!(1_773_281_411_000_000_i64),
            json!("1773281411"),
        ] {
            assert_eq!(time_ms(&value), Some(MS), "{value}");
        }
        assert_eq!(
            time_ms(&json!("2026-03-12T02:10:11.123456Z")),
            Some(MS + 123)
        );
        assert_eq!(
            time_ms(&json!("2026-03-12 02:10:11.983201900")),
            Some(MS + 983)
        );
    }

    #[test]
    fn what_is_no_time_is_none() {
        for value in [
            json!("yesterday"),
            json!(""),
            json!("1970-01-01T00:00:00Z"),
            json!(0),
            json!(-5),
            json!(1.5),
            json!(true),
            json!("99999999999999999999999"),
            json!("2026-13-12T02:10:11Z"),
        ] {
            assert_eq!(time_ms(&value), None, "{value}");
        }
    }

    #[test]
    fn a_missing_time_and_a_wrong_one_are_told_apart() {
        let paths: &[(&str, &[&str])] = &[("time", &["time"]), ("id.time", &["id", "time"])];
        let error = |record| required_time_ms(&record, paths).unwrap_err().to_string();
        assert_eq!(error(json!({})), "time is missing");
        assert_eq!(
            error(json!({ "time": "-", "id": { "time": "soon" } })),
            "id.time is not a time (RFC 3339)"
        );
    }
}
