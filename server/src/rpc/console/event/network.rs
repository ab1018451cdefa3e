//! Flows as a console sees them. What is not known stays empty or absent.

use tocsin_proto::console::v1 as wire;
use tocsin_proto::id::{BootId, ProcessKey};
use tocsin_proto::telemetry::v1 as telemetry;

use crate::search::address;

/// What happened, as a word.
pub(super) fn network_word(activity: i32) -> &'static str {
    use telemetry::NetworkActivity as Activity;
    match Activity::try_from(activity) {
        Ok(Activity::Opened) => "opened",
        Ok(Activity::Observed) => "observed",
        Ok(Activity::Closed) => "closed",
        Ok(Activity::Repeated) => "repeated",
        Ok(Activity::Listening) => "listening",
        Ok(Activity::ListenObserved) => "listen_observed",
        Ok(Activity::ListenClosed) => "listen_closed",
        Ok(Activity::Unspecified) | Err(_) => "",
    }
}

pub(super) fn network(boot: BootId, body: telemetry::Network) -> wire::NetworkEvent {
    let direction = match body.direction() {
        telemetry::FlowDirection::Outbound => "outbound",
        telemetry::FlowDirection::Inbound => "inbound",
        telemetry::FlowDirection::Unspecified => "",
    };
    let owner = body.owner;
    let key = owner.as_ref().map(|owner| ProcessKey {
        boot,
        pid: owner.pid,
        start_ticks: owner.start_ticks,
    });
    let (pid, owner) = (
        owner.as_ref().map(|owner| owner.pid),
        owner.unwrap_or_default(),
    );
    // The process acts as this account; the socket's own is what is known without the process.
    let user = owner.user.or(body.user).unwrap_or_default();
    wire::NetworkEvent {
        flow_id: body.flow_id.to_string(),
        direction: direction.to_owned(),
        local_address: text(&body.local_address),
        local_port: body.local_port,
        remote_address: text(&body.remote_address),
        remote_port: body.remote_port,
        pid,
        key: key.map(|key| key.to_string()).unwrap_or_default(),
        executable: owner.executable,
        user: user.name,
        uid: user.uid,
        login_uid: owner.login_uid,
        audit_session: owner.audit_session,
        names: body.names.into_iter().map(name).collect(),
        opened_from_time_ms: body.opened_from_time_ms.unwrap_or(0),
        opened_until_time_ms: body.opened_until_time_ms,
        closed_from_time_ms: body.closed_from_time_ms.unwrap_or(0),
        closed_until_time_ms: body.closed_until_time_ms.unwrap_or(0),
        sent_bytes: body.sent_bytes,
        received_bytes: body.received_bytes,
        repeats: body.repeats.map_or(0, |repeats| repeats.count),
    }
}

fn text(bytes: &[u8]) -> String {
    address(bytes)
        .map(|address| address.to_string())
        .unwrap_or_default()
}

fn name(name: telemetry::FlowName) -> wire::NetworkName {
    let source = match name.source() {
        telemetry::NameSource::DnsAnswer => "dns_answer",
        telemetry::NameSource::ResolverCache => "resolver_cache",
        telemetry::NameSource::HostsFile => "hosts_file",
        telemetry::NameSource::Unspecified => "",
    };
    wire::NetworkName {
        source: source.to_owned(),
        name: name.name,
    }
}
