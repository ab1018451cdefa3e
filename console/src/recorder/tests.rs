//! A run that is recorded, and told once more.

use tocsin_proto::console::v1::{
    Endpoint, EndpointState, EventRow, GetServerResponse, IncidentSummary, Severity,
    Terminal as Open,
};

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::action::{PaneId, ToTerminal};
use crate::event::{Link, PaneNews, Reply};
use crate::keymap::Key;
use crate::state::fleet::Fleet;
use crate::theme::Theme;

/// The screens, as their loop keeps them.
struct Run {
    state: State,
    recorder: Recorder<Vec<u8>>,
    frame: Buffer,
    now_ms: i64,
}

impl Run {
    fn new() -> Self {
        let mut state = State::new(Theme::None, (80, 24), 1_000_000);
        state.keymap = crate::keys::parse("[everywhere]\noverview = [\"~\"]\n").unwrap();
        let mut recorder = Recorder::new(Vec::new());
        recorder.begin(&state);
        Self {
            state,
            recorder,
            frame: Buffer::default(),
            now_ms: 1_000_000,
        }
    }

    fn take(&mut self, event: Event) -> Vec<Action> {
        self.now_ms += 100;
        self.recorder.event(&event, self.now_ms, &self.state);
        let actions = self.state.on(event, self.now_ms);
        self.recorder.actions(&actions);
        self.state.settle();
        let max = crate::screen::scroll_max(&self.state);
        self.state.keep_scroll(max);
        let (columns, rows) = self.state.size;
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let state = &self.state;
        let drawn = terminal.draw(|frame| drop(crate::screen::draw(state, frame)));
        self.frame = drawn.unwrap().buffer.clone();
        self.recorder.frame(&self.frame);
        actions
    }

    fn press(&mut self, keys: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        for key in keys.chars() {
            let key = match key {
                '\n' => Key::Enter,
                key => Key::Char(key),
            };
            actions = self.take(Event::Key(key));
        }
        actions
    }

    /// Answers the question that is of this kind among these.
    fn answer(&mut self, actions: &[Action], reply: impl Fn(&Query) -> Option<Reply>) {
        for action in actions {
            if let Action::Ask(query) = action
                && let Some(reply) = reply(query)
            {
                self.take(Event::News(News::Answer(query.clone(), Ok(reply))));
            }
        }
    }

    fn end(mut self) -> (String, Vec<String>) {
        assert!(self.recorder.end().unwrap());
        let recording = String::from_utf8(self.recorder.out).unwrap();
        (recording, rows(&self.frame))
    }
}

fn reply(query: &Query) -> Option<Reply> {
    let endpoint = |n: u8| Endpoint {
        id: format!("e{n}"),
        hostname: format!("lab-{n}\u{1b}[2J"),
        state: EndpointState::Online.into(),
        tags: vec!["a".into(), "b".into()],
        ..Endpoint::default()
    };
    Some(match query {
        Query::Server => Reply::Server(GetServerResponse {
            analyst: "kim".into(),
            role: "admin".into(),
            ..GetServerResponse::default()
        }),
        Query::Feeds => Reply::Feeds(Vec::new()),
        Query::Endpoints => Reply::Endpoints(Fleet::of(&[endpoint(1), endpoint(2)]).into()),
        Query::Endpoint(_) => Reply::Endpoint(Box::new(endpoint(1))),
        Query::Events(_) => {
            let row = |n: i64| EventRow {
                id: n.to_string(),
                kind: "process".into(),
                event_time_ms: n,
                ..EventRow::default()
            };
            Reply::Page((1..9).map(row).collect())
        }
        _ => return None,
    })
}

/// A run over several screens, with a terminal.
fn run() -> (String, Vec<String>) {
    let mut run = Run::new();
    let asked = run.take(Event::News(News::Link(Link::Up("a:1".into()))));
    run.answer(&asked, reply);
    let incident = IncidentSummary {
        id: "aaaa".into(),
        title: "seventeen \u{202e}prompts".into(),
        severity: Severity::Critical.into(),
        ..IncidentSummary::default()
    };
    run.take(Event::News(News::Incident(Box::new(incident))));
    let asked = run.press("5");
    run.answer(&asked, reply);
    run.press("~");
    let asked = run.press("3\n");
    run.answer(&asked, reply);
    run.press("twhy not\n");
    let open = Open {
        hostname: "lab-1".into(),
        ..Open::default()
    };
    let pane = PaneId(1);
    run.take(Event::News(News::Terminal(
        pane,
        PaneNews::Opened(Box::new(open)),
    )));
    let typed = run.take(Event::Typed(b"secret-word\r".to_vec()));
    assert!(matches!(
        typed.as_slice(),
        [Action::Terminal(ToTerminal::Input(_))]
    ));
    run.take(Event::Paste("pasted-word".into()));
    let output = PaneNews::Output(b"\x1b[31mroot# \xff\xfe\r\n".to_vec());
    run.take(Event::News(News::Terminal(pane, output)));
    run.take(Event::Resize(120, 40));
    run.end()
}

#[test]
fn the_same_frames_come_of_what_was_recorded() {
    let (recording, rows) = run();
    let replayed = replay(recording.as_bytes()).unwrap();
    assert_eq!(replayed.rows, rows);
    assert_eq!((replayed.first_other, replayed.ends_alike), (None, true));
    assert!(replayed.frames > 20, "{}", replayed.frames);
    assert!(rows.iter().any(|row| row.contains("root#")), "{rows:#?}");
}

#[test]
fn what_is_otherwise_is_found() {
    let (recording, _) = run();
    let other = recording.replacen(
        "{\"key\":{\"char\":\"5\"}}",
        "{\"key\":{\"char\":\"6\"}}",
        1,
    );
    assert_ne!(other, recording);
    let replayed = replay(other.as_bytes()).unwrap();
    assert!(replayed.first_other.is_some());
}

#[test]
fn nothing_that_was_typed_into_a_terminal_is_in_it_and_nothing_that_a_terminal_obeys() {
    let (recording, _) = run();
    for hidden in ["secret-word", "pasted-word"] {
        assert!(!recording.contains(hidden));
    }
    let is_harmless = |c: char| c == '\n' || (' '..='~').contains(&c) || c.is_alphanumeric();
    let drawn = ['›', '│', '─', '┌', '┐', '└', '┘', '…', '█', '·', '▏', '⠋'];
    let bad = recording
        .chars()
        .find(|c| !is_harmless(*c) && !drawn.contains(c));
    assert_eq!(bad, None);
    assert!(recording.contains("why not") || recording.contains("\"char\":\"y\""));
}

#[test]
fn it_is_bounded_and_says_where_it_ends() {
    let mut run = Run::new();
    let begun = run.recorder.out.len();
    run.recorder.left = 2_000;
    for _ in 0..100 {
        run.press("2");
    }
    assert_eq!(run.recorder.left, 0);
    assert!(run.recorder.out.len() <= begun + 2_000);
    let before = run.recorder.out.len();
    let frame = run.frame.clone();
    run.recorder.frame(&frame);
    assert_eq!(run.recorder.out.len(), before);
    assert!(!run.recorder.end().unwrap(), "not all of it is there");
}

#[test]
fn what_is_no_recording_is_told_with_its_line() {
    for bad in [
        "",
        "x\n",
        "{\"full\":null}\n",
        "{\"frame\":{\"frame\":1}}\n",
    ] {
        assert!(replay(bad.as_bytes()).is_err(), "{bad:?}");
    }
    let (recording, _) = run();
    let mut lines: Vec<&str> = recording.lines().collect();
    lines.insert(
        3,
        "{\"event\":{\"now_ms\":1,\"said\":{\"answer\":[99999,{\"Err\":\"x\"}]}}}",
    );
    let replayed = replay(lines.join("\n").as_bytes()).unwrap();
    assert!(replayed.frames > 0, "an answer to no question is none");
    lines.insert(4, "{\"event\":{\"now_ms\":1}}");
    assert!(replay(lines.join("\n").as_bytes()).is_err());
}
