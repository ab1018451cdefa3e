//! How files and functions look: heads, sizes, parameters.

use crate::none;
use crate::scan::functions;
use crate::tree::{self, File};

/// Lines of a file, its tests too. What is longer holds two things.
const FILE_LINES_MAX: usize = 600;
/// Lines of a program's `main.rs`: arguments, configuration, exit code, nothing else.
const MAIN_LINES_MAX: usize = 100;
/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 70;
/// Parameters besides `self`; more are a struct.
const PARAMETERS_MAX: usize = 5;

fn written(files: &[File]) -> impl Iterator<Item = &File> {
    files
        .iter()
        .filter(|file| file.is_rust() && !file.is_generated())
}

fn heads(files: &[File]) -> Vec<String> {
    written(files)
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| format!("{}: begin with '//!' and the file's purpose", file.path))
        .collect()
}

fn file_sizes(files: &[File]) -> Vec<String> {
    written(files)
        .filter_map(|file| {
            let lines = file.text.lines().count();
            let is_main = file.path.ends_with("src/main.rs");
            let limit = if is_main {
                MAIN_LINES_MAX
            } else {
                FILE_LINES_MAX
            };
            (lines > limit).then(|| {
                format!(
                    "{}: {lines} lines, the limit is {limit}: split it by what it does",
                    file.path
                )
            })
        })
        .collect()
}

fn function_sizes(files: &[File]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in written(files) {
        for function in functions(&file.code) {
            if function.lines > FUNCTION_LINES_MAX {
                problems.push(format!(
                    "{}:{}: {} has {} lines, the limit is {FUNCTION_LINES_MAX}",
                    file.path, function.line, function.name, function.lines
                ));
            }
        }
    }
    problems
}

fn parameters(files: &[File]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in written(files) {
        for function in functions(&file.code) {
            if function.parameters > PARAMETERS_MAX {
                problems.push(format!(
                    "{}:{}: {} has {} parameters, the limit is {PARAMETERS_MAX}: make them a struct",
                    file.path, function.line, function.name, function.parameters
                ));
            }
        }
    }
    problems
}

#[test]
fn every_file_opens_with_its_purpose() {
    none(&heads(tree::files()));
}

#[test]
fn no_file_is_longer_than_its_limit() {
    none(&file_sizes(tree::files()));
}

#[test]
fn no_function_is_longer_than_its_limit() {
    none(&function_sizes(tree::files()));
}

#[test]
fn no_function_has_more_parameters_than_its_limit() {
    none(&parameters(tree::files()));
}

#[test]
fn planted_violations_of_form_are_found() {
    let plant = |path: &str, text: &str| vec![File::new(path, text)];
    assert_eq!(heads(&plant("agent/src/x.rs", "use a;\n")).len(), 1);
    assert!(heads(&plant("agent/src/x.rs", "//! Does it.\n")).is_empty());

    let long = "//! Long.\n".to_owned() + &"a();\n".repeat(600);
    assert_eq!(file_sizes(&plant("agent/src/x.rs", &long)).len(), 1);
    assert_eq!(file_sizes(&plant("tests/flows/x.rs", &long)).len(), 1);
    let main = "//! Main.\n".to_owned() + &"a();\n".repeat(100);
    assert_eq!(file_sizes(&plant("agent/src/main.rs", &main)).len(), 1);
    let fits = "//! Fits.\n".to_owned() + &"a();\n".repeat(599);
    assert!(file_sizes(&plant("agent/src/x.rs", &fits)).is_empty());

    let body = |lines: usize| format!("fn f() {{\n{}}}\n", "a();\n".repeat(lines - 2));
    assert!(function_sizes(&plant("a/src/x.rs", &body(70))).is_empty());
    assert_eq!(function_sizes(&plant("a/src/x.rs", &body(71))).len(), 1);

    let six = "fn f(&self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {}";
    assert_eq!(parameters(&plant("a/src/x.rs", six)).len(), 1);
    let five = "fn f(&self, a: u8, b: u8, c: u8, d: u8, e: u8) {}";
    assert!(parameters(&plant("a/src/x.rs", five)).is_empty());
}
