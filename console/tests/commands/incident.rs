//! An incident's page, work on it, watching, and where things stand.

use crate::fake::story::{self, id};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::assert_harmless;
use crate::fake::{self, Fake, HANGS, Script};

#[tokio::test]
async fn the_page_of_an_incident_answers_in_order() {
    let fake = Fake::start().await;
    let done = fake.run(&["incidents", "show", "000000aa"]).await;
    assert_harmless(&done.out);
    let mut rest = done.out.as_str();
    for part in [
        "17 prompts in 40 minutes, one approved",
        "(evil\\x1b]0;owned\\x07\\u{9b}2J\\u{202e}txt\\u{200b}\\r\\n)",
        "critical, score 91",
        "an attack is very likely",
        "Do first      Block the sign-in, then revoke sessions",
        "new, no verdict, unassigned",
        "Dana Example: okta dana@example.com",
        "2026-11-24 02:10:00 to 2026-11-24 02:50:00 UTC (40 min)",
        "Why: what speaks for an attack",
        "+3.5 reports: the person denied seven",
        "+2.2 prompts: 17 prompts in 40 minutes",
        "What speaks against it",
        "-0.5 origin: the address was used before",
        "no network sensor (since 2026-11-24 02:10:00)",
        "feed okta-file: its newest record is 3 min old",
        "1. Block the sign-in: the session is live",
        "2. Revoke sessions",
        "Attempts (3)",
        "02:11:00  unanswered",
        "203.0.113.7 Lagos, NG",
        "unknown (3 attempts): no endpoint sees sign-in traffic yet",
        "factor changed",
        "T1556.006 (v18)",
        "kim: called Dana",
        "tocsin: opened",
        "origin_kind, judged: no figures are published",
    ] {
        let at = rest.find(part);
        let at =
            at.unwrap_or_else(|| panic!("'{part}' is missing or out of order in\n{}", done.out));
        rest = &rest[at..];
    }
}

#[tokio::test]
async fn show_prints_one_object() {
    let fake = Fake::start().await;
    let incident = fake
        .run(&["incidents", "show", "000000aa", "-o", "json"])
        .await
        .json();
    assert_eq!(incident["attempts"][2]["result"], "approved");
    assert_eq!(incident["attempts"][0]["provenance"]["verdict"], "unknown");
    assert_eq!(
        incident["attempts"][0]["provenance"]["endpoint"],
        Value::Null
    );
    assert_eq!(incident["gaps"][0]["until"], Value::Null);
    let lines = fake
        .run(&["incidents", "show", "000000aa", "-o", "jsonl"])
        .await
        .rows();
    assert_eq!(lines, [incident]);
}

#[tokio::test]
async fn work_on_an_incident_reaches_the_server() {
    let fake = Fake::start().await;
    for (arguments, said, call) in [
        (
            &["state", "aa", "in_progress"][..],
            "in progress",
            "state: InProgress",
        ),
        (
            &["verdict", "aa", "true_positive"],
            "true positive",
            "verdict: TruePositive",
        ),
        (
            &["assign", "aa", "kim"],
            "assigned to kim",
            "assignee: \"kim\"",
        ),
        (&["assign", "aa"], "assigned to dana", "assignee: \"dana\""),
        (&["assign", "aa", "--none"], "unassigned", "assignee: \"\""),
        (
            &["note", "aa", "called", "Dana"],
            "new",
            "text: \"called Dana\"",
        ),
    ] {
        let done = fake.run(&[&["incidents"], arguments].concat()).await;
        assert_eq!(done.code, 0, "{done:?}");
        assert!(done.out.contains(said), "{said} in {done:?}");
        let last = fake.calls().pop().unwrap();
        assert!(
            last.contains("id: \"aa\"") && last.contains(call),
            "{call} in {last}"
        );
    }
    let done = fake
        .run_with_input(&["incidents", "note", "aa", "-"], b"two\nlines\n")
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        fake.calls()
            .pop()
            .unwrap()
            .contains("text: \"two\\nlines\"")
    );
}

#[cfg(unix)]
#[tokio::test]
async fn watching_outlives_a_lost_connection_and_repeats_nothing() {
    let mut changed = story::summary(1);
    changed.score = 92;
    let fake = Fake::start_with(Script {
        watches: vec![
            vec![story::summary(0), story::summary(1)],
            vec![story::summary(0), changed, story::summary(2)],
        ],
        ..Script::default()
    })
    .await;
    let arguments = [
        "incidents",
        "watch",
        "--severity-min",
        "high",
        "-o",
        "jsonl",
    ];
    let mut child = fake.command(&arguments).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut scores = Vec::new();
    for _row in 0..4 {
        let line = tokio::time::timeout(HANGS, lines.next_line()).await;
        let line = line.expect("a line comes").unwrap().unwrap();
        let row: Value = serde_json::from_str(&line).unwrap();
        scores.push((
            row["id"].as_str().unwrap().to_owned(),
            row["score"].as_u64().unwrap(),
        ));
    }
    assert_eq!(scores, [(id(0), 91), (id(1), 91), (id(1), 92), (id(2), 91)]);
    assert!(fake.calls()[0].contains("severity_min: High"));
    let pid = nix::unistd::Pid::from_raw(child.id().unwrap().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let done = fake::done(child).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.error.contains("restarting"), "{done:?}");
}

#[tokio::test]
async fn without_a_command_it_says_where_things_stand() {
    let fake = Fake::start().await;
    let done = fake.run(&[]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_harmless(&done.out);
    for part in [
        &format!("Tocsin at {}, version 0.1.0", fake.address()),
        "dana (admin)",
        "open: 5 critical",
        "5 online",
        "tocsin incidents show 00000000",
    ] {
        assert!(done.out.contains(part), "{part} in {}", done.out);
    }
    let status = fake.run(&["-o", "json"]).await.json();
    assert_eq!(status["open_incidents"][0]["word"], "critical");
    assert_eq!(status["open_incidents"][0]["count"], 5);
    assert_eq!(status["server"]["analyst"], "dana");
}

/// Arguments, and the call that they become.
type Asked<'a> = (&'a [&'a str], &'a str);

async fn reach_the_server(asked: &[Asked<'_>]) {
    let fake = Fake::start().await;
    for (arguments, call) in asked {
        let done = fake.run(arguments).await;
        assert_eq!(done.code, 0, "{done:?}");
        assert_harmless(&done.out);
        let last = fake.calls().pop().unwrap();
        assert!(last.contains(call), "{call} in {last}");
    }
}

#[tokio::test]
async fn work_on_endpoints_reaches_the_server() {
    reach_the_server(&[
        (
            &[
                "endpoints",
                "tag",
                "lab",
                "a",
                "b",
                "--remove",
                "c",
                "--add",
                "d",
            ][..],
            r#"TagEndpointRequest { id: "lab", add: ["a", "b", "d"], remove: ["c"] }"#,
        ),
        (
            &["endpoints", "revoke", "lab", "--reason", "stolen"],
            r#"RevokeEndpointRequest { id: "lab", reason: "stolen" }"#,
        ),
        (
            &["endpoints", "bind", "lab", "--provider", "okta", "--device", "guo1"],
            r#"BindDeviceRequest { endpoint: "lab", provider: "okta", device_id: "guo1", reason: "", r#move: false }"#,
        ),
        (
            &["endpoints", "unbind", "lab", "--provider", "okta", "--device", "guo1", "--reason", "sold"],
            r#"UnbindDeviceRequest { endpoint: "lab", provider: "okta", device_id: "guo1", reason: "sold" }"#,
        ),
        (
            &["endpoints", "show", "lab"],
            r#"GetEndpointRequest { id: "lab" }"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn work_on_identities_reaches_the_server() {
    reach_the_server(&[
        (
            &[
                "identities",
                "link",
                "dana",
                "--endpoint",
                "lab",
                "--user",
                "d",
                "--reason",
                "x",
            ],
            r#"LinkIdentityRequest { id: "dana", endpoint: "lab", user: "d", reason: "x", r#move: false }"#,
        ),
        (
            &[
                "identities",
                "link",
                "dana",
                "--endpoint",
                "lab",
                "--user",
                "d",
                "--move",
            ],
            r#"LinkIdentityRequest { id: "dana", endpoint: "lab", user: "d", reason: "", r#move: true }"#,
        ),
        (
            &[
                "identities",
                "unlink",
                "dana",
                "--endpoint",
                "lab",
                "--user",
                "d",
            ],
            r#"UnlinkIdentityRequest { id: "dana", endpoint: "lab", user: "d", reason: "" }"#,
        ),
        (
            &["identities", "show", "dana"],
            r#"GetIdentityRequest { id: "dana" }"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_report_is_written_in_the_form_that_the_name_says() {
    let fake = Fake::start().await;
    let path = fake.dir.path().join("report.html");
    let name = path.to_str().unwrap();
    let done = fake
        .run(&["incidents", "export", "aaaa", "--out", name])
        .await;
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.contains("<svg"),
        "{page}"
    );
    assert_harmless(&page);
    let done = fake
        .run(&["incidents", "export", "aaaa", "--format", "md"])
        .await;
    assert!(
        done.out.starts_with("# 17 prompts in 40 minutes"),
        "{done:?}"
    );
    assert_harmless(&done.out);
    let done = fake
        .run(&["incidents", "export", "aaaa", "--format", "json"])
        .await;
    assert_eq!(done.json()["severity"], "critical");
    let nowhere = fake.dir.path().join("no/report.md");
    let name = nowhere.to_str().unwrap();
    let done = fake
        .run(&["incidents", "export", "aaaa", "--out", name])
        .await;
    assert_eq!(
        (done.code, done.error.contains("report.md")),
        (1, true),
        "{done:?}"
    );
}

#[tokio::test]
async fn there_is_a_man_page_for_each_command() {
    let fake = Fake::start().await;
    let dir = fake.dir.path().join("man");
    let done = fake.run(&["man", dir.to_str().unwrap()]).await;
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
    for (name, said) in [
        ("tocsin.1", "Exit codes"),
        ("tocsin-incidents-export.1", "HTML page with the time axis"),
        ("tocsin-events-search.1", "RFC 3339"),
    ] {
        let page = std::fs::read_to_string(dir.join(name)).unwrap();
        assert!(page.contains(said), "{page}");
    }
}
