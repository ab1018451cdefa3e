//! What an endpoint's terminal prints, made safe for the terminal that it is shown on.
//!
//! A stream is parsed by the state machine of real terminals (`vte`), and only what is on the lists here is written anew;
//! nothing is passed on as it came. What passes in [`Form::Screen`]: characters that can be seen, line feed, return, tab,
//! backspace; moving the cursor, erasing, inserting, deleting, scrolling; colours and looks, but not invisible text;
//! the alternate screen, wrapping, the cursor's keys and visibility, bracketed paste; the line drawing set. What does not,
//! whatever it is: titles, the clipboard, links, notifications, palettes and every other OSC; DCS, APC, PM, SOS; every
//! question that a terminal would answer as if it were typed; mouse, focus and keyboard reports; resets, tab stops,
//! bells. [`Form::Plain`], for files and pipes, has characters and line feeds only.
//!
//! A hidden character (see [`super::is_hidden`]) is shown as U+FFFD, which takes one column.

use vte::{Params, Parser, Perform};

use super::{MARKS_MAX, char_width, is_hidden};

/// Bytes without anything that would be shown, after which the parser begins anew: a string that never ends must not
/// be held.
const SILENT_BYTES_MAX: usize = 64 << 10;

/// Bytes that are parsed at once, so that the limit above is looked at.
const STEP_BYTES: usize = 4 << 10;

/// Largest number in a sequence: no terminal is larger, and a repetition of more is a flood.
const NUMBER_MAX: u16 = 1000;

/// Final bytes of sequences whose number is so many times the work: inserting, deleting, scrolling, erasing, repeating.
const LABOURS: &str = "@LMPSTXb";

/// How much of that work may be asked for at once, and no more than one for each byte that comes for longer than that: a
/// few bytes are not to keep whoever draws busy for seconds. Programs that draw need far less.
const LABOUR_MAX: u32 = 10_000;

/// Parameters of one sequence of colours and looks.
const LOOKS_MAX: usize = 32;

/// Private modes that may be set and reset: cursor keys, origin, wrapping, blinking and visible cursor, alternate screen in
/// its three forms with saving the cursor, bracketed paste.
const MODES: [u16; 10] = [1, 6, 7, 12, 25, 47, 1047, 1048, 1049, 2004];

/// Those of them that are the alternate screen.
const ALTERNATE: [u16; 3] = [47, 1047, 1049];

/// Final bytes of sequences that move, erase, insert, delete, scroll, repeat, or save and restore the cursor.
const FINALS: &str = "@ABCDEFGHIJKLMPSTXZ`abdefrsu";

/// What is left behind as it was found: looks, cursor, wrapping, modes, character set, margins.
const RESTORE: &str =
    "\x1b[m\x1b[4l\x1b[?1l\x1b[?6l\x1b[?7h\x1b[?25h\x1b[?2004l\x1b(B\x1b>\x1b7\x1b[r\x1b8";

/// The same after a stream that was not filtered: also the alternate screen, mouse, focus and keyboard reports.
const RESTORE_RAW: &str = "\x1b[?47l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x1b[?1015l\x1b[>4m\x1b[<u\x1b[m\x1b[4l\x1b[?1l\x1b[?6l\x1b[?7h\x1b[?25h\x1b[?2004l\x1b(B\x1b>\x1b7\x1b[r\x1b8";

/// For what the stream is made safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A terminal.
    Screen,
    /// A file or pipe: text alone.
    Plain,
}

/// Makes a stream safe, piece by piece.
pub(crate) struct Filter {
    parser: Parser,
    writer: Writer,
}

/// What is written anew.
struct Writer {
    form: Form,
    out: Vec<u8>,
    /// Something was parsed to its end since this was last set back.
    has_heard: bool,
    silent_bytes: usize,
    /// Marks that may still stand on the last character.
    marks: usize,
    /// A return that was not written yet, in plain form.
    has_return: bool,
    is_alternate: bool,
    /// Work that may still be asked for.
    labour: u32,
}

impl Filter {
    /// At the begin of a stream.
    pub(crate) fn new(form: Form) -> Self {
        Self {
            parser: Parser::new(),
            writer: Writer {
                form,
                out: Vec::new(),
                has_heard: false,
                silent_bytes: 0,
                marks: 0,
                has_return: false,
                is_alternate: false,
                labour: LABOUR_MAX,
            },
        }
    }

    /// What may be written of this piece.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        for step in bytes.chunks(STEP_BYTES) {
            self.writer.has_heard = false;
            let more = u32::try_from(step.len()).unwrap_or(u32::MAX);
            self.writer.labour = self.writer.labour.saturating_add(more).min(LABOUR_MAX);
            self.parser.advance(&mut self.writer, step);
            if self.writer.has_heard {
                self.writer.silent_bytes = 0;
                continue;
            }
            self.writer.silent_bytes += step.len();
            if self.writer.silent_bytes > SILENT_BYTES_MAX {
                self.parser = Parser::new();
                self.writer.silent_bytes = 0;
            }
        }
        std::mem::take(&mut self.writer.out)
    }

    /// What brings the terminal back to how it was.
    pub(crate) fn restore(&self) -> String {
        match (self.writer.form, self.writer.is_alternate) {
            (Form::Plain, _) => String::new(),
            (Form::Screen, true) => format!("\x1b[?1049l{RESTORE}"),
            (Form::Screen, false) => RESTORE.to_owned(),
        }
    }
}

/// What brings a terminal back to how it was after a stream that did not pass a filter.
pub(crate) fn restore_raw() -> &'static str {
    RESTORE_RAW
}

impl Writer {
    fn write(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn put(&mut self, c: char) {
        self.write(c.encode_utf8(&mut [0; 4]));
    }

    /// A return that no line feed followed.
    fn settle_return(&mut self) {
        if std::mem::take(&mut self.has_return) {
            self.put('\n');
        }
    }

    /// One whose number is so many times the work, as far as there is some left.
    fn write_labour(&mut self, params: &Params, last: char) {
        let first = params.iter().next().and_then(|numbers| numbers.first());
        let asked = u32::from(first.map_or(1, |number| (*number).clamp(1, NUMBER_MAX)));
        let granted = asked.min(self.labour);
        self.labour -= granted;
        match (granted, granted == asked) {
            (0, _) => {}
            (_, true) => self.write_sequence(params, last),
            (_, false) => self.write(&format!("\x1b[{granted}{last}")),
        }
    }

    /// A sequence of numbers, as it was but for their size.
    fn write_sequence(&mut self, params: &Params, last: char) {
        let numbers: Vec<String> = params
            .iter()
            .filter_map(|numbers| numbers.first())
            .map(|number| match number {
                0 => String::new(),
                number => (*number).min(NUMBER_MAX).to_string(),
            })
            .collect();
        self.write(&format!("\x1b[{}{last}", numbers.join(";")));
    }

    /// Colours and looks, without the one that hides text. A colour that is cut short, and one of underlines (58) in the
    /// form with semicolons, are left out: a terminal that does not know them takes their numbers for looks.
    fn write_looks(&mut self, params: &Params) {
        let numbers: Vec<&[u16]> = params.iter().take(LOOKS_MAX).collect();
        let mut kept: Vec<String> = Vec::new();
        let mut rest = numbers.as_slice();
        while let Some((number, after)) = rest.split_first() {
            // 38, 48, 58: the next numbers name a colour.
            let color = match (number, after.first()) {
                ([38 | 48 | 58], Some([5])) => 2,
                ([38 | 48 | 58], Some([2])) => 4,
                _ => 0,
            };
            let (of_color, is_whole) = match after.split_at_checked(color) {
                Some((of_color, _)) => {
                    (of_color, color > 0 && of_color.iter().all(|n| n.len() == 1))
                }
                None => (after, false),
            };
            let is_left_out = match number {
                [38 | 48] => !is_whole,
                [8 | 58] => true,
                _ => number.first() == Some(&8),
            };
            if !is_left_out {
                kept.push(joined(number));
                kept.extend(of_color.iter().map(|number| joined(number)));
            }
            rest = after.get(color..).unwrap_or_default();
        }
        // Nothing left of something is not "as it was at first".
        if !kept.is_empty() || numbers.is_empty() {
            self.write(&format!("\x1b[{}m", kept.join(";")));
        }
    }

    fn write_modes(&mut self, params: &Params, last: char) {
        for mode in params.iter().filter_map(|numbers| numbers.first()) {
            if MODES.contains(mode) {
                if ALTERNATE.contains(mode) {
                    self.is_alternate = last == 'h';
                }
                self.write(&format!("\x1b[?{mode}{last}"));
            }
        }
    }
}

/// A number and what belongs to it, in the form of ISO 8613-6.
fn joined(numbers: &[u16]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u16::to_string).collect();
    numbers.join(":")
}

impl Perform for Writer {
    fn print(&mut self, c: char) {
        self.has_heard = true;
        self.settle_return();
        if is_hidden(c) {
            self.put(char::REPLACEMENT_CHARACTER);
            self.marks = 0;
        } else if char_width(c) > 0 {
            self.put(c);
            self.marks = MARKS_MAX;
        } else if self.marks > 0 {
            self.put(c);
            self.marks -= 1;
        }
    }

    fn execute(&mut self, byte: u8) {
        self.has_heard = true;
        self.marks = 0;
        match (self.form, byte) {
            (Form::Screen, b'\n' | b'\r' | b'\t' | 0x08) => self.out.push(byte),
            (Form::Plain, b'\n') => {
                self.has_return = false;
                self.out.push(byte);
            }
            (Form::Plain, b'\t') => {
                self.settle_return();
                self.out.push(byte);
            }
            (Form::Plain, b'\r') => self.has_return = true,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, last: char) {
        self.has_heard = true;
        if ignore || self.form == Form::Plain {
            return;
        }
        self.marks = 0;
        match (intermediates, last) {
            ([], 'm') => self.write_looks(params),
            ([], 'h' | 'l') if params.iter().eq([&[4]]) => self.write(&format!("\x1b[4{last}")),
            ([], last) if LABOURS.contains(last) => self.write_labour(params, last),
            ([], last) if FINALS.contains(last) => self.write_sequence(params, last),
            ([b'?'], 'h' | 'l') => self.write_modes(params, last),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], ignore: bool, byte: u8) {
        self.has_heard = true;
        if ignore || self.form == Form::Plain {
            return;
        }
        match (intermediates, byte) {
            // Save, restore, index, next line, reverse index, keypad.
            ([], b'7' | b'8' | b'D' | b'E' | b'M' | b'=' | b'>') => {
                self.out.extend([0x1b, byte]);
            }
            ([b'('], b'0' | b'B') => self.out.extend([0x1b, b'(', byte]),
            _ => {}
        }
    }

    fn osc_dispatch(&mut self, _params: &[&[u8]], _bell_terminated: bool) {
        self.has_heard = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pass(form: Form, text: &str) -> String {
        String::from_utf8(Filter::new(form).pass(text.as_bytes())).unwrap()
    }

    #[test]
    fn what_programs_draw_with_passes() {
        for same in [
            "plain näh 日本\r\n\tx\x08y",
            "\x1b[2J\x1b[H\x1b[12;40Hx\x1b[K\x1b[1;31mred\x1b[m",
            "\x1b[38;5;8mgrey\x1b[38;2;8;8;8mtrue\x1b[0m",
            "\x1b[38:5:8mgrey",
            "\x1b[?1049h\x1b[?25l\x1b[?1h\x1b=\x1b[1;24r\x1b[?2004h",
            "\x1b(0lqk\x1b(B\x1b7\x1b8\x1bM",
            "e\u{301}",
        ] {
            // Said with and without the number it means the same.
            let expected = same.replace("\x1b[m", "\x1b[0m");
            assert_eq!(pass(Form::Screen, same), expected, "{same:?}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_or_answer_does_not() {
        for (hostile, left) in [
            ("a\x1b]0;title\x07b", "ab"),
            ("a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"),
            ("a\x1b]8;;http://x\x1b\\b", "ab"),
            ("a\x1bP+q544e\x1b\\b", "ab"),
            ("a\x1b_Gq\x1b\\b\x1b^x\x1b\\c\x1bXy\x1b\\d", "abcd"),
            ("a\x1b[6nb\x1b[cc\x1b[>cd\x1b[21te\x1b[5nf", "abcdef"),
            ("a\x1b[?1000hb\x1b[?1003;1006hc\x1b[?1004hd", "abcd"),
            ("a\x1bcb\x1b[!pc\x07d\x1b[3g\x1b[20h", "abcd"),
            ("a\x1b[8mhidden\x1b[1;8mb", "ahidden\x1b[1mb"),
            ("a\x1b[58;5;8mb\x1b[58;2;8;8;8;1mc", "ab\x1b[1mc"),
            ("a\x1b[38;2;8mb\x1b[38;8mc\x1b[48;5mc", "abcc"),
            ("a\u{202e}b\u{200b}c", "a\u{fffd}b\u{fffd}c"),
            ("a\u{9b}2Jb\x0e\x0fc", "a2Jbc"),
            ("a\x1b[99999bx", "a\x1b[1000bx"),
            ("a\x1b[>4;2mb\x1b[>1ub\x1b[=1u", "abb"),
            ("a\x1b[?2026hb\x1b[ qc\x1b[?3h", "abc"),
        ] {
            assert_eq!(pass(Form::Screen, hostile), left, "{hostile:?}");
        }
    }

    #[test]
    fn a_sequence_cut_anywhere_is_the_same() {
        let text = "a\x1b]0;t\x07\x1b[31mé\x1b[6n日\x1b[?1049;1000hz";
        let whole = pass(Form::Screen, text);
        for cut in 0..text.len() {
            let mut filter = Filter::new(Form::Screen);
            let mut out = filter.pass(&text.as_bytes()[..cut]);
            out.extend(filter.pass(&text.as_bytes()[cut..]));
            assert_eq!(String::from_utf8(out).unwrap(), whole, "{cut}");
        }
    }

    #[test]
    fn files_get_text_and_line_feeds_alone() {
        let text = "one\r\ntwo\rthree\x1b[31m red\x1b[m\r\r\n\x1b[2J\x08x\ty";
        assert_eq!(pass(Form::Plain, text), "one\ntwo\nthree red\nx\ty");
    }

    #[test]
    fn a_string_that_never_ends_is_not_held() {
        let mut filter = Filter::new(Form::Screen);
        filter.pass(b"\x1b]0;");
        let flood = vec![b'x'; 1 << 20];
        let mut written = 0;
        for _ in 0..4 {
            written += filter.pass(&flood).len();
        }
        assert!(written > 3 << 20, "begun anew, it is text: {written}");
    }

    #[test]
    fn a_few_bytes_cannot_ask_for_much_work() {
        for last in LABOURS.chars() {
            let flood = format!("\x1b[1000{last}").repeat(20_000);
            let bytes = u32::try_from(flood.len()).unwrap();
            let out = pass(Form::Screen, &flood);
            let numbers = out.split('\x1b').filter_map(|one| one.strip_prefix('['));
            let numbers = numbers.map(|one| one[..one.len() - 1].parse::<u32>().unwrap());
            let asked: u32 = numbers.sum();
            assert!(asked <= LABOUR_MAX + bytes, "{asked} for {bytes} bytes");
            assert!(asked >= LABOUR_MAX);
        }
    }

    #[test]
    fn the_terminal_is_left_as_it_was() {
        let mut filter = Filter::new(Form::Screen);
        filter.pass(b"\x1b[?1049h\x1b[?25l");
        assert!(filter.restore().starts_with("\x1b[?1049l"));
        assert!(filter.restore().contains("\x1b[?25h"));
        filter.pass(b"\x1b[?1049l");
        assert!(!filter.restore().contains("1049"));
        assert_eq!(Filter::new(Form::Plain).restore(), "");
    }

    proptest! {
        #[test]
        fn whatever_comes_only_what_is_listed_goes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let out = Filter::new(Form::Screen).pass(&bytes);
            let text = String::from_utf8(out).unwrap();
            let mut rest = text.as_str();
            while let Some((_, after)) = rest.split_once('\x1b') {
                let first = after.chars().next().unwrap_or(' ');
                prop_assert!("[(78DEM=>".contains(first), "{text:?}");
                if let Some(sequence) = after.strip_prefix('[') {
                    let last = sequence.chars().find(|c| !c.is_ascii_digit() && !";:?".contains(*c));
                    let last = last.unwrap_or(' ');
                    prop_assert!(FINALS.contains(last) || "mhl".contains(last), "{text:?}");
                }
                rest = after;
            }
            let hidden = text.chars().find(|c| is_hidden(*c) && !"\x1b\n\r\t\x08".contains(*c));
            prop_assert_eq!(hidden, None);
            let twice = Filter::new(Form::Screen).pass(text.as_bytes());
            prop_assert_eq!(String::from_utf8(twice).unwrap(), text);
        }

        #[test]
        fn plain_is_plain(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let out = Filter::new(Form::Plain).pass(&bytes);
            let text = String::from_utf8(out).unwrap();
            prop_assert!(text.chars().all(|c| c == '\n' || c == '\t' || !is_hidden(c)));
        }
    }
}
