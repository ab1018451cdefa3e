//! When `here` speaks for an ordinary sign-in, and when it is what an attacker on the victim's own machine looks like.

use super::reason::Detail;
use crate::attempt::{Attempt, AttemptResult};
use crate::baseline::MINUTE_MS;
use crate::fact::SessionPlace;
use crate::input::{LinkedEndpoint, TimeSpan};

/// A means of remote control counts as present where it ran so near to the window.
const NEAR_MS: i64 = 15 * MINUTE_MS;

/// Browsers by the names of their programs and as providers call them, each with one word.
const BROWSERS: &[(&str, &str)] = &[
    ("firefox", "firefox"),
    ("librewolf", "firefox"),
    ("msedge", "edge"),
    ("edge", "edge"),
    ("chromium", "chrome"),
    ("chrome", "chrome"),
    ("brave", "chrome"),
    ("vivaldi", "chrome"),
    ("opera", "opera"),
    ("safari", "safari"),
    ("epiphany", "safari"),
];

/// Other programs that sign people in: mail, chat, VPN, ssh.
const CLIENTS: &[&str] = &[
    "thunderbird",
    "evolution",
    "outlook",
    "teams",
    "slack",
    "zoom",
    "openvpn",
    "openconnect",
    "ssh",
    "okta verify",
    "oktaverify",
    "onedrive",
    "code",
    "az",
    "aws",
    "gh",
    "git",
];

/// One word for a browser that a text names.
pub(crate) fn browser(text: &str) -> Option<&'static str> {
    let text = file_name(text);
    BROWSERS
        .iter()
        .find(|(name, _)| text.contains(name))
        .map(|(_, word)| *word)
}

/// One word for an operating system that a text names.
pub(crate) fn os_family(text: &str) -> Option<&'static str> {
    const FAMILIES: &[(&str, &str)] = &[
        ("windows", "windows"),
        ("android", "android"),
        ("iphone", "ios"),
        ("ios", "ios"),
        ("ipad", "ios"),
        ("mac", "macos"),
        ("darwin", "macos"),
        ("linux", "linux"),
        ("ubuntu", "linux"),
        ("chrome os", "chromeos"),
    ];
    let text = text.to_lowercase();
    FAMILIES
        .iter()
        .find(|(name, _)| text.contains(name))
        .map(|(_, word)| *word)
}

fn file_name(path: &str) -> String {
    path.rsplit(['/', '\\'])
        .next()
        .unwrap_or(path)
        .to_lowercase()
}

fn is_client(executable: &str) -> bool {
    let name = file_name(executable);
    let name = name.strip_suffix(".exe").unwrap_or(&name);
    browser(name).is_some() || CLIENTS.contains(&name)
}

/// Why a `here` of this attempt on this endpoint earns no benign credit; `None` where it does.
pub(super) fn refused(
    attempt: &Attempt<'_>,
    endpoint: &LinkedEndpoint,
    detail: &Detail,
) -> Option<String> {
    let name = &endpoint.hostname;
    match attempt.result {
        AttemptResult::Denied => return Some("the person denied the prompt".to_owned()),
        AttemptResult::FraudReported => {
            return Some("the person reported the prompt as fraud".to_owned());
        }
        _ => {}
    }
    if endpoint.is_claimed {
        return Some(format!(
            "that the account on {name} is this person's is its own word only, as an import allows for every endpoint"
        ));
    }
    let near = TimeSpan {
        from_ms: detail.span.from_ms.saturating_sub(NEAR_MS),
        until_ms: detail.span.until_ms.saturating_add(NEAR_MS),
    };
    let mut control = endpoint.facts.remote_control.iter();
    if let Some(found) = control.find(|found| found.span.overlaps(near)) {
        return Some(format!("{} was present on {name} at that time", found.tool));
    }
    if detail.facts.likeness == super::table::Likeness::Contradicts {
        return Some(format!(
            "the client that the provider saw is not one of {name}"
        ));
    }
    let Some(flow) = &detail.flow else {
        return None;
    };
    let Some(owner) = &flow.owner else {
        return Some("the process that held the connection is not known".to_owned());
    };
    if let Some(argument) = owner.arguments.first() {
        return Some(format!(
            "the process that held the connection ran with {argument}"
        ));
    }
    if !is_client(&owner.executable) {
        return Some(format!(
            "{} is no browser or known client",
            if owner.executable.is_empty() {
                "the process that held the connection"
            } else {
                &owner.executable
            }
        ));
    }
    let mut sessions = endpoint.facts.sessions.iter();
    let remote = sessions.find(|session| {
        session.audit_session.is_some()
            && session.audit_session == owner.audit_session
            && session
                .closed
                .is_none_or(|end| end.until_ms >= detail.span.from_ms)
            && matches!(session.place, SessionPlace::Remote { .. })
    });
    remote.map(|_| format!("the connection was made in a remote session on {name}"))
}
