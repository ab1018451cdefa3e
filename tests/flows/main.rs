//! The whole of Tocsin at work: real programs, real TLS, what a new user would try.
//!
//! Every test has a sandbox of its own. What needs root (namespaces, the kernel's process events) says
//! `skipped: needs root: ...` and passes for others. Two variables make a longer run of it, as `.ci/full` does:
//! `TOCSIN_ROUNDS` multiplies the rounds of tests that try arbitrary moments, `TOCSIN_OUTAGE_SECONDS` is how
//! long the cable stays out.

mod anew;
mod authority;
mod campaign;
mod certificate;
mod enrollment;
mod evidence;
mod feed;
mod files;
mod hostile;
mod import;
mod incident;
mod logins;
mod outage;
mod people;
mod provenance;
mod recording;
mod screens;
mod sequence;
mod snapshot;
mod sources;
mod telemetry;
mod terminal;
mod update;

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// How long something may take that another program does on its own account.
const LIMIT: Duration = Duration::from_secs(90);

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    let said = std::env::var(name).ok();
    said.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The rows of a JSON array.
fn rows(value: &Value) -> Result<&Vec<Value>> {
    value
        .as_array()
        .with_context(|| format!("an array, not {value}"))
}

/// A text field.
fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    let text = value[field].as_str();
    text.with_context(|| format!("a text in {field} of {value}"))
}

/// A runtime for the few calls that no program makes.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?)
}
