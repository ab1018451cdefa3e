//! Builds Tocsin's installation packages: `cargo run -p tocsin-installers -- tarball`.
//!
//! A target a module. What a package holds is a list of files, and a test compares it with what comes out.

#![forbid(unsafe_code)]

mod tarball;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

/// Builds installation packages.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Target {
    /// An archive with the programs, systemd units and install.sh.
    Tarball {
        /// Folder to write it to.
        #[arg(long, default_value = "target/packages")]
        out: PathBuf,
        /// Folder with built programs; without it they are built with the profile `dist`.
        #[arg(long)]
        bin_dir: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _shown = writeln!(std::io::stderr().lock(), "installers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<()> {
    let Target::Tarball { out, bin_dir } = options.target;
    let programs = match bin_dir {
        Some(folder) => folder,
        None => build()?,
    };
    let archive = tarball::write(&tarball::Source::checkout(programs), &out)?;
    writeln!(std::io::stdout().lock(), "{}", archive.display())?;
    Ok(())
}

/// Builds the programs as they are shipped; the folder they are in.
fn build() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| tarball::root().join("target"), PathBuf::from);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(tarball::root())
        .args(["build", "--profile", "dist", "--bins", "--target-dir"])
        .arg(&target)
        .args([
            "-p",
            "tocsin-agent",
            "-p",
            "tocsin-server",
            "-p",
            "tocsin-console",
        ])
        .status()
        .context("run cargo build")?;
    ensure!(status.success(), "cargo build ended with {status}");
    Ok(target.join("dist"))
}
