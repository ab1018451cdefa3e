//! Imports of files.

use std::process::Stdio;

use tocsin_proto::console::v1::{IdentitiesImported, ImportKind, ImportProblem, ImportSummary};
use tonic::Code;

use crate::fake::story::HOSTILE;
use crate::fake::{self, Fake, Script};
use crate::{assert_harmless, refusing};

#[tokio::test]
async fn a_file_is_imported_whole_and_its_bad_lines_are_named() {
    let summary = ImportSummary {
        records: 5,
        imported: 1,
        repeated: 1,
        unused: 1,
        malformed: 2,
        problems: vec![ImportProblem {
            line: 3,
            reason: format!("no 'uuid': {HOSTILE}"),
        }],
        ..ImportSummary::default()
    };
    let fake = Fake::start_with(Script {
        summary,
        ..Script::default()
    })
    .await;
    let content: Vec<u8> = (0..3_000_000_u32)
        .map(|n| n.to_le_bytes()[n as usize % 3])
        .collect();
    let file = fake.dir.path().join("log\u{202e}.json");
    std::fs::write(&file, &content).unwrap();
    let file = file.to_str().unwrap();
    let done = fake
        .run(&["feeds", "import", file, "--provider", "okta"])
        .await;
    assert_eq!(done.code, 2, "{done:?}");
    let mut errors = done.error.lines();
    assert!(
        errors
            .next()
            .unwrap()
            .starts_with("line 3: no 'uuid': evil\\x1b]0;")
    );
    assert_eq!(errors.next(), Some("and 1 more malformed"));
    assert!(
        done.out.contains("log\\u{202e}.json: 5 records read"),
        "{done:?}"
    );
    assert_harmless(&done.out);
    assert!(
        fake.script.lock().unwrap().imported == content,
        "bytes came in order"
    );
    let call = fake.calls().remove(0);
    assert!(
        call.contains("provider: \"okta\", file_name: \"log\\\\u{202e}.json\""),
        "{call}"
    );
}

#[tokio::test]
async fn an_import_without_bad_lines_ends_with_0_and_takes_standard_input() {
    let fake = Fake::start_with(Script {
        summary: ImportSummary {
            records: 2,
            repeated: 1,
            unused: 1,
            blank_lines: 4,
            ..ImportSummary::default()
        },
        ..Script::default()
    })
    .await;
    let arguments = ["feeds", "import", "-", "--provider", "okta", "-o", "json"];
    let done = fake.run_with_input(&arguments, b"[]").await;
    assert_eq!(done.json()["blank_lines"], 4);
    assert_eq!(done.json()["problems"], serde_json::json!([]));
    assert_eq!(done.error, "", "no progress where nobody watches");
    assert_eq!(fake.script.lock().unwrap().imported, b"[]");
}

#[tokio::test]
async fn a_file_that_is_not_there_ends_with_1_before_the_server_is_asked() {
    let fake = Fake::start().await;
    let folder = fake.dir.path().to_str().unwrap();
    for file in ["/nothing/here\x1b.json", folder] {
        let done = fake
            .run(&["feeds", "import", file, "--provider", "okta"])
            .await;
        assert_eq!(done.code, 1, "{done:?}");
        assert!(done.error.starts_with("tocsin: read "), "{done:?}");
        assert_harmless(&done.error);
    }
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_refused_import_ends_though_the_file_does_not() {
    let fake = refusing(Code::PermissionDenied, "viewers do not import").await;
    let mut command = fake.command(&["feeds", "import", "-", "--provider", "okta"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take();
    let done = fake::done(child).await;
    drop(stdin);
    assert_eq!(done.code, 77, "{done:?}");
}

#[tokio::test]
async fn a_file_of_people_is_sent_whole_and_its_bad_rows_are_named() {
    let people = IdentitiesImported {
        rows: 3,
        changed: 1,
        unchanged: 1,
        refused: 1,
        problems: vec![ImportProblem {
            line: 4,
            reason: format!("there is no endpoint '{HOSTILE}'"),
        }],
        ..IdentitiesImported::default()
    };
    let fake = Fake::start_with(Script {
        people,
        ..Script::default()
    })
    .await;
    let file = fake.dir.path().join("people.csv");
    let content = "mail,uid\r\ndana@example.com,1000\r\n";
    std::fs::write(&file, content).unwrap();
    let file = file.to_str().unwrap();
    let done = fake.run(&["identities", "import", file]).await;
    assert_eq!(done.code, 2, "{done:?}");
    assert!(
        done.error.starts_with("line 4: there is no endpoint"),
        "{done:?}"
    );
    assert!(done.out.contains("people.csv: 3 rows read"), "{done:?}");
    assert_harmless(&done.out);
    assert_harmless(&done.error);
    assert_eq!(fake.script.lock().unwrap().imported, content.as_bytes());
    let missing = fake.run(&["identities", "import", "/nowhere.csv"]).await;
    assert_eq!(missing.code, 1, "{missing:?}");
    assert_eq!(fake.calls().len(), 1, "nothing was asked");
}

#[tokio::test]
async fn a_file_of_device_ids_reaches_the_server_and_its_refused_rows_are_told() {
    let people = IdentitiesImported {
        rows: 3,
        changed: 2,
        refused: 1,
        problems: vec![ImportProblem {
            line: 4,
            reason: format!("there is no endpoint '{HOSTILE}'"),
        }],
        ..IdentitiesImported::default()
    };
    let fake = Fake::start_with(Script {
        people,
        ..Script::default()
    })
    .await;
    let file = fake.dir.path().join("devices.csv");
    let content = "endpoint,provider,device_id\r\nlab-7,okta,guo1\r\n";
    std::fs::write(&file, content).unwrap();
    let import = ["endpoints", "import-devices", file.to_str().unwrap()];
    let done = fake.run(&import).await;
    assert_eq!(done.code, 2, "{done:?}");
    assert!(
        done.error.starts_with("line 4: there is no endpoint"),
        "{done:?}"
    );
    assert!(done.out.contains("devices.csv: 3 rows read"), "{done:?}");
    assert!(done.out.contains("Bound         2"), "{done:?}");
    assert_harmless(&done.out);
    assert_harmless(&done.error);
    assert_eq!(fake.script.lock().unwrap().imported, content.as_bytes());

    std::fs::write(&file, vec![b'x'; (3 << 20) + 1]).unwrap();
    let done = fake.run(&import).await;
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.error.contains("split it"), "{done:?}");
    assert_eq!(fake.calls().len(), 1, "nothing was sent");
}

#[tokio::test]
async fn a_dry_run_tells_kinds_and_reasons() {
    let kind = |outcome: &str, what: &str, records| ImportKind {
        outcome: outcome.to_owned(),
        what: what.to_owned(),
        records,
    };
    let fake = Fake::start_with(Script {
        summary: ImportSummary {
            records: 4,
            imported: 2,
            unused: 1,
            kinds: vec![kind("used", "denied", 2), kind("unused", HOSTILE, 1)],
            ..ImportSummary::default()
        },
        ..Script::default()
    })
    .await;
    let arguments = ["feeds", "import", "-", "--provider", "okta", "--dry-run"];
    let done = fake.run_with_input(&arguments, b"[]").await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("nothing: a dry run"), "{done:?}");
    assert!(done.out.contains("denied"), "{done:?}");
    assert_harmless(&done.out);
    assert!(fake.calls().remove(0).contains("dry_run: true"));
}
