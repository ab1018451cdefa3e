//! A line of text that is being typed.

use crate::keymap::{Cmd, Key};

/// Characters that are taken; a server takes no longer notes in one line.
pub(crate) const INPUT_CHARS_MAX: usize = 2000;

/// The line and where one is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Input {
    chars: Vec<char>,
    at: usize,
}

impl Input {
    /// With this text, and the cursor behind it.
    pub(crate) fn new(text: &str) -> Self {
        let mut input = Self::default();
        input.paste(text);
        input
    }

    /// What it says.
    pub(crate) fn text(&self) -> String {
        self.chars.iter().collect()
    }

    /// What stands before the cursor.
    pub(crate) fn before(&self) -> String {
        self.chars.iter().take(self.at).collect()
    }

    /// Inserts what a key stands for.
    pub(crate) fn key(&mut self, key: Key) {
        if let Key::Char(c) = key {
            self.insert(c);
        }
    }

    /// Inserts text; what cannot be seen is left out, a line break is a space.
    pub(crate) fn paste(&mut self, text: &str) {
        for c in text.chars() {
            self.insert(if matches!(c, '\n' | '\t') { ' ' } else { c });
        }
    }

    fn insert(&mut self, c: char) {
        if !crate::text::is_hidden(c) && self.chars.len() < INPUT_CHARS_MAX {
            self.at = self.at.min(self.chars.len());
            self.chars.insert(self.at, c);
            self.at += 1;
        }
    }

    /// Does what the command says.
    pub(crate) fn command(&mut self, cmd: Cmd) {
        match cmd {
            Cmd::Erase if self.at > 0 => {
                self.at -= 1;
                self.delete();
            }
            Cmd::Delete => self.delete(),
            Cmd::Clear => *self = Self::default(),
            Cmd::CursorLeft => self.at = self.at.saturating_sub(1),
            Cmd::CursorRight => self.at = (self.at + 1).min(self.chars.len()),
            Cmd::CursorStart => self.at = 0,
            Cmd::CursorEnd => self.at = self.chars.len(),
            _ => {}
        }
    }

    fn delete(&mut self) {
        if self.at < self.chars.len() {
            self.chars.remove(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_edited_where_the_cursor_is() {
        let mut input = Input::new("called Dan");
        input.key(Key::Char('a'));
        input.command(Cmd::CursorStart);
        input.command(Cmd::Delete);
        input.key(Key::Char('C'));
        assert_eq!(input.text(), "Called Dana");
        assert_eq!(input.before(), "C");
        input.command(Cmd::CursorEnd);
        input.command(Cmd::Erase);
        assert_eq!(input.text(), "Called Dan");
        input.command(Cmd::Clear);
        input.command(Cmd::Erase);
        assert_eq!(input.text(), "");
    }

    #[test]
    fn nothing_hidden_comes_in_by_pasting_and_nothing_without_end() {
        let mut input = Input::default();
        input.paste("a\x1b[2J\u{202e}b\nc");
        assert_eq!(input.text(), "a[2Jb c");
        input.paste(&"x".repeat(2 * INPUT_CHARS_MAX));
        assert_eq!(input.text().chars().count(), INPUT_CHARS_MAX);
    }
}
