//! Data through a server, tried from outside: the real program, real TLS over loopback.
//!
//! Each test has its own server with its own data directory, both gone when it ends.

#[cfg(test)]
mod agent;
#[cfg(test)]
#[path = "../trust/client.rs"]
#[expect(
    dead_code,
    reason = "shared with the suite beside it, which uses all of it"
)]
mod client;
#[cfg(test)]
mod import;
#[cfg(test)]
mod search;
#[cfg(test)]
#[path = "../trust/server.rs"]
#[expect(
    dead_code,
    reason = "shared with the suite beside it, which uses all of it"
)]
mod server;
#[cfg(test)]
mod upload;
