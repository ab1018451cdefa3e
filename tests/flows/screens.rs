//! The screens in a real terminal against a real server and endpoint, as a person works on an incident; what is recorded
//! of it is replayed.

use anyhow::{Context, Result, ensure};
use tocsin_tests::agent::Agent;
use tocsin_tests::okta::Engine;
use tocsin_tests::sandbox::{Place, Sandbox, flow, has_or_skips};
use tocsin_tests::screens::Screens;
use tocsin_tests::server::Server;

use crate::incident::{attacked, import, the_incident};
use crate::{rows, text};

/// Presses keys, and waits for words.
fn press(screens: &mut Screens, keys: &str, words: &str) -> Result<()> {
    screens.press(keys)?;
    screens.sees(words).map(drop)
}

/// Why, what speaks against it, on which endpoint, and a terminal there.
fn understand(screens: &mut Screens) -> Result<()> {
    screens.sees("CRITICAL")?;
    screens.sees("Dana Scully")?;
    press(screens, "\r", "[Attempts]")?;
    press(screens, "G", "APPROVED")?;
    press(screens, "\t", "All that happened")?;
    press(screens, "\t", "What speaks for an attack")?;
    press(screens, "G", "What speaks against it")?;
    press(screens, "e", "Go to")?;
    press(screens, "\r", "Processes (")?;
    press(screens, "t", "Why a terminal there")?;
    press(screens, "still there?\r", "ctrl-] back")?;
    press(screens, "echo st$((1+1))ll\r", "st2ll")?;
    Ok(())
}

/// The terminal ends, and the incident gets its state, verdict, note and report.
fn judge(screens: &mut Screens, report: &str) -> Result<()> {
    press(screens, "\x1d", "Processes (")?;
    press(screens, "K", "K again ends the terminal")?;
    press(screens, "K", "closed")?;
    press(screens, "K", "Processes (")?;
    press(screens, "[", "What speaks")?;
    press(screens, "s", "in progress")?;
    press(screens, "j\r", "state set")?;
    press(screens, "v", "true positive")?;
    press(screens, "j\r", "verdict set")?;
    press(screens, "n", "take it")?;
    press(screens, "called her\r", "note written")?;
    press(screens, "x", "HTML page")?;
    press(screens, "jj\r", "Write the report to")?;
    press(screens, &format!("\x15{report}\r"), "written: ")
}

fn has_colour(screen: &vt100::Screen) -> bool {
    let (rows, columns) = screen.size();
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let mut cells = places.filter_map(|(row, column)| screen.cell(row, column));
    cells.any(|cell| cell.fgcolor() != vt100::Color::Default)
}

/// From the worst incident to its report, recorded and replayed.
fn work(sandbox: &Sandbox, size: (u16, u16), variable: (&str, &str)) -> Result<()> {
    let server = Server::start(sandbox)?;
    let mut agent = Agent::start(sandbox, Place::Here, &server)?;
    let admin = server.admin();
    agent.online(&admin)?;
    let (person, log) = attacked(Engine::Identity);
    import(sandbox, &admin, &log.records())?;
    let endpoint = agent.id()?;
    let link = [
        "identities",
        "link",
        &person.login,
        "--endpoint",
        &endpoint,
        "--user",
        "dana",
    ];
    admin.run(&link)?.succeeded(&link)?;

    let recording = sandbox.fresh("recording");
    let report = sandbox.fresh("report.html");
    let record = ["--record", recording.to_str().context("a path")?];
    let home = sandbox.fresh("home");
    let mut screens = Screens::open_with(&server.profile(), &home, size, (&record, variable))?;
    understand(&mut screens)?;
    let screen = screens.settled("a terminal's output", |text| text.contains("st2ll"))?;
    ensure!(has_colour(&screen) == (variable.0 != "NO_COLOR"));
    judge(&mut screens, report.to_str().context("a path")?)?;
    screens.leave()?;

    let incident = the_incident(&admin, "critical")?;
    ensure!(incident["state"] == "in_progress", "{incident:#}");
    ensure!(incident["verdict"] == "true_positive", "{incident:#}");
    ensure!(
        rows(&incident["notes"])?
            .iter()
            .any(|note| note["text"] == "called her")
    );
    let page = std::fs::read_to_string(report)?;
    ensure!(page.contains("<svg") && page.contains("Dana Scully"));
    let audit = admin.rows(&["audit", "list"])?;
    let opened = audit.iter().find(|row| row["action"] == "terminal.open");
    ensure!(text(opened.context("the terminal's row")?, "detail")?.contains("still there?"));

    let replay = ["--replay", record[1]];
    let done = admin.run(&replay)?;
    done.succeeded(&replay)?;
    // The notice goes with the key that leaves; what was done stays.
    let last = done.out_text();
    ensure!(last.contains("in progress, true positive"), "{last}");
    let recorded = std::fs::read_to_string(&recording)?;
    let secret = std::fs::read_to_string(server.profile())?;
    let secret = secret
        .lines()
        .find(|line| line.len() > 40 && !line.contains("---"));
    ensure!(!recorded.contains(secret.context("a line of a key")?));
    Ok(())
}

#[test]
fn an_incident_is_worked_on_in_a_small_terminal_without_colour() {
    if has_or_skips(&["script"], "the screens in a terminal") {
        flow(|sandbox| work(sandbox, (24, 80), ("NO_COLOR", "1")));
    }
}

#[test]
fn an_incident_is_worked_on_in_a_large_terminal_with_colours() {
    if has_or_skips(&["script"], "the screens in a terminal") {
        flow(|sandbox| work(sandbox, (60, 200), ("COLORTERM", "truecolor")));
    }
}
