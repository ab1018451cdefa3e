//! `tocsin endpoints bind`, `unbind` and `import-devices`: what providers call machines.

use std::path::Path;

use tocsin_proto::console::v1::{
    BindDeviceRequest, DeviceBinding, DevicesImported, Endpoint, ImportDevicesRequest,
    UnbindDeviceRequest,
};
use tocsin_proto::limits::TEXT_BYTES_MAX;

use super::Session;
use super::upload::{Source, cut_bytes};
use crate::exit::{Exit, Failure};
use crate::output::page::Page;
use crate::output::style::Style;
use crate::{text, time};

/// An id at a provider, as it is named on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Device {
    /// The endpoint: id or hostname.
    endpoint: String,
    /// Whose id it is: okta, entra, duo, ...
    #[arg(long, value_name = "PROVIDER")]
    provider: String,
    /// The id: Okta's device.id, Entra's deviceDetail.deviceId, Duo's epkey.
    #[arg(long, value_name = "ID")]
    device: String,
    /// Why, for whoever reads it later.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
}

/// Bytes of a file: what the server takes in one message (server/src/people/device.rs).
const FILE_BYTES_MAX: usize = 3 << 20;

/// Below `endpoints import-devices --help`.
pub(crate) const IMPORT_HELP: &str = "\
The first line names the columns, in any order; an unknown one refuses the file:
  endpoint    id of an endpoint, or a hostname that only one endpoint has
  provider    okta, entra, duo, ...
  device_id   the provider's id of it: Okta's device.id, Entra's deviceDetail.deviceId, Duo's epkey

An import adds and never removes; the same file again changes nothing. It takes no id from another endpoint, and what an
analyst unbound stays so. Rows that are not taken are named as `line N: reason`, and the exit code is 2 then.";

/// Binds an id.
pub(super) async fn bind(
    mut session: Session,
    device: Device,
    is_move: bool,
) -> Result<Exit, Failure> {
    let request = BindDeviceRequest {
        endpoint: device.endpoint,
        provider: device.provider,
        device_id: device.device,
        reason: device.reason,
        r#move: is_move,
    };
    let endpoint = session.client.bind_device(request).await?;
    session.out.object(&endpoint, bound)?;
    Ok(Exit::Done)
}

/// Takes an id away.
pub(super) async fn unbind(mut session: Session, device: Device) -> Result<Exit, Failure> {
    let request = UnbindDeviceRequest {
        endpoint: device.endpoint,
        provider: device.provider,
        device_id: device.device,
        reason: device.reason,
    };
    let endpoint = session.client.unbind_device(request).await?;
    session.out.object(&endpoint, bound)?;
    Ok(Exit::Done)
}

fn bound(endpoint: &Endpoint, page: &mut Page) {
    page.paragraph(&super::endpoints::name(endpoint), Style::Heading);
    if endpoint.devices.is_empty() {
        page.paragraph("no device ids", Style::Faint);
    }
    lines(&endpoint.devices, page);
}

/// Each id in a line.
pub(super) fn lines(devices: &[DeviceBinding], page: &mut Page) {
    for device in devices {
        page.item("-", &said(device));
    }
}

/// One id, whose, and who says so.
pub(super) fn said(device: &DeviceBinding) -> String {
    let mut about = vec![
        device.confidence.clone(),
        format!("from {}", device.source),
        match device.bound_by.as_str() {
            "" => String::new(),
            by => format!("bound by {by} {}", time::minute(device.bound_time_ms)),
        },
    ];
    about.retain(|part| !part.is_empty());
    let about = about.join(", ");
    format!("{} {} ({about})", device.provider, device.device_id)
}

/// Sends a file, and says what came of it.
pub(super) async fn import(mut session: Session, file: &Path) -> Result<Exit, Failure> {
    let source = Source::open(file).await?;
    let name = source.name.clone();
    let content = source.read(FILE_BYTES_MAX).await?;
    let request = ImportDevicesRequest {
        file_name: cut_bytes(&name, TEXT_BYTES_MAX).to_owned(),
        content,
    };
    let summary = session.client.import_devices(request).await?;
    for problem in &summary.problems {
        let reason = text::line(&problem.reason);
        crate::say(&format!("line {}: {reason}\n", problem.line));
    }
    session
        .out
        .object(&summary, |summary, page| describe(&name, summary, page))?;
    Ok(match summary.refused {
        0 => Exit::Done,
        _ => Exit::Partly,
    })
}

fn describe(name: &str, summary: &DevicesImported, page: &mut Page) {
    let read = match summary.rows {
        0 => format!("{name}: no rows"),
        rows => format!("{name}: {} read", super::count(rows, "row")),
    };
    page.paragraph(&read, Style::Heading);
    page.field("Bound", &summary.changed.to_string());
    page.field("Unchanged", &summary.unchanged.to_string());
    let style = match summary.refused {
        0 => Style::Plain,
        _ => Style::Medium,
    };
    page.field_styled("Refused", &summary.refused.to_string(), style);
    let incidents = format!(
        "{} opened, {} updated",
        summary.incidents_opened, summary.incidents_updated
    );
    page.field("Incidents", &incidents);
    page.field("SHA-256", &summary.file_sha256);
}
