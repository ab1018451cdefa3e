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
mod certificate;
mod clock;
pub mod command;
mod config;
mod data_dir;
mod feed;
mod geo;
mod http;
mod import;
mod incident;
mod ingest;
mod listener;
mod network;
mod people;
mod per_minute;
mod recording;
mod release;
mod revocation;
mod role;
mod rpc;
mod seal;
mod search;
mod session;
mod store;
mod task;
mod trace;
