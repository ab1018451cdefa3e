//! Texts of the machine made to fit the contract: UTF-8, within the limits. They are not made harmless;
//! that is the business of whoever draws them.

use tocsin_proto::limits::{REASON_BYTES_MAX, TEXT_BYTES_MAX};

/// Cut at the limit of a short text.
pub(crate) fn cut(text: String) -> String {
    cut_at(text, TEXT_BYTES_MAX)
}

/// Cut at the limit of a reason.
pub(crate) fn cut_reason(text: String) -> String {
    cut_at(text, REASON_BYTES_MAX)
}

/// Cut at `bytes_max`, never inside a character.
pub(crate) fn cut_at(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

/// A size for people: in MiB, below one in KiB, rounded up so that something is never nothing.
pub(crate) fn size(bytes: u64) -> String {
    if bytes == 0 || bytes >= 1 << 20 {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes.div_ceil(1 << 10))
    }
}

/// Harmless on a terminal and on one line: what moves the cursor, colors, reorders or hides is replaced.
pub(crate) fn printable(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars()
        .map(|c| if harmful(c) { '\u{fffd}' } else { c })
        .collect()
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut_at("aäb".into(), 2), "a");
        assert_eq!(cut_at("aäb".into(), 3), "aä");
        assert_eq!(cut_at("aäb".into(), 4), "aäb");
        assert_eq!(cut_at("aäb".into(), 99), "aäb");
    }

    #[test]
    fn a_small_size_is_not_shown_as_nothing() {
        assert_eq!(size(0), "0 MiB");
        assert_eq!(size(1), "1 KiB");
        assert_eq!(size(1025), "2 KiB");
        assert_eq!(size(3 << 20), "3 MiB");
    }

    #[test]
    fn what_is_printed_moves_no_cursor() {
        let hostile = "a\u{1b}[2Jb\nc\u{202e}d\u{9b}e\u{200b}";
        assert_eq!(
            printable(hostile),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}"
        );
        assert_eq!(printable("näh, 日本"), "näh, 日本");
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("read the key")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "read the key: disk on fire");
    }
}
