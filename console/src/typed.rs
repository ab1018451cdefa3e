//! What a terminal sends for a key: the bytes that programs at the other end of a terminal pane expect.
//!
//! After xterm's tables: cursor keys in their two forms, editing and function keys, control and alt.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// The key that gives the keys back to the screens.
pub(crate) fn is_chord(key: KeyEvent) -> bool {
    // Terminals send one byte for Ctrl-] and Ctrl-5; it is understood as the latter.
    key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char(']' | '5'))
}

/// The bytes of a key; none for one that has none. `application`: the program asked for the other form of the cursor keys.
pub(crate) fn bytes(key: KeyEvent, application: bool) -> Vec<u8> {
    let has = |modifier| key.modifiers.contains(modifier);
    let cursor = |last: char| match application {
        true => format!("\x1bO{last}").into_bytes(),
        false => format!("\x1b[{last}").into_bytes(),
    };
    let edit = |number: u8| format!("\x1b[{number}~").into_bytes();
    let plain = match key.code {
        KeyCode::Char(c) if has(KeyModifiers::CONTROL) => control(c).into_iter().collect(),
        KeyCode::Char(c) => c.to_string().into_bytes(),
        KeyCode::Enter => b"\r".to_vec(),
        KeyCode::Tab => b"\t".to_vec(),
        KeyCode::BackTab => b"\x1b[Z".to_vec(),
        KeyCode::Backspace => b"\x7f".to_vec(),
        KeyCode::Esc => b"\x1b".to_vec(),
        KeyCode::Up => cursor('A'),
        KeyCode::Down => cursor('B'),
        KeyCode::Right => cursor('C'),
        KeyCode::Left => cursor('D'),
        KeyCode::Home => cursor('H'),
        KeyCode::End => cursor('F'),
        KeyCode::Insert => edit(2),
        KeyCode::Delete => edit(3),
        KeyCode::PageUp => edit(5),
        KeyCode::PageDown => edit(6),
        KeyCode::F(number @ 1..=4) => vec![0x1b, b'O', b'O' + number],
        KeyCode::F(5) => edit(15),
        KeyCode::F(number @ 6..=10) => edit(number + 11),
        KeyCode::F(number @ 11..=12) => edit(number + 12),
        _ => Vec::new(),
    };
    match has(KeyModifiers::ALT) && !plain.is_empty() {
        true => [b"\x1b".to_vec(), plain].concat(),
        false => plain,
    }
}

/// The control character of a key.
fn control(c: char) -> Option<u8> {
    Some(match c.to_ascii_lowercase() {
        c @ 'a'..='z' => u8::try_from(c).ok()? - b'a' + 1,
        ' ' | '@' | '2' => 0,
        '[' | '3' => 0x1b,
        '\\' | '4' => 0x1c,
        ']' | '5' => 0x1d,
        '^' | '6' => 0x1e,
        '_' | '7' | '/' => 0x1f,
        '8' | '?' => 0x7f,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_a_terminal_sends() {
        let plain = |code| bytes(KeyEvent::new(code, KeyModifiers::NONE), false);
        assert_eq!(plain(KeyCode::Char('é')), "é".as_bytes());
        assert_eq!(plain(KeyCode::Up), b"\x1b[A");
        assert_eq!(plain(KeyCode::F(1)), b"\x1bOP");
        assert_eq!(plain(KeyCode::F(5)), b"\x1b[15~");
        assert_eq!(plain(KeyCode::F(10)), b"\x1b[21~");
        assert_eq!(plain(KeyCode::F(12)), b"\x1b[24~");
        let with = |c, modifier| bytes(KeyEvent::new(KeyCode::Char(c), modifier), false);
        assert_eq!(with('c', KeyModifiers::CONTROL), b"\x03");
        assert_eq!(with('b', KeyModifiers::ALT), b"\x1bb");
        let up = KeyEvent::new(KeyCode::Up, KeyModifiers::NONE);
        assert_eq!(bytes(up, true), b"\x1bOA");
        assert!(is_chord(KeyEvent::new(
            KeyCode::Char('5'),
            KeyModifiers::CONTROL
        )));
    }
}
