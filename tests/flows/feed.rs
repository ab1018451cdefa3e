//! Live feeds against stand-ins that misbehave: nothing is lost and nothing is double, whatever happens in between; what
//! comes live gives the same incidents as the same records in a file.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tocsin_tests::console::Console;
use tocsin_tests::okta::{self, Engine, Log, Origin, Person};
use tocsin_tests::provider::okta::OktaApi;
use tocsin_tests::provider::{Fault, Provider};
use tocsin_tests::sandbox::{Sandbox, flow};
use tocsin_tests::server::Server;
use tocsin_tests::wait::{eventually, until};

use crate::{LIMIT, number, rows, text};

const TOKEN: &str = "00Ex4mpleT0kenThatNobodyMaySee";

/// A page that takes part in the worst of what a provider does may take some seconds.
const FEED_LIMIT: Duration = Duration::from_secs(600);

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(0))
}

/// An organization's log: an attack on one of its people, the rest at work.
fn log(people: u64) -> Vec<Value> {
    let end_ms = now_ms() - 60 * 60 * 1000;
    let mut log = Log::new(Engine::Identity, "live");
    for n in 0..people {
        let person = Person::new(&format!("person{n}@example.com"), "A Person");
        log.history(&person, &Origin::office(7), 20, end_ms - 3_600_000);
    }
    let dana = Person::new("dana@example.com", "Dana Example");
    log.history(&dana, &Origin::office(7), 20, end_ms - 3_600_000);
    log.fatigue(&dana, &Origin::hoster(66), end_ms);
    let mut records = log.records();
    // Stored late, and out of the order of `published`: among the newest that the next page brings.
    for at in (5..records.len() - 5).step_by(11) {
        records.swap(at, at + 4);
    }
    // One that nobody can read, and a kind that is not used.
    let middle = records.len() / 2;
    records.insert(
        middle,
        json!({ "eventType": "user.session.start", "uuid": "broken" }),
    );
    records.insert(middle, json!({
        "eventType": "user.lifecycle.create", "uuid": "unused", "published": "2026-01-01T00:00:00.000Z",
        "outcome": { "result": "SUCCESS" },
        "actor": { "type": "User", "id": "00u", "alternateId": "dana@example.com" },
    }));
    records
}

/// A stand-in for Okta with this log.
fn provider(sandbox: &Sandbox, log: Vec<Value>, rows: usize) -> Result<Provider<OktaApi>> {
    let provider = Provider::start(sandbox, OktaApi::new(TOKEN, log, rows))?;
    let url = provider.url();
    provider.shared().api.url = url;
    Ok(provider)
}

/// `feeds add` for it.
fn add(sandbox: &Sandbox, console: &Console<'_>, provider: &Provider<OktaApi>) -> Result<Value> {
    let secret = sandbox.fresh("token");
    fs::write(&secret, format!("{TOKEN}\n"))?;
    let (url, secret) = (provider.url(), path(&secret)?.to_owned());
    let ca = path(provider.ca_file())?;
    let command = ["feeds", "add", "--provider", "okta", "--url", &url];
    console.json(&[&command[..], &["--secret-file", &secret, "--ca-file", ca]].concat())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

/// The row of the live feed.
fn status(console: &Console<'_>) -> Result<Value> {
    let feeds = console.json(&["feeds", "status"])?;
    rows(&feeds)?.first().cloned().context("a live feed")
}

/// Waits until it has all there is, that is so many MFA events.
fn all_there(console: &Console<'_>, events: &Value) -> Result<Value> {
    eventually("the live feed has everything", FEED_LIMIT, || {
        let feed = status(console)?;
        let is_all = feed["mfa_events"] == *events && feed["state"] == "current";
        Ok(is_all.then_some(feed))
    })
}

/// Incidents, without what depends on when Tocsin itself acted.
fn incidents(console: &Console<'_>) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for row in rows(&console.json(&["incidents", "list"])?)? {
        let mut incident = console.json(&["incidents", "show", text(row, "id")?])?;
        let fields = incident.as_object_mut().context("an incident")?;
        for own in [
            "opened_time",
            "updated_time",
            "state_time",
            "activity",
            "notes",
            "freshness",
            "aliases",
        ] {
            fields.remove(own);
        }
        all.push(incident);
    }
    Ok(all)
}

#[test]
fn nothing_is_lost_or_double_over_a_thousand_pages_and_what_goes_wrong_in_between() {
    flow(|sandbox| {
        let log = log(12 * number("TOCSIN_ROUNDS", 1));
        let by_file = Server::start(sandbox)?;
        let file = sandbox.fresh("log.json");
        fs::write(&file, okta::array(&log))?;
        by_file
            .admin()
            .import_okta(&file)?
            .ended_with(2, &["feeds", "import"])?;
        let expected = by_file.admin().json(&["feeds", "list"])?;
        let expected = &rows(&expected)?[0];

        let provider = provider(sandbox, log, 3)?;
        provider.shared().fault_every = 41;
        let mut server = Server::start(sandbox)?;
        add(sandbox, &server.admin(), &provider)?;
        let pages = provider.shared().api.log.len() as u64 / 3;
        for part in 1..=3 {
            let what = format!("part {part} of the pages was fetched");
            until(&what, FEED_LIMIT, || {
                Ok(provider.shared().api.pages > part * pages / 4)
            })?;
            server.kill()?;
            server.run()?;
        }
        let feed = all_there(&server.admin(), &expected["mfa_events"])?;
        ensure!(feed["malformed"] == expected["malformed"], "{feed}");
        ensure!(
            text(&feed, "malformed_reason")?.contains("missing"),
            "{feed}"
        );
        ensure!(feed["behind_ms"].as_u64() < Some(60_000), "{feed}");
        let (live, files) = (incidents(&server.admin())?, incidents(&by_file.admin())?);
        ensure!(
            !files.is_empty() && files == live,
            "{files:#?}\nby file, live:\n{live:#?}"
        );
        let shared = provider.shared();
        ensure!(shared.api.wrong.is_empty(), "{:?}", shared.api.wrong);
        ensure!(shared.api.pages >= pages, "{} pages", shared.api.pages);
        let missing: Vec<&Fault> = Fault::ALL
            .iter()
            .filter(|one| !shared.faults.contains(one))
            .collect();
        ensure!(missing.is_empty(), "not tried: {missing:?}");
        Ok(())
    });
}

#[test]
fn what_is_logged_from_now_on_comes_by_itself_and_a_removed_feed_ends() {
    flow(|sandbox| {
        let mut log = log(1);
        let later = log.split_off(log.len() - 40);
        let provider = provider(sandbox, log, 1000)?;
        let server = Server::start(sandbox)?;
        let admin = server.admin();
        add(sandbox, &admin, &provider)?;
        let first = eventually("the feed is current", LIMIT, || {
            let feed = status(&admin)?;
            Ok((feed["state"] == "current" && feed["pages"] != 0).then_some(feed))
        })?;
        provider.shared().api.log.extend(later);
        until("the attack comes by itself", LIMIT, || {
            let all = admin.json(&["incidents", "list"])?;
            Ok(rows(&all)?.iter().any(|one| one["severity"] == "critical"))
        })?;
        ensure!(status(&admin)?["mfa_events"].as_u64() > first["mfa_events"].as_u64());
        admin.json(&["feeds", "remove", "okta"])?;
        ensure!(rows(&admin.json(&["feeds", "status"])?)?.is_empty());
        let all = admin.json(&["feeds", "list"])?;
        ensure!(rows(&all)?[0]["state"] == "removed", "{all}");
        let asked = provider.shared().requests;
        add(sandbox, &admin, &provider)?;
        until("it begins anew", LIMIT, || {
            Ok(status(&admin)?["state"] == "current")
        })?;
        ensure!(provider.shared().requests > asked);
        Ok(())
    });
}

#[test]
fn a_secret_is_nowhere_but_sealed_and_only_an_admin_gives_it() {
    flow(|sandbox| {
        let provider = provider(sandbox, log(0), 1000)?;
        let mut server = Server::start(sandbox)?;
        let responder = server.analyst(sandbox, "dana", "responder")?;
        let refused = add(sandbox, &responder, &provider);
        ensure!(refused.is_err_and(|error| error.to_string().contains("ended with 77")));
        let feed = add(sandbox, &server.admin(), &provider)?;
        let tested = server.admin().json(&["feeds", "test", "okta"])?;
        ensure!(
            tested["ok"] == true && tested["used"].as_u64() > Some(0),
            "{tested}"
        );
        // The provider takes the token back, and says it in an error.
        provider.shared().api.token = "another".to_owned();
        let refused = server.admin().run(&["feeds", "test", "okta"])?;
        refused.ended_with(1, &["feeds", "test"])?;
        ensure!(
            refused.out_text().contains("E0000011"),
            "{}",
            refused.out_text()
        );
        until("the feed says that it fails", LIMIT, || {
            Ok(status(&server.admin())?["state"] == "failing")
        })?;
        let failing = status(&server.admin())?;
        ensure!(
            text(&failing, "last_error")?.contains("E0000011"),
            "{failing}"
        );
        ensure!(failing["next_try_time"].is_string(), "{failing}");
        let audit = server.admin().json(&["audit", "list"])?;
        server.stop()?;
        for said in [feed, tested, failing, audit] {
            ensure!(!said.to_string().contains(TOKEN), "{said}");
        }
        for file in fs::read_dir(server.data())? {
            let file = file?.path();
            let bytes = fs::read(&file)?;
            let has_it = bytes
                .windows(TOKEN.len())
                .any(|part| part == TOKEN.as_bytes());
            ensure!(!has_it, "{} holds the token", file.display());
        }
        ensure!(!server.log()?.contains(TOKEN), "the log holds the token");
        Ok(())
    });
}
