//! A provider that knows the machine itself: its device id, bound to an endpoint, says where a sign-in was made, whatever
//! the network shows.

use std::path::Path;

use super::*;

/// What Okta calls the machine.
const DEVICE: &str = "guo4A5u7YAHhjXrMK0g4";

fn import(console: &Console<'_>, file: &Path, code: i32) -> Result<String> {
    let import = [
        "endpoints",
        "import-devices",
        file.to_str().context("a path in UTF-8")?,
    ];
    let done = console.run(&import)?;
    done.ended_with(code, &import)?;
    Ok(done.error_text() + &done.out_text())
}

/// A sign-in from a device: what is known of it, once it satisfies.
struct Case<'a> {
    sandbox: &'a Sandbox,
    console: &'a Console<'a>,
    endpoint: String,
}

impl Case<'_> {
    /// The command about the machine's device id, with what else it takes.
    fn device(&self, command: &str, more: &[&str]) -> Result<()> {
        let device = ["--provider", "okta", "--device", DEVICE];
        let arguments = [&["endpoints", command, &self.endpoint], &device[..], more].concat();
        self.console.run(&arguments)?.succeeded(&arguments)
    }

    /// Both of Dana's sign-ins are from her machine by Okta's word; the one with another system less surely so.
    fn known(&self, cast: &Cast, times: (i64, i64)) -> Result<()> {
        let is_so = |confidence: &'static str| {
            move |told: &Value| told["verdict"] == "here" && told["confidence"] == confidence
        };
        let here = cast.told(self.console, ("dana", times.0), is_so("strong"))?;
        ensure!(here["endpoint"] == self.endpoint.as_str(), "{here}");
        let why = reason(&here, "the provider's own device id of this sign-in")?;
        let login = cast.of("dana")?.login;
        is_shown(self.console, &login, &why)?;
        let other = cast.told(self.console, ("dana", times.1), is_so("weak"))?;
        let why = reason(&other, "the provider saw another system or browser")?;
        is_shown(self.console, &login, &why)
    }

    /// By what else there is, nothing can be said.
    fn unknown(&self, cast: &Cast, times: (i64, i64)) -> Result<()> {
        for time_ms in [times.0, times.1] {
            cast.told(self.console, ("dana", time_ms), is("unknown"))?;
        }
        Ok(())
    }

    fn shown(&self, cast: &Cast) -> Result<Vec<Value>> {
        let login = cast.of("dana")?.login;
        let identity = self.console.json(&["identities", "show", &login])?;
        let endpoint = self.console.json(&["endpoints", "show", &self.endpoint])?;
        ensure!(identity["devices"] == endpoint["devices"], "{identity}");
        let devices = endpoint["devices"].as_array().context("a list")?;
        Ok(devices.clone())
    }
}

#[test]
fn a_provider_that_knows_the_machine_says_where_a_sign_in_was_made() {
    if !is_root_or_skips("a machine of its own") {
        return;
    }
    flow(|sandbox| {
        let server = Server::start_with(sandbox, Setup::default())?;
        let console = server.admin();
        let agent = Agent::start(sandbox, Place::Here, &server)?;
        let case = Case {
            sandbox,
            console: &console,
            endpoint: agent.id()?,
        };
        let mut cast = Cast::new(&["dana"]);
        let times = (now_ms() - 90_000, now_ms() - 45_000);
        let known = |origin: Origin| Origin {
            device: Some(DEVICE.to_owned()),
            ..origin
        };
        cast.denies("dana", &known(Origin::office(7)), times.0)?;
        cast.denies("dana", &known(Origin::hoster(66)), times.1)?;
        cast.import(sandbox, &console)?;
        cast.link(&console, &case.endpoint, "dana", DANA)?;
        case.unknown(&cast, times)?;
        bound(&case, &cast, times)
    });
}

fn bound(case: &Case<'_>, cast: &Cast, times: (i64, i64)) -> Result<()> {
    let hostname = case.console.json(&["endpoints", "show", &case.endpoint])?["hostname"].clone();
    let hostname = hostname.as_str().context("a hostname")?;
    let list =
        format!("hostname,provider,device_id\n{hostname},okta,{DEVICE}\nnot-there,okta,guo9\n");
    let list = case.sandbox.file("devices.csv", list)?;
    let said = import(case.console, &list, 2)?;
    ensure!(
        said.contains("line 3: there is no endpoint 'not-there'"),
        "{said}"
    );
    case.known(cast, times)?;
    let devices = case.shown(cast)?;
    ensure!(devices[0]["device_id"] == DEVICE, "{devices:?}");
    ensure!(devices[0]["source"] == "import", "{devices:?}");
    ensure!(import(case.console, &list, 2)?.contains("Unchanged     1"));

    // What is taken away is gone from what is said, and no import brings it back; an analyst does.
    case.device("unbind", &["--reason", "sold"])?;
    case.unknown(cast, times)?;
    ensure!(case.shown(cast)?.is_empty());
    let said = import(case.console, &list, 2)?;
    ensure!(said.contains("was unbound by an analyst"), "{said}");
    case.unknown(cast, times)?;
    case.device("bind", &[])?;
    case.known(cast, times)?;

    let audit = case.console.rows(&["audit", "list"])?;
    let acts = |action: &str| audit.iter().filter(|row| row["action"] == action).count();
    let acts = [
        "endpoints.import_devices",
        "endpoints.unbind",
        "endpoints.bind",
    ]
    .map(acts);
    ensure!(acts == [3, 1, 1], "{acts:?}");
    Ok(())
}
