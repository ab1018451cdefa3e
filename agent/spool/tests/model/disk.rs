//! A disk in memory that crashes: what was not synced is then lost, kept or torn at any byte, in any
//! order. It can also be full, refuse to sync, and die in the middle of a call.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::rc::Rc;

use tocsin_spool::{Folder, FolderFile};

#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    files: HashMap<usize, Content>,
    /// As a process sees them.
    names: BTreeMap<String, usize>,
    /// As a crash leaves them, if it keeps none of `unsynced_names`.
    synced_names: BTreeMap<String, usize>,
    unsynced_names: Vec<NameChange>,
    /// Bytes that can still be written.
    room: Option<usize>,
    /// Changes until the machine dies; 0 is dead.
    life: Option<usize>,
    syncs_to_fail: usize,
    failed_syncs: usize,
    salt: u64,
}

#[derive(Debug, Default)]
struct Content {
    seen: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Set(String, usize),
    Remove(String),
    /// What it is that moves is part of the change, as in a folder's own blocks.
    Rename(String, String, usize),
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Debug)]
pub(crate) struct DiskFile {
    disk: Disk,
    file: usize,
}

/// A small generator, so that a crash is the same for the same seed.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) as usize) % limit.max(1)
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write(offset, written) => {
                let end = offset + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(written);
            }
            Change::Cut(length) => bytes.resize(*length, 0),
        }
    }

    /// What a crash leaves of it.
    fn torn(&self, dice: &mut Dice) -> Option<Change> {
        match (self, dice.below(5)) {
            (_, 0) => None,
            (Change::Write(offset, written), 1) => {
                let kept = dice.below(written.len() + 1);
                Some(Change::Write(*offset, written[..kept].to_vec()))
            }
            (Change::Write(offset, written), 2) => {
                let lost = dice.below(written.len() + 1);
                Some(Change::Write(offset + lost, written[lost..].to_vec()))
            }
            _ => Some(self.clone()),
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Set(name, file) => {
                names.insert(name.clone(), *file);
            }
            NameChange::Remove(name) => {
                names.remove(name);
            }
            NameChange::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the machine is dead")
}

impl State {
    fn alive(&self) -> io::Result<()> {
        if self.life == Some(0) {
            Err(dead())
        } else {
            Ok(())
        }
    }

    /// Counts a change; true if the machine dies in it.
    fn dies(&mut self) -> io::Result<bool> {
        self.alive()?;
        if let Some(life) = &mut self.life {
            *life -= 1;
        }
        Ok(self.life == Some(0))
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        let dies = self.dies()?;
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
        if dies { Err(dead()) } else { Ok(()) }
    }

    fn change(&mut self, file: usize, change: Change) {
        let content = self.files.get_mut(&file).unwrap();
        change.apply(&mut content.seen);
        content.unsynced.push(change);
    }
}

impl Disk {
    pub(crate) fn set_room(&self, room: Option<usize>) {
        self.0.borrow_mut().room = room;
    }

    pub(crate) fn die_after(&self, changes: usize) {
        self.0.borrow_mut().life = Some(changes.max(1));
    }

    pub(crate) fn fail_syncs(&self, count: usize) {
        self.0.borrow_mut().syncs_to_fail = count;
    }

    pub(crate) fn failed_syncs(&self) -> usize {
        self.0.borrow().failed_syncs
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.borrow().life == Some(0)
    }

    /// Ends every fault.
    pub(crate) fn heal(&self) {
        let mut state = self.0.borrow_mut();
        (state.room, state.life, state.syncs_to_fail) = (None, None, 0);
    }

    /// The machine goes down and comes up again, without faults.
    pub(crate) fn crash(&self, seed: u64) {
        self.heal();
        let mut dice = Dice::new(seed);
        let state = &mut *self.0.borrow_mut();
        let mut files: Vec<_> = state.files.iter_mut().collect();
        files.sort_by_key(|(file, _)| **file);
        for (_, content) in files {
            for change in content.unsynced.drain(..) {
                if let Some(kept) = change.torn(&mut dice) {
                    kept.apply(&mut content.synced);
                }
            }
            content.seen = content.synced.clone();
        }
        for change in state.unsynced_names.drain(..) {
            if dice.below(2) == 0 {
                change.apply(&mut state.synced_names);
            }
        }
        state.names = state.synced_names.clone();
    }

    /// Bytes of all files with this ending.
    pub(crate) fn bytes(&self, ending: &str) -> usize {
        let state = self.0.borrow();
        let files = state
            .names
            .iter()
            .filter(|(name, _)| name.ends_with(ending));
        files.map(|(_, file)| state.files[file].seen.len()).sum()
    }
}

impl Folder for Disk {
    type File = DiskFile;

    fn names(&self) -> io::Result<Vec<String>> {
        let state = self.0.borrow();
        state.alive()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<DiskFile> {
        let mut state = self.0.borrow_mut();
        let file = match state.names.get(name).copied() {
            Some(file) => {
                state.dies()?;
                state.change(file, Change::Cut(0));
                file
            }
            None => {
                let file = state.files.len();
                state.files.insert(file, Content::default());
                state.change_name(NameChange::Set(name.to_owned(), file))?;
                file
            }
        };
        Ok(DiskFile {
            disk: self.clone(),
            file,
        })
    }

    fn open(&self, name: &str) -> io::Result<DiskFile> {
        let state = self.0.borrow();
        state.alive()?;
        let file = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(DiskFile {
            disk: self.clone(),
            file,
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned(), file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_name(NameChange::Remove(name.to_owned()))
    }

    fn sync_names(&self) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        if state.dies()? {
            return Err(dead());
        }
        state.unsynced_names.clear();
        state.synced_names = state.names.clone();
        Ok(())
    }

    fn salt(&self) -> u64 {
        let mut state = self.0.borrow_mut();
        state.salt += 1;
        state.salt
    }
}

impl FolderFile for DiskFile {
    fn bytes(&self) -> io::Result<u64> {
        let state = self.disk.0.borrow();
        state.alive()?;
        Ok(state.files[&self.file].seen.len() as u64)
    }

    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.0.borrow();
        state.alive()?;
        let seen = state.files[&self.file]
            .seen
            .get(offset as usize..)
            .unwrap_or_default();
        let count = seen.len().min(buffer.len());
        buffer[..count].copy_from_slice(&seen[..count]);
        Ok(count)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.borrow_mut();
        let dies = state.dies()?;
        let fits = state.room.unwrap_or(usize::MAX).min(bytes.len());
        state.room = state.room.map(|room| room - fits);
        state.change(
            self.file,
            Change::Write(offset as usize, bytes[..fits].to_vec()),
        );
        if dies {
            return Err(dead());
        }
        if fits < bytes.len() {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.0.borrow_mut();
        let dies = state.dies()?;
        state.change(self.file, Change::Cut(bytes as usize));
        if dies { Err(dead()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.0.borrow_mut();
        if state.dies()? {
            return Err(dead());
        }
        let fails = state.syncs_to_fail > 0;
        state.syncs_to_fail -= usize::from(fails);
        state.failed_syncs += usize::from(fails);
        let content = state.files.get_mut(&self.file).unwrap();
        let unsynced = std::mem::take(&mut content.unsynced);
        if fails {
            // As Linux does: what could not be written counts as written from now on.
            return Err(io::Error::other("the disk does not sync"));
        }
        for change in unsynced {
            change.apply(&mut content.synced);
        }
        Ok(())
    }
}
