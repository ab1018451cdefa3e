//! Places that must say the same: documents and code, numbers and their history.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::none;
use crate::tree::{self, File};

/// Hash over every `.proto` file, its path and its text.
fn proto_hash(files: &[File]) -> String {
    let mut hash = Sha256::new();
    for file in files.iter().filter(|file| file.path.ends_with(".proto")) {
        for part in [&file.path, &file.text] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
    }
    data_encoding::HEXLOWER.encode(&hash.finalize())
}

fn protocol_document(files: &[File], document: &str) -> Vec<String> {
    let line = format!("`.proto` tree hash: `{}`", proto_hash(files));
    if document.lines().any(|found| found == line) {
        return Vec::new();
    }
    vec![format!(
        "docs/protocol.md: the .proto files have changed; read the document against them, then let its line be\n  {line}"
    )]
}

/// Each folder of migrations counts 0001, 0002, ... without a hole.
fn migrations(files: &[File]) -> Vec<String> {
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in files {
        if file.path.starts_with("server/migrations/")
            && let Some((folder, name)) = file.path.rsplit_once('/')
        {
            folders.entry(folder).or_default().push(name);
        }
    }
    let mut problems = Vec::new();
    for (folder, names) in folders {
        for (position, name) in names.iter().enumerate() {
            let number = format!("{:04}_", position + 1);
            if !name.starts_with(&number) || !name.ends_with(".sql") {
                problems.push(format!("{folder}/{name}: should be {number}NAME.sql"));
            }
        }
    }
    problems
}

/// Every step has its row with a date, and golden bytes are tested for it.
fn capability(source: &str, golden: &str) -> Vec<String> {
    let current = source
        .lines()
        .find_map(|line| line.strip_prefix("pub const CURRENT: u32 = "))
        .and_then(|rest| rest.trim_end_matches(';').parse::<u32>().ok());
    let Some(current) = current else {
        return vec![
            "proto/src/capability.rs: 'pub const CURRENT: u32 = N;' is missing".to_owned(),
        ];
    };
    let mut problems = Vec::new();
    for step in 1..=current {
        let row = source
            .lines()
            .find_map(|line| line.strip_prefix(&format!("//! | {step} | ")));
        if !row.is_some_and(|row| row.split(" | ").next().is_some_and(is_date)) {
            problems.push(format!(
                "proto/src/capability.rs: step {step} has no row '//! | {step} | YYYY-MM-DD | what it adds |'"
            ));
        }
        if !golden.contains(&format!("fn capability_{step}_")) {
            problems.push(format!(
                "proto/tests/golden/main.rs: step {step} has no test named 'capability_{step}_...'"
            ));
        }
    }
    problems
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.char_indices().all(|(at, c)| match at {
            4 | 7 => c == '-',
            _ => c.is_ascii_digit(),
        })
}

/// The commands of a shell text that run tests.
fn test_commands(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split(" #").next().unwrap_or_default().trim())
        .filter_map(|line| line.find("cargo test").map(|at| line[at..].to_owned()))
        .collect()
}

/// The text of a Markdown document's fenced blocks.
fn fenced(document: &str) -> String {
    let mut inside = false;
    let mut code = String::new();
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

fn readme_tests(readme: &str, run: &str) -> Vec<String> {
    let (told, ran) = (test_commands(&fenced(readme)), test_commands(run));
    if told.len() == 1 && told == ran {
        return Vec::new();
    }
    vec![format!(
        "README.md tells {told:?}, .ci/run runs {ran:?}: one command, the same in both"
    )]
}

/// Every package's dependency has its reason.
fn dependency_reasons(manifest: &str, document: &str) -> Vec<String> {
    let mut inside = false;
    let mut problems = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        } else if inside
            && let Some((name, _)) = line.split_once(" = ")
            && !name.starts_with("tocsin-")
            && !document.contains(&format!("`{name}`"))
        {
            problems.push(format!(
                "docs/decisions/0002-dependencies.md: give the reason for `{name}`"
            ));
        }
    }
    problems
}

/// Every kind of evidence has a file with tests and stands in the list.
fn evidence(files: &[File]) -> Vec<String> {
    const FOLDER: &str = "server/correlate/src/evidence/";
    let list = files
        .iter()
        .find(|file| file.path == format!("{FOLDER}mod.rs"));
    let mut problems = Vec::new();
    for file in files {
        let Some(name) = file.path.strip_prefix(FOLDER) else {
            continue;
        };
        let Some(kind) = name
            .strip_suffix(".rs")
            .filter(|kind| !matches!(*kind, "mod" | "tests"))
        else {
            continue;
        };
        if !list.is_some_and(|list| list.code.contains(&format!("{kind}::"))) {
            problems.push(format!(
                "{}: {kind} is not in the list of evidence/mod.rs",
                file.path
            ));
        }
        if !file.code.contains("#[test]") {
            problems.push(format!("{}: {kind} has no test", file.path));
        }
    }
    problems
}

/// The text of a file; empty where it is missing, which is then found to disagree.
fn text(path: &str) -> &'static str {
    tree::file(path).map_or("", |file| &file.text)
}

#[test]
fn the_protocol_document_knows_the_proto_files() {
    let document = text("docs/protocol.md");
    none(&protocol_document(tree::files(), document));
}

#[test]
fn migrations_are_numbered_without_holes() {
    none(&migrations(tree::files()));
}

#[test]
fn every_capability_step_has_its_date_and_its_test() {
    let source = text("proto/src/capability.rs");
    none(&capability(source, text("proto/tests/golden/main.rs")));
}

#[test]
fn the_readme_tells_the_test_command_that_ci_runs() {
    none(&readme_tests(text("README.md"), text(".ci/run")));
}

#[test]
fn every_dependency_has_its_reason() {
    let document = text("docs/decisions/0002-dependencies.md");
    none(&dependency_reasons(text("Cargo.toml"), document));
}

#[test]
fn every_kind_of_evidence_is_listed_and_tested() {
    none(&evidence(tree::files()));
}

#[test]
fn planted_disagreements_are_found() {
    let proto = [File::new("proto/a.proto", "syntax")];
    assert_eq!(
        protocol_document(&proto, "`.proto` tree hash: `0`").len(),
        1
    );
    let right = format!("# P\n`.proto` tree hash: `{}`\n", proto_hash(&proto));
    assert!(protocol_document(&proto, &right).is_empty());

    let sql = |names: &[&str]| -> Vec<File> {
        let path = |name: &&str| format!("server/migrations/sqlite/state/{name}");
        names
            .iter()
            .map(|name| File::new(&path(name), ""))
            .collect()
    };
    assert!(migrations(&sql(&["0001_a.sql", "0002_b.sql"])).is_empty());
    assert_eq!(migrations(&sql(&["0001_a.sql", "0003_b.sql"])).len(), 1);

    let steps = "//! | 1 | 2026-01-02 | a |\n//! | 2 | soon | b |\npub const CURRENT: u32 = 2;\n";
    assert_eq!(capability(steps, "fn capability_1_a()").len(), 2);

    let readme = "```sh\ncargo test --workspace   # all\n```\n`cargo test -p x`\n";
    assert!(readme_tests(readme, "step test cargo test --workspace\n").is_empty());
    assert_eq!(readme_tests(readme, "cargo test\n").len(), 1);
    assert_eq!(readme_tests("cargo test\n", "cargo test\n").len(), 1);

    let manifest = "[workspace.dependencies]\nfoo = \"1\"\nbar = \"1\"\ntocsin-x = \"1\"\n";
    assert_eq!(dependency_reasons(manifest, "- `foo`: because").len(), 1);

    let folder = "server/correlate/src/evidence/";
    let kinds = [
        File::new(
            &format!("{folder}mod.rs"),
            "const ALL: &[K] = &[&prompting::Prompting];",
        ),
        File::new(&format!("{folder}prompting.rs"), "#[test]\nfn a() {}"),
        File::new(&format!("{folder}slow.rs"), "fn a() {}"),
    ];
    assert_eq!(evidence(&kinds).len(), 2);
}
