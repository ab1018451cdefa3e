//! The terminal pane: one terminal at an endpoint, beside whatever screen is shown.
//!
//! ```text
//! output -> the list of what may (text::stream) -> a screen of cells (vt100) -> drawn
//! ```
//!
//! While it has the keys every key is the endpoint's but one, which gives them back to the screens. It ends only when it
//! is asked to twice, or by itself; what it printed last stays until the next key. Somebody else's terminal is watched in
//! the same pane: it has the size that it has there, no key goes to it, and leaving it ends nothing.

use std::fmt;

use tocsin_proto::console::v1::{Terminal, TerminalHeader, TerminalSize};

use super::State;
use crate::action::{Action, PaneId, ToTerminal};
use crate::command::terminal::{ending, how_ended};
use crate::event::PaneNews;
use crate::keymap::{Cmd, Context, Key};
use crate::output::style::Style;
use crate::text::stream::{Filter, Form};

/// Lines above the screen that are kept: none, as none can be looked at; `less` at the endpoint is for that.
const SCROLLBACK_ROWS: usize = 0;

/// What programs at the endpoint take it for.
const KIND: &str = "xterm-256color";

/// From this width of the screens on, they stay beside the pane.
pub(crate) const COLUMNS_OF_BOTH: u16 = 130;

/// Columns of the pane then, its frame counted.
pub(crate) const COLUMNS_OF_PANE: u16 = 82;

/// Columns and rows that are kept of a terminal that is watched: 1.2 MiB of cells, and more than any desk shows.
const WATCHED_MAX: (u16, u16) = (320, 120);

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
    /// What news for it are told by.
    id: PaneId,
    /// Whose terminal is watched in it; `None`: it is one's own. Unclean.
    pub(crate) watched: Option<String>,
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
    pub(crate) fn new(id: PaneId, hostname: String, (columns, rows): (u16, u16)) -> Self {
        Self {
            id,
            watched: None,
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

    /// Whether keys go to the terminal in it.
    pub(crate) fn takes_keys(&self) -> bool {
        self.has_keys && self.watched.is_none() && self.is_alive()
    }

    /// The endpoint has opened it, or it is watched now.
    pub(crate) fn opened(&mut self, terminal: &Terminal) {
        terminal.hostname.clone_into(&mut self.hostname);
        self.take_size(terminal.columns, terminal.rows);
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
        self.failed(how_ended(terminal));
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

    /// The size that a watched one has where it was opened.
    fn take_size(&mut self, columns: u32, rows: u32) {
        let within = |size: u32, max: u16| u16::try_from(size).unwrap_or(max).clamp(2, max);
        if self.watched.is_some() {
            self.resize((within(columns, WATCHED_MAX.0), within(rows, WATCHED_MAX.1)));
        }
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
    pub(crate) fn terminal_has_keys(&self) -> bool {
        self.terminal.as_ref().is_some_and(|pane| pane.has_keys)
    }

    /// Whether a terminal that is watched or has ended stands over the screens.
    pub(super) fn is_watching_above(&self) -> bool {
        let pane = self.terminal.as_ref();
        pane.is_some_and(|pane| pane.has_keys && !pane.takes_keys())
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
        let id = self.next_pane();
        self.terminal = Some(Pane::new(id, hostname, size));
        let header = header(endpoint, incident, reason, size);
        vec![Action::OpenTerminal(id, header)]
    }

    fn next_pane(&mut self) -> PaneId {
        self.pane_id.0 += 1;
        self.pane_id
    }

    /// Watches the terminal that is selected.
    pub(super) fn watch_selected(&mut self) -> Vec<Action> {
        let Some(terminal) = self.terminals.selected() else {
            return Vec::new();
        };
        let is_held = |pane: &Pane| pane.is_alive() && pane.watched.is_none();
        if self.terminal.as_ref().is_some_and(is_held) {
            let said = "the pane has a terminal of yours: K ends it";
            self.notice = Some((said.to_owned(), Style::Medium));
            return Vec::new();
        }
        let (terminal_id, hostname) = (terminal.id.clone(), terminal.hostname.clone());
        let watched = Some(terminal.analyst.clone());
        let id = self.next_pane();
        self.terminal = Some(Pane {
            watched,
            // Over the screens where both have no room; beside them these keep the keys.
            has_keys: self.size.0 < COLUMNS_OF_BOTH,
            ..Pane::new(id, hostname, screen_size(self.size))
        });
        vec![Action::WatchTerminal(id, terminal_id)]
    }

    /// A key while a terminal that is watched or has ended stands over the screens.
    pub(super) fn key_of_watched(&mut self, key: Key) -> Vec<Action> {
        match self.keymap.find(Context::Everywhere, key) {
            Some(Cmd::Keys) => {
                self.give_keys();
                Vec::new()
            }
            Some(Cmd::EndTerminal | Cmd::Back | Cmd::Quit) => self.end_terminal(),
            _ => {
                let is_alive = self.terminal.as_ref().is_some_and(Pane::is_alive);
                let said = match is_alive {
                    true => "it is only watched: esc leaves it, ctrl-] shows the screens",
                    false => "it has ended: esc takes it away",
                };
                self.notice = Some((said.to_owned(), Style::Plain));
                Vec::new()
            }
        }
    }

    /// What became of a terminal that was to be ended.
    pub(super) fn killed(&mut self, result: Result<Box<Terminal>, String>) -> Vec<Action> {
        self.notice = Some(match result {
            Ok(terminal) => {
                let is_whole = terminal.reported && terminal.survived_count == 0;
                let style = if is_whole {
                    Style::Good
                } else {
                    Style::Critical
                };
                (crate::text::line(&ending(&terminal)).into_owned(), style)
            }
            Err(why) => (why, Style::Critical),
        });
        match self.place() {
            super::Place::Terminals => self.refresh(),
            _ => Vec::new(),
        }
    }

    /// Takes up news of the pane with this id.
    pub(super) fn terminal_news(&mut self, id: PaneId, news: PaneNews) {
        let Some(pane) = self.terminal.as_mut().filter(|pane| pane.id == id) else {
            return;
        };
        let was_alive = pane.is_alive();
        let is_above = pane.has_keys && self.size.0 < COLUMNS_OF_BOTH;
        match news {
            PaneNews::Opened(row) => pane.opened(&row),
            PaneNews::Output(bytes) => pane.printed(&bytes),
            PaneNews::Missed(bytes) => {
                let said = format!("{bytes} bytes of it were missed");
                self.notice = Some((said, Style::Medium));
            }
            PaneNews::Size(columns, rows) => pane.take_size(columns, rows),
            PaneNews::Ended(row) => pane.ended(&row),
            PaneNews::Failed(why) => pane.failed(why),
        }
        if let Phase::Ended(how) = &pane.phase
            && was_alive
        {
            // Over the screens it stays until it was read; beside or behind them it is told.
            pane.has_keys = is_above;
            if !is_above {
                let said = format!("ended, K takes it away: {how}, at {}", pane.hostname);
                self.notice = Some((crate::text::line(&said).into_owned(), Style::Medium));
            }
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
            Some(pane) if pane.watched.is_some() => {
                self.terminal = None;
                vec![Action::Terminal(ToTerminal::Close)]
            }
            Some(pane) if pane.asks => {
                pane.asks = false;
                pane.phase = Phase::Ending;
                vec![Action::Terminal(ToTerminal::Close)]
            }
            Some(pane) => {
                pane.asks = true;
                let said = "K again ends the terminal, and all that runs in it";
                self.notice = Some((said.to_owned(), Style::High));
                Vec::new()
            }
        }
    }

    /// Leaves, where a terminal is open only when it is asked to twice.
    pub(super) fn quit(&mut self) -> Vec<Action> {
        let is_held = |pane: &&mut Pane| pane.is_alive() && pane.watched.is_none();
        match self.terminal.as_mut().filter(is_held) {
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
        let pane = self.terminal.iter().filter(|pane| pane.takes_keys());
        pane.map(|pane| Action::Terminal(ToTerminal::Input(pane.pasted(text))))
            .collect()
    }

    /// The screens have another size, and with them the pane.
    pub(super) fn resize_terminal(&mut self) -> Vec<Action> {
        let size = screen_size(self.size);
        let own = self.terminal.as_mut().filter(|pane| pane.watched.is_none());
        let is_news = own.is_some_and(|pane| pane.resize(size));
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
        let mut pane = Pane::new(PaneId(1), "lab".into(), (20, 5));
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
        assert!(matches!(&opened[..], [Action::OpenTerminal(_, asked)] if asked.reason == "why"));
        assert!(state.terminal_has_keys());
        state.give_keys();
        assert!(!state.terminal_has_keys());
        assert_eq!(state.end_terminal(), []);
        assert_eq!(state.end_terminal(), [Action::Terminal(ToTerminal::Close)]);
        state.terminal_news(PaneId(1), PaneNews::Failed("gone".into()));
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

    fn watching(size: (u16, u16)) -> State {
        let mut state = State::new(crate::theme::Theme::choose(|_| None), size, 0);
        let row = Terminal {
            id: "7000".into(),
            analyst: "robin".into(),
            columns: 100,
            rows: 30,
            ..Terminal::default()
        };
        state.terminals.set(Ok(vec![row.clone()]), 0);
        state.begin_at(crate::state::Place::Terminals);
        let asked = state.on(crate::event::Event::Key(Key::Enter), 0);
        assert_eq!(asked, [Action::WatchTerminal(PaneId(1), "7000".into())]);
        state.terminal_news(PaneId(1), PaneNews::Opened(Box::new(row)));
        state
    }

    #[test]
    fn a_watched_one_takes_no_keys_and_is_left_without_ending_it() {
        let mut state = watching((80, 24));
        let pane = state.terminal.as_ref().unwrap();
        assert!(pane.has_keys && !pane.takes_keys(), "it stands above");
        assert_eq!(pane.screen().size(), (30, 100), "as it is there");
        let key = |c| crate::event::Event::Key(Key::Char(c));
        assert_eq!(state.on(key('j'), 0), []);
        assert_eq!(state.paste("rm"), []);
        let left = state.on(crate::event::Event::Key(Key::Esc), 0);
        assert_eq!(left, [Action::Terminal(ToTerminal::Close)]);
        assert!(state.terminal.is_none());
        assert_eq!(state.quit(), [Action::Quit]);
    }

    #[test]
    fn beside_the_screens_a_watched_one_leaves_them_the_keys() {
        let mut state = watching((200, 60));
        assert!(!state.terminal_has_keys());
        assert_eq!(state.quit(), [Action::Quit], "leaving ends nothing");
    }

    #[test]
    fn what_comes_for_a_pane_that_is_gone_is_for_nobody() {
        let mut state = watching((80, 24));
        state.end_terminal();
        state.open_terminal("e".into(), String::new(), "why".into());
        state.terminal_news(PaneId(1), PaneNews::Output(b"stale".to_vec()));
        state.terminal_news(PaneId(2), PaneNews::Output(b"new".to_vec()));
        let pane = state.terminal.as_ref().unwrap();
        assert_eq!(pane.screen().contents(), "new");
    }

    #[test]
    fn a_size_that_somebody_claims_is_bounded() {
        let mut state = watching((80, 24));
        state.terminal_news(PaneId(1), PaneNews::Size(u32::MAX, 0));
        let pane = state.terminal.as_ref().unwrap();
        assert_eq!(pane.screen().size(), (2, WATCHED_MAX.0));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600), columns in 2_u16..40, rows in 2_u16..20) {
            let mut pane = Pane::new(PaneId(1), "lab".into(), (columns, rows));
            let text: Vec<u8> = bytes.iter().map(|byte| if *byte < 60 { 0x1b } else if *byte < 100 { b'[' } else { *byte / 2 }).collect();
            pane.printed(&text);
            pane.resize((rows.max(2), columns));
            pane.printed(&bytes);
            let _contents = pane.screen().contents();
        }
    }

    #[test]
    fn a_paste_cannot_end_itself() {
        let mut pane = Pane::new(PaneId(1), "lab".into(), (20, 5));
        assert_eq!(pane.pasted("a\nb\r\nc"), b"a\rb\rc");
        pane.printed(b"\x1b[?2004h");
        assert_eq!(pane.pasted("a\x1b[201~rm"), b"\x1b[200~a[201~rm\x1b[201~");
    }
}
