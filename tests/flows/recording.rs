//! Recordings of terminals: what was printed is there and what was typed in secret is not, whatever ends the server; and
//! without a recording there is no terminal.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tocsin_tests::agent::Agent;
use tocsin_tests::program::Programs;
use tocsin_tests::sandbox::{Place, Sandbox, flow};
use tocsin_tests::server::{self, Server, Setup};
use tocsin_tests::wait::until;

use crate::terminal::{Lab, Open};
use crate::{LIMIT, rows, text};

/// What is typed while echo is off.
const SECRET: &str = "hunter2 and more";

impl Open {
    /// Reads its output until a text has come.
    fn hear(&mut self, wanted: &str) -> Result<()> {
        let out = self.child.stdout.as_mut().context("its output")?;
        let mut heard = Vec::new();
        let mut piece = [0; 512];
        while !String::from_utf8_lossy(&heard).contains(wanted) {
            let count = out.read(&mut piece)?;
            ensure!(
                count > 0,
                "it ended before {wanted}: {}",
                String::from_utf8_lossy(&heard)
            );
            heard.extend(piece.get(..count).unwrap_or_default());
        }
        Ok(())
    }
}

/// Events of an asciicast, as (code, text).
fn events(cast: &str) -> Result<Vec<(String, String)>> {
    let mut lines = cast.lines();
    let header: Value = serde_json::from_str(lines.next().context("a header")?)?;
    ensure!(header["version"] == 2 && header["width"] == 80, "{header}");
    let event = |line| Ok(serde_json::from_str::<(f64, String, String)>(line)?);
    let events = lines.map(|line| event(line).map(|(_, code, text)| (code, text)));
    events.collect()
}

/// All texts of one code.
fn all(events: &[(String, String)], code: &str) -> String {
    let of_it = events.iter().filter(|(of, _)| of == code);
    of_it.map(|(_, text)| text.as_str()).collect()
}

/// The bytes of every file below a folder.
fn everything(folder: &Path) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        all.extend(if path.is_dir() {
            everything(&path)?
        } else {
            fs::read(&path)?
        });
    }
    Ok(all)
}

#[test]
fn what_was_printed_is_recorded_and_a_password_stands_nowhere() {
    flow(|sandbox| {
        let mut lab = Lab::start(sandbox)?;
        let mut terminal = lab.open(&[])?;
        terminal.say(
            "stty -echo; echo rea''dy; read word; stty echo; echo go''on; cat > /dev/null\n",
        )?;
        terminal.hear("ready")?;
        terminal.say(&format!("{SECRET}\n"))?;
        terminal.hear("goon")?;
        terminal.say("typed in the open\n\u{4}")?;
        terminal.hear("typed in the open")?;
        terminal.say("echo \"length ${#word}\"; exit\n")?;
        terminal.end()?.succeeded(&["terminal", "open"])?;

        let listed = lab.admin.json(&["terminal", "list", "--recorded"])?;
        let row = rows(&listed)?.first().context("a recording")?;
        let id = text(&row["terminal"], "id")?;
        ensure!(row["terminal"]["end"] == "exited", "{row}");
        let file = sandbox.fresh("cast");
        let out = file.to_str().context("a path in UTF-8")?;
        let play = ["terminal", "play", id, "--out", out];
        let played = lab.admin.run(&play)?;
        played.succeeded(&play)?;
        ensure!(
            played.error_text().contains("is whole"),
            "{}",
            played.error_text()
        );
        let cast = fs::read_to_string(&file)?;
        let events = events(&cast)?;
        let printed = all(&events, "o");
        ensure!(
            printed.contains(&format!("length {}", SECRET.len())),
            "{printed}"
        );
        let typed = all(&events, "i");
        ensure!(typed.contains("typed in the open"), "{typed:?}");
        ensure!(all(&events, "m").contains("typed with echo off"), "{cast}");
        ensure!(!cast.contains("hunter2"), "{cast}");
        // Neither in a database, nor in a log.
        for folder in [lab.server.data(), lab.agent.state(), sandbox.path()] {
            let bytes = everything(folder)?;
            let found = bytes.windows(7).any(|bytes| bytes == b"hunter2");
            ensure!(!found, "the password lies below {}", folder.display());
        }

        let sha256 = text(row, "sha256")?;
        let ended = lab.audit("terminal.end")?;
        let detail = text(ended.first().context("an end")?, "detail")?;
        ensure!(detail.contains(sha256), "{sha256} is not in {detail}");
        ensure!(lab.audit("terminal.play")?.len() == 1);
        let find = ["terminal", "play", id, "--find", "LENGTH"];
        let found = lab.admin.run(&find)?;
        found.succeeded(&find)?;
        ensure!(
            found.out_text().contains(" s  length 16\n"),
            "{}",
            found.out_text()
        );
        let viewer = lab.server.analyst(sandbox, "vera", "viewer")?;
        viewer.run(&find)?.ended_with(77, &find)?;
        is_in_a_backup(sandbox, &mut lab, &find)
    });
}

/// A server that was restored from a backup plays what was recorded before.
fn is_in_a_backup(sandbox: &Sandbox, lab: &mut Lab<'_>, play: &[&str]) -> Result<()> {
    let data = lab.server.data().to_owned();
    let copy = sandbox.fresh("backup");
    let program = |command: &str| {
        let mut program = Command::new(Programs::get()?.server());
        server::run(program.arg(command).arg("--data").arg(&data).arg(&copy))
    };
    program("backup")?;
    lab.server.stop()?;
    fs::remove_dir_all(&data)?;
    program("restore")?;
    lab.server.run()?;
    let played = lab.admin.run(play)?;
    played.succeeded(play)
}

#[test]
fn a_recording_outlives_a_server_that_was_killed_and_shows_a_change() {
    flow(|sandbox| {
        let mut lab = Lab::start(sandbox)?;
        let mut terminal = lab.open(&[])?;
        terminal.say("echo before the cr''ash\n")?;
        terminal.hear("before the crash")?;
        let id = text(&lab.listed()?, "id")?.to_owned();
        let play = ["terminal", "play", &id];
        until(
            "it is on the disk while the terminal is open",
            LIMIT,
            || {
                let played = lab.admin.run(&play)?;
                ensure!(
                    played.error_text().contains("NOT WHOLE"),
                    "{}",
                    played.error_text()
                );
                Ok(played.code == 1 && played.out_text().contains("before the crash"))
            },
        )?;
        lab.server.kill()?;
        ensure!(terminal.end()?.code != 0);
        lab.server.run()?;
        let played = lab.admin.run(&play)?;
        played.succeeded(&play)?;
        ensure!(
            played.out_text().contains("before the crash"),
            "{}",
            played.out_text()
        );
        let row = lab.admin.json(&["terminal", "list", "--recorded"])?;
        ensure!(row[0]["terminal"]["end"] == "server_stopped", "{row}");
        let recovered = lab.audit("terminal.recover")?;
        let detail = text(recovered.first().context("a row")?, "detail")?;
        ensure!(detail.contains(text(&row[0], "sha256")?), "{detail}");

        let folder = fs::read_dir(lab.server.data().join("recordings"))?;
        let path = folder.flatten().next().context("a file")?.path();
        let mut bytes = fs::read(&path)?;
        let place = bytes.len() / 2;
        *bytes.get_mut(place).context("a byte")? ^= 1;
        fs::write(&path, bytes)?;
        let played = lab.admin.run(&play)?;
        played.ended_with(1, &play)?;
        ensure!(
            played.error_text().contains("NOT WHOLE"),
            "{}",
            played.error_text()
        );
        Ok(())
    });
}

#[test]
fn without_a_recording_there_is_no_terminal() {
    flow(|sandbox| {
        let setup = Setup {
            config: "[retention]\nrecordings_size = \"1KiB\"\n",
            ..Setup::default()
        };
        let server = Server::start_with(sandbox, setup)?;
        let agent = Agent::start(sandbox, Place::Here, &server)?;
        let mut lab = Lab::of(server, agent)?;
        let refused = |said: &str| {
            let done = lab.script("exit\n", &[])?;
            done.ended_with(1, &["terminal", "open"])?;
            ensure!(done.error_text().contains(said), "{}", done.error_text());
            ensure!(rows(&lab.admin.json(&["terminal", "list"])?)?.is_empty());
            Ok(())
        };
        let folder = lab.server.data().join("recordings");
        // Where the folder should be is something that is none.
        fs::write(&folder, "")?;
        refused("begin a recording")?;
        fs::remove_file(&folder)?;
        // Noise does not get smaller: the folder is full after it.
        let noise = lab.script("head -c 4000 /dev/urandom | od -An -tx1; exit\n", &[])?;
        noise.succeeded(&["terminal", "open"])?;
        refused("retention.recordings_size")?;
        ensure!(
            lab.audit("terminal.open")?.len() == 1,
            "only what was opened"
        );
        lab.agent.process()?.check_running()
    });
}
