//! Live feeds: a secret that comes from a file or standard input alone, and what is said of them.

use crate::assert_harmless;
use crate::fake::Fake;

fn secret() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "00token\n").unwrap();
    file
}

#[tokio::test]
async fn a_live_feed_is_added_with_a_secret_from_a_file() {
    let fake = Fake::start().await;
    let file = secret();
    let secret = file.path().to_str().unwrap();
    let command = [
        "feeds",
        "add",
        "--provider",
        "okta",
        "--url",
        "https://example.okta.com",
    ];
    let done = fake
        .run(&[&command[..], &["--secret-file", secret, "--since", "7d"]].concat())
        .await;
    assert_eq!(done.code, 0, "{}", done.error);
    assert!(
        done.out.contains("okta was added and has begun"),
        "{}",
        done.out
    );
    let calls = fake.calls();
    let call = calls.last().unwrap();
    assert!(call.contains("history_ms: 604800000"), "{call}");
    // Bytes of "00token", without the line break.
    assert!(call.contains("[48, 48, 116, 111, 107, 101, 110]"), "{call}");
    let done = fake
        .run(&[&command[..], &["--secret", "00token"]].concat())
        .await;
    assert_eq!(done.code, 64, "never on the command line");
    let missing = [&command[..], &["--secret-file", "/nonexistent/secret"]].concat();
    assert_eq!(fake.run(&missing).await.code, 1);
}

#[tokio::test]
async fn how_live_feeds_are_is_told_harmlessly() {
    let fake = Fake::start().await;
    let status = fake.run(&["feeds", "status"]).await;
    assert_eq!(status.code, 0, "{}", status.error);
    assert_harmless(&status.out);
    for part in ["okta", "failing", "2 h", "does not accept the token"] {
        assert!(status.out.contains(part), "{part}: {}", status.out);
    }
    let json = fake.run(&["feeds", "status", "-o", "json"]).await.json();
    assert_eq!(json[0]["behind_ms"], 7_200_000);
    assert_eq!(json[0]["next_try_time"], "2026-11-24T02:11:00.000Z");
    let none = fake.run(&["feeds", "status", "duo"]).await;
    assert_eq!(none.code, 64);
}

#[tokio::test]
async fn a_test_that_fails_says_why_and_what_to_do() {
    let fake = Fake::start().await;
    let done = fake.run(&["feeds", "test", "okta"]).await;
    assert_eq!(done.code, 1);
    assert_harmless(&done.out);
    assert!(done.out.contains("Advice"), "{}", done.out);
    let done = fake.run(&["feeds", "remove", "okta"]).await;
    assert_eq!(done.code, 0);
    assert!(done.out.contains("its records stay"), "{}", done.out);
}
