//! One source against many people: one incident, whoever comes first.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tocsin_tests::console::Console;
use tocsin_tests::okta::{self, Answer, Engine, Log, Origin, Person};
use tocsin_tests::sandbox::flow;
use tocsin_tests::server::Server;

use crate::incident::{END_MS, import};
use crate::{rows, text};

/// People that are prompted.
const PEOPLE: u8 = 12;

/// Who lets it in.
const ENTERED: u8 = 7;

fn login(number: u8) -> String {
    format!("person{number}@example.com")
}

/// Two weeks of ordinary work of everybody, then a prompt each, a minute and a half apart, from one address.
fn company() -> Vec<Value> {
    let mut log = Log::new(Engine::Identity, "campaign");
    for number in 0..PEOPLE {
        let person = Person::new(&login(number), &format!("Person {number}"));
        log.history(&person, &Origin::office(30 + number), 14, END_MS);
        let answer = match number {
            ENTERED => Answer::Approved,
            number if number % 2 == 0 => Answer::Ignored,
            _ => Answer::Denied,
        };
        let at_ms = END_MS + i64::from(number) * 90_000;
        log.sign_in(&person, &Origin::hoster(99), at_ms, answer);
    }
    // Nobody answers any more, but time goes on.
    let last = Person::new("elsewhere@example.com", "Somebody else");
    log.history(&last, &Origin::office(90), 2, END_MS + 86_400_000);
    log.records()
}

/// Every incident in full, by id, less what may depend on when it was imported.
fn incidents(console: &Console<'_>) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for row in rows(&console.json(&["incidents", "list"])?)? {
        let id = text(row, "id")?;
        let mut incident = console.json(&["incidents", "show", id])?;
        let fields = incident.as_object_mut().context("an object")?;
        for exempt in [
            "opened_time",
            "updated_time",
            "state_time",
            "activity",
            "notes",
            "freshness",
            "aliases",
        ] {
            fields.remove(exempt);
        }
        all.insert(id.to_owned(), incident);
    }
    Ok(all)
}

fn is_campaign(incident: &Value) -> bool {
    incident["subject"]["kind"] == "campaign"
}

/// What the campaign's incident says of itself.
fn check_campaign(campaign: &Value) -> Result<()> {
    ensure!(campaign["severity"] == "high", "{campaign:#}");
    ensure!(campaign["subject"]["identity"].is_null(), "{campaign:#}");
    let accounts = rows(&campaign["subject"]["accounts"])?;
    let logins: BTreeSet<&str> = accounts
        .iter()
        .filter_map(|a| a["login"].as_str())
        .collect();
    let expected: BTreeSet<String> = (0..PEOPLE).map(login).collect();
    ensure!(
        logins
            .iter()
            .copied()
            .eq(expected.iter().map(String::as_str))
    );
    let said = &campaign["campaign"];
    ensure!(
        said["source"] == "203.0.113.99" && said["people"] == PEOPLE,
        "{said:#}"
    );
    let members = rows(&said["members"])?;
    let entered: Vec<&Value> = members.iter().filter(|m| m["let_in"] == true).collect();
    ensure!(members.len() == usize::from(PEOPLE) && entered.len() == 1);
    ensure!(entered[0]["accounts"][0]["login"] == login(ENTERED).as_str());
    let attempts = rows(&campaign["attempts"])?;
    ensure!(attempts.len() == usize::from(PEOPLE), "{attempts:#?}");
    ensure!(
        attempts
            .iter()
            .all(|one| one["source_ip"] == "203.0.113.99")
    );
    let whose: BTreeSet<&str> = attempts
        .iter()
        .filter_map(|a| a["identity"].as_str())
        .collect();
    ensure!(whose.len() == usize::from(PEOPLE), "each says whose it is");
    Ok(())
}

/// The people's own incidents: named by the campaign's, and at most low but for who let it in.
fn check_members(all: &BTreeMap<String, Value>, campaign: &Value) -> Result<()> {
    let related = rows(&campaign["related_incidents"])?;
    let named: BTreeSet<&str> = related
        .iter()
        .filter_map(|one| one["id"].as_str())
        .collect();
    let own: BTreeSet<&str> = all
        .iter()
        .filter(|(_, incident)| !is_campaign(incident))
        .map(|(id, _)| id.as_str())
        .collect();
    ensure!(named == own && !own.is_empty(), "{named:?}, not {own:?}");
    for incident in all.values().filter(|incident| !is_campaign(incident)) {
        let back = rows(&incident["related_incidents"])?;
        ensure!(
            back.iter().any(|one| one["id"] == campaign["id"]),
            "{incident:#}"
        );
        let account = &incident["subject"]["accounts"][0]["login"];
        let is_low = ["info", "low"].contains(&text(incident, "severity")?);
        ensure!(is_low || account == login(ENTERED).as_str(), "{incident:#}");
    }
    Ok(())
}

#[test]
fn twelve_people_hit_from_one_source_are_one_incident_in_any_order() {
    flow(|sandbox| {
        let records = company();
        let mut server = Server::start(sandbox)?;
        import(sandbox, &server.admin(), &records)?;
        let all = incidents(&server.admin())?;
        let campaigns: Vec<&Value> = all.values().filter(|one| is_campaign(one)).collect();
        ensure!(campaigns.len() == 1, "{all:#?}");
        check_campaign(campaigns[0])?;
        check_members(&all, campaigns[0])?;
        let id = text(campaigns[0], "id")?;
        let shown = server.admin().run(&["incidents", "show", id])?.out_text();
        for said in [
            "campaign: 203.0.113.99 against 12 people",
            "People (12)",
            "Person 7",
        ] {
            ensure!(shown.contains(said), "{said} in {shown}");
        }
        let of_one = server
            .admin()
            .json(&["incidents", "list", "--identity", &login(3)])?;
        ensure!(
            rows(&of_one)?.iter().any(|row| row["id"] == id),
            "{of_one:#}"
        );
        let people = server.admin().json(&["identities", "list"])?;
        ensure!(
            rows(&people)?.len() == usize::from(PEOPLE) + 1,
            "{people:#}"
        );

        import(sandbox, &server.admin(), &okta::shuffled(&records, 3))?;
        ensure!(
            incidents(&server.admin())? == all,
            "imported again, shuffled"
        );
        server.kill()?;
        server.run()?;
        ensure!(incidents(&server.admin())? == all, "after a restart");

        let other = Server::start(sandbox)?;
        let shuffled = okta::shuffled(&records, 5);
        for part in shuffled.chunks(records.len() / 4 + 1) {
            import(sandbox, &other.admin(), part)?;
        }
        ensure!(incidents(&other.admin())? == all, "shuffled, in quarters");
        Ok(())
    });
}
