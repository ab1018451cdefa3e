//! Where one is in a list: a position that stays within it.

use crate::keymap::Cmd;

/// A position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cursor {
    at: usize,
}

impl Cursor {
    /// At this row.
    pub(crate) fn new(at: usize) -> Self {
        Self { at }
    }

    /// The row.
    pub(crate) fn at(self) -> usize {
        self.at
    }

    /// Moves as the command says within so many rows, a page having so many; whether it was such a command.
    pub(crate) fn go(&mut self, cmd: Cmd, rows: usize, page: usize) -> bool {
        let page = page.max(1);
        self.at = match cmd {
            Cmd::Up => self.at.saturating_sub(1),
            Cmd::Down => self.at.saturating_add(1),
            Cmd::PageUp => self.at.saturating_sub(page),
            Cmd::PageDown => self.at.saturating_add(page),
            Cmd::Top => 0,
            Cmd::Bottom => usize::MAX,
            _ => return false,
        };
        self.keep(rows);
        true
    }

    /// Stays within so many rows.
    pub(crate) fn keep(&mut self, rows: usize) {
        self.at = self.at.min(rows.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_leaves_the_list() {
        let mut cursor = Cursor::default();
        for (cmd, expect) in [
            (Cmd::Up, 0),
            (Cmd::Down, 1),
            (Cmd::PageDown, 4),
            (Cmd::Down, 4),
            (Cmd::PageUp, 1),
            (Cmd::Bottom, 4),
            (Cmd::Top, 0),
        ] {
            assert!(cursor.go(cmd, 5, 3));
            assert_eq!(cursor.at(), expect, "{cmd:?}");
        }
        cursor.go(Cmd::Down, 0, 3);
        assert_eq!(cursor.at(), 0);
        assert!(!cursor.go(Cmd::Open, 5, 3));
    }
}
