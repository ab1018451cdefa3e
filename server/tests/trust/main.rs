//! Who may do what, tried from outside: the real program, real TLS over loopback.
//!
//! Each test has its own server with its own data directory, both gone when it ends.

#[cfg(test)]
mod access;
#[cfg(test)]
mod certificate;
#[cfg(test)]
mod change;
#[cfg(test)]
mod client;
#[cfg(test)]
mod command;
#[cfg(test)]
mod enrollment;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod server;
#[cfg(test)]
mod session;
