//! The screens as text, at three sizes, compared with files in `console/src/snapshots`; and what holds for
//! every screen whatever is on it. `TOCSIN_SNAPSHOTS=write` writes the files anew.

mod story;

use std::fs;
use std::path::PathBuf;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use self::story::{HOSTILE, NOW_MS, Story};
use super::*;
use crate::event::{Event, News};
use crate::keymap::{self, BINDINGS, Key};
use crate::theme::Theme;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

/// Each screen by the keys that lead to it.
const SCREENS: [(&str, &str); 12] = [
    ("overview", ""),
    ("incidents", "2"),
    ("incident", "2\n"),
    ("endpoints", "3"),
    ("endpoint", "3\n"),
    ("identities", "4"),
    ("identity", "4\n"),
    ("events", "5"),
    ("feeds", "6"),
    ("audit", "7V"),
    ("terminals", "8"),
    ("help", "?"),
];

fn draw_on(state: &State) -> Buffer {
    let (width, height) = state.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| {
            draw(state, frame);
        })
        .unwrap();
    terminal.backend().buffer().clone()
}

fn press(state: &mut State, story: &Story, keys: &str) {
    for key in keys.chars() {
        let key = match key {
            '\n' => Key::Enter,
            '\t' => Key::Tab,
            '\x1b' => Key::Esc,
            c => Key::Char(c),
        };
        let actions = state.on(Event::Key(key), NOW_MS);
        story.answer(state, actions);
        state.settle();
        let max = scroll_max(state);
        state.keep_scroll(max);
    }
}

fn at(story: &Story, size: (u16, u16), theme: Theme, keys: &str) -> State {
    let mut state = State::new(theme, size, NOW_MS);
    story.connect(&mut state);
    press(&mut state, story, keys);
    state
}

fn rows(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content.chunks(width).map(|row| {
        let mut text = String::new();
        let mut skip = 0;
        for cell in row {
            if skip == 0 {
                text.push_str(cell.symbol());
                skip = crate::text::width(cell.symbol()).max(1);
            }
            skip -= 1;
        }
        text.trim_end().to_owned()
    });
    rows.collect()
}

fn compare(name: &str, state: &State) {
    let (width, height) = state.size;
    let mut text = rows(&draw_on(state)).join("\n");
    text.push('\n');
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/snapshots");
    let file = folder.join(format!("{name}-{width}x{height}.txt"));
    if std::env::var("TOCSIN_SNAPSHOTS").is_ok_and(|value| value == "write") {
        fs::create_dir_all(folder).unwrap();
        fs::write(&file, &text).unwrap();
    }
    let expect = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        text == expect.replace("\r\n", "\n"),
        "{} differs; it is now:\n{text}",
        file.display()
    );
}

#[test]
fn the_screens_look_as_they_should_at_every_size() {
    let story = Story::plain();
    for size in SIZES {
        for (name, keys) in SCREENS {
            compare(name, &at(&story, size, Theme::None, keys));
        }
    }
}

#[test]
fn the_panes_of_an_incident_look_as_they_should() {
    let story = Story::plain();
    let panes = ["timeline", "evidence", "missing", "to-do", "facts", "notes"];
    for (tabs, pane) in panes.iter().enumerate() {
        let keys = format!("2\n{}", "\t".repeat(tabs + 1));
        let state = at(&story, (80, 24), Theme::None, &keys);
        compare(&format!("incident-{pane}"), &state);
    }
    let zoomed = at(&story, (80, 24), Theme::None, "2\njjjj++");
    compare("incident-zoomed", &zoomed);
}

#[test]
fn what_stands_above_a_screen_looks_as_it_should() {
    let story = Story::plain();
    for (name, keys) in [
        ("choice", "2\ns"),
        ("note", "2\nnasked Dana"),
        ("palette", ":dana"),
        ("filter", "2/dana"),
        ("tree-filter", "3\n/bash"),
        ("values", "5f"),
        ("search", "5/kind:proces\n"),
        ("linked", "2\ne"),
        ("kill", "8x"),
        ("unmapped", "4u"),
        ("keep-view", "2/dana\nvW"),
    ] {
        compare(name, &at(&story, (80, 24), Theme::None, keys));
    }
}

#[test]
fn what_speaks_against_is_said_before_one_scrolls_and_how_far_one_is_too() {
    let text = |keys| {
        let state = at(&Story::plain(), (80, 24), Theme::None, keys);
        rows(&draw_on(&state)).join("\n")
    };
    let evidence = text("2\n\t\t");
    assert!(evidence.contains("; against it: -0.5, below"), "{evidence}");
    assert!(evidence.contains("  1-10 of 18"), "{evidence}");
    let scrolled = text("2\n\t\tjj");
    assert!(scrolled.contains("  3-12 of 18"), "{scrolled}");
    let missing = text("2\n\t\t\t");
    assert!(!missing.contains(" of 1"), "{missing}");
}

#[test]
fn no_name_of_a_column_of_attempts_is_cut() {
    for size in SIZES {
        let text = rows(&draw_on(&at(&Story::plain(), size, Theme::None, "2\n")));
        let names = text.iter().find(|row| row.starts_with("  TIME")).unwrap();
        let names = names.split('┌').next().unwrap();
        assert!(
            names.contains("PROVENANCE") && names.contains("FACTOR"),
            "{names}"
        );
        assert!(!names.contains('…'), "{names}");
    }
}

#[test]
fn a_terminal_without_a_reason_is_asked_for_it_again() {
    let state = at(&Story::plain(), (80, 24), Theme::None, "3\nt \n");
    let text = rows(&draw_on(&state)).join("\n");
    assert!(text.contains("Why a terminal there"), "{text}");
    assert!(text.contains("no terminal without a reason"), "{text}");
}

#[test]
fn a_server_without_anything_is_told_what_to_do_next() {
    for (name, keys) in [
        ("overview-empty", ""),
        ("incidents-empty", "2"),
        ("endpoints-empty", "3"),
        ("identities-empty", "4"),
        ("events-empty", "5"),
        ("events-none", "5/user:dana x\n"),
        ("feeds-empty", "6"),
        ("terminals-empty", "8"),
    ] {
        compare(name, &at(&Story::empty(), (80, 24), Theme::None, keys));
    }
}

#[test]
fn without_a_connection_what_is_known_is_shown_as_stale() {
    let story = Story::plain();
    for (name, keys) in SCREENS.iter().take(11) {
        let mut state = at(&story, (80, 24), Theme::None, keys);
        let down = News::Link(Link::Down(
            "reach the server at a:1: no answer in 5 s".into(),
        ));
        state.on(Event::News(down), NOW_MS + 1000);
        state.on(Event::Refresh, NOW_MS + 181_000);
        let text = rows(&draw_on(&state)).join("\n");
        let since = "NOT CONNECTED since 04:10:01";
        assert!(text.contains(since), "{name}:\n{text}");
        assert!(text.contains("STALE: as of 04:10:"), "{name}:\n{text}");
        assert!(text.contains("no answer in 5 s"), "{name}:\n{text}");
    }
}

#[test]
fn no_number_is_claimed_before_the_server_has_spoken() {
    let mut state = State::new(Theme::None, (80, 24), NOW_MS);
    for link in [Link::Connecting, Link::Down("no answer".into())] {
        state.on(Event::News(News::Link(link)), NOW_MS);
        let text = rows(&draw_on(&state)).join("\n");
        assert_eq!(text.matches("not known yet").count(), 3, "{text}");
        assert!(!text.contains("0 critical"), "{text}");
    }
}

#[test]
fn hostile_text_looks_harmless_on_every_screen() {
    let story = Story::hostile();
    compare(
        "hostile-incident",
        &at(&story, (80, 24), Theme::None, "2\n"),
    );
    compare(
        "hostile-endpoint",
        &at(&story, (80, 24), Theme::None, "3\n"),
    );
    let keys = [
        "",
        "2",
        "2\n",
        "2\n\t",
        "2\n\t\t",
        "2\n\t\t\t",
        "2\n\t\t\t\t",
        "2\n\t\t\t\t\t",
        "2\n\t\t\t\t\t\t",
    ];
    let more = [
        "2\ne", "3", "3\n", "3\n/e", ":evil", "4", "4\n", "5", "5f", "5y", "6", "7", "8", "8x",
        "4u",
    ];
    for size in [(40, 10), (80, 24), (133, 41), (200, 60)] {
        for keys in keys.iter().chain(&more) {
            let buffer = draw_on(&at(&story, size, Theme::Dark, keys));
            for cell in &buffer.content {
                let hidden = cell.symbol().chars().find(|c| crate::text::is_hidden(*c));
                assert_eq!(hidden, None, "{keys:?} at {size:?}");
            }
        }
    }
    let text = rows(&draw_on(&at(&story, (200, 60), Theme::None, "2"))).join("\n");
    assert!(
        HOSTILE.contains('\x1b') && text.contains("\\x1b]0;owned"),
        "{text}"
    );
}

#[test]
fn no_size_is_too_small_to_draw_on() {
    for story in [Story::plain(), Story::hostile(), Story::empty()] {
        for size in (1..60)
            .map(|n| (n * 3, n))
            .chain([(200, 5), (1, 1), (41, 10)])
        {
            for (_, keys) in SCREENS {
                let mut state = at(&story, size, Theme::Light, keys);
                draw_on(&state);
                press(&mut state, &story, ":");
                draw_on(&state);
            }
        }
    }
}

#[test]
fn every_key_is_on_the_help_screen() {
    let state = State::new(Theme::None, (80, 24), NOW_MS);
    let lines: Vec<_> = help::lines(&state).iter().map(Line::to_string).collect();
    for row in BINDINGS {
        let keys = keymap::names(row.keys);
        let shown =
            |line: &&String| line.trim_start().starts_with(&keys) && line.ends_with(row.help);
        assert!(
            lines.iter().any(|line| shown(&line)),
            "{keys}: {}",
            row.help
        );
    }
    for line in &lines {
        assert!(crate::text::width(line) <= 80, "{line}");
    }
}

#[test]
fn colour_says_nothing_that_words_do_not() {
    let story = Story::plain();
    for (name, keys) in SCREENS {
        let plain = draw_on(&at(&story, (120, 40), Theme::None, keys));
        let colours = |cell: &ratatui::buffer::Cell| (cell.fg, cell.bg);
        let none = (Color::Reset, Color::Reset);
        assert!(
            plain.content.iter().all(|cell| colours(cell) == none),
            "{name}"
        );
        for theme in Theme::ALL {
            let buffer = draw_on(&at(&story, (120, 40), theme, keys));
            assert_eq!(rows(&buffer), rows(&plain), "{name} in {}", theme.name());
        }
    }
}

#[test]
fn the_severity_has_its_colour_in_every_theme_that_has_colours() {
    let story = Story::plain();
    for theme in Theme::ALL {
        let buffer = draw_on(&at(&story, (80, 24), theme, "2j"));
        let text = rows(&buffer);
        let y = text
            .iter()
            .position(|row| row.contains("CRITICAL"))
            .unwrap();
        let cell = buffer.cell((2, u16::try_from(y).unwrap())).unwrap();
        let look = theme.look(Style::Critical);
        assert_eq!(cell.fg, look.fg.unwrap_or(Color::Reset), "{}", theme.name());
        assert!(cell.modifier.contains(look.add_modifier));
    }
}
