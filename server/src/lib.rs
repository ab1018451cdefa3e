//! Tocsin's server.
//!
//! ```text
//! listener -> rpc/auth -> rpc/{session,upload}  -> session, ingest -> store
//!                      -> rpc/console           -> store, incident
//! task/correlate: store -> tocsin-correlate -> incident -> store
//! ```
//!
//! Each arrow is a bounded queue or a call that waits. [`command`] is the program; nothing else is public.

#![forbid(unsafe_code)]

mod app;
mod audit;
mod ca;
mod clock;
mod config;
mod data_dir;
mod ingest;
mod listener;
mod rpc;
mod search;
mod session;
mod store;
mod task;
