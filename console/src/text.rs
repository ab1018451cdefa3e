//! The one border that foreign text crosses on its way to a terminal.
//!
//! Hostnames, arguments, user agents, notes and a server's error texts come from machines that may be
//! owned. What leaves this file has no character that moves the cursor, changes the direction of writing,
//! takes no room or cannot be seen; each such character is replaced by a visible escape, `\x1b` or
//! `\u{202e}`, so that nothing is hidden and nothing is lost. The reverse solidus itself is kept as it is:
//! cleaning twice changes nothing, at the price that `\x1b` may also have been written so.
//!
//! What may pass is a list of what is allowed, not of what is not: ASCII that prints, and what Unicode
//! calls a letter, mark, number, punctuation or symbol, less those of them that draw nothing. At most
//! [`MARKS_MAX`] combining marks may stand on one character. Widths are summed over characters, which is
//! never less than what a terminal uses for the whole.
//!
//! The stream of a remote terminal, which moves the cursor for a living, passes [`stream`] instead.
//!
//! It does not touch letters that look alike, and it does not reorder right-to-left letters.

pub(crate) mod stream;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use unicode_width::UnicodeWidthChar;

/// Combining marks on one character that are drawn; living scripts need no more than three.
pub(crate) const MARKS_MAX: usize = 4;

/// What stands where text was cut.
const ELLIPSIS: char = '…';

/// Whether a terminal would obey, hide or guess this character instead of drawing it.
pub(crate) fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    match c {
        // Spaces that names are written with; they have a width and do nothing else.
        '\u{a0}' | '\u{3000}' => false,
        // Letters, marks and symbols that draw nothing: joiners, fillers, variation selectors, blanks.
        '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}'
        | '\u{1d159}'
        | '\u{e0100}'..='\u{e01ef}' => true,
        _ => !is_printable(c),
    }
}

/// Whether the standard library's tables call it printable: not a control, format, surrogate, private,
/// unassigned or separator character. Asked for a character that does not begin a text, so that
/// combining marks are judged like all others.
fn is_printable(c: char) -> bool {
    let mut buffer = [b'a'; 5];
    let Some(rest) = buffer.get_mut(1..) else {
        return false;
    };
    let end = 1 + c.encode_utf8(rest).len();
    buffer
        .get(..end)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .is_some_and(|text| text.escape_debug().nth(1) == Some(c))
}

/// Columns that one clean character takes.
fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Columns that clean text takes.
pub(crate) fn width(clean: &str) -> usize {
    clean.chars().map(char_width).sum()
}

/// Text on one line: line breaks and tabs are shown as escapes too.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    // Marks that may still follow: none where there is nothing of the text's own to stand on, so that
    // they cannot reach the frame around it. A space is nothing: lines are broken at it.
    let mut marks = 0;
    for c in text.chars() {
        if is_hidden(c) {
            escape(&mut out, c);
            marks = 0;
        } else if char_width(c) > 0 {
            out.push(c);
            marks = if c == ' ' { 0 } else { MARKS_MAX };
        } else if marks > 0 {
            out.push(c);
            marks -= 1;
        } else {
            escape(&mut out, c);
        }
    }
    Cow::Owned(out)
}

/// Text of several lines, line by line; only `\n` breaks a line.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split('\n')
        .map(|piece| line(piece.strip_suffix('\r').unwrap_or(piece)))
}

/// Bytes that should be text on one line; what is not UTF-8 is shown byte by byte.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&line(chunk.valid()));
        for byte in chunk.invalid() {
            push_byte(&mut out, *byte);
        }
    }
    out
}

/// Text on one line as HTML shows it, between tags and in attributes.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// Text on one line as Markdown shows it: no character of it means anything.
pub(crate) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '-' | '+' if out.is_empty() => {
                out.push('\\');
                out.push(c);
            }
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '!' | '|' | '~' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    // Nor does anything of it become a link by itself.
    out.replace("://", "&#58;//").replace("www.", "www&#46;")
}

/// A file's name on one line.
pub(crate) fn path(path: &Path) -> String {
    bytes(path.as_os_str().as_encoded_bytes())
}

/// Text on one line of at most so many columns; an ellipsis stands where it was cut.
pub(crate) fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    let clean = line(text);
    if width(&clean) <= columns {
        return clean;
    }
    if columns == 0 {
        return Cow::Borrowed("");
    }
    let mut out = cut(&clean, columns - 1).to_owned();
    out.push(ELLIPSIS);
    Cow::Owned(out)
}

/// The longest beginning of clean text that takes at most so many columns.
pub(crate) fn cut(clean: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, c) in clean.char_indices() {
        used += char_width(c);
        if used > columns {
            return clean.get(..at).unwrap_or_default();
        }
    }
    clean
}

/// Clean text broken into lines of at most so many columns, between words where that is possible.
pub(crate) fn wrap(clean: &str, columns: usize) -> Vec<String> {
    // A wide character has to fit, or no progress would be made.
    let columns = columns.max(2);
    let mut lines = Vec::new();
    let mut current = String::new();
    let mut used = 0;
    for word in clean.split(' ').filter(|word| !word.is_empty()) {
        let mut rest = word;
        loop {
            let gap = usize::from(!current.is_empty());
            if used + gap + width(rest) <= columns {
                current.push_str(if gap == 1 { " " } else { "" });
                current.push_str(rest);
                used += gap + width(rest);
                break;
            }
            if !current.is_empty() {
                lines.push(std::mem::take(&mut current));
                used = 0;
                continue;
            }
            let head = cut(rest, columns);
            lines.push(head.to_owned());
            rest = rest.get(head.len()..).unwrap_or_default();
        }
    }
    if !current.is_empty() || lines.is_empty() {
        lines.push(current);
    }
    lines
}

fn escape(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ => match u8::try_from(c) {
            Ok(byte) if c.is_ascii() => push_byte(out, byte),
            _ => {
                let _always_ok = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        },
    }
}

fn push_byte(out: &mut String, byte: u8) {
    let _always_ok = write!(out, "\\x{byte:02x}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr;

    use super::*;

    fn check(input: &str, expect: &str) {
        assert_eq!(line(input), expect, "{input:?}");
    }

    #[test]
    fn controls_are_shown() {
        check("a\x1b[2Jb", "a\\x1b[2Jb");
        check("\x00\x07\x08\x7f", "\\x00\\x07\\x08\\x7f");
        check("a\nb\tc\rd", "a\\nb\\tc\\rd");
        check("\u{9b}31m\u{90}\u{85}", "\\u{9b}31m\\u{90}\\u{85}");
    }

    #[test]
    fn what_changes_direction_or_takes_no_room_is_shown() {
        for c in [
            '\u{202a}',
            '\u{202b}',
            '\u{202c}',
            '\u{202d}',
            '\u{202e}',
            '\u{2066}',
            '\u{2067}',
            '\u{2068}',
            '\u{2069}',
            '\u{200e}',
            '\u{200f}',
            '\u{61c}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{2060}',
            '\u{2061}',
            '\u{feff}',
            '\u{ad}',
            '\u{34f}',
            '\u{180e}',
            '\u{fff9}',
            '\u{2028}',
            '\u{2029}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{fe0f}',
            '\u{e0100}',
            '\u{3164}',
            '\u{115f}',
            '\u{1160}',
            '\u{ffa0}',
            '\u{2800}',
            '\u{e000}',
            '\u{f8ff}',
            '\u{100000}',
            '\u{ffff}',
            '\u{fdd0}',
            '\u{378}',
            '\u{2007}',
            '\u{1680}',
            '\u{1d173}',
            '\u{600}',
        ] {
            check(&format!("a{c}b"), &format!("a\\u{{{:x}}}b", u32::from(c)));
        }
    }

    #[test]
    fn ordinary_names_pass() {
        for name in [
            "dana@example.com",
            "Żółć",
            "Ελένη",
            "Анна",
            "田中\u{3000}花子",
            "서울",
            "مريم",
            "अनुष्का",
            "ผู้ใช้",
            "cafe\u{301}",
            "C:\\Users\\dana",
            "🦀 \"quoted\" 'x'",
        ] {
            check(name, name);
        }
    }

    #[test]
    fn a_flood_of_marks_is_cut_to_what_a_script_needs() {
        check(
            "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}x\u{301}",
            "e\u{301}\u{301}\u{301}\u{301}\\u{301}\\u{301}x\u{301}",
        );
        check("\u{301}a", "\\u{301}a");
        check("\x1b\u{301}", "\\x1b\\u{301}");
    }

    #[test]
    fn bytes_that_are_not_text_are_shown() {
        assert_eq!(bytes(b"ab\xff\x9b\x1b"), "ab\\xff\\x9b\\x1b");
        assert_eq!(path(Path::new("/tmp/\u{202e}x")), "/tmp/\\u{202e}x");
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(
            html("<a b='\"'>&\n"),
            "&lt;a b=&#39;&quot;&#39;&gt;&amp;\\n"
        );
        assert_eq!(
            markdown("[x](y) | `z` <b>"),
            "\\[x\\]\\(y\\) \\| \\`z\\` &lt;b&gt;"
        );
        assert_eq!(markdown("- http://x"), "\\- http&#58;//x");
        assert_eq!(markdown("a\x1b"), "a\\\\x1b", "the escape can be read");
    }

    #[test]
    fn cutting_counts_columns() {
        assert_eq!(fit("hello", 5), "hello");
        assert_eq!(fit("hello", 4), "hel…");
        assert_eq!(fit("hello", 1), "…");
        assert_eq!(fit("hello", 0), "");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
    }

    #[test]
    fn wrapping_breaks_between_words_and_inside_long_ones() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("日本語", 1), ["日", "本", "語"]);
    }

    #[test]
    fn only_line_feeds_break_lines() {
        let all: Vec<_> = lines("a\r\nb\u{2028}c\u{b}d\n").collect();
        assert_eq!(all, ["a", "b\\u{2028}c\\x0bd", ""]);
    }

    /// Texts in which hostile characters are as frequent as harmless ones.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            any::<char>(),
            (0_u32..0xa0).prop_map(|c| char::from_u32(c).unwrap()),
            (0x2000_u32..0x2070).prop_map(|c| char::from_u32(c).unwrap()),
            (0x300_u32..0x370).prop_map(|c| char::from_u32(c).unwrap()),
            (0xe0000_u32..0xe0200).prop_map(|c| char::from_u32(c).unwrap()),
            (0x1100_u32..0x1200).prop_map(|c| char::from_u32(c).unwrap()),
            (0x1f300_u32..0x1f6ff).prop_map(|c| char::from_u32(c).unwrap()),
            (0xfe00_u32..=0xffff).prop_map(|c| char::from_u32(c).unwrap()),
        ];
        proptest::collection::vec(piece, 0..64).prop_map(|all| all.into_iter().collect())
    }

    fn assert_clean(text: &str) {
        let mut marks = 0;
        for (at, c) in text.chars().enumerate() {
            assert!(!c.is_control(), "{c:?} in {text:?}");
            assert!(
                !matches!(c,
                '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{e0000}'..='\u{e0fff}' | '\u{fe00}'..='\u{fe0f}'
                | '\u{e000}'..='\u{f8ff}' | '\u{ad}' | '\u{61c}'),
                "{c:?} in {text:?}"
            );
            marks = if c.width() == Some(0) { marks + 1 } else { 0 };
            assert!(marks <= MARKS_MAX, "marks in {text:?}");
            assert!(at > 0 || marks == 0, "{text:?} begins with a mark");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn nothing_harmful_leaves(text in hostile(), columns in 0_usize..40) {
            assert_clean(&line(&text));
            assert_clean(&fit(&text, columns));
            for piece in lines(&text) {
                assert_clean(&piece);
            }
            for piece in wrap(&line(&text), columns) {
                assert_clean(&piece);
            }
        }

        #[test]
        fn the_width_holds(text in hostile(), columns in 0_usize..40) {
            let cut = fit(&text, columns);
            prop_assert!(width(&cut) <= columns);
            prop_assert!(UnicodeWidthStr::width(&*cut) <= columns);
            for piece in wrap(&line(&text), columns) {
                prop_assert!(width(&piece) <= columns.max(2));
            }
        }

        #[test]
        fn cleaning_twice_changes_nothing(text in hostile(), columns in 0_usize..40) {
            let once = line(&text).into_owned();
            prop_assert_eq!(&*line(&once), &*once);
            let once = fit(&text, columns).into_owned();
            prop_assert_eq!(&*fit(&once, columns), &*once);
        }

        #[test]
        fn bytes_of_any_kind_come_out_clean(input in proptest::collection::vec(any::<u8>(), 0..64)) {
            assert_clean(&bytes(&input));
        }

        #[test]
        fn wrapping_loses_no_word(words in proptest::collection::vec("[a-z]{1,12}", 0..20)) {
            let text = words.join(" ");
            let together: String = wrap(&text, 8).concat().replace(' ', "");
            prop_assert_eq!(together, words.concat());
        }
    }
}
