//! The screens in a terminal of their own, as a person works with them: from the worst incident to why, to an
//! endpoint, to state, verdict, note and report. `script` of util-linux lends the terminal.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

use crate::assert_harmless;
use crate::fake::{Fake, HANGS, Script, story};

/// The program in a terminal of this size: rows, columns.
struct Screens {
    child: Child,
    keys: ChildStdin,
    terminal: Arc<Mutex<vt100::Parser>>,
}

impl Screens {
    fn open(fake: &Fake, (rows, columns): (u16, u16), variable: (&str, &str)) -> Self {
        let program = env!("CARGO_BIN_EXE_tocsin");
        let profile = fake.profile_path();
        let line = format!(
            "stty rows {rows} cols {columns}; exec {program} --profile {}",
            profile.display()
        );
        let mut child = Command::new("script")
            .args(["-q", "-f", "-e", "-c", &line, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .env_remove("NO_COLOR")
            .env_remove("TOCSIN_THEME")
            .env("XDG_STATE_HOME", fake.dir.path())
            .env("XDG_CONFIG_HOME", fake.dir.path())
            .env(variable.0, variable.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let keys = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let terminal = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let shown = Arc::clone(&terminal);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer).await {
                shown.lock().unwrap().process(&buffer[..n]);
            }
        });
        Self {
            child,
            keys,
            terminal,
        }
    }

    fn text(&self) -> String {
        self.terminal.lock().unwrap().screen().contents()
    }

    /// Waits until this can be read.
    async fn sees(&self, words: &str) {
        let begin = Instant::now();
        while !self.text().contains(words) {
            assert!(
                begin.elapsed() < HANGS,
                "'{words}' does not come:\n{}",
                self.text()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_harmless(&self.text());
    }

    /// Presses these keys and waits until this can be read.
    async fn press(&mut self, keys: &str, words: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
        self.sees(words).await;
    }

    fn has_colour(&self) -> bool {
        let terminal = self.terminal.lock().unwrap();
        let (rows, columns) = terminal.screen().size();
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let mut cells = places.filter_map(|(row, column)| terminal.screen().cell(row, column));
        cells.any(|cell| cell.fgcolor() != vt100::Color::Default)
    }
}

/// From the worst incident to its report.
async fn work(size: (u16, u16), variable: (&str, &str), is_coloured: bool) {
    let fake = Fake::start_with(Script {
        watches: vec![vec![story::summary(0xaa)]],
        ..Script::default()
    })
    .await;
    let mut screens = Screens::open(&fake, size, variable);
    screens.sees("CRITICAL").await;
    screens.sees("dana").await;
    assert_eq!(screens.has_colour(), is_coloured, "{}", screens.text());
    screens.press("\r", "[Attempts]").await;
    screens.sees("APPROVED").await;
    screens.press("\t", "All that happened").await;
    screens.press("\t", "What speaks for an attack").await;
    screens.press("G", "What speaks against it").await;
    screens.press("e", "endpoint evil").await;
    screens.press("\r", "Processes (").await;
    screens.press("[", "What speaks").await;
    // A terminal there: what it prints is made safe, what is typed arrives, and it ends when it is asked to twice.
    screens.press("t", "Why a terminal there").await;
    screens.press("still there?\r", "ctrl-] back").await;
    screens.press("uname -a", "uname -a").await;
    screens.press("\x1d", "What speaks").await;
    screens.press("8", "1 of 1 open terminals").await;
    screens.press("[", "What speaks").await;
    screens.press("K", "K again ends the terminal").await;
    screens.press("K", "closed").await;
    screens.press("K", "report").await;
    // Somebody's terminal is watched, and left.
    screens.press("8", "1 of 1 open terminals").await;
    screens.press("\r", "killed").await;
    screens.press("K", "enter watch").await;
    screens.press("[", "What speaks").await;
    screens.press("s", "in progress").await;
    screens.press("j\r", "state set").await;
    screens.press("v", "true positive").await;
    screens.press("j\r", "verdict set").await;
    screens.press("n", "take it").await;
    screens.press("called q?\r", "note written").await;
    let report = fake.dir.path().join("r.html");
    screens.press("x", "HTML page").await;
    screens.press("jj\r", "Write the report to").await;
    let name = format!("\x15{}\r", report.display());
    screens.press(&name, "written: ").await;
    screens.keys.write_all(b"q").await.unwrap();
    let ended = tokio::time::timeout(HANGS, screens.child.wait()).await;
    assert!(ended.unwrap().unwrap().success());
    let kept = fake.dir.path().join("tocsin/console.toml");
    let kept = std::fs::read_to_string(kept).unwrap();
    assert!(kept.contains("screen = \"incidents\""), "{kept}");
    let page = std::fs::read_to_string(report).unwrap();
    assert!(page.contains("<svg") && page.contains("17 prompts"));
    let calls = fake.calls();
    for call in [
        "open_terminal",
        "list_terminals",
        "set_incident_state",
        "set_incident_verdict",
        "add_incident_note",
    ] {
        assert!(calls.iter().any(|one| one.starts_with(call)), "{calls:?}");
    }
    let note = |one: &&String| one.starts_with("add_incident_note") && one.contains("called q?");
    assert!(calls.iter().any(|one| note(&one)));
}

#[tokio::test]
async fn an_incident_is_worked_on_in_a_small_terminal_without_colour() {
    work((24, 80), ("NO_COLOR", "1"), false).await;
}

#[tokio::test]
async fn an_incident_is_worked_on_in_a_large_terminal_with_colours() {
    work((60, 200), ("COLORTERM", "truecolor"), true).await;
}
