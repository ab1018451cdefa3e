//! The terminal pane: one terminal at an endpoint, beside whatever screen is shown.
//!
//! ```text
//! output -> the list of what may (text::stream) -> a screen of cells (vt100) -> drawn
//! ```
//!
//! While it has the keys every key is the endpoint's but one, which gives them back to the screens. It ends only when it
//! is asked to twice, or by itself; what it printed last stays until the next key.

use std::fmt;

use tocsin_proto::console::v1::{Terminal, TerminalHeader, TerminalSize};

use super::State;
use crate::action::{Action, ToTerminal};
use crate::command::terminal::ending;
use crate::event::PaneNews;
use crate::output::style::Style;
use crate::text::stream::{Filter, Form};

/// Lines above the screen that are kept.
const SCROLLBACK_ROWS: usize = 1000;

/// What programs at the endpoint take it for.
const KIND: &str = "xterm-256color";

/// From this width of the screens on, they stay beside the pane.
pub(crate) const COLUMNS_OF_BOTH: u16 = 130;

/// Columns of the pane then, its frame counted.
pub(crate) const COLUMNS_OF_PANE: u16 = 82;

/// Columns and rows inside the pane, for screens of this size.
fn screen_size((width, height): (u16, u16)) -> (u16, u16) {
    let columns = if width >= COLUMNS_OF_BOTH {
        COLUMNS_OF_PANE
    } else {
        width
    };
    // Its frame, and the lines above and below the screens. vt100 panics at wide characters in one column and at
    // scrolling in one row.
    let (columns, rows) = (columns.saturating_sub(2), height.saturating_sub(4));
    (columns.max(2), rows.max(2))
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The endpoint was asked for it.
    Opening,
    /// It is open.
    Open,
    /// Its end was asked for.
    Ending,
    /// It has ended, and how. Unclean.
    Ended(String),
}

/// The pane.
pub(crate) struct Pane {
    /// Of the endpoint, as it calls itself. Unclean.
    pub(crate) hostname: String,
    /// How far it is.
    pub(crate) phase: Phase,
    /// Whether it has the keys.
    pub(crate) has_keys: bool,
    /// Its end was asked for once.
    pub(crate) asks: bool,
    filter: Filter,
    cells: vt100::Parser,
}

impl fmt::Debug for Pane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pane")
            .field("hostname", &self.hostname)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Pane {
    /// One that is being opened: columns, rows.
    pub(crate) fn new(hostname: String, (columns, rows): (u16, u16)) -> Self {
        Self {
            hostname,
            phase: Phase::Opening,
            has_keys: true,
            asks: false,
            filter: Filter::new(Form::Screen),
            cells: vt100::Parser::new(rows, columns, SCROLLBACK_ROWS),
        }
    }

    /// What is on it.
    pub(crate) fn screen(&self) -> &vt100::Screen {
        self.cells.screen()
    }

    /// The endpoint has opened it.
    pub(crate) fn opened(&mut self, terminal: &Terminal) {
        terminal.hostname.clone_into(&mut self.hostname);
        if self.phase == Phase::Opening {
            self.phase = Phase::Open;
        }
    }

    /// It printed something.
    pub(crate) fn printed(&mut self, bytes: &[u8]) {
        let safe = self.filter.pass(bytes);
        self.cells.process(&safe);
    }

    /// It has ended.
    pub(crate) fn ended(&mut self, terminal: &Terminal) {
        self.failed(ending(terminal));
    }

    /// It has ended, for this reason.
    pub(crate) fn failed(&mut self, why: String) {
        self.phase = Phase::Ended(why);
        self.has_keys = false;
        self.asks = false;
    }

    /// Whether it has not ended.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Ended(_))
    }

    /// It has another size: columns, rows. `true` where that is news.
    pub(crate) fn resize(&mut self, (columns, rows): (u16, u16)) -> bool {
        if self.cells.screen().size() == (rows, columns) {
            return false;
        }
        // Made anew and not resized: vt100 keeps saved cursors outside of a smaller screen, and panics at them later.
        let shown = self.cells.screen().state_formatted();
        self.cells = vt100::Parser::new(rows, columns, SCROLLBACK_ROWS);
        self.cells.process(&shown);
        true
    }

    /// Pasted text, as programs want it.
    pub(crate) fn pasted(&self, text: &str) -> Vec<u8> {
        // What ends the paste for a program must not stand in it.
        let text = text
            .replace('\x1b', "")
            .replace("\r\n", "\r")
            .replace('\n', "\r");
        if self.cells.screen().bracketed_paste() {
            format!("\x1b[200~{text}\x1b[201~").into_bytes()
        } else {
            text.into_bytes()
        }
    }
}

impl State {
    /// Whether keys are the terminal's.
    pub(super) fn terminal_has_keys(&self) -> bool {
        self.terminal.as_ref().is_some_and(|pane| pane.has_keys)
    }

    /// Opens one, for a reason that has been typed.
    pub(super) fn open_terminal(
        &mut self,
        endpoint: String,
        incident: String,
        reason: String,
    ) -> Vec<Action> {
        let size = screen_size(self.size);
        let hostname = self.hostname(&endpoint).to_owned();
        self.terminal = Some(Pane::new(hostname, size));
        vec![Action::OpenTerminal(header(
            endpoint, incident, reason, size,
        ))]
    }

    /// Takes up news of it.
    pub(super) fn terminal_news(&mut self, news: PaneNews) {
        let Some(pane) = &mut self.terminal else {
            return;
        };
        match news {
            PaneNews::Opened(row) => pane.opened(&row),
            PaneNews::Output(bytes) => pane.printed(&bytes),
            PaneNews::Ended(row) => pane.ended(&row),
            PaneNews::Failed(why) => pane.failed(why),
        }
    }

    /// Gives the keys to it, or back to the screens.
    pub(super) fn give_keys(&mut self) {
        if let Some(pane) = self.terminal.as_mut().filter(|pane| pane.is_alive()) {
            pane.has_keys = !pane.has_keys;
            pane.asks = false;
        }
    }

    /// Ends it when it is asked to twice; takes it away where it has ended.
    pub(super) fn end_terminal(&mut self) -> Vec<Action> {
        match &mut self.terminal {
            None => Vec::new(),
            Some(pane) if !pane.is_alive() => {
                self.terminal = None;
                Vec::new()
            }
            Some(pane) if pane.asks => {
                pane.asks = false;
                pane.phase = Phase::Ending;
                vec![Action::Terminal(ToTerminal::Close)]
            }
            Some(pane) => {
                pane.asks = true;
                Vec::new()
            }
        }
    }

    /// Leaves, where a terminal is open only when it is asked to twice.
    pub(super) fn quit(&mut self) -> Vec<Action> {
        match self.terminal.as_mut().filter(|pane| pane.is_alive()) {
            Some(pane) if !pane.asks => {
                pane.asks = true;
                let said =
                    "a terminal is open: again ends it, with all that runs in it, and leaves";
                self.notice = Some((said.to_owned(), Style::High));
                Vec::new()
            }
            _ => vec![Action::Quit],
        }
    }

    /// Text was pasted into it.
    pub(super) fn paste(&self, text: &str) -> Vec<Action> {
        let pane = self.terminal.iter();
        pane.map(|pane| Action::Terminal(ToTerminal::Input(pane.pasted(text))))
            .collect()
    }

    /// The screens have another size, and with them the pane.
    pub(super) fn resize_terminal(&mut self) -> Vec<Action> {
        let size = screen_size(self.size);
        let is_news = self.terminal.as_mut().is_some_and(|pane| pane.resize(size));
        let told = is_news.then_some(Action::Terminal(ToTerminal::Size(size.0, size.1)));
        told.into_iter().collect()
    }
}

/// What the server is asked for.
fn header(
    endpoint: String,
    incident: String,
    reason: String,
    (columns, rows): (u16, u16),
) -> TerminalHeader {
    TerminalHeader {
        endpoint,
        reason,
        incident,
        size: Some(TerminalSize {
            columns: columns.into(),
            rows: rows.into(),
        }),
        term: KIND.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_drawn_and_nothing_else_is_obeyed() {
        let mut pane = Pane::new("lab".into(), (20, 5));
        pane.printed(b"\x1b]0;title\x07a\x1b[31mb\x1b[m\r\n\x1b[3;4Hc\x1b[6n");
        assert_eq!(pane.screen().contents(), "ab\n\n   c");
        assert!(pane.resize((30, 6)));
        assert!(!pane.resize((30, 6)));
        assert_eq!(pane.screen().contents(), "ab\n\n   c");
    }

    #[test]
    fn its_end_is_asked_for_twice() {
        let mut state = State::new(crate::theme::Theme::choose(|_| None), (80, 24), 0);
        let opened = state.open_terminal("e".into(), String::new(), "why".into());
        assert!(matches!(&opened[..], [Action::OpenTerminal(asked)] if asked.reason == "why"));
        assert!(state.terminal_has_keys());
        state.give_keys();
        assert!(!state.terminal_has_keys());
        assert_eq!(state.end_terminal(), []);
        assert_eq!(state.end_terminal(), [Action::Terminal(ToTerminal::Close)]);
        state.terminal_news(PaneNews::Failed("gone".into()));
        assert_eq!(state.end_terminal(), []);
        assert!(state.terminal.is_none());
    }

    #[test]
    fn leaving_with_an_open_one_is_asked_for_twice() {
        let mut state = State::new(crate::theme::Theme::choose(|_| None), (80, 24), 0);
        assert_eq!(state.quit(), [Action::Quit]);
        state.open_terminal("e".into(), String::new(), "why".into());
        assert_eq!(state.quit(), []);
        assert_eq!(state.quit(), [Action::Quit]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600), columns in 2_u16..40, rows in 2_u16..20) {
            let mut pane = Pane::new("lab".into(), (columns, rows));
            let text: Vec<u8> = bytes.iter().map(|byte| if *byte < 60 { 0x1b } else if *byte < 100 { b'[' } else { *byte / 2 }).collect();
            pane.printed(&text);
            pane.resize((rows.max(2), columns));
            pane.printed(&bytes);
            let _contents = pane.screen().contents();
        }
    }

    #[test]
    fn a_paste_cannot_end_itself() {
        let mut pane = Pane::new("lab".into(), (20, 5));
        assert_eq!(pane.pasted("a\nb\r\nc"), b"a\rb\rc");
        pane.printed(b"\x1b[?2004h");
        assert_eq!(pane.pasted("a\x1b[201~rm"), b"\x1b[200~a[201~rm\x1b[201~");
    }
}
