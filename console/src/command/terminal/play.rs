//! `tocsin terminal play`: what a terminal printed, as the server has recorded it: at its pace on a terminal, at once into a
//! file or pipe, made safe in both; what is searched for, with its time; or the recording itself, as a file.
//!
//! The lines are asciicast v2, each checked by the server against its place in the recording's chain before it comes. Whether
//! all of them were there is told at the end, and by the exit code.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tocsin_proto::console::v1::play_terminal_response::Message as Part;
use tocsin_proto::console::v1::{PlayTerminalResponse, Recording, RecordingEnd};

use super::how_ended;
use super::local::{Local, told_to_end};
use crate::client::{Client, Messages};
use crate::exit::{Exit, Failure};
use crate::text;
use crate::text::stream::{Filter, Form};
use crate::time;

/// Bytes of a line; a longer one is none of ours.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Bytes of printed text in which something is searched for at once.
const FIND_BYTES_MAX: usize = 64 << 10;

#[derive(Debug, Args)]
pub(crate) struct Play {
    /// Id of the terminal, also of one that has ended.
    id: String,
    /// How many times faster than it was.
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = times)]
    speed: f64,
    /// Nothing that happens for longer than this is waited for. Seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pause_max: f64,
    /// Begin so many seconds after its beginning; what was before is shown at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    from: f64,
    /// Only the printed lines that hold this text, each with when it was printed; exit code 1 where there is none.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["from", "out"])]
    find: Option<String>,
    /// Write the recording into this new file, for a player of asciicast.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn times(text: &str) -> Result<f64, String> {
    let times = text
        .parse()
        .ok()
        .filter(|times| (0.01..=1000.0).contains(times));
    times.ok_or_else(|| "a number from 0.01 to 1000".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (0.0..=1e7).contains(seconds));
    seconds.ok_or_else(|| "a number of seconds".to_owned())
}

/// Plays it.
pub(super) async fn play(client: &Client, wanted: Play) -> Result<Exit, Failure> {
    let mut parts = client.play_terminal(&wanted.id).await?;
    let shown = Local::now().shown && wanted.find.is_none();
    let mut player = Player {
        target: match (&wanted.out, &wanted.find) {
            (Some(path), _) => Target::File(File::create_new(path).map_err(|error| {
                io::Error::new(error.kind(), format!("make {}: {error}", path.display()))
            })?),
            (None, Some(text)) => Target::Found(Finder::new(text)),
            (None, None) => {
                Target::Screen(Filter::new(if shown { Form::Screen } else { Form::Plain }))
            }
        },
        pace: shown.then_some(Pace {
            speed: wanted.speed,
            pause_max: wanted.pause_max,
            from: wanted.from,
            last: wanted.from,
        }),
        lines: Vec::new(),
    };
    let end = tokio::select! {
        end = player.follow(&mut parts) => end,
        () = told_to_end() => Ok(None),
    };
    let found = player.finish()?;
    match end? {
        None => Ok(Exit::Done),
        Some(end) if !end.whole => {
            let problem = text::line(&end.problem);
            crate::say(&format!("tocsin: the recording is NOT WHOLE: {problem}\n"));
            Ok(Exit::Failed)
        }
        Some(_) => {
            crate::say("tocsin: the recording is whole: every hash of its chain fits\n");
            Ok(if found { Exit::Done } else { Exit::Failed })
        }
    }
}

/// Where what is played goes.
enum Target {
    Screen(Filter),
    Found(Finder),
    File(File),
}

/// When what is shown.
struct Pace {
    speed: f64,
    pause_max: f64,
    from: f64,
    last: f64,
}

impl Pace {
    /// How long to wait for something that happened then.
    fn wait(&mut self, time: f64) -> Duration {
        let pause = (time - self.last).clamp(0.0, self.pause_max);
        self.last = self.last.max(time);
        if time <= self.from {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(pause / self.speed).unwrap_or_default()
    }
}

struct Player {
    target: Target,
    pace: Option<Pace>,
    /// The beginning of a line.
    lines: Vec<u8>,
}

impl Player {
    async fn follow(
        &mut self,
        parts: &mut Messages<PlayTerminalResponse>,
    ) -> Result<Option<RecordingEnd>, Failure> {
        while let Some(PlayTerminalResponse { message }) = parts.next().await? {
            match message {
                Some(Part::Recording(recording)) => crate::say(&heading(&recording)),
                Some(Part::Lines(bytes)) => self.take(&bytes).await?,
                Some(Part::End(end)) => return Ok(Some(end)),
                None => {}
            }
        }
        Ok(Some(RecordingEnd {
            whole: false,
            problem: "the server ended the stream".to_owned(),
        }))
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if let Target::File(file) = &mut self.target {
            return Ok(file.write_all(bytes)?);
        }
        self.lines.extend(bytes);
        while let Some(end) = self.lines.iter().position(|byte| *byte == b'\n') {
            let rest = self.lines.split_off(end + 1);
            let line = std::mem::replace(&mut self.lines, rest);
            if let Ok((time, code, text)) = serde_json::from_slice::<(f64, String, String)>(&line) {
                self.show(time, &code, &text).await?;
            }
        }
        if self.lines.len() > LINE_BYTES_MAX {
            return Err(io::Error::other("the server sends a line without an end").into());
        }
        Ok(())
    }

    async fn show(&mut self, time: f64, code: &str, text: &str) -> Result<(), Failure> {
        if let Some(pace) = &mut self.pace {
            tokio::time::sleep(pace.wait(time)).await;
        }
        let printed = match &mut self.target {
            Target::Screen(filter) if code == "o" => filter.pass(text.as_bytes()),
            Target::Found(finder) if code == "o" => finder.take(time, text),
            Target::Screen(_) | Target::Found(_) | Target::File(_) => return Ok(()),
        };
        let mut out = io::stdout().lock();
        out.write_all(&printed)?;
        Ok(out.flush()?)
    }

    /// What is left; whether something was found, where that was asked for.
    fn finish(&mut self) -> Result<bool, Failure> {
        let (last, found) = match &mut self.target {
            Target::Screen(filter) => (filter.restore().into_bytes(), true),
            Target::Found(finder) => (finder.end(), finder.found),
            Target::File(file) => {
                file.sync_all()?;
                (Vec::new(), true)
            }
        };
        let mut out = io::stdout().lock();
        out.write_all(&last)?;
        out.flush()?;
        Ok(found)
    }
}

fn heading(recording: &Recording) -> String {
    let Some(terminal) = &recording.terminal else {
        return String::new();
    };
    let end = match terminal.end_time_ms {
        0 => "no end is recorded".to_owned(),
        _ => how_ended(terminal),
    };
    let said = format!(
        "terminal {} of {} at {}, opened {} UTC for '{}': {end}",
        terminal.id,
        terminal.analyst,
        terminal.hostname,
        time::second(terminal.open_time_ms),
        terminal.reason,
    );
    let mut said = format!("tocsin: {}\n", text::line(&said));
    if !recording.sha256.is_empty() {
        let sha256 = text::line(&recording.sha256);
        said += &format!(
            "tocsin: recorded as sha256 {sha256}; 'audit list' has the same (terminal.end)\n"
        );
    }
    said
}

/// Printed lines that hold a text.
struct Finder {
    text: String,
    filter: Filter,
    line: String,
    /// When the line began.
    time: f64,
    found: bool,
}

impl Finder {
    fn new(text: &str) -> Self {
        Self {
            text: text.to_lowercase(),
            filter: Filter::new(Form::Plain),
            line: String::new(),
            time: 0.0,
            found: false,
        }
    }

    /// Takes what was printed; the lines that hold the text.
    fn take(&mut self, time: f64, printed: &str) -> Vec<u8> {
        let clean = self.filter.pass(printed.as_bytes());
        let mut found = Vec::new();
        for piece in String::from_utf8_lossy(&clean).split_inclusive('\n') {
            if self.line.is_empty() {
                self.time = time;
            }
            self.line.push_str(piece);
            if piece.ends_with('\n') || self.line.len() > FIND_BYTES_MAX {
                found.extend(self.end());
            }
        }
        found
    }

    /// The line, where it holds the text.
    fn end(&mut self) -> Vec<u8> {
        let line = std::mem::take(&mut self.line);
        let line = line.trim_end_matches('\n');
        if line.is_empty() || !line.to_lowercase().contains(&self.text) {
            return Vec::new();
        }
        self.found = true;
        format!("{:9.2} s  {line}\n", self.time).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_short_and_what_was_before_the_beginning_takes_no_time() {
        let mut pace = Pace {
            speed: 2.0,
            pause_max: 3.0,
            from: 10.0,
            last: 10.0,
        };
        let waits = [4.0, 10.0, 11.0, 100.0, 99.0, 100.5].map(|time| pace.wait(time).as_secs_f64());
        assert_eq!(waits, [0.0, 0.0, 0.5, 1.5, 0.0, 0.25]);
        assert_eq!(pace.wait(f64::NAN), Duration::ZERO);
        assert_eq!(pace.wait(f64::INFINITY).as_secs_f64(), 1.5);
    }

    #[test]
    fn what_is_found_is_clean_and_has_its_time() {
        let mut finder = Finder::new("PASSW");
        let mut found = finder.take(1.5, "cat /etc/pa");
        found.extend(finder.take(2.0, "\x1b[1mssw\x1b[md\r\nnothing\r\n"));
        found.extend(finder.take(3.0, "the last passwd"));
        found.extend(finder.end());
        assert_eq!(
            String::from_utf8(found).unwrap(),
            "     1.50 s  cat /etc/passwd\n     3.00 s  the last passwd\n"
        );
        assert!(finder.found);
    }

    #[test]
    fn numbers_have_bounds() {
        assert!(times("0").is_err() && times("NaN").is_err() && times("2").is_ok());
        assert!(seconds("-1").is_err() && seconds("inf").is_err() && seconds("0").is_ok());
    }
}
