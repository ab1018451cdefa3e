//! Whether bytes are one JSON value.

use serde_json::value::RawValue;

/// Why these bytes are no JSON value, without any of their content.
pub(super) fn invalid(bytes: &[u8]) -> Option<String> {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return Some("is not valid UTF-8".to_owned());
    };
    let error = serde_json::from_str::<&RawValue>(text).err()?;
    let what = error.to_string();
    // Its line and column count from the record; only the column of a one-line record helps.
    let what = what.split(" at line ").next().unwrap_or_default();
    Some(format!(
        "is not valid JSON: {what} at column {} of the record",
        error.column()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_column() {
        assert_eq!(invalid(b"{\"n\":1}"), None);
        let told = invalid(b"{\"n\":1 2}").unwrap_or_default();
        assert_eq!(
            told,
            "is not valid JSON: expected `,` or `}` at column 8 of the record"
        );
        assert_eq!(invalid(b"\xff").as_deref(), Some("is not valid UTF-8"));
    }
}
