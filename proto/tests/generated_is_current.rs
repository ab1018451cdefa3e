//! The committed generated code is what the `.proto` files say.
//!
//! `TOCSIN_REGENERATE=1 cargo test -p tocsin-proto --test generated_is_current` writes it anew. Only this
//! file knows how the code is made; a build of Tocsin needs neither protoc nor this.

#![expect(
    clippy::expect_used,
    reason = "helpers of a test: a failure is the test's failure"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Every `.proto` file, relative to the package.
const FILES: &[&str] = &[
    "tocsin/agent/v1/agent_service.proto",
    "tocsin/agent/v1/enrollment_service.proto",
    "tocsin/console/v1/console_service.proto",
    "tocsin/telemetry/v1/event.proto",
];

/// Fields whose JSON name is not what the rule for times makes of them: product words.
const JSON_NAMES: &[(&str, &str)] = &[
    ("tocsin.console.v1.MissingData.from_time_ms", "from"),
    ("tocsin.console.v1.MissingData.until_time_ms", "until"),
    ("tocsin.console.v1.GapEvent.from_time_ms", "from_time"),
    ("tocsin.console.v1.GapEvent.until_time_ms", "until_time"),
];

/// Text fields that are JSON null where empty.
const NULL_WHEN_EMPTY: &[&str] = &[
    "tocsin.console.v1.Provenance.endpoint",
    "tocsin.console.v1.ProvenanceMissing.endpoint",
    "tocsin.console.v1.CoverageStep.endpoint",
    "tocsin.console.v1.Subject.identity",
    "tocsin.console.v1.Attempt.identity",
    "tocsin.console.v1.CampaignMember.incident",
];

fn generate(into: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let set = protox::compile(FILES, [root]).expect("the .proto files compile");
    let mut config = tonic_prost_build::configure()
        .out_dir(into)
        .build_transport(false)
        .boxed(".tocsin.console.v1.PlayTerminalResponse.message.recording")
        .type_attribute(".tocsin.console.v1", "#[derive(serde::Serialize)]");
    for file in set
        .file
        .iter()
        .filter(|file| file.package() == "tocsin.console.v1")
    {
        for message in &file.message_type {
            for field in &message.field {
                let path = format!("{}.{}.{}", file.package(), message.name(), field.name());
                let mut attributes = Vec::new();
                if field.name().ends_with("time_ms") {
                    let name = JSON_NAMES
                        .iter()
                        .find(|(from, _)| *from == path)
                        .map_or_else(|| field.name().trim_end_matches("_ms"), |(_, to)| to);
                    attributes.push(format!(
                        "rename = \"{name}\", serialize_with = \"crate::json::time_ms\""
                    ));
                }
                if field.type_name().starts_with(".tocsin.") && field.r#type() == enum_type() {
                    let ty = field.type_name().rsplit('.').next().unwrap_or_default();
                    if field.label() == repeated() {
                        attributes.push("skip".to_owned());
                    } else {
                        attributes
                            .push(format!("serialize_with = \"crate::json::word::<{ty}, _>\""));
                    }
                }
                if NULL_WHEN_EMPTY.contains(&path.as_str()) {
                    attributes.push("serialize_with = \"crate::json::text_or_null\"".to_owned());
                }
                if field.proto3_optional() && field.type_name().starts_with(".tocsin.") {
                    attributes.push("skip_serializing_if = \"Option::is_none\"".to_owned());
                }
                if !attributes.is_empty() {
                    config = config
                        .field_attribute(&path, format!("#[serde({})]", attributes.join(", ")));
                }
            }
        }
    }
    config.compile_fds(set).expect("code is generated");
}

fn enum_type() -> prost_types::field_descriptor_proto::Type {
    prost_types::field_descriptor_proto::Type::Enum
}

fn repeated() -> prost_types::field_descriptor_proto::Label {
    prost_types::field_descriptor_proto::Label::Repeated
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .expect("the folder can be read")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
        .collect();
    files.sort();
    files
}

#[test]
fn committed_code_is_what_the_proto_files_say() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated");
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("generated");
    let _old = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh).expect("a folder for the fresh code");
    generate(&fresh);

    if std::env::var_os("TOCSIN_REGENERATE").is_some() {
        for file in rust_files(&fresh) {
            fs::copy(&file, committed.join(file.file_name().expect("a name"))).expect("copied");
        }
    }
    let names = |dir: &Path| -> Vec<_> {
        rust_files(dir)
            .iter()
            .map(|file| file.file_name().map(ToOwned::to_owned))
            .collect()
    };
    assert_eq!(
        names(&fresh),
        names(&committed),
        "the lists of generated files differ"
    );
    for file in rust_files(&fresh) {
        let name = file.file_name().expect("a name");
        assert_eq!(
            fs::read_to_string(&file).expect("fresh code"),
            fs::read_to_string(committed.join(name)).expect("committed code"),
            "{} is not current: run this test with TOCSIN_REGENERATE=1",
            name.display()
        );
    }
}

#[test]
fn every_proto_file_is_reached() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let set = protox::compile(FILES, [root]).expect("the .proto files compile");
    let mut on_disk = Vec::new();
    let mut folders = vec![root.join("tocsin")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                on_disk.push(
                    path.strip_prefix(root)
                        .expect("below")
                        .display()
                        .to_string(),
                );
            }
        }
    }
    let mut reached: Vec<_> = set.file.iter().map(|file| file.name().to_owned()).collect();
    on_disk.sort();
    reached.sort();
    assert_eq!(on_disk, reached);
}
