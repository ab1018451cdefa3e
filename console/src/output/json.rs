//! JSON that is harmless on a terminal too.
//!
//! JSON lets most characters stand for themselves, also those by which a terminal is taken over (DEL, C1
//! controls) or a reader deceived (bidirectional controls, characters without width). Whatever
//! [`crate::text`] would not let pass is written as a `\u` escape here, which every reader of JSON turns back
//! into the same character: nothing changes for scripts.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;

use crate::text;

/// How the parts of a value are set out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// On one line.
    Line,
    /// Over several lines.
    Page,
}

/// A value as JSON, without a line break at its end.
///
/// # Errors
/// Only what the value's own [`Serialize`] reports.
pub(crate) fn render<T: Serialize + ?Sized>(value: &T, layout: Layout) -> io::Result<String> {
    let json = match layout {
        Layout::Line => serde_json::to_string(value),
        Layout::Page => serde_json::to_string_pretty(value),
    };
    Ok(harmless(json?))
}

/// Escapes what a terminal would obey or hide. Outside its strings JSON has printable ASCII and, between
/// its lines, line feeds only, so whatever else is found stands in a string.
fn harmless(json: String) -> String {
    if json
        .bytes()
        .all(|byte| byte == b'\n' || (0x20..0x7f).contains(&byte))
    {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if c == '\n' || !text::is_hidden(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _always_ok = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hidden_characters_are_escaped() {
        let render = |text: &str| render(text, Layout::Line).unwrap();
        assert_eq!(render("a\x1b[2J\x7f\u{9b}"), r#""a\u001b[2J\u007f\u009b""#);
        assert_eq!(
            render("\u{202e}\u{200b}\u{e0041}"),
            r#""\u202e\u200b\udb40\udc41""#
        );
        assert_eq!(render("Żółć 🦀 \"x\"\n"), r#""Żółć 🦀 \"x\"\n""#);
    }

    #[test]
    fn a_page_keeps_its_line_breaks() {
        let value = serde_json::json!({ "a": ["\u{202e}"] });
        assert_eq!(
            render(&value, Layout::Page).unwrap(),
            "{\n  \"a\": [\n    \"\\u202e\"\n  ]\n}"
        );
    }

    proptest! {
        #[test]
        fn it_is_read_back_as_it_was_and_shows_everything(text in any::<String>(), key in any::<String>()) {
            let value = serde_json::json!({ key: [text] });
            for layout in [Layout::Line, Layout::Page] {
                let json = render(&value, layout).unwrap();
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&json).unwrap(), &value);
                prop_assert!(json.chars().all(|c| c == '\n' || !text::is_hidden(c)));
            }
        }
    }
}
