//! logind over D-Bus: sessions, their lock and idle hints, sleep.
//!
//! Any program may send signals that look like logind's. They are taken as hints only: what they speak of is asked of
//! logind itself. A thread with a runtime of its own waits for the bus; it tries again while the bus is not there.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::oneshot;
use tokio_stream::StreamExt;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, MatchRule, MessageStream, message};

use crate::sensor::session::login::{Account, Origin, Terminal};
use crate::sensor::session::manager::{ManagerNews, SessionManager};
use crate::sensor::session::record::Detail;
use crate::sensor::session::table::SessionFacts;
use crate::text::cut;

const LOGIND: &str = "org.freedesktop.login1";
const MANAGER_PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Signals that wait to be looked at; more make the bus wait.
const SIGNALS_MAX: usize = 256;

/// News that wait to be taken. When it is full everything is asked anew.
const NEWS_MAX: usize = 1024;

/// How long to wait for the bus before trying again.
const RETRY: Duration = Duration::from_secs(30);

type Properties = HashMap<String, OwnedValue>;

/// The manager.
#[derive(Debug)]
pub(super) struct Logind {
    news: Receiver<ManagerNews>,
    wake: Arc<EventFd>,
    /// Ends the thread when it is dropped.
    _stop: oneshot::Sender<()>,
}

impl Logind {
    /// Begins to look for it.
    pub(super) fn start() -> io::Result<Self> {
        let wake = Arc::new(EventFd::from_flags(
            EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC,
        )?);
        let (sender, news) = sync_channel(NEWS_MAX);
        let (stop, stopped) = oneshot::channel();
        let desk = Desk {
            sender,
            wake: Arc::clone(&wake),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("sensor-logind".to_owned())
            .spawn(move || runtime.block_on(desk.run(stopped)))?;
        Ok(Self {
            news,
            wake,
            _stop: stop,
        })
    }
}

impl SessionManager for Logind {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    fn take(&mut self) -> Vec<ManagerNews> {
        // Nothing to read means that nothing was signaled since.
        let _signaled = self.wake.read();
        self.news.try_iter().collect()
    }
}

/// Why the conversation with logind ended.
#[derive(Debug, thiserror::Error)]
enum LogindError {
    #[error("speak with logind over the system bus")]
    Bus(#[from] zbus::Error),
    #[error("keep up with logind")]
    Behind,
    #[error("keep the connection to the system bus")]
    Closed,
}

struct Desk {
    sender: SyncSender<ManagerNews>,
    wake: Arc<EventFd>,
}

impl Desk {
    async fn run(self, mut stopped: oneshot::Receiver<()>) {
        loop {
            let listening = tokio::select! {
                _ = &mut stopped => return,
                ended = self.listen() => ended,
            };
            if let Err(error) = listening {
                tracing::debug!(error = %crate::text::chain(&error), "logind is not heard");
            }
            if self.tell(ManagerNews::Gone).is_err() {
                return;
            }
            tokio::select! {
                _ = &mut stopped => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    fn tell(&self, news: ManagerNews) -> Result<(), LogindError> {
        let sent = self.sender.try_send(news);
        // It can only fail by being signaled already.
        let _signaled = self.wake.write(1);
        match sent {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(LogindError::Behind),
            Err(TrySendError::Disconnected(_)) => Err(LogindError::Closed),
        }
    }

    async fn listen(&self) -> Result<(), LogindError> {
        let connection = Connection::system().await?;
        let rule = MatchRule::builder()
            .msg_type(message::Type::Signal)
            .path_namespace(MANAGER_PATH)?
            .build();
        let mut signals =
            MessageStream::for_match_rule(rule, &connection, Some(SIGNALS_MAX)).await?;
        let logind = Client { connection };
        // Signals are listened to first, so that nothing between the two is missed.
        self.tell(ManagerNews::Connected(logind.sessions().await?))?;
        while let Some(signal) = signals.next().await {
            let signal = signal?;
            let header = signal.header();
            let member = header.member().map(|member| member.as_str().to_owned());
            let path = header.path().map(|path| path.as_str().to_owned());
            match (member.as_deref(), path) {
                (Some("SessionNew" | "SessionRemoved"), _) => {
                    let body = signal.body();
                    let Ok((id, path)) = body.deserialize::<(String, OwnedObjectPath)>() else {
                        continue;
                    };
                    let fresh = member.as_deref() == Some("SessionNew");
                    self.tell(logind.news(id, path.as_str(), fresh).await)?;
                }
                (Some("PrepareForSleep"), _) => {
                    if let Some(sleeps) = logind.prepares_for_sleep().await {
                        self.tell(ManagerNews::Sleep(sleeps))?;
                    }
                }
                (Some("PropertiesChanged"), Some(path)) if path.contains("/session/") => {
                    if let Ok(properties) = logind.session(&path).await
                        && let Some(id) = text(&properties, "Id")
                    {
                        self.tell(logind.news(id, &path, false).await)?;
                    }
                }
                _ => {}
            }
        }
        Err(LogindError::Closed)
    }
}

struct Client {
    connection: Connection,
}

impl Client {
    async fn sessions(&self) -> Result<Vec<(String, SessionFacts)>, zbus::Error> {
        let reply = self
            .connection
            .call_method(
                Some(LOGIND),
                MANAGER_PATH,
                Some(MANAGER),
                "ListSessions",
                &(),
            )
            .await?;
        let rows: Vec<(String, u32, String, String, OwnedObjectPath)> =
            reply.body().deserialize()?;
        let mut sessions = Vec::new();
        for (id, _, _, _, path) in rows {
            // One may have ended meanwhile.
            if let Ok(properties) = self.session(path.as_str()).await
                && !is_closing(&properties)
            {
                sessions.push((cut(id), facts(&properties)));
            }
        }
        Ok(sessions)
    }

    async fn session(&self, path: &str) -> Result<Properties, zbus::Error> {
        let reply = self
            .connection
            .call_method(Some(LOGIND), path, Some(PROPERTIES), "GetAll", &SESSION)
            .await?;
        reply.body().deserialize()
    }

    /// What became of a session: one that is closing, or cannot be asked any more, has ended.
    async fn news(&self, id: String, path: &str, fresh: bool) -> ManagerNews {
        let id = cut(id);
        match self.session(path).await {
            Ok(properties) if !is_closing(&properties) => ManagerNews::Session {
                facts: Box::new(facts(&properties)),
                id,
                fresh,
            },
            _ => ManagerNews::Removed(id),
        }
    }

    async fn prepares_for_sleep(&self) -> Option<bool> {
        let reply = self
            .connection
            .call_method(
                Some(LOGIND),
                MANAGER_PATH,
                Some(PROPERTIES),
                "Get",
                &(MANAGER, "PreparingForSleep"),
            )
            .await
            .ok()?;
        let value: OwnedValue = reply.body().deserialize().ok()?;
        bool::try_from(value).ok()
    }
}

/// Whether its user has left; it stays while processes of it do.
fn is_closing(properties: &Properties) -> bool {
    text(properties, "State").as_deref() == Some("closing")
}

fn text(properties: &Properties, name: &str) -> Option<String> {
    match &**properties.get(name)? {
        Value::Str(text) if !text.is_empty() => Some(cut(text.to_string())),
        _ => None,
    }
}

fn flag(properties: &Properties, name: &str) -> Option<bool> {
    match &**properties.get(name)? {
        Value::Bool(flag) => Some(*flag),
        _ => None,
    }
}

/// A number that is neither 0 nor "not set".
fn number(properties: &Properties, name: &str) -> Option<u32> {
    match &**properties.get(name)? {
        Value::U32(number) if !matches!(*number, 0 | u32::MAX) => Some(*number),
        _ => None,
    }
}

/// The first field of a pair: a seat's name, a user's number.
fn first<'a>(properties: &'a Properties, name: &str) -> Option<&'a Value<'a>> {
    match &**properties.get(name)? {
        Value::Structure(pair) => pair.fields().first(),
        _ => None,
    }
}

/// What logind's properties say of a session.
fn facts(properties: &Properties) -> SessionFacts {
    let kind = text(properties, "Type").unwrap_or_default();
    let on_screen = matches!(kind.as_str(), "x11" | "wayland" | "mir");
    let terminal = text(properties, "TTY").map_or(Terminal::Unknown, Terminal::Name);
    let has_terminal = matches!(terminal, Terminal::Name(_));
    let service = text(properties, "Service").unwrap_or_default();
    let mut detail = Detail::default();
    if let Some(host) = text(properties, "RemoteHost") {
        detail.set_host(&host);
    }
    let origin = match flag(properties, "Remote") {
        Some(true) => detail.origin(&service),
        Some(false) => Origin::Local,
        None => Origin::Unknown,
    };
    let since_ms = match properties.get("Timestamp").map(|value| &**value) {
        Some(Value::U64(microseconds)) => i64::try_from(microseconds / 1000).ok(),
        _ => None,
    };
    SessionFacts {
        user: Account {
            uid: match first(properties, "User") {
                Some(Value::U32(uid)) => Some(*uid),
                _ => None,
            },
            name: text(properties, "Name"),
        },
        service,
        class: text(properties, "Class").unwrap_or_default(),
        seat: match first(properties, "Seat") {
            Some(Value::Str(seat)) => cut(seat.to_string()),
            _ => String::new(),
        },
        terminal,
        origin,
        leader: number(properties, "Leader"),
        audit_session: number(properties, "Audit"),
        login: None,
        since_ms,
        active: flag(properties, "Active"),
        // Nobody locks a session that has no screen, and nobody sees who sits at one without a terminal.
        locked: flag(properties, "LockedHint").filter(|_| on_screen),
        idle: flag(properties, "IdleHint").filter(|_| on_screen || has_terminal),
        kind,
    }
}
