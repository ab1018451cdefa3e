//! The files that belong to the project, read once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::scan;

/// A text file of the project.
#[derive(Debug)]
pub(crate) struct File {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Rust only: without comments and literals.
    pub(crate) code: String,
    /// Rust only: also without what is there for tests.
    pub(crate) product: String,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") {
            scan::code_of(text)
        } else {
            String::new()
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            product: scan::without_tests(&code),
            code,
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Written by a program; `proto/tests/generated_is_current.rs` checks it.
    pub(crate) fn is_generated(&self) -> bool {
        self.path.starts_with("proto/src/generated/")
    }

    /// Nothing but tests: an integration test, or the tests of a module in a file of their own.
    pub(crate) fn is_test(&self) -> bool {
        let mut folders = self.path.split('/');
        let package = folders.next().unwrap_or_default();
        let inside: Vec<&str> = folders.collect();
        let test_folder = match package {
            "tests" => inside.first().is_some_and(|folder| *folder != "src"),
            _ => inside.contains(&"tests"),
        };
        test_folder || self.path.ends_with("/tests.rs") || self.path.ends_with("/conformance.rs")
    }
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file, in order of its path.
pub(crate) fn files() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut paths = Vec::new();
        walk(&root(), &mut paths);
        paths.sort();
        paths
            .into_iter()
            .filter_map(|path| {
                let text = fs::read_to_string(&path).ok()?;
                let inside = path.strip_prefix(root()).ok()?;
                let inside: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
                Some(File::new(&inside.join("/"), &text))
            })
            .collect()
    })
}

/// The file at this path.
pub(crate) fn file(path: &str) -> Option<&'static File> {
    files().iter().find(|file| file.path == path)
}

/// Leaves out what git does: its own folder, and build output wherever it was put.
fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    const LEFT_OUT: &[&str] = &[".git", "target", "proptest-regressions"];
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == *left_out) || path.is_symlink() {
            continue;
        }
        if !path.is_dir() {
            paths.push(path);
        } else if !path.join("CACHEDIR.TAG").exists() {
            walk(&path, paths);
        }
    }
}

#[test]
fn the_walk_finds_the_project() {
    for path in ["Cargo.toml", "proto/src/lib.rs", "tests/tidy/main.rs"] {
        assert!(file(path).is_some(), "{path}");
    }
    let generated = files().iter().filter(|file| file.is_generated()).count();
    assert!(generated >= 3, "{generated} generated files");
    assert!(files().iter().all(|file| !file.path.starts_with("target/")));
}

#[test]
fn tests_are_told_from_the_product() {
    let is_test = |path| File::new(path, "").is_test();
    assert!(is_test("proto/tests/golden/main.rs"));
    assert!(is_test("tests/flows/outage.rs"));
    assert!(is_test("agent/spool/src/ledger/tests.rs"));
    assert!(!is_test("tests/src/lib.rs"));
    assert!(!is_test("agent/src/main.rs"));
}
