//! Exit codes other than 0, and what is said with them.

use std::process::Stdio;

use tonic::Code;

use crate::fake::story::HOSTILE;
use crate::fake::{self, Ca, Fake};
use crate::{assert_harmless, refusing};

#[tokio::test]
async fn arguments_that_make_no_sense_end_with_64_and_say_what_does() {
    let fake = Fake::start().await;
    for (arguments, said) in [
        (
            &["incidents", "state", "aa", "done"][..],
            "new, in_progress, on_hold, resolved, closed",
        ),
        (&["incidents", "verdict", "aa", "guilty"], "true_positive"),
        (
            &["incidents", "list", "--severity-min", "huge"],
            "info, low, medium, high, critical",
        ),
        (&["incidents", "assign", "aa", "kim", "--none"], "--none"),
        (&["incidents", "note", "aa"], "TEXT"),
        (
            &["events", "search", "--kind", "nothing"],
            "process, login, session, network, file, gap, health",
        ),
        (&["events", "search", "--since", "yesterday"], "24h"),
        (
            &["events", "search", "--since", "1h", "--until", "2h"],
            "--since is after --until",
        ),
        (&["endpoints", "tag", "lab"], "--remove"),
        (&["endpoints", "revoke", "lab"], "--reason"),
        (&["feeds", "import", "x"], "--provider"),
        (&["dance\u{202e}"], "dance\\u{202e}"),
    ] {
        let done = fake.run(arguments).await;
        assert_eq!(done.code, 64, "{arguments:?}: {done:?}");
        assert!(done.error.contains(said), "{said} in {}", done.error);
        assert!(done.error.starts_with("tocsin: "), "{}", done.error);
        assert_harmless(&done.error);
        assert_eq!(done.out, "");
    }
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_made_harmless() {
    for (code, exit) in [
        (Code::PermissionDenied, 77),
        (Code::Unauthenticated, 77),
        (Code::Unavailable, 69),
        (Code::NotFound, 1),
        (Code::Internal, 1),
        (Code::InvalidArgument, 64),
    ] {
        let fake = refusing(code, HOSTILE).await;
        for arguments in [
            &["incidents", "list"][..],
            &["events", "search"],
            &["incidents", "watch"],
        ] {
            if code == Code::Unavailable && arguments[1] == "watch" {
                continue;
            }
            let done = fake.run(arguments).await;
            assert_eq!(done.code, exit, "{code:?} {arguments:?}: {done:?}");
            assert!(done.error.starts_with("tocsin: "), "{done:?}");
            assert!(done.error.contains("evil\\x1b]0;owned"), "{done:?}");
            assert_harmless(&done.error);
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_ends_with_69() {
    let fake = Fake::start().await;
    let (listener, port) = fake::listen().await;
    drop(listener);
    let mut profile = fake.profile();
    profile.servers = vec![format!("127.0.0.1:{port}")];
    fake.write_profile(&profile);
    let done = fake.run(&["incidents", "list"]).await;
    assert_eq!(done.code, 69, "{done:?}");
    assert!(
        done.error
            .contains(&format!("reach the server at 127.0.0.1:{port}")),
        "{done:?}"
    );
    assert!(
        done.error.contains("to do: check that the server runs"),
        "{done:?}"
    );
    // The next server in the list is taken.
    profile.servers.push(fake.address());
    fake.write_profile(&profile);
    assert_eq!(fake.run(&["incidents", "list"]).await.code, 0);
}

#[tokio::test]
async fn certificates_that_do_not_fit_end_with_69_and_the_cure() {
    let fake = Fake::start().await;
    let foreign = Ca::new();
    let mut other_name = fake.profile();
    other_name.servers = vec![fake.address().replace("localhost", "127.0.0.1")];
    for (profile, cure) in [
        (
            fake.profile_trusting(&foreign),
            "not from the CA in the profile",
        ),
        (
            fake.profile_of(&foreign, 2100),
            "does not know the profile's CA",
        ),
        (fake.profile_of(&fake.ca, 2002), "certificate has expired"),
        (other_name, "does not carry this host name"),
    ] {
        fake.write_profile(&profile);
        let done = fake.run(&["incidents", "list"]).await;
        assert_eq!(done.code, 69, "{cure}: {done:?}");
        assert!(done.error.contains(cure), "{cure} in {done:?}");
    }
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_profile_that_cannot_be_used_ends_with_78() {
    let fake = Fake::start().await;
    let check = async |said: &str| {
        let done = fake.run(&["incidents", "list"]).await;
        assert_eq!(done.code, 78, "{said}: {done:?}");
        assert!(done.error.contains(said), "{said} in {done:?}");
    };
    let mut profile = fake.profile();
    profile.private_key = "no".into();
    fake.write_profile(&profile);
    check("private key").await;
    profile.servers.clear();
    fake.write_profile(&profile);
    check("tocsin-server run").await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(fake.profile_path(), open).unwrap();
        check("chmod 600").await;
    }
    std::fs::remove_file(fake.profile_path()).unwrap();
    check("analyst add").await;
}

#[tokio::test]
async fn a_broken_audit_log_ends_with_1() {
    let fake = Fake::start().await;
    let done = fake.run(&["audit", "verify"]).await;
    assert_eq!(done.code, 0);
    assert!(done.out.starts_with("intact: 9 rows"), "{done:?}");
    fake.script.lock().unwrap().intact = false;
    let done = fake.run(&["audit", "verify"]).await;
    assert_eq!(done.code, 1);
    assert!(
        done.out.starts_with("NOT INTACT: row 4 of 9 rows"),
        "{done:?}"
    );
}

#[tokio::test]
async fn help_version_and_completions_need_no_server() {
    let fake = Fake::start().await;
    std::fs::remove_file(fake.profile_path()).unwrap();
    for (arguments, said) in [
        (&["--help"][..], "Exit codes"),
        (&["--version"], "tocsin 0."),
        (&["incidents", "state", "--help"], "in_progress"),
        (&["completions", "bash"], "incidents"),
        (&["completions", "zsh"], "true_positive"),
    ] {
        let done = fake.run(arguments).await;
        assert_eq!(done.code, 0, "{arguments:?}: {done:?}");
        assert!(done.out.contains(said), "{said} in {}", done.out);
    }
}

#[tokio::test]
async fn the_profile_is_found_by_variable_and_in_the_users_folder() {
    let fake = Fake::start().await;
    let home = fake.dir.path().join("home");
    std::fs::create_dir_all(home.join("tocsin")).unwrap();
    std::fs::rename(fake.profile_path(), home.join("tocsin/profile")).unwrap();
    for (variable, value) in [
        ("TOCSIN_PROFILE", home.join("tocsin/profile")),
        (
            if cfg!(windows) {
                "APPDATA"
            } else {
                "XDG_CONFIG_HOME"
            },
            home.clone(),
        ),
    ] {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tocsin"));
        command
            .args(["identities", "list"])
            .env_remove("TOCSIN_PROFILE")
            .env(variable, value)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let done = fake::done(command.spawn().unwrap()).await;
        assert_eq!(done.code, 0, "{variable}: {done:?}");
    }
}
