//! The machine itself: power, public addresses, clock, sensors, and how providers call it.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::input::{Provider, TimeSpan};

/// Why a machine did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerState {
    /// Between a shutdown and the next boot.
    Off,
    /// Between a suspend and the next resume.
    Asleep,
}

/// A stretch in which the machine was off or asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PowerSpan {
    /// From the **latest** moment at which it can have begun (`until_ms` of the shutdown or suspend record; without
    /// one, the last event before the boot) to the **earliest** at which it can have ended (`time_ms` of the boot
    /// or resume record).
    pub span: TimeSpan,
    /// Which.
    pub state: PowerState,
    /// Whether both ends are told by power records, and every event of the runs from the one to the other has
    /// arrived: sequences are contiguous, without a gap. Otherwise the machine may have been on in between.
    pub is_sure: bool,
}

/// How a public address of an endpoint is known. By rising trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressSource {
    /// The agent's connection came to the server from it.
    SeenByServer,
    /// The operator says that this site goes out with it.
    SiteMap,
    /// A sign-in from it was matched to this endpoint, and the person did not contest it.
    ConfirmedSignIn,
}

/// Who else goes out with an address.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Nobody known: no other endpoint was seen with it in the look-back, and it is on no site map.
    Alone,
    /// Others too: an office, a carrier.
    Shared,
    /// Cannot be said.
    #[default]
    Unknown,
}

/// A public address of an endpoint, for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicAddress {
    /// When it was valid, **by the server's clock**: from the first to the last time it was seen without another of
    /// its family in between. Do not reach further than what was seen.
    pub span: TimeSpan,
    /// Which; IPv4 inside of IPv6 written as IPv4. One that is not public (private, link-local, carrier NAT) may be
    /// given: it counts as unknown.
    pub address: IpAddr,
    /// How it is known.
    pub source: AddressSource,
    /// Who else has it.
    #[serde(default)]
    pub sharing: Sharing,
    /// Whether the way to the server is known to be a tunnel (VPN, relay, proxy): then the machine has another
    /// address towards others, and this one says nothing.
    #[serde(default)]
    pub is_tunnel: bool,
}

/// How far an endpoint's clock may have been off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClockSpan {
    /// When, by the endpoint's clock: around each measurement, up to the next one. A stretch after the last one may
    /// reach one hour further with wider bounds.
    pub span: TimeSpan,
    /// The server's clock was at least so much ahead of the endpoint's; negative where behind. To be added.
    pub ahead_min_ms: i64,
    /// And at most so much.
    pub ahead_max_ms: i64,
}

/// A sensor whose silence means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensor {
    /// Flows.
    Network,
    /// Sessions, logins and power.
    Session,
    /// Processes.
    Process,
}

/// How a sensor was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SensorState {
    /// It saw what there is.
    Running,
    /// It ran, but a part of it did not: `detail` says which.
    Degraded,
    /// It did not run.
    Down,
}

/// How a sensor was for some time, from health events. What no span covers is unknown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SensorSpan {
    /// When: from the health event that says so to the next one of this sensor, or the end of the run.
    pub span: TimeSpan,
    /// Which.
    pub sensor: Sensor,
    /// How.
    pub state: SensorState,
    /// What is missing, as the health event says: "name resolution is not seen". Empty where nothing is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A provider's own id of this machine, as operators link it or an import says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceBinding {
    /// Whose.
    pub provider: Provider,
    /// The id, as in [`Origin::device_id`](crate::Origin): Entra `deviceDetail.deviceId`, Okta `device.id`, Duo
    /// `epkey`; as [`fold_device_id`] writes it.
    pub device_id: String,
    /// Since when it is valid, by the server's clock; `None`: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<TimeSpan>,
}

/// A provider's device id to compare by. Entra's are GUIDs, which its own exports and logs write in either case; all
/// others are texts in which the case of letters counts.
pub fn fold_device_id(provider: Provider, id: &str) -> String {
    match provider {
        Provider::Entra => id.trim().to_ascii_lowercase(),
        _ => id.trim().to_owned(),
    }
}
