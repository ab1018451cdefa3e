//! What Okta found new or risky. Its texts look like maps and are none:
//!
//! ```text
//! behaviors   {New Geo-Location=POSITIVE, New Device=NEGATIVE, Our rule: a, b=UNKNOWN}
//! risk        {reasons=Anomalous Location, Anomalous Device, level=HIGH}
//! ```
//!
//! Commas stand between entries and within names and reasons alike. Newer records repeat both as JSON in
//! `logOnlySecurityData`, as a text or as an object.

use std::collections::BTreeMap;

use serde_json::Value;
use tocsin_correlate::{Novelty, Risk};

use crate::feed::value::{field, text};

/// Entries of one text that are read.
const ENTRIES_MAX: usize = 64;

/// What is new for the person.
pub(super) fn novelty(record: &Value) -> Novelty {
    let found = behaviors(record);
    let is = |name: &str| found.get(name).copied();
    // A new country says it all; then the distance; then what is finer and moves by itself.
    let place = match (is("new country"), is("new geo-location")) {
        (Some(true), _) => Some(true),
        (country, geo) => geo
            .or(country)
            .or_else(|| is("new state"))
            .or_else(|| is("new city")),
    };
    Novelty {
        device: is("new device"),
        address: is("new ip"),
        place,
        velocity: is("velocity"),
    }
}

/// The risk it states.
pub(super) fn risk(record: &Value) -> Option<Risk> {
    let data = |name: &str| field(record, &["debugContext", "debugData", name]);
    let by_text = data("risk").and_then(|risk| match risk {
        Value::String(text) => entries(text).get("level").and_then(|word| level(word)),
        _ => level(&text(risk, &["level"])?),
    });
    let by_log = || level(&text(&log_only(record)?, &["risk", "level"])?);
    let by_context = || level(&text(record, &["securityContext", "risk", "level"])?);
    let stated = by_text.or_else(by_log).or_else(by_context);
    let is_suspected = data("threatSuspected")
        .is_some_and(|value| value.as_bool() == Some(true) || value.as_str() == Some("true"));
    if is_suspected {
        stated.max(Some(Risk::Medium))
    } else {
        stated
    }
}

fn level(word: &str) -> Option<Risk> {
    match word.trim().to_ascii_uppercase().as_str() {
        "LOW" => Some(Risk::Low),
        "MEDIUM" => Some(Risk::Medium),
        "HIGH" => Some(Risk::High),
        _ => None,
    }
}

/// `logOnlySecurityData`, an object or a text that holds one.
fn log_only(record: &Value) -> Option<Value> {
    match field(
        record,
        &["debugContext", "debugData", "logOnlySecurityData"],
    )? {
        Value::String(text) => serde_json::from_str(text).ok(),
        value => Some(value.clone()),
    }
}

/// Behaviors by their folded names; only those that say yes or no.
fn behaviors(record: &Value) -> BTreeMap<String, bool> {
    let mut found = BTreeMap::new();
    let mut put = |name: &str, word: &str| {
        let value = match word.trim() {
            "POSITIVE" => true,
            "NEGATIVE" => false,
            _ => return,
        };
        if found.len() < ENTRIES_MAX {
            found
                .entry(name.trim().to_ascii_lowercase())
                .or_insert(value);
        }
    };
    match field(record, &["debugContext", "debugData", "behaviors"]) {
        Some(Value::String(text)) => {
            for (name, word) in &entries(text) {
                put(name, word);
            }
        }
        Some(object) => put_all(object, &mut put),
        None => {}
    }
    if let Some(object) = log_only(record)
        .as_ref()
        .and_then(|log| field(log, &["behaviors"]))
    {
        put_all(object, &mut put);
    }
    found
}

fn put_all(object: &Value, put: &mut impl FnMut(&str, &str)) {
    for (name, word) in object.as_object().into_iter().flatten() {
        put(name, word.as_str().unwrap_or_default());
    }
}

/// Entries of a text that looks like a map. A piece between commas that has no `=` goes on with the entry
/// before it; one that has none before it goes on with the name behind it.
fn entries(text: &str) -> BTreeMap<String, String> {
    let inner = text.trim().trim_start_matches('{').trim_end_matches('}');
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut begun: Option<String> = None;
    for piece in inner.split(", ").take(ENTRIES_MAX * 4) {
        let Some((name, value)) = piece.rsplit_once('=') else {
            match entries.last_mut() {
                // "reasons=a, b": a value goes on. A behavior's value is one word, so there a name begins.
                Some((_, last)) if !is_behavior(last) => {
                    last.push_str(", ");
                    last.push_str(piece);
                }
                _ => {
                    let name = begun
                        .take()
                        .map_or(piece.to_owned(), |name| format!("{name}, {piece}"));
                    begun = Some(name);
                }
            }
            continue;
        };
        let name = begun
            .take()
            .map_or(name.to_owned(), |begun| format!("{begun}, {name}"));
        entries.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    entries.into_iter().take(ENTRIES_MAX).collect()
}

fn is_behavior(value: &str) -> bool {
    matches!(value, "POSITIVE" | "NEGATIVE" | "UNKNOWN" | "BAD_REQUEST")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(name: &str, value: Value) -> Value {
        json!({ "debugContext": { "debugData": { name: value } } })
    }

    fn read(behaviors: &str) -> Novelty {
        novelty(&record("behaviors", behaviors.into()))
    }

    #[test]
    fn behaviors_are_read_from_their_text() {
        let found = read(
            "{New Geo-Location=POSITIVE, New Device=NEGATIVE, New IP=POSITIVE, New State=NEGATIVE, New \
             Country=NEGATIVE, Velocity=UNKNOWN, New City=BAD_REQUEST}",
        );
        let expect = Novelty {
            device: Some(false),
            address: Some(true),
            place: Some(true),
            velocity: None,
        };
        assert_eq!(found, expect);
    }

    #[test]
    fn a_behavior_may_be_named_anything() {
        let found = read(
            "{Our rule: any, thing = 1=POSITIVE, 8f3a-{x}=NEGATIVE, New Device=POSITIVE, a, b=NEGATIVE, \
             New IP=NEGATIVE}",
        );
        assert_eq!((found.device, found.address), (Some(true), Some(false)));
    }

    #[test]
    fn a_new_country_outweighs_a_short_distance() {
        let found = read("{New Geo-Location=NEGATIVE, New Country=POSITIVE}");
        assert_eq!(found.place, Some(true));
        let found = read("{New Geo-Location=NEGATIVE, New Country=NEGATIVE, New City=POSITIVE}");
        assert_eq!(found.place, Some(false));
    }

    #[test]
    fn risk_has_commas_in_its_reasons() {
        let of = |text: &str| risk(&record("risk", text.into()));
        assert_eq!(
            of("{reasons=Anomalous Location, Anomalous Device, level=HIGH}"),
            Some(Risk::High)
        );
        assert_eq!(
            of("{level=MEDIUM, reasons=Anomalous Location, New ASN}"),
            Some(Risk::Medium)
        );
        assert_eq!(of("{level=LOW}"), Some(Risk::Low));
        assert_eq!(of("{reasons=level, HIGH}"), None);
    }

    #[test]
    fn both_are_read_from_json_too() {
        let log = json!({
            "risk": { "level": "HIGH" },
            "behaviors": { "New Device": "POSITIVE", "New IP": "NEGATIVE" },
        });
        for value in [log.clone(), log.to_string().into()] {
            let record = record("logOnlySecurityData", value);
            assert_eq!(risk(&record), Some(Risk::High));
            assert_eq!(novelty(&record).device, Some(true));
            assert_eq!(novelty(&record).address, Some(false));
        }
    }

    #[test]
    fn a_suspected_threat_is_at_least_medium() {
        assert_eq!(
            risk(&record("threatSuspected", "true".into())),
            Some(Risk::Medium)
        );
        assert_eq!(risk(&record("threatSuspected", "false".into())), None);
    }

    #[test]
    fn nonsense_says_nothing() {
        for text in [
            "",
            "{",
            "}",
            "{}",
            "=",
            "{=}",
            ", , ,",
            "{a=b=c",
            "{New Device}",
        ] {
            assert_eq!(read(text), Novelty::default(), "{text}");
            assert_eq!(risk(&record("risk", text.into())), None, "{text}");
        }
        assert_eq!(
            novelty(&record("behaviors", json!([1, 2]))),
            Novelty::default()
        );
    }
}
