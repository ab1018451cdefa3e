//! What lets somebody else work on the person's machine, and who logged in to it.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};
use tocsin_proto::id::EventId;

use crate::input::TimeSpan;

/// Findings of remote control of one endpoint; where there are more, the newest.
pub const REMOTE_CONTROL_MAX: usize = 1_024;

/// By what a means of remote control shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlKind {
    /// A process of a remote-support tool.
    Process,
    /// A socket that listens where such a tool does.
    Listener,
    /// A flow to such a tool's servers.
    Flow,
    /// A tunnel: `ssh -L/-R/-D`, ngrok, cloudflared, chisel, a VPN that is not the organisation's.
    Tunnel,
    /// A SOCKS proxy that listens.
    Socks,
    /// A switch that lets a program drive a browser.
    Automation,
}

/// A means of remote control on the endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RemoteControl {
    /// From when it was first seen running to when it was last: start to exit of the process, of the listener, of
    /// the flow; what runs on ends with the newest event of its run.
    pub span: TimeSpan,
    /// By what it shows.
    pub kind: ControlKind,
    /// Its name: "AnyDesk", "Quick Assist", "ssh -D", "--remote-debugging-port". Foreign text where no table knows it.
    pub tool: String,
    /// When this tool was first seen on this endpoint, in all stored events; `None` where that was not looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen_ms: Option<i64>,
    /// Whether the operator said that it is the organisation's own tool.
    #[serde(default)]
    pub is_managed: bool,
    /// Events that say so; at most [`FACT_EVENTS_MAX`](super::FACT_EVENTS_MAX).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_ids: Vec<EventId>,
}

/// A login of one of the person's accounts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LoginFact {
    /// When.
    pub time_ms: i64,
    /// The program that let it in: "sshd", "gdm".
    pub service: String,
    /// Account, as named in the event.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// Where it came from; `None` for one at the machine, or where only a host name is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The host as it was logged, where that is no address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// When this account first logged in here from this address (or host), in all stored events; `None` where that
    /// was not looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_first_seen_ms: Option<i64>,
    /// The event that says so.
    pub event_id: EventId,
}
