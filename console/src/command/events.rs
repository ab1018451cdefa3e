//! `tocsin events search`: stored telemetry, streamed as the server finds it.

use clap::{Args, Subcommand};
use tocsin_proto::console::v1::{
    EventRow, GapEvent, HealthEvent, ProcessEvent, SearchEventsRequest,
};
use tocsin_proto::event::EventKind;

use super::watch_list::Watched;
use super::{Session, event_words};
use crate::client::{Client, ClientError};
use crate::exit::{Exit, Failure};
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::output::{Format, Row};
use crate::time::{self, Moment};

/// Rows of a table where nobody says how many; JSON has all.
const TABLE_ROWS_DEFAULT: u64 = 1000;

/// How late events may come to be followed.
const LATE_MS: i64 = 120_000;

/// Events that are taken at once while they are followed.
const FOLLOWED_ROWS_MAX: u64 = 50_000;

#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// Events that match every filter, newest first.
    Search(Search),
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Not before: 90m, 24h, 7d back from now, a date, or a time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Not after; a date includes its whole day.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// On this endpoint: id or hostname.
    #[arg(
        long,
        value_name = "ENDPOINT",
        default_value = "",
        hide_default_value = true
    )]
    endpoint: String,
    /// By this account: name or uid.
    #[arg(
        long,
        value_name = "USER",
        default_value = "",
        hide_default_value = true
    )]
    user: String,
    /// Of this kind: process, login, session, network, file, gap, health.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<EventKind>,
    /// With this text in arguments, paths, hashes or names, whatever its case.
    #[arg(
        long,
        value_name = "SUBSTRING",
        default_value = "",
        hide_default_value = true
    )]
    text: String,
    /// So many at most, 0 for all [default: 1000 in a table, all in JSON].
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Oldest first.
    #[arg(long)]
    ascending: bool,
    /// Follow what comes until Ctrl-C, oldest first: from --since on, or from now. What an endpoint sends later than two
    /// minutes after it happened is not followed. JSON is one object a line.
    #[arg(long, conflicts_with_all = ["until", "limit"])]
    watch: bool,
}

fn kind(word: &str) -> Result<EventKind, String> {
    EventKind::from_word(word).ok_or_else(|| {
        let words: Vec<_> = EventKind::ALL.iter().map(|kind| kind.word()).collect();
        format!("one of {}", words.join(", "))
    })
}

impl Events {
    /// Does it.
    ///
    /// # Errors
    /// Every [`Failure`].
    pub(crate) async fn perform(self, mut session: Session) -> Result<Exit, Failure> {
        let Self::Search(search) = self;
        if search.watch {
            let mut follower = Follower::new(search.request(session.now)?, session.now);
            return session
                .watch(async |client| follower.next(client).await)
                .await;
        }
        let limit = search.limit.unwrap_or(match session.out.format() {
            Format::Table => TABLE_ROWS_DEFAULT,
            Format::Json | Format::Jsonl => 0,
        });
        let is_cut_by_us = search.limit.is_none() && limit != 0;
        let mut request = search.request(session.now)?;
        // One more than is shown tells whether there is more.
        request.limit = limit + u64::from(is_cut_by_us);
        let mut found = session.client.search_events(request).await?;
        let mut rows = session.out.rows();
        let mut left = if limit == 0 { u64::MAX } else { limit };
        let mut is_cut = false;
        while let Some(mut events) = found.rows().await? {
            let room = usize::try_from(left).unwrap_or(usize::MAX);
            is_cut |= events.len() > room;
            events.truncate(room);
            left -= events.len() as u64;
            rows.write(&events)?;
        }
        rows.finish()?;
        if is_cut && is_cut_by_us {
            crate::say(&format!(
                "{limit} rows shown, there are more: narrow the search, or --limit 0 for all\n"
            ));
        }
        Ok(Exit::Done)
    }
}

impl Search {
    fn request(self, now: jiff::Timestamp) -> Result<SearchEventsRequest, Failure> {
        let since_time_ms = self.since.map_or(0, |since| since.first_ms(now));
        let until_time_ms = self.until.map_or(0, |until| until.last_ms(now));
        if until_time_ms != 0 && since_time_ms > until_time_ms {
            let said = "search events: --since is after --until";
            return Err(Failure::Usage(said.to_owned()));
        }
        Ok(SearchEventsRequest {
            since_time_ms,
            until_time_ms,
            endpoint: self.endpoint,
            user: self.user,
            kind: self
                .kind
                .map_or_else(String::new, |kind| kind.word().to_owned()),
            text: self.text,
            limit: 0,
            ascending: self.ascending,
        })
    }
}

/// What has come since it was last asked for.
struct Follower {
    request: SearchEventsRequest,
}

impl Follower {
    fn new(mut request: SearchEventsRequest, now: jiff::Timestamp) -> Self {
        if request.since_time_ms == 0 {
            request.since_time_ms = now.as_millisecond();
        }
        request.ascending = true;
        request.limit = FOLLOWED_ROWS_MAX;
        Self { request }
    }

    /// Also those that were told already, as far back as others may still come late; whoever tells them knows.
    async fn next(&mut self, client: &Client) -> Result<Vec<EventRow>, ClientError> {
        let mut found = client.search_events(self.request.clone()).await?;
        let mut all = Vec::new();
        while let Some(rows) = found.rows().await? {
            all.extend(rows);
        }
        let is_full = all.len() as u64 >= FOLLOWED_ROWS_MAX;
        if let Some(newest) = all.last().map(|row| row.event_time_ms) {
            // Where there is more at once than is taken, what is late has to wait behind it.
            let from = newest.saturating_sub(if is_full { 0 } else { LATE_MS });
            let before = self.request.since_time_ms;
            // More than is taken in one millisecond: the rest of it is left out.
            let least = before.saturating_add(i64::from(is_full));
            self.request.since_time_ms = least.max(from);
        }
        Ok(all)
    }
}

impl Watched for EventRow {
    // Only what is recent is asked for again.
    const GOES: bool = false;

    fn id(&self) -> &str {
        &self.id
    }
}

impl Row for EventRow {
    const PLURAL: &'static str = "events";
    const COLUMNS: &'static [Column] = &[
        Column::whole("TIME (UTC)"),
        Column::id("ENDPOINT"),
        Column::whole("KIND"),
        Column::whole("ACTIVITY"),
        Column::text("USER", 6).optional(1),
        Column::text("WHAT", 20),
    ];

    fn cells(&self) -> Vec<Cell> {
        let (what, style) = describe(self);
        vec![
            time::second(self.event_time_ms).into(),
            self.endpoint.as_str().into(),
            Cell::styled(self.kind.as_str(), style),
            self.activity.as_str().into(),
            user(self).into(),
            what.into(),
        ]
    }
}

/// What happened, and what that means.
pub(crate) fn describe(event: &EventRow) -> (String, Style) {
    if let Some(process) = &event.process {
        return (describe_process(process), Style::Plain);
    }
    if let Some(gap) = &event.gap {
        return (describe_gap(gap), Style::Medium);
    }
    if let Some(login) = &event.login {
        return event_words::login(login, &event.activity);
    }
    if let Some(session) = &event.session {
        return (event_words::session(session), Style::Plain);
    }
    if let Some(flow) = &event.network {
        return (event_words::network(flow), Style::Plain);
    }
    if let Some(file) = &event.file {
        return event_words::file(file, &event.activity);
    }
    let health = event.health.as_ref().map(describe_health);
    (health.unwrap_or_default(), Style::Faint)
}

/// The account by which it happened; empty where there is none.
pub(crate) fn user(event: &EventRow) -> &str {
    let process = event.process.as_ref().map(|of| (&of.user, &of.uid));
    let login = event.login.as_ref().map(|of| (&of.user, &of.uid));
    let session = event.session.as_ref().map(|of| (&of.user, &of.uid));
    let network = event.network.as_ref().map(|of| (&of.user, &of.uid));
    let actor = event.file.as_ref().and_then(|of| of.actor.as_ref());
    let actor = actor.map(|of| (&of.user, &of.uid));
    let account = process.or(login).or(session).or(network).or(actor);
    account.map_or("", |(user, uid)| if user.is_empty() { uid } else { user })
}

fn describe_process(process: &ProcessEvent) -> String {
    let mut said = process.pid.to_string();
    if let Some(parent) = &process.parent {
        said += &format!(" (of {})", parent.pid);
    }
    if let Some(code) = process.exit_code {
        said += &format!(" code {code}");
    }
    if let Some(signal) = process.exit_signal.filter(|signal| *signal != 0) {
        said += &format!(" signal {signal}");
    }
    said += ": ";
    said += &command_line(&process.argv, &process.argv_state, &process.executable);
    said
}

fn describe_gap(gap: &GapEvent) -> String {
    let lost = match gap.lost {
        Some(lost) => super::count(lost, "event"),
        None => "an unknown number of events".to_owned(),
    };
    let mut said = format!("lost {lost}: {} {}", gap.place, gap.reason);
    if !gap.component.is_empty() {
        said += &format!(" ({})", gap.component);
    }
    if gap.from_time_ms != 0 && gap.until_time_ms != 0 {
        let length = time::Length::between(gap.from_time_ms, gap.until_time_ms);
        said += &format!(", over {length} from {}", time::second(gap.from_time_ms));
    }
    said
}

fn describe_health(health: &HealthEvent) -> String {
    let mut said = format!(
        "spool {}, dropped {}, memory {}",
        super::count(health.spool_events, "event"),
        health.dropped_events,
        super::bytes(health.resident_bytes)
    );
    for sensor in health
        .sensors
        .iter()
        .filter(|sensor| sensor.state != "running")
    {
        said += &format!(
            "; sensor {} {}: {}",
            sensor.name, sensor.state, sensor.detail
        );
    }
    said
}

/// Arguments as one would type them, so that the borders between them can be seen; the executable in
/// brackets where they could not be read.
pub(crate) fn command_line(argv: &[String], argv_state: &str, executable: &str) -> String {
    if argv.is_empty() {
        return match executable {
            "" => "[arguments not read]".to_owned(),
            path => format!("[{path}]"),
        };
    }
    let mut line = String::new();
    for argument in argv {
        if !line.is_empty() {
            line.push(' ');
        }
        let is_plain = |c: char| c.is_alphanumeric() || "-_=+./:,@%^~".contains(c);
        if !argument.is_empty() && argument.chars().all(is_plain) {
            line.push_str(argument);
        } else {
            line.push('\'');
            line.push_str(&argument.replace('\'', "'\\''"));
            line.push('\'');
        }
    }
    match argv_state {
        "truncated" => line.push_str(" [cut]"),
        // What the parent was started with, before this process ran anything itself.
        "inherited" => line.insert_str(0, "[forked] "),
        _ => {}
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_told_apart() {
        let line = |argv: &[&str], state| {
            let argv: Vec<_> = argv.iter().map(|&argument| argument.to_owned()).collect();
            command_line(&argv, state, "/bin/x")
        };
        assert_eq!(line(&["ls", "-l", "/tmp"], "read"), "ls -l /tmp");
        assert_eq!(line(&["sh", "-c", "a b", ""], "read"), "sh -c 'a b' ''");
        assert_eq!(line(&["it's"], "truncated"), "'it'\\''s' [cut]");
        assert_eq!(line(&[], "unread"), "[/bin/x]");
        assert_eq!(command_line(&[], "unread", ""), "[arguments not read]");
    }

    #[test]
    fn rows_say_what_happened() {
        let process = ProcessEvent {
            pid: 7,
            argv: vec!["true".into()],
            exit_code: Some(0),
            ..ProcessEvent::default()
        };
        assert_eq!(describe_process(&process), "7 code 0: true");
        let gap = GapEvent {
            place: "queue".into(),
            reason: "overflow".into(),
            lost: None,
            from_time_ms: 1_000,
            until_time_ms: 4_000,
            ..GapEvent::default()
        };
        assert_eq!(
            describe_gap(&gap),
            "lost an unknown number of events: queue overflow, over 3 s from 1970-01-01 00:00:01"
        );
    }

    #[test]
    fn what_is_followed_is_asked_for_again_as_far_back_as_events_come_late() {
        let now = "2026-11-24T02:10:00Z".parse().unwrap();
        let follower = Follower::new(SearchEventsRequest::default(), now);
        assert_eq!(follower.request.since_time_ms, now.as_millisecond());
        assert!(follower.request.ascending);
        let since = SearchEventsRequest {
            since_time_ms: 7,
            ..SearchEventsRequest::default()
        };
        assert_eq!(Follower::new(since, now).request.since_time_ms, 7);
    }

    #[test]
    fn a_search_that_ends_before_it_begins_is_refused() {
        let search = Search {
            since: Some("1h".parse().unwrap()),
            until: Some("2h".parse().unwrap()),
            endpoint: String::new(),
            user: String::new(),
            kind: None,
            text: String::new(),
            limit: None,
            ascending: false,
            watch: false,
        };
        let now = "2026-11-24T02:10:00Z".parse().unwrap();
        let failure = search.request(now).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
    }
}
