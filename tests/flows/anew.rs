//! A machine is enrolled anew: it is another endpoint, and what belongs to it follows.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tocsin_tests::agent::Agent;
use tocsin_tests::console::Console;
use tocsin_tests::okta::Engine;
use tocsin_tests::sandbox::{Place, flow};
use tocsin_tests::server::Server;
use tocsin_tests::wait::eventually;

use crate::incident::{attacked, import, the_incident};
use crate::{LIMIT, rows, sequence, text};

#[test]
fn links_and_unsent_events_follow_a_machine_that_is_enrolled_anew() {
    flow(|sandbox| {
        let mut server = Server::start(sandbox)?;
        let console = server.admin();
        let (person, log) = attacked(Engine::Identity);
        import(sandbox, &console, &log.records())?;
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        let row = agent.online(&console)?;
        let (former, run) = (text(&row, "id")?.to_owned(), text(&row, "run")?.to_owned());
        let link = [
            "identities",
            "link",
            &person.login,
            "--endpoint",
            &former,
            "--user",
            "dana",
        ];
        console.run(&link)?.succeeded(&link)?;
        eventually("its first events are stored", LIMIT, || {
            let search = ["events", "search", "--endpoint", &former];
            let stored = console.rows(&search)?;
            Ok(stored.iter().any(|row| row["run"] == *run).then_some(()))
        })?;
        agent.drained(LIMIT)?;

        // What it sees from now on stays in its spool.
        server.stop()?;
        for _process in 0..20 {
            Command::new("sleep").arg("0.1").status()?;
        }
        agent.stop()?;
        server.run()?;
        agent.enroll(&server, &server.token(1)?)?;
        agent.run()?;
        let row = agent.online(&console)?;
        let id = text(&row, "id")?.to_owned();
        ensure!(id != former && row["former"] == *former, "{row}");
        let old = console.json(&["endpoints", "show", &former])?;
        ensure!(
            rows(&old["successors"])?.first() == Some(&id.clone().into()),
            "{old}"
        );

        agent.drained(LIMIT)?;
        goes_on_without_a_hole(&console, (&former, &id), &run)?;
        followed(&console, &person.login, (&former, &id))?;
        let incident = eventually(
            "the incident knows of both",
            Duration::from_secs(30),
            || {
                let incident = the_incident(&console, "high")?;
                Ok((rows(&incident["endpoints"])?.len() == 2).then_some(incident))
            },
        )?;
        // The attack was before the second was enrolled: it is the first that stood for the machine then.
        let silent = rows(&incident["gaps"])?
            .iter()
            .filter(|gap| gap.to_string().contains("was not reporting"));
        ensure!(silent.count() == 1, "{incident:#}");

        revoked_by_halves(&console, (&former, &id))
    });
}

/// Who revokes the former endpoint is told that the machine is still there under its next key.
fn revoked_by_halves(console: &Console<'_>, (former, id): (&str, &str)) -> Result<()> {
    let revoke = ["endpoints", "revoke", former, "--reason", "stolen"];
    let done = console.run(&revoke)?;
    done.succeeded(&revoke)?;
    let said = done.out_text();
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let next = id.split('-').next().context("an id")?;
    ensure!(
        said.contains("is still enrolled") && said.contains(&format!("revoke {next} ")),
        "{said}"
    );
    let row = console.json(&["endpoints", "show", id])?;
    ensure!(row["connected"] == true, "{row}");
    Ok(())
}

/// The run's events under the next endpoint begin where those under the former one end.
fn goes_on_without_a_hole(
    console: &Console<'_>,
    (former, id): (&str, &str),
    run: &str,
) -> Result<()> {
    let search = |id: &str| console.rows(&["events", "search", "--endpoint", id]);
    let mark = sequence::check(&search(former)?)?[run];
    let mut sent: Vec<u64> = search(id)?
        .iter()
        .filter(|row| row["run"] == run)
        .filter_map(|row| row["sequence"].as_u64())
        .collect();
    sent.sort_unstable();
    let expected: Vec<u64> = (mark + 1..).take(sent.len()).collect();
    ensure!(!sent.is_empty() && sent == expected, "{mark}: {sent:?}");
    let gaps = console.rows(&["events", "search", "--endpoint", id, "--kind", "gap"])?;
    ensure!(
        gaps.iter().all(|gap| gap["gap"]["component"] != "server"),
        "{gaps:?}"
    );
    Ok(())
}

/// The link is there twice, as it was made, and the audit log says why.
fn followed(console: &Console<'_>, login: &str, (former, id): (&str, &str)) -> Result<()> {
    let identity = console.json(&["identities", "show", login])?;
    let accounts = rows(&identity["local_accounts"])?;
    let followed = accounts.iter().find(|account| account["endpoint"] == id);
    ensure!(accounts.len() == 2, "{identity:#}");
    ensure!(
        followed.is_some_and(|account| account["source"] == "analyst"
            && account["confidence"] == "certain"
            && account["linked_by"].to_string().contains(former)),
        "{identity:#}"
    );
    let audit = console.rows(&["audit", "list"])?;
    let noted = audit
        .iter()
        .any(|row| row["action"] == "identities.link" && row.to_string().contains(id));
    ensure!(noted, "{audit:?}");
    Ok(())
}
