//! From prompts in a log to an incident that an analyst works on.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tocsin_tests::console::Console;
use tocsin_tests::endpoint::{self, fresh_run, now_ms};
use tocsin_tests::okta::{self, Answer, Engine, Log, Origin, Person};
use tocsin_tests::sandbox::{Sandbox, flow};
use tocsin_tests::server::Server;
use tocsin_tests::wait::eventually;
use tocsin_tests::workload::Workload;

use crate::{LIMIT, rows, runtime, text};

/// When the stories end: a fixed time, so that a failure can be read again.
pub(crate) const END_MS: i64 = 1_795_500_000_000;

/// A month of ordinary work, then the attack.
pub(crate) fn attacked(engine: Engine) -> (Person, Log) {
    let person = Person::new("dana@example.com", "Dana Scully");
    let mut log = Log::new(engine, "attacked");
    log.history(&person, &Origin::office(7), 28, END_MS);
    log.fatigue(&person, &Origin::hoster(66), END_MS);
    (person, log)
}

/// Imports records that are all good.
pub(crate) fn import(sandbox: &Sandbox, console: &Console<'_>, records: &[Value]) -> Result<()> {
    let file = sandbox.file("okta.jsonl", okta::lines(records))?;
    console.import_okta(&file)?.succeeded(&["feeds", "import"])
}

/// The only incident of this severity or above; in full.
pub(crate) fn the_incident(console: &Console<'_>, severity_min: &str) -> Result<Value> {
    let list = console.json(&["incidents", "list", "--severity-min", severity_min])?;
    ensure!(rows(&list)?.len() == 1, "one incident, not {list:#}");
    console.json(&["incidents", "show", text(&list[0], "id")?])
}

#[test]
fn seventeen_prompts_and_an_approval_are_one_critical_incident() {
    for engine in [Engine::Identity, Engine::Classic] {
        flow(|sandbox| {
            let server = Server::start(sandbox)?;
            let (person, log) = attacked(engine);
            import(sandbox, &server.admin(), &log.records())?;
            let incident = the_incident(&server.admin(), "high")?;
            ensure!(
                incident["severity"] == "critical",
                "{engine:?}: {incident:#}"
            );
            ensure!(incident["state"] == "new", "{incident:#}");
            ensure!(incident["subject"]["kind"] == "person", "{incident:#}");
            let account = &incident["subject"]["accounts"][0];
            ensure!(account["login"] == person.login.as_str(), "{incident:#}");
            let attempts = rows(&incident["attempts"])?;
            let hostile = |result: &str| {
                attempts
                    .iter()
                    .filter(|attempt| attempt["source_ip"] == "203.0.113.66")
                    .filter(|attempt| attempt["result"] == result)
                    .count()
            };
            let results = ["denied", "unanswered", "approved"].map(hostile);
            ensure!(
                results == [7, 9, 1],
                "{engine:?}: {results:?} in {incident:#}"
            );
            stages(&incident, &["prompting", "approved", "factor_changed"])?;
            unknown_provenance(&incident)
        });
    }
}

fn stages(incident: &Value, expected: &[&str]) -> Result<()> {
    let stages = rows(&incident["stages"])?;
    for name in expected {
        let stage = stages.iter().find(|stage| stage["name"] == *name);
        let stage = stage.with_context(|| format!("stage {name} in {stages:#?}"))?;
        ensure!(text(stage, "technique")?.starts_with('T'), "{stage}");
    }
    Ok(())
}

/// Without a linked endpoint nothing can be said about where an attempt came from, and that is said.
fn unknown_provenance(incident: &Value) -> Result<()> {
    for attempt in rows(&incident["attempts"])? {
        let provenance = &attempt["provenance"];
        ensure!(provenance["verdict"] == "unknown", "{attempt:#}");
        ensure!(!rows(&provenance["reasons"])?.is_empty(), "{attempt:#}");
    }
    let gaps = rows(&incident["gaps"])?;
    let told = gaps
        .iter()
        .any(|gap| text(gap, "what").is_ok_and(|what| what.contains("no linked endpoint")));
    ensure!(told, "{gaps:#?}");
    Ok(())
}

#[test]
fn ordinary_work_is_no_incident() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let mut log = Log::new(Engine::Identity, "ordinary");
        for number in 0..5 {
            let person = Person::new(&format!("worker{number}@example.com"), "Worker");
            log.history(&person, &Origin::office(number), 28, END_MS);
        }
        import(sandbox, &server.admin(), &log.records())?;
        let list = server
            .admin()
            .json(&["incidents", "list", "--severity-min", "medium"])?;
        ensure!(rows(&list)?.is_empty(), "{list:#}");
        let identities = server.admin().json(&["identities", "list"])?;
        ensure!(rows(&identities)?.len() == 5, "{identities:#}");
        Ok(())
    });
}

#[test]
fn a_mis_tap_before_an_approval_from_the_usual_place_is_no_incident() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let (person, office) = (Person::new("dana@example.com", "Dana"), Origin::office(7));
        let mut log = Log::new(Engine::Identity, "mis-tap");
        log.history(&person, &office, 28, END_MS);
        log.sign_in(&person, &office, END_MS - 60_000, Answer::Denied);
        log.sign_in(&person, &office, END_MS - 30_000, Answer::Denied);
        log.sign_in(&person, &office, END_MS, Answer::Approved);
        import(sandbox, &server.admin(), &log.records())?;
        let list = server
            .admin()
            .json(&["incidents", "list", "--severity-min", "medium"])?;
        ensure!(rows(&list)?.is_empty(), "{list:#}");
        Ok(())
    });
}

#[test]
fn a_linked_endpoint_is_named_in_the_incident() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let (person, log) = attacked(Engine::Identity);
        let address = server.address().to_string();
        let endpoint = runtime()?.block_on(async {
            let endpoint = endpoint::enroll(&address, &server.token(1)?, "dana-laptop").await?;
            let run = fresh_run();
            let session = endpoint.session(&address, run, &Default::default()).await?;
            let batch = Workload::new(run, 1, now_ms()).upload(64, now_ms())?;
            session.upload().await?.commit(batch).await?;
            anyhow::Ok(endpoint)
        })?;
        import(sandbox, &console, &log.records())?;
        let link = [
            "identities",
            "link",
            &person.login,
            "--endpoint",
            &endpoint.id,
            "--user",
            "dana",
        ];
        console.run(&link)?.succeeded(&link)?;
        let incident = eventually("the incident names the endpoint", LIMIT, || {
            let incident = the_incident(&console, "high")?;
            Ok((!rows(&incident["endpoints"])?.is_empty()).then_some(incident))
        })?;
        ensure!(
            incident["endpoints"][0]["id"] == endpoint.id.as_str(),
            "{incident:#}"
        );
        let identity = console.json(&["identities", "show", &person.login])?;
        let account = &identity["local_accounts"][0];
        ensure!(
            account["user"] == "dana" && account["linked_by"] == "admin",
            "{identity:#}"
        );
        Ok(())
    });
}

#[test]
fn an_analysts_work_stays_when_the_incident_grows_and_a_closed_one_reopens() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let (_, log) = attacked(Engine::Identity);
        let records = log.records();
        let (begin, end) = records.split_at(records.len() - 20);
        import(sandbox, &console, begin)?;
        let first = the_incident(&console, "medium")?;
        let id = text(&first, "id")?;
        for act in [
            &["incidents", "assign", id, "admin"][..],
            &["incidents", "note", id, "called Dana, no answer"],
            &["incidents", "verdict", id, "suspicious"],
            &["incidents", "state", id, "closed"],
        ] {
            console.run(act)?.succeeded(act)?;
        }
        let closed = console.json(&["incidents", "show", id])?;
        ensure!(closed["state"] == "closed", "{closed:#}");

        import(sandbox, &console, end)?;
        let grown = console.json(&["incidents", "show", id])?;
        ensure!(grown["severity"] == "critical", "{grown:#}");
        ensure!(
            grown["state"] != "closed",
            "new evidence reopens: {grown:#}"
        );
        ensure!(grown["assignee"] == "admin", "{grown:#}");
        ensure!(
            grown["notes"][0]["text"] == "called Dana, no answer",
            "{grown:#}"
        );
        Ok(())
    });
}

#[test]
fn a_former_id_still_finds_the_incident() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let (_, log) = attacked(Engine::Identity);
        let records = log.records();
        // The last prompts arrive first; what came before them changes what the incident starts with.
        let (begin, end) = records.split_at(records.len() - 24);
        import(sandbox, &console, end)?;
        let early = the_incident(&console, "medium")?;
        import(sandbox, &console, begin)?;
        let whole = the_incident(&console, "high")?;
        let by_former = console.json(&["incidents", "show", text(&early, "id")?])?;
        ensure!(by_former["id"] == whole["id"], "{by_former:#}");
        let is_former = rows(&whole["aliases"])?.contains(&early["id"]);
        ensure!(is_former || whole["id"] == early["id"], "{whole:#}");
        Ok(())
    });
}
