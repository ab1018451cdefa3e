//! Words that may not stand in the tree.

use crate::none;
use crate::scan::{has_word, is_word};
use crate::tree::{self, File};

/// Put together here so that this file does not find itself.
const MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
];
const MACROS: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
    concat!("db", "g!"),
];
/// Folders of the machines on which this was written.
const WORKPLACES: &[&str] = &[concat!("/wo", "rk/"), concat!("/fa", "rm/")];

/// Folders in which `unsafe` may stand, each block with its SAFETY comment.
const UNSAFE_PLACES: &[&str] = &[
    "agent/src/sensor/",
    "agent/src/command/terminal/unix.rs",
    "agent/src/memory.rs",
];

fn is_source(file: &File) -> bool {
    const ENDINGS: &[&str] = &[".rs", ".proto", ".toml", ".sql", ".sh", ".service"];
    let is_program = file.path.starts_with(".ci/");
    is_program || ENDINGS.iter().any(|ending| file.path.ends_with(ending))
}

fn find(
    files: &[File],
    words: &[&str],
    advice: &str,
    found: impl Fn(&str, &str) -> bool,
) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| !file.is_generated()) {
        for (line, text) in file.text.lines().enumerate() {
            for word in words.iter().filter(|word| found(text, word)) {
                problems.push(format!("{}:{}: '{word}': {advice}", file.path, line + 1));
            }
        }
    }
    problems
}

fn marks(files: &[File]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| is_source(file)) {
        let one = std::slice::from_ref(file);
        problems.extend(find(one, MARKS, "finish it, or file an issue", has_word));
        problems.extend(find(one, MACROS, "not in committed code", |text, word| {
            text.match_indices(word)
                .any(|(at, _)| !text[..at].chars().next_back().is_some_and(is_word))
        }));
    }
    problems
}

fn workplaces(files: &[File]) -> Vec<String> {
    find(files, WORKPLACES, "a path of one machine", |text, word| {
        text.contains(word)
    })
}

fn unsafe_places(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| !file.is_generated() && has_word(&file.code, "unsafe"))
        .filter(|file| {
            !UNSAFE_PLACES
                .iter()
                .any(|place| file.path.starts_with(place))
        })
        .map(|file| {
            format!(
                "{}: 'unsafe' may only stand in {UNSAFE_PLACES:?}",
                file.path
            )
        })
        .collect()
}

#[test]
fn nothing_is_left_to_do_in_the_code() {
    none(&marks(tree::files()));
}

#[test]
fn no_path_of_a_workplace_is_named() {
    none(&workplaces(tree::files()));
}

#[test]
fn unsafe_code_stands_only_where_the_system_is_spoken_to() {
    none(&unsafe_places(tree::files()));
}

#[test]
fn planted_words_are_found() {
    let plant = |path: &str, text: &str| vec![File::new(path, text)];
    for word in MARKS.iter().chain(MACROS) {
        let text = format!("//! A.\nfn a() {{ {word}(1) }}\n");
        assert_eq!(marks(&plant("a/src/x.rs", &text)).len(), 1, "{word}");
        assert!(marks(&plant("docs/x.md", &text)).is_empty(), "{word}");
    }
    let mktemp = format!("mktemp {}{}\n", MARKS[2], "X");
    assert!(marks(&plant("x.sh", &mktemp)).is_empty(), "{mktemp}");
    for place in WORKPLACES {
        assert_eq!(
            workplaces(&plant("x.md", &format!("see {place}x"))).len(),
            1
        );
    }
    let code = "fn a() { unsafe { b() } }";
    assert_eq!(unsafe_places(&plant("server/src/x.rs", code)).len(), 1);
    assert!(unsafe_places(&plant("agent/src/sensor/x.rs", code)).is_empty());
    assert!(unsafe_places(&plant("server/src/x.rs", "// unsafe")).is_empty());
}
