//! `cargo demo`: the whole of Tocsin on this machine, in one command.
//!
//! A real server, a real agent that reports this machine, and an attack in Okta's shape against a demo person
//! whose local account is the caller's. With `--headless` it prints the incident, exactly one JSON object as
//! `tocsin incidents show -o json` gives it, on standard output, and its progress on standard error. Without, it
//! keeps everything running and says how to look around. As root the agent sees every process; other users
//! get the polling sensor. Sign-ins of this machine go to a stand-in for Okta on loopback; a browser's real connection to
//! it is what `here` rests on, and its absence what `elsewhere` does. All of it lies in a temporary folder and is gone at the end.

use std::io::Write;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::Value;
use tocsin_tests::agent::Agent;
use tocsin_tests::console::Console;
use tocsin_tests::endpoint::now_ms;
use tocsin_tests::okta::{self, Answer, Engine, Log, Origin, Person};
use tocsin_tests::process;
use tocsin_tests::program::Programs;
use tocsin_tests::sandbox::{Place, Sandbox};
use tocsin_tests::server::{Server, Setup};
use tocsin_tests::sign_in::{Browser, Service};
use tocsin_tests::wait::eventually;

/// How long each step may take on a slow machine.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// How long ago the attack ended when it is imported.
const ATTACK_AGE_MS: i64 = 4 * 60 * 1000;

/// How long before and after the password the browser is connected.
const VISIT: Duration = Duration::from_secs(3);

/// How long after the first sign-in the second one is: the first is answered by then.
const AGAIN: Duration = Duration::from_secs(12);

/// How long the machine's clock has to be known before a sign-in that is to be found on it.
const MEASURED_MS: i64 = 12_000;

/// How long the sensors have to run before a prompt that they are to say something of.
const SETTLED_MS: i64 = 32_000;

/// How long before and after such a prompt nothing speaks with the service.
const QUIET_MS: i64 = 15_000;

/// Work days of ordinary sign-ins before it.
const HISTORY_DAYS: u16 = 28;

/// Tocsin on this machine: server, agent, an attack, its incident.
#[derive(Debug, Parser)]
struct Options {
    /// Print the incident as JSON and end.
    #[arg(long)]
    headless: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let (say, ends) = mpsc::channel();
    let interrupted = say.clone();
    std::thread::spawn(move || interrupted.send(signal().map(|()| ExitCode::from(130))));
    std::thread::spawn(move || say.send(demo(&options).map(|()| ExitCode::SUCCESS)));
    // Whichever comes first. A signal leaves the other thread in the middle of something.
    let code = match ends.recv() {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            tell(&format!("demo failed: {error:#}"));
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    };
    process::kill_all();
    Sandbox::remove_all();
    code
}

/// Returns when this program is asked to end.
fn signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

fn demo(options: &Options) -> Result<()> {
    tell("building the programs; the first time that takes some minutes");
    Programs::get_loudly()?;
    let sandbox = Sandbox::new()?;
    let shown = scene(&sandbox, options);
    if shown.is_err() {
        sandbox.show_logs();
    }
    shown
}

fn scene(sandbox: &Sandbox, options: &Options) -> Result<()> {
    let service = Service::start()?;
    let office = Origin::office(7);
    let config = service.config(&office.ip)?;
    let setup = Setup {
        config: &config,
        ..Setup::default()
    };
    let server = Server::start_with(sandbox, setup)?;
    tell(&format!("server listens on {}", server.address()));
    let console = server.admin();

    let mut agent = Agent::start(sandbox, Place::Here, &server)?;
    let endpoint = agent.sensing_flows(&console)?;
    let sensing_ms = now_ms();
    let endpoint_id = text(&endpoint, "id")?;
    tell(&format!(
        "agent reports {} as endpoint {endpoint_id}",
        text(&endpoint, "hostname")?
    ));
    see_processes(&console)?;

    let end_ms = now_ms() - ATTACK_AGE_MS;
    let person = linked_person(sandbox, &console, &endpoint_id, (&office, end_ms))?;
    let mut attack = Log::new(Engine::Identity, "demo attack");
    attack.fatigue(&person, &Origin::hoster(66), end_ms);
    import(
        sandbox,
        &console,
        &attack,
        "17 prompts in 40 minutes, then a new factor",
    )?;

    let mut night = Log::new(Engine::Identity, "demo night");
    sign_in_here(
        &mut night,
        sandbox,
        (&service, sensing_ms),
        (&person, &office),
    )?;
    prompt_from_elsewhere(&mut night, &person, sensing_ms);
    import(
        sandbox,
        &console,
        &night,
        "sign-ins by a browser of this machine, and another prompt without one",
    )?;

    let incident = incident(&console, &person, &endpoint_id)?;
    tell(&format!("incident: {}", text(&incident, "title")?));
    let id = text(&incident, "id")?;
    if options.headless {
        let show = ["incidents", "show", &id, "-o", "json"];
        let shown = console.run(&show)?;
        shown.succeeded(&show)?;
        let mut out = std::io::stdout().lock();
        out.write_all(&shown.out)?;
        return Ok(out.flush()?);
    }
    look_around(&console, &id)
}

/// The demo's person with weeks of ordinary sign-ins, linked to the account that runs this.
fn linked_person(
    sandbox: &Sandbox,
    console: &Console<'_>,
    endpoint: &str,
    (office, end_ms): (&Origin, i64),
) -> Result<Person> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid())?
        .context("find the name of this account")?
        .name;
    let person = Person::new(&format!("{user}@example.com"), "Dana Demo");
    let mut history = Log::new(Engine::Identity, "demo history");
    history.history(&person, office, HISTORY_DAYS, end_ms);
    import(
        sandbox,
        console,
        &history,
        "ordinary sign-ins of the last weeks",
    )?;
    let identity = identity(console, &person)?;
    let link = [
        "identities",
        "link",
        &identity,
        "--endpoint",
        endpoint,
        "--user",
        &user,
    ];
    console.run(&link)?.succeeded(&["identities", "link"])?;
    tell(&format!(
        "{} is linked to the account {user} of this machine",
        person.login
    ));
    Ok(person)
}

/// The person signs in on this machine, twice: a browser's real connection, and what Okta writes of it.
fn sign_in_here(
    log: &mut Log,
    sandbox: &Sandbox,
    (service, sensing_ms): (&Service, i64),
    (person, office): (&Person, &Origin),
) -> Result<()> {
    let browser = Browser::new(sandbox)?;
    wait_until(sensing_ms + MEASURED_MS);
    let visit = browser.visit(service, None)?;
    // The connection lasts beyond what the clocks may be off.
    std::thread::sleep(VISIT);
    log.sign_in(person, office, now_ms(), Answer::Approved);
    // Once more, as pages ask, and this time she denies what she has seen too much of.
    std::thread::sleep(AGAIN);
    log.sign_in(person, office, now_ms(), Answer::Denied);
    std::thread::sleep(VISIT);
    visit.end();
    tell("a browser of this machine has spoken with the sign-in service");
    Ok(())
}

/// Somebody else types the password, and nothing of this machine speaks with the service. That nothing did is known only
/// where the sensors have been running for a while before, and the connection before it has ended.
fn prompt_from_elsewhere(log: &mut Log, person: &Person, sensing_ms: i64) {
    let time_ms = (sensing_ms + SETTLED_MS).max(now_ms() + QUIET_MS);
    log.sign_in(person, &Origin::hoster(66), time_ms, Answer::Denied);
    let until_ms = time_ms + QUIET_MS;
    tell(&format!(
        "waiting {} s: what did not happen takes its time to be known",
        (until_ms - now_ms()) / 1000
    ));
    wait_until(until_ms);
}

fn wait_until(time_ms: i64) {
    let left_ms = u64::try_from(time_ms - now_ms()).unwrap_or(0);
    std::thread::sleep(Duration::from_millis(left_ms));
}

/// Starts something that lives long enough for every sensor, and waits until it can be searched for.
fn see_processes(console: &Console<'_>) -> Result<()> {
    let marker = format!("0.{:05}", std::process::id());
    let mut sleeper = Command::new("sleep").args(["30", &marker]).spawn()?;
    let seen = eventually("a process of this machine is stored", STEP_LIMIT, || {
        let rows = console.rows(&["events", "search", "--kind", "process", "--text", &marker])?;
        let mut rows = rows.into_iter();
        Ok(rows.find(|row| row["process"]["pid"] == sleeper.id()))
    });
    sleeper.kill()?;
    sleeper.wait()?;
    let seen = seen?;
    tell(&format!(
        "telemetry flows: {} {}",
        text(&seen, "activity")?,
        seen["process"]["argv"]
    ));
    Ok(())
}

fn import(sandbox: &Sandbox, console: &Console<'_>, log: &Log, what: &str) -> Result<()> {
    let records = log.records();
    let file = sandbox.file("okta.jsonl", okta::lines(&records))?;
    let done = console.import_okta(&file)?;
    done.succeeded(&["feeds", "import"])?;
    tell(&format!(
        "imported {} records of Okta: {what}",
        records.len()
    ));
    Ok(())
}

fn identity(console: &Console<'_>, person: &Person) -> Result<String> {
    let identities = console.json(&["identities", "list"])?;
    let found = identities
        .as_array()
        .into_iter()
        .flatten()
        .find(|identity| has_login(&identity["accounts"], &person.login));
    text(
        found.context("find the demo person among the identities")?,
        "id",
    )
}

/// The person's incident, once it names this machine.
fn incident(console: &Console<'_>, person: &Person, endpoint: &str) -> Result<Value> {
    let incident = eventually(
        "the incident says of what this machine knows",
        STEP_LIMIT,
        || {
            let incidents = console.json(&["incidents", "list"])?;
            let found = incidents.as_array().into_iter().flatten().find(|incident| {
                matches!(incident["severity"].as_str(), Some("high" | "critical"))
                    && has_login(&incident["subject"]["accounts"], &person.login)
            });
            let Some(found) = found else {
                return Ok(None);
            };
            let incident = console.json(&["incidents", "show", &text(found, "id")?])?;
            let mut endpoints = incident["endpoints"].as_array().into_iter().flatten();
            let named = endpoints.any(|row| row["id"] == endpoint);
            let is_told = ["here", "elsewhere", "unknown"].iter().all(|verdict| {
                let mut attempts = incident["attempts"].as_array().into_iter().flatten();
                attempts.any(|attempt| attempt["provenance"]["verdict"] == *verdict)
            });
            Ok((named && is_told).then_some(incident))
        },
    )?;
    let attempts = incident["attempts"].as_array().map_or(0, Vec::len);
    ensure!(attempts >= 10, "the incident has only {attempts} attempts");
    Ok(incident)
}

fn look_around(console: &Console<'_>, incident: &str) -> Result<()> {
    let programs = Programs::get()?;
    let tocsin = format!(
        "{} --profile {}",
        programs.console().display(),
        console.profile().display()
    );
    tell("everything keeps running; look around in another terminal:");
    tell(&format!("  {tocsin}"));
    for command in [
        "incidents list".to_owned(),
        format!("incidents show {incident}"),
        "endpoints list".to_owned(),
        "events search --since 5m".to_owned(),
        "identities list".to_owned(),
        "audit list".to_owned(),
    ] {
        tell(&format!("  {tocsin} {command}"));
    }
    tell("Ctrl-C ends it and removes everything");
    loop {
        std::thread::park();
    }
}

fn has_login(accounts: &Value, login: &str) -> bool {
    let mut accounts = accounts.as_array().into_iter().flatten();
    accounts.any(|account| account["login"] == login)
}

fn text(value: &Value, field: &str) -> Result<String> {
    let text = value[field].as_str();
    Ok(text
        .with_context(|| format!("find {field} in {value}"))?
        .to_owned())
}

/// Progress, on standard error. That nobody listens is no reason to stop.
fn tell(line: &str) {
    let _told = writeln!(std::io::stderr().lock(), "{line}");
}
