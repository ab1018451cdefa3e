//! Tocsin's endpoint agent. One public function, [`main`], is the whole program; everything else is inside.
//!
//! ```text
//! sensor/*      Observation    on their own threads; restarted when they die        sensor/supervisor
//!   | queue                    bounded; a drop is counted and becomes a gap          queue
//! pipeline                     one thread: gathers 200 ms or 512 observations
//!   | normalize Event          pure; hashes and account names brought along          hash, account
//!   | batch     EventBatch     numbered (run, sequence), divided, compressed once
//!   | outbox    Record         on disk, one sync a group; the oldest go when full     tocsin-spool
//! uplink                       lease -> send -> acknowledged -> commit                identity
//!   v
//! tocsin-server
//! ```
//!
//! Back: `uplink` brings what the server asks for to `command`, which asks this machine's configuration first.
//!
//! Beside the path: `health` knows how every stage is; `status` writes that for everybody to read; `app` starts
//! the stages and ends them in order; `cli` is the border to people.
//!
//! Promises: an event that has a sequence is either in the spool, acknowledged by the server, or named by a gap.
//! Without a server the agent works on. Nothing a sensor, a server or a user does ends it.

#![cfg_attr(not(target_os = "linux"), forbid(unsafe_code))]
#![cfg_attr(
    not(target_os = "linux"),
    expect(
        dead_code,
        reason = "some of what sensors may see only Linux's see so far"
    )
)]

mod account;
mod address;
mod app;
mod backoff;
mod batch;
mod cli;
mod clock;
mod command;
mod config;
mod file;
mod guard;
mod hash;
mod health;
mod identity;
mod machine;
mod memory;
mod normalize;
mod outbox;
mod pipeline;
mod queue;
mod sensor;
mod slot;
mod state;
mod status;
mod text;
mod uplink;
mod version;

pub use cli::main;
pub use guard::main as guard;
