//! Logins, sessions, flows and files in one line each. Pure; the text stays foreign until it is printed through
//! [`crate::text`].

use tocsin_proto::console::v1::{
    FileEvent, FileStateRef, LoginEvent, NetworkEvent, PeerRef, SessionEvent,
};

use crate::output::style::Style;

/// Who came in, how and from where.
pub(super) fn login(login: &LoginEvent, activity: &str) -> (String, Style) {
    let mut said = login.service.clone();
    if !login.actor.is_empty() {
        said += &format!(" by {}", login.actor);
    }
    if !login.method.is_empty() {
        said += &format!(" with {}", login.method.replace('_', " "));
    }
    said += &peer(login.peer.as_ref());
    if !login.terminal.is_empty() && login.terminal != "none" {
        said += &format!(" on {}", login.terminal);
    }
    if login.user_exists == Some(false) {
        said += ", no such account";
    }
    if login.failed_attempts > 0 {
        said += &format!(", {} refused before", login.failed_attempts);
    }
    for (what, text) in [("", &login.reason), ("", &login.command)] {
        if !text.is_empty() {
            said += &format!(": {what}{text}");
        }
    }
    let style = if activity == "failed" {
        Style::Medium
    } else {
        Style::Plain
    };
    (said, style)
}

/// Which session, and how it is now.
pub(super) fn session(session: &SessionEvent) -> String {
    if session.session_id.is_empty() {
        return "the machine".to_owned();
    }
    let mut said = format!("session {}", session.session_id);
    for word in [
        &session.service,
        &session.kind,
        &session.seat,
        &session.terminal,
    ] {
        if !word.is_empty() && word != "none" && word != "unspecified" {
            said += &format!(" {word}");
        }
    }
    said += &peer(session.peer.as_ref());
    for (state, yes, no) in [
        (session.is_active, "in front", "in the background"),
        (session.is_locked, "locked", "not locked"),
        (session.is_idle, "idle", "in use"),
    ] {
        if let Some(state) = state {
            said += &format!(", {}", if state { yes } else { no });
        }
    }
    said
}

/// Who speaks with whom.
pub(super) fn network(flow: &NetworkEvent) -> String {
    let who = match (flow.executable.as_str(), flow.pid) {
        ("", None) => "an unknown process".to_owned(),
        ("", Some(pid)) => format!("process {pid}"),
        (path, Some(pid)) => format!("{path} ({pid})"),
        (path, None) => path.to_owned(),
    };
    let local = side(&flow.local_address, flow.local_port);
    let remote = side(&flow.remote_address, flow.remote_port);
    let mut said = match flow.direction.as_str() {
        "" => format!("{who} at {local}"),
        "inbound" => format!("{who} at {local} from {remote}"),
        _ => format!("{who} to {remote}"),
    };
    let names: Vec<&str> = flow.names.iter().map(|name| name.name.as_str()).collect();
    if !names.is_empty() {
        said += &format!(" ({})", names.join(", "));
    }
    if flow.repeats > 0 {
        said += &format!(", {} more", flow.repeats);
    }
    if let (Some(sent), Some(received)) = (flow.sent_bytes, flow.received_bytes) {
        said += &format!(
            ", sent {}, received {}",
            super::bytes(sent),
            super::bytes(received)
        );
    }
    said
}

/// Which file, what it decides, and by whom.
pub(crate) fn file(file: &FileEvent, activity: &str) -> (String, Style) {
    let mut said = file.path.clone();
    if !file.previous_path.is_empty() {
        said = format!("{} to {said}", file.previous_path);
    }
    said += &format!(" ({})", file.category.replace('_', " "));
    if file.is_replaced {
        said += ", by another file";
    }
    let permissions = |of: Option<&FileStateRef>| {
        of.map(|of| format!("{} {}:{}", of.mode, of.uid, of.gid))
            .unwrap_or_default()
    };
    if activity == "permissions_changed" {
        let (before, after) = (file.before.as_ref(), file.after.as_ref());
        said += &format!(", {} to {}", permissions(before), permissions(after));
    }
    said += &match &file.actor {
        None => ", by whom is not known".to_owned(),
        Some(actor) if actor.executable.is_empty() => {
            format!(", by process {}, which has ended", actor.pid)
        }
        Some(actor) => format!(", by {} ({})", actor.executable, actor.pid),
    };
    if file.count > 1 && activity == "opened" {
        said += &format!(", {} times", file.count);
    }
    let is_telling = activity == "opened" && file.category == "credential_store";
    (
        said,
        if is_telling {
            Style::Medium
        } else {
            Style::Plain
        },
    )
}

/// An address of version 6 in brackets, so that the port can be told from it.
fn side(address: &str, port: u32) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

fn peer(peer: Option<&PeerRef>) -> String {
    match peer {
        None => String::new(),
        Some(peer) if peer.is_local => " from this machine".to_owned(),
        Some(peer) if peer.address.is_empty() => format!(" from {}", peer.host),
        Some(peer) => format!(" from {}", peer.address),
    }
}

#[cfg(test)]
mod tests {
    use tocsin_proto::console::v1::FileActorRef;

    use super::*;

    #[test]
    fn a_refused_login_says_who_how_and_from_where() {
        let refused = LoginEvent {
            service: "sshd".into(),
            method: "public_key".into(),
            peer: Some(PeerRef {
                address: "203.0.113.9".into(),
                port: 4022,
                ..PeerRef::default()
            }),
            user_exists: Some(false),
            reason: "invalid user".into(),
            ..LoginEvent::default()
        };
        let (said, style) = login(&refused, "failed");
        assert_eq!(
            said,
            "sshd with public key from 203.0.113.9, no such account: invalid user"
        );
        assert_eq!(style, Style::Medium);
    }

    #[test]
    fn what_is_unknown_of_a_session_is_not_said() {
        let seen = SessionEvent {
            session_id: "3".into(),
            is_locked: Some(true),
            ..SessionEvent::default()
        };
        assert_eq!(session(&seen), "session 3, locked");
        assert_eq!(session(&SessionEvent::default()), "the machine");
    }

    #[test]
    fn a_file_says_what_it_decides_and_by_whom_or_that_it_is_not_known() {
        let opened = FileEvent {
            path: "/home/dana/.mozilla/firefox/a/cookies.sqlite".into(),
            category: "credential_store".into(),
            count: 3,
            actor: Some(FileActorRef {
                pid: 7,
                executable: "/usr/bin/python3".into(),
                ..FileActorRef::default()
            }),
            ..FileEvent::default()
        };
        let (said, style) = file(&opened, "opened");
        assert_eq!(
            said,
            "/home/dana/.mozilla/firefox/a/cookies.sqlite (credential store), by /usr/bin/python3 (7), 3 times"
        );
        assert_eq!(style, Style::Medium);
        let replaced = FileEvent {
            path: "/etc/passwd".into(),
            category: "account".into(),
            is_replaced: true,
            count: 4,
            ..FileEvent::default()
        };
        let (said, _) = file(&replaced, "modified");
        assert_eq!(
            said,
            "/etc/passwd (account), by another file, by whom is not known"
        );
        let state = |mode: &str| FileStateRef {
            mode: mode.into(),
            ..FileStateRef::default()
        };
        let changed = FileEvent {
            before: Some(state("-rw-------")),
            after: Some(state("-rw-rw-rw-")),
            is_replaced: false,
            ..replaced
        };
        let (said, _) = file(&changed, "permissions_changed");
        assert_eq!(
            said,
            "/etc/passwd (account), -rw------- 0:0 to -rw-rw-rw- 0:0, by whom is not known"
        );
    }

    #[test]
    fn a_flow_names_its_process_and_the_other_side() {
        let flow = NetworkEvent {
            direction: "outbound".into(),
            local_address: "2001:db8::1".into(),
            remote_address: "2001:db8::2".into(),
            remote_port: 443,
            pid: Some(7),
            executable: "/usr/bin/curl".into(),
            repeats: 2,
            ..NetworkEvent::default()
        };
        assert_eq!(
            network(&flow),
            "/usr/bin/curl (7) to [2001:db8::2]:443, 2 more"
        );
        let listens = NetworkEvent {
            direction: String::new(),
            local_address: "0.0.0.0".into(),
            local_port: 22,
            pid: None,
            executable: String::new(),
            ..flow
        };
        assert_eq!(
            network(&listens),
            "an unknown process at 0.0.0.0:22, 2 more"
        );
    }
}
