//! People: accounts of endpoints are imported, suggested, linked and unlinked, and incidents follow.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tocsin_proto::agent::v1::UploadEventsRequest;
use tocsin_proto::batch;
use tocsin_proto::telemetry::v1::event::Body;
use tocsin_proto::telemetry::v1::{Event, EventBatch, Session, SessionActivity, User};
use tocsin_tests::console::{Console, Done};
use tocsin_tests::endpoint::{self, Enrolled, fresh_run, now_ms};
use tocsin_tests::okta::{Answer, Engine, Log, Origin, Person};
use tocsin_tests::sandbox::{Sandbox, flow};
use tocsin_tests::server::Server;
use tocsin_tests::wait::eventually;

use crate::incident::{END_MS, import, the_incident};
use crate::{LIMIT, rows, runtime, text};

/// Enrols an endpoint, called `simulated` as all of them call themselves, that has a session of each account: name and uid.
fn used_by(server: &Server, hostname: &str, accounts: &[(&str, &str)]) -> Result<Enrolled> {
    let address = server.address().to_string();
    runtime()?.block_on(async {
        let endpoint = endpoint::enroll(&address, &server.token(1)?, hostname).await?;
        let run = fresh_run();
        let session = endpoint.session(&address, run, &Default::default()).await?;
        session
            .upload()
            .await?
            .commit(sessions(run, accounts)?)
            .await?;
        anyhow::Ok(endpoint)
    })
}

fn sessions(run: [u8; 16], accounts: &[(&str, &str)]) -> Result<UploadEventsRequest> {
    let event = |(at, (name, uid)): (usize, &(&str, &str))| Event {
        sequence: at as u64 + 1,
        event_time_ms: now_ms(),
        body: Some(Body::Session(Session {
            activity: SessionActivity::Opened.into(),
            session_id: format!("c{at}"),
            class: "user".to_owned(),
            user: Some(User {
                uid: (*uid).to_owned(),
                name: (*name).to_owned(),
            }),
            ..Session::default()
        })),
    };
    let events: Vec<Event> = accounts.iter().enumerate().map(event).collect();
    Ok(UploadEventsRequest {
        run_id: run.to_vec(),
        first_sequence: 1,
        last_sequence: events.len() as u64,
        batch: batch::pack(&EventBatch {
            boot_id: vec![7; 16],
            events,
        })?,
    })
}

/// A month of work, then prompts at night that nobody approved: how severe that is depends on the account.
fn prompted() -> Vec<Value> {
    let dana = Person::new("dana@example.com", "Dana Reyes");
    let mut log = Log::new(Engine::Identity, "prompted");
    log.history(&dana, &Origin::office(7), 28, END_MS);
    for n in 0..8 {
        let time_ms = END_MS + 3_600_000 + n * 120_000;
        log.sign_in(&dana, &Origin::hoster(66), time_ms, Answer::Denied);
    }
    log.records()
}

fn import_people(sandbox: &Sandbox, console: &Console<'_>, csv: &str) -> Result<Done> {
    let file = sandbox.file("people.csv", csv)?;
    let file = file.to_str().context("a path in UTF-8")?;
    console.run(&["identities", "import", file, "-o", "json"])
}

fn json(done: &Done) -> Result<Value> {
    serde_json::from_slice(&done.out).with_context(|| done.error_text())
}

fn gap_told(incident: &Value) -> bool {
    let gaps = incident["gaps"].as_array();
    gaps.is_some_and(|gaps| {
        gaps.iter().any(|gap| {
            let what = gap["what"].as_str().unwrap_or_default();
            what.contains("no linked endpoint")
        })
    })
}

/// What must not depend on the order in which things came.
fn essence(incident: &Value) -> Value {
    let mut seen = incident.clone();
    if let Some(fields) = seen.as_object_mut() {
        for acted in [
            "opened_time",
            "updated_time",
            "state_time",
            "activity",
            "freshness",
        ] {
            fields.remove(acted);
        }
    }
    seen
}

const CSV: &str = "\u{feff}mail,uid,sam_account_name,privilege,name\r\n\
    Dana@Example.com,1000,dana,yes,\"Reyes, Dana\"\r\n";

#[test]
fn an_import_links_raises_severity_and_an_unlink_is_final() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let endpoint = used_by(&server, "simulated", &[("dana", "1000")])?;
        import(sandbox, &console, &prompted())?;
        let before = the_incident(&console, "medium")?;
        ensure!(gap_told(&before), "{before:#}");

        let done = import_people(sandbox, &console, CSV)?;
        done.succeeded(&["identities", "import"])?;
        let summary = json(&done)?;
        ensure!(
            summary["changed"] == 1 && summary["links_added"] == 1,
            "{summary}"
        );
        let after = the_incident(&console, "medium")?;
        ensure!(after["id"] == before["id"], "{after:#}");
        ensure!(
            after["endpoints"][0]["id"] == endpoint.id.as_str() && !gap_told(&after),
            "{after:#}"
        );
        let severities = (text(&before, "severity")?, text(&after, "severity")?);
        ensure!(
            matches!(severities, ("medium", "high") | ("high", "critical")),
            "{severities:?}"
        );
        let person = console.json(&["identities", "show", "dana@example.com"])?;
        let account = &person["local_accounts"][0];
        ensure!(
            account["source"] == "import" && account["confidence"] == "likely",
            "{person:#}"
        );
        ensure!(person["display_name"] == "Reyes, Dana", "{person:#}");
        ensure!(person["privileged_by"][0] == "import", "{person:#}");

        let again = json(&import_people(sandbox, &console, CSV)?)?;
        ensure!(again["changed"] == 0 && again["unchanged"] == 1, "{again}");
        ensure!(again["incidents_updated"] == 0, "{again}");

        let unlink = [
            "identities",
            "unlink",
            "dana@example.com",
            "--endpoint",
            "simulated",
            "--user",
        ];
        let person = console.json(&[&unlink[..], &["dana"]].concat())?;
        ensure!(rows(&person["local_accounts"])?.is_empty(), "{person:#}");
        let unlinked = the_incident(&console, "medium")?;
        ensure!(gap_told(&unlinked), "{unlinked:#}");
        ensure!(rows(&unlinked["endpoints"])?.is_empty(), "{unlinked:#}");
        let third = json(&import_people(sandbox, &console, CSV)?)?;
        ensure!(
            third["links_added"] == 0,
            "an analyst's word counts: {third}"
        );
        let missing = console.run(&[&unlink[..], &["dana"]].concat())?;
        missing.ended_with(1, &unlink)?;
        audited(&console)
    });
}

/// The imports are in the audit log with the hash of their file, before what they made.
fn audited(console: &Console<'_>) -> Result<()> {
    let log = console.rows(&["audit", "list"])?;
    let of = |action: &str| {
        let found = log.iter().filter(|row| row["action"] == action);
        found.cloned().collect::<Vec<Value>>()
    };
    let imports = of("identities.import");
    ensure!(imports.len() == 3, "{imports:#?}");
    ensure!(
        text(&imports[0], "detail")?.contains("SHA-256"),
        "{imports:#?}"
    );
    ensure!(
        of("identities.link").len() == 1 && of("identities.unlink").len() == 1,
        "{log:#?}"
    );
    Ok(())
}

#[test]
fn whatever_comes_first_the_incident_is_the_same() {
    let csv = "upn,mail,sid,uid,sam_account_name,privilege\n\
        dana@corp.example.com,dana@example.com,,1000,dana,yes\n";
    let outcome = |order: [usize; 3]| {
        let seen = std::sync::Mutex::new(Value::Null);
        flow(|sandbox| {
            let server = Server::start(sandbox)?;
            let console = server.admin();
            for step in order {
                match step {
                    0 => drop(used_by(&server, "simulated", &[("dana", "1000")])?),
                    1 => import(sandbox, &console, &prompted())?,
                    _ => import_people(sandbox, &console, csv)?.succeeded(&["import"])?,
                }
            }
            let incident = eventually("the account is linked", LIMIT, || {
                let incident = the_incident(&console, "medium")?;
                Ok((!rows(&incident["endpoints"])?.is_empty()).then_some(incident))
            })?;
            // Each server's endpoint has a key of its own.
            let id = text(&incident["endpoints"][0], "id")?;
            let told = essence(&incident).to_string().replace(id, "its endpoint");
            *seen.lock().unwrap() = serde_json::from_str(&told)?;
            Ok(())
        });
        seen.into_inner().unwrap()
    };
    let first = outcome([0, 1, 2]);
    for order in [[2, 1, 0], [1, 0, 2], [2, 0, 1]] {
        let other = outcome(order);
        assert_eq!(essence(&other), essence(&first), "{order:?}");
    }
}

#[test]
fn bad_rows_are_named_and_the_good_ones_count() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        used_by(&server, "simulated", &[("dana", "1000"), ("eli", "1001")])?;
        let csv = "mail,endpoint,uid,name\n\
            dana@example.com,simulated,1000,\"Dana\nReyes\"\n\
            nobody,simulated,1001,\n\
            eli@example.com,lab-8,1001,\n\
            fay@example.com,simulated,1000,\n";
        let done = import_people(sandbox, &console, csv)?;
        done.ended_with(2, &["identities", "import"])?;
        let errors = done.error_text();
        for (line, reason) in [
            (4, "no full address"),
            (5, "lab-8"),
            (6, "linked to Dana Reyes"),
        ] {
            let named = errors
                .lines()
                .any(|said| said.starts_with(&format!("line {line}: ")) && said.contains(reason));
            ensure!(named, "line {line}: {reason} in {errors}");
        }
        let summary = json(&done)?;
        ensure!(
            summary["changed"] == 1 && summary["refused"] == 3,
            "{summary}"
        );
        let unknown = import_people(sandbox, &console, "mail,shoe_size\na@example.com,44\n")?;
        unknown.ended_with(64, &["identities", "import"])?;
        ensure!(
            unknown.error_text().contains("'shoe_size'"),
            "{}",
            unknown.error_text()
        );
        Ok(())
    });
}

#[test]
fn what_is_left_to_map_is_listed_suggested_and_linked() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let accounts = [("dana", "1000"), ("sshd", "74"), ("guest", "1002")];
        used_by(&server, "simulated", &accounts)?;
        import(sandbox, &console, &prompted())?;
        let queue = console.json(&["identities", "list", "--unmapped"])?;
        let kinds: Vec<_> = rows(&queue)?
            .iter()
            .map(|row| (text(row, "kind"), text(row, "user")))
            .map(|(kind, user)| Ok((kind?.to_owned(), user?.to_owned())))
            .collect::<Result<_>>()?;
        let expected = [
            ("local_account", "dana"),
            ("local_account", "guest"),
            ("identity", ""),
        ];
        let expected = expected.map(|(kind, user)| (kind.to_owned(), user.to_owned()));
        ensure!(kinds == expected, "{queue:#}");
        let suggestions = console.rows(&["identities", "list", "--suggestions"])?;
        ensure!(suggestions.len() == 1, "{suggestions:#?}");
        let one = &suggestions[0];
        ensure!(
            one["confidence"] == "medium" && one["user"] == "dana",
            "{one:#}"
        );
        ensure!(text(one, "reason")?.contains("dana@example.com"), "{one:#}");

        let accept: Vec<&str> = text(one, "next_step")?.split(' ').skip(1).collect();
        console.run(&accept)?.succeeded(&accept)?;
        let queue = console.json(&["identities", "list", "--unmapped"])?;
        ensure!(
            rows(&queue)?.len() == 1 && queue[0]["user"] == "guest",
            "{queue:#}"
        );
        taken_over(&console)
    });
}

/// An account of somebody goes to another only where that is said, and one that was never seen is told.
fn taken_over(console: &Console<'_>) -> Result<()> {
    let mut log = Log::new(Engine::Identity, "other");
    let eli = Person::new("eli@example.com", "Eli");
    log.sign_in(&eli, &Origin::office(8), END_MS, Answer::Approved);
    let link = |user: &'static str| {
        [
            "identities",
            "link",
            "eli@example.com",
            "--endpoint",
            "simulated",
            "--user",
            user,
        ]
    };
    let file = std::env::temp_dir().join(format!("tocsin-people-{}.jsonl", std::process::id()));
    std::fs::write(&file, tocsin_tests::okta::lines(&log.records()))?;
    let imported = console.import_okta(&file);
    std::fs::remove_file(&file)?;
    imported?.succeeded(&["feeds", "import"])?;
    let refused = console.run(&link("dana"))?;
    refused.ended_with(1, &link("dana"))?;
    ensure!(
        refused.error_text().contains("Dana Reyes"),
        "{}",
        refused.error_text()
    );
    let moved = console.json(&[&link("dana")[..], &["--move"]].concat())?;
    ensure!(moved["local_accounts"][0]["user"] == "dana", "{moved:#}");
    let dana = console.json(&["identities", "show", "dana@example.com"])?;
    ensure!(rows(&dana["local_accounts"])?.is_empty(), "{dana:#}");
    let never = console.run(&[&link("dnaa")[..], &["-o", "json"]].concat())?;
    never.succeeded(&link("dnaa"))?;
    ensure!(
        never.error_text().contains("no event"),
        "{}",
        never.error_text()
    );
    let never = json(&never)?;
    let accounts = rows(&never["local_accounts"])?.iter();
    let told = accounts.filter(|one| one["never_seen"] == true).count();
    ensure!(told == 1, "{never:#}");
    Ok(())
}
