//! Who may do what, tried from outside: the real program, real TLS over loopback.
//!
//! Each test has its own server with its own data directory, both gone when it ends.

mod access;
mod certificate;
mod client;
mod command;
mod enrollment;
mod server;
mod session;
