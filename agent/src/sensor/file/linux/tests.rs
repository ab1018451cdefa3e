//! The sensors on real files, in folders made for it.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use super::*;
use crate::sensor::file::change::{FileActivity, FileObservation};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Sink {
    running: Mutex<Vec<String>>,
    observed: Mutex<Vec<FileObservation>>,
}

impl FileSink for Sink {
    fn running(&self, detail: String) {
        self.running.lock().unwrap().push(detail);
    }

    fn observed(&self, observations: Vec<FileObservation>) {
        self.observed.lock().unwrap().extend(observations);
    }

    fn lost(&self, _lost: Option<u64>, _from_ms: i64, _until_ms: i64) {}
}

impl Sink {
    fn wait(&self, what: &str, is_there: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_there(self) {
            let seen = self.observed.lock().unwrap();
            assert!(Instant::now() < until, "{what} never came: {seen:#?}");
            drop(seen);
            std::thread::yield_now();
        }
    }

    fn expect(&self, path: &Path, activity: FileActivity) -> FileObservation {
        let find = |sink: &Self| {
            let observed = sink.observed.lock().unwrap();
            let is_it = |one: &&FileObservation| one.path == path && one.activity == activity;
            observed.iter().find(is_it).cloned()
        };
        self.wait(&format!("{activity:?} of {}", path.display()), |sink| {
            find(sink).is_some()
        });
        find(self).unwrap()
    }
}

struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for path in ["etc/sudoers.d", "etc/ssh", "home/dana/.ssh"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        let machine = Self { folder };
        machine.write("etc/passwd", "dana:x:1000:1000::/home/dana:/bin/sh\n");
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, content: &str) -> PathBuf {
        let path = self.path(path);
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs a sensor while `act` does something.
    fn watched(
        &self,
        sensor: impl FnOnce(&Sink, &Stop) -> io::Result<()> + Send,
        act: impl FnOnce(&Sink),
    ) {
        struct StopAtEnd<'a>(&'a Stop);
        impl Drop for StopAtEnd<'_> {
            fn drop(&mut self) {
                self.0.stop();
            }
        }
        let (sink, stop) = (Sink::default(), Stop::default());
        std::thread::scope(|scope| {
            let running = scope.spawn(|| sensor(&sink, &stop));
            let ends = StopAtEnd(&stop);
            sink.wait("the start", |sink| !sink.running.lock().unwrap().is_empty());
            act(&sink);
            drop(ends);
            running.join().unwrap().unwrap();
        });
    }

    fn changes(&self, act: impl FnOnce(&Sink)) {
        let sensor = Changes {
            machine: self.machine(),
        };
        self.watched(|sink, stop| sensor.keep(sink, stop), act);
    }

    fn machine(&self) -> super::Machine {
        super::Machine {
            root: self.folder.path().into(),
            config: FileConfig {
                paths: vec![self.path("srv/app/secret")],
                ..crate::config::Config::default().file
            },
            writers: Arc::default(),
        }
    }
}

#[test]
fn a_key_that_is_added_is_told_with_both_hashes() {
    let machine = Machine::new();
    let path = machine.write("home/dana/.ssh/authorized_keys", "one\n");
    machine.changes(|sink| {
        machine.write("home/dana/.ssh/authorized_keys", "one\ntwo\n");
        let told = sink.expect(&path, FileActivity::Changed);
        assert_eq!(told.category, FileCategory::AuthorizedKeys);
        let hash = |state: Option<crate::sensor::file::change::FileState>| state?.sha256;
        assert!(hash(told.before).is_some() && hash(told.after).is_some());
        assert_ne!(hash(told.before), hash(told.after));
        assert!(told.actor.is_none() && told.count >= 1);
    });
}

#[test]
fn a_rename_over_a_file_replaces_it() {
    let machine = Machine::new();
    let path = machine.path("etc/passwd");
    machine.changes(|sink| {
        let new = machine.write("etc/passwd+", "dana:x:0:0::/home/dana:/bin/sh\n");
        fs::rename(new, &path).unwrap();
        let told = sink.expect(&path, FileActivity::Replaced);
        assert_eq!(told.category, FileCategory::Account);
    });
}

#[test]
fn creation_permission_and_removal_are_told_apart() {
    let machine = Machine::new();
    let path = machine.path("etc/sudoers.d/dana");
    machine.changes(|sink| {
        machine.write("etc/sudoers.d/dana", "dana ALL=(ALL) NOPASSWD: ALL\n");
        sink.expect(&path, FileActivity::Created);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let told = sink.expect(&path, FileActivity::Permissions);
        assert_eq!(told.after.map(|state| state.mode & 0o777), Some(0o666));
        fs::remove_file(&path).unwrap();
        sink.expect(&path, FileActivity::Removed);
    });
}

#[test]
fn a_folder_that_comes_later_is_watched_and_what_is_in_it_is_new() {
    let machine = Machine::new();
    let folder = "home/dana/.config/systemd/user";
    machine.changes(|sink| {
        fs::create_dir_all(machine.path(folder)).unwrap();
        let unit = machine.write(&format!("{folder}/a.service"), "[Service]\n");
        sink.expect(&unit, FileActivity::Created);
        let link = machine.path(&format!("{folder}/b.service"));
        symlink("a.service", &link).unwrap();
        let told = sink.expect(&link, FileActivity::Created);
        assert!(told.after.is_some_and(|state| state.sha256.is_some()));
    });
}

#[test]
fn a_folder_that_is_replaced_is_watched_again() {
    let machine = Machine::new();
    let path = machine.write("home/dana/.ssh/authorized_keys", "one\n");
    machine.changes(|sink| {
        fs::rename(
            machine.path("home/dana/.ssh"),
            machine.path("home/dana/old"),
        )
        .unwrap();
        fs::create_dir(machine.path("home/dana/.ssh")).unwrap();
        machine.write("home/dana/.ssh/authorized_keys", "two\n");
        sink.expect(&path, FileActivity::Replaced);
        machine.write("home/dana/.ssh/authorized_keys", "three\n");
        sink.expect(&path, FileActivity::Changed);
    });
}

#[test]
fn what_is_not_watched_stays_told() {
    let machine = Machine::new();
    for index in 0..=FOLDER_FILES_MAX {
        machine.write(&format!("etc/sudoers.d/{index}"), "");
    }
    let path = machine.path("home/dana/.config/systemd/user");
    machine.changes(|sink| {
        // A folder that comes later shows that another look was taken.
        fs::create_dir_all(&path).unwrap();
        let unit = machine.write("home/dana/.config/systemd/user/a.service", "[Service]\n");
        sink.expect(&unit, FileActivity::Created);
        let running = sink.running.lock().unwrap();
        assert_eq!(*running, ["not watched: 1 files or more"]);
    });
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let machine = Machine::new();
    let pipe = machine.path("etc/sudoers.d/pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let state = look::look(&pipe, 9).unwrap().unwrap();
    assert_eq!(state.sha256, None);
    let large = machine.path("etc/sudoers.d/large");
    let file = fs::File::create(&large).unwrap();
    file.set_len(10).unwrap();
    assert_eq!(look::look(&large, 9).unwrap().unwrap().sha256, None);
    assert_eq!(look::look(&machine.path("etc/none"), 9).unwrap(), None);
}

#[test]
fn who_opens_a_browsers_store_is_told_unless_it_is_this_program() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: fanotify needs root");
        return;
    }
    let machine = Machine::new();
    let profile = "home/dana/.mozilla/firefox/a.default";
    fs::create_dir_all(machine.path(profile)).unwrap();
    let store = machine.write(&format!("{profile}/key4.db"), "secret");
    let sensor = Openings::new(machine.machine());
    machine.watched(
        |sink, stop| sensor.keep(sink, stop),
        |sink| {
            fs::read(&store).unwrap();
            let mut reader = Command::new("/bin/tail")
                .arg("-f")
                .arg(&store)
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let told = sink.expect(&store, FileActivity::Opened);
            reader.kill().unwrap();
            reader.wait().unwrap();
            let opener = told.actor.unwrap();
            assert_eq!(opener.pid, reader.id());
            assert!(opener.executable.ends_with("/tail"), "{opener:?}");
            assert!(opener.start_ticks > 0 && opener.uid == Some(0));
            let observed = sink.observed.lock().unwrap();
            assert_eq!(observed.len(), 1, "this program's own opening is not told");
        },
    );
}

/// A shell that did `script` in this machine's folder and stays, so that it can be asked for.
fn shell(machine: &Machine, script: &str) -> std::process::Child {
    Command::new("/bin/sh")
        .args(["-c", &format!("{script}\nread _")])
        .current_dir(machine.folder.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn who_wrote_a_file_is_told_also_where_it_was_renamed_and_never_who_removed_it() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: fanotify needs root");
        return;
    }
    let machine = Machine::new();
    let shared = machine.machine();
    let openings = Openings::new(shared.clone());
    let changes = Changes { machine: shared };
    let keys = machine.path("home/dana/.ssh/authorized_keys");
    let passwd = machine.path("etc/passwd");
    let act = |sink: &Sink| {
        let script = "echo key >> home/dana/.ssh/authorized_keys\n\
                      echo root > etc/passwd+; mv etc/passwd+ etc/passwd";
        let mut writer = shell(&machine, script);
        for (path, activity) in [
            (&keys, FileActivity::Created),
            (&passwd, FileActivity::Replaced),
        ] {
            let actor = sink.expect(path, activity).actor.unwrap();
            assert_eq!(actor.pid, writer.id());
            assert!(actor.start_ticks > 0 && !actor.executable.is_empty());
        }
        fs::remove_file(&keys).unwrap();
        assert_eq!(sink.expect(&keys, FileActivity::Removed).actor, None);
        drop(writer.stdin.take());
        writer.wait().unwrap();
    };
    machine.watched(
        |sink, stop| openings.keep(sink, stop),
        |_| machine.watched(|sink, stop| changes.keep(sink, stop), act),
    );
}

#[test]
fn a_configured_file_is_watched_also_where_its_folder_comes_later() {
    let machine = Machine::new();
    machine.changes(|sink| {
        fs::create_dir_all(machine.path("srv/app")).unwrap();
        machine.write("srv/app/other", "x");
        let path = machine.write("srv/app/secret", "x");
        let told = sink.expect(&path, FileActivity::Created);
        assert_eq!(told.category, FileCategory::Configured);
        let observed = sink.observed.lock().unwrap();
        assert!(!observed.iter().any(|one| one.path.ends_with("other")));
    });
}
