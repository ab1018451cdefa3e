//! `tocsin terminal` where it is no terminal itself: input is sent, output is made safe, the exit code is the shell's.

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tonic::Code;

use crate::assert_harmless;
use crate::fake::terminal::EXIT_CODE;
use crate::fake::{Fake, HANGS, Script};

const OPEN: [&str; 5] = ["terminal", "open", "lab-1", "--reason", "look"];

#[tokio::test]
async fn input_is_sent_output_comes_and_the_exit_code_is_the_shells() {
    let fake = Fake::start().await;
    // More than the window, so that it needs credit.
    let input = "0123456789abcdef\n".repeat(10_000);
    let done = fake.run_with_input(&OPEN, input.as_bytes()).await;
    assert_eq!(
        done.code,
        i32::try_from(EXIT_CODE).unwrap(),
        "{}",
        done.error
    );
    assert!(done.out.ends_with(&input));
    let call = &fake.calls()[0];
    assert!(
        call.contains("reason: \"look\"") && call.contains("term: \"dumb\""),
        "{call}"
    );
}

/// However full the pipe behind it is: whoever wants it to end gets that, and the terminal is closed.
#[cfg(unix)]
#[tokio::test]
async fn a_terminal_whose_output_nobody_reads_can_be_ended() {
    use nix::sys::signal::{Signal, kill};
    let fake = Fake::start().await;
    let mut child = fake
        .command(&OPEN)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // More than a pipe holds; it is taken as far as there is credit.
    let flood = tokio::spawn(async move {
        let _ended = stdin.write_all(&[b'x'; 1 << 20]).await;
        stdin
    });
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    let ended = tokio::time::timeout(HANGS, child.wait()).await;
    assert!(ended.unwrap().unwrap().success());
    flood.abort();
}

#[tokio::test]
async fn hostile_output_is_harmless_unless_it_is_asked_for_raw() {
    let fake = Fake::start().await;
    let done = fake.run_with_input(&OPEN, b"x\n").await;
    assert_harmless(&done.out);
    assert!(!done.out.contains("title"), "{}", done.out);
    let raw = fake
        .run_with_input(&[&OPEN[..], &["--raw"]].concat(), b"x\n")
        .await;
    assert!(raw.out.contains("\x1b]0;title\x07"));
    assert_harmless(&raw.error);
}

#[tokio::test]
async fn a_reason_must_be_given() {
    let fake = Fake::start().await;
    assert_eq!(fake.run(&["terminal", "open", "lab-1"]).await.code, 64);
    let empty = ["terminal", "open", "lab-1", "--reason", " "];
    assert_eq!(fake.run(&empty).await.code, 64);
    assert!(fake.calls().is_empty());
}

#[tokio::test]
async fn each_refusal_has_its_exit_code() {
    for (code, exit) in [
        (Code::PermissionDenied, 77),
        (Code::DeadlineExceeded, 69),
        (Code::NotFound, 1),
        (Code::FailedPrecondition, 1),
    ] {
        let script = Script {
            refuse: Some((code, "no".into())),
            ..Script::default()
        };
        let fake = Fake::start_with(script).await;
        assert_eq!(fake.run_with_input(&OPEN, b"").await.code, exit, "{code:?}");
    }
}

#[tokio::test]
async fn the_open_ones_are_listed_and_one_is_killed() {
    let fake = Fake::start().await;
    let rows = fake.run(&["terminal", "list", "-o", "json"]).await.json();
    let row = &rows[0];
    for field in [
        "id", "endpoint", "hostname", "analyst", "reason", "incident", "user", "shell",
    ] {
        assert!(row[field].is_string(), "{field} in {row}");
    }
    assert_eq!(row["state"], "open");
    assert_eq!(row["open_time"], "2026-11-24T02:10:00.000Z");
    assert_eq!(row["end"], Value::Null);
    let table = fake.run(&["terminal", "list"]).await;
    assert_harmless(&table.out);
    let kill = fake.run(&["terminal", "kill", "0000", "-o", "json"]).await;
    assert_eq!((kill.code, &kill.json()["end"]), (0, &"killed".into()));
}

#[tokio::test]
async fn a_watcher_sees_it_made_safe() {
    let fake = Fake::start().await;
    let done = fake.run(&["terminal", "watch", "0000"]).await;
    assert_eq!(done.code, 0, "{}", done.error);
    assert_eq!(done.out, "seen\n");
    assert!(
        done.error.contains("17 bytes were missed"),
        "{}",
        done.error
    );
    assert_harmless(&done.error.replace("\r\n", "\n"));
}

#[tokio::test]
async fn a_recording_is_played_made_safe_searched_and_written() {
    let fake = Fake::start().await;
    let play = ["terminal", "play", "0707"];
    let done = fake.run(&play).await;
    assert_eq!(
        (done.code, done.out.as_str()),
        (0, "one\ntwo\n"),
        "{}",
        done.error
    );
    assert_harmless(&done.error);
    assert!(
        done.error.contains("the recording is whole"),
        "{}",
        done.error
    );
    assert!(done.error.contains(&"ab".repeat(32)), "{}", done.error);

    let done = fake.run(&[&play[..], &["--find", "TWO"]].concat()).await;
    assert_eq!((done.code, done.out.as_str()), (0, "     2.50 s  two\n"));
    let done = fake.run(&[&play[..], &["--find", "none"]].concat()).await;
    assert_eq!((done.code, done.out.as_str()), (1, ""));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.cast");
    let out = [&play[..], &["--out", file.to_str().unwrap()]].concat();
    assert_eq!(fake.run(&out).await.code, 0);
    let cast = std::fs::read_to_string(&file).unwrap();
    assert_eq!(cast.lines().count(), 4);
    let again = fake.run(&out).await;
    assert_eq!(again.code, 1, "it is not written over");
    assert!(again.error.contains("a.cast"), "{}", again.error);
}

#[tokio::test]
async fn a_recording_that_is_not_whole_says_so() {
    let fake = Fake::start().await;
    let done = fake.run(&["terminal", "play", "torn"]).await;
    assert_eq!(done.code, 1);
    assert!(done.out.contains("two"), "what there is of it is shown");
    assert!(
        done.error.contains("NOT WHOLE: it was changed"),
        "{}",
        done.error
    );
    assert_harmless(&done.error);
    let listed = fake
        .run(&["terminal", "list", "--recorded", "-o", "json"])
        .await;
    let rows: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(rows[0]["stored_bytes"], 2048);
}
