//! Lines of asciicast v2: a header, then what happened and when. Pure.
//!
//! ```text
//! {"version":2,"width":80,"height":24,"timestamp":1764000000,"title":"...","env":{"TERM":"...","SHELL":"..."}}
//! [1.250000,"o","printed"]      [1.100000,"i","typed"]      [9.000000,"r","120x40"]      [9.5,"m","a remark"]
//! ```
//!
//! Texts are UTF-8 there and a terminal's bytes need not be: what is no UTF-8 stands as U+FFFD; a character that comes in
//! two pieces is put together.

use std::time::Duration;

use serde_json::json;
use tocsin_proto::console::v1::{Terminal, TerminalSize};

/// Something that happened in a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happening {
    /// It printed.
    Output(Vec<u8>),
    /// It took what was typed, with echo on.
    Input(Vec<u8>),
    /// It took so many bytes with echo off: a password perhaps. They are kept nowhere.
    Hidden(usize),
    /// It has another size.
    Size(TerminalSize),
}

/// Writes lines.
#[derive(Debug, Default)]
pub(super) struct Cast {
    output: Characters,
    input: Characters,
    /// Bytes in a row that were taken with echo off.
    hidden: usize,
}

/// The first line.
pub(super) fn header(terminal: &Terminal, kind: &str) -> Vec<u8> {
    let title = format!(
        "{} at {}: {}",
        terminal.analyst, terminal.hostname, terminal.reason
    );
    line(&json!({
        "version": 2,
        "width": terminal.columns,
        "height": terminal.rows,
        "timestamp": terminal.open_time_ms.div_euclid(1000),
        "title": title,
        "env": {"TERM": kind},
    }))
}

impl Cast {
    /// The lines of something that happened so long after the beginning.
    pub(super) fn lines(&mut self, after: Duration, happening: &Happening) -> Vec<u8> {
        let mut lines = match happening {
            Happening::Hidden(bytes) => {
                self.hidden += bytes;
                return Vec::new();
            }
            // The remark stands where typing with echo off has ended.
            _ => self.remark_hidden(after),
        };
        let (code, text) = match happening {
            Happening::Output(bytes) => ("o", self.output.take(bytes)),
            Happening::Input(bytes) => ("i", self.input.take(bytes)),
            Happening::Size(size) => ("r", format!("{}x{}", size.columns, size.rows)),
            Happening::Hidden(_) => return lines,
        };
        if !text.is_empty() {
            lines.extend(event(after, code, &text));
        }
        lines
    }

    /// The last lines.
    pub(super) fn end(&mut self, after: Duration, said: &str) -> Vec<u8> {
        let mut lines = self.remark_hidden(after);
        lines.extend(event(after, "m", said));
        lines
    }

    fn remark_hidden(&mut self, after: Duration) -> Vec<u8> {
        match std::mem::take(&mut self.hidden) {
            0 => Vec::new(),
            1 => event(after, "m", "1 byte was typed with echo off"),
            bytes => event(
                after,
                "m",
                &format!("{bytes} bytes were typed with echo off"),
            ),
        }
    }
}

fn event(after: Duration, code: &str, text: &str) -> Vec<u8> {
    line(&json!([after.as_secs_f64(), code, text]))
}

fn line(value: &serde_json::Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// Characters of a stream of bytes.
#[derive(Debug, Default)]
struct Characters {
    /// The beginning of a character, at most 3 bytes.
    begun: Vec<u8>,
}

impl Characters {
    fn take(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.begun);
        all.extend(bytes);
        let unfinished = all.utf8_chunks().last().map_or(0, |chunk| {
            let length = chunk.invalid().len();
            let is_begun = std::str::from_utf8(chunk.invalid())
                .is_err_and(|error| error.error_len().is_none());
            if is_begun { length } else { 0 }
        });
        self.begun = all.split_off(all.len() - unfinished);
        String::from_utf8_lossy(&all).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(cast: &mut Cast, happening: &Happening) -> String {
        String::from_utf8(cast.lines(Duration::from_millis(1250), happening)).unwrap()
    }

    #[test]
    fn a_character_in_two_pieces_is_one() {
        let mut cast = Cast::default();
        let euro = "€".as_bytes();
        assert_eq!(lines(&mut cast, &Happening::Output(euro[..2].into())), "");
        let rest = [&euro[2..], b"\xff."].concat();
        assert_eq!(
            lines(&mut cast, &Happening::Output(rest)),
            "[1.25,\"o\",\"€\u{fffd}.\"]\n"
        );
    }

    #[test]
    fn what_was_typed_with_echo_off_is_a_count() {
        let mut cast = Cast::default();
        for _ in 0..3 {
            assert_eq!(lines(&mut cast, &Happening::Hidden(2)), "");
        }
        let size = TerminalSize {
            columns: 120,
            rows: 40,
        };
        assert_eq!(
            lines(&mut cast, &Happening::Size(size)),
            "[1.25,\"m\",\"6 bytes were typed with echo off\"]\n[1.25,\"r\",\"120x40\"]\n"
        );
    }

    #[test]
    fn hostile_text_stays_within_its_line() {
        let mut cast = Cast::default();
        let said = lines(
            &mut cast,
            &Happening::Output(b"a\r\n\x1b]0;x\x07\"]\n".into()),
        );
        assert_eq!(said.matches('\n').count(), 1);
        let back: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(back[2], "a\r\n\x1b]0;x\x07\"]\n");
        let terminal = Terminal {
            reason: "two\nlines".into(),
            ..Terminal::default()
        };
        let header = header(&terminal, "xterm");
        assert_eq!(header.iter().filter(|byte| **byte == b'\n').count(), 1);
    }
}
