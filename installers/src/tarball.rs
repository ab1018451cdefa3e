//! The archive: one folder with everything, and SHA256SUMS over it.
//!
//! ```text
//! tocsin-VERSION-ARCH-linux/
//!   bin/tocsin bin/tocsin-agent bin/tocsin-guard bin/tocsin-server
//!   systemd/tocsin-agent.service systemd/tocsin-server.service
//!   install.sh LICENSE README.md SHA256SUMS
//! ```
//!
//! The same files give the same archive: names sorted, owner root, one time. `tar` and `gzip` of the system
//! write it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// Path in the archive, mode.
const FILES: &[(&str, u32)] = &[
    ("LICENSE", 0o644),
    ("README.md", 0o644),
    ("bin/tocsin", 0o755),
    ("bin/tocsin-agent", 0o755),
    ("bin/tocsin-guard", 0o755),
    ("bin/tocsin-server", 0o755),
    ("install.sh", 0o755),
    ("systemd/tocsin-agent.service", 0o644),
    ("systemd/tocsin-server.service", 0o644),
];

/// Time of every file in an archive: its bytes are to depend on its content only.
const TIME: &str = "@0";

/// Where the files come from.
#[derive(Debug)]
pub(crate) struct Source {
    programs: PathBuf,
    checkout: PathBuf,
}

impl Source {
    /// Programs from one folder, all else from the checkout.
    pub(crate) fn checkout(programs: PathBuf) -> Self {
        Self {
            programs,
            checkout: root(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        match name.split_once('/') {
            Some(("bin", program)) => self.programs.join(program),
            Some(("systemd", _)) => self.checkout.join("installers").join(name),
            _ if name == "install.sh" => self.checkout.join("installers").join(name),
            _ => self.checkout.join(name),
        }
    }
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Name of the folder in the archive, and of the archive.
fn name() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("tocsin-{version}-{}-linux", std::env::consts::ARCH)
}

/// Writes the archive into `out`; its path.
pub(crate) fn write(source: &Source, out: &Path) -> Result<PathBuf> {
    let folder = out.join(name());
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("replace {}", folder.display()))?;
    }
    let mut sums = String::new();
    for (name, mode) in FILES {
        let (from, to) = (source.path(name), folder.join(name));
        let bytes = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
        let parent = to.parent().context("a file lies in a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        fs::write(&to, &bytes).with_context(|| format!("write {}", to.display()))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(*mode))?;
        let sum = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
        sums.push_str(&format!("{sum}  {name}\n"));
    }
    fs::write(folder.join("SHA256SUMS"), sums)?;
    let archive = out.join(format!("{}.tar.gz", name()));
    pack(out, &archive)?;
    Ok(archive)
}

fn pack(out: &Path, archive: &Path) -> Result<()> {
    let status = Command::new("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .args([
            "--format=ustar",
            "--mtime",
            TIME,
            "--use-compress-program",
            "gzip -n",
        ])
        .arg("--create")
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(out)
        .arg(name())
        .status()
        .context("run tar")?;
    ensure!(status.success(), "tar ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of programs that only say who they are, unpacked.
    fn unpacked() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let programs = folder.path().join("programs");
        fs::create_dir(&programs).unwrap();
        for program in ["tocsin", "tocsin-agent", "tocsin-guard", "tocsin-server"] {
            let script = format!("#!/bin/sh\necho {program}\n");
            fs::write(programs.join(program), script).unwrap();
        }
        let archive = write(&Source::checkout(programs), &folder.path().join("out")).unwrap();
        let status = Command::new("tar")
            .arg("-xzf")
            .arg(archive)
            .arg("-C")
            .arg(folder.path())
            .status();
        assert!(status.unwrap().success());
        let inside = folder.path().join(name());
        (folder, inside)
    }

    fn files_below(folder: &Path) -> Vec<String> {
        let list = Command::new("find")
            .args([".", "-type", "f"])
            .current_dir(folder)
            .output()
            .unwrap();
        let mut files: Vec<String> = String::from_utf8(list.stdout)
            .unwrap()
            .lines()
            .map(|line| line.trim_start_matches("./").to_owned())
            .collect();
        files.sort();
        files
    }

    fn install(inside: &Path, root: &Path, arguments: &[&str]) -> std::process::Output {
        Command::new(inside.join("install.sh"))
            .args(arguments)
            .env("TOCSIN_ROOT", root)
            .output()
            .unwrap()
    }

    #[test]
    fn the_archive_holds_what_the_list_says() {
        let (_folder, inside) = unpacked();
        let mut expected: Vec<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        expected.push("SHA256SUMS".to_owned());
        expected.sort();
        assert_eq!(files_below(&inside), expected);
        for (name, mode) in FILES {
            let found = fs::metadata(inside.join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(found & 0o777, *mode, "{name}");
        }
    }

    #[test]
    fn the_same_files_give_the_same_archive() {
        let (first, second) = (unpacked().0, unpacked().0);
        let bytes = |folder: &tempfile::TempDir| {
            let archive = folder.path().join("out").join(format!("{}.tar.gz", name()));
            fs::read(archive).unwrap()
        };
        assert_eq!(bytes(&first), bytes(&second));
    }

    #[test]
    fn install_puts_each_part_in_its_place_and_remove_takes_it_away() {
        let (folder, inside) = unpacked();
        let root = folder.path().join("root");
        let done = install(&inside, &root, &["agent", "server", "console"]);
        assert!(done.status.success(), "{done:?}");
        assert_eq!(
            files_below(&root),
            [
                "etc/systemd/system/tocsin-agent.service",
                "etc/systemd/system/tocsin-server.service",
                "usr/local/bin/tocsin",
                "usr/local/bin/tocsin-agent",
                "usr/local/bin/tocsin-guard",
                "usr/local/bin/tocsin-server",
            ]
        );
        let done = install(&inside, &root, &["remove", "agent", "server", "console"]);
        assert!(done.status.success(), "{done:?}");
        assert!(files_below(&root).is_empty());
    }

    #[test]
    fn a_damaged_archive_installs_nothing() {
        let (folder, inside) = unpacked();
        let root = folder.path().join("root");
        fs::write(inside.join("bin/tocsin-agent"), "#!/bin/sh\necho other\n").unwrap();
        let done = install(&inside, &root, &["console"]);
        assert!(!done.status.success(), "{done:?}");
        assert!(!root.exists());
    }

    #[test]
    fn an_unknown_part_installs_nothing() {
        let (folder, inside) = unpacked();
        let root = folder.path().join("root");
        let done = install(&inside, &root, &["agent", "sensor"]);
        assert!(!done.status.success(), "{done:?}");
        assert!(!root.exists());
    }

    #[test]
    fn units_start_the_programs_that_install_puts_there() {
        for (unit, program) in [
            ("tocsin-agent", "tocsin-agent"),
            ("tocsin-server", "tocsin-server"),
        ] {
            let unit = root().join(format!("installers/systemd/{unit}.service"));
            let unit = fs::read_to_string(unit).unwrap();
            let start = format!("ExecStart=/usr/local/bin/{program} run");
            assert!(
                unit.lines().any(|line| line.starts_with(&start)),
                "{program}"
            );
        }
    }
    #[test]
    fn the_agents_unit_permits_the_priority_that_its_sensor_asks_for() {
        let unit = root().join("installers/systemd/tocsin-agent.service");
        let unit = fs::read_to_string(unit).unwrap();
        assert!(unit.lines().any(|line| line == "LimitRTPRIO=1"));
        assert!(!unit.lines().any(|line| line == "RestrictRealtime=yes"));
    }
}
