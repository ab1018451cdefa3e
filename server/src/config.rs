//! `DIR/config.toml`: what the operator says ([`RawConfig`], all text) and what it means ([`Config`]).
//!
//! Every key has a default and stands, with its meaning, in `default_config.toml` beside this file, which
//! `init` writes and `config print` shows. Unknown keys are errors. Durations are text: a whole number and
//! `ms`, `s`, `m`, `h` or `d`; sizes a whole number and `KiB`, `MiB` or `GiB`. It is read once, at the start.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};

use tocsin_correlate::remote_tool::CatalogueError;
use tocsin_correlate::{NamedNetwork, SignInDirectory};

use crate::geo::FILES_MAX;
use crate::network::{
    NAME_BYTES_MAX, NETWORKS_MAX, Network, NetworkConfig, PLACES_MAX, Site, Tunnel,
};
use crate::trace::Tracer;

mod retention;
mod sign_in;

pub(crate) use retention::RetentionConfig;
pub(crate) use sign_in::RemoteToolConfig;

/// The default file, with the meaning of every key. `NAMES` stands for the names given to `init`.
pub(crate) const DEFAULT: &str = include_str!("default_config.toml");

/// Bytes of a configuration file at most.
const CONFIG_BYTES_MAX: u64 = 64 << 10;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// It cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML of this shape.
    #[error("understand {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The catalogue of remote tools cannot be understood.
    #[error("understand {}", path.display())]
    Catalogue {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        #[source]
        source: CatalogueError,
    },
    /// A value has no meaning.
    #[error("{key} = \"{value}\" is not {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it says.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

macro_rules! section {
    ($(#[$doc:meta])* $raw:ident { $($field:ident: $ty:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        struct $raw {
            $($field: $ty,)+
        }
    };
}

section! {
    /// The file as it stands. Missing keys have been filled in from the default file.
    RawConfig {
        listen: String,
        names: Vec<String>,
        certificate: RawCertificate,
        limit: RawLimit,
        session: RawSession,
        retention: retention::RawRetention,
        network: RawNetwork,
        sign_in: sign_in::RawSignIn,
        remote_tool: sign_in::RawRemoteTool,
    }
}

section! {
    /// `[certificate]`
    RawCertificate {
        endpoint_lifetime: String,
        analyst_lifetime: String,
        server_lifetime: String,
        ca_lifetime: String,
        grace: String,
    }
}

section! {
    /// `[limit]`
    RawLimit {
        connections: u32,
        handshakes: u32,
        handshake_timeout: String,
        events_per_second: u32,
    }
}

section! {
    /// `[session]`
    RawSession {
        heartbeat: String,
        clock_probe: String,
        conflict_probe_timeout: String,
    }
}

section! {
    /// `[network]`
    RawNetwork {
        geo: Vec<String>,
        site: Vec<RawSite>,
        tunnel: Vec<RawTunnel>,
    }
}

section! {
    /// `[[network.site]]`
    RawSite {
        name: String,
        seen: Vec<String>,
        public: Vec<String>,
    }
}

section! {
    /// `[[network.tunnel]]`
    RawTunnel {
        name: String,
        egress: Vec<String>,
    }
}

/// What the configuration means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Address to listen on; port 0 = any.
    pub(crate) listen: SocketAddr,
    /// Host names and addresses of the server's certificate; the first is told to consoles.
    pub(crate) names: Vec<String>,
    /// Lives of certificates.
    pub(crate) certificate: CertificateConfig,
    /// Limits.
    pub(crate) limit: LimitConfig,
    /// Sessions of agents.
    pub(crate) session: SessionConfig,
    /// How long what is kept.
    pub(crate) retention: RetentionConfig,
    /// What is known about addresses.
    pub(crate) network: NetworkConfig,
    /// Files by which network and country of an address are looked up.
    pub(crate) geo: Vec<PathBuf>,
    /// Where sign-ins go, beside what Tocsin knows.
    pub(crate) sign_in: SignInDirectory,
    /// What is known of remote-support tools, beside what Tocsin knows.
    pub(crate) remote_tool: RemoteToolConfig,
}

/// Lives of certificates. Each is renewed at two thirds of its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CertificateConfig {
    /// An endpoint's.
    pub(crate) endpoint_lifetime: Duration,
    /// An analyst's; renewed by hand (`analyst renew`).
    pub(crate) analyst_lifetime: Duration,
    /// The server's.
    pub(crate) server_lifetime: Duration,
    /// The CA's; its key stays.
    pub(crate) ca_lifetime: Duration,
    /// How long after its end an endpoint's certificate may still be renewed.
    pub(crate) grace: Duration,
}

/// Limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LimitConfig {
    /// Open connections.
    pub(crate) connections: u32,
    /// Handshakes at once, of all origins together; one origin has few of them (`listener/lobby.rs`).
    pub(crate) handshakes: u32,
    /// A handshake that takes longer is given up.
    pub(crate) handshake_timeout: Duration,
    /// Events of one endpoint; beyond it the server takes its time.
    pub(crate) events_per_second: u32,
}

/// Sessions of agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionConfig {
    /// How often an agent reports its health.
    pub(crate) heartbeat: Duration,
    /// How often an endpoint's clock is asked for.
    pub(crate) clock_probe: Duration,
    /// How long the connected run has to answer when another one with its key appears.
    pub(crate) conflict_probe_timeout: Duration,
}

impl Config {
    /// Reads a file.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read(path)?, path)
    }

    /// Reads a text; `path` is for messages.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::from_raw(&raw(text, path)?, path)
    }

    /// What traces are chosen by, and where sign-ins of everybody are usual: the sites.
    pub(crate) fn tracer(&self) -> Tracer {
        let mut tracer = self.remote_tool.tracer(&self.sign_in);
        let public = self.network.sites.iter().flat_map(|site| &site.public);
        tracer.directory.networks = public
            .map(|network| NamedNetwork {
                address: network.address(),
                bits: network.prefix(),
            })
            .collect();
        tracer
    }

    fn from_raw(raw: &RawConfig, path: &Path) -> Result<Self, ConfigError> {
        let listen = raw.listen.parse().map_err(|_| ConfigError::Value {
            key: "listen",
            value: raw.listen.clone(),
            expected: "ADDRESS:PORT, as 0.0.0.0:7443 or [::]:7443",
        })?;
        Ok(Self {
            listen,
            names: names(&raw.names)?,
            certificate: raw.certificate.mean()?,
            limit: raw.limit.mean()?,
            session: raw.session.mean()?,
            retention: raw.retention.mean()?,
            network: raw.network.mean()?,
            geo: geo(&raw.network.geo, path)?,
            sign_in: raw.sign_in.mean()?,
            remote_tool: raw.remote_tool.mean(path)?,
        })
    }
}

/// Every key as it is in force in a file.
pub(crate) fn effective(path: &Path) -> Result<String, ConfigError> {
    let raw = raw(&read(path)?, path)?;
    Config::from_raw(&raw, path)?;
    // Text, numbers and lists of text are always TOML.
    Ok(toml::to_string(&raw).unwrap_or_default())
}

impl RawCertificate {
    fn mean(&self) -> Result<CertificateConfig, ConfigError> {
        Ok(CertificateConfig {
            endpoint_lifetime: lifetime("certificate.endpoint_lifetime", &self.endpoint_lifetime)?,
            analyst_lifetime: lifetime("certificate.analyst_lifetime", &self.analyst_lifetime)?,
            server_lifetime: lifetime("certificate.server_lifetime", &self.server_lifetime)?,
            ca_lifetime: lifetime("certificate.ca_lifetime", &self.ca_lifetime)?,
            grace: duration("certificate.grace", &self.grace)?,
        })
    }
}

impl RawLimit {
    fn mean(&self) -> Result<LimitConfig, ConfigError> {
        Ok(LimitConfig {
            connections: count("limit.connections", self.connections)?,
            handshakes: count("limit.handshakes", self.handshakes)?,
            handshake_timeout: interval("limit.handshake_timeout", &self.handshake_timeout)?,
            events_per_second: rate("limit.events_per_second", self.events_per_second)?,
        })
    }
}

impl RawSession {
    fn mean(&self) -> Result<SessionConfig, ConfigError> {
        Ok(SessionConfig {
            heartbeat: interval("session.heartbeat", &self.heartbeat)?,
            clock_probe: interval("session.clock_probe", &self.clock_probe)?,
            conflict_probe_timeout: interval(
                "session.conflict_probe_timeout",
                &self.conflict_probe_timeout,
            )?,
        })
    }
}

impl RawNetwork {
    fn mean(&self) -> Result<NetworkConfig, ConfigError> {
        if self.site.len() + self.tunnel.len() > PLACES_MAX {
            return Err(ConfigError::Value {
                key: "network",
                value: (self.site.len() + self.tunnel.len()).to_string(),
                expected: "at most 1000 sites and tunnels",
            });
        }
        let site = |site: &RawSite| {
            Ok(Site {
                name: place_name("network.site.name", &site.name)?,
                seen: networks("network.site.seen", &site.seen)?,
                public: networks("network.site.public", &site.public)?,
            })
        };
        let tunnel = |tunnel: &RawTunnel| {
            Ok(Tunnel {
                name: place_name("network.tunnel.name", &tunnel.name)?,
                egress: networks("network.tunnel.egress", &tunnel.egress)?,
            })
        };
        Ok(NetworkConfig {
            sites: self.site.iter().map(site).collect::<Result<_, _>>()?,
            tunnels: self.tunnel.iter().map(tunnel).collect::<Result<_, _>>()?,
        })
    }
}

/// Paths; `beside` is the configuration's own file, from where they count.
fn geo(said: &[String], beside: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    if said.len() > FILES_MAX || said.iter().any(String::is_empty) {
        return Err(ConfigError::Value {
            key: "network.geo",
            value: said.join(", "),
            expected: "a list of at most 4 files",
        });
    }
    let path = |name: &String| beside.with_file_name(name);
    Ok(said.iter().map(path).collect())
}

fn place_name(key: &'static str, name: &str) -> Result<String, ConfigError> {
    let name = name.trim();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(ConfigError::Value {
            key,
            value: name.to_owned(),
            expected: "a name of 1 to 64 bytes",
        });
    }
    Ok(name.to_owned())
}

fn networks(key: &'static str, said: &[String]) -> Result<Vec<Network>, ConfigError> {
    if said.is_empty() || said.len() > NETWORKS_MAX {
        return Err(ConfigError::Value {
            key,
            value: format!("a list of {}", said.len()),
            expected: "a list of 1 to 64 addresses and networks",
        });
    }
    let network = |text: &String| {
        text.parse().map_err(|_| ConfigError::Value {
            key,
            value: text.clone(),
            expected: "an address or network, as 203.0.113.7, 10.1.0.0/16 or 2001:db8:1::/48 (no bits set behind the /)",
        })
    };
    said.iter().map(network).collect()
}

fn read(path: &Path) -> Result<String, ConfigError> {
    use std::io::Read;
    let wrap = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(CONFIG_BYTES_MAX).read_to_string(&mut text))
        .map_err(wrap)?;
    Ok(text)
}

/// The file over the default file.
fn raw(text: &str, path: &Path) -> Result<RawConfig, ConfigError> {
    let wrap = |source| ConfigError::Parse {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let mut table: toml::Table = toml::from_str(DEFAULT).map_err(wrap)?;
    let said: toml::Table = toml::from_str(text).map_err(wrap)?;
    for (key, value) in said {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(section)), toml::Value::Table(said)) => section.extend(said),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
    table.try_into().map_err(wrap)
}

/// Names of a server at most; a certificate with more is too large for comfort.
const NAMES_MAX: usize = 32;

/// Host names and addresses as they are written into a certificate, each once.
pub(crate) fn names(said: &[String]) -> Result<Vec<String>, ConfigError> {
    let wrong = |value: &str, expected| ConfigError::Value {
        key: "names",
        value: value.to_owned(),
        expected,
    };
    let mut names = Vec::new();
    for name in said {
        let valid = ServerName::try_from(name.trim())
            .map_err(|_| wrong(name, "a host name or an address, without a port"))?;
        let name = match valid {
            ServerName::IpAddress(address) => IpAddr::from(address).to_string(),
            _ => name.trim().to_ascii_lowercase(),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() || names.len() > NAMES_MAX {
        return Err(wrong("", "a list of 1 to 32 host names and addresses"));
    }
    Ok(names)
}

/// A duration as it stands in files and on command lines: "30d", "20s", "500ms".
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

fn duration(key: &'static str, text: &str) -> Result<Duration, ConfigError> {
    // A century: beyond it calendars, not configurations, decide.
    const MAX: Duration = Duration::from_secs(36_500 * 24 * 3600);
    parse_duration(text)
        .filter(|duration| *duration <= MAX)
        .ok_or_else(|| ConfigError::Value {
            key,
            value: text.to_owned(),
            expected: "a duration as 30d, 12h, 5m, 20s or 500ms, of at most 36500d",
        })
}

/// A duration that must not be zero.
fn interval(key: &'static str, text: &str) -> Result<Duration, ConfigError> {
    let interval = duration(key, text)?;
    if interval.is_zero() {
        return Err(ConfigError::Value {
            key,
            value: text.to_owned(),
            expected: "longer than nothing",
        });
    }
    Ok(interval)
}

/// A certificate's life: certificates count in whole seconds.
fn lifetime(key: &'static str, text: &str) -> Result<Duration, ConfigError> {
    let lifetime = duration(key, text)?;
    if lifetime < Duration::from_secs(3) {
        return Err(ConfigError::Value {
            key,
            value: text.to_owned(),
            expected: "at least 3s",
        });
    }
    Ok(lifetime)
}

fn rate(key: &'static str, value: u32) -> Result<u32, ConfigError> {
    if value < crate::ingest::RATE_MIN {
        return Err(ConfigError::Value {
            key,
            value: value.to_string(),
            expected: "at least 5000",
        });
    }
    Ok(value)
}

fn count(key: &'static str, value: u32) -> Result<u32, ConfigError> {
    if value == 0 {
        return Err(ConfigError::Value {
            key,
            value: value.to_string(),
            expected: "at least 1",
        });
    }
    Ok(value)
}

fn size(key: &'static str, text: &str) -> Result<u64, ConfigError> {
    let parse = || {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        let unit = match unit {
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.checked_mul(unit).filter(|bytes| *bytes > 0)
    };
    parse().ok_or_else(|| ConfigError::Value {
        key,
        value: text.to_owned(),
        expected: "a size as 512MiB or 20GiB",
    })
}

#[cfg(test)]
mod tests;
