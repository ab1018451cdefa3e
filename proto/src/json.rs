//! How console messages become JSON: the contract that scripts rely on.
//!
//! Every message of `tocsin.console.v1` implements [`serde::Serialize`] with its proto field names. On
//! top of that: `*_time_ms` is written as `*_time`, RFC 3339 UTC with milliseconds, null where it is 0;
//! an enum is its lower-case word, null where unspecified; optional messages that are absent are left
//! out. A published field stays.

use serde::Serializer;

use crate::console::v1 as console;

/// Writes Unix milliseconds as RFC 3339 UTC with three decimals, 0 as null.
///
/// # Errors
/// Only what the serializer reports.
pub fn time_ms<S: Serializer>(time_ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    match format_time_ms(*time_ms) {
        Some(text) => serializer.serialize_str(&text),
        None => serializer.serialize_none(),
    }
}

/// RFC 3339 UTC with milliseconds; `None` for 0 and for what no calendar holds.
pub fn format_time_ms(time_ms: i64) -> Option<String> {
    if time_ms == 0 {
        return None;
    }
    let time = jiff::Timestamp::from_millisecond(time_ms).ok()?;
    Some(format!("{time:.3}"))
}

/// Writes an empty text as null.
///
/// # Errors
/// Only what the serializer reports.
pub fn text_or_null<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if text.is_empty() {
        serializer.serialize_none()
    } else {
        serializer.serialize_str(text)
    }
}

/// An enum of the contract with one lower-case word per value.
pub trait Word: TryFrom<i32> + Copy + 'static {
    /// Every value that has a word, in the order of the enum.
    const ALL: &'static [Self];

    /// The word; empty for "unspecified".
    fn word(self) -> String;

    /// The value with this word.
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word() == word)
    }

    /// All words, for messages that say what is possible.
    fn words() -> Vec<String> {
        Self::ALL.iter().map(|value| value.word()).collect()
    }
}

/// Writes the word of an enum field, null where it is unspecified or unknown.
///
/// # Errors
/// Only what the serializer reports.
pub fn word<T: Word, S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    let word = T::try_from(*value).ok().map(Word::word).unwrap_or_default();
    text_or_null(&word, serializer)
}

macro_rules! words {
    ($($name:ident, $prefix:literal, [$($value:ident),+];)+) => {
        $(impl Word for console::$name {
            const ALL: &'static [Self] = &[$(Self::$value),+];

            fn word(self) -> String {
                let name = self.as_str_name();
                let word = name.strip_prefix($prefix).unwrap_or(name);
                if word == "UNSPECIFIED" { String::new() } else { word.to_ascii_lowercase() }
            }
        })+
    };
}

words! {
    Severity, "SEVERITY_", [Info, Low, Medium, High, Critical];
    IncidentState, "INCIDENT_STATE_", [New, InProgress, OnHold, Resolved, Closed];
    Verdict, "VERDICT_", [
        FalsePositive, TruePositive, Disregard, Suspicious, Benign, Test, InsufficientData, Duplicate
    ];
    SubjectKind, "SUBJECT_KIND_", [Person, Campaign];
    BeliefBand, "BELIEF_BAND_", [Unlikely, Possible, Likely, VeryLikely];
    AttemptResult, "ATTEMPT_RESULT_", [
        Prompted, Approved, Denied, Unanswered, Abandoned, FraudReported, WrongNumber, Error
    ];
    ProvenanceVerdict, "PROVENANCE_VERDICT_", [Here, Elsewhere, Unknown];
    Confidence, "CONFIDENCE_", [None, Weak, Medium, Strong];
    Basis, "BASIS_", [Measured, Judged];
    EndpointState, "ENDPOINT_STATE_", [Online, Offline, Conflict, Revoked];
    TerminalState, "TERMINAL_STATE_", [Opening, Open, Ending, Ended];
    TerminalEnd, "TERMINAL_END_", [
        Exited, Closed, Killed, Idle, TimeLimit, AgentStopped, EndpointLost, ServerStopped, Refused, Protocol,
        NotRecorded
    ];
    RolloutState, "ROLLOUT_STATE_", [Running, Paused, Stopped, Aborted, Done];
    RolloutMemberState, "ROLLOUT_MEMBER_STATE_", [
        Waiting, Updating, OnTrial, Done, Refused, Failed
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_zero_is_null() {
        assert_eq!(
            format_time_ms(1_700_000_000_120).unwrap(),
            "2023-11-14T22:13:20.120Z"
        );
        assert_eq!(
            format_time_ms(1_700_000_000_000).unwrap(),
            "2023-11-14T22:13:20.000Z"
        );
        assert_eq!(format_time_ms(0), None);
        assert_eq!(format_time_ms(i64::MAX), None);
    }

    #[test]
    fn words_go_there_and_back() {
        fn check<T: Word + PartialEq + std::fmt::Debug>() {
            for value in T::ALL {
                assert_eq!(T::from_word(&value.word()), Some(*value));
            }
            assert_eq!(T::from_word(""), None);
        }
        check::<console::Severity>();
        check::<console::IncidentState>();
        check::<console::Verdict>();
        check::<console::AttemptResult>();
        check::<console::EndpointState>();
        assert_eq!(console::IncidentState::InProgress.word(), "in_progress");
    }
}
