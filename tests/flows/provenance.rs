//! Where sign-ins came from, as real agents see them: one machine, several people, each with another reason.
//!
//! Everything happens once, on one timeline, as most of it takes its time: sensors have to run before a window, and a
//! connection has to be over before another. A connection that was there before the agent stands for the hour-old one.
//! Machines that are something else than up and well are in `provenance/machines.rs`. A suspended machine is tested from
//! recorded facts in `tocsin-correlate`, and from events to facts in the server.

mod clock;
mod device;
mod lost;
mod machines;
mod tool;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tocsin_tests::agent::Agent;
use tocsin_tests::console::Console;
use tocsin_tests::endpoint::now_ms;
use tocsin_tests::okta::{self, Answer, Engine, Log, Origin, Person};
use tocsin_tests::sandbox::{Place, Sandbox, flow, is_root_or_skips};
use tocsin_tests::server::{Server, Setup};
use tocsin_tests::sign_in::{Browser, Service};
use tocsin_tests::wait::eventually;

use crate::text;

/// The newest of what is waited for is known a minute after it happened.
const TOLD_LIMIT: Duration = Duration::from_secs(120);

/// Accounts of the machine that need no name.
const DANA: u32 = 21_001;
const ELI: u32 = 21_002;
const GIL: u32 = 21_003;
const HAL: u32 = 21_004;

/// The people of the test, and what is written of them.
struct Cast {
    log: Log,
    people: Vec<Person>,
}

impl Cast {
    /// Each with weeks of ordinary sign-ins and an attack a while ago, so that there is an incident to look into.
    fn new(names: &[&str]) -> Self {
        let mut cast = Self {
            log: Log::new(Engine::Identity, "provenance"),
            people: Vec::new(),
        };
        for name in names {
            cast.add(name, now_ms() - 10 * 60_000);
        }
        cast
    }

    /// Somebody whose attack ends at a time.
    fn add(&mut self, name: &str, attack_end_ms: i64) {
        let person = Person::new(&format!("{name}@example.com"), name);
        let until_ms = attack_end_ms.min(now_ms() - 10 * 60_000);
        self.log.history(&person, &Origin::office(7), 28, until_ms);
        self.log
            .fatigue(&person, &Origin::hoster(66), attack_end_ms);
        self.people.push(person);
    }

    fn of(&self, name: &str) -> Result<Person> {
        let found = self.people.iter().find(|person| person.name == name);
        found.cloned().context("a person of the test")
    }

    fn denies(&mut self, name: &str, origin: &Origin, time_ms: i64) -> Result<()> {
        self.signs_in((name, origin), time_ms, Answer::Denied)
    }

    fn signs_in(
        &mut self,
        (name, origin): (&str, &Origin),
        time_ms: i64,
        answer: Answer,
    ) -> Result<()> {
        let person = self.of(name)?;
        self.log.sign_in(&person, origin, time_ms, answer);
        Ok(())
    }

    fn import(&self, sandbox: &Sandbox, console: &Console<'_>) -> Result<()> {
        let file = sandbox.file("okta.jsonl", okta::lines(&self.log.records()))?;
        console.import_okta(&file)?.succeeded(&["feeds", "import"])
    }

    fn link(&self, console: &Console<'_>, endpoint: &str, name: &str, uid: u32) -> Result<()> {
        let login = self.of(name)?.login;
        let uid = uid.to_string();
        let link = [
            "identities",
            "link",
            &login,
            "--endpoint",
            endpoint,
            "--user",
            &uid,
        ];
        console.run(&link)?.succeeded(&["identities", "link"])
    }

    /// All but Fay.
    fn link_all(&self, console: &Console<'_>, endpoint: &str) -> Result<()> {
        for (name, uid) in [("dana", DANA), ("eli", ELI), ("gil", GIL), ("hal", HAL)] {
            self.link(console, endpoint, name, uid)?;
        }
        Ok(())
    }

    /// The provenance of a person's attempt at a time, once it satisfies.
    fn told(
        &self,
        console: &Console<'_>,
        (name, time_ms): (&str, i64),
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let login = self.of(name)?.login;
        let mut last = Value::Null;
        let what = format!("it is known where {name}'s sign-in came from");
        let found = eventually(&what, TOLD_LIMIT, || {
            for incident in console.rows(&["incidents", "list"])? {
                // A campaign has the attempts of all of its people.
                let is_person = incident["subject"]["kind"] == "person";
                if !is_person || !incident["subject"].to_string().contains(&login) {
                    continue;
                }
                let incident = console.json(&["incidents", "show", text(&incident, "id")?])?;
                let attempts = incident["attempts"].as_array().into_iter().flatten();
                for attempt in attempts {
                    let time: jiff::Timestamp = text(attempt, "time")?.parse()?;
                    if (time.as_millisecond() - time_ms).abs() < 1_000 {
                        last = attempt["provenance"].clone();
                    }
                }
            }
            Ok(is_it(&last).then(|| last.clone()))
        });
        found.with_context(|| format!("{name}: {last}"))
    }
}

fn lacks(what: &str) -> impl Fn(&Value) -> bool {
    move |provenance| {
        let mut missing = provenance["missing"].as_array().into_iter().flatten();
        provenance["verdict"] == "unknown" && missing.any(|one| one["what"] == what)
    }
}

fn is(verdict: &str) -> impl Fn(&Value) -> bool {
    move |provenance| provenance["verdict"] == verdict
}

fn wait_until(time_ms: i64) {
    let left_ms = u64::try_from(time_ms - now_ms()).unwrap_or(0);
    std::thread::sleep(Duration::from_millis(left_ms));
}

/// A program that is called as a remote-support tool is.
fn remote_support(sandbox: &Sandbox, place: Place<'_>) -> Result<Child> {
    let program = sandbox.path().join("anydesk");
    std::fs::copy("/bin/bash", &program)?;
    let mut command = place.command(&program);
    command.args(["-c", "read -r line"]).stdin(Stdio::piped());
    command.spawn().context("start it")
}

#[test]
fn a_sign_in_is_here_elsewhere_or_unknown_by_what_a_real_machine_shows() {
    if !is_root_or_skips("browsers of several accounts") {
        return;
    }
    flow(|sandbox| {
        open_to_all(sandbox.path())?;
        let service = Service::start()?;
        let office = Origin::office(7);
        let config = service.config(&office.ip)?;
        let setup = Setup {
            config: &config,
            ..Setup::default()
        };
        let server = Server::start_with(sandbox, setup)?;
        let console = server.admin();
        let browser = Browser::new(sandbox)?;
        let mut cast = Cast::new(&["dana", "eli", "fay", "gil", "hal"]);

        let old = browser.visit(&service, Some(GIL))?;
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        agent.sensing_flows(&console)?;
        let (begin_ms, endpoint) = (now_ms(), agent.id()?);

        // Dana signs in by her own browser, twice; Eli's prompt comes at the same time, and Gil's.
        wait_until(begin_ms + 12_000);
        let visit = browser.visit(&service, Some(DANA))?;
        let dana = cast.of("dana")?;
        cast.log
            .sign_in(&dana, &office, begin_ms + 15_000, Answer::Approved);
        let here_ms = begin_ms + 27_000;
        for name in ["dana", "eli", "gil"] {
            cast.denies(name, &office, here_ms)?;
        }
        wait_until(begin_ms + 32_000);
        visit.end();
        old.end();

        // Then prompts from somewhere else, while a remote-support tool runs and no browser does.
        let mut tool = remote_support(sandbox, Place::Here)?;
        let elsewhere_ms = begin_ms + 48_000;
        for name in ["dana", "fay", "hal"] {
            cast.denies(name, &Origin::hoster(66), elsewhere_ms)?;
        }
        wait_until(elsewhere_ms + 20_000);
        cast.import(sandbox, &console)?;
        cast.link_all(&console, &endpoint)?;
        let here = cast.told(&console, ("dana", here_ms), is("here"))?;
        ensure!(here["endpoint"] == endpoint.as_str(), "{here}");
        ensure!(here["event_ids"][0].is_string(), "{here}");
        let elsewhere = cast.told(&console, ("dana", elsewhere_ms), is("elsewhere"))?;
        ensure!(elsewhere["confidence"] == "medium", "{elsewhere}");
        cast.told(&console, ("eli", here_ms), lacks("other_user"))?;
        cast.told(&console, ("gil", here_ms), lacks("already_open"))?;
        cast.told(&console, ("hal", elsewhere_ms), lacks("no_control"))?;
        cast.told(&console, ("fay", elsewhere_ms), lacks("no_endpoint"))?;
        tool_evidence(&console, &dana.login)?;
        tool.kill()?;
        tool.wait()?;

        // What happens while the agent is stopped is unknown, and what was known stays.
        agent.stop()?;
        let late_ms = now_ms() + 60_000;
        cast.denies("dana", &Origin::hoster(66), late_ms)?;
        cast.import(sandbox, &console)?;
        cast.told(&console, ("dana", late_ms), lacks("not_reporting"))?;
        cast.told(&console, ("dana", here_ms), is("here"))?;
        cast.told(&console, ("dana", elsewhere_ms), is("elsewhere"))
            .map(drop)
    });
}

/// Other accounts run the browser in it.
fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(
        folder,
        std::fs::Permissions::from_mode(0o755),
    )?)
}

/// What the evidence of a remote-support tool in the person's incidents says.
fn tool_evidence(console: &Console<'_>, login: &str) -> Result<String> {
    for incident in console.rows(&["incidents", "list"])? {
        if incident["subject"].to_string().contains(login) {
            let incident = console.json(&["incidents", "show", text(&incident, "id")?])?;
            let mut evidence = incident["evidence"].as_array().into_iter().flatten();
            if let Some(one) = evidence.find(|one| one["kind"] == "remote_support_tool") {
                return Ok(text(one, "summary")?.to_owned());
            }
        }
    }
    anyhow::bail!("no evidence of a remote-support tool")
}

/// A reason of a provenance that has these words in it.
fn reason(provenance: &Value, words: &str) -> Result<String> {
    let mut reasons = provenance["reasons"].as_array().into_iter().flatten();
    let found = reasons.find_map(|one| one.as_str().filter(|reason| reason.contains(words)));
    let found = found.with_context(|| format!("a reason with \"{words}\": {provenance}"))?;
    Ok(found.to_owned())
}

/// That somebody who reads the person's incidents in a terminal finds a reason there.
fn is_shown(console: &Console<'_>, login: &str, reason: &str) -> Result<()> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown = String::new();
    for incident in console.rows(&["incidents", "list"])? {
        if incident["subject"].to_string().contains(login) {
            let done = console.run(&["incidents", "show", text(&incident, "id")?])?;
            done.succeeded(&["incidents", "show"])?;
            shown.push_str(&done.out_text());
        }
    }
    ensure!(
        words(&shown).contains(&words(reason)),
        "\"{reason}\" is not in\n{shown}"
    );
    Ok(())
}
