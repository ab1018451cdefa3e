//! What a person has set, read again when its file changes while the screens are open: the profile, which an
//! administrator renews, and the keys.
//!
//! The folders are watched, not the files: a file that is written anew is another file. A link is watched where it
//! lies, not where it leads. Where the system cannot watch (its limit is reached, say), a change counts from the next
//! start on. A file that cannot be used changes nothing, and is told.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tocsin_proto::profile::Profile;
use tokio::sync::mpsc;

use crate::config::{self, ConfigError, Surroundings};
use crate::keymap::Keymap;

/// How long a change is left alone: whoever writes a file may do so in pieces.
const QUIET: Duration = Duration::from_millis(200);

/// Where things are set.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The profile.
    pub(crate) profile: PathBuf,
    /// The keys; `None` where this user has no folder for them.
    pub(crate) keys: Option<config::KeysFile>,
}

impl Places {
    /// Those of this user; `flag` names another profile.
    ///
    /// # Errors
    /// [`ConfigError::Nowhere`].
    pub(crate) fn find(flag: Option<PathBuf>) -> Result<Self, ConfigError> {
        let named = std::env::var_os(config::KEYS_VARIABLE);
        Ok(Self {
            profile: config::locate(flag, Surroundings::now())?,
            keys: config::keys_file(named, Surroundings::now()),
        })
    }
}

/// What was read anew.
#[derive(Debug)]
pub(crate) enum Renewed {
    /// The profile.
    Profile(Result<Profile, ConfigError>),
    /// The keys.
    Keys(Result<Keymap, ConfigError>),
}

/// What is set, and a watch on it.
#[derive(Debug)]
pub(crate) struct Settings {
    places: Places,
    /// As last read and good.
    pub(crate) profile: Profile,
    /// As last read and good.
    pub(crate) keymap: Keymap,
    changes: mpsc::Receiver<()>,
    // Dropped, it watches no more.
    _watcher: Option<RecommendedWatcher>,
}

impl Settings {
    /// Reads all of it and begins to watch.
    ///
    /// # Errors
    /// Where something cannot be used.
    pub(crate) fn open(places: Places) -> Result<Self, ConfigError> {
        let (tell, changes) = mpsc::channel(1);
        // Before the files are read, so that no change falls in between.
        let watcher = watch(&places, tell).ok();
        Ok(Self {
            profile: config::load(&places.profile)?,
            keymap: config::keys(places.keys.as_ref())?,
            places,
            changes,
            _watcher: watcher,
        })
    }

    /// Waits until a file may have changed; for ever where nothing is watched.
    pub(crate) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            return std::future::pending().await;
        }
        tokio::time::sleep(QUIET).await;
        while self.changes.try_recv().is_ok() {}
    }

    /// What is otherwise than when it was read last.
    pub(crate) fn read_again(&mut self) -> Vec<Renewed> {
        let mut renewed = Vec::new();
        match config::load(&self.places.profile) {
            Ok(profile) if profile == self.profile => {}
            Ok(profile) => {
                self.profile = profile.clone();
                renewed.push(Renewed::Profile(Ok(profile)));
            }
            Err(error) => renewed.push(Renewed::Profile(Err(error))),
        }
        match config::keys(self.places.keys.as_ref()) {
            Ok(keymap) if keymap == self.keymap => {}
            Ok(keymap) => {
                self.keymap = keymap.clone();
                renewed.push(Renewed::Keys(Ok(keymap)));
            }
            Err(error) => renewed.push(Renewed::Keys(Err(error))),
        }
        renewed
    }
}

/// Tells when something happens to one of the files. What is told and not taken yet is told once.
fn watch(places: &Places, tell: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let keys = places.keys.as_ref().map(|keys| keys.path.as_path());
    let files: Vec<&Path> = [Some(places.profile.as_path()), keys]
        .into_iter()
        .flatten()
        .collect();
    let names: Vec<OsString> = files
        .iter()
        .filter_map(|file| file.file_name().map(OsStr::to_owned))
        .collect();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // A failure may have hidden a change.
        let concerns = event.map_or(true, |event| {
            let is_ours = |path: &PathBuf| names.iter().any(|name| path.file_name() == Some(name));
            // Reading a file is no change of it, and is what follows on each.
            let is_read = matches!(event.kind, EventKind::Access(_));
            event.need_rescan() || (!is_read && event.paths.iter().any(is_ours))
        });
        if concerns {
            // Full: it is told already.
            let _told = tell.try_send(());
        }
    })?;
    let mut folders: Vec<&Path> = files.iter().filter_map(|file| file.parent()).collect();
    folders.dedup();
    let mut watched = Ok(());
    for folder in folders {
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        let this = watcher.watch(folder, RecursiveMode::NonRecursive);
        // The folder of the keys need not be there; that of the profile is.
        watched = watched.or(this);
    }
    watched.map(|()| watcher)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(path: &Path, content: &str) {
        let new = path.with_extension("new");
        std::fs::write(&new, content).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&new, path).unwrap();
    }

    fn profile(name: &str) -> String {
        let profile = Profile {
            version: 1,
            name: name.into(),
            role: "viewer".into(),
            servers: vec!["a:1".into()],
            ca_certificate: String::new(),
            certificate: String::new(),
            private_key: String::new(),
        };
        profile.to_toml().unwrap()
    }

    async fn next(settings: &mut Settings) -> Vec<Renewed> {
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, settings.changed())
            .await
            .expect("a change is told");
        settings.read_again()
    }

    #[tokio::test]
    async fn what_is_written_anew_is_read_anew_and_what_is_wrong_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            profile: dir.path().join("profile"),
            keys: Some(config::KeysFile {
                path: dir.path().join("keys.toml"),
                is_named: false,
            }),
        };
        write(&places.profile, &profile("dana"));
        let mut settings = Settings::open(places.clone()).unwrap();

        write(&places.profile, &profile("kim"));
        let renewed = next(&mut settings).await;
        assert!(
            matches!(renewed.as_slice(), [Renewed::Profile(Ok(profile))] if profile.name == "kim"),
            "{renewed:?}"
        );

        let keys = places.keys.unwrap().path;
        write(&keys, "[list]\nnonsense = 3\n");
        let renewed = next(&mut settings).await;
        assert!(
            matches!(renewed.as_slice(), [Renewed::Keys(Err(_))]),
            "{renewed:?}"
        );
        assert_eq!(settings.keymap, Keymap::default());

        write(&keys, "");
        assert!(next(&mut settings).await.is_empty(), "it is as it was");
        std::fs::read(&keys).unwrap();
        let quiet = tokio::time::timeout(QUIET * 3, settings.changed()).await;
        assert!(quiet.is_err(), "reading is no change");
    }
}
