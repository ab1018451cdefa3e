//! The pictures of the screens in `docs/screens`, from a real run.
//!
//! ```text
//! sudo cargo run -p tocsin-tests --bin screenshots
//! ```
//!
//! It runs the demo (server, agent, attack) and the console in a pseudo-terminal, presses the keys of an investigation, and
//! writes what the terminal shows as SVG. All of it happens in mount, process and host name namespaces of their own, so
//! that nothing of the machine that it runs on is in a picture: that is what needs root and util-linux's `unshare`. Only the
//! kernel's release is the machine's own; the pictures say 6.1.0 instead.

mod svg;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tocsin_tests::program::Programs;
use tocsin_tests::sandbox::Sandbox;
use tocsin_tests::screens::Screens;

/// Rows and columns: room for a screen and the terminal beside it.
const SIZE: (u16, u16) = (40, 150);

/// What the machine in the pictures is called.
const HOSTNAME: &str = "dana-laptop";

/// Where the programs lie in the namespaces.
const PROGRAMS: &str = "/opt/tocsin";

/// Writes docs/screens anew.
#[derive(Debug, Parser)]
struct Options {
    /// The folder of the pictures.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/screens"))]
    out: PathBuf,
    /// Already in the namespaces.
    #[arg(long, hide = true)]
    inside: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.inside {
        true => inside(&options.out),
        false => outside(&options.out),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _told = writeln!(std::io::stderr().lock(), "screenshots: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the programs and begins anew where nothing of this machine is seen.
fn outside(out: &Path) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "namespaces need root: run it with sudo"
    );
    let programs = Programs::get_loudly()?;
    std::fs::create_dir_all(out).context("make the folder of the pictures")?;
    let script = "hostname \"$1\" && mount -t tmpfs none /opt && mkdir \"$2\" && mount --bind \"$3\" \"$2\" \
                  && mkdir /opt/screens && mount --bind \"$4\" /opt/screens \
                  && mount -t tmpfs none /tmp && cd / && exec \"$2/screenshots\" --inside --out /opt/screens";
    let status = Command::new("unshare")
        .args([
            "--mount",
            "--uts",
            "--pid",
            "--ipc",
            "--fork",
            "--mount-proc",
        ])
        .args(["sh", "-c", script, "sh", HOSTNAME, PROGRAMS])
        .arg(programs.folder())
        .arg(out.canonicalize()?)
        .env("TOCSIN_BIN_DIR", PROGRAMS)
        .env("HOME", "/root")
        .env_remove("TMPDIR")
        .stdin(Stdio::null())
        .status()
        .context("run unshare (package util-linux)")?;
    ensure!(status.success(), "in the namespaces: {status}");
    Ok(())
}

/// Which kernel this machine has. It cannot be hidden from what runs on it, and is nothing for a picture.
fn kernel_release() -> Result<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    Ok(release
        .context("read the kernel's release")?
        .trim()
        .to_owned())
}

/// The demo while it runs. Dropped, it is ended.
struct Demo {
    child: Child,
    profile: PathBuf,
}

impl Demo {
    fn start() -> Result<Self> {
        let program = Programs::get()?.folder().join("demo");
        let mut child = Command::new(program)
            .stderr(Stdio::piped())
            .spawn()
            .context("start the demo")?;
        let said = child.stderr.take().context("what the demo says")?;
        let mut lines = BufReader::new(said).lines();
        let profile = loop {
            let line = lines.next().context("the demo has ended")??;
            writeln!(std::io::stderr().lock(), "demo: {line}")?;
            // "  .../tocsin --profile FILE", and nothing more: the screens.
            let Some((_, file)) = line.trim_end().split_once(" --profile ") else {
                continue;
            };
            break PathBuf::from(file);
        };
        // What else it says is for people; a pipe that is full would stop it.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(Self { child, profile })
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).map(nix::unistd::Pid::from_raw);
        // Where it has ended already there is nothing to do.
        let _told = pid.map(|pid| nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT));
        let _ended = self.child.wait();
    }
}

fn inside(out: &Path) -> Result<()> {
    let demo = Demo::start()?;
    let sandbox = Sandbox::new()?;
    let mut screens = Screens::open(&demo.profile, &sandbox.fresh("home"), SIZE)?;
    let release = kernel_release()?;
    // As many columns.
    let instead = format!("{:<width$}", "6.1.0", width = release.len());
    let take = |screens: &Screens, name: &str, title: &str, holds: &dyn Fn(&str) -> bool| {
        let shown = screens.settled(title, |text| {
            !text.contains("asking the server") && holds(text)
        })?;
        let file = out.join(format!("{name}.svg"));
        std::fs::write(&file, svg::draw(&shown, title).replace(&release, &instead))
            .with_context(|| format!("write {}", file.display()))
    };
    screens.sees("Dana Demo")?;
    take(&screens, "overview", "Tocsin: the overview", &|text| {
        text.contains("1 online") && text.contains("Prompts")
    })?;
    screens.press("\r")?;
    screens.sees("[Attempts]")?;
    screens.sees("APPROVED")?;
    screens.press("Gk")?;
    take(
        &screens,
        "incident",
        "Tocsin: an incident and its time axis",
        &|text| {
            text.lines()
                .any(|line| line.contains('›') && line.contains("h here"))
        },
    )?;
    screens.press("e")?;
    screens.sees("endpoint dana-laptop")?;
    screens.press("\r")?;
    take(
        &screens,
        "endpoint",
        "Tocsin: an endpoint and what runs on it",
        &|text| text.contains("Processes (") && text.contains("tocsin-agent run"),
    )?;
    screens.press("t")?;
    screens.sees("Why a terminal there")?;
    screens.press("is a remote-support tool running?\r")?;
    screens.sees("# ")?;
    screens.press("ps -eo pid,user,comm,args | cut -c-78 | head -12\r")?;
    take(
        &screens,
        "terminal",
        "Tocsin: a terminal at an endpoint",
        &|text| text.contains("PID") && text.matches("# ").count() > 1,
    )?;
    // The shell's end, and what is left of the pane, before the screens are left.
    screens.press("exit\r")?;
    screens.sees("takes it away")?;
    screens.leave()
}
