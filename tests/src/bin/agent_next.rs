//! The agent as a later version: the same code under another number, for flows that update to it. It is no part of what
//! is shipped.

use std::process::ExitCode;

fn main() -> ExitCode {
    tocsin_agent::main("9.0.0", std::env::args_os())
}
