//! Files of an identity provider: any order, any repetition, any form; and files that are not right.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::Value;
use tocsin_tests::console::Console;
use tocsin_tests::okta::{self, Engine, Log, Origin, Person};
use tocsin_tests::sandbox::flow;
use tocsin_tests::server::Server;

use crate::incident::{END_MS, attacked, import};
use crate::{number, rows, text};

/// Fields that may depend on when Tocsin itself acted.
const EXEMPT: &[&str] = &[
    "opened_time",
    "updated_time",
    "state_time",
    "activity",
    "notes",
    "freshness",
    "aliases",
];

/// Every incident in full, less what is exempt, by id.
fn incidents(console: &Console<'_>) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for row in rows(&console.json(&["incidents", "list"])?)? {
        let id = text(row, "id")?;
        let mut incident = console.json(&["incidents", "show", id])?;
        if let Some(fields) = incident.as_object_mut() {
            fields.retain(|name, _| !EXEMPT.contains(&name.as_str()));
        }
        all.insert(id.to_owned(), incident);
    }
    Ok(all)
}

/// Two people attacked, one by the other engine's log; others at ordinary work.
fn company() -> Vec<Value> {
    let (_, attack) = attacked(Engine::Identity);
    let mut records = attack.records();
    let mut log = Log::new(Engine::Classic, "company");
    let eve = Person::new("eve@example.com", "Eve");
    log.history(&eve, &Origin::office(9), 14, END_MS);
    log.fatigue(&eve, &Origin::hoster(77), END_MS - 3_600_000);
    log.report(&eve, END_MS - 3_000_000);
    for number in 0..3 {
        let person = Person::new(&format!("worker{number}@example.com"), "Worker");
        log.history(&person, &Origin::office(20 + number), 14, END_MS);
    }
    records.extend(log.records());
    records.sort_by_key(|record| record["published"].as_str().map(ToOwned::to_owned));
    records
}

#[test]
fn once_twice_shuffled_and_in_halves_reversed_give_the_same_incidents() {
    flow(|sandbox| {
        let records = company();
        let (begin, end) = records.split_at(records.len() / 2);
        let mut orders: Vec<(String, Vec<Vec<Value>>)> = vec![
            ("twice".to_owned(), vec![records.clone(), records.clone()]),
            (
                "halves reversed".to_owned(),
                vec![end.to_vec(), begin.to_vec()],
            ),
        ];
        for seed in 0..2 * number("TOCSIN_ROUNDS", 1) {
            let shuffled = okta::shuffled(&records, seed);
            let pieces = shuffled
                .chunks(records.len() / 3 + 1)
                .map(<[Value]>::to_vec);
            orders.push((format!("shuffled by {seed}, in thirds"), pieces.collect()));
        }
        let once = Server::start(sandbox)?;
        import(sandbox, &once.admin(), &records)?;
        let expected = incidents(&once.admin())?;
        let severe = expected
            .values()
            .filter(|incident| incident["severity"] == "critical");
        ensure!(
            severe.count() == 2,
            "two people were attacked: {:?}",
            expected.keys()
        );
        for (order, imports) in orders {
            let server = Server::start(sandbox)?;
            for records in imports {
                import(sandbox, &server.admin(), &records)?;
            }
            let found = incidents(&server.admin())?;
            ensure!(
                found.keys().eq(expected.keys()),
                "{order}: {:?}, not {:?}",
                found.keys(),
                expected.keys()
            );
            for (id, incident) in &expected {
                ensure!(
                    found[id] == *incident,
                    "{order}: {:#}\nonce: {incident:#}",
                    found[id]
                );
            }
        }
        Ok(())
    });
}

#[test]
fn a_server_that_is_started_again_shows_the_same_incidents() {
    flow(|sandbox| {
        let mut server = Server::start(sandbox)?;
        import(sandbox, &server.admin(), &company())?;
        let before = incidents(&server.admin())?;
        server.kill()?;
        server.run()?;
        ensure!(incidents(&server.admin())? == before);
        Ok(())
    });
}

#[test]
fn array_lines_and_envelope_give_the_same_incidents() {
    flow(|sandbox| {
        let (_, log) = attacked(Engine::Identity);
        let records = log.records();
        let mut found = Vec::new();
        for (form, file) in [
            ("lines", okta::lines(&records)),
            ("array", okta::array(&records)),
            ("envelope", okta::envelope(&records)),
            ("a pretty array", serde_json::to_string_pretty(&records)?),
        ] {
            let server = Server::start(sandbox)?;
            let file = sandbox.file("okta.json", file)?;
            server
                .admin()
                .import_okta(&file)?
                .succeeded(&["feeds", "import", form])?;
            found.push(incidents(&server.admin())?);
        }
        for (position, incidents) in found.iter().enumerate() {
            ensure!(*incidents == found[0], "form {position}");
        }
        Ok(())
    });
}

#[test]
fn bad_lines_are_named_and_the_good_ones_count() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let (_, log) = attacked(Engine::Identity);
        let records = log.records();
        let mut lines: Vec<String> = okta::lines(&records)
            .lines()
            .map(ToOwned::to_owned)
            .collect();
        // Physical lines, from 1: 3 is cut, 6 is no record, 9 has no time, 4 is blank.
        lines.insert(2, lines[10][..80].to_owned());
        lines.insert(3, String::new());
        lines.insert(5, "[]".to_owned());
        lines.insert(
            8,
            r#"{"uuid":"11111111-1111-11f0-1111-111111111111","eventType":"user.session.start"}"#
                .to_owned(),
        );
        let file = sandbox.file("okta.jsonl", lines.join("\n"))?;
        let done = server.admin().import_okta(&file)?;
        done.ended_with(2, &["feeds", "import"])?;
        let said = done.error_text();
        let named: Vec<&str> = said
            .lines()
            .filter_map(|line| line.strip_prefix("line "))
            .filter_map(|rest| rest.split_once(": ").map(|(number, _)| number))
            .collect();
        ensure!(named == ["3", "6", "9"], "{said}");
        ensure!(
            incidents(&server.admin())?.len() == 1,
            "the good ones count"
        );
        Ok(())
    });
}

#[test]
fn blank_lines_and_repeats_are_no_failure() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let (_, log) = attacked(Engine::Classic);
        let lines = okta::lines(&log.records());
        let file = sandbox.file("okta.jsonl", format!("\n{lines}\r\n\n{lines}   \n"))?;
        let path = file.to_str().unwrap_or_default();
        let import = ["feeds", "import", path, "--provider", "okta"];
        let summary = server.admin().json(&import)?;
        let count = log.records().len() as u64;
        ensure!(summary["repeated"].as_u64() >= Some(1), "{summary}");
        ensure!(summary["malformed"] == 0, "{summary}");
        ensure!(summary["records"] == 2 * count, "{summary}");
        let sum = ["imported", "repeated", "unused"]
            .map(|name| summary[name].as_u64().unwrap_or_default());
        ensure!(sum.iter().sum::<u64>() == 2 * count, "{summary}");
        Ok(())
    });
}
