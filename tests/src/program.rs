//! Where the programs under test are, and that they are built from what stands in the checkout.
//!
//! They come from `TOCSIN_BIN_DIR` where that is set. Otherwise they lie in the target folder that this very
//! program was built into, and one `cargo build` of the same profile brings them up to date: Cargo finds the
//! dependencies already built, and its lock lets several test programs do this at once.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

/// The built programs.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Finds or builds them, once per program that asks.
    ///
    /// # Errors
    /// Where they cannot be built.
    pub fn get() -> Result<&'static Self> {
        Self::get_with(Stdio::piped)
    }

    /// [`Programs::get`] that shows on standard error what is built.
    ///
    /// # Errors
    /// Where they cannot be built.
    pub fn get_loudly() -> Result<&'static Self> {
        Self::get_with(Stdio::inherit)
    }

    fn get_with(progress: fn() -> Stdio) -> Result<&'static Self> {
        static PROGRAMS: OnceLock<Result<Programs, String>> = OnceLock::new();
        let found = PROGRAMS.get_or_init(|| find(progress()).map_err(|error| format!("{error:#}")));
        found.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// `tocsin-server`.
    pub fn server(&self) -> PathBuf {
        self.folder.join("tocsin-server")
    }

    /// `tocsin-agent`.
    pub fn agent(&self) -> PathBuf {
        self.folder.join("tocsin-agent")
    }

    /// `tocsin-guard`.
    pub fn guard(&self) -> PathBuf {
        self.folder.join("tocsin-guard")
    }

    /// The agent under a later version's number: 9.0.0.
    pub fn agent_next(&self) -> PathBuf {
        self.folder.join("agent-next")
    }

    /// `tocsin`.
    pub fn console(&self) -> PathBuf {
        self.folder.join("tocsin")
    }

    /// The folder they are in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn find(progress: Stdio) -> Result<Programs> {
    let programs = match std::env::var_os("TOCSIN_BIN_DIR") {
        Some(folder) => Programs {
            folder: folder.into(),
        },
        None => build(progress)?,
    };
    for program in [programs.server(), programs.agent(), programs.console()] {
        if !program.is_file() {
            bail!("{} is missing", program.display());
        }
    }
    Ok(programs)
}

/// `TARGET/PROFILE/[deps/]THIS` tells target folder and profile.
fn build(progress: Stdio) -> Result<Programs> {
    let this = std::env::current_exe().context("find this program")?;
    let folder = this
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps") && !folder.ends_with("examples"))
        .context("find the folder that this program was built into")?;
    let target = folder.parent().context("find the target folder")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--workspace", "--bins", "--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .stdin(Stdio::null())
        .stderr(progress)
        .spawn()
        .and_then(Child::wait_with_output)
        .context("run cargo build")?;
    if !done.status.success() {
        bail!("cargo build:\n{}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(Programs {
        folder: folder.to_owned(),
    })
}
