//! A machine of the test's own: a mount namespace whose accounts, homes, logs and devices are copies below the
//! sandbox. What is done to them is done to nothing of the machine that runs the tests.
//!
//! ```text
//! SANDBOX/N-machine/etc    -> /etc          a copy of the machine's
//! .../home .../log .../run -> /home /var/log /run
//! .../cron                 -> /var/spool/cron
//! .../dev                  -> /dev          the harmless devices, and room for /dev/log
//! ```
//!
//! Needs root and util-linux. Processes, the network and everything else are the machine's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::Process;
use crate::sandbox::{Place, Sandbox};
use crate::server::run;
use crate::wait::until;

/// How long the mounts may take.
const LIMIT: Duration = Duration::from_secs(30);

/// `$1` is the machine's folder.
const SETUP: &str = r#"
set -eu
m=$1
mkdir -p "$m/etc" "$m/home" "$m/log" "$m/run/sshd" "$m/cron/crontabs" "$m/dev/pts"
cp -a /etc/. "$m/etc"
touch "$m/log/wtmp" "$m/log/btmp" "$m/log/lastlog" "$m/run/utmp"
chmod 600 "$m/log/btmp"
for device in null zero full random urandom tty; do
    touch "$m/dev/$device"
    mount --bind "/dev/$device" "$m/dev/$device"
done
mount --rbind /dev/pts "$m/dev/pts"
ln -s pts/ptmx "$m/dev/ptmx"
ln -s /proc/self/fd "$m/dev/fd"
mount --bind "$m/etc" /etc
mount --bind "$m/home" /home
mount --bind "$m/log" /var/log
mount --bind "$m/run" /run
mkdir -p /var/spool/cron
mount --bind "$m/cron" /var/spool/cron
mount --rbind "$m/dev" /dev
touch "$m/ready"
exec sleep infinity
"#;

/// The machine. Dropped, its namespace goes with the last program in it.
#[derive(Debug)]
pub struct Machine {
    folder: PathBuf,
    /// Holds the namespace.
    keeper: Process,
}

impl Machine {
    /// A machine with the accounts of this one and empty homes and logs.
    ///
    /// # Errors
    /// Where the system does not permit it.
    pub fn new(sandbox: &Sandbox) -> Result<Self> {
        let folder = sandbox.fresh("machine");
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        // Others than root go through it to what is theirs.
        for path in [sandbox.path(), &folder] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        let script = sandbox.file("machine.sh", SETUP)?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "bash"]);
        command.arg(script).arg(&folder);
        let log = sandbox.fresh("machine.log");
        let mut keeper = Process::start("unshare", &mut command, &log)?;
        let ready = folder.join("ready");
        until("the machine's mounts are made", LIMIT, || {
            keeper.check_running()?;
            Ok(ready.exists())
        })?;
        Ok(Self { folder, keeper })
    }

    /// Where a program is to run that belongs to it.
    pub fn place(&self) -> Place<'_> {
        Place::Machine(self)
    }

    /// A file of it, as it is reached from outside: `etc/...`, `home/...`, `log/...`, `run/...`.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// A command that runs `program` in it. `nsenter` becomes the program: the pid stays.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.keeper.pid().to_string(), "--mount", "--"]);
        command.arg(program);
        command
    }

    /// Runs a shell script in it to its end; what it printed.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn shell(&self, script: &str) -> Result<String> {
        run(self.command(Path::new("bash")).args(["-euc", script]))
    }
}
