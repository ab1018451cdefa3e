//! The operator's commands: answers, exit codes, what they leave behind.

use std::process::Output;

use crate::server::{Server, program};

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn what_is_no_command_is_a_usage_error() {
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["init"],
        &["run"],
        &[
            "analyst", "add", "dana", "--data", "x", "--out", "y", "--role", "king",
        ],
        &["token", "create", "--data", "x", "--uses", "0"],
        &["token", "create", "--data", "x", "--ttl", "soon"],
        &["init", "--data", "/nowhere/x", "--name", "host:7443"],
    ] {
        let output = program(arguments);
        assert_eq!(code(&output), 64, "{arguments:?}: {}", said(&output));
        assert!(output.stdout.is_empty());
    }
    assert_eq!(code(&program(&["--help"])), 0);
    assert_eq!(code(&program(&["--version"])), 0);
}

#[test]
fn init_does_not_touch_what_is_there() {
    let server = Server::init();
    let before = server.ca();
    let again = program(&["init", "--data", server.text(), "--name", "x"]);
    assert_eq!(code(&again), 78);
    assert!(said(&again).contains("not empty"), "{}", said(&again));
    assert_eq!(server.ca(), before);
}

#[cfg(unix)]
#[test]
fn what_init_makes_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::init();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&server.data()), 0o700);
    for file in std::fs::read_dir(server.data()).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn what_is_not_supported_yet_says_so() {
    let server = Server::init();
    for (option, value) in [
        ("--database", "postgres://u:secret@h/d"),
        ("--bus", "nats://h"),
    ] {
        let output = program(&["run", "--data", server.text(), option, value]);
        assert_eq!(code(&output), 78);
        assert!(said(&output).contains("not supported yet"));
        assert!(!said(&output).contains("secret"));
    }
}

#[test]
fn two_servers_do_not_share_a_directory() {
    let server = Server::start();
    let output = program(&["run", "--data", server.text(), "--listen", "127.0.0.1:0"]);
    assert_eq!(code(&output), 1);
    assert!(said(&output).contains("another tocsin-server runs"));
}

#[cfg(unix)]
#[test]
fn a_server_whose_log_nobody_reads_stops_all_the_same() {
    let mut server = Server::start_unread();
    assert!(server.stop());
}

#[test]
fn a_token_is_alone_on_standard_output() {
    let server = Server::init();
    let first = server.command(&["token", "create", "--uses", "2", "--ring", "early"]);
    assert_eq!(first.lines().count(), 1);
    assert!(first.starts_with("tocsin1."));
    assert_ne!(first, server.command(&["token", "create"]));
    let root = server.beside("root.json");
    std::fs::write(&root, "root").unwrap();
    let with_root = server.command(&["token", "create", "--update-root", root.to_str().unwrap()]);
    let token: tocsin_proto::token::EnrollmentToken = with_root.parse().unwrap();
    assert!(token.update_root.is_some());
}

#[test]
fn a_profile_is_not_overwritten_by_a_new_analyst() {
    let server = Server::init();
    let out = server.beside("dana.profile").display().to_string();
    let add = |name| {
        let data = server.text();
        program(&[
            "analyst", "add", name, "--role", "analyst", "--out", &out, "--data", data,
        ])
    };
    assert_eq!(code(&add("dana")), 0);
    let before = std::fs::read(&out).unwrap();
    assert_eq!(code(&add("eve")), 64);
    assert_eq!(std::fs::read(&out).unwrap(), before);
    let list = server.command(&["analyst", "list"]);
    assert!(list.contains("dana") && !list.contains("eve"), "{list}");
    let twice = program(&[
        "analyst",
        "add",
        "dana",
        "--role",
        "viewer",
        "--data",
        server.text(),
        "--out",
        &server.beside("other.profile").display().to_string(),
    ]);
    assert_eq!(code(&twice), 1);
    assert!(said(&twice).contains("exists already"), "{}", said(&twice));
    assert!(!server.beside("other.profile").exists());
}

#[test]
fn the_configuration_is_printed_and_checked() {
    let server = Server::init();
    let printed = program(&["config", "print"]);
    assert_eq!(code(&printed), 0);
    assert!(
        String::from_utf8(printed.stdout)
            .unwrap()
            .contains("# How long after its end")
    );
    assert!(
        server
            .command(&["config", "print"])
            .contains("names = [\"localhost\", \"127.0.0.1\"]")
    );
    server.command(&["config", "check"]);
    let path = server.data().join("config.toml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("\n[certificates]\n");
    std::fs::write(&path, text).unwrap();
    let output = program(&["config", "check", "--data", server.text()]);
    assert_eq!(code(&output), 78);
    assert!(said(&output).contains("certificates"), "{}", said(&output));
}

#[test]
fn a_backup_of_a_running_server_restores_elsewhere() {
    let server = Server::start();
    let token = server.command(&["token", "create"]);
    let backup = server.beside("backup");
    let backup_text = backup.to_str().unwrap();
    let answer = server.command(&["backup", backup_text]);
    assert_eq!(answer.trim(), backup_text);
    let again = program(&["backup", "--data", server.text(), backup_text]);
    assert_eq!(code(&again), 1, "nothing is overwritten");

    let restored = server.beside("restored");
    let restored_text = restored.to_str().unwrap();
    let output = program(&["restore", "--data", restored_text, backup_text]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let doctor = program(&["doctor", "--data", restored_text, "--full"]);
    assert_eq!(code(&doctor), 0, "{doctor:?}");
    assert_eq!(
        std::fs::read(restored.join("ca.key")).unwrap(),
        std::fs::read(server.data().join("ca.key")).unwrap()
    );
    let onto = program(&["restore", "--data", server.text(), backup_text]);
    assert_eq!(code(&onto), 78, "nothing is restored over what is there");
    assert!(!token.is_empty());
}

#[test]
fn a_damaged_or_incomplete_backup_is_not_restored() {
    let server = Server::init();
    let backup = server.beside("backup");
    server.command(&["backup", backup.to_str().unwrap()]);
    let restored = server.beside("restored");
    let restore = || {
        let (to, from) = (restored.to_str().unwrap(), backup.to_str().unwrap());
        program(&["restore", "--data", to, from])
    };
    let key = std::fs::read_to_string(backup.join("ca.key")).unwrap();
    std::fs::write(backup.join("ca.key"), key.replace('A', "B")).unwrap();
    assert_eq!(code(&restore()), 1);
    std::fs::write(backup.join("ca.key"), key).unwrap();
    let manifest = std::fs::read(backup.join("manifest.toml")).unwrap();
    std::fs::remove_file(backup.join("manifest.toml")).unwrap();
    assert_eq!(code(&restore()), 1);
    assert!(!restored.exists(), "nothing is made of it");
    std::fs::write(backup.join("manifest.toml"), manifest).unwrap();
    assert_eq!(code(&restore()), 0);
}

#[test]
fn the_doctor_names_what_is_wrong_and_what_to_do() {
    let server = Server::init();
    server.command(&["doctor"]);
    std::fs::remove_file(server.data().join("ca.key")).unwrap();
    let output = program(&["doctor", "--data", server.text()]);
    assert_eq!(code(&output), 1);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("FAIL  CA: ca.key is missing"), "{text}");
    assert!(text.contains("restore it from a backup"), "{text}");
    let nowhere = program(&["doctor", "--data", "/nowhere"]);
    assert_eq!(code(&nowhere), 78);
    assert!(
        said(&nowhere).contains("tocsin-server init"),
        "{}",
        said(&nowhere)
    );
}
