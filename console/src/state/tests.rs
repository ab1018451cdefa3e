//! Stories of keys and news.

use tocsin_proto::console::v1::{
    Attempt, EndpointRef, EventRow, Incident, IncidentState, IncidentSummary, SearchEventsRequest,
};

use super::fleet::Fleet;
use super::*;
use crate::action::{Change, Query, Slot, What};
use crate::event::{News, Reply, Target};

fn up() -> State {
    let mut state = State::new(Theme::None, (80, 24), 1);
    let link = Link::Up("a:1".into());
    state.on(Event::News(News::Link(link)), 2);
    state
}

fn press(state: &mut State, keys: &str) -> Vec<Action> {
    let mut actions = Vec::new();
    for key in keys.chars() {
        let key = match key {
            '\n' => Key::Enter,
            '\x1b' => Key::Esc,
            c => Key::Char(c),
        };
        actions.extend(state.on(Event::Key(key), 3));
        state.settle();
    }
    actions
}

fn tell(state: &mut State, id: &str, title: &str) -> Vec<Action> {
    let incident = IncidentSummary {
        id: id.into(),
        title: title.into(),
        severity: 5,
        state: IncidentState::New.into(),
        ..IncidentSummary::default()
    };
    let actions = state.on(Event::News(News::Incident(Box::new(incident))), 4);
    state.settle();
    actions
}

fn open(state: &mut State) {
    tell(state, "aaaa", "seventeen prompts");
    press(state, "2\n");
    let incident = Incident {
        id: "aaaa".into(),
        state: IncidentState::New.into(),
        first_event_time_ms: 900_000,
        last_event_time_ms: 950_000,
        attempts: vec![Attempt {
            time_ms: 900_000,
            source_ip: "203.0.113.7".into(),
            ..Attempt::default()
        }],
        endpoints: vec![EndpointRef {
            id: "e1".into(),
            hostname: "lab-7".into(),
        }],
        ..Incident::default()
    };
    let reply = Reply::Incident(Box::new(incident));
    let query = Query::Incident("aaaa".into());
    state.on(Event::News(News::Answer(query, Ok(reply))), 5);
}

#[test]
fn a_connection_makes_the_screen_ask_for_what_it_shows() {
    let mut state = State::new(Theme::None, (80, 24), 1);
    assert!(state.is_waiting());
    let link = News::Link(Link::Up("a:1".into()));
    let asked = state.on(Event::News(link), 2);
    let expect = [Query::Server, Query::Feeds, Query::Endpoints].map(Action::Ask);
    assert_eq!(asked, expect);
}

#[test]
fn what_has_not_changed_is_not_asked_for_again() {
    let mut state = up();
    let server = GetServerResponse::default();
    let reply = News::Answer(Query::Server, Ok(Reply::Server(server)));
    state.on(Event::News(reply), 3);
    let asked = tell(&mut state, "aaaa", "seventeen prompts");
    let attempts = Query::Attempts(vec!["aaaa".into()]);
    assert_eq!(asked, [Action::Ask(attempts.clone())]);
    let reply = News::Answer(attempts.clone(), Ok(Reply::Attempts(Vec::new())));
    state.on(Event::News(reply), 4);
    let reply = |query, reply| Event::News(News::Answer(query, Ok(reply)));
    state.on(reply(Query::Feeds, Reply::Feeds(Vec::new())), 5);
    let fleet = Reply::Endpoints(Fleet::of(&[]).into());
    state.on(reply(Query::Endpoints, fleet), 6);
    assert_eq!(state.due_ms(), None, "nothing has changed");
    let changes = Changes {
        feeds: 1,
        events: 1,
        ..Changes::default()
    };
    assert!(!state.is_seen(&Event::News(News::Changes(changes))));
    state.on(Event::News(News::Changes(changes)), 14_000);
    assert!(state.due_ms().is_some_and(|due_ms| due_ms <= 14_000));
    let asked = state.on(Event::Refresh, 15_000);
    assert!(asked.contains(&Action::Ask(Query::Feeds)));
    assert!(!asked.contains(&Action::Ask(Query::Endpoints)), "{asked:?}");
    assert_eq!(state.due_ms(), None, "one question at a time");
    state.on(reply(Query::Feeds, Reply::Feeds(Vec::new())), 15_001);
    assert_eq!(state.due_ms(), None, "telemetry is not shown here");
    assert!(!asked.contains(&Action::Ask(attempts.clone())), "{asked:?}");
    assert!(!asked.contains(&Action::Ask(Query::Server)), "{asked:?}");
    tell(&mut state, "aaaa", "eighteen prompts");
    let asked = state.on(Event::Refresh, 100_000);
    assert!(asked.contains(&Action::Ask(attempts)), "{asked:?}");
    assert!(asked.contains(&Action::Ask(Query::Server)), "{asked:?}");
}

#[test]
fn from_the_overview_to_an_incident_and_back() {
    let mut state = up();
    tell(&mut state, "aaaa", "seventeen prompts");
    let asked = press(&mut state, "\n");
    assert!(asked.contains(&Action::Drop(Slot::Attempts)));
    assert!(asked.contains(&Action::Ask(Query::Incident("aaaa".into()))));
    let left = press(&mut state, "\x1b");
    assert!(left.contains(&Action::Drop(Slot::Incident)));
    assert_eq!(*state.place(), Place::Overview);
    press(&mut state, "]");
    assert_eq!(*state.place(), Place::Incident("aaaa".into()));
}

#[test]
fn an_incident_that_changes_while_it_is_read_is_asked_for_again() {
    let mut state = up();
    open(&mut state);
    assert!(tell(&mut state, "aaaa", "seventeen prompts").is_empty());
    let asked = tell(&mut state, "aaaa", "eighteen prompts");
    assert_eq!(asked, [Action::Ask(Query::Incident("aaaa".into()))]);
}

#[test]
fn an_answer_for_what_is_not_looked_at_any_more_is_dropped() {
    let mut state = up();
    open(&mut state);
    let reply = Reply::Incident(Box::new(Incident {
        id: "bbbb".into(),
        ..Incident::default()
    }));
    let query = Query::Incident("bbbb".into());
    state.on(Event::News(News::Answer(query, Ok(reply))), 6);
    assert_eq!(state.incident.incident.value().unwrap().id, "aaaa");
}

#[test]
fn state_verdict_note_and_assignee_are_set_by_keys() {
    let mut state = up();
    open(&mut state);
    let change = |what| {
        let incident = "aaaa".to_owned();
        Action::Change(Change { incident, what })
    };
    let done = press(&mut state, "sj\n");
    assert_eq!(done, [change(What::State(IncidentState::InProgress))]);
    let done = press(&mut state, "vj\n");
    let verdict = tocsin_proto::console::v1::Verdict::TruePositive;
    assert_eq!(done, [change(What::Verdict(verdict))]);
    let done = press(&mut state, "ncalled q?\n");
    assert_eq!(done, [change(What::Note("called q?".into()))]);
    let done = press(&mut state, "akim\n");
    assert_eq!(done, [change(What::Assignee("kim".into()))]);
    assert!(press(&mut state, "n\n").is_empty(), "an empty note is none");
    assert!(press(&mut state, "s\x1b").is_empty(), "one may leave it");
    assert!(state.popup.is_none());
}

#[test]
fn the_filter_narrows_while_it_is_typed_and_is_left_by_escape() {
    let mut state = up();
    tell(&mut state, "aaaa", "seventeen prompts");
    tell(&mut state, "bbbb", "a rogue factor");
    press(&mut state, "2/rogue");
    assert_eq!(state.incidents.len(), 1);
    press(&mut state, "\n");
    assert_eq!(state.incidents.filter(), "rogue");
    press(&mut state, "/\x1b");
    assert_eq!(state.incidents.len(), 2);
}

#[test]
fn the_palette_goes_anywhere() {
    let mut state = up();
    tell(&mut state, "bbbb", "a rogue factor");
    press(&mut state, ":rogue\n");
    assert_eq!(*state.place(), Place::Incident("bbbb".into()));
    press(&mut state, ":endp\n");
    assert_eq!(*state.place(), Place::Endpoints);
}

#[test]
fn the_palette_does_what_the_keys_of_the_screen_do() {
    let mut state = up();
    press(&mut state, ":next theme");
    let Some(Popup::Palette(palette)) = &state.popup else {
        panic!("{:?}", state.popup);
    };
    assert_eq!(palette.found[0].1, "do: next theme  T");
    let before = state.theme;
    press(&mut state, "\n");
    assert_eq!(state.theme, before.next());
    press(&mut state, ":its verdict\n");
    assert!(state.popup.is_none(), "there is none to judge here");
    open(&mut state);
    press(&mut state, ":its verdict\n");
    let Some(Popup::Choice(choice)) = &state.popup else {
        panic!("{:?}", state.popup);
    };
    assert_eq!(choice.title, "Verdict");
}

#[test]
fn what_is_known_stays_when_the_connection_breaks() {
    let mut state = up();
    open(&mut state);
    state.on(Event::News(News::Link(Link::Down("broke".into()))), 9);
    assert_eq!(state.link_time_ms, 9);
    state.on(Event::News(News::Link(Link::Down("still".into()))), 20);
    assert_eq!(state.link_time_ms, 9, "since when, not how often");
    assert!(state.incident.incident.value().is_some());
    assert_eq!(state.incidents.total(), 1);
    assert!(press(&mut state, "r").contains(&Action::Reconnect));
}

#[test]
fn a_refused_change_is_said_until_the_next_key() {
    let mut state = up();
    let change = Change {
        incident: "aaaa".into(),
        what: What::Note("x".into()),
    };
    let refused = News::Changed(change, Err("not permitted".into()));
    state.on(Event::News(refused), 5);
    assert_eq!(
        state.notice,
        Some(("not permitted".into(), Style::Critical))
    );
    press(&mut state, "j");
    assert_eq!(state.notice, None);
}

#[test]
fn everything_ends() {
    let mut state = up();
    assert_eq!(press(&mut state, "q"), [Action::Quit]);
    assert_eq!(state.on(Event::End, 5), [Action::Quit]);
    press(&mut state, ":q");
    assert!(state.popup.is_some(), "a letter in the palette is a letter");
}

/// The question for events among these.
fn asked(actions: &[Action]) -> &SearchEventsRequest {
    let mut asked = actions.iter().filter_map(|action| match action {
        Action::Ask(Query::Events(request)) => Some(request),
        _ => None,
    });
    asked.next().unwrap()
}

fn found(state: &mut State, actions: &[Action], rows: Vec<EventRow>) {
    let query = Query::Events(asked(actions).clone());
    state.on(
        Event::News(News::Answer(
            query,
            Ok(Reply::Page(rows.into_iter().collect())),
        )),
        7,
    );
}

#[test]
fn from_an_incident_to_the_events_around_it_and_back() {
    let mut state = up();
    open(&mut state);
    let actions = press(&mut state, "f\n");
    assert_eq!(*state.place(), Place::Events);
    let request = asked(&actions);
    assert_eq!(request.endpoint, "e1");
    assert_eq!(
        (request.since_time_ms, request.until_time_ms),
        (300_000, 1_500_000)
    );
    press(&mut state, "\x1b");
    assert_eq!(*state.place(), Place::Incident("aaaa".into()));
    let actions = press(&mut state, "fj\n");
    assert_eq!(asked(&actions).text, "203.0.113.7");
}

#[test]
fn a_search_is_typed_and_a_wrong_one_stays_to_be_corrected() {
    let mut state = up();
    press(&mut state, "5/kind:proces\n");
    assert!(state.popup.is_some());
    assert!(state.notice.as_ref().unwrap().0.contains("process"));
    let actions = press(&mut state, "s user:dana\n");
    let request = asked(&actions);
    assert_eq!(
        (request.kind.as_str(), request.user.as_str()),
        ("process", "dana")
    );
    assert!(state.popup.is_none());
    let left = press(&mut state, "1");
    assert!(
        left.contains(&Action::Drop(Slot::Events)),
        "nobody waits for it"
    );
}

#[test]
fn what_is_followed_is_asked_for_as_long_as_it_is_looked_at() {
    let mut state = up();
    let actions = press(&mut state, "5");
    found(&mut state, &actions, Vec::new());
    let actions = press(&mut state, "t");
    assert!(matches!(actions[..], [Action::Ask(Query::Newer(_))]));
    let changes = |events| {
        let changes = Changes {
            events,
            ..Changes::default()
        };
        Event::News(News::Changes(changes))
    };
    state.on(changes(1), 8);
    assert!(state.due_ms().is_some());
    assert!(
        state.on(Event::Refresh, 9).is_empty(),
        "one question at a time"
    );
    assert_eq!(state.due_ms(), None);
    state.on(changes(2), 10);
    assert!(state.due_ms().is_some());
    press(&mut state, "2");
    assert_eq!(state.due_ms(), None);
}

#[test]
fn a_value_is_copied() {
    let mut state = up();
    open(&mut state);
    let actions = press(&mut state, "y\n");
    assert_eq!(actions, [Action::Copy("lab-7".into())]);
    assert_eq!(state.notice.as_ref().unwrap().0, "copied: lab-7");
}

#[test]
fn the_first_click_selects_and_the_second_opens() {
    let mut state = up();
    tell(&mut state, "aaaa", "seventeen prompts");
    tell(&mut state, "bbbb", "a rogue factor");
    state.on(Event::Click(Target::Screen(Place::Incidents)), 5);
    state.on(Event::Click(Target::Row(1)), 5);
    assert_eq!(*state.place(), Place::Incidents);
    state.on(Event::Click(Target::Row(1)), 5);
    assert_eq!(*state.place(), Place::Incident("bbbb".into()));
    let mut state = up();
    open(&mut state);
    press(&mut state, "s");
    state.on(Event::Click(Target::Elsewhere), 5);
    assert!(state.popup.is_none(), "a click beside it leaves it");
    press(&mut state, "s");
    let done = state.on(Event::Click(Target::Choice(3)), 5);
    assert!(matches!(done[..], [Action::Change(_)]));
}

#[test]
fn times_are_utc_then_local_then_the_persons() {
    let mut state = up();
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
    state.local_zone = Some(zone.clone());
    open(&mut state);
    let endpoint = tocsin_proto::console::v1::Endpoint {
        id: "e1".into(),
        time_zone: "Nowhere/Land".into(),
        ..Default::default()
    };
    let reply = Reply::Endpoints(Fleet::of(&[endpoint]).into());
    state.on(Event::News(News::Answer(Query::Endpoints, Ok(reply))), 6);
    press(&mut state, "Z");
    assert_eq!(state.zone, Zone::Local(zone));
    let name = "Nowhere/Land".to_owned();
    assert_eq!(press(&mut state, "Z"), [Action::FindZone(name.clone())]);
    state.on(Event::Zone(name, None), 6);
    assert!(state.notice.as_ref().unwrap().0.contains("knows no zone"));
}

#[test]
fn a_report_is_written_to_a_new_file_and_what_became_of_it_is_said() {
    let mut state = up();
    open(&mut state);
    let actions = press(&mut state, "xjj\n\n");
    let [Action::Write(name, content)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(name, "incident-aaaa.html");
    assert!(content.contains("<svg"), "{content}");
    state.on(
        Event::Written(name.clone(), Err("it is there\x1b".into())),
        8,
    );
    let said = &state.notice.as_ref().unwrap().0;
    assert_eq!(said, "not written: incident-aaaa.html: it is there\\x1b");
    assert!(press(&mut state, "x\n\x1b").is_empty(), "one may leave it");
}

#[test]
fn all_that_are_marked_are_changed_at_once() {
    let mut state = up();
    tell(&mut state, "aaaa", "seventeen prompts");
    tell(&mut state, "bbbb", "a rogue factor");
    tell(&mut state, "cccc", "a new device");
    press(&mut state, "2");
    let done = press(&mut state, "mjjmbj\n");
    let change = |incident: &str| {
        Action::Change(Change {
            incident: incident.into(),
            what: What::State(IncidentState::InProgress),
        })
    };
    assert_eq!(done, [change("aaaa"), change("cccc")]);
    assert_eq!(
        state.incidents.marked(),
        ["cccc"],
        "then only what is selected"
    );
}
