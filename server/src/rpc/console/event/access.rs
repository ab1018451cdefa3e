//! Logins and sessions as a console sees them. What is not known stays empty or absent.

use tocsin_proto::console::v1 as wire;
use tocsin_proto::telemetry::v1 as telemetry;

use crate::search::address;

/// What happened, as a word.
pub(super) fn login_word(activity: i32) -> &'static str {
    use telemetry::LoginActivity as Activity;
    match Activity::try_from(activity) {
        Ok(Activity::Succeeded) => "succeeded",
        Ok(Activity::Failed) => "failed",
        Ok(Activity::Ended) => "ended",
        Ok(Activity::Unspecified) | Err(_) => "",
    }
}

/// What happened, as a word.
pub(super) fn session_word(activity: i32) -> &'static str {
    use telemetry::SessionActivity as Activity;
    match Activity::try_from(activity) {
        Ok(Activity::Opened) => "opened",
        Ok(Activity::Observed) => "observed",
        Ok(Activity::Locked) => "locked",
        Ok(Activity::Unlocked) => "unlocked",
        Ok(Activity::Idle) => "idle",
        Ok(Activity::Busy) => "busy",
        Ok(Activity::Foreground) => "foreground",
        Ok(Activity::Background) => "background",
        Ok(Activity::Closed) => "closed",
        Ok(Activity::Booted) => "booted",
        Ok(Activity::ShutDown) => "shut_down",
        Ok(Activity::Suspended) => "suspended",
        Ok(Activity::Resumed) => "resumed",
        Ok(Activity::Unspecified) | Err(_) => "",
    }
}

pub(super) fn login(body: telemetry::Login) -> wire::LoginEvent {
    let method = method(&body);
    let user = body.user.unwrap_or_default();
    let actor = body.actor.unwrap_or_default();
    wire::LoginEvent {
        login_id: data_encoding::HEXLOWER.encode(&body.login_id),
        service: body.service,
        pid: body.pid,
        user: user.name,
        uid: user.uid,
        user_exists: body.user_exists,
        actor: actor.name,
        actor_uid: actor.uid,
        peer: body.peer.map(peer),
        method,
        key_fingerprint: body.key_fingerprint,
        terminal: terminal(body.terminal_state, body.terminal),
        audit_session: body.audit_session,
        login_uid: body.login_uid,
        command: body.command,
        failed_attempts: body.failed_attempts,
        reason: body.reason,
        sources: body.sources.into_iter().filter_map(source).collect(),
    }
}

pub(super) fn session(body: telemetry::Session) -> wire::SessionEvent {
    let user = body.user.unwrap_or_default();
    wire::SessionEvent {
        session_id: body.session_id,
        user: user.name,
        uid: user.uid,
        service: body.service,
        kind: body.kind,
        class: body.class,
        seat: body.seat,
        terminal: terminal(body.terminal_state, body.terminal),
        peer: body.peer.map(peer),
        leader_pid: body.leader_pid,
        audit_session: body.audit_session,
        login_id: data_encoding::HEXLOWER.encode(&body.login_id),
        since_time_ms: body.since_time_ms.unwrap_or(0),
        is_active: body.is_active,
        is_locked: body.is_locked,
        is_idle: body.is_idle,
        until_time_ms: body.until_time_ms.unwrap_or(0),
    }
}

fn method(body: &telemetry::Login) -> String {
    use telemetry::LoginMethod as Method;
    match Method::try_from(body.method) {
        Ok(Method::Password) => "password",
        Ok(Method::PublicKey) => "public_key",
        Ok(Method::KeyboardInteractive) => "keyboard_interactive",
        Ok(Method::NotAsked) => "not_asked",
        Ok(Method::Other) => &body.method_name,
        Ok(Method::Unspecified) | Err(_) => "",
    }
    .to_owned()
}

fn terminal(state: i32, name: String) -> String {
    match telemetry::TerminalState::try_from(state) {
        Ok(telemetry::TerminalState::None) => "none".to_owned(),
        Ok(telemetry::TerminalState::Named) => name,
        Ok(telemetry::TerminalState::Unspecified) | Err(_) => String::new(),
    }
}

fn source(source: i32) -> Option<String> {
    use telemetry::LoginSource as Source;
    match Source::try_from(source).ok()? {
        Source::Audit => Some("audit".to_owned()),
        Source::Log => Some("log".to_owned()),
        Source::Accounting => Some("accounting".to_owned()),
        Source::Unspecified => None,
    }
}

fn peer(peer: telemetry::Peer) -> wire::PeerRef {
    wire::PeerRef {
        is_local: peer.is_local,
        address: address(&peer.address)
            .map(|address| address.to_string())
            .unwrap_or_default(),
        port: peer.port,
        host: peer.host,
    }
}
