//! Which events are kept apart as traces: those by which the provenance of sign-ins is judged.
//!
//! Each event is looked at by itself, so the order in which they come does not matter. What a flow or process is, the
//! operator's directory and catalogue say as they are when it comes: what is added to them later is looked for in what
//! comes after.

use std::net::IpAddr;

use prost::Message;
use tocsin_correlate::SignInDirectory;
use tocsin_correlate::fact::{FlowName, NameSource, is_telling_argument};
use tocsin_correlate::remote_tool::{Catalogue, FlowFacts, ListenerFacts, Marked, ProcessFacts};
use tocsin_proto::event::{Body, Event};
use tocsin_proto::telemetry::v1 as wire;

use crate::store::trace::{Class, Trace};

/// Programs that let accounts in where nobody sits: their logins are no person's.
const UNATTENDED: &[&str] = &["cron", "crond", "atd", "anacron", "systemd-user"];

/// Knows what is to be kept.
#[derive(Debug, Default)]
pub(crate) struct Tracer {
    /// Where sign-ins go.
    pub(crate) directory: SignInDirectory,
    /// What is known of remote-support tools.
    pub(crate) catalogue: Catalogue,
    /// Ids of tools that are the organisation's own.
    pub(crate) managed: Vec<String>,
}

impl Tracer {
    /// The trace of an event; `None` where it is not kept apart.
    pub(crate) fn trace(&self, event: &Event) -> Option<Trace> {
        let class = self.class(&event.body)?;
        Some(Trace {
            class,
            sequence: event.sequence.0,
            event_time_ms: event.event_time_ms,
            event: wire::Event::from(event.clone()).encode_to_vec(),
        })
    }

    fn class(&self, body: &Body) -> Option<Class> {
        match body {
            Body::Process(process) if self.tool_of_process(process).is_some() => Some(Class::Tool),
            Body::Process(process) => {
                let mut arguments = process.argv.iter().skip(1);
                let is_telling =
                    |argument: &String| argument.starts_with('-') && is_telling_argument(argument);
                arguments.any(is_telling).then_some(Class::Program)
            }
            Body::Network(network) => self.class_of_network(network),
            Body::Session(_) => Some(Class::Session),
            Body::Login(login) => is_somebodys(login).then_some(Class::Login),
            Body::Health(_) => Some(Class::Health),
            Body::Gap(_) => Some(Class::Gap),
            Body::File(_) => None,
        }
    }

    fn class_of_network(&self, network: &wire::Network) -> Option<Class> {
        if is_listener(network) {
            return self.tool_of_listener(network).map(|_| Class::Tool);
        }
        if network.direction != i32::from(wire::FlowDirection::Outbound) {
            return None;
        }
        let (names, port) = (names(network), port(network.remote_port));
        if self.directory.is_known(&names, remote(network)?, port) {
            Some(Class::SignIn)
        } else if self.tool_of_flow(network).is_some() {
            Some(Class::Tool)
        } else {
            let could_be = self.directory.could_be(&names, port);
            could_be.then_some(Class::Web)
        }
    }

    /// The tool that a process is.
    pub(crate) fn tool_of_process(&self, process: &wire::Process) -> Option<Marked<'_>> {
        self.catalogue.match_process(&ProcessFacts {
            executable: &process.executable,
            argv: &process.argv,
        })
    }

    /// The tool that an outbound flow is of.
    pub(crate) fn tool_of_flow(&self, network: &wire::Network) -> Option<Marked<'_>> {
        let names: Vec<&str> = network
            .names
            .iter()
            .map(|name| name.name.as_str())
            .collect();
        self.catalogue.match_flow(&FlowFacts {
            executable: executable(network),
            names: &names,
            remote_port: port(network.remote_port),
        })
    }

    /// The tool that listens.
    pub(crate) fn tool_of_listener(&self, network: &wire::Network) -> Option<Marked<'_>> {
        self.catalogue.match_listener(&ListenerFacts {
            executable: executable(network),
            port: port(network.local_port),
        })
    }

    /// Whether a tool is the organisation's own.
    pub(crate) fn is_managed(&self, marked: &Marked<'_>) -> bool {
        self.managed.iter().any(|id| id == marked.tool)
    }
}

/// A login that may be a person's.
fn is_somebodys(login: &wire::Login) -> bool {
    login.activity == i32::from(wire::LoginActivity::Succeeded)
        && !UNATTENDED.contains(&login.service.as_str())
}

/// Whether it is a socket that listens, and no flow.
pub(crate) fn is_listener(network: &wire::Network) -> bool {
    use wire::NetworkActivity as Activity;
    matches!(
        Activity::try_from(network.activity),
        Ok(Activity::Listening | Activity::ListenObserved | Activity::ListenClosed)
    )
}

/// Names of a flow's other side. Of one without a known source nothing is said.
pub(crate) fn names(network: &wire::Network) -> Vec<FlowName> {
    let name = |name: &wire::FlowName| {
        let source = match wire::NameSource::try_from(name.source).ok()? {
            wire::NameSource::Unspecified => return None,
            wire::NameSource::DnsAnswer => NameSource::DnsAnswer,
            wire::NameSource::ResolverCache => NameSource::ResolverCache,
            wire::NameSource::HostsFile => NameSource::HostsFile,
        };
        Some(FlowName {
            name: name.name.trim_end_matches('.').to_ascii_lowercase(),
            source,
        })
    };
    network.names.iter().filter_map(name).collect()
}

/// Address of a flow's other side; `None` of another family, which checked events do not have.
pub(crate) fn remote(network: &wire::Network) -> Option<IpAddr> {
    address(&network.remote_address)
}

/// An address of 4 or 16 bytes; IPv4 inside of IPv6 as IPv4.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let address: IpAddr = match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(octets), _) => octets.into(),
        (_, Ok(octets)) => octets.into(),
        _ => return None,
    };
    Some(address.to_canonical())
}

/// A port of a checked event.
pub(crate) fn port(port: u32) -> u16 {
    u16::try_from(port).unwrap_or_default()
}

fn executable(network: &wire::Network) -> &str {
    let owner = network.owner.as_ref();
    owner.map_or("", |owner| owner.executable.as_str())
}
