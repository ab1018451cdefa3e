//! Where addresses lie, by files that the operator gives (`network.geo`): their network (ASN) and country, for records
//! of providers that do not say.
//!
//! Files are in memory, and read again when they are replaced: whether they were is looked at with every transaction
//! of an import. A file that cannot be used any more is told once, and what was read before goes on.
//! **A provider's own word wins**; what is looked up is stored with the record and never looked up again, so that a
//! later file changes no history (`store/case.rs`).

mod database;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tocsin_correlate::Origin;

use self::database::{Database, Stamp};
pub(crate) use self::database::{Facts, GeoError};
use crate::rpc::status::chain;

/// Files at most: networks and countries, each perhaps in two parts.
pub(crate) const FILES_MAX: usize = 4;

/// The operator's files.
#[derive(Debug, Default)]
pub(crate) struct Geo {
    files: Mutex<Vec<GeoFile>>,
}

#[derive(Debug)]
struct GeoFile {
    path: PathBuf,
    /// As it was when it was last tried; `None`: it was not there.
    tried: Option<Stamp>,
    database: Arc<Database>,
}

impl Geo {
    /// Reads every file. Blocks.
    ///
    /// # Errors
    /// The first that cannot be used, with the cure.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self, GeoError> {
        let open = |path: &PathBuf| {
            let (database, stamp) = Database::read(path)?;
            Ok(GeoFile {
                path: path.clone(),
                tried: Some(stamp),
                database: Arc::new(database),
            })
        };
        let files: Result<Vec<_>, GeoError> = paths.iter().map(open).collect();
        Ok(Self {
            files: Mutex::new(files?),
        })
    }

    /// The files as they are now: those that were replaced are read again. Blocks.
    pub(crate) fn current(&self) -> Lookup {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter_mut().for_each(GeoFile::refresh);
        Lookup(files.iter().map(|file| file.database.clone()).collect())
    }
}

impl GeoFile {
    fn refresh(&mut self) {
        let now = Stamp::of_path(&self.path);
        if now == self.tried {
            return;
        }
        // What is said of a file is said once, until it changes again.
        self.tried = now;
        match Database::read(&self.path) {
            Ok((database, stamp)) => {
                tracing::info!(
                    "{} was replaced: it is used from now on",
                    self.path.display()
                );
                self.tried = Some(stamp);
                self.database = Arc::new(database);
            }
            Err(error) => tracing::warn!(
                error = chain(&error),
                "what was read of it before is still used"
            ),
        }
    }
}

/// What a file is, without keeping it.
///
/// # Errors
/// It cannot be used.
pub(crate) fn facts(path: &Path) -> Result<Facts, GeoError> {
    Database::read(path).map(|(database, _)| database.facts().clone())
}

/// Files as they were at one moment. Of several that tell the same the first that knows an address is believed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lookup(Vec<Arc<Database>>);

impl Lookup {
    /// Adds network and country where the provider said nothing of them and a file does. Whether anything was added.
    pub(crate) fn fill(&self, origin: &mut Origin) -> bool {
        let Some(ip) = origin.ip else { return false };
        if origin.asn.is_some() && origin.place.country.is_some() {
            return false;
        }
        let mut filled = false;
        for found in self.0.iter().map(|database| database.find(ip)) {
            if origin.asn.is_none() && found.asn.is_some() {
                origin.asn = found.asn;
                // A name that the provider gave without a number stays.
                origin.as_org = origin.as_org.take().or(found.as_org);
                filled = true;
            }
            if origin.place.country.is_none() && found.country.is_some() {
                origin.place.country = found.country;
                filled = true;
            }
        }
        filled
    }
}

#[cfg(test)]
pub(crate) mod tests;
