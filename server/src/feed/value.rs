//! Values of a foreign record, by their paths. Words that mean "not known" are absent; texts are bounded.

use serde_json::Value;

use super::RecordError;

/// Bytes of a text that is kept of a record: user agents are the longest.
const TEXT_BYTES_MAX: usize = 1024;

/// A field by its path. Some exports fold the letters of keys; they are found all the same.
pub(super) fn field<'a>(record: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(record, |value, key| {
        let object = value.as_object()?;
        object.get(*key).or_else(|| {
            let mut fields = object.iter();
            fields
                .find(|(name, _)| name.eq_ignore_ascii_case(key))
                .map(|(_, value)| value)
        })
    })
}

/// A text by its path; absent where it is one of the words by which providers say that they do not know.
pub(super) fn text(record: &Value, path: &[&str]) -> Option<String> {
    known(field(record, path)?.as_str()?)
}

/// A text, number or truth value by its path, as text: what some exports write as one, others write as another.
pub(super) fn word(record: &Value, path: &[&str]) -> Option<String> {
    scalar(field(record, path)?)
}

/// A text, number or truth value as text.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => known(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A truth value by its path, also where it is written as text.
pub(super) fn flag(record: &Value, path: &[&str]) -> Option<bool> {
    match word(record, path)?.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// The elements of a list by its path; none where there is no list.
pub(super) fn list<'a>(record: &'a Value, path: &[&str]) -> &'a [Value] {
    let found = field(record, path).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

/// An object that is written as one, or as a text that holds one.
pub(super) fn object(record: &Value, path: &[&str]) -> Option<Value> {
    match field(record, path)? {
        Value::String(text) => serde_json::from_str(text).ok().filter(Value::is_object),
        value => value.is_object().then(|| value.clone()),
    }
}

/// A text that every record of its kind has.
///
/// # Errors
/// Where it is missing, means "not known", or is something else.
pub(super) fn required(record: &Value, name: &'static str) -> Result<String, RecordError> {
    if field(record, &[name]).is_some_and(Value::is_number) {
        return Err(RecordError::Wrong {
            field: name,
            expected: "a text",
        });
    }
    required_word(record, name)
}

/// A text, or number as text, that every record of its kind has.
///
/// # Errors
/// As [`required`].
pub(super) fn required_word(record: &Value, name: &'static str) -> Result<String, RecordError> {
    let missing = RecordError::Missing { field: name };
    match field(record, &[name]) {
        None | Some(Value::Null) => Err(missing),
        Some(value @ (Value::String(_) | Value::Number(_))) => scalar(value).ok_or(missing),
        Some(_) => Err(RecordError::Wrong {
            field: name,
            expected: "a text",
        }),
    }
}

/// A text as it is kept, if it says anything.
pub(super) fn known(text: &str) -> Option<String> {
    const UNKNOWN: &[&str] = &["", "-", "null", "none", "unknown", "n/a", "undefined"];
    let is_unknown = UNKNOWN
        .iter()
        .any(|word| text.trim().eq_ignore_ascii_case(word));
    (!is_unknown).then(|| cut(text, TEXT_BYTES_MAX).to_owned())
}

/// At most so many bytes, and no half characters.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A provider's word as its machine form: "User approved" and `user_approved` are one.
pub(super) fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.trim().chars() {
        if c.is_alphanumeric() {
            folded.extend(c.to_lowercase());
        } else if !folded.ends_with('_') {
            folded.push('_');
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_for_not_known_are_absent() {
        for word in ["", " ", "-", "null", "NULL", "unknown", "Unknown", "None"] {
            assert_eq!(known(word), None, "{word}");
        }
        assert_eq!(known("nullable").as_deref(), Some("nullable"));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("aéé", 2), "a");
        assert_eq!(cut("aéé", 3), "aé");
        assert_eq!(
            known(&"é".repeat(2_000)).map(|text| text.len()),
            Some(TEXT_BYTES_MAX)
        );
    }

    #[test]
    fn a_number_and_a_truth_value_read_as_text() {
        let record = json!({ "n": 7, "yes": true, "no": "False", "o": {}, "t": "-" });
        assert_eq!(word(&record, &["n"]).as_deref(), Some("7"));
        assert_eq!(flag(&record, &["yes"]), Some(true));
        assert_eq!(flag(&record, &["no"]), Some(false));
        assert_eq!(word(&record, &["o"]), None);
        assert_eq!(word(&record, &["t"]), None);
        assert_eq!(required_word(&record, "n"), Ok("7".into()));
        assert!(required(&record, "n").is_err());
        let wrong = required(&record, "o").unwrap_err();
        assert_eq!(wrong.to_string(), "o is not a text");
        assert_eq!(
            required(&record, "t").unwrap_err().to_string(),
            "t is missing"
        );
    }

    #[test]
    fn words_in_both_spellings_fold_to_one() {
        assert_eq!(folded("User approved"), "user_approved");
        assert_eq!(folded("user_approved"), "user_approved");
        assert_eq!(folded("MFA denied, fraud code"), "mfa_denied_fraud_code");
    }

    #[test]
    fn an_object_in_a_text_is_an_object() {
        let record = json!({ "a": "{\"b\":1}", "c": { "b": 1 }, "d": "plain", "e": "[1]" });
        assert_eq!(object(&record, &["a"]), object(&record, &["c"]));
        assert_eq!(object(&record, &["d"]), None);
        assert_eq!(object(&record, &["e"]), None);
    }
}
