//! Tocsin's durable event queue: what the agent saw stays on disk until the server has it.
//!
//! ```text
//!   push --> | segment 7 | segment 8 | segment 9 |      sync: the disk has it
//!            ^oldest     ^next lease          ^newest
//!            |<-in flight->|
//!   lease --> send --> the server commits --> commit --> checkpoint: the ledger has it,
//!                  \-> connection lost --> rollback      delivered segments go
//! ```
//!
//! A record is one compressed batch of events and the [`Span`] of sequences in it; the spool looks
//! at nothing else. [`Sequencer`] gives the sequences. The folder holds:
//!
//! ```text
//! lock                          locked while a spool is open
//! 00000000000000000007.segment  records: formats in segment.rs and record.rs
//! ledger                        what is committed, dropped, lost: format in ledger.rs
//! ```
//!
//! # What is promised
//!
//! 1. A record that was synced is delivered until it is committed, whatever process or machine does
//!    in between, unless a [`Loss`] says that it cannot be.
//! 2. Records are leased in the order in which they were pushed. After a rollback or a restart that
//!    starts again at the oldest that is not committed.
//! 3. What was committed is not leased again in this process, nor after a checkpoint in any (of up
//!    to 256 runs at once). Without the checkpoint it may be sent twice; the server knows each event
//!    by its sequence.
//! 4. `bytes_max` holds. The oldest segments make room, never one with a record in flight, and the
//!    loss of exactly what was not committed in them is on disk before they are gone. It stays
//!    there until it is settled.
//! 5. Damage costs the records that it hit. What is lost is told exactly where the disk still says
//!    it; else as the hole between two neighbors, which can be more than was lost there; else as
//!    unknown. At the newest end damage looks as a torn write does: [`Recovery::torn_bytes`].
//! 6. A failed push leaves the queue as it was, also on a full disk. A failed sync says that the
//!    records since the last good one may not survive a crash; they are never appended to.
//! 7. A file of a newer version is neither read nor removed, except as the oldest when room is
//!    needed, and then that is a loss.
//!
//! # What is not
//!
//! No threads, clock, network or encoding. Nothing is encrypted: files are for their owner only
//! (mode 0600). What was pushed and not synced can be leased; if the machine then crashes, the
//! server has more than the spool, which does no harm as no run continues after it. A sealed segment
//! that the disk cut exactly between two records is noticed by the server, as a hole in the
//! sequences. A newer version's ledger is moved aside, and everything is then sent again.
//!
//! # Limits
//!
//! - Disk: [`SpoolConfig::bytes_max`] for segments, and a ledger below 64 KiB (1 MiB at the very
//!   most), twice while it is replaced.
//! - Memory: nothing per record. Per segment 100 bytes and 32 for each stretch of consecutive
//!   sequences in it, at most 256 stretches, usually one; at most `2 * bytes_max / segment_bytes`
//!   segments. By default that is 20 KB for a full spool and 2.3 MB for one filled by 65,536
//!   agents that died after their first record. In flight: 48 bytes a record. One segment while
//!   opening or skipping damage, one record while leasing.
//! - Time: opening reads and syncs every segment once, and writes the newest once more.

#![forbid(unsafe_code)]

mod config;
mod error;
mod folder;
mod ledger;
mod queue;
mod record;
mod recovery;
mod segment;

pub use config::{SpoolConfig, Stats};
pub use error::{RecordError, SpoolError};
pub use folder::{DiskFolder, Folder, FolderFile};
pub use ledger::{LedgerState, Loss, LossReason};
pub use queue::Spool;
pub use record::{Record, Sequencer, Span};
pub use recovery::{Recovery, SetAside};
