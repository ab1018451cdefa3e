//! Tests of what log messages of sshd, su, sudo and cron mean, on lines in the shapes they write.

use super::*;

fn say(program: &str, message: &str) -> Saying {
    understand(program, message).expect(message)
}

fn name(account: &Account) -> &str {
    account.name.as_deref().unwrap_or_default()
}

#[test]
fn sshd_accepts_a_password_and_a_key() {
    let password = say(
        "sshd",
        "Accepted password for alice from 127.0.0.1 port 47872 ssh2",
    );
    assert_eq!(password.sign, Sign::Accepted);
    assert_eq!(password.detail.method, Some(Method::Password));
    assert_eq!(password.detail.port, Some(47872));
    let key = say(
        "sshd-session",
        "Accepted publickey for alice from ::1 port 56438 ssh2: ED25519 SHA256:mARqjA2yF81dTs0xd8SleYsu3yBOsSnoxmtM4JAX+7Y",
    );
    assert_eq!(key.service, "sshd");
    assert_eq!(key.detail.method, Some(Method::PublicKey));
    assert_eq!(key.detail.address, Some("::1".parse().unwrap()));
    assert_eq!(
        key.detail.key_fingerprint.as_deref(),
        Some("SHA256:mARqjA2yF81dTs0xd8SleYsu3yBOsSnoxmtM4JAX+7Y")
    );
    let dialogue = say(
        "sshd",
        "Accepted keyboard-interactive/pam for alice from 10.0.0.9 port 1 ssh2",
    );
    assert_eq!(dialogue.detail.method, Some(Method::KeyboardInteractive));
}

#[test]
fn a_user_name_that_looks_like_a_peer_does_not_move_the_address() {
    let said = say(
        "sshd",
        "Failed password for invalid user x from 9.9.9.9 port 1 ssh2 from 10.0.0.9 port 2 ssh2",
    );
    assert_eq!(said.detail.address, Some("10.0.0.9".parse().unwrap()));
    assert_eq!(name(&said.detail.user), "x from 9.9.9.9 port 1 ssh2");
    assert_eq!(said.detail.user_exists, Some(false));
    let closed = say(
        "sshd",
        "Connection closed by invalid user a 9.9.9.9 port 1 10.0.0.9 port 47886 [preauth]",
    );
    assert_eq!(closed.sign, Sign::GivenUp);
    assert_eq!(closed.detail.address, Some("10.0.0.9".parse().unwrap()));
    assert_eq!(closed.detail.port, Some(47886));
}

/// What sshd says, what it means, of whom, and whether the account exists.
const LED_NOWHERE: &[(&str, Sign, &str, Option<bool>)] = &[
    (
        "Invalid user nosuch from 127.0.0.1 port 47886",
        Sign::Hint,
        "nosuch",
        Some(false),
    ),
    (
        "Invalid user  from 127.0.0.1 port 47886",
        Sign::Hint,
        "",
        Some(false),
    ),
    (
        "Failed none for invalid user nosuch from 127.0.0.1 port 1 ssh2",
        Sign::Hint,
        "nosuch",
        Some(false),
    ),
    (
        "Failed publickey for alice from 127.0.0.1 port 1 ssh2: RSA SHA256:x",
        Sign::Hint,
        "alice",
        None,
    ),
    (
        "Connection closed by authenticating user alice 127.0.0.1 port 47884 [preauth]",
        Sign::GivenUp,
        "alice",
        None,
    ),
    (
        "Connection reset by invalid user bob 127.0.0.1 port 47884 [preauth]",
        Sign::GivenUp,
        "bob",
        Some(false),
    ),
    (
        "Disconnecting authenticating user alice ::1 port 7: Too many authentication failures [preauth]",
        Sign::GivenUp,
        "alice",
        None,
    ),
    (
        "error: maximum authentication attempts exceeded for alice from ::1 port 7 ssh2 [preauth]",
        Sign::GivenUp,
        "alice",
        None,
    ),
    (
        "error: PAM: Authentication failure for illegal user nosuch from 127.0.0.1",
        Sign::RelayedFailure,
        "nosuch",
        Some(false),
    ),
    (
        "User alice from 10.0.0.9 not allowed because not listed in AllowUsers",
        Sign::Hint,
        "alice",
        None,
    ),
    (
        "fatal: Access denied for user alice by PAM account configuration [preauth]",
        Sign::GivenUp,
        "alice",
        None,
    ),
];

#[test]
fn sshd_words_for_a_conversation_that_led_nowhere() {
    for &(message, sign, user, exists) in LED_NOWHERE {
        let said = say("sshd", message);
        assert_eq!(
            (said.sign, name(&said.detail.user), said.detail.user_exists),
            (sign, user, exists),
            "{message}"
        );
    }
}

#[test]
fn a_folded_line_counts_as_often_as_it_says() {
    let said = say(
        "sshd",
        "message repeated 2 times: [ Failed password for alice from 10.0.0.9 port 22 ssh2]",
    );
    assert_eq!((said.sign, said.count), (Sign::Failed, 2));
    assert_eq!(
        understand(
            "sshd",
            "message repeated 2 times: [ message repeated 2 times: [ x]]"
        ),
        None
    );
}

#[test]
fn pam_opens_closes_and_refuses() {
    let opened = say(
        "sshd",
        "pam_unix(sshd:session): session opened for user alice(uid=1001) by (uid=0)",
    );
    assert_eq!(opened.sign, Sign::Opened);
    assert_eq!(opened.detail.user.uid, Some(1001));
    assert!(opened.detail.actor.is_unknown());
    let older = say(
        "su",
        "pam_unix(su:session): session opened for user root by alice(uid=1001)",
    );
    assert_eq!(
        (name(&older.detail.user), older.detail.actor.uid),
        ("root", Some(1001))
    );
    assert_eq!(
        name(&older.detail.actor),
        "",
        "it is the name of the terminal's login"
    );
    let closed = say(
        "su",
        "pam_unix(su-l:session): session closed for user alice",
    );
    assert_eq!((closed.sign, closed.service.as_str()), (Sign::Closed, "su"));
    let refused = say(
        "su",
        "pam_unix(su-l:auth): authentication failure; logname= uid=1002 euid=0 tty=/dev/pts/0 ruser=bob rhost=  user=alice",
    );
    assert_eq!(refused.sign, Sign::PamFailed);
    assert_eq!(
        (name(&refused.detail.user), name(&refused.detail.actor)),
        ("alice", "bob")
    );
    assert_eq!(refused.detail.terminal, Terminal::Name("pts/0".into()));
    let sudo = say(
        "sudo",
        "pam_unix(sudo:auth): authentication failure; logname= uid=1002 euid=0 tty=/dev/pts/0 ruser=bob rhost=  user=bob",
    );
    assert_eq!(
        (name(&sudo.detail.user), name(&sudo.detail.actor)),
        ("", "bob")
    );
    let cron = say(
        "CRON",
        "pam_unix(cron:session): session opened for user alice(uid=1001) by (uid=0)",
    );
    assert_eq!(
        (cron.service.as_str(), cron.detail.method),
        ("cron", Some(Method::NotAsked))
    );
}

#[test]
fn su_names_both_accounts() {
    let done = say("su", "(to alice) bob on pts/0");
    assert_eq!(done.sign, Sign::Accepted);
    assert_eq!(
        (name(&done.detail.user), name(&done.detail.actor)),
        ("alice", "bob")
    );
    assert_eq!(done.detail.method, None);
    let root = say("su", "(to alice) root on none");
    assert_eq!(root.detail.method, Some(Method::NotAsked));
    assert_eq!(root.detail.terminal, Terminal::None);
    assert_eq!(
        say("su", "FAILED SU (to root) bob on pts/0").sign,
        Sign::Failed
    );
    assert_eq!(say("su", "FAILED su for root by bob").sign, Sign::Failed);
}

#[test]
fn sudo_tells_what_was_run_and_why_not() {
    let ran = say(
        "sudo",
        "   alice : TTY=pts/0 ; PWD=/work ; USER=root ; COMMAND=/usr/bin/id -un ; x",
    );
    assert_eq!(ran.sign, Sign::Accepted);
    assert_eq!(
        (name(&ran.detail.user), name(&ran.detail.actor)),
        ("root", "alice")
    );
    assert_eq!(ran.detail.command.as_deref(), Some("/usr/bin/id -un ; x"));
    assert_eq!(ran.detail.terminal, Terminal::Name("pts/0".into()));
    let bare = say("sudo", "alice : PWD=/work ; USER=bob ; COMMAND=/usr/bin/id");
    assert_eq!(bare.detail.terminal, Terminal::None);
    let denied = say(
        "sudo",
        "     bob : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/work ; USER=root ; COMMAND=/usr/bin/id",
    );
    assert_eq!(denied.sign, Sign::Failed);
    assert_eq!(
        denied.detail.reason.as_deref(),
        Some("3 incorrect password attempts")
    );
}

#[test]
fn login_at_a_console() {
    let failed = say(
        "login",
        "FAILED LOGIN (1) on '/dev/tty1' FOR 'alice', Authentication failure",
    );
    assert_eq!(failed.sign, Sign::Failed);
    assert_eq!(failed.detail.terminal, Terminal::Name("tty1".into()));
    let unknown = say(
        "login",
        "FAILED LOGIN (2) on '/dev/tty1' FOR 'UNKNOWN', User not known to the underlying authentication module",
    );
    assert_eq!(unknown.detail.user_exists, Some(false));
    assert!(unknown.detail.user.is_unknown());
    assert_eq!(
        say("login", "LOGIN ON tty1 BY alice").sign,
        Sign::TerminalGiven
    );
}

#[test]
fn everything_else_is_passed_over() {
    for (program, message) in [
        ("sshd", "Server listening on ::1 port 2299."),
        (
            "sshd",
            "Received disconnect from 127.0.0.1 port 47872:11: disconnected by user",
        ),
        ("sshd", "Disconnected from user alice 127.0.0.1 port 47872"),
        (
            "sshd",
            "Connection closed by 127.0.0.1 port 47886 [preauth]",
        ),
        (
            "sshd",
            "pam_limits(sshd:session): Could not set limit for 'nofile'",
        ),
        (
            "runuser",
            "pam_unix(runuser:session): session opened for user bob(uid=1002) by (uid=0)",
        ),
        (
            "systemd",
            "pam_unix(systemd-user:session): session opened for user alice(uid=1001) by (uid=0)",
        ),
        (
            "kernel",
            "Accepted password for alice from 127.0.0.1 port 1 ssh2",
        ),
        ("sshd", "Accepted "),
        ("sudo", " : "),
        ("su", "(to "),
        ("sshd", "pam_"),
    ] {
        assert_eq!(understand(program, message), None, "{message}");
    }
}

proptest::proptest! {
    #[test]
    fn no_message_panics(program in "sshd|su|sudo|login|x", message in "(Failed |Accepted |Invalid user |pam_unix\\(|\\(to |FAILED LOGIN |User |error: PAM: )?.{0,80}") {
        let _ = understand(&program, &message);
    }
}
