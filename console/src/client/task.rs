//! The screens' side of the network: actions come in, news go out through one bounded channel.
//!
//! A task follows the incidents for as long as the program runs and connects anew, ever more slowly, when
//! the connection breaks. Each question is a task of its own, one in each slot: a newer one ends the older.
//! All tasks end with [`Network`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tocsin_proto::console::v1::{
    AddIncidentNoteRequest, AssignIncidentRequest, Changes, EventRow, ListAuditRequest,
    ListEndpointsRequest, ListIdentitiesRequest, ListProcessesRequest, ListUnmappedRequest,
    ProcessRow, SearchEventsRequest, SetIncidentStateRequest, SetIncidentVerdictRequest,
    TerminalHeader, WatchIncidentsRequest,
};
use tocsin_proto::profile::Profile;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::{Client, ClientError, Listing, Pages, pane};
use crate::action::{Change, PaneId, Query, Slot, ToTerminal, What};
use crate::event::{Link, News, Reply};
use crate::state::events::Page;
use crate::state::fleet::{Fleet, FleetMaker};
use crate::text;

/// The wait before the first attempt to connect anew.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The longest wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15);

/// How often a server that cannot tell what has changed is asked as if all had.
const ASKED_AGAIN_EVERY: Duration = Duration::from_secs(15);

/// Rows of a list that are kept; lists that are longer are cut.
const ROWS_MAX: usize = 100_000;

/// Gaps and files of an endpoint that are shown.
const LATEST_MAX: u64 = 20;

/// Changes that may be under way at once.
const CHANGES_MAX: usize = 16;

/// Columns of an error at most.
const PROBLEM_COLUMNS_MAX: usize = 300;

/// The tasks.
pub(crate) struct Network {
    profile: watch::Sender<Profile>,
    client: watch::Receiver<Option<Client>>,
    news: mpsc::Sender<News>,
    hurry: Arc<Notify>,
    tasks: JoinSet<()>,
    slots: HashMap<Slot, AbortHandle>,
    changes: Arc<tokio::sync::Semaphore>,
    terminal: Option<mpsc::Sender<ToTerminal>>,
    /// The fleet as it was told last, as long as the screens have it.
    fleet: LastFleet,
}

type LastFleet = Arc<Mutex<Weak<Fleet>>>;

impl Network {
    /// Starts to connect.
    pub(crate) fn start(profile: Profile, news: mpsc::Sender<News>) -> Self {
        let (found, client) = watch::channel(None);
        let (profile, given) = watch::channel(profile);
        let hurry = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(given, found, news.clone(), Arc::clone(&hurry)));
        Self {
            profile,
            client,
            news,
            hurry,
            tasks,
            slots: HashMap::new(),
            changes: Arc::new(tokio::sync::Semaphore::new(CHANGES_MAX)),
            terminal: None,
            fleet: LastFleet::default(),
        }
    }

    /// Connects anew, with this profile from now on.
    pub(crate) fn use_profile(&self, profile: Profile) {
        self.profile.send_replace(profile);
    }

    /// Connects now instead of later.
    pub(crate) fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Asks; the answer comes as news.
    pub(crate) fn ask(&mut self, query: Query) {
        let (client, news) = (self.client.borrow().clone(), self.news.clone());
        let fleet = Arc::clone(&self.fleet);
        let slot = query.slot();
        self.drop_slot(slot);
        let task = self.tasks.spawn(async move {
            let answer = match client {
                Some(client) => answer(&client, &query, &fleet)
                    .await
                    .map_err(|e| problem(&e)),
                None => Err("not connected".to_owned()),
            };
            tell(&news, News::Answer(query, answer)).await;
        });
        self.slots.insert(slot, task);
        self.reap();
    }

    /// The answer is not wanted any more.
    pub(crate) fn drop_slot(&mut self, slot: Slot) {
        if let Some(task) = self.slots.remove(&slot) {
            task.abort();
        }
    }

    /// Makes a change; what became of it comes as news.
    pub(crate) fn change(&mut self, change: Change) {
        let (client, news) = (self.client.borrow().clone(), self.news.clone());
        let permit = Arc::clone(&self.changes).try_acquire_owned();
        self.tasks.spawn(async move {
            let result = match (client, permit) {
                (Some(client), Ok(_permit)) => make(&client, &change).await,
                (None, _) => Err("not connected: nothing was changed".to_owned()),
                (_, Err(_)) => Err("too many changes at once: nothing was changed".to_owned()),
            };
            tell(&news, News::Changed(change, result)).await;
        });
        self.reap();
    }

    /// Opens a terminal; one that was open before is closed.
    pub(crate) fn open_terminal(&mut self, pane: PaneId, header: TerminalHeader) {
        let (client, typed, screen) = self.pane(pane);
        self.tasks.spawn(pane::keep(client, header, typed, screen));
        self.reap();
    }

    /// Watches somebody's terminal; one that was open before is closed.
    pub(crate) fn watch_terminal(&mut self, pane: PaneId, id: String) {
        let (client, typed, screen) = self.pane(pane);
        self.tasks.spawn(pane::watch(client, id, typed, screen));
        self.reap();
    }

    fn pane(&mut self, pane: PaneId) -> (Option<Client>, mpsc::Receiver<ToTerminal>, pane::Screen) {
        let (client, news) = (self.client.borrow().clone(), self.news.clone());
        let (keys, typed) = mpsc::channel(pane::KEYS_MAX);
        self.terminal = Some(keys);
        (client, typed, pane::Screen { pane, news })
    }

    /// Ends somebody's terminal; what became of it comes as news.
    pub(crate) fn kill_terminal(&mut self, id: String) {
        let (client, news) = (self.client.borrow().clone(), self.news.clone());
        let permit = Arc::clone(&self.changes).try_acquire_owned();
        self.tasks.spawn(async move {
            let result = match (client, permit) {
                (Some(client), Ok(_permit)) => {
                    let killed = client.kill_terminal(&id).await;
                    killed.map(Box::new).map_err(|error| problem(&error))
                }
                (None, _) => Err("not connected: nothing was ended".to_owned()),
                (_, Err(_)) => Err("too many changes at once: nothing was ended".to_owned()),
            };
            tell(&news, News::Killed(result)).await;
        });
        self.reap();
    }

    /// Something for the terminal that is open. What it cannot take is dropped, as by a terminal that is not read.
    pub(crate) fn tell_terminal(&mut self, what: ToTerminal) {
        if let Some(terminal) = &self.terminal {
            let _full = terminal.try_send(what);
        }
    }

    /// Forgets tasks that have ended.
    fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }
}

/// Where nobody listens any more, the program ends.
pub(super) async fn tell(news: &mpsc::Sender<News>, what: News) {
    let _program_ends = news.send(what).await;
}

pub(super) fn problem(error: &ClientError) -> String {
    let chain = crate::exit::chain(error);
    let said = match error.cure() {
        Some(cure) => format!("{chain} (to do: {cure})"),
        None => chain,
    };
    text::fit(&said, PROBLEM_COLUMNS_MAX).into_owned()
}

/// Connects, follows the incidents, begins again when that ends, or at once where there is another profile.
async fn follow(
    profile: watch::Receiver<Profile>,
    found: watch::Sender<Option<Client>>,
    news: mpsc::Sender<News>,
    hurry: Arc<Notify>,
) {
    let mut others = profile.clone();
    let mut wait = RETRY_AFTER;
    loop {
        let following = async {
            let end = follow_once(&profile, &found, &news, &mut wait).await;
            tell(&news, News::Link(Link::Down(problem(&end)))).await;
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY_AFTER_MAX),
                () = hurry.notified() => {}
            }
        };
        tokio::select! {
            () = following => {}
            Ok(()) = others.changed() => {
                found.send_replace(None);
                wait = RETRY_AFTER;
            }
        }
    }
}

/// Until the connection or the stream ends, and why. A client that is there is used again.
async fn follow_once(
    profile: &watch::Receiver<Profile>,
    found: &watch::Sender<Option<Client>>,
    news: &mpsc::Sender<News>,
    wait: &mut Duration,
) -> ClientError {
    let known = found.borrow().clone();
    let client = match known {
        Some(client) => client,
        None => {
            let profile = profile.borrow().clone();
            match Client::connect(&profile).await {
                Ok(client) => client,
                Err(error) => return error,
            }
        }
    };
    found.send_replace(Some(client.clone()));
    watch(&client, news, wait).await
}

/// Until one of the streams ends, and why.
async fn watch(client: &Client, news: &mpsc::Sender<News>, wait: &mut Duration) -> ClientError {
    let request = WatchIncidentsRequest::default();
    let streams = tokio::try_join!(client.watch_incidents(request), changes(client));
    let (incidents, (changes, first)) = match streams {
        Ok(streams) => streams,
        Err(error) => return error,
    };
    *wait = RETRY_AFTER;
    // Before anything is asked: what changes from here on is told.
    tell(news, News::Changes(first)).await;
    let up = Link::Up(text::line(client.address()).into_owned());
    tell(news, News::Link(up)).await;
    let incident = |incident| News::Incident(Box::new(incident));
    tokio::select! {
        end = pass_on(incidents, "watch incidents", news, incident) => end,
        end = pass_changes_on(changes, first, news) => end,
    }
}

/// The stream of what has changed, and its first message; no stream where the server is too old to have one.
async fn changes(
    client: &Client,
) -> Result<(Option<super::Messages<Changes>>, Changes), ClientError> {
    let mut messages = match client.watch_changes().await {
        Ok(messages) => messages,
        Err(error) if error.is_unknown_method() => return Ok((None, Changes::default())),
        Err(error) => return Err(error),
    };
    match messages.next().await {
        Ok(Some(first)) => Ok((Some(messages), first)),
        Ok(None) => Err(ended("watch changes")),
        Err(error) if error.is_unknown_method() => Ok((None, Changes::default())),
        Err(error) => Err(error),
    }
}

async fn pass_changes_on(
    messages: Option<super::Messages<Changes>>,
    mut last: Changes,
    news: &mpsc::Sender<News>,
) -> ClientError {
    if let Some(messages) = messages {
        return pass_on(messages, "watch changes", news, News::Changes).await;
    }
    loop {
        tokio::time::sleep(ASKED_AGAIN_EVERY).await;
        let Changes {
            endpoints,
            feeds,
            identities,
            terminals,
            audit,
            events,
            endpoint_counts: _,
        } = &mut last;
        for number in [endpoints, feeds, identities, terminals, audit, events] {
            *number = number.wrapping_add(1);
        }
        tell(news, News::Changes(last)).await;
    }
}

/// Until the stream ends, and why.
async fn pass_on<T>(
    mut messages: super::Messages<T>,
    attempt: &str,
    news: &mpsc::Sender<News>,
    as_news: impl Fn(T) -> News,
) -> ClientError {
    loop {
        match messages.next().await {
            Ok(Some(message)) => tell(news, as_news(message)).await,
            Ok(None) => return ended(attempt),
            Err(error) => return error,
        }
    }
}

fn ended(attempt: &str) -> ClientError {
    ClientError::Nonsense {
        attempt: attempt.to_owned(),
        what: "the server ended the stream",
    }
}

async fn answer(client: &Client, query: &Query, fleet: &LastFleet) -> Result<Reply, ClientError> {
    Ok(match query {
        Query::Server => Reply::Server(client.server().await?),
        Query::Feeds => Reply::Feeds(client.feeds().await?),
        Query::Incident(id) => Reply::Incident(Box::new(client.incident(id).await?)),
        Query::Endpoints => Reply::Endpoints(endpoints(client, fleet).await?),
        Query::Endpoint(id) => Reply::Endpoint(Box::new(client.endpoint(id).await?)),
        Query::Processes(id) => Reply::Processes(processes(client, id).await?),
        Query::Gaps(id) => Reply::Gaps(latest(client, id, "gap").await?),
        Query::Files(id) => Reply::Files(latest(client, id, "file").await?),
        Query::Identities => {
            Reply::Identities(all(client, ListIdentitiesRequest::default()).await?)
        }
        Query::Unmapped => Reply::Unmapped(all(client, ListUnmappedRequest::default()).await?),
        Query::Identity(id) => Reply::Identity(Box::new(client.identity(id).await?)),
        Query::Events(request) | Query::Newer(request) => {
            let mut page = Page::default();
            let mut messages = client.search_events(request.clone()).await?;
            while let Some(rows) = messages.rows().await? {
                rows.iter().for_each(|row| page.push(row));
                if page.len() >= ROWS_MAX {
                    break;
                }
            }
            Reply::Page(page)
        }
        Query::Around(_, request) => Reply::Events(events(client, request.clone()).await?),
        Query::Attempts(ids) => {
            let mut attempts = Vec::new();
            for id in ids {
                attempts.extend(client.incident(id).await?.attempts);
            }
            Reply::Attempts(attempts)
        }
        Query::Audit(token) => {
            let mut pages = Pages::from(client, ListAuditRequest::default(), token.clone());
            let rows = pages.next().await?.unwrap_or_default();
            Reply::Audit(rows, pages.token().to_owned())
        }
        Query::Terminals => Reply::Terminals(client.terminals().await?),
        Query::VerifyAudit => Reply::Verified(Box::new(client.verify_audit().await?)),
    })
}

async fn all<L: Listing>(client: &Client, listing: L) -> Result<Vec<L::Row>, ClientError> {
    let mut pages = Pages::new(client, listing);
    let mut rows = Vec::new();
    while let Some(page) = pages.next().await? {
        rows.extend(page);
        if rows.len() >= ROWS_MAX {
            rows.truncate(ROWS_MAX);
            break;
        }
    }
    Ok(rows)
}

/// Page by page into little memory, and in order: a fleet may be large, and the draw path is not to wait for it.
async fn endpoints(client: &Client, last: &LastFleet) -> Result<Arc<Fleet>, ClientError> {
    let mut pages = Pages::new(client, ListEndpointsRequest::default());
    let before = last
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .upgrade();
    let mut fleet = FleetMaker::after(before);
    while let Some(page) = pages.next().await? {
        page.iter().for_each(|endpoint| fleet.add(endpoint));
        if fleet.len() >= ROWS_MAX {
            break;
        }
    }
    let fleet = Arc::new(fleet.finish());
    *last.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&fleet);
    Ok(fleet)
}

async fn processes(client: &Client, id: &str) -> Result<Vec<ProcessRow>, ClientError> {
    let request = ListProcessesRequest {
        endpoint: id.to_owned(),
        ..ListProcessesRequest::default()
    };
    all(client, request).await
}

/// The latest events of one kind.
async fn latest(client: &Client, id: &str, kind: &str) -> Result<Vec<EventRow>, ClientError> {
    let request = SearchEventsRequest {
        endpoint: id.to_owned(),
        kind: kind.to_owned(),
        limit: LATEST_MAX,
        ..SearchEventsRequest::default()
    };
    events(client, request).await
}

/// What a search finds; its request says how many at most.
async fn events(
    client: &Client,
    request: SearchEventsRequest,
) -> Result<Vec<EventRow>, ClientError> {
    let mut messages = client.search_events(request).await?;
    let mut rows = Vec::new();
    while let Some(page) = messages.rows().await? {
        rows.extend(page);
        if rows.len() >= ROWS_MAX {
            break;
        }
    }
    Ok(rows)
}

async fn make(
    client: &Client,
    change: &Change,
) -> Result<Box<tocsin_proto::console::v1::IncidentSummary>, String> {
    let id = change.incident.clone();
    let result = match &change.what {
        What::Assignee(assignee) => {
            let assignee = assignee.clone();
            let request = AssignIncidentRequest { id, assignee };
            client.assign_incident(request).await
        }
        What::State(state) => {
            let state = i32::from(*state);
            let request = SetIncidentStateRequest { id, state };
            client.set_incident_state(request).await
        }
        What::Verdict(verdict) => {
            let verdict = i32::from(*verdict);
            let request = SetIncidentVerdictRequest { id, verdict };
            client.set_incident_verdict(request).await
        }
        What::Note(text) => {
            let text = text.clone();
            let request = AddIncidentNoteRequest { id, text };
            client.add_incident_note(request).await
        }
    };
    result.map(Box::new).map_err(|error| problem(&error))
}
