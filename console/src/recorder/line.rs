//! The lines of a recording, and what they stand for. What is made here from an event is made into the same event again.

use std::sync::Arc;

use data_encoding::BASE64;
use jiff::tz::TimeZone;
use prost::Message;
use serde::{Deserialize, Serialize};
use tocsin_proto::console::v1::{AgentHealth, ClockSkew, Endpoint};

use super::Asked;
use crate::action::PaneId;
use crate::event::{Event, KEYS, Link, News, PROFILE, PaneNews, Reply, Target};
use crate::keymap::Key;
use crate::memory::Memory;
use crate::state::State;
use crate::state::fleet::Fleet;

/// The form of recordings that this build writes and reads.
pub(super) const FORM: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The first.
    Begin(Box<Begin>),
    /// Something came in.
    Event {
        /// When.
        now_ms: i64,
        /// What.
        said: Said,
    },
    /// The keys are these from here on.
    Keys {
        /// As in their file.
        keys: String,
    },
    /// A frame was drawn.
    Frame {
        /// Its fingerprint.
        frame: u64,
    },
    /// The last frame.
    End {
        /// Its text.
        rows: Vec<String>,
    },
    /// What came here and later is not recorded.
    Full,
}

/// How the screens began.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) recording: u32,
    pub(super) program: String,
    pub(super) now_ms: i64,
    pub(super) size: (u16, u16),
    pub(super) theme: String,
    pub(super) local_zone: Option<String>,
    pub(super) keys: String,
    pub(super) memory: Memory,
}

/// A message of the contract, encoded, in base64.
type Blob = String;

/// An [`Event`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    Key(Key),
    /// Into a terminal: so many bytes.
    Typed(usize),
    Paste(String),
    /// Into a terminal: so many characters.
    PasteHidden(usize),
    Click(Target),
    Wheel(bool),
    Resize(u16, u16),
    Beat,
    Refresh,
    Age,
    Search,
    Zone(String, bool),
    Written(String, Result<(), String>),
    ReadAnew(bool, Result<(), String>),
    Up(String),
    Down(String),
    Connecting,
    Changes(Blob),
    Incident(Blob),
    Answer(u64, Result<SaidReply, String>),
    Changed(u64, Result<Blob, String>),
    Terminal(u64, SaidPane),
    Killed(Result<Blob, String>),
    End,
    /// What cannot be told again: an answer to nobody knows what.
    Nothing,
}

/// A [`Reply`]: what it is, its messages, and the token of the next page.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SaidReply {
    kind: Kind,
    messages: Vec<Blob>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    token: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Server,
    Feeds,
    Incident,
    Endpoints,
    Endpoint,
    Processes,
    Gaps,
    Files,
    Identities,
    Unmapped,
    Identity,
    Page,
    Events,
    Attempts,
    Audit,
    Terminals,
    Verified,
}

/// [`PaneNews`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SaidPane {
    Opened(Blob),
    Output(Blob),
    Missed(u64),
    Size(u32, u32),
    Ended(Blob),
    Failed(String),
}

fn blob<M: Message>(message: &M) -> Blob {
    BASE64.encode(&message.encode_to_vec())
}

fn message<M: Message + Default>(blob: &str) -> Option<M> {
    M::decode(bytes(blob)?.as_slice()).ok()
}

fn bytes(blob: &str) -> Option<Vec<u8>> {
    BASE64.decode(blob.as_bytes()).ok()
}

/// An event as it is recorded; `to` is the number of the question that it answers.
pub(super) fn said(event: &Event, to: Option<u64>, state: &State) -> Said {
    match event {
        Event::Key(key) => Said::Key(*key),
        Event::Typed(bytes) => Said::Typed(bytes.len()),
        Event::Paste(text) if state.terminal_has_keys() => Said::PasteHidden(text.chars().count()),
        Event::Paste(text) => Said::Paste(text.clone()),
        Event::Click(target) => Said::Click(target.clone()),
        Event::Wheel(is_down) => Said::Wheel(*is_down),
        Event::Resize(columns, rows) => Said::Resize(*columns, *rows),
        Event::Beat => Said::Beat,
        Event::Refresh => Said::Refresh,
        Event::Age => Said::Age,
        Event::Search => Said::Search,
        Event::Zone(name, zone) => Said::Zone(name.clone(), zone.is_some()),
        Event::Written(name, written) => Said::Written(name.clone(), written.clone()),
        Event::ReadAnew(name, result) => Said::ReadAnew(*name == PROFILE, result.clone()),
        Event::News(news) => said_news(news, to),
        Event::End => Said::End,
    }
}

fn said_news(news: &News, to: Option<u64>) -> Said {
    match (news, to) {
        (News::Link(Link::Up(address)), _) => Said::Up(address.clone()),
        (News::Link(Link::Down(why)), _) => Said::Down(why.clone()),
        (News::Link(Link::Connecting), _) => Said::Connecting,
        (News::Changes(changes), _) => Said::Changes(blob(changes)),
        (News::Incident(incident), _) => Said::Incident(blob(incident.as_ref())),
        (News::Answer(_, reply), Some(to)) => {
            Said::Answer(to, reply.as_ref().map(said_reply).map_err(String::clone))
        }
        (News::Changed(_, result), Some(to)) => {
            let result = result.as_ref().map(|one| blob(one.as_ref()));
            Said::Changed(to, result.map_err(String::clone))
        }
        (News::Answer(..) | News::Changed(..), None) => Said::Nothing,
        (News::Terminal(pane, news), _) => Said::Terminal(pane.0, said_pane(news)),
        (News::Killed(result), _) => {
            let result = result.as_ref().map(|one| blob(one.as_ref()));
            Said::Killed(result.map_err(String::clone))
        }
    }
}

fn said_pane(news: &PaneNews) -> SaidPane {
    match news {
        PaneNews::Opened(terminal) => SaidPane::Opened(blob(terminal.as_ref())),
        PaneNews::Output(bytes) => SaidPane::Output(BASE64.encode(bytes)),
        PaneNews::Missed(bytes) => SaidPane::Missed(*bytes),
        PaneNews::Size(columns, rows) => SaidPane::Size(*columns, *rows),
        PaneNews::Ended(terminal) => SaidPane::Ended(blob(terminal.as_ref())),
        PaneNews::Failed(why) => SaidPane::Failed(why.clone()),
    }
}

fn said_reply(reply: &Reply) -> SaidReply {
    fn all<M: Message>(messages: &[M]) -> Vec<Blob> {
        messages.iter().map(blob).collect()
    }
    let mut token = String::new();
    let (kind, messages) = match reply {
        Reply::Server(one) => (Kind::Server, vec![blob(one)]),
        Reply::Feeds(rows) => (Kind::Feeds, all(rows)),
        Reply::Incident(one) => (Kind::Incident, vec![blob(one.as_ref())]),
        Reply::Endpoints(fleet) => (Kind::Endpoints, all(&endpoints(fleet))),
        Reply::Endpoint(one) => (Kind::Endpoint, vec![blob(one.as_ref())]),
        Reply::Processes(rows) => (Kind::Processes, all(rows)),
        Reply::Gaps(rows) => (Kind::Gaps, all(rows)),
        Reply::Files(rows) => (Kind::Files, all(rows)),
        Reply::Identities(rows) => (Kind::Identities, all(rows)),
        Reply::Unmapped(rows) => (Kind::Unmapped, all(rows)),
        Reply::Identity(one) => (Kind::Identity, vec![blob(one.as_ref())]),
        Reply::Page(page) => (Kind::Page, all(&page.events())),
        Reply::Events(rows) => (Kind::Events, all(rows)),
        Reply::Attempts(rows) => (Kind::Attempts, all(rows)),
        Reply::Audit(rows, next) => {
            token.clone_from(next);
            (Kind::Audit, all(rows))
        }
        Reply::Terminals(rows) => (Kind::Terminals, all(rows)),
        Reply::Verified(one) => (Kind::Verified, vec![blob(one.as_ref())]),
    };
    SaidReply {
        kind,
        messages,
        token,
    }
}

/// What a fleet keeps of its endpoints.
fn endpoints(fleet: &Fleet) -> Vec<Endpoint> {
    let lines = (0..).map_while(|place| fleet.get(place));
    let lines = lines.map(|line| Endpoint {
        id: line.id.to_owned(),
        hostname: line.hostname.to_owned(),
        address: line.address.to_owned(),
        tags: line.tags.split(' ').map(str::to_owned).collect(),
        os: line.os.to_owned(),
        os_version: line.os_version.to_owned(),
        agent_version: line.agent_version.to_owned(),
        time_zone: line.time_zone.to_owned(),
        state: line.state.into(),
        last_seen_time_ms: line.last_seen_time_ms,
        clock_skew: line.clock_skew.map(|skew| ClockSkew { ..skew }),
        health: (line.lost > 0).then(|| AgentHealth {
            dropped_events: line.lost,
            ..AgentHealth::default()
        }),
        ..Endpoint::default()
    });
    lines.collect()
}

/// The event that was recorded; none where the line makes no sense.
pub(super) fn event(said: Said, asked: &Asked) -> Option<Event> {
    Some(match said {
        Said::Key(key) => Event::Key(key),
        Said::Typed(count) => Event::Typed(vec![b'*'; count.min(TYPED_MAX)]),
        Said::Paste(text) => Event::Paste(text),
        Said::PasteHidden(count) => Event::Paste("*".repeat(count.min(TYPED_MAX))),
        Said::Click(target) => Event::Click(target),
        Said::Wheel(is_down) => Event::Wheel(is_down),
        Said::Resize(columns, rows) => Event::Resize(columns.min(SIDE_MAX), rows.min(SIDE_MAX)),
        Said::Beat => Event::Beat,
        Said::Refresh => Event::Refresh,
        Said::Age => Event::Age,
        Said::Search => Event::Search,
        Said::Zone(name, is_known) => {
            let zone = TimeZone::get(&name).ok().filter(|_| is_known);
            Event::Zone(name, zone)
        }
        Said::Written(name, written) => Event::Written(name, written),
        Said::ReadAnew(true, result) => Event::ReadAnew(PROFILE, result),
        Said::ReadAnew(false, result) => Event::ReadAnew(KEYS, result),
        Said::End => Event::End,
        news => Event::News(news_of(news, asked)?),
    })
}

/// Columns and rows that are drawn on.
pub(super) const SIDE_MAX: u16 = 1000;

/// Of what was typed or pasted into a terminal at once, so much is told again.
const TYPED_MAX: usize = 1 << 20;

fn news_of(said: Said, asked: &Asked) -> Option<News> {
    fn boxed<M: Message + Default>(result: Result<Blob, String>) -> Option<Result<Box<M>, String>> {
        match result {
            Ok(blob) => Some(Ok(Box::new(message(&blob)?))),
            Err(why) => Some(Err(why)),
        }
    }
    Some(match said {
        Said::Up(address) => News::Link(Link::Up(address)),
        Said::Down(why) => News::Link(Link::Down(why)),
        Said::Connecting => News::Link(Link::Connecting),
        Said::Changes(changes) => News::Changes(message(&changes)?),
        Said::Incident(incident) => News::Incident(Box::new(message(&incident)?)),
        Said::Answer(to, reply) => {
            let query = asked.queries.get(to)?.clone();
            let reply = match reply {
                Ok(reply) => Ok(reply_of(reply)?),
                Err(why) => Err(why),
            };
            News::Answer(query, reply)
        }
        Said::Changed(to, result) => News::Changed(asked.changes.get(to)?.clone(), boxed(result)?),
        Said::Terminal(pane, news) => News::Terminal(PaneId(pane), pane_of(news)?),
        Said::Killed(result) => News::Killed(boxed(result)?),
        _ => return None,
    })
}

fn pane_of(said: SaidPane) -> Option<PaneNews> {
    Some(match said {
        SaidPane::Opened(terminal) => PaneNews::Opened(Box::new(message(&terminal)?)),
        SaidPane::Output(output) => PaneNews::Output(bytes(&output)?),
        SaidPane::Missed(bytes) => PaneNews::Missed(bytes),
        SaidPane::Size(columns, rows) => PaneNews::Size(columns, rows),
        SaidPane::Ended(terminal) => PaneNews::Ended(Box::new(message(&terminal)?)),
        SaidPane::Failed(why) => PaneNews::Failed(why),
    })
}

fn reply_of(said: SaidReply) -> Option<Reply> {
    let blobs = &said.messages;
    fn all<M: Message + Default>(blobs: &[Blob]) -> Option<Vec<M>> {
        blobs.iter().map(|blob| message(blob)).collect()
    }
    fn one<M: Message + Default>(blobs: &[Blob]) -> Option<M> {
        message(blobs.first()?)
    }
    Some(match said.kind {
        Kind::Server => Reply::Server(one(blobs)?),
        Kind::Feeds => Reply::Feeds(all(blobs)?),
        Kind::Incident => Reply::Incident(Box::new(one(blobs)?)),
        Kind::Endpoints => Reply::Endpoints(Arc::new(Fleet::of(&all(blobs)?))),
        Kind::Endpoint => Reply::Endpoint(Box::new(one(blobs)?)),
        Kind::Processes => Reply::Processes(all(blobs)?),
        Kind::Gaps => Reply::Gaps(all(blobs)?),
        Kind::Files => Reply::Files(all(blobs)?),
        Kind::Identities => Reply::Identities(all(blobs)?),
        Kind::Unmapped => Reply::Unmapped(all(blobs)?),
        Kind::Identity => Reply::Identity(Box::new(one(blobs)?)),
        Kind::Page => Reply::Page(all(blobs)?.into_iter().collect()),
        Kind::Events => Reply::Events(all(blobs)?),
        Kind::Attempts => Reply::Attempts(all(blobs)?),
        Kind::Audit => Reply::Audit(all(blobs)?, said.token),
        Kind::Terminals => Reply::Terminals(all(blobs)?),
        Kind::Verified => Reply::Verified(Box::new(one(blobs)?)),
    })
}
