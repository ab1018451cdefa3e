//! `[sign_in]` and `[remote_tool]`: what the operator adds to where sign-ins go and to what tools are known.

use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tocsin_correlate::remote_tool::{CATALOGUE_BYTES_MAX, Catalogue};
use tocsin_correlate::{
    ENTRIES_MAX, Gateway, GatewayKind, Provider, Relay, ServicePoint, SignInDirectory,
    SignInService,
};

use super::ConfigError;
use crate::trace::Tracer;

/// Names and addresses of one entry.
const POINTS_MAX: usize = 64;

/// Bytes of a name: a host name has no more.
const NAME_MAX: usize = 253;

/// Own entries of each kind: the directory holds the built-in ones too.
const OWN_MAX: usize = ENTRIES_MAX / 2;

/// `[sign_in]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSignIn {
    service: Vec<RawService>,
    gateway: Vec<RawGateway>,
    relay: Vec<RawRelay>,
}

/// `[[sign_in.service]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawService {
    provider: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    at: Vec<String>,
    #[serde(default)]
    only: bool,
}

/// `[[sign_in.gateway]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawGateway {
    application: String,
    kind: String,
    at: Vec<String>,
}

/// `[[sign_in.relay]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawRelay {
    what: String,
    at: Vec<String>,
}

/// `[remote_tool]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRemoteTool {
    catalogue: String,
    managed: Vec<String>,
}

/// What the operator adds to the catalogue of remote tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RemoteToolConfig {
    /// The own catalogue's text, as it was checked.
    pub(crate) catalogue: String,
    /// Ids of tools that are the organisation's own.
    pub(crate) managed: Vec<String>,
}

impl RemoteToolConfig {
    /// What traces are chosen by.
    pub(crate) fn tracer(&self, sign_in: &SignInDirectory) -> Tracer {
        let mut directory = SignInDirectory::default();
        directory.extend(sign_in.clone());
        Tracer {
            directory,
            // It was read once when the configuration was checked.
            catalogue: Catalogue::with(&self.catalogue).unwrap_or_default(),
            managed: self.managed.clone(),
        }
    }
}

impl RawSignIn {
    pub(super) fn mean(&self) -> Result<SignInDirectory, ConfigError> {
        let most = [self.service.len(), self.gateway.len(), self.relay.len()];
        if let Some(count) = most.into_iter().find(|count| *count > OWN_MAX) {
            let expected = "at most 256 of each kind";
            return Err(wrong("sign_in", &count.to_string(), expected));
        }
        let relay = |relay: &RawRelay| {
            Ok(Relay {
                what: text("sign_in.relay.what", &relay.what)?,
                points: points("sign_in.relay.at", &relay.at)?,
            })
        };
        let services = self.service.iter().map(RawService::mean);
        let gateways = self.gateway.iter().map(RawGateway::mean);
        Ok(SignInDirectory {
            services: services.collect::<Result<_, _>>()?,
            gateways: gateways.collect::<Result<_, _>>()?,
            relays: self.relay.iter().map(relay).collect::<Result<_, _>>()?,
            networks: Vec::new(),
        })
    }
}

impl RawService {
    fn mean(&self) -> Result<SignInService, ConfigError> {
        if !Provider::ALL
            .iter()
            .any(|known| known.word() == self.provider)
        {
            let expected =
                "a provider, as okta, entra, duo, google, onelogin, auth0, jumpcloud or pingone";
            return Err(wrong("sign_in.service.provider", &self.provider, expected));
        }
        if self.names.is_empty() && self.at.is_empty() {
            let expected = "a service with names or addresses (at)";
            return Err(wrong("sign_in.service", &self.provider, expected));
        }
        if self.names.len() > POINTS_MAX {
            let count = format!("a list of {}", self.names.len());
            return Err(wrong(
                "sign_in.service.names",
                &count,
                "a list of at most 64 names",
            ));
        }
        let names = self.names.iter().map(|name| {
            let expected = "a host name, in which * may stand for one letter or more";
            host(name).ok_or_else(|| wrong("sign_in.service.names", name, expected))
        });
        Ok(SignInService {
            provider: self.provider.clone(),
            names: names.collect::<Result<_, _>>()?,
            points: match self.at.is_empty() {
                true => Vec::new(),
                false => points("sign_in.service.at", &self.at)?,
            },
            shared_with: Vec::new(),
            speaks_quic: false,
            is_only: self.only,
        })
    }
}

impl RawGateway {
    fn mean(&self) -> Result<Gateway, ConfigError> {
        let kind = match self.kind.as_str() {
            "radius" => GatewayKind::Radius,
            "ldap" => GatewayKind::Ldap,
            "vpn" => GatewayKind::Vpn,
            other => {
                return Err(wrong("sign_in.gateway.kind", other, "radius, ldap or vpn"));
            }
        };
        Ok(Gateway {
            application: text("sign_in.gateway.application", &self.application)?.to_lowercase(),
            kind,
            points: points("sign_in.gateway.at", &self.at)?,
        })
    }
}

impl RawRemoteTool {
    /// `beside`: the configuration's own file, from where the catalogue's path counts.
    pub(super) fn mean(&self, beside: &Path) -> Result<RemoteToolConfig, ConfigError> {
        let mut text = String::new();
        if !self.catalogue.is_empty() {
            let path = beside.with_file_name(&self.catalogue);
            let most = u64::try_from(CATALOGUE_BYTES_MAX).unwrap_or(u64::MAX);
            std::fs::File::open(&path)
                .and_then(|file| file.take(most.saturating_add(1)).read_to_string(&mut text))
                .map_err(|source| ConfigError::Read {
                    path: path.clone(),
                    source,
                })?;
            if text.len() > CATALOGUE_BYTES_MAX {
                let expected = "a catalogue of at most 256 KiB";
                return Err(wrong("remote_tool.catalogue", &self.catalogue, expected));
            }
        }
        let catalogue = Catalogue::with(&text).map_err(|source| ConfigError::Catalogue {
            path: beside.with_file_name(&self.catalogue),
            source,
        })?;
        let mut managed = self.managed.iter();
        if let Some(unknown) = managed.find(|id| !catalogue.has(id)) {
            let expected = "a tool of the catalogue (docs/remote-tools.md)";
            return Err(wrong("remote_tool.managed", unknown, expected));
        }
        Ok(RemoteToolConfig {
            catalogue: text,
            managed: self.managed.clone(),
        })
    }
}

fn wrong(key: &'static str, value: &str, expected: &'static str) -> ConfigError {
    ConfigError::Value {
        key,
        value: value.to_owned(),
        expected,
    }
}

fn text(key: &'static str, text: &str) -> Result<String, ConfigError> {
    let text = text.trim();
    if text.is_empty() || text.len() > NAME_MAX || text.chars().any(char::is_control) {
        return Err(wrong(key, text, "a text of 1 to 253 bytes"));
    }
    Ok(text.to_owned())
}

/// A host name, folded; `None` where it is none, or so wide that it says nothing.
fn host(name: &str) -> Option<String> {
    let name = name.trim().trim_end_matches('.').to_ascii_lowercase();
    let is_sound = |c: char| c.is_ascii_alphanumeric() || "-._*".contains(c);
    let says = name.chars().filter(char::is_ascii_alphanumeric).count();
    let is_name = !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(is_sound);
    (is_name && says >= 4).then_some(name)
}

fn points(key: &'static str, said: &[String]) -> Result<Vec<ServicePoint>, ConfigError> {
    if said.is_empty() || said.len() > POINTS_MAX {
        let count = format!("a list of {}", said.len());
        return Err(wrong(key, &count, "a list of 1 to 64 hosts"));
    }
    let expected = "HOST or HOST:PORT, HOST being a name or an address, as vpn.example.com:443 or [2001:db8::1]:443";
    said.iter()
        .map(|text| point(text.trim()).ok_or_else(|| wrong(key, text, expected)))
        .collect()
}

fn point(text: &str) -> Option<ServicePoint> {
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some(ServicePoint {
            host: address.ip().to_canonical().to_string(),
            port: Some(address.port()).filter(|port| *port != 0),
        });
    }
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Some(ServicePoint {
            host: address.to_canonical().to_string(),
            port: None,
        });
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (
            name,
            Some(port.parse().ok().filter(|port: &u16| *port != 0)?),
        ),
        None => (text, None),
    };
    Some(ServicePoint {
        host: host(name)?,
        port,
    })
}

#[cfg(test)]
mod tests;
