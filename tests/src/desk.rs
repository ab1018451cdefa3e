//! Somebody at a screen: a stand-in for logind on a bus of the test's own, with one session that can be locked.
//!
//! A real `dbus-daemon` and real messages in the shapes of logind's interface (org.freedesktop.login1). An agent that
//! has [`Desk::address`] as `DBUS_SYSTEM_BUS_ADDRESS` takes it for its machine's. No screen is locked by it, and nobody
//! else's logind is asked.

use std::collections::HashMap;
use std::fmt::{Debug, Formatter};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio_stream::StreamExt;
use zbus::message::{Header, Type};
use zbus::zvariant::{ObjectPath, Value};
use zbus::{Connection, MessageStream, connection};

use crate::process::Process;
use crate::sandbox::Sandbox;
use crate::wait::until;

const LOGIND: &str = "org.freedesktop.login1";
const SESSION: &str = "org.freedesktop.login1.Session";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const PATH: &str = "/org/freedesktop/login1/session/_31";
const SEAT: &str = "/org/freedesktop/login1/seat/seat0";
const USER: &str = "/org/freedesktop/login1/user/_1";
const ID: &str = "1";

/// How long the bus may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The session, its bus and who answers for logind. Dropped, they end.
pub struct Desk {
    address: String,
    session: Arc<Session>,
    connection: Connection,
    /// Answers as long as it is there.
    runtime: Runtime,
    _bus: Process,
}

impl Debug for Desk {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// The session's state.
#[derive(Debug)]
struct Session {
    uid: u32,
    name: String,
    is_locked: AtomicBool,
}

impl Desk {
    /// Somebody of this account at a screen that is not locked.
    ///
    /// # Errors
    /// Where the bus cannot be started or spoken with.
    pub fn start(sandbox: &Sandbox, uid: u32, name: &str) -> Result<Self> {
        let socket = sandbox.fresh("bus");
        let address = format!("unix:path={}", socket.display());
        let config = sandbox.file("bus.conf", bus_config(&address))?;
        let mut command = Command::new("dbus-daemon");
        command.arg(format!("--config-file={}", config.display()));
        command.args(["--nofork", "--nopidfile"]);
        let mut bus = Process::start("dbus-daemon", &mut command, &sandbox.fresh("bus.log"))?;
        until("the bus is there", LIMIT, || {
            bus.check_running()?;
            Ok(Path::new(&socket).exists())
        })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let session = Arc::new(Session {
            uid,
            name: name.to_owned(),
            is_locked: AtomicBool::new(false),
        });
        let connection = runtime.block_on(async {
            let connection = connection::Builder::address(address.as_str())?
                .build()
                .await?;
            // It listens before anybody can find it.
            let calls = MessageStream::from(&connection);
            tokio::spawn(answer(connection.clone(), calls, Arc::clone(&session)));
            connection.request_name(LOGIND).await?;
            anyhow::Ok(connection)
        })?;
        Ok(Self {
            address,
            session,
            connection,
            runtime,
            _bus: bus,
        })
    }

    /// The bus, as an agent is told.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The screen is locked from now on, or no longer; everybody is told.
    ///
    /// # Errors
    /// Where the bus does not take it.
    pub fn lock(&self, is_locked: bool) -> Result<()> {
        self.session.is_locked.store(is_locked, Ordering::SeqCst);
        let changed = HashMap::from([("LockedHint", Value::from(is_locked))]);
        let body = (SESSION, changed, Vec::<&str>::new());
        let told =
            self.connection
                .emit_signal(None::<&str>, PATH, PROPERTIES, "PropertiesChanged", &body);
        self.runtime.block_on(told).context("tell of the lock")
    }
}

impl Session {
    fn properties(&self) -> Result<HashMap<&'static str, Value<'_>>> {
        let seat = ObjectPath::try_from(SEAT)?;
        let user = ObjectPath::try_from(USER)?;
        Ok(HashMap::from([
            ("Id", Value::from(ID)),
            ("User", Value::from((self.uid, user))),
            ("Name", Value::from(self.name.as_str())),
            ("Seat", Value::from(("seat0", seat))),
            ("Type", Value::from("wayland")),
            ("Class", Value::from("user")),
            ("State", Value::from("active")),
            ("Service", Value::from("gdm-password")),
            ("Active", Value::from(true)),
            ("Remote", Value::from(false)),
            ("IdleHint", Value::from(false)),
            (
                "LockedHint",
                Value::from(self.is_locked.load(Ordering::SeqCst)),
            ),
        ]))
    }
}

/// Answers what an agent asks of logind until the bus is gone.
async fn answer(connection: Connection, mut calls: MessageStream, session: Arc<Session>) {
    while let Some(Ok(call)) = calls.next().await {
        if call.message_type() == Type::MethodCall {
            // Who does not get an answer asks again or gives up.
            let _answered = reply(&connection, &call.header(), &session).await;
        }
    }
}

async fn reply(connection: &Connection, call: &Header<'_>, session: &Session) -> Result<()> {
    match call.member().map(|member| member.as_str()) {
        Some("ListSessions") => {
            let path = ObjectPath::try_from(PATH)?;
            let sessions = vec![(ID, session.uid, session.name.as_str(), "seat0", path)];
            connection.reply(call, &sessions).await?;
        }
        Some("GetAll") => connection.reply(call, &session.properties()?).await?,
        // PreparingForSleep is all that is asked for by itself.
        Some("Get") => connection.reply(call, &Value::from(false)).await?,
        _ => {
            let unknown = "org.freedesktop.DBus.Error.UnknownMethod";
            connection.reply_error(call, unknown, &()).await?;
        }
    }
    Ok(())
}

/// A bus on which everybody may do everything.
fn bus_config(address: &str) -> String {
    format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
         <busconfig><type>system</type><listen>{address}</listen><auth>EXTERNAL</auth>\n\
         <policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
         <allow send_destination=\"*\"/><allow send_type=\"signal\"/><allow receive_sender=\"*\"/></policy></busconfig>\n"
    )
}
