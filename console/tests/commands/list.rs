//! Lists: every page, every form, filters, widths, and streams that have no end.

use crate::fake::story::{self, HOSTILE, id};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::assert_harmless;
use crate::fake::{self, Fake, HANGS, Script};

#[tokio::test]
async fn a_listing_is_an_array_of_all_pages() {
    let fake = Fake::start().await;
    let rows = fake.run(&["incidents", "list", "-o", "json"]).await.json();
    let ids: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["id"])
        .collect();
    assert_eq!(ids, [&id(0), &id(1), &id(2), &id(3), &id(4)]);
    assert_eq!(rows[0]["severity"], "critical");
    assert_eq!(rows[0]["first_event_time"], "2026-11-24T02:10:00.000Z");
    assert_eq!(rows[0]["verdict"], Value::Null);
    assert_eq!(rows[0]["subject"]["accounts"][0]["provider"], "okta");
    assert_eq!(fake.calls().len(), 3, "5 rows in pages of 2");
}

#[tokio::test]
async fn every_listing_gives_rows_with_an_id_in_every_form() {
    let fake = Fake::start().await;
    for (command, rows) in [
        (&["incidents", "list"][..], 5),
        (&["endpoints", "list"], 5),
        (&["endpoints", "processes", "lab-1"], 5),
        (&["identities", "list"], 1),
        (&["identities", "list", "--unmapped"], 5),
        (&["identities", "list", "--suggestions"], 5),
        (&["events", "search"], 300),
        (&["feeds", "list"], 1),
        (&["feeds", "status"], 1),
        (&["releases", "list"], 1),
        (&["rollouts", "list"], 1),
        (&["audit", "list"], 5),
    ] {
        let run = async |form| fake.run(&[command, &["-o", form]].concat()).await;
        let array = run("json").await;
        assert_harmless(&array.out);
        assert_eq!(array.json().as_array().unwrap().len(), rows, "{command:?}");
        let lines = run("jsonl").await.rows();
        assert!(lines.iter().all(|row| row["id"].is_string()), "{command:?}");
        assert_eq!(Value::from(lines), array.json(), "{command:?}");
        let table = run("table").await;
        assert_eq!(table.code, 0, "{command:?}");
        assert_harmless(&table.out);
        // Titles and rows; or one line that says that there is nothing.
        assert_eq!(table.out.lines().count(), rows + 1, "{command:?}");
    }
}

#[tokio::test]
async fn hostile_text_is_the_same_text_in_json() {
    let fake = Fake::start().await;
    let done = fake.run(&["endpoints", "show", "lab", "-o", "json"]).await;
    assert_harmless(&done.out);
    assert_eq!(done.json()["hostname"], format!("lab-225{HOSTILE}"));
}

#[tokio::test]
async fn filters_reach_the_server() {
    let fake = Fake::start().await;
    let arguments = [
        "incidents",
        "list",
        "--severity-min",
        "HIGH",
        "--state",
        "new",
        "--state",
        "in-progress",
        "--assignee",
        "kim",
        "--identity",
        "dana@example.com",
    ];
    assert_eq!(fake.run(&arguments).await.code, 0);
    let call = fake.calls().remove(0);
    for part in [
        "severity_min: High",
        "states: [New, InProgress]",
        "assignee: \"kim\"",
        "identity: \"dana@example.com\"",
    ] {
        assert!(call.contains(part), "{part} in {call}");
    }
    let arguments = [
        "events",
        "search",
        "--since",
        "2026-11-24",
        "--until",
        "2026-11-24",
        "--endpoint",
        "lab",
        "--user",
        "dana",
        "--kind",
        "process",
        "--text",
        "curl",
        "--limit",
        "7",
        "--ascending",
        "-o",
        "jsonl",
    ];
    assert_eq!(fake.run(&arguments).await.rows().len(), 7);
    let call = fake.calls().pop().unwrap();
    let day_ms = story::NIGHT_MS - 130 * 60_000;
    for part in [
        format!("since_time_ms: {day_ms}"),
        format!("until_time_ms: {}", day_ms + 86_400_000 - 1),
        "endpoint: \"lab\", user: \"dana\", kind: \"process\", text: \"curl\", limit: 7".into(),
        "ascending: true".into(),
    ] {
        assert!(call.contains(&part), "{part} in {call}");
    }
}

#[tokio::test]
async fn events_come_as_they_are_found_and_a_reader_may_leave() {
    // Far more than fits into any memory, if anything kept it.
    let fake = Fake::start_with(Script {
        event_batches: u64::MAX / 1000,
        ..Script::default()
    })
    .await;
    for form in ["json", "jsonl"] {
        let mut child = fake
            .command(&["events", "search", "-o", form])
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for n in 0..3000 {
            let line = tokio::time::timeout(HANGS, lines.next_line()).await;
            let line = line.expect("a line comes").unwrap().unwrap();
            let row = line.trim_end_matches(',');
            if row != "[" {
                let row: Value = serde_json::from_str(row).unwrap();
                assert!(row["sequence"].as_u64().unwrap() > n / 2);
            }
        }
        drop(lines);
        let done = fake::done(child).await;
        assert_eq!((done.code, done.error.as_str()), (0, ""), "{form}");
    }
}

#[tokio::test]
async fn a_table_of_events_says_when_there_are_more() {
    let fake = Fake::start_with(Script {
        event_batches: 20,
        ..Script::default()
    })
    .await;
    let done = fake.run(&["events", "search"]).await;
    assert_eq!(done.out.lines().count(), 1001);
    assert!(done.error.contains("--limit 0 for all"), "{}", done.error);
    let done = fake.run(&["events", "search", "--limit", "0"]).await;
    assert_eq!(done.out.lines().count(), 2001);
    assert_eq!(done.error, "");
}

#[tokio::test]
async fn a_narrow_terminal_gets_a_narrow_table() {
    let fake = Fake::start().await;
    for columns in ["80", "120"] {
        let mut command = fake.command(&["incidents", "list"]);
        let done = fake::done(command.env("COLUMNS", columns).spawn().unwrap()).await;
        let widest = done.out.lines().map(|line| line.chars().count()).max();
        assert!(widest <= columns.parse().ok(), "{}", done.out);
        assert!(done.out.contains("00000003  critical"), "{}", done.out);
    }
    // Nobody says how wide: nothing is cut.
    let done = fake.run(&["incidents", "list"]).await;
    assert!(done.out.contains(&id(3)), "{}", done.out);
}

#[cfg(unix)]
#[tokio::test]
async fn a_watched_list_is_told_once_in_lines_until_it_is_interrupted() {
    let fake = Fake::start().await;
    for (command, rows) in [
        (&["incidents", "list"][..], 5),
        (&["endpoints", "list"], 5),
        (&["identities", "list", "--unmapped"], 5),
        (&["events", "search", "--since", "24h"], 300),
        (&["audit", "list"], 5),
    ] {
        let arguments = [command, &["--watch", "-o", "json"]].concat();
        let mut child = fake.command(&arguments).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut ids = Vec::new();
        for _row in 0..rows {
            let line = tokio::time::timeout(HANGS, lines.next_line()).await;
            let line = line.expect("a line comes").unwrap().unwrap();
            let row: Value = serde_json::from_str(&line).unwrap();
            ids.push(row["id"].as_str().unwrap().to_owned());
        }
        let before = fake.calls().len();
        tokio::time::timeout(HANGS, async {
            while fake.calls().len() == before {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("the server is asked again");
        let pid = nix::unistd::Pid::from_raw(child.id().unwrap().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        let more = tokio::time::timeout(HANGS, lines.next_line()).await;
        assert_eq!(more.unwrap().unwrap(), None, "nothing has changed");
        let done = fake::done(child).await;
        assert_eq!((done.code, done.error.as_str()), (0, ""), "{command:?}");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), rows, "{command:?}");
    }
}
