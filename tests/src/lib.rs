//! What flow tests, the demo and the fleet simulator share: real programs in a place of their own.
//!
//! ```text
//! Sandbox            a temporary folder; what was started in it ends with it
//!   Server           tocsin-server: init, run, kill, run again
//!   Agent            tocsin-agent: enroll, run, kill, run again, a copy of its state
//!   Console          tocsin: one command, its JSON and its exit code
//! Machine            accounts, homes, logs and devices of its own (root only)
//! Network            network namespaces with a cable each (root only)
//! endpoint, rpc      a simulated endpoint, and analysts' calls, over the real protocol
//! desk               a stand-in for logind: somebody's session, and its lock (root only)
//! figures, meter     what benchmarks print, and what programs use
//! okta               records in the shapes of Okta's System Log
//! provider           stand-ins for the interfaces of identity providers, which misbehave as those do
//! sign_in            a browser that speaks with a stand-in for a provider's sign-in service
//! workload           process events as a busy machine makes them
//! ```
//!
//! Programs are built once per test program and by nobody else ([`program`]). Nothing here sleeps to be
//! sure: what takes time is polled for, with a limit ([`wait`]). Servers listen on 127.0.0.1 or in a
//! namespace, on ports below 32768 that are found by trying.

pub mod agent;
pub mod console;
pub mod desk;
pub mod endpoint;
pub mod figures;
pub mod machine;
pub mod meter;
pub mod network;
pub mod okta;
pub mod process;
pub mod program;
pub mod provider;
pub mod rpc;
pub mod sandbox;
pub mod screens;
pub mod server;
pub mod sign_in;
pub mod wait;
pub mod workload;
