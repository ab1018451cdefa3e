//! Which key means which command, as data. The help screen is printed from it.
//!
//! A key means one thing on a screen: the screen's own keys and those of [`Context::Everywhere`] do not
//! overlap. While a popup is open only the popup's keys count.

mod context;
mod key;

pub(crate) use context::Context;
pub(crate) use key::Key;

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cmd {
    /// Leave the program.
    Quit,
    /// Show the keys.
    Help,
    /// Go to anything by its name.
    Palette,
    /// To where one was before.
    Back,
    /// And forward again.
    Forward,
    /// To the overview.
    Overview,
    /// To the incidents.
    Incidents,
    /// To the endpoints.
    Endpoints,
    /// To the identities.
    Identities,
    /// To the events.
    Events,
    /// To the feeds.
    Feeds,
    /// To the audit log.
    Audit,
    /// To the open terminals.
    Terminals,
    /// Events with a value of what is selected.
    Find,
    /// A value of what is selected to the clipboard.
    Copy,
    /// Times of the next zone.
    Zone,
    /// One up.
    Up,
    /// One down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first.
    Top,
    /// To the last.
    Bottom,
    /// Open what is selected.
    Open,
    /// Ask the server again.
    Refresh,
    /// The next theme.
    Theme,
    /// Narrow by text.
    Filter,
    /// The next order.
    Sort,
    /// The next least severity.
    Severity,
    /// Also what is not open any more.
    Closed,
    /// The next pane.
    NextPane,
    /// The pane before.
    PreviousPane,
    /// A shorter time on the axis.
    ZoomIn,
    /// A longer time on the axis.
    ZoomOut,
    /// All of the time.
    ZoomAll,
    /// Earlier.
    Earlier,
    /// Later.
    Later,
    /// Give it to somebody.
    Assign,
    /// Move it to a state.
    State,
    /// Judge it.
    Verdict,
    /// Write a note.
    Note,
    /// What it has to do with: endpoints, identity, other incidents.
    Linked,
    /// Mark it, or not.
    Mark,
    /// Change all that are marked.
    Bulk,
    /// Show a view that was kept.
    View,
    /// Keep the view.
    KeepView,
    /// Instead what is not mapped, or not.
    Unmapped,
    /// Write a report.
    Export,
    /// Follow what comes.
    Tail,
    /// Check that it is whole.
    Verify,
    /// Open a terminal.
    Terminal,
    /// The keys to the terminal, or back.
    Keys,
    /// End the terminal.
    EndTerminal,
    /// End the terminal that is selected.
    Kill,
    /// To the parent.
    Parent,
    /// Take what is chosen or typed.
    Accept,
    /// Leave it.
    Cancel,
    /// Take away the character before.
    Erase,
    /// Take away the character under the cursor.
    Delete,
    /// Take away all.
    Clear,
    /// The cursor left.
    CursorLeft,
    /// The cursor right.
    CursorRight,
    /// The cursor to the beginning.
    CursorStart,
    /// The cursor to the end.
    CursorEnd,
}

impl Cmd {
    /// Whether a key that counts everywhere does something, and does not only move.
    fn is_action(self) -> bool {
        matches!(
            self,
            Self::Quit
                | Self::Help
                | Self::Find
                | Self::Copy
                | Self::Zone
                | Self::Refresh
                | Self::Theme
                | Self::Keys
                | Self::EndTerminal
        )
    }
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Binding {
    /// Where it counts.
    pub(crate) context: Context,
    /// Any of these.
    pub(crate) keys: &'static [Key],
    /// What it asks for.
    pub(crate) cmd: Cmd,
    /// What it does, for people.
    pub(crate) help: &'static str,
}

const fn row(context: Context, keys: &'static [Key], cmd: Cmd, help: &'static str) -> Binding {
    Binding {
        context,
        keys,
        cmd,
        help,
    }
}

use Context::{
    Audit, Choice, Endpoint, Endpoints, Events, Everywhere, Feeds, Identities, Identity, Incident,
    Incidents, Terminals, Typing,
};
use Key::{Char, Ctrl};

/// The table.
pub(crate) const BINDINGS: &[Binding] = &[
    row(Everywhere, &[Char('q'), Ctrl('c')], Cmd::Quit, "leave"),
    row(Everywhere, &[Char('?')], Cmd::Help, "these keys"),
    row(
        Everywhere,
        &[Char(':'), Ctrl('p')],
        Cmd::Palette,
        "find by name: screens, actions, incidents, endpoints",
    ),
    row(
        Everywhere,
        &[Key::Esc, Key::Backspace, Char('[')],
        Cmd::Back,
        "back",
    ),
    row(Everywhere, &[Char(']')], Cmd::Forward, "forward"),
    row(Everywhere, &[Char('1')], Cmd::Overview, "overview"),
    row(Everywhere, &[Char('2')], Cmd::Incidents, "incidents"),
    row(Everywhere, &[Char('3')], Cmd::Endpoints, "endpoints"),
    row(Everywhere, &[Char('4')], Cmd::Identities, "identities"),
    row(Everywhere, &[Char('5')], Cmd::Events, "events"),
    row(Everywhere, &[Char('6')], Cmd::Feeds, "feeds"),
    row(Everywhere, &[Char('7')], Cmd::Audit, "audit log"),
    row(Everywhere, &[Char('8')], Cmd::Terminals, "open terminals"),
    row(
        Everywhere,
        &[Char('f')],
        Cmd::Find,
        "find events with a value of what is selected",
    ),
    row(
        Everywhere,
        &[Char('y')],
        Cmd::Copy,
        "copy a value of what is selected",
    ),
    row(
        Everywhere,
        &[Char('Z')],
        Cmd::Zone,
        "times: UTC, this machine's zone, the person's",
    ),
    row(Everywhere, &[Char('k'), Key::Up], Cmd::Up, "up"),
    row(Everywhere, &[Char('j'), Key::Down], Cmd::Down, "down"),
    row(
        Everywhere,
        &[Ctrl('u'), Key::PageUp],
        Cmd::PageUp,
        "a page up",
    ),
    row(
        Everywhere,
        &[Ctrl('d'), Key::PageDown],
        Cmd::PageDown,
        "a page down",
    ),
    row(Everywhere, &[Char('g'), Key::Home], Cmd::Top, "first"),
    row(Everywhere, &[Char('G'), Key::End], Cmd::Bottom, "last"),
    row(
        Everywhere,
        &[Key::Enter],
        Cmd::Open,
        "open what is selected",
    ),
    row(
        Everywhere,
        &[Char('r'), Ctrl('l')],
        Cmd::Refresh,
        "ask the server again",
    ),
    row(Everywhere, &[Char('T')], Cmd::Theme, "next theme"),
    row(
        Everywhere,
        &[Ctrl(']')],
        Cmd::Keys,
        "keys to the terminal pane, and back to the screens",
    ),
    row(
        Everywhere,
        &[Char('K')],
        Cmd::EndTerminal,
        "end the pane's terminal (asks); take away one that ended",
    ),
    row(
        Incidents,
        &[Char('/')],
        Cmd::Filter,
        "narrow by words: title, person, id",
    ),
    row(
        Incidents,
        &[Char('o')],
        Cmd::Sort,
        "order: worst, newest, person",
    ),
    row(Incidents, &[Char('v')], Cmd::Severity, "least severity"),
    row(
        Incidents,
        &[Char('c')],
        Cmd::Closed,
        "also what is resolved or closed",
    ),
    row(
        Incidents,
        &[Char('m')],
        Cmd::Mark,
        "mark it, up to 16, or not",
    ),
    row(
        Incidents,
        &[Char('b')],
        Cmd::Bulk,
        "change all that are marked",
    ),
    row(
        Incidents,
        &[Char('w')],
        Cmd::View,
        "a kept view: show it, or forget it",
    ),
    row(
        Incidents,
        &[Char('W')],
        Cmd::KeepView,
        "keep what it is narrowed by, and the order, by a name",
    ),
    row(Incident, &[Key::Tab], Cmd::NextPane, "next pane"),
    row(Incident, &[Key::BackTab], Cmd::PreviousPane, "pane before"),
    row(
        Incident,
        &[Char('+'), Char('=')],
        Cmd::ZoomIn,
        "time axis: shorter",
    ),
    row(Incident, &[Char('-')], Cmd::ZoomOut, "time axis: longer"),
    row(Incident, &[Char('0')], Cmd::ZoomAll, "time axis: all"),
    row(
        Incident,
        &[Char('h'), Key::Left],
        Cmd::Earlier,
        "time axis: earlier",
    ),
    row(
        Incident,
        &[Char('l'), Key::Right],
        Cmd::Later,
        "time axis: later",
    ),
    row(Incident, &[Char('a')], Cmd::Assign, "give it to somebody"),
    row(Incident, &[Char('s')], Cmd::State, "set its state"),
    row(Incident, &[Char('v')], Cmd::Verdict, "set its verdict"),
    row(Incident, &[Char('n')], Cmd::Note, "write a note"),
    row(
        Incident,
        &[Char('t')],
        Cmd::Terminal,
        "open a terminal at one of its endpoints",
    ),
    row(
        Incident,
        &[Char('x')],
        Cmd::Export,
        "write a report to a file",
    ),
    row(
        Incident,
        &[Char('e')],
        Cmd::Linked,
        "go to an endpoint, the identity, a related incident",
    ),
    row(
        Endpoints,
        &[Char('/')],
        Cmd::Filter,
        "narrow by words: host, tag, system, id",
    ),
    row(
        Endpoint,
        &[Char('/')],
        Cmd::Filter,
        "narrow processes by words",
    ),
    row(Endpoint, &[Char('t')], Cmd::Terminal, "open a terminal"),
    row(Endpoint, &[Char('p')], Cmd::Parent, "to the parent process"),
    row(
        Identities,
        &[Char('/')],
        Cmd::Filter,
        "narrow by words: name, login, host, id",
    ),
    row(
        Identities,
        &[Char('u')],
        Cmd::Unmapped,
        "only what is not mapped, and the next step; or all",
    ),
    row(
        Identity,
        &[Char('e')],
        Cmd::Linked,
        "go to an endpoint or incident of the person",
    ),
    row(
        Events,
        &[Char('/')],
        Cmd::Filter,
        "search: kind: user: endpoint: since: until: and words",
    ),
    row(Events, &[Char('t')], Cmd::Tail, "follow new events, or not"),
    row(
        Events,
        &[Char('e')],
        Cmd::Linked,
        "go to the event's endpoint",
    ),
    row(
        Feeds,
        &[Char('/')],
        Cmd::Filter,
        "narrow by words: provider, kind",
    ),
    row(
        Audit,
        &[Char('/')],
        Cmd::Filter,
        "narrow by words: actor, action, target",
    ),
    row(
        Audit,
        &[Char('V')],
        Cmd::Verify,
        "check that the log is whole",
    ),
    row(
        Terminals,
        &[Char('/')],
        Cmd::Filter,
        "narrow by words: host, analyst, reason, id",
    ),
    row(
        Terminals,
        &[Char('x')],
        Cmd::Kill,
        "end it, with all that runs in it (asks)",
    ),
    row(
        Terminals,
        &[Char('e')],
        Cmd::Linked,
        "go to its endpoint or incident",
    ),
    row(Choice, &[Key::Enter], Cmd::Accept, "take it"),
    row(
        Choice,
        &[Key::Esc, Char('q'), Ctrl('c')],
        Cmd::Cancel,
        "leave it",
    ),
    row(Choice, &[Char('k'), Key::Up], Cmd::Up, "up"),
    row(Choice, &[Char('j'), Key::Down], Cmd::Down, "down"),
    row(Typing, &[Key::Enter], Cmd::Accept, "take it"),
    row(Typing, &[Key::Esc, Ctrl('c')], Cmd::Cancel, "leave it"),
    row(
        Typing,
        &[Key::Up, Ctrl('k')],
        Cmd::Up,
        "up in what was found",
    ),
    row(
        Typing,
        &[Key::Down, Ctrl('j')],
        Cmd::Down,
        "down in what was found",
    ),
    row(
        Typing,
        &[Key::Backspace, Ctrl('h')],
        Cmd::Erase,
        "erase a character",
    ),
    row(Typing, &[Key::Delete], Cmd::Delete, "delete a character"),
    row(Typing, &[Ctrl('u')], Cmd::Clear, "erase all"),
    row(Typing, &[Key::Left], Cmd::CursorLeft, "cursor left"),
    row(Typing, &[Key::Right], Cmd::CursorRight, "cursor right"),
    row(
        Typing,
        &[Key::Home, Ctrl('a')],
        Cmd::CursorStart,
        "cursor to the beginning",
    ),
    row(
        Typing,
        &[Key::End, Ctrl('e')],
        Cmd::CursorEnd,
        "cursor to the end",
    ),
];

/// Which keys count: those of the table, or others that somebody has chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keymap {
    /// The keys of each row of the table.
    keys: Vec<Vec<Key>>,
}

impl Default for Keymap {
    fn default() -> Self {
        Self {
            keys: BINDINGS.iter().map(|row| row.keys.to_vec()).collect(),
        }
    }
}

impl Keymap {
    /// Other keys for a command.
    pub(crate) fn set(&mut self, context: Context, cmd: Cmd, keys: Vec<Key>) {
        let mut rows = BINDINGS.iter().zip(&mut self.keys);
        if let Some((_, place)) = rows.find(|(row, _)| row.context == context && row.cmd == cmd) {
            *place = keys;
        }
    }

    /// What a key asks for where it is pressed: the context's own keys, and on screens those that count
    /// everywhere.
    pub(crate) fn find(&self, context: Context, key: Key) -> Option<Cmd> {
        let mut keys = self.keys_in(context);
        keys.find(|(one, _)| *one == key).map(|(_, cmd)| cmd)
    }

    /// All keys that count there.
    pub(crate) fn keys_in(&self, here: Context) -> impl Iterator<Item = (Key, Cmd)> {
        let rows = self
            .rows()
            .filter(move |(row, _)| counts(row.context, here));
        rows.flat_map(|(row, keys)| keys.iter().map(|key| (*key, row.cmd)))
    }

    /// What can be done there by name, with the names of the keys: neither moves nor screens, which have names
    /// of their own.
    pub(crate) fn actions(&self, here: Context) -> Vec<(&'static Binding, String)> {
        let rows = self.rows().filter(|(row, _)| match row.context {
            Context::Everywhere => row.cmd.is_action(),
            context => context == here,
        });
        rows.map(|(row, keys)| (row, names(keys))).collect()
    }

    /// The rows of the table and their keys.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&'static Binding, &[Key])> {
        BINDINGS.iter().zip(self.keys.iter().map(Vec::as_slice))
    }
}

/// Whether a row of that context counts in this one.
fn counts(row: Context, here: Context) -> bool {
    let is_popup = matches!(here, Context::Choice | Context::Typing);
    row == here || (row == Context::Everywhere && !is_popup)
}

/// Keys as people read them.
pub(crate) fn names(keys: &[Key]) -> String {
    let keys: Vec<_> = keys.iter().map(Key::to_string).collect();
    keys.join(" ")
}

#[cfg(test)]
mod tests;
