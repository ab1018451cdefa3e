//! All that is known about one event, a fact a line.

use ratatui::text::Line;
use tocsin_proto::console::v1::{
    EventRow, FileEvent, FileStateRef, GapEvent, HealthEvent, ProcessEvent,
};

use super::at;
use crate::command::bytes;
use crate::command::events::command_line;
use crate::output::style::Style;
use crate::state::State;
use crate::widget::{span, wrapped};

/// Columns for the names of facts.
const NAME_COLUMNS: usize = 10;

/// The lines.
pub(super) fn of(event: &EventRow, state: &State, columns: usize) -> Vec<Line<'static>> {
    let mut facts = Facts {
        lines: Vec::new(),
        state,
        columns,
    };
    if let Some(process) = &event.process {
        facts.process(process);
    }
    if let Some(file) = &event.file {
        facts.file(file, &event.activity);
    }
    if let Some(gap) = &event.gap {
        facts.gap(gap);
    }
    if let Some(health) = &event.health {
        facts.health(health);
    }
    let host = state.hostname(&event.endpoint);
    facts.put("endpoint", &format!("{host} ({})", event.endpoint));
    let times = format!(
        "{}, received {}",
        at(event.event_time_ms, state),
        at(event.receive_time_ms, state)
    );
    facts.put("time", &times);
    facts.put("id", &event.id);
    facts.lines
}

struct Facts<'a> {
    lines: Vec<Line<'static>>,
    state: &'a State,
    columns: usize,
}

impl Facts<'_> {
    fn put(&mut self, name: &str, said: &str) {
        if said.is_empty() {
            return;
        }
        let theme = self.state.theme;
        let name = span(&format!("{name:<NAME_COLUMNS$} "), theme.look(Style::Faint));
        let plain = theme.look(Style::Plain);
        self.lines.extend(wrapped(name, said, self.columns, plain));
    }

    fn process(&mut self, process: &ProcessEvent) {
        let line = command_line(&process.argv, &process.argv_state, &process.executable);
        self.put("command", &line);
        self.put("executable", &process.executable);
        self.put("sha-256", &process.executable_sha256);
        let user = match process.uid.as_str() {
            "" => process.user.clone(),
            uid => format!("{} (uid {uid})", process.user),
        };
        self.put("user", &user);
        let started = at(process.start_time_ms, self.state);
        self.put("process", &format!("{}, started {started}", process.pid));
        if let Some(parent) = &process.parent {
            self.put("parent", &format!("{} {}", parent.pid, parent.executable));
        }
        let code = process.exit_code.map(|code| format!("code {code}"));
        let signal = process.exit_signal.filter(|signal| *signal != 0);
        let signal = signal.map(|signal| format!("signal {signal}"));
        let end: Vec<_> = code.into_iter().chain(signal).collect();
        self.put("ended", &end.join(", "));
    }

    fn file(&mut self, file: &FileEvent, activity: &str) {
        self.put("file", &file.path);
        self.put("was", &file.previous_path);
        self.put("decides", &file.category.replace('_', " "));
        let state = |of: &Option<FileStateRef>| {
            of.as_ref().map_or_else(String::new, |of| {
                let hash = match of.sha256.as_str() {
                    "" => "not hashed",
                    hash => hash,
                };
                let (mode, uid, gid) = (&of.mode, of.uid, of.gid);
                format!("{mode} {uid}:{gid}, {}, {hash}", bytes(of.size))
            })
        };
        self.put("before", &state(&file.before));
        self.put("after", &state(&file.after));
        let by = match &file.actor {
            None => "not known".to_owned(),
            Some(actor) => {
                let user = match actor.user.as_str() {
                    "" => &actor.uid,
                    user => user,
                };
                format!("{} {} of {user}", actor.pid, actor.executable)
            }
        };
        self.put(
            if activity == "opened" {
                "opened by"
            } else {
                "written by"
            },
            &by,
        );
        if file.count > 1 {
            let since = at(file.first_time_ms, self.state);
            self.put("noticed", &format!("{} times since {since}", file.count));
        }
    }

    fn gap(&mut self, gap: &GapEvent) {
        let lost = gap
            .lost
            .map_or("unknown how many".to_owned(), |n| n.to_string());
        self.put("lost", &lost);
        let place = format!("{} {} {}", gap.place, gap.reason, gap.component);
        self.put("where", place.trim());
        let (from, until) = (gap.from_time_ms, gap.until_time_ms);
        let times = format!("{} to {}", at(from, self.state), at(until, self.state));
        self.put("stretch", &times);
        self.put("run", &gap.run);
    }

    fn health(&mut self, health: &HealthEvent) {
        for sensor in &health.sensors {
            let said = format!(
                "{} {} {}, observed {}, lost {}",
                sensor.name, sensor.state, sensor.detail, sensor.observed, sensor.lost
            );
            self.put("sensor", &said);
        }
        let spool = format!(
            "{} events, {}; dropped {}",
            health.spool_events,
            bytes(health.spool_bytes),
            health.dropped_events
        );
        self.put("spool", &spool);
        self.put("memory", &bytes(health.resident_bytes));
    }
}
