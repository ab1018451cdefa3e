//! Flows that are, or could be, sign-in traffic.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};
use tocsin_proto::id::EventId;

use super::Moment;

/// Arguments of a process that are kept.
pub const ARGUMENTS_MAX: usize = 16;

/// Beginnings of arguments, lower case, by which somebody else than the person at the machine drives a program, or
/// by which its traffic goes another way. Chromium's and Firefox's own switches, and WebDriver's.
const TELLING: &[&str] = &[
    "--remote-debugging",
    "--remote-allow-origins",
    "--headless",
    "-headless",
    "--enable-automation",
    "--marionette",
    "-marionette",
    "--webdriver",
    "--proxy-server",
    "--proxy-pac-url",
    "--user-data-dir",
    "--load-extension",
];

/// Whether an argument of the process that holds a flow is kept.
pub fn is_telling_argument(argument: &str) -> bool {
    let argument = argument.to_ascii_lowercase();
    TELLING.iter().any(|start| argument.starts_with(start))
}

/// How a name is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameSource {
    /// A program on the machine asked for the name and got the address, shortly before.
    DnsAnswer,
    /// The resolver's cache held it.
    ResolverCache,
    /// The file of hosts says so.
    HostsFile,
}

/// A name of the remote address when the flow began.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FlowName {
    /// The name, lower case, without the last dot.
    pub name: String,
    /// How it is known.
    pub source: NameSource,
}

/// The process that holds a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FlowOwner {
    /// Its pid.
    pub pid: u32,
    /// Text form of its process key; empty where unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub process: String,
    /// Path of its image; empty where it could not be read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub executable: String,
    /// Those of its arguments for which [`is_telling_argument`] says yes, from its process
    /// event, without what stands after `=`. At most [`ARGUMENTS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Its effective account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The kernel's login uid: the person behind it. Absent where it is not set (4294967295).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
    /// The kernel's audit session. Absent where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_session: Option<u32>,
}

/// Further connections that were folded into one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FlowRepeats {
    /// How many.
    pub count: u32,
    /// When the first of them was made, at the latest.
    pub first_ms: i64,
    /// When the last of them was made, at the latest.
    pub last_ms: i64,
}

/// An outbound TCP flow. One for each flow id: its begin and its end are joined; a folded event is one of its own,
/// whose flow lasts from its first connection to the end of the last one known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProviderFlow {
    /// When it was made. Its end may stand for the beginning where that was never told: then `from_ms` is absent or
    /// the last scan before.
    pub opened: Moment,
    /// When it ended; `None` where no event says so: it may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Moment>,
    /// Whether it was already there when the agent started.
    #[serde(default)]
    pub was_open: bool,
    /// Address of the other side.
    pub remote: IpAddr,
    /// Port of the other side.
    pub port: u16,
    /// Names of that address at its beginning; empty where none is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<FlowName>,
    /// The process; `None` where it was gone before it could be looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<FlowOwner>,
    /// The account that made the socket, known without its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Connections it stands for, where that is more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<FlowRepeats>,
    /// The event of its beginning; of its end where there is no other.
    pub event_id: EventId,
}
