//! Text from outside: whatever it holds, no terminal ever gets it raw.

use anyhow::{Result, ensure};
use serde_json::Value;
use tocsin_tests::console::{Console, Done};
use tocsin_tests::endpoint;
use tocsin_tests::okta::{self, Engine, Log, Origin, Person};
use tocsin_tests::sandbox::{Sandbox, flow};
use tocsin_tests::server::Server;

use crate::incident::{END_MS, the_incident};
use crate::{rows, runtime, text};

/// Sets a title, clears the screen, turns the direction of what follows, and a C1 control sequence.
const HOSTILE: &str = "Eve\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}\u{9b}31m\u{85}\u{2066}end";

/// Fails where a terminal would do more than show it.
fn harmless(what: &[&str], bytes: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(bytes)?;
    let is_direction = |c: char| matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let raw = text
        .chars()
        .find(|c| (c.is_control() && *c != '\n') || is_direction(*c));
    ensure!(
        raw.is_none(),
        "{what:?} prints {raw:?} raw:\n{}",
        text.escape_debug()
    );
    Ok(())
}

fn both_harmless(what: &[&str], done: &Done) -> Result<()> {
    harmless(what, &done.out)?;
    harmless(what, &done.error)
}

/// A log in which everything that can be chosen by an attacker is hostile.
fn records() -> Vec<Value> {
    let mut person = Person::new("eve@example.com", HOSTILE);
    person.id = format!("00u{HOSTILE}");
    let mut origin = Origin::hoster(66);
    origin.client.0 = HOSTILE;
    origin.city = HOSTILE;
    origin.network.1 = HOSTILE;
    let mut log = Log::new(Engine::Identity, "hostile");
    log.fatigue(&person, &origin, END_MS);
    let mut records = log.records();
    for record in &mut records {
        for target in record["target"].as_array_mut().into_iter().flatten() {
            target["displayName"] = HOSTILE.into();
        }
    }
    records
}

fn every_form(console: &Console<'_>, command: &[&str]) -> Result<()> {
    for form in ["table", "json", "jsonl"] {
        let arguments = [command, &["-o", form]].concat();
        let done = console.run(&arguments)?;
        done.succeeded(&arguments)?;
        both_harmless(&arguments, &done)?;
    }
    Ok(())
}

#[test]
fn hostile_text_in_a_log_is_printed_harmless_everywhere() {
    flow(|sandbox: &Sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let file = sandbox.file("okta.jsonl", okta::lines(&records()))?;
        let done = console.import_okta(&file)?;
        done.succeeded(&["feeds", "import"])?;
        both_harmless(&["feeds", "import"], &done)?;
        let incident = the_incident(&console, "medium")?;
        let id = text(&incident, "id")?;
        for command in [
            &["incidents", "list"][..],
            &["incidents", "show", id],
            &["identities", "list"],
            &["identities", "show", "eve@example.com"],
            &["feeds", "list"],
            &["audit", "list"],
        ] {
            every_form(&console, command)?;
        }
        // Harmless, not lost: JSON still says what it was.
        let agent = &incident["attempts"][0]["user_agent"];
        ensure!(*agent == HOSTILE, "{agent}");
        Ok(())
    });
}

#[test]
fn hostile_lines_of_a_file_are_named_harmless() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let mut file = format!("{{\"uuid\": \"{HOSTILE}\n").into_bytes();
        file.extend_from_slice(b"\x1b[2J\xff\xfe\x00 not even text\n");
        file.extend_from_slice(
            format!(
                "{{\"uuid\":\"{}\",\"eventType\":3}}\n",
                HOSTILE.escape_unicode()
            )
            .as_bytes(),
        );
        let file = sandbox.file("okta\u{1b}[31m.jsonl", file)?;
        let done = server.admin().import_okta(&file)?;
        done.ended_with(2, &["feeds", "import"])?;
        both_harmless(&["feeds", "import"], &done)?;
        let named = done
            .error_text()
            .lines()
            .filter(|line| line.starts_with("line "))
            .count();
        ensure!(named == 3, "{}", done.error_text());
        every_form(&server.admin(), &["audit", "list"])
    });
}

#[test]
fn a_hostile_endpoint_is_printed_harmless() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let address = server.address().to_string();
        let endpoint =
            runtime()?.block_on(endpoint::enroll(&address, &server.token(1)?, HOSTILE))?;
        let tag = ["endpoints", "tag", &endpoint.id, HOSTILE];
        both_harmless(&["endpoints", "tag"], &console.run(&tag)?)?;
        let note = ["incidents", "note", HOSTILE, HOSTILE];
        both_harmless(&["incidents", "note"], &console.run(&note)?)?;
        for command in [
            &["endpoints", "list"][..],
            &["endpoints", "show", &endpoint.id],
            &["audit", "list"],
        ] {
            every_form(&console, command)?;
        }
        let listed = console.json(&["endpoints", "list"])?;
        ensure!(rows(&listed)?.len() == 1, "{listed}");
        Ok(())
    });
}

#[test]
fn a_hostile_process_is_printed_harmless() {
    flow(|sandbox| {
        use tocsin_proto::agent::v1::UploadEventsRequest;
        use tocsin_proto::telemetry::v1 as wire;
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let address = server.address().to_string();
        let run = endpoint::fresh_run();
        let process = wire::Process {
            activity: wire::ProcessActivity::Start.into(),
            pid: 7,
            argv_state: wire::ArgvState::Read.into(),
            argv: vec!["sh".into(), HOSTILE.into()],
            executable: format!("/tmp/{HOSTILE}"),
            user: Some(wire::User {
                uid: "0".into(),
                name: HOSTILE.into(),
            }),
            ..Default::default()
        };
        let event = wire::Event {
            sequence: 1,
            event_time_ms: endpoint::now_ms(),
            body: Some(wire::event::Body::Process(process)),
        };
        let batch = wire::EventBatch {
            boot_id: vec![1; 16],
            events: vec![event],
        };
        runtime()?.block_on(async {
            let enrolled = endpoint::enroll(&address, &server.token(1)?, "lab").await?;
            let session = enrolled.session(&address, run, &Default::default()).await?;
            let request = UploadEventsRequest {
                run_id: run.to_vec(),
                first_sequence: 1,
                last_sequence: 1,
                batch: tocsin_proto::batch::pack(&batch)?,
            };
            session.upload().await?.commit(request).await?;
            every_form(&console, &["endpoints", "processes", &enrolled.id])
        })?;
        every_form(&console, &["events", "search"])?;
        let found = console.rows(&["events", "search", "--text", "owned"])?;
        ensure!(
            found.len() == 1 && found[0]["process"]["argv"][1] == HOSTILE,
            "{found:?}"
        );
        Ok(())
    });
}
