//! Who may import what: the table, and the packages that may depend on each other.

use crate::none;
use crate::scan::has_word;
use crate::tree::{self, File};

/// In files under `under`, save those under `except`, none of `words` may stand.
struct Ban {
    under: &'static [&'static str],
    except: &'static [&'static str],
    words: &'static [&'static str],
    reason: &'static str,
}

const CLOCKS: &[&str] = &["SystemTime", "Instant", "Timestamp::now", "Zoned::now"];

const BANS: &[Ban] = &[
    Ban {
        under: &[
            "agent",
            "console",
            "proto",
            "server",
            "installers",
            "tests/src",
        ],
        except: &["server/src/store/sqlite"],
        words: &["sqlx"],
        reason: "only a store's engine speaks SQL",
    },
    Ban {
        under: &["server/src/store/sqlite"],
        except: &[],
        words: &["crate::rpc", "tocsin_correlate", "tonic"],
        reason: "a store knows rows, not who asks for them or what they mean",
    },
    Ban {
        under: &["agent/src"],
        except: &["agent/src/uplink", "agent/src/identity"],
        words: &["tonic"],
        reason: "only the uplink and the identity speak to the server",
    },
    Ban {
        under: &["server/src"],
        except: &["server/src/rpc", "server/src/listener", "server/src/app.rs"],
        words: &["tonic"],
        reason: "only rpc answers callers; what is below it knows no wire",
    },
    Ban {
        under: &["console/src"],
        except: &["console/src/client"],
        words: &["tonic"],
        reason: "client is the border to the server",
    },
    Ban {
        under: &[
            "console/src/state",
            "console/src/screen",
            "console/src/widget",
        ],
        except: &[],
        words: &["tonic", "tokio"],
        reason: "what is shown is made of values; client is the border",
    },
    Ban {
        under: &["agent/src/sensor"],
        except: &[],
        words: &[
            "crate::uplink",
            "tocsin_spool",
            "tocsin_proto::telemetry",
            "tonic",
        ],
        reason: "a sensor makes observations; it knows neither events nor where they go",
    },
    Ban {
        under: &["agent/src/normalize"],
        except: &[],
        words: &["std::fs", "std::net", "tokio", "SystemTime", "Instant"],
        reason: "normalizing is a pure function",
    },
    Ban {
        under: &["agent/src/uplink"],
        except: &[],
        words: &["crate::sensor"],
        reason: "the uplink sends batches; where they come from is not its business",
    },
    Ban {
        under: &["agent/spool/src"],
        except: &[],
        words: &["tokio", "tonic", "sqlx", "rand", "std::net"],
        reason: "the spool is a core: files and values only",
    },
    Ban {
        under: &["agent/spool/src", "proto/src", "server/correlate/src"],
        except: &[],
        words: CLOCKS,
        reason: "a core is told the time",
    },
    Ban {
        under: &["server/correlate/src"],
        except: &[],
        words: &[
            "tokio", "tonic", "sqlx", "rand", "std::fs", "std::net", "std::env", "HashMap",
            "HashSet",
        ],
        reason: "correlation is a pure function: no I/O, no randomness, no order of chance",
    },
    Ban {
        under: &["proto/src"],
        except: &[],
        words: &[
            "tokio", "sqlx", "ratatui", "rand", "std::fs", "std::net", "std::env",
        ],
        reason: "the contract does no I/O",
    },
];

/// Packages that no other may depend on, and cores with what they may not depend on.
const PROGRAMS: &[&str] = &["tocsin-agent", "tocsin-server", "tocsin-console"];
const CORES: &[(&str, &[&str])] = &[
    (
        "proto/Cargo.toml",
        &[
            "tokio",
            "sqlx",
            "ratatui",
            "rand",
            "tokio-rustls",
            "hyper-util",
        ],
    ),
    (
        "agent/spool/Cargo.toml",
        &["tokio", "tonic", "sqlx", "rand", "prost"],
    ),
    (
        "server/correlate/Cargo.toml",
        &["tokio", "tonic", "sqlx", "rand"],
    ),
];

/// Dependencies that no code names: the manifest says why.
const NOT_CALLED: &[(&str, &[&str])] = &[("tests/Cargo.toml", PROGRAMS)];

fn is_under(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| {
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/') || rest.starts_with('.') || rest.is_empty())
    })
}

fn banned_words(files: &[File], bans: &[Ban]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.is_rust() && !file.is_test())
    {
        let applies =
            |ban: &&Ban| is_under(&file.path, ban.under) && !is_under(&file.path, ban.except);
        for ban in bans.iter().filter(applies) {
            for (line, code) in file.product.lines().enumerate() {
                for word in ban.words.iter().filter(|word| has_word(code, word)) {
                    problems.push(format!(
                        "{}:{}: '{word}': {}",
                        file.path,
                        line + 1,
                        ban.reason
                    ));
                }
            }
        }
    }
    problems
}

/// Names in the dependency tables of a manifest; `dev` says whether those for tests count.
fn dependencies(manifest: &str, dev: bool) -> Vec<&str> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if let Some(table) = line.strip_prefix('[') {
            inside = table.trim_end().ends_with("dependencies]")
                && !table.starts_with("workspace.")
                && (dev || !table.contains("dev-dependencies"));
        } else if inside && let Some((name, _)) = line.split_once(['.', '=', ' ']) {
            names.push(name);
        }
    }
    names
}

fn package_bans(files: &[File]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml"))
    {
        if !file.path.starts_with("tests/") {
            for program in dependencies(&file.text, true) {
                if PROGRAMS.contains(&program) {
                    problems.push(format!(
                        "{}: {program}: programs share nothing but tocsin-proto",
                        file.path
                    ));
                }
            }
        }
        for (_, banned) in CORES.iter().filter(|(path, _)| *path == file.path) {
            for name in dependencies(&file.text, false) {
                if banned.contains(&name) {
                    problems.push(format!("{}: {name}: a core must not use it", file.path));
                }
            }
        }
    }
    problems
}

/// Every dependency is named somewhere in its package's code.
fn unused_dependencies(files: &[File]) -> Vec<String> {
    let mut problems = Vec::new();
    for manifest in files
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml"))
    {
        let package = manifest.path.trim_end_matches("Cargo.toml");
        let inner = files
            .iter()
            .filter(|file| file.path != manifest.path && file.path.ends_with("/Cargo.toml"))
            .map(|file| file.path.trim_end_matches("Cargo.toml"))
            .filter(|other| other.starts_with(package))
            .collect::<Vec<_>>();
        let code = |name: &str| {
            let name = name.replace('-', "_");
            files
                .iter()
                .filter(|file| file.is_rust() && file.path.starts_with(package))
                .filter(|file| !inner.iter().any(|inner| file.path.starts_with(inner)))
                .any(|file| has_word(&file.code, &name))
        };
        let excepted = |name: &str| {
            let mut rows = NOT_CALLED.iter();
            rows.any(|(path, names)| *path == manifest.path && names.contains(&name))
        };
        for name in dependencies(&manifest.text, true) {
            if !code(name) && !excepted(name) {
                problems.push(format!("{}: {name} is not used", manifest.path));
            }
        }
    }
    problems
}

#[test]
fn every_dependency_is_used() {
    none(&unused_dependencies(tree::files()));
}

#[test]
fn nobody_imports_what_is_not_theirs() {
    none(&banned_words(tree::files(), BANS));
}

#[test]
fn packages_depend_only_downwards() {
    none(&package_bans(tree::files()));
}

#[test]
fn every_ban_concerns_files_that_exist() {
    // A folder that was renamed would switch its ban off silently.
    let idle: Vec<String> = BANS
        .iter()
        .flat_map(|ban| ban.under)
        .filter(|folder| {
            !tree::files()
                .iter()
                .any(|file| is_under(&file.path, &[folder]))
        })
        .map(|folder| format!("the table of bans names {folder}, which does not exist"))
        .collect();
    none(&idle);
}

#[test]
fn planted_imports_are_found() {
    let found = |path: &str, text: &str| banned_words(&[File::new(path, text)], BANS).len();
    assert_eq!(found("server/src/rpc/console.rs", "use sqlx::Row;"), 1);
    assert_eq!(found("server/src/store/sqlite/mod.rs", "use sqlx::Row;"), 0);
    assert_eq!(found("server/src/store/mod.rs", "/// Not sqlx.\nuse a;"), 0);
    assert_eq!(found("agent/src/normalize.rs", "use std::fs;"), 1);
    assert_eq!(
        found("server/correlate/src/lib.rs", "let a = SystemTime::now();"),
        1
    );
    let tested = "#[cfg(test)]\nmod tests { use std::fs; }";
    assert_eq!(found("proto/src/x.rs", tested), 0);
    assert_eq!(found("proto/src/x.rs", "use std::fs;"), 1);
    assert_eq!(found("console/src/client.rs", "use tonic::Code;"), 0);
    assert_eq!(found("console/src/clients.rs", "use tonic::Code;"), 1);
}

#[test]
fn planted_dependencies_are_found() {
    let found = |path: &str, text: &str| package_bans(&[File::new(path, text)]).len();
    let agent = "[dependencies]\ntocsin-agent.workspace = true\n";
    assert_eq!(found("console/Cargo.toml", agent), 1);
    assert_eq!(found("tests/Cargo.toml", agent), 0);
    let tokio = "[target.'cfg(unix)'.dependencies]\ntokio = { version = \"1\" }\n";
    assert_eq!(found("agent/spool/Cargo.toml", tokio), 1);
    let only_tests = "[dev-dependencies]\ntokio.workspace = true\n";
    assert_eq!(found("agent/spool/Cargo.toml", only_tests), 0);
    let packages = [
        File::new(
            "agent/Cargo.toml",
            "[dependencies]\na-b.workspace = true\nc = \"1\"\n",
        ),
        File::new("agent/src/lib.rs", "use a_b::X;"),
        File::new("agent/spool/Cargo.toml", "[dependencies]\n"),
        File::new("agent/spool/src/lib.rs", "use c::X;"),
    ];
    assert_eq!(
        unused_dependencies(&packages),
        ["agent/Cargo.toml: c is not used"]
    );
    assert_eq!(
        found(
            "Cargo.toml",
            "[workspace.dependencies]\ntocsin-agent = { path = \"agent\" }\n"
        ),
        0
    );
}
