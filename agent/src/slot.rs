//! Versions of the agent beside the packaged one, and which of them runs.
//!
//! ```text
//! STATE/secret/update/
//!   ledger.json                  which runs, which is on trial, which have failed; replaced whole
//!   slot/VERSION/tocsin-agent    a version that was verified and unpacked
//!   slot/new/                    one that is being unpacked
//!   archive/                     one that is being fetched
//! ```
//!
//! The packaged version is not in the ledger: it is what the package brought, beside the guard, and the highest of it and
//! the ledger's runs. The switch is the ledger's rename: before it the former version runs, after it the new one. The
//! agent that installs begins a trial and ends; from then on only the guard writes, until the trial is over. A slot is
//! hashed each time before it is started.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tocsin_proto::release::{PROGRAM, Version};

use crate::file::{self, Access, Durability, FileError};
use crate::state::StateDirectory;

/// Version of the file. A newer one is not understood, and then the packaged version runs.
const LEDGER_VERSION: u32 = 1;

/// Bytes of the file.
const LEDGER_BYTES_MAX: u64 = 64 << 10;

/// Versions that are remembered as failed.
const FAILED_MAX: usize = 16;

/// A version in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slot {
    /// Which.
    pub(crate) version: Version,
    /// SHA-256 of the program, lower-case hex.
    pub(crate) program_sha256: String,
}

/// A version that has not shown yet that it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// What runs.
    pub(crate) slot: Slot,
    /// How often it was started.
    pub(crate) starts: u32,
    /// How often it ended by itself.
    pub(crate) crashes: u32,
}

/// A version that did not work here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failed {
    /// Which.
    pub(crate) version: Version,
    /// What was wrong.
    pub(crate) reason: String,
    /// Unix milliseconds.
    pub(crate) time_ms: i64,
}

/// Which version runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    version: u32,
    /// What runs, where it is higher than the packaged version.
    pub(crate) current: Option<Slot>,
    /// What ran before, kept.
    pub(crate) former: Option<Slot>,
    /// What runs now, to be seen whether it works.
    pub(crate) trial: Option<Trial>,
    /// The last that did not.
    #[serde(default)]
    pub(crate) failed: Vec<Failed>,
}

impl Ledger {
    /// The slot to run; `None` is the packaged version.
    pub(crate) fn chosen(&self, packaged: Version) -> Option<&Slot> {
        match &self.trial {
            Some(trial) => Some(&trial.slot),
            None => self.current.as_ref().filter(|slot| slot.version > packaged),
        }
    }

    /// Why a version is not to be tried again.
    pub(crate) fn failure(&self, version: Version) -> Option<&Failed> {
        self.failed.iter().find(|failed| failed.version == version)
    }

    /// Puts a version on trial.
    pub(crate) fn begin_trial(&mut self, slot: Slot) {
        self.trial = Some(Trial {
            slot,
            starts: 0,
            crashes: 0,
        });
    }

    /// The trial went well.
    pub(crate) fn commit(&mut self) {
        if let Some(trial) = self.trial.take() {
            self.former = self.current.replace(trial.slot);
        }
    }

    /// The trial went badly: what ran before runs again.
    pub(crate) fn go_back(&mut self, reason: &str, time_ms: i64) {
        if let Some(trial) = self.trial.take() {
            self.note_failed(trial.slot.version, reason, time_ms);
        }
    }

    /// The slot that runs cannot be started any more: what ran before it does.
    pub(crate) fn drop_current(&mut self, reason: &str, time_ms: i64) {
        if let Some(slot) = self.current.take() {
            self.note_failed(slot.version, reason, time_ms);
            self.current = self.former.take();
        }
    }

    fn note_failed(&mut self, version: Version, reason: &str, time_ms: i64) {
        self.failed.retain(|failed| failed.version != version);
        if self.failed.len() >= FAILED_MAX {
            self.failed.remove(0);
        }
        self.failed.push(Failed {
            version,
            reason: crate::text::cut_reason(reason.to_owned()),
            time_ms,
        });
    }

    fn names(&self, version: &str) -> bool {
        let trial = self.trial.as_ref().map(|trial| &trial.slot);
        [self.current.as_ref(), self.former.as_ref(), trial]
            .into_iter()
            .flatten()
            .any(|slot| slot.version.to_string() == version)
    }
}

/// The slots of a state directory.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    folder: PathBuf,
}

impl Slots {
    /// Of a state directory.
    pub(crate) fn new(state: &StateDirectory) -> Self {
        Self {
            folder: state.update(),
        }
    }

    /// Where the program of a version lies.
    pub(crate) fn program(&self, version: Version) -> PathBuf {
        self.slot(&version.to_string()).join(PROGRAM)
    }

    /// Where archives are fetched to; made where it is not there.
    pub(crate) fn archives(&self) -> Result<PathBuf, FileError> {
        let path = self.folder.join("archive");
        file::create_directory(&self.folder, Access::Private)?;
        file::create_directory(&path, Access::Private)?;
        Ok(path)
    }

    /// An empty folder to unpack into, on the same disk.
    pub(crate) fn unpacking(&self) -> Result<PathBuf, FileError> {
        let path = self.slot("new");
        // Left behind by a killed agent.
        let _missing = std::fs::remove_dir_all(&path);
        file::create_directory(&self.folder, Access::Private)?;
        file::create_directory(&self.folder.join("slot"), Access::Private)?;
        file::create_directory(&path, Access::Private)?;
        Ok(path)
    }

    /// Makes what was unpacked a slot. It runs only once the ledger says so.
    pub(crate) fn keep(&self, unpacked: &Path, version: Version) -> io::Result<()> {
        let slot = self.slot(&version.to_string());
        match std::fs::remove_dir_all(&slot) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        sync(unpacked)?;
        std::fs::rename(unpacked, &slot)?;
        sync(&self.folder.join("slot"))
    }

    /// Reads the ledger; where there is none, an empty one.
    pub(crate) fn load(&self) -> Result<Ledger, FileError> {
        match file::read(&self.ledger(), LEDGER_BYTES_MAX) {
            Ok(bytes) => {
                let ledger = serde_json::from_slice::<Ledger>(&bytes).ok();
                let ledger = ledger.filter(|ledger| ledger.version == LEDGER_VERSION);
                if ledger.is_none() {
                    tracing::error!("the ledger of versions is damaged: the packaged version runs");
                }
                Ok(ledger.unwrap_or_default())
            }
            Err(error) if error.is_missing() => Ok(Ledger::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes it, in one step that survives the end of power.
    pub(crate) fn store(&self, ledger: &Ledger) -> Result<(), FileError> {
        file::create_directory(&self.folder, Access::Private)?;
        let ledger = Ledger {
            version: LEDGER_VERSION,
            ..ledger.clone()
        };
        // Text and numbers always serialize.
        let bytes = serde_json::to_vec(&ledger).unwrap_or_default();
        file::write(&self.ledger(), &bytes, Access::Private, Durability::Synced)
    }

    /// Whether the program of a slot is what was installed.
    pub(crate) fn is_whole(&self, slot: &Slot) -> bool {
        let path = self.program(slot.version);
        let is_file = std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
        is_file
            && file::sha256(&path)
                .is_ok_and(|hash| data_encoding::HEXLOWER.encode(&hash) == slot.program_sha256)
    }

    /// Removes what no longer has a place in the ledger.
    pub(crate) fn prune(&self, ledger: &Ledger) -> io::Result<()> {
        let entries = match std::fs::read_dir(self.folder.join("slot")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if !ledger.names(&entry.file_name().to_string_lossy()) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn ledger(&self) -> PathBuf {
        self.folder.join("ledger.json")
    }

    fn slot(&self, name: &str) -> PathBuf {
        self.folder.join("slot").join(name)
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    match cfg!(unix) {
        true => std::fs::File::open(folder)?.sync_all(),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn slot(text: &str) -> Slot {
        Slot {
            version: version(text),
            program_sha256: String::new(),
        }
    }

    #[test]
    fn the_highest_of_package_and_slot_runs() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.chosen(version("1.0.0")), None);
        ledger.begin_trial(slot("1.1.0"));
        assert_eq!(ledger.chosen(version("1.0.0")), Some(&slot("1.1.0")));
        ledger.commit();
        assert_eq!(ledger.chosen(version("1.0.0")), Some(&slot("1.1.0")));
        assert_eq!(ledger.chosen(version("1.2.0")), None, "a later package");
    }

    #[test]
    fn a_failed_trial_leaves_what_ran_before_and_is_remembered() {
        let mut ledger = Ledger::default();
        ledger.begin_trial(slot("1.1.0"));
        ledger.commit();
        ledger.begin_trial(slot("1.2.0"));
        ledger.go_back("it crashed", 5);
        assert_eq!(ledger.chosen(version("1.0.0")), Some(&slot("1.1.0")));
        assert_eq!(
            ledger.failure(version("1.2.0")).unwrap().reason,
            "it crashed"
        );
        assert!(ledger.failure(version("1.1.0")).is_none());
        for patch in 0..100 {
            ledger.begin_trial(slot(&format!("2.0.{patch}")));
            ledger.go_back("no", 6);
        }
        assert_eq!(ledger.failed.len(), FAILED_MAX);
    }

    #[test]
    fn a_slot_that_rotted_is_not_run_and_the_one_before_is() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path().to_owned());
        state.create().unwrap();
        let slots = Slots::new(&state);
        let unpacked = slots.unpacking().unwrap();
        std::fs::write(unpacked.join(PROGRAM), "program").unwrap();
        let hash = file::sha256(&unpacked.join(PROGRAM)).unwrap();
        slots.keep(&unpacked, version("1.1.0")).unwrap();
        let kept = Slot {
            version: version("1.1.0"),
            program_sha256: data_encoding::HEXLOWER.encode(&hash),
        };
        assert!(slots.is_whole(&kept));
        std::fs::write(slots.program(kept.version), "prograM").unwrap();
        assert!(!slots.is_whole(&kept));
        let mut ledger = Ledger::default();
        ledger.begin_trial(kept);
        ledger.commit();
        ledger.drop_current("rotten", 1);
        assert_eq!(ledger.chosen(version("1.0.0")), None);
    }

    #[test]
    fn the_ledger_survives_and_a_damaged_one_means_the_packaged_version() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path().to_owned());
        state.create().unwrap();
        let slots = Slots::new(&state);
        assert_eq!(slots.load().unwrap(), Ledger::default());
        let mut ledger = Ledger::default();
        ledger.begin_trial(slot("1.1.0"));
        slots.store(&ledger).unwrap();
        assert_eq!(slots.load().unwrap().trial, ledger.trial);
        std::fs::write(slots.ledger(), "{\"version\":1,").unwrap();
        assert_eq!(slots.load().unwrap().chosen(version("1.0.0")), None);
    }

    #[test]
    fn only_slots_of_the_ledger_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path().to_owned());
        state.create().unwrap();
        let slots = Slots::new(&state);
        let mut ledger = Ledger::default();
        for text in ["1.1.0", "1.2.0", "1.3.0"] {
            let unpacked = slots.unpacking().unwrap();
            std::fs::write(unpacked.join(PROGRAM), text).unwrap();
            slots.keep(&unpacked, version(text)).unwrap();
            ledger.begin_trial(slot(text));
            ledger.commit();
        }
        slots.prune(&ledger).unwrap();
        assert!(!slots.program(version("1.1.0")).exists());
        assert!(slots.program(version("1.2.0")).exists(), "the former");
        assert!(slots.program(version("1.3.0")).exists());
    }
}
