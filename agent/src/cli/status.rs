//! `tocsin-agent status`: how the agent is, for any user. It reads one public file and asks nobody.

use serde::Serialize;
use tocsin_proto::json::format_time_ms;

use super::{CommandError, Exit, Output, print, print_json};
use crate::clock;
use crate::command::terminal::TerminalReport;
use crate::health::SensorReport;
use crate::state::StateDirectory;
use crate::status::Status;
use crate::text::{printable, size};

/// What is printed as JSON: the file, and whether its writer runs.
#[derive(Debug, Serialize)]
struct Shown {
    running: bool,
    // The published shape is flat, as product.md's rows are.
    #[serde(flatten)]
    status: Status,
}

/// Prints it.
pub(super) fn run(state: &StateDirectory, output: Output) -> Result<Exit, CommandError> {
    let Some(status) = Status::load(state)? else {
        return Err(CommandError::Failed(format!(
            "there is no status in {}: enroll this machine with 'tocsin-agent enroll', or name its state directory with --state",
            state.path().display()
        )));
    };
    let now_ms = clock::now_ms();
    let shown = Shown {
        running: status.is_running(now_ms),
        status,
    };
    match output {
        Output::Table => print(&table(&shown, now_ms))?,
        Output::Json | Output::Jsonl => print_json(&shown, output)?,
    }
    Ok(Exit::Done)
}

fn table(shown: &Shown, now_ms: i64) -> String {
    let status = &shown.status;
    let time = |ms| format_time_ms(ms).unwrap_or_else(|| "never".into());
    let state = match (shown.running, status.updated_time, status.pid) {
        (true, ..) => format!(
            "running since {} (pid {})",
            time(status.start_time),
            status.pid
        ),
        (false, 0, _) => "not running; it never ran".into(),
        (false, ended, 0) => format!("not running; it ended at {}", time(ended)),
        (false, last, _) => format!("not running; it was last alive at {}", time(last)),
    };
    let mut lines = vec![
        ("agent".to_owned(), state),
        ("endpoint".into(), status.endpoint.clone()),
        ("server".into(), status.server.clone()),
    ];
    if shown.running {
        lines.push(("connection".into(), connection(status)));
    }
    lines.push((
        "certificate".into(),
        format!("expires {}", time(status.certificate_expiry_time)),
    ));
    if shown.running {
        lines.extend(status.sensors.iter().map(sensor));
    }
    if shown.running {
        lines.extend(status.terminals.iter().map(terminal));
    }
    lines.push((
        "spool".into(),
        format!(
            "{} events in {} of {}",
            status.spool_events,
            size(status.spool_bytes),
            size(status.spool_bytes_max)
        ),
    ));
    lines.push((
        "events".into(),
        format!(
            "{} acknowledged, {} dropped",
            status.acknowledged_events, status.dropped_events
        ),
    ));
    lines.push((
        "uses".into(),
        format!(
            "{} MiB, {:.1} s of CPU time",
            status.resident_bytes >> 20,
            std::time::Duration::from_millis(status.cpu_ms).as_secs_f64()
        ),
    ));
    let age_ms = now_ms.saturating_sub(status.updated_time);
    if shown.running && age_ms > 5000 {
        lines.push(("note".into(), format!("this is {} s old", age_ms / 1000)));
    }
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines
        .iter()
        .map(|(name, text)| format!("{name:width$}  {}\n", printable(text)))
        .collect()
}

fn sensor(sensor: &SensorReport) -> (String, String) {
    let mut text = format!("{:?}", sensor.state).to_lowercase();
    text.push_str(&format!(", {} seen, {} lost", sensor.observed, sensor.lost));
    if sensor.restarts > 0 {
        text.push_str(&format!(", {} restarts", sensor.restarts));
    }
    if !sensor.detail.is_empty() {
        text.push_str(&format!(": {}", sensor.detail));
    }
    (sensor.name.clone(), text)
}

/// One that is open: whoever uses the machine is to see it.
fn terminal(terminal: &TerminalReport) -> (String, String) {
    let since = format_time_ms(terminal.open_time).unwrap_or_default();
    let text = format!(
        "open since {since} by {} at the server (pid {})",
        terminal.analyst, terminal.pid
    );
    ("terminal".into(), text)
}

fn connection(status: &Status) -> String {
    let since = format_time_ms(status.connection.since_time).unwrap_or_default();
    let state = format!("{:?}", status.connection.state).to_lowercase();
    let mut text = format!("{state} since {since}");
    if !status.connection.detail.is_empty() {
        text.push_str(&format!(": {}", status.connection.detail));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status::never_run("host".into())
    }

    #[test]
    fn json_has_the_fields_that_others_rely_on() {
        let shown = Shown {
            running: true,
            status: status(),
        };
        let json = serde_json::to_value(&shown).unwrap();
        for field in [
            "running",
            "endpoint",
            "server",
            "spool_events",
            "sensors",
            "connection",
            "acknowledged_sequence",
            "last_sequence",
            "run",
            "updated_time",
            "pid",
        ] {
            assert!(json.get(field).is_some(), "{field}");
        }
    }

    #[test]
    fn every_user_sees_who_has_a_terminal_open() {
        let mut status = status();
        status.terminals = vec![TerminalReport {
            id: "1".into(),
            analyst: "dana\u{1b}[2J".into(),
            open_time: 1_795_495_440_123,
            pid: 42,
        }];
        let running = true;
        let text = table(&Shown { running, status }, 5);
        let said = "terminal     open since 2026-11-24T04:44:00.123Z by dana\u{fffd}[2J at the server (pid 42)";
        assert!(text.contains(said), "{text}");
    }

    #[test]
    fn hostile_text_is_made_harmless() {
        let mut status = status();
        status.server = "a\u{1b}[2J:1".into();
        let text = table(
            &Shown {
                running: false,
                status,
            },
            5,
        );
        assert!(!text.contains('\u{1b}'));
        assert!(text.contains("it never ran"));
    }

    #[test]
    fn without_a_status_the_cure_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().to_owned());
        let error = run(&state, Output::Table).unwrap_err();
        assert!(error.to_string().contains("tocsin-agent enroll"));
        assert_eq!(error.exit(), Exit::Failed);
    }
}
