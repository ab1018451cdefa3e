//! Endpoints: list, show, tag, revoke.

use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tocsin_proto::id::EndpointId;
use tocsin_proto::limits::{REASON_BYTES_MAX, TAG_BYTES_MAX, TAGS_MAX};
use tocsin_proto::telemetry::v1::Health;
use tonic::{Request, Response, Status};

use super::identity::Hostnames;
use super::{Answer, Context, device, page_size, sensor_word};
use crate::audit::AuditEntry;
use crate::rpc::auth::Method;
use crate::rpc::status::ErrorCode;
use crate::session::Live;
use crate::store::telemetry::EndpointTotals;
use crate::store::trust::{EndpointRow, PublicAddressRow};

/// Public addresses of one endpoint that are shown.
const PUBLIC_ADDRESSES_SHOWN_MAX: usize = 16;

/// `ListEndpoints`.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListEndpointsRequest>,
) -> Answer<wire::ListEndpointsResponse> {
    context
        .auth
        .authorize(&request, Method::ListEndpoints)
        .await?;
    let request = request.into_inner();
    let after = match request.page_token.as_str() {
        "" => None,
        token => Some(
            token
                .parse::<EndpointId>()
                .map_err(|_| ErrorCode::Invalid.status("page_token is not one of this listing"))?,
        ),
    };
    let limit = page_size(request.page_size);
    let rows = context.state.endpoints(after, limit).await?;
    let full = u32::try_from(rows.len()).is_ok_and(|rows| rows >= limit);
    let last = rows.last().filter(|_| full);
    let next_page_token = last.map_or_else(String::new, |row| row.id.to_string());
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let totals = context.telemetry.totals(&ids).await?;
    let endpoints = rows
        .into_iter()
        .zip(totals)
        .map(|(row, totals)| {
            let live = context.registry.live(row.id);
            endpoint(row, live, totals)
        })
        .collect();
    Ok(Response::new(wire::ListEndpointsResponse {
        endpoints,
        next_page_token,
    }))
}

/// `GetEndpoint`.
pub(super) async fn get(
    context: &Arc<Context>,
    request: Request<wire::GetEndpointRequest>,
) -> Answer<wire::Endpoint> {
    context
        .auth
        .authorize(&request, Method::GetEndpoint)
        .await?;
    let id = context
        .state
        .find_endpoint(&request.get_ref().id)
        .await
        .map_err(Status::from)?;
    show(context, id).await
}

/// `TagEndpoint`.
pub(super) async fn tag(
    context: &Arc<Context>,
    request: Request<wire::TagEndpointRequest>,
) -> Answer<wire::Endpoint> {
    let caller = context
        .auth
        .authorize(&request, Method::TagEndpoint)
        .await?;
    let request = request.into_inner();
    let (add, remove) = (request.add, request.remove);
    if add.len() + remove.len() > 2 * TAGS_MAX {
        return Err(ErrorCode::Invalid.status("too many tags at once"));
    }
    if let Some(bad) = add.iter().find(|tag| !is_tag(tag)) {
        return Err(ErrorCode::Invalid.status(format!(
            "'{bad}' is not a tag: 1 to {TAG_BYTES_MAX} letters, digits and -_.:=/@"
        )));
    }
    let id = context.state.find_endpoint(&request.id).await?;
    let detail = format!("add [{}], remove [{}]", add.join(", "), remove.join(", "));
    let entry = AuditEntry::allowed(&caller, Method::TagEndpoint, &id.to_string(), &detail);
    context
        .state
        .tag_endpoint(id, &add, &remove, &entry)
        .await?;
    show(context, id).await
}

/// Tags are words that need no quoting anywhere.
fn is_tag(text: &str) -> bool {
    (1..=TAG_BYTES_MAX).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "-_.:=/@".contains(c))
}

/// `RevokeEndpoint`. When it returns, the endpoint is cut off.
pub(super) async fn revoke(
    context: &Arc<Context>,
    request: Request<wire::RevokeEndpointRequest>,
) -> Answer<wire::Endpoint> {
    let caller = context
        .auth
        .authorize(&request, Method::RevokeEndpoint)
        .await?;
    let request = request.into_inner();
    if request.reason.len() > REASON_BYTES_MAX {
        return Err(ErrorCode::Invalid.status(format!("reason is over {REASON_BYTES_MAX} bytes")));
    }
    let id = context.state.find_endpoint(&request.id).await?;
    let entry = AuditEntry::allowed(
        &caller,
        Method::RevokeEndpoint,
        &id.to_string(),
        &request.reason,
    );
    context.state.revoke_endpoint(id, &entry).await?;
    context.revocations.apply().await?;
    context.correlator.wake();
    tracing::info!(endpoint = %id, analyst = caller.analyst(), "an endpoint was revoked");
    show(context, id).await
}

pub(super) async fn show(context: &Context, id: EndpointId) -> Answer<wire::Endpoint> {
    let row = context.state.endpoint(id).await?;
    let totals = context.telemetry.totals(&[id]).await?;
    let totals = totals.into_iter().next().unwrap_or_default();
    let live = context.registry.live(id);
    let addresses = context.state.public_addresses(id, 0, i64::MAX).await?;
    let newest = addresses.into_iter().rev().take(PUBLIC_ADDRESSES_SHOWN_MAX);
    let successors = context.state.successors(id).await?;
    let devices = device::of(context, id, &mut Hostnames::default()).await?;
    Ok(Response::new(wire::Endpoint {
        devices,
        successors: successors.iter().map(ToString::to_string).collect(),
        public_addresses: newest.map(public_address).collect(),
        ..endpoint(row, live, totals)
    }))
}

fn public_address(row: PublicAddressRow) -> wire::PublicAddress {
    wire::PublicAddress {
        address: row.address.network.to_string(),
        source: row.address.source.word().to_owned(),
        site: row.address.site,
        shared: row.address.shared,
        from_time_ms: row.from_ms,
        until_time_ms: row.until_ms,
    }
}

/// What is stored, overlaid with what is live.
fn endpoint(row: EndpointRow, live: Option<Live>, totals: EndpointTotals) -> wire::Endpoint {
    let revoked = row.revoked_time_ms != 0;
    // A revoked endpoint has no connection; its session may need a moment to learn it.
    let live = live.filter(|_| !revoked);
    let state = match (&live, revoked, row.conflicts.is_empty()) {
        (_, true, _) => wire::EndpointState::Revoked,
        (_, false, false) => wire::EndpointState::Conflict,
        (Some(_), false, true) => wire::EndpointState::Online,
        (None, false, true) => wire::EndpointState::Offline,
    };
    let mut endpoint = wire::Endpoint {
        id: row.id.to_string(),
        state: state.into(),
        former: row.former.map_or_else(String::new, |id| id.to_string()),
        tags: row.tags,
        ring: row.ring,
        enrolled_time_ms: row.enrolled_time_ms,
        last_seen_time_ms: row.last_seen_time_ms,
        certificate_expiry_time_ms: row.certificate_expiry_time_ms,
        address: row.address,
        run: row.run.map_or_else(String::new, |run| run.to_string()),
        clock_skew: row.clock_skew,
        conflicts: row.conflicts.into_iter().map(conflict).collect(),
        health: row
            .health
            .map(|(time_ms, health)| agent_health(time_ms, health)),
        events: totals.events,
        agent_version: row.agent_version,
        capability: row.capability,
        connected: live.is_some(),
        ..Default::default()
    };
    let mut machine = row.machine;
    if let Some(live) = live {
        endpoint.last_seen_time_ms = live.seen_time_ms;
        endpoint.address = live.address;
        endpoint.run = live.run.to_string();
        endpoint.clock_skew = live.clock_skew.or(endpoint.clock_skew);
        endpoint.health = live
            .health
            .map(|(time_ms, health)| agent_health(time_ms, health))
            .or(endpoint.health);
        endpoint.agent_version = live.facts.agent_version;
        endpoint.capability = live.facts.capability;
        machine = live.facts.machine;
    }
    wire::Endpoint {
        hostname: machine.hostname,
        os: machine.os,
        os_version: machine.os_version,
        kernel_version: machine.kernel_version,
        architecture: machine.architecture,
        boot_time_ms: machine.boot_time_ms,
        time_zone: machine.time_zone,
        ..endpoint
    }
}

fn conflict(row: crate::store::trust::ConflictRow) -> wire::Conflict {
    wire::Conflict {
        time_ms: row.time_ms,
        run: row.run.to_string(),
        hostname: row.hostname,
        address: row.address,
    }
}

fn agent_health(reported_time_ms: i64, health: Health) -> wire::AgentHealth {
    let sensor = |sensor: tocsin_proto::telemetry::v1::SensorHealth| wire::SensorStatus {
        name: sensor.name,
        state: sensor_word(sensor.state).to_owned(),
        detail: sensor.detail,
        observed: sensor.observed,
        lost: sensor.lost,
        restarts: sensor.restarts,
    };
    wire::AgentHealth {
        reported_time_ms,
        sensors: health.sensors.into_iter().map(sensor).collect(),
        spool_bytes: health.spool_bytes,
        spool_bytes_max: health.spool_bytes_max,
        spool_events: health.spool_events,
        dropped_events: health.dropped_events,
        resident_bytes: health.resident_bytes,
        cpu_ms: health.cpu_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_words() {
        for good in ["web", "owner=dana", "büro", "a.b:c/d@e-f_g"] {
            assert!(is_tag(good), "{good}");
        }
        for bad in [
            "",
            "two words",
            "new\nline",
            "\u{1b}[31m",
            "a,b",
            &"x".repeat(65),
        ] {
            assert!(!is_tag(bad), "{bad:?}");
        }
    }
}
