//! Everything that can happen to the screens: keys, sizes, times, and news of the server.

use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tocsin_proto::console::v1::{
    Attempt, AuditRow, AuditVerification, Changes, Endpoint, EventRow, Feed, GetServerResponse,
    Identity, Incident, IncidentSummary, ProcessRow, Terminal, Unmapped,
};

use crate::action::{Change, PaneId, Query};
use crate::keymap::Key;
use crate::state::Place;
use crate::state::events::Page;
use crate::state::fleet::Fleet;

/// News that wait to be taken up; the network waits while they are not.
pub(crate) const NEWS_WAITING_MAX: usize = 256;

/// What is read anew, as a person is told of it.
pub(crate) const PROFILE: &str = "the profile";
pub(crate) const KEYS: &str = "the keys";

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A key was pressed.
    Key(Key),
    /// A key was pressed that is the terminal's: its bytes.
    Typed(Vec<u8>),
    /// Text was pasted.
    Paste(String),
    /// Somebody has pointed at this.
    Click(Target),
    /// The wheel was turned, down or up.
    Wheel(bool),
    /// The terminal has this size: columns, rows.
    Resize(u16, u16),
    /// The next picture of a spinner; comes only while something spins.
    Beat,
    /// Time to ask again for what is shown; comes only where it has changed.
    Refresh,
    /// Time to look through more names; comes only while something is looked for.
    Search,
    /// An age on the screen has grown.
    Age,
    /// The zone with this name, where this machine knows it.
    Zone(String, Option<TimeZone>),
    /// A file with this name was written, or why not.
    Written(String, Result<(), String>),
    /// What a person has set was read anew, or cannot be used, and why.
    ReadAnew(&'static str, Result<(), String>),
    /// From the server, or about it.
    News(News),
    /// Somebody wants the program to end.
    End,
}

/// What one can point at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// The name of a screen.
    Screen(Place),
    /// A row of the screen's list.
    Row(usize),
    /// One of what is to be chosen.
    Choice(usize),
    /// Nothing of these.
    Elsewhere,
}

/// What the network has to say.
#[derive(Debug)]
pub(crate) enum News {
    /// The connection's state.
    Link(Link),
    /// Which lists have changed.
    Changes(Changes),
    /// An incident is there or has changed.
    Incident(Box<IncidentSummary>),
    /// An answer, or why there is none, in clean words.
    Answer(Query, Result<Reply, String>),
    /// Of the terminal in this pane.
    Terminal(PaneId, PaneNews),
    /// A terminal that somebody wanted to end has ended, or why not.
    Killed(Result<Box<Terminal>, String>),
    /// A change was made, or why not.
    Changed(Change, Result<Box<IncidentSummary>, String>),
}

/// Of the terminal in the pane.
#[derive(Debug)]
pub(crate) enum PaneNews {
    /// It is open now, or is watched now.
    Opened(Box<Terminal>),
    /// It printed this.
    Output(Vec<u8>),
    /// Of one that is watched: so many bytes were missed here.
    Missed(u64),
    /// Of one that is watched: it has this many columns and rows now.
    Size(u32, u32),
    /// It has ended.
    Ended(Box<Terminal>),
    /// It was not opened, or is lost, and why, in clean words.
    Failed(String),
}

/// The connection's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not there yet.
    Connecting,
    /// To this server.
    Up(String),
    /// Why not, in clean words.
    Down(String),
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) enum Reply {
    /// To [`Query::Server`].
    Server(GetServerResponse),
    /// To [`Query::Feeds`].
    Feeds(Vec<Feed>),
    /// To [`Query::Incident`].
    Incident(Box<Incident>),
    /// To [`Query::Endpoints`].
    Endpoints(Arc<Fleet>),
    /// To [`Query::Endpoint`].
    Endpoint(Box<Endpoint>),
    /// To [`Query::Processes`].
    Processes(Vec<ProcessRow>),
    /// To [`Query::Gaps`].
    Gaps(Vec<EventRow>),
    /// To [`Query::Files`].
    Files(Vec<EventRow>),
    /// To [`Query::Identities`].
    Identities(Vec<Identity>),
    /// To [`Query::Unmapped`].
    Unmapped(Vec<Unmapped>),
    /// To [`Query::Identity`].
    Identity(Box<Identity>),
    /// To [`Query::Events`] and [`Query::Newer`].
    Page(Page),
    /// To [`Query::Around`].
    Events(Vec<EventRow>),
    /// To [`Query::Attempts`].
    Attempts(Vec<Attempt>),
    /// To [`Query::Audit`], and the token of the next page; empty after the last.
    Audit(Vec<AuditRow>, String),
    /// To [`Query::Terminals`].
    Terminals(Vec<Terminal>),
    /// To [`Query::VerifyAudit`].
    Verified(Box<AuditVerification>),
}
