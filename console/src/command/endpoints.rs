//! `tocsin endpoints`: enrolled machines.

use std::path::PathBuf;

use clap::Subcommand;
use tocsin_proto::console::v1::{
    Endpoint, EndpointState, ListEndpointsRequest, ListProcessesRequest, ProcessRow,
    RevokeEndpointRequest, TagEndpointRequest,
};

use super::Session;
use super::endpoints_devices::{self, Device};
use super::events::command_line;
use super::watch_list::Watch;
use crate::client::Pages;
use crate::exit::{Exit, Failure};
use crate::output::page::Page;
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::output::{Format, Row};
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum Endpoints {
    /// All endpoints.
    List(Watch),
    /// One endpoint: machine, agent, sensors, clock, conflicts.
    Show {
        /// Id or hostname.
        id: String,
    },
    /// Processes that run on it, as far as stored events tell.
    Processes {
        /// Id or hostname.
        id: String,
    },
    /// Add tags, or take some away.
    Tag {
        /// Id or hostname.
        id: String,
        /// Tags to add.
        #[arg(value_name = "TAG")]
        tags: Vec<String>,
        /// A tag to add.
        #[arg(long, value_name = "TAG")]
        add: Vec<String>,
        /// A tag to take away.
        #[arg(long, value_name = "TAG")]
        remove: Vec<String>,
    },
    /// Say what a provider calls this machine: a sign-in with that device id was made on it.
    Bind {
        #[command(flatten)]
        device: Device,
        /// Take the id over from the endpoint that has it.
        #[arg(long = "move")]
        is_move: bool,
    },
    /// Say that a provider does not call this machine so. No import binds it again.
    Unbind {
        #[command(flatten)]
        device: Device,
    },
    /// Import what providers call machines, from a CSV file in UTF-8: endpoint,provider,device_id.
    #[command(after_long_help = endpoints_devices::IMPORT_HELP)]
    ImportDevices {
        /// The file; - for standard input.
        file: PathBuf,
    },
    /// Cut it off at once and for good: its key is refused until the machine is enrolled anew.
    Revoke {
        /// Id or hostname.
        id: String,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

impl Endpoints {
    /// Does it.
    ///
    /// # Errors
    /// Every [`Failure`].
    pub(crate) async fn perform(self, mut session: Session) -> Result<Exit, Failure> {
        let client = &session.client;
        match self {
            Self::List(watch) => {
                let listing = ListEndpointsRequest::default();
                return session.list_or_watch(listing, watch).await;
            }
            Self::Processes { id } => return processes(session, id).await,
            Self::Bind { device, is_move } => {
                return endpoints_devices::bind(session, device, is_move).await;
            }
            Self::Unbind { device } => return endpoints_devices::unbind(session, device).await,
            Self::ImportDevices { file } => {
                return endpoints_devices::import(session, &file).await;
            }
            Self::Show { id } => {
                let endpoint = client.endpoint(&id).await?;
                session.out.object(&endpoint, describe)?;
            }
            Self::Tag {
                id,
                tags,
                add,
                remove,
            } => {
                let add = [tags, add].concat();
                if add.is_empty() && remove.is_empty() {
                    let said = "tag an endpoint: name a tag to add, or one to --remove";
                    return Err(Failure::Usage(said.to_owned()));
                }
                let request = TagEndpointRequest { id, add, remove };
                let endpoint = client.tag_endpoint(request).await?;
                session.out.object(&endpoint, |endpoint, page| {
                    let tags = match endpoint.tags.join(", ") {
                        none if none.is_empty() => "no tags".to_owned(),
                        some => format!("tags {some}"),
                    };
                    page.paragraph(&format!("{}: {tags}", name(endpoint)), Style::Plain);
                })?;
            }
            Self::Revoke { id, reason } => {
                let request = RevokeEndpointRequest { id, reason };
                let endpoint = client.revoke_endpoint(request).await?;
                // The machine may have gone on under another key, which this does not reach.
                let mut still_enrolled = Vec::new();
                for id in &endpoint.successors {
                    let successor = client.endpoint(id).await?;
                    if super::value::<EndpointState>(successor.state) != EndpointState::Revoked {
                        still_enrolled.push(successor);
                    }
                }
                session.out.object(&endpoint, |endpoint, page| {
                    revoked(endpoint, &still_enrolled, page);
                })?;
            }
        }
        Ok(Exit::Done)
    }
}

fn revoked(endpoint: &Endpoint, still_enrolled: &[Endpoint], page: &mut Page) {
    let said = format!(
        "{}: {}; it has to be enrolled anew to come back",
        name(endpoint),
        super::word::<EndpointState>(endpoint.state)
    );
    page.paragraph(&said, Style::Plain);
    for successor in still_enrolled {
        let said = format!(
            "It went on as {}, which is still enrolled: 'tocsin endpoints revoke {} --reason WHY' cuts that off too",
            name(successor),
            super::short(&successor.id)
        );
        page.paragraph(&said, Style::High);
    }
}

async fn processes(mut session: Session, endpoint: String) -> Result<Exit, Failure> {
    let listing = ListProcessesRequest {
        endpoint,
        ..ListProcessesRequest::default()
    };
    let mut pages = Pages::new(&session.client, listing);
    let mut rows = session.out.rows();
    while let Some(page) = pages.next().await? {
        rows.write(&page)?;
    }
    rows.finish()?;
    let as_of = pages.as_of_time_ms();
    if session.out.format() == Format::Table && as_of != 0 {
        crate::say(&format!("as of {} UTC\n", time::second(as_of)));
    }
    Ok(Exit::Done)
}

/// Hostname and short id: the hostname alone is only what the machine calls itself.
pub(super) fn name(endpoint: &Endpoint) -> String {
    format!("{} ({})", endpoint.hostname, super::short(&endpoint.id))
}

fn describe(endpoint: &Endpoint, page: &mut Page) {
    let state = super::value::<EndpointState>(endpoint.state);
    page.paragraph(&endpoint.hostname, Style::Heading);
    page.field_styled(
        "State",
        &super::word::<EndpointState>(endpoint.state),
        state.into(),
    );
    page.field("Id", &endpoint.id);
    let system = system(&endpoint.os, &endpoint.os_version);
    let machine = [&*system, &*endpoint.kernel_version, &*endpoint.architecture];
    page.field("Machine", &joined(&machine, ", "));
    page.field("Time zone", &endpoint.time_zone);
    page.field("Booted", &time::second(endpoint.boot_time_ms));
    page.field("Tags", &endpoint.tags.join(", "));
    page.field("Ring", &endpoint.ring);
    page.field("Address", &endpoint.address);
    public_addresses(endpoint, page);
    page.field("Enrolled", &time::second(endpoint.enrolled_time_ms));
    page.field("Formerly", &endpoint.former);
    page.field("Went on as", &endpoint.successors.join(", "));
    page.field("Last seen", &time::second(endpoint.last_seen_time_ms));
    page.field(
        "Certificate",
        &match endpoint.certificate_expiry_time_ms {
            0 => String::new(),
            time_ms => format!("until {}", time::second(time_ms)),
        },
    );
    page.field("Run", &endpoint.run);
    page.field("Events", &endpoint.events.to_string());
    if let Some(skew) = &endpoint.clock_skew {
        let said = format!(
            "between {:+} and {:+} ms off the server's, measured {}",
            skew.min_ms,
            skew.max_ms,
            time::second(skew.measured_time_ms)
        );
        page.field("Clock", &said);
    }
    for device in &endpoint.devices {
        page.field("Device id", &endpoints_devices::said(device));
    }
    conflicts(endpoint, page);
    health(endpoint, page);
}

/// From where it is on the Internet, newest first. Unknown is said: a sign-in cannot be compared with it then.
fn public_addresses(endpoint: &Endpoint, page: &mut Page) {
    let Some(newest) = endpoint.public_addresses.first() else {
        page.field("On Internet", "from an address that is not known");
        return;
    };
    let now = endpoint.public_addresses.iter();
    for address in now.filter(|address| address.until_time_ms == newest.until_time_ms) {
        let about = [
            address.source.replace('_', " "),
            address.site.clone(),
            String::from(if address.shared {
                "shared with others"
            } else {
                ""
            }),
            format!("since {}", time::minute(address.from_time_ms)),
            format!("until {}", time::minute(address.until_time_ms)),
        ];
        let about: Vec<&str> = about.iter().map(String::as_str).collect();
        let said = format!("from {} ({})", address.address, joined(&about, ", "));
        page.field("On Internet", &said);
    }
}

fn conflicts(endpoint: &Endpoint, page: &mut Page) {
    if endpoint.conflicts.is_empty() {
        return;
    }
    page.section("Conflicts: another machine came with the same key");
    for conflict in &endpoint.conflicts {
        let said = format!(
            "{} {} from {}, run {}",
            time::second(conflict.time_ms),
            conflict.hostname,
            conflict.address,
            conflict.run
        );
        page.item_styled("!", &said, Style::Critical);
    }
    let cure = "A machine was cloned or restored from a snapshot: enroll one of them anew.";
    page.paragraph(cure, Style::Plain);
}

fn health(endpoint: &Endpoint, page: &mut Page) {
    let version = format!(
        "{} (capability {})",
        endpoint.agent_version, endpoint.capability
    );
    page.section("Agent");
    page.field("Version", &version);
    let Some(health) = &endpoint.health else {
        page.paragraph("no health report yet", Style::Faint);
        return;
    };
    page.field("Reported", &time::second(health.reported_time_ms));
    let spool = format!(
        "{} of {}, {}",
        super::bytes(health.spool_bytes),
        super::bytes(health.spool_bytes_max),
        super::count(health.spool_events, "event")
    );
    page.field("Spool", &spool);
    let style = match health.dropped_events {
        0 => Style::Plain,
        _ => Style::Medium,
    };
    page.field_styled(
        "Dropped",
        &super::count(health.dropped_events, "event"),
        style,
    );
    page.field("Memory", &super::bytes(health.resident_bytes));
    page.field("CPU time", &time::Length { ms: health.cpu_ms }.to_string());
    for sensor in &health.sensors {
        let mut said = format!(
            "sensor {}: {}, {} observed, {} lost",
            sensor.name, sensor.state, sensor.observed, sensor.lost
        );
        if sensor.restarts > 0 {
            said += &format!(
                ", restarted {}",
                super::count(sensor.restarts.into(), "time")
            );
        }
        if !sensor.detail.is_empty() {
            said += &format!(": {}", sensor.detail);
        }
        let style = match sensor.state.as_str() {
            "running" => Style::Plain,
            _ => Style::Medium,
        };
        page.item_styled("-", &said, style);
    }
}

/// A system's name, once where its version begins with it.
pub(crate) fn system(os: &str, version: &str) -> String {
    match version.to_lowercase().starts_with(&os.to_lowercase()) {
        true => version.to_owned(),
        false => joined(&[os, version], " "),
    }
}

fn joined(parts: &[&str], with: &str) -> String {
    let some: Vec<_> = parts
        .iter()
        .copied()
        .filter(|part| !part.is_empty())
        .collect();
    some.join(with)
}

impl Row for Endpoint {
    const PLURAL: &'static str = "endpoints";
    const COLUMNS: &'static [Column] = &[
        Column::id("ID"),
        Column::text("HOSTNAME", 12),
        Column::whole("STATE"),
        Column::text("OS", 8).optional(3),
        Column::text("AGENT", 5).optional(4),
        Column::text("TAGS", 8).optional(2),
        Column::number("EVENTS").optional(1),
        Column::whole("LAST SEEN (UTC)"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let state = super::value::<EndpointState>(self.state);
        vec![
            self.id.as_str().into(),
            self.hostname.as_str().into(),
            Cell::styled(super::word::<EndpointState>(self.state), state.into()),
            system(&self.os, &self.os_version).into(),
            self.agent_version.as_str().into(),
            self.tags.join(",").into(),
            self.events.to_string().into(),
            time::second(self.last_seen_time_ms).into(),
        ]
    }
}

impl Row for ProcessRow {
    const PLURAL: &'static str = "processes";
    const COLUMNS: &'static [Column] = &[
        Column::number("PID"),
        Column::number("PARENT"),
        Column::text("USER", 8),
        Column::whole("STARTED (UTC)"),
        Column::text("COMMAND", 16),
    ];

    fn cells(&self) -> Vec<Cell> {
        let user = match self.user.as_str() {
            "" => &self.uid,
            user => user,
        };
        vec![
            self.pid.to_string().into(),
            self.parent_pid.to_string().into(),
            user.into(),
            time::second(self.start_time_ms).into(),
            command_line(&self.argv, &self.argv_state, &self.executable).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use tocsin_proto::console::v1::{
        AgentHealth, Conflict, DeviceBinding, PublicAddress, SensorStatus,
    };

    use super::*;

    #[test]
    fn a_system_is_named_once() {
        assert_eq!(system("linux", "Linux (Debian 12)"), "Linux (Debian 12)");
        assert_eq!(system("windows", "11"), "windows 11");
        assert_eq!(system("linux", ""), "linux");
    }

    #[test]
    fn its_newest_public_addresses_stand_on_its_page() {
        let address = |address: &str, until_time_ms| PublicAddress {
            address: address.into(),
            source: "site_map".into(),
            site: "office\x1b".into(),
            shared: true,
            until_time_ms,
            ..PublicAddress::default()
        };
        let endpoint = Endpoint {
            public_addresses: vec![address("203.0.113.7", 60_000), address("192.0.2.9", 1_000)],
            ..Endpoint::default()
        };
        let mut page = Page::new(Some(100), false);
        describe(&endpoint, &mut page);
        let page = page.finish();
        let said = "from 203.0.113.7 (site map, office\\x1b, shared with others";
        assert!(page.contains(said), "{page}");
        assert!(!page.contains("192.0.2.9"), "{page}");
    }

    #[test]
    fn what_providers_call_it_stands_on_its_page() {
        let device = DeviceBinding {
            provider: "okta".into(),
            device_id: "guo1\x1b[2J".into(),
            source: "import".into(),
            confidence: "certain".into(),
            bound_by: "kim".into(),
            bound_time_ms: 1_773_000_000_000,
            ..DeviceBinding::default()
        };
        let endpoint = Endpoint {
            devices: vec![device],
            ..Endpoint::default()
        };
        let mut page = Page::new(Some(120), false);
        describe(&endpoint, &mut page);
        let said =
            "Device id     okta guo1\\x1b[2J (certain, from import, bound by kim 2026-03-08 20:00)";
        assert!(page.finish().contains(said));
    }

    #[test]
    fn what_is_wrong_with_an_endpoint_stands_on_its_page() {
        let endpoint = Endpoint {
            id: "12345678-0000".into(),
            hostname: "lab-7\x1b[2J".into(),
            state: EndpointState::Conflict.into(),
            conflicts: vec![Conflict {
                hostname: "lab-8".into(),
                address: "192.0.2.7:4000".into(),
                ..Conflict::default()
            }],
            health: Some(AgentHealth {
                dropped_events: 3,
                sensors: vec![SensorStatus {
                    name: "process".into(),
                    state: "failed".into(),
                    detail: "no permission".into(),
                    ..SensorStatus::default()
                }],
                ..AgentHealth::default()
            }),
            ..Endpoint::default()
        };
        let mut page = Page::new(Some(100), false);
        describe(&endpoint, &mut page);
        let page = page.finish();
        for part in [
            "lab-7\\x1b[2J",
            "State         conflict",
            "lab-8 from 192.0.2.7:4000",
            "3 events",
            "sensor process: failed, 0 observed, 0 lost: no permission",
            "On Internet   from an address that is not known",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }
}
