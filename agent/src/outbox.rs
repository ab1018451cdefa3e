//! The spool as the stages share it: the pipeline appends, the uplink leases and commits.
//!
//! Every call may wait for the disk and for the other stage: async code calls it on a blocking thread.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tocsin_proto::id::{EventSequence, RunId};
use tocsin_spool::{Loss, Record, Recovery, Span, Spool, SpoolConfig, SpoolError};
use tokio::sync::Notify;

use crate::health::{Health, SpoolReport};

/// The shared spool.
#[derive(Debug)]
pub(crate) struct Outbox {
    spool: Mutex<Spool>,
    bytes_max: u64,
    appended: Notify,
    health: Arc<Health>,
    rejected: Mutex<Rejected>,
    /// In flight, and to be numbered anew: the server has other events with these numbers. Changed only while `spool`
    /// is locked; never more than may be in flight.
    renumber: Mutex<Vec<Span>>,
    /// How often leases were taken back. Changed and compared only while `spool` is locked.
    epoch: AtomicU64,
    /// The disk takes no sync.
    #[cfg(test)]
    pub(crate) sync_fails: std::sync::atomic::AtomicBool,
}

/// What became of records that were to be added.
#[derive(Debug)]
pub(crate) struct Appended {
    /// The spans that could not be added, with the reason.
    pub(crate) refused: Vec<(Span, SpoolError)>,
    /// The others survive a crash of the machine.
    pub(crate) synced: bool,
}

impl Appended {
    /// Everything was added and survives: what was told in it need not be told again.
    pub(crate) fn is_complete(&self) -> bool {
        self.refused.is_empty() && self.synced
    }
}

/// Stands for the leases since one [`Outbox::rollback`]. Whoever leases shows it, so that a call that was left
/// behind by a broken connection cannot put a record in flight that nobody sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

/// Why nothing was leased.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaseError {
    /// All leases were taken back in the meantime.
    #[error("the leases of this stream were taken back")]
    Stale,
    /// The spool failed.
    #[error("read events from the spool")]
    Spool(#[from] SpoolError),
}

/// What the server refuses.
#[derive(Debug, Default)]
struct Rejected {
    /// The record that it refused last, and how often.
    suspect: Option<(Span, u32)>,
    /// Given up and not yet told.
    given_up: VecDeque<Span>,
}

/// A record that the server refused so often is given up: it would hold up all others for ever.
const REJECTIONS_MAX: u32 = 3;

/// Given up records that wait to be told. Each takes [`REJECTIONS_MAX`] broken streams.
const GIVEN_UP_MAX: usize = 64;

impl Outbox {
    /// Opens the spool in `path`.
    pub(crate) fn open(
        path: &Path,
        bytes_max: u64,
        health: Arc<Health>,
    ) -> Result<(Self, Recovery), SpoolError> {
        let config = SpoolConfig {
            bytes_max,
            ..SpoolConfig::default()
        };
        let (spool, recovery) = Spool::open(path, config)?;
        let outbox = Self {
            spool: Mutex::new(spool),
            bytes_max,
            appended: Notify::new(),
            health,
            rejected: Mutex::default(),
            renumber: Mutex::default(),
            epoch: AtomicU64::new(0),
            #[cfg(test)]
            sync_fails: false.into(),
        };
        outbox.report(&outbox.lock());
        Ok((outbox, recovery))
    }

    fn lock(&self) -> MutexGuard<'_, Spool> {
        // The spool is made for interrupted work: what a panicking stage left is what a crash leaves.
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, spool: &Spool) {
        let stats = spool.stats();
        self.health.set_spool(SpoolReport {
            bytes: stats.bytes,
            bytes_max: self.bytes_max,
            events: stats.events,
        });
    }

    /// Adds records, in order, and makes them survive a crash of the machine with one sync.
    pub(crate) fn append(&self, records: &[Record]) -> Appended {
        let mut spool = self.lock();
        let mut refused = Vec::new();
        for record in records {
            if let Err(error) = spool.push(record) {
                refused.push((record.span, error));
            }
        }
        let synced = self.sync(&mut spool);
        if let Err(error) = &synced {
            tracing::warn!(
                error = crate::text::chain(error),
                "events may not survive a crash of the machine"
            );
        }
        self.report(&spool);
        drop(spool);
        self.appended.notify_one();
        Appended {
            refused,
            synced: synced.is_ok(),
        }
    }

    fn sync(&self, spool: &mut Spool) -> Result<(), SpoolError> {
        let synced = spool.sync();
        #[cfg(test)]
        if self.sync_fails.load(Ordering::Relaxed) {
            return Err(SpoolError::Io {
                attempt: "sync",
                name: "a segment of a disk that fails".into(),
                source: std::io::ErrorKind::Other.into(),
            });
        }
        synced
    }

    /// The next record, which is then in flight; `None` where there is none or enough are.
    ///
    /// # Errors
    /// [`LeaseError::Stale`] where there was a rollback since the one that gave this epoch.
    pub(crate) fn lease(&self, epoch: Epoch) -> Result<Option<Record>, LeaseError> {
        let mut spool = self.lock();
        if epoch.0 != self.epoch.load(Ordering::Relaxed) {
            return Err(LeaseError::Stale);
        }
        Ok(spool.lease()?)
    }

    /// Notes that the server has a run's events up to this one.
    pub(crate) fn commit(&self, run: RunId, through: EventSequence) {
        let mut spool = self.lock();
        spool.commit(run, through);
        self.lock_renumber()
            .retain(|span| span.run != run || span.last > through);
        self.report(&spool);
    }

    /// The server has other events with these numbers: they are to be numbered anew by [`Outbox::renumbered`]'s
    /// caller. They stay in flight until then.
    pub(crate) fn renumber(&self, span: Span) {
        let _spool = self.lock();
        let mut renumber = self.lock_renumber();
        if !renumber.contains(&span) {
            renumber.push(span);
        }
    }

    /// The records that are to be numbered anew, in order. Whoever has added their events under other numbers commits
    /// them. All are read under one lock: should a rollback have come between, none is given, so that committing one
    /// cannot take an earlier one with it.
    pub(crate) fn renumbered(&self) -> Vec<Record> {
        let mut spool = self.lock();
        let spans = self.lock_renumber().clone();
        let records = spans.into_iter().map_while(|span| {
            spool.leased(span).unwrap_or_else(|error| {
                tracing::warn!(
                    error = crate::text::chain(&error),
                    "events that are to be numbered anew cannot be read now"
                );
                None
            })
        });
        records.collect()
    }

    fn lock_renumber(&self) -> MutexGuard<'_, Vec<Span>> {
        self.renumber.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for something to send: there is room in flight again.
    pub(crate) fn wake(&self) {
        self.appended.notify_one();
    }

    /// The server refused this record as one that makes no sense. True where it was given up for that; it is then
    /// told by [`Outbox::rejected`].
    pub(crate) fn reject(&self, span: Span) -> bool {
        let mut rejected = self.lock_rejected();
        let times = match rejected.suspect {
            Some((suspect, times)) if suspect == span => times + 1,
            _ => 1,
        };
        if times < REJECTIONS_MAX {
            rejected.suspect = Some((span, times));
            return false;
        }
        rejected.suspect = None;
        if rejected.given_up.len() >= GIVEN_UP_MAX {
            // The server sees the hole in the sequences and tells it itself, without the reason.
            rejected.given_up.pop_front();
        }
        rejected.given_up.push_back(span);
        drop(rejected);
        self.commit(span.run, span.last);
        true
    }

    /// The records that were given up and have not become gap events, oldest first.
    pub(crate) fn rejected(&self) -> Vec<Span> {
        self.lock_rejected().given_up.iter().copied().collect()
    }

    /// The first so many of [`Outbox::rejected`] have become gap events.
    pub(crate) fn settle_rejected(&self, count: usize) {
        let mut rejected = self.lock_rejected();
        let count = count.min(rejected.given_up.len());
        rejected.given_up.drain(..count);
    }

    fn lock_rejected(&self) -> MutexGuard<'_, Rejected> {
        self.rejected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes back every lease, also those that are still being asked for. Leases are then to be asked for with the
    /// epoch that this gives.
    pub(crate) fn rollback(&self) -> Epoch {
        let mut spool = self.lock();
        spool.rollback();
        // They are sent again, and the server says it again.
        self.lock_renumber().clear();
        Epoch(self.epoch.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Makes commits survive and removes what is delivered.
    pub(crate) fn checkpoint(&self) {
        let mut spool = self.lock();
        if let Err(error) = spool.checkpoint() {
            tracing::warn!(
                error = crate::text::chain(&error),
                "acknowledged events may be sent again after a restart"
            );
        }
        self.report(&spool);
    }

    /// Losses that have not become gap events.
    pub(crate) fn losses(&self) -> Vec<Loss> {
        self.lock().losses().to_vec()
    }

    /// The losses up to this number have become gap events.
    pub(crate) fn settle_losses(&self, through: u64) {
        self.lock().settle_losses(through);
    }

    /// Waits until something was appended since the last wait.
    pub(crate) async fn appended(&self) {
        self.appended.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(first: u64, last: u64) -> Record {
        Record {
            span: Span {
                run: RunId::from_random([1; 16]),
                first: EventSequence(first),
                last: EventSequence(last),
            },
            payload: vec![1],
        }
    }

    #[test]
    fn a_record_that_the_server_keeps_refusing_does_not_hold_up_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let health = Arc::new(Health::default());
        let (outbox, _) = Outbox::open(directory.path(), 16 << 20, health).unwrap();
        let (bad, good) = (record(1, 5), record(6, 9));
        assert!(outbox.append(&[bad.clone(), good.clone()]).is_complete());
        assert!(!outbox.reject(bad.span));
        assert!(!outbox.reject(bad.span));
        assert!(outbox.rejected().is_empty());
        assert!(outbox.reject(bad.span));
        assert_eq!(outbox.rejected(), [bad.span]);
        assert_eq!(outbox.rejected(), [bad.span], "kept until it is told");
        outbox.settle_rejected(1);
        assert!(outbox.rejected().is_empty());
        let epoch = outbox.rollback();
        assert_eq!(outbox.lease(epoch).unwrap(), Some(good.clone()));
        assert!(!outbox.reject(good.span), "each is counted for itself");
    }

    #[test]
    fn what_is_numbered_anew_stays_until_it_is_committed_and_is_asked_for_again_after_a_rollback() {
        let directory = tempfile::tempdir().unwrap();
        let health = Arc::new(Health::default());
        let (outbox, _) = Outbox::open(directory.path(), 16 << 20, health).unwrap();
        let (first, second) = (record(1, 5), record(6, 9));
        assert!(
            outbox
                .append(&[first.clone(), second.clone()])
                .is_complete()
        );
        let epoch = outbox.rollback();
        for record in [&first, &second] {
            assert_eq!(outbox.lease(epoch).unwrap().as_ref(), Some(record));
            outbox.renumber(record.span);
            outbox.renumber(record.span);
        }
        assert_eq!(outbox.renumbered(), [first.clone(), second.clone()]);
        outbox.commit(first.span.run, first.span.last);
        assert_eq!(outbox.renumbered(), std::slice::from_ref(&second));
        let epoch = outbox.rollback();
        assert!(outbox.renumbered().is_empty());
        assert_eq!(outbox.lease(epoch).unwrap(), Some(second));
    }

    #[test]
    fn a_lease_that_a_broken_connection_left_behind_takes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let health = Arc::new(Health::default());
        let (outbox, _) = Outbox::open(directory.path(), 16 << 20, health).unwrap();
        let outbox = Arc::new(outbox);
        let first = record(1, 5);
        assert!(outbox.append(std::slice::from_ref(&first)).is_complete());
        let former = outbox.rollback();
        // The call waits for the lock while the next stream begins, and gets it after that stream's rollback.
        let (begun, begins) = std::sync::mpsc::channel::<()>();
        let late = std::thread::spawn({
            let outbox = outbox.clone();
            move || {
                begins.recv().unwrap();
                outbox.lease(former)
            }
        });
        let current = outbox.rollback();
        begun.send(()).unwrap();
        assert!(matches!(late.join().unwrap(), Err(LeaseError::Stale)));
        assert_eq!(outbox.lease(current).unwrap(), Some(first));
    }
}
